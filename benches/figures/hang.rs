//! The promise at its hardest: a scan that hangs, ended in every way, for every fault of a scanner. Measured are how soon the person
//! has control again, and how soon after that same moment the next page is there, right.
//!
//! usbscand, `usbscan` and `scanimage` with our backend are programs of their own; the scanner is a virtual one in the daemon.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::kernel::beside;
use crate::report::{Aim, Report, Series};
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

/// A person takes it for at once.
const CONTROL: f64 = 0.3;
/// Where a reset revives the scanner and nothing of it moves.
const NEXT_PAGE: f64 = 3.0;
/// A request counts as hanging when it is so old.
const HANGS_MS: u64 = 700;
/// For what never comes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A scanner, and what is scanned of it until it hangs.
struct Row {
    /// The scanner, as `--virtual` takes it, with its fault.
    scanner: &'static str,
    program: Program,
    source: &'static [&'static str],
    next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Usbscan,
    /// scanimage with our backend.
    Scanimage,
}

/// What the next scan should come to.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// A page in this many seconds.
    Page(f64),
    /// A sentence in this many seconds: nothing revives it.
    Refused(f64),
}

const fn row(scanner: &'static str, next: Next) -> Row {
    Row { scanner, program: Program::Usbscan, source: &[], next }
}

const SOON: Next = Next::Page(NEXT_PAGE);
/// A sheet may be on its way for 8 s, and a carriage for 10, before a silent scanner is reset.
const WITH_A_SHEET: Next = Next::Page(NEXT_PAGE + 8.0);

/// The host controller gives back each of some transfers that are cancelled half a second late, those of the recovery too.
const TAKEN_BACK_LATE: Next = Next::Page(NEXT_PAGE + 4.0 * 0.5);

/// After its reset it is asked for 2 s whether it answers.
const ASKED_AGAIN: Next = Next::Refused(NEXT_PAGE + 2.0);
/// It may come back to its port for 10 s.
const WAITED_FOR: Next = Next::Refused(NEXT_PAGE + 10.0);

const ROWS: &[Row] = &[
    row("esci,fault=silence@1M", SOON),
    row("esci,dialect=esc,fault=silence@1M", SOON),
    row("esci,fault=silence@1M:4000", SOON),
    row("esci,fault=silence@40", SOON),
    row("esci,fault=out-silence@30", SOON),
    row("esci,fault=silence@1M,fault=hang-from@1M", SOON),
    row("esci,fault=silence@1M,stuck-halt=2", SOON),
    row("esci,fault=silence@1M,slow-unlink=500", TAKEN_BACK_LATE),
    row("esci,fault=silence@1M,reset=no", ASKED_AGAIN),
    row("esci,fault=silence@1M,reset=slow:500", SOON),
    row("esci,fault=silence@1M,reset=moves", SOON),
    row("esci,fault=silence@1M,reset=gone", WAITED_FOR),
    Row { source: &["--source", "adf"], ..row("esci,adf=9,fault=silence@1M", WITH_A_SHEET) },
    row("esci2,fault=silence@1M", SOON),
    Row { source: &["--source", "adf"], ..row("esci2,sheets=9,fault=silence@1M", WITH_A_SHEET) },
    Row { program: Program::Scanimage, ..row("esci,fault=silence@1M", SOON) },
];

/// How it is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    CtrlC,
    Term,
    Cancel,
    Kill,
    /// It is stopped, and cancelled from elsewhere.
    StopAndCancel,
}

const WAYS: [(Way, &str); 5] = [
    (Way::CtrlC, "Ctrl-C"),
    (Way::Term, "SIGTERM"),
    (Way::Cancel, "cancel from elsewhere"),
    (Way::Kill, "kill -9"),
    (Way::StopAndCancel, "SIGSTOP, cancel"),
];

/// Seconds after the moment at which somebody ended it.
struct Ended {
    control: f64,
    next: f64,
    /// How the next scan ended: its page, or what was said.
    outcome: Result<(), String>,
}

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let mut grid =
        format!("| scanner | {} |\n| --- |{}\n", WAYS.map(|way| way.1).join(" | "), " --- |".repeat(WAYS.len()));
    for row in ROWS {
        let program = if row.program == Program::Scanimage { "scanimage: " } else { "" };
        let name = format!("{program}{} {}", row.scanner, row.source.last().unwrap_or(&"")).trim_end().to_owned();
        let _ = write!(grid, "| `{name}` |");
        for (way, of_way) in WAYS {
            let mut control = Series::new(format!("{name}, {of_way}: control"));
            let mut next = Series::new(format!("{name}, {of_way}: next page"));
            let mut said = None;
            for _ in 0..if wishes.quick { 1 } else { 3 } {
                let ended = once(row, way)?;
                control.values.push(ended.control);
                next.values.push(ended.next);
                match (row.next, ended.outcome) {
                    (Next::Page(_), Err(why)) => said = Some(format!("NO PAGE: {why}")),
                    (Next::Refused(_), Ok(())) => said = Some("a page, of a scanner that nothing revives".to_owned()),
                    (Next::Page(_), Ok(())) | (Next::Refused(_), Err(_)) => {}
                }
            }
            let (Next::Page(soon) | Next::Refused(soon)) = row.next;
            let control = report.limit(&control, "s", Aim::AtMost(CONTROL));
            let next = report.limit(&next, "s", Aim::AtMost(soon));
            let refused = if matches!(row.next, Next::Refused(_)) { " refused" } else { "" };
            let said = said.map(|said| format!(" **{said}**")).unwrap_or_default();
            if !said.is_empty() {
                println!("  {name}, {of_way}:{said}");
            }
            let _ = write!(grid, " {control:.2} / {next:.2}{refused}{said} |");
        }
        grid.push('\n');
    }
    report.grid("control / next page, in s (median)", grid);
    Ok(())
}

/// One scan that hangs, and how it ended.
fn once(row: &Row, way: Way) -> Outcome<Ended> {
    let folder = tempfile::tempdir()?;
    let daemon = Usbscand::start(&["--no-usb".to_owned(), format!("--virtual={}", row.scanner)])?;
    let mut scan = start(row, &daemon, folder.path())?;
    let hung = wait_until_it_hangs(&daemon, &mut scan);
    let began = Instant::now();
    if let Err(error) = hung {
        let _ = scan.kill();
        let _ = scan.wait();
        return Err(format!("{}: {error}", row.scanner).into());
    }
    let signal = |scan: &Child, signal| kill_process(Pid::from_child(scan), signal);
    let mut cancel = None;
    match way {
        Way::CtrlC => signal(&scan, Signal::INT)?,
        Way::Term => signal(&scan, Signal::TERM)?,
        Way::Kill => signal(&scan, Signal::KILL)?,
        Way::Cancel => {
            cancel = Some(usbscan(&daemon).arg("cancel").stderr(Stdio::null()).stdout(Stdio::null()).spawn()?)
        }
        Way::StopAndCancel => {
            signal(&scan, Signal::STOP)?;
            cancel = Some(usbscan(&daemon).arg("cancel").stderr(Stdio::null()).stdout(Stdio::null()).spawn()?);
        }
    }
    // Who has stopped a program has control already.
    if way != Way::StopAndCancel {
        end_of(&mut scan)?;
    }
    let control = began.elapsed().as_secs_f64();
    let outcome = next_page(&daemon, folder.path())?;
    let next = began.elapsed().as_secs_f64();
    if let Some(mut cancel) = cancel {
        end_of(&mut cancel)?;
    }
    if way == Way::StopAndCancel {
        signal(&scan, Signal::CONT)?;
        end_of(&mut scan)?;
    }
    Ok(Ended { control, next, outcome })
}

fn usbscan(daemon: &Usbscand) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usbscan"));
    command.arg("--socket").arg(daemon.socket());
    command
}

fn start(row: &Row, daemon: &Usbscand, folder: &Path) -> Outcome<Child> {
    let mut command = match row.program {
        Program::Usbscan => {
            let mut command = usbscan(daemon);
            command.args(["scan", "-r", "300", "--mode", "color", "--format", "pnm"]).args(row.source);
            command
        }
        Program::Scanimage => {
            let configuration = folder.join("sane");
            fs::create_dir(&configuration)?;
            fs::write(configuration.join("dll.conf"), "usbscan\n")?;
            symlink(beside("libsane_usbscan.so"), configuration.join("libsane-usbscan.so.1"))?;
            let mut command = Command::new("scanimage");
            command.env("SANE_CONFIG_DIR", &configuration).env("LD_LIBRARY_PATH", &configuration);
            command.env("USBSCAN_SOCKET", daemon.socket()).args(["--format=pnm", "--mode=Color", "--resolution=300"]);
            command
        }
    };
    let page = if row.source.is_empty() { "page.pnm" } else { "page-%d.pnm" };
    command.arg("-o").arg(folder.join(page)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?)
}

fn wait_until_it_hangs(daemon: &Usbscand, scan: &mut Child) -> Outcome<()> {
    let session = daemon.session()?;
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if let Some(status) = scan.try_wait()? {
            return Err(format!("the scan ended by itself: {status}").into());
        }
        let status = session.status(None)?;
        let requests = status.iter().flat_map(|device| &device.pipes).flat_map(|pipe| &pipe.pending);
        if requests.map(|request| request.age_ms).any(|age| age > HANGS_MS) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err("the scan does not hang".into())
}

fn end_of(program: &mut Child) -> Outcome<()> {
    let began = Instant::now();
    while program.try_wait()?.is_none() {
        if began.elapsed() > DEADLINE {
            program.kill()?;
            program.wait()?;
            return Err("a program does not end".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The next page, which has to be there and right; or what is said in its place.
fn next_page(daemon: &Usbscand, folder: &Path) -> Outcome<Result<(), String>> {
    let file = folder.join("next.pnm");
    let mut command = usbscan(daemon);
    command.args(["scan", "-r", "75", "--mode", "gray", "--area", "0,0,100,100", "-o"]).arg(&file);
    let ended = command.output()?;
    if !ended.status.success() {
        return Ok(Err(String::from_utf8_lossy(&ended.stderr).trim().to_owned()));
    }
    let page = fs::read(&file)?;
    // Of the test chart: not all black, nor all white, and whole.
    let (least, most) = page.iter().skip(20).fold((u8::MAX, 0), |(least, most), one| (least.min(*one), most.max(*one)));
    let whole = page.starts_with(b"P5") && page.len() > 290 * 290 && least < 64 && most > 192;
    Ok(if whole { Ok(()) } else { Err(format!("another page: {} bytes, {least} to {most}", page.len())) })
}

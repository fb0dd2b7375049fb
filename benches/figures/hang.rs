//! The promise at its hardest: a scan that hangs, ended in every way, for every fault of a scanner. Measured are how soon the person
//! has control again, and how soon after that same moment the next page is there, right.
//!
//! usbscand, `usbscan`, `scanimage` with our backend, and an application that uses it (application.c) are programs of their own; the
//! scanner is a virtual one in the daemon. In a guest it is at the kernel: hang_peer.rs.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::kernel::beside;
use crate::report::{Aim, Report, Series};
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

/// A person takes it for at once.
pub const CONTROL: f64 = 0.3;
/// Where a reset revives the scanner and nothing of it moves.
pub const NEXT_PAGE: f64 = 3.0;
/// A request counts as hanging when it is so old.
const HANGS_MS: u64 = 700;
/// For what never comes.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A scanner, and what is scanned of it until it hangs.
pub struct Row {
    /// The scanner, as `--virtual` takes it, with its fault.
    pub scanner: &'static str,
    pub program: Program,
    pub source: &'static [&'static str],
    pub next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Usbscan,
    /// scanimage with our backend.
    Scanimage,
    /// A program of the desktop, whose other thread calls `sane_cancel`.
    Application,
    /// One that calls it in a signal handler.
    Handler,
    /// A control request that is never answered. None of our drivers makes any, so it can't be in the middle of a page.
    Control,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Program::Usbscan => "",
            Program::Scanimage => "scanimage: ",
            Program::Application => "a SANE application: ",
            Program::Handler => "a SANE application, in a signal handler: ",
            Program::Control => "usbscan raw control: ",
        }
    }
}

/// What the next scan should come to.
#[derive(Clone, Copy, PartialEq)]
pub enum Next {
    /// A page in this many seconds.
    Page(f64),
    /// A sentence in this many seconds: nothing revives it.
    Refused(f64),
}

pub const fn row(scanner: &'static str, next: Next) -> Row {
    Row { scanner, program: Program::Usbscan, source: &[], next }
}

pub const SOON: Next = Next::Page(NEXT_PAGE);
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
    Row { program: Program::Application, ..row("esci,fault=silence@1M", SOON) },
    Row { program: Program::Handler, ..row("esci,fault=silence@1M", SOON) },
    Row { program: Program::Application, ..row("esci,fault=silence@40", SOON) },
    Row { program: Program::Control, ..row("esci,fault=hang@1", SOON) },
];

/// How it is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
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
pub struct Ended {
    pub control: f64,
    pub next: f64,
    /// How the next scan ended: its page, or what was said.
    pub outcome: Result<(), String>,
}

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let mut grid =
        format!("| scanner | {} |\n| --- |{}\n", WAYS.map(|way| way.1).join(" | "), " --- |".repeat(WAYS.len()));
    for row in ROWS {
        let name =
            format!("{}{} {}", row.program.name(), row.scanner, row.source.last().unwrap_or(&"")).trim_end().to_owned();
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
    let daemon = Usbscand::start(&["--no-usb".to_owned(), format!("--virtual={}", row.scanner)])?;
    once_at(row, way, &daemon)
}

/// The same with a daemon that has the row's scanner.
pub fn once_at(row: &Row, way: Way, daemon: &Usbscand) -> Outcome<Ended> {
    let folder = tempfile::tempdir()?;
    let mut scan = start(row, daemon, folder.path())?;
    let hung = wait_until_it_hangs(daemon, &mut scan);
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
            cancel = Some(usbscan(daemon).arg("cancel").stderr(Stdio::null()).stdout(Stdio::null()).spawn()?)
        }
        Way::StopAndCancel => {
            signal(&scan, Signal::STOP)?;
            cancel = Some(usbscan(daemon).arg("cancel").stderr(Stdio::null()).stdout(Stdio::null()).spawn()?);
        }
    }
    // Who has stopped a program has control already.
    if way != Way::StopAndCancel {
        end_of(&mut scan)?;
    }
    let control = began.elapsed().as_secs_f64();
    let outcome = next_page(daemon, folder.path())?;
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
        Program::Control => {
            let mut command = usbscan(daemon);
            command.args([
                "raw",
                "control",
                "--direction",
                "in",
                "--request",
                "0x12",
                "--length",
                "1",
                "--timeout",
                "200",
            ]);
            return Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        }
        Program::Application | Program::Handler => {
            let configuration = backend(folder)?;
            let how = if row.program == Program::Handler { "handler" } else { "thread" };
            let mut command = with_backend(application(&configuration)?, &configuration, daemon);
            return Ok(command.arg(how).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        }
        Program::Scanimage => {
            let configuration = backend(folder)?;
            let mut command = with_backend("scanimage", &configuration, daemon);
            command.args(["--format=pnm", "--mode=Color", "--resolution=300"]);
            command
        }
    };
    let page = if row.source.is_empty() { "page.pnm" } else { "page-%d.pnm" };
    command.arg("-o").arg(folder.join(page)).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?)
}

/// A folder where programs for SANE find our backend and no other.
fn backend(folder: &Path) -> Outcome<PathBuf> {
    let configuration = folder.join("sane");
    fs::create_dir(&configuration)?;
    fs::write(configuration.join("dll.conf"), "usbscan\n")?;
    symlink(beside("libsane_usbscan.so"), configuration.join("libsane-usbscan.so.1"))?;
    Ok(configuration)
}

fn with_backend(program: impl AsRef<OsStr>, configuration: &Path, daemon: &Usbscand) -> Command {
    let mut command = Command::new(program);
    command.env("SANE_CONFIG_DIR", configuration).env("LD_LIBRARY_PATH", configuration);
    command.env("USBSCAN_SOCKET", daemon.socket());
    command
}

/// Compiles application.c. Needs Debian's libsane-dev.
fn application(configuration: &Path) -> Outcome<PathBuf> {
    let program = configuration.join("application");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures/application.c");
    let mut compiler = Command::new("gcc");
    compiler.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-o"]).arg(&program).arg(source);
    compiler.arg("-L").arg(configuration).args(["-l:libsane-usbscan.so.1", "-lpthread"]);
    if !compiler.status()?.success() {
        return Err("application.c does not compile; it needs Debian's libsane-dev".into());
    }
    Ok(program)
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

pub fn end_of(program: &mut Child) -> Outcome<()> {
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
    Ok(check(&fs::read(&file)?))
}

/// Whether it is of the test chart: not all black, nor all white, and whole.
pub fn check(page: &[u8]) -> Result<(), String> {
    let (least, most) = page.iter().skip(20).fold((u8::MAX, 0), |(least, most), one| (least.min(*one), most.max(*one)));
    let whole = page.starts_with(b"P5") && page.len() > 290 * 290 && least < 64 && most > 192;
    if whole { Ok(()) } else { Err(format!("another page: {} bytes, {least} to {most}", page.len())) }
}

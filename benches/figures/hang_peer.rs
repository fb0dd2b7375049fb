//! The first row of hang.rs under a real kernel, beside its peer: `scanimage` with SANE's own epson2, over plain libusb.
//!
//! For a guest, as root: `tools/bench --guest vhci --only hang`. Needs Debian's sane-utils and libsane-dev.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::hang::{CONTROL, DEADLINE, Ended, NEXT_PAGE, Program, Row, SOON, Way, check, once_at, row};
use crate::kernel::Plugged;
use crate::report::{Aim, Report, Series};
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

const SCANNER: &str = "esci,fault=silence@1M";
/// For how long the peer is waited for. It waits a minute for each answer that does not come.
const PATIENCE: Duration = Duration::from_secs(25);
/// When its file has not grown for so long it hangs.
const STILL: Duration = Duration::from_secs(4);

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let rounds = if wishes.quick { 1 } else { 3 };
    let ours = [Program::Usbscan, Program::Scanimage, Program::Application].map(Some);
    for program in ours.into_iter().chain([None]) {
        let name = program.map_or("scanimage, epson2: ", |program| program.name());
        for (way, of_way) in [(Way::CtrlC, "Ctrl-C"), (Way::Kill, "kill -9")] {
            let mut control = Series::new(format!("{name}{SCANNER}, {of_way}: control"));
            let mut next = Series::new(format!("{name}{SCANNER}, {of_way}: next page"));
            for _ in 0..rounds {
                let _scanner = Plugged::new(wishes.controller()?, SCANNER)?;
                let ended = match program {
                    Some(program) => {
                        let row = Row { program, ..row(SCANNER, SOON) };
                        once_at(&row, way, &daemon_with_it()?)?
                    }
                    None => once_of_the_peer(way)?,
                };
                control.values.push(ended.control);
                next.values.push(ended.next);
                if let Err(why) = ended.outcome {
                    println!("  {name}{SCANNER}, {of_way}: NO PAGE: {why}");
                }
            }
            if program.is_some() {
                report.limit(&control, "s", Aim::AtMost(CONTROL));
                report.limit(&next, "s", Aim::AtMost(NEXT_PAGE));
            } else {
                report.series(&control, "s");
                report.series(&next, "s");
            }
        }
    }
    Ok(())
}

/// A daemon that has found the scanner.
fn daemon_with_it() -> Outcome<Usbscand> {
    let daemon = Usbscand::start(&[])?;
    let session = daemon.session()?;
    let began = Instant::now();
    while session.list()?.is_empty() {
        if began.elapsed() > DEADLINE {
            return Err("usbscand does not find the scanner".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(daemon)
}

/// What the peer is not back from in [`PATIENCE`] counts as that long, and is killed.
fn once_of_the_peer(way: Way) -> Outcome<Ended> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("dll.conf"), "epson2\n")?;
    fs::write(folder.path().join("epson2.conf"), "usb\n")?;
    let page = folder.path().join("page.pnm");
    let mut scan = epson2(folder.path(), &["--mode=Color", "--resolution=300"], &page)?;
    wait_until_still(&mut scan, &page)?;
    let began = Instant::now();
    let signal = if way == Way::Kill { Signal::KILL } else { Signal::INT };
    kill_process(Pid::from_child(&scan), signal)?;
    end_in_time(&mut scan)?;
    let control = began.elapsed().as_secs_f64();
    let page = folder.path().join("next.pnm");
    let area = ["--mode=Gray", "--resolution=75", "-l", "0", "-t", "0", "-x", "100", "-y", "100"];
    let mut scan = epson2(folder.path(), &area, &page)?;
    let outcome = match end_in_time(&mut scan)? {
        true => check(&fs::read(&page)?),
        false => Err(format!("not in {} s", PATIENCE.as_secs())),
    };
    Ok(Ended { control, next: began.elapsed().as_secs_f64(), outcome })
}

fn epson2(folder: &Path, arguments: &[&str], page: &Path) -> Outcome<Child> {
    let mut command = Command::new("scanimage");
    command.env("SANE_CONFIG_DIR", folder).current_dir(folder).arg("--format=pnm").args(arguments);
    Ok(command.stdout(File::create(page)?).stderr(Stdio::null()).spawn()?)
}

fn wait_until_still(scan: &mut Child, page: &Path) -> Outcome<()> {
    let (began, mut grown, mut length) = (Instant::now(), Instant::now(), 0);
    while length == 0 || grown.elapsed() < STILL {
        if let Some(status) = scan.try_wait()? {
            return Err(format!("the peer ended by itself: {status}").into());
        }
        if began.elapsed() > DEADLINE {
            return Err("the peer does not hang".into());
        }
        let now = fs::metadata(page)?.len();
        if now > length {
            (grown, length) = (Instant::now(), now);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether it ended by itself in time.
fn end_in_time(scan: &mut Child) -> Outcome<bool> {
    let began = Instant::now();
    while scan.try_wait()?.is_none() {
        if began.elapsed() > PATIENCE {
            scan.kill()?;
            scan.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(true)
}

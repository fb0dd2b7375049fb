//! What the daemon costs while nobody uses it: usbscand, a program of its own, with eight scanners. And how soon it is
//! there.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use client::Session;

use crate::report::{Report, Series};
use crate::{Outcome, Wishes};

const SCANNERS: usize = 8;

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let mut start_up =
        Series::new(format!("usbscand with {SCANNERS} scanners: started until it says that it is ready"));
    for _ in 0..wishes.rounds(20) {
        let began = Instant::now();
        let daemon = Usbscand::start()?;
        start_up.values.push(began.elapsed().as_secs_f64() * 1e3);
        drop(daemon);
    }
    report.series(&start_up, "ms");

    let daemon = Usbscand::start()?;
    let session = Session::connect(daemon.folder.path().join("socket"))?;
    session.open("usbscan0")?;
    let seconds = if wishes.quick { 3 } else { 20 };
    let before = daemon.switches()?;
    // Nothing is waited for: this is the time that is measured.
    std::thread::sleep(Duration::from_secs(seconds));
    let woken = daemon.switches()? - before;
    report.value("wake-ups of all its threads, one scanner open", woken as f64 * 60.0 / seconds as f64, "a minute");
    report.value("resident memory", daemon.status("VmRSS:")? as f64 / 1024.0, "MiB");
    report.value("threads", daemon.status("Threads:")? as f64, "");
    report.value("file descriptors", daemon.listing("fd")?.len() as f64, "");
    Ok(())
}

struct Usbscand {
    child: Child,
    folder: tempfile::TempDir,
}

impl Usbscand {
    fn start() -> Outcome<Usbscand> {
        let folder = tempfile::tempdir()?;
        let ready = folder.path().join("ready");
        let bell = UnixDatagram::bind(&ready)?;
        bell.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_usbscand"));
        command.args(["--no-usb", "--socket"]).arg(folder.path().join("socket")).env("NOTIFY_SOCKET", &ready);
        for number in 0..SCANNERS {
            command.arg(format!("--virtual=esci,serial=IDLE{number}"));
        }
        let child = command.env("RUST_LOG", "error").spawn()?;
        let daemon = Usbscand { child, folder };
        let mut message = [0; 512];
        loop {
            let length = bell.recv(&mut message)?;
            if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") {
                return Ok(daemon);
            }
        }
    }

    fn status(&self, field: &str) -> Outcome<u64> {
        number_of(&fs::read_to_string(format!("/proc/{}/status", self.child.id()))?, field)
    }

    fn listing(&self, name: &str) -> Outcome<Vec<String>> {
        let entries = fs::read_dir(format!("/proc/{}/{name}", self.child.id()))?;
        Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    /// How often its threads have slept and been woken so far.
    fn switches(&self) -> Outcome<u64> {
        let mut all = 0;
        for task in self.listing("task")? {
            let status = fs::read_to_string(format!("/proc/{}/task/{task}/status", self.child.id()))?;
            all += number_of(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(all)
    }
}

fn number_of(status: &str, field: &str) -> Outcome<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("the field is there")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

impl Drop for Usbscand {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

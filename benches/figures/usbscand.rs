//! usbscand, a program of its own, and what the kernel says that it costs.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use usbscan_client::Session;

use crate::Outcome;

/// Clock ticks a second in `/proc`: 100 on every architecture that runs today.
const TICKS: u64 = 100;

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Usbscand {
    child: Child,
    folder: tempfile::TempDir,
}

impl Usbscand {
    /// Starts it with these arguments, and returns when it says that it is ready.
    pub fn start(arguments: &[String]) -> Outcome<Usbscand> {
        let folder = tempfile::tempdir()?;
        let ready = folder.path().join("ready");
        let notify_socket = UnixDatagram::bind(&ready)?;
        notify_socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_usbscand"));
        command.args(arguments).arg("--socket").arg(folder.path().join("socket")).env("NOTIFY_SOCKET", &ready);
        let child = command.env("RUST_LOG", "error").spawn()?;
        let daemon = Usbscand { child, folder };
        let mut message = [0; 512];
        loop {
            let length = notify_socket.recv(&mut message)?;
            if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") {
                return Ok(daemon);
            }
        }
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A session with it.
    pub fn session(&self) -> Outcome<Session> {
        Ok(Session::connect(self.socket())?)
    }

    /// The processor time that it has used so far, to a hundredth of a second.
    pub fn processor_time(&self) -> Outcome<Duration> {
        processor_time_of(self.child.id())
    }

    /// A number of `/proc/PID/status`.
    pub fn status(&self, field: &str) -> Outcome<u64> {
        number_of(&fs::read_to_string(format!("/proc/{}/status", self.child.id()))?, field)
    }

    /// The names in one of its folders below `/proc/PID`.
    pub fn listing(&self, name: &str) -> Outcome<Vec<String>> {
        let entries = fs::read_dir(format!("/proc/{}/{name}", self.child.id()))?;
        Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    /// How often its threads have slept and been woken so far.
    pub fn switches(&self) -> Outcome<u64> {
        let mut all = 0;
        for task in self.listing("task")? {
            let status = fs::read_to_string(format!("/proc/{}/task/{task}/status", self.child.id()))?;
            all += number_of(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(all)
    }
}

/// The processor time that a process has used so far, to a hundredth of a second.
pub fn processor_time_of(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 14 and 15; the second is a name in brackets, which may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").ok_or("a name in brackets")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// The most memory that a process ever had, in KiB.
pub fn peak_of(pid: u32) -> Outcome<u64> {
    number_of(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmHWM:")
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

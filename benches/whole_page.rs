//! How long a page takes, from the command to the file, and how much memory: A4 in colour, from a virtual scanner that
//! sends as fast as it is asked.
//!
//!     cargo bench --bench whole_page [-- --quick]
//!
//! Beside it in the same run: the same page with the daemon in the same process. What differs is the socket.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use client::Session;

/// Runs of each, and with `--quick`.
const RUNS: [usize; 2] = [5, 1];
/// What a pipe holds, and some more: a program that has so much left to write has not ended.
const HELD_BACK: u64 = 100_000;

type Anything = Box<dyn std::error::Error>;

fn main() -> Result<(), Anything> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let runs = RUNS[usize::from(quick)];
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_usbscand"))
        .args(["--no-usb", "--virtual", "esci", "--socket"])
        .arg(&socket)
        .env("RUST_LOG", "error")
        .spawn()?;
    wait_until_it_listens(&socket, &mut daemon)?;
    println!("A4 in colour, the best of {runs}; MB are those of the page's pixels; peaks of resident memory");
    println!("  dpi  format     MB  through usbscand            in one process    usbscan   usbscand");
    let through = ["--socket".to_owned(), socket.display().to_string()];
    let inside = ["--virtual".to_owned()];
    for dpi in [300, 600, 1200] {
        for format in ["png", "pnm"] {
            let file = folder.path().join("page");
            let scan = Scan { dpi, format, runs, file: &file };
            let (slow, quick) = (scan.best(&through)?, scan.best(&inside)?);
            let megabytes = scan.megabytes();
            let rate =
                |time: Duration| format!("{:6.2} s {:6.0} MB/s", time.as_secs_f64(), megabytes / time.as_secs_f64());
            let peak = scan.peak(&through)? >> 10;
            let daemons = peak_of(daemon.id())? >> 10;
            println!(
                "{dpi:5}  {format:6} {megabytes:6.0}  {}  {}  {peak:6} KiB {daemons:6} KiB",
                rate(slow),
                rate(quick)
            );
        }
    }
    daemon.kill()?;
    daemon.wait()?;
    Ok(())
}

fn wait_until_it_listens(socket: &Path, daemon: &mut Child) -> Result<(), Anything> {
    while Session::connect(socket).is_err() {
        if let Some(status) = daemon.try_wait()? {
            return Err(format!("usbscand ended: {status}").into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

struct Scan<'a> {
    dpi: u32,
    format: &'a str,
    runs: usize,
    file: &'a Path,
}

impl Scan<'_> {
    fn command(&self, daemon: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usbscan"));
        command.args(daemon).args(["scan", "--mode", "color", "--area", "A4", "--format", self.format]);
        command.args(["-r", &self.dpi.to_string(), "-o"]).stdout(Stdio::null());
        command
    }

    fn best(&self, daemon: &[String]) -> Result<Duration, Anything> {
        let mut best = Duration::MAX;
        for _ in 0..self.runs {
            let began = Instant::now();
            let status = self.command(daemon).arg(self.file).status()?;
            best = best.min(began.elapsed());
            if !status.success() {
                return Err(format!("usbscan: {status}").into());
            }
        }
        Ok(best)
    }

    fn megabytes(&self) -> f64 {
        let pixels = |millimetres: f64| (millimetres / 25.4 * f64::from(self.dpi)).round();
        pixels(210.0) * pixels(297.0) * 3.0 / 1e6
    }

    /// The most memory that usbscan ever had, looked up while it waits with the last of its page.
    fn peak(&self, daemon: &[String]) -> Result<u64, Anything> {
        let length = fs::metadata(self.file)?.len();
        let mut scan = self.command(daemon).arg("-").stdout(Stdio::piped()).spawn()?;
        let mut page = scan.stdout.take().ok_or("it was asked for")?;
        io::copy(&mut page.by_ref().take(length - HELD_BACK), &mut io::sink())?;
        let peak = peak_of(scan.id())?;
        io::copy(&mut page, &mut io::sink())?;
        scan.wait()?;
        Ok(peak)
    }
}

fn peak_of(pid: u32) -> Result<u64, Anything> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}

//! Whole scans of one and the same scanner on this machine's own kernel: `usbscan scan`, SANE's `scanimage` with our
//! backend, and `scanimage` with SANE's epson2 over plain libusb. A4 in colour, to files in memory.
//!
//! For a guest, as root: `tools/bench --guest vhci`. Needs Debian's sane-utils and time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::kernel::{Plugged, beside};
use crate::report::{Aim, Report, Series};
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let _scanner = Plugged::new(wishes.controller()?, "esci")?;
    let folder = tempfile::tempdir()?;
    configure(folder.path())?;
    // The programs come over a network file system the first time.
    for who in [Who::Usbscan, Who::Backend, Who::Epson2] {
        scan(who, 75, "png", folder.path())?;
    }
    for &dpi in wishes.resolutions() {
        for format in ["pnm", "png"] {
            one(wishes, report, dpi, format, folder.path())?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Usbscan,
    Backend,
    Epson2,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Who::Usbscan => "usbscan scan",
            Who::Backend => "scanimage, our backend",
            Who::Epson2 => "scanimage, epson2",
        }
    }
}

/// What a scan took. Daemon and program together, where there is a daemon.
struct Page {
    seconds: f64,
    cpu: f64,
    /// The most resident memory of the program, and of the daemon, in MiB.
    peaks: [f64; 2],
}

#[derive(Default)]
struct Pages(Vec<Page>);

impl Pages {
    fn series(&self, what: String, value: impl Fn(&Page) -> f64) -> Series {
        Series { what, values: self.0.iter().map(value).collect() }
    }
}

fn one(wishes: &Wishes, report: &mut Report, dpi: u32, format: &str, folder: &Path) -> Outcome<()> {
    let all = [Who::Usbscan, Who::Backend, Who::Epson2];
    let mut pages: [Pages; 3] = Default::default();
    for _ in 0..wishes.rounds(3) {
        for (who, pages) in all.iter().zip(&mut pages) {
            pages.0.push(scan(*who, dpi, format, folder)?);
        }
    }
    let title = |who: Who| format!("A4, {dpi} dpi, {format}: {}", who.name());
    for (what, unit, value) in [
        ("wall", "s", (|page| page.seconds) as fn(&Page) -> f64),
        ("CPU", "s", |page| page.cpu),
        ("peak of the program", "MiB", |page| page.peaks[0]),
        ("peak of usbscand", "MiB", |page| page.peaks[1]),
    ] {
        let series: Vec<Series> = all
            .iter()
            .zip(&pages)
            .map(|(who, pages)| pages.series(format!("{}, {what}", title(*who)), value))
            .collect();
        for (who, series) in all.iter().zip(&series) {
            if *who != Who::Epson2 || what != "peak of usbscand" {
                report.series(series, unit);
            }
        }
        if unit == "s" {
            let aim = Some(Aim::AtMost(1.0)).filter(|_| what == "wall");
            report.ratio(&series[0], &series[2], aim);
            report.ratio(&series[1], &series[2], aim);
        }
    }
    Ok(())
}

/// A folder for scanimage with each backend, and no other.
fn configure(folder: &Path) -> Outcome<()> {
    for (name, files) in [
        ("epson2", &[("dll.conf", "epson2\n"), ("epson2.conf", "usb\n")][..]),
        ("usbscan", &[("dll.conf", "usbscan\n")]),
    ] {
        fs::create_dir(folder.join(name))?;
        for (file, text) in files {
            fs::write(folder.join(name).join(file), text)?;
        }
    }
    symlink(beside("libsane_usbscan.so"), folder.join("usbscan/libsane-usbscan.so.1"))?;
    Ok(())
}

/// A daemon for this scan alone, so that the scanner is epson2's afterwards. Its start is not timed.
fn scan(who: Who, dpi: u32, format: &str, folder: &Path) -> Outcome<Page> {
    let daemon = if who == Who::Epson2 { None } else { Some(Usbscand::start(&[])?) };
    let file = folder.join("page");
    let costs = folder.join("costs");
    let mut command = Command::new("time");
    command.args(["--format=%U %S %M", "--output"]).arg(&costs).current_dir(folder);
    match &daemon {
        Some(daemon) if who == Who::Usbscan => {
            command.arg(env!("CARGO_BIN_EXE_usbscan")).arg("--socket").arg(daemon.socket());
            command.args(["scan", "--mode=color", "--area=A4", "--format", format, "-r", &dpi.to_string()]);
        }
        Some(daemon) => {
            command.env("USBSCAN_SOCKET", daemon.socket()).env("LD_LIBRARY_PATH", folder.join("usbscan"));
            scanimage(&mut command, &folder.join("usbscan"), dpi, format);
        }
        None => scanimage(&mut command, &folder.join("epson2"), dpi, format),
    }
    let before = cpu_of(daemon.as_ref())?;
    let began = Instant::now();
    let ended = command.arg("-o").arg(&file).stdout(Stdio::null()).output()?;
    let seconds = began.elapsed().as_secs_f64();
    if !ended.status.success() {
        return Err(format!("{}: {}", who.name(), String::from_utf8_lossy(&ended.stderr)).into());
    }
    expect_a_page(&file, dpi, format)?;
    fs::remove_file(&file)?;
    let costs = fs::read_to_string(&costs)?;
    let costs: Vec<f64> = costs.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let &[user, system, peak] = &costs[..] else { return Err("time prints three numbers".into()) };
    let of_daemon = (cpu_of(daemon.as_ref())? - before).as_secs_f64();
    let peak_of_daemon = daemon.as_ref().map_or(Ok(0), |daemon| daemon.status("VmHWM:"))?;
    Ok(Page { seconds, cpu: user + system + of_daemon, peaks: [peak / 1024.0, peak_of_daemon as f64 / 1024.0] })
}

fn cpu_of(daemon: Option<&Usbscand>) -> Outcome<Duration> {
    daemon.map_or(Ok(Duration::ZERO), Usbscand::processor_time)
}

fn scanimage(command: &mut Command, configuration: &Path, dpi: u32, format: &str) {
    command.env("SANE_CONFIG_DIR", configuration).arg("scanimage").arg(format!("--format={format}"));
    command.args(["--mode=Color", "-l", "0", "-t", "0", "-x", "210", "-y", "297", "--resolution", &dpi.to_string()]);
}

/// A fast failure must not look like a fast scan.
fn expect_a_page(file: &Path, dpi: u32, format: &str) -> Outcome<()> {
    let length = fs::metadata(file)?.len() as f64;
    let pixels = 210.0 / 25.4 * 297.0 / 25.4 * f64::from(dpi * dpi) * 3.0;
    let least = if format == "pnm" { 0.99 } else { 0.001 };
    if length < pixels * least {
        return Err(format!("a page of {length} bytes is not a whole one").into());
    }
    Ok(())
}

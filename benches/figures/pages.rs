//! How long a page takes, from the command to the file, and how much memory: A4 in colour, from a virtual scanner that
//! sends as fast as it is asked. Beside it the same page with the daemon in the same process: what differs is the socket.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::report::{Report, Series};
use crate::usbscand::{Usbscand, peak_of, processor_time_of};
use crate::{Outcome, Wishes};

/// What a pipe holds, and some more: a program that has so much left to write has not ended.
const HELD_BACK: u64 = 100_000;

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let daemon = Usbscand::start(&["--no-usb".to_owned(), "--virtual=esci".to_owned()])?;
    let through = ["--socket".to_owned(), daemon.socket().display().to_string()];
    let inside = ["--virtual".to_owned()];
    for dpi in [300, 600, 1200] {
        for format in ["png", "pnm"] {
            let scan = Scan { dpi, format, file: &folder.path().join("page"), more: &[] };
            let title = |what: &str| Series::new(format!("A4, {dpi} dpi, {format}: {what}"));
            let (mut outside, mut within) = (title("through usbscand"), title("in one process"));
            for _ in 0..wishes.rounds(5) {
                outside.values.push(scan.seconds(&through)?);
                within.values.push(scan.seconds(&inside)?);
            }
            report.series(&outside, "s");
            report.series(&within, "s");
            report.ratio(&outside, &within, None);
            let peak = scan.peak(&through)? / 1024.0;
            report.value(&title("peak of usbscan").what, peak, "MiB");
            report.value(&title("peak of usbscand so far").what, daemon.status("VmHWM:")? as f64 / 1024.0, "MiB");
        }
    }
    as_they_come(wishes, report, folder.path())
}

/// Pages that the scanner sends as JPEG: as they come, and decoded and encoded again.
fn as_they_come(wishes: &Wishes, report: &mut Report, folder: &Path) -> Outcome<()> {
    let daemon = Usbscand::start(&["--no-usb".to_owned(), "--virtual=esci2".to_owned()])?;
    let through = ["--socket".to_owned(), daemon.socket().display().to_string()];
    for format in ["jpeg", "pdf"] {
        let title = |how: &str, what: &str| Series::new(format!("A4, 300 dpi, JPEG to {format}, {how}: {what}"));
        let mut all = Vec::new();
        let hows = [
            ("as it comes", &["--set", "compression=JPEG"][..]),
            ("decoded and encoded again", &["--set", "compression=JPEG", "--quality", "90"]),
        ];
        for (how, more) in hows {
            let scan = Scan { dpi: 300, format, file: &folder.join("page"), more };
            let (mut time, mut processor) = (title(how, "time"), title(how, "processor time of usbscan"));
            for _ in 0..wishes.rounds(5) {
                time.values.push(scan.seconds(&through)?);
                processor.values.push(scan.processor(&through)?);
            }
            report.series(&time, "s");
            report.series(&processor, "s");
            all.push((time, processor));
        }
        report.ratio(&all[1].0, &all[0].0, None);
        report.ratio(&all[1].1, &all[0].1, None);
    }
    Ok(())
}

struct Scan<'a> {
    dpi: u32,
    format: &'a str,
    file: &'a Path,
    /// More arguments.
    more: &'a [&'a str],
}

impl Scan<'_> {
    fn command(&self, daemon: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usbscan"));
        command.args(daemon).args(["scan", "--mode", "color", "--area", "A4", "--format", self.format]);
        command.args(self.more).args(["-r", &self.dpi.to_string(), "-o"]).stdout(Stdio::null());
        command
    }

    fn seconds(&self, daemon: &[String]) -> Outcome<f64> {
        let began = Instant::now();
        let status = self.command(daemon).arg(self.file).status()?;
        let took = began.elapsed().as_secs_f64();
        if !status.success() {
            return Err(format!("usbscan: {status}").into());
        }
        Ok(took)
    }

    /// The most memory that usbscan ever had, in KiB.
    fn peak(&self, daemon: &[String]) -> Outcome<f64> {
        self.nearly_done(daemon, |scan| Ok(peak_of(scan)? as f64))
    }

    /// The processor time of usbscan, in seconds.
    fn processor(&self, daemon: &[String]) -> Outcome<f64> {
        self.nearly_done(daemon, |scan| Ok(processor_time_of(scan)?.as_secs_f64()))
    }

    /// Looks at usbscan while it waits with the last of its page.
    fn nearly_done(&self, daemon: &[String], look: impl FnOnce(u32) -> Outcome<f64>) -> Outcome<f64> {
        let length = fs::metadata(self.file)?.len();
        let mut scan = self.command(daemon).arg("-").stdout(Stdio::piped()).spawn()?;
        let mut page = scan.stdout.take().ok_or("it was asked for")?;
        io::copy(&mut page.by_ref().take(length.saturating_sub(HELD_BACK)), &mut io::sink())?;
        let seen = look(scan.id())?;
        io::copy(&mut page, &mut io::sink())?;
        scan.wait()?;
        Ok(seen)
    }
}

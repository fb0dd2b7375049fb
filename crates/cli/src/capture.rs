//! `usbscan capture`: records a scanner's USB traffic to a pcapng file, until a signal or until the scanner is unplugged.
//! The thread `capture` reads from the daemon and writes the file; the main thread waits for the signal.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{bounded, select};
use serde_json::json;
use usbscan_client::Session;
use usbscan_wire::{CaptureBody, Command, DeviceEntry, NameMatch, ReadCaptureBody, match_name};

use super::args::Capture;
use super::capture_report::ReportFilter;
use super::context::Context;
use super::device::select_device;
use super::failure::Failure;
use super::output::check_stdout;

/// A capture contains the scanned pages.
const MODE: u32 = 0o600;

/// Captures until a signal comes; that is no failure.
pub fn run(context: &Context<'_>, args: &Capture) -> Result<(), Failure> {
    let session = Arc::new(context.connect()?);
    let device = select_device(&session, &args.device)?;
    let to_stdout = args.output == Path::new("-");
    let filter = if args.for_report { Some(report_filter(context, &session, &device)?) } else { None };
    let mut file = CaptureFile { file: open(&args.output, to_stdout)?, filter, length: 0 };
    let started = session.call(Command::Capture { device }, Vec::new())?;
    let CaptureBody { device } =
        started.body().map_err(|source| usbscan_client::Error::BadAnswer { command: "capture", source })?;
    file.write_all(&started.payload).map_err(|error| written(error, &args.output))?;
    let (stop, stopped) = bounded::<()>(0);
    let signal_guard = context.interrupts.on_first(move |_| drop(stop));
    if !to_stdout {
        // A closed standard error is no reason to stop.
        let _ = writeln!(io::stderr(), "{device}: capturing to {}; stop with Ctrl-C", args.output.display());
    }
    let (done, finished) = bounded(1);
    let (reading, output) = (session.clone(), args.output.clone());
    let reader = thread::Builder::new().name("capture".to_owned()).spawn(move || {
        let dropped = read_all(&reading, &mut file, &output);
        let _ = done.send(dropped.map(|dropped| Written { bytes: file.length, dropped }));
    });
    let reader = reader.map_err(Failure::System)?;
    let outcome = select! {
        recv(finished) -> outcome => outcome,
        recv(stopped) -> _ => {
            session.call(Command::StopCapture {}, Vec::new())?;
            finished.recv()
        }
    };
    reader.join().expect("the capture thread does not panic");
    drop(signal_guard);
    let written = outcome.expect("it sends its outcome before it ends")?;
    if to_stdout {
        return Ok(());
    }
    let Written { bytes, dropped } = written;
    let file = args.output.display().to_string();
    context.print(&json!({ "device": device, "file": file, "bytes": bytes, "dropped": dropped }), |out| {
        let lost = if dropped == 0 { String::new() } else { format!("; {dropped} packets dropped") };
        writeln!(out, "{file}: {bytes} bytes{lost}")
    })
}

struct Written {
    bytes: u64,
    dropped: u64,
}

/// The output, with the filter of `--for-report`.
struct CaptureFile {
    file: Box<dyn Write + Send>,
    filter: Option<ReportFilter>,
    length: u64,
}

impl CaptureFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let filtered = self.filter.as_mut().map(|filter| filter.push(bytes));
        let bytes = filtered.as_deref().unwrap_or(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).and_then(|()| self.file.flush())
    }
}

/// With what `usbscan doctor --json` prints as the comment, and the serial numbers of all scanners, which it may contain.
fn report_filter(context: &Context<'_>, session: &Session, device: &str) -> Result<ReportFilter, Failure> {
    let devices = session.list()?;
    let find = |entry: &&DeviceEntry| match_name(device, &entry.name, &entry.stable_id) != NameMatch::No;
    let entry = devices.iter().find(find);
    let comment = json!({
        "usbscan": env!("CARGO_PKG_VERSION"),
        "device": entry,
        "doctor": context.doctor(),
    });
    let serials = devices.iter().filter_map(|entry| entry.serial.clone());
    Ok(ReportFilter::new(&comment.to_string(), serials))
}

fn open(path: &Path, to_stdout: bool) -> Result<Box<dyn Write + Send>, Failure> {
    if to_stdout {
        check_stdout()?;
        return Ok(Box::new(io::stdout()));
    }
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        // An existing file may be readable for others. Pipes and devices keep their mode.
        if file.metadata()?.is_file() {
            file.set_permissions(Permissions::from_mode(MODE))?;
        }
        Ok(file)
    };
    open().map(|file| Box::new(file) as Box<dyn Write + Send>).map_err(|error| written(error, path))
}

fn written(source: io::Error, path: &Path) -> Failure {
    Failure::File { path: path.to_owned(), source }
}

/// Returns the number of dropped packets.
fn read_all(session: &Session, file: &mut CaptureFile, path: &Path) -> Result<u64, Failure> {
    loop {
        let answer = session.call(Command::ReadCapture {}, Vec::new())?;
        let body = answer.body();
        let ReadCaptureBody { dropped, over } =
            body.map_err(|source| usbscan_client::Error::BadAnswer { command: "read-capture", source })?;
        file.write_all(&answer.payload).map_err(|error| written(error, path))?;
        if over {
            return Ok(dropped);
        }
    }
}

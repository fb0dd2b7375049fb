//! `usbscan capture`: what goes over a scanner's pipes, to a file that Wireshark opens, until a signal or the scanner's end.
//! A thread `capture` reads and writes; the main thread waits for the signal.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{bounded, select};
use serde_json::json;
use usbscan_client::Session;
use usbscan_wire::{CaptureBody, Command, ReadCaptureBody};

use super::args::Capture;
use super::context::Context;
use super::device::chosen;
use super::failure::Failure;
use super::output::check_stdout;

/// Nobody but the file's owner reads what was scanned.
const MODE: u32 = 0o600;

/// Captures until it is told to end; that is no failure.
pub fn run(context: &Context<'_>, wish: &Capture) -> Result<(), Failure> {
    let session = Arc::new(context.connect()?);
    let device = chosen(&session, &wish.device)?;
    let to_stdout = wish.output == Path::new("-");
    let mut file = open(&wish.output, to_stdout)?;
    let begun = session.call(Command::Capture { device }, Vec::new())?;
    let CaptureBody { device } =
        begun.body().map_err(|source| usbscan_client::Error::BadAnswer { command: "capture", source })?;
    file.write_all(&begun.payload).map_err(|error| written(error, &wish.output))?;
    let (stop, stopped) = bounded::<()>(0);
    let listening = context.interrupts.on_first(move |_| drop(stop));
    if !to_stdout {
        // Nobody may be there to read it.
        let _ = writeln!(io::stderr(), "{device}: captures to {}; Ctrl-C ends it", wish.output.display());
    }
    let (tell, ended) = bounded(1);
    let begun = begun.payload.len() as u64;
    let (reading, output) = (session.clone(), wish.output.clone());
    let reader = thread::Builder::new().name("capture".to_owned()).spawn(move || {
        // The main thread waits for it.
        let _ = tell.send(read_all(&reading, &mut file, &output));
    });
    let reader = reader.map_err(Failure::System)?;
    let outcome = select! {
        recv(ended) -> outcome => outcome,
        recv(stopped) -> _ => {
            session.call(Command::StopCapture {}, Vec::new())?;
            ended.recv()
        }
    };
    reader.join().expect("the thread that captures does not panic");
    drop(listening);
    let written = outcome.expect("it tells how it ended before it ends")?;
    if to_stdout {
        return Ok(());
    }
    let Written { bytes, dropped } = Written { bytes: begun + written.bytes, ..written };
    let file = wish.output.display().to_string();
    context.print(&json!({ "device": device, "file": file, "bytes": bytes, "dropped": dropped }), |out| {
        let lost = if dropped == 0 { String::new() } else { format!("; {dropped} records are missing") };
        writeln!(out, "{file}: {bytes} bytes{lost}")
    })
}

/// What came of it.
struct Written {
    bytes: u64,
    dropped: u64,
}

fn open(path: &Path, to_stdout: bool) -> Result<Box<dyn Write + Send>, Failure> {
    if to_stdout {
        check_stdout()?;
        return Ok(Box::new(io::stdout()));
    }
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        // It may have been there, for all to read. What is no file, such as a pipe, is as it is.
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

fn read_all(session: &Session, file: &mut dyn Write, path: &Path) -> Result<Written, Failure> {
    let mut bytes = 0;
    loop {
        let answer = session.call(Command::ReadCapture {}, Vec::new())?;
        let body = answer.body();
        let ReadCaptureBody { dropped, over } =
            body.map_err(|source| usbscan_client::Error::BadAnswer { command: "read-capture", source })?;
        file.write_all(&answer.payload).and_then(|()| file.flush()).map_err(|error| written(error, path))?;
        bytes += answer.payload.len() as u64;
        if over {
            return Ok(Written { bytes, dropped });
        }
    }
}

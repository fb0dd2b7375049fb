//! The process of a backend: started with a socket as its standard input, read by a thread, which also waits for its end.

use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use usbscan_sane_protocol::{MessageError, Reply};

use crate::BackendError;

/// Replies that wait: blocks of 64 KiB, which a sink takes its time with.
const WAITING: usize = 4;

/// A backend of SANE, and what it takes to run it.
#[derive(Debug, Clone)]
pub struct HostedBackend {
    /// `usbscan-sane-host`.
    pub(super) program: PathBuf,
    /// Our `libusb-1.0.so.0`.
    pub(super) libusb: PathBuf,
    /// Its name: `epson2`.
    pub(super) backend: String,
    /// The scanner, as the daemon names it.
    pub(super) device: String,
    /// Where the daemon listens.
    pub(super) socket: PathBuf,
}

/// What comes from the process.
#[derive(Debug)]
pub(super) enum Incoming {
    Reply(Reply),
    /// Nothing comes any more.
    Ended(io::Result<ExitStatus>),
    /// It sent what is no message, and nothing more is read.
    Nonsense(MessageError),
}

/// A process that runs. Dropped, it goes on until it has brought its scanner home.
#[derive(Debug)]
pub(super) struct Process {
    pub to_host: UnixStream,
    pub replies: Receiver<Incoming>,
}

impl HostedBackend {
    /// Starts the process.
    pub(super) fn start(&self) -> Result<Process, BackendError> {
        self.spawn().map_err(|source| BackendError::Start {
            backend: self.backend.clone(),
            program: self.program.clone(),
            source,
        })
    }

    fn spawn(&self) -> io::Result<Process> {
        let (ours, theirs) = UnixStream::pair()?;
        // A pipe of ours would stay open for as long as the process takes to bring its scanner home: whoever reads it would
        // wait for that. A backend whose messages are wanted is another matter.
        let debugs = std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("SANE_DEBUG"));
        let child = Command::new(&self.program)
            .args([self.libusb.as_os_str(), self.backend.as_ref(), self.device.as_ref()])
            .env("USBSCAN_SOCKET", &self.socket)
            // Where SANE keeps its backends, and not where somebody else does.
            .env_remove("LD_LIBRARY_PATH")
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(if debugs { Stdio::inherit() } else { Stdio::null() })
            .spawn()?;
        let reader = BufReader::new(ours.try_clone()?);
        let (queue, replies) = crossbeam_channel::bounded(WAITING);
        thread::Builder::new()
            .name(format!("host {}", self.backend))
            // It ends with the process, which may take its time for that.
            .spawn(move || read(reader, child, &queue))?;
        Ok(Process { to_host: ours, replies })
    }
}

/// Reads to the end of the process.
fn read(mut reader: BufReader<UnixStream>, mut child: Child, queue: &Sender<Incoming>) {
    let incoming = loop {
        match Reply::read_from(&mut reader) {
            // A program that has left does not listen: what the host still sends is thrown away.
            Ok(Some(reply)) => drop(queue.send(Incoming::Reply(reply))),
            Err(error @ (MessageError::Unknown(_) | MessageError::TooMany)) => break Some(Incoming::Nonsense(error)),
            Ok(None) | Err(MessageError::Frame(_)) => break None,
        }
    };
    let _ = reader.get_ref().shutdown(std::net::Shutdown::Both);
    if let Some(nonsense) = incoming {
        drop(queue.send(nonsense));
    }
    drop(queue.send(Incoming::Ended(child.wait())));
}

//! Why a call failed. Callers match the variant, or the status of a refusal; people read the text.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use usbscan_wire::{Answer, FrameError, Status};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing listens at the socket, or we may not connect.
    #[error("can't connect to {}: {}", path.display(), connect_hint(source))]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something listens, but it does not greet as usbscand does.
    #[error("what answers is not usbscand: {0}")]
    NotUsbscand(#[source] FrameError),
    /// It accepted the connection and then said nothing.
    #[error("usbscand accepted the connection and then said nothing for {} s", .0.as_secs())]
    NoHello(Duration),
    /// The daemon speaks another version of the protocol: one of the two is older.
    #[error(
        "{server} speaks protocol {theirs}, and this program speaks protocol {}: install both from the same release, and restart usbscand",
        usbscan_wire::PROTOCOL_VERSION
    )]
    Version {
        /// What it called itself.
        server: String,
        /// Its version.
        theirs: u32,
    },
    /// The connection ended before the answer came. What the request did is not known.
    #[error("the connection to usbscand ended during {command}: {why}")]
    Gone {
        /// What was asked.
        command: &'static str,
        /// How it ended.
        why: GoneWhy,
    },
    /// The daemon, or the scanner, did not do it.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The answer lacks what this command always gives back.
    #[error("usbscand's answer to {command} makes no sense: {source}")]
    BadAnswer {
        /// What was asked.
        command: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The request is one that no daemon takes; nothing was sent.
    #[error("{command}: a payload of {length} bytes is more than the {limit} that fit")]
    TooLong {
        /// What was to be asked.
        command: &'static str,
        /// Its payload.
        length: usize,
        /// Bytes that a payload may have.
        limit: usize,
    },
    /// Memory is shared once a session; nothing was sent.
    #[error("share-memory: this session shares memory with usbscand already")]
    SharesAlready,
    /// The daemon did not answer what it always answers at once.
    #[error("usbscand did not answer {command} within {} s", after.as_secs())]
    Silent {
        /// What was asked.
        command: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The answer to `share-memory` came without the memory.
    #[error("usbscand said that it shares memory, and sent none")]
    NoMemory,
    /// What came is shorter than asked for, or could be cut shorter under us, or the system does not map it.
    #[error("the memory that usbscand shares can't be used: {0}")]
    Memory(#[source] io::Error),
    /// The system gave us no thread or no second descriptor of the socket.
    #[error("begin a session with usbscand: {0}")]
    System(#[source] io::Error),
}

fn connect_hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such socket: usbscand is not running (try `usbscan doctor`)".to_owned(),
        io::ErrorKind::ConnectionRefused => {
            "connection refused: usbscand is not running (try `usbscan doctor`)".to_owned()
        }
        io::ErrorKind::PermissionDenied => "permission denied. Only root and group \"scanner\" may scan: \
             sudo usermod --append --groups scanner USER, then log in again"
            .to_owned(),
        _ => error.to_string(),
    }
}

impl Error {
    /// How the daemon ended the request, where it did.
    pub fn status(&self) -> Option<Status> {
        match self {
            Error::Refused(refusal) => Some(refusal.answer.status),
            Error::TooLong { .. } => Some(Status::InvalidParameter),
            _ => None,
        }
    }

    /// The answer that is not `success`, with the bytes it may carry (`timeout`, return_partial).
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Error::Refused(refusal) => Some(&refusal.answer),
            _ => None,
        }
    }

    pub(crate) fn unless_success(command: &'static str, answer: Answer) -> Result<Answer, Error> {
        match answer.status {
            Status::Success => Ok(answer),
            _ => Err(Error::Refused(Box::new(Refusal { command, answer }))),
        }
    }
}

/// An answer that is not `success`.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What was asked.
    pub command: &'static str,
    /// What came back.
    pub answer: Answer,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer.message {
            Some(message) => f.write_str(message),
            None => write!(f, "{}: {}", self.command, self.answer.status),
        }
    }
}

impl std::error::Error for Refusal {}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GoneWhy {
    /// The daemon ended it, or died.
    #[error("usbscand closed it; it was stopped, or it died")]
    Closed,
    /// This side ended it: the [`crate::Session`] was dropped.
    #[error("this program closed it")]
    Dropped,
    /// It sent what can't be understood, or the socket failed.
    #[error("{0}")]
    Broken(String),
}

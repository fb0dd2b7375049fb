//! What the daemon says unasked.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::{AbortReport, DeviceEntry, Peer};
use crate::frame::write_frame;

/// The events that `subscribe` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventName {
    /// A scanner is there.
    Arrival,
    /// A scanner is gone.
    Removal,
    /// A client cancelled everything on a scanner: `WIA_EVENT_CANCEL_IO`.
    CancelIo,
    /// A scanner is idle again after that, or could not be made so.
    Idle,
    /// A scanner does not answer, and no recovery has helped.
    Unresponsive,
}

/// What a connection may use, from the daemon's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Longest header line from a client, in bytes.
    pub header: u32,
    /// Longest payload, in bytes.
    pub payload: u32,
    /// Requests outstanding on one connection.
    pub requests: u32,
    /// Bytes of buffers outstanding on one connection.
    pub bytes: u64,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// The first line of every connection.
    Hello {
        /// Program and version.
        server: String,
        /// [`crate::PROTOCOL_VERSION`].
        protocol: u32,
        /// This connection's number, by which `status` and the cancel commands know it.
        session: u64,
        /// What it may use.
        limits: Limits,
    },
    /// A scanner is there.
    Arrival {
        /// The scanner, as in `list`.
        device: Box<DeviceEntry>,
    },
    /// A scanner is gone.
    Removal {
        /// Its name until now.
        name: String,
        /// Its stable id.
        stable_id: String,
    },
    /// A client cancelled everything on a scanner. Sent to those who subscribed and to every session that had it open.
    CancelIo {
        /// The scanner's name.
        name: String,
        /// Who cancelled.
        by: Peer,
    },
    /// The end of that.
    Idle {
        /// The scanner's name.
        name: String,
        /// How it was brought to idle.
        abort: AbortReport,
    },
    /// A scanner does not answer, and no recovery has helped. Sent to those who subscribed and to every session that has it open.
    Unresponsive {
        /// The scanner's name.
        name: String,
        /// A sentence for a person: what to do.
        message: String,
    },
}

impl Event {
    /// Which of [`EventName`] this is; `None` for `hello`, which nobody subscribes to.
    pub fn name(&self) -> Option<EventName> {
        match self {
            Event::Hello { .. } => None,
            Event::Arrival { .. } => Some(EventName::Arrival),
            Event::Removal { .. } => Some(EventName::Removal),
            Event::CancelIo { .. } => Some(EventName::CancelIo),
            Event::Idle { .. } => Some(EventName::Idle),
            Event::Unresponsive { .. } => Some(EventName::Unresponsive),
        }
    }

    /// Writes the line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        match serde_json::to_value(self)? {
            Value::Object(header) => write_frame(out, header, &[]),
            other => unreachable!("an internally tagged enum is an object, not {other}"),
        }
    }
}

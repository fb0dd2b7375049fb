//! The socket protocol of usbscand as values: what may be said, and how it looks as bytes.
//!
//! A message is one JSON object on one line, then exactly `payload` bytes if the object says so:
//!
//! ```text
//! ← {"event":"hello","server":"usbscand 0.1.0","protocol":2,"limits":{…}}
//! → {"id":1,"command":"open","device":"usbscan0"}
//! ← {"id":1,"status":"success","information":0,"pipes":[…]}
//! → {"id":2,"command":"write","payload":2}LF + 2 bytes
//! ← {"id":2,"status":"success","information":2}
//! ```
//!
//! A client names each request with an `id` of its own choice and may have any number outstanding;
//! each gets exactly one answer, in the order they complete. No thread, no socket, no clock is in
//! this crate.
//!
//! ```
//! use usbscan_wire::{Command, Request};
//!
//! let request = Request { id: 7, command: Command::Read { endpoint: None, offset: None, length: 65536, return_partial: false, timeout: None }, payload: vec![] };
//! let mut bytes = Vec::new();
//! request.write_to(&mut bytes).unwrap();
//! assert_eq!(bytes, b"{\"id\":7,\"command\":\"read\",\"length\":65536}\n");
//!
//! let frame = usbscan_wire::read_frame(&mut &bytes[..], usbscan_wire::CLIENT_HEADER_LIMIT).unwrap().unwrap();
//! assert_eq!(Request::from_frame(frame).unwrap(), request);
//! ```
#![warn(missing_docs)]

mod answer;
mod body;
mod command;
mod device_name;
mod escl;
mod event;
mod frame;
mod from_daemon;
mod hex;
mod http_framing;
mod refusal;
mod request;
mod socket;
mod status;
mod text;
mod unique;

/// What payloads are.
pub use bytes::Bytes;
/// What headers are made of.
pub use serde_json::{Map, Value};

pub use answer::Answer;
pub use body::{
    AbortReport, CaptureBody, ChannelSizesBody, DescriptorBody, DeviceDescriptorBody, DeviceEntry, DeviceStatus,
    DriverEntry, LastCancel, ListBody, OpenBody, Peer, PendingRequest, PipeConfigurationBody, PipeDescription,
    PipeState, ReadCaptureBody, Recovery, SessionEntry, StatusBody, VersionBody,
};
pub use command::{AbortStep, Command, ControlDirection, Faults, Pipe, RequestKind, RequestRecipient};
pub use device_name::{NameMatch, match_name};
pub use escl::{EsclQuirks, HttpConnection, MODEL_LIMIT};
pub use event::{Event, EventName, Limits};
pub use frame::{Frame, FrameError, read_frame, write_frame};
pub use from_daemon::FromDaemon;
pub use hex::HexBytes;
pub use http_framing::HttpFraming;
pub use request::{Request, RequestError};
pub use socket::{receive_frame, receive_frame_into};
pub use status::Status;
pub use text::printable;

/// The version of the protocol that `hello` states. It grows when a client written before would
/// misunderstand the daemon; new commands and new fields don't change it.
pub const PROTOCOL_VERSION: u32 = 2;

/// Longest header line from a client, its LF included, in bytes: every command fits many times over.
pub const CLIENT_HEADER_LIMIT: usize = 4096;

/// Longest header line from the daemon, its LF included, in bytes: room for lists of devices and requests.
pub const DAEMON_HEADER_LIMIT: usize = 65536;

/// Longest payload in either direction, in bytes; larger reads and writes are several requests.
pub const PAYLOAD_LIMIT: usize = 1 << 20;

/// The most memory that a connection may share with the daemon, in bytes: eight of the longest payloads.
pub const SHARED_LIMIT: usize = 8 << 20;

/// What either end asks the system to let it have on its way to the other, in bytes (Linux counts its own overhead in, and
/// doubles what it is asked for): room for a payload of 256 KiB and more, so that who sends one need not wait half-way.
pub const SOCKET_BUFFER: usize = 512 * 1024;

/// Most steps of an abort sequence.
pub const ABORT_STEPS_LIMIT: usize = 16;

/// Bytes of a note, see [`Command::SetNote`].
pub const NOTE_LIMIT: usize = 1024;

/// The longest settle time of a phase of a job, in milliseconds.
pub const MAX_SETTLE_MS: u32 = 30_000;

/// The default of `set-timeout`, in seconds, as on Windows.
pub const DEFAULT_TIMEOUT_SECONDS: u32 = 120;

/// The longest timeout, in seconds, as on Windows.
pub const MAX_TIMEOUT_SECONDS: u32 = 214;

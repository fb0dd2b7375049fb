//! Why a request did not succeed: what was tried, on what, and why; and the one place where that becomes a protocol status.

use std::sync::Arc;
use std::time::Duration;

use usbscan_usb::{EndpointAddress, ErrorKind, InterfaceNumber};
use usbscan_wire::{ABORT_STEPS_LIMIT, MAX_TIMEOUT_SECONDS, Peer, Pipe, Status};

use crate::outcome::Fault;

/// A user id for people: "unknown" where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserId(pub Option<u32>);

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(uid) => write!(f, "{uid}"),
            None => f.write_str("unknown"),
        }
    }
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Limit {
    #[error("this connection has {0} requests outstanding, and may not have more")]
    Requests(u32),
    #[error("this connection's outstanding requests may hold {0} bytes together")]
    Bytes(u64),
    /// Of all of them.
    #[error("all connections together have {0} requests outstanding, and may not have more")]
    AllRequests(u32),
    #[error("all outstanding requests may hold {0} bytes together")]
    AllBytes(u64),
    #[error("{0} captures are under way, and there may not be more")]
    Captures(usize),
    #[error("{0} connections are open, and there may not be more")]
    Connections(usize),
    #[error("user {uid} has {connections} connections open, and may not have more")]
    UserConnections { uid: UserId, connections: usize },
    #[error("this user's connections may have no more requests outstanding together")]
    UserRequests,
    #[error("this user's connections may hold no more bytes together")]
    UserBytes,
    #[error("{0} captures of this user are under way, and others have a right to the rest")]
    UserCaptures(usize),
}

/// What happened to a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("{}", fault_words(*.0))]
    Fault(Fault),
    #[error("the pipe is halted by an earlier fault until reset-pipe")]
    Halted,
    #[error("timed out after {:.3} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the scanner is gone")]
    Gone,
    #[error("the host controller did not return a cancelled transfer; unplug the scanner or restart the machine")]
    HostStuck,
}

/// What keeps a session from the lock, or from the pipes while another waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InUse {
    #[error("{0} requests are pending")]
    Pending(usize),
    #[error("a job is armed")]
    Armed,
    #[error("it waits for the lock")]
    Awaited,
    #[error("it has used the scanner a moment ago")]
    Lately,
    #[error("it has the lock")]
    Holds,
    #[error("it has claimed interfaces")]
    Claims,
    #[error("its cancel is under way")]
    Cancels,
}

fn fault_words(fault: Fault) -> &'static str {
    match fault {
        Fault::Stall => "the scanner answered with a stall",
        Fault::Overrun => "the scanner sent more than was asked for",
        Fault::Io => "the bus failed",
        Fault::NoResources => "no memory for the transfer (see usbfs_memory_mb)",
        Fault::Refused => "the system refuses the transfer",
    }
}

/// Why an open, a claim or the like failed, and of which scanner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the job was cancelled by another client; send disarm-abort to continue")]
    JobCancelled,
    /// Somebody's cancel of everything, or reset, has ended the session's lock.
    #[error("the lock was taken away by another client's cancel; send lock to continue")]
    LockCancelled,
    #[error("{command} of {length} bytes, endpoint {endpoint} of {device}: {mishap}")]
    Transfer {
        /// `read`, …
        command: &'static str,
        /// Bytes that were asked for.
        length: u64,
        endpoint: EndpointAddress,
        device: Arc<str>,
        mishap: TransferError,
    },
    #[error(transparent)]
    Usb(#[from] usbscan_usb::Error),
    /// No scanner was opened.
    #[error("{command} needs an open scanner")]
    NotOpen { command: &'static str },
    /// Of the shared memory.
    #[error("this connection shares no memory with usbscand; see share-memory")]
    NotShared,
    #[error("this connection shares memory with usbscand already")]
    AlreadyShared,
    #[error("make {length} bytes of memory to share: {error}")]
    NoMemory {
        /// How much was wanted.
        length: u32,
        /// What the system says.
        error: std::io::Error,
    },
    #[error("this connection has {device} open; close it first")]
    AlreadyOpen { device: Arc<str> },
    /// There is none of that name.
    #[error("there is no scanner {asked:?}; there are: {present}")]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The names of those there are, or `none`.
        present: String,
    },
    #[error("{asked:?} may mean {matches}")]
    Ambiguous {
        /// What was asked for.
        asked: String,
        matches: String,
    },
    #[error("{device} is gone")]
    Gone { device: Arc<str> },
    /// Its host controller does not answer.
    #[error("{device}: {}", TransferError::HostStuck)]
    HostStuck { device: Arc<str> },
    /// It does not answer, and no recovery has helped.
    #[error("{device}: the scanner does not respond, and recovery has failed; switch it off and on")]
    Unresponsive { device: Arc<str> },
    /// It was released since this session opened it.
    #[error("{device} was released because it did not respond; close it and open it again")]
    Released { device: Arc<str> },
    /// A reset would take an interface from others.
    #[error("reset {device}: other interfaces of it are in use by {others}")]
    OthersHold {
        device: Arc<str>,
        /// Their sessions.
        others: String,
    },
    /// The bus did not reset it.
    #[error("reset {device}: {why}")]
    NotReset { device: Arc<str>, why: String },
    /// A control request is in the way of a reset.
    #[error("a control request of {device} is pending, and no halt can be cleared before its end; cancel it first")]
    ControlPending { device: Arc<str> },
    /// Another session has the lock.
    #[error("{device} is locked by {} ({}, session {}) for {} s", named(.holder), .holder.numbers(), .holder.session, .age.as_secs())]
    Locked { device: Arc<str>, holder: Peer, age: Duration },
    /// A connection beyond the limits of connections.
    #[error("{command} is not possible on this connection, which is for looking and cancelling only: {limit}")]
    Reserve { command: &'static str, limit: Limit },
    /// The lock is not to be had, or is waited for.
    #[error("{device} is in use by {} ({}, session {}): {why}", named(.by), .by.numbers(), .by.session)]
    InUse { device: Arc<str>, by: Peer, why: InUse },
    /// See `cancel` in the configuration.
    #[error(
        "{device} is in use by {} ({}, session {}): {why}; only that user and root may cancel it here",
        named(.by), .by.numbers(), .by.session
    )]
    OtherUsersJob { device: Arc<str>, by: Peer, why: InUse },
    #[error(
        "session {} is of another user ({}, {}): only that user and root may cancel its requests here",
        .of.session, named(.of), .of.numbers()
    )]
    OtherUsersSession { of: Peer },
    #[error("{device}: this session is giving its lock back")]
    Unlocking { device: Arc<str> },
    #[error("a job is armed on {device}; send disarm-abort before unlock")]
    JobArmed { device: Arc<str> },
    /// The lock is not this session's to give back.
    #[error("this session does not hold the lock of {device}")]
    NotLocked { device: Arc<str> },
    /// It has no such pipe.
    #[error("{device} has no {pipe} pipe here")]
    NoPipe { device: Arc<str>, pipe: Pipe },
    /// A command that this pipe does not have.
    #[error("\"pipe\": the {pipe} pipe can't be reset")]
    NotResettable { pipe: Pipe },
    /// An endpoint index that is none, or of another type.
    #[error("\"{pipe}\": interface {interface} of {device} has no such endpoint with index {index}")]
    BadIndex {
        device: Arc<str>,
        /// Which pipe was to be it.
        pipe: Pipe,
        interface: InterfaceNumber,
        /// Which was asked for.
        index: u8,
    },
    /// An interface that is none of a scanner.
    #[error("\"interface\": {device} has no interface {interface}")]
    BadInterface {
        device: Arc<str>,
        /// Which was asked for.
        interface: u8,
    },
    #[error("\"alternate\": interface {interface} of {device} has no alternate setting {alternate}")]
    BadAlternate { device: Arc<str>, interface: u8, alternate: u8 },
    /// An interface that this session has not.
    #[error("\"index\": this session has not claimed interface {interface}")]
    ForeignInterface { interface: u8 },
    #[error("\"index\" must be an endpoint of an interface that this session has; it has not endpoint {endpoint}")]
    ForeignEndpoint { endpoint: EndpointAddress },
    #[error("\"interface\": this session has not claimed interface {interface} of {device}")]
    NotClaimed { device: Arc<str>, interface: u8 },
    /// No interface of this session's has it, in the setting that it is in.
    #[error("\"endpoint\": no interface that this session has claimed of {device} has endpoint {endpoint} for that")]
    NoEndpoint { device: Arc<str>, endpoint: EndpointAddress },
    #[error("interface {interface} of {device} is used by {} ({}, session {})", named(.holder), .holder.numbers(), .holder.session)]
    InterfaceInUse { device: Arc<str>, interface: u8, holder: Peer },
    #[error("interface {interface} of {device} has requests pending; cancel them first")]
    InterfaceBusy { device: Arc<str>, interface: u8 },
    /// A number out of its range.
    #[error("\"{field}\" must be {expected}")]
    BadValue {
        /// The member of the header.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// A timeout out of range.
    #[error("\"{field}\" must be from 0 to {MAX_TIMEOUT_SECONDS} seconds")]
    BadTimeout {
        /// The member of the header.
        field: &'static str,
    },
    /// A standard request that must go through the host.
    #[error("this standard request is reserved for the host; use the command for it")]
    ReservedForHost,
    #[error("an abort sequence has at most {ABORT_STEPS_LIMIT} steps")]
    TooManySteps,
    /// A step that makes no sense.
    #[error("\"steps\": step {number}: {problem}")]
    BadStep {
        /// Counted from 1.
        number: usize,
        problem: &'static str,
    },
    /// The id is in use.
    #[error("request {id} is still outstanding; choose another id")]
    IdInUse { id: u64 },
    #[error("session {session} has no outstanding request {request} that can be cancelled")]
    NoSuchRequest { session: u64, request: u64 },
    #[error("there is no session {session}")]
    NoSuchSession { session: u64 },
    /// One at a time.
    #[error("this connection captures already, or its last capture was not read to its end")]
    OwnCapture,
    #[error("this connection captures nothing")]
    NotCapturing,
    /// One at a time.
    #[error("another read-capture waits already")]
    CaptureIsRead,
    #[error("{0}")]
    BadCommand(usbscan_wire::RequestError),
    #[error("{0}")]
    BadFrame(usbscan_wire::FrameError),
    #[error(transparent)]
    Limit(#[from] Limit),
    /// The end is near.
    #[error("the daemon is shutting down")]
    Ending,
}

impl Failure {
    /// Its status in the protocol. Nowhere else is this decided.
    pub fn status(&self) -> Status {
        match self {
            Failure::Transfer { mishap, .. } => match mishap {
                TransferError::Fault(Fault::Stall) | TransferError::Halted => Status::Stall,
                TransferError::Fault(Fault::Overrun) => Status::Overrun,
                TransferError::Fault(Fault::Io) | TransferError::HostStuck => Status::IoError,
                TransferError::Fault(Fault::NoResources) => Status::InsufficientResources,
                TransferError::Fault(Fault::Refused) => Status::InvalidParameter,
                TransferError::Timeout(_) => Status::Timeout,
                TransferError::Gone => Status::NoDevice,
            },
            Failure::Usb(error) => match error.kind {
                ErrorKind::NoDevice => Status::NoDevice,
                ErrorKind::Busy(_) => Status::Busy,
                ErrorKind::AccessDenied => Status::AccessDenied,
                ErrorKind::NotFound | ErrorKind::NotSupported => Status::NotSupported,
                ErrorKind::Stall => Status::Stall,
                ErrorKind::InvalidParameter => Status::InvalidParameter,
                ErrorKind::NoResources => Status::InsufficientResources,
                _ => Status::IoError,
            },
            Failure::Unknown { .. } | Failure::Gone { .. } => Status::NoDevice,
            Failure::JobCancelled | Failure::LockCancelled => Status::Cancelled,
            Failure::HostStuck { .. } | Failure::Unresponsive { .. } | Failure::Released { .. } => Status::IoError,
            Failure::OthersHold { .. } | Failure::NotReset { .. } => Status::Busy,
            Failure::OtherUsersJob { .. } | Failure::OtherUsersSession { .. } => Status::AccessDenied,
            Failure::Locked { .. }
            | Failure::InterfaceInUse { .. }
            | Failure::InterfaceBusy { .. }
            | Failure::InUse { .. }
            | Failure::Unlocking { .. }
            | Failure::ControlPending { .. }
            | Failure::CaptureIsRead => Status::Busy,
            Failure::NotOpen { .. }
            | Failure::NotLocked { .. }
            | Failure::NotShared
            | Failure::NotCapturing
            | Failure::NoSuchRequest { .. }
            | Failure::NoEndpoint { .. }
            | Failure::NotClaimed { .. }
            | Failure::NoSuchSession { .. } => Status::NotFound,
            Failure::NoPipe { .. } | Failure::NotResettable { .. } => Status::NotSupported,
            Failure::Limit(_) | Failure::Reserve { .. } | Failure::NoMemory { .. } => Status::InsufficientResources,
            Failure::Ending => Status::NoDevice,
            Failure::Ambiguous { .. }
            | Failure::AlreadyOpen { .. }
            | Failure::AlreadyShared
            | Failure::OwnCapture
            | Failure::BadIndex { .. }
            | Failure::BadInterface { .. }
            | Failure::BadAlternate { .. }
            | Failure::ForeignInterface { .. }
            | Failure::ForeignEndpoint { .. }
            | Failure::BadValue { .. }
            | Failure::BadTimeout { .. }
            | Failure::ReservedForHost
            | Failure::TooManySteps
            | Failure::BadStep { .. }
            | Failure::JobArmed { .. }
            | Failure::IdInUse { .. }
            | Failure::BadCommand(_)
            | Failure::BadFrame(_) => Status::InvalidParameter,
        }
    }
}

/// A peer's program, or what stands for it where it can't be read.
fn named(peer: &Peer) -> &str {
    if peer.program.is_empty() { "a program" } else { &peer.program }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_transfer_says_what_was_tried_on_what_and_why() {
        let failure = Failure::Transfer {
            command: "read",
            length: 512,
            endpoint: EndpointAddress(0x81),
            device: "usbscan0".into(),
            mishap: TransferError::Timeout(Duration::from_millis(1500)),
        };
        assert_eq!(failure.to_string(), "read of 512 bytes, endpoint 81 of usbscan0: timed out after 1.500 s");
    }

    #[test]
    fn a_locked_scanner_says_who_has_it() {
        let holder = Peer { session: 3, pid: Some(42), uid: Some(1000), program: "scanimage".to_owned() };
        let failure = Failure::Locked { device: "usbscan0".into(), holder, age: Duration::from_secs(7) };
        let words = "usbscan0 is locked by scanimage (pid 42, uid 1000, session 3) for 7 s";
        assert_eq!(failure.to_string(), words);
    }
}

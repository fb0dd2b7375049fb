//! Messages to a scanner's supervisor. They are sent through the scanner's handle.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use usbscan_usb::{Device, InterfaceNumber};
use usbscan_wire::{Faults, Peer};

use crate::failure::Failure;
use crate::pipe::cancellation::{CancelCount, Cancellation};
use crate::pipe::orders::{PipeEvent, PipeHandle};
use crate::reply::responder::Responder;
use crate::session::binding::Binding;
use crate::session::handle::Session;

/// What a session wants of a scanner.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OpenOptions {
    /// Endpoint index for events.
    pub event: Option<u8>,
    pub read: Option<u8>,
    pub write: Option<u8>,
    pub interface: Option<u8>,
    pub faults: Faults,
}

/// How a session leaves a scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    Closed,
    /// Its connection ended without.
    Died,
}

/// What the end of a session has cancelled of its job.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CutShort {
    /// Requests, but for those that waited for events.
    pub requests: u64,
    /// For how long nothing had moved, while the oldest of them waited.
    pub silent_for: Duration,
}

/// What the supervisor is told.
pub(crate) enum Message {
    /// A session opens the scanner.
    Attach {
        session: Arc<Session>,
        options: OpenOptions,
        /// Nothing is ever sent: closed, nobody wants it any more.
        cancelled: Receiver<()>,
        done: Sender<Result<Arc<Binding>, Failure>>,
    },
    /// A session leaves: its requests end, its job is aborted, its lock is free.
    Detach {
        session: Arc<Session>,
        reason: CloseReason,
        /// What its end has cancelled.
        cut_short: CutShort,
        done: Sender<()>,
    },
    /// A session wants an interface, or another setting of one that it has.
    Claim {
        session: Arc<Session>,
        interface: InterfaceNumber,
        /// Without it, the setting that the interface is in.
        alternate: Option<u8>,
        done: Sender<Result<(), Failure>>,
    },
    /// A session gives an interface back. It has nothing pending there.
    Release {
        session: Arc<Session>,
        interface: InterfaceNumber,
        done: Sender<Result<(), Failure>>,
    },
    /// Everything is cancelled and the scanner brought back to idle.
    CancelPending(PendingCancel),
    /// Pipes are cancelled and their halts cleared.
    ResetPipes {
        pipes: Vec<PipeHandle>,
        /// Holds the cancelled requests.
        by: Arc<Cancellation>,
        responder: Responder,
    },
    /// The port is reset.
    ResetDevice(PendingCancel),
    /// A session waits for the lock, and a request has ended that was in the way; or nobody has it any more.
    GrantLock,
    /// A port reset that was given up has returned.
    ResetReturned(Box<dyn Device>),
    /// A pipe has something to tell.
    PipeEvent(PipeEvent),
    /// Its rights came, some time after itself.
    Accessible,
    Removed,
    Stop,
}

/// A cancel of everything, on its way to the supervisor.
#[derive(Debug)]
pub(crate) struct PendingCancel {
    pub peer: Peer,
    /// Held by the requests that it cancels.
    pub by: Arc<Cancellation>,
    /// Told when those have ended.
    pub sum: Receiver<CancelCount>,
    /// For how long the scanner had been silent in the job that it cancels.
    pub silent_for: Duration,
    pub responder: Responder,
}

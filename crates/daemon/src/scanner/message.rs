//! What a scanner's supervisor is told. Values; whoever sends one has the scanner's handle.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use usbscan_wire::Peer;

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
}

/// How a session leaves a scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    Closed,
    /// Its connection ended without.
    Died,
}

/// What the supervisor is told.
#[derive(Debug)]
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
        /// Requests of its job that its end has cancelled.
        cut_short: u64,
        done: Sender<()>,
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
    /// Somebody waits for the lock, and a request has ended that was in the way.
    GrantLock,
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
    pub responder: Responder,
}

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
    /// For reads.
    pub read: Option<u8>,
    /// For writes.
    pub write: Option<u8>,
    /// Interface.
    pub interface: Option<u8>,
}

/// How a session leaves a scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// It said `close`.
    Closed,
    /// Its connection ended without.
    Died,
}

/// What the supervisor is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A session opens the scanner.
    Attach {
        /// Who.
        session: Arc<Session>,
        /// What it wants.
        options: OpenOptions,
        /// Told once.
        done: Sender<Result<Arc<Binding>, Failure>>,
    },
    /// A session leaves: its requests end, its job is aborted, its lock is free.
    Detach {
        /// Who.
        session: Arc<Session>,
        /// How.
        reason: CloseReason,
        /// Requests of its job that its end has cancelled.
        cut_short: u64,
        /// Told once.
        done: Sender<()>,
    },
    /// Everything is cancelled and the scanner brought back to idle.
    CancelPending(PendingCancel),
    /// Pipes are cancelled and their halts cleared.
    ResetPipes {
        /// CancelTarget.
        pipes: Vec<PipeHandle>,
        /// Holds the cancelled requests.
        by: Arc<Cancellation>,
        /// Who waits.
        responder: Responder,
    },
    /// The port is reset.
    ResetDevice(PendingCancel),
    /// A pipe has something to tell.
    PipeEvent(PipeEvent),
    /// Its rights came, some time after itself.
    Accessible,
    /// It was unplugged.
    Removed,
    /// The daemon ends.
    Stop,
}

/// A cancel of everything, on its way to the supervisor.
#[derive(Debug)]
pub(crate) struct PendingCancel {
    /// Who did it.
    pub peer: Peer,
    /// Held by the requests that it cancels.
    pub by: Arc<Cancellation>,
    /// Told when those have ended.
    pub sum: Receiver<CancelCount>,
    /// Who waits.
    pub responder: Responder,
}

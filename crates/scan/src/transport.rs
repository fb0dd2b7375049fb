//! What a driver needs of the world: bytes out, bytes in, and a way to be stopped.

use std::time::Duration;

use bytes::Bytes;
use usbscan_client::wire::{AbortStep, EsclQuirks, Pipe, RequestKind, RequestRecipient};

use crate::{Cancel, Cancelled};

/// `bInterfaceClass`, `bInterfaceSubClass`, `bInterfaceProtocol`.
pub type ClassTriple = (u8, u8, u8);

/// A scanner's pipes. One thread uses it; [`Cancel`] reaches it from others.
///
/// While a cancel is asked and not heeded, nothing is started: reads come back [`ReadEnd::Cancelled`], everything
/// else ends in [`TransportError::Cancelled`].
pub trait Transport: Send {
    /// Writes all of `bytes` to the bulk-out pipe, as one transfer.
    ///
    /// # Errors
    /// [`TransportError::Timeout`] when the scanner did not take all of it in time.
    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), TransportError>;

    /// Starts a read of `length` bytes from the bulk-in pipe; the timeout begins now. At most one is under way.
    ///
    /// Ask for exactly what the protocol says comes next: a length that is too long waits for bytes that
    /// never come when the item is a multiple of the packet size. Any length may be asked for.
    ///
    /// # Errors
    /// See [`TransportError`]; nothing is under way then.
    fn start_read(&mut self, length: usize, timeout: Duration) -> Result<(), TransportError>;

    /// Waits for the read that was started. Its bytes are handed over however it ended.
    ///
    /// # Errors
    /// See [`TransportError`]; a timeout and a cancel are none.
    fn finish_read(&mut self) -> Result<Received, TransportError>;

    /// Asks for the read that was started to be ended now; `finish_read` then comes back soon.
    fn cancel_read(&mut self);

    /// Reads up to `length` bytes: `start_read` and `finish_read`.
    ///
    /// # Errors
    /// Those of the two.
    fn read(&mut self, length: usize, timeout: Duration) -> Result<Received, TransportError> {
        self.start_read(length, timeout)?;
        self.finish_read()
    }

    /// A control request; the data of an IN request.
    ///
    /// # Errors
    /// [`TransportError::Stall`] when the scanner refuses it.
    fn control(&mut self, request: &ControlRequest, timeout: Duration) -> Result<Bytes, TransportError>;

    /// One interrupt packet.
    ///
    /// # Errors
    /// [`TransportError::Timeout`], [`TransportError::NotSupported`] without such an endpoint.
    fn wait_event(&mut self, timeout: Duration) -> Result<Bytes, TransportError>;

    /// Clears the halt of a pipe, and throws away what was left over from its last read.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), TransportError>;

    /// Asks whoever owns the scanner's port to bring it back to idle, by the abort sequence that is armed and, where that
    /// does not help, a port reset: for a driver that can't get in sync by itself. Comes back when that is over, however
    /// it ended; the sequence is armed anew then, for the job is not over.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn recover(&mut self) -> Result<(), TransportError>;

    /// Leaves the steps that bring the scanner back to idle, should we die; replaces those left before. `settle` is for how
    /// long the scanner may be silent in this phase of the job before that counts as a fault, 30 s at most; without one it is
    /// what the daemon takes for all scanners, or for this model.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn arm_abort(&mut self, steps: Vec<AbortStep>, settle: Option<Duration>) -> Result<(), TransportError>;

    /// What a driver before this one has left for whoever opens the scanner next.
    fn note(&self) -> Option<&str> {
        None
    }

    /// Leaves such a note, at most [`usbscan_client::wire::NOTE_LIMIT`] bytes; it outlives this program. Empty: none.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn set_note(&mut self, _note: &str) -> Result<(), TransportError> {
        Ok(())
    }

    /// What this model of an eSCL scanner does differently, where somebody knows: by its USB strings, and by the name that it
    /// says itself, at most [`usbscan_client::wire::MODEL_LIMIT`] bytes.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn escl_quirks(&mut self, _model: Option<&str>) -> Result<EsclQuirks, TransportError> {
        Ok(EsclQuirks::default())
    }

    /// Takes them back: the job is over. Also after a cancel.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn disarm_abort(&mut self) -> Result<(), TransportError>;

    /// Somebody else cancelled the job, and the scanner is being brought back to idle for them. Comes back when that is over,
    /// or at the end of [`crate::CLEAN_UP`]; nothing is armed then. The driver puts nothing more on the wire.
    ///
    /// # Errors
    /// See [`TransportError`]; [`TransportError::HungUp`] when it is not over yet.
    fn await_recovery(&mut self) -> Result<(), TransportError>;

    /// Bytes of the bulk-in pipe's packets, or a divisor of that. A read of a multiple of them leaves nothing for the next read.
    fn packet_bytes(&self) -> usize {
        64
    }

    /// The number of the interface that the pipes belong to, for requests of its class.
    fn interface(&self) -> u8 {
        0
    }

    /// What abort steps call the pipe that is read from; `None`: the bound one, which needs no name.
    fn read_endpoint(&self) -> Option<u8> {
        None
    }

    /// Likewise that which is written to.
    fn write_endpoint(&self) -> Option<u8> {
        None
    }

    /// The pipes of another interface of one of these classes, to be used beside these; `None` where there is no other, or
    /// somebody else has it. It is given back when the scanner is closed. One cancel ends what is under way on either; abort
    /// sequences are armed and disarmed on this one only.
    ///
    /// # Errors
    /// See [`TransportError`].
    fn second_interface(&mut self, _classes: &[ClassTriple]) -> Result<Option<Box<dyn Transport>>, TransportError> {
        Ok(None)
    }

    /// The handle that cancels what is done here.
    fn cancel_handle(&self) -> Cancel;
}

/// What a read brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The bytes, where they came to: in shared memory, or in memory that is used again when they are dropped.
    pub bytes: Bytes,
    /// Why there are no more.
    pub end: ReadEnd,
}

/// How a read ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadEnd {
    /// All bytes are there, or the scanner ended it with a short packet.
    Done,
    /// Its time was up.
    TimedOut,
    /// It was cancelled. The bytes that had come by then are handed over all the same.
    Cancelled,
}

/// A control request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlRequest {
    /// Vendor or class.
    pub kind: RequestKind,
    /// To the device, an interface or an endpoint.
    pub recipient: RequestRecipient,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// The data stage.
    pub data: usbscan_client::RequestData,
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Its time was up.
    #[error("the scanner did not take or answer the {tried} in {} s", after.as_secs_f32())]
    Timeout {
        /// `write`, `control request`, …
        tried: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The endpoint is halted, or a control request was refused.
    #[error("the scanner refused the {tried} (stall)")]
    Stall {
        /// `read`, …
        tried: &'static str,
    },
    /// The scanner sent more than fits; the surplus is lost.
    #[error("the scanner sent more than it should have")]
    Overrun,
    /// The bus failed.
    #[error("the {tried} failed on the bus")]
    Bus {
        /// `read`, …
        tried: &'static str,
    },
    /// It was unplugged or switched off.
    #[error("the scanner is gone: it was unplugged or switched off")]
    NoDevice,
    /// There is no such pipe, or it can't be done here.
    #[error("this scanner, or this system, can't do the {tried}")]
    NotSupported {
        /// `event`, `port reset`, …
        tried: &'static str,
    },
    /// The time for cleaning up is over: the session was ended, and the daemon goes on.
    #[error("usbscand is recovering the scanner")]
    HungUp,
    /// The daemon did not end a request by the time it should have.
    #[error("usbscand does not answer")]
    Silent,
    /// The daemon, or the way to it, failed.
    #[error(transparent)]
    Daemon(#[from] usbscan_client::Error),
}

impl From<Cancelled> for TransportError {
    fn from(_: Cancelled) -> TransportError {
        TransportError::Cancelled
    }
}

//! A transfer's life: submitted with a buffer that it owns, ended by exactly one completion, which returns the buffer.

use std::borrow::Cow;

use crate::{Buffer, EndpointAddress, Error};

/// Identifies a transfer to its caller. Unique among those in flight on one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferStatus {
    /// The buffer is full, or a short packet ended it.
    Completed,
    /// It was cancelled; `actual` may still be more than 0, even the whole length.
    Cancelled,
    /// The endpoint is halted; a control request was refused.
    Stall,
    /// The device sent more than the buffer holds. The surplus is lost.
    Overflow,
    /// The bus failed, or this is the first sign that the device is gone.
    Error,
    /// The device is gone.
    NoDevice,
}

/// The end of one transfer. The buffer and what arrived in it are always returned.
#[derive(Debug)]
pub struct Completion {
    /// The token that it was submitted with.
    pub token: Token,
    /// The buffer that was submitted, with its full length.
    pub buffer: Buffer,
    /// Data bytes moved. A control transfer's setup packet is not counted.
    pub actual: usize,
    /// How it ended.
    pub status: TransferStatus,
}

impl Completion {
    /// The bytes that arrived in a bulk-in or interrupt-in transfer; in shared memory, a copy of the bytes there now.
    pub fn received(&self) -> Cow<'_, [u8]> {
        self.buffer.bytes_in(0..self.actual)
    }
}

/// The result of a request to cancel. Whatever it is, the completion of an accepted transfer still follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The host controller was asked to cancel it. The completion follows.
    Asked,
    /// Completed already, cancelled already, or never submitted.
    NotInFlight,
    /// The device is gone; the completion follows from that.
    NoDevice,
    /// The system refused for another reason (its code). The completion still follows, perhaps late.
    Failed(i32),
}

/// A transfer that was not accepted; the buffer never left the caller. No completion follows.
#[derive(Debug)]
pub struct Rejected {
    /// Why it was not accepted.
    pub error: Error,
    /// The buffer, untouched.
    pub buffer: Buffer,
}

/// One endpoint of a claimed interface, or endpoint zero.
///
/// One thread owns it: it alone submits and cancels, so that the two can't race.
/// Dropping an endpoint cancels what is in flight, newest first, and waits for nothing: the buffers live
/// until the host controller returns them, and nobody gets the completions and their bytes.
pub trait Endpoint: Send {
    /// Which endpoint this is.
    fn address(&self) -> EndpointAddress;

    /// Largest packet, in bytes (64, 512 or 1024 on a bulk endpoint). A read's length must be a
    /// multiple of it, or the device may overflow the buffer.
    fn max_packet_size(&self) -> usize;

    /// Starts a transfer of `buffer.len()` bytes (0 is a zero-length packet). No timeout applies:
    /// it ends when the device ends it or when it is cancelled.
    ///
    /// Transfers on one endpoint are carried out in the order of submission.
    /// For endpoint zero the buffer is [`crate::Setup::buffer`]; its first eight bytes are the request.
    ///
    /// # Errors
    /// The buffer comes back: [`crate::ErrorKind::NoResources`] when the system's memory for
    /// transfers is used up (try less, or later), [`crate::ErrorKind::NoDevice`] when the device is
    /// gone, [`crate::ErrorKind::InvalidParameter`] for a length the system can't do.
    fn submit(&mut self, token: Token, buffer: Buffer) -> Result<(), Rejected>;

    /// Asks the host controller to cancel a transfer. Only the completion says how it ended. May block for as long as
    /// the host controller takes to stop the transfer, so never call it where others wait.
    fn cancel(&mut self, token: Token) -> Cancel;

    /// Clears a halt on both sides and sets their data toggles to DATA0.
    /// Nothing may be in flight on this endpoint, and no control request on the device.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidParameter`] while something is in flight; [`crate::ErrorKind::NoDevice`].
    fn clear_halt(&mut self) -> Result<(), Error>;
}

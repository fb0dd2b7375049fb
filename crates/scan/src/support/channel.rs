//! A driver's side of its transport: items that arrive in pieces, one read at a time, and the abort sequence that the daemon
//! runs should the driver die. Runs on the thread that scans.

use std::time::{Duration, Instant};

use bytes::Bytes;
use usbscan_escl::DocumentError;

use super::reassembly::Reassembly;
use super::{Timeouts, settle};
use crate::{AbortStep, Cancel, ProtocolError, ReadEnd, Received, ScanError, Transport, TransportError};

/// Empty packets in a row after which a scanner counts as one that has nothing to send.
const EMPTY_PACKETS: usize = 64;
/// A whole packet of any USB speed.
const LISTEN_BYTES: usize = 1024;

/// A transport, and whether a read of it is under way.
pub(crate) struct Channel {
    pub transport: Box<dyn Transport>,
    pub cancel: Cancel,
    pub timeouts: Timeouts,
    reading: bool,
    /// What the daemon has of us.
    armed: Option<Armed>,
    /// The longest that a read kept us waiting in this phase of the job.
    longest_wait: Duration,
}

/// An abort sequence, and for how long the scanner may be silent in the phase that it is for.
struct Armed {
    steps: Vec<AbortStep>,
    settle: Option<Duration>,
}

impl Channel {
    pub(crate) fn new(transport: Box<dyn Transport>, timeouts: Timeouts) -> Channel {
        let cancel = transport.cancel_handle();
        Channel { transport, cancel, timeouts, reading: false, armed: None, longest_wait: Duration::ZERO }
    }

    pub(crate) fn start_read(&mut self, bytes: usize, timeout: Duration) -> Result<(), ScanError> {
        self.transport.start_read(bytes, timeout)?;
        self.reading = true;
        Ok(())
    }

    /// Whether a read is under way.
    pub(crate) fn is_reading(&self) -> bool {
        self.reading
    }

    /// Waits for the read that was started.
    pub(crate) fn finish_read(&mut self) -> Result<Received, ScanError> {
        self.reading = false;
        let began = Instant::now();
        let received = self.transport.finish_read()?;
        self.longest_wait = self.longest_wait.max(began.elapsed());
        Ok(received)
    }

    /// Ends the read that is under way, if one is; returns what it had received.
    pub(crate) fn stop_reading(&mut self) -> Result<Bytes, ScanError> {
        if !self.reading {
            return Ok(Bytes::new());
        }
        self.transport.cancel_read();
        Ok(self.finish_read()?.bytes)
    }

    /// Reads until `into` has `bytes` bytes, or `stop` accepts what has come. An item may arrive in any number of pieces.
    /// After an error `into` keeps what arrived, and the same call continues from there.
    pub(crate) fn fill(
        &mut self,
        into: &mut Reassembly,
        bytes: usize,
        during: &'static str,
        timeout: Duration,
        stop: impl Fn(&[u8]) -> bool,
    ) -> Result<(), ScanError> {
        let mut empty = 0;
        while into.len() < bytes {
            if !self.reading {
                self.start_read(bytes - into.len(), timeout)?;
            }
            let Received { bytes: piece, end } = self.finish_read()?;
            empty = if piece.is_empty() { empty + 1 } else { 0 };
            into.push(piece);
            if stop(into) {
                return Ok(());
            }
            let is_whole = into.len() >= bytes;
            match end {
                _ if is_whole => {}
                ReadEnd::Done if empty >= EMPTY_PACKETS => return Err(ProtocolError::EmptyPackets.into()),
                ReadEnd::Done => {}
                ReadEnd::TimedOut => return Err(ScanError::NoResponse { during, after: timeout }),
                ReadEnd::Cancelled => return Err(ScanError::Cancelled { idle: false }),
            }
        }
        Ok(())
    }

    /// Before the first command of a conversation: answers to somebody else's commands would be taken for answers to ours.
    /// `idle` is what a cancel meanwhile leaves the scanner as.
    ///
    /// [`ProtocolError::Unsolicited`] when there are any.
    pub(crate) fn expect_silence(&mut self, idle: bool) -> Result<(), ScanError> {
        let received = self.transport.read(LISTEN_BYTES, self.timeouts.listen)?;
        match (received.bytes.is_empty(), received.end) {
            (false, _) => Err(ProtocolError::Unsolicited.into()),
            (true, ReadEnd::Cancelled) => Err(ScanError::Cancelled { idle }),
            (true, _) => Ok(()),
        }
    }

    /// What the daemon does with the scanner should this program die now; replaces what was armed before. For a phase in which
    /// nothing moves.
    pub(crate) fn arm_abort(&mut self, steps: Vec<AbortStep>) -> Result<(), ScanError> {
        self.arm(steps, None)
    }

    /// The same for a phase in which something moves, so that the scanner may be silent for so long.
    pub(crate) fn arm_abort_settling(&mut self, steps: Vec<AbortStep>, settle: Duration) -> Result<(), ScanError> {
        self.arm(steps, Some(settle))
    }

    /// Another phase begins that ends by the same steps.
    pub(crate) fn settle(&mut self, settle: Option<Duration>) -> Result<(), ScanError> {
        match self.armed.take() {
            Some(armed) if armed.settle != settle => self.arm(armed.steps, settle),
            armed => {
                (self.armed, self.longest_wait) = (armed, Duration::ZERO);
                Ok(())
            }
        }
    }

    /// Another block of a page has come. Where the blocks of this one take long, the rest of one does too.
    pub(crate) fn keep_pace(&mut self) -> Result<(), ScanError> {
        let needed = settle::of_pace(self.longest_wait);
        match &self.armed {
            Some(armed) if needed > armed.settle => self.settle(needed),
            _ => Ok(()),
        }
    }

    fn arm(&mut self, steps: Vec<AbortStep>, settle: Option<Duration>) -> Result<(), ScanError> {
        self.longest_wait = Duration::ZERO;
        match self.transport.arm_abort(steps.clone(), settle) {
            Err(TransportError::NotSupported { .. }) => log::debug!("this daemon takes no abort sequence"),
            result => result?,
        }
        self.armed = Some(Armed { steps, settle });
        Ok(())
    }

    /// The job is over: the daemon has nothing to clean up any more.
    pub(crate) fn disarm_abort(&mut self) {
        self.armed = None;
        if let Err(error) = self.transport.disarm_abort() {
            log::debug!("disarm the abort sequence: {error}");
        }
    }

    /// What a page ended with. A sink that gives up once the page is cancelled has no error of its own: nobody reads it any more.
    pub(crate) fn or_cancelled(&self, error: ScanError) -> ScanError {
        match error {
            ScanError::Sink(_) if self.cancel.is_requested() => ScanError::Cancelled { idle: false },
            error => error,
        }
    }

    /// Whether the scanner is idle all the same when cleaning up ended like this. Where nobody asked here for it to be cancelled,
    /// somebody else's cancel has ended the job: nothing more is put on the wire, and the daemon recovers the scanner.
    pub(crate) fn is_recovered(&mut self, error: &ScanError) -> bool {
        if !matches!(error, ScanError::Cancelled { .. }) || self.cancel.is_requested() {
            log::warn!("bring the scanner back to idle: {error}");
            return false;
        }
        self.armed = None;
        match self.transport.await_recovery() {
            Ok(()) => true,
            Err(error) => {
                log::info!("wait for the scanner to be recovered: {error}");
                false
            }
        }
    }
}

/// Whether there is no scanner or no daemon left to talk to.
pub(crate) fn is_gone(error: &ScanError) -> bool {
    matches!(
        error,
        ScanError::Transport(
            TransportError::NoDevice | TransportError::HungUp | TransportError::Silent | TransportError::Daemon(_)
        )
    )
}

/// What a scan ended with that was abandoned: not by an error of the scanner, but since cleaning up took too long.
pub(crate) fn or_cancelled(error: ScanError) -> ScanError {
    match error {
        ScanError::Transport(TransportError::HungUp) => ScanError::Cancelled { idle: false },
        other => other,
    }
}

/// Whether an error may come of a scanner that is in the middle of something else.
pub(crate) fn is_out_of_sync(error: &ScanError) -> bool {
    match error {
        // What a scanner says that it can do is no sign of the state that it is in.
        ScanError::Protocol(error) => match error {
            ProtocolError::Document(error) => {
                !matches!(error, DocumentError::OldVersion(_) | DocumentError::Missing(_))
            }
            ProtocolError::Capabilities(_) | ProtocolError::Status { .. } | ProtocolError::Format { .. } => false,
            _ => true,
        },
        ScanError::NoResponse { .. } => true,
        ScanError::Transport(error) => matches!(
            error,
            TransportError::Timeout { .. }
                | TransportError::Stall { .. }
                | TransportError::Overrun
                | TransportError::Bus { .. }
        ),
        _ => false,
    }
}

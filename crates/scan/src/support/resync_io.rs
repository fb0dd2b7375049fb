//! Transfers to and from a scanner whose state is not known: what it does not take, and what it sends out of turn, is no
//! error. Runs on the driver's thread. Knows no protocol; each driver knows which bytes bring its scanners back to idle.

use std::time::Duration;

use bytes::Bytes;
use usbscan_client::wire::Pipe;

use crate::{ReadEnd, ScanError, Transport, TransportError};

/// How much is tried to get in sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// A person waits for a cancel: one attempt with short waits.
    Brief,
    /// Everything, the daemon's recovery included.
    Thorough,
}

/// Bytes read at once: whole packets of any USB speed, so that nothing overflows.
const CHUNK: usize = 64 * 1024;
/// Bytes after which a scanner that should send one block counts as one that never stops.
const MOST_DRAINED: usize = 16 << 20;
/// Reads that a short packet ended, an empty one too, likewise: a block ends with one.
const MOST_SHORT: usize = 1024;

/// Sends; false when the scanner does not take it.
pub(crate) fn send(transport: &mut dyn Transport, bytes: &[u8], timeout: Duration) -> Result<bool, ScanError> {
    match transport.write(bytes, timeout) {
        Ok(()) => Ok(true),
        Err(error) => recover(transport, error, Pipe::Write).map(|()| false),
    }
}

/// What the scanner sends next; empty when it sends nothing.
pub(crate) fn receive(transport: &mut dyn Transport, wait: Duration) -> Result<Bytes, ScanError> {
    match transport.read(CHUNK, wait) {
        Ok(received) if received.end == ReadEnd::Cancelled => Err(ScanError::Cancelled { idle: false }),
        Ok(received) => Ok(received.bytes),
        Err(error) => recover(transport, error, Pipe::Read).map(|()| Bytes::new()),
    }
}

/// Reads until the scanner is silent. Whether it sent anything.
pub(crate) fn drain(transport: &mut dyn Transport, silence: Duration) -> Result<bool, ScanError> {
    let (mut bytes, mut short) = (0, 0);
    while bytes < MOST_DRAINED && short < MOST_SHORT {
        match transport.read(CHUNK, silence) {
            Ok(received) => {
                bytes += received.bytes.len();
                match received.end {
                    ReadEnd::Cancelled => return Err(ScanError::Cancelled { idle: false }),
                    ReadEnd::TimedOut if received.bytes.is_empty() => return Ok(bytes > 0),
                    _ if received.bytes.len() < CHUNK => short += 1,
                    _ => {}
                }
            }
            Err(error) => {
                short += 1;
                recover(transport, error, Pipe::Read)?;
            }
        }
    }
    log::warn!("the scanner does not stop sending");
    Err(ScanError::OutOfSync)
}

/// After a failed transfer the pipe is usable again, or it is worth nothing to go on.
fn recover(transport: &mut dyn Transport, error: TransportError, pipe: Pipe) -> Result<(), ScanError> {
    match error {
        TransportError::Timeout { .. } => Ok(()),
        TransportError::Stall { .. } | TransportError::Overrun | TransportError::Bus { .. } => {
            Ok(transport.clear_halt(pipe)?)
        }
        other => Err(other.into()),
    }
}

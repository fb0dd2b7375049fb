//! Keeping requests off the pipes for a while: the gates of their workers are closed, what is in flight ends, and new
//! requests wait behind the gates.

use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};

use crate::pipe::cancellation::{CancelCount, Cancellation};
use crate::pipe::endpoint_io::WATCHDOG;
use crate::pipe::orders::{Order, PipeHandle};

/// The host controller did not return everything in time.
#[derive(Debug)]
pub(super) struct NotQuiet;

/// A cancel, and where its end is told: the sum of what it ended, when its last clone is dropped.
pub(super) fn cancellation() -> (Arc<Cancellation>, Receiver<CancelCount>) {
    let (told, sum) = bounded(1);
    // The waiting thread may have given up on a host-stuck scanner.
    let by = Cancellation::new(move |sum| {
        let _ = told.send(sum);
    });
    (by, sum)
}

/// Waits for the requests of a cancel to end. Its count is lost only with a host-stuck scanner, whose requests have ended
/// all the same.
pub(super) fn wait(sum: &Receiver<CancelCount>) -> u64 {
    sum.recv_timeout(2 * WATCHDOG).map_or(0, |sum| sum.found)
}

/// Closes the gates and cancels where `cancel` says so: control first, for a hung control request can hold up every
/// other cancel in the kernel (docs/usb-engine.md, "What pulls the rug"). What comes later waits behind the gates.
pub(super) fn close_gates(
    pipes: &[PipeHandle],
    cancel: impl Fn(&PipeHandle) -> Option<Arc<Cancellation>>,
) -> Vec<Receiver<()>> {
    let close = |pipe: &PipeHandle| {
        let (quiet, is_quiet) = bounded(1);
        pipe.tell(Order::Quiesce { cancel: cancel(pipe), quiet });
        is_quiet
    };
    pipes.iter().map(close).collect()
}

/// Waits until nothing is in flight.
pub(super) fn until_quiet(gates: Vec<Receiver<()>>) -> Result<(), NotQuiet> {
    gates.iter().try_for_each(|is_quiet| is_quiet.recv_timeout(2 * WATCHDOG).map_err(|_| NotQuiet))
}

/// Both.
pub(super) fn quiesce(
    pipes: &[PipeHandle],
    cancel: impl Fn(&PipeHandle) -> Option<Arc<Cancellation>>,
) -> Result<(), NotQuiet> {
    until_quiet(close_gates(pipes, cancel))
}

/// Opens the gates.
pub(super) fn resume(pipes: &[PipeHandle]) {
    pipes.iter().for_each(|pipe| pipe.tell(Order::Resume));
}

//! Getting in sync with a scanner that was left in the middle of a job: the attempts, whatever the protocol. What one attempt
//! sends is each driver's own.

use std::time::Duration;

use super::channel::Channel;
use super::resync_io::{Effort, drain};
use crate::{ScanError, TransportError};

/// Attempts on a scanner that answers, but not as it should: one that is slow in sending its block needs more than one.
const ATTEMPTS: usize = 6;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It waits for a command, as a scanner does that is idle.
    InSync,
    /// It sent something, and not what was expected.
    Answered,
    /// It sent nothing at all: another attempt would be no better.
    Silent,
}

/// A protocol's way back.
pub(crate) trait Resync {
    fn channel(&mut self) -> &mut Channel;

    /// Tries once; `heard` says whether the scanner had something to say before.
    fn attempt(&mut self, wait: Duration, heard: bool) -> Result<Attempt, ScanError>;
}

/// Brings a scanner to where it waits for a command, whatever it is doing. Where nothing helps, the daemon is asked to recover it:
/// only that may reset a port, since it knows whom else that would harm.
///
/// Cancelled, gone, or [`ScanError::OutOfSync`].
pub(crate) fn resync(driver: &mut impl Resync, effort: Effort) -> Result<(), ScanError> {
    driver.channel().stop_reading()?;
    if attempts(driver, effort)? {
        return Ok(());
    }
    if effort == Effort::Thorough {
        match driver.channel().transport.recover() {
            Ok(()) if attempts(driver, effort)? => return Ok(()),
            Ok(()) | Err(TransportError::NotSupported { .. }) => {}
            Err(error) => log::warn!("have the scanner recovered: {error}"),
        }
    }
    Err(ScanError::OutOfSync)
}

fn attempts(driver: &mut impl Resync, effort: Effort) -> Result<bool, ScanError> {
    let timeouts = driver.channel().timeouts;
    let (attempts, wait) = match effort {
        Effort::Brief => (1, timeouts.resync / 4),
        Effort::Thorough => (ATTEMPTS, timeouts.resync),
    };
    for _ in 0..attempts {
        let heard = drain(&mut *driver.channel().transport, timeouts.silence)?;
        match driver.attempt(wait, heard)? {
            Attempt::InSync => return Ok(true),
            Attempt::Answered => {}
            Attempt::Silent => return Ok(false),
        }
    }
    Ok(false)
}

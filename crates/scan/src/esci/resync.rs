//! Getting in sync with a scanner that was left in the middle of a job (docs/esc-i.md, "A scanner that was left in the middle
//! of a job").
//!
//! It is in one of four states, and nothing tells which: (a) idle; (b) sending a block, deaf until that was read; (c) waiting
//! for ACK or CAN; (d) waiting for parameter bytes, 1 to 258 of them. Hence: read until it is silent, (b) becomes (c); CAN,
//! (c) becomes (a); ESC @, which (a) answers with a single ACK. If nothing answers it is (d), and is given bytes until it
//! has enough. Once more from the start if there was an answer, but another one.
//!
//! The same as a program without branches, for the daemon to run when we are dead: [`while_setting`], [`while_scanning`].

use std::time::Duration;

use bytes::Bytes;
use usbscan_client::wire::{AbortStep, HexBytes};

use super::codes::{ACK, CAN, FF, RESET};
use super::dialogue::Dialogue;
use crate::ScanError;
use crate::support::channel::Channel;
use crate::support::resync::{Attempt, Resync, resync};
use crate::support::resync_io;
pub(super) use crate::support::resync_io::Effort;

/// The longest parameter there is: a dither table.
const LONGEST_PARAMETER: usize = 258;
/// Bytes given at once to a scanner that waits for parameters; the surplus is refused, one NAK each.
const PADDING: usize = 16;

impl Resync for Dialogue {
    fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    fn attempt(&mut self, wait: Duration, mut heard: bool) -> Result<Attempt, ScanError> {
        heard |= self.send_unsure(&[CAN])? && !self.receive_unsure(wait)?.is_empty();
        if self.comes_back(wait)? {
            return Ok(Attempt::InSync);
        }
        heard |= self.pad()?;
        if self.comes_back(wait)? {
            return Ok(Attempt::InSync);
        }
        Ok(if heard { Attempt::Answered } else { Attempt::Silent })
    }
}

impl Dialogue {
    /// Brings the scanner to where it waits for a command, everything at its default, whatever it is doing.
    ///
    /// Cancelled, gone, or [`ScanError::OutOfSync`].
    pub(super) fn resync(&mut self, effort: Effort) -> Result<(), ScanError> {
        self.in_sync = false;
        resync(self, effort)
    }

    /// Whether ESC @ is answered by one ACK and nothing else. The answer to what was sent before it may come first, so
    /// it is asked twice.
    fn comes_back(&mut self, wait: Duration) -> Result<bool, ScanError> {
        for _ in 0..2 {
            if !self.send_unsure(&RESET.bytes)? {
                return Ok(false);
            }
            let answer = self.receive_unsure(wait)?;
            let more = self.drain_within(self.channel.timeouts.silence / 2)?;
            if answer == [ACK][..] && !more {
                self.in_sync = true;
                return Ok(true);
            }
            if answer.is_empty() && !more {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Gives bytes to a scanner that waits for parameters, until it says something. Whether it did.
    fn pad(&mut self) -> Result<bool, ScanError> {
        for _ in 0..LONGEST_PARAMETER.div_ceil(PADDING) {
            if !self.send_unsure(&[0; PADDING])? {
                return Ok(false);
            }
            if self.drain_within(self.channel.timeouts.silence / 4)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends; false when the scanner does not take it.
    pub(super) fn send_unsure(&mut self, bytes: &[u8]) -> Result<bool, ScanError> {
        resync_io::send(&mut *self.channel.transport, bytes, self.channel.timeouts.resync)
    }

    /// What the scanner sends next; empty when it sends nothing.
    pub(super) fn receive_unsure(&mut self, wait: Duration) -> Result<Bytes, ScanError> {
        resync_io::receive(&mut *self.channel.transport, wait)
    }

    /// Reads until the scanner is silent. Whether it sent anything.
    pub(super) fn drain_within(&mut self, silence: Duration) -> Result<bool, ScanError> {
        resync_io::drain(&mut *self.channel.transport, silence)
    }
}

/// Milliseconds of the steps that a dead driver leaves. They are run while another session waits for the scanner.
const QUIET_MS: u32 = 200;
const QUIET_AGAIN_MS: u32 = 100;
const BLOCK_MS: u32 = 5000;
const REPLY_MS: u32 = 500;
const WRITE_MS: u32 = 1000;
/// A sheet has its way to go.
const EJECT_MS: u32 = 8000;

fn write(bytes: Vec<u8>) -> AbortStep {
    AbortStep::Write { endpoint: None, bytes: HexBytes(bytes), timeout: WRITE_MS }
}

fn read() -> AbortStep {
    AbortStep::Read { endpoint: None, length: 512, timeout: REPLY_MS, expect: HexBytes::default() }
}

/// ESC @, and the ACK by which a scanner shows that it is back.
fn reset() -> [AbortStep; 2] {
    [
        write(RESET.bytes.to_vec()),
        AbortStep::Read { endpoint: None, length: 512, timeout: REPLY_MS, expect: HexBytes(vec![ACK]) },
    ]
}

fn drain(quiet: u32) -> AbortStep {
    AbortStep::Drain { endpoint: None, quiet, timeout: BLOCK_MS }
}

/// For the time in which parameters are set, the longest of them `longest` bytes: the scanner is idle, or in (d).
///
/// What fills up the parameter is a row of ESC @, so that whatever of it is left over is a command, and not the
/// stray bytes whose effect on real firmware nobody knows.
pub(super) fn while_setting(longest: usize) -> Vec<AbortStep> {
    let padding = RESET.bytes.repeat(longest.div_ceil(2) + 1);
    let mut steps = vec![drain(QUIET_MS), write(padding), drain(QUIET_AGAIN_MS)];
    steps.extend(reset());
    steps
}

/// For the time in which the feeder moves, and that between two pages of it: idle, or about to answer. The sheet is put out
/// before ESC @, after which the scanner would not do that.
pub(super) fn while_feeding() -> Vec<AbortStep> {
    let mut steps = vec![drain(QUIET_MS)];
    steps.extend(eject());
    steps.push(drain(QUIET_AGAIN_MS));
    steps.extend(reset());
    steps
}

fn eject() -> [AbortStep; 2] {
    [
        write(vec![FF.byte]),
        AbortStep::Read { endpoint: None, length: 512, timeout: EJECT_MS, expect: HexBytes::default() },
    ]
}

/// For the time from the start of the scan to its end: idle, (b) or (c). CAN twice, for a block may come in pieces so slow that
/// the first lies in the middle of it; a CAN too many is refused, or not heard. From the feeder the sheet is put out.
pub(super) fn while_scanning(from_feeder: bool) -> Vec<AbortStep> {
    let mut steps = Vec::new();
    for quiet in [QUIET_MS, QUIET_AGAIN_MS] {
        steps.extend([drain(quiet), write(vec![CAN]), read()]);
    }
    if from_feeder {
        steps.push(drain(QUIET_AGAIN_MS));
        steps.extend(eject());
    }
    steps.push(drain(QUIET_AGAIN_MS));
    steps.extend(reset());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_within_the_limits_of_the_protocol() {
        for steps in
            [while_setting(1), while_setting(257), while_feeding(), while_scanning(false), while_scanning(true)]
        {
            assert!(steps.len() <= usbscan_client::wire::ABORT_STEPS_LIMIT);
            for step in &steps {
                match step {
                    AbortStep::Write { endpoint: None, bytes, timeout } => {
                        assert!(bytes.0.len() <= 512 && (1..=10_000).contains(timeout));
                    }
                    AbortStep::Read { length, timeout, .. } => assert!(*length <= 1 << 20 && *timeout <= 10_000),
                    AbortStep::Drain { endpoint: None, quiet, timeout } => {
                        assert!(quiet < timeout && *timeout <= 10_000)
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        let header =
            serde_json::to_string(&usbscan_client::wire::Command::ArmAbort { steps: while_setting(257), settle: None })
                .unwrap();
        assert!(header.len() < usbscan_client::wire::CLIENT_HEADER_LIMIT, "{}", header.len());
    }
}

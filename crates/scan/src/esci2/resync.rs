//! Getting in sync with a scanner that somebody left in the middle of a session. No source tells how; deduced from what is
//! known of requests (docs/esc-i2.md).
//!
//! It is (a) outside of a session, (b) in one, (c) in the middle of images, waiting for a request; or (d) waiting for the rest of a
//! request or of its parameters; or sending, deaf until that was read. Hence: read until it is silent; CAN, which (c) obeys and
//! (b) answers too; FIN, which (b) obeys; FS X, which (a) obeys. A scanner that answers with anything else is fed single
//! bytes until it answers, which is where its next request begins.
//!
//! The same as a program without branches, for the daemon to run when we are dead: [`while_setting`], [`while_scanning`].

use std::time::Duration;

use bytes::Bytes;
use usbscan_client::wire::{AbortStep, HexBytes};

use super::dialogue::{ACK, Dialogue, ENTER, SessionState};
use super::message::{REPLY_BYTES, REQUEST_BYTES, request};
use crate::ScanError;
use crate::support::channel::Channel;
use crate::support::resync::{Attempt, Resync, resync};
use crate::support::resync_io;
pub(super) use crate::support::resync_io::Effort;

/// More parameters than any scanner takes (DSZ is 1536 in all that are known).
const MOST_PARAMETERS: usize = 4096;
/// The first byte of ESC/I's information blocks.
const STX: u8 = 0x02;
/// Bytes given at once to a scanner that waits for parameters.
const PADDING: usize = 64;

impl Resync for Dialogue {
    fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    fn attempt(&mut self, wait: Duration, mut heard: bool) -> Result<Attempt, ScanError> {
        let answer = self.exchange_unsure(&request("CAN ", 0), wait)?;
        heard |= !answer.is_empty();
        if is_reply(&answer, &[b"CAN ", b"INVD"]) {
            // In a session, and listening.
            let answer = self.exchange_unsure(&request("FIN ", 0), wait)?;
            if is_reply(&answer, &[b"FIN "]) && self.comes_back(wait)? {
                return Ok(Attempt::InSync);
            }
        } else if answer.len() < REPLY_BYTES && self.comes_back(wait)? {
            return Ok(Attempt::InSync);
        }
        heard |= self.pad()?;
        Ok(if heard { Attempt::Answered } else { Attempt::Silent })
    }
}

impl Dialogue {
    /// Brings the scanner out of any session, whatever it is doing.
    ///
    /// Cancelled, gone, or [`ScanError::OutOfSync`].
    pub(super) fn resync(&mut self, effort: Effort) -> Result<(), ScanError> {
        self.state = SessionState::Unknown;
        self.forget_image();
        resync(self, effort)
    }

    /// Whether ESC I is answered by an information block, as scanners with ESC/I do.
    pub(super) fn speaks_esci(&mut self) -> Result<bool, ScanError> {
        let answer = self.exchange_unsure(b"\x1bI", self.channel.timeouts.probe)?;
        self.drain(self.channel.timeouts.silence / 2)?;
        Ok(answer.first() == Some(&STX))
    }

    /// Whether FS X and FIN are answered as they should, by themselves.
    fn comes_back(&mut self, wait: Duration) -> Result<bool, ScanError> {
        self.drain(self.channel.timeouts.silence / 2)?;
        if self.exchange_unsure(ENTER, wait)? != [ACK][..] || self.drain(self.channel.timeouts.silence / 2)? {
            return Ok(false);
        }
        let answer = self.exchange_unsure(&request("FIN ", 0), wait)?;
        let is_out = is_reply(&answer, &[b"FIN "]);
        if is_out {
            self.state = SessionState::Outside;
        }
        Ok(is_out)
    }

    /// Gives bytes to a scanner that waits for some, until it says something; then one by one until it does so again: there its
    /// next request begins. Whether it said anything.
    fn pad(&mut self) -> Result<bool, ScanError> {
        let mut heard = false;
        for _ in 0..MOST_PARAMETERS / PADDING {
            if !self.send_unsure(&[b' '; PADDING])? {
                return Ok(heard);
            }
            heard = self.drain(self.channel.timeouts.silence / 4)?;
            if heard {
                break;
            }
        }
        for _ in 0..if heard { REQUEST_BYTES } else { 0 } {
            if !self.send_unsure(b" ")? || self.drain(self.channel.timeouts.silence / 4)? {
                break;
            }
        }
        Ok(heard)
    }

    fn exchange_unsure(&mut self, bytes: &[u8], wait: Duration) -> Result<Bytes, ScanError> {
        if !self.send_unsure(bytes)? {
            return Ok(Bytes::new());
        }
        resync_io::receive(&mut *self.channel.transport, wait)
    }

    /// Sends; false when the scanner does not take it.
    fn send_unsure(&mut self, bytes: &[u8]) -> Result<bool, ScanError> {
        resync_io::send(&mut *self.channel.transport, bytes, self.channel.timeouts.resync)
    }

    /// Reads until the scanner is silent. Whether it sent anything.
    fn drain(&mut self, silence: Duration) -> Result<bool, ScanError> {
        resync_io::drain(&mut *self.channel.transport, silence)
    }
}

/// Whether these bytes are one reply with one of these codes.
fn is_reply(bytes: &[u8], codes: &[&[u8; 4]]) -> bool {
    bytes.len() == REPLY_BYTES && codes.iter().any(|code| bytes.starts_with(*code))
}

/// Milliseconds of the steps that a dead driver leaves. They are run while somebody else waits for the scanner.
const QUIET_MS: u32 = 200;
const QUIET_AGAIN_MS: u32 = 100;
const CHUNK_MS: u32 = 5000;
const REPLY_MS: u32 = 1000;
const WRITE_MS: u32 = 1000;

fn write(bytes: Vec<u8>) -> AbortStep {
    AbortStep::Write { endpoint: None, bytes: HexBytes(bytes), timeout: WRITE_MS }
}

fn read() -> AbortStep {
    AbortStep::Read { endpoint: None, length: 512, timeout: REPLY_MS, expect: HexBytes::default() }
}

fn drain(quiet: u32) -> AbortStep {
    AbortStep::Drain { endpoint: None, quiet, timeout: CHUNK_MS }
}

/// Out of the session, if it is in one; then FS X, whose single ACK only a scanner gives that is outside, and out again.
fn leave() -> [AbortStep; 7] {
    [
        write(request("FIN ", 0)),
        read(),
        drain(QUIET_AGAIN_MS),
        write(ENTER.to_vec()),
        AbortStep::Read { endpoint: None, length: 512, timeout: REPLY_MS, expect: HexBytes(vec![ACK]) },
        write(request("FIN ", 0)),
        read(),
    ]
}

/// For the time in which a block of so many bytes of parameters is set: the scanner is outside, in the session, or waits for
/// those bytes. What is written has their length, and is a request with parameters of its own: it fills up the one, or is
/// carried out as the other, and is answered once either way.
pub(super) fn while_setting(parameters: usize) -> Vec<AbortStep> {
    let own = parameters.saturating_sub(REQUEST_BYTES);
    let mut filler = request("PARA", own);
    filler.extend(b"#PAGd000".iter().cycle().take(own));
    let mut steps = vec![drain(QUIET_MS), write(filler), read(), drain(QUIET_AGAIN_MS)];
    steps.extend(leave());
    steps
}

/// For all other times: outside, in the session, or in the middle of images. CAN twice, for a chunk may come so slowly that the
/// first lies in the middle of it.
pub(super) fn while_scanning() -> Vec<AbortStep> {
    let mut steps = Vec::new();
    for quiet in [QUIET_MS, QUIET_AGAIN_MS] {
        steps.extend([drain(quiet), write(request("CAN ", 0)), read()]);
    }
    steps.push(drain(QUIET_AGAIN_MS));
    steps.extend(leave());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_within_the_limits_of_the_protocol() {
        for steps in [while_setting(12), while_setting(180), while_setting(1536), while_scanning()] {
            assert!(steps.len() <= usbscan_client::wire::ABORT_STEPS_LIMIT);
            let header =
                serde_json::to_string(&usbscan_client::wire::Command::ArmAbort { steps, settle: None }).expect("JSON");
            assert!(header.len() < usbscan_client::wire::CLIENT_HEADER_LIMIT, "{}", header.len());
        }
    }

    #[test]
    fn what_fills_up_parameters_is_as_long_as_they_are_and_a_request_with_its_own() {
        let steps = while_setting(172);
        let AbortStep::Write { bytes, .. } = &steps[1] else { panic!("{steps:?}") };
        assert_eq!(bytes.0.len(), 172);
        assert!(bytes.0.starts_with(b"PARAx00000a0#PAGd000"));
    }
}

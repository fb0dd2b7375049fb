//! A request and its reply, and where in a session the scanner is. Runs on the thread that scans.
//!
//! ```text
//!             FS X            TRDT              IMG
//!   Outside ────────▶ Session ─────▶ Images ─────────▶ (its reply) ─▶ Images
//!      ▲  ◀──────────     ▲            │ CAN              │ the last image ended, or an error
//!            FIN          └────────────┴──────────────────┘
//! ```
//!
//! From anywhere a failed transfer leads to Unknown, and from there [`Dialogue::resync`] back to Outside.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::message::{Head, REPLY_BYTES, request};
use super::reply_info::{NotReady, ReplyInfo};
use crate::support::channel::Channel;
use crate::support::reassembly::Reassembly;
use crate::support::{Timeouts, settle};
use crate::{DeviceError, Progress, ProtocolError, ScanError, Transport};

/// The most data in a reply to anything but IMG: gamma tables are the longest part of what is known.
const MOST_ANSWER: usize = 64 * 1024;
/// And to IMG. Far more than is asked for, and what one read can bring.
pub(super) const MOST_CHUNK: usize = 1 << 20;
pub(super) const ENTER: &[u8] = b"\x1cX";
pub(super) const ACK: u8 = 0x06;

/// Where in a session the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionState {
    /// It waits for FS X.
    Outside,
    /// It waits for a request.
    Session,
    /// It waits for IMG or CAN.
    Images,
    /// Nobody knows.
    Unknown,
}

/// A reply that was asked for, as far as it has come.
#[derive(Debug, Default)]
struct Coming {
    head: Reassembly,
    parsed: Option<Head>,
    data: Reassembly,
}

/// A conversation with a scanner.
pub(super) struct Dialogue {
    pub channel: Channel,
    pub state: SessionState,
    /// IMG was asked for.
    coming: Option<Coming>,
}

pub(super) type Tell<'a> = &'a mut dyn FnMut(Progress);

impl Dialogue {
    pub(super) fn new(transport: Box<dyn Transport>, timeouts: Timeouts) -> Dialogue {
        Dialogue { channel: Channel::new(transport, timeouts), state: SessionState::Outside, coming: None }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if self.channel.cancel.is_requested() {
            // Before the scanner hears of it: it stays where it was.
            return Err(ScanError::Cancelled { idle: self.state == SessionState::Outside });
        }
        self.state = SessionState::Unknown;
        Ok(self.channel.transport.write(bytes, self.channel.timeouts.write)?)
    }

    /// Forgets what was asked for: it is read by resynchronising.
    pub(super) fn forget_image(&mut self) {
        self.coming = None;
    }

    fn fill(
        &mut self,
        into: &mut Reassembly,
        bytes: usize,
        to: &'static str,
        timeout: Duration,
    ) -> Result<(), ScanError> {
        self.channel.fill(into, bytes, to, timeout, |_| false)
    }

    pub(super) fn expect_silence(&mut self) -> Result<(), ScanError> {
        let idle = self.state == SessionState::Outside;
        self.channel.expect_silence(idle)
    }

    /// FS X: into a session.
    pub(super) fn enter(&mut self, timeout: Duration) -> Result<(), ScanError> {
        self.send(ENTER)?;
        let mut answer = Reassembly::default();
        self.fill(&mut answer, 1, "FS X", timeout)?;
        match answer[..] {
            [ACK] => self.state = SessionState::Session,
            [got, ..] => return Err(ProtocolError::NoSession { got }.into()),
            [] => return Err(ProtocolError::EmptyPackets.into()),
        }
        Ok(())
    }

    /// FIN: out of it.
    pub(super) fn leave(&mut self) -> Result<(), ScanError> {
        self.exchange("FIN ", b"", self.channel.timeouts.reply)?;
        self.state = SessionState::Outside;
        Ok(())
    }

    /// A request with its parameters, and its reply; repeated while the scanner is not ready for it.
    pub(super) fn ask(
        &mut self,
        code: &'static str,
        parameters: &[u8],
        progress: Tell<'_>,
    ) -> Result<(ReplyInfo, Bytes), ScanError> {
        let began = Instant::now();
        loop {
            let (info, data) = self.exchange(code, parameters, self.channel.timeouts.reply)?;
            let waited = began.elapsed();
            match info.not_ready {
                None => return Ok((info, data)),
                Some(NotReady::Reserved) => return Err(DeviceError::Busy.into()),
                Some(NotReady::WarmingUp) if waited >= self.channel.timeouts.warm_up => {
                    return Err(DeviceError::StillWarmingUp(waited).into());
                }
                Some(NotReady::WarmingUp) => {
                    self.channel.settle(Some(settle::WARM_UP))?;
                    progress(Progress::WarmingUp { waited });
                }
                Some(NotReady::Busy) if waited >= self.channel.timeouts.homing => return Err(DeviceError::Busy.into()),
                Some(NotReady::Busy) => {
                    self.channel.settle(Some(settle::HOMING))?;
                    progress(Progress::Starting);
                }
            }
            self.channel.cancel.pause(self.channel.timeouts.poll)?;
        }
    }

    fn exchange(
        &mut self,
        code: &'static str,
        parameters: &[u8],
        timeout: Duration,
    ) -> Result<(ReplyInfo, Bytes), ScanError> {
        self.send(&request(code, parameters.len()))?;
        if !parameters.is_empty() {
            self.send(parameters)?;
        }
        let mut coming = Coming::default();
        let head = self.receive(&mut coming, code, MOST_ANSWER, timeout)?;
        self.state = SessionState::Session;
        Ok((ReplyInfo::read(&head.tokens), coming.data.take()))
    }

    /// The rest of a reply.
    fn receive(
        &mut self,
        coming: &mut Coming,
        to: &'static str,
        most: usize,
        timeout: Duration,
    ) -> Result<Head, ScanError> {
        let head = match coming.parsed.take() {
            Some(head) => head,
            None => {
                self.fill(&mut coming.head, REPLY_BYTES, to, timeout)?;
                let head = Head::parse(&coming.head, to)?;
                if head.length > most {
                    return Err(ProtocolError::ReplyLength { to, got: head.length, most }.into());
                }
                head
            }
        };
        let (length, mut data) = (head.length, std::mem::take(&mut coming.data));
        let filled = self.fill(&mut data, length, to, timeout);
        coming.data = data;
        if let Err(error) = filled {
            coming.parsed = Some(head);
            return Err(error);
        }
        if head.code != *to.as_bytes() {
            let got = String::from_utf8_lossy(&head.code).into_owned();
            return Err(ProtocolError::WrongReply { to, got }.into());
        }
        Ok(head)
    }

    /// TRDT: images come next.
    pub(super) fn start_images(&mut self, progress: Tell<'_>) -> Result<(), ScanError> {
        let (info, _) = self.ask("TRDT", b"", progress)?;
        if let Some(problem) = info.problem {
            return Err(problem.into());
        }
        self.state = SessionState::Images;
        Ok(())
    }

    /// IMG: its reply begins to come while the last one is looked at.
    pub(super) fn request_image(&mut self) -> Result<(), ScanError> {
        self.send(&request("IMG ", 0))?;
        self.coming = Some(Coming::default());
        self.channel.start_read(REPLY_BYTES, self.channel.timeouts.image)
    }

    /// The reply to IMG.
    pub(super) fn image(&mut self, timeout: Duration) -> Result<(ReplyInfo, Bytes), ScanError> {
        let mut coming = self.coming.take().unwrap_or_default();
        let head = match self.receive(&mut coming, "IMG ", MOST_CHUNK, timeout) {
            Ok(head) => head,
            Err(error) => {
                self.coming = Some(coming);
                return Err(error);
            }
        };
        let info = ReplyInfo::read(&head.tokens);
        // An error ends the job by itself.
        self.state = if info.problem.is_some() { SessionState::Session } else { SessionState::Images };
        Ok((info, coming.data.take()))
    }

    /// Reads what is left of an answer to IMG, so that the scanner listens again.
    pub(super) fn rest_of_image(&mut self) -> Result<(), ScanError> {
        if self.coming.is_none() {
            return Ok(());
        }
        let received = self.channel.stop_reading()?;
        if let Some(coming) = &mut self.coming {
            let into = if coming.parsed.is_some() { &mut coming.data } else { &mut coming.head };
            into.push(received);
        }
        self.image(self.channel.timeouts.rest_of_block).map(drop)
    }

    /// CAN: the job is over. A scanner that had ended it by itself says that this is not the moment; that is as good.
    pub(super) fn stop_images(&mut self) -> Result<(), ScanError> {
        match self.exchange("CAN ", b"", self.channel.timeouts.resync) {
            Err(ScanError::Protocol(ProtocolError::WrongReply { got, .. })) if got == "INVD" => {
                self.state = SessionState::Session;
                Ok(())
            }
            result => result.map(drop),
        }
    }
}

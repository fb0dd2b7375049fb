//! The handshake of ESC/I: a command, its ACK, a parameter, its ACK; a question and its answer. Runs on the thread
//! that scans; knows at any moment whether the scanner waits for a command.

use std::time::Duration;

use bytes::Bytes;

use super::capabilities::Dialect;
use super::codes::{ACK, Code, EXTENDED_STATUS, FS_STATUS, NAK, OneByte, RESET, STATUS};
use super::status::{self, DeviceStatus, StatusByte};
use crate::support::Timeouts;
use crate::support::channel::Channel;
use crate::support::reassembly::Reassembly;
use crate::{DeviceError, ProtocolError, ScanError, Transport};

/// The most that an answer to a question may have; the longest known has 106 bytes.
const MOST_ANSWER: usize = 4096;

/// An item that the scanner is to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub name: &'static str,
    pub bytes: usize,
    /// The command that it answers, where a single NAK may come in its place.
    pub answers: Option<Code>,
}

/// A conversation with a scanner.
pub(super) struct Dialogue {
    pub channel: Channel,
    /// The scanner has no ESC f, and says how it is with ESC F only.
    pub is_terse: bool,
    /// The scanner waits for a command, and nothing of it waits for us.
    pub in_sync: bool,
}

impl Dialogue {
    pub(super) fn new(transport: Box<dyn Transport>, timeouts: Timeouts) -> Dialogue {
        Dialogue { channel: Channel::new(transport, timeouts), is_terse: false, in_sync: false }
    }

    /// Sends bytes. Whatever they are, the scanner is busy with them until its answer was read.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if self.channel.cancel.is_requested() {
            // Before the scanner hears of it: it stays in sync if it was.
            return Err(ScanError::Cancelled { idle: self.in_sync });
        }
        self.in_sync = false;
        Ok(self.channel.transport.write(bytes, self.channel.timeouts.write)?)
    }

    /// Reads until `into` has the whole item. After an error `into` has what came, and the same call goes on from there.
    pub(super) fn fill(&mut self, into: &mut Reassembly, item: Item, timeout: Duration) -> Result<(), ScanError> {
        let is_refusal = |bytes: &[u8]| item.answers.is_some() && *bytes == [NAK];
        self.channel.fill(into, item.bytes, item.name, timeout, is_refusal)?;
        match item.answers {
            Some(code) if is_refusal(into) && item.bytes > 1 => {
                self.in_sync = true;
                Err(ScanError::Refused { parameter: item.name.to_owned(), command: code.name })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn expect_silence(&mut self) -> Result<(), ScanError> {
        let idle = self.in_sync;
        self.channel.expect_silence(idle)
    }

    fn item(&mut self, item: Item, timeout: Duration) -> Result<Bytes, ScanError> {
        let mut received = Reassembly::default();
        self.fill(&mut received, item, timeout)?;
        Ok(received.take())
    }

    fn reply(&mut self, to: &'static str, timeout: Duration) -> Result<bool, ScanError> {
        let bytes = self.item(Item { name: to, bytes: 1, answers: None }, timeout)?;
        match bytes[..] {
            [ACK] => Ok(true),
            [NAK] => Ok(false),
            _ => Err(ProtocolError::ReplyByte { to, got: bytes.first().copied().unwrap_or(0) }.into()),
        }
    }

    /// A command without parameters. False: refused.
    fn command_within(&mut self, code: Code, timeout: Duration) -> Result<bool, ScanError> {
        self.send(&code.bytes)?;
        let taken = self.reply(code.name, timeout)?;
        self.in_sync = true;
        Ok(taken)
    }

    /// A command of one byte: it moves paper. False: refused.
    pub(super) fn one_byte(&mut self, code: OneByte, timeout: Duration) -> Result<bool, ScanError> {
        self.send(&[code.byte])?;
        let taken = self.reply(code.name, timeout)?;
        self.in_sync = true;
        Ok(taken)
    }

    /// ESC @: everything to its default, fatal errors forgotten.
    pub(super) fn reset(&mut self, timeout: Duration) -> Result<(), ScanError> {
        match self.command_within(RESET, timeout)? {
            true => Ok(()),
            false => Err(ProtocolError::ReplyByte { to: RESET.name, got: NAK }.into()),
        }
    }

    /// A command with a parameter. False: refused, the old value stays.
    pub(super) fn parameter(&mut self, code: Code, bytes: &[u8]) -> Result<bool, ScanError> {
        let timeout = self.channel.timeouts.reply;
        if !self.command_within(code, timeout)? {
            return Ok(false);
        }
        self.send(bytes)?;
        let taken = self.reply(code.name, timeout)?;
        self.in_sync = true;
        Ok(taken)
    }

    /// A question whose answer says how long it is.
    pub(super) fn information(&mut self, code: Code) -> Result<(StatusByte, Bytes), ScanError> {
        self.send(&code.bytes)?;
        let head = Item { name: code.name, bytes: status::INFORMATION_BYTES, answers: Some(code) };
        let head = self.item(head, self.channel.timeouts.reply)?;
        let (status, length) = status::parse_information(&head)?;
        if length > MOST_ANSWER {
            return Err(ProtocolError::Length { item: code.name, expected: MOST_ANSWER, got: length }.into());
        }
        let payload = self.item(Item { name: code.name, bytes: length, answers: None }, self.channel.timeouts.reply)?;
        self.in_sync = true;
        Ok((status, payload))
    }

    /// A question whose answer has a fixed length.
    pub(super) fn structure(&mut self, code: Code, bytes: usize) -> Result<Bytes, ScanError> {
        self.send(&code.bytes)?;
        let bytes = self.item(Item { name: code.name, bytes, answers: Some(code) }, self.channel.timeouts.reply)?;
        self.in_sync = true;
        Ok(bytes)
    }

    /// How the scanner is.
    pub(super) fn device_status(&mut self, dialect: Dialect) -> Result<DeviceStatus, ScanError> {
        match dialect {
            Dialect::Fs => {
                let bytes = self.structure(FS_STATUS, status::FS_STATUS_BYTES)?;
                Ok(status::parse_fs_status(&bytes)?)
            }
            Dialect::Esc if self.is_terse => {
                let (head, _) = self.information(STATUS)?;
                Ok(status::parse_terse(head))
            }
            Dialect::Esc => {
                let (head, bytes) = self.information(EXTENDED_STATUS)?;
                let mut device_status = status::parse_extended_status(&bytes)?;
                if head.is_busy() {
                    device_status.problem = device_status.problem.or(Some(DeviceError::Busy));
                }
                Ok(device_status)
            }
        }
    }
}

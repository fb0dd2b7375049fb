//! The handshake of ESC/I: a command, its ACK, a parameter, its ACK; a question and its answer. Runs on the thread
//! that scans; knows at any moment whether the scanner waits for a command.

use std::time::Duration;

use bytes::Bytes;

use super::abilities::Dialect;
use super::codes::{ACK, Code, EXTENDED_STATUS, FS_STATUS, NAK, OneByte, RESET, STATUS};
use super::status::{self, Standing, StatusByte};
use super::{Nonsense, Patience};
use crate::pieces::Pieces;
use crate::{Cancel, Problem, ReadEnd, Received, ScanError, Transport};

/// Empty packets in a row that are taken for a scanner that has nothing to say.
const EMPTY_PACKETS: usize = 64;

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

/// A whole packet of any USB speed.
const LISTEN_BYTES: usize = 1024;

/// A conversation with a scanner.
pub(super) struct Dialogue {
    pub transport: Box<dyn Transport>,
    pub cancel: Cancel,
    pub patience: Patience,
    /// The scanner has no ESC f, and says how it is with ESC F only.
    pub is_terse: bool,
    /// The scanner waits for a command, and nothing of it waits for us.
    pub in_step: bool,
    /// A read was started and not finished.
    reading: bool,
}

impl Dialogue {
    pub(super) fn new(transport: Box<dyn Transport>, patience: Patience) -> Dialogue {
        let cancel = transport.cancel_handle();
        Dialogue { transport, cancel, patience, is_terse: false, in_step: false, reading: false }
    }

    /// Sends bytes. Whatever they are, the scanner is busy with them until its answer was read.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if self.cancel.is_asked() {
            // Before the scanner hears of it: it stays in step if it was.
            return Err(ScanError::Cancelled { idle: self.in_step });
        }
        self.in_step = false;
        Ok(self.transport.write(bytes, self.patience.write)?)
    }

    /// Starts the read of an item that comes next, or of what is missing of it.
    pub(super) fn start(&mut self, bytes: usize, patience: Duration) -> Result<(), ScanError> {
        self.transport.start_read(bytes, patience)?;
        self.reading = true;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Received, ScanError> {
        self.reading = false;
        Ok(self.transport.finish_read()?)
    }

    /// Ends a read that is under way, if one is; gives back what it had.
    pub(super) fn stop_reading(&mut self) -> Result<Bytes, ScanError> {
        if !self.reading {
            return Ok(Bytes::new());
        }
        self.transport.cancel_read();
        Ok(self.finish()?.bytes)
    }

    /// Reads until `into` has the whole item. A scanner that sends it in pieces is none the worse for it. After an error
    /// `into` has what came, and the same call goes on from there.
    pub(super) fn fill(&mut self, into: &mut Pieces, item: Item, patience: Duration) -> Result<(), ScanError> {
        let mut empty = 0;
        while into.len() < item.bytes {
            if !self.reading {
                self.start(item.bytes - into.len(), patience)?;
            }
            let Received { bytes, end } = self.finish()?;
            empty = if bytes.is_empty() { empty + 1 } else { 0 };
            into.push(bytes);
            if let (Some(code), [NAK]) = (item.answers, &into[..]) {
                self.in_step = true;
                return Err(ScanError::Refused { parameter: item.name.to_owned(), command: code.name });
            }
            let is_whole = into.len() >= item.bytes;
            match end {
                _ if is_whole => {}
                ReadEnd::Done if empty >= EMPTY_PACKETS => return Err(Nonsense::Empty.into()),
                ReadEnd::Done => {}
                ReadEnd::TimedOut => return Err(ScanError::Mute { during: item.name, after: patience }),
                ReadEnd::Cancelled => return Err(ScanError::Cancelled { idle: false }),
            }
        }
        Ok(())
    }

    /// Before the first word: the answers to somebody else's questions would be taken for those to ours, one by one, and fit.
    ///
    /// [`Nonsense::Unasked`] when there are any.
    pub(super) fn listen(&mut self) -> Result<(), ScanError> {
        let received = self.transport.read(LISTEN_BYTES, self.patience.listen)?;
        match (received.bytes.is_empty(), received.end) {
            (false, _) => Err(Nonsense::Unasked.into()),
            (true, ReadEnd::Cancelled) => Err(ScanError::Cancelled { idle: self.in_step }),
            (true, _) => Ok(()),
        }
    }

    fn item(&mut self, item: Item, patience: Duration) -> Result<Bytes, ScanError> {
        let mut pieces = Pieces::default();
        self.fill(&mut pieces, item, patience)?;
        Ok(pieces.take())
    }

    /// Yes or no.
    fn reply(&mut self, to: &'static str, patience: Duration) -> Result<bool, ScanError> {
        let bytes = self.item(Item { name: to, bytes: 1, answers: None }, patience)?;
        match bytes[..] {
            [ACK] => Ok(true),
            [NAK] => Ok(false),
            _ => Err(Nonsense::Reply { to, got: bytes.first().copied().unwrap_or(0) }.into()),
        }
    }

    /// A command without parameters. False: refused.
    fn command_within(&mut self, code: Code, patience: Duration) -> Result<bool, ScanError> {
        self.send(&code.bytes)?;
        let taken = self.reply(code.name, patience)?;
        self.in_step = true;
        Ok(taken)
    }

    /// A command of one byte: it moves paper. False: refused.
    pub(super) fn one_byte(&mut self, code: OneByte, patience: Duration) -> Result<bool, ScanError> {
        self.send(&[code.byte])?;
        let taken = self.reply(code.name, patience)?;
        self.in_step = true;
        Ok(taken)
    }

    /// ESC @: everything to its default, fatal errors forgotten.
    pub(super) fn reset(&mut self, patience: Duration) -> Result<(), ScanError> {
        match self.command_within(RESET, patience)? {
            true => Ok(()),
            false => Err(Nonsense::Reply { to: RESET.name, got: NAK }.into()),
        }
    }

    /// A command with a parameter. False: refused, the old value stays.
    pub(super) fn parameter(&mut self, code: Code, bytes: &[u8]) -> Result<bool, ScanError> {
        let patience = self.patience.reply;
        if !self.command_within(code, patience)? {
            return Ok(false);
        }
        self.send(bytes)?;
        let taken = self.reply(code.name, patience)?;
        self.in_step = true;
        Ok(taken)
    }

    /// A question whose answer says how long it is.
    pub(super) fn information(&mut self, code: Code) -> Result<(StatusByte, Bytes), ScanError> {
        self.send(&code.bytes)?;
        let head = Item { name: code.name, bytes: status::INFORMATION_BYTES, answers: Some(code) };
        let head = self.item(head, self.patience.reply)?;
        let (status, length) = status::parse_information(&head)?;
        if length > MOST_ANSWER {
            return Err(Nonsense::Length { item: code.name, expected: MOST_ANSWER, got: length }.into());
        }
        let payload = self.item(Item { name: code.name, bytes: length, answers: None }, self.patience.reply)?;
        self.in_step = true;
        Ok((status, payload))
    }

    /// A question whose answer has a fixed length.
    pub(super) fn structure(&mut self, code: Code, bytes: usize) -> Result<Bytes, ScanError> {
        self.send(&code.bytes)?;
        let bytes = self.item(Item { name: code.name, bytes, answers: Some(code) }, self.patience.reply)?;
        self.in_step = true;
        Ok(bytes)
    }

    /// How the scanner is.
    pub(super) fn standing(&mut self, dialect: Dialect) -> Result<Standing, ScanError> {
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
                let mut standing = status::parse_extended_status(&bytes)?;
                if head.is_busy() {
                    standing.problem = standing.problem.or(Some(Problem::Busy));
                }
                Ok(standing)
            }
        }
    }
}

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

use super::Nonsense;
use super::notes::{NotReady, Notes};
use super::words::{Head, REPLY_BYTES, request};
use crate::esci::Patience;
use crate::pieces::Pieces;
use crate::{Cancel, Problem, Progress, ReadEnd, ScanError, Transport};

/// The most data in a reply to anything but IMG: gamma tables are the longest part of what is known.
const MOST_ANSWER: usize = 64 * 1024;
/// And to IMG. Far more than is asked for, and what one read can bring.
pub(super) const MOST_CHUNK: usize = 1 << 20;
/// Empty packets in a row that are taken for a scanner that has nothing to say.
const EMPTY_PACKETS: usize = 64;
/// A whole packet of any USB speed.
const LISTEN_BYTES: usize = 1024;

const ENTER: &[u8] = b"\x1cX";
const ACK: u8 = 0x06;

/// Where in a session the scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
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
    head: Pieces,
    parsed: Option<Head>,
    data: Pieces,
}

/// A conversation with a scanner.
pub(super) struct Dialogue {
    pub transport: Box<dyn Transport>,
    pub cancel: Cancel,
    pub patience: Patience,
    pub at: At,
    /// A read was started and not finished.
    reading: bool,
    /// IMG was asked for.
    coming: Option<Coming>,
}

pub(super) type Tell<'a> = &'a mut dyn FnMut(Progress);

impl Dialogue {
    pub(super) fn new(transport: Box<dyn Transport>, patience: Patience) -> Dialogue {
        let cancel = transport.cancel_handle();
        Dialogue { transport, cancel, patience, at: At::Outside, reading: false, coming: None }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        if self.cancel.is_asked() {
            // Before the scanner hears of it: it stays where it was.
            return Err(ScanError::Cancelled { idle: self.at == At::Outside });
        }
        self.at = At::Unknown;
        Ok(self.transport.write(bytes, self.patience.write)?)
    }

    /// Ends a read that is under way, if one is, and forgets what was asked for.
    pub(super) fn drop_reading(&mut self) -> Result<(), ScanError> {
        self.coming = None;
        if std::mem::take(&mut self.reading) {
            self.transport.cancel_read();
            self.transport.finish_read()?;
        }
        Ok(())
    }

    /// Reads until `into` has so many bytes. After an error it has what came, and the same call goes on from there.
    fn fill(&mut self, into: &mut Pieces, bytes: usize, to: &'static str, patience: Duration) -> Result<(), ScanError> {
        let mut empty = 0;
        while into.len() < bytes {
            if !self.reading {
                self.transport.start_read(bytes - into.len(), patience)?;
            }
            self.reading = false;
            let received = self.transport.finish_read()?;
            empty = if received.bytes.is_empty() { empty + 1 } else { 0 };
            into.push(received.bytes);
            match received.end {
                _ if into.len() >= bytes => {}
                ReadEnd::Done if empty >= EMPTY_PACKETS => return Err(Nonsense::Empty.into()),
                ReadEnd::Done => {}
                ReadEnd::TimedOut => return Err(ScanError::Mute { during: to, after: patience }),
                ReadEnd::Cancelled => return Err(ScanError::Cancelled { idle: false }),
            }
        }
        Ok(())
    }

    /// Before the first word: the answers to somebody else's requests would be taken for those to ours.
    pub(super) fn listen(&mut self) -> Result<(), ScanError> {
        let received = self.transport.read(LISTEN_BYTES, self.patience.listen)?;
        match (received.bytes.is_empty(), received.end) {
            (false, _) => Err(Nonsense::Unasked.into()),
            (true, ReadEnd::Cancelled) => Err(ScanError::Cancelled { idle: self.at == At::Outside }),
            (true, _) => Ok(()),
        }
    }

    /// FS X: into a session.
    pub(super) fn enter(&mut self, patience: Duration) -> Result<(), ScanError> {
        self.send(ENTER)?;
        let mut answer = Pieces::default();
        self.fill(&mut answer, 1, "FS X", patience)?;
        match answer[..] {
            [ACK] => self.at = At::Session,
            [got, ..] => return Err(Nonsense::NoSession { got }.into()),
            [] => return Err(Nonsense::Empty.into()),
        }
        Ok(())
    }

    /// FIN: out of it.
    pub(super) fn leave(&mut self) -> Result<(), ScanError> {
        self.exchange("FIN ", "", self.patience.reply)?;
        self.at = At::Outside;
        Ok(())
    }

    /// A request with its parameters, and its reply; repeated while the scanner is not ready for it.
    pub(super) fn ask(
        &mut self,
        code: &'static str,
        parameters: &str,
        progress: Tell<'_>,
    ) -> Result<(Notes, Bytes), ScanError> {
        let began = Instant::now();
        loop {
            let (notes, data) = self.exchange(code, parameters, self.patience.reply)?;
            let waited = began.elapsed();
            match notes.not_ready {
                None => return Ok((notes, data)),
                Some(NotReady::Reserved) => return Err(Problem::Busy.into()),
                Some(NotReady::WarmingUp) if waited >= self.patience.warm_up => {
                    return Err(Problem::StillWarmingUp(waited).into());
                }
                Some(NotReady::WarmingUp) => progress(Progress::WarmingUp { waited }),
                Some(NotReady::Busy) if waited >= self.patience.homing => return Err(Problem::Busy.into()),
                Some(NotReady::Busy) => progress(Progress::Starting),
            }
            self.cancel.pause(self.patience.poll)?;
        }
    }

    /// The same, once.
    fn exchange(
        &mut self,
        code: &'static str,
        parameters: &str,
        patience: Duration,
    ) -> Result<(Notes, Bytes), ScanError> {
        self.send(&request(code, parameters.len()))?;
        if !parameters.is_empty() {
            self.send(parameters.as_bytes())?;
        }
        let mut coming = Coming::default();
        let head = self.receive(&mut coming, code, MOST_ANSWER, patience)?;
        self.at = At::Session;
        Ok((Notes::read(&head.tokens), coming.data.take()))
    }

    /// The rest of a reply.
    fn receive(
        &mut self,
        coming: &mut Coming,
        to: &'static str,
        most: usize,
        patience: Duration,
    ) -> Result<Head, ScanError> {
        let head = match coming.parsed.take() {
            Some(head) => head,
            None => {
                self.fill(&mut coming.head, REPLY_BYTES, to, patience)?;
                let head = Head::parse(&coming.head, to)?;
                if head.length > most {
                    return Err(Nonsense::Length { to, got: head.length, most }.into());
                }
                head
            }
        };
        let (length, mut data) = (head.length, std::mem::take(&mut coming.data));
        let filled = self.fill(&mut data, length, to, patience);
        coming.data = data;
        if let Err(error) = filled {
            coming.parsed = Some(head);
            return Err(error);
        }
        if head.code != *to.as_bytes() {
            let got = String::from_utf8_lossy(&head.code).into_owned();
            return Err(Nonsense::Other { to, got }.into());
        }
        Ok(head)
    }

    /// TRDT: images come next.
    pub(super) fn start_images(&mut self, progress: Tell<'_>) -> Result<(), ScanError> {
        let (notes, _) = self.ask("TRDT", "", progress)?;
        if let Some(problem) = notes.problem {
            return Err(problem.into());
        }
        self.at = At::Images;
        Ok(())
    }

    /// IMG: its reply begins to come while the last one is looked at.
    pub(super) fn request_image(&mut self) -> Result<(), ScanError> {
        self.send(&request("IMG ", 0))?;
        self.coming = Some(Coming::default());
        self.transport.start_read(REPLY_BYTES, self.patience.image)?;
        self.reading = true;
        Ok(())
    }

    /// The reply to IMG.
    pub(super) fn image(&mut self, patience: Duration) -> Result<(Notes, Bytes), ScanError> {
        let mut coming = self.coming.take().unwrap_or_default();
        let head = match self.receive(&mut coming, "IMG ", MOST_CHUNK, patience) {
            Ok(head) => head,
            Err(error) => {
                self.coming = Some(coming);
                return Err(error);
            }
        };
        let notes = Notes::read(&head.tokens);
        // An error ends the job by itself.
        self.at = if notes.problem.is_some() { At::Session } else { At::Images };
        Ok((notes, coming.data.take()))
    }

    /// Reads what is left of an answer to IMG, so that the scanner listens again.
    pub(super) fn rest_of_image(&mut self) -> Result<(), ScanError> {
        if self.coming.is_none() {
            return Ok(());
        }
        if std::mem::take(&mut self.reading) {
            self.transport.cancel_read();
            let came = self.transport.finish_read()?.bytes;
            if let Some(coming) = &mut self.coming {
                let into = if coming.parsed.is_some() { &mut coming.data } else { &mut coming.head };
                into.push(came);
            }
        }
        self.image(self.patience.rest_of_block).map(drop)
    }

    /// CAN: the job is over. A scanner that had ended it by itself says that this is not the moment; that is as good.
    pub(super) fn stop_images(&mut self) -> Result<(), ScanError> {
        match self.exchange("CAN ", "", self.patience.resync) {
            Err(ScanError::Esci2(Nonsense::Other { got, .. })) if got == "INVD" => {
                self.at = At::Session;
                Ok(())
            }
            result => result.map(drop),
        }
    }
}

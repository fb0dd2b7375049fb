//! One HTTP connection: a request, and its response as it comes. Runs on the thread that scans.
//!
//! Reads ask for what is sure to come, in whole packets, so that none is left waiting behind the end of a response. While
//! a piece of a body is looked at, the next one is under way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use usbscan_escl::http::{Head, HttpError, Limits, Part, Receiver, Request};

use crate::support::Timeouts;
use crate::support::channel::Channel;
use crate::{ProtocolError, ReadEnd, Received, ScanError, Transport};

/// The most that one read asks for.
const MOST_READ: u64 = 256 * 1024;
/// Empty packets mean that there is nothing yet: wait so long, then longer and longer, and ask again.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Silence that ends a response of which nothing says where it ends.
const UNFRAMED: Duration = Duration::from_secs(2);

/// What reading on has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyRead {
    Something,
    /// Nothing, and the response is taken for whole.
    End,
}

/// What abort steps call the pipes of a connection; `None` are those that the session has bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Endpoints {
    pub read: Option<u8>,
    pub write: Option<u8>,
}

/// A connection.
pub(super) struct Connection {
    pub channel: Channel,
    receiver: Receiver,
    /// Empty packets since the last byte.
    empty: u32,
    /// Since when nothing has come.
    since: Instant,
}

impl Connection {
    pub(super) fn new(transport: Box<dyn Transport>, timeouts: Timeouts) -> Connection {
        let channel = Channel::new(transport, timeouts);
        Connection { channel, receiver: Receiver::default(), empty: 0, since: Instant::now() }
    }

    /// Whether no response is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.receiver.is_idle()
    }

    /// Sends a request; its response comes next.
    pub(super) fn send(&mut self, request: &Request, limits: Limits) -> Result<(), ScanError> {
        debug_assert!(self.receiver.is_idle(), "one request at a time");
        if self.channel.cancel.is_requested() {
            return Err(ScanError::Cancelled { idle: false });
        }
        // Before it is sent: of one that is sent in part nobody knows whether it is answered.
        self.receiver.expect(limits);
        (self.empty, self.since) = (0, Instant::now());
        Ok(self.channel.transport.write(&request.to_bytes(), self.channel.timeouts.write)?)
    }

    /// The head of the response; waits for it as long as that.
    pub(super) fn head(&mut self, during: &'static str, timeout: Duration) -> Result<Head, ScanError> {
        loop {
            match self.next_part()? {
                Some(Part::Head(head)) => {
                    if self.receiver.skipped() > 0 {
                        log::info!(
                            "{} bytes of another response came before that to {during}",
                            self.receiver.skipped()
                        );
                    }
                    return Ok(head);
                }
                Some(_) => return Err(ProtocolError::NoReply { to: during }.into()),
                None => {
                    self.receive(during, timeout)?;
                }
            }
        }
    }

    /// The next piece of the body; `None` behind the last. A piece is waited for as long as that.
    pub(super) fn body(&mut self, during: &'static str, timeout: Duration) -> Result<Option<Bytes>, ScanError> {
        loop {
            match self.next_part()? {
                Some(Part::Body(bytes)) => {
                    self.read_ahead(timeout)?;
                    return Ok(Some(bytes));
                }
                Some(Part::End) => return Ok(None),
                Some(Part::Head(_)) => return Err(ProtocolError::NoReply { to: during }.into()),
                None if self.receiver.is_idle() => return Ok(None),
                None => {
                    if self.receive(during, timeout)? == BodyRead::End {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Asks, and reads the whole response.
    pub(super) fn exchange(
        &mut self,
        request: &Request,
        limits: Limits,
        during: &'static str,
        timeout: Duration,
    ) -> Result<(Head, Vec<u8>), ScanError> {
        self.send(request, limits)?;
        let head = self.head(during, timeout)?;
        Ok((head, self.rest(during, timeout)?))
    }

    /// The rest of the body, which [`Limits`] bound.
    pub(super) fn rest(&mut self, during: &'static str, timeout: Duration) -> Result<Vec<u8>, ScanError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.body(during, timeout)? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// Reads the response under way to its end and throws it away, for as long as bytes keep coming and `most` at the
    /// longest. Its head, if that came only now.
    pub(super) fn drain(&mut self, timeout: Duration, most: Duration) -> Result<Option<Head>, ScanError> {
        let (mut head, began) = (None, Instant::now());
        while !self.receiver.is_idle() {
            match self.next_part()? {
                Some(Part::Head(one)) => head = Some(one),
                Some(_) => {}
                None => {
                    if began.elapsed() >= most {
                        return Err(ScanError::NoResponse { during: "the end of its response", after: most });
                    }
                    self.receive("the rest of its response", timeout)?;
                }
            }
        }
        Ok(head)
    }

    /// What abort steps call its pipes.
    pub(super) fn endpoints(&self) -> Endpoints {
        let transport = &self.channel.transport;
        Endpoints { read: transport.read_endpoint(), write: transport.write_endpoint() }
    }

    /// Nothing is expected any more; a read that is under way is ended.
    pub(super) fn forget(&mut self) -> Result<(), ScanError> {
        self.receiver = Receiver::default();
        self.channel.stop_reading().map(drop)
    }

    fn next_part(&mut self) -> Result<Option<Part>, ScanError> {
        self.receiver.next_part().map_err(|error: HttpError| ProtocolError::Http(error).into())
    }

    /// The next read, if it is known that something comes.
    fn read_ahead(&mut self, timeout: Duration) -> Result<(), ScanError> {
        if self.receiver.needs_more() && !self.channel.is_reading() && !self.channel.cancel.is_requested() {
            self.start_read(timeout)?;
        }
        Ok(())
    }

    fn start_read(&mut self, timeout: Duration) -> Result<(), ScanError> {
        let packet = self.channel.transport.packet_bytes().max(1);
        let due = self.receiver.due().clamp(1, MOST_READ) as usize;
        let timeout = if self.receiver.framing().is_some_and(|body| body.is_unframed()) { UNFRAMED } else { timeout };
        self.channel.start_read(due.next_multiple_of(packet), timeout)
    }

    fn receive(&mut self, during: &'static str, timeout: Duration) -> Result<BodyRead, ScanError> {
        if !self.channel.is_reading() {
            self.start_read(timeout)?;
        }
        let Received { bytes, end } = self.channel.finish_read()?;
        let is_empty = bytes.is_empty();
        if !is_empty {
            (self.empty, self.since) = (0, Instant::now());
            self.receiver.push(bytes);
        }
        match end {
            ReadEnd::Cancelled => Err(ScanError::Cancelled { idle: false }),
            ReadEnd::TimedOut if is_empty => self.silent(during, timeout),
            ReadEnd::Done if is_empty && self.since.elapsed() >= timeout => self.silent(during, timeout),
            ReadEnd::Done if is_empty => {
                let wait = FIRST_WAIT.saturating_mul(1 << self.empty.min(7)).min(LONGEST_WAIT).min(timeout);
                self.empty += 1;
                self.channel.cancel.pause(wait)?;
                Ok(BodyRead::Something)
            }
            ReadEnd::Done | ReadEnd::TimedOut => Ok(BodyRead::Something),
        }
    }

    /// Nothing has come for so long: the end of a response without framing, and of one that is shorter than it said and ended
    /// with an empty packet, as some of HP's do.
    fn silent(&mut self, during: &'static str, timeout: Duration) -> Result<BodyRead, ScanError> {
        let is_end = self.receiver.framing().is_some_and(|body| body.is_unframed() || self.empty > 0);
        if !is_end {
            return Err(ScanError::NoResponse { during, after: timeout });
        }
        let missing = self.receiver.end_here();
        if missing > 0 {
            log::info!("the response to {during} is {missing} bytes shorter than it said");
        }
        Ok(BodyRead::End)
    }
}

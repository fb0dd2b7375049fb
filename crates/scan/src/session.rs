//! A transport over a session with usbscand. Runs on the driver's thread; cancels come from any.
//!
//! The daemon keeps the time of every transfer. Should it not end one by then, nor soon after, the
//! transport gives up on the daemon rather than wait for ever. When the time for cleaning up is over (see [`Cancel`]), it ends the
//! session, whatever it waits for: the abort sequence that is armed is then the daemon's to run.
//!
//! Blocks come through memory that the daemon shares, where it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use usbscan_client::wire::{
    self, AbortStep, Answer, Command, ControlDirection, DeviceEntry, EsclQuirks, Event, ListBody, OpenBody, Pipe,
    Status,
};
use usbscan_client::{Endpoints, Pending, RequestData, Session};

use crate::support::descriptors::{InterfacePipes, interfaces_of};
use crate::{Cancel, ClassTriple, ControlRequest, ReadEnd, Received, Transport, TransportError};

/// How much later than its timeout the daemon may answer: the time to take a transfer back from a host controller
/// that is slow about it.
const GRACE: Duration = Duration::from_secs(10);

/// How long the daemon may take to bring a scanner to idle, before it tells those whose job that ends.
const IDLING: Duration = Duration::from_secs(60);

/// How long the daemon may take to recover a scanner for us: longer than any phase of a job takes to settle.
const RECOVERY: Duration = Duration::from_secs(200);

/// Bytes of shared memory: two of the largest blocks, that which comes and that which is being looked at.
const SHARED: usize = 2 * wire::PAYLOAD_LIMIT;

struct Reading {
    id: u64,
    pending: Pending,
    timeout: Duration,
}

/// A scanner that a session has open.
pub struct SessionTransport {
    session: Arc<Session>,
    /// As the daemon names it; empty where that is not known.
    device: String,
    note: Option<String>,
    /// Those of an interface that was claimed besides; `None`: those that `open` bound.
    claimed: Option<InterfacePipes>,
    cancel: Cancel,
    /// The daemon has an abort sequence of this session: a job is under way. The same for all of its interfaces.
    has_job: Arc<AtomicBool>,
    /// The abort sequence that the daemon has of us.
    armed: Option<(Vec<AbortStep>, Option<Duration>)>,
    reading: Option<Started>,
    /// The daemon was asked for shared memory.
    shares: bool,
    interface: u8,
    packet_bytes: usize,
}

/// Every speed's bulk packet is a multiple of it.
const SMALLEST_PACKET: usize = 64;

enum Started {
    Reading(Reading),
    /// It was cancelled before it could be.
    Not,
}

impl std::fmt::Debug for SessionTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionTransport").field("session", &self.session).finish_non_exhaustive()
    }
}

impl SessionTransport {
    /// Over a session that has its scanner open, and its lock if it wants one.
    pub fn new(session: Session) -> SessionTransport {
        let canceller = session.canceller();
        let cancel = Cancel::new(move |id| {
            if let Err(error) = canceller.ask_cancel_request(id) {
                log::debug!("cancel request {id}: {error}");
            }
        });
        SessionTransport {
            session: Arc::new(session),
            device: String::new(),
            note: None,
            claimed: None,
            cancel,
            has_job: Arc::default(),
            armed: None,
            reading: None,
            shares: false,
            interface: 0,
            packet_bytes: SMALLEST_PACKET,
        }
    }

    /// With what the daemon said of the pipes when the scanner was opened.
    #[must_use]
    pub fn with_pipes(self, opened: &OpenBody) -> SessionTransport {
        let read = opened.pipes.iter().find(|pipe| pipe.bound.as_deref() == Some(Pipe::Read.as_str()));
        let packet = read.map_or(0, |pipe| usize::from(pipe.max_packet_size));
        let packet_bytes = if packet == 0 { SMALLEST_PACKET } else { packet };
        SessionTransport {
            device: opened.device.name.clone(),
            note: opened.note.clone(),
            interface: opened.device.interface,
            packet_bytes,
            ..self
        }
    }

    /// Opens `device` and takes its lock.
    ///
    /// # Errors
    /// Refusals of the daemon; `busy` names who has the scanner.
    pub fn open(session: Session, device: &str) -> Result<(SessionTransport, DeviceEntry), usbscan_client::Error> {
        SessionTransport::open_at(session, device, Endpoints::default())
    }

    /// The same, at the interface that is named.
    ///
    /// # Errors
    /// As [`SessionTransport::open`].
    pub fn open_at(
        session: Session,
        device: &str,
        endpoints: Endpoints,
    ) -> Result<(SessionTransport, DeviceEntry), usbscan_client::Error> {
        let opened = session.open_at(device, endpoints)?;
        session.lock_handle().lock_timeout(usbscan_client::LOCK_TIMEOUT)?;
        Ok((SessionTransport::new(session).with_pipes(&opened), opened.device))
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The handle that cancels what is done here, for another thread.
    pub fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Over an interface that the session has claimed.
    fn beside(&self, pipes: InterfacePipes) -> SessionTransport {
        SessionTransport {
            session: self.session.clone(),
            device: self.device.clone(),
            note: None,
            cancel: self.cancel.clone(),
            has_job: self.has_job.clone(),
            armed: None,
            reading: None,
            // What it reads is short.
            shares: true,
            interface: pipes.interface,
            packet_bytes: usize::from(pipes.packet_bytes),
            claimed: Some(pipes),
        }
    }

    /// Asks for shared memory when the first block is asked for: a session that only asks a scanner for its buttons needs none.
    fn share(&mut self) {
        if !std::mem::replace(&mut self.shares, true) {
            if let Err(error) = self.session.share_memory(SHARED) {
                log::debug!("share memory with usbscand: {error}");
            }
        }
    }

    fn start(&mut self, command: Command, payload: &[u8], timeout: Duration) -> Result<Reading, TransportError> {
        let id = self.session.new_id();
        self.cancel.starting(id)?;
        match self.session.start_as(id, command, payload) {
            Ok(pending) => {
                self.cancel.started(id);
                Ok(Reading { id, pending, timeout: timeout + GRACE })
            }
            Err(error) => {
                self.cancel.ended(id);
                Err(error.into())
            }
        }
    }

    /// The answer, whatever its status.
    fn finish(&mut self, mut reading: Reading) -> Result<Answer, TransportError> {
        let answer = self.wait(&mut reading.pending, reading.timeout);
        self.cancel.ended(reading.id);
        match answer {
            Err(TransportError::Daemon(usbscan_client::Error::Refused(refusal))) => Ok(refusal.answer),
            answer => answer,
        }
    }

    /// Waits for an answer, but no longer than cleaning up may take while it is going on.
    fn wait(&self, pending: &mut Pending, timeout: Duration) -> Result<Answer, TransportError> {
        let until = Instant::now() + timeout;
        let (woken, events) = (self.cancel.woken(), self.session.events());
        loop {
            self.look_for_foreign_cancels();
            let end = self.cancel.deadline().map_or(until, |deadline| deadline.min(until));
            let left = end.saturating_duration_since(Instant::now());
            if let Some(answer) = pending.wait_unless_woken(left, &woken, events)? {
                return Ok(answer);
            }
            let now = Instant::now();
            if self.cancel.deadline().is_some_and(|deadline| deadline <= now) {
                self.session.lock_handle().hang_up();
                return Err(TransportError::HungUp);
            }
            if until <= now {
                return Err(TransportError::Silent);
            }
        }
    }

    /// Somebody else's cancel of everything ends our job, and is told at once. The answer to what is under way may take as long as a
    /// slow host controller does, and the person has control before that.
    fn look_for_foreign_cancels(&self) {
        for event in self.session.events().try_iter() {
            // Only those who have the scanner open are told.
            let Event::CancelIo { by, .. } = event else { continue };
            if by.session != self.session.number() && self.has_job.load(Ordering::SeqCst) {
                self.cancel.start_clean_up();
            }
        }
    }

    /// For what a cancel does not end.
    fn tell(&self, command: Command) -> Result<(), TransportError> {
        let mut pending = self.session.start(command, Vec::new())?;
        self.wait(&mut pending, IDLING).map(drop)
    }

    fn run(
        &mut self,
        tried: &'static str,
        command: Command,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        self.answer(tried, command, payload, timeout).map(|answer| answer.payload)
    }

    fn answer(
        &mut self,
        tried: &'static str,
        command: Command,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Answer, TransportError> {
        let name = command.name();
        let reading = self.start(command, payload, timeout)?;
        let answer = self.finish(reading)?;
        match answer.status {
            Status::Success => Ok(answer),
            _ => Err(failure(tried, name, timeout, answer)),
        }
    }
}

fn failure(tried: &'static str, command: &'static str, timeout: Duration, answer: Answer) -> TransportError {
    match answer.status {
        Status::Cancelled => TransportError::Cancelled,
        Status::Timeout => TransportError::Timeout { tried, after: timeout },
        Status::Stall => TransportError::Stall { tried },
        Status::Overrun => TransportError::Overrun,
        Status::IoError => TransportError::Bus { tried },
        Status::NoDevice => TransportError::NoDevice,
        Status::NotSupported => TransportError::NotSupported { tried },
        _ => usbscan_client::Error::Refused(Box::new(usbscan_client::Refusal { command, answer })).into(),
    }
}

impl Transport for SessionTransport {
    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), TransportError> {
        let command = Command::Write {
            endpoint: self.write_endpoint(),
            offset: None,
            length: 0,
            zero_packet: false,
            timeout: Some(timeout.as_secs_f64()),
        };
        self.run("write", command, bytes, timeout).map(drop)
    }

    fn start_read(&mut self, length: usize, timeout: Duration) -> Result<(), TransportError> {
        debug_assert!(self.reading.is_none(), "one read at a time");
        if length >= usbscan_client::SHORTEST_SHARED {
            self.share();
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let command = Command::Read {
            endpoint: self.read_endpoint(),
            offset: None,
            length,
            return_partial: true,
            timeout: Some(timeout.as_secs_f64()),
        };
        self.reading = Some(match self.start(command, &[], timeout) {
            Ok(reading) => Started::Reading(reading),
            Err(TransportError::Cancelled) => Started::Not,
            Err(error) => return Err(error),
        });
        Ok(())
    }

    fn finish_read(&mut self) -> Result<Received, TransportError> {
        let reading = match self.reading.take() {
            Some(Started::Reading(reading)) => reading,
            Some(Started::Not) | None => return Ok(Received { bytes: Bytes::new(), end: ReadEnd::Cancelled }),
        };
        let timeout = reading.timeout - GRACE;
        let answer = self.finish(reading)?;
        let end = match answer.status {
            Status::Success => ReadEnd::Done,
            Status::Timeout => ReadEnd::TimedOut,
            Status::Cancelled => ReadEnd::Cancelled,
            _ => return Err(failure("read", "read", timeout, answer)),
        };
        Ok(Received { bytes: answer.payload, end })
    }

    fn cancel_read(&mut self) {
        if let Some(Started::Reading(reading)) = &self.reading {
            if let Err(error) = self.session.canceller().ask_cancel_request(reading.id) {
                log::debug!("cancel read {}: {error}", reading.id);
            }
        }
    }

    fn control(&mut self, request: &ControlRequest, timeout: Duration) -> Result<Bytes, TransportError> {
        let ControlRequest { kind, recipient, request, value, index, data } = request.clone();
        let (direction, length, payload) = match data {
            RequestData::In(length) => (ControlDirection::In, length, Vec::new()),
            RequestData::Out(bytes) => (ControlDirection::Out, 0, bytes),
        };
        let seconds = Some(timeout.as_secs_f64());
        let command =
            Command::UsbRequest { request, value, index, direction, length, kind, recipient, timeout: seconds };
        self.run("control request", command, &payload, timeout)
    }

    fn wait_event(&mut self, timeout: Duration) -> Result<Bytes, TransportError> {
        self.run("event", Command::WaitEvent { endpoint: None, timeout: Some(timeout.as_secs_f64()) }, &[], timeout)
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), TransportError> {
        let endpoint = if pipe == Pipe::Write { self.write_endpoint() } else { self.read_endpoint() };
        let pipe = endpoint.is_none().then_some(pipe);
        self.run("pipe reset", Command::ResetPipe { pipe, endpoint }, &[], GRACE).map(drop)
    }

    fn recover(&mut self) -> Result<(), TransportError> {
        let recovered = self.run("recovery", Command::CancelPending { device: None }, &[], RECOVERY);
        if let Some((steps, settle)) = self.armed.take() {
            self.tell(Command::DisarmAbort {})?;
            self.arm_abort(steps, settle)?;
        }
        recovered.map(drop)
    }

    fn arm_abort(&mut self, steps: Vec<AbortStep>, settle: Option<Duration>) -> Result<(), TransportError> {
        let ms = settle.map(|settle| u32::try_from(settle.as_millis()).unwrap_or(u32::MAX).min(wire::MAX_SETTLE_MS));
        self.run("abort sequence", Command::ArmAbort { steps: steps.clone(), settle: ms }, &[], GRACE)?;
        self.armed = Some((steps, settle));
        // What was told before concerned an earlier job.
        if !self.has_job.load(Ordering::SeqCst) {
            self.look_for_foreign_cancels();
            self.has_job.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn set_note(&mut self, note: &str) -> Result<(), TransportError> {
        self.run("note", Command::SetNote { note: note.to_owned() }, &[], GRACE).map(drop)
    }

    fn escl_quirks(&mut self, model: Option<&str>) -> Result<EsclQuirks, TransportError> {
        let command = Command::EsclQuirks { model: model.map(str::to_owned) };
        let name = command.name();
        let answer = self.answer("question for its model's quirks", command, &[], GRACE)?;
        answer.body().map_err(|source| usbscan_client::Error::BadAnswer { command: name, source }.into())
    }

    fn disarm_abort(&mut self) -> Result<(), TransportError> {
        self.armed = None;
        self.has_job.store(false, Ordering::SeqCst);
        self.tell(Command::DisarmAbort {})
    }

    fn packet_bytes(&self) -> usize {
        self.packet_bytes
    }

    fn interface(&self) -> u8 {
        self.interface
    }

    fn read_endpoint(&self) -> Option<u8> {
        self.claimed.map(|pipes| pipes.read)
    }

    fn write_endpoint(&self) -> Option<u8> {
        self.claimed.map(|pipes| pipes.write)
    }

    fn second_interface(&mut self, classes: &[ClassTriple]) -> Result<Option<Box<dyn Transport>>, TransportError> {
        if self.device.is_empty() {
            return Ok(None);
        }
        let command = Command::List { device: Some(self.device.clone()), descriptors: true };
        let listed: ListBody =
            self.session.call(command, Vec::new())?.body().map_err(|source| {
                TransportError::Daemon(usbscan_client::Error::BadAnswer { command: "list", source })
            })?;
        let entry = listed.devices.first();
        let descriptors = entry.and_then(|entry| Some((entry.descriptors.as_ref()?, entry.configuration?)));
        let Some((descriptors, configuration)) = descriptors else { return Ok(None) };
        let all = interfaces_of(&descriptors.0, configuration, classes);
        for pipes in all.into_iter().filter(|pipes| pipes.interface != self.interface) {
            match self.session.claim(pipes.interface, Some(pipes.alternate)) {
                Ok(()) => return Ok(Some(Box::new(self.beside(pipes)))),
                Err(usbscan_client::Error::Refused(refusal)) => {
                    log::info!("claim interface {}: {refusal}", pipes.interface)
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The daemon cancels all that a session asks for whose job somebody else has ended, until it says that it knows; and answers
    /// that when the scanner is idle.
    fn await_recovery(&mut self) -> Result<(), TransportError> {
        self.cancel.start_clean_up();
        self.cancel.acknowledge();
        self.armed = None;
        self.has_job.store(false, Ordering::SeqCst);
        self.tell(Command::DisarmAbort {})
    }

    fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }
}

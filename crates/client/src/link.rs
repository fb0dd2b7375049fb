//! The two directions of one connection: whole requests out, from any thread; answers in, from the one
//! thread that reads, to those who wait for them. Knows ids, not commands. What a request has out in shared memory waits for
//! its answer here too, whether or not anybody still does.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, BufReader, IoSlice};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use rustix::net::{SendAncillaryBuffer, SendFlags};
use usbscan_shm::{Received, ShmArena};
use usbscan_wire::{Answer, Command, Event, FrameError, FromDaemon};

use crate::buffer_pool::BufferPool;
use crate::incoming::Incoming;
use crate::reply_extra::{Mismatch, ReplyExtra};
use crate::{Error, GoneWhy};

/// Events that nobody has looked at yet; of more than these the oldest are forgotten.
const EVENTS_KEPT: usize = 256;

/// What comes back for a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub answer: Answer,
    /// The memory that was asked for.
    pub descriptor: Option<Received>,
}

#[derive(Debug)]
struct Waiter {
    /// `None`: nobody wants the answer any more, but something is extra with it.
    answer: Option<Sender<Reply>>,
    extra: ReplyExtra,
}

#[derive(Debug, Default)]
struct Waiting {
    answers: HashMap<u64, Waiter>,
    gone: Option<GoneWhy>,
}

/// One connection, shared by a session, its pending requests and its cancel handles.
#[derive(Debug)]
pub(crate) struct Link {
    socket: UnixStream,
    /// Held while one request's bytes go out, so that no other's get between them. The daemon always reads.
    turn: Mutex<()>,
    waiting: Mutex<Waiting>,
    next_id: AtomicU64,
    /// Memory for payloads to come.
    pool: Arc<BufferPool>,
    /// Memory that the daemon shares.
    arena: OnceLock<ShmArena>,
}

impl Link {
    pub(crate) fn new(socket: UnixStream) -> Link {
        let (turn, waiting, next_id) = (Mutex::default(), Mutex::default(), AtomicU64::new(1));
        Link { socket, turn, waiting, next_id, pool: Arc::default(), arena: OnceLock::new() }
    }

    /// The memory that the daemon shares, if it does.
    pub(crate) fn arena(&self) -> Option<&ShmArena> {
        self.arena.get()
    }

    /// From now on there is this. False: there was some already, which stays.
    pub(crate) fn share(&self, arena: ShmArena) -> bool {
        let is_first = self.arena.set(arena).is_ok();
        // Whoever hung up just now found none: nothing may come of it any more.
        if let (Some(arena), Some(_)) = (self.arena(), self.gone()) {
            arena.detach();
        }
        is_first
    }

    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Why the connection is gone, if it is.
    pub(crate) fn gone(&self) -> Option<GoneWhy> {
        self.waiting.lock().gone.clone()
    }

    /// Sends a request whose answer is wanted.
    pub(crate) fn start(
        &self,
        id: u64,
        command: &Command,
        payload: &[u8],
        extra: ReplyExtra,
    ) -> Result<Receiver<Reply>, Error> {
        let name = command.name();
        let (answer, wait) = bounded(1);
        {
            let mut waiting = self.waiting.lock();
            if let Some(why) = waiting.gone.clone() {
                return Err(Error::Gone { command: name, why });
            }
            waiting.answers.insert(id, Waiter { answer: Some(answer), extra });
        }
        match self.send(id, command, payload) {
            Ok(()) => Ok(wait),
            Err(error) => {
                self.forget(id);
                Err(error)
            }
        }
    }

    /// Sends a request whose answer nobody wants.
    pub(crate) fn send(&self, id: u64, command: &Command, payload: &[u8]) -> Result<(), Error> {
        let name = command.name();
        if payload.len() > usbscan_wire::PAYLOAD_LIMIT {
            return Err(Error::TooLong { command: name, length: payload.len(), limit: usbscan_wire::PAYLOAD_LIMIT });
        }
        let header = command.header_line(id, payload.len());
        let turn = self.turn.lock();
        let sent = self.send_all(&mut [IoSlice::new(&header), IoSlice::new(payload)]);
        drop(turn);
        sent.map_err(|error| {
            // Half a message may be out, so nothing can follow it. The reader sees the end and tells everyone.
            self.hang_up(GoneWhy::Closed);
            log::debug!("send {name} to usbscand: {error}");
            Error::Gone { command: name, why: self.gone().unwrap_or(GoneWhy::Closed) }
        })
    }

    /// Without SIGPIPE, for this code also runs inside programs that did not ask for that.
    fn send_all(&self, mut left: &mut [IoSlice<'_>]) -> io::Result<()> {
        while left.iter().any(|slice| !slice.is_empty()) {
            match rustix::net::sendmsg(&self.socket, left, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => IoSlice::advance_slices(&mut left, sent),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Nobody waits for this answer any more. Returns whether somebody did.
    pub(crate) fn forget(&self, id: u64) -> bool {
        let mut waiting = self.waiting.lock();
        let Entry::Occupied(mut waiter) = waiting.answers.entry(id) else { return false };
        let was_wanted = waiter.get_mut().answer.take().is_some();
        if !matches!(waiter.get().extra, ReplyExtra::Slot { .. }) {
            waiter.remove();
        }
        was_wanted
    }

    /// Whether memory that the daemon sends can be looked at.
    pub(crate) fn is_trusted(&self) -> bool {
        usbscan_shm::is_trusted(&self.socket)
    }

    /// Ends the connection: the first reason stays. At its end the daemon takes back the memory that it shares, so whatever
    /// somebody keeps of it is made ours before.
    pub(crate) fn hang_up(&self, why: GoneWhy) {
        self.waiting.lock().gone.get_or_insert(why);
        if let Some(arena) = self.arena() {
            arena.detach();
        }
        // It may have ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Runs on the reading thread until the connection ends; then everyone who waits is told.
    pub(crate) fn read_all(&self, mut stream: BufReader<Incoming>, events: &Events) {
        let why = loop {
            match next(&mut stream, &self.pool) {
                Ok(Some(FromDaemon::Answer(answer))) => {
                    if let Err(mismatch) = self.deliver(answer, stream.get_mut()) {
                        break GoneWhy::Broken(mismatch.to_string());
                    }
                }
                Ok(Some(FromDaemon::Event(event))) => events.push(event),
                Ok(None) | Err(FrameError::Truncated) => break GoneWhy::Closed,
                Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => break GoneWhy::Closed,
                Err(error) => break GoneWhy::Broken(error.to_string()),
            }
            if stream.buffer().is_empty() && stream.get_mut().take_descriptor().is_some() {
                log::debug!("usbscand sent a descriptor that nobody asked for");
            }
        };
        self.hang_up(why);
        // Dropping a sender wakes whoever waits for the answer.
        let waiting = std::mem::take(&mut self.waiting.lock().answers);
        drop(waiting);
    }

    fn deliver(&self, mut answer: Answer, incoming: &mut Incoming) -> Result<(), Mismatch> {
        let Some(id) = answer.id else {
            log::error!("usbscand did not understand us: {}", answer.message.unwrap_or_default());
            return Ok(());
        };
        let waiter = self.waiting.lock().answers.remove(&id);
        let Some(Waiter { answer: wanted, extra }) = waiter else {
            log::trace!("nobody waits for the answer to request {id}: {}", answer.status);
            return Ok(());
        };
        let descriptor = if matches!(extra, ReplyExtra::Memory) { incoming.take_descriptor() } else { None };
        extra.settle(&mut answer)?;
        if let Some(wanted) = wanted {
            // The room of one is free, for an id gets one answer; whoever waited may have left just now.
            let _ = wanted.try_send(Reply { answer, descriptor });
        }
        Ok(())
    }
}

/// Reads one message from the daemon; `pool` has memory for its payload.
pub(crate) fn next(stream: &mut BufReader<Incoming>, pool: &Arc<BufferPool>) -> Result<Option<FromDaemon>, FrameError> {
    let frame =
        usbscan_wire::receive_frame_into(stream, usbscan_wire::DAEMON_HEADER_LIMIT, |length| pool.take(length))?;
    let Some(mut frame) = frame else { return Ok(None) };
    let payload = std::mem::take(&mut frame.payload);
    let mut message = FromDaemon::from_frame(frame)?;
    if let FromDaemon::Answer(answer) = &mut message {
        answer.payload = pool.bytes(payload);
    }
    Ok(Some(message))
}

/// The way of events to whoever looks at them: bounded, the newest kept.
#[derive(Debug)]
pub(crate) struct Events {
    into: Sender<Event>,
    oldest: Receiver<Event>,
}

impl Events {
    pub(crate) fn new() -> (Events, Receiver<Event>) {
        let (into, out) = bounded(EVENTS_KEPT);
        (Events { into, oldest: out.clone() }, out)
    }

    fn push(&self, event: Event) {
        let mut event = event;
        while let Err(TrySendError::Full(back)) = self.into.try_send(event) {
            if let Ok(lost) = self.oldest.try_recv() {
                log::debug!("nobody looks at events; forgotten: {lost:?}");
            }
            event = back;
        }
    }
}

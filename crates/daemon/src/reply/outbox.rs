//! What a connection is sent: answers and events, in the order in which they were put here. Putting one here never waits.
//!
//! The answer of a request that succeeded, with nothing waiting in front of it, is written at once by the thread that has
//! it, as far as the socket has room: a page's next block is then on its way without another thread having to wake up.
//! Answers of other kinds come in crowds, when many requests are cancelled: a pipe's worker keeps them [`together`] and
//! writes them with as few system calls as they fit. What the socket has no room for, and what others put here, is written
//! by the connection's writer thread `session N out`.
//!
//! ```text
//!   nobody writes ──put, takes the turn──▶ its thread writes ──all, or the socket is full──▶ nobody writes
//!        │ something waits                                                                       ▲
//!        └──▶ the writer thread writes all that waits, batch by batch ───────────────────────────┘
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use usbscan_wire::{Answer, DAEMON_HEADER_LIMIT, Event, Status};

use crate::payload::Payload;
use crate::reply::budget::{Budget, Credit};

/// Messages written in one call.
const BATCH: usize = 16;
/// With so many bytes of payload, no more are added to a call.
const BATCH_BYTES: usize = 64 * 1024;
/// So many bytes of an answer's header are bounded by the number of requests already.
const HEADER_OF_A_REQUEST: usize = 1024;
/// Parts of a call; Linux takes 1024.
const PARTS: usize = 512;

#[derive(Debug)]
enum Outgoing {
    /// As bytes from the beginning: what waits is what it costs.
    Answer(Box<(Rest, Option<Credit>)>),
    Event(Arc<Event>),
    /// What the socket had no room for.
    Rest(Box<Rest>),
    End,
}

/// A message of which so many bytes are written.
#[derive(Debug)]
struct Rest {
    header: Vec<u8>,
    payload: Payload,
    written: usize,
}

impl Rest {
    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices: Vec<IoSlice<'_>> =
            std::iter::once(&self.header[..]).chain(self.payload.slices()).map(IoSlice::new).collect();
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, self.written);
        left.to_vec()
    }

    fn left(&self) -> usize {
        self.header.len() + self.payload.len() - self.written
    }

    /// Whether a descriptor goes along with its first byte.
    fn has_descriptor(&self) -> bool {
        self.written == 0 && self.payload.descriptor().is_some()
    }
}

impl Outgoing {
    fn take_credit(&mut self) -> Option<Credit> {
        match self {
            Outgoing::Answer(parts) => parts.1.take(),
            Outgoing::Event(_) | Outgoing::Rest(_) | Outgoing::End => None,
        }
    }

    fn payload(&self) -> usize {
        match self {
            Outgoing::Answer(parts) => parts.0.payload.len(),
            Outgoing::Rest(rest) => rest.left(),
            Outgoing::Event(_) | Outgoing::End => 0,
        }
    }

    /// As bytes, none of them written yet.
    fn into_rest(self) -> Rest {
        match self {
            Outgoing::Answer(parts) => parts.0,
            Outgoing::Rest(rest) => *rest,
            Outgoing::Event(event) => Rest { header: line(&*event), payload: Payload::default(), written: 0 },
            Outgoing::End => Rest { header: Vec::new(), payload: Payload::default(), written: 0 },
        }
    }
}

/// An answer's bytes: of what it says, or of a refusal where no client would take that.
fn answer_as_bytes(mut answer: Answer, payload: Payload) -> Rest {
    answer.shared = payload.shared() as u64;
    if payload.len() > 0 {
        // The last member, as the manual shows it.
        answer.body.insert("payload".to_owned(), payload.len().into());
    }
    let header = line(&answer);
    if header.len() <= DAEMON_HEADER_LIMIT {
        return Rest { header, payload, written: 0 };
    }
    // Lists see to it that they fit (dispatch/truncate.rs); this is for what nobody thought of.
    log::error!("the answer to request {:?} would have a header of {} bytes", answer.id, header.len());
    let why = format!("the answer is longer than the {DAEMON_HEADER_LIMIT} bytes that a header may have");
    let header = line(&Answer::failure(answer.id, Status::InsufficientResources, why));
    Rest { header, payload: Payload::default(), written: 0 }
}

fn line(message: &impl serde::Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("answers and events are plain data");
    line.push(b'\n');
    // What waits holds no more than it says.
    line.shrink_to_fit();
    line
}

#[derive(Debug, Default)]
struct OutboxState {
    waiting: VecDeque<Outgoing>,
    /// Whether some thread has the turn to write.
    writing: bool,
    /// Nothing is written any more.
    over: bool,
}

#[derive(Debug)]
struct Channel {
    stream: UnixStream,
    state: Mutex<OutboxState>,
    /// Something waits, and nobody writes.
    wake: Condvar,
}

/// The way in. Clones lead to the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    shared: Arc<Channel>,
}

/// The way out, for the writer thread.
#[derive(Debug)]
pub(crate) struct OutboxReceiver {
    shared: Arc<Channel>,
}

/// Both ends, of this connection.
pub(crate) fn outbox(stream: UnixStream) -> (Outbox, OutboxReceiver) {
    let shared = Arc::new(Channel { stream, state: Mutex::default(), wake: Condvar::new() });
    (Outbox { shared: shared.clone() }, OutboxReceiver { shared })
}

impl Outbox {
    /// An answer; its credit is given back as it is written. Goes nowhere when the connection is over.
    pub fn answer(&self, answer: Answer, payload: Payload, mut credit: Option<Credit>) {
        let at_once = answer.status == Status::Success;
        let bytes = answer_as_bytes(answer, payload);
        if let Some(credit) = &mut credit {
            credit.grow(bytes.header.len().saturating_sub(HEADER_OF_A_REQUEST) as u64);
        }
        self.shared.put(Outgoing::Answer(Box::new((bytes, credit))), at_once);
    }

    pub fn event(&self, event: Arc<Event>) {
        self.shared.put(Outgoing::Event(event), false);
    }

    /// The writer writes what was put in before, and ends.
    pub fn end(&self) {
        self.shared.put(Outgoing::End, false);
    }

    pub fn len(&self) -> usize {
        self.shared.state.lock().waiting.len()
    }
}

thread_local! {
    /// While this thread has a [`BatchGuard`]: the connections that it has put something to.
    static HELD: RefCell<Option<Vec<Arc<Channel>>>> = const { RefCell::new(None) };
}

/// While it lives, what its thread puts and what need not go at once is kept back; dropped, it writes all that, as far as the
/// sockets have room: many messages in one call, and no other thread has to wake up.
#[derive(Debug)]
pub(crate) struct BatchGuard(());

/// See [`BatchGuard`]. A thread has one at a time.
pub(crate) fn batch() -> BatchGuard {
    HELD.with_borrow_mut(|held| *held = Some(Vec::new()));
    BatchGuard(())
}

impl Drop for BatchGuard {
    fn drop(&mut self) {
        let held = HELD.with_borrow_mut(Option::take);
        held.into_iter().flatten().for_each(|shared| shared.write_waiting());
    }
}

/// Leaves word that something waits there. Says whether there is a [`BatchGuard`] to leave it with.
fn hold(shared: &Arc<Channel>) -> bool {
    HELD.with_borrow_mut(|held| {
        let Some(held) = held else { return false };
        if !held.iter().any(|other| Arc::ptr_eq(other, shared)) {
            held.push(shared.clone());
        }
        true
    })
}

impl Channel {
    fn put(self: &Arc<Self>, message: Outgoing, at_once: bool) {
        let mut state = self.state.lock();
        if state.over {
            drop(state);
            // Its credit and its buffers go back now, under no lock of ours.
            drop(message);
            return;
        }
        if !at_once || state.writing || !state.waiting.is_empty() {
            state.waiting.push_back(message);
            if !hold(self) {
                self.wake_writer(&state);
            }
            return;
        }
        state.writing = true;
        drop(state);
        self.write_what_fits(vec![message]);
    }

    /// Writes what waits, as far as there is room. Where there was none before, the writer thread waits for some.
    fn write_waiting(&self) {
        loop {
            let mut state = self.state.lock();
            let goes_on = matches!(state.waiting.front(), Some(Outgoing::Answer(_) | Outgoing::Event(_)));
            if state.writing || state.over || !goes_on {
                self.wake_writer(&state);
                return;
            }
            let messages = take_batch(&mut state.waiting);
            state.writing = true;
            drop(state);
            self.write_what_fits(messages);
        }
    }

    fn wake_writer(&self, state: &OutboxState) {
        if !state.writing && !state.waiting.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Waits for nothing, and ends the turn that this thread has. What is not written goes back to the front, also when the
    /// client is gone: the writer finds that out.
    fn write_what_fits(&self, mut messages: Vec<Outgoing>) {
        drop(messages.iter_mut().filter_map(Outgoing::take_credit).collect::<Vec<_>>());
        let mut messages: Vec<Rest> = messages.into_iter().map(Outgoing::into_rest).collect();
        // Its error means that there is no room, or nobody: both are the writer's.
        let _ = send_all(&self.stream, &mut messages, SendFlags::DONTWAIT);
        let mut state = self.state.lock();
        state.writing = false;
        for rest in messages.into_iter().rev().filter(|message| message.left() > 0) {
            state.waiting.push_front(Outgoing::Rest(Box::new(rest)));
        }
        self.wake_writer(&state);
    }

    /// Waits until something waits and nobody else writes; then this thread has the turn. Nothing: there will be no more.
    fn next_batch(&self) -> Vec<Outgoing> {
        let mut state = self.state.lock();
        while state.writing || state.waiting.is_empty() {
            self.wake.wait(&mut state);
        }
        let batch = take_batch(&mut state.waiting);
        state.over = batch.is_empty();
        state.writing = true;
        batch
    }

    fn end_turn(&self) {
        self.state.lock().writing = false;
    }
}

/// Runs on the writer thread until the end, or until the client is gone or reads no more: then the socket is shut
/// down, which the reader thread takes for the session's end.
pub(crate) fn write(receiver: &OutboxReceiver, budget: &Budget) -> io::Result<()> {
    let shared = &receiver.shared;
    let written = write_until_the_end(shared);
    let mut state = shared.state.lock();
    state.over = true;
    let unwritten = std::mem::take(&mut state.waiting);
    drop(state);
    drop(unwritten);
    budget.close();
    if written.is_err() {
        // Whether it was connected still is of no interest.
        let _ = shared.stream.shutdown(std::net::Shutdown::Both);
    }
    written
}

fn write_until_the_end(shared: &Channel) -> io::Result<()> {
    loop {
        let batch = shared.next_batch();
        if batch.is_empty() {
            return Ok(());
        }
        // Its buffers go back before the turn does.
        write_batch(&shared.stream, batch)?;
        shared.end_turn();
    }
}

/// What goes into one call, in front of the end: none where that is all there is.
fn take_batch(waiting: &mut VecDeque<Outgoing>) -> Vec<Outgoing> {
    let mut batch = Vec::with_capacity(BATCH.min(waiting.len()));
    let mut bytes = 0;
    while batch.len() < BATCH && bytes < BATCH_BYTES && !matches!(waiting.front(), None | Some(Outgoing::End)) {
        let message = waiting.pop_front().expect("there is one");
        bytes += message.payload();
        batch.push(message);
    }
    batch
}

/// Credits are given back just before: who has read an answer may count on its place being free, and who reads nothing
/// still holds all but one batch.
fn write_batch(stream: &UnixStream, mut batch: Vec<Outgoing>) -> io::Result<()> {
    drop(batch.iter_mut().filter_map(Outgoing::take_credit).collect::<Vec<_>>());
    let mut messages: Vec<Rest> = batch.into_iter().map(Outgoing::into_rest).collect();
    send_all(stream, &mut messages, SendFlags::empty()).map_err(io::Error::from)
}

/// Writes all of them in as few calls as the socket allows. After an error each knows how much of it is written.
fn send_all(stream: &UnixStream, messages: &mut [Rest], flags: SendFlags) -> rustix::io::Result<()> {
    // A descriptor goes along with the first byte of a call, so its message begins one.
    for run in messages.chunk_by_mut(|_, behind| !behind.has_descriptor()) {
        while run.iter().any(|message| message.left() > 0) {
            match send(stream, run, flags) {
                Ok(0) => return Err(Errno::PIPE),
                Ok(mut written) => {
                    for message in &mut *run {
                        let of_it = written.min(message.left());
                        message.written += of_it;
                        written -= of_it;
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// One call for what is left of them; the first's descriptor goes along. Says how many bytes were written.
fn send(stream: &UnixStream, messages: &[Rest], flags: SendFlags) -> rustix::io::Result<usize> {
    let with = messages.first().filter(|first| first.has_descriptor());
    let descriptors: Vec<BorrowedFd<'_>> =
        with.and_then(|first| first.payload.descriptor()).iter().map(|memory| memory.descriptor()).collect();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() {
        let fits = beside.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "there is room for one");
    }
    let slices: Vec<IoSlice<'_>> = messages.iter().flat_map(Rest::slices).take(PARTS).collect();
    sendmsg(stream, &slices, &mut beside, flags | SendFlags::NOSIGNAL)
}

#[cfg(test)]
mod tests;

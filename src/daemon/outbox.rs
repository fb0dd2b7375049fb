//! What a connection is sent: answers and events, in the order in which they were put here. Whoever puts something in
//! never waits.
//!
//! Most are written by the connection's writer thread `session N out`, in as few system calls as they fit. The answer of
//! a request that succeeded, with nothing waiting in front of it, is written at once by the thread that has it, as far as
//! the socket has room: a page's next block is then on its way without another thread having to wake up. What does not
//! fit is the writer's. Answers of other kinds come in crowds, when many requests are cancelled, and wait for each other.
//!
//! ```text
//!   nobody writes ──put, takes the turn──▶ its thread writes ──all, or the socket is full──▶ nobody writes
//!        │ something waits                                                                       ▲
//!        └──▶ the writer thread writes all that waits, batch by batch ───────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use wire::{Answer, DAEMON_HEADER_LIMIT, Event, Status};

use super::budget::{Budget, Credit};
use super::payload::Payload;

/// Messages written in one call.
const BATCH: usize = 16;
/// With so many bytes of payload, no more are added to a call.
const BATCH_BYTES: usize = 64 * 1024;

#[derive(Debug)]
enum Outgoing {
    Answer(Box<(Answer, Payload, Option<Credit>)>),
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
}

impl Outgoing {
    fn take_credit(&mut self) -> Option<Credit> {
        match self {
            Outgoing::Answer(parts) => parts.2.take(),
            Outgoing::Event(_) | Outgoing::Rest(_) | Outgoing::End => None,
        }
    }

    fn payload(&self) -> usize {
        match self {
            Outgoing::Answer(parts) => parts.1.len(),
            Outgoing::Rest(rest) => rest.left(),
            Outgoing::Event(_) | Outgoing::End => 0,
        }
    }

    /// The header line of what is sent: of the message, or of a refusal where no client would take that.
    fn header(&mut self) -> Vec<u8> {
        let line = self.line();
        let Outgoing::Answer(parts) = self else { return line };
        if line.len() <= DAEMON_HEADER_LIMIT {
            return line;
        }
        // Lists see to it that they fit (dispatch/fitting.rs); this is for what nobody thought of.
        log::error!("the answer to request {:?} would have a header of {} bytes", parts.0.id, line.len());
        let why = format!("the answer is longer than the {DAEMON_HEADER_LIMIT} bytes that a header may have");
        parts.0 = Answer::failure(parts.0.id, Status::InsufficientResources, why);
        parts.1 = Payload::default();
        self.line()
    }

    /// A message's header line. `payload` is the last member, as the manual shows it.
    fn line(&mut self) -> Vec<u8> {
        let mut line = match self {
            Outgoing::Answer(parts) => {
                let (answer, payload, _) = &mut **parts;
                if payload.len() > 0 {
                    answer.body.insert("payload".to_owned(), payload.len().into());
                }
                serde_json::to_vec(answer)
            }
            Outgoing::Event(event) => serde_json::to_vec(&**event),
            Outgoing::Rest(_) | Outgoing::End => return Vec::new(),
        }
        .expect("answers and events are plain data");
        line.push(b'\n');
        line
    }

    /// As bytes, none of them written yet.
    fn into_rest(mut self) -> Rest {
        let header = self.header();
        match self {
            Outgoing::Answer(parts) => Rest { header, payload: parts.1, written: 0 },
            Outgoing::Rest(rest) => *rest,
            Outgoing::Event(_) | Outgoing::End => Rest { header, payload: Payload::default(), written: 0 },
        }
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Outgoing>,
    /// Whether some thread has the turn to write.
    writing: bool,
    /// Nothing is written any more.
    over: bool,
}

#[derive(Debug)]
struct Shared {
    stream: UnixStream,
    state: Mutex<State>,
    /// Something waits, and nobody writes.
    bell: Condvar,
}

/// The way in. Clones lead to the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    shared: Arc<Shared>,
}

/// The way out, for the writer thread.
#[derive(Debug)]
pub(crate) struct Outgo {
    shared: Arc<Shared>,
}

/// Both ends, of this connection.
pub(crate) fn outbox(stream: UnixStream) -> (Outbox, Outgo) {
    let shared = Arc::new(Shared { stream, state: Mutex::default(), bell: Condvar::new() });
    (Outbox { shared: shared.clone() }, Outgo { shared })
}

impl Outbox {
    /// An answer; its credit is given back as it is written. Goes nowhere when the connection is over.
    pub fn answer(&self, answer: Answer, payload: Payload, credit: Option<Credit>) {
        let at_once = answer.status == Status::Success;
        self.shared.put(Outgoing::Answer(Box::new((answer, payload, credit))), at_once);
    }

    /// An event.
    pub fn event(&self, event: Arc<Event>) {
        self.shared.put(Outgoing::Event(event), false);
    }

    /// The writer writes what was put in before, and ends.
    pub fn end(&self) {
        self.shared.put(Outgoing::End, false);
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.shared.state.lock().waiting.len()
    }
}

impl Shared {
    fn put(&self, message: Outgoing, at_once: bool) {
        let mut state = self.state.lock();
        if state.over {
            drop(state);
            // Its credit and its buffers go back now, under no lock of ours.
            drop(message);
            return;
        }
        if !at_once || state.writing || !state.waiting.is_empty() {
            state.waiting.push_back(message);
            self.ring(&state);
            return;
        }
        state.writing = true;
        drop(state);
        let rest = self.write_what_fits(message);
        let mut state = self.state.lock();
        state.writing = false;
        if let Some(rest) = rest {
            state.waiting.push_front(Outgoing::Rest(Box::new(rest)));
        }
        self.ring(&state);
    }

    fn ring(&self, state: &State) {
        if !state.writing && !state.waiting.is_empty() {
            self.bell.notify_one();
        }
    }

    /// Waits for nothing. What is not written is given back, also when the client is gone: the writer finds that out.
    fn write_what_fits(&self, mut message: Outgoing) -> Option<Rest> {
        drop(message.take_credit());
        let mut rest = message.into_rest();
        while rest.left() > 0 {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.stream, &rest.slices(), &mut SendAncillaryBuffer::default(), flags) {
                Ok(written) => rest.written += written,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Some(rest),
            }
        }
        None
    }

    /// Waits until something waits and nobody else writes; then this thread has the turn. `false`: there will be no more.
    fn next_batch(&self, batch: &mut Vec<Outgoing>) -> bool {
        let mut state = self.state.lock();
        while state.writing || state.waiting.is_empty() {
            self.bell.wait(&mut state);
        }
        let mut bytes = 0;
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            match state.waiting.pop_front() {
                Some(Outgoing::End) => {
                    state.over = true;
                    break;
                }
                Some(message) => {
                    bytes += message.payload();
                    batch.push(message);
                }
                None => break,
            }
        }
        state.writing = true;
        !state.over
    }

    fn end_turn(&self) {
        self.state.lock().writing = false;
    }
}

/// Runs on the writer thread until the end, or until the client is gone or reads no more: then the socket is shut
/// down, which the reader thread takes for the session's end.
pub(crate) fn write(outgo: &Outgo, budget: &Budget) -> io::Result<()> {
    let shared = &outgo.shared;
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

fn write_until_the_end(shared: &Shared) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let more = shared.next_batch(&mut batch);
        write_batch(&shared.stream, &mut batch)?;
        // Buffers go back now.
        batch.clear();
        shared.end_turn();
        if !more {
            return Ok(());
        }
    }
}

/// Credits are given back just before: who has read an answer may count on its place being free, and who reads nothing
/// still holds all but one batch.
fn write_batch(mut stream: &UnixStream, batch: &mut Vec<Outgoing>) -> io::Result<()> {
    drop(batch.iter_mut().filter_map(Outgoing::take_credit).collect::<Vec<_>>());
    let messages: Vec<Rest> = batch.drain(..).map(Outgoing::into_rest).collect();
    let mut slices: Vec<IoSlice<'_>> = messages.iter().flat_map(Rest::slices).collect();
    let mut left: &mut [IoSlice<'_>] = &mut slices;
    while !left.is_empty() {
        match stream.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use wire::{FromDaemon, read_frame};

    use super::*;
    use crate::daemon::budget::{Amount, Whole};

    fn budget() -> Arc<Budget> {
        let most = Amount { requests: 99, bytes: 99 };
        Budget::new(most, Whole::new(most, 1))
    }

    #[test]
    fn answers_and_payloads_are_on_the_socket_in_order_and_credits_come_back() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (outbox, outgo) = outbox(ours);
        let budget = budget();
        for id in 0..40 {
            let mut payload = Payload::from(vec![id as u8; id]);
            payload.push(super::super::payload::Piece::from(b"tail".to_vec()));
            let credit = budget.request(1).unwrap();
            outbox.answer(Answer::new(id as u64, Status::Success), payload, Some(credit));
        }
        outbox.end();
        write(&outgo, &budget).unwrap();
        drop((outbox, outgo));
        let mut reader = BufReader::new(theirs);
        for id in 0..40 {
            let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
            let FromDaemon::Answer(answer) = FromDaemon::from_frame(frame).unwrap() else { panic!("an answer") };
            assert_eq!((answer.id, answer.payload.len()), (Some(id as u64), id + 4));
        }
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert!(budget.request(99).is_ok(), "all credits came back");
    }

    /// Answers of both kinds, some far larger than the socket holds, put in by two threads while a third writes.
    #[test]
    fn whoever_writes_each_threads_answers_arrive_whole_and_in_their_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (outbox, outgo) = outbox(ours);
        let budget = budget();
        let writer = std::thread::spawn(move || write(&outgo, &budget));
        let putters = [0, 1].map(|putter: u64| {
            let outbox = outbox.clone();
            std::thread::spawn(move || {
                for number in 0..200 {
                    let length = [0, 5, 70_000, 1 << 20][(number % 4) as usize] >> (number % 3);
                    let status = if number % 5 == 0 { Status::Timeout } else { Status::Success };
                    let payload = Payload::from(vec![number as u8; length]);
                    outbox.answer(Answer::new(2 * number + putter, status), payload, None);
                }
            })
        });
        let mut reader = BufReader::new(theirs);
        let mut next = [0, 1];
        while next != [400, 401] {
            let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
            let FromDaemon::Answer(answer) = FromDaemon::from_frame(frame).unwrap() else { panic!("an answer") };
            let id = answer.id.unwrap();
            let turn = &mut next[(id % 2) as usize];
            assert_eq!(id, *turn);
            assert!(answer.payload.iter().all(|byte| *byte == (id / 2) as u8));
            *turn += 2;
        }
        putters.into_iter().for_each(|putter| putter.join().unwrap());
        outbox.end();
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn what_does_not_fit_at_once_is_the_writers_and_nobody_waits_for_the_client() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (outbox, outgo) = outbox(ours);
        let budget = budget();
        for id in 0..3 {
            outbox.answer(Answer::new(id, Status::Success), Payload::from(vec![id as u8; 1 << 20]), None);
        }
        assert_eq!(outbox.len(), 3, "the rest of one, and two");
        outbox.end();
        let writer = std::thread::spawn(move || write(&outgo, &budget));
        let mut reader = BufReader::new(theirs);
        for id in 0..3 {
            let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
            assert!(frame.payload == vec![id; 1 << 20]);
        }
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn an_answer_that_no_header_holds_is_refused_in_words_and_its_payload_with_it() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (outbox, outgo) = outbox(ours);
        let mut answer = Answer::new(7, Status::Success);
        answer.body.insert("text".to_owned(), "x".repeat(DAEMON_HEADER_LIMIT).into());
        outbox.answer(answer, Payload::from(vec![1; 100]), None);
        outbox.answer(Answer::new(8, Status::Success), Payload::default(), None);
        outbox.end();
        write(&outgo, &budget()).unwrap();
        let mut reader = BufReader::new(theirs);
        for (id, status) in [(7, Status::InsufficientResources), (8, Status::Success)] {
            let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
            let FromDaemon::Answer(answer) = FromDaemon::from_frame(frame).unwrap() else { panic!("an answer") };
            assert_eq!((answer.id, answer.status, answer.payload.len()), (Some(id), status, 0));
            assert_eq!(answer.message.is_some(), id == 7);
        }
    }

    #[test]
    fn a_client_that_is_gone_ends_the_writer_and_the_reader() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (outbox, outgo) = outbox(ours);
        let budget = budget();
        drop(theirs);
        outbox.answer(Answer::new(1, Status::Success), Payload::default(), None);
        assert!(write(&outgo, &budget).is_err());
        assert_eq!((&outgo.shared.stream).read(&mut [0]).unwrap(), 0);
        assert!(budget.refusal().is_none());
    }
}

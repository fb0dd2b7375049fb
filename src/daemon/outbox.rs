//! What a connection is sent: answers and events, in the order in which they were put here, written by the connection's
//! writer thread `session N out` in as few system calls as they fit. Whoever puts something in never waits.

use std::io::{self, IoSlice, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
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
    End,
}

impl Outgoing {
    fn take_credit(&mut self) -> Option<Credit> {
        match self {
            Outgoing::Answer(parts) => parts.2.take(),
            Outgoing::Event(_) | Outgoing::End => None,
        }
    }

    fn payload(&self) -> usize {
        match self {
            Outgoing::Answer(parts) => parts.1.len(),
            Outgoing::Event(_) | Outgoing::End => 0,
        }
    }
}

/// The way in. Clones lead to the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    messages: Sender<Outgoing>,
}

/// The way out, for the writer thread.
#[derive(Debug)]
pub(crate) struct Outgo {
    messages: Receiver<Outgoing>,
}

/// Both ends.
pub(crate) fn outbox() -> (Outbox, Outgo) {
    let (sender, receiver) = unbounded();
    (Outbox { messages: sender }, Outgo { messages: receiver })
}

impl Outbox {
    /// An answer; its credit is given back as it is written. Goes nowhere when the connection is over.
    pub fn answer(&self, answer: Answer, payload: Payload, credit: Option<Credit>) {
        let _ = self.messages.send(Outgoing::Answer(Box::new((answer, payload, credit))));
    }

    /// An event.
    pub fn event(&self, event: Arc<Event>) {
        let _ = self.messages.send(Outgoing::Event(event));
    }

    /// The writer writes what was put in before, and ends.
    pub fn end(&self) {
        let _ = self.messages.send(Outgoing::End);
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }
}

/// Runs on the writer thread until the end, or until the client is gone or reads no more: then the socket is shut
/// down, which the reader thread takes for the session's end.
pub(crate) fn write(stream: &UnixStream, outgo: &Outgo, budget: &Budget) -> io::Result<()> {
    let written = write_until_the_end(stream, outgo);
    budget.close();
    if written.is_err() {
        // Whether it was connected still is of no interest.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    written
}

fn write_until_the_end(stream: &UnixStream, outgo: &Outgo) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(first) = outgo.messages.recv() {
        batch.push(first);
        while batch.len() < BATCH && batch.iter().map(Outgoing::payload).sum::<usize>() < BATCH_BYTES {
            let Ok(next) = outgo.messages.try_recv() else { break };
            batch.push(next);
        }
        let ends = batch.iter().position(|message| matches!(message, Outgoing::End));
        batch.truncate(ends.unwrap_or(BATCH));
        write_batch(stream, &mut batch)?;
        // Buffers go back now.
        batch.clear();
        if ends.is_some() {
            break;
        }
    }
    Ok(())
}

/// Credits are given back just before: who has read an answer may count on its place being free, and who reads nothing
/// still holds all but one batch.
fn write_batch(mut stream: &UnixStream, batch: &mut [Outgoing]) -> io::Result<()> {
    drop(batch.iter_mut().filter_map(Outgoing::take_credit).collect::<Vec<_>>());
    let headers: Vec<Vec<u8>> = batch.iter_mut().map(header).collect();
    let mut slices = Vec::with_capacity(2 * batch.len());
    for (message, header) in batch.iter().zip(&headers) {
        slices.push(IoSlice::new(header));
        if let Outgoing::Answer(parts) = message {
            slices.extend(parts.1.slices().map(IoSlice::new));
        }
    }
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

/// The header line of what is sent: of the message, or of a refusal where no client would take that.
fn header(message: &mut Outgoing) -> Vec<u8> {
    let line = line(message);
    let Outgoing::Answer(parts) = message else { return line };
    if line.len() <= DAEMON_HEADER_LIMIT {
        return line;
    }
    // Lists see to it that they fit (dispatch/fitting.rs); this is for what nobody thought of.
    log::error!("the answer to request {:?} would have a header of {} bytes", parts.0.id, line.len());
    let why = format!("the answer is longer than the {DAEMON_HEADER_LIMIT} bytes that a header may have");
    parts.0 = Answer::failure(parts.0.id, Status::InsufficientResources, why);
    parts.1 = Payload::default();
    self::line(message)
}

/// A message's header line. `payload` is the last member, as the manual shows it.
fn line(message: &Outgoing) -> Vec<u8> {
    let mut line = match message {
        Outgoing::Answer(parts) => {
            let (answer, payload, _) = &**parts;
            match payload.len() {
                0 => serde_json::to_vec(answer),
                length => {
                    let mut answer = answer.clone();
                    answer.body.insert("payload".to_owned(), length.into());
                    serde_json::to_vec(&answer)
                }
            }
        }
        Outgoing::Event(event) => serde_json::to_vec(&**event),
        Outgoing::End => Ok(Vec::new()),
    }
    .expect("answers and events are plain data");
    line.push(b'\n');
    line
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
        let (outbox, outgo) = outbox();
        let budget = budget();
        for id in 0..40 {
            let mut payload = Payload::from(vec![id as u8; id]);
            payload.push(super::super::payload::Piece::from(b"tail".to_vec()));
            let credit = budget.request(1).unwrap();
            outbox.answer(Answer::new(id as u64, Status::Success), payload, Some(credit));
        }
        outbox.end();
        write(&ours, &outgo, &budget).unwrap();
        drop(ours);
        let mut reader = BufReader::new(theirs);
        for id in 0..40 {
            let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
            let FromDaemon::Answer(answer) = FromDaemon::from_frame(frame).unwrap() else { panic!("an answer") };
            assert_eq!((answer.id, answer.payload.len()), (Some(id as u64), id + 4));
        }
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert!(budget.request(99).is_ok(), "all credits came back");
    }

    #[test]
    fn an_answer_that_no_header_holds_is_refused_in_words_and_its_payload_with_it() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (outbox, outgo) = outbox();
        let mut answer = Answer::new(7, Status::Success);
        answer.body.insert("text".to_owned(), "x".repeat(DAEMON_HEADER_LIMIT).into());
        outbox.answer(answer, Payload::from(vec![1; 100]), None);
        outbox.answer(Answer::new(8, Status::Success), Payload::default(), None);
        outbox.end();
        write(&ours, &outgo, &budget()).unwrap();
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
        let (outbox, outgo) = outbox();
        let budget = budget();
        drop(theirs);
        outbox.answer(Answer::new(1, Status::Success), Payload::default(), None);
        assert!(write(&ours, &outgo, &budget).is_err());
        assert_eq!((&ours).read(&mut [0]).unwrap(), 0);
        assert!(budget.refusal().is_none());
    }
}

//! Messages on their way out, with and without a writer thread.

use std::io::{BufReader, Read};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use usbscan_shm::SharedMemory;
use usbscan_wire::{FromDaemon, read_frame};

use super::*;
use crate::config::Amount;
use crate::reply::budget::GlobalBudget;

fn budget() -> Arc<Budget> {
    let most = Amount { requests: 99, bytes: 99 };
    Budget::new(most, GlobalBudget::new(most, 1))
}

#[test]
fn answers_and_payloads_are_on_the_socket_in_order_and_credits_come_back() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (outbox, receiver) = outbox(ours);
    let budget = budget();
    for id in 0..40 {
        let mut payload = Payload::from(vec![id as u8; id]);
        payload.push(crate::payload::Piece::from(b"tail".to_vec()));
        let credit = budget.request(1).unwrap();
        outbox.answer(Answer::new(id as u64, Status::Success), payload, Some(credit));
    }
    outbox.end();
    write(&receiver, &budget).unwrap();
    drop((outbox, receiver));
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
    let (outbox, receiver) = outbox(ours);
    let budget = budget();
    let writer = std::thread::spawn(move || write(&receiver, &budget));
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
    let (outbox, receiver) = outbox(ours);
    let budget = budget();
    for id in 0..3 {
        outbox.answer(Answer::new(id, Status::Success), Payload::from(vec![id as u8; 1 << 20]), None);
    }
    assert_eq!(outbox.len(), 3, "the rest of one, and two");
    outbox.end();
    let writer = std::thread::spawn(move || write(&receiver, &budget));
    let mut reader = BufReader::new(theirs);
    for id in 0..3 {
        let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
        assert!(frame.payload == vec![id; 1 << 20]);
    }
    writer.join().unwrap().unwrap();
}

#[test]
fn what_is_put_together_is_written_by_its_own_thread_in_order() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    // Nobody runs the writer.
    let (outbox, _outgo) = outbox(ours);
    let batch = batch();
    for id in 0..100 {
        outbox.answer(
            Answer::new(id, [Status::Cancelled, Status::Success][(id % 2) as usize]),
            Payload::default(),
            None,
        );
    }
    assert_eq!(outbox.len(), 100, "a success with something in front of it waits too");
    drop(batch);
    assert_eq!(outbox.len(), 0);
    let mut reader = BufReader::new(theirs);
    for id in 0..100 {
        let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
        assert_eq!(frame.header["id"], id);
    }
}

#[test]
fn of_what_is_put_together_for_a_client_that_reads_nothing_most_still_counts() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (outbox, receiver) = outbox(ours);
    let whole = Amount { requests: 99, bytes: 99 << 20 };
    let budget = Budget::new(whole, GlobalBudget::new(whole, 1));
    for id in 0..40 {
        let _together = batch();
        let credit = budget.request(1 << 20).unwrap();
        outbox.answer(Answer::new(id, Status::Cancelled), Payload::from(vec![id as u8; 1 << 20]), Some(credit));
    }
    let left = (0..99).map_while(|_| budget.request(0).ok()).collect::<Vec<_>>();
    assert_eq!(left.len(), 99 - 39, "one is begun, the others wait with their credits");
    outbox.end();
    let writer = std::thread::spawn(move || write(&receiver, &budget));
    let mut reader = BufReader::new(theirs);
    for id in 0..40 {
        let frame = read_frame(&mut reader, DAEMON_HEADER_LIMIT).unwrap().unwrap();
        assert!(frame.payload == vec![id; 1 << 20]);
    }
    writer.join().unwrap().unwrap();
}

#[test]
fn a_descriptor_comes_with_the_first_byte_of_its_message_whoever_writes() {
    for at_once in [true, false] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (outbox, receiver) = outbox(ours);
        let memory = Arc::new(SharedMemory::new(10).unwrap());
        if !at_once {
            outbox.answer(Answer::new(0, Status::Cancelled), Payload::default(), None);
        }
        outbox.answer(Answer::new(1, Status::Success), Payload::from(memory), None);
        outbox.answer(Answer::new(2, Status::Success), Payload::default(), None);
        outbox.end();
        write(&receiver, &budget()).unwrap();
        drop((outbox, receiver));
        let (mut heard, mut came_at) = (Vec::new(), Vec::new());
        loop {
            let mut byte = [0];
            let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut beside = RecvAncillaryBuffer::new(&mut room);
            let mut slices = [io::IoSliceMut::new(&mut byte)];
            let received = recvmsg(&theirs, &mut slices, &mut beside, RecvFlags::CMSG_CLOEXEC).unwrap();
            let descriptors = beside.drain().filter(|it| matches!(it, RecvAncillaryMessage::ScmRights(_)));
            came_at.extend(descriptors.map(|_| heard.len()));
            if received.bytes == 0 {
                break;
            }
            heard.extend(byte);
        }
        let heard = String::from_utf8(heard).unwrap();
        assert_eq!(came_at, [heard.find("{\"id\":1").unwrap()], "{heard}");
        assert!(heard.contains("\"id\":2"));
    }
}

#[test]
fn an_answer_that_no_header_holds_is_refused_in_words_and_its_payload_with_it() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (outbox, receiver) = outbox(ours);
    let mut answer = Answer::new(7, Status::Success);
    answer.body.insert("text".to_owned(), "x".repeat(DAEMON_HEADER_LIMIT).into());
    outbox.answer(answer, Payload::from(vec![1; 100]), None);
    outbox.answer(Answer::new(8, Status::Success), Payload::default(), None);
    outbox.end();
    write(&receiver, &budget()).unwrap();
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
    let (outbox, receiver) = outbox(ours);
    let budget = budget();
    drop(theirs);
    outbox.answer(Answer::new(1, Status::Success), Payload::default(), None);
    assert!(write(&receiver, &budget).is_err());
    assert_eq!((&receiver.shared.stream).read(&mut [0]).unwrap(), 0);
    assert!(budget.refusal().is_none());
}

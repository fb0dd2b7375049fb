//! Memory that a daemon shares, which a test plays by hand.

use std::os::fd::AsFd;
use std::time::Duration;

use support::{Daemon, read, session};
use usbscan_client::wire::{Answer, Command, PAYLOAD_LIMIT, Status};
use usbscan_client::{Error, GoneWhy, Pending, Session};
use usbscan_shm::SharedMemory;

mod support;

/// A read that goes through shared memory.
const LONG: u32 = 64 * 1024;
/// Its place there.
const PLACE: usize = LONG as usize;

/// Answers the request for memory with what `answer` does.
fn asked(session: &Session, daemon: &mut Daemon, answer: impl FnOnce(&mut Daemon, u64)) -> Result<(), Error> {
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| session.share_memory(4 * PLACE));
        let request = daemon.next_request();
        assert_eq!(request.command, Command::ShareMemory { length: 4 * LONG });
        answer(daemon, request.id);
        asking.join().expect("no panic")
    })
}

/// A session and a daemon that share room for four long reads.
fn sharing() -> (Session, Daemon, SharedMemory) {
    let (session, mut daemon) = session();
    let memory = SharedMemory::new(4 * PLACE).expect("memory");
    asked(&session, &mut daemon, |daemon, id| {
        daemon.say_with(&Answer::new(id, Status::Success), &[memory.descriptor()]);
    })
    .expect("they share memory");
    (session, daemon, memory)
}

/// Where the next read, which the daemon hears now, is to go.
fn place_of_next(daemon: &mut Daemon) -> (u64, Option<u32>) {
    let request = daemon.next_request();
    let Command::Read { offset, .. } = request.command else { panic!("{request:?}") };
    (request.id, offset)
}

fn start(session: &Session) -> Pending {
    session.start(read(LONG), vec![]).expect("sent")
}

/// The daemon writes so many of these bytes where the request said, and says so.
fn done(daemon: &mut Daemon, memory: &SharedMemory, (id, at): (u64, Option<u32>), byte: u8, count: usize) {
    let at = at.expect("a place in the memory") as usize;
    memory.region(at..at + count).expect("inside").copy_from(&vec![byte; count]);
    let mut answer = Answer::new(id, Status::Success);
    (answer.information, answer.shared) = (count as u64, count as u64);
    daemon.say(&answer);
}

fn is_broken(error: &Error, words: &str) -> bool {
    matches!(error, Error::Gone { why: GoneWhy::Broken(why), .. } if why.contains(words))
}

#[test]
fn long_reads_come_into_shared_memory_in_whatever_order_they_are_answered() {
    let (session, mut daemon, memory) = sharing();
    let pending: Vec<_> = (0..4).map(|_| start(&session)).collect();
    let asked: Vec<_> = (0..4).map(|_| place_of_next(&mut daemon)).collect();
    assert_eq!(asked.iter().map(|one| one.1).collect::<Vec<_>>(), [0, 1, 2, 3].map(|n| Some(n * LONG)));
    for at in [2, 0, 3, 1] {
        done(&mut daemon, &memory, asked[at], at as u8, PLACE - at);
    }
    for (at, one) in pending.into_iter().enumerate() {
        assert!(one.wait().expect("an answer").payload == vec![at as u8; PLACE - at]);
    }
}

#[test]
fn a_place_is_used_again_when_its_bytes_are_dropped_and_not_before() {
    let (session, mut daemon, memory) = sharing();
    let mut next = |byte| {
        let pending = start(&session);
        let asked = place_of_next(&mut daemon);
        done(&mut daemon, &memory, asked, byte, 9);
        (asked.1, pending.wait().expect("an answer").payload)
    };
    let (_, mut first) = next(1);
    let rest = first.split_off(4);
    let (second_place, second) = next(2);
    drop(first);
    assert_eq!((second_place, &rest[..], &second[..]), (Some(LONG), &[1; 5][..], &[2; 9][..]));
    drop(rest);
    let (third_place, third) = next(3);
    assert_eq!((third_place, &second[..], &third[..]), (Some(0), &[2; 9][..], &[3; 9][..]));
}

#[test]
fn short_requests_and_those_that_find_no_room_go_through_the_socket() {
    let (session, mut daemon, _memory) = sharing();
    drop(session.start(read(16 * 1024 - 1), vec![]).map(Pending::detach));
    assert_eq!(place_of_next(&mut daemon).1, None);
    let full: Vec<_> = (0..4).map(|_| start(&session)).collect();
    assert!((0..4).all(|_| place_of_next(&mut daemon).1.is_some()));
    let pending = start(&session);
    let (id, at) = place_of_next(&mut daemon);
    assert_eq!(at, None);
    daemon.payload(id, &vec![7; PLACE]);
    assert!(pending.wait().expect("an answer").payload == vec![7; PLACE]);
    let bytes = vec![5; PLACE];
    let write = Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout: None };
    session.start(write.clone(), &bytes).expect("sent").detach();
    let request = daemon.next_request();
    assert!(request.command == write && request.payload == bytes);
    assert!(session.outgoing(1).is_none());
    full.into_iter().for_each(Pending::detach);
}

#[test]
fn bytes_to_write_are_in_shared_memory_until_the_answer() {
    let (session, mut daemon, memory) = sharing();
    let bytes: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
    let wrong = Command::Write { endpoint: None, offset: Some(4711), length: 9, zero_packet: true, timeout: None };
    let copied = session.start(wrong, &bytes).expect("sent");
    let request = daemon.next_request();
    assert_eq!(
        request.command,
        Command::Write { endpoint: None, offset: Some(0), length: 50_000, zero_packet: true, timeout: None }
    );
    assert!(request.payload.is_empty() && memory.region(0..50_000).expect("inside").to_vec() == bytes);

    let mut outgoing = session.outgoing(3).expect("room");
    outgoing.bytes_mut().copy_from_slice(b"job");
    let filled = outgoing.start(false, Some(Duration::from_secs(2))).expect("sent");
    let second = daemon.next_request();
    let at = 53_248;
    let expected =
        Command::Write { endpoint: None, offset: Some(at), length: 3, zero_packet: false, timeout: Some(2.0) };
    assert_eq!((second.command, second.payload.len()), (expected, 0));
    assert_eq!(memory.region(at as usize..at as usize + 3).expect("inside").to_vec(), b"job");

    for (pending, id) in [(copied, request.id), (filled, second.id)] {
        daemon.say(&Answer::new(id, Status::Success));
        pending.wait().expect("written");
    }
    let whole = session.outgoing(4 * PLACE).expect("all of it is free again");
    assert!(session.outgoing(1).is_none());
    drop(whole);
    assert!(session.outgoing(1).is_some() && session.outgoing(0).is_none());
    assert!(session.outgoing(PAYLOAD_LIMIT + 1).is_none());
}

#[test]
fn who_waits_no_more_loses_no_room() {
    let (session, mut daemon, memory) = sharing();
    let (dropped, detached) = (start(&session), start(&session));
    let dropped_at = place_of_next(&mut daemon);
    drop(dropped);
    let detached_at = place_of_next(&mut daemon);
    let cancel = daemon.next_request();
    assert_eq!(cancel.command, Command::CancelRequest { request: dropped_at.0, session: None });
    detached.detach();
    let third = start(&session);
    let third_at = place_of_next(&mut daemon);
    assert_eq!(third_at.1, Some(2 * LONG), "the daemon may still write to the others");
    done(&mut daemon, &memory, dropped_at, 1, PLACE);
    let mut cancelled = Answer::new(detached_at.0, Status::Cancelled);
    (cancelled.discarded, cancelled.shared) = (9, 9);
    daemon.say(&cancelled);
    daemon.say(&Answer::new(cancel.id, Status::NotFound));
    done(&mut daemon, &memory, third_at, 3, PLACE);
    drop(third.wait().expect("an answer behind the others"));
    assert!(session.outgoing(4 * PLACE).is_some(), "all of it is free again");
}

#[test]
fn a_place_where_a_lost_transfer_may_still_write_is_never_used_again() {
    for status in [Status::IoError, Status::NoDevice] {
        let (session, mut daemon, memory) = sharing();
        let pending = start(&session);
        let (id, at) = place_of_next(&mut daemon);
        assert_eq!(at, Some(0));
        memory.region(0..4).expect("inside").copy_from(b"some");
        daemon.say(&Answer { shared: 4, ..Answer::failure(Some(id), status, "host-stuck") });
        let error = pending.wait().unwrap_err();
        let kept = error.answer().expect("an answer").payload.clone();
        memory.region(0..4).expect("inside").copy_from(b"late");
        assert_eq!((error.status(), &kept[..]), (Some(status), &b"some"[..]));
        drop((error, kept));
        assert!(session.outgoing(3 * PLACE + 1).is_none());
        start(&session).detach();
        assert_eq!(place_of_next(&mut daemon).1, Some(LONG));
    }
}

#[test]
fn bytes_of_a_failed_read_are_in_its_refusal_and_their_place_comes_back() {
    for status in [Status::Timeout, Status::Cancelled, Status::Stall, Status::Overrun] {
        let (session, mut daemon, memory) = sharing();
        let pending = start(&session);
        let (id, _) = place_of_next(&mut daemon);
        memory.region(0..4).expect("inside").copy_from(b"some");
        daemon.say(&Answer { shared: 4, ..Answer::new(id, status) });
        let error = pending.wait().unwrap_err();
        assert_eq!(error.answer().expect("an answer").payload[..], *b"some");
        drop(error);
        assert!(session.outgoing(4 * PLACE).is_some(), "{status}");
    }
}

#[test]
fn an_answer_with_more_than_its_request_had_room_for_ends_the_connection() {
    for shared in [u64::from(LONG) + 1, u64::MAX] {
        let (session, mut daemon, _memory) = sharing();
        let pending = start(&session);
        let (id, _) = place_of_next(&mut daemon);
        daemon.say(&Answer { shared, ..Answer::new(id, Status::Success) });
        let error = pending.wait().unwrap_err();
        assert!(is_broken(&error, "where a request had room for 65536"), "{error:?}");
        assert!(daemon.is_left());
    }
}

#[test]
fn bytes_in_shared_memory_for_a_request_that_named_no_place_end_the_connection() {
    let write = Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout: None };
    for (command, payload) in
        [(read(9), vec![]), (Command::List { device: None, descriptors: false }, vec![]), (write, vec![7; PLACE])]
    {
        let (session, mut daemon, _memory) = sharing();
        let pending = session.start(command, payload).expect("sent");
        let id = daemon.next_request().id;
        daemon.say(&Answer { shared: 1, ..Answer::new(id, Status::Success) });
        let error = pending.wait().unwrap_err();
        assert!(is_broken(&error, "where a request had room for 0"), "{error:?}");
        assert!(daemon.is_left());
    }
}

#[test]
fn bytes_in_shared_memory_and_a_payload_besides_end_the_connection() {
    let (session, mut daemon, _memory) = sharing();
    let pending = start(&session);
    let (id, _) = place_of_next(&mut daemon);
    daemon.say(&Answer { shared: 4, payload: b"some"[..].into(), ..Answer::new(id, Status::Success) });
    let error = pending.wait().unwrap_err();
    assert!(is_broken(&error, "and sends 4 besides"), "{error:?}");
}

#[test]
fn a_payload_for_a_request_that_named_a_place_is_taken_and_the_place_comes_back() {
    let (session, mut daemon, _memory) = sharing();
    let pending = start(&session);
    let (id, at) = place_of_next(&mut daemon);
    assert!(at.is_some());
    daemon.payload(id, b"through the socket");
    assert_eq!(pending.wait().expect("an answer").payload[..], *b"through the socket");
    assert!(session.outgoing(4 * PLACE).is_some());
}

#[test]
fn what_came_outlives_a_daemon_that_ends_and_the_session() {
    let (session, mut daemon, memory) = sharing();
    let came = start(&session);
    let asked = place_of_next(&mut daemon);
    done(&mut daemon, &memory, asked, 6, PLACE);
    let bytes = came.wait().expect("an answer").payload;
    let (lent, abandoned) = (start(&session), start(&session));
    abandoned.detach();
    // As a daemon does when it ends.
    memory.leave_pages();
    drop((daemon, memory));
    assert!(matches!(lent.wait(), Err(Error::Gone { why: GoneWhy::Closed, .. })));
    drop(session);
    assert!(bytes == vec![6; PLACE]);
}

#[test]
fn bytes_that_are_kept_longer_than_their_session_stay_when_the_daemon_takes_its_memory_back() {
    let (session, mut daemon, memory) = sharing();
    let came: Vec<_> = (0..3).map(|_| start(&session)).collect();
    for byte in 1..=3 {
        let asked = place_of_next(&mut daemon);
        done(&mut daemon, &memory, asked, byte, PLACE);
    }
    let mut kept: Vec<_> = came.into_iter().map(|one| one.wait().expect("an answer").payload).collect();
    let part = kept[2].slice(100..200);
    drop(kept.remove(2));
    drop(session);
    // As a daemon does at a session's end: what was there is zeros.
    drop((daemon, memory));
    assert!(kept[0] == vec![1; PLACE] && kept[1] == vec![2; PLACE] && part == vec![3; 100]);
}

#[test]
fn a_session_that_has_hung_up_deals_out_no_memory_and_takes_none() {
    let (session, mut daemon, memory) = sharing();
    let pending = start(&session);
    let asked = place_of_next(&mut daemon);
    session.lock_handle().hang_up();
    memory.region(0..4).expect("inside").copy_from(b"late");
    assert!(matches!(pending.wait(), Err(Error::Gone { why: GoneWhy::Dropped, .. })), "{asked:?}");
    assert!(session.outgoing(1).is_none());
}

#[test]
fn a_daemon_that_knows_no_shared_memory_goes_on_as_before() {
    for status in [Status::InvalidParameter, Status::NotFound, Status::InsufficientResources] {
        let (session, mut daemon) = session();
        let refusal = asked(&session, &mut daemon, |daemon, id| {
            daemon.say(&Answer::failure(Some(id), status, "there is no command \"share-memory\""));
        });
        assert_eq!(refusal.unwrap_err().status(), Some(status));
        let pending = start(&session);
        let (id, at) = place_of_next(&mut daemon);
        assert_eq!(at, None);
        daemon.payload(id, b"page");
        assert_eq!(pending.wait().expect("an answer").payload[..], *b"page");
    }
}

#[test]
fn memory_that_did_not_come_or_is_of_no_use_is_not_used() {
    let short = SharedMemory::new(4 * PLACE - 1).expect("memory");
    let open = rustix::fs::memfd_create("open", rustix::fs::MemfdFlags::ALLOW_SEALING).expect("memory");
    rustix::fs::ftruncate(&open, 4 * PLACE as u64).expect("its length");
    let (pipe, _) = rustix::pipe::pipe().expect("a pipe");
    for descriptor in [None, Some(short.descriptor()), Some(open.as_fd()), Some(pipe.as_fd())] {
        let (session, mut daemon) = session();
        let error = asked(&session, &mut daemon, |daemon, id| match descriptor {
            Some(descriptor) => daemon.say_with(&Answer::new(id, Status::Success), &[descriptor]),
            None => daemon.say(&Answer::new(id, Status::Success)),
        });
        match (descriptor, error.unwrap_err()) {
            (None, Error::NoMemory) | (Some(_), Error::Memory(_)) => {}
            (_, other) => panic!("{other:?}"),
        }
        assert!(session.outgoing(1).is_none());
        start(&session).detach();
        assert_eq!(place_of_next(&mut daemon).1, None);
    }
}

#[test]
fn of_several_descriptors_the_first_is_taken_and_the_others_are_closed() {
    let (session, mut daemon) = session();
    let memory = SharedMemory::new(4 * PLACE).expect("memory");
    let (kept_open, others): (Vec<_>, Vec<_>) = (0..3).map(|_| rustix::pipe::pipe().expect("a pipe")).unzip();
    asked(&session, &mut daemon, |daemon, id| {
        let descriptors = [memory.descriptor(), others[0].as_fd(), others[1].as_fd(), others[2].as_fd()];
        daemon.say_with(&Answer::new(id, Status::Success), &descriptors);
    })
    .expect("they share memory");
    drop(others);
    for end in kept_open {
        assert_eq!(rustix::io::read(&end, &mut [0; 1]), Ok(0), "nobody has the other end any more");
    }
}

#[test]
fn a_descriptor_that_nobody_asked_for_is_closed_and_is_not_taken_for_memory() {
    let (session, mut daemon) = session();
    let pending = session.start(read(1), vec![]).expect("sent");
    let id = daemon.next_request().id;
    let (end, other) = rustix::pipe::pipe().expect("a pipe");
    daemon.say_with(&Answer::new(id, Status::Success), &[other.as_fd()]);
    drop(other);
    pending.wait().expect("an answer");
    assert_eq!(rustix::io::read(&end, &mut [0; 1]), Ok(0), "nobody has the other end any more");
    let none = asked(&session, &mut daemon, |daemon, id| daemon.say(&Answer::new(id, Status::Success)));
    assert!(matches!(none, Err(Error::NoMemory)));
}

#[test]
fn memory_is_shared_once() {
    let (session, _daemon, _memory) = sharing();
    let error = session.share_memory(1).unwrap_err();
    assert_eq!(error.to_string(), "share-memory: this session shares memory with usbscand already");
}

#[test]
fn who_waits_for_memory_hears_that_the_connection_ended() {
    let (session, mut daemon) = session();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| session.share_memory(PLACE));
        daemon.next_request();
        drop(daemon);
        let error = asking.join().expect("no panic").unwrap_err();
        assert!(matches!(error, Error::Gone { command: "share-memory", why: GoneWhy::Closed }), "{error:?}");
    });
}

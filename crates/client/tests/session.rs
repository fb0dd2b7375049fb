//! A session against a daemon that a test plays by hand.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use support::{greeting, pair, read, session};
use usbscan_client::wire::{self, Answer, Command, Event, EventName, Pipe, Status};
use usbscan_client::{Error, GoneWhy, Session};

mod support;

#[test]
fn the_greeting_is_known_afterwards() {
    let (session, _daemon) = session();
    assert_eq!((session.server(), session.number(), session.limits().requests), ("usbscand 9", 7, 64));
}

#[test]
fn answers_find_their_requests_in_whatever_order_they_come() {
    let (session, mut daemon) = session();
    let pending: Vec<_> = (0..8).map(|n| session.start(read(n), vec![]).expect("sent")).collect();
    let mut asked: Vec<u64> = (0..8).map(|_| daemon.next_request().id).collect();
    asked.rotate_left(3);
    for id in asked {
        daemon.payload(id, &id.to_le_bytes());
    }
    for one in pending {
        let id = one.id();
        assert_eq!(one.wait().expect("an answer").payload[..], id.to_le_bytes());
    }
}

#[test]
fn a_call_sends_its_payload_and_gets_one_back() {
    let (session, mut daemon) = session();
    let large: Vec<u8> = (0..wire::PAYLOAD_LIMIT).map(|at| at as u8).collect();
    let expected = large.clone();
    let daemon = thread::spawn(move || {
        let request = daemon.next_request();
        assert!(request.payload == expected);
        daemon.payload(request.id, &request.payload);
        let request = daemon.next_request();
        daemon.payload(request.id, &expected);
        daemon
    });
    session.write(&large, Some(Duration::from_secs(2))).expect("written");
    assert!(session.read(wire::PAYLOAD_LIMIT as u32, None).expect("read") == large);
    daemon.join().expect("no panic");
}

#[test]
fn a_payload_that_no_daemon_takes_is_not_sent() {
    let (session, _daemon) = session();
    let error = session.write(&vec![0; wire::PAYLOAD_LIMIT + 1], None).unwrap_err();
    assert_eq!(error.status(), Some(Status::InvalidParameter));
    assert_eq!(error.to_string(), "write: a payload of 1048577 bytes is more than the 1048576 that fit");
}

#[test]
fn a_refusal_is_the_daemons_sentence_and_its_status() {
    let (session, mut daemon) = session();
    let daemon = thread::spawn(move || {
        let id = daemon.next_request().id;
        daemon.say(&Answer::failure(Some(id), Status::Busy, "usbscan0 is in use by xsane (pid 12)"));
        let id = daemon.next_request().id;
        daemon.say(&Answer::new(id, Status::Stall));
        daemon
    });
    let error = session.open("usbscan0").unwrap_err();
    assert_eq!(
        (error.status(), error.to_string().as_str()),
        (Some(Status::Busy), "usbscan0 is in use by xsane (pid 12)")
    );
    let error = session.reset_pipe(Pipe::Read).unwrap_err();
    assert_eq!(error.to_string(), "reset-pipe: stall");
    daemon.join().expect("no panic");
}

#[test]
fn the_bytes_of_a_read_that_timed_out_are_in_its_refusal() {
    let (session, mut daemon) = session();
    let daemon = thread::spawn(move || {
        let mut answer = Answer::new(daemon.next_request().id, Status::Timeout);
        answer.payload = b"some"[..].into();
        daemon.say(&answer);
        daemon
    });
    let error = session.read(100, Some(Duration::from_millis(1))).unwrap_err();
    assert_eq!(error.answer().expect("an answer").payload[..], *b"some");
    daemon.join().expect("no panic");
}

#[test]
fn every_waiting_call_ends_when_the_daemon_does() {
    let (session, mut daemon) = session();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(|| session.read(512, None))).collect();
        (0..6).for_each(|_| drop(daemon.next_request()));
        drop(daemon);
        for call in calls {
            let error = call.join().expect("no panic").unwrap_err();
            assert!(matches!(error, Error::Gone { command: "read", why: GoneWhy::Closed }), "{error:?}");
            assert_eq!(
                error.to_string(),
                "the connection to usbscand ended during read: usbscand closed it; it was stopped, or it died"
            );
        }
    });
    assert!(session.is_gone());
    assert!(matches!(session.list(), Err(Error::Gone { command: "list", .. })));
    assert!(session.events().recv().is_err(), "the events end too");
}

#[test]
fn nonsense_from_the_daemon_ends_the_connection_in_words() {
    for nonsense in ["{}\n", "[]\n", "{\"id\":1,\"status\":\"splendid\"}\n", "{\"id\":1,\"payload\":99999999}\n"] {
        let (session, mut daemon) = session();
        let pending = session.start(Command::List { device: None, descriptors: false }, vec![]).expect("sent");
        daemon.next_request();
        daemon.writer.write_all(nonsense.as_bytes()).expect("written");
        let error = pending.wait().unwrap_err();
        assert!(matches!(&error, Error::Gone { why: GoneWhy::Broken(_), .. }), "{nonsense:?}: {error:?}");
        assert!(daemon.is_left(), "{nonsense:?}");
    }
}

#[test]
fn an_answer_that_lacks_what_it_should_have_is_told_apart() {
    let (session, mut daemon) = session();
    let daemon = thread::spawn(move || {
        let id = daemon.next_request().id;
        daemon.payload(id, b"");
        daemon
    });
    assert!(matches!(session.list(), Err(Error::BadAnswer { command: "list", .. })));
    daemon.join().expect("no panic");
}

#[test]
fn answers_that_nobody_waits_for_are_passed_over() {
    let (session, mut daemon) = session();
    daemon.payload(4711, b"who is that for?");
    daemon.say(&Answer::failure(None, Status::InvalidParameter, "no"));
    let pending = session.start(read(1), vec![]).expect("sent");
    let id = daemon.next_request().id;
    daemon.payload(id, b"x");
    assert_eq!(pending.wait().expect("an answer").payload[..], *b"x");
}

#[test]
fn a_request_can_be_cancelled_from_another_thread_while_it_is_waited_for() {
    let (session, mut daemon) = session();
    let canceller = session.canceller();
    let daemon = thread::spawn(move || {
        let hanging = daemon.next_request();
        let cancel = daemon.next_request();
        assert_eq!(cancel.command, Command::CancelRequest { request: hanging.id, session: None });
        daemon.say(&Answer::new(hanging.id, Status::Cancelled));
        daemon.say(&Answer::new(cancel.id, Status::Success));
        let second = daemon.next_request();
        daemon.say(&Answer::new(second.id, Status::NotFound));
        daemon
    });
    let hanging = session.start(read(512), vec![]).expect("sent");
    let id = hanging.id();
    let canceller = thread::spawn(move || (canceller.cancel_request(id), canceller.cancel_request(id)));
    assert_eq!(hanging.wait().unwrap_err().status(), Some(Status::Cancelled));
    let (first, second) = canceller.join().expect("no panic");
    assert!(first.expect("an answer") && !second.expect("an answer"));
    daemon.join().expect("no panic");
}

#[test]
fn a_request_that_is_dropped_is_cancelled_and_its_late_answer_hurts_nobody() {
    let (session, mut daemon) = session();
    let dropped = session.start(read(512), vec![]).expect("sent");
    let id = dropped.id();
    drop(dropped);
    daemon.next_request();
    let cancel = daemon.next_request();
    assert_eq!(cancel.command, Command::CancelRequest { request: id, session: None });
    daemon.payload(id, b"late");
    daemon.say(&Answer::new(cancel.id, Status::NotFound));
    let detached = session.start(read(1), vec![]).expect("sent");
    detached.detach();
    daemon.next_request();
    let next = session.start(read(2), vec![]).expect("sent");
    let heard = daemon.next_request();
    assert_eq!((heard.id, heard.command), (next.id(), read(2)), "a detached request is not cancelled");
    daemon.payload(next.id(), b"ok");
    assert_eq!(next.wait().expect("an answer").payload[..], *b"ok");
}

#[test]
fn who_waits_with_a_limit_can_wait_again() {
    let (session, mut daemon) = session();
    let mut pending = session.start(read(1), vec![]).expect("sent");
    assert!(pending.wait_for(Duration::from_millis(1)).expect("nothing wrong").is_none());
    let id = daemon.next_request().id;
    daemon.payload(id, b"x");
    let answer = pending.wait_for(Duration::from_secs(60)).expect("an answer").expect("by now");
    assert_eq!(answer.payload[..], *b"x");
}

#[test]
fn events_come_in_order_and_of_too_many_the_newest_stay() {
    let (session, mut daemon) = session();
    let subscribing = session.start(Command::Subscribe { events: vec![EventName::Removal] }, vec![]).expect("sent");
    let id = daemon.next_request().id;
    let removal = |n: u32| Event::Removal { name: format!("usbscan{n}"), stable_id: String::new() };
    (0..1000).for_each(|n| daemon.tell(&removal(n)));
    daemon.say(&Answer::new(id, Status::Success));
    subscribing.wait().expect("an answer behind all of them");
    let events: Vec<Event> = session.events().try_iter().collect();
    assert!(events.len() > 100 && events.len() < 1000);
    let first = 1000 - events.len() as u32;
    assert!(events.iter().zip(first..).all(|(event, n)| *event == removal(n)));
}

#[test]
fn dropping_a_session_ends_the_connection_and_its_other_handles_say_so() {
    let (session, mut daemon) = session();
    let canceller = session.canceller();
    let pending = session.start(read(1), vec![]).expect("sent");
    drop(session);
    daemon.next_request();
    assert!(daemon.is_left());
    let error = pending.wait().unwrap_err();
    assert_eq!(error.to_string(), "the connection to usbscand ended during read: this program closed it");
    assert!(matches!(canceller.cancel_session(), Err(Error::Gone { why: GoneWhy::Dropped, .. })));
}

#[test]
fn what_does_not_greet_as_usbscand_does_is_none() {
    let (socket, mut daemon) = pair();
    daemon.writer.write_all(b"220 mail.example.com ESMTP\n").expect("written");
    assert!(matches!(Session::on_socket(socket), Err(Error::NotUsbscand(_))));

    let (socket, daemon) = pair();
    drop(daemon);
    assert!(matches!(Session::on_socket(socket), Err(Error::Gone { command: "hello", .. })));

    let (socket, mut daemon) = pair();
    daemon.say(&Answer::failure(None, Status::InsufficientResources, "64 connections are all there are"));
    let error = Session::on_socket(socket).unwrap_err();
    assert_eq!(error.to_string(), "64 connections are all there are");

    let (socket, mut daemon) = pair();
    let Event::Hello { server, session, limits, .. } = greeting() else { unreachable!() };
    daemon.tell(&Event::Hello { server, session, limits, protocol: 1 });
    let error = Session::on_socket(socket).unwrap_err();
    let said = "usbscand 9 speaks protocol 1, and this program speaks protocol 2: install both from the same release, and restart usbscand";
    assert_eq!(error.to_string(), said);
}

#[test]
fn where_nobody_listens_the_socket_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("usbscand.sock");
    let text = Session::connect(&path).unwrap_err().to_string();
    let expected = format!("can't connect to {}: no such socket", path.display());
    assert!(text.starts_with(&expected), "{text}");
    drop(UnixListener::bind(&path).expect("a socket"));
    let text = Session::connect(&path).unwrap_err().to_string();
    assert!(text.starts_with(&format!("can't connect to {}: connection refused", path.display())), "{text}");
}

#[test]
fn a_scanner_that_another_asks_something_is_had_when_that_is_over() {
    let (session, mut daemon) = session();
    let lock = session.lock_handle();
    let taking = std::thread::spawn(move || lock.lock_timeout(usbscan_client::LOCK_TIMEOUT));
    let asked = daemon.next_request();
    assert_eq!(asked.command, Command::Lock { wait: true, if_unused: false });
    daemon.say(&Answer::new(asked.id, Status::Success));
    taking.join().expect("no panic").expect("it has it");
}

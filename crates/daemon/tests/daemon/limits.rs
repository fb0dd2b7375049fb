//! A cancel is never refused: not at a session's limit of requests, not where no connection is left, not behind answers that its
//! client has not read.

use std::time::Duration;

use usbscan_daemon::{Config, Limits};
use usbscan_wire::{Command, Event, FromDaemon, Status};

use testkit::rig::{Client, DEADLINE, Rig, open};

fn limited(limits: Limits) -> Rig {
    Rig::with(Config { limits, ..Config::default() }, &["loopback"])
}

/// What the daemon says first.
fn first(rig: &Rig) -> FromDaemon {
    let stream = rig.daemon.connect().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut reader = std::io::BufReader::new(stream);
    let frame = usbscan_wire::read_frame(&mut reader, usbscan_wire::DAEMON_HEADER_LIMIT).expect("in time");
    FromDaemon::from_frame(frame.expect("it speaks first")).expect("a message")
}

#[test]
fn at_the_limit_of_requests_cancels_are_taken_all_the_same() {
    let rig = limited(Limits { requests: 4, ..Limits::default() });
    let mut client = rig.open();
    let reads: Vec<u64> = (0..4).map(|_| client.read(512)).collect();
    assert_eq!(client.call(Command::List { device: None, descriptors: false }).status, Status::InsufficientResources);
    client.done(Command::CancelRequest { request: reads[1], session: None });
    assert_eq!(client.answer(reads[1]).status, Status::Cancelled);
    let again = client.read(512);
    client.done(Command::CancelSession { session: None });
    for read in [reads[0], reads[2], reads[3], again] {
        assert_eq!(client.answer(read).status, Status::Cancelled);
    }
}

#[test]
fn at_the_limit_of_all_requests_together_cancels_are_taken_all_the_same() {
    let rig = limited(Limits { connections: 2, all_requests: 4, ..Limits::default() });
    let mut client = rig.open();
    let mut reads = Vec::new();
    while client.call(Command::List { device: None, descriptors: false }).status == Status::Success {
        reads.push(client.read(512));
    }
    client.done(Command::CancelPipe { pipe: Some(usbscan_wire::Pipe::Read), endpoint: None, device: None });
    assert!(reads.into_iter().all(|read| client.answer(read).status == Status::Cancelled));
}

#[test]
fn the_bytes_of_a_read_count_however_its_pipe_is_named() {
    for endpoint in [None, Some(0x81)] {
        let rig = limited(Limits { bytes: 1024, ..Limits::default() });
        let mut client = rig.open();
        let read = Command::Read { endpoint, offset: None, length: 1024, return_partial: false, timeout: None };
        let pending = client.send(read.clone());
        client.until_pending(&[(pending, "in-flight")]);
        assert_eq!(client.call(read).status, Status::InsufficientResources, "{endpoint:?}");
        client.done(Command::CancelRequest { request: pending, session: None });
    }
}

#[test]
fn more_cancels_than_there_may_be_are_answered_one_and_all() {
    let rig = limited(Limits { requests: 4, ..Limits::default() });
    let mut client = rig.open();
    let reads: Vec<u64> = (0..4).map(|_| client.read(512)).collect();
    rig.client().until_pending(&[(reads[0], "in-flight")]);
    let cancels: Vec<u64> =
        (0..200).map(|_| client.send(Command::CancelPending { device: Some("usbscan0".to_owned()) })).collect();
    for cancel in cancels {
        assert_eq!(client.answer(cancel).status, Status::Success);
    }
    assert!(reads.into_iter().all(|read| client.answer(read).status == Status::Cancelled));
}

#[test]
fn behind_refusals_that_nobody_has_read_a_cancel_is_carried_out() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.client());
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    for id in 1000..1100 {
        two.send_as(id, Command::Unlock {}, Vec::new());
    }
    two.send_raw(&b"{\"id\":7,\"command\":\"nonsense\"}\n".repeat(100));
    two.send(Command::CancelRequest { request: read, session: Some(one.session) });
    assert_eq!(one.answer(read).status, Status::Cancelled);
}

// ---- connections

#[test]
fn a_user_who_has_all_of_his_connections_gets_two_more_for_looking_and_cancelling() {
    let rig = limited(Limits { connections: 4, ..Limits::default() });
    let (mut one, _two) = (rig.open(), rig.client());
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    let (mut reserve, second) = (rig.client(), rig.client());
    let FromDaemon::Answer(refused) = first(&rig) else { panic!("a third is refused") };
    assert_eq!((refused.id, refused.status), (None, Status::InsufficientResources));
    for command in
        [open("usbscan0"), Command::ShareMemory { length: 4096 }, Command::Lock { wait: true, if_unused: false }]
    {
        let answer = reserve.call(command);
        assert_eq!(answer.status, Status::InsufficientResources, "{:?}", answer.message);
        assert!(answer.message.expect("it says why").contains("looking and cancelling"));
    }
    reserve.done(Command::Version {});
    reserve.done(Command::List { device: None, descriptors: false });
    reserve.done(Command::Status { device: None });
    reserve.done(Command::CancelSession { session: Some(one.session) });
    assert_eq!(one.answer(read).status, Status::Cancelled);
    reserve.done(Command::CancelPending { device: Some("usbscan0".to_owned()) });
    drop(second);
    drop(reserve);
    // The places of the reserve are free again, in the daemon's own time.
    let until = std::time::Instant::now() + DEADLINE;
    while matches!(first(&rig), FromDaemon::Answer(_)) {
        assert!(std::time::Instant::now() < until, "the reserve is never free again");
    }
}

#[test]
fn a_connection_of_the_reserve_is_closed_when_it_is_idle_and_others_are_not() {
    let config = Config {
        limits: Limits { connections: 2, ..Limits::default() },
        reserve_idle: Duration::from_millis(20),
        ..Config::default()
    };
    let rig = Rig::with(config, &["loopback"]);
    let mut one = rig.open();
    let mut reserve = rig.client();
    assert!(reserve.hear_the_end().iter().all(|message| matches!(message, FromDaemon::Event(Event::Hello { .. }))));
    one.done(Command::List { device: None, descriptors: false });
}

#[test]
fn whoever_has_connections_of_the_reserve_waits_there_for_the_end_of_a_cancel() {
    let config = Config {
        limits: Limits { connections: 2, ..Limits::default() },
        reserve_idle: Duration::from_millis(20),
        ..Config::default()
    };
    let rig = Rig::with(config, &["loopback,slow-unlink=200"]);
    let mut one = rig.open();
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    let mut reserve: Client = rig.client();
    let cancel = reserve.send(Command::CancelPending { device: Some("usbscan0".to_owned()) });
    assert_eq!(reserve.answer(cancel).status, Status::Success);
}

//! Endings: of sessions, scanners, clients that misbehave, and the daemon.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use usbscan_daemon::Config;
use usbscan_daemon::config::Limits;
use usbscan_wire::{AbortStep, Answer, Command, ControlDirection, Event, FromDaemon, HexBytes, Pipe, Status};

use testkit::rig::{Client, DEADLINE, HANG, PATTERN, Rig, open, vendor, vendor_out};

fn arm(bytes: &[u8]) -> Command {
    Command::ArmAbort {
        steps: vec![AbortStep::Write { endpoint: None, bytes: HexBytes(bytes.to_vec()), timeout: 1000 }],
        settle: None,
    }
}

fn answers(messages: Vec<FromDaemon>) -> Vec<Answer> {
    let answer = |message| match message {
        FromDaemon::Answer(answer) => Some(answer),
        FromDaemon::Event(_) => None,
    };
    messages.into_iter().filter_map(answer).collect()
}

// ---- of sessions

#[test]
fn a_session_that_ends_has_its_requests_cancelled_and_the_pipe_is_the_nexts() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    drop(one);
    // Until its end is noticed its read is in front, and gets what comes.
    two.until_sessions(1);
    let read = two.read(512);
    two.write_all(b"mine");
    assert_eq!(two.answer(read).payload[..], *b"mine");
}

#[test]
fn a_session_that_dies_in_the_middle_runs_its_armed_sequence_before_the_next_gets_the_pipes() {
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    one.done(arm(b"abort"));
    one.write_all(b"left over");
    drop(one);
    let mut two = rig.open();
    assert_eq!(two.read_all(512), b"left over");
    assert_eq!(two.read_all(512), b"abort", "the sequence ran");
}

#[test]
fn a_sequence_that_was_taken_back_does_not_run() {
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    one.done(arm(b"abort"));
    one.write_all(b"a");
    assert_eq!(one.read_all(512), b"a");
    one.done(Command::DisarmAbort {});
    drop(one);
    let mut two = rig.open();
    two.write_all(b"b");
    assert_eq!(two.read_all(512), b"b");
}

#[test]
fn close_runs_an_armed_sequence_too() {
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    one.done(arm(b"abort"));
    one.write_all(b"x");
    one.done(Command::Close {});
    one.open("usbscan0");
    assert_eq!(one.read_all(512), b"x");
    assert_eq!(one.read_all(512), b"abort");
}

#[test]
fn a_session_that_dies_unarmed_in_the_middle_leaves_a_drained_scanner() {
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    one.done(vendor_out(PATTERN, 64));
    assert_eq!(one.read_all(512).len(), 512);
    drop(one);
    let mut two = rig.open();
    two.write_all(b"clean");
    assert_eq!(two.read_all(512), b"clean");
}

#[test]
fn close_with_requests_outstanding_answers_them_first() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let read = client.read(512);
    let close = client.send(Command::Close {});
    assert_eq!(client.answer(close).status, Status::Success);
    assert_eq!(client.answer(read).status, Status::Cancelled);
    assert_eq!(client.order.iter().rev().take(2).copied().collect::<Vec<_>>(), [close, read]);
}

#[test]
fn a_client_that_stops_talking_still_gets_its_answers() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    let list = client.send(Command::List { device: None, descriptors: false });
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer(list).status, Status::Success);
    assert!(client.hear_the_end().is_empty());
}

#[test]
fn a_lock_is_free_when_its_holder_is_gone() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(Command::Lock { wait: false, if_unused: false });
    let wait = two.send(Command::Lock { wait: true, if_unused: false });
    one.stream().shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(two.answer(wait).status, Status::Success);
}

// ---- of clients that misbehave

#[test]
fn a_header_of_garbage_gets_one_answer_and_the_connection_ends() {
    let long = [vec![b' '; 5000], vec![b'\n']].concat();
    let cases: [&[u8]; 6] = [
        b"garbage\n",
        b"[1]\n",
        b"{\"command\":\"list\"}\n",
        b"{\"id\":1,\"command\":\"write\",\"payload\":1048577}\n",
        b"{\"id\":-1,\"command\":\"list\"}\n",
        &long,
    ];
    let rig = Rig::new(&["loopback"]);
    for garbage in cases {
        let mut client = rig.client();
        client.send_raw(garbage);
        let answers = answers(client.hear_the_end());
        assert_eq!(answers.len(), 1, "{}", String::from_utf8_lossy(garbage));
        assert_eq!((answers[0].id, answers[0].status), (None, Status::InvalidParameter));
    }
}

#[test]
fn a_bad_command_with_an_id_is_refused_and_the_connection_goes_on() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    client.send_raw(b"{\"id\":901,\"command\":\"scan\"}\n{\"id\":902,\"command\":\"read\",\"lenght\":5}\n");
    assert_eq!(client.answer(901).status, Status::InvalidParameter);
    let answer = client.answer(902);
    assert!(answer.message.unwrap().contains("lenght"));
    client.done(Command::List { device: None, descriptors: false });
}

#[test]
fn an_id_that_is_outstanding_is_refused_and_the_first_request_stays() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.send_as(
        500,
        Command::Read { endpoint: None, offset: None, length: 512, return_partial: false, timeout: None },
        vec![],
    );
    client.send_as(500, Command::Version {}, vec![]);
    assert_eq!(client.answer(500).status, Status::InvalidParameter);
    client.write_all(b"x");
    assert_eq!(client.answer(500).payload[..], *b"x");
}

#[test]
fn past_a_limit_a_request_is_refused_and_nothing_else_is_disturbed() {
    let limits = Limits { requests: 4, bytes: 1 << 20, ..Limits::default() };
    let rig = Rig::with(Config { limits, ..Config::default() }, &["loopback"]);
    let mut client = rig.open();
    let reads: Vec<u64> = (0..4).map(|_| client.read(512)).collect();
    assert_eq!(client.call(Command::List { device: None, descriptors: false }).status, Status::InsufficientResources);
    let mut other = rig.open();
    assert_eq!(other.call(Command::List { device: None, descriptors: false }).status, Status::Success);
    let (one, two) = (other.read(1 << 20), other.read(1));
    let refused = other.answer(two);
    assert_eq!(refused.status, Status::InsufficientResources);
    assert!(refused.message.unwrap().contains("1048576 bytes"));
    other.done(Command::CancelRequest { request: one, session: None });
    other.done(vendor_out(PATTERN, 2));
    for read in reads {
        let answer = client.answer(read);
        assert_eq!((answer.status, answer.information), (Status::Success, 512), "{answer:?}");
    }
}

#[test]
fn too_many_connections_are_refused_with_a_sentence() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let rig = Rig::with(Config { limits, ..Config::default() }, &[]);
    // One of this user's, and two of the reserve.
    let _held = (rig.client(), rig.client(), rig.client());
    let stream = rig.daemon.connect().unwrap();
    let mut reader = std::io::BufReader::new(stream);
    let frame = usbscan_wire::read_frame(&mut reader, usbscan_wire::DAEMON_HEADER_LIMIT).unwrap().unwrap();
    let FromDaemon::Answer(answer) = FromDaemon::from_frame(frame).unwrap() else { panic!("an answer") };
    assert_eq!((answer.id, answer.status), (None, Status::InsufficientResources));
}

#[test]
fn a_client_that_reads_nothing_stalls_only_itself_and_ends_in_the_end() {
    let config = Config { stall: Duration::from_millis(300), ..Config::default() };
    let rig = Rig::with(config, &["loopback"]);
    let mut deaf = rig.open();
    deaf.done(Command::Lock { wait: false, if_unused: false });
    let mut two = rig.open();
    let lock = two.send(Command::Lock { wait: true, if_unused: false });
    // Reads nothing and asks on, until the daemon reads no more of it and then ends it.
    let mut flood = deaf.stream().try_clone().unwrap();
    flood.set_write_timeout(Some(DEADLINE)).unwrap();
    let line = b"{\"id\":7,\"command\":\"nonsense\"}\n".repeat(1000);
    while flood.write_all(&line).is_ok() {}
    assert_eq!(two.answer(lock).status, Status::Success, "its lock is free");
    two.write_all(b"x");
    assert_eq!(two.read_all(512), b"x");
}

// ---- of scanners

#[test]
fn unplugging_ends_every_request_with_no_device() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let mut client = rig.open();
        let pending = [
            client.read(512),
            client.read(512),
            client.send(Command::WaitEvent { endpoint: None, timeout: None }),
            client.send(vendor(HANG, ControlDirection::In, 0, 1)),
        ];
        client.until_pending(&[(pending[0], "in-flight"), (pending[3], "in-flight")]);
        rig.unplug(0);
        for id in pending {
            assert_eq!(client.answer(id).status, Status::NoDevice);
        }
        assert!(matches!(client.event(), Event::Removal { .. }), "who has it open is told");
        for command in [
            Command::Read { endpoint: None, offset: None, length: 1, return_partial: false, timeout: None },
            Command::WaitEvent { endpoint: None, timeout: None },
            Command::PipeConfiguration {},
            Command::ResetPipe { pipe: Some(Pipe::All), endpoint: None },
            Command::CancelPipe { pipe: Some(Pipe::All), endpoint: None, device: None },
            Command::CancelPending { device: None },
            Command::ResetDevice { device: None },
            Command::Lock { wait: true, if_unused: false },
            Command::Status { device: Some("usbscan0".to_owned()) },
        ] {
            let name = command.name();
            assert_eq!(client.call(command).status, Status::NoDevice, "{name}");
        }
        client.done(Command::Close {});
    }
}

#[test]
fn a_scanner_that_comes_back_has_its_name_and_stable_id_and_works() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    rig.unplug(0);
    assert!(matches!(client.event(), Event::Removal { .. }));
    client.done(Command::Close {});
    rig.bus.plug_spec("loopback").unwrap();
    client.until_listed("usbscan0");
    client.open("1209:0001:LOOP0001");
    client.write_all(b"back");
    assert_eq!(client.read_all(512), b"back");
}

#[test]
fn a_device_that_falls_off_the_bus_in_mid_transfer_is_no_device() {
    let rig = Rig::new(&["loopback,fault=unplug@600"]);
    let mut client = rig.open();
    let read = client.read(4096);
    let write = client.write(&[1; 4096]);
    assert_eq!(client.answer(read).status, Status::NoDevice);
    client.answer(write);
}

#[test]
fn bus_errors_and_surplus_have_their_own_statuses_and_freeze_the_pipe() {
    for (fault, status) in [("garble@600", Status::IoError), ("babble@600", Status::Overrun)] {
        let rig = Rig::new(&[&format!("loopback,fault={fault}")]);
        let mut client = rig.open();
        client.write_all(&[1; 4096]);
        let (read, behind) = (client.read(4096), client.read(512));
        assert_eq!(client.answer(read).status, status, "{fault}");
        assert_eq!(client.answer(behind).status, Status::Stall, "{fault}: the pipe is frozen");
        client.done(Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None });
        assert!(!client.read_all(512).is_empty(), "{fault}");
    }
}

#[test]
fn a_transfer_that_is_given_back_late_is_waited_for() {
    let rig = Rig::new(&["loopback,slow-unlink=200"]);
    let mut client = rig.open();
    let read = client.read(512);
    client.until_pending(&[(read, "in-flight")]);
    let cancel = client.send(Command::CancelRequest { request: read, session: None });
    assert_eq!(client.answer(cancel).status, Status::Success);
    assert_eq!(client.answer(read).status, Status::Cancelled);
    client.write_all(b"on");
    assert_eq!(client.read_all(512), b"on");
}

#[test]
fn a_host_stuck_scanner_is_reported_and_stops_neither_the_daemon_nor_other_scanners() {
    for (depth, second) in [(1, Status::Cancelled), (4, Status::IoError)] {
        make_a_scanner_host_stuck(depth, second);
    }
}

/// `second` is how a request ends behind the one that gets the host stuck: with the host, or not there yet.
fn make_a_scanner_host_stuck(depth: usize, second: Status) {
    let config = Config { queue_depth: depth, ..Config::default() };
    let rig = Rig::with(config, &["loopback,slow-unlink=never", "loopback,serial=SANE"]);
    let (mut client, mut other) = (rig.open(), rig.client());
    other.open("usbscan1");
    let reads = [client.read(512), client.read(512)];
    let behind = if depth == 1 { "queued" } else { "in-flight" };
    client.until_pending(&[(reads[0], "in-flight"), (reads[1], behind)]);
    let cancel = client.send(Command::CancelPending { device: None });
    other.write_all(b"unimpressed");
    assert_eq!(other.read_all(512), b"unimpressed");
    let answer = client.answer(cancel);
    assert_eq!(answer.status, Status::IoError);
    assert!(answer.message.unwrap().contains("did not return"));
    assert_eq!(client.answer(reads[0]).status, Status::IoError);
    assert_eq!(client.answer(reads[1]).status, second, "depth {depth}");
    let refused = client.read(512);
    assert_eq!(client.answer(refused).status, Status::IoError);
    let body: usbscan_wire::StatusBody =
        other.done(Command::Status { device: Some("usbscan0".into()) }).body().unwrap();
    assert_eq!(body.devices[0].state, "host-stuck");
    client.done(Command::Close {});
    assert_eq!(client.call(open("usbscan0")).status, Status::IoError);
    // Pulled out, the host gives everything back; plugged in again it is a new device.
    rig.unplug(0);
    rig.bus.plug_spec("loopback,serial=NEW").unwrap();
    client.until_listed("1209:0001:NEW");
    client.open("1209:0001:NEW");
    client.write_all(b"new");
    assert_eq!(client.read_all(512), b"new");
}

// ---- of the daemon

#[test]
fn the_orderly_end_answers_every_request_and_runs_armed_sequences() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.done(arm(b"abort"));
    let pending = [client.read(512), client.send(Command::WaitEvent { endpoint: None, timeout: None })];
    client.until_pending(&pending.map(|id| (id, "in-flight")));
    let daemon = rig.daemon;
    assert!(daemon.stop(Duration::from_secs(30)), "everything ends in time");
    let heard = answers(client.hear_the_end());
    for id in pending {
        let answer = heard.iter().find(|answer| answer.id == Some(id)).expect("it is answered");
        assert_eq!(answer.status, Status::Cancelled);
    }
    let mut bus_is_free = restart(&rig.bus);
    assert_eq!(bus_is_free.1.read_all(512), b"abort");
}

#[test]
fn a_client_that_was_there_before_anybody_counted_is_a_use() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let at_work = Arc::new(AtomicBool::new(true));
    let (tell, told) = bounded(1);
    let seen = Arc::clone(&at_work);
    let call = move || tell.send(seen.load(Ordering::SeqCst)).expect("it is waited for");
    let watch = rig.daemon.when_unused(Duration::from_millis(1), call).expect("a thread");
    for _ in 0..200 {
        client.write_all(b"at work");
        assert_eq!(client.read_all(512), b"at work");
    }
    at_work.store(false, Ordering::SeqCst);
    drop(client);
    assert_eq!(told.recv_timeout(DEADLINE), Ok(false), "nobody uses it only when that client is gone");
    drop(watch);
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_end() {
    let rig = Rig::new(&["loopback"]);
    let mut deaf = rig.open();
    deaf.done(vendor_out(PATTERN, 1024));
    for _ in 0..2 {
        deaf.read(1 << 19);
    }
    assert!(rig.daemon.stop(Duration::from_secs(4)));
}

/// Another daemon on the same bus, with a client that has the scanner open.
fn restart(bus: &usbscan_virtual::VirtualBus) -> (usbscan_daemon::Running, Client) {
    let daemon = usbscan_daemon::Running::start(Config::default(), vec![std::sync::Arc::new(bus.clone())]).unwrap();
    let mut client = Client::new(daemon.connect().unwrap());
    client.open("usbscan0");
    (daemon, client)
}

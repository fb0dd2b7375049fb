//! The transport over a session, against a daemon that a test plays by hand.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use usbscan_client::wire::{self, AbortStep, Answer, Command, Event, HexBytes, Limits, Peer, Pipe, Request, Status};
use usbscan_client::{RequestData, Session};
use usbscan_scan::{ControlRequest, ReadEnd, SessionTransport, Transport, TransportError};

const SECOND: Duration = Duration::from_secs(1);

struct Daemon {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Daemon {
    fn next_request(&mut self) -> Option<Request> {
        let frame = wire::read_frame(&mut self.reader, wire::CLIENT_HEADER_LIMIT).expect("a frame or the end");
        frame.map(|frame| Request::from_frame(frame).expect("a request"))
    }

    /// Answers. A client that has what it wanted may be gone before the last answer is written: that is no mistake of
    /// either, and what it saw is what the tests look at.
    fn say(&mut self, id: u64, status: Status, payload: &[u8]) {
        let mut answer = Answer::new(id, status);
        answer.payload = payload.to_vec().into();
        match answer.write_to(&mut self.writer) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.expect("an answer is written"),
        }
    }
}

/// A transport, and a daemon that runs `play` until the session ends.
fn transport(play: impl FnMut(&mut Daemon, Request) + Send + 'static) -> (SessionTransport, JoinHandle<()>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let reader = BufReader::new(theirs.try_clone().expect("a second descriptor"));
    let mut daemon = Daemon { reader, writer: theirs };
    let limits = Limits { header: 4096, payload: 1 << 20, requests: 64, bytes: 4 << 20 };
    let hello = Event::Hello { server: "usbscand 9".to_owned(), protocol: wire::PROTOCOL_VERSION, session: 1, limits };
    hello.write_to(&mut daemon.writer).expect("written");
    let mut play = play;
    let daemon = thread::spawn(move || {
        while let Some(request) = daemon.next_request() {
            play(&mut daemon, request);
        }
    });
    (SessionTransport::new(Session::on_socket(ours).expect("a session")), daemon)
}

fn is_read(request: &Request) -> bool {
    matches!(request.command, Command::Read { .. })
}

#[test]
fn a_read_hands_over_what_came_however_it_ended() {
    let mut ends = [(Status::Success, "all"), (Status::Timeout, "some"), (Status::Cancelled, "few")].into_iter();
    let (mut transport, daemon) = transport(move |daemon, request| {
        let expected =
            Command::Read { endpoint: None, offset: None, length: 100, return_partial: true, timeout: Some(1.0) };
        assert_eq!(request.command, expected);
        let (status, bytes) = ends.next().expect("three reads");
        daemon.say(request.id, status, bytes.as_bytes());
    });
    for (end, bytes) in [(ReadEnd::Done, "all"), (ReadEnd::TimedOut, "some"), (ReadEnd::Cancelled, "few")] {
        let received = transport.read(100, SECOND).expect("no error");
        assert_eq!((received.end, &received.bytes[..]), (end, bytes.as_bytes()));
    }
    drop(transport);
    daemon.join().expect("no panic");
}

#[test]
fn every_status_has_its_error() {
    let statuses = [
        Status::Cancelled,
        Status::Timeout,
        Status::Stall,
        Status::Overrun,
        Status::IoError,
        Status::NoDevice,
        Status::NotSupported,
        Status::Busy,
    ];
    let mut next = statuses.into_iter();
    let (mut transport, daemon) = transport(move |daemon, request| {
        daemon.say(request.id, next.next().expect("one more"), b"");
    });
    for status in statuses {
        let error = transport.write(b"\x1b@", SECOND).expect_err("no success");
        let fits = match status {
            Status::Cancelled => matches!(error, TransportError::Cancelled),
            Status::Timeout => matches!(error, TransportError::Timeout { tried: "write", after: SECOND }),
            Status::Stall => matches!(error, TransportError::Stall { tried: "write" }),
            Status::Overrun => matches!(error, TransportError::Overrun),
            Status::IoError => matches!(error, TransportError::Bus { tried: "write" }),
            Status::NoDevice => matches!(error, TransportError::NoDevice),
            Status::NotSupported => matches!(error, TransportError::NotSupported { tried: "write" }),
            other => matches!(error, TransportError::Daemon(ref error) if error.status() == Some(other)),
        };
        assert!(fits, "{status}: {error:?}");
    }
    drop(transport);
    daemon.join().expect("no panic");
}

#[test]
fn a_cancel_ends_the_read_under_way_and_keeps_what_it_had() {
    let (told, reading) = std::sync::mpsc::channel();
    let mut read = None;
    let (mut transport, daemon) = transport(move |daemon, request| match request.command {
        Command::Read { .. } => {
            read = Some(request.id);
            told.send(()).expect("the test waits");
        }
        Command::CancelRequest { request: cancelled, .. } => {
            assert_eq!(Some(cancelled), read);
            daemon.say(cancelled, Status::Cancelled, b"half");
            daemon.say(request.id, Status::Success, b"");
        }
        other => panic!("{other:?}"),
    });
    let cancel = transport.cancel_handle();
    let finger = thread::spawn(move || {
        reading.recv().expect("a read");
        cancel.cancel();
    });
    let received = transport.read(100, Duration::from_secs(200)).expect("no error");
    assert_eq!((received.end, &received.bytes[..]), (ReadEnd::Cancelled, &b"half"[..]));
    finger.join().expect("no panic");
    drop(transport);
    daemon.join().expect("no panic");
}

#[test]
fn after_a_cancel_nothing_is_started_until_it_is_acknowledged() {
    let (mut transport, daemon) = transport(|daemon, request| {
        assert!(is_read(&request), "{request:?}");
        daemon.say(request.id, Status::Success, b"x");
    });
    let cancel = transport.cancel_handle();
    cancel.cancel();
    assert_eq!(transport.read(1, SECOND).expect("no error").end, ReadEnd::Cancelled);
    assert!(matches!(transport.write(b"x", SECOND), Err(TransportError::Cancelled)));
    cancel.acknowledge();
    assert_eq!(transport.read(1, SECOND).expect("no error").bytes[..], *b"x");
    drop(transport);
    daemon.join().expect("no panic");
}

#[test]
fn an_abort_sequence_is_taken_back_even_after_a_cancel() {
    let (mut transport, daemon) = transport(|daemon, request| {
        assert_eq!(request.command, Command::DisarmAbort {});
        daemon.say(request.id, Status::Success, b"");
    });
    transport.cancel_handle().cancel();
    assert!(matches!(transport.arm_abort(vec![], None), Err(TransportError::Cancelled)));
    transport.disarm_abort().expect("no error");
    drop(transport);
    daemon.join().expect("no panic");
}

#[test]
fn a_read_that_was_started_is_ended_by_its_own_driver_too() {
    let mut read = None;
    let (mut transport, daemon) = transport(move |daemon, request| match request.command {
        Command::Read { .. } => read = Some(request.id),
        Command::CancelRequest { request: cancelled, .. } => {
            assert_eq!(Some(cancelled), read);
            daemon.say(cancelled, Status::Cancelled, b"ab");
        }
        other => panic!("{other:?}"),
    });
    transport.start_read(100, Duration::from_secs(200)).expect("started");
    transport.cancel_read();
    let received = transport.finish_read().expect("no error");
    assert_eq!((received.end, &received.bytes[..]), (ReadEnd::Cancelled, &b"ab"[..]));
    drop(transport);
    daemon.join().expect("no panic");
}

#[test]
fn a_daemon_that_dies_ends_what_is_waited_for() {
    let (mut transport, daemon) = transport(|daemon, _| {
        daemon.writer.shutdown(std::net::Shutdown::Both).expect("the end");
    });
    let error = transport.read(100, Duration::from_secs(200)).expect_err("no daemon");
    assert!(matches!(error, TransportError::Daemon(usbscan_client::Error::Gone { .. })), "{error:?}");
    daemon.join().expect("no panic");
}

#[test]
fn the_other_commands_say_what_they_mean() {
    let (heard, commands) = std::sync::mpsc::channel();
    let (mut transport, daemon) = transport(move |daemon, request| {
        daemon.say(request.id, Status::Success, b"answer");
        heard.send(request).expect("the test listens");
    });
    let steps = vec![AbortStep::Write { endpoint: None, bytes: HexBytes(vec![0x18]), timeout: 100 }];
    let control = ControlRequest {
        kind: wire::RequestKind::Class,
        recipient: wire::RequestRecipient::Interface,
        request: 0x64,
        value: 1,
        index: 2,
        data: RequestData::Out(vec![3]),
    };
    assert_eq!(transport.control(&control, SECOND).expect("no error")[..], *b"answer");
    assert_eq!(transport.wait_event(SECOND).expect("no error")[..], *b"answer");
    transport.clear_halt(Pipe::Read).expect("no error");
    transport.arm_abort(steps.clone(), Some(8 * SECOND)).expect("no error");
    transport.disarm_abort().expect("no error");
    transport.recover().expect("no error");
    drop(transport);
    daemon.join().expect("no panic");
    let requests: Vec<Request> = commands.iter().collect();
    assert_eq!(requests[0].payload, [3]);
    let commands: Vec<Command> = requests.into_iter().map(|request| request.command).collect();
    let expected = [
        Command::UsbRequest {
            request: 0x64,
            value: 1,
            index: 2,
            direction: wire::ControlDirection::Out,
            length: 0,
            kind: wire::RequestKind::Class,
            recipient: wire::RequestRecipient::Interface,
            timeout: Some(1.0),
        },
        Command::WaitEvent { endpoint: None, timeout: Some(1.0) },
        Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None },
        Command::ArmAbort { steps, settle: Some(8000) },
        Command::DisarmAbort {},
        Command::CancelPending { device: None },
    ];
    assert_eq!(commands, expected);
}

/// A daemon that answers nothing, and tells when it has heard a request.
fn silent() -> (SessionTransport, JoinHandle<()>, std::sync::mpsc::Receiver<Command>) {
    let (heard, commands) = std::sync::mpsc::channel();
    let (transport, daemon) = transport(move |_, request| heard.send(request.command).expect("the test listens"));
    (transport, daemon, commands)
}

#[test]
fn a_cancel_gives_control_back_though_nothing_is_answered_and_ends_the_session() {
    let (mut transport, daemon, commands) = silent();
    let cancel = transport.cancel_handle();
    cancel.set_clean_up(Duration::ZERO);
    let finger = thread::spawn(move || {
        commands.recv().expect("a read");
        cancel.cancel();
        commands
    });
    let error = transport.read(100, Duration::from_secs(200)).expect_err("it was abandoned");
    assert!(matches!(error, TransportError::HungUp), "{error:?}");
    // The daemon sees the end of the session although the driver still has its transport.
    daemon.join().expect("no panic");
    finger.join().expect("no panic");
    assert!(matches!(transport.write(b"x", SECOND), Err(TransportError::Cancelled | TransportError::Daemon(_))));
}

/// A daemon that tells of a cancel by this session as soon as a read is asked for, and does not answer the read.
fn told_of_a_cancel(by: u64) -> (SessionTransport, JoinHandle<()>) {
    transport(move |daemon, request| {
        if is_read(&request) {
            let by = Peer { session: by, program: "usbscan".to_owned(), pid: Some(7), uid: Some(1000) };
            let cancel = Event::CancelIo { name: "usbscan0".to_owned(), by };
            cancel.write_to(&mut daemon.writer).expect("written");
        } else {
            daemon.say(request.id, Status::Success, b"");
        }
    })
}

#[test]
fn somebody_elses_cancel_gives_control_back_before_a_slow_host_controller_has_given_back_the_read() {
    let (mut transport, daemon) = told_of_a_cancel(2);
    transport.cancel_handle().set_clean_up(Duration::ZERO);
    transport.arm_abort(Vec::new(), None).expect("no error");
    let error = transport.read(100, Duration::from_secs(200)).expect_err("it was abandoned");
    assert!(matches!(error, TransportError::HungUp), "{error:?}");
    daemon.join().expect("no panic");
}

#[test]
fn a_cancel_of_ones_own_or_without_a_job_starts_no_clean_up() {
    for (by, has_job) in [(1, true), (2, false)] {
        let (mut transport, daemon) = told_of_a_cancel(by);
        let cancel = transport.cancel_handle();
        cancel.set_clean_up(Duration::ZERO);
        if has_job {
            transport.arm_abort(Vec::new(), None).expect("no error");
        }
        transport.start_read(100, Duration::from_secs(200)).expect("no error");
        // Answered behind the event.
        transport.write(b"x", SECOND).expect("no error");
        assert_eq!(cancel.deadline(), None, "by {by}");
        drop(transport);
        daemon.join().expect("no panic");
    }
}

#[test]
fn cleaning_up_that_takes_too_long_is_left_to_the_daemon() {
    let (mut transport, daemon, commands) = silent();
    let cancel = transport.cancel_handle();
    cancel.set_clean_up(Duration::ZERO);
    cancel.cancel();
    cancel.acknowledge();
    let error = transport.write(b"\x18", Duration::from_secs(200)).expect_err("it was abandoned");
    assert!(matches!(error, TransportError::HungUp), "{error:?}");
    daemon.join().expect("no panic");
    assert!(matches!(commands.recv(), Ok(Command::Write { .. })));
}

#[test]
fn the_recovery_for_somebody_elses_cancel_is_waited_for_no_longer_than_cleaning_up_may_take() {
    let (mut transport, daemon, commands) = silent();
    transport.cancel_handle().set_clean_up(Duration::ZERO);
    let error = transport.await_recovery().expect_err("it is not over");
    assert!(matches!(error, TransportError::HungUp), "{error:?}");
    daemon.join().expect("no panic");
    assert_eq!(commands.iter().collect::<Vec<_>>(), [Command::DisarmAbort {}]);
}

#[test]
fn the_recovery_for_somebody_elses_cancel_is_over_when_the_daemon_says_so() {
    let (mut transport, daemon) = transport(|daemon, request| daemon.say(request.id, Status::Success, b""));
    transport.await_recovery().expect("it is over");
    drop(transport);
    daemon.join().expect("no panic");
}

#[test]
fn a_driver_that_has_its_scanner_recovered_is_armed_again_afterwards() {
    let (heard, commands) = std::sync::mpsc::channel();
    let (mut transport, daemon) = transport(move |daemon, request| {
        daemon.say(request.id, Status::Success, b"");
        heard.send(request.command).expect("the test listens");
    });
    let steps = vec![AbortStep::Write { endpoint: None, bytes: HexBytes(vec![0x18]), timeout: 100 }];
    transport.arm_abort(steps.clone(), Some(8 * SECOND)).expect("no error");
    transport.recover().expect("no error");
    drop(transport);
    daemon.join().expect("no panic");
    let arm = || Command::ArmAbort { steps: steps.clone(), settle: Some(8000) };
    let expected = [arm(), Command::CancelPending { device: None }, Command::DisarmAbort {}, arm()];
    assert_eq!(commands.iter().collect::<Vec<_>>(), expected);
}

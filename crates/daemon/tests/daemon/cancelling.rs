//! The cancel family: who is cancelled, what they are told, and in which order.

use usbscan_wire::{
    AbortReport, AbortStep, Command, ControlDirection, Event, EventName, HexBytes, Pipe, Status, StatusBody,
};

use testkit::rig::{Client, EVENT, HALT, HALTS_CLEARED, HANG, PATTERN, Rig, vendor, vendor_out};
use usbscan_daemon::Config;
use usbscan_daemon::quirks::ResetPolicy;

fn read(return_partial: bool) -> Command {
    Command::Read { endpoint: None, offset: None, length: 65536, return_partial, timeout: None }
}

fn cancel_request(request: u64) -> Command {
    Command::CancelRequest { request, session: None }
}

fn cancel_pipe(pipe: Pipe) -> Command {
    Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: None }
}

fn hang() -> Command {
    vendor(HANG, ControlDirection::In, 0, 8)
}

/// The answers came in this order.
fn assert_order(client: &Client, ids: &[u64]) {
    let at = |id: &u64| client.order.iter().position(|answered| answered == id).expect("it is answered");
    assert!(ids.is_sorted_by_key(at), "{ids:?} were answered in the order {:?}", client.order);
}

fn assert_cancelled(client: &mut Client, id: u64) {
    let answer = client.answer(id);
    assert_eq!((answer.status, answer.information), (Status::Cancelled, 0), "{:?}", answer.message);
}

#[test]
fn cancel_request_ends_one_request_and_its_answer_comes_after() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let mut client = rig.open();
        let (one, two) = (client.read(512), client.read(512));
        let cancel = client.send(cancel_request(one));
        assert_eq!(client.answer(cancel).status, Status::Success);
        assert_cancelled(&mut client, one);
        assert_order(&client, &[one, cancel]);
        client.write_all(b"for two");
        assert_eq!(client.answer(two).payload[..], *b"for two");
    }
}

#[test]
fn cancel_request_of_what_is_done_or_never_was_is_not_found() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(b"x");
    let read = client.read(512);
    client.answer(read);
    assert_eq!(client.call(cancel_request(read)).status, Status::NotFound);
    assert_eq!(client.call(cancel_request(4711)).status, Status::NotFound);
    let nobody = Command::CancelRequest { request: 1, session: Some(4711) };
    assert_eq!(client.call(nobody).status, Status::NotFound);
}

#[test]
fn a_request_that_waits_in_line_is_cancelled_as_well() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let (first, second, third) = (client.read(512), client.read(512), client.read(512));
    client.done(cancel_request(second));
    assert_cancelled(&mut client, second);
    client.done(vendor_out(PATTERN, 1));
    assert_eq!(client.answer(first).information, 512);
    assert_eq!(client.answer(third).information, 512);
}

#[test]
fn a_cancelled_read_counts_what_had_come_and_hands_nothing_over() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(&[1; 1024]);
    let cancelled = client.send(read(false));
    client.until_pending(&[(cancelled, "in-flight")]);
    client.until_the_device_has_caught_up();
    client.done(cancel_request(cancelled));
    let answer = client.answer(cancelled);
    assert_eq!((answer.status, answer.information, answer.discarded), (Status::Cancelled, 0, 1024));
    assert!(answer.payload.is_empty());
}

#[test]
fn a_read_with_return_partial_hands_over_what_had_come() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(&[1; 1024]);
    let cancelled = client.send(read(true));
    client.until_pending(&[(cancelled, "in-flight")]);
    client.until_the_device_has_caught_up();
    client.done(cancel_request(cancelled));
    let answer = client.answer(cancelled);
    assert_eq!((answer.status, answer.information, answer.discarded), (Status::Cancelled, 0, 1024));
    assert_eq!(answer.payload[..], [1; 1024]);
}

#[test]
fn a_hung_control_request_is_cancelled_and_control_goes_on() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let hung = client.send(hang());
    client.until_pending(&[(hung, "in-flight")]);
    client.done(cancel_request(hung));
    assert_cancelled(&mut client, hung);
    client.done(vendor_out(PATTERN, 1));
}

#[test]
fn cancel_session_ends_what_the_session_issued_and_nothing_else() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let (mut one, mut two) = (rig.open(), rig.open());
        let kept = two.read(512);
        two.until_pending(&[(kept, "in-flight")]);
        let mine = [
            one.read(512),
            one.send(Command::WaitEvent { endpoint: None, timeout: None }),
            one.send(hang()),
            one.read(512),
        ];
        let cancel = one.send(Command::CancelSession { session: None });
        assert_eq!(one.answer(cancel).status, Status::Success);
        mine.iter().for_each(|id| assert_cancelled(&mut one, *id));
        for id in mine {
            assert_order(&one, &[id, cancel]);
        }
        one.write_all(b"for two");
        assert_eq!(two.answer(kept).payload[..], *b"for two");
    }
}

#[test]
fn another_connection_cancels_a_request_or_a_session_by_number() {
    for (depth, behind) in [(1, "queued"), (4, "in-flight")] {
        let rig = Rig::depth(depth);
        let (mut one, mut two) = (rig.open(), rig.client());
        let (first, second) = (one.read(512), one.read(512));
        one.until_pending(&[(first, "in-flight"), (second, behind)]);
        two.done(Command::CancelRequest { request: second, session: Some(one.session) });
        assert_cancelled(&mut one, second);
        two.done(Command::CancelSession { session: Some(one.session) });
        assert_cancelled(&mut one, first);
    }
}

#[test]
fn cancel_pipe_ends_everybodys_requests_on_that_pipe() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let (mut one, mut two) = (rig.open(), rig.open());
        let event = one.send(Command::WaitEvent { endpoint: None, timeout: None });
        let behind = if depth == 1 { "queued" } else { "in-flight" };
        let mine = [one.read(512), one.read(512)];
        one.until_pending(&[(mine[0], "in-flight"), (mine[1], behind)]);
        let others = two.read(512);
        two.until_pending(&[(others, behind)]);
        let cancel = one.send(cancel_pipe(Pipe::Read));
        assert_eq!(one.answer(cancel).status, Status::Success);
        mine.iter().for_each(|id| assert_cancelled(&mut one, *id));
        assert_order(&one, &[mine[0], cancel]);
        assert_order(&one, &[mine[1], cancel]);
        assert_cancelled(&mut two, others);
        one.call_with(vendor_out(EVENT, 0), b"event".to_vec());
        assert_eq!(one.answer(event).payload[..], *b"event", "the event pipe is another");
        one.write_all(b"on");
        assert_eq!(two.read_all(512), b"on");
    }
}

#[test]
fn cancel_pipe_all_ends_everything_on_the_device_control_included() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.client());
    let all = [one.read(512), one.send(Command::WaitEvent { endpoint: None, timeout: None }), one.send(hang())];
    one.until_pending(&all.map(|id| (id, "in-flight")));
    two.done(Command::CancelPipe { pipe: Some(Pipe::All), endpoint: None, device: Some("usbscan0".to_owned()) });
    all.iter().for_each(|id| assert_cancelled(&mut one, *id));
}

#[test]
fn cancel_pipe_all_ends_what_is_pending_on_pipes_that_the_callers_handle_is_not_bound_to() {
    let rig = Rig::new(&["loopback,endpoints=2"]);
    let (mut low, mut high) = (rig.client(), rig.open());
    let (device, event, read, write) = ("usbscan0".to_owned(), Some(2), Some(0), Some(1));
    low.done(Command::Open { device, event, read, write, interface: None, faults: usbscan_wire::Faults::Freeze });
    let pending = [
        low.read(512),
        low.write(b"taken by nobody"),
        low.send(Command::WaitEvent { endpoint: None, timeout: None }),
        low.send(Command::Read { endpoint: None, offset: None, length: 512, return_partial: false, timeout: None }),
    ];
    low.until_pending(&[(pending[0], "in-flight"), (pending[1], "in-flight")]);
    high.done(cancel_pipe(Pipe::Read));
    low.until_pending(&[(pending[0], "in-flight")]);
    high.done(cancel_pipe(Pipe::All));
    for id in pending {
        assert_cancelled(&mut low, id);
    }
}

#[test]
fn reset_pipe_begins_the_data_toggles_anew_on_both_sides() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.done(Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None });
    client.done(Command::ResetPipe { pipe: Some(Pipe::Event), endpoint: None });
    client.done(Command::ResetPipe { pipe: Some(Pipe::All), endpoint: None });
    let [read, write, event] =
        [0x81, 0x02, 0x83].map(|endpoint| vendor(HALTS_CLEARED, ControlDirection::In, endpoint, 1));
    let mut cleared = |request| client.done(request).payload[0];
    // Only CLEAR_FEATURE(ENDPOINT_HALT) does that, halted or not (USB 2.0, section 9.4.5): the device counts it.
    assert_eq!((cleared(read), cleared(write), cleared(event)), (2, 1, 2));
}

#[test]
fn cancelling_an_empty_pipe_succeeds_and_one_that_is_not_there_is_not_supported() {
    let rig = Rig::new(&["esci"]);
    let mut client = rig.open();
    client.done(cancel_pipe(Pipe::Read));
    assert_eq!(client.call(cancel_pipe(Pipe::Event)).status, Status::NotSupported);
    client.done(Command::Close {});
    let named = |pipe| Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: Some("usbscan0".to_owned()) };
    client.done(named(Pipe::Write));
    assert_eq!(client.call(named(Pipe::Event)).status, Status::NotSupported);
}

#[test]
fn a_write_that_hangs_is_cancelled() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    // The loopback keeps 16 MiB, then takes no more.
    let block = vec![0; 1 << 20];
    let writes: Vec<u64> = (0..17)
        .map(|at| {
            let id = client.write(&block);
            if at < 16 {
                assert_eq!(client.answer(id).status, Status::Success);
            }
            id
        })
        .collect();
    client.until_pending(&[(writes[16], "in-flight")]);
    client.done(cancel_pipe(Pipe::Write));
    assert_cancelled(&mut client, writes[16]);
}

#[test]
fn an_event_that_is_cancelled_for_one_session_stays_for_the_other() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let (mine, others) = (
        one.send(Command::WaitEvent { endpoint: None, timeout: None }),
        two.send(Command::WaitEvent { endpoint: None, timeout: None }),
    );
    one.until_pending(&[(mine, "in-flight"), (others, "in-flight")]);
    one.done(Command::CancelSession { session: None });
    assert_cancelled(&mut one, mine);
    one.call_with(vendor_out(EVENT, 0), b"press".to_vec());
    assert_eq!(two.answer(others).payload[..], *b"press");
}

#[test]
fn reset_pipe_cancels_clears_the_halt_and_throws_surplus_away() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(b"surplus");
    assert_eq!(client.read_all(1), b"s");
    client.done(vendor_out(HALT, 0x81));
    client.done(Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None });
    let pending = client.read(512);
    let reset = client.send(Command::ResetPipe { pipe: Some(Pipe::All), endpoint: None });
    assert_eq!(client.answer(reset).status, Status::Success);
    assert_cancelled(&mut client, pending);
    assert_order(&client, &[pending, reset]);
    client.write_all(b"fresh");
    assert_eq!(client.read_all(512), b"fresh");
    assert_eq!(
        client.call(Command::ResetPipe { pipe: Some(Pipe::Control), endpoint: None }).status,
        Status::NotSupported
    );
}

#[test]
fn reset_device_cancels_everything_and_the_device_begins_anew() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(b"forgotten by the reset");
    client.done(vendor_out(HALT, 0x02));
    let event = client.send(Command::WaitEvent { endpoint: None, timeout: None });
    client.done(Command::ResetDevice { device: None });
    assert_cancelled(&mut client, event);
    client.write_all(b"new");
    assert_eq!(client.read_all(512), b"new");
}

// ---- cancel-pending

fn report(answer: &usbscan_wire::Answer) -> AbortReport {
    answer.body().expect("a report")
}

#[test]
fn cancel_pending_ends_everything_tells_the_sessions_and_leaves_the_scanner_usable() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let (mut one, mut two) = (rig.open(), rig.client());
        two.done(Command::Subscribe { events: vec![EventName::Idle] });
        one.write_all(&[3; 4096]);
        let all = [
            one.read(1 << 20),
            one.read(512),
            one.send(Command::WaitEvent { endpoint: None, timeout: None }),
            one.send(hang()),
        ];
        one.until_pending(&[(all[0], "in-flight"), (all[2], "in-flight"), (all[3], "in-flight")]);
        let answer = two.done(Command::CancelPending { device: Some("usbscan0".to_owned()) });
        assert_eq!(report(&answer).failed_step, None);
        all.iter().for_each(|id| assert_cancelled(&mut one, *id));
        let Event::CancelIo { name, by } = one.event() else { panic!("the session is told") };
        assert_eq!((&*name, by.session), ("usbscan0", two.session));
        assert!(matches!(one.event(), Event::Idle { .. }), "and of its end");
        assert!(matches!(two.event(), Event::Idle { .. }), "as is who subscribed");
        one.write_all(b"next");
        assert_eq!(one.read_all(512), b"next", "nothing of before is left on the pipe");
    }
}

#[test]
fn cancel_pending_counts_each_request_once() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let mut client = rig.open();
        let pending =
            [client.read(512), client.read(512), client.send(Command::WaitEvent { endpoint: None, timeout: None })];
        client.until_pending(&[(pending[0], "in-flight"), (pending[2], "in-flight")]);
        // It is told to the pipes at once and again when their gates close, and by then nothing in flight has ended.
        let answer = rig.client().done(Command::CancelPending { device: Some("usbscan0".to_owned()) });
        assert_eq!(report(&answer).cancelled, 3);
        pending.into_iter().for_each(|id| assert_cancelled(&mut client, id));
    }
}

#[test]
fn cancel_pending_runs_the_sequence_that_is_armed() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.done(Command::ArmAbort {
        steps: vec![
            AbortStep::Write { endpoint: None, bytes: HexBytes(b"CAN".to_vec()), timeout: 1000 },
            AbortStep::Read { endpoint: None, length: 16, timeout: 1000, expect: HexBytes(b"AN".to_vec()) },
            AbortStep::Read { endpoint: None, length: 16, timeout: 1, expect: HexBytes::default() },
        ],
        settle: None,
    });
    let answer = client.done(Command::CancelPending { device: None });
    let report = report(&answer);
    assert_eq!((&*report.method, report.drained, report.failed_step), ("armed", 3, None));
}

#[test]
fn a_step_that_fails_is_named_and_the_others_are_tried() {
    let rig = Rig::with(Config { reset: ResetPolicy::Never, ..Config::default() }, &["loopback"]);
    let mut client = rig.open();
    client.done(Command::ArmAbort {
        steps: vec![
            AbortStep::Control {
                kind: usbscan_wire::RequestKind::Vendor,
                recipient: usbscan_wire::RequestRecipient::Device,
                direction: ControlDirection::Out,
                request: 0x7e,
                value: 0,
                index: 0,
                bytes: HexBytes::default(),
                length: 0,
                timeout: 1000,
            },
            AbortStep::Write { endpoint: None, bytes: HexBytes(b"still".to_vec()), timeout: 1000 },
        ],
        settle: None,
    });
    let answer = client.done(Command::CancelPending { device: None });
    let report = report(&answer);
    assert_eq!(report.failed_step.as_deref(), Some("step 1 (control): the scanner answered with a stall"));
    assert_eq!(report.drained, 5, "what the second step wrote has come back");
}

#[test]
fn a_scanner_that_does_not_answer_as_its_sequence_expects_is_not_called_idle() {
    let write = AbortStep::Write { endpoint: None, bytes: HexBytes(b"nak".to_vec()), timeout: 1000 };
    let read = AbortStep::Read { endpoint: None, length: 16, timeout: 50, expect: HexBytes(b"ack".to_vec()) };
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.done(Command::ArmAbort { steps: vec![write, read], settle: None });
    let answer = client.done(Command::CancelPending { device: None });
    let failed = report(&answer).failed_step;
    assert_eq!(failed.as_deref(), Some("verify (read): the scanner gave another answer than expected"));
    client.write_all(b"on");
    assert_eq!(client.read_all(512), b"on", "it can be used all the same");
}

#[test]
fn a_second_cancel_pending_joins_the_first() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(Command::ArmAbort {
        steps: vec![
            AbortStep::Write { endpoint: None, bytes: HexBytes(b"once".to_vec()), timeout: 1000 },
            AbortStep::Drain { endpoint: None, quiet: 300, timeout: 2000 },
        ],
        settle: None,
    });
    let first = one.send(Command::CancelPending { device: None });
    assert!(matches!(two.event(), Event::CancelIo { .. }), "the first is under way");
    let second = two.send(Command::CancelPending { device: None });
    let (first, second) = (one.answer(first), two.answer(second));
    assert_eq!((report(&first).drained, report(&second).drained), (4, 4), "one drain, two answers");
}

#[test]
fn a_job_that_somebody_else_cancels_is_over_until_it_is_disarmed() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let arm = || Command::ArmAbort {
        steps: vec![AbortStep::Drain { endpoint: None, quiet: 20, timeout: 2000 }],
        settle: None,
    };
    let write = || Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout: None };
    for end in [Command::CancelPending { device: None }, Command::ResetDevice { device: None }] {
        one.done(arm());
        two.done(end);
        // It had nothing pending, so nothing has told it; nothing that it asks for may reach the idle scanner.
        for command in [
            write(),
            Command::Read { endpoint: None, offset: None, length: 512, return_partial: true, timeout: None },
            vendor_out(EVENT, 0),
            arm(),
        ] {
            let payload = if command == write() { b"to a job that is over".to_vec() } else { Vec::new() };
            let answer = one.call_with(command, payload);
            assert_eq!((answer.status, answer.information), (Status::Cancelled, 0));
            assert!(answer.message.expect("it says why").contains("disarm-abort"));
        }
        two.write_all(b"two has none");
        assert_eq!(two.read_all(512), b"two has none");
        one.done(Command::DisarmAbort {});
        one.write_all(b"on");
        assert_eq!(one.read_all(512), b"on");
    }
}

#[test]
fn a_job_is_disarmed_only_when_the_cancel_that_ended_it_is_over() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(Command::ArmAbort {
        steps: vec![AbortStep::Drain { endpoint: None, quiet: 300, timeout: 2000 }],
        settle: None,
    });
    let cancel = two.send(Command::CancelPending { device: None });
    assert!(matches!(one.event(), Event::CancelIo { .. }), "it is under way");
    one.done(Command::DisarmAbort {});
    assert!(
        one.has_event(|event| matches!(event, Event::Idle { .. })),
        "the scanner was idle before that was answered"
    );
    one.write_all(b"found idle");
    assert_eq!(one.read_all(512), b"found idle");
    let answer = two.answer(cancel);
    assert_eq!((answer.status, report(&answer).drained), (Status::Success, 0), "{:?}", answer.message);
}

#[test]
fn what_is_asked_during_a_cancel_pending_waits_behind_the_gate_and_is_not_cancelled() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(Command::ArmAbort {
        steps: vec![AbortStep::Drain { endpoint: None, quiet: 200, timeout: 2000 }],
        settle: None,
    });
    let cancel = one.send(Command::CancelPending { device: None });
    assert!(matches!(two.event(), Event::CancelIo { .. }));
    two.write_all(b"not drained");
    assert_eq!(two.read_all(512), b"not drained");
    assert!(one.answer(cancel).status == Status::Success);
}

#[test]
fn cancel_pending_of_a_scanner_that_nobody_has_open_brings_it_to_idle() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.client();
    let answer = client.done(Command::CancelPending { device: Some("usbscan0".to_owned()) });
    assert_eq!(report(&answer), AbortReport { method: "class".to_owned(), ..AbortReport::default() });
}

#[test]
fn status_says_who_cancelled_what_others_do() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.client());
    let last = |client: &mut Client| {
        let body: StatusBody = client.done(Command::Status { device: None }).body().expect("a status");
        body.devices[0].last_cancel.as_ref().map(|last| (last.by.session, last.command.clone()))
    };
    let mine = one.read(512);
    one.done(cancel_request(mine));
    one.done(Command::CancelSession { session: None });
    assert_eq!(last(&mut two), None, "what a session does to its own requests");
    let (device, session) = (Some("usbscan0".to_owned()), Some(one.session));
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    let cancels = [
        Command::CancelRequest { request: read, session },
        Command::CancelSession { session },
        Command::CancelPipe { pipe: Some(Pipe::Read), endpoint: None, device: device.clone() },
        Command::CancelPending { device: device.clone() },
        Command::ResetDevice { device },
    ];
    for cancel in cancels {
        let name = cancel.name().to_owned();
        two.done(cancel);
        assert_eq!(last(&mut one), Some((two.session, name)));
    }
}

//! `open`, `close` and `disarm-abort` may take long. Cancels and looking overtake them on their own connection, what needs the
//! scanner waits in order, and each of them can be cancelled.

use usbscan_wire::{AbortStep, Answer, Command, Status, StatusBody};

use crate::latched::LatchedRig;
use testkit::rig::{Client, Rig, open};

fn cancel(request: u64) -> Command {
    Command::CancelRequest { request, session: None }
}

fn cancelled(answer: &Answer) {
    assert_eq!((answer.status, answer.information), (Status::Cancelled, 0), "{:?}", answer.message);
}

fn succeeded(answer: &Answer) {
    assert_eq!(answer.status, Status::Success, "{:?}", answer.message);
}

/// An `open` that the daemon is carrying out, stopped at the latch.
fn held_open(rig: &LatchedRig) -> (Client, u64) {
    rig.opens.close();
    let mut client = rig.client();
    let opening = client.send(open("usbscan0"));
    rig.opens.until_reached();
    (client, opening)
}

/// A client with the scanner open and a job armed, while another's reset of the port is stopped at the latch.
fn held_reset(rig: &LatchedRig) -> (Client, Client, u64) {
    let (mut client, mut other) = (rig.client(), rig.client());
    client.open("usbscan0");
    client.done(Command::ArmAbort {
        steps: vec![AbortStep::Drain { endpoint: None, quiet: 20, timeout: 2000 }],
        settle: None,
    });
    rig.resets.close();
    let reset = other.send(Command::ResetDevice { device: Some("usbscan0".to_owned()) });
    rig.resets.until_reached();
    (client, other, reset)
}

fn sessions(client: &mut Client) -> usize {
    let body: StatusBody = client.done(Command::Status { device: None }).body().expect("a status");
    body.devices[0].sessions.len()
}

#[test]
fn looking_and_cancelling_overtake_an_open_and_what_needs_the_scanner_waits_in_order() {
    let rig = LatchedRig::new();
    let (mut client, opening) = held_open(&rig);
    let write = client.write(b"in order");
    let read = client.read(512);
    let second = client.read(512);
    client.done(Command::Version {});
    client.done(Command::List { device: None, descriptors: false });
    assert_eq!(sessions(&mut client), 0);
    client.done(cancel(second));
    cancelled(&client.answer(second));
    assert!(!client.has(opening) && !client.has(write) && !client.has(read));
    rig.opens.open();
    succeeded(&client.answer(opening));
    succeeded(&client.answer(write));
    assert_eq!(client.answer(read).payload[..], *b"in order");
}

#[test]
fn an_open_that_is_cancelled_is_undone() {
    let rig = LatchedRig::new();
    let (mut client, opening) = held_open(&rig);
    let write = client.write(b"to nothing");
    client.done(cancel(opening));
    cancelled(&client.answer(opening));
    assert_eq!(client.answer(write).status, Status::NotFound, "nothing is open");
    rig.opens.open();
    // Behind the one that is undone, in the scanner's own order.
    client.open("usbscan0");
    assert_eq!(sessions(&mut client), 1);
    client.done(Command::Close {});
    assert_eq!(sessions(&mut client), 0);
}

#[test]
fn another_connection_cancels_an_open_too_and_cancel_session_means_it() {
    let rig = LatchedRig::new();
    let (mut client, opening) = held_open(&rig);
    let mut other = rig.client();
    other.done(Command::CancelRequest { request: opening, session: Some(client.session) });
    cancelled(&client.answer(opening));
    let (again, read) = (client.send(open("usbscan0")), client.read(512));
    client.done(Command::CancelSession { session: None });
    cancelled(&client.answer(again));
    cancelled(&client.answer(read));
}

#[test]
fn an_open_whose_client_is_gone_is_undone_and_keeps_nobody_waiting() {
    let rig = LatchedRig::new();
    let (client, _) = held_open(&rig);
    let mut next = rig.client();
    drop(client);
    let opening = next.send(open("usbscan0"));
    rig.opens.open();
    succeeded(&next.answer(opening));
    next.until_sessions(1);
}

#[test]
fn an_open_right_behind_a_client_that_opened_and_hung_up_is_answered() {
    let rig = Rig::new(&["loopback"]);
    let mut next = rig.client();
    for _ in 0..200 {
        let mut gone = rig.client();
        gone.send(open("usbscan0"));
        drop(gone);
        next.open("usbscan0");
        next.done(Command::Close {});
    }
}

#[test]
fn the_daemon_ends_while_an_open_waits() {
    let rig = Rig::new(&["loopback,slow-unlink=300"]);
    let mut dying = rig.open();
    let read = dying.read(512);
    dying.until_pending(&[(read, "in-flight")]);
    drop(dying);
    let mut client = rig.client();
    let opening = client.send(open("usbscan0"));
    client.done(Command::Version {});
    assert!(rig.daemon.stop(testkit::rig::DEADLINE), "in time");
    let answer = client.answer(opening);
    assert!(matches!(answer.status, Status::Cancelled | Status::NoDevice | Status::Success), "{answer:?}");
}

#[test]
fn a_close_that_is_cancelled_goes_on_without_anyone_waiting() {
    let rig = LatchedRig::new();
    let (mut client, mut other, reset) = held_reset(&rig);
    let (closing, list) =
        (client.send(Command::Close {}), client.send(Command::List { device: None, descriptors: false }));
    succeeded(&client.answer(list));
    client.done(cancel(closing));
    cancelled(&client.answer(closing));
    let read = client.read(512);
    rig.resets.open();
    succeeded(&other.answer(reset));
    assert_eq!(client.answer(read).status, Status::NotFound, "it is closed");
    other.until_sessions(0);
}

#[test]
fn a_disarm_abort_that_is_cancelled_takes_the_job_back_all_the_same() {
    let rig = LatchedRig::new();
    let (mut client, mut other, reset) = held_reset(&rig);
    let disarming = client.send(Command::DisarmAbort {});
    client.done(Command::Version {});
    assert!(!client.has(disarming), "the scanner is being brought to idle");
    client.done(cancel(disarming));
    cancelled(&client.answer(disarming));
    rig.resets.open();
    succeeded(&other.answer(reset));
    client.write_all(b"on");
    assert_eq!(client.read_all(512), b"on");
}

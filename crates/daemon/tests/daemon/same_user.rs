//! `cancel = "same-user"`: whose cancels and resets hit whom, by the users that the connections are said to be of.

use usbscan_daemon::Config;
use usbscan_daemon::config::CancelPolicy;
use usbscan_wire::{AbortStep, Answer, Command, EventName, HexBytes, Pipe, Status};

use testkit::rig::{Client, Rig};

const ALICE: Option<u32> = Some(1000);
const BOB: Option<u32> = Some(1001);
const ROOT: Option<u32> = Some(0);
const UNKNOWN: Option<u32> = None;

fn rig() -> Rig {
    Rig::with(Config { cancel: CancelPolicy::SameUser, ..Config::default() }, &["loopback"])
}

fn open(rig: &Rig, user: Option<u32>) -> Client {
    let mut client = rig.client_as(user);
    client.open("usbscan0");
    client
}

fn lock() -> Command {
    Command::Lock { wait: false, if_unused: false }
}

fn wait_event() -> Command {
    Command::WaitEvent { endpoint: None, timeout: None }
}

fn cancel_pipe(pipe: Pipe) -> Command {
    Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: Some("usbscan0".to_owned()) }
}

/// What would hit everybody who uses the scanner.
fn cancels_of_everything() -> Vec<Command> {
    let device = || Some("usbscan0".to_owned());
    vec![
        Command::CancelPending { device: device() },
        Command::ResetDevice { device: device() },
        cancel_pipe(Pipe::All),
        cancel_pipe(Pipe::Read),
    ]
}

/// A sequence that is verified by an answer which never comes.
fn arm() -> Command {
    let read = AbortStep::Read { endpoint: None, length: 1, timeout: 10_000, expect: HexBytes(vec![6]) };
    Command::ArmAbort { steps: vec![read], settle: Some(30_000) }
}

#[track_caller]
fn assert_denied(answer: &Answer, why: &str) {
    let message = answer.message.clone().unwrap_or_default();
    assert_eq!(answer.status, Status::AccessDenied, "{message}");
    assert!(message.contains(why) && message.contains("only that user and root may cancel"), "{message}");
}

#[test]
fn requests_and_sessions_are_cancelled_by_their_own_user_and_by_root_alone() {
    let rig = rig();
    for (user, may) in [(ALICE, true), (BOB, false), (UNKNOWN, false), (ROOT, true)] {
        let (mut alice, mut other) = (open(&rig, ALICE), rig.client_as(user));
        let session = Some(alice.session);
        for of_session in [false, true] {
            let read = alice.read(512);
            alice.until_pending(&[(read, "in-flight")]);
            let answer = other.call(match of_session {
                true => Command::CancelSession { session },
                false => Command::CancelRequest { request: read, session },
            });
            if may {
                assert_eq!(
                    (answer.status, alice.answer(read).status),
                    (Status::Success, Status::Cancelled),
                    "{user:?}"
                );
            } else {
                assert_denied(&answer, "is of another user");
                alice.write_all(b"untouched");
                assert_eq!(alice.answer(read).payload[..], *b"untouched");
            }
        }
    }
}

#[test]
fn what_would_hit_another_user_is_refused_whole_with_ones_own_requests() {
    let rig = rig();
    let (mut alice, mut bob) = (open(&rig, ALICE), open(&rig, BOB));
    let (of_alice, of_bob) = (alice.read(512), bob.read(512));
    bob.until_pending(&[(of_alice, "in-flight"), (of_bob, "in-flight")]);
    for command in cancels_of_everything() {
        assert_denied(&bob.call(command), "1 requests are pending");
    }
    for command in [Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None }, cancel_pipe(Pipe::Read)] {
        assert_denied(&bob.call(command), "1 requests are pending");
    }
    bob.until_pending(&[(of_alice, "in-flight"), (of_bob, "in-flight")]);
    bob.done(Command::CancelSession { session: None });
    assert_eq!(bob.answer(of_bob).status, Status::Cancelled);
    alice.write_all(b"untouched");
    assert_eq!(alice.answer(of_alice).payload[..], *b"untouched");
    bob.done(Command::CancelPending { device: None });
}

#[test]
fn the_lock_of_a_user_who_has_stopped_is_taken_by_that_user_and_by_root_alone() {
    let rig = rig();
    let mut alice = open(&rig, ALICE);
    for user in [ALICE, ROOT] {
        alice.done(lock());
        for other in [BOB, UNKNOWN] {
            let mut other = open(&rig, other);
            assert_eq!(other.call(lock()).status, Status::Busy);
            for command in cancels_of_everything() {
                assert_denied(&other.call(command), "it has the lock");
            }
        }
        open(&rig, user).done(Command::CancelPending { device: None });
        let mut bob = open(&rig, BOB);
        bob.done(lock());
        bob.done(Command::Unlock {});
        let read = alice.read(512);
        assert_eq!(alice.answer(read).status, Status::Cancelled, "until it asks for the lock again");
    }
}

#[test]
fn a_job_that_is_armed_is_left_alone() {
    let rig = rig();
    let mut bob = open(&rig, BOB);
    let mut alice = open(&rig, ALICE);
    alice.done(arm());
    cancels_of_everything().into_iter().for_each(|command| assert_denied(&bob.call(command), "a job is armed"));
    alice.done(Command::DisarmAbort {});
    bob.done(Command::CancelPending { device: None });
}

#[test]
fn who_waits_for_events_keeps_nobody_from_cancelling_but_that_pipe_is_his() {
    let rig = rig();
    let (mut watcher, mut bob) = (open(&rig, ROOT), open(&rig, BOB));
    let wait = watcher.send(wait_event());
    bob.until_pending(&[(wait, "in-flight")]);
    assert_denied(&bob.call(cancel_pipe(Pipe::Event)), "1 requests are pending");
    let read = bob.read(512);
    bob.done(cancel_pipe(Pipe::All));
    assert_eq!(bob.answer(read).status, Status::Cancelled);
    bob.done(Command::ResetPipe { pipe: Some(Pipe::All), endpoint: None });
    bob.until_pending(&[(wait, "in-flight")]);
    let read = bob.read(512);
    bob.done(Command::CancelPending { device: None });
    assert_eq!((bob.answer(read).status, watcher.answer(wait).status), (Status::Cancelled, Status::Cancelled));
}

#[test]
fn while_a_cancel_is_under_way_others_begin_nothing_that_it_would_hit() {
    let rig = rig();
    let (mut alice, mut bob) = (open(&rig, ALICE), open(&rig, BOB));
    bob.done(arm());
    alice.done(Command::Subscribe { events: vec![EventName::CancelIo] });
    let mut also_bob = open(&rig, BOB);
    let cancel = also_bob.send(Command::CancelPending { device: None });
    alice.event();
    let read = alice.read(512);
    let answer = alice.answer(read);
    assert_eq!(answer.status, Status::Busy);
    assert!(answer.message.expect("why").contains("its cancel is under way"));
    also_bob.done(Command::Version {});
    assert!(!also_bob.has(cancel));
}

#[test]
fn by_default_anyone_cancels_anybodys_requests() {
    let rig = Rig::new(&["loopback"]);
    let (mut alice, mut bob) = (open(&rig, ALICE), rig.client_as(UNKNOWN));
    alice.done(lock());
    let read = alice.read(512);
    alice.until_pending(&[(read, "in-flight")]);
    bob.done(Command::CancelPending { device: Some("usbscan0".to_owned()) });
    assert_eq!(alice.answer(read).status, Status::Cancelled);
}

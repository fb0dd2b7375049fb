//! What the lock excludes: whatever others had pending, queued, armed or left over before it was granted, and whatever
//! their ends would do while it is held.

use std::time::Duration;

use usbscan_daemon::Config;
use usbscan_wire::{AbortStep, Answer, Command, Event, HexBytes, Pipe, Status, StatusBody};

use testkit::rig::{Client, Rig};

const LOCK: Command = Command::Lock { wait: false, if_unused: false };
const WAIT: Command = Command::Lock { wait: true, if_unused: false };
const POLL: Command = Command::Lock { wait: false, if_unused: true };

fn arm(bytes: &[u8]) -> Command {
    Command::ArmAbort {
        steps: vec![AbortStep::Write { endpoint: None, bytes: HexBytes(bytes.to_vec()), timeout: 1000 }],
        settle: None,
    }
}

fn cancel_all() -> Command {
    Command::CancelPending { device: Some("usbscan0".to_owned()) }
}

fn busy(answer: &Answer, part: &str) {
    let message = answer.message.as_deref().unwrap_or_default();
    assert!(answer.status == Status::Busy && message.contains(part), "{answer:?}");
}

fn cancelled(answer: &Answer) {
    assert_eq!((answer.status, answer.information), (Status::Cancelled, 0), "{:?}", answer.message);
}

/// The session that `status` shows to have the lock.
fn holder(client: &mut Client) -> Option<u64> {
    let body: StatusBody = client.done(Command::Status { device: None }).body().expect("a status");
    body.devices[0].sessions.iter().find(|session| session.locked).map(|session| session.peer.session)
}

/// Waits in line for the lock: the answer to a later command shows that the daemon has it there.
fn wait_in_line(client: &mut Client) -> u64 {
    let waiting = client.send(WAIT);
    client.done(Command::Version {});
    assert!(!client.has(waiting), "it must wait");
    waiting
}

fn granted(client: &mut Client, waiting: u64) {
    let answer = client.answer(waiting);
    assert_eq!(answer.status, Status::Success, "{:?}", answer.message);
}

// ---- before it is granted

#[test]
fn a_read_that_another_has_pending_keeps_the_lock_busy_and_gets_nothing_of_its_holder() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let (mut one, mut two) = (rig.open(), rig.open());
        let read = one.read(512);
        one.until_pending(&[(read, "in-flight")]);
        busy(&two.call(LOCK), &format!("session {}", one.session));
        let waiting = wait_in_line(&mut two);
        one.done(Command::CancelRequest { request: read, session: None });
        cancelled(&one.answer(read));
        granted(&mut two, waiting);
        two.write_all(b"two's");
        assert_eq!(two.read_all(512), b"two's");
    }
}

#[test]
fn writes_that_another_has_queued_never_go_out_inside_the_holders_job() {
    let rig = Rig::new(&["loopback,fault=out-silence@600"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let writes = [one.write(&[1; 1024]), one.write(b"queued")];
    one.until_pending(&[(writes[0], "in-flight")]);
    busy(&two.call(LOCK), "pending");
    let waiting = wait_in_line(&mut two);
    one.done(Command::CancelSession { session: None });
    writes.into_iter().for_each(|write| cancelled(&one.answer(write)));
    granted(&mut two, waiting);
}

#[test]
fn an_event_that_another_waits_for_keeps_nobody_off_the_lock() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let event = one.send(Command::WaitEvent { endpoint: None, timeout: None });
    two.done(LOCK);
    assert!(!one.has(event));
}

#[test]
fn while_the_lock_is_waited_for_new_requests_of_others_are_busy_and_cancels_are_not() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two, mut three) = (rig.open(), rig.open(), rig.open());
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    let waiting = wait_in_line(&mut two);
    for client in [&mut one, &mut three] {
        let write = client.write(b"late");
        busy(&client.answer(write), &format!("session {}", two.session));
        busy(&client.call(arm(b"late")), "waits for the lock");
        busy(&client.call(LOCK), "");
    }
    three.done(Command::CancelPipe { pipe: Some(Pipe::Read), endpoint: None, device: None });
    cancelled(&one.answer(read));
    granted(&mut two, waiting);
}

#[test]
fn a_wait_for_the_lock_that_is_cancelled_lets_the_others_go_on() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    let waiting = wait_in_line(&mut two);
    two.done(Command::CancelRequest { request: waiting, session: None });
    cancelled(&two.answer(waiting));
    one.write_all(b"on");
    assert_eq!(one.answer(read).payload[..], *b"on");
}

#[test]
fn a_job_that_another_has_armed_keeps_the_lock_busy_until_it_is_disarmed() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(arm(b"abort"));
    busy(&two.call(LOCK), &format!("session {}", one.session));
    let waiting = wait_in_line(&mut two);
    one.done(Command::DisarmAbort {});
    granted(&mut two, waiting);
    busy(&one.call(arm(b"without the lock")), "locked");
}

#[test]
fn the_sequence_of_a_job_whose_owner_dies_runs_before_the_lock_that_is_waited_for_is_granted() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(arm(b"abort"));
    one.write_all(b"page");
    let waiting = wait_in_line(&mut two);
    drop(one);
    granted(&mut two, waiting);
    // The loopback has both, in packets of their own.
    assert_eq!((two.read_all(512), two.read_all(512)), (b"page".to_vec(), b"abort".to_vec()));
}

fn polling(unused: Duration) -> (Rig, Client, Client) {
    let rig = Rig::with(Config { unused, ..Config::default() }, &["loopback"]);
    let (one, two) = (rig.open(), rig.open());
    (rig, one, two)
}

#[test]
fn whoever_only_polls_does_not_get_between_the_commands_of_another_program() {
    let (rig, mut raw, mut watch) = polling(Duration::from_secs(3600));
    watch.done(POLL);
    watch.done(Command::Unlock {});
    raw.write_all(b"asked");
    busy(&watch.call(POLL), "a moment ago");
    raw.done(Command::Close {});
    busy(&watch.call(POLL), "a moment ago");
    let mut again = rig.open();
    assert_eq!(again.read_all(512), b"asked", "what one command leaves unread is there for the next");
    again.done(LOCK);
}

#[test]
fn a_scanner_that_was_only_polled_may_be_polled_and_locked() {
    let (rig, mut watch, mut other) = polling(Duration::from_secs(3600));
    watch.done(POLL);
    watch.write_all(b"a button?");
    assert_eq!(watch.read_all(512), b"a button?");
    let waiting = wait_in_line(&mut other);
    watch.done(Command::Unlock {});
    granted(&mut other, waiting);
    other.done(Command::Unlock {});
    rig.open().done(POLL);
}

#[test]
fn a_scanner_that_was_used_some_time_ago_may_be_polled() {
    let (_rig, mut one, mut two) = polling(Duration::ZERO);
    one.write_all(b"x");
    assert_eq!(one.read_all(512), b"x");
    two.done(POLL);
}

// ---- at its end

#[test]
fn a_lock_with_a_job_armed_is_not_given_back() {
    let rig = Rig::new(&["loopback"]);
    let mut one = rig.open();
    one.done(LOCK);
    one.done(arm(b"abort"));
    let refused = one.call(Command::Unlock {});
    assert_eq!(refused.status, Status::InvalidParameter);
    assert!(refused.message.expect("it says why").contains("disarm-abort"));
    assert_eq!(holder(&mut one), Some(one.session));
    one.done(Command::DisarmAbort {});
    one.done(Command::Unlock {});
}

#[test]
fn unlock_cancels_what_its_session_has_pending_and_answers_after_that() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let (mut one, mut two) = (rig.open(), rig.open());
        one.done(LOCK);
        let reads = [one.read(512), one.read(512)];
        let event = one.send(Command::WaitEvent { endpoint: None, timeout: None });
        one.until_pending(&[(reads[0], "in-flight")]);
        let waiting = wait_in_line(&mut two);
        let unlock = one.send(Command::Unlock {});
        granted(&mut one, unlock);
        reads.into_iter().for_each(|read| cancelled(&one.answer(read)));
        assert_eq!(one.order.last(), Some(&unlock), "its answer comes after theirs");
        granted(&mut two, waiting);
        two.write_all(b"two's");
        assert_eq!(two.read_all(512), b"two's");
        assert!(!one.has(event), "events need no lock");
    }
}

#[test]
fn what_is_asked_behind_an_unlock_does_not_go_into_the_next_holders_job() {
    let rig = Rig::new(&["loopback,slow-unlink=50"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(LOCK);
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    let waiting = wait_in_line(&mut two);
    let (unlock, late) = (one.send(Command::Unlock {}), one.write(b"late"));
    busy(&one.answer(late), "");
    granted(&mut one, unlock);
    granted(&mut two, waiting);
    two.write_all(b"two's");
    assert_eq!(two.read_all(512), b"two's");
}

#[test]
fn surplus_of_the_last_read_does_not_go_to_the_next_holder() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(LOCK);
    one.write_all(b"0123456789");
    assert_eq!(one.read_all(3), b"012");
    one.done(Command::Unlock {});
    two.done(LOCK);
    two.write_all(b"two's");
    assert_eq!(two.read_all(512), b"two's");
}

// ---- the ends of others

#[test]
fn the_end_of_a_session_without_the_lock_leaves_the_holders_job_alone() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    // It used the scanner once, and so would be drained after.
    one.write_all(b"x");
    assert_eq!(one.read_all(512), b"x");
    two.done(LOCK);
    two.done(arm(b"abort"));
    two.write_all(b"a page, read with pauses");
    assert_eq!(two.read_all(6), b"a page");
    drop(one);
    two.until_sessions(1);
    assert_eq!(two.read_all(512), b", read with pauses");
    let read = two.read(512);
    two.until_pending(&[(read, "in-flight")]);
    two.write_all(b"its end");
    assert_eq!(two.answer(read).payload[..], *b"its end");
    assert!(!two.has_event(|event| matches!(event, Event::CancelIo { .. })));
}

#[test]
fn the_end_of_a_session_with_a_pending_read_does_not_drain_what_another_has_written() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    one.done(Command::CancelRequest { request: read, session: None });
    two.write_all(b"just written");
    drop(one);
    two.until_sessions(1);
    assert_eq!(two.read_all(512), b"just written");
}

// ---- a stopped program

/// A program that is stopped reads and sends nothing: so a test stops one by asking it for nothing.
fn ends_the_lock(interfere: impl Fn(&mut Client)) {
    let rig = Rig::new(&["loopback"]);
    let (mut stopped, mut two, mut three) = (rig.open(), rig.open(), rig.client());
    stopped.done(LOCK);
    let waiting = wait_in_line(&mut two);
    interfere(&mut three);
    granted(&mut two, waiting);
    assert_eq!(holder(&mut three), Some(two.session));
    // It goes on, and knows nothing of that.
    let write = stopped.write(b"from a job that is over");
    cancelled(&stopped.answer(write));
    cancelled(&stopped.call(arm(b"abort")));
    stopped.done(Command::DisarmAbort {});
    let read = stopped.read(512);
    cancelled(&stopped.answer(read));
    two.write_all(b"two's");
    assert_eq!(two.read_all(512), b"two's");
    let again = wait_in_line(&mut stopped);
    two.done(Command::Unlock {});
    granted(&mut stopped, again);
    stopped.write_all(b"on");
    assert_eq!(stopped.read_all(512), b"on");
}

#[test]
fn somebody_elses_cancel_pending_ends_a_lock_without_a_job() {
    ends_the_lock(|client| {
        client.done(cancel_all());
    });
}

#[test]
fn somebody_elses_reset_ends_a_lock_without_a_job() {
    ends_the_lock(|client| {
        client.done(Command::ResetDevice { device: Some("usbscan0".to_owned()) });
    });
}

#[test]
fn a_job_of_a_stopped_program_is_cancelled_and_its_lock_passes_on() {
    let rig = Rig::new(&["loopback"]);
    let (mut stopped, mut two, mut three) = (rig.open(), rig.open(), rig.client());
    stopped.done(LOCK);
    stopped.done(arm(b"abort"));
    let read = stopped.read(512);
    stopped.until_pending(&[(read, "in-flight")]);
    let waiting = wait_in_line(&mut two);
    three.done(cancel_all());
    granted(&mut two, waiting);
    assert_eq!(two.read_all(512), b"abort");
    cancelled(&stopped.answer(read));
    let write = stopped.write(b"late");
    cancelled(&stopped.answer(write));
    // Its end is nobody's business any more.
    two.write_all(b"two's");
    drop(stopped);
    two.until_sessions(1);
    assert_eq!(two.read_all(512), b"two's");
}

#[test]
fn a_program_that_was_granted_the_lock_while_it_was_stopped_is_cancelled_as_well() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut stopped, mut three) = (rig.open(), rig.open(), rig.open());
    one.done(LOCK);
    let waiting = wait_in_line(&mut stopped);
    one.done(Command::Unlock {});
    assert_eq!(holder(&mut three), Some(stopped.session));
    three.done(Command::CancelPending { device: None });
    three.done(LOCK);
    // Now it hears that it has the lock, which is no longer so.
    granted(&mut stopped, waiting);
    cancelled(&stopped.call(arm(b"abort")));
    let write = stopped.write(b"late");
    cancelled(&stopped.answer(write));
    three.write_all(b"three's");
    assert_eq!(three.read_all(512), b"three's");
}

#[test]
fn whoever_waits_for_the_lock_stays_in_line_when_its_holder_is_cancelled() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two, mut three) = (rig.open(), rig.open(), rig.open());
    one.done(LOCK);
    let (second, third) = (wait_in_line(&mut two), wait_in_line(&mut three));
    three.done(Command::CancelPending { device: None });
    granted(&mut two, second);
    assert!(!three.has(third));
    two.done(Command::Unlock {});
    granted(&mut three, third);
}

#[test]
fn only_a_cancel_of_everything_ends_the_lock_and_never_ones_own() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    one.done(LOCK);
    let read = one.read(512);
    one.until_pending(&[(read, "in-flight")]);
    two.done(Command::CancelRequest { request: read, session: Some(one.session) });
    two.done(Command::CancelSession { session: Some(one.session) });
    two.done(Command::CancelPipe { pipe: Some(Pipe::All), endpoint: None, device: None });
    one.done(Command::CancelPending { device: None });
    one.done(Command::ResetDevice { device: None });
    assert_eq!(holder(&mut two), Some(one.session));
    one.write_all(b"mine");
    assert_eq!(one.read_all(512), b"mine");
}

//! What the queue decides, case by case.

use super::*;

const PACKET: usize = 512;

fn queue(depth: usize) -> Queue<&'static str> {
    Queue::new(Rules { depth, max_transfer: 1024, packet: PACKET, freezes: true, first: Ticket(1) })
}

fn bytes(bytes: usize) -> Need {
    Need { bytes, empty_packet: false, libusb_semantics: false }
}

fn full(queue: &mut Queue<&'static str>, start: Start) {
    queue.complete(start.ticket, start.length, TransferOutcome::Completed { short: false });
}

fn popped(queue: &mut Queue<&'static str>) -> Vec<(&'static str, Outcome, usize)> {
    std::iter::from_fn(|| queue.pop()).map(|ended| (ended.item, ended.outcome, ended.moved)).collect()
}

#[test]
fn requests_start_and_end_in_the_order_in_which_they_came() {
    let mut queue = queue(1);
    queue.push("a", bytes(1024));
    queue.push("b", bytes(512));
    let first = queue.next().unwrap();
    assert!(queue.next().is_none(), "one at a time");
    full(&mut queue, first);
    let second = queue.next().unwrap();
    full(&mut queue, second);
    assert_eq!(popped(&mut queue), [("a", Outcome::Success, 1024), ("b", Outcome::Success, 512)]);
}

#[test]
fn a_long_request_is_a_chain_that_lets_nobody_between() {
    let mut queue = queue(4);
    queue.push("long", bytes(2560));
    queue.push("next", bytes(512));
    let first = queue.next().unwrap();
    assert_eq!((first.offset, first.length), (0, 1024));
    assert!(queue.next().is_none());
    full(&mut queue, first);
    let second = queue.next().unwrap();
    assert_eq!((second.offset, second.length), (1024, 1024));
    full(&mut queue, second);
    let last = queue.next().unwrap();
    assert_eq!((last.offset, last.length), (2048, 512));
    assert_eq!(queue.next().unwrap().ticket, Ticket(2), "the last transfer of a chain lets the next request start");
}

#[test]
fn a_short_packet_ends_a_chain() {
    let mut queue = queue(1);
    queue.push("a", bytes(4096));
    let first = queue.next().unwrap();
    queue.complete(first.ticket, 700, TransferOutcome::Completed { short: true });
    assert_eq!(popped(&mut queue), [("a", Outcome::Success, 700)]);
}

#[test]
fn nothing_starts_behind_a_read_that_may_leave_surplus_bytes() {
    let mut queue = queue(4);
    queue.push("odd", bytes(100));
    queue.push("next", bytes(512));
    let odd = queue.next().unwrap();
    assert!(queue.next().is_none());
    queue.complete(odd.ticket, 100, TransferOutcome::Completed { short: false });
    assert!(queue.next().is_some());
}

#[test]
fn an_empty_packet_comes_last_and_its_cancel_is_no_success() {
    let mut queue = queue(1);
    queue.push("a", Need { bytes: 512, empty_packet: true, libusb_semantics: false });
    let data = queue.next().unwrap();
    full(&mut queue, data);
    let empty = queue.next().unwrap();
    assert_eq!((empty.offset, empty.length), (512, 0));
    assert_eq!(queue.cancel(|_| true, Reason::Requested).to_cancel, [empty.ticket]);
    queue.complete(empty.ticket, 0, TransferOutcome::Returned);
    assert_eq!(popped(&mut queue), [("a", Outcome::Cancelled, 512)]);
}

#[test]
fn a_request_that_waits_is_cancelled_without_touching_the_wire() {
    let mut queue = queue(1);
    queue.push("a", bytes(512));
    queue.push("b", bytes(512));
    queue.next().unwrap();
    let cancelled = queue.cancel(|item| *item == "b", Reason::Requested);
    assert_eq!(cancelled, Cancelled { found: 1, to_cancel: vec![] });
    assert_eq!(popped(&mut queue), [("b", Outcome::Cancelled, 0)]);
}

#[test]
fn transfers_are_asked_back_newest_first() {
    let mut queue = queue(3);
    for name in ["a", "b", "c", "d"] {
        queue.push(name, bytes(512));
    }
    let started: Vec<Ticket> = std::iter::from_fn(|| queue.next()).map(|start| start.ticket).collect();
    let cancelled = queue.cancel(|_| true, Reason::Requested);
    assert_eq!(cancelled.found, 4);
    assert_eq!(cancelled.to_cancel, started.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn all_that_was_asked_for_wins_over_a_cancel() {
    let mut queue = queue(1);
    queue.push("a", bytes(512));
    let start = queue.next().unwrap();
    queue.cancel(|_| true, Reason::Requested);
    queue.complete(start.ticket, 512, TransferOutcome::Returned);
    assert_eq!(popped(&mut queue), [("a", Outcome::Success, 512)]);
}

#[test]
fn the_first_reason_wins() {
    for (first, second, outcome) in [
        (Reason::Requested, Reason::Deadline, Outcome::Cancelled),
        (Reason::Deadline, Reason::Requested, Outcome::Timeout),
    ] {
        let mut queue = queue(1);
        queue.push("a", bytes(1024));
        let start = queue.next().unwrap();
        assert_eq!(queue.cancel(|_| true, first).to_cancel.len(), 1);
        let again = queue.cancel(|_| true, second);
        assert_eq!(again, Cancelled { found: 1, to_cancel: vec![] }, "the second finds it and asks nothing");
        queue.complete(start.ticket, 512, TransferOutcome::Returned);
        assert_eq!(popped(&mut queue), [("a", outcome, 512)]);
    }
}

#[test]
fn a_chain_cancelled_between_two_transfers_ends_at_once() {
    let mut queue = queue(1);
    queue.push("a", bytes(2048));
    let start = queue.next().unwrap();
    full(&mut queue, start);
    assert_eq!(queue.cancel(|_| true, Reason::Requested), Cancelled { found: 1, to_cancel: vec![] });
    assert_eq!(popped(&mut queue), [("a", Outcome::Cancelled, 1024)]);
}

#[test]
fn a_cancelled_request_leaves_at_once_and_a_whole_one_waits_for_those_before_it() {
    let mut queue = queue(3);
    for name in ["a", "b", "c"] {
        queue.push(name, bytes(512));
    }
    let starts: Vec<Start> = std::iter::from_fn(|| queue.next()).collect();
    queue.cancel(|item| *item == "b", Reason::Requested);
    queue.complete(starts[1].ticket, 0, TransferOutcome::Returned);
    full(&mut queue, starts[2]);
    assert_eq!(popped(&mut queue), [("b", Outcome::Cancelled, 0)]);
    full(&mut queue, starts[0]);
    assert_eq!(popped(&mut queue), [("a", Outcome::Success, 512), ("c", Outcome::Success, 512)]);
}

#[test]
fn a_fault_freezes_the_pipe_and_halts_what_stands_behind_it() {
    let mut queue = queue(3);
    for name in ["a", "b", "c", "d"] {
        queue.push(name, bytes(512));
    }
    let starts: Vec<Start> = std::iter::from_fn(|| queue.next()).collect();
    let to_cancel = queue.complete(starts[0].ticket, 0, TransferOutcome::Fault(Fault::Io));
    assert_eq!(to_cancel, [starts[2].ticket, starts[1].ticket]);
    queue.complete(starts[2].ticket, 0, TransferOutcome::Returned);
    full(&mut queue, starts[1]);
    queue.push("e", bytes(512));
    assert!(queue.next().is_none());
    let halted = |name, moved| (name, Outcome::Halted, moved);
    let expected =
        [("a", Outcome::Fault(Fault::Io), 0), halted("b", 512), halted("c", 0), halted("d", 0), halted("e", 0)];
    assert_eq!(popped(&mut queue), expected, "what b brought lies behind the gap");
    queue.thaw();
    queue.push("f", bytes(512));
    assert!(queue.next().is_some());
}

#[test]
fn a_second_fault_in_front_of_the_first_asks_nothing_back_that_was_asked_back_already() {
    let mut queue = queue(3);
    for name in ["a", "b", "c"] {
        queue.push(name, bytes(512));
    }
    let [a, b, c] = std::array::from_fn(|_| queue.next().unwrap().ticket);
    assert_eq!(queue.complete(b, 0, TransferOutcome::Fault(Fault::Io)), [c]);
    assert_eq!(queue.complete(a, 0, TransferOutcome::Fault(Fault::Io)), []);
    assert_eq!(queue.complete(c, 0, TransferOutcome::Returned), []);
    let faulty = Outcome::Fault(Fault::Io);
    assert_eq!(popped(&mut queue), [("a", faulty, 0), ("b", faulty, 0), ("c", Outcome::Halted, 0)]);
}

#[test]
fn a_control_queue_goes_on_after_a_refusal() {
    let mut queue = Queue::new(Rules { depth: 1, max_transfer: 4096, packet: 1, freezes: false, first: Ticket(1) });
    queue.push("a", bytes(8));
    queue.push("b", bytes(8));
    let start = queue.next().unwrap();
    queue.complete(start.ticket, 0, TransferOutcome::Fault(Fault::Stall));
    assert_eq!(popped(&mut queue), [("a", Outcome::Fault(Fault::Stall), 0)]);
    assert!(queue.next().is_some());
}

#[test]
fn a_held_queue_starts_nothing_and_forgets_nothing() {
    let mut queue = queue(1);
    queue.hold();
    queue.push("a", bytes(512));
    assert!(queue.next().is_none());
    queue.release();
    assert!(queue.next().is_some());
}

#[test]
fn loss_ends_what_waits_and_what_comes_later_and_lets_what_is_in_flight_come_back() {
    let mut queue = queue(1);
    queue.push("a", bytes(1024));
    queue.push("b", bytes(512));
    let start = queue.next().unwrap();
    queue.lose();
    queue.push("c", bytes(512));
    assert_eq!(popped(&mut queue), [("b", Outcome::Gone, 0), ("c", Outcome::Gone, 0)]);
    queue.complete(start.ticket, 100, TransferOutcome::Returned);
    assert_eq!(popped(&mut queue), [("a", Outcome::Gone, 100)]);
}

#[test]
fn a_stuck_host_ends_everything_and_late_transfers_are_nobodys() {
    let mut queue = queue(1);
    queue.push("a", bytes(512));
    let start = queue.next().unwrap();
    queue.cancel(|_| true, Reason::Requested);
    queue.host_stuck();
    assert_eq!(popped(&mut queue), [("a", Outcome::HostStuck, 0)]);
    assert!(queue.complete(start.ticket, 512, TransferOutcome::Returned).is_empty());
    assert!(queue.is_empty());
}

#[test]
fn a_read_of_nothing_succeeds_in_its_turn() {
    let mut queue = queue(1);
    queue.push("a", bytes(512));
    queue.push("none", bytes(0));
    assert!(popped(&mut queue).is_empty());
    let start = queue.next().unwrap();
    full(&mut queue, start);
    assert_eq!(popped(&mut queue), [("a", Outcome::Success, 512), ("none", Outcome::Success, 0)]);
}

#[test]
fn a_transfer_that_finds_no_memory_starts_again_shorter() {
    let mut queue = queue(1);
    queue.push("a", bytes(1024));
    let start = queue.next().unwrap();
    queue.put_back(start.ticket, 512);
    assert_eq!(queue.next(), Some(Start { length: 512, ..start }));
}

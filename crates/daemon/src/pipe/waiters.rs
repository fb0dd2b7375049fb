//! Who waits for an event. No threads, no clock, no I/O. One interrupt transfer is in flight while anyone waits; a
//! packet answers the first waiting request of every session.
//!
//! ```text
//!   Waiting ──packet──▶ answered
//!      │ cancel: others wait on ──▶ answered, cancelled
//!      └ cancel: nobody waits on ──▶ Ending ──the transfer came back──▶ answered: cancelled, or the packet after all
//! ```

use crate::pipe::queue::{Reason, Ticket};

#[derive(Debug)]
struct Waiter<T> {
    ticket: Ticket,
    session: u64,
    item: T,
    ending: Option<Reason>,
}

/// The requests that wait.
#[derive(Debug)]
pub(super) struct Waiters<T> {
    waiting: Vec<Waiter<T>>,
    next_ticket: u64,
}

/// What a cancel did.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removed<T> {
    /// Requests that it concerned.
    pub found: usize,
    /// Those that end now.
    pub ended: Vec<(T, Reason)>,
    /// Whether nobody wants the transfer any more: it must be cancelled.
    pub to_cancel: bool,
}

impl<T> Waiters<T> {
    pub fn new() -> Waiters<T> {
        Waiters { waiting: Vec::new(), next_ticket: 1 }
    }

    pub fn push(&mut self, session: u64, item: T) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.push(Waiter { ticket, session, item, ending: None });
        ticket
    }

    /// Whether a transfer should be in flight.
    pub fn want_a_packet(&self) -> bool {
        self.waiting.iter().any(|waiter| waiter.ending.is_none())
    }

    /// A packet came: takes out the first of every session. One that is ending gets it too: success wins.
    pub fn packet(&mut self) -> Vec<T> {
        let mut served = Vec::new();
        let mut sessions = Vec::new();
        let mut left = Vec::new();
        for waiter in self.waiting.drain(..) {
            if sessions.contains(&waiter.session) {
                left.push(waiter);
            } else {
                sessions.push(waiter.session);
                served.push(waiter.item);
            }
        }
        self.waiting = left;
        served
    }

    /// Cancels those that `which` picks. `in_flight`: whether a transfer is.
    pub fn cancel(&mut self, mut which: impl FnMut(&mut T) -> bool, reason: Reason, in_flight: bool) -> Removed<T> {
        self.leave(|waiter| which(&mut waiter.item), reason, in_flight)
    }

    /// The time of one is up.
    pub fn expire(&mut self, ticket: Ticket, in_flight: bool) -> Removed<T> {
        self.leave(|waiter| waiter.ticket == ticket, Reason::Deadline, in_flight)
    }

    fn leave(&mut self, mut which: impl FnMut(&mut Waiter<T>) -> bool, reason: Reason, in_flight: bool) -> Removed<T> {
        let mut found = 0;
        let mut fresh = Vec::new();
        for waiter in &mut self.waiting {
            if which(waiter) {
                found += 1;
                if waiter.ending.is_none() {
                    waiter.ending = Some(reason);
                    fresh.push(waiter.ticket);
                }
            }
        }
        // The packet may be on its way: the last request that wanted it waits for the transfer.
        let to_cancel = in_flight && !fresh.is_empty() && !self.want_a_packet();
        let mut ended = Vec::new();
        if !to_cancel {
            let (out, left) = self.waiting.drain(..).partition(|waiter| fresh.contains(&waiter.ticket));
            self.waiting = left;
            ended.extend(out.into_iter().map(|waiter: Waiter<T>| (waiter.item, reason)));
        }
        Removed { found, ended, to_cancel }
    }

    /// The transfer came back without a packet: takes out those that were ending.
    pub fn came_back(&mut self) -> Vec<(T, Reason)> {
        let (out, left): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|waiter| waiter.ending.is_some());
        self.waiting = left;
        out.into_iter().filter_map(|waiter| Some((waiter.item, waiter.ending?))).collect()
    }

    pub fn drain(&mut self) -> Vec<T> {
        self.waiting.drain(..).map(|waiter| waiter.item).collect()
    }

    /// Those whose time runs.
    pub fn running(&self) -> impl Iterator<Item = (Ticket, &T)> {
        self.waiting.iter().filter(|waiter| waiter.ending.is_none()).map(|waiter| (waiter.ticket, &waiter.item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiters(of: &[(u64, &'static str)]) -> Waiters<&'static str> {
        let mut waiters = Waiters::new();
        for (session, name) in of {
            waiters.push(*session, *name);
        }
        waiters
    }

    #[test]
    fn a_packet_answers_the_first_of_every_session() {
        let mut waiters = waiters(&[(1, "a"), (2, "b"), (1, "c"), (3, "d")]);
        assert_eq!(waiters.packet(), ["a", "b", "d"]);
        assert!(waiters.want_a_packet());
        assert_eq!(waiters.packet(), ["c"]);
        assert!(!waiters.want_a_packet());
    }

    #[test]
    fn one_of_several_is_cancelled_without_touching_the_transfer() {
        let mut waiters = waiters(&[(1, "a"), (2, "b")]);
        let left = waiters.cancel(|name| *name == "a", Reason::Requested, true);
        assert_eq!(left, Removed { found: 1, ended: vec![("a", Reason::Requested)], to_cancel: false });
        assert_eq!(waiters.packet(), ["b"]);
    }

    #[test]
    fn the_last_one_ends_when_the_transfer_endpoint_returned() {
        let mut waiters = waiters(&[(1, "a")]);
        let left = waiters.cancel(|_| true, Reason::Requested, true);
        assert_eq!(left, Removed { found: 1, ended: vec![], to_cancel: true });
        assert_eq!(
            waiters.cancel(|_| true, Reason::Deadline, true),
            Removed { found: 1, ended: vec![], to_cancel: false }
        );
        assert_eq!(waiters.came_back(), [("a", Reason::Requested)]);
        assert!(waiters.drain().is_empty());
    }

    #[test]
    fn a_packet_that_was_on_its_way_wins_over_the_cancel() {
        let mut waiters = waiters(&[(1, "a")]);
        waiters.cancel(|_| true, Reason::Requested, true);
        assert_eq!(waiters.packet(), ["a"]);
        assert!(waiters.came_back().is_empty());
    }

    #[test]
    fn who_comes_while_the_transfer_is_asked_back_waits_for_the_next_one() {
        let mut waiters = waiters(&[(1, "a")]);
        waiters.cancel(|_| true, Reason::Requested, true);
        waiters.push(2, "b");
        assert_eq!(waiters.came_back(), [("a", Reason::Requested)]);
        assert!(waiters.want_a_packet());
    }
}

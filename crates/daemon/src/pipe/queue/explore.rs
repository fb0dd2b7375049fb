//! The race table: one cancel, by each member of the family, at every moment at which it can come, against everything
//! that a host and a device can do meanwhile. Every reachable state of a small system is visited, at depth 1 and 4.
//!
//! The system: three reads of two sessions, the first one a chain of two transfers; a host that fills transfers in the
//! order of submission, hands completions over in the order in which they were decided, and gives back what is asked
//! back as it is; a worker that may stop between any two of its steps.

use std::collections::{BTreeMap, HashSet};

use super::*;

const PACKET: usize = 1;
const STEP: usize = 2;
/// Bytes of the requests, and their sessions.
const REQUESTS: [(usize, u8); 3] = [(4, 1), (2, 2), (2, 1)];

/// A member of the cancel family, as the queue sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Member {
    /// cancel-request, of the first or the second request.
    Request(usize),
    /// cancel-session, and the end of a session.
    Session(u8),
    /// cancel-pipe, reset-pipe, cancel-pending: everybody's, and the gate closed until nothing is in flight.
    Everything,
    Deadline,
}

const FAMILY: [Member; 6] = [
    Member::Request(0),
    Member::Request(1),
    Member::Session(1),
    Member::Session(2),
    Member::Everything,
    Member::Deadline,
];

/// Where a request is when the cancel comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Moment {
    NotQueued,
    Queued,
    BetweenTransfers,
    Chosen,
    Submitted,
    PartlyFilled,
    CompleteNotReaped,
    ReapedNotAnswered,
    Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    /// With the worker: chosen, not submitted.
    Chosen,
    Flying,
    /// Decided, and on its way back.
    Decided(TransferOutcome),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Transfer {
    ticket: Ticket,
    length: usize,
    filled: usize,
    asked_back: bool,
    fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Account {
    moved: usize,
    answered: Option<Outcome>,
    /// Where the cancel met it, if it concerned it.
    met: Option<Moment>,
    /// It ended by itself: whole, or by a short packet, whatever was asked of it.
    by_itself: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct System {
    queue: Queue<usize>,
    pushed: usize,
    /// In the order of choosing; those decided keep their place, and come back in the order of `decided`.
    transfers: Vec<Transfer>,
    decided: Vec<Ticket>,
    accounts: [Account; 3],
    cancelled: bool,
    gated: bool,
    faulted: bool,
    last_in_order: Option<usize>,
}

type Seen = BTreeMap<(Member, Moment), usize>;

impl System {
    fn new(depth: usize) -> System {
        System {
            queue: Queue::new(Rules { depth, max_transfer: STEP, packet: PACKET, freezes: true, first: Ticket(0) }),
            pushed: 0,
            transfers: Vec::new(),
            decided: Vec::new(),
            accounts: Default::default(),
            cancelled: false,
            gated: false,
            faulted: false,
            last_in_order: None,
        }
    }

    fn is_over(&self) -> bool {
        self.accounts.iter().all(|account| account.answered.is_some())
    }

    fn moment(&self, id: usize) -> Moment {
        if id >= self.pushed {
            return Moment::NotQueued;
        }
        if self.accounts[id].answered.is_some() {
            return Moment::Answered;
        }
        match self.transfers.iter().find(|transfer| transfer.ticket.0 == id as u64) {
            Some(Transfer { fate: Fate::Chosen, .. }) => Moment::Chosen,
            Some(Transfer { fate: Fate::Decided(_), .. }) => Moment::CompleteNotReaped,
            Some(Transfer { filled: 0, .. }) => Moment::Submitted,
            Some(_) => Moment::PartlyFilled,
            None if self.is_done(id) => Moment::ReapedNotAnswered,
            None if self.accounts[id].moved > 0 => Moment::BetweenTransfers,
            None => Moment::Queued,
        }
    }

    fn is_done(&self, id: usize) -> bool {
        self.queue.entries.iter().any(|entry| entry.item == id && entry.is_done())
    }

    /// Every state that one step leads to.
    fn successors(&self, member: Member, seen: &mut Seen) -> Vec<System> {
        let mut next = Vec::new();
        let mut also = |change: &mut dyn FnMut(&mut System) -> bool| {
            let mut system = self.clone();
            if change(&mut system) {
                next.push(system);
            }
        };
        also(&mut |s| s.push());
        also(&mut |s| s.choose());
        also(&mut |s| s.submit());
        also(&mut |s| s.reap());
        also(&mut |s| s.answer());
        for event in [Host::Fill, Host::Complete, Host::Short, Host::Stall] {
            also(&mut |s| s.host(event));
        }
        for at in 0..self.transfers.len() {
            also(&mut |s| s.give_back(at));
        }
        also(&mut |s| s.cancel(member, seen));
        next
    }

    fn push(&mut self) -> bool {
        let Some((bytes, _)) = REQUESTS.get(self.pushed) else { return false };
        let ticket = self.queue.push(self.pushed, Need { bytes: *bytes, empty_packet: false, libusb_semantics: false });
        assert_eq!(ticket, Ticket(self.pushed as u64));
        self.pushed += 1;
        true
    }

    fn choose(&mut self) -> bool {
        // The worker opens the gate when the last transfer is back.
        if self.gated && self.transfers.is_empty() {
            self.gated = false;
            self.queue.release();
        }
        let Some(start) = self.queue.next() else { return false };
        assert!(!self.gated, "nothing starts behind the gate");
        let Start { ticket, offset, length } = start;
        assert_eq!(offset, self.accounts[ticket.0 as usize].moved, "a chain goes on where it stopped");
        assert!(self.transfers.iter().all(|transfer| transfer.ticket < ticket), "in the requests' order");
        self.transfers.push(Transfer { ticket, length, filled: 0, asked_back: false, fate: Fate::Chosen });
        true
    }

    fn submit(&mut self) -> bool {
        let Some(transfer) = self.transfers.iter_mut().find(|transfer| transfer.fate == Fate::Chosen) else {
            return false;
        };
        transfer.fate = Fate::Flying;
        true
    }

    /// What the device does concerns the oldest transfer that the host still works on.
    fn host(&mut self, event: Host) -> bool {
        let Some(transfer) = self.transfers.iter_mut().find(|transfer| transfer.fate == Fate::Flying) else {
            return false;
        };
        let fate = match event {
            Host::Fill if transfer.filled + 1 < transfer.length => {
                transfer.filled += 1;
                return true;
            }
            Host::Fill => return false,
            Host::Complete => {
                transfer.filled = transfer.length;
                TransferOutcome::Completed { short: false }
            }
            Host::Short => TransferOutcome::Completed { short: true },
            Host::Stall => TransferOutcome::Fault(Fault::Stall),
        };
        transfer.fate = Fate::Decided(fate);
        self.decided.push(transfer.ticket);
        true
    }

    /// What was asked back comes back as it is; what was decided before that stays as it was decided.
    fn give_back(&mut self, at: usize) -> bool {
        let transfer = &mut self.transfers[at];
        if !transfer.asked_back || transfer.fate != Fate::Flying {
            return false;
        }
        transfer.fate = Fate::Decided(TransferOutcome::Returned);
        self.decided.push(transfer.ticket);
        true
    }

    fn reap(&mut self) -> bool {
        if self.decided.is_empty() {
            return false;
        }
        let ticket = self.decided.remove(0);
        let at = self.transfers.iter().position(|transfer| transfer.ticket == ticket).expect("it is in flight");
        let transfer = self.transfers.remove(at);
        let Fate::Decided(came) = transfer.fate else { unreachable!("it was decided") };
        let (bytes, _) = REQUESTS[ticket.0 as usize];
        let account = &mut self.accounts[ticket.0 as usize];
        account.moved += transfer.filled;
        account.by_itself |= match came {
            TransferOutcome::Completed { short } => short || account.moved == bytes,
            TransferOutcome::Returned => account.moved == bytes,
            _ => false,
        };
        self.faulted |= matches!(came, TransferOutcome::Fault(_));
        let to_cancel = self.queue.complete(ticket, transfer.filled, came);
        self.cancel_transfers(&to_cancel);
        true
    }

    fn cancel_transfers(&mut self, tickets: &[Ticket]) {
        assert!(tickets.is_sorted_by(|a, b| a > b), "newest first");
        for ticket in tickets {
            let transfer = self.transfers.iter_mut().find(|transfer| transfer.ticket == *ticket);
            let transfer = transfer.expect("only what is in flight is asked back");
            assert!(!transfer.asked_back, "once");
            transfer.asked_back = true;
        }
    }

    fn answer(&mut self) -> bool {
        let Some(Ended { item, outcome, moved }) = self.queue.pop() else { return false };
        let account = &mut self.accounts[item];
        assert!(account.answered.is_none(), "one answer a request");
        account.answered = Some(outcome);
        assert_eq!(moved, account.moved, "every byte is accounted for");
        if !outcome.leaves_at_once() {
            assert!(self.last_in_order.is_none_or(|last| last < item), "in the order in which they came");
            self.last_in_order = Some(item);
        }
        true
    }

    fn cancel(&mut self, member: Member, seen: &mut Seen) -> bool {
        if self.cancelled {
            return false;
        }
        self.cancelled = true;
        let concerned: Vec<usize> = match member {
            Member::Request(id) => vec![id],
            Member::Session(session) => (0..3).filter(|id| REQUESTS[*id].1 == session).collect(),
            Member::Everything => (0..3).collect(),
            // Only the head's runs.
            Member::Deadline => self.queue.head().map(|(_, id)| *id).into_iter().collect(),
        };
        for id in &concerned {
            let moment = self.moment(*id);
            *seen.entry((member, moment)).or_default() += 1;
            self.accounts[*id].met = Some(moment);
        }
        let cancelled = match (member, concerned.first()) {
            (Member::Deadline, Some(id)) => self.queue.expire(Ticket(*id as u64)),
            (Member::Deadline, None) => return false,
            _ => self.queue.cancel(|item| concerned.contains(item), Reason::Requested),
        };
        let open = concerned.iter().filter(|id| {
            !matches!(self.accounts[**id].met, Some(Moment::NotQueued | Moment::ReapedNotAnswered | Moment::Answered))
        });
        assert_eq!(cancelled.found, open.count(), "it finds what is there and not done");
        self.cancel_transfers(&cancelled.to_cancel);
        if member == Member::Everything && !self.transfers.is_empty() {
            self.gated = true;
            self.queue.hold();
        }
        true
    }

    /// At the end: who met the cancel ended as the table says.
    fn judge(&self, member: Member) {
        let early = if member == Member::Deadline { Outcome::Timeout } else { Outcome::Cancelled };
        assert!(self.queue.is_empty() && self.transfers.is_empty(), "nothing is left behind: {self:?}");
        for account in &self.accounts {
            let outcome = account.answered.expect("everybody is answered");
            let natural = match outcome {
                Outcome::Success => account.by_itself,
                Outcome::Fault(_) | Outcome::Halted => self.faulted,
                _ => false,
            };
            match account.met {
                // Nobody cancelled it, or too late, or too early.
                None | Some(Moment::NotQueued | Moment::ReapedNotAnswered | Moment::Answered) => {
                    assert!(natural, "{account:?}");
                }
                // Nothing was with the host: it ends as asked, whatever happens.
                Some(Moment::Queued | Moment::BetweenTransfers) => assert_eq!(outcome, early, "{account:?}"),
                // It was with the host: as asked, unless its own end was first.
                Some(_) => assert!(outcome == early || natural, "{account:?}"),
            }
            if account.by_itself && !self.faulted {
                assert!(
                    outcome == Outcome::Success || account.met == Some(Moment::BetweenTransfers),
                    "all that was asked for wins: {account:?}"
                );
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Host {
    Fill,
    Complete,
    Short,
    Stall,
}

/// Visits every reachable state; returns how many, and at which moments the cancel met a request.
fn explore(depth: usize, member: Member) -> (usize, Seen) {
    let mut seen = Seen::new();
    let mut visited = HashSet::new();
    let mut left = vec![System::new(depth)];
    while let Some(system) = left.pop() {
        if !visited.insert(system.clone()) {
            continue;
        }
        let next = system.successors(member, &mut seen);
        if next.iter().all(|next| *next == system) || next.is_empty() {
            assert!(system.is_over(), "nothing can go on, and a request waits: {system:?}");
        }
        if system.is_over() && system.transfers.is_empty() {
            system.judge(member);
        }
        left.extend(next);
    }
    (visited.len(), seen)
}

#[test]
fn a_cancel_at_every_moment_by_every_member_of_the_family_gives_one_right_answer() {
    for depth in [1, 4] {
        for member in FAMILY {
            let (states, seen) = explore(depth, member);
            let moments: Vec<Moment> = seen.keys().map(|(_, moment)| *moment).collect();
            println!("depth {depth}, {member:?}: {states} states, {moments:?}");
            let wanted: &[Moment] = match member {
                // A deadline runs for what is neither done nor yet to come.
                Member::Deadline => &[Moment::Queued, Moment::BetweenTransfers, Moment::Chosen, Moment::PartlyFilled],
                // Only the first request is a chain.
                Member::Request(1) | Member::Session(2) => &[
                    Moment::NotQueued,
                    Moment::Queued,
                    Moment::Chosen,
                    Moment::Submitted,
                    Moment::PartlyFilled,
                    Moment::CompleteNotReaped,
                    Moment::ReapedNotAnswered,
                    Moment::Answered,
                ],
                _ => &[
                    Moment::NotQueued,
                    Moment::Queued,
                    Moment::BetweenTransfers,
                    Moment::Chosen,
                    Moment::Submitted,
                    Moment::PartlyFilled,
                    Moment::CompleteNotReaped,
                    Moment::ReapedNotAnswered,
                    Moment::Answered,
                ],
            };
            for moment in wanted {
                assert!(moments.contains(moment), "depth {depth}, {member:?} was never tried when {moment:?}");
            }
        }
    }
}

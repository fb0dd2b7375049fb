//! The queue under every interleaving that proptest thinks of, against a host that keeps the seam's contract and a
//! ledger that knows only the rules.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const PACKET: usize = 4;
const STEP: usize = 8;

#[derive(Debug, Clone)]
enum Op {
    Push { session: u8, bytes: usize, empty_packet: bool },
    Next,
    Complete { pick: usize, bytes: usize, short: bool },
    GiveBack { pick: usize, bytes: usize },
    Break { pick: usize, fault: Fault },
    CancelOne { pick: usize, reason: Reason },
    CancelSession { session: u8 },
    CancelAll,
    Hold,
    Release,
    Thaw,
    Lose,
    Pop,
}

fn op() -> impl Strategy<Value = Op> {
    let reason = prop_oneof![Just(Reason::Asked), Just(Reason::Deadline)];
    let fault = prop_oneof![Just(Fault::Stall), Just(Fault::Overrun), Just(Fault::Io)];
    prop_oneof![
        8 => (0..3u8, 0..20usize, any::<bool>())
            .prop_map(|(session, bytes, empty_packet)| Op::Push { session, bytes, empty_packet }),
        10 => Just(Op::Next),
        8 => (any::<usize>(), 0..=STEP, any::<bool>())
            .prop_map(|(pick, bytes, short)| Op::Complete { pick, bytes, short }),
        4 => (any::<usize>(), 0..=STEP).prop_map(|(pick, bytes)| Op::GiveBack { pick, bytes }),
        1 => (any::<usize>(), fault).prop_map(|(pick, fault)| Op::Break { pick, fault }),
        3 => (any::<usize>(), reason).prop_map(|(pick, reason)| Op::CancelOne { pick, reason }),
        1 => (0..3u8).prop_map(|session| Op::CancelSession { session }),
        1 => Just(Op::CancelAll),
        1 => Just(Op::Hold),
        2 => Just(Op::Release),
        1 => Just(Op::Thaw),
        1 => Just(Op::Lose),
        4 => Just(Op::Pop),
    ]
}

#[derive(Debug, Default)]
struct Account {
    bytes: usize,
    moved: usize,
    owes_empty_packet: bool,
    first_reason: Option<Reason>,
    /// By itself: a short packet, or all of it.
    ended_by_itself: bool,
    answered: Option<Outcome>,
}

impl Account {
    fn is_whole(&self) -> bool {
        self.moved == self.bytes && !self.owes_empty_packet
    }
}

struct Run {
    queue: Queue<(u64, u8)>,
    depth: usize,
    host: BTreeMap<Ticket, usize>,
    asked_back: BTreeSet<Ticket>,
    accounts: BTreeMap<u64, Account>,
    last_in_order: u64,
    fault_seen: bool,
    lost: bool,
}

impl Run {
    fn new(depth: usize) -> Run {
        let rules = Rules { depth, step: STEP, packet: PACKET, freezes: true, first: Ticket(1) };
        Run {
            queue: Queue::new(rules),
            depth,
            host: BTreeMap::new(),
            asked_back: BTreeSet::new(),
            accounts: BTreeMap::new(),
            last_in_order: 0,
            fault_seen: false,
            lost: false,
        }
    }

    fn pick(&self, pick: usize) -> Option<(Ticket, usize)> {
        let at = pick.checked_rem(self.host.len())?;
        self.host.iter().nth(at).map(|(ticket, length)| (*ticket, *length))
    }

    fn account(&mut self, ticket: Ticket) -> &mut Account {
        self.accounts.get_mut(&ticket.0).expect("every ticket has an account")
    }

    fn push(&mut self, session: u8, bytes: usize, empty_packet: bool) {
        let id = self.accounts.len() as u64 + 1;
        let ticket = self.queue.push((id, session), Need { bytes, empty_packet });
        assert_eq!(ticket, Ticket(id));
        let ended_by_itself = bytes == 0 && !empty_packet;
        let owes_empty_packet = empty_packet;
        self.accounts.insert(id, Account { bytes, owes_empty_packet, ended_by_itself, ..Account::default() });
    }

    fn next(&mut self) {
        let Some(start) = self.queue.next() else { return };
        assert!(!self.lost);
        assert!(self.host.insert(start.ticket, start.length).is_none(), "one transfer of a request at a time");
        assert!(self.host.len() <= self.depth);
        assert_eq!(start.offset, self.account(start.ticket).moved, "a chain goes on where it stopped");
        assert!(self.host.keys().all(|ticket| *ticket <= start.ticket), "transfers start in the requests' order");
    }

    fn complete(&mut self, ticket: Ticket, bytes: usize, came: Came) {
        let length = self.host.remove(&ticket);
        self.asked_back.remove(&ticket);
        let account = self.account(ticket);
        account.moved += bytes;
        if let Came::Completed { short } = came {
            account.owes_empty_packet &= length != Some(0);
            account.ended_by_itself |= short || account.is_whole();
        }
        self.fault_seen |= matches!(came, Came::Fault(_));
        let ask_back = self.queue.complete(ticket, bytes, came);
        self.ask_back(ask_back);
    }

    fn ask_back(&mut self, tickets: Vec<Ticket>) {
        assert!(tickets.is_sorted_by(|a, b| a > b), "newest first");
        for ticket in tickets {
            assert!(self.host.contains_key(&ticket), "only what the host has is asked back");
            assert!(self.asked_back.insert(ticket), "and only once");
        }
    }

    fn cancel(&mut self, which: impl Fn(&(u64, u8)) -> bool, reason: Reason) {
        let mut found = Vec::new();
        let pick = |item: &mut (u64, u8)| which(item).then(|| found.push(item.0)).is_some();
        let cancelled = self.queue.cancel(pick, reason);
        assert_eq!(cancelled.found, found.len());
        for id in found {
            self.account(Ticket(id)).first_reason.get_or_insert(reason);
        }
        self.ask_back(cancelled.ask_back);
    }

    fn pop(&mut self) -> bool {
        let Some(ended) = self.queue.pop() else { return false };
        let id = ended.item.0;
        let (fault_seen, lost) = (self.fault_seen, self.lost);
        let account = self.account(Ticket(id));
        assert!(account.answered.is_none(), "one answer a request");
        account.answered = Some(ended.outcome);
        assert_eq!(ended.moved, account.moved, "every byte is accounted for");
        match ended.outcome {
            Outcome::Success => assert!(account.ended_by_itself || account.is_whole()),
            Outcome::Cancelled => assert_eq!(account.first_reason, Some(Reason::Asked)),
            Outcome::Timeout => assert_eq!(account.first_reason, Some(Reason::Deadline)),
            Outcome::Fault(_) | Outcome::Halted => assert!(fault_seen),
            Outcome::Gone => assert!(lost),
            Outcome::Wedged => unreachable!("nobody wedges it here"),
        }
        if account.ended_by_itself && !fault_seen && !lost {
            assert_eq!(ended.outcome, Outcome::Success, "success wins");
        }
        if !ended.outcome.leaves_at_once() {
            assert!(id > self.last_in_order, "those that end by themselves leave in order");
            self.last_in_order = id;
        }
        true
    }

    fn step(&mut self, op: Op) {
        self.act(op);
        let mut counted = Tally::default();
        self.queue.entries.iter().for_each(|entry| counted.add(entry));
        assert_eq!(self.queue.tally, counted, "what is counted as it changes is what is there");
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Push { session, bytes, empty_packet } => self.push(session, bytes, empty_packet),
            Op::Next => self.next(),
            Op::Complete { pick, bytes, short } => {
                let Some((ticket, length)) = self.pick(pick) else { return };
                // A transfer that completed without a short packet is full.
                let bytes = if short { bytes.min(length.saturating_sub(1)) } else { length };
                self.complete(ticket, bytes, Came::Completed { short: short && length > 0 });
            }
            Op::GiveBack { pick, bytes } => {
                let Some((ticket, length)) = self.pick(pick) else { return };
                // A host gives back only what was asked back, or what was on a device that left.
                if self.asked_back.contains(&ticket) || self.lost {
                    self.complete(ticket, bytes.min(length), Came::GivenBack);
                }
            }
            Op::Break { pick, fault } => {
                let Some((ticket, _)) = self.pick(pick) else { return };
                self.complete(ticket, 0, Came::Fault(fault));
            }
            Op::CancelOne { pick, reason } => {
                let id = pick as u64 % (self.accounts.len() as u64 + 1);
                self.cancel(|item| item.0 == id, reason);
            }
            Op::CancelSession { session } => self.cancel(|item| item.1 == session, Reason::Asked),
            Op::CancelAll => self.cancel(|_| true, Reason::Asked),
            Op::Hold => self.queue.hold(),
            Op::Release => self.queue.release(),
            Op::Thaw if self.host.is_empty() => self.queue.thaw(),
            Op::Thaw => {}
            Op::Lose => {
                self.queue.lose();
                self.lost = true;
            }
            Op::Pop => {
                self.pop();
            }
        }
    }

    /// Cancels everything; the host gives everything back.
    fn drain(&mut self) {
        self.cancel(|_| true, Reason::Asked);
        while let Some((ticket, _)) = self.pick(0) {
            self.complete(ticket, 0, Came::GivenBack);
        }
        while self.pop() {}
        assert!(self.queue.is_empty(), "nothing is left: {:?}", self.queue);
        assert_eq!(self.queue.in_flight(), 0);
        assert!(self.accounts.values().all(|account| account.answered.is_some()), "everybody is answered");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn every_interleaving_answers_every_request_once_and_by_the_rules(
        depth in 1..=4usize,
        ops in proptest::collection::vec(op(), 1..80),
    ) {
        let mut run = Run::new(depth);
        let mut losses = 0;
        for op in ops {
            // One in four of the runs that would lose the device does, so that the others go on.
            if matches!(op, Op::Lose) {
                losses += 1;
                if losses % 4 != 0 {
                    continue;
                }
            }
            run.step(op);
        }
        run.drain();
    }
}

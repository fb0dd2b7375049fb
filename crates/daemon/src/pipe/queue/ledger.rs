//! A queue, a host that keeps the seam's contract, and a ledger that knows only the rules: whatever is done to the three, in
//! whatever order, the queue must agree with the ledger. For properties.rs, and for the fuzzer, whose target `queue` this is.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const PACKET: usize = 4;
pub const STEP: usize = 8;

#[derive(Debug, Clone)]
/// What may happen to a queue. A `pick` is any number; it picks one of those there are.
pub enum Op {
    Push {
        session: u8,
        bytes: usize,
        empty_packet: bool,
    },
    Next,
    /// The host has no memory for so long a transfer.
    NoRoom {
        max_transfer: usize,
    },
    /// The host will not have the transfer at all.
    Refuse,
    Complete {
        pick: usize,
        bytes: usize,
        short: bool,
    },
    GiveBack {
        pick: usize,
        bytes: usize,
    },
    Break {
        pick: usize,
        fault: Fault,
    },
    CancelOne {
        pick: usize,
        reason: Reason,
    },
    CancelSession {
        session: u8,
    },
    Expire {
        pick: usize,
    },
    CancelAll,
    Hold,
    Release,
    Thaw,
    Lose,
    HostStuck,
    Pop,
}

#[derive(Debug, Default)]
struct Account {
    bytes: usize,
    moved: usize,
    owes_empty_packet: bool,
    first_reason: Option<Reason>,
    /// By itself: a short packet, or all of it.
    ended_by_itself: bool,
    /// The host would not have it.
    refused: bool,
    answered: Option<Outcome>,
}

impl Account {
    fn is_whole(&self) -> bool {
        self.moved == self.bytes && !self.owes_empty_packet
    }
}

pub struct Run {
    queue: Queue<(u64, u8)>,
    depth: usize,
    host: BTreeMap<Ticket, usize>,
    asked_back: BTreeSet<Ticket>,
    accounts: BTreeMap<u64, Account>,
    last_in_order: u64,
    fault_seen: bool,
    lost: bool,
    host_stuck: bool,
}

impl Run {
    pub fn new(depth: usize) -> Run {
        let rules = Rules { depth, max_transfer: STEP, packet: PACKET, freezes: true, first: Ticket(1) };
        Run {
            queue: Queue::new(rules),
            depth,
            host: BTreeMap::new(),
            asked_back: BTreeSet::new(),
            accounts: BTreeMap::new(),
            last_in_order: 0,
            fault_seen: false,
            lost: false,
            host_stuck: false,
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
        let ticket = self.queue.push((id, session), Need { bytes, empty_packet, libusb_semantics: false });
        assert_eq!(ticket, Ticket(id));
        let ended_by_itself = bytes == 0 && !empty_packet;
        let owes_empty_packet = empty_packet;
        self.accounts.insert(id, Account { bytes, owes_empty_packet, ended_by_itself, ..Account::default() });
    }

    fn next(&mut self) {
        let Some(start) = self.queue.next() else { return };
        assert!(!self.lost && !self.host_stuck);
        assert!(self.host.insert(start.ticket, start.length).is_none(), "one transfer of a request at a time");
        assert!(self.host.len() <= self.depth);
        assert_eq!(start.offset, self.account(start.ticket).moved, "a chain goes on where it stopped");
        assert!(self.host.keys().all(|ticket| *ticket <= start.ticket), "transfers start in the requests' order");
    }

    fn complete(&mut self, ticket: Ticket, bytes: usize, came: TransferOutcome) {
        let length = self.host.remove(&ticket);
        self.asked_back.remove(&ticket);
        let host_stuck = self.host_stuck;
        let account = self.account(ticket);
        if host_stuck {
            // Nobody's any more.
            assert!(self.queue.complete(ticket, bytes, came).is_empty());
            return;
        }
        account.moved += bytes;
        if let TransferOutcome::Completed { short } = came {
            account.owes_empty_packet &= length != Some(0);
            account.ended_by_itself |= short || account.is_whole();
        }
        self.fault_seen |= matches!(came, TransferOutcome::Fault(_));
        let to_cancel = self.queue.complete(ticket, bytes, came);
        self.cancel_transfers(to_cancel);
    }

    fn cancel_transfers(&mut self, tickets: Vec<Ticket>) {
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
        self.cancel_transfers(cancelled.to_cancel);
    }

    fn pop(&mut self) -> bool {
        let Some(ended) = self.queue.pop() else { return false };
        let id = ended.item.0;
        let (fault_seen, lost, host_stuck) = (self.fault_seen, self.lost, self.host_stuck);
        let account = self.account(Ticket(id));
        assert!(account.answered.is_none(), "one answer a request");
        account.answered = Some(ended.outcome);
        assert_eq!(ended.moved, account.moved, "every byte is accounted for");
        match ended.outcome {
            Outcome::Success => assert!(account.ended_by_itself || account.is_whole()),
            Outcome::Cancelled => assert_eq!(account.first_reason, Some(Reason::Requested)),
            Outcome::Timeout => assert_eq!(account.first_reason, Some(Reason::Deadline)),
            Outcome::Fault(Fault::Refused) => assert!(account.refused),
            Outcome::Fault(_) | Outcome::Halted => assert!(fault_seen),
            Outcome::Gone => assert!(lost),
            Outcome::HostStuck => assert!(host_stuck),
        }
        if account.ended_by_itself && !fault_seen && !lost && !host_stuck {
            assert_eq!(ended.outcome, Outcome::Success, "success wins");
        }
        if !ended.outcome.leaves_at_once() {
            assert!(id > self.last_in_order, "those that end by themselves leave in order");
            self.last_in_order = id;
        }
        true
    }

    pub fn step(&mut self, op: Op) {
        self.act(op);
        assert!(self.queue.counts_rightly(), "what is counted as it changes is what is there");
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Push { session, bytes, empty_packet } => self.push(session, bytes, empty_packet),
            Op::Next => self.next(),
            Op::NoRoom { max_transfer } => {
                if let Some(start) = self.queue.next() {
                    self.queue.put_back(start.ticket, max_transfer.clamp(1, STEP));
                }
            }
            Op::Refuse => {
                if let Some(start) = self.queue.next() {
                    self.account(start.ticket).refused = true;
                    self.queue.refuse(start.ticket, Fault::Refused);
                }
            }
            Op::Expire { pick } => {
                let ticket = Ticket(pick as u64 % (self.accounts.len() as u64 + 1));
                let cancelled = self.queue.expire(ticket);
                assert!(cancelled.found <= 1);
                if cancelled.found == 1 {
                    self.account(ticket).first_reason.get_or_insert(Reason::Deadline);
                }
                self.cancel_transfers(cancelled.to_cancel);
            }
            Op::Complete { pick, bytes, short } => {
                let Some((ticket, length)) = self.pick(pick) else { return };
                // A transfer that completed without a short packet is full.
                let bytes = if short { bytes.min(length.saturating_sub(1)) } else { length };
                self.complete(ticket, bytes, TransferOutcome::Completed { short: short && length > 0 });
            }
            Op::GiveBack { pick, bytes } => {
                let Some((ticket, length)) = self.pick(pick) else { return };
                // A host gives back only what was asked back, or what was on a device that left.
                if self.asked_back.contains(&ticket) || self.lost {
                    self.complete(ticket, bytes.min(length), TransferOutcome::Returned);
                }
            }
            Op::Break { pick, fault } => {
                let Some((ticket, _)) = self.pick(pick) else { return };
                self.complete(ticket, 0, TransferOutcome::Fault(fault));
            }
            Op::CancelOne { pick, reason } => {
                let id = pick as u64 % (self.accounts.len() as u64 + 1);
                self.cancel(|item| item.0 == id, reason);
            }
            Op::CancelSession { session } => self.cancel(|item| item.1 == session, Reason::Requested),
            Op::CancelAll => self.cancel(|_| true, Reason::Requested),
            Op::Hold => self.queue.hold(),
            Op::Release => self.queue.release(),
            Op::Thaw if self.host.is_empty() => self.queue.thaw(),
            Op::Thaw => {}
            Op::Lose => {
                self.queue.lose();
                self.lost = true;
            }
            Op::HostStuck => {
                self.queue.host_stuck();
                self.host_stuck = true;
            }
            Op::Pop => {
                self.pop();
            }
        }
    }

    /// Cancels everything; the host gives everything back.
    pub fn drain(&mut self) {
        self.cancel(|_| true, Reason::Requested);
        while let Some((ticket, _)) = self.pick(0) {
            self.complete(ticket, 0, TransferOutcome::Returned);
        }
        while self.pop() {}
        assert!(self.queue.is_empty(), "nothing is left: {:?}", self.queue);
        assert_eq!(self.queue.in_flight(), 0);
        assert!(self.accounts.values().all(|account| account.answered.is_some()), "everybody is answered");
    }
}

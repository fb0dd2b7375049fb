//! Orders the requests of one pipe, cuts them into transfers, and decides how each ends. No threads, no clock, no I/O,
//! and no bytes: only counts of them. The pipe's worker does what is decided here.
//!
//! ```text
//!   Queued ──next──▶ InFlight ──complete──▶ Done ──pop──▶ answered, once
//!    │  ▲               │  │ cancel           ▲
//!    │  └── chain goes on┘  └▶ Cancelling ─────┤
//!    └──────────────── cancel ────────────────┘
//! ```
//!
//! The rules; the facts behind them are in docs/usb-engine.md:
//!
//! - Transfers start in the order of the requests, at most `depth` at once. Nothing starts behind a request that
//!   may still start another transfer, or that may leave surplus bytes behind.
//! - Requests that end by themselves leave in the order in which they came; those that were cancelled leave at once.
//! - The first reason to cancel wins. Everything that was asked for having arrived wins over any reason.
//! - A fault freezes the queue: what stands behind it ends as halted, whatever it brought, for it lies behind a gap.

use std::collections::VecDeque;

pub use crate::outcome::{Fault, Outcome};

#[cfg(test)]
mod explore;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// Names a request within its queue. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a request needs from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Need {
    pub bytes: usize,
    /// A transfer of no bytes at the end of them: a write's zero-length packet.
    pub empty_packet: bool,
    /// It leaves nothing for the next one and a fault of it freezes nothing, as with libusb.
    pub libusb_semantics: bool,
}

/// Why a request is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    Requested,
    /// Its time is up.
    Deadline,
}

/// How a transfer came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferOutcome {
    /// By itself. `short`: a short packet ended it.
    Completed {
        /// Whether a short packet ended it.
        short: bool,
    },
    /// Because it was cancelled.
    Returned,
    Fault(Fault),
    /// The device is gone.
    Gone,
}

impl From<Reason> for Outcome {
    fn from(reason: Reason) -> Outcome {
        match reason {
            Reason::Requested => Outcome::Cancelled,
            Reason::Deadline => Outcome::Timeout,
        }
    }
}

/// A transfer to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub ticket: Ticket,
    /// Where in the request it begins.
    pub offset: usize,
    /// Its bytes; 0 is an empty packet.
    pub length: usize,
}

/// A request that ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended<T> {
    pub item: T,
    pub outcome: Outcome,
    /// Bytes that had moved.
    pub moved: usize,
}

/// What a cancel did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Requests that it concerned, those being cancelled already included.
    pub found: usize,
    /// Transfers to cancel, newest first.
    pub to_cancel: Vec<Ticket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Queued,
    InFlight { length: usize },
    Cancelling { length: usize, reason: Reason },
    Done(Outcome),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Entry<T> {
    ticket: Ticket,
    item: T,
    need: Need,
    moved: usize,
    /// In flight while a fault was found in front of it: what it brings lies behind a gap.
    behind_fault: bool,
    stage: Stage,
}

impl<T> Entry<T> {
    /// Bytes of its next transfer, if it needs one.
    fn rest(&self, max_transfer: usize) -> Option<usize> {
        match self.need.bytes - self.moved {
            0 if self.need.empty_packet => Some(0),
            0 => None,
            left => Some(left.min(max_transfer)),
        }
    }

    fn flying(&self) -> Option<usize> {
        match self.stage {
            Stage::InFlight { length } | Stage::Cancelling { length, .. } => Some(length),
            Stage::Queued | Stage::Done(_) => None,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }

    /// Whether it need not wait for those in front of it.
    fn may_overtake(&self) -> bool {
        matches!(self.stage, Stage::Done(outcome) if outcome.leaves_at_once())
    }

    /// Whether another request's transfer may start behind this one's. A read of no whole number of packets is
    /// rounded up on the wire and may leave surplus bytes, which belong to the next request.
    fn lets_pass(&self, packet: usize) -> bool {
        match self.flying() {
            // An empty packet is a request's last transfer; so is one that brings all the rest.
            Some(length) => {
                let last = length == 0 || (self.moved + length == self.need.bytes && !self.need.empty_packet);
                last && (self.need.libusb_semantics || length % packet == 0)
            }
            None => self.is_done(),
        }
    }
}

/// What a queue would else count in all of its entries again and again, with thousands of them waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Tally {
    /// Those whose transfer the host has.
    in_flight: usize,
    /// Those that may overtake.
    overtaking: usize,
}

impl Tally {
    fn add<T>(&mut self, entry: &Entry<T>) {
        self.in_flight += usize::from(entry.flying().is_some());
        self.overtaking += usize::from(entry.may_overtake());
    }

    fn take<T>(&mut self, entry: &Entry<T>) {
        self.in_flight -= usize::from(entry.flying().is_some());
        self.overtaking -= usize::from(entry.may_overtake());
    }

    /// The one way in which an entry of a queue comes to its next stage.
    fn change<T>(&mut self, entry: &mut Entry<T>, stage: Stage) {
        self.take(entry);
        entry.stage = stage;
        self.add(entry);
    }
}

/// How a queue works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// Transfers in flight at once, at least 1.
    pub depth: usize,
    /// Bytes of the longest transfer.
    pub max_transfer: usize,
    /// The packet to which transfers are rounded up; 1: not at all.
    pub packet: usize,
    /// Whether a fault freezes it; a control endpoint goes on by itself.
    pub freezes: bool,
    /// Its first ticket: two queues of one endpoint must not give the same one.
    pub first: Ticket,
}

/// The requests of one pipe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue<T> {
    rules: Rules,
    /// In the order of their tickets.
    entries: VecDeque<Entry<T>>,
    tally: Tally,
    next_ticket: u64,
    frozen: bool,
    held: bool,
    /// What everything ends as from now on.
    dead: Option<Outcome>,
}

impl<T> Queue<T> {
    pub fn new(rules: Rules) -> Queue<T> {
        let next_ticket = rules.first.0;
        let (entries, tally) = (VecDeque::new(), Tally::default());
        Queue { rules, entries, tally, next_ticket, frozen: false, held: false, dead: None }
    }

    /// Puts a request behind all others.
    pub fn push(&mut self, item: T, need: Need) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let stage = match self.dead {
            Some(outcome) => Stage::Done(outcome),
            None if self.frozen => Stage::Done(Outcome::Halted),
            None => Stage::Queued,
        };
        let mut entry = Entry { ticket, item, need, moved: 0, behind_fault: false, stage };
        if entry.stage == Stage::Queued && entry.rest(self.rules.max_transfer).is_none() {
            entry.stage = Stage::Done(Outcome::Success);
        }
        self.tally.add(&entry);
        self.entries.push_back(entry);
        ticket
    }

    /// Where the request of a ticket stands, while it is in the queue.
    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.entries.binary_search_by_key(&ticket, |entry| entry.ticket).ok()
    }

    /// The next transfer to start, if one may. It counts as in flight from now on.
    #[expect(clippy::should_implement_trait, reason = "it is no iterator: after none there may be one again")]
    pub fn next(&mut self) -> Option<Start> {
        if self.frozen || self.held || self.dead.is_some() || self.in_flight() >= self.rules.depth {
            return None;
        }
        let Rules { max_transfer, packet, .. } = self.rules;
        let entry = self.entries.iter_mut().find(|entry| !entry.lets_pass(packet))?;
        match (entry.stage, entry.rest(max_transfer)) {
            (Stage::Queued, Some(length)) => {
                self.tally.change(entry, Stage::InFlight { length });
                Some(Start { ticket: entry.ticket, offset: entry.moved, length })
            }
            _ => None,
        }
    }

    /// Takes a start back: the host had no room for the transfer. With a shorter `step` it may have.
    pub fn put_back(&mut self, ticket: Ticket, max_transfer: usize) {
        self.rules.max_transfer = max_transfer;
        let Some(at) = self.place(ticket) else { return };
        let entry = &mut self.entries[at];
        match entry.stage {
            Stage::InFlight { .. } => self.tally.change(entry, Stage::Queued),
            Stage::Cancelling { reason, .. } => self.tally.change(entry, Stage::Done(reason.into())),
            Stage::Queued | Stage::Done(_) => {}
        }
    }

    /// The longest transfer that it starts.
    pub fn max_transfer(&self) -> usize {
        self.rules.max_transfer
    }

    /// The host did not take the transfer, and never will.
    pub fn refuse(&mut self, ticket: Ticket, fault: Fault) {
        let Some(at) = self.place(ticket) else { return };
        let entry = &mut self.entries[at];
        if !entry.is_done() {
            self.tally.change(entry, Stage::Done(Outcome::Fault(fault)));
        }
    }

    /// A transfer came back with `bytes` of it moved. Returns those to cancel, newest first: a fault freezes.
    pub fn complete(&mut self, ticket: Ticket, bytes: usize, came: TransferOutcome) -> Vec<Ticket> {
        let Some(at) = self.place(ticket) else { return Vec::new() };
        let max_transfer = self.rules.max_transfer;
        let (frozen, dead) = (self.frozen, self.dead);
        let entry = &mut self.entries[at];
        let Some(length) = entry.flying() else { return Vec::new() };
        entry.moved += bytes.min(length);
        let reason = match entry.stage {
            Stage::Cancelling { reason, .. } => Some(reason),
            _ => None,
        };
        if length == 0 && matches!(came, TransferOutcome::Completed { .. }) {
            entry.need.empty_packet = false;
        }
        let whole = entry.rest(max_transfer).is_none();
        let outcome = match came {
            _ if entry.behind_fault => Some(reason.map_or(Outcome::Halted, Outcome::from)),
            TransferOutcome::Fault(fault) => Some(Outcome::Fault(fault)),
            TransferOutcome::Completed { short } if short || whole => Some(Outcome::Success),
            TransferOutcome::Returned if whole => Some(Outcome::Success),
            TransferOutcome::Completed { .. } => {
                reason.map(Outcome::from).or(dead).or(frozen.then_some(Outcome::Halted))
            }
            TransferOutcome::Returned => Some(reason.map(Outcome::from).or(dead).unwrap_or(Outcome::Cancelled)),
            TransferOutcome::Gone => Some(Outcome::Gone),
        };
        let freezes = self.rules.freezes && !entry.need.libusb_semantics;
        self.tally.change(entry, outcome.map_or(Stage::Queued, Stage::Done));
        match outcome {
            Some(Outcome::Fault(_)) if freezes => self.freeze(at),
            _ => Vec::new(),
        }
    }

    /// Whether a fault froze it.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Ends what stands behind the fault at `at`.
    fn freeze(&mut self, at: usize) -> Vec<Ticket> {
        self.frozen = true;
        let mut to_cancel = Vec::new();
        for entry in self.entries.iter_mut().skip(at + 1) {
            match entry.stage {
                Stage::Queued => self.tally.change(entry, Stage::Done(Outcome::Halted)),
                // Behind a fault that was found first, it has been cancelled.
                Stage::InFlight { .. } if entry.behind_fault => {}
                Stage::InFlight { .. } => {
                    entry.behind_fault = true;
                    to_cancel.push(entry.ticket);
                }
                Stage::Cancelling { .. } => entry.behind_fault = true,
                // Arrived before the fault was known, and not answered yet: it lies behind the gap as well.
                Stage::Done(Outcome::Success) => self.tally.change(entry, Stage::Done(Outcome::Halted)),
                Stage::Done(_) => {}
            }
        }
        to_cancel.reverse();
        to_cancel
    }

    /// Ends the freeze: the halt is cleared.
    pub fn thaw(&mut self) {
        self.frozen = false;
    }

    /// Cancels the requests that `which` picks. Those that wait are done at once; the transfers of those in flight are to be cancelled.
    pub fn cancel(&mut self, mut which: impl FnMut(&mut T) -> bool, reason: Reason) -> Cancelled {
        self.end_early(|entry| which(&mut entry.item), reason)
    }

    /// The time of one request is up.
    pub fn expire(&mut self, ticket: Ticket) -> Cancelled {
        self.end_early(|entry| entry.ticket == ticket, Reason::Deadline)
    }

    fn end_early(&mut self, mut which: impl FnMut(&mut Entry<T>) -> bool, reason: Reason) -> Cancelled {
        let mut cancelled = Cancelled::default();
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_done()) {
            if !which(entry) {
                continue;
            }
            cancelled.found += 1;
            match entry.stage {
                Stage::Queued => self.tally.change(entry, Stage::Done(reason.into())),
                Stage::InFlight { length } => {
                    self.tally.change(entry, Stage::Cancelling { length, reason });
                    if !entry.behind_fault {
                        cancelled.to_cancel.push(entry.ticket);
                    }
                }
                Stage::Cancelling { .. } | Stage::Done(_) => {}
            }
        }
        cancelled.to_cancel.reverse();
        cancelled
    }

    /// Starts nothing until [`Queue::release`]. Requests may still be pushed; they wait.
    pub fn hold(&mut self) {
        self.held = true;
    }

    pub fn release(&mut self) {
        self.held = false;
    }

    /// The device is gone: what waits ends now, what is in flight when it comes back.
    pub fn lose(&mut self) {
        self.die(Outcome::Gone, |_| false);
    }

    /// The host does not give transfers back: everything ends now, and whatever comes back later is nobody's.
    pub fn host_stuck(&mut self) {
        self.die(Outcome::HostStuck, |_| true);
    }

    fn die(&mut self, outcome: Outcome, in_flight_too: impl Fn(&Entry<T>) -> bool) {
        self.dead = Some(outcome);
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_done()) {
            if entry.stage == Stage::Queued || in_flight_too(entry) {
                self.tally.change(entry, Stage::Done(outcome));
            }
        }
    }

    /// The next request that ended, if one may be answered now.
    pub fn pop(&mut self) -> Option<Ended<T>> {
        let at = match self.entries.front()?.is_done() {
            true => 0,
            false if self.tally.overtaking == 0 => return None,
            false => self.entries.iter().position(Entry::may_overtake)?,
        };
        let entry = self.entries.remove(at)?;
        self.tally.take(&entry);
        match entry.stage {
            Stage::Done(outcome) => Some(Ended { item: entry.item, outcome, moved: entry.moved }),
            _ => unreachable!("only what is done may leave"),
        }
    }

    /// The oldest request that has not ended, unless it is being cancelled: its deadline runs.
    pub fn head(&self) -> Option<(Ticket, &T)> {
        let head = self.entries.iter().find(|entry| !entry.is_done())?;
        match head.stage {
            Stage::Cancelling { .. } => None,
            _ => Some((head.ticket, &head.item)),
        }
    }

    /// The request of a ticket, while it is in the queue.
    pub fn item_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.place(ticket).map(|at| &mut self.entries[at].item)
    }

    /// Transfers that the host has.
    pub fn in_flight(&self) -> usize {
        self.tally.in_flight
    }

    /// Whether what is counted as it changes is what is there. Looks at every entry; for tests.
    pub fn counts_rightly(&self) -> bool {
        let mut counted = Tally::default();
        self.entries.iter().for_each(|entry| counted.add(entry));
        self.tally == counted
    }

    /// Whether no request is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

//! The worker of an interrupt pipe. Its thread `pipe usbscanN/EE` keeps one transfer in flight while anyone waits, and
//! gives each packet to the first waiting request of every session. It waits in one place, as every pipe's worker does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use usbscan_usb::{Completion, ErrorKind, TransferStatus};

use super::endpoint_io::{Completed, DISCONNECT_GRACE, EndpointIo};
use super::orders::{CancelTarget, Order, PipeEvent};
use super::waiters::{Removed, Waiters};
use super::worker_loop;
use crate::outcome::{Fault, Outcome};
use crate::payload::Payload;
use crate::pipe::cancellation::Cancellation;
use crate::pipe::queue::{Reason, Ticket};
use crate::pipe::request::{IoRequest, RequestState};

/// Everything that the worker is given at its start.
pub(super) struct EventParts {
    pub io: EndpointIo,
    pub orders: Receiver<Order>,
    pub notify: Box<dyn Fn(PipeEvent) + Send>,
    pub halted: Arc<AtomicBool>,
}

pub(super) struct Events {
    io: EndpointIo,
    waiters: Waiters<WaitingRequest>,
    next_transfer: u64,
    /// A fault froze the pipe.
    frozen: bool,
    /// Until when an error may turn out to have been the first sign of unplugging.
    disconnect_grace_ends: Option<Instant>,
    gated: bool,
    quiet: Vec<Sender<()>>,
    retiring: bool,
    /// What everything ends as from now on.
    dead: Option<Outcome>,
    all_returned_told: bool,
    orders: Receiver<Order>,
    notify: Box<dyn Fn(PipeEvent) + Send>,
    halted: Arc<AtomicBool>,
}

struct WaitingRequest {
    request: IoRequest,
    due: Instant,
}

impl Events {
    pub fn new(parts: EventParts) -> Events {
        let EventParts { io, orders, notify, halted } = parts;
        Events {
            io,
            waiters: Waiters::new(),
            next_transfer: 1,
            frozen: false,
            disconnect_grace_ends: None,
            gated: false,
            quiet: Vec::new(),
            retiring: false,
            dead: None,
            all_returned_told: false,
            orders,
            notify,
            halted,
        }
    }

    /// Runs until it is retired and nothing is in flight.
    pub fn run(mut self) {
        worker_loop::run(&mut self);
        self.end_all(Outcome::Cancelled);
    }

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Io(request) | Order::Own(request) => self.push(*request),
            Order::Cancel { which, by } => self.cancel(which, &by),
            Order::Quiesce { cancel, quiet } => {
                self.gated = true;
                if let Some(by) = cancel {
                    self.cancel(CancelTarget::All, &by);
                }
                if !self.io.is_quiet() {
                    // What is in flight is nobody's request, so it may be cancelled while others wait.
                    self.io.cancel_all_in_flight();
                }
                if self.dead != Some(Outcome::HostStuck) {
                    self.quiet.push(quiet);
                }
            }
            Order::Resume => self.gated = false,
            Order::ClearHalt { on_the_wire, done } => {
                let cleared = if on_the_wire { self.io.clear_halt() } else { Ok(()) };
                if cleared.is_ok() {
                    self.frozen = false;
                    self.halted.store(false, Ordering::Relaxed);
                }
                // The supervisor may have ended meanwhile.
                let _ = done.send(cleared);
            }
            Order::DropSurplus { .. } => {}
            Order::Lost => self.die(Outcome::Gone),
            Order::HostStuck => self.die(Outcome::HostStuck),
            // The daemon never waits for an event itself.
            Order::CancelOwn => {}
            Order::Replace { endpoint, completions, tap } => self.io.replace(endpoint, completions, tap),
            Order::Retire => self.retire(),
        }
    }

    fn push(&mut self, request: IoRequest) {
        match self.dead {
            Some(outcome) => request.end(outcome, 0),
            None if self.frozen => request.end(Outcome::Halted, 0),
            None => {
                let due = Instant::now() + request.timeout;
                request.pending.set_state(RequestState::InFlight);
                self.waiters.push(request.pending.session, WaitingRequest { request, due });
            }
        }
    }

    fn cancel(&mut self, which: CancelTarget, by: &Arc<Cancellation>) {
        let mut again = 0;
        let picks = |waiting: &mut WaitingRequest| {
            let picked = which.picks(&waiting.request);
            if picked {
                waiting.request.pending.set_state(RequestState::Cancelling);
                again += usize::from(!waiting.request.concern(by));
            }
            picked
        };
        let left = self.waiters.cancel(picks, Reason::Requested, self.io.has_transfers());
        by.found(left.found - again);
        self.let_go(left);
    }

    fn let_go(&mut self, left: Removed<WaitingRequest>) {
        for (waiting, reason) in left.ended {
            waiting.request.end(reason.into(), 0);
        }
        if left.to_cancel {
            self.io.cancel_all_in_flight();
        }
    }

    fn retire(&mut self) {
        self.retiring = true;
        if self.dead.is_none() {
            self.io.cancel_all_in_flight();
        }
    }

    fn end_all(&mut self, outcome: Outcome) {
        for waiting in self.waiters.drain() {
            waiting.request.end(outcome, 0);
        }
    }

    fn is_quiet(&self) -> bool {
        self.io.is_quiet() && self.disconnect_grace_ends.is_none()
    }

    /// Keeps one transfer in flight while it is wanted, and says when the pipe is quiet.
    fn advance(&mut self) {
        if self.is_quiet() {
            for quiet in self.quiet.drain(..) {
                let _ = quiet.send(());
            }
            if self.dead.is_some() && !self.all_returned_told {
                self.all_returned_told = true;
                self.io.abandon();
                (self.notify)(PipeEvent::AllReturned);
            }
        }
        let may = !self.gated && !self.frozen && !self.retiring && self.dead.is_none();
        if may && self.is_quiet() && self.waiters.want_a_packet() {
            self.start();
        }
    }

    fn start(&mut self) {
        let ticket = Ticket(self.next_transfer);
        self.next_transfer += 1;
        let packet = self.io.packet();
        let Err(rejected) = self.io.submit(ticket, packet, vec![0; packet].into()) else { return };
        log::debug!("{}", rejected.error);
        match rejected.error.kind {
            ErrorKind::NoDevice => self.find_dead(Outcome::Gone, PipeEvent::Lost),
            ErrorKind::NoResources => self.end_all(Outcome::Fault(Fault::NoResources)),
            _ => self.end_all(Outcome::Fault(Fault::Refused)),
        }
    }

    fn completed(&mut self, completion: Completion) {
        let Some(Completed { completion, .. }) = self.io.completed(completion) else { return };
        match completion.status {
            TransferStatus::Completed => self.packet(&completion.received()),
            TransferStatus::Cancelled if completion.actual > 0 => self.packet(&completion.received()),
            TransferStatus::Cancelled => {
                for (waiting, reason) in self.waiters.came_back() {
                    waiting.request.end(reason.into(), 0);
                }
            }
            TransferStatus::Stall => self.freeze(Fault::Stall),
            TransferStatus::Overflow => self.freeze(Fault::Overrun),
            TransferStatus::Error if self.dead.is_none() => {
                self.disconnect_grace_ends = Some(Instant::now() + DISCONNECT_GRACE)
            }
            TransferStatus::Error => {}
            TransferStatus::NoDevice => self.find_dead(Outcome::Gone, PipeEvent::Lost),
        }
    }

    fn packet(&mut self, packet: &[u8]) {
        for mut waiting in self.waiters.packet() {
            waiting.request.received = Payload::from(packet.to_vec());
            waiting.request.end(Outcome::Success, packet.len());
        }
        // Those of a session that had another one in front, and were cancelled.
        for (waiting, reason) in self.waiters.came_back() {
            waiting.request.end(reason.into(), 0);
        }
    }

    /// Everybody who waits meets the fault: there is no order among them.
    fn freeze(&mut self, fault: Fault) {
        if self.dead.is_some() {
            return;
        }
        let waiting = self.waiters.drain();
        // Those that take faults as libusb's programs do clear the halt themselves.
        let freezes = waiting.is_empty() || waiting.iter().any(|waiting| !waiting.request.libusb_semantics);
        for waiting in waiting {
            waiting.request.end(Outcome::Fault(fault), 0);
        }
        if freezes {
            self.frozen = true;
            self.halted.store(true, Ordering::Relaxed);
            (self.notify)(PipeEvent::Halted);
        }
    }

    fn find_dead(&mut self, outcome: Outcome, notify: PipeEvent) {
        if self.dead.is_none() {
            self.die(outcome);
            (self.notify)(notify);
        }
    }

    fn die(&mut self, outcome: Outcome) {
        if self.dead == Some(Outcome::HostStuck) || self.dead == Some(outcome) {
            return;
        }
        self.dead = Some(outcome);
        self.disconnect_grace_ends = None;
        self.end_all(outcome);
        match outcome {
            Outcome::HostStuck => {
                self.io.stop_the_watchdog();
                self.quiet.clear();
            }
            _ => self.io.cancel_all_in_flight(),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let dues = self.waiters.running().map(|(_, waiting)| waiting.due);
        dues.chain(self.disconnect_grace_ends).chain(self.io.overdue_at()).min()
    }

    fn on_timer(&mut self, now: Instant) {
        let late: Vec<Ticket> =
            self.waiters.running().filter(|(_, waiting)| waiting.due <= now).map(|(ticket, _)| ticket).collect();
        for ticket in late {
            let left = self.waiters.expire(ticket, self.io.has_transfers());
            self.let_go(left);
        }
        if self.disconnect_grace_ends.is_some_and(|ends| ends <= now) {
            self.disconnect_grace_ends = None;
            self.freeze(Fault::Io);
        }
        if self.io.overdue_at().is_some_and(|overdue| overdue <= now) {
            self.die(Outcome::HostStuck);
            (self.notify)(PipeEvent::HostStuck);
        }
    }
}

impl worker_loop::Worker for Events {
    fn io(&mut self) -> &mut EndpointIo {
        &mut self.io
    }

    fn orders(&self) -> &Receiver<Order> {
        &self.orders
    }

    fn advance(&mut self) {
        Events::advance(self);
    }

    fn has_ended(&self) -> bool {
        self.retiring && self.is_quiet()
    }

    fn handle_order(&mut self, order: Order) {
        Events::handle_order(self, order);
    }

    fn transfer_completed(&mut self, completion: Completion) {
        self.completed(completion);
    }

    fn device_gone(&mut self) {
        self.find_dead(Outcome::Gone, PipeEvent::Lost);
    }

    fn next_due(&self) -> Option<Instant> {
        Events::next_due(self)
    }

    fn on_timer(&mut self, now: Instant) {
        Events::on_timer(self, now);
    }
}

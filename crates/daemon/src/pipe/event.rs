//! The worker of an interrupt pipe. Its thread `pipe usbscanN/EE` keeps one transfer in flight while anyone waits, and
//! gives each packet to the first waiting request of every session. It waits in one place, as every pipe's worker does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, at, never, select};
use usbscan_usb::{Completion, ErrorKind, Status};

use super::line::{DOUBT, Landed, Line};
use super::orders::{News, Order, Which};
use super::waiters::{Left, Waiters};
use crate::cancellation::Cancellation;
use crate::payload::Payload;
use crate::queue::{Fault, Outcome, Reason, Ticket};
use crate::request::{IoRequest, Standing};

/// Everything that the worker is given at its start.
pub(super) struct Parts {
    pub line: Line,
    pub orders: Receiver<Order>,
    pub news: Box<dyn Fn(News) + Send>,
    pub halted: Arc<AtomicBool>,
}

pub(super) struct Events {
    line: Line,
    waiters: Waiters<Waiting>,
    next_transfer: u64,
    /// A fault froze the pipe.
    frozen: bool,
    /// Until when an error may turn out to have been the first sign of unplugging.
    doubt_ends: Option<Instant>,
    gated: bool,
    quiet: Vec<Sender<()>>,
    retiring: bool,
    /// What everything ends as from now on.
    dead: Option<Outcome>,
    landed_told: bool,
    orders: Receiver<Order>,
    news: Box<dyn Fn(News) + Send>,
    halted: Arc<AtomicBool>,
}

struct Waiting {
    request: IoRequest,
    due: Instant,
}

impl Events {
    pub fn new(parts: Parts) -> Events {
        let Parts { line, orders, news, halted } = parts;
        Events {
            line,
            waiters: Waiters::new(),
            next_transfer: 1,
            frozen: false,
            doubt_ends: None,
            gated: false,
            quiet: Vec::new(),
            retiring: false,
            dead: None,
            landed_told: false,
            orders,
            news,
            halted,
        }
    }

    /// Runs until it is retired and nothing is in flight.
    pub fn run(mut self) {
        let completions = self.line.completions().clone();
        let (orders, backs) = (self.orders.clone(), self.line.backs().clone());
        loop {
            self.pump();
            if self.retiring && self.is_quiet() {
                break;
            }
            let timer = self.next_due().map_or_else(never, at);
            select! {
                recv(completions) -> completion => match completion {
                    Ok(completion) => self.landed(completion),
                    // Only a host that was torn down under us drops its end.
                    Err(_) => break,
                },
                recv(backs) -> back => {
                    let gone = self.line.is_back(back.expect("the line has both ends"));
                    if gone {
                        self.find_dead(Outcome::Gone, News::Lost);
                    }
                }
                recv(orders) -> order => match order {
                    Ok(order) => self.obey(order),
                    Err(_) => self.retire(),
                },
                recv(timer) -> _ => self.ring(Instant::now()),
            }
        }
        self.end_all(Outcome::Cancelled);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Io(request) | Order::Own(request) => self.push(*request),
            Order::Cancel { which, by } => self.cancel(which, &by),
            Order::Quiesce { cancel, quiet } => {
                self.gated = true;
                if let Some(by) = cancel {
                    self.cancel(Which::All, &by);
                }
                if !self.line.is_quiet() {
                    // What is in flight is nobody's request, so it may be asked back whoever waits.
                    self.line.ask_back_all();
                }
                if self.dead != Some(Outcome::Wedged) {
                    self.quiet.push(quiet);
                }
            }
            Order::Resume => self.gated = false,
            Order::ClearHalt { on_the_wire, done } => {
                let cleared = if on_the_wire { self.line.clear_halt() } else { Ok(()) };
                if cleared.is_ok() {
                    self.frozen = false;
                    self.halted.store(false, Ordering::Relaxed);
                }
                // Whoever asked may have been ended meanwhile.
                let _ = done.send(cleared);
            }
            Order::DropSurplus { .. } => {}
            Order::Lost => self.die(Outcome::Gone),
            Order::Wedged => self.die(Outcome::Wedged),
            Order::Retire => self.retire(),
        }
    }

    fn push(&mut self, request: IoRequest) {
        match self.dead {
            Some(outcome) => request.end(outcome, 0),
            None if self.frozen => request.end(Outcome::Halted, 0),
            None => {
                let due = Instant::now() + request.timeout;
                request.pending.stands(Standing::InFlight);
                self.waiters.push(request.pending.session, Waiting { request, due });
            }
        }
    }

    fn cancel(&mut self, which: Which, by: &Arc<Cancellation>) {
        let mut again = 0;
        let picks = |waiting: &mut Waiting| {
            let picked = which.picks(&waiting.request);
            if picked {
                waiting.request.pending.stands(Standing::Cancelling);
                again += usize::from(!waiting.request.concern(by));
            }
            picked
        };
        let left = self.waiters.cancel(picks, Reason::Asked, self.line.has_transfers());
        by.found(left.found - again);
        self.let_go(left);
    }

    fn let_go(&mut self, left: Left<Waiting>) {
        for (waiting, reason) in left.ended {
            waiting.request.end(reason.into(), 0);
        }
        if left.ask_back {
            self.line.ask_back_all();
        }
    }

    fn retire(&mut self) {
        self.retiring = true;
        if self.dead.is_none() {
            self.line.ask_back_all();
        }
    }

    fn end_all(&mut self, outcome: Outcome) {
        for waiting in self.waiters.drain() {
            waiting.request.end(outcome, 0);
        }
    }

    fn is_quiet(&self) -> bool {
        self.line.is_quiet() && self.doubt_ends.is_none()
    }

    /// Keeps one transfer in flight while it is wanted, and says when the pipe is quiet.
    fn pump(&mut self) {
        if self.is_quiet() {
            for quiet in self.quiet.drain(..) {
                let _ = quiet.send(());
            }
            if self.dead.is_some() && !self.landed_told {
                self.landed_told = true;
                self.line.cut();
                (self.news)(News::Landed);
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
        let packet = self.line.packet();
        let Err(rejected) = self.line.submit(ticket, packet, vec![0; packet].into()) else { return };
        log::debug!("{}", rejected.error);
        match rejected.error.kind {
            ErrorKind::NoDevice => self.find_dead(Outcome::Gone, News::Lost),
            ErrorKind::NoResources => self.end_all(Outcome::Fault(Fault::NoResources)),
            _ => self.end_all(Outcome::Fault(Fault::Refused)),
        }
    }

    fn landed(&mut self, completion: Completion) {
        let Some(Landed { completion, .. }) = self.line.landed(completion) else { return };
        match completion.status {
            Status::Completed => self.packet(&completion.received()),
            Status::Cancelled if completion.actual > 0 => self.packet(&completion.received()),
            Status::Cancelled => {
                for (waiting, reason) in self.waiters.came_back() {
                    waiting.request.end(reason.into(), 0);
                }
            }
            Status::Stall => self.freeze(Fault::Stall),
            Status::Overflow => self.freeze(Fault::Overrun),
            Status::Error if self.dead.is_none() => self.doubt_ends = Some(Instant::now() + DOUBT),
            Status::Error => {}
            Status::NoDevice => self.find_dead(Outcome::Gone, News::Lost),
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
        self.frozen = true;
        self.halted.store(true, Ordering::Relaxed);
        self.end_all(Outcome::Fault(fault));
        (self.news)(News::Halted);
    }

    fn find_dead(&mut self, outcome: Outcome, news: News) {
        if self.dead.is_none() {
            self.die(outcome);
            (self.news)(news);
        }
    }

    fn die(&mut self, outcome: Outcome) {
        if self.dead == Some(Outcome::Wedged) || self.dead == Some(outcome) {
            return;
        }
        self.dead = Some(outcome);
        self.doubt_ends = None;
        self.end_all(outcome);
        match outcome {
            Outcome::Wedged => {
                self.line.stop_the_watchdog();
                self.quiet.clear();
            }
            _ => self.line.ask_back_all(),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let dues = self.waiters.running().map(|(_, waiting)| waiting.due);
        dues.chain(self.doubt_ends).chain(self.line.overdue_at()).min()
    }

    fn ring(&mut self, now: Instant) {
        let late: Vec<Ticket> =
            self.waiters.running().filter(|(_, waiting)| waiting.due <= now).map(|(ticket, _)| ticket).collect();
        for ticket in late {
            let left = self.waiters.expire(ticket, self.line.has_transfers());
            self.let_go(left);
        }
        if self.doubt_ends.is_some_and(|ends| ends <= now) {
            self.doubt_ends = None;
            self.freeze(Fault::Io);
        }
        if self.line.overdue_at().is_some_and(|overdue| overdue <= now) {
            self.die(Outcome::Wedged);
            (self.news)(News::Wedged);
        }
    }
}

//! The worker of a pipe that moves bytes: bulk in, bulk out, control. Its thread `pipe usbscanN/EE` alone submits,
//! cancels and frees. It waits in one place, for orders, completions and the next moment at which something is due.

mod back;
mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, at, never, select};
use usbscan_usb::{Buffer, ErrorKind, Rejected, Setup};

use super::line::{Landed, Line};
use super::orders::{News, Order, Role, Which};
use crate::cancellation::Cancellation;
use crate::outbox;
use crate::payload::{Carry, Pool};
use crate::queue::{Came, Fault, Outcome, Queue, Reason, Rules, Start, Ticket};
use crate::request::{Data, IoRequest, Standing, Work};

/// Transfers are cut no shorter than this when the system has no memory for longer ones.
const SHORTEST: usize = 16 * 1024;
/// How often a transfer is tried again for want of memory, the pause before it doubling each time.
const MEMORY_TRIES: u32 = 5;
const MEMORY_PAUSE: Duration = Duration::from_millis(10);
/// Tickets of the daemon's own requests begin here.
const OWN: u64 = 1 << 63;

/// How a pipe works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Transfers in flight at once.
    pub depth: usize,
    /// Bytes of the longest transfer.
    pub step: usize,
}

/// Everything that the worker is given at its start.
pub(super) struct Parts {
    pub role: Role,
    pub line: Line,
    pub settings: Settings,
    pub pool: Pool,
    pub orders: Receiver<Order>,
    pub news: Box<dyn Fn(News) + Send>,
    pub halted: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    Lost,
    Wedged,
}

/// Whose queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Clients,
}

/// The oldest request of a queue and when its time is up.
#[derive(Debug, Clone, Copy, Default)]
struct Head(Option<(Ticket, Instant)>);

/// No memory for transfers: how often in a row, and when the next try is due.
#[derive(Debug, Clone, Copy, Default)]
struct Shortage {
    tries: u32,
    again_at: Option<Instant>,
}

pub(super) struct Stream {
    role: Role,
    line: Line,
    own: Queue<IoRequest>,
    clients: Queue<IoRequest>,
    heads: [Head; 2],
    carry: Carry,
    pool: Pool,
    /// Transfers that ended in an error which may have been an unplugging, since when.
    doubts: Vec<Landed>,
    doubt_ends: Option<Instant>,
    shortage: Shortage,
    /// A cancel of everybody's is under way.
    draining: bool,
    /// The supervisor has closed the gate.
    gated: bool,
    quiet: Vec<Sender<()>>,
    retiring: bool,
    phase: Phase,
    landed_told: bool,
    orders: Receiver<Order>,
    news: Box<dyn Fn(News) + Send>,
    halted: Arc<AtomicBool>,
}

impl Stream {
    pub fn new(parts: Parts) -> Stream {
        let Parts { role, line, settings, pool, orders, news, halted } = parts;
        let rules = |first| Rules {
            depth: settings.depth,
            step: match role {
                Role::Control => usize::from(Setup::MAX_DATA),
                // A whole number of packets, so that only a request's last transfer is rounded up.
                _ => (settings.step / line.packet()).max(1) * line.packet(),
            },
            packet: if role == Role::Read { line.packet() } else { 1 },
            freezes: role != Role::Control,
            first: Ticket(first),
        };
        Stream {
            own: Queue::new(rules(OWN)),
            clients: Queue::new(rules(1)),
            heads: Default::default(),
            carry: Carry::default(),
            pool,
            doubts: Vec::new(),
            doubt_ends: None,
            shortage: Shortage::default(),
            draining: false,
            gated: false,
            quiet: Vec::new(),
            retiring: false,
            phase: Phase::Working,
            landed_told: false,
            role,
            line,
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
            if self.retiring && self.line.is_quiet() && self.doubts.is_empty() {
                return;
            }
            let timer = self.next_due().map_or_else(never, at);
            select! {
                recv(completions) -> completion => match completion {
                    Ok(completion) => self.landed(completion),
                    // Only a host that was torn down under us drops its end.
                    Err(_) => return,
                },
                recv(backs) -> back => {
                    let gone = self.line.is_back(back.expect("the line has both ends"));
                    if gone {
                        self.find_lost();
                    }
                }
                recv(orders) -> order => match order {
                    Ok(order) => self.obey(order),
                    Err(_) => self.retire(),
                },
                recv(timer) -> _ => self.ring(Instant::now()),
            }
        }
    }

    fn queue(&mut self, whose: Whose) -> &mut Queue<IoRequest> {
        match whose {
            Whose::Own => &mut self.own,
            Whose::Clients => &mut self.clients,
        }
    }

    fn of_ticket(&mut self, ticket: Ticket) -> &mut Queue<IoRequest> {
        self.queue(if ticket.0 >= OWN { Whose::Own } else { Whose::Clients })
    }

    // ---- orders

    fn obey(&mut self, order: Order) {
        match order {
            Order::Io(request) => self.push(Whose::Clients, *request),
            Order::Own(request) => self.push(Whose::Own, *request),
            Order::Cancel { which, by } => self.cancel(which, &by),
            Order::Quiesce { cancel, quiet } => {
                self.gated = true;
                if let Some(by) = cancel {
                    self.cancel(Which::All, &by);
                }
                // On a wedged pipe `quiet` is dropped at once, which says so.
                if self.phase != Phase::Wedged {
                    self.quiet.push(quiet);
                }
            }
            Order::Resume => self.gated = false,
            Order::ClearHalt { on_the_wire, done } => {
                let cleared = self.clear_halt(on_the_wire);
                // Whoever asked may have been ended meanwhile.
                let _ = done.send(cleared);
            }
            Order::DropSurplus { session } => {
                let bytes = match session {
                    Some(session) => self.carry.clear_of(session),
                    None => self.carry.clear(),
                };
                if bytes > 0 {
                    log::debug!("{bytes} surplus bytes of a read are thrown away");
                }
            }
            Order::Lost => self.lose(),
            Order::Wedged => self.wedge(),
            Order::Retire => self.retire(),
        }
    }

    fn push(&mut self, whose: Whose, request: IoRequest) {
        let need = request.work.need(self.line.packet());
        self.queue(whose).push(request, need);
    }

    fn cancel(&mut self, which: Which, by: &Arc<Cancellation>) {
        let mut again = 0;
        let picks = |request: &mut IoRequest| {
            let picked = which.picks(request);
            if picked {
                request.pending.stands(Standing::Cancelling);
                again += usize::from(!request.concern(by));
            }
            picked
        };
        let cancelled = self.clients.cancel(picks, Reason::Asked);
        by.found(cancelled.found - again);
        self.draining |= which == Which::All && self.clients.in_flight() > 0;
        self.line.ask_back(&cancelled.ask_back);
    }

    fn clear_halt(&mut self, on_the_wire: bool) -> Result<(), usbscan_usb::Error> {
        if on_the_wire {
            self.line.clear_halt()?;
        }
        self.own.thaw();
        self.clients.thaw();
        self.carry.clear();
        self.halted.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn retire(&mut self) {
        self.retiring = true;
        if self.phase == Phase::Working {
            self.line.ask_back_all();
        }
    }

    // ---- what goes out

    /// Answers what ended and starts what may start, until neither goes on.
    fn pump(&mut self) {
        loop {
            let together = outbox::together();
            for whose in [Whose::Own, Whose::Clients] {
                while let Some(ended) = self.queue(whose).pop() {
                    ended.item.end(ended.outcome, ended.moved);
                }
            }
            drop(together);
            self.say_when_quiet();
            if !self.start_one() {
                break;
            }
        }
        self.note_heads();
    }

    fn say_when_quiet(&mut self) {
        if !self.line.is_quiet() || !self.doubts.is_empty() {
            return;
        }
        self.draining = false;
        for quiet in self.quiet.drain(..) {
            let _ = quiet.send(());
        }
        if self.phase != Phase::Working && !self.landed_told {
            self.landed_told = true;
            self.line.cut();
            (self.news)(News::Landed);
        }
    }

    /// Starts one transfer, or serves a read from the surplus of the last. Says whether there may be more to do.
    fn start_one(&mut self) -> bool {
        let may = self.phase == Phase::Working && self.line.is_here();
        if !may || !self.doubts.is_empty() || self.shortage.again_at.is_some() {
            return false;
        }
        if let Some(start) = self.own.next() {
            return self.start(start);
        }
        // The daemon's own requests have the pipe to themselves.
        match self.gated || self.draining || !self.own.is_empty() {
            true => self.clients.hold(),
            false => self.clients.release(),
        }
        match self.clients.next() {
            Some(start) => self.start(start),
            None => false,
        }
    }

    fn start(&mut self, start: Start) -> bool {
        let Start { ticket, length, .. } = start;
        if self.role == Role::Read && !self.carry.is_empty() {
            self.serve_surplus(start);
            return true;
        }
        let Some(buffer) = self.buffer(start) else { return true };
        match self.line.submit(ticket, length, buffer) {
            Ok(()) => {
                self.shortage = Shortage::default();
                true
            }
            Err(rejected) => {
                self.rejected(start, rejected);
                true
            }
        }
    }

    fn serve_surplus(&mut self, start: Start) {
        let (bytes, short) = self.carry.take(start.length);
        let length = bytes.len();
        let pool = self.pool.clone();
        let queue = self.of_ticket(start.ticket);
        if let Some(request) = queue.item_mut(start.ticket) {
            request.arrived(Buffer::Vec(bytes), length, &pool);
        }
        let ask_back = queue.complete(start.ticket, length, Came::Completed { short });
        debug_assert!(ask_back.is_empty(), "surplus is no fault");
    }

    fn buffer(&mut self, start: Start) -> Option<Buffer> {
        let Start { ticket, offset, length } = start;
        let packet = self.line.packet();
        let pool = self.pool.clone();
        let request = self.of_ticket(ticket).item_mut(ticket)?;
        request.pending.stands(Standing::InFlight);
        Some(match &mut request.work {
            Work::Read { into, .. } => {
                let rounded = length.next_multiple_of(packet);
                // Where the memory ends inside the last packet, a buffer of ours has room for that.
                let part = into.as_ref().and_then(|region| region.part(offset..offset + rounded));
                part.map_or_else(|| pool.take(rounded).into(), Buffer::Shared)
            }
            Work::Event => pool.take(length.next_multiple_of(packet)).into(),
            Work::Write { .. } if length == 0 => Buffer::default(),
            Work::Write { data: Data::Own(data), .. } if offset == 0 && length == data.len() => {
                std::mem::take(data).into()
            }
            Work::Write { data: Data::Own(data), .. } => {
                let mut buffer = pool.take(length);
                buffer.copy_from_slice(&data[offset..offset + length]);
                buffer.into()
            }
            Work::Write { data: Data::Shared(region), .. } => {
                region.part(offset..offset + length).expect("what is written is inside it").into()
            }
            Work::Control { setup, data } => setup.buffer(data).into(),
        })
    }

    fn rejected(&mut self, start: Start, rejected: Rejected) {
        let Start { ticket, offset, length } = start;
        let Rejected { error, buffer } = rejected;
        let request = self.of_ticket(ticket).item_mut(ticket);
        if let (Some(Work::Write { data: Data::Own(data), .. }), Buffer::Vec(buffer)) =
            (request.map(|request| &mut request.work), buffer)
        {
            // It was lent whole, and is needed for the next try.
            if offset == 0 && length > 0 && data.is_empty() {
                *data = buffer;
            }
        }
        match error.kind {
            ErrorKind::NoDevice => {
                self.of_ticket(ticket).complete(ticket, 0, Came::Gone);
                self.find_lost();
            }
            ErrorKind::NoResources => self.try_again_shorter(ticket),
            _ => {
                log::warn!("{error}");
                self.of_ticket(ticket).refuse(ticket, Fault::Refused);
            }
        }
    }

    /// The memory for transfers is one budget for all programs (docs/usb-engine.md, "Lengths").
    fn try_again_shorter(&mut self, ticket: Ticket) {
        let tries = self.shortage.tries + 1;
        if tries > MEMORY_TRIES {
            self.shortage = Shortage::default();
            self.of_ticket(ticket).refuse(ticket, Fault::NoResources);
            return;
        }
        let step = (self.of_ticket(ticket).step() / 2).max(SHORTEST.next_multiple_of(self.line.packet()));
        self.of_ticket(ticket).put_back(ticket, step);
        let again_at = Some(Instant::now() + MEMORY_PAUSE * 2_u32.pow(tries));
        self.shortage = Shortage { tries, again_at };
        log::debug!("no memory for a transfer; trying {step} bytes");
    }
}

impl Drop for Stream {
    /// What is still queued ends as cancelled, as its answers say when they are dropped.
    fn drop(&mut self) {
        for queue in [&mut self.own, &mut self.clients] {
            queue.cancel(|_| true, Reason::Asked);
            while let Some(ended) = queue.pop() {
                ended.item.end(Outcome::Cancelled, ended.moved);
            }
        }
    }
}

//! The worker of a pipe that moves bytes: bulk in, bulk out, control. Its thread `pipe usbscanN/EE` alone submits,
//! cancels and frees. It waits in one place, for orders, completions and the next moment at which something is due.

mod completion;
mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use usbscan_usb::{Buffer, Completion, ErrorKind, Rejected, Setup};

use super::endpoint_io::{Completed, EndpointIo};
use super::orders::{CancelTarget, Order, PipeEvent, Role};
use super::worker_loop;
use crate::outcome::{Fault, Outcome};
use crate::payload::{Pool, Surplus};
use crate::pipe::activity::Activity;
use crate::pipe::cancellation::Cancellation;
use crate::pipe::queue::{Queue, Reason, Rules, Start, Ticket, TransferOutcome};
use crate::pipe::request::{Data, IoRequest, RequestState, Work};
use crate::reply::outbox;

/// Transfers are cut no shorter than this when the system has no memory for longer ones.
const SHORTEST: usize = 16 * 1024;
/// How often a transfer is tried again for want of memory, the pause before it doubling each time.
const MEMORY_TRIES: u32 = 5;
const MEMORY_PAUSE: Duration = Duration::from_millis(10);
/// Tickets of the daemon's own requests begin here.
const OWN: u64 = 1 << 63;

/// How a pipe works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PipeSettings {
    /// Transfers in flight at once.
    pub depth: usize,
    /// Bytes of the longest transfer.
    pub max_transfer: usize,
}

/// Everything that the worker is given at its start.
pub(super) struct TransferWorkerParts {
    pub role: Role,
    pub io: EndpointIo,
    pub settings: PipeSettings,
    pub pool: Pool,
    pub orders: Receiver<Order>,
    pub notify: Box<dyn Fn(PipeEvent) + Send>,
    pub halted: Arc<AtomicBool>,
    pub activity: Arc<Activity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WorkerState {
    Working,
    Lost,
    HostStuck,
}

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

pub(super) struct TransferWorker {
    role: Role,
    io: EndpointIo,
    own: Queue<IoRequest>,
    clients: Queue<IoRequest>,
    heads: [Head; 2],
    /// Bytes beyond what a read asked for: transfers IN are rounded up to whole packets. The next read gets them.
    surplus: Surplus,
    pool: Pool,
    /// Transfers that ended in an error which may have been an unplugging, since when.
    in_disconnect_grace: Vec<Completed>,
    disconnect_grace_ends: Option<Instant>,
    shortage: Shortage,
    /// A cancel of everybody's is under way: nothing is started until what is in flight has come back.
    draining: bool,
    /// The supervisor has closed the gate.
    gated: bool,
    quiet: Vec<Sender<()>>,
    retiring: bool,
    state: WorkerState,
    all_returned_told: bool,
    orders: Receiver<Order>,
    notify: Box<dyn Fn(PipeEvent) + Send>,
    halted: Arc<AtomicBool>,
    activity: Arc<Activity>,
}

impl TransferWorker {
    pub fn new(parts: TransferWorkerParts) -> TransferWorker {
        let TransferWorkerParts { role, io, settings, pool, orders, notify, halted, activity } = parts;
        let rules = |first| Rules {
            depth: settings.depth,
            max_transfer: match role {
                Role::Control => usize::from(Setup::MAX_DATA),
                // A whole number of packets, so that only a request's last transfer is rounded up.
                _ => (settings.max_transfer / io.packet()).max(1) * io.packet(),
            },
            packet: if role == Role::Read { io.packet() } else { 1 },
            freezes: role != Role::Control,
            first: Ticket(first),
        };
        TransferWorker {
            own: Queue::new(rules(OWN)),
            clients: Queue::new(rules(1)),
            heads: Default::default(),
            surplus: Surplus::default(),
            pool,
            in_disconnect_grace: Vec::new(),
            disconnect_grace_ends: None,
            shortage: Shortage::default(),
            draining: false,
            gated: false,
            quiet: Vec::new(),
            retiring: false,
            state: WorkerState::Working,
            all_returned_told: false,
            role,
            io,
            orders,
            notify,
            halted,
            activity,
        }
    }

    /// Runs until it is retired and nothing is in flight.
    pub fn run(mut self) {
        worker_loop::run(&mut self);
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

    fn handle_order(&mut self, order: Order) {
        match order {
            Order::Io(request) => self.push(Whose::Clients, *request),
            Order::Own(request) => self.push(Whose::Own, *request),
            Order::Cancel { which, by } => self.cancel(which, &by),
            Order::Quiesce { cancel, quiet } => {
                self.gated = true;
                if let Some(by) = cancel {
                    self.cancel(CancelTarget::All, &by);
                }
                // On a host-stuck pipe `quiet` is dropped at once, which says so.
                if self.state != WorkerState::HostStuck {
                    self.quiet.push(quiet);
                }
            }
            Order::Resume => self.gated = false,
            Order::ClearHalt { on_the_wire, done } => {
                let cleared = self.clear_halt(on_the_wire);
                // The supervisor may have ended meanwhile.
                let _ = done.send(cleared);
            }
            Order::DropSurplus { session } => {
                let bytes = match session {
                    Some(session) => self.surplus.clear_of(session),
                    None => self.surplus.clear(),
                };
                if bytes > 0 {
                    log::debug!("{bytes} surplus bytes of a read are thrown away");
                }
            }
            Order::Lost => self.lose(),
            Order::HostStuck => self.host_stuck(),
            Order::CancelOwn => {
                let cancelled = self.own.cancel(|_| true, Reason::Requested);
                self.io.cancel(&cancelled.to_cancel);
            }
            Order::Replace { endpoint, completions, tap } => self.io.replace(endpoint, completions, tap),
            Order::Retire => self.retire(),
        }
    }

    fn push(&mut self, whose: Whose, request: IoRequest) {
        let need = request.work.need(self.io.packet(), request.libusb_semantics);
        self.queue(whose).push(request, need);
    }

    fn cancel(&mut self, which: CancelTarget, by: &Arc<Cancellation>) {
        let mut again = 0;
        let picks = |request: &mut IoRequest| {
            let picked = which.picks(request);
            if picked {
                request.pending.set_state(RequestState::Cancelling);
                again += usize::from(!request.concern(by));
            }
            picked
        };
        let cancelled = self.clients.cancel(picks, Reason::Requested);
        by.found(cancelled.found - again);
        self.draining |= which == CancelTarget::All && self.clients.in_flight() > 0;
        self.io.cancel(&cancelled.to_cancel);
    }

    fn clear_halt(&mut self, on_the_wire: bool) -> Result<(), usbscan_usb::Error> {
        if on_the_wire {
            self.io.clear_halt()?;
        }
        self.own.thaw();
        self.clients.thaw();
        self.surplus.clear();
        self.halted.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn retire(&mut self) {
        self.retiring = true;
        if self.state == WorkerState::Working {
            self.io.cancel_all_in_flight();
        }
    }

    // ---- what goes out

    /// Answers what ended and starts what may start, until neither goes on.
    fn advance(&mut self) {
        loop {
            let batch = outbox::batch();
            for whose in [Whose::Own, Whose::Clients] {
                while let Some(ended) = self.queue(whose).pop() {
                    ended.item.end(ended.outcome, ended.moved);
                }
            }
            drop(batch);
            self.say_when_quiet();
            if !self.start_one() {
                break;
            }
        }
        self.note_heads();
    }

    fn say_when_quiet(&mut self) {
        if !self.io.is_quiet() || !self.in_disconnect_grace.is_empty() {
            return;
        }
        self.draining = false;
        for quiet in self.quiet.drain(..) {
            let _ = quiet.send(());
        }
        if self.state != WorkerState::Working && !self.all_returned_told {
            self.all_returned_told = true;
            self.io.abandon();
            (self.notify)(PipeEvent::AllReturned);
        }
    }

    /// Starts one transfer, or serves a read from the surplus of the last. Says whether there may be more to do.
    fn start_one(&mut self) -> bool {
        let may = self.state == WorkerState::Working && self.io.is_available();
        if !may || !self.in_disconnect_grace.is_empty() || self.shortage.again_at.is_some() {
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
        if self.role == Role::Read && !self.surplus.is_empty() {
            self.serve_surplus(start);
            return true;
        }
        let Some(buffer) = self.buffer(start) else { return true };
        match self.io.submit(ticket, length, buffer) {
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
        let (bytes, short) = self.surplus.take(start.length);
        let length = bytes.len();
        let pool = self.pool.clone();
        let queue = self.of_ticket(start.ticket);
        if let Some(request) = queue.item_mut(start.ticket) {
            request.arrived(Buffer::Vec(bytes), length, &pool);
        }
        let to_cancel = queue.complete(start.ticket, length, TransferOutcome::Completed { short });
        debug_assert!(to_cancel.is_empty(), "surplus is no fault");
    }

    fn buffer(&mut self, start: Start) -> Option<Buffer> {
        let Start { ticket, offset, length } = start;
        let packet = self.io.packet();
        let pool = self.pool.clone();
        let request = self.of_ticket(ticket).item_mut(ticket)?;
        request.pending.set_state(RequestState::InFlight);
        Some(match &mut request.work {
            Work::Read { into, .. } => {
                let rounded = if request.libusb_semantics { length } else { length.next_multiple_of(packet) };
                // Where the memory ends inside the last packet, a buffer of ours has room for that.
                let part = into.as_ref().and_then(|region| region.subregion(offset..offset + rounded));
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
                region.subregion(offset..offset + length).expect("what is written is inside it").into()
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
                self.of_ticket(ticket).complete(ticket, 0, TransferOutcome::Gone);
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
        let max_transfer = (self.of_ticket(ticket).max_transfer() / 2).max(SHORTEST.next_multiple_of(self.io.packet()));
        self.of_ticket(ticket).put_back(ticket, max_transfer);
        let again_at = Some(Instant::now() + MEMORY_PAUSE * 2_u32.pow(tries));
        self.shortage = Shortage { tries, again_at };
        log::debug!("no memory for a transfer; trying {max_transfer} bytes");
    }
}

impl worker_loop::Worker for TransferWorker {
    fn io(&mut self) -> &mut EndpointIo {
        &mut self.io
    }

    fn orders(&self) -> &Receiver<Order> {
        &self.orders
    }

    fn advance(&mut self) {
        TransferWorker::advance(self);
    }

    fn has_ended(&self) -> bool {
        self.retiring && self.io.is_quiet() && self.in_disconnect_grace.is_empty()
    }

    fn handle_order(&mut self, order: Order) {
        TransferWorker::handle_order(self, order);
    }

    fn transfer_completed(&mut self, completion: Completion) {
        self.completed(completion);
    }

    fn device_gone(&mut self) {
        self.find_lost();
    }

    fn next_due(&self) -> Option<Instant> {
        TransferWorker::next_due(self)
    }

    fn on_timer(&mut self, now: Instant) {
        TransferWorker::on_timer(self, now);
    }
}

impl Drop for TransferWorker {
    /// What is still queued ends as cancelled, as its answers say when they are dropped.
    fn drop(&mut self) {
        for queue in [&mut self.own, &mut self.clients] {
            queue.cancel(|_| true, Reason::Requested);
            while let Some(ended) = queue.pop() {
                ended.item.end(Outcome::Cancelled, ended.moved);
            }
        }
    }
}

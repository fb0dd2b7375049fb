//! A plugged device and the transfers that wait for it: what a host controller does, as a state
//! machine. No threads, no clock, no I/O: the caller says what time it is and takes the events.
//!
//! ```text
//!  submit ─▶ queue of its endpoint ─▶ head: step() moves packets ─▶ Event::Completed, once
//!                 │                                                      ▲
//!                 └── cancel / halt / reset / unplug ────────────────────┘
//! ```
//!
//! Rules taken from Linux, where they were seen (docs/usb-engine.md): a short packet ends a
//! transfer and the next one gets what follows; a stall ends everything queued on that endpoint, each in
//! turn, and everything submitted until the halt is cleared; a device packet larger than what is left of a
//! buffer fills it, loses the rest and ends in an overflow; a cancelled transfer keeps what had arrived.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use usbscan_usb::{Buffer, Direction, EndpointAddress, InterfaceNumber, Setup, TransferStatus, TransferType};

use crate::standard::{self, StandardRequest};
use crate::{AfterReset, Control, Descriptors, In, Model, Out, Unlink};

/// The name of a transfer on one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UrbId(pub u64);

/// A transfer on its way to the device.
#[derive(Debug)]
pub struct Urb {
    /// Unique among those in flight on the device.
    pub id: UrbId,
    /// Where it goes; [`EndpointAddress::CONTROL`] for control.
    pub endpoint: EndpointAddress,
    /// The bytes to send or the room to fill. Control: [`Setup::buffer`], whose length must fit the setup's, never shared.
    pub buffer: Buffer,
}

/// A transfer given back.
#[derive(Debug)]
pub struct Completed {
    pub id: UrbId,
    pub endpoint: EndpointAddress,
    pub buffer: Buffer,
    /// Data bytes moved; a setup packet is not counted.
    pub actual: usize,
    pub status: TransferStatus,
}

#[derive(Debug)]
pub enum Event {
    /// A transfer came back. Exactly one for each that was submitted.
    Completed(Completed),
    /// The device is gone; all its transfers came back before this. Told once.
    Unplugged,
    /// In place of the last: the device left in a port reset, and is to be plugged in again at the same port.
    Moved(Moved),
}

/// A device that has left in a port reset, to be enumerated again under another USB address.
pub struct Moved {
    /// The device, as it was.
    pub model: Box<dyn Model>,
    /// How long it is away.
    pub away: Duration,
}

impl std::fmt::Debug for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moved").field("away", &self.away).finish_non_exhaustive()
    }
}

/// What is left on a link whose device has moved.
struct Absent(Descriptors);

impl Model for Absent {
    fn descriptors(&self) -> &Descriptors {
        &self.0
    }

    fn bulk_out(&mut self, _now: Instant, _endpoint: EndpointAddress, _packet: &[u8]) -> Out {
        Out::Gone
    }

    fn bulk_in(&mut self, _now: Instant, _endpoint: EndpointAddress, _room: &mut [u8]) -> In {
        In::Gone
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkProgress {
    /// There is more to move: step again.
    More,
    /// Nothing to do before this moment (`None`: ever), unless something is asked.
    Wait(Option<Instant>),
}

/// Bytes moved in one step, so that a cancel never waits for a whole page.
const STEP: usize = 64 * 1024;

/// A model that asks for "now" again and again would spin; it is asked no oftener than this.
const SOONEST: Duration = Duration::from_micros(100);

#[derive(Debug)]
struct PendingUrb {
    urb: Urb,
    actual: usize,
    /// A control request that the device took and never answers.
    hung: bool,
}

impl PendingUrb {
    fn completed(self, status: TransferStatus) -> Event {
        let Urb { id, endpoint, buffer } = self.urb;
        Event::Completed(Completed { id, endpoint, buffer, actual: self.actual, status })
    }
}

#[derive(Debug)]
struct Queue {
    address: EndpointAddress,
    transfer_type: TransferType,
    packet: usize,
    halted: bool,
    pending: VecDeque<PendingUrb>,
    /// Cancelled, and not given back yet by a slow controller; `None`: not before unplugging.
    unlinking: Vec<(Option<Instant>, PendingUrb)>,
}

/// How one attempt on the head of a queue went.
enum Attempt {
    Progress,
    Waiting(Option<Instant>),
    Ended(TransferStatus),
    Gone,
}

/// A device and its transfers.
pub struct Link {
    model: Box<dyn Model>,
    descriptors: Descriptors,
    queues: Vec<Queue>,
    /// The settings of interfaces that are not in setting 0.
    alternates: Vec<(InterfaceNumber, u8)>,
    plugged: bool,
    events: VecDeque<Event>,
    /// Between the model and memory that it can't be given: what is shared, and what is less than a packet. At most a step.
    bounce: Vec<u8>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("queues", &self.queues).field("plugged", &self.plugged).finish_non_exhaustive()
    }
}

impl Link {
    pub fn new(model: Box<dyn Model>) -> Link {
        let descriptors = model.descriptors().clone();
        let queue = |address, transfer_type, packet: u16| Queue {
            address,
            transfer_type,
            packet: usize::from(packet.max(1)),
            halted: false,
            pending: VecDeque::new(),
            unlinking: Vec::new(),
        };
        let mut queues = vec![queue(
            EndpointAddress::CONTROL,
            TransferType::Control,
            u16::from(descriptors.device.max_packet_size_0),
        )];
        for endpoint in descriptors.configuration.interfaces.iter().flat_map(|i| &i.endpoints) {
            if queues.iter().all(|q| q.address != endpoint.address) {
                queues.push(queue(endpoint.address, endpoint.transfer_type, endpoint.max_packet_size));
            }
        }
        Link {
            model,
            descriptors,
            queues,
            alternates: Vec::new(),
            plugged: true,
            events: VecDeque::new(),
            bounce: Vec::new(),
        }
    }

    pub fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Whether the device is still there.
    pub fn is_plugged(&self) -> bool {
        self.plugged
    }

    /// The next thing that happened, oldest first.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Queues a transfer. It comes back at once if the device is gone, its endpoint is halted or
    /// does not exist, or a control request's buffer does not fit its setup packet.
    pub fn submit(&mut self, urb: Urb) {
        let plugged = self.plugged;
        let queue = self.queues.iter_mut().find(|q| q.address == urb.endpoint);
        let pending = PendingUrb { urb, actual: 0, hung: false };
        match queue {
            _ if !plugged => self.events.push_back(pending.completed(TransferStatus::NoDevice)),
            None => self.events.push_back(pending.completed(TransferStatus::Error)),
            Some(queue) if queue.halted => self.events.push_back(pending.completed(TransferStatus::Stall)),
            Some(_) if pending.urb.endpoint.is_control() && setup_of(&pending.urb.buffer).is_none() => {
                self.events.push_back(pending.completed(TransferStatus::Error));
            }
            Some(queue) => queue.pending.push_back(pending),
        }
    }

    /// Asks for a transfer back; does nothing when it is not in flight.
    pub fn cancel(&mut self, now: Instant, id: UrbId) {
        let unlink = self.model.unlink();
        for queue in &mut self.queues {
            let Some(at) = queue.pending.iter().position(|p| p.urb.id == id) else { continue };
            let Some(pending) = queue.pending.remove(at) else { continue };
            match unlink {
                Unlink::Prompt => self.events.push_back(pending.completed(TransferStatus::Cancelled)),
                Unlink::After(delay) => queue.unlinking.push((Some(now + delay), pending)),
                Unlink::Never => queue.unlinking.push((None, pending)),
            }
            return;
        }
    }

    /// Clears a halt, on the device and on the host's side.
    pub fn clear_halt(&mut self, endpoint: EndpointAddress) {
        if let Some(queue) = self.queues.iter_mut().find(|q| q.address == endpoint) {
            queue.halted = false;
            self.model.clear_halt(endpoint);
        }
    }

    /// Gives back all that is pending on the given endpoints as completed with what it has: what
    /// Linux does when an alternate setting is chosen under a transfer.
    pub fn flush(&mut self, endpoints: &[EndpointAddress]) {
        for queue in self.queues.iter_mut().filter(|q| endpoints.contains(&q.address)) {
            queue.halted = false;
            self.events.extend(queue.pending.drain(..).map(|p| p.completed(TransferStatus::Completed)));
        }
    }

    /// Chooses an alternate setting: what is pending on the interface's endpoints comes back, see [`Link::flush`]; halts
    /// end.
    pub fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) {
        let of_interface = self.descriptors.configuration.interfaces.iter().filter(|i| i.number == interface);
        let endpoints: Vec<EndpointAddress> = of_interface.flat_map(|i| &i.endpoints).map(|e| e.address).collect();
        self.flush(&endpoints);
        self.alternates.retain(|(number, _)| *number != interface);
        if alternate > 0 {
            self.alternates.push((interface, alternate));
        }
        self.model.set_alternate(interface, alternate);
    }

    /// The alternate setting in which an interface is.
    pub fn alternate(&self, interface: InterfaceNumber) -> u8 {
        self.alternates.iter().find(|(number, _)| *number == interface).map_or(0, |(_, alternate)| *alternate)
    }

    /// Resets the bus: what is pending comes back as "no device", halts end, every interface is in setting 0, the device
    /// starts afresh, or leaves.
    pub fn reset(&mut self) {
        self.give_back_all();
        for queue in &mut self.queues {
            queue.halted = false;
        }
        self.alternates.clear();
        if !self.plugged {
            return;
        }
        self.model.reset();
        match self.model.after_reset() {
            AfterReset::Stays => {}
            AfterReset::Leaves => self.unplug(),
            AfterReset::Moves(away) => {
                self.plugged = false;
                let absent: Box<dyn Model> = Box::new(Absent(self.descriptors.clone()));
                let model = std::mem::replace(&mut self.model, absent);
                self.events.push_back(Event::Moved(Moved { model, away }));
            }
        }
    }

    pub fn unplug(&mut self) {
        if !self.plugged {
            return;
        }
        self.plugged = false;
        self.give_back_all();
        self.events.push_back(Event::Unplugged);
    }

    fn give_back_all(&mut self) {
        for queue in &mut self.queues {
            let late = queue.unlinking.drain(..).map(|(_, p)| p);
            self.events.extend(late.chain(queue.pending.drain(..)).map(|p| p.completed(TransferStatus::NoDevice)));
        }
    }

    /// Moves some bytes. Call again while it says [`LinkProgress::More`]; after that when its time comes, or
    /// after anything was asked of the link.
    pub fn step(&mut self, now: Instant) -> LinkProgress {
        self.give_back_unlinked(now);
        let mut next: Option<Instant> = None;
        let mut moved = false;
        for at in 0..self.queues.len() {
            next = earlier(next, self.queues[at].unlinking.iter().filter_map(|(due, _)| *due).min());
            if self.queues[at].pending.is_empty() || !self.queues[at].unlinking.is_empty() {
                continue;
            }
            match self.attempt(at, now) {
                Attempt::Progress => moved = true,
                Attempt::Waiting(until) => next = earlier(next, until.map(|t| t.max(now + SOONEST))),
                Attempt::Ended(status) => {
                    self.end_head(at, status);
                    moved = true;
                }
                Attempt::Gone => {
                    self.unplug();
                    return LinkProgress::More;
                }
            }
        }
        if moved { LinkProgress::More } else { LinkProgress::Wait(next) }
    }

    fn give_back_unlinked(&mut self, now: Instant) {
        for queue in &mut self.queues {
            while let Some(at) = queue.unlinking.iter().position(|(due, _)| due.is_some_and(|due| due <= now)) {
                let (_, pending) = queue.unlinking.remove(at);
                self.events.push_back(pending.completed(TransferStatus::Cancelled));
            }
        }
    }

    /// Gives the head of a queue back; with a stall, all behind it too, and the endpoint is halted.
    fn end_head(&mut self, at: usize, status: TransferStatus) {
        let queue = &mut self.queues[at];
        let halts = status == TransferStatus::Stall && queue.transfer_type != TransferType::Control;
        queue.halted |= halts;
        let ending = if halts { queue.pending.len() } else { 1 };
        self.events.extend(queue.pending.drain(..ending).map(|p| p.completed(status)));
    }

    fn attempt(&mut self, at: usize, now: Instant) -> Attempt {
        let queue = &self.queues[at];
        match (queue.transfer_type, queue.address.direction()) {
            (TransferType::Control, _) => self.attempt_control(at, now),
            (_, Direction::In) => self.attempt_in(at, now),
            (_, Direction::Out) => self.attempt_out(at, now),
        }
    }

    fn attempt_in(&mut self, at: usize, now: Instant) -> Attempt {
        let queue = &mut self.queues[at];
        let (address, packet) = (queue.address, queue.packet);
        let Some(head) = queue.pending.front_mut() else { return Attempt::Waiting(None) };
        let mut ask = |buffer: &mut [u8]| match queue.transfer_type {
            TransferType::Interrupt => self.model.interrupt_in(now, address, buffer),
            _ => self.model.bulk_in(now, address, buffer),
        };
        let left = head.urb.buffer.len() - head.actual;
        let whole = left.min(STEP.max(packet)) / packet * packet;
        // What is left of a buffer may be less than a packet; the device knows nothing of that.
        let asked = whole.max(packet);
        let answer = match &mut head.urb.buffer {
            Buffer::Vec(bytes) if whole > 0 => ask(&mut bytes[head.actual..head.actual + whole]),
            buffer => {
                let bounce = room_in(&mut self.bounce, asked);
                let answer = ask(bounce);
                if let In::Data(n) = answer {
                    buffer.put(head.actual, &bounce[..n.min(asked)]);
                }
                answer
            }
        };
        match answer {
            In::Data(n) => {
                let n = n.min(asked);
                let surplus = n > left;
                let n = n.min(left);
                head.actual += n;
                let full = head.actual == head.urb.buffer.len();
                match () {
                    () if surplus => Attempt::Ended(TransferStatus::Overflow),
                    () if n == 0 || n % packet != 0 || full => Attempt::Ended(TransferStatus::Completed),
                    () => Attempt::Progress,
                }
            }
            In::Nak => Attempt::Waiting(None),
            In::NakUntil(until) => Attempt::Waiting(Some(until)),
            In::Stall => Attempt::Ended(TransferStatus::Stall),
            In::Babble => Attempt::Ended(TransferStatus::Overflow),
            In::Garbled => Attempt::Ended(TransferStatus::Error),
            In::Gone => Attempt::Gone,
        }
    }

    fn attempt_out(&mut self, at: usize, now: Instant) -> Attempt {
        let queue = &mut self.queues[at];
        let Some(head) = queue.pending.front_mut() else { return Attempt::Waiting(None) };
        let length = head.urb.buffer.len();
        let mut moved = 0;
        while moved < STEP {
            let left = length - head.actual;
            let mut bytes = match &head.urb.buffer {
                Buffer::Vec(bytes) => &bytes[head.actual..][..left.min((STEP - moved).next_multiple_of(queue.packet))],
                // A device that takes little must not make us copy much again and again: as much more as it has taken.
                shared => {
                    let bounce = room_in(&mut self.bounce, left.min(moved.max(queue.packet)));
                    shared.copy_to(head.actual, bounce);
                    &*bounce
                }
            };
            loop {
                let (packet, rest) = bytes.split_at(bytes.len().min(queue.packet));
                match self.model.bulk_out(now, queue.address, packet) {
                    Out::Ack => {
                        head.actual += packet.len();
                        moved += packet.len();
                    }
                    Out::Nak | Out::NakUntil(_) if moved > 0 => return Attempt::Progress,
                    Out::Nak => return Attempt::Waiting(None),
                    Out::NakUntil(until) => return Attempt::Waiting(Some(until)),
                    Out::Stall => return Attempt::Ended(TransferStatus::Stall),
                    Out::Gone => return Attempt::Gone,
                }
                if head.actual == length {
                    return Attempt::Ended(TransferStatus::Completed);
                }
                if rest.is_empty() {
                    break;
                }
                bytes = rest;
            }
        }
        Attempt::Progress
    }

    fn attempt_control(&mut self, at: usize, now: Instant) -> Attempt {
        let Some(head) = self.queues[at].pending.front() else { return Attempt::Waiting(None) };
        if head.hung {
            return Attempt::Waiting(None);
        }
        let Some((setup, data)) = setup_of(&head.urb.buffer) else { return Attempt::Ended(TransferStatus::Error) };
        let answer = match standard::read(&self.descriptors, setup) {
            StandardRequest::Device => self.model.control(now, setup, data),
            StandardRequest::Answer(answer) => answer,
            own => self.carry_out(own),
        };
        let Some(head) = self.queues[at].pending.front_mut() else { return Attempt::Waiting(None) };
        match answer {
            Control::Done(answer) => {
                head.actual = finish_control(&mut head.urb.buffer, setup, &answer);
                Attempt::Ended(TransferStatus::Completed)
            }
            Control::Stall => Attempt::Ended(TransferStatus::Stall),
            Control::Hang => {
                head.hung = true;
                Attempt::Waiting(None)
            }
            Control::NakUntil(until) => Attempt::Waiting(Some(until)),
            Control::Gone => Attempt::Gone,
        }
    }

    fn carry_out(&mut self, request: StandardRequest) -> Control {
        match request {
            StandardRequest::ClearHalt(endpoint) if self.has(endpoint) => {
                self.clear_halt(endpoint);
                Control::Done(Vec::new())
            }
            StandardRequest::SetHalt(endpoint) if self.has(endpoint) => {
                let at = self.queues.iter().position(|q| q.address == endpoint).unwrap_or(0);
                if at > 0 {
                    self.queues[at].halted = true;
                    self.events.extend(self.queues[at].pending.drain(..).map(|p| p.completed(TransferStatus::Stall)));
                }
                Control::Done(Vec::new())
            }
            StandardRequest::EndpointStatus(endpoint) if self.has(endpoint) => {
                let halted = self.queues.iter().any(|q| q.address == endpoint && q.halted);
                Control::Done(vec![u8::from(halted), 0])
            }
            StandardRequest::SetInterface(interface, alternate) => {
                self.set_alternate(interface, alternate);
                Control::Done(Vec::new())
            }
            StandardRequest::GetInterface(interface) => Control::Done(vec![self.alternate(interface)]),
            StandardRequest::Configure => {
                self.alternates.clear();
                for address in self.queues.iter().skip(1).map(|q| q.address).collect::<Vec<_>>() {
                    self.clear_halt(address);
                }
                Control::Done(Vec::new())
            }
            _ => Control::Stall,
        }
    }

    /// Endpoint zero goes by two addresses in requests about endpoints.
    fn has(&self, endpoint: EndpointAddress) -> bool {
        endpoint.is_control() || self.queues.iter().any(|q| q.address == endpoint)
    }
}

/// So many bytes, which are made when they are needed first.
fn room_in(bounce: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if bounce.len() < length {
        bounce.resize(length, 0);
    }
    &mut bounce[..length]
}

/// The setup packet at the front of a control buffer and the bytes behind it; `None` when they don't fit.
fn setup_of(buffer: &Buffer) -> Option<(Setup, &[u8])> {
    let (head, data) = buffer.as_slice()?.split_first_chunk::<{ Setup::BYTES }>()?;
    let setup = Setup::from_bytes(*head);
    if data.len() != usize::from(setup.length) {
        return None;
    }
    Some((setup, if setup.direction() == Direction::In { &[] } else { data }))
}

/// Puts the answer of an IN request into the buffer; returns how many data bytes moved.
fn finish_control(buffer: &mut Buffer, setup: Setup, answer: &[u8]) -> usize {
    match setup.direction() {
        Direction::Out => buffer.len() - Setup::BYTES,
        Direction::In => buffer.put(Setup::BYTES, answer),
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;

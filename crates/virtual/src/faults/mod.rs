//! Faults around any model: silence, stalls, rubbish, slowness, falling off the bus, at a given byte and
//! the same way every time. A wrapper that is a model itself; no thread, no clock.
//!
//! Besides, what a port reset does to the device, and alternate settings for a device that has none.
//!
//! A fault "at byte N" hits the packet that holds byte N (counted from 0) of all that the device has
//! sent on bulk-in since it was plugged in (or taken on bulk-out), and happens once. The packet that was
//! hit is kept, and sent after the fault is over; with a babble it is lost.

mod plan;

use std::time::{Duration, Instant};

use usbscan_usb::{EndpointAddress, InterfaceDescriptor, InterfaceNumber, Setup, SetupKind};

use crate::{AfterReset, Control, Descriptors, In, Model, Out, Unlink};

pub use plan::{Fault, FaultError, Plan, ResetEffect, chaos};
pub(crate) use plan::{falls_off, parse_bytes};

/// What a fault at a byte does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing more is sent (taken): for so long, or until a bus reset.
    Silence(Option<Duration>),
    Stall,
    /// A packet that is too large.
    Babble,
    /// Rubbish on the bus.
    Garble,
    /// The device falls off the bus.
    Unplug,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    Until(Instant),
    UntilReset,
}

impl Silence {
    fn new(now: Instant, time: Option<Duration>) -> Silence {
        time.map_or(Silence::UntilReset, |time| Silence::Until(now + time))
    }

    fn is_over(self, now: Instant) -> bool {
        matches!(self, Silence::Until(until) if until <= now)
    }
}

pub struct Faulty {
    model: Box<dyn Model>,
    plan: Plan,
    /// With alternate settings, where the plan wants them.
    descriptors: Descriptors,
    /// A slow reset has begun, and ends so much after the next time that the device hears what time it is.
    starting: Option<Duration>,
    awake_at: Option<Instant>,
    /// Bytes that have gone over bulk-in, and over bulk-out.
    sent: u64,
    taken: u64,
    requests: u64,
    silent_in: Option<Silence>,
    silent_out: Option<Silence>,
    /// Taken from the model and not sent yet.
    held: Vec<u8>,
    halted: Vec<EndpointAddress>,
    /// When the next byte may go, at a limited rate.
    free_at: Option<Instant>,
    random: Random,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty").field("plan", &self.plan).field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Faulty {
    /// Puts faults around a model.
    pub fn new(model: Box<dyn Model>, plan: Plan) -> Faulty {
        let random = Random::new(plan.short.unwrap_or(0));
        let mut descriptors = model.descriptors().clone();
        if plan.alternate {
            add_alternate_settings(&mut descriptors);
        }
        Faulty {
            model,
            plan,
            descriptors,
            starting: None,
            awake_at: None,
            sent: 0,
            taken: 0,
            requests: 0,
            silent_in: None,
            silent_out: None,
            held: Vec::new(),
            halted: Vec::new(),
            free_at: None,
            random,
        }
    }

    /// The moment at which the device answers again after a slow reset, if that is to come.
    fn asleep_until(&mut self, now: Instant) -> Option<Instant> {
        if let Some(time) = self.starting.take() {
            self.awake_at = Some(now + time);
        }
        self.awake_at = self.awake_at.filter(|at| *at > now);
        self.awake_at
    }

    fn packet_size(&self, endpoint: EndpointAddress) -> usize {
        let endpoints = self.model.descriptors().configuration.interfaces.iter().flat_map(|i| &i.endpoints);
        let found = endpoints.filter(|e| e.address == endpoint).map(|e| usize::from(e.max_packet_size)).next();
        found.filter(|size| *size > 0).unwrap_or(64)
    }

    /// How much may be asked for at once: the rate's share of 10 ms.
    fn room_at_this_rate(&self, buffer: usize, packet: usize) -> usize {
        let Some(rate) = self.plan.bytes_per_second else { return buffer };
        let share = usize::try_from(rate / 100).unwrap_or(usize::MAX) / packet * packet;
        buffer.min(share.max(packet))
    }

    fn count_sent(&mut self, now: Instant, n: usize) {
        self.sent += n as u64;
        if let Some(rate) = self.plan.bytes_per_second {
            let takes = Duration::from_nanos((n as u64).saturating_mul(1_000_000_000) / rate.max(1));
            self.free_at = Some(self.free_at.map_or(now, |at| at.max(now)) + takes);
        }
    }

    /// Bytes from what is held, else from the model; these have not been sent yet.
    fn draw(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if self.held.is_empty() {
            return self.model.bulk_in(now, endpoint, buffer);
        }
        let n = self.held.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.held[..n]);
        self.held.drain(..n);
        In::Data(n)
    }

    /// The next fault on bulk-in if the packet about to go holds its byte: draws that packet and keeps it.
    fn strike(&mut self, now: Instant, endpoint: EndpointAddress, packet: usize) -> Result<In, Effect> {
        let mut bytes = vec![0; packet];
        let answer = self.draw(now, endpoint, &mut bytes);
        let In::Data(n) = answer else { return Ok(answer) };
        bytes.truncate(n);
        self.held.splice(..0, bytes);
        match self.plan.take_in(self.sent..self.sent + n as u64) {
            Some(effect) => Err(effect),
            None => Ok(answer),
        }
    }

    fn suffer(&mut self, now: Instant, endpoint: EndpointAddress, packet: usize, effect: Effect) -> In {
        match effect {
            Effect::Silence(time) => {
                self.silent_in = Some(Silence::new(now, time));
                time.map_or(In::Nak, |time| In::NakUntil(now + time))
            }
            Effect::Stall => {
                self.halted.push(endpoint);
                In::Stall
            }
            Effect::Babble => {
                let lost = self.held.len().min(packet);
                self.held.drain(..lost);
                self.count_sent(now, lost);
                In::Babble
            }
            Effect::Garble => In::Garbled,
            Effect::Unplug => In::Gone,
        }
    }

    /// Cuts what is about to go at a place of its own choosing, so that it ends in a short packet.
    fn cut(&mut self, packet: usize, buffer: &[u8]) -> usize {
        let n = buffer.len();
        if self.plan.short.is_none() || n < 2 {
            return n;
        }
        let mut at = 1 + (self.random.next() % (n as u64 - 1)) as usize;
        if at % packet == 0 {
            at -= 1;
        }
        self.held.splice(..0, buffer[at..].iter().copied());
        at
    }
}

impl Model for Faulty {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control(&mut self, now: Instant, setup: Setup, data: &[u8]) -> Control {
        if let Some(until) = self.asleep_until(now) {
            return Control::NakUntil(until);
        }
        if setup.kind() == SetupKind::Standard {
            return self.model.control(now, setup, data);
        }
        self.requests += 1;
        let hangs_by_now = self.plan.hang_from.is_some_and(|at| self.sent > at);
        if self.plan.hang_request == Some(self.requests) || hangs_by_now {
            return Control::Hang;
        }
        self.model.control(now, setup, data)
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        if let Some(until) = self.asleep_until(now) {
            return Out::NakUntil(until);
        }
        if self.halted.contains(&endpoint) {
            return Out::Stall;
        }
        match self.silent_out.filter(|silence| !silence.is_over(now)) {
            Some(Silence::Until(until)) => return Out::NakUntil(until),
            Some(Silence::UntilReset) => return Out::Nak,
            None => self.silent_out = None,
        }
        match self.plan.take_out(self.taken..self.taken + packet.len() as u64) {
            Some(Effect::Silence(time)) => {
                self.silent_out = Some(Silence::new(now, time));
                return time.map_or(Out::Nak, |time| Out::NakUntil(now + time));
            }
            Some(Effect::Unplug) => return Out::Gone,
            Some(_) => {
                self.halted.push(endpoint);
                return Out::Stall;
            }
            None => {}
        }
        let answer = self.model.bulk_out(now, endpoint, packet);
        match answer {
            Out::Ack => self.taken += packet.len() as u64,
            Out::Stall => self.halted.push(endpoint),
            _ => {}
        }
        answer
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if let Some(until) = self.asleep_until(now) {
            return In::NakUntil(until);
        }
        if self.halted.contains(&endpoint) {
            return In::Stall;
        }
        match self.silent_in.filter(|silence| !silence.is_over(now)) {
            Some(Silence::Until(until)) => return In::NakUntil(until),
            Some(Silence::UntilReset) => return In::Nak,
            None => self.silent_in = None,
        }
        if let Some(free_at) = self.free_at.filter(|at| *at > now) {
            return In::NakUntil(free_at);
        }
        let packet = self.packet_size(endpoint);
        let mut most = self.room_at_this_rate(buffer.len(), packet);
        if let Some(at) = self.plan.next_in(self.sent) {
            let before = usize::try_from(at - self.sent).unwrap_or(usize::MAX) / packet * packet;
            if before == 0 {
                match self.strike(now, endpoint, packet) {
                    Err(effect) => return self.suffer(now, endpoint, packet, effect),
                    Ok(In::Data(n)) if n > 0 => most = packet,
                    Ok(In::Data(_)) => return In::Data(0),
                    Ok(other) => return other,
                }
            } else {
                most = most.min(before);
            }
        }
        match self.draw(now, endpoint, &mut buffer[..most]) {
            In::Data(n) => {
                let n = self.cut(packet, &buffer[..n.min(most)]);
                self.count_sent(now, n);
                In::Data(n)
            }
            In::Stall => {
                self.halted.push(endpoint);
                In::Stall
            }
            other => other,
        }
    }

    fn interrupt_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if let Some(until) = self.asleep_until(now) {
            return In::NakUntil(until);
        }
        self.model.interrupt_in(now, endpoint, buffer)
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) {
        if self.halted.contains(&endpoint) && self.plan.stuck_halts > 0 {
            self.plan.stuck_halts -= 1;
            return;
        }
        self.halted.retain(|halted| *halted != endpoint);
        self.model.clear_halt(endpoint);
    }

    fn is_halted(&self, endpoint: EndpointAddress) -> bool {
        self.halted.contains(&endpoint) || self.model.is_halted(endpoint)
    }

    fn forgotten(&self) -> u64 {
        self.model.forgotten()
    }

    fn reset(&mut self) {
        if self.plan.reset == ResetEffect::Nothing {
            return;
        }
        if let ResetEffect::Slow(time) = self.plan.reset {
            self.starting = Some(time);
        }
        if self.plan.hang_from.is_some_and(|at| self.sent > at) {
            self.plan.hang_from = None;
        }
        self.silent_in = None;
        self.silent_out = None;
        self.held.clear();
        self.halted.clear();
        self.free_at = None;
        self.model.reset();
    }

    fn after_reset(&self) -> AfterReset {
        match self.plan.reset {
            ResetEffect::Moves(away) => AfterReset::Moves(away),
            ResetEffect::Leaves => AfterReset::Leaves,
            ResetEffect::Revives | ResetEffect::Nothing | ResetEffect::Slow(_) => self.model.after_reset(),
        }
    }

    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) {
        self.halted.clear();
        self.model.set_alternate(interface, alternate);
    }

    fn unlink(&self) -> Unlink {
        self.plan.unlink
    }
}

/// Gives each interface a setting 0 without endpoints and makes its own setting 1.
fn add_alternate_settings(descriptors: &mut Descriptors) {
    let settings = std::mem::take(&mut descriptors.configuration.interfaces);
    for setting in settings {
        let empty = InterfaceDescriptor { endpoints: Vec::new(), ..setting.clone() };
        descriptors.configuration.interfaces.extend([empty, InterfaceDescriptor { alternate: 1, ..setting }]);
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests;

//! The loopback device: what is written comes back. For tests of everything between a program and a wire.
//!
//! | request | | meaning |
//! |---|---|---|
//! | 0x04 | both | two registers or more from `wValue` on, of bank `wIndex`: 0 or 1, of 256 bytes each |
//! | 0x0c | both | one register |
//! | 0x10 | OUT | its data (up to 64 bytes) becomes one interrupt packet |
//! | 0x11 | OUT | halts the endpoint whose address is `wValue` |
//! | 0x12 | IN | answers `wLength` bytes, byte i = (`wValue` + i) & 0xff |
//! | 0x13 | both | is never answered |
//! | 0x14 | OUT | forgets all that is queued |
//! | 0x15 | OUT | queues `wValue` KiB on bulk-in as one item, byte i = i mod 251, without a packet that ends it |
//! | 0x16 | OUT | from here on, until 0x14, what is written is taken and does not come back |
//! | 0x17 | IN | how often the halt of the endpoint whose address is `wValue` was cleared |
//!
//! It may have several endpoints of each type: of these only the ones with the highest numbers do all this, and the others
//! answer nothing.
//!
//! Bulk packets keep their borders: a short or empty packet comes back as one. With nothing written a
//! read stays pending. At most 16 MiB are kept, then bulk-out is not acknowledged until some was read.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use usbscan_usb::{
    Direction, EndpointAddress, EndpointDescriptor, ProductId, Setup, SetupKind, TransferType, VendorId,
};

use crate::model::bulk;
use crate::{Control, Descriptors, In, Model, Out};

/// Bytes that bulk-out takes before any is read.
const ROOM: usize = 16 << 20;
/// Packets of any size that are kept: enough for [`ROOM`] in packets of 64, and a bound for empty ones.
const PACKETS: usize = 1 << 18;
/// Bytes of a full bulk packet.
const PACKET: usize = 512;
/// Interrupt packets that are kept.
const EVENTS: usize = 256;
/// Bytes of the pattern that are kept ready, plus one turn of it, so that a long run is not computed byte by byte.
const READY: usize = 251 * 256;
/// Queued pattern runs; each may stand for 64 MiB but costs some bytes only.
const RUNS: usize = 1024;

const BULK_IN: EndpointAddress = EndpointAddress(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress(0x02);
const INTERRUPT_IN: EndpointAddress = EndpointAddress(0x83);
/// How far the addresses of one set of endpoints lie behind those of the one before.
const NEXT: u8 = 3;

#[derive(Debug)]
enum Queued {
    Packet(Box<[u8]>),
    /// The bytes `from..to` of the pattern.
    Run {
        from: usize,
        to: usize,
    },
}

const BANK: usize = 256;

/// The loopback device, 1209:0001.
#[derive(Debug)]
pub struct Loopback {
    descriptors: Descriptors,
    /// Endpoints below the set that works: they answer nothing.
    mute: Vec<EndpointAddress>,
    queued: VecDeque<Queued>,
    kept: usize,
    runs: usize,
    events: VecDeque<Vec<u8>>,
    halted: Vec<EndpointAddress>,
    /// How often each endpoint's halt was cleared, whether or not it was halted.
    cleared: BTreeMap<u8, u8>,
    forgotten: u64,
    swallows: bool,
    pattern: Box<[u8]>,
    registers: [[u8; BANK]; 2],
}

impl Loopback {
    /// One with the serial number `LOOP0001`.
    pub fn new() -> Loopback {
        Loopback::with_serial("LOOP0001")
    }

    /// One with another serial number.
    pub fn with_serial(serial: &str) -> Loopback {
        Loopback::with_endpoints(serial, 1)
    }

    /// One with so many endpoints of each type, at most 4; the last of each work.
    pub fn with_endpoints(serial: &str, count: u8) -> Loopback {
        let sets = |range: std::ops::Range<u8>| {
            let set =
                |n| [BULK_IN, BULK_OUT, INTERRUPT_IN].map(|first: EndpointAddress| EndpointAddress(first.0 + n * NEXT));
            range.flat_map(set).collect::<Vec<_>>()
        };
        let count = count.clamp(1, 4);
        Loopback {
            descriptors: descriptors(serial, &sets(0..count)),
            mute: sets(0..count - 1),
            queued: VecDeque::new(),
            kept: 0,
            runs: 0,
            events: VecDeque::new(),
            halted: Vec::new(),
            cleared: BTreeMap::new(),
            forgotten: 0,
            swallows: false,
            pattern: (0..READY + 251).map(|i| (i % 251) as u8).collect(),
            registers: [[0; BANK]; 2],
        }
    }

    /// With the ids of another device: for drivers that look at nothing else, one that answers nonsense.
    #[must_use]
    pub fn with_ids(mut self, vendor: u16, product: u16) -> Loopback {
        (self.descriptors.device.vendor, self.descriptors.device.product) = (VendorId(vendor), ProductId(product));
        self
    }

    /// The registers that a request means, if there are such: one and several have requests of their own, as on Windows.
    fn registers(&mut self, setup: Setup) -> Option<&mut [u8]> {
        let from = usize::from(setup.value);
        let length = usize::from(setup.length);
        let asked_rightly = if setup.request == 0x0c { length == 1 } else { length > 1 };
        let bank = self.registers.get_mut(usize::from(setup.index))?;
        bank.get_mut(from..from + length).filter(|_| asked_rightly)
    }

    fn forget(&mut self) {
        self.forgotten += 1;
        self.queued.clear();
        self.events.clear();
        self.kept = 0;
        self.runs = 0;
        self.swallows = false;
    }

    /// Moves what is queued into `buffer`, up to its end or a short packet; `None`: nothing is queued.
    fn fill(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.queued.front_mut() {
                None if filled == 0 => return None,
                None => break,
                Some(Queued::Packet(packet)) => {
                    let length = packet.len();
                    // An empty packet can't follow others in one answer: it would not be seen.
                    if length == 0 && filled > 0 {
                        break;
                    }
                    buffer[filled..filled + length].copy_from_slice(packet);
                    self.kept -= length;
                    self.queued.pop_front();
                    filled += length;
                    if length < PACKET {
                        break;
                    }
                }
                Some(Queued::Run { from, to }) => {
                    let length = (*to - *from).min(buffer.len() - filled).min(READY);
                    buffer[filled..filled + length].copy_from_slice(&self.pattern[*from % 251..][..length]);
                    filled += length;
                    *from += length;
                    if from == to {
                        self.runs -= 1;
                        self.queued.pop_front();
                    }
                }
            }
        }
        Some(filled)
    }
}

impl Default for Loopback {
    fn default() -> Self {
        Loopback::new()
    }
}

impl Model for Loopback {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control(&mut self, _now: Instant, setup: Setup, data: &[u8]) -> Control {
        if setup.kind() != SetupKind::Vendor {
            return Control::Stall;
        }
        match (setup.request, setup.direction()) {
            (0x04 | 0x0c, Direction::In) => {
                return self.registers(setup).map_or(Control::Stall, |registers| Control::Done(registers.to_vec()));
            }
            (0x04 | 0x0c, Direction::Out) => match self.registers(setup) {
                Some(registers) if registers.len() == data.len() => registers.copy_from_slice(data),
                _ => return Control::Stall,
            },
            (0x10, Direction::Out) if data.len() <= 64 && self.events.len() < EVENTS => {
                self.events.push_back(data.to_vec());
            }
            (0x11, Direction::Out) => {
                let endpoint = EndpointAddress(setup.value as u8);
                let interfaces = &self.descriptors.configuration.interfaces;
                if !interfaces.iter().flat_map(|interface| &interface.endpoints).any(|one| one.address == endpoint) {
                    return Control::Stall;
                }
                self.halted.push(endpoint);
                self.halted.dedup();
            }
            (0x12, Direction::In) => {
                return Control::Done((0..setup.length).map(|i| setup.value.wrapping_add(i) as u8).collect());
            }
            (0x13, _) => return Control::Hang,
            (0x14, Direction::Out) => self.forget(),
            (0x15, Direction::Out) if setup.value == 0 => {}
            (0x15, Direction::Out) if self.runs < RUNS => {
                self.runs += 1;
                self.queued.push_back(Queued::Run { from: 0, to: usize::from(setup.value) * 1024 });
            }
            (0x16, Direction::Out) => self.swallows = true,
            (0x17, Direction::In) => {
                return Control::Done(vec![self.cleared.get(&(setup.value as u8)).copied().unwrap_or_default()]);
            }
            _ => return Control::Stall,
        }
        Control::Done(Vec::new())
    }

    fn bulk_out(&mut self, _now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        if self.is_halted(endpoint) {
            return Out::Stall;
        }
        if self.mute.contains(&endpoint) {
            return Out::Nak;
        }
        if self.swallows {
            return Out::Ack;
        }
        if self.kept + packet.len() > ROOM || self.queued.len() >= PACKETS {
            return Out::Nak;
        }
        self.kept += packet.len();
        self.queued.push_back(Queued::Packet(packet.into()));
        Out::Ack
    }

    fn bulk_in(&mut self, _now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if self.is_halted(endpoint) {
            return In::Stall;
        }
        let filled = if self.mute.contains(&endpoint) { None } else { self.fill(buffer) };
        filled.map_or(In::Nak, In::Data)
    }

    fn interrupt_in(&mut self, _now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if self.is_halted(endpoint) {
            return In::Stall;
        }
        let event = if self.mute.contains(&endpoint) { None } else { self.events.pop_front() };
        match event {
            None => In::Nak,
            Some(packet) => {
                buffer[..packet.len()].copy_from_slice(&packet);
                In::Data(packet.len())
            }
        }
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) {
        let cleared = self.cleared.entry(endpoint.0).or_default();
        *cleared = cleared.saturating_add(1);
        self.halted.retain(|halted| *halted != endpoint);
    }

    fn is_halted(&self, endpoint: EndpointAddress) -> bool {
        self.halted.contains(&endpoint)
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn reset(&mut self) {
        self.forget();
        self.halted.clear();
    }
}

fn descriptors(serial: &str, endpoints: &[EndpointAddress]) -> Descriptors {
    let describe = |(at, address): (usize, &EndpointAddress)| match at % 3 {
        2 => EndpointDescriptor {
            address: *address,
            transfer_type: TransferType::Interrupt,
            max_packet_size: 64,
            interval: 4,
        },
        _ => bulk(address.0),
    };
    let pipes = endpoints.iter().enumerate().map(describe).collect();
    Descriptors::of_one_interface((0x1209, 0x0001), (6, 1, 1), pipes, ["usbscan", "Loopback", serial])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(loopback: &mut Loopback, request: u8, value: u16) {
        let answer = loopback.control(Instant::now(), Setup::vendor(Direction::Out, request, value, 0, 0), &[]);
        assert!(matches!(answer, Control::Done(_)), "{answer:?}");
    }

    #[test]
    fn what_is_swallowed_does_not_come_back_until_it_forgets() {
        let (now, mut loopback, mut buffer) = (Instant::now(), Loopback::new(), [0; PACKET]);
        tell(&mut loopback, 0x16, 0);
        for _ in 0..2 * ROOM / PACKET {
            assert!(matches!(loopback.bulk_out(now, BULK_OUT, &[7; PACKET]), Out::Ack));
        }
        assert!(matches!(loopback.bulk_in(now, BULK_IN, &mut buffer), In::Nak));
        tell(&mut loopback, 0x14, 0);
        assert!(matches!(loopback.bulk_out(now, BULK_OUT, &[7; 5]), Out::Ack));
        assert!(matches!(loopback.bulk_in(now, BULK_IN, &mut buffer), In::Data(5)));
    }

    #[test]
    fn a_run_keeps_its_pattern_across_reads_of_any_size() {
        let (now, mut loopback, mut got) = (Instant::now(), Loopback::new(), Vec::new());
        tell(&mut loopback, 0x15, 300);
        let mut buffer = vec![0; 200 * 1024];
        for size in [1, PACKET, READY + 3, buffer.len()].into_iter().cycle() {
            match loopback.bulk_in(now, BULK_IN, &mut buffer[..size]) {
                In::Data(n) => got.extend_from_slice(&buffer[..n]),
                _ => break,
            }
        }
        assert!(got.len() == 300 * 1024 && got.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
    }
}

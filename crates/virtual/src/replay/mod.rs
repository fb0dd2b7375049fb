//! A captured device, played again: it says what it said then, in that order, to a host that says what its host said.
//! So a user's capture becomes a test. A host that says anything else gets a stall, and the log says where.

mod file;
mod import;
mod sane_record;
mod script;

use std::path::Path;
use std::time::Instant;

use usbscan_usb::{EndpointAddress, Setup};

use self::script::{End, Script, Step, understand};
use crate::{Control, Descriptors, In, Model, Out};

pub use file::{BusAddress, ReplayError};

/// See the head of this file.
#[derive(Debug)]
pub struct Replay {
    file: Vec<u8>,
    script: Script,
    /// The step that is next.
    at: usize,
    /// Bytes of its data that have moved.
    moved: usize,
    events: usize,
    halted: Vec<EndpointAddress>,
    forgotten: u64,
}

impl Replay {
    /// Of a file; `which` names the device where it shows several.
    ///
    /// # Errors
    /// With what is wrong with the file.
    pub fn open(path: &Path, which: Option<BusAddress>) -> Result<Replay, ReplayError> {
        let name = || path.display().to_string();
        let read = |error| ReplayError::Read { path: name(), error };
        let about = std::fs::metadata(path).map_err(read)?;
        if !about.is_file() || about.len() > file::LONGEST {
            return Err(ReplayError::TooLong { path: name() });
        }
        Replay::of_bytes(std::fs::read(path).map_err(read)?, which)
    }

    /// Of a file's bytes.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub fn of_bytes(file: Vec<u8>, which: Option<BusAddress>) -> Result<Replay, ReplayError> {
        let file = if sane_record::is_one(&file) { sane_record::to_pcapng(&file)? } else { import::to_pcapng(file)? };
        let script = understand(&file, which)?;
        let (events, halted) = (0, Vec::new());
        Ok(Replay { file, script, at: 0, moved: 0, events, halted, forgotten: 0 })
    }

    fn packet_size(&self, endpoint: EndpointAddress) -> usize {
        let all = self.script.descriptors.configuration.interfaces.iter().flat_map(|interface| &interface.endpoints);
        let size = all.filter(|e| e.address == endpoint).map(|e| usize::from(e.max_packet_size & 0x7ff)).next();
        size.unwrap_or(64).max(1)
    }

    fn next_step(&mut self) {
        self.at += 1;
        self.moved = 0;
    }

    fn differs(&self, what: &str) {
        log::warn!("replay: {what}, which is not what step {} of {} was", self.at + 1, self.script.steps.len());
    }

    /// The end of a step, as the answer to an IN token.
    fn ended(&mut self, endpoint: EndpointAddress, end: End) -> In {
        self.next_step();
        match end {
            End::Open => In::Nak,
            End::Short => In::Data(0),
            End::Stall => {
                self.halted.push(endpoint);
                In::Stall
            }
            End::Babble => In::Babble,
            End::Garbled => In::Garbled,
            End::Gone => In::Gone,
        }
    }
}

impl Model for Replay {
    fn descriptors(&self) -> &Descriptors {
        &self.script.descriptors
    }

    fn control(&mut self, _now: Instant, setup: Setup, data: &[u8]) -> Control {
        let Some(Step::Control { setup: then, sent, answer, hangs }) = self.script.steps.get(self.at).cloned() else {
            self.differs(&format!("{setup:?}"));
            return Control::Stall;
        };
        if setup != then || data != &self.file[sent] {
            self.differs(&format!("{setup:?}"));
            return Control::Stall;
        }
        self.next_step();
        match answer {
            Some(answer) => Control::Done(self.file[answer].to_vec()),
            None if hangs => Control::Hang,
            None => Control::Stall,
        }
    }

    fn bulk_out(&mut self, _now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        if self.halted.contains(&endpoint) {
            return Out::Stall;
        }
        if packet.is_empty() {
            return Out::Ack;
        }
        let step = match self.script.steps.get(self.at) {
            Some(Step::Out { endpoint: then, data, end }) if *then == endpoint => Some((data.clone(), *end)),
            // What the device sent then has not been read yet.
            Some(Step::In { .. }) => return Out::Nak,
            _ => None,
        };
        let Some((data, end)) = step else {
            self.differs(&format!("{} bytes to endpoint {endpoint}", packet.len()));
            return Out::Stall;
        };
        let left = &self.file[data.start + self.moved..data.end];
        if left.is_empty() || !left.starts_with(packet) {
            match end {
                End::Stall if left.is_empty() => {
                    self.next_step();
                    self.halted.push(endpoint);
                }
                End::Gone if left.is_empty() => return Out::Gone,
                _ => self.differs(&format!("the {} bytes {:02x?} to endpoint {endpoint}", packet.len(), first(packet))),
            }
            return Out::Stall;
        }
        self.moved += packet.len();
        if self.moved == data.len() && end == End::Open {
            self.next_step();
        }
        Out::Ack
    }

    fn bulk_in(&mut self, _now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if self.halted.contains(&endpoint) {
            return In::Stall;
        }
        let step = match self.script.steps.get(self.at) {
            Some(Step::In { endpoint: then, data, end }) if *then == endpoint => (data.clone(), *end),
            _ => return In::Nak,
        };
        let (data, end) = step;
        let left = &self.file[data.start + self.moved..data.end];
        if left.is_empty() {
            return self.ended(endpoint, end);
        }
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.moved += length;
        if self.moved == data.len() {
            let whole = length % self.packet_size(endpoint) == 0;
            match end {
                End::Open => self.next_step(),
                // The short packet has been the end.
                End::Short if !whole => self.next_step(),
                // Asked again, it sends the empty packet, or what else the end was.
                _ => {}
            }
        }
        In::Data(length)
    }

    fn interrupt_in(&mut self, _now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        match self.script.events.get(self.events) {
            Some((after, then, data)) if *after <= self.at && *then == endpoint && data.len() <= buffer.len() => {
                buffer[..data.len()].copy_from_slice(&self.file[data.clone()]);
                self.events += 1;
                In::Data(data.len())
            }
            _ => In::Nak,
        }
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) {
        self.halted.retain(|halted| *halted != endpoint);
    }

    fn is_halted(&self, endpoint: EndpointAddress) -> bool {
        self.halted.contains(&endpoint)
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn reset(&mut self) {
        (self.at, self.moved, self.events) = (0, 0, 0);
        self.halted.clear();
        self.forgotten += 1;
    }
}

fn first(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(8)]
}

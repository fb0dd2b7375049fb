//! A device that is nothing but a wire: it always has bytes, and takes all. What it costs is one copy of each byte, as
//! usbfs copies from the kernel's memory; so what is measured is the via_daemon and not the computing of a picture.

use std::time::{Duration, Instant};

use usbscan_usb::EndpointAddress;
use usbscan_virtual::{Control, Descriptors, In, Loopback, Model, Out};

/// A repeated pattern.
const PATTERN: usize = 64 * 1024;
/// At a pace, it sends bursts of so many bytes: what a host controller does in two microframes of SuperSpeed.
const BURST: usize = 32 * 1024;

/// See the head of this file. It has the loopback's descriptors.
#[derive(Debug)]
pub struct Source {
    descriptors: Descriptors,
    pattern: Vec<u8>,
    pace: Option<Pace>,
}

/// Bytes a second, and what has gone since.
#[derive(Debug)]
struct Pace {
    bytes_per_second: f64,
    free_at: Option<Instant>,
}

impl Source {
    /// As quick as it is asked.
    pub fn unbound(serial: &str) -> Source {
        let descriptors = Loopback::with_serial(serial).descriptors().clone();
        Source { descriptors, pattern: (0..PATTERN).map(|i| (i % 251) as u8).collect(), pace: None }
    }

    /// Both ways together no quicker than this.
    pub fn at(serial: &str, bytes_per_second: f64) -> Source {
        Source { pace: Some(Pace { bytes_per_second, free_at: None }), ..Source::unbound(serial) }
    }

    /// When the wire is free again, if it is not now.
    fn busy_until(&self, now: Instant) -> Option<Instant> {
        self.pace.as_ref().and_then(|pace| pace.free_at).filter(|free_at| *free_at > now)
    }

    /// The wire does not make up for what nobody asked for.
    fn moved(&mut self, now: Instant, bytes: usize) {
        let Some(pace) = &mut self.pace else { return };
        let took = Duration::from_secs_f64(bytes as f64 / pace.bytes_per_second);
        // A timer rings late; a host controller does not. What is late by a timer's error is made up for.
        let from = pace.free_at.filter(|free_at| now.duration_since(*free_at) < LATE).unwrap_or(now);
        pace.free_at = Some(from + took);
    }
}

/// How late a thread may wake up without the wire having stood still.
const LATE: Duration = Duration::from_micros(300);

impl Model for Source {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control(&mut self, _now: Instant, _setup: usbscan_usb::Setup, _data: &[u8]) -> Control {
        Control::Done(Vec::new())
    }

    fn bulk_out(&mut self, now: Instant, _endpoint: EndpointAddress, packet: &[u8]) -> Out {
        if let Some(until) = self.busy_until(now) {
            return Out::NakUntil(until);
        }
        self.pattern[..packet.len()].copy_from_slice(packet);
        self.moved(now, packet.len());
        Out::Ack
    }

    fn bulk_in(&mut self, now: Instant, _endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if let Some(until) = self.busy_until(now) {
            return In::NakUntil(until);
        }
        let most = if self.pace.is_some() { BURST } else { PATTERN };
        let length = buffer.len().min(most);
        buffer[..length].copy_from_slice(&self.pattern[..length]);
        self.moved(now, length);
        In::Data(length)
    }
}

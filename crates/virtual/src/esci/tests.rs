//! Dialogues with the scanner, written as bytes that go and items that come: what the tests share.

mod all_in_one;
mod commands;
mod scans;
mod trouble;

use std::time::Duration;

use super::*;
use crate::glass::{Bits, Mode, View};

const IN: EndpointAddress = EndpointAddress(0x81);
const OUT: EndpointAddress = EndpointAddress(0x02);

/// A host that reads exactly what it expects.
struct Host {
    scanner: Esci,
    now: Instant,
}

impl Host {
    fn new(setup: EsciSetup) -> Host {
        Host { scanner: Esci::new(setup), now: Instant::now() }
    }

    fn fs() -> Host {
        Host::new(EsciSetup::default())
    }

    fn esc(level: Level) -> Host {
        Host::new(EsciSetup { dialect: Dialect::Esc, level, ..EsciSetup::default() })
    }

    fn with(conditions: Conditions) -> Host {
        Host::new(EsciSetup { conditions, ..EsciSetup::default() })
    }

    fn say(&mut self, bytes: &[u8]) {
        for packet in bytes.chunks(512) {
            assert_eq!(self.scanner.bulk_out(self.now, OUT, packet), Out::Ack);
        }
    }

    /// The next item, as a read of `most` bytes or more gets it.
    fn receive(&mut self) -> Vec<u8> {
        let mut item = Vec::new();
        loop {
            let mut buffer = vec![0; 4096];
            match self.scanner.bulk_in(self.now, IN, &mut buffer) {
                In::Data(n) => item.extend_from_slice(&buffer[..n]),
                In::Nak => return item,
                other => panic!("{other:?}"),
            }
            if item.len() % 512 != 0 {
                return item;
            }
        }
    }

    /// Sends and expects this one item.
    fn exchange(&mut self, bytes: &[u8], expected: &[u8]) {
        self.say(bytes);
        assert_eq!(self.receive(), expected, "after {bytes:02x?}");
    }

    fn assert_silent(&mut self) {
        assert_eq!(self.receive(), [], "nothing more to say");
    }

    /// A command with parameters: both are acknowledged.
    fn set(&mut self, code: u8, parameters: &[u8]) {
        self.exchange(&[ESC, code], &[ACK]);
        self.exchange(parameters, &[ACK]);
    }

    fn fs_w(&mut self, settings: &FsW) {
        self.exchange(&[FS, b'W'], &[ACK]);
        self.exchange(&settings.bytes(), &[ACK]);
    }

    /// Reads exactly `length` bytes, however many items that is.
    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let mut buffer = vec![0; 512];
            match self.scanner.bulk_in(self.now, IN, &mut buffer) {
                In::Data(n) => bytes.extend_from_slice(&buffer[..n]),
                other => panic!("{other:?} after {} of {length} bytes", bytes.len()),
            }
        }
        assert_eq!(bytes.len(), length);
        bytes
    }
}

/// The parameters of FS W that matter here.
struct FsW {
    dpi: u32,
    area: [u32; 4],
    colour: u8,
    depth: u8,
    block: u8,
}

impl FsW {
    fn bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let [x, y, width, height] = self.area;
        for (i, number) in [self.dpi, self.dpi, x, y, width, height].into_iter().enumerate() {
            bytes[4 * i..4 * i + 4].copy_from_slice(&number.to_le_bytes());
        }
        (bytes[24], bytes[25], bytes[28], bytes[29], bytes[33]) = (self.colour, self.depth, self.block, 2, 0x80);
        bytes
    }
}

fn chart(dpi: u32, [left, top, width, height]: [u32; 4], mode: Mode, bits: Bits) -> Vec<u16> {
    Glass::chart().render(&View { dpi: (dpi, dpi), left, top, width, height }, mode, bits).expect("the chart")
}

fn bytes_of(samples: &[u16]) -> Vec<u8> {
    samples.iter().map(|v| *v as u8).collect()
}

/// Colour as in docs/esc-i.md, "A page".
fn set_up_colour(host: &mut Host, [x, y, width, height]: [u16; 4], block: Option<u8>) {
    host.exchange(&[ESC, b'@'], &[ACK]);
    host.set(b'C', &[0x13]);
    host.set(b'D', &[8]);
    host.set(b'R', &[100, 0, 100, 0]);
    host.set(b'A', &[x, y, width, height].map(u16::to_le_bytes).concat());
    if let Some(block) = block {
        host.set(b'd', &[block]);
    }
}

//! One side of a page as it goes over the wire: raw lines or a JPEG stream, made as they are asked for.
//!
//! JPEG is encoded in strips of 8 lines, each a restart interval of one picture, so that no page is ever held.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::settings::{Colour, Settings};
use crate::glass::{Glass, GlassError, Rows, Sample, View};

/// Lines of raw images are filled up to a multiple of so many bytes: "dummy bytes" that a driver has to leave out.
const ALIGNMENT: usize = 4;

/// One side of a page.
#[derive(Debug)]
pub(super) struct Image {
    rows: Rows<u8>,
    settings: Settings,
    next: u32,
    ready: Vec<u8>,
}

impl Image {
    /// Of the glass from `shift` lines further down on.
    pub(super) fn new(glass: &Glass, settings: &Settings, shift: u32) -> Result<Image, GlassError> {
        let [left, top, width, height] = settings.area;
        let rows = glass.rows(View { dpi: settings.dpi, left, top: top + shift, width, height })?;
        Ok(Image { rows, settings: settings.clone(), next: 0, ready: Vec::new() })
    }

    pub(super) fn width(&self) -> u32 {
        self.settings.area[2]
    }

    pub(super) fn height(&self) -> u32 {
        self.settings.area[3]
    }

    fn line_bytes(&self) -> usize {
        let width = self.width() as usize;
        match self.settings.colour {
            Colour::Rgb => 3 * width,
            Colour::Gray => width,
            Colour::Bit => width.div_ceil(8),
        }
    }

    /// Bytes behind every raw line that mean nothing.
    pub(super) fn dummy_bytes(&self) -> usize {
        if self.settings.jpeg { 0 } else { self.line_bytes().next_multiple_of(ALIGNMENT) - self.line_bytes() }
    }

    /// The next bytes, at most so many; none: that was all.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        while self.ready.len() < most && self.next < self.height() {
            if self.settings.jpeg { self.strip() } else { self.raw_line() }
        }
        self.ready.drain(..most.min(self.ready.len())).collect()
    }

    fn raw_line(&mut self) {
        let dummy = self.dummy_bytes();
        self.line();
        // Not zeros: who takes them for pixels shall see it.
        self.ready.resize(self.ready.len() + dummy, 0xd5);
    }

    /// The next line, without what fills it up.
    fn line(&mut self) {
        let row = self.rows.row(self.next);
        self.next += 1;
        match self.settings.colour {
            Colour::Rgb => self.ready.extend(row.as_flattened()),
            Colour::Gray => self.ready.extend(row.iter().map(|pixel| u8::luma(*pixel))),
            Colour::Bit => self.ready.extend(row.chunks(8).map(|pixels| {
                let bit = |pixel: &[u8; 3]| u8::from(u8::luma(*pixel) >= self.settings.threshold);
                pixels.iter().enumerate().fold(0, |byte, (at, pixel)| byte | bit(pixel) << (7 - at))
            })),
        }
    }

    /// The next lines as a part of a JPEG picture.
    fn strip(&mut self) {
        let first = self.next;
        let sent = std::mem::take(&mut self.ready);
        let count = (self.height() - first).min(8);
        (0..count).for_each(|_| self.line());
        let pixels = std::mem::replace(&mut self.ready, sent);
        let picture = self.encode(&pixels, count);
        let data = start_of_data(&picture);
        let end = picture.len() - 2;
        if first == 0 {
            self.headers(&picture[..data]);
        } else {
            self.ready.extend([0xff, 0xd0 + ((first / 8 - 1) % 8) as u8]);
        }
        self.ready.extend(&picture[data..end]);
        if self.next == self.height() {
            self.ready.extend([0xff, 0xd9]);
        }
    }

    fn encode(&self, pixels: &[u8], count: u32) -> Vec<u8> {
        let color = if self.settings.colour == Colour::Rgb { ColorType::Rgb } else { ColorType::Luma };
        let mut picture = Vec::new();
        let mut encoder = Encoder::new(&mut picture, self.settings.quality);
        encoder.set_sampling_factor(SamplingFactor::F_1_1);
        // An area has at most 65535 pixels a line.
        let encoded = encoder.encode(pixels, self.width() as u16, count as u16, color);
        encoded.expect("lines of at least one pixel make a picture");
        picture
    }

    /// The headers of the first strip, made those of the whole page: its height, and restart intervals of one strip.
    fn headers(&mut self, headers: &[u8]) {
        let mut at = 2;
        self.ready.extend(&headers[..2]);
        while at < headers.len() {
            let length = 2 + usize::from(u16::from_be_bytes([headers[at + 2], headers[at + 3]]));
            let mut segment = headers[at..at + length].to_vec();
            match segment[1] {
                0xc0 => segment[5..7].copy_from_slice(&(self.height() as u16).to_be_bytes()),
                0xda => {
                    let mcus = self.width().div_ceil(8) as u16;
                    self.ready.extend([0xff, 0xdd, 0, 4]);
                    self.ready.extend(mcus.to_be_bytes());
                }
                _ => {}
            }
            self.ready.extend(&segment);
            at += length;
        }
    }
}

/// Where in a JPEG file the data of its only scan begins.
fn start_of_data(picture: &[u8]) -> usize {
    let mut at = 2;
    loop {
        let length = 2 + usize::from(u16::from_be_bytes([picture[at + 2], picture[at + 3]]));
        if picture[at + 1] == 0xda {
            return at + length;
        }
        at += length;
    }
}

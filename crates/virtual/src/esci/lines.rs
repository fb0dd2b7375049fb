//! The image as it goes over the wire, line by line: samples of the right depth, order and sequence
//! (docs/esc-i.md, "A page"). Renders each row of the glass once; holds no more than a row.

use crate::glass::{Glass, GlassError, Sample, View};

use super::sensor::Sensor;
use super::settings::Settings;
use super::tone::{Downloads, Tone};

/// What one wire line is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    /// One sample a pixel: gray.
    Gray,
    /// One sample a pixel: one channel of the colour, the other two dropped.
    Channel(usize),
    /// Three samples a pixel, in this order of channels.
    Pixel([usize; 3]),
    /// Three lines a row.
    Line([usize; 3]),
    /// The whole area three times.
    Page([usize; 3]),
}

impl Sequence {
    /// From a valid ESC C value.
    fn of(colour: u8) -> Sequence {
        let order = match colour >> 4 {
            0 => [1, 0, 2],
            1 => [0, 1, 2],
            _ => [2, 1, 0],
        };
        match (colour & 0x0f, colour >> 4) {
            (1, _) => Sequence::Page(order),
            (2, _) => Sequence::Line(order),
            (3, _) => Sequence::Pixel(order),
            // "Dropout" of a colour is a scan in that colour's light.
            (_, light @ 1..=3) => Sequence::Channel(usize::from(light) - 1),
            _ => Sequence::Gray,
        }
    }
}

#[derive(Debug)]
enum Origin {
    Eight(Sensor<u8>),
    Sixteen(Sensor<u16>),
}

/// The wire lines of one scan.
#[derive(Debug)]
pub(super) struct Lines {
    source: Origin,
    sequence: Sequence,
    width: usize,
    height: u32,
    depth: u8,
    threshold: u8,
    mirror: bool,
    negative: bool,
    tone: Tone,
    next: u32,
}

impl Lines {
    /// `distance`: lines between the sensor's colours, which shows when all three are wanted.
    pub(super) fn new(
        glass: &Glass,
        settings: &Settings,
        downloads: &Downloads,
        distance: u32,
    ) -> Result<Lines, GlassError> {
        let area = settings.area;
        let view =
            View { dpi: settings.effective_dpi(), left: area.x, top: area.y, width: area.width, height: area.height };
        let sequence = Sequence::of(settings.colour);
        let in_colour = matches!(sequence, Sequence::Pixel(_) | Sequence::Line(_) | Sequence::Page(_));
        let distance = if in_colour { distance } else { 0 };
        let source = match settings.depth {
            0..=8 => Origin::Eight(Sensor::new(glass, view, distance)?),
            _ => Origin::Sixteen(Sensor::new(glass, view, distance)?),
        };
        Ok(Lines {
            source,
            sequence,
            width: area.width as usize,
            height: area.height,
            depth: settings.depth,
            threshold: settings.threshold,
            mirror: settings.mirror,
            negative: settings.is_negative(),
            tone: Tone::new(settings, downloads, in_colour),
            next: 0,
        })
    }

    /// How many wire lines there are.
    pub(super) fn count(&self) -> u32 {
        match self.sequence {
            Sequence::Line(_) | Sequence::Page(_) => self.height * 3,
            _ => self.height,
        }
    }

    /// Wire lines of a row of pixels, where those follow each other.
    pub(super) fn per_row(&self) -> u32 {
        if let Sequence::Line(_) = self.sequence { 3 } else { 1 }
    }

    pub(super) fn taken(&self) -> u32 {
        self.next
    }

    /// Wire lines of one pass: where a page ends.
    pub(super) fn pass(&self) -> u32 {
        if let Sequence::Page(_) = self.sequence { self.height } else { self.count() }
    }

    /// Bytes of a wire line.
    pub(super) fn bytes(&self) -> usize {
        let samples = if let Sequence::Pixel(_) = self.sequence { 3 * self.width } else { self.width };
        match self.depth {
            1 => samples.div_ceil(8),
            2 => samples.div_ceil(4),
            3..=4 => samples.div_ceil(2),
            5..=8 => samples,
            _ => 2 * samples,
        }
    }

    /// Status bits 3-2 for a block that begins with the next wire line: which colours it has. `block`:
    /// blocks of whole pixels or triples of lines, where it is their order that is told.
    pub(super) fn colour_bits(&self, block: bool) -> u8 {
        let single = |order: [usize; 3], at: u32| [0x08, 0x04, 0x0c][order[at as usize]];
        match self.sequence {
            Sequence::Gray | Sequence::Channel(_) => 0x00,
            Sequence::Line(order) if !block => single(order, self.next % 3),
            Sequence::Page(order) => single(order, (self.next / self.height.max(1)).min(2)),
            Sequence::Pixel(order) | Sequence::Line(order) => match order {
                [1, 0, 2] => 0x04,
                _ => 0x08,
            },
        }
    }

    /// Renders the next wire line into `line`, or nothing when all were taken.
    pub(super) fn take(&mut self, line: &mut Vec<u8>) {
        line.clear();
        if self.next >= self.count() {
            return;
        }
        let (row, channel) = match self.sequence {
            Sequence::Line(order) => (self.next / 3, Some(order[(self.next % 3) as usize])),
            Sequence::Page(order) => (self.next % self.height, Some(order[(self.next / self.height) as usize])),
            _ => (self.next, None),
        };
        self.next += 1;
        let (depth, threshold, negative) = (self.depth, self.threshold, self.negative);
        let encoding = RowEncoding { lines: (self.sequence, channel), depth, threshold, negative };
        match &mut self.source {
            Origin::Eight(rows) => encoding.encode(rows.row(row), self.mirror, &self.tone, line),
            Origin::Sixteen(rows) => encoding.encode(rows.row(row), self.mirror, &self.tone, line),
        }
    }
}

/// How a row becomes bytes.
struct RowEncoding {
    lines: (Sequence, Option<usize>),
    depth: u8,
    threshold: u8,
    negative: bool,
}

impl RowEncoding {
    fn encode<S: Sample>(&self, row: &[[S; 3]], mirror: bool, tone: &Tone, line: &mut Vec<u8>) {
        if self.negative {
            let positive: Vec<[S; 3]> = row.iter().map(|pixel| pixel.map(|v| S::from_16(!v.to_16()))).collect();
            return RowEncoding { negative: false, ..*self }.encode(&positive, mirror, tone, line);
        }
        if tone.has_matrix() {
            let corrected: Vec<[S; 3]> = row.iter().map(|pixel| tone.mix(*pixel)).collect();
            return self.encode(&corrected, mirror, &tone.without_matrix(), line);
        }
        if mirror {
            let mirrored: Vec<[S; 3]> = row.iter().rev().copied().collect();
            return self.encode(&mirrored, false, tone, line);
        }
        match self.lines {
            (Sequence::Pixel([0, 1, 2]), _) if tone.is_identity() => {
                self.pack(row.as_flattened().iter().copied(), line)
            }
            (Sequence::Pixel(order), _) => {
                self.pack(row.iter().flat_map(|p| order.map(|c| tone.apply(c, p[c]))), line);
            }
            (Sequence::Channel(channel), _) | (_, Some(channel)) => {
                self.pack(row.iter().map(|p| tone.apply(channel, p[channel])), line);
            }
            _ if tone.is_identity() => self.pack(row.iter().map(|p| S::luma(*p)), line),
            _ => self.pack(row.iter().map(|p| tone.apply(1, S::luma(*p))), line),
        }
    }

    fn pack<S: Sample>(&self, samples: impl Iterator<Item = S>, line: &mut Vec<u8>) {
        match self.depth {
            // 1 is white; the leftmost pixel is the highest bit.
            1 => pack_bits(samples.map(|v| u8::from(v.to_8() >= self.threshold)), 1, line),
            2 => pack_bits(samples.map(|v| v.to_8() >> 6), 2, line),
            3 => pack_bits(samples.map(|v| v.to_8() >> 5 << 1), 4, line),
            4 => pack_bits(samples.map(|v| v.to_8() >> 4), 4, line),
            8 => line.extend(samples.map(S::to_8)),
            5..=7 => {
                let kept = u8::MAX << (8 - self.depth);
                line.extend(samples.map(|v| v.to_8() & kept));
            }
            // Left-aligned like the depths below 8; no source says how 12 and 14 bits lie.
            _ => {
                let kept = u16::MAX << (16 - self.depth.min(16));
                line.extend(samples.flat_map(|v| (v.to_16() & kept).to_le_bytes()));
            }
        }
    }
}

/// Packs values of `bits` bits, the first one highest; what is missing in the last byte is 0.
fn pack_bits(values: impl Iterator<Item = u8>, bits: u32, line: &mut Vec<u8>) {
    let (mut byte, mut filled) = (0u8, 0);
    for value in values {
        byte |= value << (8 - bits - filled);
        filled += bits;
        if filled == 8 {
            line.push(byte);
            (byte, filled) = (0, 0);
        }
    }
    if filled > 0 {
        line.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::{Capabilities, Dialect, Level};
    use super::*;

    /// Two rows of 8 pixels: grays 0, 32 .. 224, and red.
    fn glass() -> Glass {
        let mut data: Vec<u8> = (0..8u8).flat_map(|i| [i * 32; 3]).collect();
        data.extend([200, 100, 50].repeat(8));
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 8, 2);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&data)).expect("a PNG");
        Glass::png_bytes(bytes).expect("a good PNG")
    }

    fn scan(colour: u8, depth: u8, adjust: impl Fn(&mut Settings)) -> Vec<Vec<u8>> {
        let capabilities = Capabilities::perfection_v850(Dialect::Fs, Level::B8);
        let mut settings = Settings::new(&capabilities);
        settings.set(&capabilities, b'R', &[0x2c, 1, 0x2c, 1]).expect("300 dpi");
        settings.set(&capabilities, b'A', &[0, 0, 0, 0, 8, 0, 2, 0]).expect("the picture");
        (settings.colour, settings.depth) = (colour, depth);
        adjust(&mut settings);
        let mut lines = Lines::new(&glass(), &settings, &Downloads::default(), 0).expect("lines");
        let mut line = Vec::new();
        (0..lines.count())
            .map(|_| {
                lines.take(&mut line);
                assert_eq!(line.len(), lines.bytes());
                line.clone()
            })
            .collect()
    }

    #[test]
    fn colour_by_pixel_is_in_the_order_that_was_asked_for() {
        assert_eq!(scan(0x13, 8, |_| ())[1][..3], [200, 100, 50]);
        assert_eq!(scan(0x03, 8, |_| ())[1][..3], [100, 200, 50]);
        assert_eq!(scan(0x23, 8, |_| ())[1][..3], [50, 100, 200]);
    }

    #[test]
    fn colour_by_line_and_by_page_has_three_lines_a_row() {
        let firsts = |lines: Vec<Vec<u8>>| lines.iter().map(|line| line[1]).collect::<Vec<_>>();
        assert_eq!(firsts(scan(0x12, 8, |_| ())), [32, 32, 32, 200, 100, 50]);
        assert_eq!(firsts(scan(0x11, 8, |_| ())), [32, 200, 32, 100, 32, 50]);
    }

    #[test]
    fn one_light_sees_one_channel() {
        assert_eq!([0x10, 0x20, 0x30].map(|colour| scan(colour, 8, |_| ())[1][0]), [200, 100, 50]);
    }

    #[test]
    fn samples_are_packed_as_their_depth_says() {
        let first = |depth| scan(0x00, depth, |_| ())[0].clone();
        assert_eq!(first(1), [0b0000_1111]);
        assert_eq!(first(2), [0b0000_0101, 0b1010_1111]);
        assert_eq!(first(3), [0x02, 0x46, 0x8a, 0xce]);
        assert_eq!(first(4), [0x02, 0x46, 0x8a, 0xce]);
        assert_eq!(first(5), [0, 32, 64, 96, 128, 160, 192, 224]);
        assert_eq!(first(16)[2..4], (32u16 * 257).to_le_bytes());
        assert_eq!(first(12)[2..4], ((32u16 * 257) & 0xfff0).to_le_bytes());
    }

    #[test]
    fn below_the_threshold_is_black() {
        assert_eq!(scan(0x00, 1, |s| s.threshold = 33)[0], [0b0011_1111]);
        assert_eq!(scan(0x00, 1, |s| s.threshold = 32)[0], [0b0111_1111]);
    }

    #[test]
    fn a_mirrored_line_runs_backwards() {
        assert_eq!(scan(0x00, 8, |s| s.mirror = true)[0], [224, 192, 160, 128, 96, 64, 32, 0]);
    }
}

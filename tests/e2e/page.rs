//! A page as samples: what lies on the glass, and what a scan made of it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use usbscan_virtual::glass::{Bits, Glass, Mode, View};

/// White at this and above in lineart, as scanners have it unless told otherwise.
const THRESHOLD: u8 = 128;

/// The type of a page's samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    Color8,
    Color16,
    Gray8,
    Gray16,
    Lineart,
}

impl PixelFormat {
    pub const ALL: [PixelFormat; 5] =
        [PixelFormat::Color8, PixelFormat::Color16, PixelFormat::Gray8, PixelFormat::Gray16, PixelFormat::Lineart];

    pub fn white(self) -> u16 {
        match self {
            PixelFormat::Color8 | PixelFormat::Gray8 => 0xff,
            PixelFormat::Color16 | PixelFormat::Gray16 => 0xffff,
            PixelFormat::Lineart => 1,
        }
    }

    /// For `usbscan scan`.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            PixelFormat::Color8 => &["--mode", "color", "--depth", "8"],
            PixelFormat::Color16 => &["--mode", "color", "--depth", "16"],
            PixelFormat::Gray8 => &["--mode", "gray", "--depth", "8"],
            PixelFormat::Gray16 => &["--mode", "gray", "--depth", "16"],
            PixelFormat::Lineart => &["--mode", "lineart"],
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub kind: PixelFormat,
    pub width: u32,
    pub height: u32,
    /// Pixels a metre, where the file says so.
    pub density: Option<(u32, u32)>,
    pub samples: Vec<u16>,
}

impl Page {
    /// What of the glass lies in `view`.
    pub fn on_glass(glass: &Glass, view: View, kind: PixelFormat) -> Page {
        let (mode, bits) = match kind {
            PixelFormat::Color8 => (Mode::Color, Bits::Eight),
            PixelFormat::Color16 => (Mode::Color, Bits::Sixteen),
            PixelFormat::Gray8 => (Mode::Gray, Bits::Eight),
            PixelFormat::Gray16 => (Mode::Gray, Bits::Sixteen),
            PixelFormat::Lineart => (Mode::Lineart { threshold: THRESHOLD }, Bits::Eight),
        };
        let samples = glass.render(&view, mode, bits).expect("the glass can be seen");
        Page { kind, width: view.width, height: view.height, density: None, samples }
    }

    pub fn read_png(path: &Path) -> Page {
        let file = File::open(path).unwrap_or_else(|error| panic!("{} was not written: {error}", path.display()));
        Page::decode_png(BufReader::new(file))
    }

    pub fn from_png(bytes: &[u8]) -> Page {
        Page::decode_png(std::io::Cursor::new(bytes))
    }

    fn decode_png(source: impl std::io::BufRead + std::io::Seek) -> Page {
        let mut reader = png::Decoder::new(source).read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size that fits")];
        let frame = reader.next_frame(&mut bytes).expect("a whole PNG");
        bytes.truncate(frame.buffer_size());
        let kind = match (frame.color_type, frame.bit_depth) {
            (png::ColorType::Rgb, png::BitDepth::Eight) => PixelFormat::Color8,
            (png::ColorType::Rgb, png::BitDepth::Sixteen) => PixelFormat::Color16,
            (png::ColorType::Grayscale, png::BitDepth::Eight) => PixelFormat::Gray8,
            (png::ColorType::Grayscale, png::BitDepth::Sixteen) => PixelFormat::Gray16,
            (png::ColorType::Grayscale, png::BitDepth::One) => PixelFormat::Lineart,
            other => panic!("no page is {other:?}"),
        };
        reader.finish().expect("a whole file");
        let density = reader.info().pixel_dims.map(|size| (size.xppu, size.yppu));
        Page::unpack(kind, (frame.width, frame.height), density, &bytes)
    }

    pub fn from_pnm(bytes: &[u8]) -> Page {
        let mut rest = bytes;
        let mut word = || {
            let end = rest.iter().position(u8::is_ascii_whitespace).expect("a header of words");
            let (word, after) = rest.split_at(end);
            rest = &after[1..];
            std::str::from_utf8(word).expect("a header of text").to_owned()
        };
        let magic = word();
        let size = (word().parse().expect("a width"), word().parse().expect("a height"));
        let most = if magic == "P4" { "1".to_owned() } else { word() };
        let kind = match (magic.as_str(), most.as_str()) {
            ("P4", _) => PixelFormat::Lineart,
            ("P5", "255") => PixelFormat::Gray8,
            ("P5", "65535") => PixelFormat::Gray16,
            ("P6", "255") => PixelFormat::Color8,
            ("P6", "65535") => PixelFormat::Color16,
            other => panic!("no page is {other:?}"),
        };
        let turned: Vec<u8>;
        let pixels = if kind == PixelFormat::Lineart {
            // 1 is black here.
            turned = rest.iter().map(|byte| !byte).collect();
            &turned
        } else {
            rest
        };
        Page::unpack(kind, size, None, pixels)
    }

    fn unpack(kind: PixelFormat, (width, height): (u32, u32), density: Option<(u32, u32)>, bytes: &[u8]) -> Page {
        let samples = match kind {
            PixelFormat::Color8 | PixelFormat::Gray8 => bytes.iter().map(|byte| u16::from(*byte)).collect(),
            PixelFormat::Color16 | PixelFormat::Gray16 => {
                bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
            }
            PixelFormat::Lineart => {
                let line = |bytes: &[u8]| -> Vec<u16> {
                    (0..width as usize).map(|x| u16::from(bytes[x / 8] >> (7 - x % 8) & 1)).collect()
                };
                bytes.chunks_exact(width.div_ceil(8) as usize).flat_map(line).collect()
            }
        };
        Page { kind, width, height, density, samples }
    }

    /// Panics with the first sample that differs, if more than the last few columns do, all of which must be white.
    pub fn assert_shows_but_for_a_white_edge(&self, expected: &Page, most: usize) {
        let channels = if matches!(self.kind, PixelFormat::Color8 | PixelFormat::Color16) { 3 } else { 1 };
        let (white, line) = (self.kind.white(), self.width as usize * channels);
        let with_edge = |columns: usize| {
            let mut samples = expected.samples.clone();
            samples.chunks_exact_mut(line).for_each(|line| {
                let from = line.len() - columns * channels;
                line[from..].fill(white);
            });
            samples
        };
        if !(1..=most).any(|columns| self.samples == with_edge(columns)) {
            self.assert_shows(expected);
        }
    }

    pub fn assert_shows(&self, expected: &Page) {
        assert_eq!((self.kind, self.width, self.height), (expected.kind, expected.width, expected.height));
        assert_eq!(self.samples.len(), expected.samples.len(), "samples of {:?}", (self.width, self.height));
        let differs = self.samples.iter().zip(&expected.samples).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let channels = if matches!(self.kind, PixelFormat::Color8 | PixelFormat::Color16) { 3 } else { 1 };
            let (pixel, width) = (at / channels, self.width as usize);
            let (got, want) = (self.samples[at], expected.samples[at]);
            panic!("pixel {}, {} is {got} and should be {want} ({:?})", pixel % width, pixel / width, self.kind);
        }
    }
}

/// A picture of which no two lines and no two columns are alike, as a PNG file that names no resolution.
pub fn write_noise(path: &Path, width: u32, height: u32, seed: u64) {
    let mut state = seed | 1;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    let pixels: Vec<u8> = std::iter::repeat_with(&mut next).take((width * height * 3) as usize).collect();
    let file = std::io::BufWriter::new(File::create(path).expect("a folder to write in"));
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("as many pixels as said");
}

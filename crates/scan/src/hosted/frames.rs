//! The bytes of a backend's frames to lines of a page. Values only.
//!
//! SANE's lineart has 1 for black, ours 0; its 16 bits are in the machine's order, ours have the higher byte first. A line may be
//! longer than its pixels. A page in three passes comes as three frames of one colour each.

use std::io::{self, Read, Seek, SeekFrom, Write};

use tempfile::SpooledTempFile;
use usbscan_sane_protocol::{FrameFormat, Parameters};

use crate::{Dpi, PageFormat, Pixels};

/// Bytes of a frame of one colour that are kept in memory; what is more goes into a file.
const IN_MEMORY: usize = 4 << 20;
/// The longest line, in bytes: 200,000 pixels of 48 bits and more.
const LINE_LIMIT: usize = 4 << 20;
/// Bytes of lines that are put together at once.
const PIECE: usize = 128 * 1024;

/// A page with frames like this; `None` where nobody here can take one.
pub(super) fn page_format(of: &Parameters, dpi: (Dpi, Dpi)) -> Option<PageFormat> {
    let pixels = match (of.format, of.depth) {
        (FrameFormat::Gray, 1) => Pixels::Bit,
        (FrameFormat::Gray, 8) => Pixels::Gray8,
        (FrameFormat::Gray, 16) => Pixels::Gray16,
        (FrameFormat::Rgb | FrameFormat::Red | FrameFormat::Green | FrameFormat::Blue, 8) => Pixels::Rgb8,
        (FrameFormat::Rgb | FrameFormat::Red | FrameFormat::Green | FrameFormat::Blue, 16) => Pixels::Rgb16,
        _ => return None,
    };
    let width = u32::try_from(of.pixels_per_line).ok().filter(|width| *width > 0)?;
    let height = u32::try_from(of.lines).ok().filter(|lines| *lines > 0);
    let page = PageFormat { width, height, pixels, dpi };
    let theirs = usize::try_from(of.bytes_per_line).ok()?;
    let needed = if is_pass(of.format) { page.bytes_per_line() / 3 } else { page.bytes_per_line() };
    (needed <= theirs && theirs <= LINE_LIMIT && page.bytes_per_line() <= LINE_LIMIT).then_some(page)
}

/// Whether a frame is of one colour.
pub(super) fn is_pass(format: FrameFormat) -> bool {
    matches!(format, FrameFormat::Red | FrameFormat::Green | FrameFormat::Blue)
}

/// Puts whole lines together from bytes that come in any pieces.
#[derive(Debug)]
pub(super) struct Lines {
    /// Bytes of a line as they come, and of its pixels.
    theirs: usize,
    ours: usize,
    pixels: Pixels,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    turned: Vec<u8>,
}

impl Lines {
    /// Of lines of `theirs` bytes, of which the first `ours` are pixels.
    pub fn new(theirs: usize, ours: usize, pixels: Pixels) -> Lines {
        Lines { theirs, ours, pixels, begun: Vec::new(), turned: Vec::new() }
    }

    /// Of a page in one frame.
    pub fn of_page(of: &Parameters, page: &PageFormat) -> Lines {
        Lines::new(of.bytes_per_line as usize, page.bytes_per_line(), page.pixels)
    }

    /// Takes bytes. Returns the lines that are whole now.
    pub fn push(&mut self, bytes: &[u8]) -> &[u8] {
        self.turned.clear();
        let mut rest = bytes;
        if !self.begun.is_empty() {
            let missing = (self.theirs - self.begun.len()).min(rest.len());
            self.begun.extend_from_slice(&rest[..missing]);
            rest = &rest[missing..];
            if self.begun.len() < self.theirs {
                return &self.turned;
            }
            turn(self.pixels, &self.begun[..self.ours], &mut self.turned);
            self.begun.clear();
        }
        let mut lines = rest.chunks_exact(self.theirs);
        for line in &mut lines {
            turn(self.pixels, &line[..self.ours], &mut self.turned);
        }
        self.begun.extend_from_slice(lines.remainder());
        &self.turned
    }
}

fn turn(pixels: Pixels, line: &[u8], into: &mut Vec<u8>) {
    match pixels {
        Pixels::Gray8 | Pixels::Rgb8 => into.extend_from_slice(line),
        Pixels::Bit => into.extend(line.iter().map(|byte| !byte)),
        Pixels::Gray16 | Pixels::Rgb16 => {
            into.extend(line.chunks_exact(2).flat_map(|two| u16::from_ne_bytes([two[0], two[1]]).to_be_bytes()));
        }
    }
}

/// The frames of a page in three passes, kept until all are there.
#[derive(Debug)]
pub(super) struct Passes {
    /// Red, green, blue.
    frames: [Option<Pass>; 3],
    page: PageFormat,
}

#[derive(Debug)]
struct Pass {
    lines: Lines,
    kept: SpooledTempFile,
    bytes: u64,
}

impl Passes {
    /// Of a page like this.
    pub fn new(page: PageFormat) -> Passes {
        Passes { frames: [None, None, None], page }
    }

    fn line_bytes(&self) -> usize {
        self.page.bytes_per_line() / 3
    }

    /// The next frame begins. `false` for one that does not belong to this page.
    pub fn begin(&mut self, of: &Parameters) -> bool {
        let at = match of.format {
            FrameFormat::Red => 0,
            FrameFormat::Green => 1,
            FrameFormat::Blue => 2,
            FrameFormat::Gray | FrameFormat::Rgb | FrameFormat::Other => return false,
        };
        let same = page_format(of, self.page.dpi)
            .is_some_and(|page| (page.width, page.pixels) == (self.page.width, self.page.pixels));
        if !same || self.frames[at].is_some() {
            return false;
        }
        let samples = if self.page.pixels == Pixels::Rgb16 { Pixels::Gray16 } else { Pixels::Gray8 };
        let lines = Lines::new(of.bytes_per_line as usize, self.line_bytes(), samples);
        self.frames[at] = Some(Pass { lines, kept: SpooledTempFile::new(IN_MEMORY), bytes: 0 });
        true
    }

    /// Bytes of a frame that has begun.
    ///
    /// # Errors
    /// When they can't be kept.
    pub fn push(&mut self, format: FrameFormat, bytes: &[u8]) -> io::Result<()> {
        let at = [FrameFormat::Red, FrameFormat::Green, FrameFormat::Blue].iter().position(|one| *one == format);
        let Some(pass) = at.and_then(|at| self.frames[at].as_mut()) else { return Ok(()) };
        let lines = pass.lines.push(bytes);
        pass.bytes += lines.len() as u64;
        pass.kept.write_all(lines)
    }

    /// Whether all three are there.
    pub fn is_complete(&self) -> bool {
        self.frames.iter().all(Option::is_some)
    }

    /// The page's format with the height that the frames have, and its lines, a piece at a time.
    ///
    /// # Errors
    /// When what was kept can't be read.
    pub fn join(self) -> io::Result<JoinedPage> {
        let line = self.line_bytes() as u64;
        let lines = self.frames.iter().map(|pass| pass.as_ref().map_or(0, |pass| pass.bytes / line.max(1))).min();
        let height = u32::try_from(lines.unwrap_or(0)).unwrap_or(u32::MAX);
        let height = self.page.height.map_or(height, |known| known.min(height));
        let mut planes = Vec::new();
        for pass in self.frames.into_iter().flatten() {
            let mut kept = pass.kept;
            kept.seek(SeekFrom::Start(0))?;
            planes.push(kept);
        }
        Ok(JoinedPage { page: self.page, lines_left: height, planes, samples: Vec::new(), joined: Vec::new() })
    }
}

/// A page whose three frames are there.
#[derive(Debug)]
pub(super) struct JoinedPage {
    page: PageFormat,
    lines_left: u32,
    planes: Vec<SpooledTempFile>,
    samples: Vec<u8>,
    joined: Vec<u8>,
}

impl JoinedPage {
    /// How many lines there are in all, before the first is taken.
    pub fn lines_left(&self) -> u32 {
        self.lines_left
    }

    /// Some lines more; `None` at the end.
    ///
    /// # Errors
    /// When what was kept can't be read.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if self.lines_left == 0 {
            return Ok(None);
        }
        let line = self.page.bytes_per_line();
        let lines = u32::try_from((PIECE / line.max(1)).max(1)).unwrap_or(1).min(self.lines_left);
        self.lines_left -= lines;
        self.samples.resize(line / 3 * lines as usize, 0);
        self.joined.resize(line * lines as usize, 0);
        let bytes = if self.page.pixels == Pixels::Rgb16 { 2 } else { 1 };
        for (at, plane) in self.planes.iter_mut().enumerate() {
            plane.read_exact(&mut self.samples)?;
            let pixels = self.joined.chunks_exact_mut(3 * bytes);
            for (pixel, sample) in pixels.zip(self.samples.chunks_exact(bytes)) {
                pixel[at * bytes..(at + 1) * bytes].copy_from_slice(sample);
            }
        }
        Ok(Some(&self.joined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DPI: (Dpi, Dpi) = (Dpi(300), Dpi(300));

    fn parameters(format: FrameFormat, depth: i32, bytes_per_line: i32) -> Parameters {
        Parameters { format, last_frame: true, bytes_per_line, pixels_per_line: 3, lines: 2, depth }
    }

    #[test]
    fn frames_of_every_format_make_a_page_and_others_are_refused() {
        let pixels = |of: &Parameters| page_format(of, DPI).map(|page| page.pixels);
        for (format, depth, bytes, expected) in [
            (FrameFormat::Gray, 1, 1, Pixels::Bit),
            (FrameFormat::Gray, 8, 3, Pixels::Gray8),
            (FrameFormat::Gray, 16, 8, Pixels::Gray16),
            (FrameFormat::Rgb, 8, 9, Pixels::Rgb8),
            (FrameFormat::Rgb, 16, 18, Pixels::Rgb16),
            (FrameFormat::Red, 8, 3, Pixels::Rgb8),
            (FrameFormat::Blue, 16, 6, Pixels::Rgb16),
        ] {
            assert_eq!(pixels(&parameters(format, depth, bytes)), Some(expected), "{format:?} {depth}");
            assert_eq!(pixels(&parameters(format, depth, bytes - 3)), None, "a line that is too short");
        }
        for bad in [
            parameters(FrameFormat::Other, 8, 9),
            parameters(FrameFormat::Rgb, 1, 9),
            parameters(FrameFormat::Gray, 12, 9),
            parameters(FrameFormat::Gray, 8, -1),
            Parameters { pixels_per_line: 0, ..parameters(FrameFormat::Gray, 8, 9) },
            Parameters { pixels_per_line: i32::MAX, bytes_per_line: i32::MAX, ..parameters(FrameFormat::Gray, 8, 9) },
        ] {
            assert_eq!(pixels(&bad), None, "{bad:?}");
        }
        let endless = Parameters { lines: -1, ..parameters(FrameFormat::Gray, 8, 3) };
        assert_eq!(page_format(&endless, DPI).expect("a page").height, None);
    }

    #[test]
    fn lines_are_whole_and_without_padding_in_whatever_pieces_they_come() {
        let of = parameters(FrameFormat::Gray, 8, 5);
        let page = page_format(&of, DPI).expect("a page");
        for size in 1..=10 {
            let mut lines = Lines::of_page(&of, &page);
            let bytes = [1, 2, 3, 0, 0, 4, 5, 6, 0, 0];
            let got: Vec<u8> = bytes.chunks(size).flat_map(|piece| lines.push(piece).to_vec()).collect();
            assert_eq!(got, [1, 2, 3, 4, 5, 6], "pieces of {size}");
        }
    }

    #[test]
    fn lineart_is_0_for_black_and_16_bits_have_the_higher_byte_first() {
        let mut bits = Lines::new(1, 1, Pixels::Bit);
        assert_eq!(bits.push(&[0b1010_0000]), [0b0101_1111]);
        let mut samples = Lines::new(4, 4, Pixels::Gray16);
        let machine: Vec<u8> = [0x1234_u16, 0xff00].iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        assert_eq!(samples.push(&machine), [0x12, 0x34, 0xff, 0x00]);
    }

    #[test]
    fn three_passes_in_any_order_are_one_page() {
        let pass = |format| Parameters {
            format,
            last_frame: false,
            bytes_per_line: 4,
            pixels_per_line: 3,
            lines: 2,
            depth: 8,
        };
        let page = page_format(&pass(FrameFormat::Red), DPI).expect("a page");
        let mut passes = Passes::new(page);
        for (format, first) in [(FrameFormat::Blue, 200), (FrameFormat::Red, 0), (FrameFormat::Green, 100)] {
            assert!(!passes.is_complete());
            assert!(passes.begin(&pass(format)));
            assert!(!passes.begin(&pass(format)), "each colour once");
            let lines = [[first, first + 1, first + 2, 0], [first + 3, first + 4, first + 5, 0]].concat();
            passes.push(format, &lines).expect("it is kept");
        }
        assert!(passes.is_complete());
        let mut joined = passes.join().expect("it is kept");
        assert_eq!(joined.lines_left(), 2);
        let lines = joined.next().expect("it is kept").expect("lines").to_vec();
        assert_eq!(lines, [0, 100, 200, 1, 101, 201, 2, 102, 202, 3, 103, 203, 4, 104, 204, 5, 105, 205]);
        assert_eq!(joined.next().expect("it is kept"), None);
    }
}

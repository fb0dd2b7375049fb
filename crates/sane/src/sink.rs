//! From a driver's lines to SANE's bytes: 1 is black, 16 bits stand in the machine's order. Runs on the scan's thread.

use usbscan_scan::{Flow, PageFormat, PageSink, Pixels, SinkError};

use crate::abi::{self, Frame, Parameters, Word};
use crate::stream::{Stopped, Stream};

/// A page as SANE describes it; `None` where a line has more bytes than SANE can count.
pub fn parameters(format: &PageFormat) -> Option<Parameters> {
    let frame = if format.pixels.channels() == 3 { Frame::Rgb } else { Frame::Gray };
    let lines = match format.height {
        Some(height) => Word::try_from(height).ok()?,
        None => -1,
    };
    Some(Parameters {
        format: frame,
        last_frame: abi::TRUE,
        bytes_per_line: Word::try_from(format.bytes_per_line()).ok()?,
        pixels_per_line: Word::try_from(format.width).ok()?,
        lines,
        depth: Word::try_from(format.pixels.bits_per_sample()).ok()?,
    })
}

/// Takes a page for a [`Stream`].
#[derive(Debug)]
pub struct Sink<'a> {
    stream: &'a Stream,
    format: Option<PageFormat>,
    /// Lines as SANE has them; the room is used again.
    turned: Vec<u8>,
}

impl Sink<'_> {
    /// Before the page has begun.
    pub fn new(stream: &Stream) -> Sink<'_> {
        Sink { stream, format: None, turned: Vec::new() }
    }
}

impl PageSink for Sink<'_> {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        let parameters = parameters(format).ok_or_else(|| SinkError::new("the page is too large for SANE"))?;
        self.format = Some(*format);
        self.stream.begin(parameters).map_err(|Stopped| SinkError::new("the page is not wanted any more"))
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        let format = self.format.expect("a page begins before its lines");
        let lines = turn(&format, lines, &mut self.turned);
        match self.stream.push(lines) {
            Ok(()) => Ok(Flow::Continue),
            Err(Stopped) => Ok(Flow::Stop),
        }
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Lines as SANE has them; those that differ are written to `turned`.
fn turn<'a>(format: &PageFormat, lines: &'a [u8], turned: &'a mut Vec<u8>) -> &'a [u8] {
    turned.clear();
    match format.pixels {
        Pixels::Gray8 | Pixels::Rgb8 => return lines,
        Pixels::Gray16 | Pixels::Rgb16 => {
            turned.extend(lines.chunks_exact(2).flat_map(|high_first| {
                let sample = u16::from_be_bytes([high_first[0], high_first[1]]);
                sample.to_ne_bytes()
            }));
        }
        Pixels::Bit => {
            turned.extend(lines.iter().map(|byte| !byte));
            blank_behind_each_line(format, turned);
        }
    }
    turned
}

/// The bits behind the last pixel of a line become white, so that nobody sees a black edge.
fn blank_behind_each_line(format: &PageFormat, lines: &mut [u8]) {
    let pixels_in_last_byte = format.width % 8;
    if pixels_in_last_byte == 0 {
        return;
    }
    let mask = !(0xff_u8 >> pixels_in_last_byte);
    for line in lines.chunks_exact_mut(format.bytes_per_line()) {
        if let Some(last) = line.last_mut() {
            *last &= mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use usbscan_scan::Dpi;

    use super::*;

    fn format(width: u32, pixels: Pixels) -> PageFormat {
        PageFormat { width, height: Some(2), pixels, dpi: (Dpi(300), Dpi(300)) }
    }

    fn turned(width: u32, pixels: Pixels, lines: &[u8]) -> Vec<u8> {
        turn(&format(width, pixels), lines, &mut vec![0xee; 3]).to_vec()
    }

    #[test]
    fn lineart_is_1_for_black_and_white_behind_the_line() {
        assert_eq!(turned(8, Pixels::Bit, &[0b1000_0001, 0xff]), [0b0111_1110, 0]);
        assert_eq!(turned(10, Pixels::Bit, &[0xff, 0b0111_1111, 0, 0]), [0, 0b1000_0000, 0xff, 0b1100_0000]);
    }

    #[test]
    fn sixteen_bits_stand_in_the_machines_order() {
        let bytes = turned(1, Pixels::Gray16, &[0x12, 0x34, 0xff, 0x00]);
        let samples: Vec<u16> = bytes.chunks(2).map(|two| u16::from_ne_bytes([two[0], two[1]])).collect();
        assert_eq!(samples, [0x1234, 0xff00]);
    }

    #[test]
    fn eight_bits_stay_as_they_are() {
        assert_eq!(turned(1, Pixels::Rgb8, &[1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn a_page_is_described_in_sanes_words() {
        let color = parameters(&format(5, Pixels::Rgb16)).expect("it fits");
        assert_eq!((color.format, color.depth, color.bytes_per_line, color.lines), (Frame::Rgb, 16, 30, 2));
        let lineart = parameters(&PageFormat { height: None, ..format(9, Pixels::Bit) }).expect("it fits");
        assert_eq!((lineart.format, lineart.depth, lineart.bytes_per_line, lineart.lines), (Frame::Gray, 1, 2, -1));
        assert_eq!(parameters(&format(u32::MAX, Pixels::Rgb16)), None);
    }
}

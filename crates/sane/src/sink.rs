//! From a driver's lines to SANE's bytes: 1 is black, 16 bits stand in the machine's order. Runs on the scan's thread.
//!
//! SANE lets a backend say -1 for the lines of a page whose height is not known, but scanimage writes no PNG, JPEG or PDF of such a
//! page (it crashes, or makes it 65500 pixels high). So a sheet from a feeder is kept until it is whole, and begins for the
//! application with its height.

use std::io::{self, Read};

use usbscan_scan::{Flow, PageFormat, PageSink, Pixels, SinkError};

use crate::abi::{self, Frame, Parameters, Status, Word};
use crate::environment;
use crate::spool::Spool;
use crate::stream::{PageQueue, Stopped};

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

/// Takes a page for a [`PageQueue`].
#[derive(Debug)]
pub struct Sink<'a> {
    stream: &'a PageQueue,
    format: Option<PageFormat>,
    /// Lines as SANE has them; the room is used again.
    turned: Vec<u8>,
    /// A page whose height is not known yet.
    spool: Option<Spool>,
}

/// Bytes of a kept page that are handed on at once.
const PIECE: usize = 64 * 1024;

impl Sink<'_> {
    /// Before the page has begun.
    pub fn new(stream: &PageQueue) -> Sink<'_> {
        Sink { stream, format: None, turned: Vec::new(), spool: None }
    }
}

impl Sink<'_> {
    /// The scanner is done with the page: one that was kept is handed on now. How it ended for the application.
    pub fn deliver(&mut self) -> Status {
        let (Some(spool), Some(format)) = (self.spool.take(), self.format) else { return Status::Eof };
        let lines = spool.bytes() / format.bytes_per_line().max(1) as u64;
        let height = u32::try_from(lines).ok();
        let Some(parameters) = parameters(&PageFormat { height, ..format }) else { return Status::IoError };
        match self.hand_on(spool, parameters) {
            Ok(Ok(())) => Status::Eof,
            Ok(Err(Stopped)) => Status::Cancelled,
            Err(error) => {
                log::error!("read the page that was kept: {error}");
                Status::IoError
            }
        }
    }

    fn hand_on(&self, spool: Spool, parameters: Parameters) -> io::Result<Result<(), Stopped>> {
        let mut page = spool.read()?;
        if self.stream.begin(parameters).is_err() {
            return Ok(Err(Stopped));
        }
        let mut piece = vec![0; PIECE];
        loop {
            match page.read(&mut piece)? {
                0 => return Ok(Ok(())),
                read if self.stream.push(&piece[..read]).is_err() => return Ok(Err(Stopped)),
                _ => {}
            }
        }
    }
}

impl PageSink for Sink<'_> {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        let parameters = parameters(format).ok_or_else(|| SinkError::new("the page is too large for SANE"))?;
        self.format = Some(*format);
        if format.height.is_none() {
            self.spool = Some(Spool::new());
            return Ok(());
        }
        self.stream.begin(parameters).map_err(|Stopped| SinkError::new("the page is not wanted any more"))
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        let format = self.format.expect("a page begins before its lines");
        let lines = turn(&format, lines, &mut self.turned);
        if let Some(spool) = &mut self.spool {
            spool.write(lines).map_err(|error| {
                log::error!("keep the page in {}: {error}", environment::temporary_folder().display());
                SinkError::new(error)
            })?;
            return Ok(if self.stream.is_over() { Flow::Stop } else { Flow::Continue });
        }
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
    fn a_page_whose_height_is_not_known_begins_with_it_once_it_is_whole() {
        let stream = PageQueue::new().expect("descriptors are left");
        let mut sink = Sink::new(&stream);
        sink.begin(&PageFormat { height: None, ..format(9, Pixels::Bit) }).expect("it begins");
        for _ in 0..3 {
            assert_eq!(sink.lines(&[0xff, 0xff, 0, 0]).expect("it is kept"), Flow::Continue);
        }
        assert_eq!(stream.parameters(), None, "not yet");
        assert_eq!(sink.deliver(), Status::Eof);
        assert_eq!(stream.wait_begun().expect("it has begun").lines, 6);
        let mut bytes = [std::mem::MaybeUninit::new(0); 100];
        assert_eq!(stream.read(&mut bytes, crate::stream::Wait::No), Ok(12));
        // SAFETY: they were zero before.
        assert_eq!(bytes[..4].iter().map(|byte| unsafe { byte.assume_init() }).collect::<Vec<_>>(), [0, 0, 0xff, 0x80]);
        stream.stop();
        sink.begin(&PageFormat { height: None, ..format(9, Pixels::Bit) }).expect("the next");
        assert_eq!(sink.lines(&[0xff, 0xff]).expect("it is kept"), Flow::Stop, "nobody wants it any more");
        assert_eq!(sink.deliver(), Status::Cancelled);
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

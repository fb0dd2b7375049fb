//! JPEG from a scanner, decoded line by line: bytes in as they come, some lines out, the page held nowhere. On the thread
//! that scans; no I/O of its own.
//!
//! What scanners send is sequential JPEG with Huffman coding and 8 bits a sample (ITU-T T.81, SOF0 and SOF1), gray or with
//! three components, all in one scan; any sampling factors, restart intervals, a height that is told only at the end
//! (DNL), and data that ends (EOI) before the height that was told, behind a whole row of MCUs. The rest of the standard is refused in words: a progressive picture could not be decoded without holding all of it.
//!
//! Why not a library: those in safe Rust hold the page, and libjpeg's C reports errors by unwinding through its own frames, in
//! the middle of whatever application has loaded our SANE backend.
//!
//! Samples of components with fewer samples than pixels are repeated. The inverse cosine transform is computed in floating
//! point, so values may differ by one from those of decoders that do it with rounded integers.
//!
//! | file | what |
//! |---|---|
//! | `headers` | the segments before the data |
//! | `bits`, `huffman` | bytes to bits to symbols |
//! | `transform` | 64 coefficients to 64 samples |
//! | `strip` | planes of samples to lines of pixels |
//! | [`Rewriter`] | the same picture as a file, not decoded |

mod bits;
mod headers;
mod huffman;
mod rewrite;
mod strip;
#[cfg(test)]
mod tests;
mod transform;

use ::bytes::Bytes;
use bits::{Bits, Fills};
use headers::Headers;
pub use rewrite::Rewriter;
use strip::Plane;

/// Bytes behind the last line's data and before the marker that ends them, which are no data: some encoders fill up there.
const MOST_PADDING: u32 = 512;

/// Why bytes are no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// They don't begin as one.
    #[error("the image is no JPEG")]
    NotJpeg,
    /// They end before the picture does.
    #[error("the JPEG image ends early")]
    Truncated,
    /// A kind that scanners don't send.
    #[error("the image is a kind of JPEG that can't be decoded line by line: {0}")]
    Unsupported(&'static str),
    /// They contradict themselves.
    #[error("the JPEG image is damaged: {0}")]
    Damaged(&'static str),
}

/// Where the bytes come from.
pub trait ByteSource {
    /// What can go wrong there, and with the picture.
    type Error: From<JpegError>;

    /// The next bytes, as many as there are; `None` behind the last.
    ///
    /// # Errors
    /// Its own.
    fn more(&mut self) -> Result<Option<Bytes>, Self::Error>;
}

/// What the picture looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Pixels of a line.
    pub width: u32,
    /// Lines, where they are told at the beginning; at most: scanners with a feeder write the height that was asked for, and end the
    /// data where the sheet ends.
    pub height: Option<u32>,
    /// 1: gray. 3: red, green, blue.
    pub channels: u32,
}

/// What becomes of coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blocks {
    Decoded,
    Skipped,
}

/// A picture being decoded.
#[derive(Debug)]
pub struct Decoder {
    bits: Bits,
    headers: Headers,
    planes: Vec<Plane>,
    /// The last DC value of each component.
    dc: Vec<i32>,
    /// MCUs until the next restart marker.
    until_restart: u32,
    restarts: u8,
    lines: u32,
    /// Lines that were told at the beginning, and at the end were not there.
    missing: u32,
    /// All of it was decoded.
    over: bool,
    /// Where the data ended, in bytes from the first.
    data_end: Option<u64>,
}

impl Decoder {
    /// Reads as far as the first pixel.
    ///
    /// # Errors
    /// [`JpegError`], and those of the source.
    pub fn new<S: ByteSource + ?Sized>(source: &mut S) -> Result<Decoder, S::Error> {
        let mut bits = Bits::default();
        let headers = Headers::read(&mut bits, source)?;
        let planes = headers.components.iter().map(|component| Plane::new(&headers, component)).collect();
        let dc = vec![0; headers.components.len()];
        let until_restart = headers.restart_interval;
        Ok(Decoder {
            bits,
            headers,
            planes,
            dc,
            until_restart,
            restarts: 0,
            lines: 0,
            missing: 0,
            over: false,
            data_end: None,
        })
    }

    /// What it looks like.
    pub fn frame(&self) -> Frame {
        Frame {
            width: self.headers.width,
            height: Some(self.headers.height).filter(|height| *height > 0),
            channels: self.headers.components.len() as u32,
        }
    }

    /// Lines of an MCU.
    pub fn mcu_height(&self) -> u32 {
        self.headers.mcu_height()
    }

    /// How many of the lines that were told at the beginning did not come, once all of it has come. 0 where the end tells another
    /// number (DNL).
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Appends the next lines, at most 32. False: there are none any more.
    ///
    /// # Errors
    /// [`JpegError`], and those of the source.
    pub fn lines<S: ByteSource + ?Sized>(&mut self, source: &mut S, into: &mut Vec<u8>) -> Result<bool, S::Error> {
        let Some(count) = self.row(source, Blocks::Decoded)? else { return Ok(false) };
        strip::pixels(&self.headers, &self.planes, count, into);
        Ok(true)
    }

    /// Goes through the next row of MCUs and makes no pixels of it. False: there are none any more. Unlike [`Decoder::lines`] it
    /// looks for the end of the data behind the last.
    fn walk<S: ByteSource + ?Sized>(&mut self, source: &mut S) -> Result<bool, S::Error> {
        let has_row = self.row(source, Blocks::Skipped)?.is_some();
        if self.over && self.data_end.is_none() {
            self.data_end = Some(self.bits.data_consumed());
            if !self.bits.skip_to_end(source, MOST_PADDING)? {
                return Err(JpegError::Damaged("it has more data than lines").into());
            }
        }
        Ok(has_row)
    }

    /// The next row of MCUs: how many lines it has.
    fn row<S: ByteSource + ?Sized>(&mut self, source: &mut S, blocks: Blocks) -> Result<Option<u32>, S::Error> {
        if self.over {
            return Ok(None);
        }
        for mcu in 0..self.headers.mcus_across {
            self.restart(source)?;
            self.mcu(source, mcu, blocks)?;
        }
        let mut count = self.headers.mcu_height();
        if self.headers.height > 0 {
            count = count.min(self.headers.height - self.lines);
            self.over = self.lines + count == self.headers.height;
        }
        // A sheet may have been shorter than the scanner thought when it wrote the height.
        let fills = if self.headers.height == 0 { Fills::Anything } else { Fills::Ones };
        if !self.over && self.bits.is_at_end(source, fills)? {
            self.over = true;
            self.data_end = Some(self.bits.data_consumed());
            match headers::number_of_lines(&mut self.bits, source)? {
                Some(height) => count = count.min(height.saturating_sub(self.lines)),
                None => self.missing = self.headers.height.saturating_sub(self.lines + count),
            }
        }
        self.lines += count;
        Ok(Some(count))
    }

    /// At a restart interval's end: the marker, and everything begins anew.
    fn restart<S: ByteSource + ?Sized>(&mut self, source: &mut S) -> Result<(), S::Error> {
        if self.headers.restart_interval == 0 {
            return Ok(());
        }
        if self.until_restart == 0 {
            self.bits.restart_marker(source, self.restarts)?;
            self.restarts = (self.restarts + 1) % 8;
            self.dc.fill(0);
            self.until_restart = self.headers.restart_interval;
        }
        self.until_restart -= 1;
        Ok(())
    }

    fn mcu<S: ByteSource + ?Sized>(&mut self, source: &mut S, mcu: u32, blocks: Blocks) -> Result<(), S::Error> {
        let mut block = [0.0; 64];
        for (at, component) in self.headers.components.iter().enumerate() {
            let tables = (&self.headers.dc[component.dc], &self.headers.ac[component.ac]);
            let quantization = &self.headers.quantization[component.quantization];
            for row in 0..component.down {
                for column in 0..component.across {
                    let is_flat =
                        huffman::block(&mut self.bits, source, tables, quantization, &mut self.dc[at], &mut block)?;
                    if blocks == Blocks::Skipped {
                        continue;
                    }
                    transform::inverse(&mut block, is_flat);
                    self.planes[at].put(mcu * component.across + column, row, &block);
                }
            }
        }
        Ok(())
    }
}

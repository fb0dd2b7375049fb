//! A scanner's JPEG as a file: the head set right, the entropy-coded data as it came, byte for byte. The data is walked through
//! on its way, symbol by symbol and without transforms, so that damage is found and lines are counted.
//!
//! What of the head changes: the size, which a scanner may state padded or as it was asked for; the resolution (JFIF's density); and
//! segments APPn and COM, in which scanners state serial numbers and dates, are left out. Adobe's (APP14) stays, since it says
//! what the components mean.

use ::bytes::Bytes;

use super::{ByteSource, Decoder, Frame};

/// End of image.
const EOI: [u8; 2] = [0xff, 0xd9];

/// A picture on its way.
#[derive(Debug)]
pub struct Rewriter {
    decoder: Decoder,
    head: Vec<u8>,
    /// What came and was not handed on, and how many bytes were before it.
    taken: Vec<u8>,
    drained: u64,
    over: bool,
}

impl Rewriter {
    /// Reads as far as the first byte of data.
    ///
    /// # Errors
    /// [`super::JpegError`], and those of the source.
    pub fn new<S: ByteSource + ?Sized>(source: &mut S) -> Result<Rewriter, S::Error> {
        let mut taken = Vec::new();
        let decoder = Decoder::new(&mut Tee { source, taken: &mut taken })?;
        let head: Vec<u8> = taken.drain(..decoder.bits.consumed() as usize).collect();
        let drained = head.len() as u64;
        Ok(Rewriter { decoder, head, taken, drained, over: false })
    }

    /// What it looks like.
    pub fn frame(&self) -> Frame {
        self.decoder.frame()
    }

    /// Whether a picture of so many pixels across has the same data: as many MCUs.
    pub fn has_width(&self, width: u32) -> bool {
        let mcu = 8 * self.decoder.headers.most_across;
        width > 0 && width.div_ceil(mcu) == self.decoder.headers.mcus_across
    }

    /// Likewise for lines, as far as the head tells how many there are.
    pub fn has_height(&self, height: u32) -> bool {
        let mcu = self.decoder.headers.mcu_height();
        self.frame().height.is_some_and(|told| height > 0 && height.div_ceil(mcu) == told.div_ceil(mcu))
    }

    /// What was read, of one whose data nobody has asked for: to be read again in another way.
    pub fn into_bytes(self) -> Bytes {
        [self.head, self.taken].concat().into()
    }

    /// Lines that there are so far: whole rows of MCUs.
    pub fn lines(&self) -> u32 {
        self.decoder.lines
    }

    /// Whether what has come is the data of a picture of so many lines: as many rows of MCUs.
    pub fn is_whole_for(&self, height: u32) -> bool {
        let mcu = self.decoder.headers.mcu_height();
        self.lines().div_ceil(mcu) == height.div_ceil(mcu)
    }

    /// The nearest height to this one that has the same data, once all of it has come.
    pub fn fit_height(&self, height: u32) -> u32 {
        let mcu = self.decoder.headers.mcu_height();
        let rows = self.lines().div_ceil(mcu);
        height.clamp((rows.saturating_sub(1) * mcu + 1).min(self.lines()), self.lines())
    }

    /// The next bytes of data; `None` behind the last.
    ///
    /// # Errors
    /// [`super::JpegError`], also for data that is damaged or more than the frame has; and those of the source.
    pub fn next<S: ByteSource + ?Sized>(&mut self, source: &mut S) -> Result<Option<Bytes>, S::Error> {
        while !self.over {
            self.over = !self.decoder.walk(&mut Tee { source, taken: &mut self.taken })?;
            let end = self.decoder.data_end.unwrap_or(self.decoder.bits.data_consumed());
            let ready = end.saturating_sub(self.drained) as usize;
            if ready > 0 {
                self.drained = end;
                return Ok(Some(self.taken.drain(..ready).collect()));
            }
        }
        Ok(None)
    }

    /// What precedes the data in a file of this size; dots per inch across and down.
    pub fn head(&self, width: u32, height: u32, dpi: (u32, u32)) -> Vec<u8> {
        let word = |value: u32| u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes();
        let mut all = vec![0xff, 0xd8];
        let is_rgb = self.decoder.headers.is_rgb;
        if is_rgb {
            // JFIF would say that the components are brightness and two colours, and there is no resolution without it. Adobe's
            // segment: version 100, no flags, no transform.
            all.extend_from_slice(b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\0");
        } else {
            // T.871, 10.1: version 1.01, dots per inch, no thumbnail.
            all.extend_from_slice(b"\xff\xe0\x00\x10JFIF\0\x01\x01\x01");
            all.extend(word(dpi.0));
            all.extend(word(dpi.1));
            all.extend([0, 0]);
        }
        let mut rest = &self.head[2..];
        while let Some((marker, segment, behind)) = segment(rest) {
            match marker {
                0xe0..=0xed | 0xef | 0xfe => {}
                0xee if is_rgb => {}
                0xc0 | 0xc1 => {
                    let frame = all.len();
                    all.extend_from_slice(segment);
                    all[frame + 5..frame + 7].copy_from_slice(&word(height));
                    all[frame + 7..frame + 9].copy_from_slice(&word(width));
                }
                _ => all.extend_from_slice(segment),
            }
            rest = behind;
        }
        all
    }

    /// What follows the data in a file.
    pub fn tail() -> &'static [u8] {
        &EOI
    }
}

/// The marker that bytes begin with, all of its segment, and what is behind. The decoder has read them already.
fn segment(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let filled = bytes.iter().take_while(|byte| **byte == 0xff).count().checked_sub(1)?;
    let bytes = &bytes[filled..];
    let marker = *bytes.get(1)?;
    let length = match marker {
        0x01 | 0xd0..=0xd7 => 2,
        _ => 2 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
    };
    let (segment, behind) = bytes.split_at_checked(length)?;
    Some((marker, segment, behind))
}

/// A source of which all that comes is kept.
struct Tee<'a, S: ?Sized> {
    source: &'a mut S,
    taken: &'a mut Vec<u8>,
}

impl<S: ByteSource + ?Sized> ByteSource for Tee<'_, S> {
    type Error = S::Error;

    fn more(&mut self) -> Result<Option<Bytes>, S::Error> {
        let more = self.source.more()?;
        self.taken.extend_from_slice(more.as_deref().unwrap_or_default());
        Ok(more)
    }
}

//! From the scanner's picture to lines of the page: what lies outside of the page is cut off, what is missing is white, and
//! lineart is made of shades here. Bytes in, bytes out.

use usbscan_escl::UNITS_PER_INCH;

use super::plan::Plan;
use crate::jpeg::{ByteSource, Decoder};
use crate::{Pixels, ScanError};

const WHITE: u8 = 0xff;

/// The lines of one page.
#[derive(Debug)]
pub(super) struct Lines {
    decoder: Decoder,
    /// Of the picture.
    width: usize,
    channels: usize,
    /// Lines above the page that are still to come.
    above: u32,
    left: usize,
    /// Lines that the page may still have.
    wanted: u32,
    plan: Plan,
    decoded: Vec<u8>,
}

impl Lines {
    /// Reads the picture up to its first pixel.
    pub(super) fn new(plan: &Plan, source: &mut dyn ByteSource<Error = ScanError>) -> Result<Lines, ScanError> {
        let decoder = Decoder::new(source)?;
        let frame = decoder.frame();
        let expected =
            u64::from(plan.settings.region.width) * u64::from(plan.settings.resolution) / u64::from(UNITS_PER_INCH);
        if u64::from(frame.width).abs_diff(expected) > 2 + expected / 100 {
            log::warn!("the scanner's picture has {} pixels a line; {expected} were asked for", frame.width);
        }
        Ok(Lines {
            decoder,
            width: frame.width as usize,
            channels: frame.channels as usize,
            above: plan.offset.1,
            left: plan.offset.0 as usize,
            wanted: plan.most_lines,
            plan: plan.clone(),
            decoded: Vec::new(),
        })
    }

    /// The lines of the page that there are next; `None` behind the last that the picture or the page has.
    pub(super) fn next(
        &mut self,
        source: &mut dyn ByteSource<Error = ScanError>,
    ) -> Result<Option<Vec<u8>>, ScanError> {
        while self.wanted > 0 {
            self.decoded.clear();
            if !self.decoder.lines(source, &mut self.decoded)? {
                return Ok(None);
            }
            let stride = self.width * self.channels;
            let count = (self.decoded.len() / stride) as u32;
            let skipped = self.above.min(count);
            self.above -= skipped;
            let taken = (count - skipped).min(self.wanted);
            self.wanted -= taken;
            if taken == 0 {
                continue;
            }
            let first = skipped as usize * stride;
            let lines = &self.decoded[first..first + taken as usize * stride];
            return Ok(Some(self.page_lines(lines)));
        }
        Ok(None)
    }

    /// Lines that the page should have and the picture has not.
    pub(super) fn missing(&self) -> u32 {
        self.wanted
    }

    /// Lines that the picture said that it has and that did not come. One row of MCUs is none: some scanners say a line or two too
    /// many.
    pub(super) fn cut_short(&self) -> Option<u32> {
        Some(self.decoder.missing()).filter(|missing| *missing > self.decoder.mcu_height())
    }

    /// So many white lines.
    pub(super) fn white(&self, lines: u32) -> Vec<u8> {
        vec![WHITE; lines as usize * self.plan.page.bytes_per_line()]
    }

    fn page_lines(&self, lines: &[u8]) -> Vec<u8> {
        let page = &self.plan.page;
        let stride = self.width * self.channels;
        let is_whole = self.left == 0 && page.width as usize == self.width;
        match (page.pixels, self.channels) {
            (Pixels::Rgb8, 3) | (Pixels::Gray8, 1) if is_whole => return lines.to_vec(),
            _ => {}
        }
        let mut out = Vec::with_capacity(lines.len() / stride * page.bytes_per_line());
        for line in lines.chunks_exact(stride) {
            let begin = (self.left * self.channels).min(stride);
            let end = ((self.left + page.width as usize) * self.channels).min(stride);
            let line = &line[begin..end];
            let missing = page.width as usize - line.len() / self.channels;
            match page.pixels {
                Pixels::Rgb8 if self.channels == 3 => {
                    out.extend_from_slice(line);
                    out.resize(out.len() + 3 * missing, WHITE);
                }
                Pixels::Rgb8 => {
                    out.extend(line.iter().flat_map(|shade| [*shade; 3]));
                    out.resize(out.len() + 3 * missing, WHITE);
                }
                Pixels::Bit => {
                    let white = std::iter::repeat_n(WHITE, missing);
                    bits(shades(line, self.channels).chain(white), self.plan.threshold, &mut out);
                }
                _ => {
                    out.extend(shades(line, self.channels));
                    out.resize(out.len() + missing, WHITE);
                }
            }
        }
        out
    }
}

/// The shades of gray of pixels, as television weighs red, green and blue.
fn shades(line: &[u8], channels: usize) -> impl Iterator<Item = u8> + '_ {
    line.chunks_exact(channels).map(|pixel| match pixel {
        [red, green, blue] => {
            ((u32::from(*red) * 299 + u32::from(*green) * 587 + u32::from(*blue) * 114 + 500) / 1000) as u8
        }
        [shade, ..] => *shade,
        [] => WHITE,
    })
}

/// Eight pixels a byte, the leftmost in the highest bit; 1 is white.
fn bits(shades: impl Iterator<Item = u8>, threshold: u8, out: &mut Vec<u8>) {
    let (mut byte, mut count) = (0u8, 0);
    for shade in shades {
        byte = byte << 1 | u8::from(shade >= threshold);
        count += 1;
        if count == 8 {
            out.push(byte);
            (byte, count) = (0, 0);
        }
    }
    if count > 0 {
        out.push(byte << (8 - count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_packed_from_the_left_and_light_is_one() {
        let mut out = Vec::new();
        bits([0, 127, 128, 255, 0, 0, 0, 200, 255].into_iter(), 128, &mut out);
        assert_eq!(out, [0b0011_0001, 0b1000_0000]);
    }

    #[test]
    fn colour_becomes_the_shade_that_the_eye_sees() {
        let pixels = [255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255];
        assert_eq!(shades(&pixels, 3).collect::<Vec<_>>(), [255, 0, 76, 150, 29]);
        assert_eq!(shades(&[7, 8], 1).collect::<Vec<_>>(), [7, 8]);
    }
}

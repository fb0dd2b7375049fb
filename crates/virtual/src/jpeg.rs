//! JPEG as scanners make it, from lines as they are asked for: any chroma subsampling, with or without restart intervals, and
//! with a frame height that is right, or not known yet, or the one that was asked for.
//!
//! With restart intervals each row of MCUs is encoded alone and no page is ever held. Without them the encoder runs through
//! the page once, and the coded page is held.

use std::cell::RefCell;

use jpeg_encoder::{ColorType, Encoder, ImageBuffer, JpegColorType, SamplingFactor, rgb_to_ycbcr};

/// Chroma subsampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampling {
    /// None: 4:4:4.
    #[default]
    Full,
    /// Half across: 4:2:2.
    Half,
    /// Half across and down: 4:2:0.
    Quarter,
}

impl Sampling {
    /// Reads `444`, `422` or `420`.
    pub(crate) fn parse(text: &str) -> Option<Sampling> {
        match text {
            "444" => Some(Sampling::Full),
            "422" => Some(Sampling::Half),
            "420" => Some(Sampling::Quarter),
            _ => None,
        }
    }

    fn factor(self) -> SamplingFactor {
        match self {
            Sampling::Full => SamplingFactor::F_1_1,
            Sampling::Half => SamplingFactor::F_2_1,
            Sampling::Quarter => SamplingFactor::F_2_2,
        }
    }
}

/// The height that stands in the frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FrameHeight {
    /// That of the lines that are there.
    #[default]
    Right,
    /// Another one, as of a page whose sheet ended early.
    Claimed(u16),
    /// 0: a DNL segment behind the lines says it.
    Dnl,
}

/// How a picture is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JpegForm {
    pub width: u16,
    /// Lines that there are.
    pub height: u16,
    /// Three samples a pixel, else one.
    pub is_color: bool,
    pub quality: u8,
    pub sampling: Sampling,
    /// A restart interval for each row of MCUs, else none.
    pub restarts: bool,
    pub frame: FrameHeight,
    /// Dots per inch, across and down.
    pub dpi: (u16, u16),
}

/// Lines for a picture, from top to bottom: each call appends one.
pub(crate) trait LineSource: Send {
    fn line(&mut self, into: &mut Vec<u8>);
}

/// A picture that is coded as it is taken.
pub(crate) struct Jpeg<L> {
    form: JpegForm,
    lines: L,
    next: u32,
    strips: u32,
    ready: Vec<u8>,
    ended: bool,
}

impl<L> std::fmt::Debug for Jpeg<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jpeg").field("form", &self.form).field("next", &self.next).finish_non_exhaustive()
    }
}

impl<L: LineSource> Jpeg<L> {
    pub(crate) fn new(form: JpegForm, lines: L) -> Jpeg<L> {
        Jpeg { form, lines, next: 0, strips: 0, ready: Vec::new(), ended: false }
    }

    /// The next bytes, at most so many; none: that was all.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        while self.ready.len() < most && !self.ended {
            if self.form.restarts { self.strip() } else { self.page() }
        }
        self.ready.drain(..most.min(self.ready.len())).collect()
    }

    fn mcu(&self) -> (u32, u32) {
        match self.form.sampling {
            _ if !self.form.is_color => (8, 8),
            Sampling::Full => (8, 8),
            Sampling::Half => (16, 8),
            Sampling::Quarter => (16, 16),
        }
    }

    /// The next row of MCUs as a picture of its own, of which the coded data are kept.
    fn strip(&mut self) {
        let count = (u32::from(self.form.height) - self.next).min(self.mcu().1);
        let mut pixels = Vec::new();
        (0..count).for_each(|_| self.lines.line(&mut pixels));
        let color = if self.form.is_color { ColorType::Rgb } else { ColorType::Luma };
        let mut picture = Vec::new();
        let encoded = encoder(&self.form, &mut picture).encode(&pixels, self.form.width, count as u16, color);
        encoded.expect("lines of at least one pixel make a picture");
        let data = start_of_data(&picture);
        if self.strips == 0 {
            self.headers(&picture[..data]);
        } else {
            self.ready.extend([0xff, 0xd0 + ((self.strips - 1) % 8) as u8]);
        }
        self.ready.extend(&picture[data..picture.len() - 2]);
        self.next += count;
        self.strips += 1;
        if self.next == u32::from(self.form.height) {
            self.end();
        }
    }

    /// All of it.
    fn page(&mut self) {
        let mut picture = Vec::new();
        let pulled = Pulled { form: self.form, lines: RefCell::new((&mut self.lines, Vec::new())) };
        let encoded = encoder(&self.form, &mut picture).encode_image(pulled);
        encoded.expect("lines of at least one pixel make a picture");
        let data = start_of_data(&picture);
        self.headers(&picture[..data]);
        self.ready.extend(&picture[data..picture.len() - 2]);
        self.end();
    }

    fn end(&mut self) {
        if self.form.frame == FrameHeight::Dnl {
            self.ready.extend([0xff, 0xdc, 0, 4]);
            self.ready.extend(self.form.height.to_be_bytes());
        }
        self.ready.extend([0xff, 0xd9]);
        self.ended = true;
    }

    /// Headers of the encoder's, made those of the whole page: the height of its frame, and restart intervals.
    fn headers(&mut self, headers: &[u8]) {
        let height = match self.form.frame {
            FrameHeight::Right => self.form.height,
            FrameHeight::Claimed(height) => height,
            FrameHeight::Dnl => 0,
        };
        let mut at = 2;
        self.ready.extend(&headers[..2]);
        while at < headers.len() {
            let length = 2 + usize::from(u16::from_be_bytes([headers[at + 2], headers[at + 3]]));
            let mut segment = headers[at..at + length].to_vec();
            match segment[1] {
                0xc0 => segment[5..7].copy_from_slice(&height.to_be_bytes()),
                0xda if self.form.restarts => {
                    let mcus = u32::from(self.form.width).div_ceil(self.mcu().0) as u16;
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

fn encoder<'a>(form: &JpegForm, into: &'a mut Vec<u8>) -> Encoder<&'a mut Vec<u8>> {
    let mut encoder = Encoder::new(into, form.quality.clamp(1, 100));
    encoder.set_sampling_factor(if form.is_color { form.sampling.factor() } else { SamplingFactor::F_1_1 });
    encoder.set_density(jpeg_encoder::Density::Inch { x: form.dpi.0, y: form.dpi.1 });
    encoder
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

/// Lines that the encoder pulls.
struct Pulled<'a, L> {
    form: JpegForm,
    lines: RefCell<(&'a mut L, Vec<u8>)>,
}

impl<L: LineSource> ImageBuffer for Pulled<'_, L> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.form.is_color { JpegColorType::Ycbcr } else { JpegColorType::Luma }
    }

    fn width(&self) -> u16 {
        self.form.width
    }

    fn height(&self) -> u16 {
        self.form.height
    }

    fn fill_buffers(&self, _y: u16, buffers: &mut [Vec<u8>; 4]) {
        // The encoder asks for each line once, from top to bottom.
        let (lines, line) = &mut *self.lines.borrow_mut();
        line.clear();
        lines.line(line);
        if !self.form.is_color {
            buffers[0].extend_from_slice(line);
            return;
        }
        for pixel in line.chunks_exact(3) {
            let (y, cb, cr) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
            buffers[0].push(y);
            buffers[1].push(cb);
            buffers[2].push(cr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that get darker.
    struct Fading(u8);

    impl LineSource for Fading {
        fn line(&mut self, into: &mut Vec<u8>) {
            self.0 = self.0.wrapping_sub(3);
            into.extend((0..40u8).flat_map(|x| [self.0, self.0.wrapping_add(x), 90]));
        }
    }

    fn form() -> JpegForm {
        JpegForm {
            width: 40,
            height: 37,
            is_color: true,
            quality: 90,
            sampling: Sampling::Full,
            restarts: true,
            frame: FrameHeight::Right,
            dpi: (300, 300),
        }
    }

    fn coded(form: JpegForm) -> Vec<u8> {
        let mut jpeg = Jpeg::new(form, Fading(255));
        let mut all = Vec::new();
        loop {
            let part = jpeg.take(100);
            if part.is_empty() {
                return all;
            }
            all.extend(part);
        }
    }

    fn frame_height(picture: &[u8]) -> u16 {
        let at = picture.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame");
        u16::from_be_bytes([picture[at + 5], picture[at + 6]])
    }

    fn decoded(picture: &[u8]) -> Vec<u8> {
        zune_jpeg::JpegDecoder::new(std::io::Cursor::new(picture)).decode().expect("a picture")
    }

    #[test]
    fn with_and_without_restart_intervals_the_pixels_are_the_same() {
        for sampling in [Sampling::Full, Sampling::Half, Sampling::Quarter] {
            let with = coded(JpegForm { sampling, ..form() });
            let without = coded(JpegForm { sampling, restarts: false, ..form() });
            let has_restarts = |picture: &[u8]| picture.windows(2).any(|pair| pair == [0xff, 0xdd]);
            assert!(has_restarts(&with) && !has_restarts(&without), "{sampling:?}");
            let (with, without) = (decoded(&with), decoded(&without));
            assert_eq!((with.len(), without.len()), (40 * 37 * 3, 40 * 37 * 3));
            // What fills up the MCUs below the last line is not the same, and chroma that is scaled up looks into it.
            let whole_mcus = 40 * 30 * 3;
            assert!(with[..whole_mcus] == without[..whole_mcus], "{sampling:?}");
            assert!(with.iter().zip(&without).all(|(a, b)| a.abs_diff(*b) < 9), "{sampling:?}");
        }
    }

    #[test]
    fn the_frame_says_what_it_is_told_and_the_data_are_the_same() {
        let right = coded(form());
        let claimed = coded(JpegForm { frame: FrameHeight::Claimed(99), ..form() });
        let dnl = coded(JpegForm { frame: FrameHeight::Dnl, ..form() });
        assert_eq!([frame_height(&right), frame_height(&claimed), frame_height(&dnl)], [37, 99, 0]);
        assert_eq!(dnl[dnl.len() - 8..], [0xff, 0xdc, 0, 4, 0, 37, 0xff, 0xd9]);
        let data = start_of_data(&right);
        assert_eq!(right[data..], claimed[data..]);
        assert_eq!(right[data..right.len() - 2], dnl[data..dnl.len() - 8]);
    }
}

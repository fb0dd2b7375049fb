//! Pages as documents: JPEG, PDF around a JPEG or around bits, and raw pixels.

use super::http::Document;
use super::settings::{ColorMode, Format, ScanSettings};
use crate::glass::{Glass, GlassError, Rows, Sample, View};
use crate::jpeg::{FrameHeight, Jpeg, JpegForm, LineSource, Sampling};

/// The lines of a page, with brightness, contrast and threshold applied.
#[derive(Debug)]
pub(super) struct Lines {
    rows: Rows<u8>,
    mode: ColorMode,
    threshold: u8,
    /// What each sample becomes.
    tone: Box<[u8; 256]>,
    next: u32,
}

impl LineSource for Lines {
    fn line(&mut self, into: &mut Vec<u8>) {
        let row = self.rows.row(self.next);
        self.next += 1;
        let tone = |value: u8| self.tone[usize::from(value)];
        match self.mode {
            ColorMode::Rgb24 => into.extend(row.as_flattened().iter().map(|value| tone(*value))),
            ColorMode::Gray8 => into.extend(row.iter().map(|pixel| tone(u8::luma(*pixel)))),
            // 1 is white, as PDF's DeviceGray has it; what real scanners put into raw data of this mode is not known.
            ColorMode::Bit => into.extend(row.chunks(8).map(|pixels| {
                let bit = |pixel: &[u8; 3]| u8::from(tone(u8::luma(*pixel)) >= self.threshold);
                pixels.iter().enumerate().fold(0, |byte, (at, pixel)| byte | bit(pixel) << (7 - at))
            })),
        }
    }
}

/// The size of a page's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub width: u16,
    pub height: u16,
}

/// How the scanner makes documents, whatever is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    pub sampling: Sampling,
    pub restarts: bool,
    /// Pixels by which a picture is larger than what was asked for, both ways.
    pub surplus: i32,
}

/// Brightness and contrast, from 0 to 2000 with 1000 in the middle: brightness moves, contrast stretches around the middle.
fn tone(settings: &ScanSettings) -> Box<[u8; 256]> {
    let (brightness, contrast) = (settings.brightness.unwrap_or(1000), settings.contrast.unwrap_or(1000));
    let mut table = Box::new([0; 256]);
    for (value, out) in table.iter_mut().enumerate() {
        let stretched = (value as i32 - 128) * contrast / 1000 + 128;
        *out = (stretched + (brightness - 1000) / 8).clamp(0, 255) as u8;
    }
    table
}

/// A page of `glass` as these settings want it.
///
/// # Errors
/// When the glass can't be read.
pub(super) fn page(
    glass: &Glass,
    settings: &ScanSettings,
    making: Making,
) -> Result<(Box<dyn Document>, Size), GlassError> {
    let dpi = settings.dpi;
    let pixels = |units: u32, dpi: u32| u32::try_from(u64::from(units) * u64::from(dpi) / 300).unwrap_or(u32::MAX);
    let [left, top, width, height] = settings.area;
    let (left, top) = (pixels(left, dpi.0), pixels(top, dpi.1));
    let adjusted = |size: u32| size.saturating_add_signed(making.surplus).clamp(1, u32::from(u16::MAX));
    let (width, asked) = (adjusted(pixels(width, dpi.0)), adjusted(pixels(height, dpi.1)));
    // A sheet from the feeder ends where it ends.
    let end = glass.sheet_height(dpi.1).map_or(u32::MAX, |end| end.saturating_sub(top).max(1));
    let size = Size { width: width as u16, height: asked.min(end) as u16 };
    let view = View { dpi, left, top, width, height: u32::from(size.height) };
    let lines = Lines {
        rows: glass.rows(view)?,
        mode: settings.mode,
        threshold: settings.threshold.unwrap_or(128),
        tone: tone(settings),
        next: 0,
    };
    let small = |dpi: u32| u16::try_from(dpi).unwrap_or(u16::MAX);
    let form = JpegForm {
        width: size.width,
        height: size.height,
        is_color: settings.mode == ColorMode::Rgb24,
        quality: settings.quality(),
        sampling: making.sampling,
        restarts: making.restarts,
        frame: FrameHeight::Right,
        dpi: (small(dpi.0), small(dpi.1)),
    };
    let document: Box<dyn Document> = match (settings.format, settings.mode) {
        (Format::Jpeg, _) => Box::new(JpegPage(Jpeg::new(form, lines))),
        (Format::Raw, _) => Box::new(Raw { lines, left: size.height, ready: Vec::new() }),
        (Format::Pdf, ColorMode::Bit) => {
            let image = Raw { lines, left: size.height, ready: Vec::new() };
            Box::new(Pdf::new(Box::new(image), size, dpi, "/ColorSpace/DeviceGray/BitsPerComponent 1"))
        }
        (Format::Pdf, mode) => {
            let space = if mode == ColorMode::Rgb24 { "DeviceRGB" } else { "DeviceGray" };
            let image = format!("/ColorSpace/{space}/BitsPerComponent 8/Filter/DCTDecode");
            Box::new(Pdf::new(Box::new(JpegPage(Jpeg::new(form, lines))), size, dpi, &image))
        }
    };
    Ok((document, size))
}

#[derive(Debug)]
struct JpegPage(Jpeg<Lines>);

impl Document for JpegPage {
    fn take(&mut self, most: usize) -> Vec<u8> {
        self.0.take(most)
    }
}

/// Lines of samples, one behind the other.
#[derive(Debug)]
struct Raw {
    lines: Lines,
    left: u16,
    ready: Vec<u8>,
}

impl Document for Raw {
    fn take(&mut self, most: usize) -> Vec<u8> {
        while self.ready.len() < most && self.left > 0 {
            self.lines.line(&mut self.ready);
            self.left -= 1;
        }
        self.ready.drain(..most.min(self.ready.len())).collect()
    }
}

/// A PDF of one page that is a picture, whose length stands behind it.
#[derive(Debug)]
struct Pdf {
    image: Box<dyn Document>,
    ready: Vec<u8>,
    /// Where each object begins, from 1.
    offsets: Vec<usize>,
    made: usize,
    image_bytes: usize,
    placed: String,
    ended: bool,
}

impl Pdf {
    fn new(image: Box<dyn Document>, size: Size, dpi: (u32, u32), keys: &str) -> Pdf {
        let points = |pixels: u16, dpi: u32| f64::from(pixels) * 72.0 / f64::from(dpi.max(1));
        let (width, height) = (points(size.width, dpi.0), points(size.height, dpi.1));
        let mut pdf = Pdf {
            image,
            ready: Vec::new(),
            offsets: Vec::new(),
            made: 0,
            image_bytes: 0,
            placed: format!("q {width:.3} 0 0 {height:.3} 0 0 cm /I Do Q"),
            ended: false,
        };
        pdf.put(b"%PDF-1.4\n");
        pdf.object("<</Type/Catalog/Pages 2 0 R>>");
        pdf.object("<</Type/Pages/Kids[3 0 R]/Count 1>>");
        let page = format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width:.3} {height:.3}]/Resources<</XObject<</I 4 0 R>>>>/Contents 6 0 R>>"
        );
        pdf.object(&page);
        pdf.offsets.push(pdf.made);
        let (across, down) = (size.width, size.height);
        let image = format!(
            "4 0 obj\n<</Type/XObject/Subtype/Image/Width {across}/Height {down}{keys}/Length 5 0 R>>\nstream\n"
        );
        pdf.put(image.as_bytes());
        pdf
    }

    fn put(&mut self, bytes: &[u8]) {
        self.made += bytes.len();
        self.ready.extend(bytes);
    }

    fn object(&mut self, text: &str) {
        self.offsets.push(self.made);
        let object = format!("{} 0 obj\n{text}\nendobj\n", self.offsets.len());
        self.put(object.as_bytes());
    }

    fn end(&mut self) {
        self.put(b"\nendstream\nendobj\n");
        self.object(&self.image_bytes.to_string());
        let placed = format!("<</Length {}>>\nstream\n{}\nendstream", self.placed.len(), self.placed);
        self.object(&placed);
        let table = self.made;
        let mut text = format!("xref\n0 {}\n0000000000 65535 f \n", self.offsets.len() + 1);
        for offset in &self.offsets {
            text += &format!("{offset:010} 00000 n \n");
        }
        text += &format!("trailer\n<</Size {}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n", self.offsets.len() + 1);
        self.put(text.as_bytes());
        self.ended = true;
    }
}

impl Document for Pdf {
    fn take(&mut self, most: usize) -> Vec<u8> {
        while self.ready.len() < most && !self.ended {
            let part = self.image.take(most);
            if part.is_empty() {
                self.end();
            } else {
                self.image_bytes += part.len();
                self.put(&part);
            }
        }
        self.ready.drain(..most.min(self.ready.len())).collect()
    }
}

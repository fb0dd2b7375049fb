//! One side of a page as it goes over the wire: raw lines or a JPEG stream, made as they are asked for.

use super::settings::{Colour, Curves, JpegSetup, Settings};
use crate::glass::{Glass, GlassError, Rows, Sample, View};
use crate::jpeg::{FrameHeight, Jpeg, JpegForm, LineSource};

/// Lines of raw images are filled up to a multiple of so many bytes: "dummy bytes" that a driver has to leave out.
const ALIGNMENT: usize = 4;

/// One side of a page.
#[derive(Debug)]
pub(super) struct Image {
    form: Form,
    width: u32,
    /// The lines that were asked for, and those that there are: a sheet may end before.
    asked: u32,
    height: u32,
    dummy_bytes: usize,
}

#[derive(Debug)]
enum Form {
    Raw { lines: Box<Lines>, next: u32, ready: Vec<u8> },
    Jpeg(Box<Jpeg<Lines>>),
}

/// The lines of a page in the colours asked for.
#[derive(Debug)]
struct Lines {
    rows: AnyRows,
    colour: Colour,
    threshold: u8,
    curves: Option<Box<Curves>>,
    next: u32,
}

#[derive(Debug)]
enum AnyRows {
    Eight(Rows<u8>),
    /// Low byte first on the wire.
    Sixteen(Rows<u16>),
}

impl LineSource for Lines {
    fn line(&mut self, into: &mut Vec<u8>) {
        let at = self.next;
        self.next += 1;
        let row = match &mut self.rows {
            AnyRows::Eight(rows) => rows.row(at),
            AnyRows::Sixteen(rows) => {
                let row = rows.row(at);
                match self.colour {
                    Colour::Gray16 => into.extend(row.iter().flat_map(|pixel| u16::luma(*pixel).to_le_bytes())),
                    _ => into.extend(row.as_flattened().iter().flat_map(|sample| sample.to_le_bytes())),
                }
                return;
            }
        };
        match (self.colour, &self.curves) {
            (Colour::Rgb | Colour::Rgb16, None) => into.extend(row.as_flattened()),
            (Colour::Rgb | Colour::Rgb16, Some(curves)) => {
                into.extend(row.iter().flat_map(|pixel| curves.color(*pixel)))
            }
            (Colour::Gray | Colour::Gray16, None) => into.extend(row.iter().map(|pixel| u8::luma(*pixel))),
            (Colour::Gray | Colour::Gray16, Some(curves)) => {
                into.extend(row.iter().map(|pixel| curves.gray(u8::luma(*pixel))))
            }
            (Colour::Bit, _) => into.extend(row.chunks(8).map(|pixels| {
                let bit = |pixel: &[u8; 3]| u8::from(u8::luma(*pixel) >= self.threshold);
                pixels.iter().enumerate().fold(0, |byte, (at, pixel)| byte | bit(pixel) << (7 - at))
            })),
        }
    }
}

impl Image {
    /// Of the glass from `shift` lines further down on.
    pub(super) fn new(glass: &Glass, settings: &Settings, jpeg: JpegSetup, shift: u32) -> Result<Image, GlassError> {
        let [left, top, width, asked] = settings.area;
        let view = View { dpi: settings.dpi, left, top, width, height: asked };
        let rows = match settings.colour {
            Colour::Rgb16 | Colour::Gray16 => AnyRows::Sixteen(glass.rows_below(view, shift)?),
            Colour::Rgb | Colour::Gray | Colour::Bit => AnyRows::Eight(glass.rows_below(view, shift)?),
        };
        let end = glass.sheet_height(settings.dpi.1);
        let height = end.map_or(asked, |end| end.saturating_sub(top).clamp(1, asked));
        let (colour, threshold, curves) = (settings.colour, settings.threshold, settings.curves());
        let lines = Lines { rows, colour, threshold, curves, next: 0 };
        let line_bytes = match settings.colour {
            Colour::Rgb => 3 * width as usize,
            Colour::Rgb16 => 6 * width as usize,
            Colour::Gray => width as usize,
            Colour::Gray16 => 2 * width as usize,
            Colour::Bit => (width as usize).div_ceil(8),
        };
        let dummy_bytes = if settings.jpeg { 0 } else { line_bytes.next_multiple_of(ALIGNMENT) - line_bytes };
        // An area has at most 65535 pixels either way.
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let form = if settings.jpeg {
            let frame = match jpeg.frame {
                FrameHeight::Claimed(_) => FrameHeight::Claimed(small(asked)),
                other => other,
            };
            let form = JpegForm {
                width: small(width),
                height: small(height),
                is_color: settings.colour == Colour::Rgb,
                quality: settings.quality,
                sampling: jpeg.sampling,
                restarts: jpeg.restarts,
                frame,
                dpi: (small(settings.dpi.0), small(settings.dpi.1)),
            };
            Form::Jpeg(Box::new(Jpeg::new(form, lines)))
        } else {
            Form::Raw { lines: Box::new(lines), next: 0, ready: Vec::new() }
        };
        Ok(Image { form, width, asked, height, dummy_bytes })
    }

    pub(super) fn width(&self) -> u32 {
        self.width
    }

    /// Lines that were asked for.
    pub(super) fn asked(&self) -> u32 {
        self.asked
    }

    /// Lines that there are.
    pub(super) fn height(&self) -> u32 {
        self.height
    }

    /// Bytes behind every raw line that mean nothing.
    pub(super) fn dummy_bytes(&self) -> usize {
        self.dummy_bytes
    }

    /// The next bytes, at most so many; none: that was all.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        match &mut self.form {
            Form::Jpeg(jpeg) => jpeg.take(most),
            Form::Raw { lines, next, ready } => {
                while ready.len() < most && *next < self.height {
                    *next += 1;
                    lines.line(ready);
                    // Not zeros: who takes them for pixels shall see it.
                    ready.resize(ready.len() + self.dummy_bytes, 0xd5);
                }
                ready.drain(..most.min(ready.len())).collect()
            }
        }
    }
}

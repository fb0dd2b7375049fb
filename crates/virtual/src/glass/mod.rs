//! What lies on a virtual scanner's glass, rendered row by row at any resolution, and the pixels that a
//! scan of it must have.
//!
//! Either the built-in test chart ([`Glass::chart`]) or a PNG ([`Glass::png_file`]), placed at the top
//! left at its own resolution (its pHYs chunk, else 300 dpi), white elsewhere. Rules, so that a test
//! can say what a scan must look like:
//!
//! - A pixel of the chart has the colour of the point at its centre. A pixel over a picture is the
//!   picture's pixel under its centre: exact at the picture's resolution, nearest at others.
//! - 8 bits are the upper 8 of 16. 8-bit pictures scanned with 16 bits are multiplied by 257.
//! - Gray is (19595 R + 38470 G + 7471 B + 32768) / 65536: a gray picture comes back as it is.
//! - Lineart: gray of 8 bits below the threshold is black (0), else white (1).
//! - What is transparent in a PNG lies over white.
//! - A sheet of a given size ([`Glass::laid`]) lies on a dark bed where its feeder's alignment says; the chart or the picture
//!   begins at the sheet's corner.

mod chart;
mod font;
mod picture;
mod sample;
mod shape;
mod sheet;

use std::path::Path;
use std::sync::Arc;

use chart::{Chart, ChartRows};
use picture::{PictureRows, PictureSource};

pub use picture::{DEFAULT_DPI, GlassError};
pub use sample::Sample;
pub use sheet::{Alignment, Laid, Paper};

const MICROMETRES_PER_INCH: u64 = 25_400;

/// The gray of a bed beside a sheet that is smaller.
pub const BACKDROP: u8 = 0x30;

/// An area of the glass at a resolution, in pixels of that resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Dots per inch, across and down; neither may be 0.
    pub dpi: (u32, u32),
    /// Pixels left of the area.
    pub left: u32,
    /// Pixels above it.
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

/// What is kept of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Color,
    /// One sample a pixel.
    Gray,
    /// One bit a pixel: 0 where gray is below the threshold.
    Lineart {
        /// 0 to 255.
        threshold: u8,
    },
}

/// Bits of a sample in color and gray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// 0 to 255.
    Eight,
    /// 0 to 65535.
    Sixteen,
}

#[derive(Debug, Clone)]
enum What {
    Chart(Arc<Chart>),
    Picture(PictureSource),
}

/// What lies on the glass.
///
/// ```
/// use usbscan_virtual::glass::{Bits, Glass, Mode, View};
///
/// let view = View { dpi: (75, 75), left: 0, top: 0, width: 637, height: 877 };
/// let samples = Glass::chart().render(&view, Mode::Gray, Bits::Eight).unwrap();
/// assert_eq!(samples.len(), 637 * 877);
/// ```
#[derive(Debug, Clone)]
pub struct Glass {
    what: What,
    laid: Option<Laid>,
}

impl Glass {
    /// The built-in test chart.
    pub fn chart() -> Glass {
        Glass::of(What::Chart(Arc::new(Chart::new())))
    }

    /// A sheet with two words on it, and colours and grays.
    pub fn label(title: &str, under: &str) -> Glass {
        Glass::of(What::Chart(Arc::new(Chart::label(title, under))))
    }

    pub fn white() -> Glass {
        Glass::of(What::Chart(Arc::new(Chart::blank())))
    }

    /// A PNG file. It is read again for every scan, so replacing it is putting another page on the glass.
    ///
    /// # Errors
    /// When it can't be read to its end now.
    pub fn png_file(path: impl AsRef<Path>) -> Result<Glass, GlassError> {
        Glass::picture(PictureSource::File(path.as_ref().into()))
    }

    /// A PNG in memory.
    ///
    /// # Errors
    /// When it can't be read to its end.
    pub fn png_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Glass, GlassError> {
        Glass::picture(PictureSource::Bytes(bytes.into()))
    }

    fn picture(source: PictureSource) -> Result<Glass, GlassError> {
        picture::check(&source)?;
        Ok(Glass::of(What::Picture(source)))
    }

    fn of(what: What) -> Glass {
        Glass { what, laid: None }
    }

    /// The same as a sheet of paper, which ends where the paper does, on a bed that is [`BACKDROP`] beside it and below it.
    pub fn laid(self, laid: Laid) -> Glass {
        Glass { laid: Some(laid), ..self }
    }

    /// The line at which the sheet ends, where it is one.
    pub fn sheet_height(&self, dpi: u32) -> Option<u32> {
        self.laid.map(|laid| laid.height(dpi))
    }

    /// Rows of an area as pixels of three samples.
    ///
    /// # Errors
    /// When the picture's file is gone or broken by now.
    pub fn rows<S: Sample>(&self, view: View) -> Result<Rows<S>, GlassError> {
        self.rows_below(view, 0)
    }

    /// The same of what lies `shift` lines further down; a sheet ends where it would without that.
    ///
    /// # Errors
    /// As [`Glass::rows`].
    pub fn rows_below<S: Sample>(&self, view: View, shift: u32) -> Result<Rows<S>, GlassError> {
        let view = View { dpi: (view.dpi.0.max(1), view.dpi.1.max(1)), ..view };
        let (seen, sheet) = match self.laid {
            None => (view, None),
            Some(laid) => {
                let (seen, before) = laid.seen(&view);
                let backdrop = vec![[S::from_8(BACKDROP); 3]; view.width as usize];
                let end = laid.height(view.dpi.1).saturating_sub(view.top);
                (seen, Some(OnSheet { end, before: before as usize, row: backdrop.clone(), backdrop }))
            }
        };
        let seen = View { top: seen.top.saturating_add(shift), ..seen };
        Ok(Rows {
            of: match &self.what {
                What::Chart(chart) => Of::Chart(chart.clone(), ChartRows::new(seen)),
                What::Picture(source) => Of::Picture(Box::new(PictureRows::new(source, seen)?)),
            },
            sheet,
        })
    }

    /// All samples that a scan of this area has, row by row, for tests: 0 to 255, 0 to 65535, or 0 and 1
    /// (white). Holds the whole page.
    ///
    /// # Errors
    /// As [`Glass::rows`].
    pub fn render(&self, view: &View, mode: Mode, bits: Bits) -> Result<Vec<u16>, GlassError> {
        let mut samples = Vec::new();
        let mut eight = self.rows::<u8>(*view)?;
        let mut sixteen = self.rows::<u16>(*view)?;
        for y in 0..view.height {
            match (mode, bits) {
                (Mode::Color, Bits::Eight) => samples.extend(eight.row(y).as_flattened().iter().map(|v| u16::from(*v))),
                (Mode::Color, Bits::Sixteen) => samples.extend_from_slice(sixteen.row(y).as_flattened()),
                (Mode::Gray, Bits::Eight) => samples.extend(eight.row(y).iter().map(|p| u16::from(u8::luma(*p)))),
                (Mode::Gray, Bits::Sixteen) => samples.extend(sixteen.row(y).iter().map(|p| u16::luma(*p))),
                (Mode::Lineart { threshold }, _) => {
                    samples.extend(eight.row(y).iter().map(|p| u16::from(u8::luma(*p) >= threshold)));
                }
            }
        }
        Ok(samples)
    }
}

enum Of<S> {
    Chart(Arc<Chart>, ChartRows<S>),
    Picture(Box<PictureRows<S>>),
}

/// A row of a bed with a sheet on it.
struct OnSheet<S> {
    /// The rows from here on are below the sheet.
    end: u32,
    /// Pixels left of it.
    before: usize,
    row: Vec<[S; 3]>,
    backdrop: Vec<[S; 3]>,
}

/// Rows of an area of the glass; holds a few of them, never the page.
pub struct Rows<S> {
    of: Of<S>,
    sheet: Option<OnSheet<S>>,
}

impl<S> std::fmt::Debug for Rows<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl<S: Sample> Rows<S> {
    /// Row `y` of the area. From top to bottom is quick; for a picture, going up means reading it anew.
    pub fn row(&mut self, y: u32) -> &[[S; 3]] {
        if self.sheet.as_ref().is_some_and(|sheet| y >= sheet.end) {
            return self.sheet.as_ref().map_or(&[], |sheet| &sheet.backdrop);
        }
        let row = match &mut self.of {
            Of::Chart(chart, rows) => rows.row(chart, y),
            Of::Picture(rows) => rows.row(y),
        };
        match &mut self.sheet {
            None => row,
            Some(sheet) => {
                sheet.row[sheet.before..sheet.before + row.len()].copy_from_slice(row);
                &sheet.row
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! A page as it leaves a scanner: what its lines look like, and who takes them.

use std::error::Error;
use std::fmt;

use serde::Serialize;

use crate::Dpi;

/// What a pixel is made of.
///
/// Lines are packed without padding between pixels and begin on a byte. Larger is lighter in every one, as in PNG:
///
/// | | bytes |
/// |---|---|
/// | `Bit` | 8 pixels a byte, the leftmost in the highest bit; 0 is black, 1 is white; bits behind the last pixel of a line have no meaning |
/// | `Gray8` | one a pixel, 0 is black |
/// | `Gray16` | two a pixel, the higher byte first |
/// | `Rgb8` | red, green, blue |
/// | `Rgb16` | red, green, blue, two bytes each, the higher first |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pixels {
    /// One bit.
    Bit,
    /// One sample of 8 bits.
    Gray8,
    /// One sample of 16 bits.
    Gray16,
    /// Three samples of 8 bits.
    Rgb8,
    /// Three samples of 16 bits.
    Rgb16,
}

impl Pixels {
    /// Samples of a pixel: 1 or 3.
    pub fn channels(self) -> u32 {
        match self {
            Pixels::Bit | Pixels::Gray8 | Pixels::Gray16 => 1,
            Pixels::Rgb8 | Pixels::Rgb16 => 3,
        }
    }

    /// Bits of a sample: 1, 8 or 16.
    pub fn bits_per_sample(self) -> u32 {
        match self {
            Pixels::Bit => 1,
            Pixels::Gray8 | Pixels::Rgb8 => 8,
            Pixels::Gray16 | Pixels::Rgb16 => 16,
        }
    }

    /// Bytes of a line of so many pixels.
    pub fn bytes_per_line(self, width: u32) -> usize {
        let bits = u64::from(width) * u64::from(self.channels() * self.bits_per_sample());
        usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX)
    }
}

/// What a page looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PageFormat {
    /// Pixels of a line; at least 1.
    pub width: u32,
    /// Lines. Known: exactly so many follow, or the scan fails. `None`: the page ends when it ends.
    pub height: Option<u32>,
    /// What a pixel is made of.
    pub pixels: Pixels,
    /// Resolution across and down.
    pub dpi: (Dpi, Dpi),
}

impl PageFormat {
    /// Bytes of a line.
    pub fn bytes_per_line(&self) -> usize {
        self.pixels.bytes_per_line(self.width)
    }
}

/// Whether the page is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// More, please.
    Continue,
    /// Enough: the scanner is brought back to idle, and [`PageSink::end`] is not called.
    Stop,
}

/// Takes a page, on the thread that scans.
///
/// `begin` comes once, then `lines` any number of times, then `end` if the page is whole. A page that was
/// cancelled, stopped or failed gets no `end`: the sink is dropped, and what it made is not whole.
///
/// The scanner fills the next block while `lines` runs; nothing is lost when it takes long.
pub trait PageSink {
    /// A page begins.
    ///
    /// # Errors
    /// The sink's own; the scan ends with it, and the scanner is idle.
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError>;

    /// One or more whole lines, from top to bottom, as [`Pixels`] has them.
    ///
    /// # Errors
    /// As `begin`.
    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError>;

    /// The page is whole.
    ///
    /// # Errors
    /// As `begin`.
    fn end(&mut self) -> Result<(), SinkError>;

    /// Whether a page like this, which the scanner sends as JPEG, is wanted as it comes, without being decoded. It then gets
    /// [`PageSink::jpeg`] where others get `lines`, and `begin` with the height, also where `format` has none yet.
    fn takes_jpeg(&self, format: &PageFormat) -> bool {
        let _ = format;
        false
    }

    /// The next bytes of a JPEG file (JFIF) of the size and resolution that `begin` was told. Its entropy-coded data is the
    /// scanner's, byte for byte, and was found to be undamaged.
    ///
    /// # Errors
    /// As `begin`.
    fn jpeg(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        let _ = bytes;
        Err(SinkError::new("this page is taken as lines"))
    }

    /// Whether a page like this, which the scanner sends as a PDF document of its own and in no other way, is wanted as it comes.
    /// It then gets [`PageSink::pdf`] where others get `lines`, and `begin` with the height that was asked for, if any.
    fn takes_pdf(&self, format: &PageFormat) -> bool {
        let _ = format;
        false
    }

    /// The next bytes of such a document. What they show is not looked at.
    ///
    /// # Errors
    /// As `begin`.
    fn pdf(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        let _ = bytes;
        Err(SinkError::new("this page is taken as lines"))
    }
}

/// Why a sink could not take a page: whatever error it has.
#[derive(Debug)]
pub struct SinkError(Box<dyn Error + Send + Sync>);

impl SinkError {
    /// Wraps the sink's error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> SinkError {
        SinkError(error.into())
    }

    /// The sink's error as what it is.
    ///
    /// # Errors
    /// With itself, where it is something else.
    pub fn downcast<E: Error + 'static>(self) -> Result<E, SinkError> {
        self.0.downcast().map(|error| *error).map_err(SinkError)
    }

    /// The sink's error, to be downcast.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<std::io::Error> for SinkError {
    fn from(error: std::io::Error) -> SinkError {
        SinkError::new(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_on_a_byte() {
        assert_eq!(Pixels::Bit.bytes_per_line(9), 2);
        assert_eq!(Pixels::Gray8.bytes_per_line(9), 9);
        assert_eq!(Pixels::Rgb16.bytes_per_line(9), 54);
        assert_eq!(Pixels::Rgb16.bytes_per_line(u32::MAX), 6 * u32::MAX as usize);
    }
}

//! What a format does with a page whose height is known. Bytes are counted by whoever calls.

use std::io::Write;

use scan::PageFormat;

use crate::png_file::PngFile;
use crate::pnm::Pnm;
use crate::{FileFormat, ImageError};

/// Where a file's bytes go.
pub type Out = Box<dyn Write + Send>;

/// A page on its way into a file.
#[derive(Debug)]
pub enum Encoder {
    Png(Box<PngFile>),
    Pnm(Pnm),
}

impl Encoder {
    /// Writes the header of a page of `height` lines.
    pub fn begin(file: FileFormat, out: Out, page: &PageFormat, height: u32) -> Result<Encoder, ImageError> {
        Ok(match file {
            FileFormat::Png => Encoder::Png(Box::new(PngFile::begin(out, page, height)?)),
            FileFormat::Pnm => Encoder::Pnm(Pnm::begin(out, page, height)?),
        })
    }

    /// Writes whole lines.
    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        match self {
            Encoder::Png(file) => file.lines(lines),
            Encoder::Pnm(file) => file.lines(lines),
        }
    }

    /// Writes what follows the last line.
    pub fn end(self) -> Result<(), ImageError> {
        match self {
            Encoder::Png(file) => file.end(),
            Encoder::Pnm(file) => file.end(),
        }
    }
}

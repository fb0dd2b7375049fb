//! What a format does with pages whose height is known, or need not be. The caller counts bytes.

use std::io::Write;

use usbscan_scan::PageFormat;

use crate::jpeg_file::JpegFile;
use crate::out::Out;
use crate::pdf_file::PdfFile;
use crate::png_file::PngFile;
use crate::pnm::Pnm;
use crate::tiff_file::TiffFile;
use crate::{FileFormat, ImageError, Quality};

/// A file that is being written.
#[derive(Debug)]
pub enum Encoder {
    /// Of a format with one page, which has not begun.
    Waiting(FileFormat, Quality, Out),
    Png(Box<PngFile>),
    Pnm(Pnm),
    Jpeg(JpegFile),
    Tiff(Box<TiffFile>),
    Pdf(Box<PdfFile>),
    /// A page that came as JPEG.
    Passed(Out),
    /// A document that came as PDF, and is the whole file.
    Document(Out),
    /// Of a format with one page, which is written; or an error came between.
    Over(FileFormat),
}

impl Encoder {
    pub fn new(format: FileFormat, quality: Quality, out: Out) -> Result<Encoder, ImageError> {
        Ok(match format {
            FileFormat::Png | FileFormat::Pnm | FileFormat::Jpeg => Encoder::Waiting(format, quality, out),
            FileFormat::Tiff => Encoder::Tiff(Box::new(TiffFile::new(out)?)),
            FileFormat::Pdf => Encoder::Pdf(Box::new(PdfFile::new(out, quality))),
        })
    }

    /// Writes what precedes the first line of a page of `height` lines; 0 where [`FileFormat`] can do without.
    pub fn begin(&mut self, page: &PageFormat, height: u32) -> Result<(), ImageError> {
        match self {
            Encoder::Tiff(file) => return file.begin(page),
            Encoder::Pdf(file) => return file.begin(page, height),
            _ => {}
        }
        let format = self.format();
        let Encoder::Waiting(_, quality, out) = std::mem::replace(self, Encoder::Over(format)) else {
            return Err(ImageError::OnePage(format));
        };
        *self = match format {
            FileFormat::Png => Encoder::Png(Box::new(PngFile::begin(out, page, height)?)),
            FileFormat::Jpeg => {
                let quality = quality.jpeg(page.pixels).ok_or(ImageError::Pixels { pixels: page.pixels })?;
                Encoder::Jpeg(JpegFile::begin(out, page, height, quality)?)
            }
            _ => Encoder::Pnm(Pnm::begin(out, page, height)?),
        };
        Ok(())
    }

    /// Writes what precedes a page that comes as JPEG.
    pub fn begin_jpeg(&mut self, page: &PageFormat, height: u32) -> Result<(), ImageError> {
        if let Encoder::Pdf(file) = self {
            return file.begin_jpeg(page, height);
        }
        let format = self.format();
        match std::mem::replace(self, Encoder::Over(format)) {
            Encoder::Waiting(FileFormat::Jpeg, _, out) => *self = Encoder::Passed(out),
            _ => return Err(ImageError::NotBegun),
        }
        Ok(())
    }

    /// Writes bytes of such a page.
    pub fn jpeg(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        match self {
            Encoder::Passed(out) => out.write_all(bytes).map_err(ImageError::Write),
            Encoder::Pdf(file) => file.jpeg(bytes),
            _ => Err(ImageError::NotBegun),
        }
    }

    /// A document follows that is the file.
    pub fn begin_document(&mut self) -> Result<(), ImageError> {
        match std::mem::replace(self, Encoder::Over(FileFormat::Pdf)) {
            Encoder::Pdf(file) => *self = Encoder::Document(file.into_out().ok_or(ImageError::OneDocument)?),
            _ => return Err(ImageError::OneDocument),
        }
        Ok(())
    }

    /// Writes bytes of such a document.
    pub fn document(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        match self {
            Encoder::Document(out) => out.write_all(bytes).map_err(ImageError::Write),
            _ => Err(ImageError::NotBegun),
        }
    }

    /// Writes whole lines.
    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        match self {
            Encoder::Png(file) => file.lines(lines),
            Encoder::Pnm(file) => file.lines(lines),
            Encoder::Jpeg(file) => file.lines(lines),
            Encoder::Tiff(file) => file.lines(lines),
            Encoder::Pdf(file) => file.lines(lines),
            Encoder::Waiting(..) | Encoder::Passed(_) | Encoder::Document(_) | Encoder::Over(_) => {
                Err(ImageError::NotBegun)
            }
        }
    }

    /// Writes what follows the last line of a page.
    pub fn end_page(&mut self) -> Result<(), ImageError> {
        match self {
            Encoder::Tiff(file) => return file.end_page(),
            Encoder::Pdf(file) => return file.end_page(),
            _ => {}
        }
        let over = Encoder::Over(self.format());
        match std::mem::replace(self, over) {
            Encoder::Png(file) => file.end(),
            Encoder::Pnm(file) => file.end(),
            Encoder::Jpeg(file) => file.end().map(drop),
            Encoder::Passed(mut out) | Encoder::Document(mut out) => out.flush().map_err(ImageError::Write),
            _ => Err(ImageError::NotBegun),
        }
    }

    /// Writes what follows the last page.
    pub fn finish(self) -> Result<(), ImageError> {
        match self {
            Encoder::Tiff(file) => file.finish(),
            Encoder::Pdf(file) => file.finish(),
            Encoder::Over(_) => Ok(()),
            _ => Err(ImageError::Empty),
        }
    }

    fn format(&self) -> FileFormat {
        match self {
            Encoder::Waiting(format, ..) | Encoder::Over(format) => *format,
            Encoder::Png(_) => FileFormat::Png,
            Encoder::Pnm(_) => FileFormat::Pnm,
            Encoder::Jpeg(_) | Encoder::Passed(_) => FileFormat::Jpeg,
            Encoder::Tiff(_) => FileFormat::Tiff,
            Encoder::Pdf(_) | Encoder::Document(_) => FileFormat::Pdf,
        }
    }
}

//! Why a picture could not be written.

use std::io;
use std::path::PathBuf;

use usbscan_scan::Pixels;

use crate::FileFormat;

/// Why a picture could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its file.
    #[error("write the picture: {0}")]
    Write(#[source] io::Error),
    /// The nameless file that keeps a page until its height is known, or a file until it is whole.
    #[error("keep the page in {} until it can be written: {source}", folder.display())]
    Spool {
        /// The folder that the file is in.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A PDF document of the scanner's own, for a file that has a page already.
    #[error(
        "the scanner sends each page as a PDF document, and a file holds one; use one file per page (-o page-%03d.pdf)"
    )]
    OneDocument,
    /// No thread for its encoder.
    #[error("start the encoder: {0}")]
    Thread(#[source] io::Error),
    /// The format can't hold it.
    #[error("the picture can't be a PNG: {0}")]
    Png(#[source] png::EncodingError),
    /// The format can't hold it.
    #[error("the picture can't be a JPEG: {0}")]
    Jpeg(#[source] jpeg_encoder::EncodingError),
    /// A JPEG has 8 bits a sample.
    #[error("a JPEG has 8 bits a sample, so it can't hold {}; take PNG, TIFF or PDF", words(*pixels))]
    Pixels {
        /// What it can't hold.
        pixels: Pixels,
    },
    /// A JPEG always loses something.
    #[error("a JPEG is never without loss; take PNG, TIFF or PDF for that")]
    Lossy,
    /// The format does not count so far.
    #[error("a {format} can have at most {most}")]
    TooLarge {
        /// The format.
        format: FileFormat,
        /// How far it counts.
        most: &'static str,
    },
    /// The format has one page a file.
    #[error("a {0} has one page only")]
    OnePage(FileFormat),
    /// More or less came than was announced.
    #[error("the page has {got} bytes of pixels instead of {expected}")]
    Length {
        /// What came.
        got: u64,
        /// What was announced.
        expected: u64,
    },
    /// It ended without a line.
    #[error("the page is empty")]
    Empty,
    /// It never began.
    #[error("lines came before the page began")]
    NotBegun,
}

fn words(pixels: Pixels) -> &'static str {
    match pixels {
        Pixels::Bit => "pixels that are black or white",
        Pixels::Gray16 | Pixels::Rgb16 => "samples of 16 bits",
        Pixels::Gray8 | Pixels::Rgb8 => "this page",
    }
}

impl From<png::EncodingError> for ImageError {
    fn from(error: png::EncodingError) -> ImageError {
        match error {
            png::EncodingError::IoError(error) => ImageError::Write(error),
            other => ImageError::Png(other),
        }
    }
}

impl From<jpeg_encoder::EncodingError> for ImageError {
    fn from(error: jpeg_encoder::EncodingError) -> ImageError {
        match error {
            jpeg_encoder::EncodingError::IoError(error) => ImageError::Write(error),
            other => ImageError::Jpeg(other),
        }
    }
}

impl From<ImageError> for usbscan_scan::SinkError {
    fn from(error: ImageError) -> usbscan_scan::SinkError {
        usbscan_scan::SinkError::new(error)
    }
}

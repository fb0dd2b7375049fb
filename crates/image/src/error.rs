//! Why a picture could not be written.

use std::io;

/// Why a picture could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its file.
    #[error("write the picture: {0}")]
    Write(#[source] io::Error),
    /// The nameless file that keeps a page until its height is known.
    #[error("keep the page until its height is known: {0}")]
    Spool(#[source] io::Error),
    /// The format can't hold it.
    #[error("the picture can't be a PNG: {0}")]
    Png(#[source] png::EncodingError),
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

impl From<png::EncodingError> for ImageError {
    fn from(error: png::EncodingError) -> ImageError {
        match error {
            png::EncodingError::IoError(error) => ImageError::Write(error),
            other => ImageError::Png(other),
        }
    }
}

impl From<ImageError> for scan::SinkError {
    fn from(error: ImageError) -> scan::SinkError {
        scan::SinkError::new(error)
    }
}

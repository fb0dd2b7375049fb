//! Page sinks that write picture files, a few lines at a time, never holding a page.
//!
//! A [`PageWriter`] takes a page in the format that was asked for and writes it to anything that takes bytes. It runs
//! on the thread that scans: the scanner fills the next block meanwhile, so no thread of its own is needed.
//!
//! ```
//! use image::{FileFormat, PageWriter};
//! use scan::{Dpi, PageFormat, PageSink, Pixels};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("page.pgm");
//! let mut page = PageWriter::new(FileFormat::Pnm, std::fs::File::create(&path).unwrap());
//! let format = PageFormat { width: 2, height: Some(1), pixels: Pixels::Gray8, dpi: (Dpi(300), Dpi(300)) };
//! page.begin(&format).unwrap();
//! assert_eq!(page.lines(&[0, 255]).unwrap(), scan::Flow::Continue);
//! page.end().unwrap();
//! assert_eq!(std::fs::read(&path).unwrap(), b"P5\n2 1\n255\n\x00\xff");
//! ```
#![warn(missing_docs)]

mod encoder;
mod error;
mod png_file;
mod pnm;
mod spool;
mod writer;

pub use error::ImageError;
pub use writer::{FileFormat, PageWriter};

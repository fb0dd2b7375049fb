//! Page sinks that write picture files, a few lines at a time, never holding a page.
//!
//! A [`PageWriter`] takes pages and writes them, in the format that was asked for, to anything that takes bytes. It runs
//! on the thread that scans: the scanner fills the next block meanwhile, so no thread of its own is needed (but for
//! JPEG, whose encoder wants to pull).
//!
//! ```
//! use usbscan_image::{FileFormat, PageWriter, Quality};
//! use usbscan_scan::{Dpi, PageFormat, PageSink, Pixels};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let path = folder.path().join("page.pgm");
//! let mut page = PageWriter::new(FileFormat::Pnm, Quality::default(), std::fs::File::create(&path).unwrap()).unwrap();
//! let format = PageFormat { width: 2, height: Some(1), pixels: Pixels::Gray8, dpi: (Dpi(300), Dpi(300)) };
//! page.begin(&format).unwrap();
//! assert_eq!(page.lines(&[0, 255]).unwrap(), usbscan_scan::Flow::Continue);
//! page.end().unwrap();
//! page.finish().unwrap();
//! assert_eq!(std::fs::read(&path).unwrap(), b"P5\n2 1\n255\n\x00\xff");
//! ```
#![warn(missing_docs)]

mod encoder;
mod error;
mod format;
mod jpeg_file;
mod limits;
mod out;
mod pdf_file;
mod png_file;
mod pnm;
mod predictor;
mod spool;
mod tiff_file;
mod writer;

pub use error::ImageError;
pub use format::{FileFormat, Quality};
pub use writer::PageWriter;

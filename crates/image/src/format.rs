//! Formats of picture files, and what each of them can hold.

use std::fmt;

use usbscan_scan::Pixels;

/// Formats of picture files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// PNG: one page.
    Png,
    /// PBM, PGM or PPM, as the pixels need: one page.
    Pnm,
    /// TIFF: any number of pages.
    Tiff,
    /// JPEG, of 8 bits a sample: one page.
    Jpeg,
    /// PDF: any number of pages.
    Pdf,
}

/// How alike a picture must be to what was scanned, in formats that leave a choice: JPEG, and JPEG inside a PDF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quality {
    /// As it came, where the scanner sends JPEG and the file may hold that; else as small as [`Quality::OFFICE`] is.
    #[default]
    AsSent,
    /// As small as this quality of JPEG is, from 1 to 100.
    Jpeg(u8),
    /// Every pixel as it was.
    Lossless,
}

impl FileFormat {
    /// Whether a file can have more than one page.
    pub fn holds_many_pages(self) -> bool {
        matches!(self, FileFormat::Tiff | FileFormat::Pdf)
    }

    /// Whether the page's height must be known before its first line can be written.
    pub(crate) fn begins_with_the_height(self) -> bool {
        self != FileFormat::Tiff
    }
}

impl Quality {
    /// Small type of an office page looks as it did, at a tenth of the size.
    pub const OFFICE: u8 = 85;

    /// The quality, where pixels of this kind become a JPEG.
    pub(crate) fn jpeg(self, pixels: Pixels) -> Option<u8> {
        match self {
            Quality::AsSent if is_for_jpeg(pixels) => Some(Quality::OFFICE),
            Quality::Jpeg(quality) if is_for_jpeg(pixels) => Some(quality.clamp(1, 100)),
            _ => None,
        }
    }
}

pub(crate) fn is_for_jpeg(pixels: Pixels) -> bool {
    matches!(pixels, Pixels::Gray8 | Pixels::Rgb8)
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileFormat::Png => "PNG",
            FileFormat::Pnm => "PNM",
            FileFormat::Tiff => "TIFF",
            FileFormat::Jpeg => "JPEG",
            FileFormat::Pdf => "PDF",
        })
    }
}

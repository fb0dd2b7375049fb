//! Which pages a format can hold: asked before anything is scanned.

use usbscan_scan::PageFormat;

use crate::format::is_for_jpeg;
use crate::{FileFormat, ImageError, Quality};

/// The most that two bytes count: lines, and pixels of a line, of a JPEG.
const JPEG_MOST: u32 = 65_535;

impl FileFormat {
    /// Whether a page like this can be written, so that nothing is scanned that can't be kept.
    ///
    /// # Errors
    /// [`ImageError::Pixels`], [`ImageError::Lossy`], [`ImageError::TooLarge`].
    pub fn check(self, page: &PageFormat, quality: Quality) -> Result<(), ImageError> {
        if self == FileFormat::Jpeg && quality == Quality::Lossless {
            return Err(ImageError::Lossy);
        }
        if self == FileFormat::Jpeg && !is_for_jpeg(page.pixels) {
            return Err(ImageError::Pixels { pixels: page.pixels });
        }
        if self.has_jpeg(page, quality) && (page.width > JPEG_MOST || page.height.unwrap_or(0) > JPEG_MOST) {
            return Err(ImageError::TooLarge { format: self, most: "65535 pixels across or down as JPEG" });
        }
        Ok(())
    }

    /// Whether the page will be a JPEG, alone or inside.
    fn has_jpeg(self, page: &PageFormat, quality: Quality) -> bool {
        self == FileFormat::Jpeg || self == FileFormat::Pdf && quality.jpeg(page.pixels).is_some()
    }
}

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
            let most = match self {
                FileFormat::Pdf => "65535 pixels across or down; with --quality lossless it can have more",
                _ => "65535 pixels across or down; take PNG or TIFF",
            };
            return Err(ImageError::TooLarge { format: self, most });
        }
        Ok(())
    }

    /// Whether the page will be a JPEG, alone or inside.
    fn has_jpeg(self, page: &PageFormat, quality: Quality) -> bool {
        self == FileFormat::Jpeg || self == FileFormat::Pdf && quality.jpeg(page.pixels).is_some()
    }
}

#[cfg(test)]
mod tests {
    use usbscan_scan::{Dpi, Pixels};

    use super::*;

    #[test]
    fn a_page_with_more_pixels_than_a_jpeg_counts_is_refused_with_the_flag_that_makes_it_a_pdf() {
        let page = |pixels, width, height| PageFormat { width, height, pixels, dpi: (Dpi(12_800), Dpi(12_800)) };
        let refused = |format: FileFormat, page: &PageFormat, quality: Quality| {
            format.check(page, quality).err().map(|error| error.to_string())
        };
        let pdf = "a PDF can have at most 65535 pixels across or down; with --quality lossless it can have more";
        let jpeg = "a JPEG can have at most 65535 pixels across or down; take PNG or TIFF";
        for page in [page(Pixels::Rgb8, 65_536, Some(1)), page(Pixels::Gray8, 1, Some(65_536))] {
            assert_eq!(refused(FileFormat::Pdf, &page, Quality::default()).as_deref(), Some(pdf));
            assert_eq!(refused(FileFormat::Jpeg, &page, Quality::default()).as_deref(), Some(jpeg));
            assert_eq!(refused(FileFormat::Pdf, &page, Quality::Lossless), None);
            assert_eq!(refused(FileFormat::Png, &page, Quality::default()), None);
        }
        let fits = page(Pixels::Rgb8, 65_535, Some(65_535));
        assert_eq!(refused(FileFormat::Pdf, &fits, Quality::default()), None);
    }
}

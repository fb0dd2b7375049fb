//! ScanImageInfo: the size of the last page that was sent. Few devices have it.

use crate::xml::{DocumentError, number, with_root};

/// The size of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanImageInfo {
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bytes of a line; some devices fill lines up.
    pub bytes_per_line: Option<u32>,
}

impl ScanImageInfo {
    /// Understands the document.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<ScanImageInfo, DocumentError> {
        with_root(bytes, "ScanImageInfo", |root| {
            let size = |name| number(root, name).filter(|size| (1..=1_000_000).contains(size));
            let (width, height) =
                size("ActualWidth").zip(size("ActualHeight")).ok_or(DocumentError::Missing("a size"))?;
            Ok(ScanImageInfo { width, height, bytes_per_line: number(root, "ActualBytesPerLine") })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_be_filled_up() {
        // The sizes that an HP device sends (1700 pixels of colour in 5248 bytes), by a reply published with HP's tools.
        let text = b"<scan:ScanImageInfo xmlns:scan='x'><scan:ActualWidth>1700</scan:ActualWidth>\
            <scan:ActualHeight>2200</scan:ActualHeight><scan:ActualBytesPerLine>5248</scan:ActualBytesPerLine></scan:ScanImageInfo>";
        let info = ScanImageInfo::parse(text);
        assert_eq!(info, Ok(ScanImageInfo { width: 1700, height: 2200, bytes_per_line: Some(5248) }));
        assert!(ScanImageInfo::parse(b"<ScanImageInfo><ActualWidth>0</ActualWidth></ScanImageInfo>").is_err());
    }
}

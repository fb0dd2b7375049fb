//! TIFF 6.0: any number of pages in strips, deflated with horizontal differencing, the resolution in inches.
//!
//! A page's directory follows its strips, so its height need not be known before, and the link to it in front of it is
//! written last: after each page the file is a whole TIFF. Where bytes can't be replaced (a pipe), a nameless file keeps
//! everything until the end.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use flate2::write::ZlibEncoder;
use usbscan_scan::PageFormat;

use crate::out::Out;
use crate::spool::nameless_file;
use crate::{FileFormat, ImageError, predictor};

/// Bytes of pixels in a strip, about.
const STRIP: usize = 256 << 10;
/// Big-endian, as samples of 16 bits come; then 42; then the first link.
const HEADER: &[u8] = b"MM\0\x2a\0\0\0\0";
const FIRST_LINK: u64 = 4;

/// A TIFF that is being written.
#[derive(Debug)]
pub struct TiffFile {
    out: Out,
    kept: Option<Kept>,
    /// Where the offset of the next directory belongs.
    link: u64,
    pages: u16,
    page: Option<Page>,
}

/// What is written, until it is whole, and where it goes then.
#[derive(Debug)]
struct Kept {
    file: File,
    to: Out,
}

/// The page that is being written.
struct Page {
    format: PageFormat,
    lines_per_strip: usize,
    /// Lines of a strip that is not full.
    strip: Vec<u8>,
    zlib: ZlibEncoder<Vec<u8>>,
    bytes: u64,
    offsets: Vec<u32>,
    lengths: Vec<u32>,
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("strips", &self.offsets.len()).finish_non_exhaustive()
    }
}

/// The nameless file that keeps everything failed.
fn spool_error(source: io::Error) -> ImageError {
    ImageError::Spool { folder: std::env::temp_dir(), source }
}

impl TiffFile {
    pub fn new(out: Out) -> Result<TiffFile, ImageError> {
        if out.is_file() {
            return Ok(TiffFile { out, kept: None, link: FIRST_LINK, pages: 0, page: None });
        }
        let file = nameless_file(&std::env::temp_dir())?;
        let clone = file.try_clone().and_then(Out::file).map_err(spool_error)?;
        Ok(TiffFile { out: clone, kept: Some(Kept { file, to: out }), link: FIRST_LINK, pages: 0, page: None })
    }

    pub fn begin(&mut self, format: &PageFormat) -> Result<(), ImageError> {
        if self.out.written() == 0 {
            self.write(HEADER)?;
        }
        self.page = Some(Page {
            format: *format,
            lines_per_strip: (STRIP / format.bytes_per_line()).max(1),
            strip: Vec::new(),
            zlib: ZlibEncoder::new(Vec::new(), predictor::compression(format.pixels)),
            bytes: 0,
            offsets: Vec::new(),
            lengths: Vec::new(),
        });
        Ok(())
    }

    pub fn lines(&mut self, mut lines: &[u8]) -> Result<(), ImageError> {
        while !lines.is_empty() {
            let page = self.page.as_mut().ok_or(ImageError::NotBegun)?;
            let full = page.lines_per_strip * page.format.bytes_per_line();
            let (now, later) = lines.split_at(lines.len().min(full - page.strip.len()));
            page.strip.extend_from_slice(now);
            if page.strip.len() == full {
                self.write_strip()?;
            }
            lines = later;
        }
        Ok(())
    }

    pub fn end_page(&mut self) -> Result<(), ImageError> {
        self.write_strip()?;
        let page = self.page.take().ok_or(ImageError::NotBegun)?;
        // A directory begins on an even byte.
        if self.out.written() % 2 == 1 {
            self.write(&[0])?;
        }
        let at = self.offset()?;
        let directory = directory(&page, self.pages, at).ok_or_else(too_large)?;
        self.write(&directory.bytes)?;
        self.out.patch(self.link, &at.to_be_bytes()).map_err(ImageError::Write)?;
        self.link = u64::from(at) + directory.link;
        self.pages = self.pages.saturating_add(1);
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), ImageError> {
        self.out.flush().map_err(ImageError::Write)?;
        let Some(Kept { mut file, mut to }) = self.kept else { return Ok(()) };
        file.seek(SeekFrom::Start(0)).map_err(spool_error)?;
        io::copy(&mut file, &mut to).and_then(|_| to.flush()).map_err(ImageError::Write)
    }

    fn write_strip(&mut self) -> Result<(), ImageError> {
        let page = self.page.as_mut().ok_or(ImageError::NotBegun)?;
        if page.strip.is_empty() {
            return Ok(());
        }
        let line = page.format.bytes_per_line();
        page.strip.chunks_mut(line).for_each(|line| predictor::difference(page.format.pixels, line));
        page.bytes += page.strip.len() as u64;
        let deflated = page.zlib.write_all(&page.strip).and_then(|()| page.zlib.reset(Vec::new()));
        page.strip.clear();
        let deflated = deflated.map_err(ImageError::Write)?;
        let at = offset(&self.out)?;
        page.offsets.push(at);
        page.lengths.push(deflated.len() as u32);
        self.write(&deflated)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.out.write_all(bytes).map_err(if self.kept.is_some() { spool_error } else { ImageError::Write })
    }

    fn offset(&self) -> Result<u32, ImageError> {
        offset(&self.out)
    }
}

/// Where the next byte goes: TIFF counts in 32 bits. BigTIFF, which counts further, is what many readers don't know; who
/// scans so much is better off with another format.
fn offset(out: &Out) -> Result<u32, ImageError> {
    u32::try_from(out.written()).map_err(|_| too_large())
}

fn too_large() -> ImageError {
    ImageError::TooLarge { format: FileFormat::Tiff, most: "4 GiB; take PDF, or PNG with a file a page" }
}

/// A directory as bytes.
#[derive(Debug)]
struct Directory {
    bytes: Vec<u8>,
    /// Where in it the link to the next one is.
    link: u64,
}

/// A value of a field.
enum Field {
    Text(&'static [u8]),
    Shorts(Vec<u16>),
    Longs(Vec<u32>),
    Ratio(u32),
}

impl Field {
    /// Its type and count, and its bytes (TIFF 6.0, section 2).
    fn encode(&self) -> (u16, u32, Vec<u8>) {
        match self {
            Field::Text(text) => (2, text.len() as u32, text.to_vec()),
            Field::Shorts(all) => (3, all.len() as u32, all.iter().flat_map(|one| one.to_be_bytes()).collect()),
            Field::Longs(all) => (4, all.len() as u32, all.iter().flat_map(|one| one.to_be_bytes()).collect()),
            Field::Ratio(whole) => (5, 1, [*whole, 1].iter().flat_map(|one| one.to_be_bytes()).collect()),
        }
    }
}

/// The directory of a page, to be written at this place; `None` where it would end behind what 32 bits can point to.
fn directory(page: &Page, number: u16, at: u32) -> Option<Directory> {
    let fields = fields(page, number);
    let link = 2 + 12 * fields.len();
    let mut bytes = (fields.len() as u16).to_be_bytes().to_vec();
    let mut behind = Vec::new();
    for (tag, field) in fields {
        let (kind, count, mut value) = field.encode();
        bytes.extend(tag.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(count.to_be_bytes());
        if value.len() > 4 {
            let place = at.checked_add(u32::try_from(link + 4 + behind.len()).ok()?)?;
            value.resize(value.len().next_multiple_of(2), 0);
            behind.append(&mut value);
            value = place.to_be_bytes().to_vec();
        }
        value.resize(4, 0);
        bytes.extend(value);
    }
    bytes.extend([0; 4]);
    bytes.extend(behind);
    at.checked_add(u32::try_from(bytes.len()).ok()?)?;
    Some(Directory { bytes, link: link as u64 })
}

/// The fields of a page, in the order of their tags.
fn fields(page: &Page, number: u16) -> Vec<(u16, Field)> {
    let pixels = page.format.pixels;
    let channels = pixels.channels() as u16;
    let height = (page.bytes / page.format.bytes_per_line() as u64) as u32;
    let short = |value: u16| Field::Shorts(vec![value]);
    let long = |value: u32| Field::Longs(vec![value]);
    let mut fields = vec![
        (254, long(2)),                 // NewSubfileType: a page of several
        (256, long(page.format.width)), // ImageWidth
        (257, long(height)),            // ImageLength
        (258, Field::Shorts(vec![pixels.bits_per_sample() as u16; channels.into()])), // BitsPerSample
        (259, short(8)),                // Compression: Deflate
        (262, short(if channels == 1 { 1 } else { 2 })), // Photometric: 0 is black; RGB
        (273, Field::Longs(page.offsets.clone())), // StripOffsets
        (277, short(channels)),         // SamplesPerPixel
        (278, long(u32::try_from(page.lines_per_strip).unwrap_or(u32::MAX).min(height))), // RowsPerStrip
        (279, Field::Longs(page.lengths.clone())), // StripByteCounts
        (282, Field::Ratio(page.format.dpi.0.0)), // XResolution
        (283, Field::Ratio(page.format.dpi.1.0)), // YResolution
        (284, short(1)),                // PlanarConfiguration: by pixel
        (296, short(2)),                // ResolutionUnit: inch
        (297, Field::Shorts(vec![number, 0])), // PageNumber, of so many: unknown
        (305, Field::Text(b"usbscan\0")), // Software
    ];
    if predictor::helps(pixels) {
        fields.push((317, short(2))); // Predictor: horizontal
    }
    fields
}

#[cfg(test)]
mod tests {
    use usbscan_scan::Pixels;

    use super::*;

    #[test]
    fn a_directory_has_its_fields_in_order_and_long_values_behind_it() {
        let format = PageFormat {
            width: 3,
            height: None,
            pixels: Pixels::Rgb8,
            dpi: (usbscan_scan::Dpi(300), usbscan_scan::Dpi(600)),
        };
        let mut tiff = TiffFile::new(Out::through(io::sink())).expect("a nameless file");
        tiff.begin(&format).expect("a page");
        let page = tiff.page.as_mut().expect("it began");
        (page.bytes, page.offsets, page.lengths) = (18, vec![8], vec![20]);
        let Directory { bytes, link } = directory(page, 0, 1000).expect("there is room");
        let count = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        assert_eq!(link as usize, 2 + 12 * count);
        let tags: Vec<u16> = bytes[2..link as usize].chunks(12).map(|f| u16::from_be_bytes([f[0], f[1]])).collect();
        assert!(tags.is_sorted_by(|a, b| a < b), "{tags:?}");
        let bits = bytes[2..].chunks(12).find(|field| field[..2] == [1, 2]).expect("258");
        let at = u32::from_be_bytes([bits[8], bits[9], bits[10], bits[11]]) as usize - 1000;
        assert_eq!(bytes[at..at + 6], [0, 8, 0, 8, 0, 8]);
    }

    /// A TIFF that has so many bytes already, all but the first of them a hole.
    fn grown_to(length: u64) -> TiffFile {
        let mut tiff = TiffFile::new(Out::hole(length)).expect("a file");
        tiff.begin(&PIXEL).expect("a page");
        tiff
    }

    const PIXEL: PageFormat = PageFormat {
        width: 1,
        height: None,
        pixels: Pixels::Gray8,
        dpi: (usbscan_scan::Dpi(300), usbscan_scan::Dpi(300)),
    };

    #[test]
    fn a_file_of_more_than_four_gibibytes_is_refused_in_words_at_whatever_byte_it_would_get_so_large() {
        let limit = 1 << 32;
        let mut refused = 0;
        // From where the strip begins behind the limit down to where the whole directory lies in front of it.
        for before in 0..600 {
            let mut tiff = grown_to(limit + 50 - before);
            match tiff.lines(&[7]).and_then(|()| tiff.end_page()) {
                Ok(()) => assert!(tiff.out.written() <= limit, "{before}: {} bytes", tiff.out.written()),
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("a TIFF can have at most 4 GiB; take PDF"), "{error}");
                }
            }
        }
        assert!((100..500).contains(&refused), "{refused} of 600");
    }
}

//! PDF 1.5: any number of pages, each one picture as large as the paper was; a JPEG, or deflated without loss.
//!
//! Everything is written once, from front to back (ISO 32000-1, section 7.5): of each page a few numbers are kept for the
//! table of objects at the end.

use std::fmt::Write as _;
use std::io::Write;

use flate2::write::ZlibEncoder;
use usbscan_scan::{Dpi, PageFormat, Pixels};

use crate::jpeg_file::JpegFile;
use crate::out::Out;
use crate::{FileFormat, ImageError, Quality, predictor};

/// The comment says that what follows is not text.
const HEADER: &str = "%PDF-1.5\n%\u{b5}\u{b5}\u{b5}\u{b5}\n";
/// The table of objects has ten digits for an offset.
const MOST: u64 = 9_999_999_999;
/// Points of an inch.
const POINTS: f64 = 72.0;

/// Objects that a file has once.
const CATALOG: usize = 1;
const PAGES: usize = 2;
const INFO: usize = 3;
/// Objects that each page has, from here on: its picture, the length of that, how it is drawn, and the page itself.
const FIRST: usize = 4;
const EACH: usize = 4;

/// A PDF that is being written.
#[derive(Debug)]
pub struct PdfFile {
    quality: Quality,
    /// The most bytes in front of an object.
    most: u64,
    state: PdfState,
    /// Where each object is, the first one being 1; 0: not written yet.
    objects: Vec<u64>,
    pages: usize,
}

#[derive(Debug)]
enum PdfState {
    Between(Out),
    Page(Page),
    /// An error came between.
    Broken,
}

/// The page that is being written.
#[derive(Debug)]
struct Page {
    format: PageFormat,
    height: u32,
    /// Where the picture's first byte is.
    start: u64,
    picture: Picture,
}

#[derive(Debug)]
enum Picture {
    Jpeg(JpegFile),
    /// It comes as a JPEG.
    Passed(Out),
    Flate {
        zlib: Box<ZlibEncoder<Out>>,
        line: Vec<u8>,
    },
}

impl PdfFile {
    pub fn new(out: Out, quality: Quality) -> PdfFile {
        PdfFile { quality, most: MOST, state: PdfState::Between(out), objects: vec![0; INFO], pages: 0 }
    }

    /// What it would be written to, of one of which nothing is.
    pub fn into_out(self) -> Option<Out> {
        match self.state {
            PdfState::Between(out) if self.pages == 0 => Some(out),
            _ => None,
        }
    }

    pub fn begin(&mut self, format: &PageFormat, height: u32) -> Result<(), ImageError> {
        let quality = self.quality.jpeg(format.pixels);
        let (out, start) = self.begin_picture(format, height, quality.is_some())?;
        let picture = match quality {
            Some(quality) => Picture::Jpeg(JpegFile::begin(out, format, height, quality)?),
            None => {
                let zlib = Box::new(ZlibEncoder::new(out, predictor::compression(format.pixels)));
                Picture::Flate { zlib, line: Vec::new() }
            }
        };
        self.state = PdfState::Page(Page { format: *format, height, start, picture });
        Ok(())
    }

    /// The same for a page that comes as a JPEG.
    pub fn begin_jpeg(&mut self, format: &PageFormat, height: u32) -> Result<(), ImageError> {
        let (out, start) = self.begin_picture(format, height, true)?;
        self.state = PdfState::Page(Page { format: *format, height, start, picture: Picture::Passed(out) });
        Ok(())
    }

    pub fn jpeg(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        match &mut self.state {
            PdfState::Page(Page { picture: Picture::Passed(out), .. }) => {
                out.write_all(bytes).map_err(ImageError::Write)
            }
            _ => Err(ImageError::NotBegun),
        }
    }

    /// Writes what precedes a page's picture, and says where that begins.
    fn begin_picture(&mut self, format: &PageFormat, height: u32, is_jpeg: bool) -> Result<(Out, u64), ImageError> {
        let mut out = self.out()?;
        if out.written() == 0 {
            // Each of these characters is one byte here.
            let header: Vec<u8> = HEADER.chars().map(|c| c as u8).collect();
            out.write_all(&header).map_err(ImageError::Write)?;
        }
        let number = FIRST + EACH * self.pages;
        self.object(&mut out, number, &picture_dictionary(format, height, number + 1, is_jpeg))?;
        let start = out.written();
        Ok((out, start))
    }

    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        let PdfState::Page(page) = &mut self.state else { return Err(ImageError::NotBegun) };
        match &mut page.picture {
            Picture::Jpeg(file) => file.lines(lines),
            Picture::Passed(_) => Err(ImageError::NotBegun),
            Picture::Flate { zlib, line } => {
                line.clear();
                lines.chunks(page.format.bytes_per_line()).for_each(|one| differ(page.format.pixels, one, line));
                zlib.write_all(line).map_err(ImageError::Write)
            }
        }
    }

    pub fn end_page(&mut self) -> Result<(), ImageError> {
        let PdfState::Page(page) = std::mem::replace(&mut self.state, PdfState::Broken) else {
            return Err(ImageError::NotBegun);
        };
        let mut out = match page.picture {
            Picture::Jpeg(file) => file.end()?,
            Picture::Passed(out) => out,
            Picture::Flate { zlib, .. } => zlib.finish().map_err(ImageError::Write)?,
        };
        let length = out.written() - page.start;
        let picture = FIRST + EACH * self.pages;
        out.write_all(b"\nendstream\nendobj\n").map_err(ImageError::Write)?;
        self.object(&mut out, picture + 1, &format!("{length}\nendobj\n"))?;
        let (width, height) = (points(page.format.width, page.format.dpi.0), points(page.height, page.format.dpi.1));
        let drawn = format!("q {width} 0 0 {height} 0 0 cm /Page Do Q");
        let drawn = format!("<< /Length {} >>\nstream\n{drawn}\nendstream\nendobj\n", drawn.len());
        self.object(&mut out, picture + 2, &drawn)?;
        let dictionary = format!(
            "<< /Type /Page /Parent {PAGES} 0 R /MediaBox [0 0 {width} {height}] /Contents {} 0 R\n\
             /Resources << /XObject << /Page {picture} 0 R >> >> >>\nendobj\n",
            picture + 2
        );
        self.object(&mut out, picture + 3, &dictionary)?;
        self.pages += 1;
        self.state = PdfState::Between(out);
        Ok(())
    }

    pub fn finish(mut self) -> Result<(), ImageError> {
        let mut out = self.out()?;
        let pages = (0..self.pages).fold(String::new(), |mut text, page| {
            let _ = writeln!(text, "{} 0 R", FIRST + EACH * page + 3);
            text
        });
        let tree = format!("<< /Type /Pages /Count {} /Kids [\n{pages}] >>\nendobj\n", self.pages);
        self.object(&mut out, PAGES, &tree)?;
        self.object(&mut out, CATALOG, &format!("<< /Type /Catalog /Pages {PAGES} 0 R >>\nendobj\n"))?;
        let version = env!("CARGO_PKG_VERSION");
        self.object(&mut out, INFO, &format!("<< /Producer (usbscan {version}) >>\nendobj\n"))?;
        let table = out.written();
        let count = self.objects.len() + 1;
        let mut text = format!("xref\n0 {count}\n0000000000 65535 f \n");
        for offset in &self.objects {
            let _ = writeln!(text, "{offset:010} 00000 n ");
        }
        let _ = write!(
            text,
            "trailer\n<< /Size {count} /Root {CATALOG} 0 R /Info {INFO} 0 R >>\nstartxref\n{table}\n%%EOF\n"
        );
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ImageError::Write)
    }

    fn out(&mut self) -> Result<Out, ImageError> {
        match std::mem::replace(&mut self.state, PdfState::Broken) {
            PdfState::Between(out) => Ok(out),
            _ => Err(ImageError::NotBegun),
        }
    }

    /// Writes the beginning of an object, or all of it, and remembers where it is.
    fn object(&mut self, out: &mut Out, number: usize, text: &str) -> Result<(), ImageError> {
        if out.written() > self.most {
            let most = match self.quality {
                Quality::Lossless => "10 GB; without --quality lossless it is much smaller",
                _ => "10 GB; use several files",
            };
            return Err(ImageError::TooLarge { format: FileFormat::Pdf, most });
        }
        self.objects.resize(self.objects.len().max(number), 0);
        self.objects[number - 1] = out.written();
        out.write_all(format!("{number} 0 obj\n{text}").as_bytes()).map_err(ImageError::Write)
    }
}

/// What makes a line smaller before it is deflated, by its number in ISO 32000-1, table 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predictor {
    None = 1,
    Tiff = 2,
    /// PNG's filter "Sub".
    PngSub = 11,
}

/// Words are PNG's business: poppler undoes TIFF's predictor with 8 bits alone, and shows a black page.
fn predictor_of(pixels: Pixels) -> Predictor {
    match pixels {
        Pixels::Bit => Predictor::None,
        Pixels::Gray8 | Pixels::Rgb8 => Predictor::Tiff,
        Pixels::Gray16 | Pixels::Rgb16 => Predictor::PngSub,
    }
}

/// Adds a line to `out` as its predictor has it.
fn differ(pixels: Pixels, line: &[u8], out: &mut Vec<u8>) {
    let predictor = predictor_of(pixels);
    if predictor == Predictor::PngSub {
        out.push(predictor::PNG_SUB);
    }
    let begin = out.len();
    out.extend_from_slice(line);
    match predictor {
        Predictor::None => {}
        Predictor::Tiff => predictor::difference(pixels, &mut out[begin..]),
        Predictor::PngSub => predictor::difference_of_bytes(pixels, &mut out[begin..]),
    }
}

fn picture_dictionary(format: &PageFormat, height: u32, length: usize, jpeg: bool) -> String {
    let (width, bits) = (format.width, format.pixels.bits_per_sample());
    let channels = format.pixels.channels();
    let space = if channels == 1 { "DeviceGray" } else { "DeviceRGB" };
    let filter = match (jpeg, format.pixels) {
        (true, _) => "/Filter /DCTDecode".to_owned(),
        (false, pixels) => match predictor_of(pixels) {
            Predictor::None => "/Filter /FlateDecode".to_owned(),
            predictor => format!(
                "/Filter /FlateDecode /DecodeParms << /Predictor {} /Colors {channels} /BitsPerComponent {bits} \
                 /Columns {width} >>",
                predictor as u8
            ),
        },
    };
    format!(
        "<< /Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /{space} \
         /BitsPerComponent {bits}\n{filter} /Length {length} 0 R >>\nstream\n"
    )
}

/// The length of so many pixels on paper, in points, with as many digits as it takes.
fn points(pixels: u32, dpi: Dpi) -> String {
    let points = f64::from(pixels) * POINTS / f64::from(dpi.0.max(1));
    ((points * 1000.0).round() / 1000.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_large_as_its_paper() {
        assert_eq!(points(2550, Dpi(300)), "612");
        assert_eq!(points(2480, Dpi(300)), "595.2");
        assert_eq!(points(1, Dpi(1200)), "0.06");
    }

    #[test]
    fn a_file_beyond_what_its_table_can_count_is_refused_and_told_what_makes_it_smaller() {
        let page = PageFormat { width: 64, height: Some(64), pixels: Pixels::Rgb8, dpi: (Dpi(300), Dpi(300)) };
        for (quality, most) in [
            (Quality::Lossless, "a PDF can have at most 10 GB; without --quality lossless it is much smaller"),
            (Quality::Jpeg(85), "a PDF can have at most 10 GB; use several files"),
        ] {
            let mut file = PdfFile { most: 500, ..PdfFile::new(Out::through(std::io::sink()), quality) };
            // Noise, which nothing makes smaller.
            let mut shade = 1u32;
            let mut noise = || {
                shade = shade.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (shade >> 24) as u8
            };
            let lines: Vec<u8> = (0..page.bytes_per_line() * 64).map(|_| noise()).collect();
            file.begin(&page, 64).expect("below the limit");
            file.lines(&lines).expect("a picture of any length");
            let refused = file.end_page().expect_err("beyond the limit").to_string();
            assert_eq!(refused, most);
        }
    }
}

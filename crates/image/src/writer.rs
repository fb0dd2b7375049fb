//! The sink that writes pages to a file. It counts the lines, so that no file claims more than it has.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use usbscan_scan::{Flow, PageFormat, PageSink, SinkError};

use crate::encoder::Encoder;
use crate::out::Out;
use crate::spool::{Spool, nameless_file};
use crate::{FileFormat, ImageError, Quality};

/// Writes a file: one page, or, where the format has room for them, one after the other.
///
/// ```text
///              ┌──────────────── end, fill ────────────────┐
///              ▼                                           │
///   new ──▶ Between ──begin──▶ Announced ──first line──▶ Known, or Spooled where the height is not known yet
///              └──── finish ─────┘                      └──first JPEG──▶ Passed
/// ```
#[derive(Debug)]
pub struct PageWriter {
    format: FileFormat,
    quality: Quality,
    encoder: Encoder,
    /// The page that began last.
    page: Option<PageFormat>,
    /// Bytes of pixels that came of it; of a page that comes as a JPEG or PDF those that it stands for.
    bytes: u64,
    whole: u32,
    state: WriterState,
    /// Where a page is kept whose height is not known yet, and a file that is there for the next.
    folder: PathBuf,
    prepared: Option<File>,
}

#[derive(Debug)]
enum WriterState {
    /// No page is under way.
    Between,
    /// Its look is known, and nothing of it is written.
    Announced,
    /// The encoder is in it.
    Known,
    Spooled(Spool),
    /// The encoder is in it, and it comes as a JPEG.
    Passed,
    /// The file is a document that comes as PDF.
    Document,
    /// An error came between.
    Broken,
}

impl PageWriter {
    /// Will write pages to `out`, byte after byte.
    ///
    /// # Errors
    /// [`ImageError::Spool`]: a TIFF is kept in a nameless file until it is whole, which can't be made.
    pub fn new(
        format: FileFormat,
        quality: Quality,
        out: impl Write + Send + 'static,
    ) -> Result<PageWriter, ImageError> {
        PageWriter::over(format, quality, Out::through(out))
    }

    /// Will write pages to a plain file, which has nothing yet.
    ///
    /// # Errors
    /// [`ImageError::Write`], when there is no second descriptor for it.
    pub fn to_file(format: FileFormat, quality: Quality, file: File) -> Result<PageWriter, ImageError> {
        PageWriter::over(format, quality, Out::file(file).map_err(ImageError::Write)?)
    }

    fn over(format: FileFormat, quality: Quality, out: Out) -> Result<PageWriter, ImageError> {
        let encoder = Encoder::new(format, quality, out)?;
        let folder = std::env::temp_dir();
        let state = WriterState::Between;
        Ok(PageWriter { format, quality, encoder, page: None, bytes: 0, whole: 0, state, folder, prepared: None })
    }

    /// Pages whose height is not known yet are kept in this folder, and not in that for temporary files: in the one that the file
    /// itself is in there is room for them.
    ///
    /// # Errors
    /// [`ImageError::Spool`], at once, if no file can be made there.
    pub fn keep_in(&mut self, folder: &Path) -> Result<(), ImageError> {
        if self.format.begins_with_the_height() {
            self.prepared = Some(nameless_file(folder)?);
        }
        folder.clone_into(&mut self.folder);
        Ok(())
    }

    /// Whether a page like this, which a scanner sends as JPEG, goes into such a file as it comes.
    pub fn passes_jpeg(format: FileFormat, quality: Quality, page: &PageFormat) -> bool {
        let holds_jpeg = matches!(format, FileFormat::Jpeg | FileFormat::Pdf);
        holds_jpeg && quality == Quality::AsSent && format.check(page, quality).is_ok()
    }

    /// Whether a document that a scanner sends as PDF is such a file.
    pub fn passes_pdf(format: FileFormat, quality: Quality) -> bool {
        format == FileFormat::Pdf && quality == Quality::AsSent
    }

    /// What the page looks like that began last, once one has.
    pub fn page(&self) -> Option<&PageFormat> {
        self.page.as_ref()
    }

    /// Lines that came of it; of a page that comes as a JPEG or PDF all that it has.
    pub fn lines_taken(&self) -> u32 {
        let line = self.page.map_or(1, |page| page.bytes_per_line().max(1));
        u32::try_from(self.bytes / line as u64).unwrap_or(u32::MAX)
    }

    /// Pages that are in the file.
    pub fn pages(&self) -> u32 {
        self.whole
    }

    /// Ends a page that will not become whole: what is missing of its height is white. `false` if no line of it came, or
    /// none had begun.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn fill(&mut self) -> Result<bool, ImageError> {
        // What came of a JPEG can't be filled up.
        let is_begun = !matches!(
            self.state,
            WriterState::Between | WriterState::Announced | WriterState::Passed | WriterState::Document
        );
        let Some(page) = self.page.filter(|_| is_begun) else {
            return Ok(false);
        };
        if let Some(height) = page.height {
            let white = vec![0xff; page.bytes_per_line()];
            for _ in self.lines_taken()..height {
                self.take(&white)?;
            }
        }
        self.end_page()?;
        Ok(true)
    }

    /// Ends the file. A page that began and of which no line came is not in it.
    ///
    /// # Errors
    /// [`ImageError::Empty`] if it would have no page; the system's.
    pub fn finish(self) -> Result<(), ImageError> {
        match self.state {
            WriterState::Between | WriterState::Announced if self.whole > 0 => self.encoder.finish(),
            WriterState::Between | WriterState::Announced => Err(ImageError::Empty),
            WriterState::Known
            | WriterState::Spooled(_)
            | WriterState::Passed
            | WriterState::Document
            | WriterState::Broken => Err(ImageError::NotBegun),
        }
    }

    fn start(&mut self, page: &PageFormat) -> Result<(), ImageError> {
        if !matches!(self.state, WriterState::Between) {
            return Err(ImageError::NotBegun);
        }
        if self.whole > 0 && !self.format.holds_many_pages() {
            return Err(ImageError::OnePage(self.format));
        }
        self.format.check(page, self.quality)?;
        (self.page, self.bytes, self.state) = (Some(*page), 0, WriterState::Announced);
        Ok(())
    }

    fn take(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        let page = self.page.ok_or(ImageError::NotBegun)?;
        self.bytes += lines.len() as u64;
        if let Some(expected) = expected(&page).filter(|expected| self.bytes > *expected) {
            return Err(ImageError::Length { got: self.bytes, expected });
        }
        // Whatever goes wrong from here on, the page is not as it should be.
        let state = match std::mem::replace(&mut self.state, WriterState::Broken) {
            WriterState::Announced => self.first(&page)?,
            state => state,
        };
        self.state = match state {
            WriterState::Known => self.encoder.lines(lines).map(|()| WriterState::Known)?,
            WriterState::Spooled(mut spool) => spool.lines(lines).map(|()| WriterState::Spooled(spool))?,
            _ => return Err(ImageError::NotBegun),
        };
        Ok(())
    }

    fn take_jpeg(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let page = self.page.ok_or(ImageError::NotBegun)?;
        match std::mem::replace(&mut self.state, WriterState::Broken) {
            WriterState::Announced => self.encoder.begin_jpeg(&page, page.height.ok_or(ImageError::NotBegun)?)?,
            WriterState::Passed => {}
            _ => return Err(ImageError::NotBegun),
        }
        self.encoder.jpeg(bytes)?;
        self.bytes = expected(&page).unwrap_or(0);
        self.state = WriterState::Passed;
        Ok(())
    }

    fn take_document(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let page = self.page.ok_or(ImageError::NotBegun)?;
        match std::mem::replace(&mut self.state, WriterState::Broken) {
            WriterState::Announced if self.whole > 0 => return Err(ImageError::OneDocument),
            WriterState::Announced => self.encoder.begin_document()?,
            WriterState::Document => {}
            _ => return Err(ImageError::NotBegun),
        }
        self.encoder.document(bytes)?;
        self.bytes = expected(&page).unwrap_or(0);
        self.state = WriterState::Document;
        Ok(())
    }

    /// The first line is there.
    fn first(&mut self, page: &PageFormat) -> Result<WriterState, ImageError> {
        match page.height {
            None if self.format.begins_with_the_height() => {
                let file = self.prepared.take().map_or_else(|| nameless_file(&self.folder), Ok)?;
                Ok(WriterState::Spooled(Spool::new(file, &self.folder)))
            }
            height => self.encoder.begin(page, height.unwrap_or(0)).map(|()| WriterState::Known),
        }
    }

    fn end_page(&mut self) -> Result<(), ImageError> {
        let page = self.page.ok_or(ImageError::NotBegun)?;
        let line = page.bytes_per_line() as u64;
        match std::mem::replace(&mut self.state, WriterState::Broken) {
            WriterState::Known | WriterState::Spooled(_) | WriterState::Announced if self.bytes == 0 => {
                return Err(ImageError::Empty);
            }
            WriterState::Known | WriterState::Spooled(_)
                if self.bytes != expected(&page).unwrap_or(self.bytes / line * line) =>
            {
                let expected = expected(&page).unwrap_or(self.bytes / line * line);
                return Err(ImageError::Length { got: self.bytes, expected });
            }
            WriterState::Known | WriterState::Passed | WriterState::Document => self.encoder.end_page()?,
            WriterState::Spooled(spool) => self.write_spooled(spool, &page)?,
            _ => return Err(ImageError::NotBegun),
        }
        self.state = WriterState::Between;
        self.whole += 1;
        Ok(())
    }

    fn write_spooled(&mut self, spool: Spool, page: &PageFormat) -> Result<(), ImageError> {
        let known = PageFormat { height: Some(self.lines_taken()), ..*page };
        self.format.check(&known, self.quality)?;
        self.encoder.begin(&known, self.lines_taken())?;
        spool.replay(page.bytes_per_line(), |lines| self.encoder.lines(lines))?;
        self.encoder.end_page()
    }
}

fn expected(page: &PageFormat) -> Option<u64> {
    page.height.map(|height| u64::from(height) * page.bytes_per_line() as u64)
}

impl PageSink for PageWriter {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        Ok(self.start(format)?)
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        self.take(lines)?;
        Ok(Flow::Continue)
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(self.end_page()?)
    }

    fn takes_jpeg(&self, format: &PageFormat) -> bool {
        PageWriter::passes_jpeg(self.format, self.quality, format)
    }

    fn jpeg(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        self.take_jpeg(bytes)?;
        Ok(Flow::Continue)
    }

    fn takes_pdf(&self, _format: &PageFormat) -> bool {
        PageWriter::passes_pdf(self.format, self.quality)
    }

    fn pdf(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        self.take_document(bytes)?;
        Ok(Flow::Continue)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use usbscan_scan::{Dpi, Pixels};

    use super::*;

    const ALL: [Pixels; 5] = [Pixels::Bit, Pixels::Gray8, Pixels::Gray16, Pixels::Rgb8, Pixels::Rgb16];

    fn page(pixels: Pixels, width: u32, height: Option<u32>) -> PageFormat {
        PageFormat { width, height, pixels, dpi: (Dpi(300), Dpi(600)) }
    }

    /// Bytes in which every line differs; bits behind the last pixel of a line are 0.
    fn pixels(page: &PageFormat, height: u32) -> Vec<u8> {
        let line = page.bytes_per_line();
        let mut bytes: Vec<u8> = (0..line * height as usize).map(|at| (at * 7 + at / line * 3) as u8).collect();
        if page.pixels == Pixels::Bit {
            let unused = page.width.next_multiple_of(8) - page.width;
            bytes.chunks_mut(line).for_each(|line| *line.last_mut().expect("a line has bytes") &= 0xff << unused);
        }
        bytes
    }

    #[test]
    fn a_jpeg_goes_into_a_jpeg_and_a_pdf_byte_for_byte_and_into_nothing_else() {
        let page = page(Pixels::Rgb8, 8, Some(8));
        for format in [FileFormat::Jpeg, FileFormat::Pdf] {
            let memory = Memory::default();
            let mut writer = PageWriter::new(format, Quality::AsSent, memory.clone()).expect("a writer");
            assert!(writer.takes_jpeg(&page));
            writer.begin(&page).expect("it begins");
            for bytes in [&b"\xff\xd8 not looked"[..], b" at here\xff\xd9"] {
                assert_eq!(writer.jpeg(bytes).expect("it is written"), Flow::Continue);
            }
            writer.end().expect("it is whole");
            assert_eq!(writer.lines_taken(), 8, "what is told of it afterwards");
            writer.finish().expect("a file");
            let bytes = memory.take();
            let passed = b"\xff\xd8 not looked at here\xff\xd9";
            assert_eq!(bytes.windows(passed.len()).filter(|part| part == passed).count(), 1, "{format}");
            assert!(format == FileFormat::Pdf || bytes == passed);
        }
        for (format, quality) in [
            (FileFormat::Png, Quality::AsSent),
            (FileFormat::Tiff, Quality::AsSent),
            (FileFormat::Pdf, Quality::Lossless),
            (FileFormat::Jpeg, Quality::Jpeg(85)),
        ] {
            assert!(!PageWriter::passes_jpeg(format, quality, &page), "{format} {quality:?}");
        }
    }

    #[test]
    fn a_jpeg_that_ends_in_the_middle_is_in_no_file() {
        let mut writer = PageWriter::new(FileFormat::Jpeg, Quality::AsSent, Memory::default()).expect("a writer");
        writer.begin(&page(Pixels::Gray8, 8, Some(8))).expect("it begins");
        let _ = writer.jpeg(b"\xff\xd8").expect("it is written");
        assert!(!writer.fill().expect("nothing to fill"));
        assert!(writer.finish().is_err());
    }

    /// A file in memory, of which the test keeps a clone.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Memory {
        fn take(self) -> Vec<u8> {
            std::mem::take(&mut self.0.lock().expect("nobody panicked"))
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Writes with blocks of three lines.
    fn write(file: FileFormat, page: &PageFormat, bytes: &[u8]) -> Result<Vec<u8>, SinkError> {
        let out = Memory::default();
        let mut writer = PageWriter::new(file, Quality::default(), out.clone()).expect("a writer");
        writer.begin(page)?;
        for block in bytes.chunks(page.bytes_per_line() * 3) {
            assert_eq!(writer.lines(block)?, Flow::Continue);
        }
        writer.end()?;
        writer.finish()?;
        Ok(out.take())
    }

    fn read_png(file: &[u8]) -> (png::Info<'static>, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
        let frame = reader.next_frame(&mut bytes).expect("a whole PNG");
        reader.finish().expect("a whole file");
        bytes.truncate(frame.buffer_size());
        let info = reader.info();
        let mut plain = png::Info::with_size(info.width, info.height);
        plain.color_type = info.color_type;
        plain.bit_depth = info.bit_depth;
        plain.pixel_dims = info.pixel_dims;
        (plain, bytes)
    }

    #[test]
    fn a_png_has_every_pixel_and_the_resolution() {
        for kind in ALL {
            let page = page(kind, 101, Some(40));
            let bytes = pixels(&page, 40);
            let (info, back) = read_png(&write(FileFormat::Png, &page, &bytes).expect("it is written"));
            assert_eq!((info.width, info.height), (101, 40), "{kind:?}");
            assert!(back == bytes, "{kind:?}");
            let size = info.pixel_dims.expect("a pHYs chunk");
            assert_eq!((size.xppu, size.yppu, size.unit), (11811, 23622, png::Unit::Meter));
        }
    }

    #[test]
    fn a_pnm_has_every_pixel() {
        for (kind, header) in ALL.iter().zip([
            "P4\n101 7\n",
            "P5\n101 7\n255\n",
            "P5\n101 7\n65535\n",
            "P6\n101 7\n255\n",
            "P6\n101 7\n65535\n",
        ]) {
            let page = page(*kind, 101, Some(7));
            let bytes = pixels(&page, 7);
            let file = write(FileFormat::Pnm, &page, &bytes).expect("it is written");
            assert!(file.starts_with(header.as_bytes()), "{kind:?}");
            if *kind != Pixels::Bit {
                assert!(file[header.len()..] == bytes, "{kind:?}");
            }
        }
    }

    #[test]
    fn a_pbm_is_black_where_the_page_is_and_nothing_is_behind_its_last_pixel() {
        let page = page(Pixels::Bit, 10, Some(2));
        let file = write(FileFormat::Pnm, &page, &[0b1010_1010, 0b1011_1111, 0, 0]).expect("it is written");
        assert_eq!(file, b"P4\n10 2\n\x55\x40\xff\xc0");
    }

    #[test]
    fn a_page_may_tell_its_height_at_its_end() {
        for format in [FileFormat::Png, FileFormat::Pnm] {
            for kind in ALL {
                let known = page(kind, 3333, Some(50));
                let bytes = pixels(&known, 50);
                let unknown = PageFormat { height: None, ..known };
                let expected = write(format, &known, &bytes).expect("it is written");
                assert!(write(format, &unknown, &bytes).expect("it is written") == expected, "{format:?} {kind:?}");
            }
        }
    }

    #[test]
    fn what_is_missing_of_a_page_can_be_filled_with_white() {
        let page = page(Pixels::Gray8, 2, Some(4));
        let out = Memory::default();
        let mut writer = PageWriter::new(FileFormat::Pnm, Quality::default(), out.clone()).expect("a writer");
        assert!(!writer.fill().expect("nothing to fill"), "it has not begun");
        writer.begin(&page).expect("it begins");
        assert!(!writer.fill().expect("nothing to fill"), "nothing came");
        let _ = writer.lines(&[1, 2]).expect("a line");
        assert!(writer.fill().expect("it is filled"));
        assert_eq!(writer.lines_taken(), 4);
        assert_eq!(out.take(), b"P5\n2 4\n255\n\x01\x02\xff\xff\xff\xff\xff\xff");
    }

    #[test]
    fn a_page_of_another_length_than_announced_is_an_error() {
        for format in [FileFormat::Png, FileFormat::Pnm] {
            for height in [3, 5] {
                let page = page(Pixels::Gray8, 8, Some(4));
                let error = write(format, &page, &pixels(&page, height)).expect_err("a wrong length");
                let error = error.get_ref().downcast_ref();
                assert!(matches!(error, Some(ImageError::Length { expected: 32, .. })), "{error:?}");
            }
        }
        let empty = write(FileFormat::Png, &page(Pixels::Gray8, 8, None), &[]).expect_err("no line");
        assert!(matches!(empty.get_ref().downcast_ref(), Some(ImageError::Empty)));
    }

    const FORMATS: [FileFormat; 5] =
        [FileFormat::Png, FileFormat::Pnm, FileFormat::Tiff, FileFormat::Jpeg, FileFormat::Pdf];

    #[test]
    fn a_file_that_can_not_be_written_is_an_error_with_the_systems_reason() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        for format in FORMATS {
            let page = page(Pixels::Rgb8, 3000, Some(100));
            let mut writer = PageWriter::new(format, Quality::default(), Full).expect("a writer");
            let written = writer.begin(&page).and_then(|()| {
                let _ = writer.lines(&pixels(&page, 100))?;
                writer.end()
            });
            let error = written.and_then(|()| Ok(writer.finish()?)).expect_err("nothing fits");
            let Some(ImageError::Write(error)) = error.get_ref().downcast_ref() else { panic!("{format}: {error:?}") };
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{format}");
        }
    }

    #[test]
    fn what_a_format_can_not_hold_is_refused_before_anything_is_written() {
        let refused = |format: FileFormat, quality, page: &PageFormat| {
            let mut writer = PageWriter::new(format, quality, std::io::sink()).expect("a writer");
            writer.begin(page).expect_err("it is refused").to_string()
        };
        let jpeg = |page: &PageFormat| refused(FileFormat::Jpeg, Quality::default(), page);
        assert!(jpeg(&page(Pixels::Bit, 8, Some(8))).contains("black or white"));
        assert!(jpeg(&page(Pixels::Rgb16, 8, Some(8))).contains("16 bits"));
        assert!(jpeg(&page(Pixels::Gray8, 65_536, Some(8))).contains("65535"));
        assert!(refused(FileFormat::Pdf, Quality::default(), &page(Pixels::Gray8, 8, Some(65_536))).contains("65535"));
        assert!(
            refused(FileFormat::Jpeg, Quality::Lossless, &page(Pixels::Gray8, 8, Some(8))).contains("without loss")
        );
    }

    #[test]
    fn a_second_page_goes_only_where_there_is_room_for_it() {
        let page = page(Pixels::Gray8, 2, Some(1));
        for format in FORMATS {
            let mut writer = PageWriter::new(format, Quality::default(), std::io::sink()).expect("a writer");
            let mut add = || {
                writer.begin(&page)?;
                let _ = writer.lines(&[0, 1])?;
                writer.end()
            };
            add().expect("the first page");
            assert_eq!(add().is_ok(), format.holds_many_pages(), "{format}");
            writer.finish().expect("the file has what it has");
        }
    }

    #[test]
    fn a_file_without_a_page_is_an_error() {
        for format in FORMATS {
            let writer = PageWriter::new(format, Quality::default(), std::io::sink()).expect("a writer");
            assert!(matches!(writer.finish(), Err(ImageError::Empty)), "{format}");
        }
    }

    #[test]
    fn a_page_that_is_given_up_leaves_no_encoder_behind() {
        for format in FORMATS {
            let out = Memory::default();
            let mut writer = PageWriter::new(format, Quality::default(), out.clone()).expect("a writer");
            let page = page(Pixels::Rgb8, 1000, Some(60_000));
            writer.begin(&page).expect("it begins");
            let _ = writer.lines(&vec![0x55; page.bytes_per_line() * 100]).expect("lines are taken");
            drop(writer);
            assert_eq!(Arc::strong_count(&out.0), 1, "{format}: the file is still open");
        }
    }
}

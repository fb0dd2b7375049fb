//! The sink that writes a page to a file. It counts the lines, so that no file claims more than it has.

use std::io::Write;

use scan::{Flow, PageFormat, PageSink, SinkError};

use crate::ImageError;
use crate::encoder::{Encoder, Out};
use crate::spool::Spool;

/// Formats of picture files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// PNG.
    Png,
    /// PBM, PGM or PPM, as the pixels need.
    Pnm,
}

/// Writes one page.
///
/// ```text
///   New ──begin──▶ Known ──end, fill──▶ Over
///     └──begin──▶ Spooled ─────────────▶─┘     where the height is not known before the end
/// ```
#[derive(Debug)]
pub struct PageWriter {
    file: FileFormat,
    page: Option<PageFormat>,
    bytes: u64,
    state: State,
}

enum State {
    New(Out),
    Known(Encoder),
    Spooled(Spool, Out),
    Over,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::New(_) => "New",
            State::Known(_) => "Known",
            State::Spooled(..) => "Spooled",
            State::Over => "Over",
        })
    }
}

impl PageWriter {
    /// Will write a page to `out`.
    pub fn new(file: FileFormat, out: impl Write + Send + 'static) -> PageWriter {
        PageWriter { file, page: None, bytes: 0, state: State::New(Box::new(out)) }
    }

    /// What the page is, once it has begun.
    pub fn page(&self) -> Option<&PageFormat> {
        self.page.as_ref()
    }

    /// Lines that came.
    pub fn lines_taken(&self) -> u32 {
        let line = self.page.map_or(1, |page| page.bytes_per_line().max(1));
        u32::try_from(self.bytes / line as u64).unwrap_or(u32::MAX)
    }

    /// Ends a page that will not become whole: what is missing of its height is white. `false` if no line ever came.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn fill(&mut self) -> Result<bool, ImageError> {
        let Some(page) = self.page.filter(|_| self.lines_taken() > 0) else { return Ok(false) };
        if let Some(height) = page.height {
            let white = vec![0xff; page.bytes_per_line()];
            for _ in self.lines_taken()..height {
                self.take(&white)?;
            }
        }
        self.finish()?;
        Ok(true)
    }

    fn start(&mut self, page: &PageFormat) -> Result<(), ImageError> {
        self.state = match (std::mem::replace(&mut self.state, State::Over), page.height) {
            (State::New(out), Some(height)) => State::Known(Encoder::begin(self.file, out, page, height)?),
            (State::New(out), None) => State::Spooled(Spool::new()?, out),
            _ => return Err(ImageError::NotBegun),
        };
        self.page = Some(*page);
        Ok(())
    }

    fn take(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        self.bytes += lines.len() as u64;
        match &mut self.state {
            State::Known(encoder) => {
                let expected = self.page.map_or(0, |page| expected(&page));
                if self.bytes > expected {
                    return Err(ImageError::Length { got: self.bytes, expected });
                }
                encoder.lines(lines)
            }
            State::Spooled(spool, _) => spool.lines(lines),
            State::New(_) | State::Over => Err(ImageError::NotBegun),
        }
    }

    fn finish(&mut self) -> Result<(), ImageError> {
        let page = self.page.ok_or(ImageError::NotBegun)?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Known(_) if self.bytes != expected(&page) => {
                Err(ImageError::Length { got: self.bytes, expected: expected(&page) })
            }
            State::Known(encoder) => encoder.end(),
            State::Spooled(spool, out) => self.write_spooled(spool, out, &page),
            State::New(_) | State::Over => Err(ImageError::NotBegun),
        }
    }

    fn write_spooled(&self, spool: Spool, out: Out, page: &PageFormat) -> Result<(), ImageError> {
        let line = page.bytes_per_line();
        if self.bytes == 0 {
            return Err(ImageError::Empty);
        }
        let expected = u64::from(self.lines_taken()) * line as u64;
        if self.bytes != expected {
            return Err(ImageError::Length { got: self.bytes, expected });
        }
        let mut encoder = Encoder::begin(self.file, out, page, self.lines_taken())?;
        spool.replay(line, |lines| encoder.lines(lines))?;
        encoder.end()
    }
}

fn expected(page: &PageFormat) -> u64 {
    u64::from(page.height.unwrap_or(0)) * page.bytes_per_line() as u64
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
        Ok(self.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use scan::{Dpi, Pixels};

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
        let mut writer = PageWriter::new(file, out.clone());
        writer.begin(page)?;
        for block in bytes.chunks(page.bytes_per_line() * 3) {
            assert_eq!(writer.lines(block)?, Flow::Continue);
        }
        writer.end()?;
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
        let mut writer = PageWriter::new(FileFormat::Pnm, out.clone());
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
        for format in [FileFormat::Png, FileFormat::Pnm] {
            let page = page(Pixels::Rgb16, 3000, Some(100));
            let mut writer = PageWriter::new(format, Full);
            let error = writer.begin(&page).and_then(|()| {
                let _ = writer.lines(&pixels(&page, 100))?;
                writer.end()
            });
            let error = error.expect_err("nothing fits");
            let Some(ImageError::Write(error)) = error.get_ref().downcast_ref() else { panic!("{error:?}") };
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        }
    }
}

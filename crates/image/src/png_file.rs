//! PNG: every kind of pixel as it is, and the resolution in a pHYs chunk.
//!
//! Which compression: an A4 page of 300 dpi with a scanner's noise (26 MB, one core) took, and shrank to,
//!
//! | pixels | fdeflate, best filter a line | zlib 1 | zlib 6 |
//! |---|---|---|---|
//! | 8-bit colour | 53 ms, 45 % | 244 ms, 48 % | 3.8 s, 45 % |
//! | 16-bit colour | 125 ms, 91 % | 359 ms, 81 % | 2.9 s, 82 % |
//! | 1 bit | 1 ms, 5.2 % | 4 ms, 3.8 % | 14 ms, 2.6 % unfiltered |
//!
//! so each kind has its own.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use png::{BitDepth, ColorType, DeflateCompression, Filter, PixelDimensions, StreamWriter, Unit};
use usbscan_scan::{Dpi, PageFormat, Pixels};

use crate::ImageError;
use crate::out::Out;

/// Bytes of compressed data in a chunk.
const CHUNK: usize = 64 << 10;

/// A PNG that is being written.
pub struct PngFile {
    stream: StreamWriter<'static, BufWriter<WatchedWriter>>,
    failed: Failed,
}

/// The first error of the file.
type Failed = Arc<Mutex<Option<io::Error>>>;

/// The file, remembering its first error: png writes the last chunk, and a buffer its rest, when they are dropped, and
/// then nobody hears of errors.
struct WatchedWriter {
    out: Out,
    failed: Failed,
}

impl WatchedWriter {
    fn watch<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            lock(&self.failed).get_or_insert(error);
            kind.into()
        })
    }
}

impl Write for WatchedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        match &written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => written,
            _ => self.watch(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.watch(flushed)
    }
}

fn lock(failed: &Failed) -> MutexGuard<'_, Option<io::Error>> {
    failed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for PngFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PngFile").finish_non_exhaustive()
    }
}

impl PngFile {
    pub fn begin(out: Out, page: &PageFormat, height: u32) -> Result<PngFile, ImageError> {
        let (color, depth) = kind(page.pixels);
        let (compression, filter) = compression(page.pixels);
        let failed = Failed::default();
        let watched = WatchedWriter { out, failed: failed.clone() };
        let mut encoder = png::Encoder::new(BufWriter::with_capacity(CHUNK, watched), page.width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.set_deflate_compression(compression);
        encoder.set_filter(filter);
        encoder.set_pixel_dims(Some(PixelDimensions {
            xppu: pixels_per_metre(page.dpi.0),
            yppu: pixels_per_metre(page.dpi.1),
            unit: Unit::Meter,
        }));
        let stream = encoder.write_header().and_then(|writer| writer.into_stream_writer_with_size(CHUNK));
        match stream {
            Ok(stream) => Ok(PngFile { stream, failed }),
            Err(error) => Err(reason(&failed, error.into())),
        }
    }

    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        self.stream.write_all(lines).map_err(|error| reason(&self.failed, ImageError::Write(error)))
    }

    pub fn end(self) -> Result<(), ImageError> {
        self.stream.finish().map_err(|error| reason(&self.failed, error.into()))?;
        match lock(&self.failed).take() {
            Some(error) => Err(ImageError::Write(error)),
            None => Ok(()),
        }
    }
}

/// The file's own error where it had one, else what the encoder made of it.
fn reason(failed: &Failed, error: ImageError) -> ImageError {
    lock(failed).take().map_or(error, ImageError::Write)
}

fn kind(pixels: Pixels) -> (ColorType, BitDepth) {
    match pixels {
        Pixels::Bit => (ColorType::Grayscale, BitDepth::One),
        Pixels::Gray8 => (ColorType::Grayscale, BitDepth::Eight),
        Pixels::Gray16 => (ColorType::Grayscale, BitDepth::Sixteen),
        Pixels::Rgb8 => (ColorType::Rgb, BitDepth::Eight),
        Pixels::Rgb16 => (ColorType::Rgb, BitDepth::Sixteen),
    }
}

fn compression(pixels: Pixels) -> (DeflateCompression, Filter) {
    match pixels {
        Pixels::Bit => (DeflateCompression::Level(6), Filter::NoFilter),
        Pixels::Gray8 | Pixels::Rgb8 => (DeflateCompression::FdeflateUltraFast, Filter::Adaptive),
        Pixels::Gray16 | Pixels::Rgb16 => (DeflateCompression::Level(1), Filter::Adaptive),
    }
}

fn pixels_per_metre(dpi: Dpi) -> u32 {
    (f64::from(dpi.0) / 0.0254).round() as u32
}

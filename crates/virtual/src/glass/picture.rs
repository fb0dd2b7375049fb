//! A PNG on the glass: top left, at its own resolution, white around it.
//!
//! Rows are decoded as they are asked for, from top to bottom, so that a large picture is never held;
//! only an interlaced one, which can't be read that way, is, and is limited for that.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations, Unit};

use super::View;
use super::sample::Sample;

/// Resolution of a PNG that does not name one, in dpi.
pub const DEFAULT_DPI: u32 = 300;

/// The largest width and height: more than the largest glass has at 12800 dpi.
const MAX_SIDE: u32 = 200_000;
/// What an interlaced picture may take in memory.
const MAX_INTERLACED: usize = 256 << 20;
/// What the decoder may take for itself.
const DECODER_MEMORY: usize = 64 << 20;

/// Why a file can't be put on the glass.
#[derive(Debug, thiserror::Error)]
pub enum GlassError {
    /// The file can't be opened.
    #[error("open {path}: {source}")]
    Open { path: PathBuf, source: std::io::Error },
    /// It is no PNG, or a broken one.
    #[error("{name} is no PNG that can be read: {source}")]
    Decode { name: String, source: png::DecodingError },
    #[error("{name} has {width} x {height} pixels; at most {MAX_SIDE} each way, and {} MiB if interlaced", MAX_INTERLACED >> 20)]
    TooLarge { name: String, width: u32, height: u32 },
}

/// Where the PNG's bytes are.
#[derive(Debug, Clone)]
pub(super) enum PictureSource {
    File(Arc<Path>),
    Bytes(Arc<[u8]>),
}

trait ReadSeek: BufRead + Seek + Send {}
impl<T: BufRead + Seek + Send> ReadSeek for T {}

impl PictureSource {
    fn name(&self) -> String {
        match self {
            PictureSource::File(path) => path.display().to_string(),
            PictureSource::Bytes(_) => "the picture".to_owned(),
        }
    }

    fn open(&self) -> Result<Box<dyn ReadSeek>, GlassError> {
        match self {
            PictureSource::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes.clone()))),
            PictureSource::File(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(BufReader::with_capacity(64 * 1024, file))),
                Err(source) => Err(GlassError::Open { path: path.to_path_buf(), source }),
            },
        }
    }
}

/// A PNG being read from top to bottom.
struct Decoding {
    reader: Reader<Box<dyn ReadSeek>>,
    /// All rows, when it is interlaced.
    whole: Option<Vec<u8>>,
    size: (u32, u32),
    dpi: (u32, u32),
    channels: usize,
    sixteen: bool,
    /// The next row that the reader gives.
    next: u32,
}

impl Decoding {
    fn begin(source: &PictureSource) -> Result<Decoding, GlassError> {
        let failed = |error| GlassError::Decode { name: source.name(), source: error };
        let mut decoder = Decoder::new_with_limits(source.open()?, Limits { bytes: DECODER_MEMORY });
        decoder.set_transformations(Transformations::EXPAND);
        let mut reader = decoder.read_info().map_err(failed)?;
        let info = reader.info();
        let (size, interlaced) = ((info.width, info.height), info.interlaced);
        let per_metre = info.pixel_dims.filter(|dims| dims.unit == Unit::Meter).map(|dims| (dims.xppu, dims.yppu));
        let dpi = per_metre.map_or((DEFAULT_DPI, DEFAULT_DPI), |(x, y)| (to_dpi(x), to_dpi(y)));
        let too_large = || GlassError::TooLarge { name: source.name(), width: size.0, height: size.1 };
        if size.0 > MAX_SIDE || size.1 > MAX_SIDE {
            return Err(too_large());
        }
        let (colour, depth) = reader.output_color_type();
        let whole = if interlaced {
            let bytes = reader.output_buffer_size().filter(|bytes| *bytes <= MAX_INTERLACED).ok_or_else(too_large)?;
            let mut whole = vec![0; bytes];
            reader.next_frame(&mut whole).map_err(failed)?;
            Some(whole)
        } else {
            None
        };
        Ok(Decoding {
            reader,
            whole,
            size,
            dpi,
            channels: match colour {
                ColorType::Grayscale | ColorType::Indexed => 1,
                ColorType::GrayscaleAlpha => 2,
                ColorType::Rgb => 3,
                ColorType::Rgba => 4,
            },
            sixteen: depth == BitDepth::Sixteen,
            next: 0,
        })
    }

    /// Converts row `y`, which must not be above the last one asked for.
    fn row<S: Sample>(&mut self, y: u32, pixels: &mut Vec<[S; 3]>) -> Result<(), png::DecodingError> {
        let bytes_per_pixel = self.channels * if self.sixteen { 2 } else { 1 };
        let stride = self.size.0 as usize * bytes_per_pixel;
        if let Some(whole) = &self.whole {
            let at = y as usize * stride;
            convert(&whole[at..at + stride], self.channels, self.sixteen, pixels);
            return Ok(());
        }
        while self.next <= y {
            let Some(row) = self.reader.next_row()? else { break };
            self.next += 1;
            if self.next > y {
                convert(row.data(), self.channels, self.sixteen, pixels);
            }
        }
        Ok(())
    }
}

/// Pixels per metre as dots per inch, to the nearest whole number.
fn to_dpi(per_metre: u32) -> u32 {
    let dpi = (u64::from(per_metre) * 254 + 5_000) / 10_000;
    u32::try_from(dpi).unwrap_or(u32::MAX).max(1)
}

/// PNG samples (big-endian) to RGB, with what is transparent laid over white.
fn convert<S: Sample>(row: &[u8], channels: usize, sixteen: bool, pixels: &mut Vec<[S; 3]>) {
    pixels.clear();
    match (sixteen, channels) {
        (false, 3) => pixels.extend(row.chunks_exact(3).map(|p| [S::from_8(p[0]), S::from_8(p[1]), S::from_8(p[2])])),
        (false, 1) => pixels.extend(row.iter().map(|v| [S::from_8(*v); 3])),
        (false, _) => pixels.extend(row.chunks_exact(channels).map(|p| {
            let alpha = u32::from(p[channels - 1]);
            let over = |v: u8| S::from_8(((u32::from(v) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
            if channels == 2 { [over(p[0]); 3] } else { [over(p[0]), over(p[1]), over(p[2])] }
        })),
        (true, _) => pixels.extend(row.chunks_exact(2 * channels).map(|p| {
            let sample = |i: usize| u16::from_be_bytes([p[2 * i], p[2 * i + 1]]);
            let alpha = if channels % 2 == 0 { u64::from(sample(channels - 1)) } else { 65535 };
            let over = |v: u16| S::from_16(((u64::from(v) * alpha + 65535 * (65535 - alpha) + 32767) / 65535) as u16);
            if channels < 3 { [over(sample(0)); 3] } else { [over(sample(0)), over(sample(1)), over(sample(2))] }
        })),
    }
}

/// Renders rows of a picture: each pixel is the picture's nearest (the one under its centre), so at
/// the picture's own resolution the pixels come back as they are.
pub(super) struct PictureRows<S> {
    source: PictureSource,
    decoding: Decoding,
    view: View,
    /// The picture's column under each of the view's; none: beside the picture.
    columns: Vec<u32>,
    /// The picture's row that `decoded` holds.
    decoded_row: Option<u32>,
    decoded: Vec<[S; 3]>,
    row: Vec<[S; 3]>,
    /// The picture's row that `row` shows.
    shown: Option<Option<u32>>,
}

impl<S: Sample> PictureRows<S> {
    pub(super) fn new(source: &PictureSource, view: View) -> Result<PictureRows<S>, GlassError> {
        let decoding = Decoding::begin(source)?;
        let column = |x: u32| nearest(u64::from(view.left) + u64::from(x), decoding.dpi.0, view.dpi.0);
        let columns = (0..view.width).map(column).take_while(|x| *x < decoding.size.0).collect();
        Ok(PictureRows {
            source: source.clone(),
            decoding,
            view,
            columns,
            decoded_row: None,
            decoded: Vec::new(),
            row: vec![[S::WHITE; 3]; view.width as usize],
            shown: None,
        })
    }

    /// Row `y` of the view.
    pub(super) fn row(&mut self, y: u32) -> &[[S; 3]] {
        let y = nearest(u64::from(self.view.top) + u64::from(y), self.decoding.dpi.1, self.view.dpi.1);
        let wanted = Some(y).filter(|y| *y < self.decoding.size.1);
        if self.shown == Some(wanted) {
            return &self.row;
        }
        self.shown = Some(wanted);
        self.row.fill([S::WHITE; 3]);
        if let Some(y) = wanted {
            self.decode(y);
            let exact = self.decoding.dpi.0 == self.view.dpi.0;
            match self.columns.first() {
                Some(first) if exact && self.decoded.len() >= *first as usize + self.columns.len() => {
                    let from = *first as usize;
                    self.row[..self.columns.len()].copy_from_slice(&self.decoded[from..from + self.columns.len()]);
                }
                _ => {
                    for (pixel, column) in self.row.iter_mut().zip(&self.columns) {
                        *pixel = self.decoded.get(*column as usize).copied().unwrap_or([S::WHITE; 3]);
                    }
                }
            }
        }
        &self.row
    }

    /// Decodes the picture's row `y`, from the start again when it lies above the last.
    fn decode(&mut self, y: u32) {
        if self.decoded_row == Some(y) {
            return;
        }
        if self.decoding.whole.is_none() && y < self.decoding.next {
            match Decoding::begin(&self.source) {
                Ok(decoding) if decoding.size == self.decoding.size => self.decoding = decoding,
                Ok(_) => log::warn!("{} has changed while it was scanned", self.source.name()),
                Err(error) => log::warn!("{error}"),
            }
        }
        self.decoded_row = Some(y);
        if let Err(error) = self.decoding.row(y, &mut self.decoded) {
            log::warn!("{}: row {y}: {error}", self.source.name());
            self.decoded.clear();
        }
    }
}

/// The picture's pixel under the centre of a pixel of the view.
fn nearest(pixel: u64, picture_dpi: u32, view_dpi: u32) -> u32 {
    let at = (2 * pixel + 1) * u64::from(picture_dpi) / (2 * u64::from(view_dpi));
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Reads a whole picture once, so that what is wrong with it shows before it is scanned.
pub(super) fn check(source: &PictureSource) -> Result<(), GlassError> {
    let mut decoding = Decoding::begin(source)?;
    let failed = |error| GlassError::Decode { name: source.name(), source: error };
    let mut row: Vec<[u8; 3]> = Vec::new();
    for y in 0..decoding.size.1 {
        decoding.row(y, &mut row).map_err(failed)?;
    }
    Ok(())
}

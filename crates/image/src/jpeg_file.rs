//! JPEG (JFIF, baseline), 8 bits a sample, the resolution in its header.
//!
//! The encoder pulls lines, while they are pushed here: so it runs on a thread of its own (`jpeg`), a few blocks behind.
//! The thread ends with the page, or at its next write when the page is given up, and is joined in both cases.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use jpeg_encoder::{Density, Encoder, ImageBuffer, JpegColorType, SamplingFactor, rgb_to_ycbcr};
use usbscan_scan::{PageFormat, Pixels};

use crate::out::Out;
use crate::{FileFormat, ImageError};

/// Blocks of lines that may wait for the encoder.
const WAITING: usize = 2;
/// The encoder writes byte by byte.
const BUFFER: usize = 64 << 10;
/// From here on every pixel has a colour of its own; below, two side by side share one.
const OWN_COLOR: u8 = 90;

/// A JPEG that is being written.
pub struct JpegFile {
    /// `None` once the page has ended.
    lines: Option<SyncSender<Vec<u8>>>,
    /// `None` once it was joined.
    encoder: Option<JoinHandle<Result<Out, ImageError>>>,
}

impl fmt::Debug for JpegFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JpegFile").finish_non_exhaustive()
    }
}

impl JpegFile {
    pub fn begin(out: Out, page: &PageFormat, height: u32, quality: u8) -> Result<JpegFile, ImageError> {
        let (Ok(width), Ok(height)) = (u16::try_from(page.width), u16::try_from(height)) else {
            return Err(ImageError::TooLarge { format: FileFormat::Jpeg, most: "65535 pixels across or down" });
        };
        let (sender, receiver) = sync_channel(WAITING);
        let page = *page;
        let encoder = thread::Builder::new()
            .name("jpeg".to_owned())
            .spawn(move || encode(out, &page, (width, height), quality, receiver))
            .map_err(ImageError::Thread)?;
        Ok(JpegFile { lines: Some(sender), encoder: Some(encoder) })
    }

    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        let sent = self.lines.as_ref().map(|encoder| encoder.send(lines.to_vec()));
        match sent {
            Some(Ok(())) => Ok(()),
            // It ended before the page did, so it says why.
            _ => self.join().and(Err(ImageError::NotBegun)),
        }
    }

    pub fn end(mut self) -> Result<Out, ImageError> {
        self.join()
    }

    fn join(&mut self) -> Result<Out, ImageError> {
        self.lines = None;
        let encoder = self.encoder.take().ok_or(ImageError::NotBegun)?;
        encoder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for JpegFile {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(encoder) = self.encoder.take() {
            // A page that was given up: nobody wants its error.
            let _ = encoder.join();
        }
    }
}

fn encode(
    mut out: Out,
    page: &PageFormat,
    size: (u16, u16),
    quality: u8,
    lines: Receiver<Vec<u8>>,
) -> Result<Out, ImageError> {
    let cut = Rc::new(Cell::new(false));
    let mut file = BufWriter::with_capacity(BUFFER, WatchedWriter { out: &mut out, cut: Rc::clone(&cut) });
    let mut encoder = Encoder::new(&mut file, quality);
    let dots = |dpi: usbscan_scan::Dpi| u16::try_from(dpi.0).unwrap_or(u16::MAX);
    encoder.set_density(Density::Inch { x: dots(page.dpi.0), y: dots(page.dpi.1) });
    let own_color = quality >= OWN_COLOR;
    encoder.set_sampling_factor(if own_color { SamplingFactor::F_1_1 } else { SamplingFactor::F_2_1 });
    encoder.encode_image(Page {
        pixels: page.pixels,
        own_color,
        size,
        rows: RefCell::new(Rows::new(page, lines, cut)),
    })?;
    file.flush().map_err(ImageError::Write)?;
    drop(file);
    Ok(out)
}

/// The file; refuses everything once the page was cut short, so that the encoder ends.
struct WatchedWriter<'a> {
    out: &'a mut Out,
    cut: Rc<Cell<bool>>,
}

impl Write for WatchedWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cut.get() { Err(io::ErrorKind::UnexpectedEof.into()) } else { self.out.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The page as the encoder sees it: it asks for one line after the other, and for the last one again to fill its blocks.
struct Page {
    pixels: Pixels,
    own_color: bool,
    size: (u16, u16),
    rows: RefCell<Rows>,
}

impl ImageBuffer for Page {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.pixels == Pixels::Rgb8 { JpegColorType::Ycbcr } else { JpegColorType::Luma }
    }

    fn width(&self) -> u16 {
        self.size.0
    }

    fn height(&self) -> u16 {
        self.size.1
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let mut rows = self.rows.borrow_mut();
        let line = rows.line(y);
        let [luma, blue, red, _] = buffers;
        match (self.pixels, self.own_color) {
            (Pixels::Rgb8, true) => own_colors(line, luma, blue, red),
            (Pixels::Rgb8, false) => shared_colors(line, luma, blue, red),
            _ => luma.extend_from_slice(line),
        }
    }
}

fn own_colors(line: &[u8], luma: &mut Vec<u8>, blue: &mut Vec<u8>, red: &mut Vec<u8>) {
    for pixel in line.chunks_exact(3) {
        let (y, cb, cr) = rgb_to_ycbcr(pixel[0], pixel[1], pixel[2]);
        luma.push(y);
        blue.push(cb);
        red.push(cr);
    }
}

/// Two pixels side by side get the mean of their colours: the encoder takes that of the left one.
fn shared_colors(line: &[u8], luma: &mut Vec<u8>, blue: &mut Vec<u8>, red: &mut Vec<u8>) {
    let mean = |one: u8, other: u8| u8::midpoint(one, other);
    for pair in line.chunks(6) {
        let (y, cb, cr) = rgb_to_ycbcr(pair[0], pair[1], pair[2]);
        if let &[_, _, _, r, g, b] = pair {
            let (next, next_cb, next_cr) = rgb_to_ycbcr(r, g, b);
            luma.extend([y, next]);
            blue.extend([mean(cb, next_cb); 2]);
            red.extend([mean(cr, next_cr); 2]);
        } else {
            luma.push(y);
            blue.push(cb);
            red.push(cr);
        }
    }
}

/// The lines, as far as the encoder is.
struct Rows {
    lines: Receiver<Vec<u8>>,
    cut: Rc<Cell<bool>>,
    bytes_per_line: usize,
    /// The block that has the current line, and where in it the next one begins.
    block: Vec<u8>,
    next: usize,
    /// Lines that were taken.
    taken: u32,
}

impl Rows {
    fn new(page: &PageFormat, lines: Receiver<Vec<u8>>, cut: Rc<Cell<bool>>) -> Rows {
        Rows { lines, cut, bytes_per_line: page.bytes_per_line(), block: Vec::new(), next: 0, taken: 0 }
    }

    fn line(&mut self, y: u16) -> &[u8] {
        if u32::from(y) >= self.taken {
            self.advance();
        }
        &self.block[self.next - self.bytes_per_line..self.next]
    }

    fn advance(&mut self) {
        if self.next + self.bytes_per_line > self.block.len() {
            self.next = 0;
            self.block =
                self.lines.recv().ok().filter(|block| block.len() >= self.bytes_per_line).unwrap_or_else(|| {
                    self.cut.set(true);
                    vec![0xff; self.bytes_per_line]
                });
        }
        self.next += self.bytes_per_line;
        self.taken += 1;
    }
}

//! PNM: PBM (P4), PGM (P5) or PPM (P6), binary. No compression, no resolution.

use std::fmt;
use std::io::{self, Write};

use usbscan_scan::{PageFormat, Pixels};

use crate::ImageError;
use crate::out::Out;

/// A PNM that is being written. Lines go out as they come, in the sizes in which they come.
pub struct Pnm {
    out: Out,
    /// For bits, which are upside down here: 1 is black.
    bits: Option<Bits>,
}

#[derive(Debug)]
struct Bits {
    bytes_per_line: usize,
    /// Those of the last byte of a line that are pixels.
    last: u8,
    turned: Vec<u8>,
}

impl fmt::Debug for Pnm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pnm").field("bits", &self.bits).finish_non_exhaustive()
    }
}

impl Pnm {
    pub fn begin(mut out: Out, page: &PageFormat, height: u32) -> Result<Pnm, ImageError> {
        let (magic, most) = match page.pixels {
            Pixels::Bit => ("P4", ""),
            Pixels::Gray8 => ("P5", "255\n"),
            Pixels::Gray16 => ("P5", "65535\n"),
            Pixels::Rgb8 => ("P6", "255\n"),
            Pixels::Rgb16 => ("P6", "65535\n"),
        };
        // In one write, so that a reader of a pipe has the whole header or none.
        let header = format!("{magic}\n{} {height}\n{most}", page.width);
        out.write_all(header.as_bytes()).map_err(ImageError::Write)?;
        let unused = page.width.next_multiple_of(8) - page.width;
        let bits = (page.pixels == Pixels::Bit).then(|| Bits {
            bytes_per_line: page.bytes_per_line(),
            last: 0xff << unused,
            turned: Vec::new(),
        });
        Ok(Pnm { out, bits })
    }

    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        let written = match &mut self.bits {
            None => self.out.write_all(lines),
            Some(bits) => bits.write(&mut self.out, lines),
        };
        written.map_err(ImageError::Write)
    }

    pub fn end(mut self) -> Result<(), ImageError> {
        self.out.flush().map_err(ImageError::Write)
    }
}

impl Bits {
    fn write(&mut self, out: &mut impl Write, lines: &[u8]) -> io::Result<()> {
        self.turned.clear();
        self.turned.extend(lines.iter().map(|byte| !byte));
        for line in self.turned.chunks_mut(self.bytes_per_line) {
            if let Some(byte) = line.last_mut() {
                *byte &= self.last;
            }
        }
        out.write_all(&self.turned)
    }
}

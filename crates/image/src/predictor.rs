//! Horizontal differencing, "predictor 2" of TIFF 6.0 (section 14) and of PDF 1.7 (7.4.4.4): each sample becomes its
//! difference to the same sample of the pixel at its left, which compresses better. PNG's filter "Sub" (PNG 1.2, section 6.3)
//! does that with bytes, whatever a sample has.

use flate2::Compression;
use usbscan_scan::Pixels;

/// Whether it helps: the two neighbours of a bit are eight to a byte already.
pub fn helps(pixels: Pixels) -> bool {
    pixels != Pixels::Bit
}

/// How hard zlib tries. More takes several times as long and gains a twentieth (see the table in png_file.rs), but bits
/// are few.
pub fn compression(pixels: Pixels) -> Compression {
    Compression::new(if pixels == Pixels::Bit { 6 } else { 1 })
}

/// Turns the samples of one line into differences.
pub fn difference(pixels: Pixels, line: &mut [u8]) {
    match pixels {
        Pixels::Bit => {}
        Pixels::Gray8 => of_bytes::<1>(line),
        Pixels::Rgb8 => of_bytes::<3>(line),
        Pixels::Gray16 => of_words::<1>(line),
        Pixels::Rgb16 => of_words::<3>(line),
    }
}

/// What stands before a line that [`difference_of_bytes`] has changed.
pub const PNG_SUB: u8 = 1;

/// Turns the bytes of one line into differences to the same byte of the pixel at the left.
pub fn difference_of_bytes(pixels: Pixels, line: &mut [u8]) {
    match pixels {
        Pixels::Bit | Pixels::Gray8 => of_bytes::<1>(line),
        Pixels::Gray16 => of_bytes::<2>(line),
        Pixels::Rgb8 => of_bytes::<3>(line),
        Pixels::Rgb16 => of_bytes::<6>(line),
    }
}

fn of_bytes<const CHANNELS: usize>(line: &mut [u8]) {
    let mut left = [0; CHANNELS];
    for pixel in line.chunks_exact_mut(CHANNELS) {
        for (sample, left) in pixel.iter_mut().zip(&mut left) {
            let here = *sample;
            *sample = here.wrapping_sub(std::mem::replace(left, here));
        }
    }
}

fn of_words<const CHANNELS: usize>(line: &mut [u8]) {
    let mut left = [0; CHANNELS];
    for pixel in line.chunks_exact_mut(2 * CHANNELS) {
        for (sample, left) in pixel.chunks_exact_mut(2).zip(&mut left) {
            let here = u16::from_be_bytes([sample[0], sample[1]]);
            let less = here.wrapping_sub(std::mem::replace(left, here));
            sample.copy_from_slice(&less.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_becomes_its_difference_to_the_one_at_its_left() {
        let mut line = [1, 2, 3, 5, 4, 3];
        difference(Pixels::Rgb8, &mut line);
        assert_eq!(line, [1, 2, 3, 4, 2, 0]);
        let mut line = [0x01, 0x00, 0x00, 0xff, 0x01, 0x01];
        difference(Pixels::Gray16, &mut line);
        assert_eq!(line, [0x01, 0x00, 0xff, 0xff, 0x00, 0x02]);
        let mut line = [0x01, 0x00, 0x00, 0xff, 0x01, 0x01];
        difference_of_bytes(Pixels::Gray16, &mut line);
        assert_eq!(line, [0x01, 0x00, 0xff, 0xff, 0x01, 0x02]);
    }
}

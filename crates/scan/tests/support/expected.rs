//! What a page must be: pixels of what lies on the virtual scanner.

use usbscan_scan::{PageFormat, Pixels};
use usbscan_virtual::glass::{Bits, Glass, Mode, View};

use super::Page;

/// What a page must be, from pixel `left`, `top` on.
pub fn expected(glass: &Glass, format: &PageFormat, left: u32, top: u32, threshold: u8) -> Vec<u8> {
    let height = format.height.expect("a flatbed knows");
    let view = View { dpi: (format.dpi.0.0, format.dpi.1.0), left, top, width: format.width, height };
    let (mode, bits) = match format.pixels {
        Pixels::Bit => (Mode::Lineart { threshold }, Bits::Eight),
        Pixels::Gray8 => (Mode::Gray, Bits::Eight),
        Pixels::Gray16 => (Mode::Gray, Bits::Sixteen),
        Pixels::Rgb8 => (Mode::Color, Bits::Eight),
        Pixels::Rgb16 => (Mode::Color, Bits::Sixteen),
    };
    let samples = glass.render(&view, mode, bits).expect("what lies there");
    match format.pixels.bits_per_sample() {
        16 => samples.iter().flat_map(|sample| sample.to_be_bytes()).collect(),
        8 => samples.iter().map(|sample| *sample as u8).collect(),
        _ => samples.chunks(format.width as usize).flat_map(pack).collect(),
    }
}

/// Whether a page shows what lies there, on glass that is 8.5 inches wide.
pub fn shows(page: &Page, glass: &Glass, left: u32, top: u32, threshold: u8) -> bool {
    let edge = page.format.expect("a page").dpi.0.0 * 17 / 2;
    shows_within(page, glass, (left, top), edge, threshold)
}

/// The same of what is `edge` pixels wide. Of a scanner that counts pixels in eights the last columns at that edge can't be had: they
/// are white. Nowhere else may one be missing.
pub fn shows_within(page: &Page, glass: &Glass, (left, top): (u32, u32), edge: u32, threshold: u8) -> bool {
    let format = page.format.expect("a page");
    let expected = expected(glass, &format, left, top, threshold);
    let bytes = without_padding(page);
    let lost = if left + format.width >= edge { (left + format.width) % 8 } else { 0 };
    bytes == expected || lost > 0 && bytes == with_white_edge(expected, &format, lost)
}

/// The same with so many white columns at the right.
fn with_white_edge(mut bytes: Vec<u8>, format: &PageFormat, columns: u32) -> Vec<u8> {
    let line = format.bytes_per_line();
    let first = format.width - columns.min(format.width);
    let bits = u64::from(first) * u64::from(format.pixels.channels() * format.pixels.bits_per_sample());
    let end = u64::from(format.width) * u64::from(format.pixels.channels() * format.pixels.bits_per_sample());
    for line in bytes.chunks_mut(line) {
        for bit in bits..end {
            line[(bit / 8) as usize] |= 0x80 >> (bit % 8);
        }
    }
    bytes
}

fn pack(line: &[u16]) -> Vec<u8> {
    line.chunks(8)
        .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | (*bit as u8) << (7 - at)))
        .collect()
}

/// The bits behind the last pixel of a line mean nothing.
pub fn without_padding(page: &Page) -> Vec<u8> {
    let format = page.format.expect("a page");
    let mut bytes = page.bytes.clone();
    if format.pixels == Pixels::Bit && format.width % 8 != 0 {
        let kept = 0xff << (8 - format.width % 8);
        bytes.chunks_mut(format.bytes_per_line()).for_each(|line| *line.last_mut().expect("a line") &= kept as u8);
    }
    bytes
}

//! From the scanner's lines to the page's: order of samples and of bytes, and the pixels that were scanned only because
//! the scanner counts in eights. Bytes in, bytes out, in place.

use super::feed::Block;
use super::plan::Plan;
use crate::Pixels;

/// Makes of a block the lines of the page.
pub(super) fn page_lines(plan: &Plan, block: Block) -> Vec<u8> {
    let Block { mut bytes, is_green_first, .. } = block;
    match plan.page.pixels {
        Pixels::Bit | Pixels::Gray8 => {}
        Pixels::Rgb8 if is_green_first => bytes.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 1)),
        Pixels::Rgb8 => {}
        // Low byte first on the wire, high byte first in a page.
        Pixels::Gray16 => bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse),
        Pixels::Rgb16 => {
            bytes.chunks_exact_mut(2).for_each(<[u8]>::reverse);
            if is_green_first {
                bytes.chunks_exact_mut(6).for_each(|pixel| pixel[..4].rotate_left(2));
            }
        }
    }
    crop(&mut bytes, plan.asked.line_bytes, plan.page.bytes_per_line());
    bytes
}

/// Keeps the first `keep` bytes of every `line` bytes.
fn crop(bytes: &mut Vec<u8>, line: usize, keep: usize) {
    if keep >= line || line == 0 {
        return;
    }
    let lines = bytes.len() / line;
    for at in 1..lines {
        bytes.copy_within(at * line..at * line + keep, at * keep);
    }
    bytes.truncate(lines * keep);
}

#[cfg(test)]
mod tests {
    use super::super::abilities::tests::{plain, v850};
    use super::*;

    fn plan(values: &[(&str, &str)]) -> Plan {
        let abilities = v850();
        let mut options = abilities.options();
        options.set_all(values.iter().copied()).expect("good options");
        Plan::new(&abilities, &options).expect("a plan")
    }

    fn block(bytes: Vec<u8>, is_green_first: bool) -> Block {
        Block { bytes, is_green_first, is_last: false }
    }

    #[test]
    fn sixteen_bits_leave_with_the_high_byte_first() {
        let gray = plan(&[("mode", "gray"), ("depth", "16")]);
        let bytes: Vec<u8> = (0..gray.asked.line_bytes).map(|at| at as u8).collect();
        assert_eq!(page_lines(&gray, block(bytes, false))[..4], [1, 0, 3, 2]);
    }

    #[test]
    fn green_first_is_put_right() {
        let color = plan(&[]);
        let bytes: Vec<u8> = (0..color.asked.line_bytes).map(|at| at as u8).collect();
        assert_eq!(page_lines(&color, block(bytes.clone(), true))[..6], [1, 0, 2, 4, 3, 5]);
        let deep = plan(&[("depth", "16")]);
        let bytes: Vec<u8> = (0..deep.asked.line_bytes).map(|at| at as u8).collect();
        assert_eq!(page_lines(&deep, block(bytes, true))[..6], [3, 2, 1, 0, 5, 4]);
    }

    #[test]
    fn what_was_scanned_too_much_is_left_out_of_every_line() {
        let abilities = plain(b"B7").expect("supported");
        let mut options = abilities.options();
        options.set_all([("mode", "gray"), ("resolution", "75"), ("br-x", "3.4")]).expect("good options");
        let plan = Plan::new(&abilities, &options).expect("a plan");
        assert_eq!((plan.page.width, plan.asked.line_bytes), (10, 16));
        let bytes: Vec<u8> = (0..48).collect();
        let expected: Vec<u8> = (0..10).chain(16..26).chain(32..42).collect();
        assert_eq!(page_lines(&plan, block(bytes, false)), expected);
    }
}

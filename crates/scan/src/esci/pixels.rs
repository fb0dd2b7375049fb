//! From the scanner's lines to the page's: order of samples and of bytes, colours that lie lines apart, and the pixels that
//! were scanned only because the scanner counts in eights. Bytes in, bytes out; of lines apart, so many are kept.

use std::collections::VecDeque;

use super::image_stream::Block;
use super::plan::Plan;
use crate::Pixels;

/// Makes of blocks the lines of the page.
#[derive(Debug, Default)]
pub(super) struct LineConverter {
    /// Lines whose colours belong to lines that are not whole yet.
    waiting: VecDeque<Vec<u8>>,
    /// The lines of a block that are not as they came.
    changed: Vec<u8>,
}

impl LineConverter {
    /// The lines of the page that a block makes whole. Those that are already as a page has them are not copied.
    pub(super) fn page_lines<'a>(&'a mut self, plan: &Plan, block: &'a Block) -> &'a [u8] {
        let (comes, keep) = (plan.asked.line_bytes, plan.page.bytes_per_line());
        if plan.distance == 0 && keep == comes && is_in_order(plan, block.is_green_first) {
            return &block.bytes;
        }
        self.changed.clear();
        self.changed.extend_from_slice(&block.bytes);
        put_in_order(plan, block.is_green_first, &mut self.changed);
        if plan.distance > 0 {
            let bytes = std::mem::take(&mut self.changed);
            self.changed = self.together(plan, &bytes);
        }
        fit(&mut self.changed, comes, keep);
        &self.changed
    }

    /// Lines whose colours lie `distance` lines apart: red comes first, blue last.
    fn together(&mut self, plan: &Plan, bytes: &[u8]) -> Vec<u8> {
        let distance = plan.distance as usize;
        let sample = plan.page.pixels.bits_per_sample() as usize / 8;
        let mut whole = Vec::with_capacity(bytes.len());
        for line in bytes.chunks_exact(plan.asked.line_bytes.max(1)) {
            if self.waiting.len() == 2 * distance + 1 {
                self.waiting.pop_front();
            }
            self.waiting.push_back(line.to_vec());
            if self.waiting.len() == 2 * distance + 1 {
                let [red, green, blue] = [0, 1, 2].map(|at| self.waiting[at * distance].chunks_exact(3 * sample));
                for ((red, green), blue) in red.zip(green).zip(blue) {
                    whole.extend_from_slice(&red[..sample]);
                    whole.extend_from_slice(&green[sample..2 * sample]);
                    whole.extend_from_slice(&blue[2 * sample..]);
                }
            }
        }
        whole
    }
}

/// Whether samples come as a page has them.
fn is_in_order(plan: &Plan, is_green_first: bool) -> bool {
    match plan.page.pixels {
        Pixels::Bit | Pixels::Gray8 => true,
        Pixels::Rgb8 => !is_green_first,
        Pixels::Gray16 | Pixels::Rgb16 => false,
    }
}

fn put_in_order(plan: &Plan, is_green_first: bool, bytes: &mut [u8]) {
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
}

/// Cuts every `line` bytes to `keep`, or fills them up with white.
fn fit(bytes: &mut Vec<u8>, line: usize, keep: usize) {
    if keep == line || line == 0 {
        return;
    }
    let lines = bytes.len() / line;
    if keep > line {
        bytes.resize(lines * keep, 0xff);
        for at in (0..lines).rev() {
            bytes.copy_within(at * line..(at + 1) * line, at * keep);
            bytes[at * keep + line..(at + 1) * keep].fill(0xff);
        }
        return;
    }
    for at in 1..lines {
        bytes.copy_within(at * line..at * line + keep, at * keep);
    }
    bytes.truncate(lines * keep);
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::tests::{plain, v850};
    use super::*;

    fn plan(values: &[(&str, &str)]) -> Plan {
        let capabilities = v850();
        let mut options = capabilities.options();
        options.set_all(values.iter().copied()).expect("good options");
        Plan::new(&capabilities, &options).expect("a plan")
    }

    fn block(bytes: Vec<u8>, is_green_first: bool) -> Block {
        Block { bytes: bytes.into(), is_green_first, is_last: false, is_page_end: false }
    }

    fn page_lines(plan: &Plan, block: Block) -> Vec<u8> {
        LineConverter::default().page_lines(plan, &block).to_vec()
    }

    #[test]
    fn colors_that_lie_lines_apart_are_put_together() {
        let capabilities = plain(b"D1").expect("supported");
        let mut options = capabilities.options();
        options.set_all([("resolution", "75"), ("br-x", "2.7"), ("tl-y", "1"), ("br-y", "2")]).expect("good options");
        let plan = Plan::new(&capabilities, &options).expect("a plan");
        assert_eq!((plan.distance, plan.page.height, plan.asked.lines), (1, Some(3), 5));
        // In line n red is from page line n, green from n - 1, blue from n - 2.
        let line = |n: u8| [100 + n, 149 + n, 198 + n].repeat(plan.asked.line_bytes / 3);
        let expected: Vec<u8> = (0..3u8).flat_map(|n| [100 + n, 150 + n, 200 + n].repeat(8)).collect();
        for cut in 0..5 {
            let mut converter = LineConverter::default();
            let (one, other): (Vec<u8>, Vec<u8>) =
                ((0..cut).flat_map(line).collect(), (cut..5).flat_map(line).collect());
            let mut page = converter.page_lines(&plan, &block(one, false)).to_vec();
            page.extend(converter.page_lines(&plan, &block(other, false)));
            assert_eq!(page, expected, "cut before line {cut}");
        }
    }

    #[test]
    fn lines_that_are_as_a_page_has_them_are_not_copied() {
        let color = plan(&[]);
        let block = block(vec![7; color.asked.line_bytes], false);
        assert_eq!(LineConverter::default().page_lines(&color, &block).as_ptr(), block.bytes.as_ptr());
    }

    #[test]
    fn a_line_is_cut_or_filled_up_with_white() {
        let fitted = |keep| {
            let mut lines = vec![1, 2, 3, 4, 5, 6];
            fit(&mut lines, 3, keep);
            lines
        };
        assert_eq!(fitted(3), [1, 2, 3, 4, 5, 6]);
        assert_eq!(fitted(2), [1, 2, 4, 5]);
        assert_eq!(fitted(5), [1, 2, 3, 255, 255, 4, 5, 6, 255, 255]);
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
        let capabilities = plain(b"B7").expect("supported");
        let mut options = capabilities.options();
        options.set_all([("mode", "gray"), ("resolution", "75"), ("br-x", "3.4")]).expect("good options");
        let plan = Plan::new(&capabilities, &options).expect("a plan");
        assert_eq!((plan.page.width, plan.asked.line_bytes), (10, 16));
        let bytes: Vec<u8> = (0..48).collect();
        let expected: Vec<u8> = (0..10).chain(16..26).chain(32..42).collect();
        assert_eq!(page_lines(&plan, block(bytes, false)), expected);
    }
}

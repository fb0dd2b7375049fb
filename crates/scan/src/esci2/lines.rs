//! From the scanner's data to lines of the page: raw lines without what fills them up, JPEG decoded; and the pixels left out
//! that were scanned only because the scanner counts in eights. Bytes in, bytes out.

use bytes::Bytes;

use super::plan::Plan;
use super::reply_info::ImageStart;
use crate::jpeg::{ByteSource, Decoder};
use crate::{Pixels, ProtocolError, ScanError};

/// An image's data, and its height once the scanner has told it: behind the last of the data.
pub(super) trait ImageSource: ByteSource<Error = ScanError> {
    fn height(&self) -> Option<u32>;
}

/// The lines of one image.
#[derive(Debug)]
pub(super) struct Lines {
    form: Form,
    /// Bytes of a line as it comes, of those its pixels, and of it as the page has it.
    stride: usize,
    line: usize,
    keep: usize,
    /// Samples have two bytes, the low one first.
    sixteen_bits: bool,
    /// Lines that may come, and that came.
    asked: u32,
    /// All of those must come.
    height_is_known: bool,
    came: u32,
}

#[derive(Debug)]
enum Form {
    Raw(Raw),
    /// With the last row of MCUs, which is held back: how many of its lines are of the page, what comes behind them tells.
    Jpeg(Box<Decoder>, Vec<u8>),
}

impl Lines {
    /// Of an image that begins so; JPEG data is read up to its first pixel.
    pub(super) fn new(plan: &Plan, start: ImageStart, source: &mut dyn ImageSource) -> Result<Lines, ScanError> {
        let expected = plan.area.width;
        if start.width != expected {
            return Err(ProtocolError::Width { expected, got: start.width }.into());
        }
        let line_bytes = plan.line_bytes();
        let form = if plan.is_jpeg {
            let decoder = Decoder::new(source)?;
            let frame = decoder.frame();
            if frame.width != expected || frame.channels != plan.page.pixels.channels() {
                return Err(ProtocolError::Width { expected, got: frame.width }.into());
            }
            Form::Jpeg(Box::new(decoder), Vec::new())
        } else {
            Form::Raw(Raw::default())
        };
        let stride = if plan.is_jpeg { line_bytes } else { line_bytes.saturating_add(start.dummy as usize) };
        // Rather more than a scanner would fill up, and nothing that is worth to be allocated.
        if stride > line_bytes + 65_536 {
            return Err(ProtocolError::Width { expected, got: u32::MAX }.into());
        }
        let sixteen_bits = plan.page.pixels.bits_per_sample() == 16;
        let (keep, asked, height_is_known) = (plan.page.bytes_per_line(), plan.area.height, plan.page.height.is_some());
        Ok(Lines { form, stride, line: line_bytes, keep, sixteen_bits, asked, height_is_known, came: 0 })
    }

    /// The lines of the page that there are next; `None` behind the last.
    pub(super) fn next(&mut self, source: &mut dyn ImageSource) -> Result<Option<Bytes>, ScanError> {
        let lines = match &mut self.form {
            Form::Jpeg(decoder, held) => loop {
                let mut lines = Vec::new();
                if decoder.lines(source, &mut lines)? {
                    let before = std::mem::replace(held, lines);
                    if !before.is_empty() {
                        break before.into();
                    }
                } else if held.is_empty() {
                    return Ok(None);
                } else {
                    // What is behind the picture has no pixels, but the height comes with it.
                    while source.more()?.is_some() {}
                    let last = std::mem::take(held);
                    // Of a page of known height it says nothing: not every scanner counts there.
                    let told = if self.height_is_known { Some(self.asked) } else { source.height() };
                    break cut(last, self.stride, self.came, told)?;
                }
            },
            Form::Raw(raw) => match raw.lines(self.stride, source)? {
                Some(lines) => lines,
                None => return Ok(None),
            },
        };
        let count = (lines.len() / self.stride) as u32;
        self.came += count;
        if self.came > self.asked {
            return Err(ProtocolError::Endless.into());
        }
        let lines = fit(lines, self.stride, self.line, self.keep);
        Ok(Some(if self.sixteen_bits { high_byte_first(lines) } else { lines }))
    }

    /// Lines that did not come.
    pub(super) fn missing(&self) -> u32 {
        self.asked - self.came
    }
}

/// Raw data on its way to lines. Only a line that comes in two pieces is copied.
#[derive(Debug, Default)]
struct Raw {
    /// The line of which not all has come.
    begun: Vec<u8>,
    /// What came behind that.
    came: Bytes,
}

impl Raw {
    /// At least one line.
    fn lines(&mut self, stride: usize, source: &mut dyn ImageSource) -> Result<Option<Bytes>, ScanError> {
        loop {
            if self.begun.is_empty() && self.came.len() >= stride {
                return Ok(Some(self.came.split_to(self.came.len() / stride * stride)));
            }
            let missing = stride - self.begun.len();
            self.begun.extend_from_slice(&self.came.split_to(missing.min(self.came.len())));
            if self.begun.len() == stride {
                return Ok(Some(std::mem::take(&mut self.begun).into()));
            }
            match source.more()? {
                Some(more) => self.came = more,
                None if self.begun.is_empty() => return Ok(None),
                None => return Err(ProtocolError::Order("that ends in the middle of a line").into()),
            }
        }
    }
}

/// Of the last row of MCUs, in front of which so many lines came, those that are on the sheet.
fn cut(mut last: Vec<u8>, stride: usize, came: u32, height: Option<u32>) -> Result<Bytes, ScanError> {
    let row = (last.len() / stride) as u32;
    let height = nearest_height(height.unwrap_or(came + row), came + row, row)?;
    last.truncate(height.saturating_sub(came) as usize * stride);
    Ok(last.into())
}

/// The height of a page of which the data has so many lines, and the scanner says another number. The data has whole rows of MCUs,
/// and the scanner counts some lines fewer or more; by more than a row it means another picture.
pub(super) fn nearest_height(told: u32, lines: u32, row: u32) -> Result<u32, ProtocolError> {
    if told > lines + row {
        return Err(ProtocolError::EndedEarly { missing: told - lines });
    }
    if told + 2 * row < lines {
        return Err(ProtocolError::Endless);
    }
    Ok(told.min(lines))
}

/// The first `line` bytes of every `stride` bytes, cut or filled up with white to `keep` bytes.
fn fit(lines: Bytes, stride: usize, line: usize, keep: usize) -> Bytes {
    if keep == stride && keep <= line {
        return lines;
    }
    let mut all = Vec::with_capacity(lines.len() / stride * keep);
    for one in lines.chunks_exact(stride) {
        all.extend_from_slice(&one[..keep.min(line)]);
        all.resize(all.len() + keep.saturating_sub(line), 0xff);
    }
    all.into()
}

/// Samples as a page has them, of samples as the scanner sends them.
fn high_byte_first(lines: Bytes) -> Bytes {
    let mut lines = Vec::from(lines);
    lines.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    lines.into()
}

/// Bytes of the largest piece of a page that is handed on at once.
pub(super) fn piece(pixels: Pixels, width: u32) -> usize {
    (128 * 1024 / pixels.bytes_per_line(width).max(1)).max(1) * pixels.bytes_per_line(width)
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder};

    use super::super::capabilities::COMPRESSION;
    use super::super::capabilities::tests::m7050;
    use super::*;

    #[test]
    fn what_is_behind_the_pixels_of_a_line_is_white_on_the_page_even_where_it_is_as_long_as_that() {
        let lines = Bytes::from_static(&[1, 2, 77, 3, 4, 77]);
        assert_eq!(fit(lines.clone(), 3, 2, 3), [1, 2, 0xff, 3, 4, 0xff][..]);
        assert_eq!(fit(lines.clone(), 3, 3, 3), lines);
        assert_eq!(fit(lines.clone(), 3, 2, 1), [1, 3][..]);
        assert_eq!(fit(lines, 3, 2, 4), [1, 2, 0xff, 0xff, 3, 4, 0xff, 0xff][..]);
    }

    /// A JPEG, and the height that the scanner tells behind it.
    struct Picture(Option<Bytes>, Option<u32>);

    impl ByteSource for Picture {
        type Error = ScanError;

        fn more(&mut self) -> Result<Option<Bytes>, ScanError> {
            Ok(self.0.take())
        }
    }

    impl ImageSource for Picture {
        fn height(&self) -> Option<u32> {
            self.1
        }
    }

    /// The lines of a page, or why there are none; and how many it should have.
    fn page(source: &str, told: Option<u32>) -> (Result<u32, ScanError>, u32) {
        let capabilities = m7050();
        let mut options = capabilities.options();
        let values = [("source", source), ("mode", "gray"), ("br-x", "50"), ("br-y", "50"), (COMPRESSION, "JPEG")];
        options.set_all(values).expect("good options");
        let plan = Plan::new(&capabilities, &options).expect("a page");
        let (width, height) = (plan.area.width, plan.area.height);
        let mut bytes = Vec::new();
        let pixels = vec![90; (width * height) as usize];
        Encoder::new(&mut bytes, 90).encode(&pixels, width as u16, height as u16, ColorType::Luma).expect("a picture");
        let mut picture = Picture(Some(bytes.into()), told);
        let mut count = || {
            let mut lines = Lines::new(&plan, ImageStart { width, dummy: 0, height }, &mut picture)?;
            let mut count = 0;
            while let Some(next) = lines.next(&mut picture)? {
                count += (next.len() / plan.page.bytes_per_line()) as u32;
            }
            Ok(count)
        };
        (count(), height)
    }

    #[test]
    fn a_page_of_the_glass_has_all_its_lines_whatever_number_is_told_behind_it() {
        for told in [None, Some(0), Some(3), Some(u32::MAX)] {
            let (lines, height) = page("flatbed", told);
            assert_eq!(lines.unwrap_or_else(|error| panic!("{told:?}: {error}")), height, "{told:?}");
        }
        let (lines, height) = page("automatic document feeder", Some(0));
        assert!(matches!(lines, Err(ScanError::Protocol(ProtocolError::Endless))), "of {height}: {lines:?}");
    }
}

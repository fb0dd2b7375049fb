//! From the scanner's data to lines of the page: raw lines without what fills them up, JPEG decoded; and the pixels left out
//! that were scanned only because the scanner counts in eights. Bytes in, bytes out.

use bytes::Bytes;

use super::plan::Plan;
use super::reply_info::Start;
use crate::jpeg::{Decoder, Source};
use crate::{Pixels, ProtocolError, ScanError};

/// The lines of one image.
#[derive(Debug)]
pub(super) struct Lines {
    form: Form,
    /// Bytes of a line as it comes, of it as the page has it.
    stride: usize,
    keep: usize,
    /// Lines that may still come.
    left: u32,
}

#[derive(Debug)]
enum Form {
    Raw(Raw),
    Jpeg(Box<Decoder>),
}

impl Lines {
    /// Of an image that begins so; JPEG data is read up to its first pixel.
    pub(super) fn new(
        plan: &Plan,
        start: Start,
        source: &mut dyn Source<Error = ScanError>,
    ) -> Result<Lines, ScanError> {
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
            Form::Jpeg(Box::new(decoder))
        } else {
            Form::Raw(Raw::default())
        };
        let stride = if plan.is_jpeg { line_bytes } else { line_bytes.saturating_add(start.dummy as usize) };
        // Rather more than a scanner would fill up, and nothing that is worth to be allocated.
        if stride > line_bytes + 65_536 {
            return Err(ProtocolError::Width { expected, got: u32::MAX }.into());
        }
        Ok(Lines { form, stride, keep: plan.page.bytes_per_line(), left: plan.area.height })
    }

    /// The lines of the page that there are next; `None` behind the last.
    pub(super) fn next(&mut self, source: &mut dyn Source<Error = ScanError>) -> Result<Option<Bytes>, ScanError> {
        let lines = match &mut self.form {
            Form::Jpeg(decoder) => {
                let mut lines = Vec::new();
                if !decoder.lines(source, &mut lines)? {
                    return Ok(None);
                }
                lines.into()
            }
            Form::Raw(raw) => match raw.lines(self.stride, source)? {
                Some(lines) => lines,
                None => return Ok(None),
            },
        };
        let count = (lines.len() / self.stride) as u32;
        self.left = self.left.checked_sub(count).ok_or(ProtocolError::Endless)?;
        Ok(Some(crop(lines, self.stride, self.keep)))
    }

    /// Lines that did not come.
    pub(super) fn missing(&self) -> u32 {
        self.left
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
    fn lines(&mut self, stride: usize, source: &mut dyn Source<Error = ScanError>) -> Result<Option<Bytes>, ScanError> {
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

/// The first `keep` bytes of every `stride` bytes.
fn crop(lines: Bytes, stride: usize, keep: usize) -> Bytes {
    if keep >= stride {
        return lines;
    }
    lines.chunks_exact(stride).flat_map(|line| &line[..keep]).copied().collect()
}

/// Bytes of the largest piece of a page that is handed on at once.
pub(super) fn piece(pixels: Pixels, width: u32) -> usize {
    (128 * 1024 / pixels.bytes_per_line(width).max(1)).max(1) * pixels.bytes_per_line(width)
}

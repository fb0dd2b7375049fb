//! A page as the scanner sent it, to a sink that takes JPEG: nothing is decoded. Runs on the thread that scans.

use std::io::{Read, Seek, Write};

use tempfile::SpooledTempFile;

use super::lines::{ImageSource, nearest_height};
use super::plan::Plan;
use super::reply_info::Start;
use crate::jpeg::Rewriter;
use crate::{Flow, Outcome, PageFormat, PageSink, Progress, ProtocolError, ScanError};

/// Bytes of a page of unknown height that are kept in memory; what is more goes into a file.
const IN_MEMORY: usize = 4 << 20;
/// Bytes read back at once.
const READ_BACK: usize = 64 * 1024;

/// All of an image to the sink. A page whose height is not known yet is kept, compressed as it is, until that is.
pub(super) fn pass(
    plan: &Plan,
    start: Start,
    source: &mut dyn ImageSource,
    sink: &mut dyn PageSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, ScanError> {
    let mut picture = Rewriter::new(source)?;
    let (frame, expected) = (picture.frame(), plan.area.width);
    if start.width != expected || frame.width != expected || frame.channels != plan.page.pixels.channels() {
        return Err(ProtocolError::Width { expected, got: frame.width }.into());
    }
    // Some pixels more were scanned than shown; the data of both is the same.
    let width = if picture.has_width(plan.page.width) { plan.page.width } else { expected };
    let mut page = Page { format: PageFormat { width, ..plan.page }, kept: None, has_begun: false };
    if let Some(height) = plan.page.height {
        if let Flow::Stop = page.begin(&picture, height, sink)? {
            return Ok(Outcome::Stopped);
        }
    }
    while let Some(data) = picture.next(source)? {
        if picture.lines() > plan.area.height.next_multiple_of(32) {
            return Err(ProtocolError::Endless.into());
        }
        if let Flow::Stop = page.take(&data, sink)? {
            return Ok(Outcome::Stopped);
        }
        let done = picture.lines().min(plan.area.height);
        progress(Progress::Lines { done, total: plan.page.height });
    }
    // What is behind the picture has no pixels, but the height comes with it.
    while source.more()?.is_some() {}
    let lines = picture.lines();
    match plan.page.height {
        Some(height) if picture.fit_height(height) != height => {
            return Err(ProtocolError::EndedEarly { missing: height.saturating_sub(lines) }.into());
        }
        Some(_) => {}
        None if lines == 0 => return Err(ProtocolError::EndedEarly { missing: plan.area.height }.into()),
        None => {
            let row = lines - picture.fit_height(0) + 1;
            let height = nearest_height(source.height().unwrap_or(lines), lines, row)?;
            let height = picture.fit_height(height.min(plan.area.height));
            if let Flow::Stop = page.begin(&picture, height, sink)? {
                return Ok(Outcome::Stopped);
            }
        }
    }
    Ok(match page.take(Rewriter::tail(), sink)? {
        Flow::Continue => Outcome::Complete,
        Flow::Stop => Outcome::Stopped,
    })
}

/// A page on its way to the sink.
struct Page {
    format: PageFormat,
    /// What came before it could begin.
    kept: Option<SpooledTempFile>,
    has_begun: bool,
}

impl Page {
    /// Its height is known.
    fn begin(&mut self, picture: &Rewriter, height: u32, sink: &mut dyn PageSink) -> Result<Flow, ScanError> {
        let format = PageFormat { height: Some(height), ..self.format };
        sink.begin(&format).map_err(ScanError::Sink)?;
        self.has_begun = true;
        let head = picture.head(format.width, height, (format.dpi.0.0, format.dpi.1.0));
        let mut flow = self.take(&head, sink)?;
        let Some(mut kept) = self.kept.take() else { return Ok(flow) };
        kept.rewind().map_err(ScanError::Spool)?;
        let mut bytes = vec![0; READ_BACK];
        while flow == Flow::Continue {
            match kept.read(&mut bytes).map_err(ScanError::Spool)? {
                0 => break,
                read => flow = self.take(&bytes[..read], sink)?,
            }
        }
        Ok(flow)
    }

    fn take(&mut self, bytes: &[u8], sink: &mut dyn PageSink) -> Result<Flow, ScanError> {
        if self.has_begun {
            return sink.jpeg(bytes).map_err(ScanError::Sink);
        }
        let kept = self.kept.get_or_insert_with(|| SpooledTempFile::new(IN_MEMORY));
        kept.write_all(bytes).map_err(ScanError::Spool)?;
        Ok(Flow::Continue)
    }
}

//! A page as the scanner sent it, to a sink that takes JPEG: nothing is decoded. Runs on the thread that scans.

use super::lines::{ImageSource, nearest_height};
use super::plan::Plan;
use super::reply_info::ImageStart;
use crate::jpeg::Rewriter;
use crate::support::passed::PassedPage;
use crate::{Flow, Outcome, PageFormat, PageSink, Progress, ProtocolError, ScanError};

/// All of an image to the sink. A page whose height is not known yet is kept, compressed as it is, until that is.
pub(super) fn pass(
    plan: &Plan,
    start: ImageStart,
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
    let mut page = PassedPage::new(PageFormat { width, ..plan.page });
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

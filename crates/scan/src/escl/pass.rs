//! A page as the scanner sent it, to a sink that takes JPEG: nothing is decoded. Runs on the thread that scans.

use super::job::Body;
use super::plan::Plan;
use crate::jpeg::{ByteSource, Rewriter};
use crate::support::passed::PassedPage;
use crate::{Flow, Outcome, PageFormat, PageSink, Progress, ProtocolError, ScanError};

/// All of a picture to the sink; `None` where it is not the page, so that it has to be cut or filled up. Nothing of it is lost then.
pub(super) fn pass(
    plan: &Plan,
    body: &mut Body<'_>,
    sink: &mut dyn PageSink,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Outcome>, ScanError> {
    let mut picture = Rewriter::new(body)?;
    if !is_the_page(&picture, plan) {
        body.put_back(picture.into_bytes());
        return Ok(None);
    }
    let mut page = PassedPage::new(plan.page);
    if let Some(height) = plan.page.height {
        if page.begin(&picture, height, sink)? == Flow::Stop {
            return Ok(Some(Outcome::Stopped));
        }
    }
    let most = plan.page.height.or(picture.frame().height).unwrap_or(plan.most_lines);
    while let Some(data) = picture.next(body)? {
        if picture.lines() > most.next_multiple_of(32) {
            return Err(ProtocolError::Endless.into());
        }
        if page.take(&data, sink)? == Flow::Stop {
            return Ok(Some(Outcome::Stopped));
        }
        progress(Progress::Lines { done: picture.lines().min(most), total: plan.page.height });
    }
    let lines = picture.lines();
    match plan.page.height {
        Some(height) if !picture.is_whole_for(height) => {
            return Err(ProtocolError::EndedEarly { missing: height.saturating_sub(lines) }.into());
        }
        Some(_) => {}
        None if lines == 0 => return Err(ProtocolError::EndedEarly { missing: plan.most_lines }.into()),
        None => {
            // The sheet's end: as the head tells it, unless the data ends before that.
            let height = picture.fit_height(most);
            if page.begin(&picture, height, sink)? == Flow::Stop {
                return Ok(Some(Outcome::Stopped));
            }
        }
    }
    Ok(Some(match page.take(Rewriter::tail(), sink)? {
        Flow::Continue => Outcome::Complete,
        Flow::Stop => Outcome::Stopped,
    }))
}

/// All of a document to the sink.
pub(super) fn pass_document(plan: &Plan, body: &mut Body<'_>, sink: &mut dyn PageSink) -> Result<Outcome, ScanError> {
    sink.begin(&plan.page).map_err(ScanError::Sink)?;
    while let Some(bytes) = body.more()? {
        if sink.pdf(&bytes).map_err(ScanError::Sink)? == Flow::Stop {
            return Ok(Outcome::Stopped);
        }
    }
    Ok(Outcome::Complete)
}

/// Whether a sink may be asked for it as it comes.
pub(super) fn may_pass(plan: &Plan, sink: &dyn PageSink) -> bool {
    plan.offset == (0, 0) && sink.takes_jpeg(&PageFormat { ..plan.page })
}

/// As many pixels, or so few more or less that the data is the same.
fn is_the_page(picture: &Rewriter, plan: &Plan) -> bool {
    let is_as_high = match (plan.page.height, picture.frame().height) {
        (Some(height), _) => picture.has_height(height),
        // A sheet that is longer than it may be is cut.
        (None, Some(told)) => told <= plan.most_lines,
        (None, None) => true,
    };
    picture.frame().channels == plan.page.pixels.channels() && picture.has_width(plan.page.width) && is_as_high
}

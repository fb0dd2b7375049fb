//! One scanner, opened: identify it, scan a page, bring it back to idle whatever happened. Runs on the thread that calls.

use std::time::Instant;

use super::abilities::{Abilities, Dialect};
use super::codes::{ACK, BUTTON, CAN, FS_PARAMETERS};
use super::delivery::Delivery;
use super::dialogue::Dialogue;
use super::feed::{Feed, Point};
use super::identify::{identify, is_confusion};
use super::paper::Batch;
use super::parameters::{Parameter, longest, parameters};
use super::plan::Plan;
use super::resync::{self, Effort};
use super::{Patience, status};
use crate::{
    AbortStep, Cancel, Flow, Identity, Options, Outcome, PageFormat, PageSink, Problem, Progress, ReadEnd, ScanError,
    Scanner, Transport, TransportError,
};

/// An ESC/I scanner.
pub(super) struct EsciScanner {
    pub(super) dialogue: Dialogue,
    identity: Identity,
    pub(super) abilities: Abilities,
    options: Options,
    /// Pages from the feeder: the scanner is set up for them.
    pub(super) batch: Option<Batch>,
    /// Nothing but the page is missing: all parameters are set, which only a batch is worth keeping for.
    is_set_up: bool,
    /// The last page was cancelled; the carriage may still be on its way home.
    homing: bool,
}

type Tell<'a> = &'a mut dyn FnMut(Progress);

impl EsciScanner {
    /// Gets in step and identifies. The usual scanner is idle and costs a moment of listening; only one that says something
    /// then, or does not answer as it should, is brought out of whatever it is doing.
    pub(super) fn open(
        transport: Box<dyn Transport>,
        patience: Patience,
        progress: Tell<'_>,
    ) -> Result<EsciScanner, ScanError> {
        let mut dialogue = Dialogue::new(transport, patience);
        leave_behind(&mut dialogue, resync::while_setting(1))?;
        let found = dialogue.listen().and_then(|()| identify(&mut dialogue, patience.probe));
        let found = match found {
            Err(error) if is_confusion(&error) => {
                log::info!("the scanner is not in step: {error}");
                progress(Progress::Recovering);
                dialogue.resync(Effort::Thorough)?;
                identify(&mut dialogue, patience.reply)
            }
            found => found,
        };
        if dialogue.in_step {
            take_back(&mut dialogue);
        }
        let (identity, abilities) = found?;
        let options = abilities.options();
        Ok(EsciScanner { dialogue, identity, abilities, options, batch: None, is_set_up: false, homing: false })
    }

    /// In step, and everything at its default.
    fn ready(&mut self, progress: Tell<'_>) -> Result<(), ScanError> {
        let patience = self.dialogue.patience.reply;
        if self.dialogue.in_step {
            match self.dialogue.listen().and_then(|()| self.dialogue.reset(patience)) {
                Err(error) if is_confusion(&error) => log::info!("the scanner is not in step any more: {error}"),
                result => return result,
            }
        }
        progress(Progress::Recovering);
        self.dialogue.resync(Effort::Thorough)
    }

    /// From the first parameter to the header of the page. `slot` has the feed as soon as there is one.
    fn start(
        &mut self,
        plan: &Plan,
        parameters: &[Parameter],
        slot: &mut Option<Feed>,
        progress: Tell<'_>,
    ) -> Result<(), ScanError> {
        let patience = self.dialogue.patience;
        let began = Instant::now();
        loop {
            self.set_up(plan, parameters, began, progress)?;
            self.load_page()?;
            progress(Progress::Starting);
            leave_behind(&mut self.dialogue, resync::while_scanning(plan.source.is_feeder()))?;
            if let Some(batch) = &mut self.batch {
                batch.page_begins();
            }
            let feed = slot.insert(Feed::begin(self.abilities.dialect, &mut self.dialogue, plan.asked)?);
            let status = feed.header(&mut self.dialogue, patience.image)?;
            if !status.is_fatal() && !status.is_busy() {
                self.homing = false;
                return Ok(());
            }
            // Nothing follows such a header. What it means, the status says; a fatal one holds until ESC @.
            *slot = None;
            leave_behind(&mut self.dialogue, resync::while_setting(longest(parameters)))?;
            let standing = self.dialogue.standing(self.abilities.dialect)?;
            self.dialogue.reset(patience.reply)?;
            self.is_set_up = false;
            match standing.problem {
                Some(Problem::Busy) if self.homing => {}
                Some(problem) => return Err(problem.into()),
                None if standing.is_warming_up => {}
                None if status.is_busy() => return Err(Problem::Busy.into()),
                None => return Err(Problem::Fatal.into()),
            }
        }
    }

    /// All parameters; or, for another page of a batch, those that the scanner forgets after each page.
    fn set_up(
        &mut self,
        plan: &Plan,
        parameters: &[Parameter],
        began: Instant,
        progress: Tell<'_>,
    ) -> Result<(), ScanError> {
        self.wait_until_ready(began, progress)?;
        if self.is_set_up {
            return match self.abilities.dialect {
                Dialect::Fs => Ok(()),
                Dialect::Esc if self.abilities.has(b'd') => self.set(&parameters[parameters.len() - 1..]),
                Dialect::Esc => Ok(()),
            };
        }
        self.set(parameters)?;
        self.is_set_up = plan.source.is_feeder();
        if self.is_set_up {
            // Only now that it is in use the feeder says how it is.
            self.wait_until_ready(began, progress)?;
        }
        Ok(())
    }

    /// Asks again and again, as there is nothing that would tell.
    fn wait_until_ready(&mut self, began: Instant, progress: Tell<'_>) -> Result<(), ScanError> {
        loop {
            let standing = self.dialogue.standing(self.abilities.dialect)?;
            let waited = began.elapsed();
            let has_page = self.batch.as_ref().is_some_and(Batch::has_page_ahead);
            let problem = standing.problem.filter(|problem| !(has_page && *problem == Problem::NoDocuments));
            match problem {
                Some(Problem::Busy) if self.homing && waited < self.dialogue.patience.homing => {
                    progress(Progress::Starting);
                }
                Some(problem) => return Err(problem.into()),
                None if !standing.is_warming_up => return Ok(()),
                None if waited >= self.dialogue.patience.warm_up => {
                    return Err(Problem::StillWarmingUp(waited).into());
                }
                None => progress(Progress::WarmingUp { waited }),
            }
            self.dialogue.cancel.pause(self.dialogue.patience.poll)?;
        }
    }

    fn set(&mut self, parameters: &[Parameter]) -> Result<(), ScanError> {
        for Parameter { code, bytes, says } in parameters {
            if !self.dialogue.parameter(*code, bytes)? {
                return Err(ScanError::Refused { parameter: says.clone(), command: code.name });
            }
        }
        Ok(())
    }

    /// All blocks of the page, each read while the sink looks at the one before.
    fn copy(
        &mut self,
        plan: &Plan,
        feed: &mut Feed,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        sink.begin(&plan.page).map_err(ScanError::Sink)?;
        let line_bytes = plan.page.bytes_per_line().max(1);
        let patience = self.dialogue.patience.image;
        let mut delivery = Delivery::default();
        let mut done = 0;
        loop {
            let block = feed.next(&mut self.dialogue, patience)?;
            let is_last = block.is_last;
            if !is_last {
                if self.dialogue.cancel.is_asked() {
                    return Err(ScanError::Cancelled { idle: false });
                }
                feed.go_on(&mut self.dialogue)?;
            }
            let lines = delivery.page_lines(plan, &block);
            if !lines.is_empty() && sink.lines(lines).map_err(ScanError::Sink)? == Flow::Stop {
                return Ok(Outcome::Stopped);
            }
            // No page has more lines than its height.
            done += (lines.len() / line_bytes) as u32;
            progress(Progress::Lines { done, total: plan.page.height });
            if is_last {
                sink.end().map_err(ScanError::Sink)?;
                return Ok(Outcome::Complete);
            }
        }
    }

    /// Brings the scanner from the middle of a page to idle. Whether it said that it is.
    fn settle(&mut self, feed: &mut Feed, effort: Effort) -> Result<bool, ScanError> {
        let patience = self.dialogue.patience;
        while feed.point() == Point::Sending {
            // It listens to nothing before the block is read. Rather the rest of it now than its whole timeout.
            if let Err(error) = self.rest_of_block(feed) {
                log::info!("the rest of the block: {error}");
                if is_gone(&error) || matches!(error, ScanError::Cancelled { .. }) {
                    return Err(error);
                }
                break;
            }
        }
        match feed.point() {
            Point::Over => self.dialogue.in_step = true,
            Point::Stopped => self.dialogue.reset(patience.resync)?,
            Point::Waiting => {
                self.homing = true;
                self.dialogue.send(&[CAN])?;
                let answer = self.dialogue.transport.read(1, patience.resync)?;
                match (&answer.bytes[..], answer.end) {
                    ([ACK], _) => self.dialogue.in_step = true,
                    (_, ReadEnd::Cancelled) => return Err(ScanError::Cancelled { idle: false }),
                    _ => self.dialogue.resync(effort)?,
                }
            }
            Point::Sending | Point::Unknown => self.dialogue.resync(effort)?,
        }
        Ok(self.dialogue.in_step)
    }

    fn rest_of_block(&mut self, feed: &mut Feed) -> Result<(), ScanError> {
        feed.stop_reading(&mut self.dialogue)?;
        let patience = self.dialogue.patience.rest_of_block;
        match feed.next(&mut self.dialogue, patience) {
            Ok(_) | Err(ScanError::Scanner(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// After a page that failed: idle, if that can be had, and the error that says the most.
    fn clean_up(&mut self, error: ScanError, feed: Option<&mut Feed>, progress: Tell<'_>) -> ScanError {
        if is_gone(&error) {
            (self.dialogue.in_step, self.batch) = (false, None);
            return error;
        }
        let is_cancel = matches!(error, ScanError::Cancelled { .. });
        let is_ours = self.dialogue.cancel.is_asked();
        let effort = if is_cancel { Effort::Brief } else { Effort::Thorough };
        if is_cancel {
            heed(&mut self.dialogue);
            progress(Progress::Cancelling);
        }
        let error = self.cause(error, feed.as_deref());
        let settled = match feed {
            Some(feed) => {
                if is_cancel && !is_ours {
                    // Somebody else cancelled what was under way, and may be bringing the scanner to idle too.
                    feed.lose_track();
                }
                self.settle(feed, effort)
            }
            // The feeder's answer is waited for.
            None if self.dialogue.in_step || self.batch.is_some() => Ok(self.dialogue.in_step),
            None => self.dialogue.resync(effort).map(|()| true),
        };
        let settled = self.put_away_after(settled, effort);
        let idle = settled.unwrap_or_else(|error| {
            log::warn!("bring the scanner back to idle: {error}");
            false
        });
        if is_cancel { ScanError::Cancelled { idle } } else { error }
    }

    /// No batch outlives an error: nobody knows where its next page is.
    fn put_away_after(&mut self, settled: Result<bool, ScanError>, effort: Effort) -> Result<bool, ScanError> {
        self.is_set_up = false;
        if self.batch.is_none() {
            return settled;
        }
        if let Err(error) = settled {
            self.batch = None;
            return Err(error);
        }
        self.put_away(effort)?;
        Ok(self.dialogue.in_step)
    }

    /// What a scanner says that has stopped for a reason it did not name.
    fn cause(&mut self, error: ScanError, feed: Option<&Feed>) -> ScanError {
        if !feed.is_some_and(|feed| feed.point() == Point::Stopped) {
            return error;
        }
        match self.dialogue.standing(self.abilities.dialect) {
            Ok(standing) => standing.problem.map_or(error, ScanError::from),
            Err(other) => {
                log::info!("ask for the cause of {error}: {other}");
                error
            }
        }
    }

    fn page(&mut self, plan: &Plan, sink: &mut dyn PageSink, progress: Tell<'_>) -> Result<Outcome, ScanError> {
        let mut feed = None;
        let error = match self.try_page(plan, &mut feed, sink, progress) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        Err(self.clean_up(error, feed.as_mut(), progress))
    }

    /// The page again, whose parameters were refused: with small blocks they may be taken. If not, it is not for the blocks.
    fn page_in_small_blocks(
        &mut self,
        plan: &Plan,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        log::info!(
            "the scanner does not take blocks of {} lines, perhaps; smaller ones are tried",
            plan.asked.block_lines
        );
        self.abilities.takes_large_blocks = false;
        let small = Plan::new(&self.abilities, &self.options)?;
        let result = self.page(&small, sink, progress);
        self.abilities.takes_large_blocks = result.as_ref().is_err_and(refuses_parameters);
        result
    }

    fn try_page(
        &mut self,
        plan: &Plan,
        slot: &mut Option<Feed>,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        let parameters = parameters(&self.abilities, plan);
        self.prepare(plan, longest(&parameters), progress)?;
        self.start(plan, &parameters, slot, progress)?;
        let feed = slot.as_mut().expect("a scan that has started has a feed");
        let outcome = self.copy(plan, feed, sink, progress)?;
        self.settle(feed, Effort::Thorough)?;
        if let Some(batch) = &mut self.batch {
            batch.page_ended();
        }
        Ok(outcome)
    }

    /// In step; in the middle of a batch if this page is of one, else with everything at its default.
    fn prepare(&mut self, plan: &Plan, longest: usize, progress: Tell<'_>) -> Result<(), ScanError> {
        if self.is_set_up && self.batch.as_ref().is_some_and(|batch| batch.goes_on_with(plan)) {
            match self.dialogue.listen() {
                Err(error) if is_confusion(&error) => {
                    log::info!("the scanner is not in step any more: {error}");
                    self.dialogue.in_step = false;
                }
                result => return result,
            }
        }
        if !self.dialogue.in_step && self.batch.is_none() {
            // What the last job left for the daemon. Should somebody have had it run meanwhile, that is not this job's end.
            take_back(&mut self.dialogue);
        }
        self.put_away(Effort::Thorough)?;
        self.is_set_up = false;
        leave_behind(&mut self.dialogue, resync::while_setting(longest))?;
        self.ready(progress)?;
        self.batch = plan.source.is_feeder().then(|| Batch::new(plan.clone()));
        Ok(())
    }
}

impl Scanner for EsciScanner {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    fn page_format(&self) -> Result<PageFormat, ScanError> {
        Ok(Plan::new(&self.abilities, &self.options)?.page)
    }

    fn scan(&mut self, sink: &mut dyn PageSink, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError> {
        let plan = Plan::new(&self.abilities, &self.options)?;
        let mut result = self.page(&plan, sink, progress);
        if self.abilities.takes_large_blocks && result.as_ref().is_err_and(refuses_parameters) {
            result = self.page_in_small_blocks(&plan, sink, progress);
        }
        match (self.dialogue.in_step, &self.batch) {
            // Should this be the end of us, the sheet is put out.
            (true, Some(_)) => {
                if let Err(error) = leave_behind(&mut self.dialogue, resync::while_feeding()) {
                    log::debug!("leave behind how a batch ends: {error}");
                }
            }
            (true, None) => take_back(&mut self.dialogue),
            // What was left is for the daemon.
            (false, _) => {}
        }
        result
    }

    fn end_batch(&mut self) -> Result<(), ScanError> {
        if self.batch.is_none() {
            return Ok(());
        }
        // Of all that can be cancelled the batch is what is ending.
        heed(&mut self.dialogue);
        self.is_set_up = false;
        self.put_away(Effort::Thorough)?;
        take_back(&mut self.dialogue);
        Ok(())
    }

    fn has_buttons(&self) -> bool {
        self.abilities.has_button
    }

    fn pressed_button(&mut self) -> Result<Option<u8>, ScanError> {
        if !self.abilities.has_button {
            return Ok(None);
        }
        if !self.dialogue.in_step {
            self.dialogue.resync(Effort::Thorough)?;
        }
        let pressed = match self.dialogue.information(BUTTON) {
            Ok((_, bytes)) => status::pressed_button(&bytes),
            Err(ScanError::Refused { .. }) => {
                log::info!("the scanner says that it has a button, and not which");
                self.abilities.has_button = false;
                None
            }
            Err(error) => return Err(error),
        };
        if self.batch.is_none() {
            // Else the daemon would take our end for one in the middle of something.
            take_back(&mut self.dialogue);
        }
        Ok(pressed)
    }

    fn cancel_handle(&self) -> Cancel {
        self.dialogue.cancel.clone()
    }
}

/// Whether it is FS W that was refused; the lines of a block are among what it says.
fn refuses_parameters(error: &ScanError) -> bool {
    matches!(error, ScanError::Refused { command, .. } if *command == FS_PARAMETERS.name)
}

/// Whether there is nobody left to talk to.
fn is_gone(error: &ScanError) -> bool {
    matches!(error, ScanError::Transport(TransportError::NoDevice | TransportError::Silent | TransportError::Daemon(_)))
}

/// What the daemon does should we die now.
pub(super) fn leave_behind(dialogue: &mut Dialogue, steps: Vec<AbortStep>) -> Result<(), ScanError> {
    match dialogue.transport.arm_abort(steps) {
        Err(TransportError::NotSupported { .. }) => {
            log::debug!("this daemon takes no abort sequence");
            Ok(())
        }
        result => Ok(result?),
    }
}

/// We know of the cancel, and go on with cleaning up.
fn heed(dialogue: &mut Dialogue) {
    if let Err(error) = dialogue.transport.heed_cancel() {
        log::info!("tell the daemon that the cancel is heeded: {error}");
    }
}

fn take_back(dialogue: &mut Dialogue) {
    if let Err(error) = dialogue.transport.disarm_abort() {
        log::debug!("take the abort sequence back: {error}");
    }
}

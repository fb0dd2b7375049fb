//! One scanner, opened: identify it, scan a page, bring it back to idle whatever happened. Runs on the thread that calls.

use std::time::Instant;

use super::adf::Batch;
use super::capabilities::{Capabilities, Dialect};
use super::codes::{ACK, BUTTON, CAN, FS_PARAMETERS, FS_PARAMETERS_IN_FORCE};
use super::dialogue::Dialogue;
use super::identify::{identify, is_out_of_sync};
use super::image_stream::{ImageStream, StreamState};
use super::parameters::{FS_PARAMETERS_BYTES, Parameter, height_in_force, longest, parameters};
use super::pixels::LineConverter;
use super::plan::Plan;
use super::resync::{self, Effort};
use super::status;
use crate::support::channel::{is_gone, or_cancelled};
use crate::support::fill;
use crate::support::{Timeouts, settle};
use crate::{
    Cancel, DeviceError, Flow, Identity, Options, Outcome, PageFormat, PageSink, Progress, ProtocolError, ReadEnd,
    ScanError, Scanner, Transport,
};

pub(super) struct EsciScanner {
    pub(super) dialogue: Dialogue,
    identity: Identity,
    pub(super) capabilities: Capabilities,
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
    /// Gets in sync and identifies. The usual scanner is idle and costs a moment of listening; only one that says something
    /// then, or does not answer as it should, is brought out of whatever it is doing.
    pub(super) fn open(
        transport: Box<dyn Transport>,
        timeouts: Timeouts,
        progress: Tell<'_>,
    ) -> Result<EsciScanner, ScanError> {
        let mut dialogue = Dialogue::new(transport, timeouts);
        dialogue.channel.arm_abort(resync::while_setting(1))?;
        let found = dialogue.expect_silence().and_then(|()| identify(&mut dialogue, timeouts.probe));
        let found = match found {
            Err(error) if is_out_of_sync(&error) => {
                log::info!("the scanner is not in sync: {error}");
                progress(Progress::Recovering);
                dialogue.resync(Effort::Thorough)?;
                identify(&mut dialogue, timeouts.reply)
            }
            found => found,
        };
        if dialogue.in_sync {
            dialogue.channel.disarm_abort();
        }
        let (identity, capabilities) = found?;
        let options = capabilities.options();
        Ok(EsciScanner { dialogue, identity, capabilities, options, batch: None, is_set_up: false, homing: false })
    }

    /// In step, and everything at its default.
    fn ready(&mut self, progress: Tell<'_>) -> Result<(), ScanError> {
        let timeout = self.dialogue.channel.timeouts.reply;
        if self.dialogue.in_sync {
            match self.dialogue.expect_silence().and_then(|()| self.dialogue.reset(timeout)) {
                Err(error) if is_out_of_sync(&error) => log::info!("the scanner is not in sync any more: {error}"),
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
        slot: &mut Option<ImageStream>,
        progress: Tell<'_>,
    ) -> Result<(), ScanError> {
        let timeouts = self.dialogue.channel.timeouts;
        let began = Instant::now();
        loop {
            self.set_up(plan, parameters, began, progress)?;
            if let Some(batch) = &mut self.batch {
                batch.load_page(&mut self.dialogue, &self.capabilities)?;
            }
            progress(Progress::Starting);
            let steps = resync::while_scanning(plan.source.is_feeder());
            self.dialogue.channel.arm_abort_settling(steps, settle::START)?;
            if let Some(batch) = &mut self.batch {
                batch.page_begins();
            }
            let stream = slot.insert(ImageStream::begin(self.capabilities.dialect, &mut self.dialogue, plan.asked)?);
            let status = stream.header(&mut self.dialogue, timeouts.image)?;
            if !status.is_fatal() && !status.is_busy() {
                self.homing = false;
                return Ok(());
            }
            // Nothing follows such a header. What it means, the status says; a fatal one holds until ESC @.
            *slot = None;
            self.dialogue.channel.arm_abort(resync::while_setting(longest(parameters)))?;
            let device_status = self.dialogue.device_status(self.capabilities.dialect)?;
            self.dialogue.reset(timeouts.reply)?;
            self.is_set_up = false;
            match device_status.problem {
                Some(DeviceError::Busy) if self.homing => {}
                Some(problem) => return Err(problem.into()),
                None if device_status.is_warming_up => {}
                None if status.is_busy() => return Err(DeviceError::Busy.into()),
                None => return Err(DeviceError::Fatal.into()),
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
        // EOT leaves the height that was scanned in the parameters.
        let is_forgotten = self.capabilities.ejects_pages || plan.ends_with_sheet;
        if self.is_set_up && !is_forgotten {
            return match self.capabilities.dialect {
                Dialect::Fs => Ok(()),
                Dialect::Esc if self.capabilities.has(b'd') => self.set(&parameters[parameters.len() - 1..]),
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
            let device_status = self.dialogue.device_status(self.capabilities.dialect)?;
            let waited = began.elapsed();
            let has_page = self.batch.as_ref().is_some_and(Batch::has_page_ahead);
            let problem = device_status.problem.filter(|problem| !(has_page && *problem == DeviceError::NoDocuments));
            match problem {
                Some(DeviceError::Busy) if self.homing && waited < self.dialogue.channel.timeouts.homing => {
                    progress(Progress::Starting);
                }
                Some(problem) => return Err(problem.into()),
                None if !device_status.is_warming_up => return Ok(()),
                None if waited >= self.dialogue.channel.timeouts.warm_up => {
                    return Err(DeviceError::StillWarmingUp(waited).into());
                }
                None => {
                    self.dialogue.channel.settle(Some(settle::WARM_UP))?;
                    progress(Progress::WarmingUp { waited });
                }
            }
            self.dialogue.channel.cancel.pause(self.dialogue.channel.timeouts.poll)?;
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
        stream: &mut ImageStream,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        sink.begin(&plan.page).map_err(ScanError::Sink)?;
        let line_bytes = plan.page.bytes_per_line().max(1);
        let timeout = self.dialogue.channel.timeouts.image;
        let mut delivery = LineConverter::default();
        let (mut done, mut is_moving) = (0, true);
        let mut may_end = plan.ends_with_sheet;
        loop {
            let block = stream.next(&mut self.dialogue, timeout)?;
            if !block.is_last && self.dialogue.channel.cancel.is_requested() {
                return Err(ScanError::Cancelled { idle: false });
            }
            match std::mem::replace(&mut is_moving, false) {
                // It is where the page is. A sheet goes on moving.
                true => self.dialogue.channel.settle(plan.source.is_feeder().then_some(settle::SHEET))?,
                false => self.dialogue.channel.keep_pace()?,
            }
            // One that refuses EOT is not asked again.
            let is_sheet_end = may_end && block.is_page_end && stream.end_page(&mut self.dialogue)?;
            may_end &= !block.is_page_end;
            let is_last = block.is_last || is_sheet_end;
            let mut most_lines = u32::MAX;
            if is_sheet_end {
                most_lines = self.scanned_height()?.saturating_sub(2 * plan.distance).saturating_sub(done);
            } else if !is_last {
                stream.go_on(&mut self.dialogue)?;
            }
            let lines = delivery.page_lines(plan, &block);
            let lines = &lines[..lines.len().min((most_lines as usize).saturating_mul(line_bytes))];
            if !lines.is_empty() && sink.lines(lines).map_err(ScanError::Sink)? == Flow::Stop {
                self.dialogue.channel.cancel.start_clean_up();
                return Ok(Outcome::Stopped);
            }
            // No page has more lines than its height.
            done += (lines.len() / line_bytes) as u32;
            progress(Progress::Lines { done, total: plan.page.height });
            if is_last && done == 0 {
                return Err(ProtocolError::EndedEarly { missing: plan.asked.lines }.into());
            }
            if is_last {
                sink.end().map_err(ScanError::Sink)?;
                return Ok(Outcome::Complete);
            }
        }
    }

    /// The lines that a scanner has scanned of a page that was ended with EOT.
    fn scanned_height(&mut self) -> Result<u32, ScanError> {
        let bytes = self.dialogue.structure(FS_PARAMETERS_IN_FORCE, FS_PARAMETERS_BYTES)?;
        Ok(height_in_force(&bytes).unwrap_or(u32::MAX))
    }

    /// Brings the scanner from the middle of a page to idle. Whether it said that it is.
    fn settle(&mut self, stream: &mut ImageStream, effort: Effort) -> Result<bool, ScanError> {
        let timeouts = self.dialogue.channel.timeouts;
        while stream.state() == StreamState::Sending {
            // It listens to nothing before the block is read. Rather the rest of it now than its whole timeout.
            if let Err(error) = self.rest_of_block(stream) {
                log::info!("the rest of the block: {error}");
                if is_gone(&error) || matches!(error, ScanError::Cancelled { .. }) {
                    return Err(error);
                }
                break;
            }
        }
        match stream.state() {
            StreamState::Over => self.dialogue.in_sync = true,
            StreamState::Stopped => self.dialogue.reset(timeouts.resync)?,
            StreamState::Waiting => {
                self.homing = true;
                self.dialogue.send(&[CAN])?;
                let answer = self.dialogue.channel.transport.read(1, timeouts.resync)?;
                match (&answer.bytes[..], answer.end) {
                    ([ACK], _) => self.dialogue.in_sync = true,
                    (_, ReadEnd::Cancelled) => return Err(ScanError::Cancelled { idle: false }),
                    _ => self.dialogue.resync(effort)?,
                }
            }
            StreamState::Sending | StreamState::Unknown => self.dialogue.resync(effort)?,
        }
        Ok(self.dialogue.in_sync)
    }

    fn rest_of_block(&mut self, stream: &mut ImageStream) -> Result<(), ScanError> {
        stream.stop_reading(&mut self.dialogue)?;
        let timeout = self.dialogue.channel.timeouts.rest_of_block;
        match stream.next(&mut self.dialogue, timeout) {
            Ok(_) | Err(ScanError::Device(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// After a page that failed: idle, if that can be had, and the error that says the most.
    fn clean_up(&mut self, error: ScanError, stream: Option<&mut ImageStream>, progress: Tell<'_>) -> ScanError {
        if is_gone(&error) {
            (self.dialogue.in_sync, self.batch) = (false, None);
            return or_cancelled(error);
        }
        let error = self.dialogue.channel.or_cancelled(error);
        let is_cancel = matches!(error, ScanError::Cancelled { .. });
        let effort = if is_cancel { Effort::Brief } else { Effort::Thorough };
        if is_cancel {
            self.dialogue.channel.cancel.acknowledge();
            progress(Progress::Cancelling);
        }
        if is_cancel || matches!(error, ScanError::Sink(_)) {
            self.dialogue.channel.cancel.start_clean_up();
        }
        let error = self.cause(error, stream.as_deref());
        let settled = match stream {
            Some(stream) => self.settle(stream, effort),
            // The feeder's answer is waited for.
            None if self.dialogue.in_sync || self.batch.is_some() => Ok(self.dialogue.in_sync),
            None => self.dialogue.resync(effort).map(|()| true),
        };
        let settled = self.end_batch_after(settled, effort);
        let idle = match settled {
            Ok(idle) => idle,
            Err(error) => self.dialogue.channel.is_recovered(&error),
        };
        if is_cancel { ScanError::Cancelled { idle } } else { error }
    }

    fn end_any_batch(&mut self, effort: Effort) -> Result<(), ScanError> {
        self.batch.take().map_or(Ok(()), |batch| batch.end(&mut self.dialogue, effort))
    }

    /// No batch outlives an error: nobody knows where its next page is.
    fn end_batch_after(&mut self, settled: Result<bool, ScanError>, effort: Effort) -> Result<bool, ScanError> {
        self.is_set_up = false;
        if self.batch.is_none() {
            return settled;
        }
        if let Err(error) = settled {
            self.batch = None;
            return Err(error);
        }
        self.end_any_batch(effort)?;
        Ok(self.dialogue.in_sync)
    }

    /// What a scanner says that has stopped for a reason it did not name.
    fn cause(&mut self, error: ScanError, stream: Option<&ImageStream>) -> ScanError {
        if !stream.is_some_and(|stream| stream.state() == StreamState::Stopped) {
            return error;
        }
        match self.dialogue.device_status(self.capabilities.dialect) {
            Ok(device_status) => device_status.problem.map_or(error, ScanError::from),
            Err(other) => {
                log::info!("ask for the cause of {error}: {other}");
                error
            }
        }
    }

    fn page(&mut self, plan: &Plan, sink: &mut dyn PageSink, progress: Tell<'_>) -> Result<Outcome, ScanError> {
        let mut stream = None;
        let error = match self.try_page(plan, &mut stream, sink, progress) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        Err(self.clean_up(error, stream.as_mut(), progress))
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
        self.capabilities.takes_large_blocks = false;
        let small = Plan::new(&self.capabilities, &self.options)?;
        let result = self.page(&small, sink, progress);
        self.capabilities.takes_large_blocks = result.as_ref().is_err_and(refuses_parameters);
        result
    }

    fn try_page(
        &mut self,
        plan: &Plan,
        slot: &mut Option<ImageStream>,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        let parameters = parameters(&self.capabilities, plan);
        self.prepare(plan, longest(&parameters), progress)?;
        self.start(plan, &parameters, slot, progress)?;
        let stream = slot.as_mut().expect("a scan that has started has a stream");
        let outcome = self.copy(plan, stream, sink, progress)?;
        self.settle(stream, Effort::Thorough)?;
        if let Some(batch) = &mut self.batch {
            batch.page_ended();
            if self.capabilities.ejects_pages && outcome == Outcome::Complete {
                batch.eject_page(&mut self.dialogue)?;
            }
        }
        Ok(outcome)
    }

    /// In step; in the middle of a batch if this page is of one, else with everything at its default.
    fn prepare(&mut self, plan: &Plan, longest: usize, progress: Tell<'_>) -> Result<(), ScanError> {
        if self.is_set_up && self.batch.as_ref().is_some_and(|batch| batch.goes_on_with(plan)) {
            match self.dialogue.expect_silence() {
                Err(error) if is_out_of_sync(&error) => {
                    log::info!("the scanner is not in sync any more: {error}");
                    self.dialogue.in_sync = false;
                }
                result => return result,
            }
        }
        if !self.dialogue.in_sync && self.batch.is_none() {
            // What the last job left for the daemon. Should somebody have had it run meanwhile, that is not this job's end.
            self.dialogue.channel.disarm_abort();
        }
        self.end_any_batch(Effort::Thorough)?;
        self.is_set_up = false;
        let steps = resync::while_setting(longest);
        match self.homing {
            true => self.dialogue.channel.arm_abort_settling(steps, settle::HOMING)?,
            false => self.dialogue.channel.arm_abort(steps)?,
        }
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
        let plan = Plan::new(&self.capabilities, &self.options)?;
        Ok(fill::page_format(&self.options, plan.page, plan.area_height()))
    }

    fn scan(&mut self, sink: &mut dyn PageSink, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError> {
        let plan = Plan::new(&self.capabilities, &self.options)?;
        let page = fill::page_format(&self.options, plan.page, plan.area_height());
        let result = fill::fill_up(sink, plan.page, page, |sink| {
            let result = self.page(&plan, sink, progress);
            if self.capabilities.takes_large_blocks && result.as_ref().is_err_and(refuses_parameters) {
                return self.page_in_small_blocks(&plan, sink, progress);
            }
            result
        });
        if self.dialogue.in_sync {
            self.dialogue.channel.cancel.end_clean_up();
        }
        match (self.dialogue.in_sync, &self.batch) {
            // Should this be the end of us, the sheet is put out.
            (true, Some(_)) => {
                let armed = self.dialogue.channel.arm_abort_settling(resync::while_feeding(), settle::SHEET);
                if let Err(error) = armed {
                    log::debug!("leave behind how a batch ends: {error}");
                }
            }
            (true, None) => self.dialogue.channel.disarm_abort(),
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
        self.dialogue.channel.cancel.acknowledge();
        self.is_set_up = false;
        self.end_any_batch(Effort::Thorough)?;
        self.dialogue.channel.disarm_abort();
        Ok(())
    }

    fn has_buttons(&self) -> bool {
        self.capabilities.has_button
    }

    fn pressed_button(&mut self) -> Result<Option<u8>, ScanError> {
        if !self.capabilities.has_button {
            return Ok(None);
        }
        if !self.dialogue.in_sync {
            self.dialogue.resync(Effort::Thorough)?;
        }
        let pressed = match self.dialogue.information(BUTTON) {
            Ok((_, bytes)) => status::pressed_button(&bytes),
            Err(ScanError::Refused { .. }) => {
                log::info!("the scanner says that it has a button, and not which");
                self.capabilities.has_button = false;
                None
            }
            Err(error) => return Err(error),
        };
        if self.batch.is_none() {
            // Else the daemon would take our end for one in the middle of something.
            self.dialogue.channel.disarm_abort();
        }
        Ok(pressed)
    }

    fn cancel_handle(&self) -> Cancel {
        self.dialogue.channel.cancel.clone()
    }
}

/// Whether it is FS W that was refused; the lines of a block are among what it says.
fn refuses_parameters(error: &ScanError) -> bool {
    matches!(error, ScanError::Refused { command, .. } if *command == FS_PARAMETERS.name)
}

//! One scanner, opened: identify it, scan a page, bring it back to idle whatever happened. Runs on the thread that calls.

use bytes::Bytes;

use super::capabilities::{self, Capabilities};
use super::dialogue::{Dialogue, SessionState, Tell};
use super::job::{Front, Job, WaitingImage};
use super::lines::{ImageSource, Lines, piece};
use super::message::tokens;
use super::pass::pass;
use super::plan::Plan;
use super::reply_info;
use super::resync::{self, Effort};
use crate::jpeg::ByteSource;
use crate::support::channel::{is_gone, is_out_of_sync, or_cancelled};
use crate::support::fill;
use crate::support::{Timeouts, settle};
use crate::{
    Cancel, Flow, Identity, Options, Outcome, PageFormat, PageSink, Progress, ProtocolError, ScanError, Scanner,
    Transport,
};

pub(super) struct Esci2Scanner {
    dialogue: Dialogue,
    identity: Identity,
    capabilities: Capabilities,
    options: Options,
    /// The back of the sheet whose front was the page before, and how that was scanned.
    back: Option<(Plan, WaitingImage)>,
}

/// What is at the other end.
pub(super) enum Opened {
    Esci2(Box<Esci2Scanner>),
    /// A scanner that refuses FS X, and says at ESC I what it is: this transport leads to it.
    Esci(Box<dyn Transport>),
}

impl Esci2Scanner {
    /// Gets in sync and identifies. The usual scanner is outside of any session and costs a moment of listening.
    pub(super) fn open(
        transport: Box<dyn Transport>,
        timeouts: Timeouts,
        progress: Tell<'_>,
    ) -> Result<Opened, ScanError> {
        let mut dialogue = Dialogue::new(transport, timeouts);
        dialogue.channel.arm_abort(resync::while_scanning())?;
        let found = dialogue
            .expect_silence()
            .and_then(|()| dialogue.enter(timeouts.probe))
            .and_then(|()| identify(&mut dialogue, progress));
        let found = match found {
            Err(error) if is_refusal(&error) && dialogue.speaks_esci()? => {
                log::info!("{error}, and answers ESC I: its protocol is ESC/I");
                dialogue.channel.disarm_abort();
                return Ok(Opened::Esci(dialogue.channel.transport));
            }
            Err(error) if is_out_of_sync(&error) => {
                log::info!("the scanner is not in sync: {error}");
                progress(Progress::Recovering);
                dialogue.resync(Effort::Thorough)?;
                dialogue.enter(timeouts.reply).and_then(|()| identify(&mut dialogue, progress))
            }
            found => found,
        };
        if dialogue.state == SessionState::Session {
            if let Err(error) = dialogue.leave() {
                log::info!("leave the session: {error}");
            }
        }
        if dialogue.state == SessionState::Outside {
            dialogue.channel.disarm_abort();
        }
        let (identity, capabilities) = found?;
        let options = capabilities.options();
        Ok(Opened::Esci2(Box::new(Esci2Scanner { dialogue, identity, capabilities, options, back: None })))
    }

    fn enter(&mut self, progress: Tell<'_>) -> Result<(), ScanError> {
        let timeouts = self.dialogue.channel.timeouts;
        if self.dialogue.state == SessionState::Outside {
            match self.dialogue.expect_silence().and_then(|()| self.dialogue.enter(timeouts.probe)) {
                Err(error) if is_out_of_sync(&error) => log::info!("the scanner is not in sync any more: {error}"),
                result => return result,
            }
        }
        progress(Progress::Recovering);
        self.dialogue.resync(Effort::Thorough)?;
        self.dialogue.enter(timeouts.reply)
    }

    /// From FS X to the first IMG.
    fn start(&mut self, plan: &Plan, progress: Tell<'_>) -> Result<Job, ScanError> {
        if self.dialogue.state != SessionState::Outside {
            // What the last job left for the daemon. Should somebody have had it run meanwhile, that is not this job's end.
            self.dialogue.channel.disarm_abort();
        }
        self.dialogue.channel.arm_abort(resync::while_setting(plan.parameters.len()))?;
        self.enter(progress)?;
        let (_, status) = self.dialogue.ask("STAT", b"", progress)?;
        if let Some(problem) = reply_info::status(&tokens(&status), plan.place.source.part()) {
            return Err(problem.into());
        }
        let (answer, _) = self.dialogue.ask("PARA", &plan.parameters, progress)?;
        if let Some(problem) = answer.problem {
            return Err(problem.into());
        }
        if answer.taken == Some(false) {
            return Err(ScanError::Refused { parameter: "the settings of the page".to_owned(), command: "PARA" });
        }
        self.dialogue.channel.arm_abort_settling(resync::while_scanning(), settle::START)?;
        progress(Progress::Starting);
        self.dialogue.start_images(progress)?;
        Job::begin(plan, &mut self.dialogue)
    }

    fn try_page(&mut self, plan: &Plan, sink: &mut dyn PageSink, progress: Tell<'_>) -> Result<Outcome, ScanError> {
        let mut job = self.start(plan, progress)?;
        let (start, first) = job.front(&mut self.dialogue)?;
        // It is where the page is. A sheet goes on moving.
        self.dialogue.channel.settle(plan.place.source.is_feeder().then_some(settle::SHEET))?;
        let mut front = Front { job: &mut job, dialogue: &mut self.dialogue, first };
        let outcome = copy(plan, start, &mut front, sink, progress)?;
        if outcome == Outcome::Stopped {
            self.dialogue.channel.cancel.start_clean_up();
        }
        if outcome == Outcome::Complete {
            // What is left of the job: usually the word that it is over, and of a sheet with two sides the other one.
            self.back = job.finish(&mut self.dialogue)?.map(|back| (plan.clone(), back));
            sink.end().map_err(ScanError::Sink)?;
        }
        self.settle()?;
        Ok(outcome)
    }

    /// The back of the sheet whose front was the page before: the scanner has nothing to do with it any more.
    fn page_from_back(
        &mut self,
        plan: &Plan,
        back: WaitingImage,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        let (start, mut back) = (back.start, back.rewound()?);
        let mut watched = Watched { source: &mut back, cancel: &self.dialogue.channel.cancel };
        let outcome = copy(plan, start, &mut watched, sink, progress);
        if let Err(ScanError::Cancelled { .. }) = outcome {
            self.dialogue.channel.cancel.acknowledge();
        }
        if let Ok(Outcome::Complete) = outcome {
            sink.end().map_err(ScanError::Sink)?;
        }
        outcome
    }

    /// Brings the scanner from wherever it is known to be out of its session.
    fn settle(&mut self) -> Result<(), ScanError> {
        self.dialogue.rest_of_image()?;
        if self.dialogue.state == SessionState::Images {
            self.dialogue.stop_images()?;
        }
        match self.dialogue.state {
            SessionState::Outside => Ok(()),
            SessionState::Session => self.dialogue.leave(),
            SessionState::Images | SessionState::Unknown => self.dialogue.resync(Effort::Thorough),
        }
    }

    /// After a page that failed: idle, if that can be had, and the error that says the most.
    fn clean_up(&mut self, error: ScanError, progress: Tell<'_>) -> ScanError {
        self.back = None;
        if is_gone(&error) {
            self.dialogue.state = SessionState::Unknown;
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
        let settled = match self.settle() {
            Err(error) if is_out_of_sync(&error) => {
                log::info!("end the job: {error}");
                self.dialogue.resync(effort)
            }
            settled => settled,
        };
        let idle = settled.map_or_else(|error| self.dialogue.channel.is_recovered(&error), |()| true);
        if is_cancel { ScanError::Cancelled { idle } } else { error }
    }
}

/// What ESC/I scanners answer a command with that they do not know.
const NAK: u8 = 0x15;

/// Whether FS X was refused as a command that is not known.
fn is_refusal(error: &ScanError) -> bool {
    matches!(error, ScanError::Protocol(ProtocolError::NoSession { got: NAK }))
}

/// INFO and CAPA, in a session.
fn identify(dialogue: &mut Dialogue, progress: Tell<'_>) -> Result<(Identity, Capabilities), ScanError> {
    let (_, information) = dialogue.ask("INFO", b"", progress)?;
    let (_, capabilities) = dialogue.ask("CAPA", b"", progress)?;
    let information = tokens(&information);
    let capabilities = Capabilities::read(&information, &tokens(&capabilities))?;
    Ok((capabilities::identity(&information), capabilities))
}

/// All lines of an image to the sink.
fn copy(
    plan: &Plan,
    start: reply_info::ImageStart,
    source: &mut dyn ImageSource,
    sink: &mut dyn PageSink,
    progress: Tell<'_>,
) -> Result<Outcome, ScanError> {
    if plan.is_jpeg && sink.takes_jpeg(&plan.page) {
        return pass(plan, start, source, sink, progress);
    }
    let mut lines = Lines::new(plan, start, source)?;
    sink.begin(&plan.page).map_err(ScanError::Sink)?;
    let line_bytes = plan.page.bytes_per_line();
    let piece = piece(plan.page.pixels, plan.page.width);
    let mut done = 0;
    while let Some(next) = lines.next(source)? {
        for part in next.chunks(piece) {
            if sink.lines(part).map_err(ScanError::Sink)? == Flow::Stop {
                return Ok(Outcome::Stopped);
            }
            done += (part.len() / line_bytes) as u32;
            progress(Progress::Lines { done, total: plan.page.height });
        }
    }
    match (plan.page.height, lines.missing()) {
        (Some(_), missing @ 1..) => Err(ProtocolError::EndedEarly { missing }.into()),
        (None, missing) if missing == plan.area.height => Err(ProtocolError::EndedEarly { missing }.into()),
        _ => Ok(Outcome::Complete),
    }
}

/// A source that ends when it is cancelled: one that waits for nothing would not notice.
struct Watched<'a> {
    source: &'a mut dyn ImageSource,
    cancel: &'a Cancel,
}

impl ByteSource for Watched<'_> {
    type Error = ScanError;

    fn more(&mut self) -> Result<Option<Bytes>, ScanError> {
        if self.cancel.is_requested() { Err(ScanError::Cancelled { idle: true }) } else { self.source.more() }
    }
}

impl ImageSource for Watched<'_> {
    fn height(&self) -> Option<u32> {
        self.source.height()
    }
}

impl Scanner for Esci2Scanner {
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
        Ok(fill::page_format(&self.options, plan.page, plan.area.height))
    }

    fn scan(&mut self, sink: &mut dyn PageSink, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError> {
        let plan = Plan::new(&self.capabilities, &self.options)?;
        let page = fill::page_format(&self.options, plan.page, plan.area.height);
        if let Some((_, back)) = self.back.take().filter(|(front, _)| *front == plan) {
            return fill::fill_up(sink, plan.page, page, |sink| self.page_from_back(&plan, back, sink, progress));
        }
        let result = fill::fill_up(sink, plan.page, page, |sink| self.try_page(&plan, sink, progress));
        let result = result.map_err(|error| self.clean_up(error, progress));
        if self.dialogue.state == SessionState::Outside {
            self.dialogue.channel.cancel.end_clean_up();
            // Otherwise they are for the daemon, should this be the end of us.
            self.dialogue.channel.disarm_abort();
        }
        result
    }

    fn end_batch(&mut self) -> Result<(), ScanError> {
        // Every sheet is a job of its own, so the scanner has nothing to be told.
        self.back = None;
        Ok(())
    }

    fn cancel_handle(&self) -> Cancel {
        self.dialogue.channel.cancel.clone()
    }
}

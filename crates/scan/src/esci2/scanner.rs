//! One scanner, opened: identify it, scan a page, bring it back to idle whatever happened. Runs on the thread that calls.

use bytes::Bytes;

use super::abilities::{self, Abilities};
use super::dialogue::{At, Dialogue, Tell};
use super::lines::{Lines, piece};
use super::plan::Plan;
use super::resync::{self, Effort};
use super::sheet::{Front, Sheet, Waiting};
use super::words::tokens;
use super::{Nonsense, notes};
use crate::esci::Patience;
use crate::jpeg::Source;
use crate::{
    AbortStep, Cancel, Flow, Identity, Options, Outcome, PageFormat, PageSink, Progress, ScanError, Scanner, Transport,
    TransportError,
};

/// An ESC/I-2 scanner.
pub(super) struct Esci2Scanner {
    dialogue: Dialogue,
    identity: Identity,
    abilities: Abilities,
    options: Options,
    /// The back of the sheet whose front was the page before, and how that was scanned.
    back: Option<(Plan, Waiting)>,
}

impl Esci2Scanner {
    /// Gets in step and identifies. The usual scanner is outside of any session and costs a moment of listening.
    pub(super) fn open(
        transport: Box<dyn Transport>,
        patience: Patience,
        progress: Tell<'_>,
    ) -> Result<Esci2Scanner, ScanError> {
        let mut dialogue = Dialogue::new(transport, patience);
        leave_behind(&mut dialogue, resync::while_scanning())?;
        let found = dialogue
            .listen()
            .and_then(|()| dialogue.enter(patience.probe))
            .and_then(|()| identify(&mut dialogue, progress));
        let found = match found {
            Err(error) if is_confusion(&error) => {
                log::info!("the scanner is not in step: {error}");
                progress(Progress::Recovering);
                dialogue.resync(Effort::Thorough)?;
                dialogue.enter(patience.reply).and_then(|()| identify(&mut dialogue, progress))
            }
            found => found,
        };
        if dialogue.at == At::Session {
            if let Err(error) = dialogue.leave() {
                log::info!("leave the session: {error}");
            }
        }
        if dialogue.at == At::Outside {
            take_back(&mut dialogue);
        }
        let (identity, abilities) = found?;
        let options = abilities.options();
        Ok(Esci2Scanner { dialogue, identity, abilities, options, back: None })
    }

    /// In a session.
    fn enter(&mut self, progress: Tell<'_>) -> Result<(), ScanError> {
        let patience = self.dialogue.patience;
        if self.dialogue.at == At::Outside {
            match self.dialogue.listen().and_then(|()| self.dialogue.enter(patience.probe)) {
                Err(error) if is_confusion(&error) => log::info!("the scanner is not in step any more: {error}"),
                result => return result,
            }
        }
        progress(Progress::Recovering);
        self.dialogue.resync(Effort::Thorough)?;
        self.dialogue.enter(patience.reply)
    }

    /// From FS X to the first IMG.
    fn start(&mut self, plan: &Plan, progress: Tell<'_>) -> Result<Sheet, ScanError> {
        if self.dialogue.at != At::Outside {
            // What the last job left for the daemon. Should somebody have had it run meanwhile, that is not this job's end.
            take_back(&mut self.dialogue);
        }
        leave_behind(&mut self.dialogue, resync::while_setting(plan.parameters.len()))?;
        self.enter(progress)?;
        let (_, status) = self.dialogue.ask("STAT", "", progress)?;
        if let Some(problem) = notes::status(&tokens(&status), plan.place.source.part()) {
            return Err(problem.into());
        }
        let (answer, _) = self.dialogue.ask("PARA", &plan.parameters, progress)?;
        if let Some(problem) = answer.problem {
            return Err(problem.into());
        }
        if answer.taken == Some(false) {
            return Err(ScanError::Refused { parameter: "the settings of the page".to_owned(), command: "PARA" });
        }
        leave_behind(&mut self.dialogue, resync::while_scanning())?;
        progress(Progress::Starting);
        self.dialogue.start_images(progress)?;
        Sheet::begin(plan, &mut self.dialogue)
    }

    fn try_page(&mut self, plan: &Plan, sink: &mut dyn PageSink, progress: Tell<'_>) -> Result<Outcome, ScanError> {
        let mut sheet = self.start(plan, progress)?;
        let (start, first) = sheet.front(&mut self.dialogue)?;
        let mut front = Front { sheet: &mut sheet, dialogue: &mut self.dialogue, first };
        let outcome = copy(plan, start, &mut front, sink, progress)?;
        if outcome == Outcome::Complete {
            // What is left of the job: usually the word that it is over, and of a sheet with two sides the other one.
            self.back = sheet.finish(&mut self.dialogue)?.map(|back| (plan.clone(), back));
            sink.end().map_err(ScanError::Sink)?;
        }
        self.settle()?;
        Ok(outcome)
    }

    /// The back of the sheet whose front was the page before: the scanner has nothing to do with it any more.
    fn page_from_back(
        &mut self,
        plan: &Plan,
        back: Waiting,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        let (start, mut back) = (back.start, back.rewound()?);
        let mut watched = Watched { source: &mut back, cancel: &self.dialogue.cancel };
        let outcome = copy(plan, start, &mut watched, sink, progress);
        if let Err(ScanError::Cancelled { .. }) = outcome {
            self.dialogue.cancel.heed();
        }
        if let Ok(Outcome::Complete) = outcome {
            sink.end().map_err(ScanError::Sink)?;
        }
        outcome
    }

    /// Brings the scanner from wherever it is known to be out of its session.
    fn settle(&mut self) -> Result<(), ScanError> {
        self.dialogue.rest_of_image()?;
        if self.dialogue.at == At::Images {
            self.dialogue.stop_images()?;
        }
        match self.dialogue.at {
            At::Outside => Ok(()),
            At::Session => self.dialogue.leave(),
            At::Images | At::Unknown => self.dialogue.resync(Effort::Thorough),
        }
    }

    /// After a page that failed: idle, if that can be had, and the error that says the most.
    fn clean_up(&mut self, error: ScanError, progress: Tell<'_>) -> ScanError {
        self.back = None;
        if is_gone(&error) {
            self.dialogue.at = At::Unknown;
            return error;
        }
        let is_cancel = matches!(error, ScanError::Cancelled { .. });
        let is_ours = self.dialogue.cancel.is_asked();
        let effort = if is_cancel { Effort::Brief } else { Effort::Thorough };
        if is_cancel {
            heed(&mut self.dialogue);
            progress(Progress::Cancelling);
        }
        let settled = if is_cancel && !is_ours {
            // Somebody else cancelled what was under way, and may be bringing the scanner to idle too.
            self.dialogue.resync(effort)
        } else {
            match self.settle() {
                Err(error) if is_confusion(&error) => {
                    log::info!("end the job: {error}");
                    self.dialogue.resync(effort)
                }
                settled => settled,
            }
        };
        if let Err(error) = &settled {
            log::warn!("bring the scanner back to idle: {error}");
        }
        if is_cancel { ScanError::Cancelled { idle: settled.is_ok() } } else { error }
    }
}

/// INFO and CAPA, in a session.
fn identify(dialogue: &mut Dialogue, progress: Tell<'_>) -> Result<(Identity, Abilities), ScanError> {
    let (_, information) = dialogue.ask("INFO", "", progress)?;
    let (_, capabilities) = dialogue.ask("CAPA", "", progress)?;
    let information = tokens(&information);
    let abilities = Abilities::read(&information, &tokens(&capabilities))?;
    Ok((abilities::identity(&information), abilities))
}

/// All lines of an image to the sink.
fn copy(
    plan: &Plan,
    start: notes::Start,
    source: &mut dyn Source<Error = ScanError>,
    sink: &mut dyn PageSink,
    progress: Tell<'_>,
) -> Result<Outcome, ScanError> {
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
        (Some(_), missing @ 1..) => Err(Nonsense::EndedEarly { missing }.into()),
        (None, missing) if missing == plan.area.height => Err(Nonsense::EndedEarly { missing }.into()),
        _ => Ok(Outcome::Complete),
    }
}

/// A source that ends when it is cancelled: one that waits for nothing would not notice.
struct Watched<'a> {
    source: &'a mut dyn Source<Error = ScanError>,
    cancel: &'a Cancel,
}

impl Source for Watched<'_> {
    type Error = ScanError;

    fn more(&mut self) -> Result<Option<Bytes>, ScanError> {
        if self.cancel.is_asked() { Err(ScanError::Cancelled { idle: true }) } else { self.source.more() }
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
        Ok(Plan::new(&self.abilities, &self.options)?.page)
    }

    fn scan(&mut self, sink: &mut dyn PageSink, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError> {
        let plan = Plan::new(&self.abilities, &self.options)?;
        if let Some((_, back)) = self.back.take().filter(|(front, _)| *front == plan) {
            return self.page_from_back(&plan, back, sink, progress);
        }
        let result = self.try_page(&plan, sink, progress).map_err(|error| self.clean_up(error, progress));
        if self.dialogue.at == At::Outside {
            // Otherwise they are for the daemon, should this be the end of us.
            take_back(&mut self.dialogue);
        }
        result
    }

    fn end_batch(&mut self) -> Result<(), ScanError> {
        // Every sheet is a job of its own, so the scanner has nothing to be told.
        self.back = None;
        Ok(())
    }

    fn cancel_handle(&self) -> Cancel {
        self.dialogue.cancel.clone()
    }
}

/// Whether an error may come of a scanner that is in the middle of something.
fn is_confusion(error: &ScanError) -> bool {
    match error {
        ScanError::Esci2(nonsense) => !matches!(nonsense, Nonsense::Abilities(_)),
        ScanError::Mute { .. } => true,
        ScanError::Transport(error) => matches!(
            error,
            TransportError::Timeout { .. }
                | TransportError::Stall { .. }
                | TransportError::Overrun
                | TransportError::Bus { .. }
        ),
        _ => false,
    }
}

/// Whether there is nobody left to talk to.
fn is_gone(error: &ScanError) -> bool {
    matches!(error, ScanError::Transport(TransportError::NoDevice | TransportError::Silent | TransportError::Daemon(_)))
}

/// What the daemon does should we die now.
fn leave_behind(dialogue: &mut Dialogue, steps: Vec<AbortStep>) -> Result<(), ScanError> {
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

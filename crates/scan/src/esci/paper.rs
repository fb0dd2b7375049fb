//! The document feeder as we drive it: a batch of pages, the sheet in the path, and putting it out at the end.
//!
//! The parameters are set once for a batch, and ESC @ comes only before it and after it: with the settings it would forget
//! that the feeder is in use, and which side of a sheet is next.

use std::time::Duration;

use super::codes::{FF, PF};
use super::plan::Plan;
use super::resync::{self, Effort};
use super::scanner::{EsciScanner, leave_behind};
use crate::{Problem, ScanError};

/// Pages that are scanned one after the other from the feeder, all in the same way.
#[derive(Debug)]
pub(super) struct Batch {
    plan: Plan,
    /// Pages that came.
    pages: u32,
    /// The next page was loaded.
    is_loaded: bool,
    /// There may be a sheet in the path.
    has_sheet: bool,
    /// The feeder was told to move, and has not answered.
    is_moving: bool,
}

impl Batch {
    pub(super) fn new(plan: Plan) -> Batch {
        Batch { plan, pages: 0, is_loaded: false, has_sheet: false, is_moving: false }
    }

    /// Whether a page that is scanned like this is the next of this batch.
    pub(super) fn goes_on_with(&self, plan: &Plan) -> bool {
        self.plan == *plan
    }

    /// Whether the next page can be had although the tray is empty: it is loaded, or is the back of the sheet in the path.
    pub(super) fn has_page_ahead(&self) -> bool {
        self.is_loaded || self.plan.source.has_backs() && self.pages % 2 == 1
    }

    /// The scan of the loaded page begins; a feeder without PF loads it now.
    pub(super) fn page_begins(&mut self) {
        (self.is_loaded, self.has_sheet) = (true, true);
    }

    /// The page came, or as much of it as was wanted.
    pub(super) fn page_ended(&mut self) {
        self.is_loaded = false;
        self.pages += 1;
    }
}

impl EsciScanner {
    /// Has the next page brought to where it is scanned, where the feeder does not do that by itself.
    pub(super) fn load_page(&mut self) -> Result<(), ScanError> {
        let Some(batch) = &mut self.batch else { return Ok(()) };
        if batch.is_loaded || !self.abilities.loads_pages {
            return Ok(());
        }
        leave_behind(&mut self.dialogue, resync::while_feeding())?;
        (batch.has_sheet, batch.is_moving) = (true, true);
        let taken = self.dialogue.one_byte(PF, self.dialogue.patience.feed)?;
        (batch.is_loaded, batch.is_moving) = (taken, false);
        if taken {
            return Ok(());
        }
        let standing = self.dialogue.standing(self.abilities.dialect)?;
        Err(standing.problem.unwrap_or(Problem::Feeder).into())
    }

    /// Ends the batch, if there is one: the sheet in the path out, the feeder out of use.
    pub(super) fn put_away(&mut self, effort: Effort) -> Result<(), ScanError> {
        let Some(batch) = self.batch.take() else { return Ok(()) };
        let patience = self.dialogue.patience;
        if !self.dialogue.in_step {
            if batch.has_sheet {
                let answer_due = if batch.is_moving { patience.rest_of_block } else { patience.silence };
                self.put_out_blindly(answer_due)?;
            }
            return self.dialogue.resync(effort);
        }
        if batch.has_sheet && !self.dialogue.one_byte(FF, patience.feed)? {
            // It is stuck, or out already.
            log::info!("the feeder puts no sheet out");
        }
        self.dialogue.reset(patience.reply)
    }

    /// FF to a scanner that may have something to say first, or may not listen: before the ESC @ of getting in step, after
    /// which it would not put the sheet out any more.
    fn put_out_blindly(&mut self, answer_due: Duration) -> Result<(), ScanError> {
        let patience = self.dialogue.patience;
        self.dialogue.stop_reading()?;
        self.dialogue.listen_once(answer_due)?;
        self.dialogue.drain_within(patience.silence)?;
        if self.dialogue.say(&[FF.byte])? {
            self.dialogue.listen_once(patience.feed)?;
        }
        Ok(())
    }
}

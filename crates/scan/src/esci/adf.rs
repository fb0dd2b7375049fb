//! The document feeder: a batch of pages, the sheet in the path, and ejecting it at the end.
//!
//! The parameters are set once for a batch, and ESC @ comes only before it and after it: with the settings it would forget
//! that the feeder is in use, and which side of a sheet is next.

use std::time::Duration;

use super::capabilities::Capabilities;
use super::codes::{FF, PF};
use super::dialogue::Dialogue;
use super::plan::Plan;
use super::resync::{self, Effort};
use crate::support::settle;
use crate::{DeviceError, ScanError};

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

    /// Has the next page brought to where it is scanned, where the feeder does not do that by itself.
    pub(super) fn load_page(&mut self, dialogue: &mut Dialogue, capabilities: &Capabilities) -> Result<(), ScanError> {
        if self.is_loaded || !capabilities.loads_pages {
            return Ok(());
        }
        dialogue.channel.arm_abort_settling(resync::while_feeding(), settle::SHEET)?;
        (self.has_sheet, self.is_moving) = (true, true);
        let accepted = dialogue.one_byte(PF, dialogue.channel.timeouts.feed)?;
        (self.is_loaded, self.is_moving) = (accepted, false);
        if accepted {
            return Ok(());
        }
        let status = dialogue.device_status(capabilities.dialect)?;
        Err(status.problem.unwrap_or(DeviceError::Feeder).into())
    }

    /// Has the page that was scanned put out, or its sheet turned over, where the scanner waits to be told: only then it says whether
    /// there is another (docs/esc-i.md, "Level D7 with extended commands").
    pub(super) fn eject_page(&mut self, dialogue: &mut Dialogue) -> Result<(), ScanError> {
        dialogue.channel.arm_abort_settling(resync::while_feeding(), settle::SHEET)?;
        self.is_moving = true;
        let accepted = dialogue.one_byte(FF, dialogue.channel.timeouts.feed)?;
        self.is_moving = false;
        if !accepted {
            log::info!("the feeder ejects no page");
        }
        // Of a sheet that was turned over the back is still to come.
        self.has_sheet = self.has_page_ahead();
        Ok(())
    }

    /// Ends the batch: ejects the sheet in the path, takes the feeder out of use.
    pub(super) fn end(self, dialogue: &mut Dialogue, effort: Effort) -> Result<(), ScanError> {
        let timeouts = dialogue.channel.timeouts;
        if !dialogue.in_sync {
            if self.has_sheet {
                let answer_due = if self.is_moving { timeouts.rest_of_block } else { timeouts.silence };
                eject_unsure(dialogue, answer_due)?;
            }
            return dialogue.resync(effort);
        }
        if self.has_sheet {
            // Should this be cut off, nobody is to say FF again: with no sheet in the path some take one in, and put it out. One that is
            // left there is put out by the next that is loaded.
            dialogue.channel.arm_abort_settling(resync::while_setting(1), settle::SHEET)?;
            if !dialogue.one_byte(FF, timeouts.feed)? {
                // It is stuck, or out already.
                log::info!("the feeder ejects no sheet");
            }
        }
        dialogue.reset(timeouts.reply)
    }
}

/// FF to a scanner that may have something to send first, or may not listen: before the ESC @ of getting in sync, after which
/// it would not eject the sheet any more.
fn eject_unsure(dialogue: &mut Dialogue, answer_due: Duration) -> Result<(), ScanError> {
    let timeouts = dialogue.channel.timeouts;
    dialogue.channel.stop_reading()?;
    dialogue.receive_unsure(answer_due)?;
    dialogue.drain_within(timeouts.silence)?;
    if dialogue.send_unsure(&[FF.byte])? {
        dialogue.receive_unsure(timeouts.feed)?;
    }
    Ok(())
}

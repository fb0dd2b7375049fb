//! The document feeder: a stack of sheets, and the one position in the paper path where a sheet can be
//! (docs/esc-i.md, "The feeder").
//!
//! ```text
//!            load                     page read to its end, or cancelled
//!   Empty ─────────▶ Loaded (front) ─────────────────────────────────────▶ Done (front)
//!     ▲                                                                    │ load, duplex: it is turned
//!     │ eject; or a load, which takes the next sheet                       ▼
//!     └──────────────────────────────── Done (back) ◀──────────── Loaded (back)
//! ```
//!
//! A stack that was told to be empty is put in again before the next ESC @, as a person would; so is what was jammed taken out.

use std::sync::Arc;

use crate::glass::Glass;
use crate::panel::{Panel, Trouble};

/// A side of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that is scanned first.
    Front,
    Back,
}

/// A sheet of paper: what is on its sides.
#[derive(Debug, Clone)]
pub struct Sheet {
    pub front: Glass,
    pub back: Glass,
}

impl Sheet {
    /// So many sheets with their numbers on both sides, from 1.
    pub fn numbered(count: u32) -> Vec<Sheet> {
        let sheet = |number| Sheet {
            front: Glass::numbered_sheet(number, Side::Front),
            back: Glass::numbered_sheet(number, Side::Back),
        };
        (1..=count).map(sheet).collect()
    }

    /// Pictures as sheets: each a front, or in pairs front and back. A side without a picture is white.
    pub fn of_pictures(pictures: Vec<Glass>, duplex: bool) -> Vec<Sheet> {
        let mut pictures = pictures.into_iter();
        let mut sheets = Vec::new();
        while let Some(front) = pictures.next() {
            let back = if duplex { pictures.next() } else { None };
            sheets.push(Sheet { front, back: back.unwrap_or_else(Glass::white) });
        }
        sheets
    }
}

/// Where the sheet in the path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Empty,
    Loaded(usize, Side),
    Done(usize, Side),
}

#[derive(Debug)]
pub(super) struct Feeder {
    sheets: Arc<[Sheet]>,
    /// The sheet on top of the stack.
    next: usize,
    position: Position,
    trouble: Option<Trouble>,
    /// Every page has to be put out before the next: then FF turns a sheet, and what is left of another job is put out
    /// when the next begins.
    ejects_each: bool,
    /// The host was told that there is no more paper.
    told_empty: bool,
}

impl Feeder {
    pub(super) fn new(sheets: Vec<Sheet>, ejects_each: bool) -> Feeder {
        let (position, trouble, told_empty) = (Position::Empty, None, false);
        Feeder { sheets: sheets.into(), next: 0, position, trouble, ejects_each, told_empty }
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// Whether no page can be had any more. With a back still to come this says so too, as paper sensors do; where pages are
    /// put out one by one, it is told when the last was.
    pub(super) fn is_empty(&self) -> bool {
        if self.ejects_each && self.position != Position::Empty {
            return false;
        }
        self.next >= self.sheets.len() && !matches!(self.position, Position::Loaded(..))
    }

    /// The host was told so, if it is.
    pub(super) fn tell(&mut self) {
        self.told_empty |= self.is_empty();
    }

    /// Brings the next page to where it is scanned. False: there is none, or it went wrong.
    pub(super) fn load(&mut self, duplex: bool, panel: &Panel) -> bool {
        if self.trouble.is_some() {
            return false;
        }
        match self.position {
            Position::Loaded(..) => return true,
            Position::Done(..) if self.ejects_each => return false,
            Position::Done(sheet, Side::Front) if duplex => {
                self.position = Position::Loaded(sheet, Side::Back);
                return true;
            }
            Position::Empty | Position::Done(..) => self.position = Position::Empty,
        }
        if self.next >= self.sheets.len() {
            return false;
        }
        let sheet = self.next;
        self.next += 1;
        self.trouble = panel.take_feeder_trouble(sheet + 1);
        if self.trouble.is_none() {
            self.position = Position::Loaded(sheet, Side::Front);
        }
        self.trouble.is_none()
    }

    /// What is on the page that is ready to be scanned.
    pub(super) fn page(&self) -> Option<&Glass> {
        match self.position {
            Position::Loaded(sheet, Side::Front) => Some(&self.sheets[sheet].front),
            Position::Loaded(sheet, Side::Back) => Some(&self.sheets[sheet].back),
            Position::Empty | Position::Done(..) => None,
        }
    }

    /// The number of the sheet whose front is ready to be scanned, from 1.
    pub(super) fn front_number(&self) -> Option<usize> {
        if let Position::Loaded(sheet, Side::Front) = self.position { Some(sheet + 1) } else { None }
    }

    /// The page was scanned, or as much of it as was wanted.
    pub(super) fn page_is_done(&mut self) {
        if let Position::Loaded(sheet, side) = self.position {
            self.position = Position::Done(sheet, side);
        }
    }

    pub(super) fn jam(&mut self) {
        self.trouble = Some(Trouble::Jam);
    }

    /// FF. Without a sheet in the path one is taken in and put out (GT95 48). False while something is wrong.
    pub(super) fn eject(&mut self, duplex: bool) -> bool {
        if self.trouble.is_some() {
            return false;
        }
        self.position = match self.position {
            Position::Done(sheet, Side::Front) if self.ejects_each && duplex => Position::Loaded(sheet, Side::Back),
            Position::Empty if !self.ejects_each => {
                self.next = (self.next + 1).min(self.sheets.len());
                Position::Empty
            }
            _ => Position::Empty,
        };
        true
    }

    /// Another job: a sheet that is still in the path is not turned any more.
    pub(super) fn begin_job(&mut self) {
        if self.ejects_each {
            self.position = Position::Empty;
        }
        if let Position::Done(sheet, _) | Position::Loaded(sheet, Side::Back) = self.position {
            self.position = Position::Done(sheet, Side::Back);
        }
    }

    /// A person was here: took out what was stuck, put the stack in again if it was known to be empty.
    pub(super) fn attend(&mut self) {
        if self.trouble.take().is_some() {
            self.position = Position::Empty;
        }
        if self.told_empty {
            self.refill();
        }
        self.begin_job();
    }

    /// The whole stack is put in again.
    pub(super) fn refill(&mut self) {
        (self.next, self.position, self.told_empty) = (0, Position::Empty, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feeder(sheets: u32) -> Feeder {
        Feeder::new(Sheet::numbered(sheets), false)
    }

    #[test]
    fn sheets_come_one_by_one_until_there_are_none() {
        let (mut feeder, panel) = (feeder(2), Panel::default());
        for number in 1..=2 {
            assert!(!feeder.is_empty() && feeder.load(false, &panel));
            assert_eq!(feeder.front_number(), Some(number));
            feeder.page_is_done();
        }
        assert!(feeder.is_empty() && !feeder.load(false, &panel));
    }

    #[test]
    fn in_duplex_a_sheet_is_turned_and_counts_as_the_last_all_the_same() {
        let (mut feeder, panel) = (feeder(1), Panel::default());
        assert!(feeder.load(true, &panel));
        feeder.page_is_done();
        assert!(feeder.is_empty() && feeder.load(true, &panel));
        assert!(feeder.page().is_some() && feeder.front_number().is_none());
        feeder.page_is_done();
        assert!(!feeder.load(true, &panel));
    }

    #[test]
    fn an_eject_without_a_sheet_in_the_path_takes_one() {
        let (mut feeder, panel) = (feeder(2), Panel::default());
        assert!(feeder.eject(false) && feeder.load(false, &panel));
        assert_eq!(feeder.front_number(), Some(2));
        assert!(feeder.eject(false) && feeder.is_empty());
    }

    #[test]
    fn where_each_page_is_put_out_the_next_waits_for_that_and_a_sheet_is_turned_by_it() {
        let (mut feeder, panel) = (Feeder::new(Sheet::numbered(1), true), Panel::default());
        assert!(feeder.load(true, &panel));
        feeder.page_is_done();
        assert!(!feeder.load(true, &panel) && !feeder.is_empty());
        assert!(feeder.eject(true) && feeder.load(true, &panel));
        assert!(feeder.page().is_some() && feeder.front_number().is_none());
        feeder.page_is_done();
        assert!(!feeder.is_empty() && feeder.eject(true) && feeder.is_empty());
    }

    #[test]
    fn a_stack_is_put_in_again_once_its_end_was_told() {
        let (mut feeder, panel) = (feeder(1), Panel::default());
        assert!(feeder.load(false, &panel));
        feeder.page_is_done();
        feeder.attend();
        assert!(feeder.is_empty(), "nobody knows yet");
        feeder.tell();
        feeder.attend();
        assert!(feeder.load(false, &panel));
        assert_eq!(feeder.front_number(), Some(1));
    }

    #[test]
    fn trouble_at_a_sheet_happens_once_and_costs_that_sheet() {
        let (mut feeder, panel) = (feeder(2), Panel::default());
        panel.change(|conditions| conditions.double_feed_at = Some(1));
        assert!(!feeder.load(false, &panel) && feeder.trouble() == Some(Trouble::DoubleFeed));
        assert!(!feeder.load(false, &panel) && !feeder.eject(false));
        feeder.attend();
        assert!(feeder.load(false, &panel));
        assert_eq!(feeder.front_number(), Some(2));
    }
}

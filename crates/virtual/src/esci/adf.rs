//! The scanner's paper path as the host drives it: PF and FF, which page a scan begins on, and what happens to it.

use super::feeder::{Sheet, Side};
use super::{ACK, Esci, FF, NAK};
use crate::glass::{Glass, Laid};

impl Esci {
    /// The feeder was chosen with ESC e or FS W.
    pub(super) fn uses_feeder(&self) -> bool {
        self.feeder.is_some() && matches!(self.settings.option, 1 | 2)
    }

    /// Settings have changed: a feeder that is chosen anew begins with a new sheet.
    pub(super) fn option_was(&mut self, before: u8) {
        if let (Some(feeder), true) = (&mut self.feeder, before != self.settings.option) {
            feeder.begin_job();
        }
    }

    /// ESC @: a person has been at the feeder, if there was need.
    pub(super) fn attend_feeder(&mut self) {
        if let Some(feeder) = &mut self.feeder {
            feeder.attend();
        }
    }

    /// What a person did since the host's last command.
    pub(super) fn look_at_the_tray(&mut self) {
        let Some(feeder) = &mut self.feeder else { return };
        if self.panel.conditions().load {
            self.panel.change(|conditions| conditions.load = false);
            feeder.refill();
        }
    }

    /// The host asks how things are: if that says "no paper", it knows.
    pub(super) fn tell_tray(&mut self) {
        if self.uses_feeder() {
            if let Some(feeder) = &mut self.feeder {
                feeder.tell();
            }
        }
    }

    fn feeder_is_open(&self) -> bool {
        let conditions = self.panel.conditions();
        conditions.feeder_open || conditions.tray_out
    }

    /// PF: the next page to where it is scanned.
    pub(super) fn load_page(&mut self) {
        let good = self.capabilities.is_page_type() && self.uses_feeder() && self.try_to_load();
        self.reply(&[if good { ACK } else { NAK }]);
    }

    fn try_to_load(&mut self) -> bool {
        let duplex = self.settings.option == 2;
        let open = self.feeder_is_open();
        let panel = self.panel.clone();
        self.feeder.as_mut().is_some_and(|feeder| !open && feeder.load(duplex, &panel))
    }

    /// FF: whatever is in the path out of it.
    pub(super) fn eject_page(&mut self) {
        let (open, duplex) = (self.feeder_is_open(), self.settings.option == 2);
        let can = self.capabilities.level.has(FF) && self.uses_feeder();
        let good = can && self.feeder.as_mut().is_some_and(|feeder| !open && feeder.eject(duplex));
        self.reply(&[if good { ACK } else { NAK }]);
    }

    /// Before a scan from the feeder: a page is where it must be. Without PF the scanner takes it in by itself.
    pub(super) fn has_page(&mut self) -> bool {
        if !self.capabilities.is_page_type() {
            self.try_to_load();
        }
        !self.feeder_is_open() && self.feeder.as_ref().is_some_and(|feeder| feeder.page().is_some())
    }

    /// What is scanned: the page in the feeder, or what lies on the glass.
    pub(super) fn what_is_scanned(&self) -> Glass {
        let page = self.feeder.as_ref().filter(|_| self.uses_feeder()).and_then(|feeder| feeder.page());
        page.unwrap_or(&self.glass).clone()
    }

    /// Whether the page that is scanned now gets stuck on its way.
    pub(super) fn page_jams(&mut self) -> bool {
        let sheet = self.feeder.as_ref().filter(|_| self.uses_feeder()).and_then(|feeder| feeder.front_number());
        self.panel.take_jam(sheet)
    }

    pub(super) fn page_is_done(&mut self, jammed: bool) {
        if !self.uses_feeder() {
            return;
        }
        if let Some(feeder) = &mut self.feeder {
            feeder.page_is_done();
            if jammed {
                feeder.jam();
            }
        }
    }
}

impl Sheet {
    /// The same sheet of a given size, as a feeder lays it.
    pub(super) fn laid(self, laid: Laid) -> Sheet {
        Sheet { front: self.front.laid(laid), back: self.back.laid(laid) }
    }
}

impl Glass {
    /// A sheet with its number on it, large; its sides differ.
    pub fn numbered_sheet(number: u32, side: Side) -> Glass {
        Glass::label(&format!("SHEET {number}"), if side == Side::Front { "FRONT" } else { "BACK" })
    }
}

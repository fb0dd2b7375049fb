//! What a person does at a scanner: opens its cover, presses its button, uses it from elsewhere; and what
//! breaks in it. A [`Panel`] is that person's hand on a scanner that is plugged in somewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::feeder::{Feeder, Trouble};
use super::traits::Traits;

/// For how long the scanner is in use from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Busy {
    /// It is not.
    #[default]
    No,
    /// Until told otherwise.
    Always,
    /// For so long after it was plugged in.
    For(Duration),
}

/// What is the matter with a scanner. The default: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// How long the lamp warms up after plugging in. A scan started meanwhile is refused.
    pub warm_up: Duration,
    /// In use from elsewhere: "not ready".
    pub busy: Busy,
    /// The cover is open.
    pub cover_open: bool,
    /// Paper is jammed.
    pub jam: bool,
    /// The lamp does not light: starting a scan is a fatal error, until ESC @, and then again.
    pub lamp_dead: bool,
    /// The last button pressed, 1 to 3; 0: none. Told once.
    pub button: u8,
    /// Fatal error in mid-scan, at this byte of image data; happens once.
    pub fatal_at: Option<u64>,
    /// The cancel button is pressed in mid-scan, at this byte of image data; happens once. FS scans only.
    pub cancel_at: Option<u64>,
    /// The feeder's cover is open.
    pub feeder_open: bool,
    /// The feeder's tray is not in place.
    pub tray_out: bool,
    /// The sheet (the first is 1) that jams in the middle of its front; happens once.
    pub jam_at: Option<usize>,
    /// The sheet that is taken in together with another; happens once.
    pub double_feed_at: Option<usize>,
    /// The sheet at which somebody opens the feeder's cover; happens once.
    pub open_at: Option<usize>,
    /// Somebody puts the whole stack into the feeder again.
    pub load: bool,
    /// The button is pressed so long after plugging in.
    pub button_after: Duration,
}

/// A hand on a scanner. Clones are hands on the same one.
///
/// ```
/// use usbscan_virtual::{Esci, VirtualBus};
///
/// let scanner = Esci::default();
/// let panel = scanner.panel();
/// VirtualBus::new().plug(Box::new(scanner));
/// panel.change(|conditions| conditions.cover_open = true);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Panel {
    conditions: Arc<Mutex<Conditions>>,
}

impl Panel {
    /// A hand on a scanner that is in these conditions.
    pub fn new(conditions: Conditions) -> Panel {
        Panel { conditions: Arc::new(Mutex::new(conditions)) }
    }

    /// Changes what is the matter. Takes effect with the next thing the host asks.
    pub fn change(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.conditions.lock());
    }

    /// What is the matter now.
    pub fn conditions(&self) -> Conditions {
        self.conditions.lock().clone()
    }

    /// Presses a button: 1 to 3.
    pub fn press(&self, button: u8) {
        self.change(|conditions| (conditions.button, conditions.button_after) = (button, Duration::ZERO));
    }

    /// What [`Panel::obey`] understands.
    pub const ORDERS: &str = "button 1|2|3, load, cover open|closed, feeder open|closed";

    /// Does what a line says: `button 2`, `load`, `cover open`, `feeder closed`. False: it says nothing that can be done.
    pub fn obey(&self, line: &str) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["button", "1"] => self.press(1),
            ["button", "2"] => self.press(2),
            ["button", "3"] => self.press(3),
            ["load"] => self.load(),
            ["cover", state @ ("open" | "closed")] => self.change(|now| now.cover_open = state == "open"),
            ["feeder", state @ ("open" | "closed")] => self.change(|now| now.feeder_open = state == "open"),
            _ => return false,
        }
        true
    }

    /// Puts the whole stack of sheets into the feeder again.
    pub fn load(&self) {
        self.change(|conditions| conditions.load = true);
    }

    /// The button that was pressed by now, which is told once.
    pub(super) fn take_button(&self, up: Duration) -> u8 {
        let mut conditions = self.conditions.lock();
        if up < conditions.button_after { 0 } else { std::mem::take(&mut conditions.button) }
    }

    /// What happens when the feeder takes this sheet, if anything does.
    pub(super) fn take_feeder_trouble(&self, sheet: usize) -> Option<Trouble> {
        let mut conditions = self.conditions.lock();
        if conditions.double_feed_at == Some(sheet) {
            conditions.double_feed_at = None;
            return Some(Trouble::DoubleFeed);
        }
        if conditions.open_at == Some(sheet) {
            conditions.open_at = None;
            return Some(Trouble::CoverOpen);
        }
        None
    }

    /// Whether this sheet jams.
    pub(super) fn take_jam(&self, sheet: Option<usize>) -> bool {
        let mut conditions = self.conditions.lock();
        let jams = sheet.is_some() && conditions.jam_at == sheet;
        if jams {
            conditions.jam_at = None;
        }
        jams
    }
}

/// The status of a scanner at one moment, in the forms in which it is told (docs/esc-i.md, "Handshake" and
/// "Levels and dialects").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub fatal: bool,
    pub busy: bool,
    pub warming: bool,
    pub cover_open: bool,
    pub jam: bool,
    /// Byte 1 of FS F and ESC f, and byte 10 of FS F.
    pub feeder: u8,
    pub feeder_more: u8,
    /// Bytes 2 and 9 of FS F; the first is byte 6 of ESC f.
    pub transparency: (u8, u8),
    /// Any option unit is there.
    pub has_unit: bool,
}

/// What of the option units is in force: as ESC e has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Units<'a> {
    pub option: u8,
    pub feeder: Option<&'a Feeder>,
    pub transparency: bool,
}

impl Standing {
    pub(super) fn new(
        conditions: &Conditions,
        units: Units<'_>,
        fatal: bool,
        plugged: Instant,
        now: Instant,
    ) -> Standing {
        let up = now.saturating_duration_since(plugged);
        Standing {
            fatal,
            busy: match conditions.busy {
                Busy::No => false,
                Busy::Always => true,
                Busy::For(time) => up < time,
            },
            warming: up < conditions.warm_up,
            cover_open: conditions.cover_open,
            jam: conditions.jam,
            feeder: feeder_bits(conditions, units),
            feeder_more: feeder_more_bits(conditions, units),
            transparency: transparency_bits(units),
            has_unit: units.feeder.is_some() || units.transparency,
        }
    }

    /// Whether the feeder is in use and has an error, an empty tray included.
    fn feeder_error(&self) -> bool {
        (self.feeder | self.feeder_more) & 0x20 != 0
    }

    /// Whether a scan can't be started.
    pub(super) fn refuses_a_scan(&self) -> bool {
        self.has_error() || self.busy || self.warming
    }

    fn has_error(&self) -> bool {
        self.fatal || self.cover_open || self.jam || self.feeder_error()
    }

    /// The status byte of information blocks, without its bit for FS commands.
    pub(super) fn status(&self) -> u8 {
        u8::from(self.has_error()) << 7 | u8::from(self.busy) << 6 | u8::from(self.has_unit) << 4
    }

    /// The same for a refused scan: a scanner that warms up says "fatal" then, as lazy ones do.
    pub(super) fn refusal(&self) -> u8 {
        self.status() | u8::from(self.warming) << 7
    }

    /// Byte 0 of FS F.
    pub(super) fn fs_main(&self) -> u8 {
        u8::from(self.has_error()) << 7 | u8::from(self.busy) << 6 | u8::from(self.warming) << 1
    }

    /// Byte 0 of ESC f.
    fn esc_main(&self) -> u8 {
        u8::from(self.has_error()) << 7 | u8::from(self.warming) << 1 | 0x01
    }

    /// ESC f, the form of 42 bytes.
    pub(super) fn extended(&self, traits: &Traits) -> Vec<u8> {
        let mut bytes = vec![0; 42];
        bytes[0] = self.esc_main() | traits.kind_bits();
        bytes[1] = self.feeder | self.feeder_more & 0x30;
        bytes[6] = self.transparency.0;
        bytes[11] = self.body();
        for (at, (width, height)) in [2, 7, 12].into_iter().zip(traits.esc_areas()) {
            bytes[at..at + 2].copy_from_slice(&(width as u16).to_le_bytes());
            bytes[at + 2..at + 4].copy_from_slice(&(height as u16).to_le_bytes());
        }
        bytes[26..].copy_from_slice(&traits.padded_name());
        bytes
    }

    /// Byte 11 of ESC f, byte 3 of FS F: the main body's paper path. Type 3: it reports these itself.
    pub(super) fn body(&self) -> u8 {
        if !self.cover_open && !self.jam {
            return 0;
        }
        0xc0 | 0x20 | u8::from(self.jam) << 2 | u8::from(self.cover_open) << 1
    }
}

/// Installed, in use, and what is wrong with it; that is told only while it is in use.
fn feeder_bits(conditions: &Conditions, units: Units<'_>) -> u8 {
    let Some(feeder) = units.feeder else { return 0 };
    if !matches!(units.option, 1 | 2) {
        return 0x80;
    }
    let trouble = |trouble| u8::from(feeder.trouble() == Some(trouble));
    let wrong = u8::from(feeder.is_empty()) << 3
        | trouble(Trouble::Jam) << 2
        | (trouble(Trouble::CoverOpen) | u8::from(conditions.feeder_open)) << 1;
    0xc0 | wrong | u8::from(wrong != 0) << 5 | u8::from(units.option == 2)
}

fn feeder_more_bits(conditions: &Conditions, units: Units<'_>) -> u8 {
    let Some(feeder) = units.feeder else { return 0 };
    if !matches!(units.option, 1 | 2) {
        return 0x80;
    }
    let double = feeder.trouble() == Some(Trouble::DoubleFeed);
    let wrong = u8::from(double) << 4 | u8::from(conditions.tray_out) << 1;
    0xc0 | wrong | u8::from(wrong != 0) << 5
}

fn transparency_bits(units: Units<'_>) -> (u8, u8) {
    if !units.transparency {
        return (0, 0);
    }
    let enabled = |option| 0x80 | u8::from(units.option == option) << 6;
    (enabled(1), enabled(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_does_what_a_line_says() {
        let panel = Panel::default();
        for line in ["button 3", "load", "cover open", "feeder open"] {
            assert!(panel.obey(line), "{line}");
        }
        let now = panel.conditions();
        assert!(now.button == 3 && now.load && now.cover_open && now.feeder_open);
        assert!(panel.obey(" cover  closed ") && !panel.conditions().cover_open);
        for line in ["", "button", "button 4", "load 3", "cover ajar", "quit"] {
            assert!(!panel.obey(line), "{line}");
        }
    }

    #[test]
    fn a_button_is_told_once_and_not_before_its_time() {
        let button_after = Duration::from_secs(1);
        let panel = Panel::new(Conditions { button: 2, button_after, ..Conditions::default() });
        assert_eq!([0, 999, 1000, 1001].map(|ms| panel.take_button(Duration::from_millis(ms))), [0, 0, 2, 0]);
    }
}

//! What happens at a scanner itself: a person opens its cover, presses its button, uses it from elsewhere; something
//! breaks. A [`Panel`] changes that while the scanner is plugged in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What goes wrong in a feeder's paper path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Jam,
    DoubleFeed,
    CoverOpen,
}

/// For how long the scanner is in use from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Busy {
    #[default]
    No,
    /// Until told otherwise.
    Always,
    /// For so long after it was plugged in.
    For(Duration),
}

/// The state of a scanner's mechanism and surroundings. The default: nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// How long the lamp warms up after plugging in. A scan started meanwhile is refused.
    pub warm_up: Duration,
    /// In use from elsewhere: "not ready".
    pub busy: Busy,
    pub cover_open: bool,
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
    /// The sheet at which the feeder's cover is opened; happens once.
    pub open_at: Option<usize>,
    /// The whole stack is put into the feeder again.
    pub load: bool,
    /// The button is pressed so long after plugging in.
    pub button_after: Duration,
    /// Answers that wait for something to move come so late: to FF and FS G, and to FS F and ESC ) behind a page.
    pub late: Duration,
}

/// The control panel of a scanner, to keep when it is plugged in. Clones belong to the same scanner.
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
    /// Of a scanner in these conditions.
    pub fn new(conditions: Conditions) -> Panel {
        Panel { conditions: Arc::new(Mutex::new(conditions)) }
    }

    /// Changes the conditions. Takes effect with the next command of the host.
    pub fn change(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.conditions.lock());
    }

    pub fn conditions(&self) -> Conditions {
        self.conditions.lock().clone()
    }

    /// Presses a button: 1 to 3.
    pub fn press(&self, button: u8) {
        self.change(|conditions| (conditions.button, conditions.button_after) = (button, Duration::ZERO));
    }

    /// The commands that [`Panel::execute`] understands.
    pub const COMMANDS: &str = "button 1|2|3, load, cover open|closed, feeder open|closed";

    /// Runs a command: `button 2`, `load`, `cover open`, `feeder closed`. False: there is no such command.
    pub fn execute(&self, line: &str) -> bool {
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

    /// When a button is going to be pressed, if one is.
    pub(crate) fn button_due(&self, plugged: Instant) -> Option<Instant> {
        let conditions = self.conditions();
        (conditions.button > 0).then(|| plugged + conditions.button_after)
    }

    /// The button that was pressed by now, which is told once.
    pub(crate) fn take_button(&self, up: Duration) -> u8 {
        let mut conditions = self.conditions.lock();
        if up < conditions.button_after { 0 } else { std::mem::take(&mut conditions.button) }
    }

    /// What happens when the feeder takes this sheet, if anything does.
    pub(crate) fn take_feeder_trouble(&self, sheet: usize) -> Option<Trouble> {
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

    pub(crate) fn take_jam(&self, sheet: Option<usize>) -> bool {
        let mut conditions = self.conditions.lock();
        let jams = sheet.is_some() && conditions.jam_at == sheet;
        if jams {
            conditions.jam_at = None;
        }
        jams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_runs_the_commands_of_a_line() {
        let panel = Panel::default();
        for line in ["button 3", "load", "cover open", "feeder open"] {
            assert!(panel.execute(line), "{line}");
        }
        let now = panel.conditions();
        assert!(now.button == 3 && now.load && now.cover_open && now.feeder_open);
        assert!(panel.execute(" cover  closed ") && !panel.conditions().cover_open);
        for line in ["", "button", "button 4", "load 3", "cover ajar", "quit"] {
            assert!(!panel.execute(line), "{line}");
        }
    }

    #[test]
    fn a_button_is_told_once_and_not_before_its_time() {
        let button_after = Duration::from_secs(1);
        let panel = Panel::new(Conditions { button: 2, button_after, ..Conditions::default() });
        assert_eq!([0, 999, 1000, 1001].map(|ms| panel.take_button(Duration::from_millis(ms))), [0, 0, 2, 0]);
    }
}

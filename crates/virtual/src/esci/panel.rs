//! What a person does at a scanner: opens its cover, presses its button, uses it from elsewhere; and what
//! breaks in it. A [`Panel`] is that person's hand on a scanner that is plugged in somewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

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
}

/// A hand on a scanner. Clones are hands on the same one.
///
/// ```
/// use virtual_scanner::{Esci, VirtualBus};
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

    /// The button that was pressed, which is told once.
    pub(super) fn take_button(&self) -> u8 {
        std::mem::take(&mut self.conditions.lock().button)
    }
}

/// The status of a scanner at one moment, in the forms in which it is told (esc-i, sections 1.4, 2.3, 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub fatal: bool,
    pub busy: bool,
    pub warming: bool,
    pub cover_open: bool,
    pub jam: bool,
}

impl Standing {
    pub(super) fn new(conditions: &Conditions, fatal: bool, plugged: Instant, now: Instant) -> Standing {
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
        }
    }

    /// Whether a scan can't be started.
    pub(super) fn refuses_a_scan(&self) -> bool {
        self.has_error() || self.busy || self.warming
    }

    fn has_error(&self) -> bool {
        self.fatal || self.cover_open || self.jam
    }

    /// The status byte of information blocks, without its bit for FS commands.
    pub(super) fn status(&self) -> u8 {
        u8::from(self.has_error()) << 7 | u8::from(self.busy) << 6
    }

    /// The same for a refused scan: a scanner that warms up says "fatal" then, as lazy ones do.
    pub(super) fn refusal(&self) -> u8 {
        self.status() | u8::from(self.warming) << 7
    }

    /// Byte 0 of FS F.
    pub(super) fn fs_main(&self) -> u8 {
        self.status() | u8::from(self.warming) << 1
    }

    /// Byte 0 of ESC f.
    pub(super) fn esc_main(&self) -> u8 {
        u8::from(self.has_error()) << 7 | u8::from(self.warming) << 1 | 0x01
    }

    /// Byte 11 of ESC f, byte 3 of FS F: the main body's paper path. Type 3: it reports these itself.
    pub(super) fn body(&self) -> u8 {
        if !self.cover_open && !self.jam {
            return 0;
        }
        0xc0 | 0x20 | u8::from(self.jam) << 2 | u8::from(self.cover_open) << 1
    }
}

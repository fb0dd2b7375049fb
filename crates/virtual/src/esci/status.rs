//! The status of an ESC/I scanner at one moment, in the forms in which ESC F, ESC f and FS F tell it (docs/esc-i.md,
//! "Handshake" and "Levels and dialects").

use std::time::Instant;

use super::capabilities::{Capabilities, Family};
use super::feeder::Feeder;
use crate::panel::{Busy, Conditions, Trouble};

/// The status at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StatusFlags {
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
    pub family: Family,
}

/// What of the option units is in force: as ESC e has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Units<'a> {
    pub family: Family,
    pub option: u8,
    pub feeder: Option<&'a Feeder>,
    pub transparency: bool,
}

impl StatusFlags {
    pub(super) fn new(
        conditions: &Conditions,
        units: Units<'_>,
        fatal: bool,
        plugged: Instant,
        now: Instant,
    ) -> StatusFlags {
        let up = now.saturating_duration_since(plugged);
        StatusFlags {
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
            family: units.family,
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
    pub(super) fn byte(&self) -> u8 {
        u8::from(self.has_error()) << 7 | u8::from(self.busy) << 6 | u8::from(self.has_unit) << 4
    }

    /// The same for a refused scan: a scanner that warms up says "fatal" then, as lazy ones do.
    pub(super) fn refusal(&self) -> u8 {
        self.byte() | u8::from(self.warming) << 7
    }

    /// Byte 0 of FS F.
    pub(super) fn fs_main(&self) -> u8 {
        // All-in-ones say at all times that warming up can be ended.
        let can_be_ended = u8::from(self.family == Family::AllInOne);
        u8::from(self.has_error()) << 7 | u8::from(self.busy) << 6 | u8::from(self.warming) << 1 | can_be_ended
    }

    /// Byte 0 of ESC f.
    fn esc_main(&self) -> u8 {
        u8::from(self.has_error()) << 7 | u8::from(self.warming) << 1 | 0x01
    }

    /// ESC f, the form of 42 bytes.
    pub(super) fn extended(&self, capabilities: &Capabilities) -> Vec<u8> {
        let mut bytes = vec![0; 42];
        bytes[0] = self.esc_main() | capabilities.kind_bits();
        bytes[1] = self.feeder | self.feeder_more & 0x30;
        bytes[6] = self.transparency.0;
        bytes[11] = self.body();
        for (at, (width, height)) in [2, 7, 12].into_iter().zip(capabilities.esc_areas()) {
            bytes[at..at + 2].copy_from_slice(&(width as u16).to_le_bytes());
            bytes[at + 2..at + 4].copy_from_slice(&(height as u16).to_le_bytes());
        }
        bytes[26..].copy_from_slice(&capabilities.padded_name());
        bytes
    }

    /// Byte 11 of ESC f, byte 3 of FS F: the main body's paper path. Type 3: it reports these itself.
    pub(super) fn body(&self) -> u8 {
        if !self.cover_open && !self.jam {
            return if self.family == Family::AllInOne { 0xc0 } else { 0 };
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
    if units.family == Family::AllInOne {
        return 0;
    }
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

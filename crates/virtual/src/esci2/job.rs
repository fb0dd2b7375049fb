//! From TRDT on: sheets, their sides, and the image data of these, a chunk a request (docs/esc-i2.md).
//!
//! A sheet that is scanned on both sides in one pass gives a chunk of its front and one of its back by turns.

use super::image::Image;
use super::settings::{Chunks, From, JpegSetup, Settings};
use super::words::{integer, number};
use crate::glass::{Glass, GlassError};

/// Lines that the next side lies further down on the chart than the one before, in millimetres: every side of a stack
/// looks different.
const SHIFT_MM: u32 = 10;
/// Sides after which that begins anew.
const SHIFTS: u32 = 12;

/// How many lines further down the how-manieth side of a feeder's stack lies.
pub(super) fn shift(side: u32, dpi: u32) -> u32 {
    (side % SHIFTS) * SHIFT_MM * dpi * 10 / 254
}

/// What an IMG is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    /// Tokens, and perhaps data.
    Data { tokens: String, data: Vec<u8> },
    /// The same; and that was the last one.
    Last { tokens: String },
    /// No sheet is there yet: the next one has to be loaded.
    NextSheet,
}

#[derive(Debug)]
struct Side {
    is_back: bool,
    image: Image,
    started: bool,
}

#[derive(Debug)]
pub(super) struct Job {
    settings: Settings,
    jpeg: JpegSetup,
    chunks: Chunks,
    sides: Vec<Side>,
    turn: usize,
    /// Images that are still wanted; `None`: all there are.
    left: Option<u32>,
    /// The host has asked once for a sheet that was not there yet.
    pub asked: bool,
    /// Bytes of image data that went.
    pub sent: u64,
}

impl Job {
    pub(super) fn new(settings: Settings, jpeg: JpegSetup, chunks: Chunks) -> Job {
        let left = match settings.from {
            From::Flatbed => Some(1),
            From::Feeder { .. } => Some(settings.images).filter(|images| *images > 0),
        };
        Job { settings, jpeg, chunks, sides: Vec::new(), turn: 0, left, asked: false, sent: 0 }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A sheet lies before the sensor; `first`: how many sides were there before, `None` on the glass.
    pub(super) fn load(&mut self, glass: &Glass, first: Option<u32>) -> Result<(), GlassError> {
        let sides = if self.settings.from == (From::Feeder { duplex: true }) { 2 } else { 1 };
        for side in 0..sides {
            let shift = first.map_or(0, |first| shift(first + side, self.settings.dpi.1));
            let image = Image::new(glass, &self.settings, self.jpeg, shift)?;
            self.sides.push(Side { is_back: side == 1, image, started: false });
        }
        self.turn = 0;
        Ok(())
    }

    pub(super) fn next(&mut self) -> Answer {
        if self.sides.is_empty() {
            return Answer::NextSheet;
        }
        let at = self.turn % self.sides.len();
        self.turn += 1;
        let side = &mut self.sides[at];
        let most = match (side.started, self.chunks) {
            (false, Chunks { first: Some(bytes), .. }) | (_, Chunks { every: Some(bytes), .. }) => bytes,
            _ => self.settings.chunk,
        };
        let data = side.image.take(most as usize);
        let (width, height) = (integer(side.image.width()), integer(side.image.height()));
        let kind = if side.is_back { "#typIMGB" } else { "#typIMGA" };
        if data.is_empty() {
            self.sides.remove(at);
            self.left = self.left.map(|left| left.saturating_sub(1));
            self.asked = false;
            let is_over = self.sides.is_empty() && self.left == Some(0);
            let left = if is_over { format!("#lft{}", number(0)) } else { String::new() };
            let tokens = format!("#pen{width}{height}{left}{kind}");
            return if is_over { Answer::Last { tokens } } else { Answer::Data { tokens, data } };
        }
        self.sent += data.len() as u64;
        let started = std::mem::replace(&mut side.started, true);
        let dummy = integer(side.image.dummy_bytes() as u32);
        let start = if started { String::new() } else { format!("#pst{width}{dummy}{}", integer(side.image.asked())) };
        Answer::Data { tokens: format!("{start}{kind}"), data }
    }
}

//! The parameters in force: their defaults, what values each accepts, and the two forms in which they are told.
//!
//! A refused value changes nothing. What is only accepted and shown again: halftone and dither (lineart
//! is always by threshold), colour correction and its matrix, area segmentation, sharpness, speed, film,
//! lamp. The pixels that lie on the glass come back unless a gamma table or a brightness says otherwise.

use super::capabilities::{Capabilities, Level};

/// An area in pixels at the resolution in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// All parameters; names and values as in docs/esc-i.md, "Commands".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub dpi: (u32, u32),
    pub zoom: (u8, u8),
    pub area: Area,
    /// ESC C.
    pub colour: u8,
    /// ESC D: bits of a sample.
    pub depth: u8,
    /// ESC d: lines of a block; 0: line mode (ESC G), one line (FS G).
    pub block: u8,
    /// ESC Z.
    pub gamma: u8,
    /// ESC L.
    pub brightness: i8,
    /// ESC t.
    pub threshold: u8,
    /// ESC K.
    pub mirror: bool,
    /// ESC M.
    pub correction: u8,
    halftone: u8,
    segmentation: u8,
    sharpness: i8,
    speed: u8,
    film: u8,
    /// ESC e: 1 feeder or transparency unit, 2 feeder on both sides, 5 transparency unit without holder (FS W).
    pub option: u8,
    /// FS W bytes 38 to 43: lamp, double feed, auto scan, quiet, light.
    rest: [u8; 6],
}

/// A value that the device refuses with NAK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

fn accept(condition: bool) -> Result<(), Refused> {
    if condition { Ok(()) } else { Err(Refused) }
}

impl Settings {
    /// The defaults, as after ESC @.
    pub(super) fn new(capabilities: &Capabilities) -> Settings {
        let mut settings = Settings {
            dpi: (100, 100),
            zoom: (100, 100),
            area: Area { x: 0, y: 0, width: 8, height: 1 },
            colour: 0x00,
            depth: 1,
            block: 0,
            gamma: 0x01,
            brightness: 0,
            threshold: 0x80,
            mirror: false,
            correction: 0x80,
            halftone: 0x00,
            segmentation: 0,
            sharpness: 0,
            speed: 0,
            film: 0,
            option: 0,
            rest: [0; 6],
        };
        settings.reset_area(capabilities);
        settings
    }

    /// The largest area, as after a change of resolution or zoom.
    fn reset_area(&mut self, capabilities: &Capabilities) {
        let (width, height) = capabilities.esc_maximum(self.option, self.dpi, self.zoom);
        self.area = Area { x: 0, y: 0, width, height };
    }

    /// The resolution that zoom makes of the one set, to the nearest whole dpi.
    pub(super) fn effective_dpi(&self) -> (u32, u32) {
        let zoomed = |dpi: u32, zoom: u8| (dpi * u32::from(zoom) + 50) / 100;
        (zoomed(self.dpi.0, self.zoom.0), zoomed(self.dpi.1, self.zoom.1))
    }

    /// One parameter of a standard command, ESC `code`, with all of its bytes.
    pub(super) fn set(&mut self, capabilities: &Capabilities, code: u8, bytes: &[u8]) -> Result<(), Refused> {
        match (code, bytes) {
            (b'R', &[a, b, c, d]) => {
                self.set_resolution(capabilities, u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
            }
            (b'H', &[main, sub]) => {
                accept((50..=200).contains(&main) && (50..=200).contains(&sub))?;
                self.zoom = (main, sub);
                self.reset_area(capabilities);
                Ok(())
            }
            (b'A', bytes) if bytes.len() == 8 => {
                let word = |at: usize| u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
                self.set_area(capabilities, Area { x: word(0), y: word(2), width: word(4), height: word(6) })
            }
            (_, &[value]) => self.set_byte(capabilities, code, value),
            _ => Err(Refused),
        }
    }

    fn set_resolution(&mut self, capabilities: &Capabilities, main: u16, sub: u16) -> Result<(), Refused> {
        accept(capabilities.has_resolution(main, sub))?;
        self.dpi = (u32::from(main), u32::from(sub));
        self.reset_area(capabilities);
        Ok(())
    }

    /// The rules of docs/esc-i.md, "A page".
    fn set_area(&mut self, capabilities: &Capabilities, area: Area) -> Result<(), Refused> {
        let (width, height) = capabilities.esc_maximum(self.option, self.dpi, self.zoom);
        accept(area.width >= 8 && area.width % 8 == 0 && area.x + area.width <= width)?;
        accept(area.height >= 1 && area.y + area.height <= height)?;
        self.area = area;
        Ok(())
    }

    fn set_byte(&mut self, capabilities: &Capabilities, code: u8, value: u8) -> Result<(), Refused> {
        match code {
            b'C' => {
                accept(is_colour(value) && value >> 4 != 2 || value == 0x20)?;
                self.colour = value;
            }
            b'D' => {
                accept(is_depth(value))?;
                self.depth = value;
            }
            b'L' => {
                accept((least_brightness(capabilities)..=3).contains(&(value as i8)))?;
                self.brightness = value as i8;
            }
            b'Q' => {
                accept((-2..=2).contains(&(value as i8)))?;
                self.sharpness = value as i8;
            }
            b'K' => {
                accept(value <= 1)?;
                self.mirror = value == 1;
            }
            b'e' => {
                // It resets colour and area (RM 3-62).
                accept(value <= 2 && capabilities.has_option(value))?;
                self.option = value;
                self.colour = 0;
                self.reset_area(capabilities);
            }
            b'd' => self.block = value,
            b't' => self.threshold = value,
            b'B' => set_if(&mut self.halftone, value, is_halftone(value))?,
            b'Z' => set_if(&mut self.gamma, value, is_gamma(capabilities, value))?,
            b'M' => set_if(&mut self.correction, value, is_correction(value))?,
            b's' => set_if(&mut self.segmentation, value, value <= 1)?,
            b'g' => set_if(&mut self.speed, value, value <= 1)?,
            b'N' => set_if(&mut self.film, value, value <= 3)?,
            _ => return Err(Refused),
        }
        Ok(())
    }

    /// FS W: all 64 bytes at once, or nothing.
    pub(super) fn set_extended(&mut self, capabilities: &Capabilities, bytes: &[u8; 64]) -> Result<(), Refused> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let new = Settings {
            dpi: (word(0), word(4)),
            zoom: (100, 100),
            area: Area { x: word(8), y: word(12), width: word(16), height: word(20) },
            colour: bytes[24],
            depth: bytes[25],
            option: bytes[26],
            speed: bytes[27],
            block: bytes[28],
            gamma: bytes[29],
            brightness: bytes[30] as i8,
            correction: bytes[31],
            halftone: bytes[32],
            threshold: bytes[33],
            segmentation: bytes[34],
            sharpness: bytes[35] as i8,
            mirror: bytes[36] == 1,
            film: bytes[37],
            rest: [bytes[38], bytes[39], bytes[40], bytes[41], bytes[42], bytes[43]],
        };
        new.check_extended(capabilities)?;
        accept(bytes[36] <= 1)?;
        *self = new;
        Ok(())
    }

    fn check_extended(&self, capabilities: &Capabilities) -> Result<(), Refused> {
        accept(capabilities.has_fs_resolution(self.dpi))?;
        let (width, height) = capabilities.fs_maximum(self.option, self.dpi);
        let within =
            |from: u32, size: u32, whole: u32| size >= 1 && from.checked_add(size).is_some_and(|to| to <= whole);
        accept(within(self.area.x, self.area.width, width) && within(self.area.y, self.area.height, height))?;
        accept(self.area.width <= capabilities.longest_line)?;
        accept(self.depth > 4 || self.area.width % 8 == 0)?;
        // Page sequence would need three runs in one train of blocks; no source says how.
        accept(is_colour(self.colour) && self.colour & 0x0f != 1 && is_depth(self.depth) && self.goes_together())?;
        accept(
            capabilities.has_option(self.option)
                && self.speed <= 1
                && is_gamma(capabilities, self.gamma)
                && is_correction(self.correction),
        )?;
        accept((least_brightness(capabilities)..=3).contains(&self.brightness) && is_halftone(self.halftone))?;
        accept(self.segmentation <= 1 && (-2..=2).contains(&self.sharpness) && self.film <= 3)?;
        let [lamp, double_feed, auto_scan, quiet, ..] = self.rest;
        accept(lamp <= 2 && double_feed <= 2 && matches!(auto_scan, 0 | 0xff) && quiet <= 2)
    }

    /// Whether light and dark are exchanged: ESC N 01 with the transparency unit in use.
    pub(super) fn is_negative(&self) -> bool {
        self.film == 1 && matches!(self.option, 1 | 5)
    }

    /// Whether colour and depth can be scanned together. They are set one by one, so it shows at the start.
    pub(super) fn goes_together(&self) -> bool {
        self.colour & 0x0f != 3 || self.depth > 4
    }

    /// FS S: the layout of FS W.
    pub(super) fn extended(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let (dpi, area) = (self.effective_dpi(), self.area);
        for number in [dpi.0, dpi.1, area.x, area.y, area.width, area.height] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([self.colour, self.depth, self.option, self.speed, self.block, self.gamma]);
        bytes.extend([self.brightness as u8, self.correction, self.halftone, self.threshold, self.segmentation]);
        bytes.extend([self.sharpness as u8, u8::from(self.mirror), self.film]);
        bytes.extend(self.rest);
        bytes.resize(64, 0);
        bytes
    }

    /// ESC S: each value behind the letter of its command, 45 bytes. What does not fit 16 bits is cut to 65535.
    pub(super) fn tagged(&self) -> Vec<u8> {
        let mut bytes = vec![b'C', self.colour];
        let word = |value: u32| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
        bytes.push(b'R');
        bytes.extend([self.dpi.0, self.dpi.1].map(word).as_flattened());
        bytes.push(b'A');
        bytes.extend([self.area.x, self.area.y, self.area.width, self.area.height].map(word).as_flattened());
        bytes.extend([b'D', self.depth, b'B', self.halftone, b'L', self.brightness as u8, b'Z', self.gamma]);
        bytes.extend([b'H', self.zoom.0, self.zoom.1, b'M', self.correction, b'Q', self.sharpness as u8]);
        bytes.extend([b'g', self.speed, b'K', u8::from(self.mirror), b's', self.segmentation]);
        bytes.extend([b't', self.threshold, b'd', self.block, b'e', self.option, b'N', self.film]);
        bytes
    }
}

fn set_if(field: &mut u8, value: u8, good: bool) -> Result<(), Refused> {
    accept(good)?;
    *field = value;
    Ok(())
}

/// 00; 10, 20, 30 (one colour dropped); page, line or pixel sequence in three orders.
fn is_colour(value: u8) -> bool {
    matches!(value, 0x00 | 0x10 | 0x20 | 0x30) || (value >> 4 <= 2 && (1..=3).contains(&(value & 0x0f)))
}

fn is_depth(value: u8) -> bool {
    matches!(value, 1..=8 | 12 | 14 | 16)
}

fn is_halftone(value: u8) -> bool {
    matches!(value, 0x00 | 0x01 | 0x03 | 0x10 | 0x20 | 0x80 | 0x90 | 0xa0 | 0xb0 | 0xc0 | 0xd0)
}

/// The D levels have no curves of their own but that for two levels ?.
fn is_gamma(capabilities: &Capabilities, value: u8) -> bool {
    match capabilities.level.lacks_color_processing() {
        true => matches!(value, 0x01 | 0x03 | 0x04),
        false => matches!(value, 0x00..=0x03 | 0x10 | 0x20),
    }
}

fn is_correction(value: u8) -> bool {
    matches!(value, 0x00 | 0x01 | 0x10 | 0x20 | 0x40 | 0x80)
}

fn least_brightness(capabilities: &Capabilities) -> i8 {
    if matches!(capabilities.level, Level::B7 | Level::B8) { -4 } else { -3 }
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::Dialect;
    use super::*;

    fn capabilities() -> Capabilities {
        Capabilities::perfection_v850(Dialect::Fs, Level::B8)
    }

    /// What epson2 sends for 75 dpi colour, 144 x 118, as seen on the wire.
    fn epson2() -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..34].copy_from_slice(&[
            0x4b, 0, 0, 0, 0x4b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x90, 0, 0, 0, 0x76, 0, 0, 0, 0x13, 0x08, 0, 0, 0xff,
            0x02, 0, 0x01, 0, 0x80,
        ]);
        bytes
    }

    #[test]
    fn what_epson2_writes_is_accepted_and_read_back_unchanged() {
        let mut settings = Settings::new(&capabilities());
        settings.set_extended(&capabilities(), &epson2()).expect("accepted");
        assert_eq!(settings.extended(), epson2());
    }

    #[test]
    fn a_bad_byte_in_fs_w_is_refused_and_changes_nothing() {
        let bad: [(usize, u8); 15] = [
            (0, 24),    // below the least dpi
            (3, 1),     // far above the most
            (8, 0xff),  // beside the glass (with byte 9)
            (16, 0),    // no width
            (20, 0),    // no height
            (24, 0x04), // no such colour
            (24, 0x11), // page sequence
            (25, 9),    // no such depth
            (25, 1),    // one bit, three colours in a pixel
            (26, 1),    // no ADF
            (29, 0x04), // D level's gamma
            (30, 4),    // brighter than there is
            (31, 0x02), // no such correction
            (36, 2),    // neither mirrored nor not
            (40, 1),    // auto scan is 0 or FF
        ];
        for (at, value) in bad {
            let mut settings = Settings::new(&capabilities());
            let mut bytes = epson2();
            bytes[at] = value;
            if at == 8 {
                bytes[9] = 0x02;
            }
            assert_eq!(settings.set_extended(&capabilities(), &bytes), Err(Refused), "byte {at} = {value}");
            assert_eq!(settings, Settings::new(&capabilities()), "byte {at} = {value}");
        }
    }

    #[test]
    fn a_width_that_is_no_multiple_of_8_is_for_more_than_4_bits_only() {
        let mut bytes = epson2();
        bytes[16] = 0x91;
        assert!(Settings::new(&capabilities()).set_extended(&capabilities(), &bytes).is_ok());
        (bytes[24], bytes[25]) = (0, 1);
        assert!(Settings::new(&capabilities()).set_extended(&capabilities(), &bytes).is_err());
    }

    #[test]
    fn every_resolution_from_25_to_12800_is_accepted() {
        for dpi in [25u32, 26, 99, 601, 4801, 12_800] {
            let mut bytes = epson2();
            bytes[..4].copy_from_slice(&dpi.to_le_bytes());
            bytes[4..8].copy_from_slice(&dpi.to_le_bytes());
            bytes[16..20].copy_from_slice(&8u32.to_le_bytes());
            bytes[20..24].copy_from_slice(&1u32.to_le_bytes());
            assert!(Settings::new(&capabilities()).set_extended(&capabilities(), &bytes).is_ok(), "{dpi}");
        }
    }

    #[test]
    fn a_standard_value_out_of_range_is_refused_and_the_old_one_stays() {
        let refused: &[(u8, &[u8])] = &[
            (b'C', &[0x04]),
            (b'C', &[0x23]),
            (b'D', &[0]),
            (b'D', &[10]),
            (b'R', &[0x2d, 1, 0x2d, 1]),
            (b'H', &[49, 100]),
            (b'H', &[100, 201]),
            (b'A', &[0, 0, 0, 0, 7, 0, 1, 0]),
            (b'A', &[0, 0, 0, 0, 12, 0, 1, 0]),
            (b'A', &[0, 0, 0, 0, 8, 0, 0, 0]),
            (b'A', &[0x50, 3, 0, 0, 8, 0, 1, 0]),
            (b'B', &[0x02]),
            (b'L', &[4]),
            (b'L', &[0xfb]),
            (b'Z', &[0x04]),
            (b'M', &[0x02]),
            (b'Q', &[3]),
            (b'K', &[2]),
            (b's', &[2]),
            (b'g', &[2]),
            (b'e', &[1]),
        ];
        for (code, bytes) in refused {
            let mut settings = Settings::new(&capabilities());
            assert_eq!(settings.set(&capabilities(), *code, bytes), Err(Refused), "ESC {} {bytes:02x?}", *code as char);
            assert_eq!(settings, Settings::new(&capabilities()));
        }
    }

    #[test]
    fn resolution_and_zoom_reset_the_area() {
        let mut settings = Settings::new(&capabilities());
        settings.set(&capabilities(), b'A', &[8, 0, 8, 0, 16, 0, 16, 0]).expect("an area");
        settings.set(&capabilities(), b'R', &[0x2c, 1, 0x2c, 1]).expect("300 dpi");
        assert_eq!(settings.area, Area { x: 0, y: 0, width: 2544, height: 3510 });
        settings.set(&capabilities(), b'H', &[50, 50]).expect("half");
        assert_eq!((settings.area.width, settings.effective_dpi()), (1272, (150, 150)));
    }

    #[test]
    fn the_tagged_settings_have_their_values_where_epson2_looks() {
        let bytes = Settings::new(&capabilities()).tagged();
        assert_eq!(bytes.len(), 45);
        assert_eq!(bytes[3..7], [100, 0, 100, 0]);
        let values = [1, 17, 19, 21, 23, 25, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44].map(|at: usize| bytes[at]);
        assert_eq!(values, [0, 1, 0, 0, 1, 100, 100, 0x80, 0, 0, 0, 0, 0x80, 0, 0, 0]);
    }
}

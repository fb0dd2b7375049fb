//! What a scanner of the ESC/I family can do: its level, its resolutions, its glass.
//!
//! The usual one is the Perfection V800/V850 Photo ("GT-X980", 04B8:0151), with the values of a published `scanimage -A` of
//! real units (docs/esc-i.md, "The virtual scanner"), and the same without the FS commands. The D levels are others.

use crate::glass::Alignment;

/// Which commands a scanner understands besides the plain ones of its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// ESC commands and the extended FS ones (status bit 02).
    Fs,
    /// ESC commands only.
    Esc,
}

/// The level that a scanner states in its identity: what it understands of ESC (docs/esc-i.md, "Levels and dialects").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Black and white, nothing to be set but resolution and area.
    A1,
    /// Gray, zoom, brightness, gamma.
    A2,
    /// Colour, but no reset.
    B1,
    /// Both of these.
    B2,
    /// Option units, colour matrix, extended status.
    B3,
    /// Sharpness, block mode, dither tables.
    B4,
    B5,
    B6,
    /// Threshold, segmentation, film, the button.
    B7,
    B8,
    /// A film scanner: as B5 without halftones.
    F5,
    /// Without colour correction and halftones, and its colours lie lines apart.
    D1,
    /// The same with option units.
    D2,
    /// With a feeder that puts out; its sensor has all colours in one line.
    D7,
    D8,
}

/// What a level has of its own, and what it has from another. Written from the descriptions of levels in docs/esc-i.md and
/// deliberately not shared with the driver, whose table is of another form: so the two can disagree, and a test sees it.
struct Definition {
    level: Level,
    code: [u8; 2],
    /// Has the commands of this level,
    like: Option<Level>,
    /// these besides: the letter behind ESC, or a code by itself,
    adds: &'static [u8],
    /// and not these.
    lacks: &'static [u8],
}

/// FF and PF stand among the letters as they are sent.
const DEFINITIONS: [Definition; 15] = {
    use Level::{A1, A2, B1, B2, B3, B4, B5, B6, B7, B8, D1, D2, D7, D8, F5};
    const fn level(level: Level, code: &[u8; 2], like: Option<Level>, adds: &'static [u8]) -> Definition {
        Definition { level, code: *code, like, adds, lacks: b"" }
    }
    [
        level(A1, b"A1", None, b"IFSGRA"),
        level(A2, b"A2", Some(A1), b"@DHLZB"),
        level(B1, b"B1", Some(A1), b"CDB"),
        level(B2, b"B2", Some(A2), b"C"),
        level(B3, b"B3", Some(B2), b"efMm"),
        level(B4, b"B4", Some(B3), b"bdgQz"),
        level(B5, b"B5", Some(B4), b"K"),
        level(B6, b"B6", Some(B5), b""),
        level(B7, b"B7", Some(B6), b"!Nst\x0c"),
        level(B8, b"B8", Some(B7), b"pq\x19"),
        Definition { level: F5, code: *b"F5", like: Some(B5), adds: b"N\x0c", lacks: b"Bb" },
        level(D1, b"D1", None, b"@ACDdFfGgIiRtZz!"),
        level(D2, b"D2", Some(D1), b"eN"),
        level(D7, b"D7", Some(D2), b"\x0c"),
        level(D8, b"D8", Some(D7), b""),
    ]
};

impl Level {
    fn definition(self) -> &'static Definition {
        DEFINITIONS.iter().find(|definition| definition.level == self).expect("every level is defined")
    }

    /// The two bytes that stand for it.
    pub fn bytes(self) -> [u8; 2] {
        self.definition().code
    }

    /// Reads `B7`.
    pub fn parse(text: &str) -> Option<Level> {
        let is_named = |definition: &&Definition| text.as_bytes().eq_ignore_ascii_case(&definition.code);
        DEFINITIONS.iter().find(is_named).map(|definition| definition.level)
    }

    /// Whether it has ESC and this letter, or FF or PF.
    pub(super) fn has(self, code: u8) -> bool {
        let own = self.definition();
        own.adds.contains(&code) || own.like.is_some_and(|other| other.has(code)) && !own.lacks.contains(&code)
    }

    /// The D levels, which leave to the host what others do with colours.
    pub(super) fn lacks_color_processing(self) -> bool {
        matches!(self, Level::D1 | Level::D2 | Level::D7 | Level::D8)
    }
}

/// Which real scanners a model is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// A photo flatbed: the Perfection V850.
    Photo,
    /// A flatbed that leaves colours to the host: the Perfection 610.
    Plain,
    /// An all-in-one of level D7: WF-3620, XP-620 and ET-2550, as published captures show them.
    AllInOne,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Capabilities {
    pub family: Family,
    pub dialect: Dialect,
    pub level: Level,
    /// Firmware name, at most 16 characters.
    pub name: &'static str,
    /// What stands on it, and its USB product id.
    pub product: (&'static str, u16),
    /// Lines at `base_dpi` from the green sensor to the red one below it and the blue one above it.
    pub line_spacing: u8,
    /// Those that ESC I lists, ascending.
    pub resolutions: &'static [u16],
    /// Those of ESC i, across and down: all that a D level accepts.
    pub hardware_resolutions: (&'static [u16], &'static [u16]),
    /// The glass in pixels at the highest of these.
    pub esc_area: (u32, u32),
    /// Unit of `area`.
    pub base_dpi: u32,
    /// Least and most for FS W.
    pub dpi: (u32, u32),
    /// Pixels of one line, FS.
    pub longest_line: u32,
    /// The glass in pixels at `base_dpi`.
    pub area: (u32, u32),
    /// The document feeder, if there is one.
    pub feeder: Option<FeederCapabilities>,
    /// The transparency unit is there.
    pub transparency: bool,
}

/// What a document feeder can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeederCapabilities {
    pub duplex: bool,
    pub alignment: Alignment,
    /// It notices where a sheet ends, and says so.
    pub notices_end: bool,
}

/// What the feeder takes: Legal, 8.5 by 14 inches, longer than the glass. In quarters of an inch.
const FEEDER_AREA: (u32, u32) = (34, 56);
/// What the transparency unit lights ? : 6 by 9.75 inches; and without its holder 8 by 10 (docs/esc-i.md, "The virtual scanner").
const FILM_AREA: (u32, u32) = (24, 39);
const WIDE_FILM_AREA: (u32, u32) = (32, 40);

fn quarters(area: (u32, u32), dpi: u32) -> (u32, u32) {
    (area.0 * dpi / 4, area.1 * dpi / 4)
}

impl Capabilities {
    /// Of levels D1 and D2 the Perfection 610, of D7 an all-in-one, of the others the V850. Level D8 is the Perfection 610 too,
    /// with all colours in one line: nothing is known of a real one.
    pub(super) fn of(dialect: Dialect, level: Level) -> Capabilities {
        match level {
            Level::D1 | Level::D2 => Capabilities::perfection_610(dialect, level, 8),
            Level::D8 => Capabilities::perfection_610(dialect, level, 0),
            Level::D7 => Capabilities::all_in_one(dialect, level),
            _ => Capabilities::perfection_v850(dialect, level),
        }
    }

    /// A scanner of level D1, after the Perfection 610 ("GT-6600", 04B8:0103) ? : its resolutions, and how far its
    /// sensors are from each other, no source tells.
    fn perfection_610(dialect: Dialect, level: Level, line_spacing: u8) -> Capabilities {
        const RESOLUTIONS: &[u16] = &[50, 75, 100, 150, 200, 300, 400, 600];
        Capabilities {
            family: Family::Plain,
            name: "GT-6600",
            product: ("Perfection 610 (virtual)", 0x0103),
            line_spacing,
            resolutions: RESOLUTIONS,
            hardware_resolutions: (RESOLUTIONS, RESOLUTIONS),
            esc_area: (5100, 7020),
            base_dpi: 600,
            dpi: (50, 600),
            longest_line: 5100,
            area: (5100, 7020),
            ..Capabilities::perfection_v850(dialect, level)
        }
    }

    /// The values of a WF-3620 ("PID 08B8", 04B8:08B8), and the answers to ESC I and ESC i of an XP-620, which has the same
    /// glass: published captures of both have them.
    fn all_in_one(dialect: Dialect, level: Level) -> Capabilities {
        Capabilities {
            family: Family::AllInOne,
            name: "PID 08B8",
            product: ("WF-3620 Series (virtual)", 0x08b8),
            line_spacing: 0,
            resolutions: &[75, 300, 600, 1200],
            hardware_resolutions: (&[75, 150, 300, 600, 1200], &[75, 150, 300, 600, 1200, 2400]),
            esc_area: (10_200, 14_040),
            base_dpi: 1200,
            dpi: (75, 1200),
            longest_line: 32_752,
            area: (10_200, 14_040),
            ..Capabilities::perfection_v850(dialect, level)
        }
    }

    pub(super) fn perfection_v850(dialect: Dialect, level: Level) -> Capabilities {
        Capabilities {
            family: Family::Photo,
            dialect,
            level,
            name: "GT-X980",
            product: ("Perfection V850 (virtual)", 0x0151),
            line_spacing: 0,
            resolutions: &[
                50, 60, 72, 75, 80, 90, 100, 120, 133, 144, 150, 160, 175, 180, 200, 216, 240, 266, 300, 320, 350, 360,
                400, 480, 600, 720, 800, 900, 1200, 1600, 1800, 2400, 3200,
            ],
            hardware_resolutions: (&[], &[]),
            esc_area: (27_200, 37_440),
            base_dpi: 4800,
            dpi: (25, 12_800),
            longest_line: 40_800,
            area: (40_800, 56_160),
            feeder: None,
            transparency: false,
        }
    }

    /// Whether a resolution can be set with ESC R: one that is listed, at the D levels one of the hardware's.
    pub(super) fn has_resolution(&self, main: u16, sub: u16) -> bool {
        let (across, down) = match self.level.lacks_color_processing() {
            true => self.hardware_resolutions,
            false => (self.resolutions, self.resolutions),
        };
        across.contains(&main) && down.contains(&sub)
    }

    /// The same for FS W, which takes any from the least to the most; an all-in-one only those of its hardware.
    pub(super) fn has_fs_resolution(&self, dpi: (u32, u32)) -> bool {
        let range = self.dpi.0..=self.dpi.1;
        if self.family != Family::AllInOne {
            return range.contains(&dpi.0) && range.contains(&dpi.1);
        }
        let small = |dpi: u32| u16::try_from(dpi).unwrap_or(0);
        self.has_resolution(small(dpi.0), small(dpi.1))
    }

    /// Whether every page has to be put out with FF before the next, which turns the sheet in duplex.
    pub(super) fn ejects_each_page(&self) -> bool {
        self.family == Family::AllInOne
    }

    /// The width of the feeder, and in how many to an inch.
    pub(super) fn feeder_bed(&self) -> (u32, u32) {
        (quarters(FEEDER_AREA, self.base_dpi).0, self.base_dpi)
    }

    /// Whether an option unit can be chosen: ESC e, FS W byte 26.
    pub(super) fn has_option(&self, option: u8) -> bool {
        match option {
            0 => true,
            1 => self.feeder.is_some() || self.transparency,
            2 => self.feeder.is_some_and(|feeder| feeder.duplex),
            5 => self.transparency,
            _ => false,
        }
    }

    /// Whether PF brings the pages, and not the start of a scan by itself: "page type" (docs/esc-i.md, "The feeder").
    pub(super) fn is_page_type(&self) -> bool {
        self.feeder.is_some() && self.level == Level::B8
    }

    /// The area of an option unit in pixels at a resolution; that of the glass is stated in pixels.
    fn unit_area(&self, option: u8, dpi: u32) -> Option<(u32, u32)> {
        match option {
            1 | 2 if self.feeder.is_some() => Some(quarters(FEEDER_AREA, dpi)),
            1 if self.transparency => Some(quarters(FILM_AREA, dpi)),
            5 if self.transparency => Some(quarters(WIDE_FILM_AREA, dpi)),
            _ => None,
        }
    }

    /// The resolution of the areas of ESC I and ESC f.
    fn esc_area_dpi(&self) -> u32 {
        self.resolutions.last().copied().map_or(1, u32::from)
    }

    /// The same for ESC f: feeder, transparency unit, glass. 0 where there is none.
    pub(super) fn esc_areas(&self) -> [(u32, u32); 3] {
        let dpi = self.esc_area_dpi();
        let feeder = self.feeder.and_then(|_| self.unit_area(1, dpi));
        let film = self.unit_area(1, dpi).filter(|_| self.transparency);
        [feeder.unwrap_or_default(), film.unwrap_or_default(), self.esc_area]
    }

    /// Byte 0 of ESC f and byte 44 of FS I, as far as it is about what there is: the feeder's kind, the button.
    pub(super) fn kind_bits(&self) -> u8 {
        let duplex = self.feeder.is_some_and(|feeder| feeder.duplex);
        u8::from(self.is_page_type()) << 5 | u8::from(duplex) << 4 | 0x01
    }

    pub(super) fn has_fs(&self) -> bool {
        self.dialect == Dialect::Fs
    }

    /// The largest area of ESC A (docs/esc-i.md, "A page"): the width a multiple of 8.
    pub(super) fn esc_maximum(&self, option: u8, dpi: (u32, u32), zoom: (u8, u8)) -> (u32, u32) {
        let highest = u64::from(self.esc_area_dpi());
        let area = self.unit_area(option, self.esc_area_dpi()).unwrap_or(self.esc_area);
        let side = |pixels: u32, dpi: u32, zoom: u8| {
            let at = u64::from(pixels) * u64::from(dpi) * u64::from(zoom) / (highest * 100);
            u32::try_from(at).unwrap_or(u32::MAX)
        };
        (side(area.0, dpi.0, zoom.0) / 8 * 8, side(area.1, dpi.1, zoom.1))
    }

    /// The largest area of FS W.
    pub(super) fn fs_maximum(&self, option: u8, dpi: (u32, u32)) -> (u32, u32) {
        let area = self.unit_area(option, self.base_dpi).unwrap_or(self.area);
        let side = |pixels: u32, dpi: u32| {
            let at = u64::from(pixels) * u64::from(dpi) / u64::from(self.base_dpi);
            u32::try_from(at).unwrap_or(u32::MAX)
        };
        (side(area.0, dpi.0), side(area.1, dpi.1))
    }

    /// ESC I: level, resolutions, area (docs/esc-i.md, "Levels and dialects").
    pub(super) fn identity(&self) -> Vec<u8> {
        let mut bytes = self.level.bytes().to_vec();
        for dpi in self.resolutions {
            bytes.push(b'R');
            bytes.extend(dpi.to_le_bytes());
        }
        bytes.push(b'A');
        bytes.extend((self.esc_area.0 as u16).to_le_bytes());
        bytes.extend((self.esc_area.1 as u16).to_le_bytes());
        bytes
    }

    /// ESC i: the sensor, and the resolutions one way and the other (docs/esc-i.md, "Levels and dialects").
    pub(super) fn hardware(&self) -> Vec<u8> {
        let mut bytes = (self.base_dpi as u16).to_le_bytes().to_vec();
        let sensor = if self.family == Family::AllInOne { 0x55 } else { 0x80 };
        bytes.extend([sensor, 0, self.line_spacing, self.line_spacing]);
        bytes.resize(14, 0);
        for resolutions in [self.hardware_resolutions.0, self.hardware_resolutions.1] {
            bytes.extend(resolutions.iter().flat_map(|dpi| dpi.to_le_bytes()));
            bytes.extend([0, 0]);
        }
        bytes
    }

    /// How many lines lie between two colours at a resolution.
    pub(super) fn line_distance(&self, dpi: u32) -> u32 {
        u32::from(self.line_spacing) * dpi / self.base_dpi
    }

    /// FS I, 80 bytes (docs/esc-i.md, "Levels and dialects").
    pub(super) fn extended_identity(&self) -> Vec<u8> {
        let mut bytes = vec![0; 80];
        bytes[..2].copy_from_slice(&self.level.bytes());
        let numbers = [
            (4, self.base_dpi),
            (8, self.dpi.0),
            (12, self.dpi.1),
            (16, self.longest_line),
            (20, self.area.0),
            (24, self.area.1),
        ];
        for (at, number) in numbers {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let feeder = self.feeder.and_then(|_| self.unit_area(1, self.base_dpi));
        let film = self.unit_area(1, self.base_dpi).filter(|_| self.transparency);
        for (at, area) in [(28, feeder), (36, film), (68, self.unit_area(5, self.base_dpi))] {
            let (width, height) = area.unwrap_or_default();
            bytes[at..at + 4].copy_from_slice(&width.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&height.to_le_bytes());
        }
        bytes[44] = self.kind_bits();
        let notices_end = self.feeder.is_some_and(|feeder| feeder.notices_end);
        bytes[45] = match self.family {
            // A quiet mode.
            Family::AllInOne => 0x20,
            // It notices two sheets at once.
            _ => u8::from(self.feeder.is_some()) << 3,
        } | u8::from(notices_end);
        bytes[46..62].copy_from_slice(&self.padded_name());
        let (version, bits_out) = if self.family == Family::AllInOne { (b"1.20", 8) } else { (b"1.00", 16) };
        bytes[62..66].copy_from_slice(version);
        bytes[66..68].copy_from_slice(&[16, bits_out]);
        bytes[76] = match self.feeder.filter(|feeder| feeder.notices_end).map(|feeder| feeder.alignment) {
            None => 0,
            Some(Alignment::Left) => 1,
            Some(Alignment::Center) => 2,
            Some(Alignment::Right) => 3,
        };
        bytes
    }

    /// The name as 16 bytes, padded with spaces.
    pub(super) fn padded_name(&self) -> [u8; 16] {
        let mut name = [b' '; 16];
        for (to, from) in name.iter_mut().zip(self.name.bytes()) {
            *to = from;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V850: fn() -> Capabilities = || Capabilities::perfection_v850(Dialect::Fs, Level::B8);

    #[test]
    fn the_identity_has_the_106_bytes_of_a_v850() {
        let bytes = V850().identity();
        assert_eq!(bytes.len(), 106);
        assert_eq!(bytes[..5], [0x42, 0x38, b'R', 50, 0]);
        assert_eq!(bytes[101..], [0x41, 0x40, 0x6a, 0x40, 0x92]);
    }

    #[test]
    fn the_extended_identity_is_that_of_the_fact_sheet() {
        let expected = [
            0x42, 0x38, 0x00, 0x00, 0xc0, 0x12, 0x00, 0x00, 0x19, 0x00, 0x00, 0x00, 0x00, 0x32, 0x00, 0x00, //
            0x60, 0x9f, 0x00, 0x00, 0x60, 0x9f, 0x00, 0x00, 0x60, 0xdb, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, //
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x47, 0x54, //
            0x2d, 0x58, 0x39, 0x38, 0x30, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x31, 0x2e, //
            0x30, 0x30, 0x10, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        ];
        assert_eq!(V850().extended_identity(), expected);
    }

    /// What a WF-3620 with a duplex feeder, and an XP-620, were captured saying (github.com/mtheuma/epson2paperless,
    /// tools/pcap-extract/captures).
    #[test]
    fn an_all_in_one_of_level_d7_says_what_real_ones_were_captured_saying() {
        let bytes = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
        };
        let unit = FeederCapabilities { duplex: true, alignment: Alignment::Left, notices_end: false };
        let d7 = Capabilities { feeder: Some(unit), ..Capabilities::of(Dialect::Fs, Level::D7) };
        let identity = "44370000b00400004b000000b0040000f07f0000d8270000d8360000d8270000a041000000000000000000001120\
                        50494420303842382020202020202020312e32301008000000000000000000000000";
        assert_eq!(d7.extended_identity(), bytes(&identity.replace(' ', "")));
        assert_eq!(d7.identity(), bytes("4437524b00522c0152580252b00441d827d836"));
        let hardware = "b0045500000000000000000000004b0096002c015802b00400004b0096002c015802b00460090000";
        assert_eq!(d7.hardware(), bytes(hardware));
    }

    #[test]
    fn every_unit_has_an_area_of_its_own() {
        let unit = FeederCapabilities { duplex: true, alignment: Alignment::Left, notices_end: false };
        let feeder = Capabilities { feeder: Some(unit), ..V850() };
        assert_eq!(feeder.fs_maximum(1, (300, 300)), (2550, 4200));
        assert_eq!(feeder.esc_maximum(2, (300, 300), (100, 100)), (2544, 4200));
        let film = Capabilities { transparency: true, ..V850() };
        assert_eq!(film.extended_identity()[68..76], [0x00, 0x96, 0, 0, 0x80, 0xbb, 0, 0]);
        assert_eq!(film.fs_maximum(1, (300, 300)), (1800, 2925));
    }

    #[test]
    fn the_largest_area_follows_resolution_and_zoom() {
        assert_eq!(V850().esc_maximum(0, (300, 300), (100, 100)), (2544, 3510));
        assert_eq!(V850().esc_maximum(0, (300, 300), (200, 50)), (5096, 1755));
        assert_eq!(V850().fs_maximum(0, (300, 600)), (2550, 7020));
    }
}

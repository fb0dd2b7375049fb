//! What a scanner says it is: ESC I, FS I, and the name in ESC f. Bytes in, values out.

use crate::ProtocolError;
use crate::support::alignment::Alignment;

/// ESC I: the level, the resolutions, the platen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscIdentity {
    /// Two characters: `B7`.
    pub level: [u8; 2],
    /// As listed, ascending; at least one.
    pub resolutions: Vec<u16>,
    /// The largest area in pixels at the last resolution.
    pub area: (u16, u16),
}

impl EscIdentity {
    /// Reads the payload: level, `R` and a resolution any number of times, `A` and an area.
    ///
    /// # Errors
    /// [`ProtocolError::Identity`] for anything else, for no resolution, for a resolution or an area of 0.
    pub fn parse(bytes: &[u8]) -> Result<EscIdentity, ProtocolError> {
        let wrong = |at| ProtocolError::Identity { item: "ESC I", at };
        let level = bytes.first_chunk::<2>().filter(|level| level.iter().all(u8::is_ascii_alphanumeric));
        let level = *level.ok_or(wrong(0))?;
        let mut resolutions = Vec::new();
        let mut at = 2;
        loop {
            match bytes.get(at..).unwrap_or_default() {
                [b'R', low, high, ..] => {
                    resolutions.push(u16::from_le_bytes([*low, *high]));
                    at += 3;
                }
                // What follows the area, if anything does, is for others.
                [b'A', a, b, c, d, ..] => {
                    let area = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
                    let ascending = resolutions.is_sorted() && resolutions.first().is_some_and(|first| *first > 0);
                    if !ascending || area.0 < 8 || area.1 == 0 {
                        return Err(wrong(at));
                    }
                    resolutions.dedup();
                    return Ok(EscIdentity { level, resolutions, area });
                }
                _ => return Err(wrong(at)),
            }
        }
    }

    /// The highest resolution: that which the area is given in.
    pub fn highest(&self) -> u16 {
        self.resolutions.last().copied().unwrap_or(1)
    }
}

/// FS I: the same for scanners with extended commands, in more words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsIdentity {
    /// Two characters: `B8`.
    pub level: [u8; 2],
    /// The resolution that areas are given in.
    pub base_dpi: u32,
    /// The least.
    pub least_dpi: u32,
    /// The most.
    pub most_dpi: u32,
    /// Pixels that a line may have; 0 where it does not say.
    pub longest_line: u32,
    /// The platen in pixels at `base_dpi`; 0 where it has none.
    pub area: (u32, u32),
    /// What the document feeder takes, likewise.
    pub feeder_area: (u32, u32),
    /// What the transparency unit lights, with its holder and without.
    pub film_areas: [(u32, u32); 2],
    /// What it is made of.
    pub kind: Kind,
    /// Its feeder gets the next page by itself.
    pub feeds_by_itself: bool,
    /// Its feeder can tell when it takes two sheets at once.
    pub detects_double_feed: bool,
    /// Its feeder can tell where a sheet ends.
    pub detects_page_end: bool,
    /// The side on which the feeder holds a sheet.
    pub(super) feeder_alignment: Alignment,
    /// Its name, without padding.
    pub model: String,
    /// The version of its firmware.
    pub firmware: String,
    /// Bits of a sample that it can send.
    pub depth: u8,
}

/// What a scanner is made of: byte 44 of FS I, byte 0 of ESC f.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// It has a platen.
    pub fn is_flatbed(self) -> bool {
        self.0 & 0x40 == 0
    }

    /// Its feeder waits to be told to load each page.
    pub fn is_page_type(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// Its feeder has both sides scanned.
    pub fn is_duplex(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// It has a button to be asked for.
    pub fn has_button(self) -> bool {
        self.0 & 0x01 != 0
    }
}

/// The option units of a plain scanner, as ESC f has them, with their areas in pixels of ESC I's highest resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    /// What it is made of.
    pub kind: Kind,
    /// The document feeder, if it is installed.
    pub feeder: Option<(u32, u32)>,
    /// The transparency unit, if it is installed.
    pub film: Option<(u32, u32)>,
}

impl Units {
    /// From the payload of ESC f, of any length.
    pub fn parse(bytes: &[u8]) -> Units {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
        let word = |at: usize| u32::from(u16::from_le_bytes([byte(at), byte(at + 1)]));
        // An area that nothing fits on is none.
        let area = |at: usize| Some((word(at), word(at + 2))).filter(|area| area.0 >= 8 && area.1 > 0);
        let installed = |at: usize| (byte(at) & 0x80 != 0).then(|| area(at + 1)).flatten();
        Units { kind: Kind(byte(0)), feeder: installed(1), film: installed(6) }
    }
}

/// ESC i: the sensor of a D level scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardware {
    /// The resolution that `line_spacing` counts in.
    pub base_dpi: u16,
    /// Lines from one colour to the next.
    pub line_spacing: u8,
    /// Resolutions that can be had both ways, ascending; at least one.
    pub resolutions: Vec<u16>,
}

/// Lines that may lie between two colours: more would take more memory than any such scanner had.
const MOST_DISTANCE: u64 = 512;

impl Hardware {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`ProtocolError::Identity`] when it is too short, has no resolution or a base of 0, or its colours lie unequally or
    /// too far apart.
    pub fn parse(bytes: &[u8]) -> Result<Hardware, ProtocolError> {
        let wrong = |at| ProtocolError::Identity { item: "ESC i", at };
        let (head, lists) = bytes.split_at_checked(14).ok_or(wrong(bytes.len()))?;
        let mut words = lists.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let across: Vec<u16> = words.by_ref().take_while(|dpi| *dpi != 0).collect();
        let down: Vec<u16> = words.take_while(|dpi| *dpi != 0).collect();
        let mut resolutions: Vec<u16> = across.into_iter().filter(|dpi| down.contains(dpi)).collect();
        resolutions.sort_unstable();
        resolutions.dedup();
        let base_dpi = u16::from_le_bytes([head[0], head[1]]);
        if base_dpi == 0 {
            return Err(wrong(0));
        }
        let highest = u32::from(*resolutions.last().ok_or(wrong(14))?);
        let hardware = Hardware { base_dpi, line_spacing: head[4], resolutions };
        if head[4] != head[5] || !hardware.keeps_colors_near(highest) {
            return Err(wrong(4));
        }
        Ok(hardware)
    }

    /// Whether colours that lie so far apart can be put together in bounded memory, up to this resolution.
    pub fn keeps_colors_near(&self, highest_dpi: u32) -> bool {
        u64::from(self.line_spacing) * u64::from(highest_dpi) / u64::from(self.base_dpi) <= MOST_DISTANCE
    }
}

/// Bytes of FS I.
pub const FS_IDENTITY_BYTES: usize = 80;

impl FsIdentity {
    /// Whether it may have a feeder or a transparency unit.
    pub fn has_units(&self) -> bool {
        self.feeder_area != (0, 0) || self.film_areas != [(0, 0); 2]
    }

    /// Reads the 80 bytes.
    ///
    /// # Errors
    /// [`ProtocolError::Length`]; [`ProtocolError::Identity`] for a resolution or an area of 0 or out of all bounds.
    pub fn parse(bytes: &[u8]) -> Result<FsIdentity, ProtocolError> {
        let item = "FS I";
        if bytes.len() != FS_IDENTITY_BYTES {
            return Err(ProtocolError::Length { item, expected: FS_IDENTITY_BYTES, got: bytes.len() });
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let within = |at: usize, least: u32| {
            let value = word(at);
            // A million dots per inch, and ten million pixels, are more than optics will give.
            if (least..10_000_000).contains(&value) { Ok(value) } else { Err(ProtocolError::Identity { item, at }) }
        };
        let none_or_within = |at: usize, least: u32| if word(at) == 0 { Ok(0) } else { within(at, least) };
        let area = |at: usize| {
            let (width, height) = (none_or_within(at, 8)?, none_or_within(at + 4, 1)?);
            Ok::<_, ProtocolError>(if width == 0 || height == 0 { (0, 0) } else { (width, height) })
        };
        let kind = Kind(bytes[44]);
        let (feeder_area, film_areas) = (area(28)?, [area(36)?, area(68)?]);
        let platen = match kind.is_flatbed() || feeder_area == (0, 0) {
            true => (within(20, 8)?, within(24, 1)?),
            false => (0, 0),
        };
        let (least_dpi, most_dpi) = (within(8, 1)?, within(12, 1)?);
        if least_dpi > most_dpi || most_dpi > 1_000_000 {
            return Err(ProtocolError::Identity { item, at: 12 });
        }
        Ok(FsIdentity {
            level: [bytes[0], bytes[1]],
            base_dpi: within(4, 1)?,
            least_dpi,
            most_dpi,
            longest_line: word(16),
            area: true_platen(&text(&bytes[46..62]), platen),
            feeder_area,
            film_areas,
            kind,
            feeds_by_itself: bytes[45] & 0x04 != 0,
            detects_double_feed: bytes[45] & 0x08 != 0,
            detects_page_end: bytes[45] & 0x01 != 0,
            model: text(&bytes[46..62]),
            firmware: text(&bytes[62..66]),
            depth: bytes[67],
            feeder_alignment: match bytes[76] & 0x03 {
                2 => Alignment::Center,
                3 => Alignment::Right,
                _ => Alignment::Left,
            },
        })
    }
}

/// The platen as it is: the Perfection 1650 ("GT-8200") states half of its height, as SANE's epson2 knows.
pub fn true_platen(model: &str, (width, height): (u32, u32)) -> (u32, u32) {
    if model.starts_with("GT-8200") && width > height { (width, height * 2) } else { (width, height) }
}

/// The model's name in ESC f: 16 bytes at the end of 42, 7 at the end of 33; empty in anything shorter.
pub fn name_in_status(bytes: &[u8]) -> String {
    bytes.get(26..bytes.len().min(42)).map(text).unwrap_or_default()
}

/// Printable ASCII without what pads it; everything else is left out.
fn text(bytes: &[u8]) -> String {
    let printable: String = bytes.iter().filter(|b| (0x20..0x7f).contains(*b)).map(|b| char::from(*b)).collect();
    printable.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The V850 of a published `scanimage -A`, see docs/esc-i.md, "The virtual scanner".
    fn v850() -> Vec<u8> {
        let mut bytes = vec![0; 80];
        bytes[..2].copy_from_slice(b"B8");
        for (at, number) in [(4, 4800u32), (8, 25), (12, 12_800), (16, 40_800), (20, 40_800), (24, 56_160)] {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes[46..62].copy_from_slice(b"GT-X980         ");
        bytes[62..68].copy_from_slice(b"1.00\x10\x10");
        bytes
    }

    #[test]
    fn a_v850_is_understood() {
        let identity = FsIdentity::parse(&v850()).expect("a V850");
        assert_eq!((identity.model.as_str(), identity.firmware.as_str()), ("GT-X980", "1.00"));
        assert_eq!((identity.least_dpi, identity.most_dpi, identity.base_dpi), (25, 12_800, 4800));
        assert_eq!((identity.area, identity.depth), ((40_800, 56_160), 16));
    }

    #[test]
    fn absurd_numbers_in_fs_i_are_refused() {
        for (at, number) in [(4, 0), (8, 0), (12, 24), (12, u32::MAX), (20, 0), (24, 0), (24, u32::MAX)] {
            let mut bytes = v850();
            bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
            assert!(FsIdentity::parse(&bytes).is_err(), "{number} at {at}");
        }
        assert!(FsIdentity::parse(&v850()[..79]).is_err());
    }

    #[test]
    fn esc_i_lists_resolutions_and_the_area() {
        let identity = EscIdentity::parse(b"B7R\x32\x00R\x2c\x01R\x60\x09A\xb0\x4f\xb0\x6d").expect("a GT-9500");
        assert_eq!(identity.resolutions, [50, 300, 2400]);
        assert_eq!(identity.area, (20_400, 28_080));
    }

    #[test]
    fn esc_i_without_resolutions_area_or_level_is_refused() {
        let bad: [&[u8]; 7] = [
            b"",
            b"B7",
            b"B7A\xb0\x4f\xb0\x6d",
            b"B7R\x32\x00",
            b"B7R\x00\x00A\x08\x00\x08\x00",
            b"B7X\x32",
            b"\0\0R\x32\x00",
        ];
        for bytes in bad {
            assert!(matches!(EscIdentity::parse(bytes), Err(ProtocolError::Identity { .. })), "{bytes:02x?}");
        }
    }

    #[test]
    fn the_name_is_in_both_forms_of_esc_f() {
        let mut bytes = vec![0; 42];
        bytes[26..].copy_from_slice(b"GT-X980         ");
        assert_eq!(name_in_status(&bytes), "GT-X980");
        bytes.truncate(33);
        assert_eq!(name_in_status(&bytes), "GT-X980");
        assert_eq!(name_in_status(&bytes[..26]), "");
        assert_eq!(name_in_status(&[]), "");
    }

    #[test]
    fn the_one_that_states_half_its_height_is_known() {
        assert_eq!(true_platen("GT-8200", (13_600, 9360)), (13_600, 18_720));
        assert_eq!(true_platen("GT-8200", (13_600, 18_720)), (13_600, 18_720));
        assert_eq!(true_platen("GT-X980", (13_600, 9360)), (13_600, 9360));
    }

    #[test]
    fn units_have_areas_of_their_own() {
        let mut bytes = v850();
        for (at, number) in [(28, 40_800u32), (32, 67_200), (68, 38_400), (72, 48_000)] {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        (bytes[44], bytes[45]) = (0x31, 0x04);
        let identity = FsIdentity::parse(&bytes).expect("a V850 with a feeder");
        assert_eq!((identity.feeder_area, identity.film_areas), ((40_800, 67_200), [(0, 0), (38_400, 48_000)]));
        assert!(identity.kind.is_duplex() && identity.kind.is_page_type() && identity.feeds_by_itself);
        bytes[44] = 0x40;
        bytes[20..28].fill(0);
        let identity = FsIdentity::parse(&bytes).expect("a feeder without a glass");
        assert_eq!((identity.area, identity.kind.is_flatbed()), ((0, 0), false));
    }

    #[test]
    fn esc_f_says_which_units_are_installed() {
        let mut bytes = vec![0; 42];
        (bytes[0], bytes[1]) = (0x11, 0x80);
        bytes[2..6].copy_from_slice(&[0x40, 0x6a, 0x00, 0xaf]);
        bytes[7..11].copy_from_slice(&[0x40, 0x6a, 0x00, 0xaf]);
        let units = Units::parse(&bytes);
        assert_eq!((units.feeder, units.film), (Some((27_200, 44_800)), None));
        assert!(units.kind.is_duplex() && units.kind.has_button() && units.kind.is_flatbed());
        assert_eq!(Units::parse(&[0, 0x80]).feeder, None);
    }

    #[test]
    fn esc_i_for_hardware_says_how_far_colours_are_apart_and_which_resolutions_go_both_ways() {
        let lists = |across: &[u16], down: &[u16]| -> Vec<u8> {
            let words = [across, &[0], down, &[0]].concat();
            words.iter().flat_map(|word| word.to_le_bytes()).collect()
        };
        let head = [0x58, 0x02, 0x80, 0, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let whole = [&head[..], &lists(&[75, 300, 600], &[75, 150, 300])].concat();
        let hardware = Hardware::parse(&whole).expect("a D1");
        assert_eq!(hardware, Hardware { base_dpi: 600, line_spacing: 8, resolutions: vec![75, 300] });
        for (at, byte) in [(4, 9), (0, 0)] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            if at == 0 {
                bytes[1] = 0;
            }
            assert!(Hardware::parse(&bytes).is_err(), "byte {at}");
        }
        assert!(Hardware::parse(&[&head[..], &lists(&[75], &[300])].concat()).is_err());
        assert!(Hardware::parse(&head[..13]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Units::parse(&bytes);
            if let Ok(hardware) = Hardware::parse(&bytes) {
                prop_assert!(!hardware.resolutions.is_empty() && hardware.base_dpi > 0);
            }
            let _ = EscIdentity::parse(&bytes);
            let _ = name_in_status(&bytes);
            let mut whole = bytes;
            whole.resize(80, 0x20);
            let _ = FsIdentity::parse(&whole);
        }
    }
}

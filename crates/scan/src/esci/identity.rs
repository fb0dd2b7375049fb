//! What a scanner says it is: ESC I, FS I, and the name in ESC f. Bytes in, values out.

use super::Nonsense;

/// ESC I: the level, the resolutions, the glass.
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
    /// [`Nonsense::Identity`] for anything else, for no resolution, for a resolution or an area of 0.
    pub fn parse(bytes: &[u8]) -> Result<EscIdentity, Nonsense> {
        let wrong = |at| Nonsense::Identity { item: "ESC I", at };
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
    /// The glass in pixels at `base_dpi`.
    pub area: (u32, u32),
    /// Its name, without padding.
    pub model: String,
    /// The version of its firmware.
    pub firmware: String,
    /// Bits of a sample that it can send.
    pub depth: u8,
}

/// Bytes of FS I.
pub const FS_IDENTITY_BYTES: usize = 80;

impl FsIdentity {
    /// Reads the 80 bytes.
    ///
    /// # Errors
    /// [`Nonsense::Length`]; [`Nonsense::Identity`] for a resolution or an area of 0 or out of all bounds.
    pub fn parse(bytes: &[u8]) -> Result<FsIdentity, Nonsense> {
        let item = "FS I";
        if bytes.len() != FS_IDENTITY_BYTES {
            return Err(Nonsense::Length { item, expected: FS_IDENTITY_BYTES, got: bytes.len() });
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let within = |at: usize, least: u32| {
            let value = word(at);
            // A million dots per inch, and ten million pixels, are more than optics will give.
            if (least..10_000_000).contains(&value) { Ok(value) } else { Err(Nonsense::Identity { item, at }) }
        };
        let (least_dpi, most_dpi) = (within(8, 1)?, within(12, 1)?);
        if least_dpi > most_dpi || most_dpi > 1_000_000 {
            return Err(Nonsense::Identity { item, at: 12 });
        }
        Ok(FsIdentity {
            level: [bytes[0], bytes[1]],
            base_dpi: within(4, 1)?,
            least_dpi,
            most_dpi,
            longest_line: word(16),
            area: (within(20, 8)?, within(24, 1)?),
            model: text(&bytes[46..62]),
            firmware: text(&bytes[62..66]),
            depth: bytes[67],
        })
    }
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

    /// The V850 of a published `scanimage -A`, see the fact sheet.
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
            assert!(matches!(EscIdentity::parse(bytes), Err(Nonsense::Identity { .. })), "{bytes:02x?}");
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

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = EscIdentity::parse(&bytes);
            let _ = name_in_status(&bytes);
            let mut whole = bytes;
            whole.resize(80, 0x20);
            let _ = FsIdentity::parse(&whole);
        }
    }
}

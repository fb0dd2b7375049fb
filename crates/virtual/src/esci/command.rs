//! Which commands there are, and how many parameter bytes each takes (esc-i, sections 2.1, 2.2, 2.4).

use super::traits::{Level, Traits};

/// The prefix of a two-byte command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Esc,
    Fs,
}

/// What follows the two bytes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing: it is carried out at once.
    Nothing,
    /// After an ACK, so many bytes.
    Bytes(usize),
    /// After an ACK, two bytes, and the square of the second.
    Dither,
}

/// What a command takes, or `None` when this scanner does not have it.
pub(super) fn takes(traits: &Traits, prefix: Prefix, code: u8) -> Option<Takes> {
    match prefix {
        Prefix::Fs if !traits.has_fs() => None,
        Prefix::Fs => match code {
            b'I' | b'F' | b'S' | b'G' => Some(Takes::Nothing),
            b'W' => Some(Takes::Bytes(64)),
            _ => None,
        },
        Prefix::Esc => {
            let (takes, since) = escape(code)?;
            // The capture commands belong to those scanners that have FS.
            let has = traits.level >= since && (!matches!(code, b'(' | b')') || traits.has_fs());
            has.then_some(takes)
        }
    }
}

/// What an ESC command takes, and the level it came with.
fn escape(code: u8) -> Option<(Takes, Level)> {
    let least = Level::B4;
    Some(match code {
        b'@' | b'I' | b'F' | b'f' | b'S' | b'G' => (Takes::Nothing, least),
        b'C' | b'D' | b'B' | b'L' | b'Z' | b'M' | b'e' | b'g' | b'd' | b'Q' => (Takes::Bytes(1), least),
        b'R' => (Takes::Bytes(4), least),
        b'H' => (Takes::Bytes(2), least),
        b'A' => (Takes::Bytes(8), least),
        b'm' => (Takes::Bytes(9), least),
        b'z' => (Takes::Bytes(257), least),
        b'b' => (Takes::Dither, least),
        b'K' => (Takes::Bytes(1), Level::B5),
        b's' | b'N' | b't' => (Takes::Bytes(1), Level::B7),
        b'!' => (Takes::Nothing, Level::B7),
        b'p' => (Takes::Bytes(1), Level::B8),
        b'q' => (Takes::Nothing, Level::B8),
        b'(' | b')' => (Takes::Nothing, least),
        _ => return None,
    })
}

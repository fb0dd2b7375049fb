//! Which commands there are, and how many parameter bytes each takes (docs/esc-i.md, "Commands").

use super::capabilities::Capabilities;

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
pub(super) fn takes(capabilities: &Capabilities, prefix: Prefix, code: u8) -> Option<Takes> {
    match prefix {
        Prefix::Fs if !capabilities.has_fs() => None,
        Prefix::Fs => match code {
            b'I' | b'F' | b'S' | b'G' => Some(Takes::Nothing),
            b'W' => Some(Takes::Bytes(64)),
            _ => None,
        },
        Prefix::Esc => {
            // The capture commands belong to those scanners that have FS.
            let has = if matches!(code, b'(' | b')') { capabilities.has_fs() } else { capabilities.level.has(code) };
            escape(code).filter(|_| has)
        }
    }
}

/// What an ESC command takes.
fn escape(code: u8) -> Option<Takes> {
    Some(match code {
        b'@' | b'I' | b'F' | b'f' | b'S' | b'G' | b'i' | b'!' | b'q' | b'(' | b')' => Takes::Nothing,
        b'C' | b'D' | b'B' | b'L' | b'Z' | b'M' | b'e' | b'g' | b'd' | b'Q' => Takes::Bytes(1),
        b'K' | b's' | b'N' | b't' | b'p' => Takes::Bytes(1),
        b'R' => Takes::Bytes(4),
        b'H' => Takes::Bytes(2),
        b'A' => Takes::Bytes(8),
        b'm' => Takes::Bytes(9),
        b'z' => Takes::Bytes(257),
        b'b' => Takes::Dither,
        _ => return None,
    })
}

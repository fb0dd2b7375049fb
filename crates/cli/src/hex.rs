//! Hexadecimal, as `usbscan raw` reads and prints it.

use std::fmt::Write as _;
use std::str::FromStr;

/// Parsed hex digits: `1b40`, `1B 40`, `1b:40`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HexBytes(pub Vec<u8>);

impl FromStr for HexBytes {
    type Err = String;

    fn from_str(text: &str) -> Result<HexBytes, String> {
        let digits = text.chars().filter(|c| !c.is_whitespace() && *c != ':');
        let values: Vec<u8> = digits
            .map(|c| c.to_digit(16).map(|value| value as u8).ok_or(format!("{c:?} is not a hex digit")))
            .collect::<Result<_, _>>()?;
        if values.len() % 2 != 0 {
            return Err(format!("{} hex digits: a byte needs two", values.len()));
        }
        Ok(HexBytes(values.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
    }
}

/// `1b40`.
pub fn plain(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A hex dump: offset, sixteen bytes, and their ASCII characters on each line.
pub fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { *byte as char } else { '.' };
        let characters: String = line.iter().map(shown).collect();
        let _ = writeln!(text, "{:06x}  {:<47}  {characters}", number * 16, hex.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_colons_are_ignored_and_odd_digits_refused() {
        assert_eq!("1B 40".parse(), Ok(HexBytes(vec![0x1b, 0x40])));
        assert_eq!("1b:40".parse(), Ok(HexBytes(vec![0x1b, 0x40])));
        assert_eq!("".parse(), Ok(HexBytes(vec![])));
        assert!("1b4".parse::<HexBytes>().is_err());
        assert!("1g".parse::<HexBytes>().is_err());
    }

    #[test]
    fn a_dump_shows_offset_digits_and_characters() {
        let text = dump(b"\x1b@EPSON Perfection");
        assert_eq!(
            text,
            "000000  1b 40 45 50 53 4f 4e 20 50 65 72 66 65 63 74 69  .@EPSON Perfecti\n\
             000010  6f 6e                                            on\n"
        );
        assert_eq!(plain(b"\x1b@"), "1b40");
    }
}

//! Bytes inside a header are strings of hex digits: `"1b40"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::Unexpected};

/// Bytes that travel as hex digits, two a byte, lower case when written, either when read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HexBytes(pub Vec<u8>);

impl HexBytes {
    /// Reads pairs of hex digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<HexBytes> {
        if text.len() % 2 != 0 {
            return None;
        }
        let digit = |b: u8| (b as char).to_digit(16);
        let pair = |p: &[u8]| Some((digit(p[0])? << 4 | digit(p[1])?) as u8);
        text.as_bytes().chunks_exact(2).map(pair).collect::<Option<Vec<u8>>>().map(HexBytes)
    }
}

impl std::fmt::Display for HexBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HexBytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        HexBytes::parse(&text).ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&text), &"pairs of hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_survives_there_and_back_and_rubbish_is_refused() {
        assert_eq!(HexBytes::parse("1B40"), Some(HexBytes(vec![0x1b, 0x40])));
        assert_eq!(HexBytes(vec![0, 255]).to_string(), "00ff");
        assert_eq!(HexBytes::parse("1"), None);
        assert_eq!(HexBytes::parse("zz"), None);
        assert_eq!(HexBytes::parse("+1"), None);
        assert_eq!(HexBytes::parse("é"), None);
    }
}

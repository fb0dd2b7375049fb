//! Requests, heads of replies, and the tokens in them: all in groups of four characters. Bytes in, values out; what can't be
//! understood is passed over, as the sources ask for.

use crate::ProtocolError;

/// Bytes of a request.
pub const REQUEST_BYTES: usize = 12;
/// Bytes of the head of a reply.
pub const REPLY_BYTES: usize = 64;
/// Numbers below this have a short form.
const SHORT_NUMBERS: u32 = 1000;

/// A request: its code, and how many bytes of parameters follow.
pub fn request(code: &str, parameters: usize) -> Vec<u8> {
    format!("{code}x{parameters:07x}").into_bytes()
}

/// A number as a parameter.
pub fn number(value: u32) -> String {
    if value < SHORT_NUMBERS { format!("d{value:03}") } else { integer(value) }
}

/// A number in its long form.
pub fn integer(value: u32) -> String {
    format!("i{value:07}")
}

/// The head of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What it answers; `UNKN`, `INVD`.
    pub code: [u8; 4],
    /// Bytes of data that follow.
    pub length: usize,
    /// What else it says.
    pub tokens: Vec<Token>,
}

impl Head {
    /// Reads the 64 bytes.
    ///
    /// # Errors
    /// [`ProtocolError::NoReply`].
    pub fn parse(bytes: &[u8], to: &'static str) -> Result<Head, ProtocolError> {
        let bad = ProtocolError::NoReply { to };
        let (head, rest) = bytes.split_first_chunk::<REQUEST_BYTES>().ok_or(bad.clone())?;
        let [a, b, c, d, b'x', digits @ ..] = head else { return Err(bad) };
        let code = [*a, *b, *c, *d];
        if bytes.len() != REPLY_BYTES || !code.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(bad);
        }
        let length = hexadecimal(digits).ok_or(bad)?;
        Ok(Head { code, length, tokens: tokens(rest) })
    }
}

/// A key and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `#pst`, `#ADF`, …
    pub key: [u8; 4],
    /// What follows it.
    pub values: Vec<TokenValue>,
}

/// A value behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenValue {
    /// `d123`, `i0001234`, `x00001aB`.
    Number(i64),
    /// Four characters.
    Word([u8; 4]),
    /// `h003abc.`.
    Bytes(Vec<u8>),
}

/// The tokens of a reply, up to the end marker or what is none.
pub fn tokens(mut bytes: &[u8]) -> Vec<Token> {
    let mut all: Vec<Token> = Vec::new();
    while let Some((group, rest)) = bytes.split_first_chunk::<4>() {
        bytes = rest;
        match group {
            b"#---" => break,
            [b'#', ..] => all.push(Token { key: *group, values: Vec::new() }),
            _ => {
                let Some((value, rest)) = value(*group, bytes) else { break };
                bytes = rest;
                if let Some(token) = all.last_mut() {
                    token.values.push(value);
                }
            }
        }
    }
    all
}

/// The value that begins with a group, and what is behind it. `None`: there is less than it says.
fn value(group: [u8; 4], rest: &[u8]) -> Option<(TokenValue, &[u8])> {
    let long = || rest.split_first_chunk::<4>().map(|(more, rest)| ([&group[1..], more].concat(), rest));
    match group[0] {
        b'd' => {
            if let Some(number) = decimal(&group[1..]) {
                return Some((TokenValue::Number(number), rest));
            }
        }
        b'i' => {
            if let Some((number, rest)) = long().and_then(|(digits, rest)| Some((decimal(&digits)?, rest))) {
                return Some((TokenValue::Number(number), rest));
            }
        }
        b'x' => {
            if let Some((number, rest)) = long().and_then(|(digits, rest)| Some((hexadecimal(&digits)?, rest))) {
                return Some((TokenValue::Number(number as i64), rest));
            }
        }
        b'h' => {
            if let Some(length) = hexadecimal(&group[1..]) {
                let (raw, rest) = rest.split_at_checked(length.next_multiple_of(4))?;
                return Some((TokenValue::Bytes(raw[..length].to_vec()), rest));
            }
        }
        _ => {}
    }
    Some((TokenValue::Word(group), rest))
}

fn decimal(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Digits only: no sign.
fn hexadecimal(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    usize::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Head, ProtocolError> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(REPLY_BYTES, 0);
        Head::parse(&bytes, "IMG")
    }

    #[test]
    fn a_head_has_a_code_a_length_and_tokens() {
        let head = head("IMG x00012aB#psti0000256d003i0000945#typIMGB#---#lftd000").expect("a head");
        assert_eq!((&head.code, head.length), (b"IMG ", 0x12ab));
        let numbers = [256, 3, 945].map(TokenValue::Number).to_vec();
        let side = Token { key: *b"#typ", values: vec![TokenValue::Word(*b"IMGB")] };
        assert_eq!(head.tokens, [Token { key: *b"#pst", values: numbers }, side]);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for bad in ["", "\x15", "IMG y0001000", "IMG x+001000", "IMG x00z1000", "\x00\x01\x02\x03x0000000"] {
            assert_eq!(head(bad), Err(ProtocolError::NoReply { to: "IMG" }), "{bad:?}");
        }
        assert!(Head::parse(b"IMG x0000000", "IMG").is_err(), "too short");
    }

    #[test]
    fn raw_bytes_may_hold_what_looks_like_a_key() {
        let all = tokens(b"#GMTRED h006#ABCd1  #PRDh007DS-530 .#BSZi0065536");
        let keys: Vec<&[u8; 4]> = all.iter().map(|token| &token.key).collect();
        assert_eq!(keys, [b"#GMT", b"#PRD", b"#BSZ"]);
        assert_eq!(all[1].values, [TokenValue::Bytes(b"DS-530 ".to_vec())]);
    }

    #[test]
    fn a_number_takes_the_form_that_is_long_enough() {
        assert_eq!([number(0), number(999), number(1000)], ["d000", "d999", "i0001000"]);
        assert_eq!(request("PARA", 0x1a4), b"PARAx00001a4");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = tokens(&bytes);
            let _ = Head::parse(&bytes, "IMG");
        }

        #[test]
        fn no_words_break_it(text in "(#[a-zA-Z]{3}|[dixh][0-9a-f-]{3}|[A-Z ]{4}|[0-9]{4}){0,15}") {
            let _ = tokens(text.as_bytes());
        }

        #[test]
        fn every_number_is_read_as_it_was_written(value in 0u32..10_000_000) {
            let text = format!("#BSZ{}", number(value));
            prop_assert_eq!(tokens(text.as_bytes())[0].values.clone(), vec![TokenValue::Number(value.into())]);
        }
    }
}

//! The words of ESC/I-2: requests, replies and tokens, all of them groups of four characters (docs/esc-i2.md).

/// Bytes of a request, without its parameters.
pub(super) const REQUEST: usize = 12;
/// Bytes of a reply, without its data.
const REPLY: usize = 64;
/// What ends the tokens of a reply.
const END: &str = "#---";

/// A request: its code, and how many bytes of parameters follow. `None`: that is none.
pub(super) fn request(bytes: &[u8; REQUEST]) -> Option<([u8; 4], usize)> {
    let (code, length) = bytes.split_first_chunk::<4>()?;
    let [b'x', digits @ ..] = length else { return None };
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
    Some((*code, usize::from_str_radix(digits, 16).ok()?))
}

/// A reply that announces so many bytes of data; tokens that don't fit are left out.
pub(super) fn reply(code: &[u8; 4], data: usize, tokens: &str) -> Vec<u8> {
    let mut bytes = code.to_vec();
    bytes.extend(format!("x{data:07X}").bytes());
    bytes.extend(tokens.bytes().take(REPLY - REQUEST));
    bytes.extend(END.bytes());
    bytes.resize(REPLY, 0);
    bytes
}

/// A number in the form that is long enough for it.
pub(super) fn number(value: u32) -> String {
    if value < 1000 { format!("d{value:03}") } else { integer(value) }
}

/// A number of seven digits.
pub(super) fn integer(value: u32) -> String {
    format!("i{value:07}")
}

/// Text as raw bytes, filled up to whole groups.
pub(super) fn text(text: &str) -> String {
    let width = text.len().next_multiple_of(4);
    format!("h{:03X}{text:<width$}", text.len())
}

/// A value behind a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenValue {
    Number(i64),
    Word([u8; 4]),
    Bytes(Vec<u8>),
}

/// The keys of a block of parameters, with their values. `None`: it makes no sense.
pub(super) fn parameters(mut bytes: &[u8]) -> Option<Vec<([u8; 4], Vec<TokenValue>)>> {
    let mut all: Vec<([u8; 4], Vec<TokenValue>)> = Vec::new();
    while !bytes.is_empty() {
        let (group, rest) = bytes.split_first_chunk::<4>()?;
        bytes = rest;
        let text = || std::str::from_utf8(&group[1..]).ok();
        let value = match group[0] {
            b'#' if group == END.as_bytes() => return Some(all),
            b'#' => {
                all.push((*group, Vec::new()));
                continue;
            }
            b'd' if group[1..].iter().all(u8::is_ascii_digit) => TokenValue::Number(text()?.parse().ok()?),
            kind @ (b'i' | b'x')
                if bytes.len() >= 4 && group[1..].iter().all(|b| b"-0123456789abcdefABCDEF".contains(b)) =>
            {
                let (more, rest) = bytes.split_first_chunk::<4>()?;
                bytes = rest;
                let digits = format!("{}{}", text()?, std::str::from_utf8(more).ok()?);
                TokenValue::Number(i64::from_str_radix(&digits, if kind == b'i' { 10 } else { 16 }).ok()?)
            }
            b'h' if group[1..].iter().all(u8::is_ascii_hexdigit) => {
                let length = usize::from_str_radix(text()?, 16).ok()?;
                let (raw, rest) = bytes.split_at_checked(length.next_multiple_of(4))?;
                bytes = rest;
                TokenValue::Bytes(raw[..length].to_vec())
            }
            _ => TokenValue::Word(*group),
        };
        all.last_mut()?.1.push(value);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_code_and_seven_digits() {
        assert_eq!(request(b"PARAx00000aB"), Some((*b"PARA", 0xab)));
        assert_eq!(request(b"PARAy00000AB"), None);
        assert_eq!(request(b"PARAx+0000AB"), None);
    }

    #[test]
    fn a_reply_has_64_bytes_whatever_is_in_it() {
        assert_eq!(reply(b"IMG ", 0x1234, "#typIMGA")[..24], *b"IMG x0001234#typIMGA#---");
        assert_eq!(reply(b"IMG ", 0, &"#typIMGA".repeat(10)).len(), 64);
    }

    #[test]
    fn parameters_are_keys_and_values() {
        let all =
            parameters(b"#ADFDPLX#RSMi0000300#ACQd000i-000001x000001f#GMTRED h006#abcde  #PAGd002#---#XXX").unwrap();
        let numbers = vec![TokenValue::Number(0), TokenValue::Number(-1), TokenValue::Number(31)];
        assert_eq!(
            all,
            [
                (*b"#ADF", vec![TokenValue::Word(*b"DPLX")]),
                (*b"#RSM", vec![TokenValue::Number(300)]),
                (*b"#ACQ", numbers),
                (*b"#GMT", vec![TokenValue::Word(*b"RED "), TokenValue::Bytes(b"#abcde".to_vec())]),
                (*b"#PAG", vec![TokenValue::Number(2)]),
            ]
        );
        for bad in [&b"#RS"[..], b"d001", b"#GMTh0ff1234", b"#RSMi000012345678"] {
            assert_eq!(parameters(bad), None, "{bad:?}");
        }
    }
}

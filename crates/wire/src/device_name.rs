//! What names a scanner: its name, its stable id, or a prefix. A function of values that the daemon and its clients share,
//! so that `usbscan watch`, an action and `open` mean the same scanner.

/// How well a text names a scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameMatch {
    /// Another scanner, or none.
    No,
    /// A prefix of the name or of the stable id; others may have it too.
    Prefix,
    /// The name or the stable id.
    Whole,
}

/// Compares `asked` with a scanner's name and stable id, without regard to case.
///
/// A text in the form of a complete name (`usbscan1`) or of a complete id (`04b8:0151:SERIAL`) matches only as a whole. If
/// it matched as a prefix, an id that a program has stored would mean another scanner while its own is unplugged:
/// `04b8:0151:1-1` would mean `04b8:0151:1-10`.
pub fn match_name(asked: &str, name: &str, stable_id: &str) -> NameMatch {
    if name.eq_ignore_ascii_case(asked) || stable_id.eq_ignore_ascii_case(asked) {
        return NameMatch::Whole;
    }
    let begins = |text: &str| text.get(..asked.len()).is_some_and(|start| start.eq_ignore_ascii_case(asked));
    let is_complete = is_complete_name(asked) || is_complete_id(asked);
    if !is_complete && (begins(name) || begins(stable_id)) { NameMatch::Prefix } else { NameMatch::No }
}

/// `usbscanN`.
fn is_complete_name(text: &str) -> bool {
    let number = text.get(..7).filter(|start| start.eq_ignore_ascii_case("usbscan")).map(|_| &text[7..]);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// `VVVV:PPPP:` and something behind it.
fn is_complete_id(text: &str) -> bool {
    let mut parts = text.splitn(3, ':');
    let mut is_number =
        || parts.next().is_some_and(|part| part.len() == 4 && part.bytes().all(|digit| digit.is_ascii_hexdigit()));
    is_number() && is_number() && parts.next().is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_id_matches_only_as_a_whole() {
        assert_eq!(match_name("04b8:0151:200-1", "usbscan0", "04b8:0151:200-10"), NameMatch::No);
        assert_eq!(match_name("04b8:0151:200-10", "usbscan0", "04B8:0151:200-10"), NameMatch::Whole);
        assert_eq!(match_name("04b8:0151:", "usbscan0", "04b8:0151:200-10"), NameMatch::Prefix);
        assert_eq!(match_name("04b8:01", "usbscan0", "04b8:0151:200-10"), NameMatch::Prefix);
        assert_eq!(match_name("04b9", "usbscan0", "04b8:0151:200-10"), NameMatch::No);
    }

    #[test]
    fn a_complete_name_matches_only_as_a_whole() {
        assert_eq!(match_name("usbscan1", "usbscan10", "04b8:0151:A"), NameMatch::No);
        assert_eq!(match_name("USBSCAN1", "usbscan1", "04b8:0151:A"), NameMatch::Whole);
        assert_eq!(match_name("usb", "usbscan10", "04b8:0151:A"), NameMatch::Prefix);
        assert_eq!(match_name("é", "usbscan10", "04b8:0151:é"), NameMatch::No);
        assert_eq!(match_name("", "usbscan10", "04b8:0151:A"), NameMatch::Prefix);
    }
}

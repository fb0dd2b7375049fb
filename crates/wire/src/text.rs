//! Text from outside (a device's strings, a program's name, a daemon's message) made fit for a terminal, a log and a file
//! name.

/// At most so many characters of `text`, without spaces around it. Characters that a terminal obeys, or that make text look
/// like other text, become U+FFFD: controls (line ends and escape sequences among them), marks that turn the direction of
/// writing, characters without width, and those of the tag block.
///
/// ```
/// assert_eq!(usbscan_wire::printable(" V850\u{1b}[2J\n", 64), "V850\u{fffd}[2J");
/// ```
pub fn printable(text: &str, most: usize) -> String {
    let plain = |c: char| if is_obeyed(c) { char::REPLACEMENT_CHARACTER } else { c };
    text.trim().chars().take(most).map(plain).collect()
}

fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Without width, and marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Ends of lines and paragraphs; embeddings and overrides of direction.
            | '\u{2028}'..='\u{202e}'
            // Word joiner, invisible operators, isolates, and controls that Unicode discourages.
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_nobody_sees_is_replaced_one_for_one() {
        for bad in [
            "\n",
            "\r",
            "\t",
            "\0",
            "\u{1b}",
            "\u{7f}",
            "\u{9b}",
            "\u{202e}",
            "\u{2066}",
            "\u{200b}",
            "\u{feff}",
            "\u{e0041}",
        ] {
            assert_eq!(printable(&format!("a{bad}b"), 9), "a\u{fffd}b", "{:?}", bad);
        }
    }

    #[test]
    fn words_of_any_script_stay_and_are_cut_by_characters() {
        assert_eq!(printable("スキャナー é ñ 🖨", 64), "スキャナー é ñ 🖨");
        assert_eq!(printable("スキャナー", 3), "スキャ");
        assert_eq!(printable("  two words ", 64), "two words");
        assert_eq!(printable("", 64), "");
    }
}

//! Serial numbers that scanners tell in texts of their protocols, which need not be those of their USB descriptors: a token
//! of ESC/I-2, elements of eSCL's documents. Replaced by as many X, byte for byte.

/// The serial number among the tokens of INFO (ESC/I-2), in front of a length of three hex digits.
const TOKEN: &[u8] = b"#S/Nh";
/// Elements that name one device (eSCL), without their namespaces; addresses hold its name in the network.
const ELEMENTS: [&[u8]; 4] = [b"SerialNumber", b"UUID", b"AdminURI", b"IconURI"];
/// A longer name is none of these.
const LONGEST_NAME: usize = 64;

/// Replaces the serial number in the data of INFO.
pub(super) fn cover_token(text: &mut [u8]) {
    let found: Vec<usize> =
        text.windows(TOKEN.len()).enumerate().filter(|(_, w)| *w == TOKEN).map(|(at, _)| at).collect();
    for at in found {
        let length = at + TOKEN.len();
        let digits = text.get(length..length + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(count) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else { continue };
        let end = (length + 3 + count).min(text.len());
        cover(&mut text[length + 3..end]);
    }
}

fn cover(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| byte.is_ascii_alphanumeric()).for_each(|byte| *byte = b'X');
}

/// An XML document that passes in pieces.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// The name of the tag that it is in, as far as it came, or of the last one.
    name: Vec<u8>,
    state: DocumentState,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum DocumentState {
    #[default]
    Text,
    Name,
    Attributes,
}

impl Document {
    /// Replaces the texts of the elements above in the next piece.
    pub(super) fn cover(&mut self, piece: &mut [u8]) {
        for byte in piece {
            match (self.state, *byte) {
                (DocumentState::Text, b'<') => (self.state, self.name) = (DocumentState::Name, Vec::new()),
                (DocumentState::Text, _) if self.is_covered() => cover(std::slice::from_mut(byte)),
                (DocumentState::Text, _) => {}
                (_, b'>') => self.state = DocumentState::Text,
                (DocumentState::Name, b' ' | b'\t' | b'\r' | b'\n') => self.state = DocumentState::Attributes,
                (DocumentState::Name, byte) if self.name.len() < LONGEST_NAME => self.name.push(byte),
                _ => {}
            }
        }
    }

    fn is_covered(&self) -> bool {
        let local = self.name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
        ELEMENTS.iter().any(|element| local.eq_ignore_ascii_case(element)) && !self.name.starts_with(b"/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_number_among_tokens_becomes_x() {
        let mut text = b"#PRDh006DS-530  #S/Nh00AX2AB012345  #VERh004ABCD#S/Nh".to_vec();
        cover_token(&mut text);
        assert_eq!(text, b"#PRDh006DS-530  #S/Nh00AXXXXXXXXXX  #VERh004ABCD#S/Nh");
    }

    #[test]
    fn serial_numbers_and_uuids_in_documents_become_x_in_whatever_pieces_they_come() {
        let before =
            "<?xml?><a:B><pwg:SerialNumber>CN12-A</pwg:SerialNumber> left <scan:UUID x=\"1\">4509-a</scan:UUID></a:B>";
        let after = before.replace("CN12-A", "XXXX-X").replace("4509-a", "XXXX-X");
        for size in 1..before.len() {
            let (mut text, mut document) = (before.as_bytes().to_vec(), Document::default());
            text.chunks_mut(size).for_each(|piece| document.cover(piece));
            assert_eq!(String::from_utf8_lossy(&text), after);
        }
    }
}

//! What the tokens in the head of a reply say: errors, readiness, where an image begins and ends. Values only.

use super::message::{Token, TokenValue};
use crate::DeviceError;

/// A side of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The only one, on the flatbed.
    Front,
    /// The other.
    Back,
}

/// An image begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageStart {
    /// Pixels of a line.
    pub width: u32,
    /// Bytes behind each raw line that mean nothing.
    pub dummy: u32,
    /// Lines; at most, from a feeder.
    pub height: u32,
}

/// Why it can't do now what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// It is busy for a moment.
    Busy,
    /// Its lamp warms up.
    WarmingUp,
    /// Another host has it.
    Reserved,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyInfo {
    /// What is wrong.
    pub problem: Option<DeviceError>,
    /// It is not ready.
    pub not_ready: Option<NotReady>,
    /// Whose image data comes with it.
    pub side: Side,
    /// An image begins with it.
    pub start: Option<ImageStart>,
    /// One ends, with so many lines.
    pub end: Option<u32>,
    /// Images that are left.
    pub left: Option<u32>,
    /// Cancelled at the scanner's panel.
    pub is_cancel: bool,
    /// Parameters: whether they were taken.
    pub taken: Option<bool>,
}

/// What a part and a cause mean (docs/esc-i2.md).
pub fn problem(part: &[u8; 4], cause: &[u8; 4]) -> DeviceError {
    match cause {
        b"OPN " => DeviceError::CoverOpen,
        b"PJ  " => DeviceError::PaperJam,
        b"PE  " => DeviceError::NoDocuments,
        b"DFED" => DeviceError::DoubleFeed,
        b"DTCL" => DeviceError::TrayOut,
        b"LTF " => DeviceError::Lamp,
        b"LOCK" => DeviceError::CarriageLocked,
        b"AUTH" | b"PERM" => DeviceError::NotAllowed,
        b"BTLO" => DeviceError::BatteryLow,
        _ if part == b"ADF " => DeviceError::Feeder,
        _ if part == b"TPU " => DeviceError::TransparencyUnit,
        _ => DeviceError::Fatal,
    }
}

impl ReplyInfo {
    /// Reads them; unknown ones are passed over.
    pub fn read(tokens: &[Token]) -> ReplyInfo {
        let mut info = ReplyInfo {
            problem: None,
            not_ready: None,
            side: Side::Front,
            start: None,
            end: None,
            left: None,
            is_cancel: false,
            taken: None,
        };
        for token in tokens {
            info.take(token);
        }
        info
    }

    fn take(&mut self, token: &Token) {
        let size = |number: &i64| u32::try_from(*number).unwrap_or(u32::MAX);
        match (&token.key, &token.values[..]) {
            (b"#err", [TokenValue::Word(part), TokenValue::Word(cause), ..]) => {
                self.problem = self.problem.or(Some(problem(part, cause)));
            }
            (b"#nrd", [TokenValue::Word(word), ..]) => {
                self.not_ready = match word {
                    b"BUSY" => Some(NotReady::Busy),
                    // One source has the one, one the other.
                    b"WUP " | b"WUD " => Some(NotReady::WarmingUp),
                    b"RSVD" => Some(NotReady::Reserved),
                    _ => None,
                }
            }
            (b"#pst", [TokenValue::Number(width), TokenValue::Number(dummy), TokenValue::Number(height), ..]) => {
                self.start = Some(ImageStart { width: size(width), dummy: size(dummy), height: size(height) });
            }
            (b"#pen", [TokenValue::Number(_), TokenValue::Number(height), ..]) => self.end = Some(size(height)),
            (b"#lft", [TokenValue::Number(left), ..]) => self.left = Some(size(left)),
            (b"#typ", [TokenValue::Word(word), ..]) => {
                self.side = if word == b"IMGB" { Side::Back } else { Side::Front };
            }
            (b"#atn", [TokenValue::Word(word), ..]) => self.is_cancel = word == b"CAN ",
            (b"#par", [TokenValue::Word(word), ..]) => self.taken = Some(word == b"OK  "),
            _ => {}
        }
    }
}

/// What STAT says is wrong with a part: `ADF `, `FB  `.
pub fn status(tokens: &[Token], of: &[u8; 4]) -> Option<DeviceError> {
    tokens.iter().find_map(|token| match (&token.key, &token.values[..]) {
        (b"#ERR", [TokenValue::Word(part), TokenValue::Word(cause), ..]) if part == of => Some(problem(part, cause)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::tokens;
    use super::*;

    fn info(text: &str) -> ReplyInfo {
        ReplyInfo::read(&tokens(text.as_bytes()))
    }

    #[test]
    fn an_image_begins_and_ends() {
        let first = info("#psti0000256i0000003i0000945#typIMGB");
        assert_eq!(first.start, Some(ImageStart { width: 256, dummy: 3, height: 945 }));
        assert_eq!(first.side, Side::Back);
        let last = info("#peni0000256i0000940#lftd000#typIMGA");
        assert_eq!((last.end, last.left, last.side), (Some(940), Some(0), Side::Front));
    }

    #[test]
    fn every_trouble_has_its_words() {
        let said = [
            ("#errADF OPN ", DeviceError::CoverOpen),
            ("#errADF PJ  ", DeviceError::PaperJam),
            ("#errADF PE  ", DeviceError::NoDocuments),
            ("#errADF DFED", DeviceError::DoubleFeed),
            ("#errADF DTCL", DeviceError::TrayOut),
            ("#errADF ERR ", DeviceError::Feeder),
            ("#errFB  LTF ", DeviceError::Lamp),
            ("#errFB  LOCK", DeviceError::CarriageLocked),
            ("#errFB  AUTH", DeviceError::NotAllowed),
            ("#errFB  PERM", DeviceError::NotAllowed),
            ("#errFB  BTLO", DeviceError::BatteryLow),
            ("#errFB  ERR ", DeviceError::Fatal),
            ("#errTPU WHAT", DeviceError::TransparencyUnit),
            ("#errADF PJ  #errFB  ERR ", DeviceError::PaperJam),
        ];
        for (text, problem) in said {
            assert_eq!(info(text).problem, Some(problem), "{text}");
        }
        assert_eq!(info("#nrdNONE#atnNONE#parFAIL").taken, Some(false));
        assert_eq!(info("#nrdWUP ").not_ready, Some(NotReady::WarmingUp));
        assert!(info("#atnCAN ").is_cancel && !info("#atnNONE").is_cancel);
    }

    #[test]
    fn a_status_speaks_of_one_part_at_a_time() {
        let status = |of| status(&tokens(b"#ERRADF PE  #ERRFB  OPN "), of);
        assert_eq!(status(b"ADF "), Some(DeviceError::NoDocuments));
        assert_eq!(status(b"FB  "), Some(DeviceError::CoverOpen));
        assert_eq!(status(b"TPU "), None);
    }

    proptest! {
        #[test]
        fn no_tokens_break_it(text in "(#(err|nrd|pst|pen|lft|typ|atn|par)|[di][0-9-]{3,7}|[A-Z ]{4}){0,15}") {
            let _ = info(&text);
        }
    }
}

//! What the tokens in the head of a reply say: errors, readiness, where an image begins and ends. Values only.

use super::words::{Token, Value};
use crate::Problem;

/// A side of a sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The only one, on glass.
    Front,
    /// The other.
    Back,
}

/// An image begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
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
    /// Somebody else has it.
    Reserved,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notes {
    /// What is wrong.
    pub problem: Option<Problem>,
    /// It is not ready.
    pub not_ready: Option<NotReady>,
    /// Whose image data comes with it.
    pub side: Side,
    /// An image begins with it.
    pub start: Option<Start>,
    /// One ends, with so many lines.
    pub end: Option<u32>,
    /// Images that are left.
    pub left: Option<u32>,
    /// Somebody at the scanner wants it to stop.
    pub is_cancel: bool,
    /// Parameters: whether they were taken.
    pub taken: Option<bool>,
}

/// What a part and a cause mean (docs/esc-i2.md).
pub fn problem(part: &[u8; 4], cause: &[u8; 4]) -> Problem {
    match cause {
        b"OPN " => Problem::CoverOpen,
        b"PJ  " => Problem::PaperJam,
        b"PE  " => Problem::NoDocuments,
        b"DFED" => Problem::DoubleFeed,
        b"DTCL" => Problem::TrayOut,
        b"LTF " => Problem::Lamp,
        b"LOCK" => Problem::CarriageLocked,
        b"AUTH" | b"PERM" => Problem::NotAllowed,
        b"BTLO" => Problem::BatteryLow,
        _ if part == b"ADF " => Problem::Feeder,
        _ if part == b"TPU " => Problem::TransparencyUnit,
        _ => Problem::Fatal,
    }
}

impl Notes {
    /// Reads them; unknown ones are passed over.
    pub fn read(tokens: &[Token]) -> Notes {
        let mut notes = Notes {
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
            notes.take(token);
        }
        notes
    }

    fn take(&mut self, token: &Token) {
        let size = |number: &i64| u32::try_from(*number).unwrap_or(u32::MAX);
        match (&token.key, &token.values[..]) {
            (b"#err", [Value::Word(part), Value::Word(cause), ..]) => {
                self.problem = self.problem.or(Some(problem(part, cause)));
            }
            (b"#nrd", [Value::Word(word), ..]) => {
                self.not_ready = match word {
                    b"BUSY" => Some(NotReady::Busy),
                    // One source has the one, one the other.
                    b"WUP " | b"WUD " => Some(NotReady::WarmingUp),
                    b"RSVD" => Some(NotReady::Reserved),
                    _ => None,
                }
            }
            (b"#pst", [Value::Number(width), Value::Number(dummy), Value::Number(height), ..]) => {
                self.start = Some(Start { width: size(width), dummy: size(dummy), height: size(height) });
            }
            (b"#pen", [Value::Number(_), Value::Number(height), ..]) => self.end = Some(size(height)),
            (b"#lft", [Value::Number(left), ..]) => self.left = Some(size(left)),
            (b"#typ", [Value::Word(word), ..]) => {
                self.side = if word == b"IMGB" { Side::Back } else { Side::Front };
            }
            (b"#atn", [Value::Word(word), ..]) => self.is_cancel = word == b"CAN ",
            (b"#par", [Value::Word(word), ..]) => self.taken = Some(word == b"OK  "),
            _ => {}
        }
    }
}

/// What STAT says is wrong with a part: `ADF `, `FB  `.
pub fn status(tokens: &[Token], of: &[u8; 4]) -> Option<Problem> {
    tokens.iter().find_map(|token| match (&token.key, &token.values[..]) {
        (b"#ERR", [Value::Word(part), Value::Word(cause), ..]) if part == of => Some(problem(part, cause)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::tokens;
    use super::*;

    fn notes(text: &str) -> Notes {
        Notes::read(&tokens(text.as_bytes()))
    }

    #[test]
    fn an_image_begins_and_ends() {
        let first = notes("#psti0000256i0000003i0000945#typIMGB");
        assert_eq!(first.start, Some(Start { width: 256, dummy: 3, height: 945 }));
        assert_eq!(first.side, Side::Back);
        let last = notes("#peni0000256i0000940#lftd000#typIMGA");
        assert_eq!((last.end, last.left, last.side), (Some(940), Some(0), Side::Front));
    }

    #[test]
    fn every_trouble_has_its_words() {
        let said = [
            ("#errADF OPN ", Problem::CoverOpen),
            ("#errADF PJ  ", Problem::PaperJam),
            ("#errADF PE  ", Problem::NoDocuments),
            ("#errADF DFED", Problem::DoubleFeed),
            ("#errADF DTCL", Problem::TrayOut),
            ("#errADF ERR ", Problem::Feeder),
            ("#errFB  LTF ", Problem::Lamp),
            ("#errFB  LOCK", Problem::CarriageLocked),
            ("#errFB  AUTH", Problem::NotAllowed),
            ("#errFB  PERM", Problem::NotAllowed),
            ("#errFB  BTLO", Problem::BatteryLow),
            ("#errFB  ERR ", Problem::Fatal),
            ("#errTPU WHAT", Problem::TransparencyUnit),
            ("#errADF PJ  #errFB  ERR ", Problem::PaperJam),
        ];
        for (text, problem) in said {
            assert_eq!(notes(text).problem, Some(problem), "{text}");
        }
        assert_eq!(notes("#nrdNONE#atnNONE#parFAIL").taken, Some(false));
        assert_eq!(notes("#nrdWUP ").not_ready, Some(NotReady::WarmingUp));
        assert!(notes("#atnCAN ").is_cancel && !notes("#atnNONE").is_cancel);
    }

    #[test]
    fn a_status_speaks_of_one_part_at_a_time() {
        let status = |of| status(&tokens(b"#ERRADF PE  #ERRFB  OPN "), of);
        assert_eq!(status(b"ADF "), Some(Problem::NoDocuments));
        assert_eq!(status(b"FB  "), Some(Problem::CoverOpen));
        assert_eq!(status(b"TPU "), None);
    }

    proptest! {
        #[test]
        fn no_tokens_break_it(text in "(#(err|nrd|pst|pen|lft|typ|atn|par)|[di][0-9-]{3,7}|[A-Z ]{4}){0,15}") {
            let _ = notes(&text);
        }
    }
}

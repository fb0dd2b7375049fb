//! ESC/I-2: Epson's document scanners and all-in-ones since about 2010, which take requests of four letters. What is known of
//! it, from where, and what is not confirmed: docs/esc-i2.md.
//!
//! Each sheet is a job of its own, of one image or, with both sides, of two, so that the scanner is idle between two
//! pages like any other. In a duplex job chunks of front and back come by turns: the front goes to the sink as it comes, the
//! back, as it came, into a nameless temporary file (memory, as long as it is small), for the call that asks for it.
//!
//! | file | what |
//! |---|---|
//! | [`words`], [`notes`] | the scanner's words as values; public, for fuzzing |
//! | `abilities`, `plan` | options of people to parameters for the scanner |
//! | `dialogue` | a request and its reply; where in a session the scanner is |
//! | `sheet` | the images of one job as they come, and the one that has to wait |
//! | `lines` | raw and JPEG data to lines of the page |
//! | `resync` | back in step from any state, by us or by the daemon |
//! | `scanner` | the whole of a page |

mod abilities;
mod dialogue;
mod lines;
pub mod notes;
mod plan;
mod resync;
mod scanner;
mod sheet;
pub mod words;

use crate::esci::Patience;
use crate::{Driver, Progress, ScanError, Scanner, Transport};

/// The driver.
#[derive(Debug, Clone, Copy)]
pub struct Esci2;

impl Esci2 {
    /// As [`Driver::open`], with other times to wait.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(
        &self,
        patience: Patience,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        Ok(Box::new(scanner::Esci2Scanner::open(transport, patience, progress)?))
    }
}

impl Driver for Esci2 {
    fn protocol(&self) -> &'static str {
        "esci2"
    }

    fn open(
        &self,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        self.open_with(Patience::default(), transport, progress)
    }
}

/// What a scanner sent that can't be. Nothing was allocated for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// What should be the head of a reply is none.
    #[error("what the scanner answered to {to} is no reply")]
    Reply {
        /// The request.
        to: &'static str,
    },
    /// It answers something else.
    #[error("the scanner answered {to} with {got:?}")]
    Other {
        /// The request.
        to: &'static str,
        /// The code of the reply.
        got: String,
    },
    /// It does not enter a session.
    #[error("the scanner answered FS X with {got:#04x}: it does not speak ESC/I-2, or not now")]
    NoSession {
        /// What it said.
        got: u8,
    },
    /// A reply with more data than there can be.
    #[error("the scanner announces {got} bytes of data in a reply to {to}; the most is {most}")]
    Length {
        /// The request.
        to: &'static str,
        /// Announced.
        got: usize,
        /// Possible.
        most: usize,
    },
    /// What it can do makes no page.
    #[error("what the scanner says of itself makes no page: {0}")]
    Abilities(&'static str),
    /// The image is another one than was asked for.
    #[error("the scanner sends an image of {got} pixels a line; the page has {expected}")]
    Width {
        /// What was asked for.
        expected: u32,
        /// What comes.
        got: u32,
    },
    /// Image data in the wrong place.
    #[error("the scanner sends image data {0}")]
    Order(&'static str),
    /// The image ended too soon.
    #[error("the scanner ended the page {missing} lines early")]
    EndedEarly {
        /// The lines that did not come.
        missing: u32,
    },
    /// More lines than were asked for.
    #[error("the scanner does not end the page after its last line")]
    Endless,
    /// It talks before it was asked anything.
    #[error("the scanner is still answering somebody else")]
    Unasked,
    /// Empty packets instead of data.
    #[error("the scanner sends nothing but empty packets")]
    Empty,
}

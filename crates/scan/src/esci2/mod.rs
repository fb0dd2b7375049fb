//! ESC/I-2: Epson's document scanners and all-in-ones since about 2010, which take requests of four letters. What is known of
//! it, from where, and what is not confirmed: docs/esc-i2.md.
//!
//! Each sheet is a job of its own, of one image or, with both sides, of two, so that the scanner is idle between two
//! pages like any other. In a duplex job chunks of front and back come by turns: the front goes to the sink as it comes, the
//! back, as it came, into a nameless temporary file (memory, as long as it is small), for the call that asks for it.
//!
//! | file | what |
//! |---|---|
//! | [`message`], [`reply_info`] | requests and replies as values; public, for fuzzing |
//! | `capabilities`, `plan` | options of people to parameters for the scanner |
//! | `dialogue` | a request and its reply; where in a session the scanner is |
//! | `job` | the images of one job as they come, and the one that has to wait |
//! | `lines`, `pass` | raw and JPEG data to lines of the page; JPEG as it came |
//! | `resync` | back in sync from any state, by us or by the daemon |
//! | `scanner` | the whole of a page |

mod capabilities;
mod dialogue;
mod job;
mod lines;
pub mod message;
mod pass;
mod plan;
pub mod reply_info;
mod resync;
mod scanner;

use crate::esci::Esci;
use crate::{Driver, EventPacket, Progress, ScanError, Scanner, Timeouts, Transport};

use scanner::{Esci2Scanner, Opened};

/// The driver. Of many models only their maker's software tells which protocol they speak, and some speak ESC/I: a scanner that
/// refuses FS X and answers ESC I is opened as such.
#[derive(Debug, Clone, Copy)]
pub struct Esci2;

impl Driver for Esci2 {
    fn protocol(&self) -> &'static str {
        "esci2"
    }

    /// Eight bytes, the first of which says what happened (docs/esc-i2.md, "Buttons").
    fn event_packet(&self, packet: &[u8]) -> EventPacket {
        match packet {
            [0x01, button, ..] if *button > 0 => EventPacket::Button(*button),
            // Its stop button concerns a job, which hears of it; the others ask the computer's own programs for something.
            [0x02..=0x05 | 0x83, ..] => EventPacket::Notice,
            _ => EventPacket::Unknown,
        }
    }

    fn open_with(
        &self,
        timeouts: Timeouts,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        match Esci2Scanner::open(transport, timeouts, progress)? {
            Opened::Esci2(scanner) => Ok(scanner),
            Opened::Esci(transport) => Esci.open_with(timeouts, transport, progress),
        }
    }
}

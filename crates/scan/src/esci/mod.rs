//! ESC/I: the scanners of Epson since 1990, in both dialects: the plain one of ESC commands (all levels but A1 and B1) and
//! the extended one of FS commands (any level that has them).
//!
//! What a page is by default: the scanner's own curve for screens (`gamma` `built-in`: ESC Z 02, for lineart 01), no colour
//! correction (ESC M 00), no halftone (ESC B 01). `gamma` `linear` and `custom` download tables (ESC z) instead. Colour
//! comes as red, green, blue in every pixel (ESC C 13). Where a scanner counts pixels in eights, up to
//! seven more are scanned and left out again.
//!
//! | file | what |
//! |---|---|
//! | [`identity`], [`status`], [`blocks`] | the scanner's bytes as values; public, for fuzzing |
//! | `levels` | which commands there are |
//! | `abilities`, `offers`, `plan`, `parameters` | options of people to bytes for the scanner |
//! | `dialogue` | command, ACK, parameter, ACK |
//! | `feed`, `delivery` | blocks as they come; lines as they leave |
//! | `paper` | the document feeder: batches, sheets in and out |
//! | `resync` | back in step from any state, by us or by the daemon |
//! | `identify`, `scanner` | what it is; the whole of a page |

mod abilities;
pub mod blocks;
mod codes;
mod delivery;
mod dialogue;
mod feed;
mod identify;
pub mod identity;
mod levels;
mod nonsense;
mod offers;
mod paper;
mod parameters;
mod patience;
mod plan;
mod resync;
mod scanner;
pub mod status;

pub use nonsense::Nonsense;
pub use patience::Patience;

use crate::{Driver, Progress, ScanError, Scanner, Transport};

/// The driver.
#[derive(Debug, Clone, Copy)]
pub struct Esci;

impl Esci {
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
        Ok(Box::new(scanner::EsciScanner::open(transport, patience, progress)?))
    }
}

impl Driver for Esci {
    fn protocol(&self) -> &'static str {
        "esci"
    }

    fn open(
        &self,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        self.open_with(Patience::default(), transport, progress)
    }
}

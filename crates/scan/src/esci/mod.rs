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
//! | `capabilities`, `options`, `plan`, `parameters` | options of people to bytes for the scanner |
//! | `dialogue` | command, ACK, parameter, ACK |
//! | `image_stream`, `pixels` | blocks as they come; lines as they leave |
//! | `adf` | the document feeder: batches, sheets in and out |
//! | `resync` | back in sync from any state, by us or by the daemon |
//! | `identify`, `scanner` | what it is; the whole of a page |

mod adf;
pub mod blocks;
mod capabilities;
mod codes;
mod dialogue;
mod identify;
pub mod identity;
mod image_stream;
mod levels;
mod options;
mod parameters;
mod pixels;
mod plan;
mod resync;
mod scanner;
pub mod status;

use crate::{Driver, Progress, ScanError, Scanner, Timeouts, Transport};

/// The driver.
#[derive(Debug, Clone, Copy)]
pub struct Esci;

impl Driver for Esci {
    fn protocol(&self) -> &'static str {
        "esci"
    }

    fn open_with(
        &self,
        timeouts: Timeouts,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        Ok(Box::new(scanner::EsciScanner::open(transport, timeouts, progress)?))
    }
}

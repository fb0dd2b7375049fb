//! eSCL over USB: every all-in-one that is driverless. What is known of it, from where, and what is not confirmed: docs/escl.md.
//!
//! The protocol itself, HTTP and XML as values, is `crates/escl`. Here it is spoken: a job is made with POST, its pages are
//! fetched until there are no more, and whatever happens the job is deleted at the end. A job of the feeder lasts from its
//! first page to [`crate::Scanner::end_batch`], or until the feeder is empty.
//!
//! USB has no close: a response that has begun must be read to its end, or the next reader gets the rest of it. So every cancel
//! reads on, and throws away.
//!
//! | file | what |
//! |---|---|
//! | `capabilities`, `plan` | options of people to the settings of a job |
//! | `connection` | a request and its response, over one pair of pipes |
//! | `client` | the requests that there are, and what answers to them mean |
//! | `guard` | what the daemon does should this program die |
//! | `job` | a job from POST to DELETE |
//! | `lines` | the scanner's picture to lines of the page |
//! | `note` | what outlives the daemon too |
//! | `pass` | the scanner's picture as it came |
//! | `quirks` | what single models want in every request |
//! | `resync` | back in sync from any state |
//! | `scanner` | the whole of a page |

mod capabilities;
mod client;
mod connection;
mod guard;
mod job;
mod lines;
mod note;
mod pass;
mod plan;
mod quirks;
mod resync;
mod scanner;

use crate::support::Timeouts;
use crate::{Driver, Progress, ScanError, Scanner, Transport};

/// The driver.
#[derive(Debug, Clone, Copy)]
pub struct Escl;

impl Driver for Escl {
    fn protocol(&self) -> &'static str {
        "escl"
    }

    fn open_with(
        &self,
        timeouts: Timeouts,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        Ok(Box::new(scanner::EsclScanner::open(transport, timeouts, progress)?))
    }
}

//! What the drivers of all protocols share: timeouts, transfers in sync and out of it, reassembly of what comes in pieces,
//! the abort sequence of a job and how long its phases take to settle, and the options that most scanners have. Knows no
//! protocol.

pub(crate) mod alignment;
pub(crate) mod channel;
pub(crate) mod descriptors;
pub(crate) mod fill;
pub(crate) mod gamma;
pub(crate) mod options;
pub(crate) mod passed;
pub(crate) mod reassembly;
pub(crate) mod resync;
pub(crate) mod resync_io;
pub(crate) mod settle;
mod timeouts;

pub use timeouts::Timeouts;

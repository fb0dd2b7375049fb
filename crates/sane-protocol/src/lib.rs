//! What a program and the host process of a SANE backend say to each other, over the host's standard input, which is a socket.
//!
//! Messages are framed as those of usbscand are: a JSON object on one line, then `payload` bytes. Long bodies (options, values)
//! are JSON in the payload, pages are raw bytes. The program asks one thing at a time and gets its answer; `cancel` alone may
//! come while another request is under way, and has no answer of its own: the request's comes sooner.
//!
//! ```text
//! → {"request":"open"}
//! ← {"reply":"opened","device":{"name":"epson2:libusb:001:004",…},"payload":8211}LF + options
//! → {"request":"start"}
//! ← {"reply":"parameters","format":"rgb","last-frame":true,…}
//! → {"request":"read"}
//! ← {"reply":"data","payload":65536}LF + bytes, any number of times
//! ← {"reply":"end"}
//! → {"request":"finish"}
//! ← {"reply":"finished"}
//! ```
//!
//! Values only: no thread, no socket.
#![warn(missing_docs)]

mod message;
mod option;

pub use message::{Call, DeviceInfo, FrameFormat, MessageError, Parameters, Reply, Request, Unusable};
pub use option::{Constraint, Kind, OptionInfo, Unit, Value, capabilities};
/// Longest payload, in bytes.
pub use usbscan_wire::PAYLOAD_LIMIT;

/// Longest header line, its LF included, in bytes: names and sentences.
pub const HEADER_LIMIT: usize = 16384;
/// Most options of a backend that are told; those with the most have some 150.
pub const OPTIONS_LIMIT: usize = 1000;
/// Most characters of a text of an option.
pub const TEXT_LIMIT: usize = 4096;
/// Most entries of a list of an option.
pub const LIST_LIMIT: usize = 1000;
/// Most numbers of a value: a curve of 16 bits.
pub const WORDS_LIMIT: usize = 65536;

/// The status codes of SANE's standard, as `SANE_Status` numbers them.
pub mod status {
    /// Everything as asked.
    pub const GOOD: u32 = 0;
    /// This backend can't do that.
    pub const UNSUPPORTED: u32 = 1;
    /// `sane_cancel` ended it, or somebody at the scanner.
    pub const CANCELLED: u32 = 2;
    /// Another program is using the scanner.
    pub const DEVICE_BUSY: u32 = 3;
    /// An argument makes no sense, or there is no such scanner.
    pub const INVALID: u32 = 4;
    /// The frame has ended.
    pub const EOF: u32 = 5;
    /// Paper is stuck in the feeder.
    pub const JAMMED: u32 = 6;
    /// The feeder is empty.
    pub const NO_DOCS: u32 = 7;
    /// A cover is open.
    pub const COVER_OPEN: u32 = 8;
    /// The scanner, or the way to it, failed.
    pub const IO_ERROR: u32 = 9;
    /// No memory is left.
    pub const NO_MEM: u32 = 10;
    /// Not allowed.
    pub const ACCESS_DENIED: u32 = 11;
}

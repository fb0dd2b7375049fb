//! The command line of `usbscan raw`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::super::hex::HexBytes;
use super::{Device, seconds, whole};

/// `raw`.
#[derive(Debug, Subcommand)]
pub enum Raw {
    /// List the endpoints of the scanner, with the indexes that choose among them
    Pipes {
        /// Which scanner.
        #[command(flatten)]
        device: Device,
        /// Which of its interfaces, where several are scanners
        #[arg(long, value_name = "N")]
        interface: Option<u8>,
    },
    /// Read from the bulk-in pipe to standard output
    Read {
        /// Which scanner.
        #[command(flatten)]
        target: Target,
        /// How many bytes at most; a short packet ends it sooner
        #[arg(long, short = 'n', value_name = "BYTES", default_value_t = 512)]
        #[arg(value_parser = whole::<u32>(1, 1 << 20))]
        length: u32,
        /// Index of the endpoint to read from, as `usbscan raw pipes` has it; else the highest-numbered one
        #[arg(long, value_name = "N")]
        read_index: Option<u8>,
    },
    /// Write to the bulk-out pipe
    Write {
        /// Which scanner.
        #[command(flatten)]
        target: Target,
        /// The bytes, as hex digits (spaces are skipped); else standard input, up to 1 MiB
        #[arg(long, value_name = "BYTES")]
        hex: Option<HexBytes>,
        /// Read so many bytes at most afterwards, in the same session, to standard output
        #[arg(long, value_name = "BYTES", value_parser = whole::<u32>(1, 1 << 20))]
        then_read: Option<u32>,
        /// Index of the endpoint to write to, as `usbscan raw pipes` has it; else the highest-numbered one
        #[arg(long, value_name = "N")]
        write_index: Option<u8>,
        /// Index of the endpoint to read from afterwards
        #[arg(long, value_name = "N", requires = "then_read")]
        read_index: Option<u8>,
    },
    /// Send a control request; what comes back goes to standard output
    Control {
        /// Which scanner.
        #[command(flatten)]
        target: Target,
        /// Which way the data goes
        #[arg(long, value_name = "in|out")]
        direction: Direction,
        /// bRequest
        #[arg(long, value_name = "N", value_parser = byte)]
        request: u8,
        /// wValue
        #[arg(long, value_name = "N", default_value = "0", value_parser = word)]
        value: u16,
        /// wIndex
        #[arg(long, value_name = "N", default_value = "0", value_parser = word)]
        index: u16,
        /// Who defines the request
        #[arg(long, default_value = "vendor")]
        kind: Kind,
        /// Whom it is for
        #[arg(long, default_value = "device")]
        recipient: Recipient,
        /// in: how many bytes at most
        #[arg(long, short = 'n', value_name = "BYTES", default_value_t = 64)]
        #[arg(value_parser = whole::<u16>(0, 4096))]
        length: u16,
        /// out: the bytes, as hex digits
        #[arg(long, value_name = "BYTES", default_value = "", hide_default_value = true)]
        hex: HexBytes,
    },
}

/// Which scanner, and how patiently.
#[derive(Debug, Args)]
pub struct Target {
    /// Which scanner.
    #[command(flatten)]
    pub device: Device,
    /// Which of its interfaces, where several are scanners
    #[arg(long, value_name = "N")]
    pub interface: Option<u8>,
    /// How long the scanner may take, in seconds; 120 if left out
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Print bytes as hex digits
    #[arg(long, conflicts_with = "json")]
    pub dump: bool,
}

/// Which way the data of a control request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Direction {
    In,
    Out,
}

/// Who defines a control request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Kind {
    Vendor,
    Class,
    Standard,
}

/// Whom a control request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Recipient {
    Device,
    Interface,
    Endpoint,
}

fn byte(text: &str) -> Result<u8, String> {
    u8::try_from(word(text)?).map_err(|_| "expected 0 to 255".to_owned())
}

/// Decimal, or hex after 0x.
fn word(text: &str) -> Result<u16, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "expected 0 to 65535, or 0x0 to 0xffff".to_owned())
}

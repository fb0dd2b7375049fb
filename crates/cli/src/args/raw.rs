//! The arguments of `usbscan raw`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::super::hex::HexBytes;
use super::{DeviceArg, seconds, whole};

#[derive(Debug, Subcommand)]
pub enum Raw {
    /// List the scanner's endpoints and their indexes
    Pipes {
        #[command(flatten)]
        device: DeviceArg,
        /// Interface number, if several are scanners
        #[arg(long, value_name = "N")]
        interface: Option<u8>,
    },
    /// Read from the bulk IN pipe to standard output
    Read {
        #[command(flatten)]
        target: RawTarget,
        /// Maximum number of bytes; a short packet ends the read early
        #[arg(long, short = 'n', value_name = "BYTES", default_value_t = 512)]
        #[arg(value_parser = whole::<u32>(1, 1 << 20))]
        length: u32,
        /// Index of the bulk IN endpoint, as listed by `usbscan raw pipes` [default: the highest-numbered]
        #[arg(long, value_name = "N")]
        read_index: Option<u8>,
        /// Address of the endpoint to read from, of an interface that --claim names, such as 0x81
        #[arg(long, value_name = "ADDRESS", value_parser = byte, conflicts_with = "read_index")]
        endpoint: Option<u8>,
    },
    /// Write to the bulk OUT pipe
    Write {
        #[command(flatten)]
        target: RawTarget,
        /// The bytes as hex digits; spaces are ignored [default: standard input, up to 1 MiB]
        #[arg(long, value_name = "BYTES")]
        hex: Option<HexBytes>,
        /// Then read up to this many bytes, in the same session, to standard output
        #[arg(long, value_name = "BYTES", value_parser = whole::<u32>(1, 1 << 20))]
        then_read: Option<u32>,
        /// Index of the bulk OUT endpoint, as listed by `usbscan raw pipes` [default: the highest-numbered]
        #[arg(long, value_name = "N")]
        write_index: Option<u8>,
        /// Index of the bulk IN endpoint for --then-read
        #[arg(long, value_name = "N", requires = "then_read")]
        read_index: Option<u8>,
        /// Address of the endpoint to write to, of an interface that --claim names, such as 0x02
        #[arg(long, value_name = "ADDRESS", value_parser = byte, conflicts_with = "write_index")]
        endpoint: Option<u8>,
        /// Address of the endpoint for --then-read, likewise
        #[arg(long, value_name = "ADDRESS", value_parser = byte, requires = "then_read", conflicts_with = "read_index")]
        read_endpoint: Option<u8>,
    },
    /// Send a control request; its data goes to standard output
    Control {
        #[command(flatten)]
        target: RawTarget,
        /// Direction of the data stage
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
        /// Request type
        #[arg(long, default_value = "vendor")]
        kind: RequestType,
        /// Recipient
        #[arg(long, default_value = "device")]
        recipient: Recipient,
        /// Maximum number of bytes to read, for --direction in
        #[arg(long, short = 'n', value_name = "BYTES", default_value_t = 64)]
        #[arg(value_parser = whole::<u16>(0, 4096))]
        length: u16,
        /// The bytes to write as hex digits, for --direction out
        #[arg(long, value_name = "BYTES", default_value = "", hide_default_value = true)]
        hex: HexBytes,
    },
}

#[derive(Debug, Args)]
pub struct RawTarget {
    #[command(flatten)]
    pub device: DeviceArg,
    /// Interface number, if several are scanners
    #[arg(long, value_name = "N")]
    pub interface: Option<u8>,
    /// Another interface to claim for this command, and its alternate setting [default: the one that it is in]; may be given
    /// several times
    #[arg(long, value_name = "N[:ALTERNATE]", value_parser = interface)]
    pub claim: Vec<(u8, Option<u8>)>,
    /// Timeout in seconds [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
    /// Print the bytes as a hex dump
    #[arg(long, conflicts_with = "json")]
    pub dump: bool,
}

/// `bmRequestType`, bit 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    In,
    Out,
}

/// `bmRequestType`, bits 6 and 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RequestType {
    Vendor,
    Class,
    Standard,
}

/// `bmRequestType`, bits 4 to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Recipient {
    Device,
    Interface,
    Endpoint,
}

/// `1`, or `1:2` for setting 2 of it.
fn interface(text: &str) -> Result<(u8, Option<u8>), String> {
    match text.split_once(':') {
        Some((number, alternate)) => Ok((byte(number)?, Some(byte(alternate)?))),
        None => Ok((byte(text)?, None)),
    }
}

fn byte(text: &str) -> Result<u8, String> {
    u8::try_from(word(text)?).map_err(|_| "expected 0 to 255".to_owned())
}

/// Decimal, or hexadecimal after `0x`.
fn word(text: &str) -> Result<u16, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "expected 0 to 65535, or 0x0 to 0xffff".to_owned())
}

//! Why a backend of SANE is of no use, in sentences with its name.

use std::fmt;
use std::io;
use std::path::PathBuf;

use usbscan_sane_protocol::{FrameFormat, MessageError, Parameters, status};

/// Why a backend of SANE is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// It is not on this machine.
    #[error(
        "SANE's backend {backend} is not installed: libsane-{backend}.so.1 is in none of {}; most backends are in Debian's \
         libsane1, and in Fedora's sane-backends-drivers-scanners", folders.join(", ")
    )]
    NotInstalled {
        /// Its name.
        backend: String,
        /// Where it was looked for.
        folders: Vec<String>,
    },
    /// The loader refuses it.
    #[error("SANE's backend {backend} can't be loaded: {reason}")]
    NotLoadable {
        /// Its name.
        backend: String,
        /// The loader's words.
        reason: String,
    },
    /// It lists no scanner.
    #[error("SANE's backend {backend} does not find this scanner; its configuration is in /etc/sane.d/{backend}.conf")]
    NoDevice {
        /// Its name.
        backend: String,
    },
    /// One of its functions failed.
    #[error("SANE's backend {backend}: {call}: {}", words(*status))]
    Status {
        /// Its name.
        backend: String,
        /// The function.
        call: &'static str,
        /// A `SANE_Status`.
        status: u32,
    },
    /// A signal ended it.
    #[error("SANE's backend {backend} crashed ({signal}); usbscand recovers the scanner")]
    Crashed {
        /// Its name.
        backend: String,
        /// The signal.
        signal: SignalNumber,
    },
    /// Its process ended without a signal, and without an answer.
    #[error("the process of SANE's backend {backend} ended before it had answered; usbscand recovers the scanner")]
    Ended {
        /// Its name.
        backend: String,
    },
    /// Its process can't be started.
    #[error("start {} for SANE's backend {backend}: {source}", program.display())]
    Start {
        /// Its name.
        backend: String,
        /// The program.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Its process sent what is no message.
    #[error("the process of SANE's backend {backend}: {source}")]
    Message {
        /// Its name.
        backend: String,
        /// What was wrong.
        source: MessageError,
    },
    /// Its process answered something else.
    #[error("the process of SANE's backend {backend} did not answer what it was asked")]
    OtherReply {
        /// Its name.
        backend: String,
    },
    /// It sends pages that nobody here can take.
    #[error(
        "SANE's backend {backend} sends {}, which can't be taken here; choose another mode or depth",
        describe(parameters)
    )]
    Format {
        /// Its name.
        backend: String,
        /// What it says of its frame.
        parameters: Parameters,
    },
}

/// A `SANE_Status` in the standard's words.
fn words(status: u32) -> &'static str {
    match status {
        status::GOOD => "Success",
        status::UNSUPPORTED => "Operation not supported",
        status::CANCELLED => "Operation was cancelled",
        status::DEVICE_BUSY => "Device busy",
        status::INVALID => "Invalid argument",
        status::EOF => "End of file reached",
        status::JAMMED => "Document feeder jammed",
        status::NO_DOCS => "Document feeder out of documents",
        status::COVER_OPEN => "Scanner cover is open",
        status::IO_ERROR => "Error during device I/O",
        status::NO_MEM => "Out of memory",
        status::ACCESS_DENIED => "Access to resource has been denied",
        _ => "Unknown SANE status code",
    }
}

fn describe(parameters: &Parameters) -> String {
    let Parameters { format, depth, pixels_per_line, bytes_per_line, .. } = parameters;
    match format {
        FrameFormat::Other => "frames of a format of its own".to_owned(),
        _ => {
            let name = if *format == FrameFormat::Gray { "gray" } else { "color" };
            format!("{name} of {depth} bits, {pixels_per_line} pixels in {bytes_per_line} bytes a line")
        }
    }
}

/// The number of a signal; shown by its name if it is one that ends processes that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalNumber(pub i32);

impl fmt::Display for SignalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            4 => "SIGILL",
            6 => "SIGABRT",
            7 => "SIGBUS",
            8 => "SIGFPE",
            9 => "SIGKILL",
            11 => "SIGSEGV",
            15 => "SIGTERM",
            number => return write!(f, "signal {number}"),
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_a_sentence_with_the_backend_and_the_signal() {
        let error = BackendError::Crashed { backend: "genesys".to_owned(), signal: SignalNumber(11) };
        assert_eq!(error.to_string(), "SANE's backend genesys crashed (SIGSEGV); usbscand recovers the scanner");
    }
}

//! What can go wrong at the seam: a kind to match on, a sentence to read, the system's own code.

use std::fmt;

/// Who has a device or an interface that we wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A kernel driver that could not be detached, by name.
    KernelDriver(String),
    /// The kernel's printer driver, which somebody is printing with.
    Printing,
    /// Another program, claimed through usbfs. Process id and name where they could be found out.
    Program {
        /// Process id.
        pid: u32,
        /// The program's name (`/proc/PID/comm`).
        name: String,
    },
    /// The system did not say.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Printing => f.write_str("a print job (kernel driver usblp); try again when it has been printed"),
            Holder::KernelDriver(name) => write!(f, "kernel driver {name}"),
            Holder::Program { pid, name } => write!(f, "{name} (pid {pid})"),
            Holder::Unknown => f.write_str("another program"),
        }
    }
}

/// The kind of a failure: what a caller decides by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The device is gone, or was never there.
    #[error("no such device")]
    NoDevice,
    /// A driver or another program has it.
    #[error("in use by {0}")]
    Busy(Holder),
    /// The system does not let this user do that.
    #[error("permission denied")]
    AccessDenied,
    /// The device has no such interface, endpoint or descriptor.
    #[error("not found")]
    NotFound,
    /// The endpoint is halted, or the device refused a control request.
    #[error("the device answered with a stall")]
    Stall,
    /// The request itself makes no sense.
    #[error("invalid parameter")]
    InvalidParameter,
    /// This bus or this kernel cannot do that.
    #[error("not supported")]
    NotSupported,
    /// No memory for transfers; on Linux the usbfs limit (`usbfs_memory_mb`).
    #[error("no memory for the transfer (see usbfs_memory_mb)")]
    NoResources,
    /// The host controller did not give a transfer back. The device must not be touched any more.
    #[error("the host controller holds on to a transfer; unplug the device or restart the machine")]
    HostStuck,
    /// The bus failed in another way.
    #[error("input/output error")]
    Io,
}

/// A failure: what was tried and on what, which kind it is, and the system's code.
///
/// Reads as `claim interface 1 of 04b8:0142 at 1-2: in use by usblp (code -6)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What to decide by.
    pub kind: ErrorKind,
    /// What was tried, and on what.
    pub tried: String,
    /// The code of libusb (negative) or the system's errno (positive), if one was given.
    pub code: Option<i32>,
}

impl Error {
    /// A failure without a code of the system.
    pub fn new(kind: ErrorKind, tried: impl Into<String>) -> Error {
        Error { kind, tried: tried.into(), code: None }
    }

    /// Adds the system's own code.
    pub fn with_code(mut self, code: i32) -> Error {
        self.code = Some(code);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tried, self.kind)?;
        match self.code {
            Some(code) => write!(f, " (code {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_on_what_and_why() {
        let error = Error::new(ErrorKind::Busy(Holder::KernelDriver("usblp".into())), "claim interface 1 of 04b8:0142")
            .with_code(-6);
        assert_eq!(error.to_string(), "claim interface 1 of 04b8:0142: in use by kernel driver usblp (code -6)");
    }
}

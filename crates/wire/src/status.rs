//! How a request ended, in one word.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The status of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Done.
    Success,
    /// Cancelled before it was done; `information` is 0, as `DRIVER_CANCEL` demands.
    Cancelled,
    /// Its time was up; `information` counts the bytes moved by then, which are not lost.
    Timeout,
    /// The endpoint is halted, or the device refused a control request.
    Stall,
    /// The device sent more than was asked for.
    Overrun,
    /// The bus failed.
    IoError,
    /// The device is gone, or there is none of that name.
    NoDevice,
    /// Another session or program has it; `message` says which.
    Busy,
    /// Nothing there to act on: no such request, nothing open.
    NotFound,
    /// Not allowed.
    AccessDenied,
    /// The request makes no sense.
    InvalidParameter,
    /// This device or this daemon can't do that.
    NotSupported,
    /// A limit of the configuration or of the system is reached.
    InsufficientResources,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Success => "success",
            Status::Cancelled => "cancelled",
            Status::Timeout => "timeout",
            Status::Stall => "stall",
            Status::Overrun => "overrun",
            Status::IoError => "io-error",
            Status::NoDevice => "no-device",
            Status::Busy => "busy",
            Status::NotFound => "not-found",
            Status::AccessDenied => "access-denied",
            Status::InvalidParameter => "invalid-parameter",
            Status::NotSupported => "not-supported",
            Status::InsufficientResources => "insufficient-resources",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_shown_is_the_word_on_the_wire() {
        for status in [Status::Success, Status::IoError, Status::InsufficientResources, Status::NotFound] {
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
    }
}

//! SANE's statuses: in words, and from what went wrong here.

use std::ffi::CStr;

use usbscan_client::wire;
use usbscan_scan::{DeviceError, ScanError, TransportError};

use crate::abi::{Status, StatusCode};

/// In the order of [`Status`].
const WORDS: [&CStr; 12] = [
    c"Success",
    c"Operation not supported",
    c"Operation was cancelled",
    c"Device busy",
    c"Invalid argument",
    c"End of file reached",
    c"Document feeder jammed",
    c"Document feeder out of documents",
    c"Scanner cover is open",
    c"Error during device I/O",
    c"Out of memory",
    c"Access to resource has been denied",
];

/// A status in words; any number has some.
pub fn words(status: StatusCode) -> &'static CStr {
    let known = usize::try_from(status).ok().and_then(|index| WORDS.get(index));
    known.copied().unwrap_or(c"Unknown SANE status code")
}

/// How a call to the daemon that failed looks to an application.
pub fn of_client(error: &usbscan_client::Error) -> Status {
    match error {
        // Neither a daemon nor a scanner: that is SANE's "no such device".
        usbscan_client::Error::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
            Status::AccessDenied
        }
        usbscan_client::Error::Unreachable { .. } => Status::Invalid,
        usbscan_client::Error::Refused(refusal) => of_wire(refusal.answer.status),
        _ => Status::IoError,
    }
}

/// How the daemon ended a request.
fn of_wire(status: wire::Status) -> Status {
    match status {
        wire::Status::Success => Status::Good,
        wire::Status::Cancelled => Status::Cancelled,
        wire::Status::NoDevice | wire::Status::NotFound => Status::Invalid,
        wire::Status::Busy => Status::DeviceBusy,
        wire::Status::AccessDenied => Status::AccessDenied,
        wire::Status::NotSupported => Status::Unsupported,
        wire::Status::InsufficientResources => Status::NoMem,
        wire::Status::Timeout
        | wire::Status::Stall
        | wire::Status::Overrun
        | wire::Status::IoError
        | wire::Status::InvalidParameter => Status::IoError,
    }
}

/// Why there is no page, as an application sees it.
pub fn of_scan(error: &ScanError) -> Status {
    match error {
        ScanError::Cancelled { .. } => Status::Cancelled,
        ScanError::Device(problem) => of_problem(*problem),
        ScanError::Option(_) | ScanError::Area(_) => Status::Invalid,
        ScanError::NotSupported(_) => Status::Unsupported,
        ScanError::Transport(error) => of_transport(error),
        // SANE has one word for all the rest; the log has the sentence.
        _ => Status::IoError,
    }
}

fn of_problem(problem: DeviceError) -> Status {
    match problem {
        // A tray that is not in place is closed by the same hand as a cover.
        DeviceError::CoverOpen | DeviceError::TrayOut => Status::CoverOpen,
        DeviceError::PaperJam | DeviceError::DoubleFeed => Status::Jammed,
        DeviceError::NoDocuments => Status::NoDocs,
        DeviceError::Busy | DeviceError::StillWarmingUp(_) => Status::DeviceBusy,
        DeviceError::CancelledAtDevice => Status::Cancelled,
        _ => Status::IoError,
    }
}

fn of_transport(error: &TransportError) -> Status {
    match error {
        TransportError::Cancelled => Status::Cancelled,
        TransportError::Daemon(error) => of_client(error),
        _ => Status::IoError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_own_words_and_any_number_has_some() {
        assert_eq!(words(Status::Good as StatusCode), c"Success");
        assert_eq!(words(Status::AccessDenied as StatusCode), c"Access to resource has been denied");
        assert_eq!(words(12), c"Unknown SANE status code");
        assert_eq!(words(StatusCode::MAX), c"Unknown SANE status code");
    }

    #[test]
    fn what_a_person_must_do_at_the_scanner_is_said_as_such() {
        for (problem, status) in [
            (DeviceError::CoverOpen, Status::CoverOpen),
            (DeviceError::PaperJam, Status::Jammed),
            (DeviceError::DoubleFeed, Status::Jammed),
            (DeviceError::NoDocuments, Status::NoDocs),
            (DeviceError::Busy, Status::DeviceBusy),
            (DeviceError::CancelledAtDevice, Status::Cancelled),
            (DeviceError::Fatal, Status::IoError),
        ] {
            assert_eq!(of_scan(&ScanError::Device(problem)), status, "{problem}");
        }
    }

    #[test]
    fn a_refusal_of_the_daemon_keeps_its_meaning() {
        assert_eq!(of_wire(wire::Status::Busy), Status::DeviceBusy);
        assert_eq!(of_wire(wire::Status::AccessDenied), Status::AccessDenied);
        assert_eq!(of_wire(wire::Status::NoDevice), Status::Invalid);
        assert_eq!(of_wire(wire::Status::Stall), Status::IoError);
    }
}

//! libusb's numbers in the seam's words. Functions of values; no thread, no I/O.

use libusb1_sys::constants::{
    LIBUSB_ERROR_ACCESS, LIBUSB_ERROR_BUSY, LIBUSB_ERROR_INTERRUPTED, LIBUSB_ERROR_INVALID_PARAM, LIBUSB_ERROR_IO,
    LIBUSB_ERROR_NO_DEVICE, LIBUSB_ERROR_NO_MEM, LIBUSB_ERROR_NOT_FOUND, LIBUSB_ERROR_NOT_SUPPORTED,
    LIBUSB_ERROR_OTHER, LIBUSB_ERROR_OVERFLOW, LIBUSB_ERROR_PIPE, LIBUSB_ERROR_TIMEOUT, LIBUSB_TRANSFER_CANCELLED,
    LIBUSB_TRANSFER_COMPLETED, LIBUSB_TRANSFER_NO_DEVICE, LIBUSB_TRANSFER_OVERFLOW, LIBUSB_TRANSFER_STALL,
};
use usbscan_usb::{Cancel, Error, ErrorKind, Holder, TransferStatus};

/// A return code of libusb as a kind. Who holds what is busy is for the caller to find out.
pub(crate) fn kind(code: i32) -> ErrorKind {
    match code {
        LIBUSB_ERROR_NO_DEVICE => ErrorKind::NoDevice,
        LIBUSB_ERROR_BUSY => ErrorKind::Busy(Holder::Unknown),
        LIBUSB_ERROR_ACCESS => ErrorKind::AccessDenied,
        LIBUSB_ERROR_NOT_FOUND => ErrorKind::NotFound,
        LIBUSB_ERROR_PIPE => ErrorKind::Stall,
        LIBUSB_ERROR_INVALID_PARAM => ErrorKind::InvalidParameter,
        LIBUSB_ERROR_NOT_SUPPORTED => ErrorKind::NotSupported,
        LIBUSB_ERROR_NO_MEM => ErrorKind::NoResources,
        _ => ErrorKind::Io,
    }
}

/// A failed call of libusb: what was tried, with the code.
pub(crate) fn failed(code: i32, tried: impl Into<String>) -> Error {
    Error::new(kind(code), tried).with_code(code)
}

/// The code that rusb made an error of.
pub(crate) fn code(error: rusb::Error) -> i32 {
    match error {
        rusb::Error::Io => LIBUSB_ERROR_IO,
        rusb::Error::InvalidParam => LIBUSB_ERROR_INVALID_PARAM,
        rusb::Error::Access => LIBUSB_ERROR_ACCESS,
        rusb::Error::NoDevice => LIBUSB_ERROR_NO_DEVICE,
        rusb::Error::NotFound => LIBUSB_ERROR_NOT_FOUND,
        rusb::Error::Busy => LIBUSB_ERROR_BUSY,
        rusb::Error::Timeout => LIBUSB_ERROR_TIMEOUT,
        rusb::Error::Overflow => LIBUSB_ERROR_OVERFLOW,
        rusb::Error::Pipe => LIBUSB_ERROR_PIPE,
        rusb::Error::Interrupted => LIBUSB_ERROR_INTERRUPTED,
        rusb::Error::NoMem => LIBUSB_ERROR_NO_MEM,
        rusb::Error::NotSupported => LIBUSB_ERROR_NOT_SUPPORTED,
        rusb::Error::BadDescriptor | rusb::Error::Other => LIBUSB_ERROR_OTHER,
    }
}

/// A transfer's status. TIMED_OUT can't happen (no transfer has a timeout) and counts as a failed bus.
pub(crate) fn transfer(status: i32) -> TransferStatus {
    match status {
        LIBUSB_TRANSFER_COMPLETED => TransferStatus::Completed,
        LIBUSB_TRANSFER_CANCELLED => TransferStatus::Cancelled,
        LIBUSB_TRANSFER_STALL => TransferStatus::Stall,
        LIBUSB_TRANSFER_OVERFLOW => TransferStatus::Overflow,
        LIBUSB_TRANSFER_NO_DEVICE => TransferStatus::NoDevice,
        _ => TransferStatus::Error,
    }
}

/// What `libusb_cancel_transfer` answered.
pub(crate) fn cancel(code: i32) -> Cancel {
    match code {
        0 => Cancel::Asked,
        LIBUSB_ERROR_NOT_FOUND => Cancel::NotInFlight,
        LIBUSB_ERROR_NO_DEVICE => Cancel::NoDevice,
        other => Cancel::Failed(other),
    }
}

#[cfg(test)]
mod tests {
    use libusb1_sys::constants::{LIBUSB_TRANSFER_ERROR, LIBUSB_TRANSFER_TIMED_OUT};

    use super::*;

    #[test]
    fn memory_used_up_is_no_resources_and_keeps_the_code() {
        let error = failed(LIBUSB_ERROR_NO_MEM, "submit");
        assert_eq!((error.kind, error.code), (ErrorKind::NoResources, Some(-11)));
    }

    #[test]
    fn every_error_of_rusb_goes_back_to_its_code() {
        for (error, expected) in [
            (rusb::Error::Io, -1),
            (rusb::Error::InvalidParam, -2),
            (rusb::Error::Access, -3),
            (rusb::Error::NoDevice, -4),
            (rusb::Error::NotFound, -5),
            (rusb::Error::Busy, -6),
            (rusb::Error::Timeout, -7),
            (rusb::Error::Overflow, -8),
            (rusb::Error::Pipe, -9),
            (rusb::Error::Interrupted, -10),
            (rusb::Error::NoMem, -11),
            (rusb::Error::NotSupported, -12),
            (rusb::Error::Other, -99),
        ] {
            assert_eq!(code(error), expected, "{error}");
        }
    }

    #[test]
    fn a_failed_bus_and_an_impossible_timeout_are_both_errors() {
        assert_eq!(transfer(LIBUSB_TRANSFER_ERROR), TransferStatus::Error);
        assert_eq!(transfer(LIBUSB_TRANSFER_TIMED_OUT), TransferStatus::Error);
    }

    #[test]
    fn cancel_tells_asked_from_done_from_gone() {
        assert_eq!(cancel(0), Cancel::Asked);
        assert_eq!(cancel(LIBUSB_ERROR_NOT_FOUND), Cancel::NotInFlight);
        assert_eq!(cancel(LIBUSB_ERROR_NO_DEVICE), Cancel::NoDevice);
        assert_eq!(cancel(LIBUSB_ERROR_OTHER), Cancel::Failed(-99));
    }
}

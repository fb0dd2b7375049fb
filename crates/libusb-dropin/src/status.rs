//! What libusb calls the ways in which a request can end.

use std::ffi::{CStr, c_int};

use usbscan_wire::Status;

use crate::abi;

/// The error code for an answer that is no success.
pub(crate) fn code(status: Status) -> c_int {
    match status {
        Status::Success => abi::SUCCESS,
        // libusb's synchronous calls report a transfer that somebody cancelled as an I/O error.
        Status::Cancelled | Status::IoError => abi::ERROR_IO,
        Status::Timeout => abi::ERROR_TIMEOUT,
        Status::Stall => abi::ERROR_PIPE,
        Status::Overrun => abi::ERROR_OVERFLOW,
        Status::NoDevice => abi::ERROR_NO_DEVICE,
        Status::Busy => abi::ERROR_BUSY,
        Status::NotFound => abi::ERROR_NOT_FOUND,
        Status::AccessDenied => abi::ERROR_ACCESS,
        Status::InvalidParameter => abi::ERROR_INVALID_PARAM,
        Status::NotSupported => abi::ERROR_NOT_SUPPORTED,
        Status::InsufficientResources => abi::ERROR_NO_MEM,
    }
}

/// Every code with the name of its constant and a sentence.
const NAMES: &[(c_int, &CStr, &CStr)] = &[
    (abi::SUCCESS, c"LIBUSB_SUCCESS / LIBUSB_TRANSFER_COMPLETED", c"success"),
    (abi::ERROR_IO, c"LIBUSB_ERROR_IO", c"the transfer failed, or was cancelled"),
    (abi::ERROR_INVALID_PARAM, c"LIBUSB_ERROR_INVALID_PARAM", c"a parameter is invalid"),
    (abi::ERROR_ACCESS, c"LIBUSB_ERROR_ACCESS", c"permission denied"),
    (abi::ERROR_NO_DEVICE, c"LIBUSB_ERROR_NO_DEVICE", c"the device is gone"),
    (abi::ERROR_NOT_FOUND, c"LIBUSB_ERROR_NOT_FOUND", c"not found"),
    (abi::ERROR_BUSY, c"LIBUSB_ERROR_BUSY", c"in use by another program"),
    (abi::ERROR_TIMEOUT, c"LIBUSB_ERROR_TIMEOUT", c"timed out"),
    (abi::ERROR_OVERFLOW, c"LIBUSB_ERROR_OVERFLOW", c"the device sent more than was asked for"),
    (abi::ERROR_PIPE, c"LIBUSB_ERROR_PIPE", c"the endpoint is halted, or the request was refused"),
    (abi::ERROR_INTERRUPTED, c"LIBUSB_ERROR_INTERRUPTED", c"interrupted"),
    (abi::ERROR_NO_MEM, c"LIBUSB_ERROR_NO_MEM", c"out of memory"),
    (abi::ERROR_NOT_SUPPORTED, c"LIBUSB_ERROR_NOT_SUPPORTED", c"not supported over usbscand"),
    (abi::ERROR_OTHER, c"LIBUSB_ERROR_OTHER", c"another error"),
];

/// The name of a code's constant.
pub(crate) fn name(code: c_int) -> &'static CStr {
    NAMES.iter().find(|row| row.0 == code).map_or(c"**UNKNOWN**", |row| row.1)
}

/// A sentence; that of `LIBUSB_ERROR_OTHER` for a code that is none.
pub(crate) fn sentence(code: c_int) -> &'static CStr {
    NAMES.iter().find(|row| row.0 == code).map_or(c"another error", |row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_request_is_an_io_error_as_in_libusbs_synchronous_calls() {
        assert_eq!(code(Status::Cancelled), abi::ERROR_IO);
    }

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = NAMES.iter().map(|row| row.1).collect();
        assert_eq!(names.len(), 14);
        assert_eq!(name(abi::ERROR_PIPE), c"LIBUSB_ERROR_PIPE");
        assert_eq!(name(5), c"**UNKNOWN**");
    }
}

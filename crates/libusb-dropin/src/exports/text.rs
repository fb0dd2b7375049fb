//! Words: versions, names of errors.

use std::ffi::{c_char, c_int};

use crate::abi::{self, Version};
use crate::status;

/// A [`Version`] that never changes.
struct Fixed(Version);

// SAFETY: its pointers are to string constants.
unsafe impl Sync for Fixed {}

/// The libusb whose functions are here. `nano` is the one of the release.
static VERSION: Fixed = Fixed(Version {
    major: 1,
    minor: 0,
    micro: 30,
    nano: 0,
    rc: c"".as_ptr(),
    describe: c"https://github.com/usbscan/usbscan".as_ptr(),
});

/// The version of libusb whose interface this is.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_get_version() -> *const Version {
    &raw const VERSION.0
}

/// The name of an error's constant.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_error_name(code: c_int) -> *const c_char {
    status::name(code).as_ptr()
}

/// An error in words, in English.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_strerror(code: c_int) -> *const c_char {
    status::sentence(code).as_ptr()
}

/// There is only English.
///
/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_setlocale(locale: *const c_char) -> c_int {
    if locale.is_null() { abi::ERROR_INVALID_PARAM } else { abi::SUCCESS }
}

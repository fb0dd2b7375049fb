//! Functions that libusb does not have, for `usbscan-sane-host` alone: see the module `host`.

use std::ffi::{CStr, c_char, c_int};

use crate::guard::export;
use crate::host;

/// Names the only device that is listed from now on, as the daemon does.
///
/// # Safety
/// `name` is null or ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usbscan_host_device(name: *const c_char) {
    if name.is_null() {
        return;
    }
    // SAFETY: as the caller promises; it is copied at once.
    let name = unsafe { CStr::from_ptr(name) };
    export((), || host::set_device(name.to_string_lossy().into_owned()));
}

/// Makes every transfer fail from now on, those that are pending too; or with 0 lets them be again. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn usbscan_host_refuse(refuses: c_int) {
    export((), || host::set_refuses(refuses != 0));
}

/// How many transfers have ended well.
#[unsafe(no_mangle)]
pub extern "C" fn usbscan_host_completed() -> u64 {
    host::completed()
}

/// How many transfers other clients of the daemon have cancelled.
#[unsafe(no_mangle)]
pub extern "C" fn usbscan_host_cancelled() -> u64 {
    host::cancelled()
}

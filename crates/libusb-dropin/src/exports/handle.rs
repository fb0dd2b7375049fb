//! Interfaces, halts, resets of an open device.

use std::ffi::{c_int, c_uchar};

use super::of_handle;
use crate::abi;
use crate::guard::export;
use crate::handle::Handle;

/// An interface number that the device has.
fn interface(handle: &Handle, number: c_int) -> Result<u8, c_int> {
    let number = u8::try_from(number).map_err(|_| abi::ERROR_INVALID_PARAM)?;
    let has = handle.device.active().is_some_and(|active| active.has_interface(number));
    if has { Ok(number) } else { Err(abi::ERROR_NOT_FOUND) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_claim_interface(handle: *mut Handle, number: c_int) -> c_int {
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, |handle| handle.claim(interface(handle, number)?)) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_release_interface(handle: *mut Handle, number: c_int) -> c_int {
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, |handle| handle.release(interface(handle, number)?)) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_set_interface_alt_setting(
    handle: *mut Handle,
    number: c_int,
    alternate: c_int,
) -> c_int {
    let choose = |handle: &Handle| {
        let alternate = u8::try_from(alternate).map_err(|_| abi::ERROR_INVALID_PARAM)?;
        handle.set_alternate(interface(handle, number)?, alternate)
    };
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, choose) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_clear_halt(handle: *mut Handle, endpoint: c_uchar) -> c_int {
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, |handle| handle.clear_halt(endpoint)) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_reset_device(handle: *mut Handle) -> c_int {
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, Handle::reset) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_set_configuration(handle: *mut Handle, value: c_int) -> c_int {
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, |handle| handle.set_configuration(value)) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_detach_kernel_driver(handle: *mut Handle, number: c_int) -> c_int {
    // SAFETY: as libusb.h demands. The daemon detaches what is in its way, and puts it back.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, |handle| interface(handle, number).map(drop)) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_attach_kernel_driver(handle: *mut Handle, number: c_int) -> c_int {
    // SAFETY: as libusb.h demands. As for detaching.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, |handle| interface(handle, number).map(drop)) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_set_auto_detach_kernel_driver(handle: *mut Handle, _enable: c_int) -> c_int {
    // SAFETY: as libusb.h demands. The daemon always does.
    export(abi::ERROR_OTHER, || unsafe { of_handle(handle, |_| Ok(())) })
}

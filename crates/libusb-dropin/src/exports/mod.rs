//! The functions that libusb's header declares, each with its C name. They turn pointers into values, and values into codes;
//! everything else is behind them.
//!
//! Pointers are trusted as C libraries trust them: a `libusb_context *`, `libusb_device *` or `libusb_device_handle *` is null
//! or came from here and was not given back. All three are `Arc`s, so what a call works with lives as long as the call.

pub mod absent;
pub mod context;
pub mod descriptor;
pub mod device;
pub mod events;
pub mod handle;
pub mod host;
pub mod hotplug;
pub mod text;
pub mod transfer;

use std::ffi::c_int;
use std::sync::Arc;

use crate::abi;
use crate::context::{self as contexts, Context};
use crate::device::Device;
use crate::handle::Handle;

/// What a C function returns for a result without a value.
fn code(result: Result<(), c_int>) -> c_int {
    result.map_or_else(|code| code, |()| abi::SUCCESS)
}

/// A reference of our own to what a pointer from `Arc::into_raw` points at.
///
/// # Safety
/// It is null, or a pointer that was handed to the program and not given back.
unsafe fn share<T>(pointer: *const T) -> Option<Arc<T>> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as the caller promises, so the count is at least one.
    unsafe { Arc::increment_strong_count(pointer) };
    // SAFETY: the count that was just added is this one's.
    Some(unsafe { Arc::from_raw(pointer) })
}

/// The context that is meant, null being the default one; none in a child of the process that made it.
///
/// # Safety
/// As [`share`].
unsafe fn with_context<T>(pointer: *const Context, work: impl FnOnce(&Context) -> T) -> Option<T> {
    if pointer.is_null() {
        return contexts::default().map(work);
    }
    // SAFETY: as the caller promises.
    let context = unsafe { share(pointer) };
    context.filter(|context| context.is_ours()).map(|context| work(&context))
}

/// Writes a result where the program wants it, unless that is nowhere.
///
/// # Safety
/// The pointer is null or may be written to.
unsafe fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: as the caller promises. What was there is not dropped: it is C's.
        unsafe { place.write(value) };
    }
}

/// Hands an object to the program.
fn give<T>(object: Arc<T>) -> *mut T {
    Arc::into_raw(object).cast_mut()
}

/// # Safety
/// As [`share`].
unsafe fn of_device<T>(pointer: *mut Device, none: T, work: impl FnOnce(&Device) -> T) -> T {
    // SAFETY: as the caller promises.
    unsafe { share(pointer) }.map_or(none, |device| work(&device))
}

/// # Safety
/// As [`share`].
unsafe fn of_handle(pointer: *mut Handle, work: impl FnOnce(&Handle) -> Result<(), c_int>) -> c_int {
    // SAFETY: as the caller promises.
    code(unsafe { share(pointer) }.map_or(Err(abi::ERROR_INVALID_PARAM), |handle| work(&handle)))
}

//! Beginning and end, and options.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::{give, put, with_context};
use crate::abi::{self, InitOption};
use crate::context::{self, Context};
use crate::guard::export;

/// # Safety
/// `context` is null, or may be written to.
unsafe fn init(context: *mut *mut Context, log_level: Option<c_int>) -> c_int {
    if context.is_null() {
        context::init_default();
        return abi::SUCCESS;
    }
    let new = Context::new();
    if let Some(level) = log_level {
        new.set_log_level(level);
    }
    // SAFETY: as the caller promises.
    unsafe { put(context, give(Arc::new(new))) };
    abi::SUCCESS
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_init(context: *mut *mut Context) -> c_int {
    export(abi::ERROR_OTHER, || {
        // SAFETY: as libusb.h demands.
        unsafe { init(context, None) }
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_init_context(
    context: *mut *mut Context,
    options: *const InitOption,
    count: c_int,
) -> c_int {
    export(abi::ERROR_OTHER, || {
        let count = if options.is_null() { 0 } else { usize::try_from(count).unwrap_or(0) };
        let given: &[InitOption] = match count {
            0 => &[],
            // SAFETY: the array has `count` elements.
            _ => unsafe { std::slice::from_raw_parts(options, count) },
        };
        let mut level = None;
        for option in given {
            if option.option == abi::OPTION_LOG_LEVEL {
                // SAFETY: this option's value is the number, and any bits are one.
                level = Some(unsafe { option.value.ival });
            }
        }
        // SAFETY: as libusb.h demands.
        unsafe { init(context, level) }
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_exit(context: *mut Context) {
    export((), || {
        if context.is_null() {
            return context::exit_default();
        }
        // SAFETY: the program gives its reference back.
        let context = unsafe { Arc::from_raw(context) };
        if context.is_ours() {
            context.hotplug.clear();
        }
    });
}

/// The C function takes further arguments where the option has some: one number, which the calling conventions of Linux on
/// x86-64 and ARM64 pass as they would a third argument.
///
/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_set_option(context: *mut Context, option: c_int, value: c_int) -> c_int {
    export(abi::ERROR_OTHER, || match option {
        abi::OPTION_LOG_LEVEL if (0..=4).contains(&value) => {
            // SAFETY: as libusb.h demands.
            unsafe { with_context(context, |context| context.set_log_level(value)) };
            abi::SUCCESS
        }
        abi::OPTION_LOG_LEVEL => abi::ERROR_INVALID_PARAM,
        abi::OPTION_NO_DEVICE_DISCOVERY | abi::OPTION_LOG_CB => abi::SUCCESS,
        _ => abi::ERROR_NOT_SUPPORTED,
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_set_debug(context: *mut Context, level: c_int) {
    // SAFETY: as libusb.h demands.
    unsafe { libusb_set_option(context, abi::OPTION_LOG_LEVEL, level) };
}

/// Messages go to standard error, and only when asked for; a program's own way for them is not used.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_set_log_cb(_context: *mut Context, _callback: *mut c_void, _mode: c_int) {}

/// Whether this library can do something.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_has_capability(capability: u32) -> c_int {
    let has = [abi::CAP_HAS_CAPABILITY, abi::CAP_HAS_HOTPLUG, abi::CAP_SUPPORTS_DETACH_KERNEL_DRIVER];
    has.contains(&capability).into()
}

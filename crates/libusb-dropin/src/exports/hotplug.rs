//! Callbacks for devices that come and go.

use std::ffi::{c_int, c_void};
use std::ptr;

use super::{put, share, with_context};
use crate::abi::{self, HotplugCallback};
use crate::context::{self, Context};
use crate::guard::{catch_panic, export};
use crate::hotplug::{Change, Filter, Registered, UserData};

/// Tells the callbacks what has changed. With no lock held: they may call anything.
pub(crate) fn tell(pointer: *mut Context, context: &Context, changes: &[Change]) {
    for change in changes {
        for registered in context.hotplug.wanting(change) {
            call(pointer, context, registered, change);
        }
    }
}

fn call(pointer: *mut Context, context: &Context, registered: Registered, change: &Change) {
    let Registered { handle, call, user_data: UserData(user_data), .. } = registered;
    let device = std::sync::Arc::as_ptr(&change.device).cast_mut().cast();
    // SAFETY: the program's function, with what it said; the device lives while `change` does.
    let done = unsafe { call(pointer.cast(), device, change.event, user_data) };
    // Another value than 0 ends it.
    if done != 0 {
        context.hotplug.deregister(handle);
    }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_hotplug_register_callback(
    context: *mut Context,
    events: c_int,
    flags: c_int,
    vendor_id: c_int,
    product_id: c_int,
    dev_class: c_int,
    callback: Option<HotplugCallback>,
    user_data: *mut c_void,
    handle: *mut c_int,
) -> c_int {
    let filter = Filter { events, vendor: vendor_id, product: product_id, class: dev_class };
    let register = |known: &Context| {
        let Some(callback) = callback.filter(|_| events & 3 != 0 && events & !3 == 0) else {
            return abi::ERROR_INVALID_PARAM;
        };
        let registered = known.hotplug.register(filter, callback, UserData(user_data));
        // SAFETY: the program's number may be written to.
        unsafe { put(handle, registered.handle) };
        let changes = known.hotplug.changes(&known.known);
        if flags & abi::HOTPLUG_ENUMERATE != 0 {
            for device in known.devices() {
                let change = Change { device, event: abi::HOTPLUG_EVENT_DEVICE_ARRIVED };
                if filter.wants(&change.device, change.event) && known.hotplug.find(registered.handle).is_some() {
                    call(context, known, registered, &change);
                }
            }
        }
        // Others that are registered have not heard of these yet.
        let others: Vec<Change> = changes;
        for change in &others {
            for other in known.hotplug.wanting(change).into_iter().filter(|other| other.handle != registered.handle) {
                call(context, known, other, change);
            }
        }
        abi::SUCCESS
    };
    // A callback is a program's code, which may be cancelled and unwound like any other of its own; not so while it is called
    // from here.
    export(abi::ERROR_OTHER, || {
        // SAFETY: as libusb.h demands.
        unsafe { with_context(context, register) }.unwrap_or(abi::ERROR_NO_DEVICE)
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_hotplug_deregister_callback(context: *mut Context, handle: c_int) {
    export((), || {
        // SAFETY: as libusb.h demands.
        unsafe { with_context(context, |context| context.hotplug.deregister(handle)) };
    });
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_hotplug_get_user_data(context: *mut Context, handle: c_int) -> *mut c_void {
    export(ptr::null_mut(), || {
        // SAFETY: as libusb.h demands.
        let found = unsafe { with_context(context, |context| context.hotplug.find(handle)) };
        found.flatten().map_or(ptr::null_mut(), |registered| registered.user_data.0)
    })
}

/// One look at what has changed, with the callbacks it leads to. `false`: this context can't be used here.
///
/// # Safety
/// As libusb.h says of a context.
pub(crate) unsafe fn look(context: *mut Context) -> bool {
    catch_panic(false, || {
        if context.is_null() {
            let Some(default) = context::default() else { return false };
            tell(context, default, &default.hotplug.changes(&default.known));
            return true;
        }
        // SAFETY: as the caller promises.
        let Some(known) = (unsafe { share(context) }).filter(|known| known.is_ours()) else { return false };
        tell(context, &known, &known.hotplug.changes(&known.known));
        true
    })
}

//! The list of devices, and what is known of each.

use std::ffi::{c_int, c_uchar, c_ulong};
use std::ptr;
use std::sync::Arc;

use super::{code, give, of_device, put, share, with_context};
use crate::abi;
use crate::context::Context;
use crate::device::Device;
use crate::guard::export;
use crate::handle::Handle;

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_device_list(context: *mut Context, list: *mut *mut *mut Device) -> libc::ssize_t {
    export(abi::ERROR_OTHER as libc::ssize_t, || {
        // SAFETY: as libusb.h demands.
        let devices = unsafe { with_context(context, Context::devices) }.unwrap_or_default();
        let count = devices.len();
        let mut pointers: Vec<*mut Device> = devices.into_iter().map(give).collect();
        pointers.push(ptr::null_mut());
        let pointers = Box::into_raw(pointers.into_boxed_slice());
        // SAFETY: the program's pointer may be written to.
        unsafe { put(list, pointers.cast()) };
        count as libc::ssize_t
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_free_device_list(list: *mut *mut Device, unref_devices: c_int) {
    export((), || {
        if list.is_null() {
            return;
        }
        let mut count = 0;
        let mut end = list;
        // SAFETY: a list ends with a null pointer, and those before were none.
        while !unsafe { end.read() }.is_null() {
            count += 1;
            // SAFETY: behind a pointer that is not null there is another place of the list.
            end = unsafe { end.add(1) };
        }
        // SAFETY: it was made of a boxed slice with one place more, and is given back once.
        let pointers = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(list, count + 1)) };
        if unref_devices != 0 {
            // SAFETY: each is a reference of the list's, which ends with it.
            pointers.iter().filter(|one| !one.is_null()).for_each(|one| drop(unsafe { Arc::from_raw(*one) }));
        }
    });
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_ref_device(device: *mut Device) -> *mut Device {
    export(device, || {
        // SAFETY: as libusb.h demands.
        unsafe { share(device) }.map_or(ptr::null_mut(), give)
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_unref_device(device: *mut Device) {
    export((), || {
        if !device.is_null() {
            // SAFETY: the program gives a reference back.
            drop(unsafe { Arc::from_raw(device) });
        }
    });
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_bus_number(device: *mut Device) -> u8 {
    // SAFETY: as libusb.h demands.
    export(0, || unsafe { of_device(device, 0, |device| device.bus) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_device_address(device: *mut Device) -> u8 {
    // SAFETY: as libusb.h demands.
    export(0, || unsafe { of_device(device, 0, |device| device.address) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_port_number(device: *mut Device) -> u8 {
    // SAFETY: as libusb.h demands.
    export(0, || unsafe { of_device(device, 0, |device| device.ports.last().copied().unwrap_or(0)) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_port_numbers(device: *mut Device, numbers: *mut u8, room: c_int) -> c_int {
    export(abi::ERROR_OTHER, || {
        let copy = |device: &Device| {
            let room = usize::try_from(room).unwrap_or(0);
            if numbers.is_null() || room == 0 {
                return abi::ERROR_INVALID_PARAM;
            }
            if device.ports.len() > room {
                return abi::ERROR_OVERFLOW;
            }
            // SAFETY: the program's array has `room` bytes.
            let places = unsafe { std::slice::from_raw_parts_mut(numbers, device.ports.len()) };
            places.copy_from_slice(&device.ports);
            device.ports.len() as c_int
        };
        // SAFETY: as libusb.h demands.
        unsafe { of_device(device, abi::ERROR_INVALID_PARAM, copy) }
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_port_path(
    _context: *mut Context,
    device: *mut Device,
    path: *mut u8,
    room: u8,
) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { libusb_get_port_numbers(device, path, room.into()) }
}

/// Hubs are not among the daemon's devices, so none has a parent.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_get_parent(_device: *mut Device) -> *mut Device {
    ptr::null_mut()
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_device_speed(device: *mut Device) -> c_int {
    // SAFETY: as libusb.h demands.
    export(0, || unsafe { of_device(device, 0, |device| device.speed) })
}

/// A number that tells connections of one device apart; bus and address do.
///
/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_session_data(device: *mut Device) -> c_ulong {
    let number = |device: &Device| c_ulong::from(device.bus) << 8 | c_ulong::from(device.address);
    // SAFETY: as libusb.h demands.
    export(0, || unsafe { of_device(device, 0, number) })
}

fn packet(device: &Device, endpoint: u8, of: Option<(u8, u8)>) -> c_int {
    let found = device.active().and_then(|active| active.endpoint(endpoint, of));
    found.map_or(abi::ERROR_NOT_FOUND, |endpoint| endpoint.max_packet_size.into())
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_max_packet_size(device: *mut Device, endpoint: c_uchar) -> c_int {
    let size = |device: &Device| packet(device, endpoint, None);
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_device(device, abi::ERROR_INVALID_PARAM, size) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_max_alt_packet_size(
    device: *mut Device,
    interface: c_int,
    alternate: c_int,
    endpoint: c_uchar,
) -> c_int {
    let size = |device: &Device| match (u8::try_from(interface), u8::try_from(alternate)) {
        (Ok(interface), Ok(alternate)) => packet(device, endpoint, Some((interface, alternate))),
        _ => abi::ERROR_NOT_FOUND,
    };
    // SAFETY: as libusb.h demands.
    export(abi::ERROR_OTHER, || unsafe { of_device(device, abi::ERROR_INVALID_PARAM, size) })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_open(device: *mut Device, handle: *mut *mut Handle) -> c_int {
    export(abi::ERROR_OTHER, || {
        // SAFETY: as libusb.h demands.
        let device = unsafe { share(device) };
        code(device.ok_or(abi::ERROR_INVALID_PARAM).and_then(Handle::open).map(|opened| {
            // SAFETY: the program's pointer may be written to.
            unsafe { put(handle, give(Arc::new(opened))) };
        }))
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_open_device_with_vid_pid(
    context: *mut Context,
    vendor: u16,
    product: u16,
) -> *mut Handle {
    export(ptr::null_mut(), || {
        // SAFETY: as libusb.h demands.
        let devices = unsafe { with_context(context, Context::devices) }.unwrap_or_default();
        let wanted =
            |device: &Arc<Device>| (device.descriptor.idVendor, device.descriptor.idProduct) == (vendor, product);
        let found = devices.into_iter().find(wanted);
        found.and_then(|device| Handle::open(device).ok()).map_or(ptr::null_mut(), |handle| give(Arc::new(handle)))
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_close(handle: *mut Handle) {
    export((), || {
        if !handle.is_null() {
            // SAFETY: the program gives its reference back. A call of another thread may still have one.
            let handle = unsafe { Arc::from_raw(handle) };
            handle.close();
        }
    });
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_device(handle: *mut Handle) -> *mut Device {
    export(ptr::null_mut(), || {
        // SAFETY: as libusb.h demands. The reference stays the handle's, as libusb's does.
        unsafe { share(handle) }.map_or(ptr::null_mut(), |handle| Arc::as_ptr(&handle.device).cast_mut())
    })
}

//! Descriptors, from what the daemon has told: no call goes to the device but for strings that nobody has read yet.

use std::ffi::{c_char, c_int, c_uchar};

use usbscan_wire::{Command, Status};

use super::{code, of_device, of_handle, put, share};
use crate::abi::{self, ConfigDescriptor, DeviceDescriptor};
use crate::device::Device;
use crate::guard::export;
use crate::handle::Handle;
use crate::{descriptors, session, status};

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_device_descriptor(device: *mut Device, into: *mut DeviceDescriptor) -> c_int {
    export(abi::ERROR_OTHER, || {
        let copy = |device: &Device| {
            // SAFETY: the program's struct may be written to.
            unsafe { put(into, device.descriptor) };
            abi::SUCCESS
        };
        // SAFETY: as libusb.h demands.
        unsafe { of_device(device, abi::ERROR_INVALID_PARAM, copy) }
    })
}

/// # Safety
/// As libusb.h says of the functions that use it.
unsafe fn config(
    device: *mut Device,
    into: *mut *mut ConfigDescriptor,
    choose: impl Fn(&Device) -> Option<&[u8]>,
) -> c_int {
    export(abi::ERROR_OTHER, || {
        let make = |device: &Device| match choose(device) {
            Some(raw) => {
                // SAFETY: the program's pointer may be written to.
                unsafe { put(into, descriptors::tree(raw)) };
                abi::SUCCESS
            }
            None => abi::ERROR_NOT_FOUND,
        };
        // SAFETY: as the caller promises.
        unsafe { of_device(device, abi::ERROR_INVALID_PARAM, make) }
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_active_config_descriptor(
    device: *mut Device,
    into: *mut *mut ConfigDescriptor,
) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { config(device, into, |device| device.configuration_of(device.configuration)) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_config_descriptor(
    device: *mut Device,
    index: u8,
    into: *mut *mut ConfigDescriptor,
) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { config(device, into, |device| device.configurations().get(usize::from(index)).copied()) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_config_descriptor_by_value(
    device: *mut Device,
    value: u8,
    into: *mut *mut ConfigDescriptor,
) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { config(device, into, |device| device.configuration_of(value)) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_free_config_descriptor(config: *mut ConfigDescriptor) {
    // SAFETY: it came from one of the three above, and is given back once.
    export((), || unsafe { descriptors::free(config) });
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_configuration(handle: *mut Handle, into: *mut c_int) -> c_int {
    export(abi::ERROR_OTHER, || {
        let copy = |handle: &Handle| {
            if handle.device.is_gone() {
                return Err(abi::ERROR_NO_DEVICE);
            }
            // SAFETY: the program's number may be written to.
            unsafe { put(into, handle.device.configuration.into()) };
            Ok(())
        };
        // SAFETY: as libusb.h demands.
        unsafe { of_handle(handle, copy) }
    })
}

/// Copies a text with its end, as ASCII; says how long it is without.
///
/// # Safety
/// `data` has `length` bytes.
unsafe fn copy_text(text: &str, data: *mut c_uchar, length: c_int) -> c_int {
    let room = usize::try_from(length).unwrap_or(0);
    if data.is_null() || room == 0 {
        return abi::ERROR_INVALID_PARAM;
    }
    // SAFETY: as the caller promises.
    let places = unsafe { std::slice::from_raw_parts_mut(data, room) };
    let ascii: Vec<u8> = text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).take(room - 1).collect();
    places[..ascii.len()].copy_from_slice(&ascii);
    places[ascii.len()] = 0;
    ascii.len() as c_int
}

/// A string that the daemon has not told, from the device.
fn ask_string(handle: &Handle, index: u8) -> Result<String, c_int> {
    let call = handle.with_session(|_, session, _| {
        // English, which every device that has strings has.
        let command = Command::UsbDescriptor { descriptor_type: abi::DT_STRING, index, language: 0x0409 };
        session.connection().start(&command, &[]).map_err(session::gone)
    })?;
    let answer = call.wait().map_err(session::gone)?;
    match answer.status {
        Status::Success => {
            let body: usbscan_wire::DescriptorBody = answer.body().map_err(|_| abi::ERROR_IO)?;
            body.text.ok_or(abi::ERROR_IO)
        }
        other => Err(status::code(other)),
    }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_string_descriptor_ascii(
    handle: *mut Handle,
    index: u8,
    data: *mut c_uchar,
    length: c_int,
) -> c_int {
    export(abi::ERROR_OTHER, || {
        // SAFETY: as libusb.h demands.
        let Some(handle) = (unsafe { share(handle) }) else { return abi::ERROR_INVALID_PARAM };
        if index == 0 {
            return abi::ERROR_INVALID_PARAM;
        }
        let text = match handle.device.string(index) {
            Some(known) => Ok(known.to_owned()),
            None => ask_string(&handle, index),
        };
        // SAFETY: as libusb.h demands.
        text.map_or_else(|code| code, |text| unsafe { copy_text(&text, data, length) })
    })
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_get_device_string(
    device: *mut Device,
    which: c_int,
    data: *mut c_char,
    length: c_int,
) -> c_int {
    export(abi::ERROR_OTHER, || {
        let copy = |device: &Device| {
            let d = &device.descriptor;
            let index = match which {
                0 => d.iManufacturer,
                1 => d.iProduct,
                2 => d.iSerialNumber,
                _ => return abi::ERROR_INVALID_PARAM,
            };
            // SAFETY: as libusb.h demands.
            device.string(index).map_or(abi::ERROR_NOT_FOUND, |text| unsafe { copy_text(text, data.cast(), length) })
        };
        // SAFETY: as libusb.h demands.
        unsafe { of_device(device, abi::ERROR_INVALID_PARAM, copy) }
    })
}

/// The daemon is in the way of every kernel driver already, and nobody else's is touched.
///
/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libusb_kernel_driver_active(handle: *mut Handle, interface: c_int) -> c_int {
    export(abi::ERROR_OTHER, || {
        // SAFETY: as libusb.h demands.
        let handle = unsafe { share(handle) };
        let exists = |handle: &Handle| {
            let active = handle.device.active();
            u8::try_from(interface).is_ok_and(|number| active.is_some_and(|active| active.has_interface(number)))
        };
        code(match handle {
            Some(handle) if exists(&handle) => Ok(()),
            Some(_) => Err(abi::ERROR_INVALID_PARAM),
            None => Err(abi::ERROR_INVALID_PARAM),
        })
    })
}

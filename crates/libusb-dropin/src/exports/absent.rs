//! What this library does not do: asynchronous transfers, streams, BOS descriptors and what is newer. The functions are there,
//! since a program that was linked against libusb does not load without them, and say so.

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::abi;

macro_rules! absent {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        #[doc = concat!("`", stringify!($name), "` is not supported.")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($argument: $type),*) -> c_int {
            abi::ERROR_NOT_SUPPORTED
        }
    )*};
}

absent! {
    libusb_submit_transfer(_transfer: *mut c_void);
    libusb_cancel_transfer(_transfer: *mut c_void);
    libusb_alloc_streams(_handle: *mut c_void, _streams: u32, _endpoints: *mut u8, _count: c_int);
    libusb_free_streams(_handle: *mut c_void, _endpoints: *mut u8, _count: c_int);
    libusb_dev_mem_free(_handle: *mut c_void, _buffer: *mut u8, _length: usize);
    libusb_wrap_sys_device(_context: *mut c_void, _device: isize, _handle: *mut *mut c_void);
    libusb_get_max_iso_packet_size(_device: *mut c_void, _endpoint: u8);
    libusb_get_ss_endpoint_companion_descriptor(_context: *mut c_void, _endpoint: *const c_void, _into: *mut *mut c_void);
    libusb_get_bos_descriptor(_handle: *mut c_void, _into: *mut *mut c_void);
    libusb_get_usb_2_0_extension_descriptor(_context: *mut c_void, _of: *mut c_void, _into: *mut *mut c_void);
    libusb_get_ss_usb_device_capability_descriptor(_context: *mut c_void, _of: *mut c_void, _into: *mut *mut c_void);
    libusb_get_ssplus_usb_device_capability_descriptor(_context: *mut c_void, _of: *mut c_void, _into: *mut *mut c_void);
    libusb_get_container_id_descriptor(_context: *mut c_void, _of: *mut c_void, _into: *mut *mut c_void);
    libusb_get_platform_descriptor(_context: *mut c_void, _of: *mut c_void, _into: *mut *mut c_void);
    libusb_get_interface_association_descriptors(_device: *mut c_void, _index: u8, _into: *mut *mut c_void);
    libusb_get_active_interface_association_descriptors(_device: *mut c_void, _into: *mut *mut c_void);
    libusb_get_config_string(_device: *mut c_void, _value: u8, _data: *mut u8, _length: c_int);
    libusb_get_interface_string(
        _device: *mut c_void, _value: u8, _interface: u8, _alternate: u8, _data: *mut u8, _length: c_int
    );
    libusb_endpoint_set_raw_io(_handle: *mut c_void, _endpoint: u8, _enable: c_int);
    libusb_get_max_raw_io_transfer_size(_handle: *mut c_void, _endpoint: u8);
}

/// Frees what nothing here makes.
macro_rules! frees_nothing {
    ($($name:ident;)*) => {$(
        #[doc = concat!("`", stringify!($name), "` has nothing to free: nothing here makes one.")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $name(_object: *mut c_void) {}
    )*};
}

frees_nothing! {
    libusb_free_transfer;
    libusb_free_ss_endpoint_companion_descriptor;
    libusb_free_bos_descriptor;
    libusb_free_usb_2_0_extension_descriptor;
    libusb_free_ss_usb_device_capability_descriptor;
    libusb_free_ssplus_usb_device_capability_descriptor;
    libusb_free_container_id_descriptor;
    libusb_free_platform_descriptor;
    libusb_free_interface_association_descriptors;
}

/// No asynchronous transfers: null, as when there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_alloc_transfer(_iso_packets: c_int) -> *mut c_void {
    ptr::null_mut()
}

/// No memory of the device's own: null, and programs take other memory then.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_dev_mem_alloc(_handle: *mut c_void, _length: usize) -> *mut u8 {
    ptr::null_mut()
}

/// Of a transfer that there is none of.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_transfer_set_stream_id(_transfer: *mut c_void, _stream: u32) {}

/// As `libusb_transfer_set_stream_id`.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_transfer_get_stream_id(_transfer: *mut c_void) -> u32 {
    0
}

/// No endpoint has raw transfers.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_endpoint_supports_raw_io(_handle: *mut c_void, _endpoint: u8) -> c_int {
    0
}

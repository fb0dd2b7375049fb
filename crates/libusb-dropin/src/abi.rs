//! libusb's C interface: types, constants and struct layouts, as its public header (libusb.h) gives them. `tests/layout.rs`
//! holds every size and offset against the installed header. No code here, only shapes.

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};

/// `LIBUSB_SUCCESS`.
pub const SUCCESS: c_int = 0;
/// `LIBUSB_ERROR_IO`: the transfer failed on the bus, or was cancelled.
pub const ERROR_IO: c_int = -1;
/// `LIBUSB_ERROR_INVALID_PARAM`.
pub const ERROR_INVALID_PARAM: c_int = -2;
/// `LIBUSB_ERROR_ACCESS`: insufficient permissions.
pub const ERROR_ACCESS: c_int = -3;
/// `LIBUSB_ERROR_NO_DEVICE`: it was unplugged, or the daemon is gone.
pub const ERROR_NO_DEVICE: c_int = -4;
/// `LIBUSB_ERROR_NOT_FOUND`.
pub const ERROR_NOT_FOUND: c_int = -5;
/// `LIBUSB_ERROR_BUSY`.
pub const ERROR_BUSY: c_int = -6;
/// `LIBUSB_ERROR_TIMEOUT`.
pub const ERROR_TIMEOUT: c_int = -7;
/// `LIBUSB_ERROR_OVERFLOW`: the device sent more than was asked for.
pub const ERROR_OVERFLOW: c_int = -8;
/// `LIBUSB_ERROR_PIPE`: the endpoint is halted, or the device refused a control request.
pub const ERROR_PIPE: c_int = -9;
/// `LIBUSB_ERROR_INTERRUPTED`.
pub const ERROR_INTERRUPTED: c_int = -10;
/// `LIBUSB_ERROR_NO_MEM`.
pub const ERROR_NO_MEM: c_int = -11;
/// `LIBUSB_ERROR_NOT_SUPPORTED`.
pub const ERROR_NOT_SUPPORTED: c_int = -12;
/// `LIBUSB_ERROR_OTHER`.
pub const ERROR_OTHER: c_int = -99;

/// `LIBUSB_DT_DEVICE`.
pub const DT_DEVICE: u8 = 0x01;
/// `LIBUSB_DT_CONFIG`.
pub const DT_CONFIG: u8 = 0x02;
/// `LIBUSB_DT_STRING`.
pub const DT_STRING: u8 = 0x03;
/// `LIBUSB_DT_INTERFACE`.
pub const DT_INTERFACE: u8 = 0x04;
/// `LIBUSB_DT_ENDPOINT`.
pub const DT_ENDPOINT: u8 = 0x05;

/// `LIBUSB_TRANSFER_TYPE_INTERRUPT`, as in the low bits of `bmAttributes`.
pub const TRANSFER_TYPE_INTERRUPT: u8 = 3;

/// `LIBUSB_CAP_HAS_CAPABILITY`.
pub const CAP_HAS_CAPABILITY: u32 = 0;
/// `LIBUSB_CAP_HAS_HOTPLUG`.
pub const CAP_HAS_HOTPLUG: u32 = 1;
/// `LIBUSB_CAP_SUPPORTS_DETACH_KERNEL_DRIVER`.
pub const CAP_SUPPORTS_DETACH_KERNEL_DRIVER: u32 = 0x101;

/// `LIBUSB_OPTION_LOG_LEVEL`.
pub const OPTION_LOG_LEVEL: c_int = 0;
/// `LIBUSB_OPTION_NO_DEVICE_DISCOVERY`.
pub const OPTION_NO_DEVICE_DISCOVERY: c_int = 2;
/// `LIBUSB_OPTION_LOG_CB`.
pub const OPTION_LOG_CB: c_int = 3;

/// `LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED`.
pub const HOTPLUG_EVENT_DEVICE_ARRIVED: c_int = 1;
/// `LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT`.
pub const HOTPLUG_EVENT_DEVICE_LEFT: c_int = 2;
/// `LIBUSB_HOTPLUG_ENUMERATE`.
pub const HOTPLUG_ENUMERATE: c_int = 1;
/// `LIBUSB_HOTPLUG_MATCH_ANY`.
pub const HOTPLUG_MATCH_ANY: c_int = -1;

/// `struct libusb_device_descriptor`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(non_snake_case, missing_docs)]
pub struct DeviceDescriptor {
    pub bLength: u8,
    pub bDescriptorType: u8,
    pub bcdUSB: u16,
    pub bDeviceClass: u8,
    pub bDeviceSubClass: u8,
    pub bDeviceProtocol: u8,
    pub bMaxPacketSize0: u8,
    pub idVendor: u16,
    pub idProduct: u16,
    pub bcdDevice: u16,
    pub iManufacturer: u8,
    pub iProduct: u8,
    pub iSerialNumber: u8,
    pub bNumConfigurations: u8,
}

/// `struct libusb_endpoint_descriptor`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_snake_case, missing_docs)]
pub struct EndpointDescriptor {
    pub bLength: u8,
    pub bDescriptorType: u8,
    pub bEndpointAddress: u8,
    pub bmAttributes: u8,
    pub wMaxPacketSize: u16,
    pub bInterval: u8,
    pub bRefresh: u8,
    pub bSynchAddress: u8,
    pub extra: *const c_uchar,
    pub extra_length: c_int,
}

/// `struct libusb_interface_descriptor`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_snake_case, missing_docs)]
pub struct InterfaceDescriptor {
    pub bLength: u8,
    pub bDescriptorType: u8,
    pub bInterfaceNumber: u8,
    pub bAlternateSetting: u8,
    pub bNumEndpoints: u8,
    pub bInterfaceClass: u8,
    pub bInterfaceSubClass: u8,
    pub bInterfaceProtocol: u8,
    pub iInterface: u8,
    pub endpoint: *const EndpointDescriptor,
    pub extra: *const c_uchar,
    pub extra_length: c_int,
}

/// `struct libusb_interface`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Interface {
    pub altsetting: *const InterfaceDescriptor,
    pub num_altsetting: c_int,
}

/// `struct libusb_config_descriptor`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(non_snake_case, missing_docs)]
pub struct ConfigDescriptor {
    pub bLength: u8,
    pub bDescriptorType: u8,
    pub wTotalLength: u16,
    pub bNumInterfaces: u8,
    pub bConfigurationValue: u8,
    pub iConfiguration: u8,
    pub bmAttributes: u8,
    pub MaxPower: u8,
    pub interface: *const Interface,
    pub extra: *const c_uchar,
    pub extra_length: c_int,
}

/// `struct libusb_version`.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub micro: u16,
    pub nano: u16,
    pub rc: *const c_char,
    pub describe: *const c_char,
}

/// `struct libusb_init_option`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct InitOption {
    pub option: c_int,
    pub value: InitValue,
}

/// The union in it.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub union InitValue {
    pub ival: c_int,
    pub log_cbval: Option<LogCallback>,
}

impl std::fmt::Debug for InitOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InitOption").field("option", &self.option).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for InitValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InitValue")
    }
}

/// `libusb_log_cb`.
pub type LogCallback = unsafe extern "C" fn(context: *mut c_void, level: c_int, text: *const c_char);

/// `libusb_hotplug_callback_fn`; the device is a `libusb_device *`.
pub type HotplugCallback =
    unsafe extern "C" fn(context: *mut c_void, device: *mut c_void, event: c_int, user_data: *mut c_void) -> c_int;

/// `struct libusb_pollfd`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Pollfd {
    pub fd: c_int,
    pub events: i16,
}

/// A `timeout` in milliseconds; 0 is none.
pub type Milliseconds = c_uint;

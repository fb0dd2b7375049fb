//! The scanners there are, for `sane_get_devices`: from the daemon's list to a null-terminated array of C structs that
//! lives until the next list.

use std::ffi::{CString, c_char};
use std::path::PathBuf;

use usbscan_client::wire::DeviceEntry;
use usbscan_client::{DEFAULT_SOCKET, Session};

use crate::abi::Device;
use crate::environment;

/// Where the daemon listens: `USBSCAN_SOCKET`, or the default.
pub fn socket() -> PathBuf {
    environment::variable("USBSCAN_SOCKET").map_or(DEFAULT_SOCKET.into(), PathBuf::from)
}

/// What the daemon lists and a driver of ours can scan with. Nothing where there is no daemon: SANE asks every backend,
/// and most machines' scanners are another's. Nothing under `usbscan run` either: there the other backends list the
/// daemon's scanners.
pub fn scanners() -> Vec<DeviceEntry> {
    if std::env::var_os("USBSCAN_RUN").is_some() {
        return Vec::new();
    }
    let listed = Session::connect(socket()).and_then(|session| session.list());
    match listed {
        Ok(devices) => {
            devices.into_iter().filter(|device| usbscan_scan::driver_for(&device.protocol).is_ok()).collect()
        }
        Err(error) => {
            log::info!("no scanners: {error}");
            Vec::new()
        }
    }
}

/// An array as `sane_get_devices` gives it out, and what it points into.
#[derive(Debug)]
pub struct DeviceList {
    pointers: Vec<*const Device>,
    _devices: Vec<Device>,
    _texts: Vec<CString>,
}

// SAFETY: the pointers lead into the two vectors beside them, which nobody changes and which move along.
unsafe impl Send for DeviceList {}

impl DeviceList {
    /// The array of these scanners.
    pub fn new(scanners: &[DeviceEntry]) -> DeviceList {
        let mut texts = Vec::new();
        let devices: Vec<Device> = scanners.iter().map(|scanner| describe(scanner, &mut texts)).collect();
        let mut pointers: Vec<*const Device> = devices.iter().map(std::ptr::from_ref).collect();
        pointers.push(std::ptr::null());
        DeviceList { pointers, _devices: devices, _texts: texts }
    }

    /// Its first element; the last is null.
    pub fn as_ptr(&self) -> *const *const Device {
        self.pointers.as_ptr()
    }
}

/// The stable id is the name: applications keep it, and find the same scanner after it was replugged.
fn describe(scanner: &DeviceEntry, texts: &mut Vec<CString>) -> Device {
    let unnamed = || format!("{:04x}:{:04x}", scanner.vendor_id, scanner.product_id);
    let vendor = scanner.manufacturer.clone().unwrap_or_else(|| "Unknown".to_owned());
    let model = scanner.product.clone().unwrap_or_else(unnamed);
    Device {
        name: keep(&scanner.stable_id, texts),
        vendor: keep(&vendor, texts),
        model: keep(&model, texts),
        kind: keep(kind(&scanner.protocol), texts),
    }
}

/// SANE's word for what it is, from what is known before it is opened: all scanners of our table that speak ESC/I are flatbeds;
/// of those that speak ESC/I-2 some are, some take sheets only, and some print too.
fn kind(protocol: &str) -> &'static str {
    match protocol {
        "esci" => "flatbed scanner",
        _ => "scanner",
    }
}

/// A C string that lives as long as `texts`. A zero in the middle, which a device's descriptor may hold, ends it.
pub fn keep(text: &str, texts: &mut Vec<CString>) -> *const c_char {
    let until_zero = text.split('\0').next().unwrap_or_default();
    let text = CString::new(until_zero).expect("no zero is left");
    let pointer = text.as_ptr();
    texts.push(text);
    pointer
}

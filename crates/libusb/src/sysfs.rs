//! What Linux knows of a device without asking it: strings, drivers, rights. Reads files; no byte goes on
//! the wire and no device is woken up.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use usbscan_usb::{Access, InterfaceNumber, Location};

const DEVICES: &str = "/sys/bus/usb/devices";
const NODES: &str = "/dev/bus/usb";

/// The device node that usbfs gives a device: `/dev/bus/usb/BBB/DDD`.
pub(crate) fn node(location: &Location) -> PathBuf {
    Path::new(NODES).join(format!("{:03}", location.bus)).join(format!("{:03}", location.address))
}

/// Whether there is a USB host at all.
pub(crate) fn has_usb() -> bool {
    fs::read_dir(NODES).is_ok_and(|mut entries| entries.next().is_some())
}

/// Whether the device is still there.
pub(crate) fn is_present(location: &Location) -> bool {
    directory(location).is_some_and(|directory| directory.exists())
}

/// A text attribute of the device: `manufacturer`, `product`, `serial`. `None` where there is none.
pub(crate) fn text(location: &Location, attribute: &str) -> Option<String> {
    let bytes = fs::read(directory(location)?.join(attribute)).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\0']).to_owned();
    (!text.is_empty()).then_some(text)
}

/// The device's descriptors as the kernel read them when it was plugged in.
pub(crate) fn descriptors(location: &Location) -> Option<Vec<u8>> {
    fs::read(directory(location)?.join("descriptors")).ok()
}

/// The kernel driver on an interface; `usbfs` is a program.
pub(crate) fn driver(location: &Location, configuration: u8, interface: InterfaceNumber) -> Option<String> {
    let link = fs::read_link(interface_directory(location, configuration, interface)?.join("driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// The alternate setting that an interface is in.
pub(crate) fn alternate(location: &Location, configuration: u8, interface: InterfaceNumber) -> Option<u8> {
    let file = interface_directory(location, configuration, interface)?.join("bAlternateSetting");
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Whether this process may open the device for reading and writing, judged by the node alone:
/// to open it would wake the device up.
pub(crate) fn access(location: &Location) -> Access {
    let Ok(path) = CString::new(node(location).as_os_str().as_bytes()) else { return Access::Denied };
    // SAFETY: access() reads a string that ends with NUL; `path` is one and outlives the call.
    let answer = unsafe { libc::access(path.as_ptr(), libc::R_OK | libc::W_OK) };
    if answer == 0 { Access::Granted } else { Access::Denied }
}

fn directory(location: &Location) -> Option<PathBuf> {
    (!location.ports.is_empty()).then(|| Path::new(DEVICES).join(location.port_path()))
}

fn interface_directory(location: &Location, configuration: u8, interface: InterfaceNumber) -> Option<PathBuf> {
    let name = format!("{}:{configuration}.{interface}", location.port_path());
    (!location.ports.is_empty()).then(|| Path::new(DEVICES).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_bus_and_address_in_three_digits() {
        let location = Location { bus: 2, address: 17, ports: vec![1, 4] };
        assert_eq!(node(&location), Path::new("/dev/bus/usb/002/017"));
    }

    #[test]
    fn a_device_that_is_not_there_has_no_text_and_no_driver() {
        let location = Location { bus: 250, address: 1, ports: vec![9, 9, 9] };
        assert_eq!(text(&location, "serial"), None);
        assert_eq!(driver(&location, 1, InterfaceNumber(0)), None);
        assert_eq!(access(&location), Access::Denied);
        assert!(!is_present(&location));
    }

    #[test]
    fn without_a_port_path_nothing_is_looked_up() {
        let location = Location { bus: 1, address: 2, ports: Vec::new() };
        assert_eq!(directory(&location), None);
        assert_eq!(interface_directory(&location, 1, InterfaceNumber(0)), None);
    }
}

//! A scanner as the daemon lists it: what a program can learn of it without opening it.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use usbscan_wire::DeviceEntry;

use crate::abi::DeviceDescriptor;
use crate::descriptors::{self, Configuration};

/// See the head of this file. A `libusb_device *` is an `Arc` of one, and its references are counted by that.
#[derive(Debug)]
pub(crate) struct Device {
    /// The daemon's name for it.
    pub name: String,
    /// By which it is known again when it is listed the next time, with its address.
    pub stable_id: String,
    /// As Linux counts buses.
    pub bus: u8,
    /// Its address on that bus.
    pub address: u8,
    /// Port numbers from the root hub on.
    pub ports: Vec<u8>,
    /// `enum libusb_speed`.
    pub speed: c_int,
    /// Whether the daemon may open it.
    pub accessible: bool,
    /// Its descriptor.
    pub descriptor: DeviceDescriptor,
    /// The value of the configuration that it is in; 0 where it is in none.
    pub configuration: u8,
    /// Manufacturer, product and serial number.
    strings: [Option<String>; 3],
    raw: Vec<u8>,
    gone: AtomicBool,
}

impl Device {
    /// Of an entry of the daemon's list. `None` when it brings no descriptors, without which a program can do nothing.
    pub fn new(entry: &DeviceEntry) -> Option<Device> {
        let raw = entry.descriptors.as_ref()?.0.clone();
        let descriptor = descriptors::device(&raw)?;
        let (bus, address) = entry.address.split_once(':')?;
        let ports = entry.port.split_once('-').map_or("", |(_, ports)| ports);
        Some(Device {
            name: entry.name.clone(),
            stable_id: entry.stable_id.clone(),
            bus: bus.parse().ok()?,
            address: address.parse().ok()?,
            ports: ports.split('.').filter_map(|port| port.parse().ok()).collect(),
            speed: speed(&entry.speed),
            accessible: entry.accessible,
            descriptor,
            configuration: entry.configuration.unwrap_or(0),
            strings: [entry.manufacturer.clone(), entry.product.clone(), entry.serial.clone()],
            raw,
            gone: AtomicBool::new(false),
        })
    }

    /// Whether an entry is this device, still plugged in where it was.
    pub fn is(&self, other: &Device) -> bool {
        let key = |device: &Device| (device.bus, device.address);
        self.stable_id == other.stable_id && self.name == other.name && key(self) == key(other)
    }

    /// It was unplugged.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether that is known.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// The bytes of each configuration.
    pub fn configurations(&self) -> Vec<&[u8]> {
        descriptors::configurations(&self.raw)
    }

    /// The bytes of the configuration with this value.
    pub fn configuration_of(&self, value: u8) -> Option<&[u8]> {
        self.configurations().into_iter().find(|raw| descriptors::value(raw) == value)
    }

    /// The configuration that it is in, taken apart.
    pub fn active(&self) -> Option<Configuration> {
        self.configuration_of(self.configuration).map(Configuration::parse)
    }

    /// The string with this index, where the daemon has told it already.
    pub fn string(&self, index: u8) -> Option<&str> {
        let d = &self.descriptor;
        let at = [d.iManufacturer, d.iProduct, d.iSerialNumber]
            .into_iter()
            .position(|known| known == index && index != 0)?;
        self.strings[at].as_deref()
    }
}

/// `enum libusb_speed` of what the daemon says.
fn speed(words: &str) -> c_int {
    match words {
        "1.5 Mbit/s" => 1,
        "12 Mbit/s" => 2,
        "480 Mbit/s" => 3,
        "5 Gbit/s" => 4,
        "10 Gbit/s" => 5,
        _ => 0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use usbscan_wire::HexBytes;

    use super::*;

    /// A loopback device as the daemon lists it.
    pub(crate) fn entry() -> DeviceEntry {
        let descriptors = "12010002000000400912010000010102030109022700010100c000\
                           0904000003ffffff00070581020002000705020200020007058303400001";
        let json = format!(
            r#"{{"name":"usbscan0","stable-id":"1209:0001:LOOP0001","vendor-id":4617,"product-id":1,
                "manufacturer":"usbscan","product":"Loopback","serial":"LOOP0001","port":"200-1.4","address":"200:007",
                "speed":"480 Mbit/s","interface":0,"bus":"virtual","protocol":"loopback","accessible":true,
                "configuration":1,"descriptors":"{descriptors}"}}"#
        );
        let header: serde_json::Value = serde_json::from_str(&json).unwrap();
        serde_json::from_value(header).unwrap()
    }

    #[test]
    fn an_entry_of_the_list_is_a_device_with_its_address_and_ports() {
        let device = Device::new(&entry()).unwrap();
        assert_eq!((device.bus, device.address, device.ports.as_slice(), device.speed), (200, 7, &[1, 4][..], 3));
        assert_eq!((device.descriptor.idVendor, device.configurations().len()), (0x1209, 1));
        let interrupt = device.active().and_then(|active| active.endpoint(0x83, None));
        assert_eq!(interrupt.map(|endpoint| endpoint.transfer_type), Some(3));
        assert_eq!((device.string(2), device.string(0), device.string(9)), (Some("Loopback"), None, None));
    }

    #[test]
    fn an_entry_without_usable_descriptors_is_none() {
        assert!(Device::new(&DeviceEntry { descriptors: None, ..entry() }).is_none());
        assert!(Device::new(&DeviceEntry { descriptors: Some(HexBytes(vec![18, 1])), ..entry() }).is_none());
        assert!(Device::new(&DeviceEntry { address: "here".to_owned(), ..entry() }).is_none());
    }
}

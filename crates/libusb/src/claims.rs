//! Which interfaces of an open device are ours, and in which alternate setting each is. Values under a lock;
//! no I/O.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use usbscan_usb::{
    DeviceInfo, EndpointAddress, EndpointDescriptor, InterfaceDescriptor, InterfaceNumber, Setup, SetupKind,
    SetupRecipient,
};

/// The interfaces that are ours, with their alternate settings.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    ours: Mutex<BTreeMap<InterfaceNumber, u8>>,
}

impl Claims {
    pub(crate) fn insert(&self, interface: InterfaceNumber, alternate: u8) {
        self.ours.lock().insert(interface, alternate);
    }

    pub(crate) fn remove(&self, interface: InterfaceNumber) {
        self.ours.lock().remove(&interface);
    }

    /// The setting that an interface of ours is in.
    pub(crate) fn alternate(&self, interface: InterfaceNumber) -> Option<u8> {
        self.ours.lock().get(&interface).copied()
    }

    pub(crate) fn contains(&self, interface: InterfaceNumber) -> bool {
        self.ours.lock().contains_key(&interface)
    }

    /// After a reset every interface is back in its first setting.
    pub(crate) fn back_to_first_settings(&self) {
        self.ours.lock().values_mut().for_each(|alternate| *alternate = 0);
    }

    pub(crate) fn all(&self) -> Vec<InterfaceNumber> {
        self.ours.lock().keys().copied().collect()
    }

    /// An endpoint that an interface of ours has in its present setting.
    pub(crate) fn endpoint(&self, info: &DeviceInfo, address: EndpointAddress) -> Option<EndpointDescriptor> {
        let ours = self.ours.lock();
        let present = |setting: &&InterfaceDescriptor| ours.get(&setting.number) == Some(&setting.alternate);
        let settings = info.configuration.iter().flat_map(|configuration| &configuration.interfaces);
        settings.filter(present).flat_map(|setting| &setting.endpoints).find(|e| e.address == address).copied()
    }

    /// Whether a control request may be sent: a request to an interface or endpoint that is not ours would make
    /// usbfs claim it behind our back (it logs a warning and goes on). Vendor requests need no claim.
    pub(crate) fn allow(&self, info: &DeviceInfo, setup: Setup) -> bool {
        let low = setup.index as u8;
        match (setup.kind(), setup.recipient()) {
            (SetupKind::Vendor, _) => true,
            (_, SetupRecipient::Interface) => self.contains(InterfaceNumber(low)),
            (_, SetupRecipient::Endpoint) => {
                EndpointAddress(low).is_control() || self.endpoint(info, EndpointAddress(low)).is_some()
            }
            _ => true,
        }
    }
}

/// The alternate settings that an interface has.
pub(crate) fn settings(info: &DeviceInfo, interface: InterfaceNumber) -> Vec<&InterfaceDescriptor> {
    let all = info.configuration.iter().flat_map(|configuration| &configuration.interfaces);
    all.filter(|setting| setting.number == interface).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use usbscan_usb::{
        Access, ConfigurationDescriptor, DeviceDescriptor, Location, ProductId, Speed, TransferType, VendorId,
    };

    use super::*;

    /// A device with one bulk-in endpoint on interface 0 in each of two settings, and one on interface 1.
    pub(crate) fn two_interfaces() -> DeviceInfo {
        let endpoint = |address| EndpointDescriptor {
            address: EndpointAddress(address),
            transfer_type: TransferType::Bulk,
            max_packet_size: 512,
            interval: 0,
        };
        let setting = |number, alternate, address| InterfaceDescriptor {
            number: InterfaceNumber(number),
            alternate,
            class: 6,
            subclass: 1,
            protocol: 1,
            string_index: 0,
            endpoints: vec![endpoint(address)],
        };
        DeviceInfo {
            location: Location { bus: 1, address: 2, ports: vec![3] },
            speed: Speed::High,
            descriptor: DeviceDescriptor {
                usb_version: 0x0200,
                class: 0,
                subclass: 0,
                protocol: 0,
                max_packet_size_0: 64,
                vendor: VendorId(0x1209),
                product: ProductId(1),
                device_version: 0,
                manufacturer_index: 0,
                product_index: 0,
                serial_index: 0,
                configurations: 1,
            },
            configuration: Some(ConfigurationDescriptor {
                value: 1,
                attributes: 0x80,
                max_power: 0,
                interfaces: vec![setting(0, 0, 0x81), setting(0, 1, 0x82), setting(1, 0, 0x83)],
            }),
            manufacturer: None,
            product: None,
            serial: None,
            access: Access::Granted,
        }
    }

    #[test]
    fn an_endpoint_is_ours_in_the_present_setting_of_a_claimed_interface_only() {
        let (claims, info) = (Claims::default(), two_interfaces());
        assert!(claims.endpoint(&info, EndpointAddress(0x81)).is_none());
        claims.insert(InterfaceNumber(0), 0);
        assert!(claims.endpoint(&info, EndpointAddress(0x81)).is_some());
        assert!(claims.endpoint(&info, EndpointAddress(0x82)).is_none(), "another setting");
        assert!(claims.endpoint(&info, EndpointAddress(0x83)).is_none(), "another interface");
        claims.insert(InterfaceNumber(0), 1);
        assert!(claims.endpoint(&info, EndpointAddress(0x82)).is_some());
        claims.back_to_first_settings();
        assert!(claims.endpoint(&info, EndpointAddress(0x81)).is_some());
    }

    #[test]
    fn a_class_request_needs_its_interface_and_a_vendor_request_none() {
        let (claims, info) = (Claims::default(), two_interfaces());
        let request = |request_type, index| Setup { request_type, request: 0x64, value: 0, index, length: 0 };
        assert!(claims.allow(&info, request(0x40, 0)), "vendor, device");
        assert!(claims.allow(&info, request(0x41, 1)), "vendor, interface");
        assert!(claims.allow(&info, Setup::get_descriptor(1, 0, 0, 18)), "standard, device");
        assert!(!claims.allow(&info, request(0x21, 0)), "class, interface 0");
        claims.insert(InterfaceNumber(0), 0);
        assert!(claims.allow(&info, request(0x21, 0)));
        assert!(!claims.allow(&info, request(0x21, 1)));
        assert!(claims.allow(&info, request(0x22, 0x81)));
        assert!(!claims.allow(&info, request(0x22, 0x83)));
    }
}

//! What the scanner is on the bus.

use usb::{
    ConfigurationDescriptor, DeviceDescriptor, EndpointAddress, EndpointDescriptor, InterfaceDescriptor,
    InterfaceNumber, ProductId, Speed, TransferType, VendorId,
};

use super::traits::Traits;
use crate::Descriptors;

/// As far as they are known (esc-i, section 6.1): class, interface and endpoints are FF/FF/FF with one pipe each way.
pub(super) fn descriptors(traits: &Traits, serial: &str) -> Descriptors {
    let bulk = |address| EndpointDescriptor {
        address: EndpointAddress(address),
        transfer_type: TransferType::Bulk,
        max_packet_size: 512,
        interval: 0,
    };
    Descriptors {
        speed: Speed::High,
        device: DeviceDescriptor {
            usb_version: 0x0200,
            class: 0xff,
            subclass: 0xff,
            protocol: 0xff,
            max_packet_size_0: 64,
            vendor: VendorId(0x04b8),
            product: ProductId(traits.product.1),
            device_version: 0x0100,
            manufacturer_index: 1,
            product_index: 2,
            serial_index: 3,
            configurations: 1,
        },
        configuration: ConfigurationDescriptor {
            value: 1,
            attributes: 0xc0,
            max_power: 1,
            interfaces: vec![InterfaceDescriptor {
                number: InterfaceNumber(0),
                alternate: 0,
                class: 0xff,
                subclass: 0xff,
                protocol: 0xff,
                string_index: 0,
                endpoints: vec![bulk(0x81), bulk(0x02)],
            }],
        },
        manufacturer: "EPSON".to_owned(),
        product: traits.product.0.to_owned(),
        serial: Some(serial.to_owned()),
    }
}

//! What the scanner is on the bus.

use usb::{
    ConfigurationDescriptor, DeviceDescriptor, EndpointAddress, EndpointDescriptor, InterfaceDescriptor,
    InterfaceNumber, ProductId, Speed, TransferType, VendorId,
};

use super::traits::Traits;
use crate::Descriptors;

/// The scanner's pipes.
const SCANNER_IN: EndpointAddress = EndpointAddress(0x81);
const SCANNER_OUT: EndpointAddress = EndpointAddress(0x02);
/// Those of the printer beside it, where they were seen on a Stylus CX6400.
pub(super) const PRINTER_OUT: EndpointAddress = EndpointAddress(0x04);
pub(super) const PRINTER_IN: EndpointAddress = EndpointAddress(0x85);

/// What a device is, as its class says: of the maker's own, or (0) as each interface says.
const VENDOR: (u8, u8, u8) = (0xff, 0xff, 0xff);
const BY_INTERFACE: (u8, u8, u8) = (0, 0, 0);
/// USB Printing Devices 1.1, section 4.2.1: a printer that also answers.
const PRINTER: (u8, u8, u8) = (0x07, 0x01, 0x02);

/// As far as they are known (docs/esc-i.md, "The virtual scanner"): class, interface and endpoints are FF/FF/FF with one pipe
/// each way. An all-in-one has a printer as interface 1.
pub(super) fn descriptors(traits: &Traits, serial: &str, has_printer: bool) -> Descriptors {
    let mut interfaces = vec![interface(0, VENDOR, [SCANNER_IN, SCANNER_OUT])];
    if has_printer {
        interfaces.push(interface(1, PRINTER, [PRINTER_OUT, PRINTER_IN]));
    }
    let (class, subclass, protocol) = if has_printer { BY_INTERFACE } else { VENDOR };
    Descriptors {
        speed: Speed::High,
        device: DeviceDescriptor {
            usb_version: 0x0200,
            class,
            subclass,
            protocol,
            max_packet_size_0: 64,
            vendor: VendorId(0x04b8),
            product: ProductId(traits.product.1),
            device_version: 0x0100,
            manufacturer_index: 1,
            product_index: 2,
            serial_index: 3,
            configurations: 1,
        },
        configuration: ConfigurationDescriptor { value: 1, attributes: 0xc0, max_power: 1, interfaces },
        manufacturer: "EPSON".to_owned(),
        product: traits.product.0.to_owned(),
        serial: Some(serial.to_owned()),
    }
}

fn interface(number: u8, class: (u8, u8, u8), pipes: [EndpointAddress; 2]) -> InterfaceDescriptor {
    let bulk =
        |address| EndpointDescriptor { address, transfer_type: TransferType::Bulk, max_packet_size: 512, interval: 0 };
    let (class, subclass, protocol) = class;
    InterfaceDescriptor {
        number: InterfaceNumber(number),
        alternate: 0,
        class,
        subclass,
        protocol,
        string_index: 0,
        endpoints: pipes.map(bulk).to_vec(),
    }
}

//! What the scanner is on the bus.

use usbscan_usb::{EndpointAddress, InterfaceDescriptor, InterfaceNumber};

use super::capabilities::Capabilities;
use crate::Descriptors;
use crate::model::bulk;

/// The scanner's pipes.
const SCANNER_IN: EndpointAddress = EndpointAddress(0x81);
const SCANNER_OUT: EndpointAddress = EndpointAddress(0x02);
/// Those of the printer beside it, where they were seen on a Stylus CX6400.
pub(super) const PRINTER_OUT: EndpointAddress = EndpointAddress(0x04);
pub(super) const PRINTER_IN: EndpointAddress = EndpointAddress(0x85);

/// What a device or an interface is, as its class says: vendor-specific.
const VENDOR: (u8, u8, u8) = (0xff, 0xff, 0xff);
/// USB Printing Devices 1.1, section 4.2.1: a printer that also answers.
const PRINTER: (u8, u8, u8) = (0x07, 0x01, 0x02);

/// As far as they are known (docs/esc-i.md, "The virtual scanner"): class, interface and endpoints are FF/FF/FF with one pipe
/// each way. An all-in-one has a printer as interface 1, and is what its interfaces say.
pub(super) fn descriptors(capabilities: &Capabilities, serial: &str, has_printer: bool) -> Descriptors {
    let (name, product) = capabilities.product;
    let pipes = vec![bulk(SCANNER_IN.0), bulk(SCANNER_OUT.0)];
    let mut descriptors = Descriptors::of_one_interface((0x04b8, product), VENDOR, pipes, ["EPSON", name, serial]);
    if has_printer {
        descriptors.configuration.interfaces.push(printer());
    } else {
        let device = &mut descriptors.device;
        (device.class, device.subclass, device.protocol) = VENDOR;
    }
    descriptors
}

fn printer() -> InterfaceDescriptor {
    let (class, subclass, protocol) = PRINTER;
    InterfaceDescriptor {
        number: InterfaceNumber(1),
        alternate: 0,
        class,
        subclass,
        protocol,
        string_index: 0,
        endpoints: vec![bulk(PRINTER_OUT.0), bulk(PRINTER_IN.0)],
    }
}

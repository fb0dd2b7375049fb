//! A scanner as functions of bytes. A model knows no transport, no thread and no clock of its own:
//! the bus calls it, one call at a time, and tells it what time it is.

use std::time::{Duration, Instant};

use usbscan_usb::{
    ConfigurationDescriptor, DeviceDescriptor, EndpointAddress, EndpointDescriptor, InterfaceDescriptor,
    InterfaceNumber, ProductId, Setup, Speed, TransferType, VendorId,
};

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptors {
    /// The speed it was made for.
    pub speed: Speed,
    /// Its device descriptor; string indices 1, 2, 3 are the strings below.
    pub device: DeviceDescriptor,
    pub configuration: ConfigurationDescriptor,
    /// String 1.
    pub manufacturer: String,
    /// String 2.
    pub product: String,
    /// String 3; a device without one has `serial_index` 0.
    pub serial: Option<String>,
}

/// A bulk endpoint at high speed.
pub(crate) fn bulk(address: u8) -> EndpointDescriptor {
    EndpointDescriptor {
        address: EndpointAddress(address),
        transfer_type: TransferType::Bulk,
        max_packet_size: 512,
        interval: 0,
    }
}

impl Descriptors {
    /// What our scanners have in common: USB 2.0 at high speed, powered by themselves, one interface, of this class triple;
    /// manufacturer, product and serial number as strings. What else a device says of itself can be set afterwards.
    pub(crate) fn of_one_interface(
        (vendor, product): (u16, u16),
        (class, subclass, protocol): (u8, u8, u8),
        endpoints: Vec<EndpointDescriptor>,
        [manufacturer, name, serial]: [&str; 3],
    ) -> Descriptors {
        Descriptors {
            speed: Speed::High,
            device: DeviceDescriptor {
                usb_version: 0x0200,
                class: 0,
                subclass: 0,
                protocol: 0,
                max_packet_size_0: 64,
                vendor: VendorId(vendor),
                product: ProductId(product),
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
                    class,
                    subclass,
                    protocol,
                    string_index: 0,
                    endpoints,
                }],
            },
            manufacturer: manufacturer.to_owned(),
            product: name.to_owned(),
            serial: Some(serial.to_owned()),
        }
    }

    /// String descriptor `index` (USB 2.0, section 9.6.7); index 0 lists the one language, US English.
    /// A text longer than the 126 UTF-16 units that fit is cut.
    pub fn string(&self, index: u8) -> Option<Vec<u8>> {
        let text = match index {
            0 => return Some(vec![4, 3, 0x09, 0x04]),
            i if i == self.device.manufacturer_index => &self.manufacturer,
            i if i == self.device.product_index => &self.product,
            i if i == self.device.serial_index => self.serial.as_ref()?,
            _ => return None,
        };
        let units: Vec<u16> = text.encode_utf16().take(126).collect();
        let mut bytes = vec![2 + 2 * units.len() as u8, 3];
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        Some(bytes)
    }
}

/// A device's answer to an IN token on a bulk or interrupt endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum In {
    /// The first `n` bytes of the buffer are filled: as many full packets as fit in `n`, then, if `n`
    /// is 0 or no multiple of the endpoint's packet size, one short packet, which ends the host's transfer.
    /// An item that is a multiple of the packet size is followed by nothing: the host can't see its end.
    Data(usize),
    /// Nothing to send. The model is asked again after anything else happened on the device.
    Nak,
    /// Nothing to send before this moment. (It is asked again earlier if something else happened.)
    NakUntil(Instant),
    /// The endpoint is halted, until [`Model::clear_halt`].
    Stall,
    /// A packet larger than the endpoint allows: the transfer ends as an overflow.
    Babble,
    /// Rubbish on the bus: the transfer ends with an error.
    Garbled,
    /// The device falls off the bus.
    Gone,
}

/// A device's answer to a packet on a bulk-out endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Out {
    Ack,
    /// The device has no space now. The packet is offered again after anything else happened on the device.
    Nak,
    /// It has no space before this moment.
    NakUntil(Instant),
    /// The endpoint is halted, until [`Model::clear_halt`].
    Stall,
    /// The device falls off the bus.
    Gone,
}

/// A device's answer to a control request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The data of an IN request (cut to what was asked for), or (empty) the success of an OUT request.
    Done(Vec<u8>),
    Stall,
    /// Never answered: the request ends only when the host gives up on it.
    Hang,
    /// Not before this moment: the same request is then put again.
    NakUntil(Instant),
    /// The device falls off the bus.
    Gone,
}

/// How soon the host controller gives back a transfer that was cancelled.
///
/// No property of a device, but of the rig it is plugged into; it travels with the model so that
/// one description of a virtual scanner says all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unlink {
    #[default]
    Prompt,
    /// Only so much later. The endpoint stands still until then.
    After(Duration),
    /// Not before the device is unplugged. The endpoint stands still until then.
    Never,
}

/// What becomes of a device at the end of a port reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterReset {
    /// It is there as before.
    #[default]
    Stays,
    /// It leaves, and comes back at the same port with another address, so much later.
    Moves(Duration),
    /// It leaves for good.
    Leaves,
}

/// A USB device as functions of bytes.
///
/// Standard requests (descriptors, configuration, halts, status) are answered for it, see [`crate::Link`].
/// Nothing a host sends may make a model panic, block, or hold an unbounded amount of memory.
pub trait Model: Send {
    /// What the device says of itself. The same for as long as it is plugged in.
    fn descriptors(&self) -> &Descriptors;

    /// A class or vendor request. `data` is the data stage of an OUT request, empty for IN.
    fn control(&mut self, now: Instant, setup: Setup, data: &[u8]) -> Control {
        let _ = (now, setup, data);
        Control::Stall
    }

    /// One packet, at most the endpoint's packet size, possibly empty.
    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out;

    /// Packets for the host. `buffer` is one or more times the endpoint's packet size, never less.
    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In;

    /// The same for an interrupt endpoint.
    fn interrupt_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        let _ = (now, endpoint, buffer);
        In::Nak
    }

    /// The host cleared a halt on this endpoint, or reset its toggle without one.
    fn clear_halt(&mut self, endpoint: EndpointAddress) {
        let _ = endpoint;
    }

    /// Whether the next packet on this endpoint would be answered by a stall. For transports that have to
    /// halt an endpoint before a packet comes; others learn it from the answer.
    fn is_halted(&self, endpoint: EndpointAddress) -> bool {
        let _ = endpoint;
        false
    }

    /// How often the device has thrown away what it had offered. A transport that takes bytes ahead of
    /// the host drops them when this has grown.
    fn forgotten(&self) -> u64 {
        0
    }

    /// The host reset the bus: whatever was under way is forgotten.
    fn reset(&mut self) {}

    /// What becomes of the device after that.
    fn after_reset(&self) -> AfterReset {
        AfterReset::Stays
    }

    /// The host chose an alternate setting; after a reset each interface is in setting 0, without a call of this.
    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) {
        let _ = (interface, alternate);
    }

    /// How soon cancelled transfers come back.
    fn unlink(&self) -> Unlink {
        Unlink::Prompt
    }
}

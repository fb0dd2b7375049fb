//! Records that SANE's test programs make of a backend's USB traffic (sanei_usb, "record"), written anew as the pcapng that
//! [`super::file`] reads. XML: what the device is, then each transfer with its bytes as hex digits.
//!
//! ```text
//! <device_capture backend="NAME">
//!   <description id_vendor="0x04a9" id_product="0x1909"> … <endpoint transfer_type="BULK" direction="IN" address="0x81"/> …
//!   <transactions>
//!     <bulk_tx endpoint_number="0x1" direction="IN">01 02 03</bulk_tx>
//!     <control_tx direction="OUT" bmRequestType="0x40" bRequest="0x4" wValue="0x8e" wIndex="0" wLength="1">00</control_tx>
//! ```
//!
//! The names are those in sanei_usb's object code. How large a read was asked for it does not tell; a transfer with an `error` is
//! one that timed out.

use roxmltree::{Document, Node, ParsingOptions};
use usbscan_usb::{
    ConfigurationDescriptor, DeviceDescriptor, EndpointAddress, EndpointDescriptor, InterfaceDescriptor,
    InterfaceNumber, ProductId, Setup, TransferType, VendorId,
};

use super::file::ReplayError;
use super::import::{Header, Output, asked_for};

/// A longer text is refused: its tree has several times its size.
const LONGEST: usize = 64 << 20;
/// Elements and texts in it.
const MOST_NODES: u32 = 2_000_000;
/// Bytes that one transfer may have.
const MOST_BYTES: usize = 16 << 20;
/// The errno of a transfer that was cancelled, as one is that times out.
const CANCELLED: i32 = -2;

/// Whether a file is XML.
pub(super) fn is_one(file: &[u8]) -> bool {
    let text = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
}

/// The file as pcapng with usbmon records.
///
/// # Errors
/// [`ReplayError::SaneRecord`] where it is anything else, or has transfers without their bytes.
pub(super) fn to_pcapng(file: &[u8]) -> Result<Vec<u8>, ReplayError> {
    if file.len() > LONGEST {
        return Err(wrong(format!("it has more than {LONGEST} bytes")));
    }
    let text = std::str::from_utf8(file).map_err(wrong)?;
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(wrong)?;
    let root = document.root_element();
    if !root.has_tag_name("device_capture") {
        return Err(wrong(format!("its first element is {:?}", root.tag_name().name())));
    }
    let mut record = Record { output: Output::new(), transfers: 0 };
    record.describe(child(root, "description")?)?;
    for transaction in child(root, "transactions")?.children().filter(Node::is_element) {
        record.transaction(transaction)?;
    }
    Ok(record.output.bytes)
}

fn wrong(why: impl std::fmt::Display) -> ReplayError {
    ReplayError::SaneRecord(why.to_string())
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Result<Node<'a, 'a>, ReplayError> {
    let found = node.children().find(|child| child.has_tag_name(name));
    found.ok_or_else(|| wrong(format!("it has no element {name:?}")))
}

/// A number in hex digits behind 0x, or decimal.
fn number(node: Node<'_, '_>, name: &str) -> Result<u32, ReplayError> {
    let text = node.attribute(name).unwrap_or_default().trim();
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| wrong(format!("{} has {text:?} as {name}", node.tag_name().name())))
}

fn half(node: Node<'_, '_>, name: &str) -> Result<u16, ReplayError> {
    u16::try_from(number(node, name)?).map_err(|_| wrong(format!("{name} has more than 16 bits")))
}

fn byte(node: Node<'_, '_>, name: &str) -> Result<u8, ReplayError> {
    u8::try_from(number(node, name)?).map_err(|_| wrong(format!("{name} has more than 8 bits")))
}

fn is_in(node: Node<'_, '_>) -> bool {
    node.attribute("direction") == Some("IN")
}

/// The bytes of a transfer.
fn bytes(node: Node<'_, '_>) -> Result<Vec<u8>, ReplayError> {
    let mut digits = Vec::new();
    for text in node.children().filter(Node::is_text).filter_map(|text| text.text()) {
        digits.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let pairs = digits.chunks(2).map(|pair| Some(digit(&pair[0])? << 4 | digit(pair.get(1)?)?));
    let bytes: Option<Vec<u8>> = pairs.collect();
    let seq = node.attribute("seq").unwrap_or("?");
    let bytes = bytes.ok_or_else(|| wrong(format!("the bytes of transfer {seq} are not in it")))?;
    if bytes.len() > MOST_BYTES { Err(ReplayError::TooMany) } else { Ok(bytes) }
}

fn endpoint(node: Node<'_, '_>) -> Result<EndpointDescriptor, ReplayError> {
    let (transfer_type, max_packet_size, interval) = match node.attribute("transfer_type") {
        Some("BULK") => (TransferType::Bulk, 512, 0),
        Some("INTERRUPT") => (TransferType::Interrupt, 64, 8),
        other => return Err(wrong(format!("an endpoint is of type {other:?}"))),
    };
    Ok(EndpointDescriptor {
        address: EndpointAddress(byte(node, "address")?),
        transfer_type,
        max_packet_size,
        interval,
    })
}

/// What is made.
struct Record {
    output: Output,
    transfers: u64,
}

impl Record {
    /// One end of a transfer.
    fn end(&mut self, header: &Header, length: usize, data: &[u8]) {
        let bytes = header.bytes(length);
        self.output.record(&bytes, data);
    }

    fn transfer(&mut self, transfer: u8, endpoint: u8, setup: Option<[u8; 8]>) -> Header {
        self.transfers += 1;
        Header { irp: self.transfers, is_end: false, transfer, endpoint, device: 1, bus: 1, status: 0, setup }
    }

    /// A control request and what it was answered.
    fn control(&mut self, setup: Setup, sent: &[u8], answer: &[u8], status: i32) {
        let raw = setup.to_bytes();
        let begun = self.transfer(2, raw[0] & 0x80, Some(raw));
        self.end(&begun, usize::from(setup.length), sent);
        let ended = Header { is_end: true, status, setup: None, ..begun };
        self.end(&ended, answer.len(), answer);
    }

    /// The descriptors that the record's few words make.
    fn describe(&mut self, description: Node<'_, '_>) -> Result<(), ReplayError> {
        let device = DeviceDescriptor {
            usb_version: 0x0200,
            class: 0,
            subclass: 0,
            protocol: 0,
            max_packet_size_0: 64,
            vendor: VendorId(half(description, "id_vendor")?),
            product: ProductId(half(description, "id_product")?),
            device_version: 0,
            manufacturer_index: 0,
            product_index: 0,
            serial_index: 0,
            configurations: 1,
        };
        let mut interfaces = Vec::new();
        for interface in description.descendants().filter(|node| node.has_tag_name("interface")) {
            let endpoints = interface.children().filter(|node| node.has_tag_name("endpoint"));
            interfaces.push(InterfaceDescriptor {
                number: InterfaceNumber(byte(interface, "number")?),
                alternate: 0,
                class: 0xff,
                subclass: 0xff,
                protocol: 0xff,
                string_index: 0,
                endpoints: endpoints.map(endpoint).collect::<Result<_, _>>()?,
            });
        }
        if interfaces.len() > 32 || interfaces.iter().any(|interface| interface.endpoints.len() > 30) {
            return Err(ReplayError::TooMany);
        }
        let configuration = ConfigurationDescriptor { value: 1, attributes: 0xc0, max_power: 1, interfaces };
        self.control(Setup::get_descriptor(1, 0, 0, 18), &[], &device.to_bytes(), 0);
        self.control(Setup::get_descriptor(2, 0, 0, 0xffff), &[], &configuration.to_bytes(), 0);
        Ok(())
    }

    fn transaction(&mut self, node: Node<'_, '_>) -> Result<(), ReplayError> {
        let status = if node.has_attribute("error") { CANCELLED } else { 0 };
        match node.tag_name().name() {
            "control_tx" => {
                let data = bytes(node)?;
                let raw = [
                    &[byte(node, "bmRequestType")?, byte(node, "bRequest")?][..],
                    &half(node, "wValue")?.to_le_bytes(),
                    &half(node, "wIndex")?.to_le_bytes(),
                    &half(node, "wLength")?.to_le_bytes(),
                ]
                .concat();
                let setup = Setup::from_bytes(raw.try_into().expect("eight bytes"));
                let (sent, answer) = if is_in(node) { (&[][..], &data[..]) } else { (&data[..], &[][..]) };
                self.control(setup, sent, answer, status);
            }
            name @ ("bulk_tx" | "interrupt_tx") => {
                let data = if status == 0 { bytes(node)? } else { Vec::new() };
                let direction = if is_in(node) { 0x80 } else { 0 };
                let endpoint = byte(node, "endpoint_number")? & 0x0f | direction;
                let begun = self.transfer(if name == "bulk_tx" { 3 } else { 1 }, endpoint, None);
                let (asked, sent, answer) = match direction {
                    0 => (data.len(), &data[..], &[][..]),
                    _ => (asked_for(data.len()).max(1), &[][..], &data[..]),
                };
                self.end(&begun, asked, sent);
                let ended = Header { is_end: true, status, ..begun };
                self.end(&ended, data.len(), answer);
            }
            // Remarks, and descriptors that are there already.
            _ => {}
        }
        Ok(())
    }
}

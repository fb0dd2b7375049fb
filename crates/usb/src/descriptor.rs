//! Descriptors as a device sends them (USB 2.0, section 9.6), read without trusting a length in them.

use crate::{Direction, EndpointAddress, InterfaceNumber, ProductId, TransferType, VendorId};

/// Why bytes are no descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// The bytes end before the descriptor does.
    #[error("the descriptor ends after {have} bytes; it says that it has {want}")]
    Truncated {
        /// Bytes there.
        have: usize,
        /// Bytes promised.
        want: usize,
    },
    /// A length field that can't be: shorter than the descriptor's own head.
    #[error("a descriptor of type {descriptor_type:#04x} gives its length as {length}")]
    BadLength {
        /// `bDescriptorType`.
        descriptor_type: u8,
        /// `bLength`.
        length: u8,
    },
    /// Another descriptor than was asked for.
    #[error("a descriptor of type {found:#04x} where {wanted:#04x} belongs")]
    WrongType {
        /// What came.
        found: u8,
        /// What was asked for.
        wanted: u8,
    },
}

const DEVICE: u8 = 1;
const CONFIGURATION: u8 = 2;
const STRING: u8 = 3;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;

/// The device descriptor, 18 bytes (USB 2.0, table 9-8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDescriptor {
    /// `bcdUSB`: 0x0200 is 2.0.
    pub usb_version: u16,
    /// `bDeviceClass`; 0: see the interfaces.
    pub class: u8,
    /// `bDeviceSubClass`.
    pub subclass: u8,
    /// `bDeviceProtocol`.
    pub protocol: u8,
    /// `bMaxPacketSize0`.
    pub max_packet_size_0: u8,
    /// `idVendor`.
    pub vendor: VendorId,
    /// `idProduct`.
    pub product: ProductId,
    /// `bcdDevice`.
    pub device_version: u16,
    /// `iManufacturer`; 0: none.
    pub manufacturer_index: u8,
    /// `iProduct`.
    pub product_index: u8,
    /// `iSerialNumber`.
    pub serial_index: u8,
    /// `bNumConfigurations`.
    pub configurations: u8,
}

impl DeviceDescriptor {
    /// Bytes of a device descriptor.
    pub const BYTES: usize = 18;

    /// Reads the first 18 bytes.
    ///
    /// # Errors
    /// Which bytes are missing, or of another type.
    pub fn parse(bytes: &[u8]) -> Result<DeviceDescriptor, DescriptorError> {
        let b = expect_type(bytes, DEVICE, Self::BYTES)?;
        let word = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        Ok(DeviceDescriptor {
            usb_version: word(2),
            class: b[4],
            subclass: b[5],
            protocol: b[6],
            max_packet_size_0: b[7],
            vendor: VendorId(word(8)),
            product: ProductId(word(10)),
            device_version: word(12),
            manufacturer_index: b[14],
            product_index: b[15],
            serial_index: b[16],
            configurations: b[17],
        })
    }

    /// The 18 bytes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut b = [0; Self::BYTES];
        b[0] = Self::BYTES as u8;
        b[1] = DEVICE;
        b[2..4].copy_from_slice(&self.usb_version.to_le_bytes());
        b[4] = self.class;
        b[5] = self.subclass;
        b[6] = self.protocol;
        b[7] = self.max_packet_size_0;
        b[8..10].copy_from_slice(&self.vendor.0.to_le_bytes());
        b[10..12].copy_from_slice(&self.product.0.to_le_bytes());
        b[12..14].copy_from_slice(&self.device_version.to_le_bytes());
        b[14] = self.manufacturer_index;
        b[15] = self.product_index;
        b[16] = self.serial_index;
        b[17] = self.configurations;
        b
    }
}

/// An endpoint descriptor, 7 bytes or more (USB 2.0, table 9-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointDescriptor {
    /// `bEndpointAddress`.
    pub address: EndpointAddress,
    /// From `bmAttributes`.
    pub transfer_type: TransferType,
    /// Bits 10-0 of `wMaxPacketSize`, in bytes.
    pub max_packet_size: u16,
    /// `bInterval`, raw: its unit depends on the speed.
    pub interval: u8,
}

impl EndpointDescriptor {
    /// Bytes of an endpoint descriptor.
    pub const BYTES: usize = 7;

    fn parse(b: &[u8]) -> EndpointDescriptor {
        EndpointDescriptor {
            address: EndpointAddress(b[2]),
            transfer_type: TransferType::from_attributes(b[3]),
            max_packet_size: u16::from_le_bytes([b[4], b[5]]) & 0x07ff,
            interval: b[6],
        }
    }

    /// The seven bytes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let attributes = match self.transfer_type {
            TransferType::Control => 0,
            TransferType::Isochronous => 1,
            TransferType::Bulk => 2,
            TransferType::Interrupt => 3,
        };
        let [low, high] = self.max_packet_size.to_le_bytes();
        [Self::BYTES as u8, ENDPOINT, self.address.0, attributes, low, high, self.interval]
    }
}

/// One alternate setting of one interface, 9 bytes and what follows (USB 2.0, table 9-12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceDescriptor {
    /// `bInterfaceNumber`.
    pub number: InterfaceNumber,
    /// `bAlternateSetting`.
    pub alternate: u8,
    /// `bInterfaceClass`.
    pub class: u8,
    /// `bInterfaceSubClass`.
    pub subclass: u8,
    /// `bInterfaceProtocol`.
    pub protocol: u8,
    /// `iInterface`.
    pub string_index: u8,
    /// Its endpoints, in the order of the descriptors.
    pub endpoints: Vec<EndpointDescriptor>,
}

impl InterfaceDescriptor {
    /// The class triple.
    pub fn class_triple(&self) -> (u8, u8, u8) {
        (self.class, self.subclass, self.protocol)
    }

    /// The first endpoint of a kind.
    pub fn endpoint(&self, transfer_type: TransferType, direction: Direction) -> Option<&EndpointDescriptor> {
        self.endpoints.iter().find(|e| e.transfer_type == transfer_type && e.address.direction() == direction)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![
            9,
            INTERFACE,
            self.number.0,
            self.alternate,
            self.endpoints.len() as u8,
            self.class,
            self.subclass,
            self.protocol,
            self.string_index,
        ];
        for endpoint in &self.endpoints {
            bytes.extend_from_slice(&endpoint.to_bytes());
        }
        bytes
    }
}

/// A configuration with all that stands in it (USB 2.0, table 9-10). Class descriptors are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationDescriptor {
    /// `bConfigurationValue`.
    pub value: u8,
    /// `bmAttributes`: bit 6 self-powered, bit 5 remote wake-up.
    pub attributes: u8,
    /// `bMaxPower`, in units of 2 mA (8 mA on SuperSpeed).
    pub max_power: u8,
    /// Every alternate setting of every interface, in the order of the descriptors.
    pub interfaces: Vec<InterfaceDescriptor>,
}

impl ConfigurationDescriptor {
    const HEAD: usize = 9;

    /// Reads a configuration with its interfaces and endpoints. Bytes after `wTotalLength` are not looked at.
    /// An endpoint in front of every interface is passed over, as Linux does.
    ///
    /// # Errors
    /// Where its bytes end too early, or are of another type.
    pub fn parse(bytes: &[u8]) -> Result<ConfigurationDescriptor, DescriptorError> {
        let head = expect_type(bytes, CONFIGURATION, Self::HEAD)?;
        let total = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let mut rest = bytes.get(..total).ok_or(DescriptorError::Truncated { have: bytes.len(), want: total })?;
        let mut configuration =
            ConfigurationDescriptor { value: head[5], attributes: head[7], max_power: head[8], interfaces: Vec::new() };
        rest = rest.get(usize::from(head[0])..).unwrap_or(&[]);
        while let [length, descriptor_type, ..] = *rest {
            let least = match descriptor_type {
                INTERFACE => 9,
                ENDPOINT => EndpointDescriptor::BYTES,
                _ => 2,
            };
            if usize::from(length) < least {
                return Err(DescriptorError::BadLength { descriptor_type, length });
            }
            let (this, next) = rest
                .split_at_checked(usize::from(length))
                .ok_or(DescriptorError::Truncated { have: rest.len(), want: usize::from(length) })?;
            match descriptor_type {
                INTERFACE => configuration.interfaces.push(InterfaceDescriptor {
                    number: InterfaceNumber(this[2]),
                    alternate: this[3],
                    class: this[5],
                    subclass: this[6],
                    protocol: this[7],
                    string_index: this[8],
                    endpoints: Vec::new(),
                }),
                ENDPOINT => {
                    if let Some(interface) = configuration.interfaces.last_mut() {
                        interface.endpoints.push(EndpointDescriptor::parse(this));
                    }
                }
                _ => {}
            }
            rest = next;
        }
        Ok(configuration)
    }

    /// The descriptor's bytes, interfaces and endpoints included.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut numbers: Vec<u8> = self.interfaces.iter().map(|i| i.number.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut bytes = vec![
            Self::HEAD as u8,
            CONFIGURATION,
            0,
            0,
            numbers.len() as u8,
            self.value,
            0,
            self.attributes,
            self.max_power,
        ];
        for interface in &self.interfaces {
            bytes.extend_from_slice(&interface.to_bytes());
        }
        let total = (bytes.len() as u16).to_le_bytes();
        bytes[2..4].copy_from_slice(&total);
        bytes
    }
}

/// The text of a string descriptor (UTF-16LE behind two bytes of head); broken surrogates become U+FFFD.
///
/// # Errors
/// When it is no string descriptor, or is cut short.
pub fn string_descriptor_text(bytes: &[u8]) -> Result<String, DescriptorError> {
    let head = expect_type(bytes, STRING, 2)?;
    let length = usize::from(head[0]);
    let body = bytes.get(2..length).ok_or(DescriptorError::Truncated { have: bytes.len(), want: length })?;
    let units = body.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    Ok(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// Checks type and length of the descriptor at the front and returns the bytes from there on.
fn expect_type(bytes: &[u8], wanted: u8, least: usize) -> Result<&[u8], DescriptorError> {
    let [length, found, ..] = *bytes else {
        return Err(DescriptorError::Truncated { have: bytes.len(), want: least });
    };
    if found != wanted {
        return Err(DescriptorError::WrongType { found, wanted });
    }
    if usize::from(length) < least {
        return Err(DescriptorError::BadLength { descriptor_type: found, length });
    }
    if bytes.len() < least {
        return Err(DescriptorError::Truncated { have: bytes.len(), want: least });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner() -> ConfigurationDescriptor {
        let endpoint = |address, transfer_type| EndpointDescriptor {
            address: EndpointAddress(address),
            transfer_type,
            max_packet_size: 512,
            interval: 4,
        };
        ConfigurationDescriptor {
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
                endpoints: vec![endpoint(0x81, TransferType::Bulk), endpoint(0x02, TransferType::Bulk)],
            }],
        }
    }

    #[test]
    fn a_configuration_survives_bytes_and_back() {
        let bytes = scanner().to_bytes();
        assert_eq!(bytes.len(), 9 + 9 + 7 + 7);
        assert_eq!(ConfigurationDescriptor::parse(&bytes), Ok(scanner()));
    }

    #[test]
    fn class_descriptors_between_interface_and_endpoint_are_passed_over() {
        let mut bytes = scanner().to_bytes();
        bytes.splice(18..18, [10, 0x21, 1, 1, 0, 4, 0x12, 0, 0, 0]);
        bytes[2] += 10;
        assert_eq!(ConfigurationDescriptor::parse(&bytes), Ok(scanner()));
    }

    #[test]
    fn every_truncation_is_an_error_and_none_a_panic() {
        let bytes = scanner().to_bytes();
        for length in 0..bytes.len() {
            assert!(ConfigurationDescriptor::parse(&bytes[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_length_of_zero_ends_in_an_error_not_in_a_loop() {
        let mut bytes = scanner().to_bytes();
        bytes[9] = 0;
        assert_eq!(
            ConfigurationDescriptor::parse(&bytes),
            Err(DescriptorError::BadLength { descriptor_type: 4, length: 0 })
        );
    }

    #[test]
    fn no_byte_changed_anywhere_makes_the_parser_panic() {
        let good = scanner().to_bytes();
        for at in 0..good.len() {
            for value in 0..=255 {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = ConfigurationDescriptor::parse(&bytes);
                let _ = DeviceDescriptor::parse(&bytes);
                let _ = string_descriptor_text(&bytes);
            }
        }
    }

    #[test]
    fn a_string_is_utf_16() {
        assert_eq!(string_descriptor_text(&[6, 3, b'O', 0, 0x4b, 0]), Ok("OK".to_owned()));
        assert_eq!(string_descriptor_text(&[4, 3, 0x00, 0xd8]), Ok("\u{fffd}".to_owned()));
        assert!(string_descriptor_text(&[6, 3, b'O', 0]).is_err());
    }

    #[test]
    fn a_string_whose_length_lies_is_what_is_there_or_an_error() {
        for arrived in 0..=255_usize {
            for says in 0..=255_u8 {
                let bytes: Vec<u8> = [says, 3].into_iter().chain([0x41, 0].repeat(127)).take(arrived).collect();
                let text = string_descriptor_text(&bytes);
                // A byte left over at the end is no character.
                let right =
                    (usize::from(says) >= 2 && usize::from(says) <= arrived).then(|| (usize::from(says) - 2) / 2);
                assert_eq!(text.ok().map(|text| text.len()), right, "{arrived} bytes that say {says}");
            }
        }
    }
}

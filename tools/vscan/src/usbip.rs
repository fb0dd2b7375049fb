//! The messages of USB/IP as values: what a client asks, what it is answered. Bytes in, bytes out; no I/O.
//!
//! Everything is big-endian. A connection begins with operations (list, import) and, after an import,
//! is a train of commands; over a kernel's vhci it begins with the commands at once. Layouts are those of
//! the Linux kernel's Documentation/usb/usbip_protocol.rst.

use usbscan_usb::{EndpointAddress, InterfaceDescriptor, Setup, Speed};
use usbscan_virtual::Descriptors;

/// Bytes of every command and every answer to one, data left out.
pub const HEADER: usize = 48;
/// Bytes of an operation's head.
pub const OPERATION: usize = 8;
/// Bytes of the name of a device.
pub const BUS_ID: usize = 32;
/// The longest transfer that is accepted: more than Linux's usbfs lets anyone have.
pub const LONGEST: u32 = 64 << 20;

const VERSION: u16 = 0x0111;

/// Flags of a transfer that matter here (they are the kernel's URB flags).
pub const SHORT_NOT_OK: u32 = 0x0001;
/// Ends a bulk-out of whole packets with an empty one.
pub const ZERO_PACKET: u32 = 0x0040;

/// Kernel error numbers, as statuses of transfers.
pub mod errno {
    pub const EPIPE: i32 = 32;
    pub const EPROTO: i32 = 71;
    /// The device sent more than there was room for.
    pub const EOVERFLOW: i32 = 75;
    pub const ECONNRESET: i32 = 104;
    pub const ESHUTDOWN: i32 = 108;
    /// Short, where that was said not to be good.
    pub const EREMOTEIO: i32 = 121;
}

/// Why a client can't be understood; the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("an unknown command {0:#x}")]
    UsbipCommand(u32),
    /// No such operation, or another version.
    #[error("an unknown operation {1:#06x} of version {0:#06x}")]
    Operation(u16, u16),
    #[error("an isochronous transfer, which no scanner has")]
    Isochronous,
    #[error("a transfer of {0} bytes; at most {LONGEST} are possible")]
    TooLong(u32),
    #[error("too many unlinks of transfers that never came")]
    Unlinks,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsbipCommand {
    /// A transfer; `data_length` bytes follow.
    Submit(Submit),
    /// Asks for a transfer back.
    Unlink { sequence: u32, victim: u32 },
}

/// A transfer as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    pub sequence: u32,
    pub endpoint: EndpointAddress,
    /// Whether data comes from the device.
    pub is_in: bool,
    pub flags: u32,
    pub length: u32,
    /// The request, on endpoint zero.
    pub setup: Setup,
}

impl Submit {
    /// Bytes that follow the header.
    pub fn data_length(&self) -> usize {
        if self.is_in { 0 } else { self.length as usize }
    }
}

impl UsbipCommand {
    pub fn parse(bytes: &[u8; HEADER]) -> Result<UsbipCommand, ProtocolError> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        match word(0) {
            1 => {
                let (is_in, number, length, packets) = (word(12) == 1, word(16) as u8 & 0x0f, word(24), word(32));
                if !matches!(packets, 0 | u32::MAX) {
                    return Err(ProtocolError::Isochronous);
                }
                if length > LONGEST {
                    return Err(ProtocolError::TooLong(length));
                }
                let mut setup = [0; Setup::BYTES];
                setup.copy_from_slice(&bytes[40..48]);
                let address = if is_in && number > 0 { number | 0x80 } else { number };
                Ok(UsbipCommand::Submit(Submit {
                    sequence: word(4),
                    endpoint: EndpointAddress(address),
                    is_in,
                    flags: word(20),
                    length,
                    setup: Setup::from_bytes(setup),
                }))
            }
            2 => Ok(UsbipCommand::Unlink { sequence: word(4), victim: word(20) }),
            other => Err(ProtocolError::UsbipCommand(other)),
        }
    }
}

/// An answer to a command, to be sent whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Submit {
        sequence: u32,
        /// 0 or a negative error number.
        status: i32,
        actual: u32,
        /// These, if they came from the device.
        data: Vec<u8>,
    },
    /// An unlink that was carried out.
    Unlink {
        sequence: u32,
        /// 0: the transfer has been answered before this.
        status: i32,
    },
}

impl Answer {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        match self {
            Answer::Submit { sequence, status, actual, data } => {
                put(0, 3);
                put(4, *sequence);
                put(20, *status as u32);
                put(24, *actual);
                bytes.extend_from_slice(data);
            }
            Answer::Unlink { sequence, status } => {
                put(0, 4);
                put(4, *sequence);
                put(20, *status as u32);
            }
        }
        bytes
    }
}

/// What a client asks before it has a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    List,
    /// To have one, whose name follows in [`BUS_ID`] bytes.
    Import,
}

impl Operation {
    pub fn parse(bytes: &[u8; OPERATION]) -> Result<Operation, ProtocolError> {
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        match (word(0), word(2)) {
            (VERSION, 0x8005) => Ok(Operation::List),
            (VERSION, 0x8003) => Ok(Operation::Import),
            (version, code) => Err(ProtocolError::Operation(version, code)),
        }
    }
}

/// The number that USB/IP has for a speed.
pub fn speed_number(speed: Speed) -> u32 {
    match speed {
        Speed::Unknown => 0,
        Speed::Low => 1,
        Speed::Full => 2,
        Speed::High => 3,
        Speed::Super => 5,
        Speed::SuperPlus => 6,
    }
}

/// The answer to [`Operation::List`], with one device.
pub fn list_answer(bus_id: &str, descriptors: &Descriptors) -> Vec<u8> {
    let mut bytes = operation_head(0x0005, 0);
    bytes.extend(1u32.to_be_bytes());
    bytes.extend(device(bus_id, descriptors));
    for interface in first_settings(descriptors) {
        bytes.extend([interface.class, interface.subclass, interface.protocol, 0]);
    }
    bytes
}

/// The answer to [`Operation::Import`]: the device, or that there is none of that name.
pub fn import_answer(bus_id: &str, descriptors: Option<&Descriptors>) -> Vec<u8> {
    let mut bytes = operation_head(0x0003, u32::from(descriptors.is_none()));
    if let Some(descriptors) = descriptors {
        bytes.extend(device(bus_id, descriptors));
    }
    bytes
}

fn operation_head(code: u16, status: u32) -> Vec<u8> {
    let mut bytes = VERSION.to_be_bytes().to_vec();
    bytes.extend(code.to_be_bytes());
    bytes.extend(status.to_be_bytes());
    bytes
}

/// `struct usbip_usb_device`, 312 bytes.
fn device(bus_id: &str, descriptors: &Descriptors) -> Vec<u8> {
    let mut bytes = vec![0; 256 + BUS_ID];
    let path = format!("/virtual/{bus_id}");
    bytes[..path.len()].copy_from_slice(path.as_bytes());
    bytes[256..256 + bus_id.len()].copy_from_slice(bus_id.as_bytes());
    let device = &descriptors.device;
    for word in [1, 1, speed_number(descriptors.speed)] {
        bytes.extend(word.to_be_bytes());
    }
    for word in [device.vendor.0, device.product.0, device.device_version] {
        bytes.extend(word.to_be_bytes());
    }
    let configuration = &descriptors.configuration;
    bytes.extend([device.class, device.subclass, device.protocol, configuration.value, 1]);
    bytes.push(first_settings(descriptors).count() as u8);
    bytes
}

/// The interfaces, each in its setting 0.
fn first_settings(descriptors: &Descriptors) -> impl Iterator<Item = &InterfaceDescriptor> {
    descriptors.configuration.interfaces.iter().filter(|interface| interface.alternate == 0)
}

#[cfg(test)]
mod tests {
    use usbscan_usb::Direction;
    use usbscan_virtual::{Loopback, Model};

    use super::*;

    fn header(words: [u32; 10], setup: Setup) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        for (i, word) in words.into_iter().enumerate() {
            bytes[4 * i..4 * i + 4].copy_from_slice(&word.to_be_bytes());
        }
        bytes[40..].copy_from_slice(&setup.to_bytes());
        bytes
    }

    const NO_SETUP: Setup = Setup { request_type: 0, request: 0, value: 0, index: 0, length: 0 };

    #[test]
    fn a_submit_names_its_endpoint_by_number_and_direction() {
        let parsed = UsbipCommand::parse(&header([1, 7, 0x10002, 1, 1, 0, 512, 0, 0, 0], NO_SETUP));
        let Ok(UsbipCommand::Submit(submit)) = parsed else { panic!("{parsed:?}") };
        assert_eq!((submit.sequence, submit.endpoint, submit.length), (7, EndpointAddress(0x81), 512));
        assert_eq!(submit.data_length(), 0, "nothing follows an IN");
        let setup = Setup::vendor(Direction::In, 0x12, 1, 0, 4);
        let parsed = UsbipCommand::parse(&header([1, 8, 0x10002, 1, 0, 0, 4, 0, u32::MAX, 0], setup));
        let Ok(UsbipCommand::Submit(submit)) = parsed else { panic!("{parsed:?}") };
        assert_eq!((submit.endpoint, submit.setup), (EndpointAddress::CONTROL, setup));
        let parsed = UsbipCommand::parse(&header([1, 9, 0x10002, 0, 2, 0, 100, 0, 0, 0], NO_SETUP));
        let Ok(UsbipCommand::Submit(submit)) = parsed else { panic!("{parsed:?}") };
        assert_eq!((submit.endpoint, submit.data_length()), (EndpointAddress(2), 100));
    }

    #[test]
    fn what_can_not_be_is_an_error() {
        let parse = |words| UsbipCommand::parse(&header(words, NO_SETUP));
        assert_eq!(parse([9, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(ProtocolError::UsbipCommand(9)));
        assert_eq!(parse([1, 0, 0, 0, 2, 0, u32::MAX, 0, 0, 0]), Err(ProtocolError::TooLong(u32::MAX)));
        assert_eq!(parse([1, 0, 0, 1, 1, 0, 10, 0, 3, 0]), Err(ProtocolError::Isochronous));
        assert_eq!(Operation::parse(&[1, 0x10, 0x80, 5, 0, 0, 0, 0]), Err(ProtocolError::Operation(0x0110, 0x8005)));
    }

    #[test]
    fn answers_have_their_fields_where_the_kernel_reads_them() {
        let bytes = Answer::Submit { sequence: 5, status: -104, actual: 2, data: vec![8, 9] }.to_bytes();
        assert_eq!(bytes.len(), HEADER + 2);
        assert_eq!(
            (&bytes[..8], &bytes[20..28]),
            (&[0, 0, 0, 3, 0, 0, 0, 5][..], &[255, 255, 255, 152, 0, 0, 0, 2][..])
        );
        assert_eq!(bytes[48..], [8, 9]);
        let bytes = Answer::Unlink { sequence: 6, status: 0 }.to_bytes();
        assert_eq!((bytes.len(), &bytes[..8]), (HEADER, &[0, 0, 0, 4, 0, 0, 0, 6][..]));
    }

    #[test]
    fn a_device_is_312_bytes_and_its_interfaces_four_each() {
        let loopback = Loopback::new();
        let list = list_answer("1-1", loopback.descriptors());
        assert_eq!(list.len(), 8 + 4 + 312 + 4);
        assert_eq!(list[12 + 256..12 + 259], *b"1-1");
        assert_eq!(list[list.len() - 4..], [6, 1, 1, 0]);
        assert_eq!(import_answer("1-1", Some(loopback.descriptors())).len(), 8 + 312);
        assert_eq!(import_answer("9-9", None), [1, 0x11, 0, 3, 0, 0, 0, 1]);
    }
}

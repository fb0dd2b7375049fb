//! The eight bytes that begin every control transfer (USB 2.0, section 9.3).

use crate::Direction;

/// Bits 6-5 of `bmRequestType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupKind {
    /// Defined by the USB specification.
    Standard,
    /// Defined by the interface's class.
    Class,
    /// Defined by the device's vendor.
    Vendor,
    /// 3: nobody's.
    Reserved,
}

/// Bits 4-0 of `bmRequestType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetupRecipient {
    /// The whole device.
    Device,
    /// An interface; the low byte of `wIndex` names it.
    Interface,
    /// An endpoint; the low byte of `wIndex` names it.
    Endpoint,
    /// Anything else.
    Other,
}

/// A control request.
///
/// | byte | field |
/// |---|---|
/// | 0 | `bmRequestType` |
/// | 1 | `bRequest` |
/// | 2-3 | `wValue`, little-endian |
/// | 4-5 | `wIndex`, little-endian |
/// | 6-7 | `wLength`, little-endian |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Direction, kind and recipient.
    pub request_type: u8,
    /// Which request.
    pub request: u8,
    /// Its first argument.
    pub value: u16,
    /// Its second argument.
    pub index: u16,
    /// Bytes of the data stage.
    pub length: u16,
}

/// DEVICE_REMOTE_WAKEUP, a feature that is harmless.
const REMOTE_WAKEUP: u16 = 1;

impl Setup {
    /// Bytes of a setup packet.
    pub const BYTES: usize = 8;
    /// The longest data stage that Linux's usbfs accepts.
    pub const MAX_DATA: u16 = 4096;

    /// A vendor request to or from the device, as `IOCTL_SEND_USB_REQUEST` sends it.
    pub fn vendor(direction: Direction, request: u8, value: u16, index: u16, length: u16) -> Setup {
        let request_type = match direction {
            Direction::In => 0xc0,
            Direction::Out => 0x40,
        };
        Setup { request_type, request, value, index, length }
    }

    /// GET_DESCRIPTOR (USB 2.0, section 9.4.3).
    pub fn get_descriptor(descriptor_type: u8, descriptor_index: u8, language: u16, length: u16) -> Setup {
        Setup {
            request_type: 0x80,
            request: 6,
            value: u16::from(descriptor_type) << 8 | u16::from(descriptor_index),
            index: language,
            length,
        }
    }

    /// The packet.
    pub fn to_bytes(self) -> [u8; Setup::BYTES] {
        let [v0, v1] = self.value.to_le_bytes();
        let [i0, i1] = self.index.to_le_bytes();
        let [l0, l1] = self.length.to_le_bytes();
        [self.request_type, self.request, v0, v1, i0, i1, l0, l1]
    }

    /// Reads a packet.
    pub fn from_bytes(bytes: [u8; Setup::BYTES]) -> Setup {
        let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Setup { request_type: bytes[0], request: bytes[1], value: word(2), index: word(4), length: word(6) }
    }

    /// The buffer that [`crate::Endpoint::submit`] wants for a control transfer: the packet, then
    /// `data` (OUT) or room for the answer (IN; `data` is not looked at).
    pub fn buffer(self, data: &[u8]) -> Vec<u8> {
        let mut buffer = self.to_bytes().to_vec();
        match self.direction() {
            Direction::Out => buffer.extend_from_slice(data),
            Direction::In => buffer.resize(Setup::BYTES + usize::from(self.length), 0),
        }
        buffer
    }

    /// Which way the data stage goes. A request without one counts by its direction bit all the same.
    pub fn direction(self) -> Direction {
        if self.request_type & 0x80 != 0 { Direction::In } else { Direction::Out }
    }

    /// Who defined the request.
    pub fn kind(self) -> SetupKind {
        match self.request_type >> 5 & 3 {
            0 => SetupKind::Standard,
            1 => SetupKind::Class,
            2 => SetupKind::Vendor,
            _ => SetupKind::Reserved,
        }
    }

    /// Whom it is for.
    pub fn recipient(self) -> SetupRecipient {
        match self.request_type & 0x1f {
            0 => SetupRecipient::Device,
            1 => SetupRecipient::Interface,
            2 => SetupRecipient::Endpoint,
            _ => SetupRecipient::Other,
        }
    }

    /// Whether sending this as raw bytes would leave the host's picture of the device wrong (SET_CONFIGURATION, SET_INTERFACE,
    /// SET_ADDRESS and CLEAR_FEATURE(ENDPOINT_HALT) have calls of their own), or change the device for all who use it:
    /// SET_FEATURE of anything but remote wake-up (a halt, test mode, suspension, states of the link), SET_DESCRIPTOR,
    /// SET_SEL, SET_ISOCH_DELAY (USB 2.0, table 9-4; USB 3.2, table 9-5).
    pub fn is_reserved_for_host(self) -> bool {
        if self.kind() != SetupKind::Standard {
            return false;
        }
        match (self.request, self.recipient()) {
            (5 | 7 | 9 | 11 | 48 | 49, _) => true,
            (1 | 3, SetupRecipient::Device) => self.value != REMOTE_WAKEUP,
            (1 | 3, _) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back_are_the_same_request() {
        let setup = Setup::vendor(Direction::In, 0x04, 0x1234, 0x5678, 0x0102);
        assert_eq!(setup.to_bytes(), [0xc0, 0x04, 0x34, 0x12, 0x78, 0x56, 0x02, 0x01]);
        assert_eq!(Setup::from_bytes(setup.to_bytes()), setup);
    }

    #[test]
    fn standard_requests_that_change_host_state_are_told_apart() {
        let raw = |request_type, request, value| Setup { request_type, request, value, index: 0x81, length: 0 };
        assert!(raw(0x00, 9, 1).is_reserved_for_host());
        assert!(raw(0x01, 11, 1).is_reserved_for_host());
        assert!(raw(0x02, 1, 0).is_reserved_for_host());
        for (request_type, request, value) in
            [(0x02, 3, 0), (0x00, 3, 2), (0x00, 7, 0x0100), (0x01, 3, 0), (0x00, 3, 48)]
        {
            assert!(raw(request_type, request, value).is_reserved_for_host(), "{request_type:02x} {request} {value}");
        }
        assert!(!raw(0x00, 3, 1).is_reserved_for_host());
        assert!(!raw(0x00, 1, 1).is_reserved_for_host(), "remote wake-up is harmless");
        assert!(!raw(0x40, 9, 1).is_reserved_for_host(), "a vendor's request 9 is the vendor's");
        assert!(!Setup::get_descriptor(3, 0, 0, 255).is_reserved_for_host());
    }

    #[test]
    fn an_in_buffer_has_room_for_the_answer_and_an_out_buffer_carries_the_data() {
        assert_eq!(Setup::vendor(Direction::In, 1, 0, 0, 3).buffer(&[]).len(), 11);
        assert_eq!(Setup::vendor(Direction::Out, 1, 0, 0, 2).buffer(&[7, 8])[8..], [7, 8]);
    }
}

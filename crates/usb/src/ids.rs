//! Identities of USB things as types, so that an interface number is never taken for an endpoint.

use std::fmt;

/// Which way bytes go, seen from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Device to host.
    In,
    /// Host to device.
    Out,
}

/// `bEndpointAddress`: bit 7 is the direction (1 = IN), bits 3-0 the number (USB 2.0, table 9-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointAddress(pub u8);

impl EndpointAddress {
    /// Endpoint zero, where control transfers go.
    pub const CONTROL: EndpointAddress = EndpointAddress(0);

    /// The direction bit. Endpoint zero counts as OUT; a control transfer's direction is in its setup packet.
    pub fn direction(self) -> Direction {
        if self.0 & 0x80 != 0 { Direction::In } else { Direction::Out }
    }

    /// Whether the direction bit says IN.
    pub fn is_in(self) -> bool {
        self.direction() == Direction::In
    }

    /// The endpoint's number, 0 to 15.
    pub fn number(self) -> u8 {
        self.0 & 0x0f
    }

    /// Whether this is endpoint zero.
    pub fn is_control(self) -> bool {
        self.number() == 0
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

/// `bInterfaceNumber`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceNumber(pub u8);

impl fmt::Display for InterfaceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `idVendor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VendorId(pub u16);

impl fmt::Display for VendorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

/// `idProduct`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProductId(pub u16);

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

/// How an endpoint moves data: bits 1-0 of `bmAttributes` (USB 2.0, table 9-13).
///
/// The order is that of the Windows DDK's `RAW_PIPE_TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferType {
    /// Endpoint zero, or (rarely) another message pipe.
    Control,
    /// Timed, without retries; no scanner uses it.
    Isochronous,
    /// Image data and commands.
    Bulk,
    /// Button presses and other events.
    Interrupt,
}

impl TransferType {
    /// Reads bits 1-0 of `bmAttributes`.
    pub fn from_attributes(attributes: u8) -> TransferType {
        match attributes & 3 {
            0 => TransferType::Control,
            1 => TransferType::Isochronous,
            2 => TransferType::Bulk,
            _ => TransferType::Interrupt,
        }
    }
}

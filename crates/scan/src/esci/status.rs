//! How a scanner says it is: the status byte of its blocks, FS F, ESC f. Bytes in, values out.

use super::codes::STX;
use crate::{DeviceError, ProtocolError};

/// The status byte of every information block and image header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusByte(pub u8);

impl StatusByte {
    /// Lamp, mechanics, an option: it can't go on. Some say so while they warm up.
    pub fn is_fatal(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// In use at its panel or through another interface.
    pub fn is_busy(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// This block is the last of the page.
    pub fn is_area_end(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// Extended (FS) commands are there.
    pub fn has_extended(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// The samples of this block are green, red, blue and not red, green, blue.
    pub fn is_green_first(self) -> bool {
        self.0 & 0x0c == 0x04
    }
}

/// Bytes of an information block's head.
pub const INFORMATION_BYTES: usize = 4;

/// The head of an information block: the status, and how many bytes follow.
///
/// # Errors
/// [`ProtocolError`] for another length or beginning.
pub fn parse_information(bytes: &[u8]) -> Result<(StatusByte, usize), ProtocolError> {
    match bytes {
        [STX, status, low, high] => Ok((StatusByte(*status), usize::from(u16::from_le_bytes([*low, *high])))),
        [first, ..] if *first != STX => Err(ProtocolError::Beginning { item: "an information block", got: *first }),
        _ => Err(ProtocolError::Length { item: "an information block", expected: INFORMATION_BYTES, got: bytes.len() }),
    }
}

/// How a scanner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The lamp is not ready yet; a scan may be refused meanwhile.
    pub is_warming_up: bool,
    /// What is wrong, the most telling first.
    pub problem: Option<DeviceError>,
}

/// Which option units are there; some can be taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Installed {
    /// The document feeder.
    pub feeder: bool,
    /// A transparency unit.
    pub film: bool,
}

impl Installed {
    /// From FS F, of any length.
    pub fn parse(bytes: &[u8]) -> Installed {
        let bit = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0x80 != 0);
        Installed { feeder: bit(1) || bit(10), film: bit(2) || bit(9) }
    }
}

/// The button that ESC ! tells of, from 1; `None`: none was pressed.
pub fn pressed_button(bytes: &[u8]) -> Option<u8> {
    bytes.first().map(|byte| byte & 0x03).filter(|button| *button > 0)
}

/// Bytes of FS F.
pub const FS_STATUS_BYTES: usize = 16;

/// FS F.
///
/// # Errors
/// [`ProtocolError::Length`].
pub fn parse_fs_status(bytes: &[u8]) -> Result<DeviceStatus, ProtocolError> {
    let bytes: &[u8; FS_STATUS_BYTES] = bytes.try_into().map_err(|_| ProtocolError::Length {
        item: "FS F",
        expected: FS_STATUS_BYTES,
        got: bytes.len(),
    })?;
    let main = bytes[0];
    let warming = main & 0x02 != 0;
    let feeder = feeder(bytes[1]).or(tray(bytes[10], bytes[1]));
    let transparency = transparency(bytes[2]).or(transparency(bytes[9]));
    Ok(DeviceStatus {
        is_warming_up: warming,
        problem: body(bytes[3]).or(feeder).or(transparency).or(in_general(main, warming)),
    })
}

/// ESC F, of scanners that have nothing better: no causes.
pub fn parse_terse(head: StatusByte) -> DeviceStatus {
    DeviceStatus { is_warming_up: false, problem: in_general(head.0, false) }
}

/// ESC f: 33 or 42 bytes; of a longer one the rest is not looked at.
///
/// # Errors
/// [`ProtocolError::Length`].
pub fn parse_extended_status(bytes: &[u8]) -> Result<DeviceStatus, ProtocolError> {
    if bytes.len() < 12 {
        return Err(ProtocolError::Length { item: "ESC f", expected: 42, got: bytes.len() });
    }
    // Here bit 6 of byte 0 means "not a flatbed".
    let main = bytes[0] & !0x40;
    let warming = main & 0x02 != 0;
    Ok(DeviceStatus {
        is_warming_up: warming,
        problem: body(bytes[11]).or(feeder(bytes[1])).or(transparency(bytes[6])).or(in_general(main, warming)),
    })
}

/// What the main body says of its own paper path: only if it reports an error at all.
fn body(byte: u8) -> Option<DeviceError> {
    match byte {
        _ if byte & 0x20 == 0 => None,
        _ if byte & 0x02 != 0 => Some(DeviceError::CoverOpen),
        _ if byte & 0x04 != 0 => Some(DeviceError::PaperJam),
        _ if byte & 0x08 != 0 => Some(DeviceError::NoDocuments),
        _ => None,
    }
}

/// The document feeder's byte: of interest only while the feeder is in use.
fn feeder(byte: u8) -> Option<DeviceError> {
    match byte {
        _ if byte & 0x40 == 0 => None,
        _ if byte & 0x02 != 0 => Some(DeviceError::CoverOpen),
        _ if byte & 0x04 != 0 => Some(DeviceError::PaperJam),
        _ if byte & 0x10 != 0 => Some(DeviceError::DoubleFeed),
        _ if byte & 0x08 != 0 => Some(DeviceError::NoDocuments),
        _ if byte & 0x20 != 0 => Some(DeviceError::Feeder),
        _ => None,
    }
}

/// Byte 10 of FS F, the feeder's other byte.
fn tray(byte: u8, feeder: u8) -> Option<DeviceError> {
    match byte {
        _ if feeder & 0x40 == 0 => None,
        _ if byte & 0x10 != 0 => Some(DeviceError::DoubleFeed),
        _ if byte & 0x02 != 0 => Some(DeviceError::TrayOut),
        _ => None,
    }
}

/// A transparency unit's byte.
fn transparency(byte: u8) -> Option<DeviceError> {
    match byte {
        _ if byte & 0x40 == 0 => None,
        _ if byte & 0x02 != 0 => Some(DeviceError::CoverOpen),
        _ if byte & 0x01 != 0 => Some(DeviceError::Lamp),
        _ if byte & 0x20 != 0 => Some(DeviceError::TransparencyUnit),
        _ => None,
    }
}

/// What is said without a cause. A scanner that warms up may call that fatal.
fn in_general(main: u8, warming: bool) -> Option<DeviceError> {
    match main {
        _ if main & 0x40 != 0 => Some(DeviceError::Busy),
        _ if main & 0x80 != 0 && !warming => Some(DeviceError::Fatal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fs(changes: &[(usize, u8)]) -> DeviceStatus {
        let mut bytes = [0; 16];
        for (at, byte) in changes {
            bytes[*at] = *byte;
        }
        parse_fs_status(&bytes).expect("16 bytes")
    }

    fn esc(changes: &[(usize, u8)]) -> DeviceStatus {
        let mut bytes = [0; 42];
        for (at, byte) in changes {
            bytes[*at] = *byte;
        }
        parse_extended_status(&bytes).expect("42 bytes")
    }

    #[test]
    fn a_healthy_scanner_has_no_problem() {
        assert_eq!(fs(&[]), DeviceStatus { is_warming_up: false, problem: None });
        assert_eq!(esc(&[(0, 0x01)]), DeviceStatus { is_warming_up: false, problem: None });
    }

    #[test]
    fn every_error_bit_has_its_words() {
        let said = [
            (fs(&[(0, 0x80)]), DeviceError::Fatal),
            (fs(&[(0, 0x40)]), DeviceError::Busy),
            (fs(&[(0, 0x80), (3, 0xe2)]), DeviceError::CoverOpen),
            (fs(&[(0, 0x80), (3, 0xe4)]), DeviceError::PaperJam),
            (fs(&[(0, 0x80), (3, 0xe8)]), DeviceError::NoDocuments),
            (fs(&[(1, 0xe2)]), DeviceError::CoverOpen),
            (fs(&[(1, 0xe4)]), DeviceError::PaperJam),
            (fs(&[(1, 0xe8)]), DeviceError::NoDocuments),
            (fs(&[(1, 0xe0)]), DeviceError::Feeder),
            (fs(&[(1, 0xc0), (10, 0xf0)]), DeviceError::DoubleFeed),
            (fs(&[(1, 0xc0), (10, 0xe2)]), DeviceError::TrayOut),
            (fs(&[(2, 0xe1)]), DeviceError::Lamp),
            (fs(&[(9, 0xe2)]), DeviceError::CoverOpen),
            (fs(&[(9, 0xe0)]), DeviceError::TransparencyUnit),
            (esc(&[(0, 0x80)]), DeviceError::Fatal),
            (esc(&[(0, 0x80), (11, 0xe2)]), DeviceError::CoverOpen),
            (esc(&[(1, 0xf0)]), DeviceError::DoubleFeed),
            (esc(&[(6, 0xe0)]), DeviceError::TransparencyUnit),
        ];
        for (device_status, problem) in said {
            assert_eq!(device_status.problem, Some(problem));
        }
    }

    #[test]
    fn what_is_not_in_use_has_no_say() {
        assert_eq!(fs(&[(1, 0xae), (2, 0xa3)]).problem, None);
        assert_eq!(esc(&[(1, 0xae), (0, 0x40)]).problem, None);
    }

    #[test]
    fn warming_up_is_not_fatal() {
        assert_eq!(fs(&[(0, 0x82)]), DeviceStatus { is_warming_up: true, problem: None });
        assert_eq!(esc(&[(0, 0x82)]), DeviceStatus { is_warming_up: true, problem: None });
    }

    #[test]
    fn an_information_block_is_four_bytes_that_begin_with_stx() {
        assert_eq!(parse_information(&[0x02, 0x12, 0x2a, 0x01]), Ok((StatusByte(0x12), 0x12a)));
        assert!(matches!(parse_information(&[0x15]), Err(ProtocolError::Beginning { got: 0x15, .. })));
        assert!(matches!(parse_information(&[0x02, 0, 0]), Err(ProtocolError::Length { got: 3, .. })));
        assert!(parse_information(&[]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_information(&bytes);
            let _ = parse_fs_status(&bytes);
            let _ = Installed::parse(&bytes);
            let _ = pressed_button(&bytes);
            let _ = parse_extended_status(&bytes);
        }
    }
}

//! A capture of USB traffic in pcapng, understood: what `usbscan capture` writes, or what Wireshark does of Linux's usbmon.
//! The file may come from anybody: nothing in it is believed, and what is kept is never more than the file itself.

use std::io;
use std::ops::Range;

use usbscan_usb::{DescriptorError, EndpointAddress, Setup};

/// A file longer than this is refused: some thousand pages.
pub const LONGEST: u64 = 256 << 20;
/// Bytes of usbmon's header (LINKTYPE_USB_LINUX_MMAPPED).
const HEADER: usize = 64;
const LINK_TYPE: u16 = 220;

/// Why a file can't be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("a replay needs its capture: file=FILE.pcapng")]
    NoFile,
    #[error("{path}: {error}")]
    Read { path: String, error: io::Error },
    #[error("{path}: longer than {LONGEST} bytes")]
    TooLong { path: String },
    #[error("it does not begin as a pcapng or pcap file with little-endian numbers does")]
    NotPcapng,
    #[error("it was captured on a machine with big-endian numbers, which can't be replayed")]
    BigEndian,
    #[error("it is XML, and no record of SANE's USB traffic that can be played: {0}")]
    SaneRecord(String),
    #[error("too many records")]
    TooMany,
    /// Cut off, or with a length that makes no sense.
    #[error("the block at byte {at} has no end; was the capture cut off?")]
    Broken { at: usize },
    #[error("the record at byte {at} is not of USB as Linux captures it (link type {LINK_TYPE})")]
    NotUsb { at: usize },
    /// Records are missing, so it can't be followed.
    #[error("{count} records are missing in it: the capturing program was too slow; capture again")]
    Lossy { count: u64 },
    #[error("the record at byte {at} has not all of its data; capture as the user who scans, or as root, and in full")]
    Withheld { at: usize },
    /// Nobody asked the device for its descriptors.
    #[error(
        "it does not show what the device is; begin the capture before the scanner is plugged in, or use usbscan capture"
    )]
    NoDescriptors,
    #[error("several scanners are in it, so say which one, device=BUS:ADDRESS: {0}")]
    WhichDevice(String),
    /// The descriptors make no sense.
    #[error("its descriptors: {0}")]
    Descriptor(#[from] DescriptorError),
    /// Interrupt or bulk on an endpoint that the device does not have.
    #[error("the record at byte {at} is of endpoint {endpoint}, which the device does not have")]
    NoEndpoint { at: usize, endpoint: EndpointAddress },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BusAddress {
    pub bus: u16,
    pub address: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferKind {
    Interrupt,
    Control,
    Bulk,
}

/// One end of a transfer.
#[derive(Debug, Clone)]
pub struct Record {
    pub at: usize,
    /// The same at both ends.
    pub urb: u64,
    /// `b'S'`, `b'C'` or `b'E'`.
    pub end: u8,
    pub kind: TransferKind,
    /// Which endpoint, direction included.
    pub endpoint: EndpointAddress,
    pub place: BusAddress,
    /// Of a control request's beginning.
    pub setup: Option<Setup>,
    /// 0 or a negative errno.
    pub status: i32,
    /// Bytes asked for, or moved.
    pub length: usize,
    /// Where its data are in the file.
    pub data: Range<usize>,
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn word(file: &[u8], at: usize) -> Option<u32> {
    bytes(file, at).map(u32::from_le_bytes)
}

fn half(file: &[u8], at: usize) -> Option<u16> {
    bytes(file, at).map(u16::from_le_bytes)
}

/// Every record of a file, in order. Isochronous ones are passed over.
///
/// # Errors
/// When it is no such file, or records are missing.
pub fn records(file: &[u8]) -> Result<Vec<Record>, ReplayError> {
    if word(file, 0) != Some(0x0a0d_0d0a) || word(file, 8) != Some(0x1a2b_3c4d) {
        return Err(ReplayError::NotPcapng);
    }
    let (mut at, mut links, mut found, mut lost) = (0, Vec::new(), Vec::new(), 0_u64);
    while at < file.len() {
        let (kind, length) = block(file, at).ok_or(ReplayError::Broken { at })?;
        let body = at + 8..at + length - 4;
        match kind {
            // Another section, by another program, with interfaces of its own.
            0x0a0d_0d0a if word(file, at + 8) != Some(0x1a2b_3c4d) => return Err(ReplayError::NotPcapng),
            0x0a0d_0d0a => links.clear(),
            1 => links.push(half(file, body.start).ok_or(ReplayError::Broken { at })?),
            5 => lost = lost.saturating_add(count(file, body.start + 12, body.end, 5)),
            6 => {
                let (record, dropped) = packet(file, at, body, &links)?;
                lost = lost.saturating_add(dropped);
                found.extend(record);
            }
            // Simple and obsolete packets carry no USB that anybody wrote.
            2 | 3 => return Err(ReplayError::NotUsb { at }),
            _ => {}
        }
        at += length;
    }
    // Each block counts what is missing in front of it, and the last one what is missing in all.
    if lost > 0 { Err(ReplayError::Lossy { count: lost }) } else { Ok(found) }
}

/// Kind and length of the block at `at`, if it lies in the file whole.
fn block(file: &[u8], at: usize) -> Option<(u32, usize)> {
    let length = word(file, at + 4)? as usize;
    let whole = length >= 12 && length % 4 == 0 && length <= file.len() - at;
    (whole && word(file, at + length - 4)? as usize == length).then_some((word(file, at)?, length))
}

/// The 64-bit option `code` of those from `at` to `end`; 0 where there is none.
fn count(file: &[u8], mut at: usize, end: usize, code: u16) -> u64 {
    while at + 4 <= end {
        let (Some(found), Some(length)) = (half(file, at), half(file, at + 2)) else { return 0 };
        if found == 0 {
            return 0;
        }
        if found == code && length == 8 {
            return bytes(file, at + 4).map_or(0, u64::from_le_bytes);
        }
        at += 4 + usize::from(length).next_multiple_of(4);
    }
    0
}

fn packet(file: &[u8], at: usize, body: Range<usize>, links: &[u16]) -> Result<(Option<Record>, u64), ReplayError> {
    let broken = || ReplayError::Broken { at };
    let interface = word(file, body.start).ok_or_else(broken)? as usize;
    if links.get(interface) != Some(&LINK_TYPE) {
        return Err(ReplayError::NotUsb { at });
    }
    let length = word(file, body.start + 12).ok_or_else(broken)? as usize;
    let start = body.start + 20;
    let end = start.checked_add(length).filter(|end| *end <= body.end).ok_or_else(broken)?;
    if length < HEADER {
        return Err(ReplayError::NotUsb { at });
    }
    let dropped = count(file, start + length.next_multiple_of(4), body.end, 4);
    Ok((record(file, at, start, end), dropped))
}

/// The record whose header is at `start`; `None` for an isochronous one, or of another kernel's making.
fn record(file: &[u8], at: usize, start: usize, end: usize) -> Option<Record> {
    let kind = match file[start + 9] {
        1 => TransferKind::Interrupt,
        2 => TransferKind::Control,
        3 => TransferKind::Bulk,
        _ => return None,
    };
    let captured = (word(file, start + 36)? as usize).min(end - start - HEADER);
    let setup = (kind == TransferKind::Control && file[start + 8] == b'S' && file[start + 14] == 0)
        .then(|| bytes(file, start + 40).map(Setup::from_bytes))
        .flatten();
    Some(Record {
        at,
        urb: bytes(file, start).map(u64::from_le_bytes)?,
        end: file[start + 8],
        kind,
        endpoint: EndpointAddress(file[start + 10]),
        place: BusAddress { address: file[start + 11], bus: half(file, start + 12)? },
        setup,
        status: word(file, start + 28)? as i32,
        length: word(file, start + 32)? as usize,
        data: start + HEADER..start + HEADER + captured,
    })
}

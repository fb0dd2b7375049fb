//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng) with one interface, and the header that Linux's usbmon puts in
//! front of each record (the kernel's Documentation/usb/usbmon.rst; LINKTYPE_USB_LINUX_MMAPPED). All little-endian,
//! whatever this machine is. Values; no clock, no file.

use std::time::Duration;

use usbscan_usb::{EndpointAddress, Setup, TransferStatus, TransferType};

const LINK_TYPE: u16 = 220;
/// Bytes of usbmon's header.
const HEADER: usize = 64;
const NO_OPTIONS: [u8; 4] = [0; 4];

/// Which end of a transfer is recorded, or why it never began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// It was handed to the host: `S`.
    Submit,
    /// It came back: `C`.
    Complete,
    /// The host did not take it: `E`.
    Rejected,
}

/// What is known of a transfer at one of its ends.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// The same at both ends of a transfer.
    pub urb: u64,
    pub kind: RecordKind,
    /// What its endpoint is.
    pub transfer: TransferType,
    /// Which endpoint; for control the direction is the request's.
    pub endpoint: EndpointAddress,
    /// Where the device is.
    pub bus: u8,
    pub address: u8,
    /// Of a control request, at its submission.
    pub setup: Option<Setup>,
    /// A negative errno, as the kernel has it.
    pub status: i32,
    /// Bytes asked for at the submission, bytes moved at the end.
    pub length: u32,
    /// Those bytes, where this end has them and the capturing user may see them.
    pub data: Option<&'a [u8]>,
}

/// The errno that the kernel gives a transfer which ended so.
pub(super) fn errno(status: TransferStatus) -> i32 {
    match status {
        TransferStatus::Completed => 0,
        // usb_kill_urb, by which usbfs takes a transfer back.
        TransferStatus::Cancelled => -2,
        TransferStatus::Stall => -32,
        TransferStatus::Overflow => -75,
        TransferStatus::Error => -71,
        TransferStatus::NoDevice => -108,
    }
}

/// -EINPROGRESS, of every submission.
pub(super) const IN_PROGRESS: i32 = -115;
/// -ENOENT, of what could not be submitted.
pub(super) const NOT_SUBMITTED: i32 = -2;

fn block(kind: u32, body: &[&[u8]]) -> Vec<u8> {
    let length = 12 + body.iter().map(|part| part.len()).sum::<usize>();
    debug_assert_eq!(length % 4, 0, "blocks end at whole words");
    let mut bytes = Vec::with_capacity(length);
    bytes.extend((kind).to_le_bytes());
    bytes.extend((length as u32).to_le_bytes());
    body.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.extend((length as u32).to_le_bytes());
    bytes
}

fn padding(length: usize) -> &'static [u8] {
    &[0; 3][..length.next_multiple_of(4) - length]
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + value.len());
    bytes.extend(code.to_le_bytes());
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    bytes.extend(padding(value.len()));
    bytes
}

/// Section header and interface: how every file begins.
pub(super) fn beginning(program: &str, interface: &str) -> Vec<u8> {
    let version = [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
    // The section's length is not known.
    let section = block(0x0a0d_0d0a, &[&version, &[0xff; 8], &option(4, program.as_bytes()), &NO_OPTIONS]);
    let link_type = [LINK_TYPE.to_le_bytes(), [0; 2]].concat();
    // No record is ever cut, and times are in microseconds.
    let interface = block(1, &[&link_type, &[0; 4], &option(2, interface.as_bytes()), &NO_OPTIONS]);
    [section, interface].concat()
}

/// Since 1970, as pcapng writes it.
fn time_words(time: Duration) -> [u8; 8] {
    let micros = time.as_micros() as u64;
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&((micros >> 32) as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&(micros as u32).to_le_bytes());
    bytes
}

/// One record; `dropped` were not recorded since the last one.
pub(super) fn packet(record: &Record<'_>, time: Duration, dropped: u64) -> Vec<u8> {
    let data = record.data.unwrap_or_default();
    let length = HEADER + data.len();
    let lengths = [(length as u32).to_le_bytes(), ((HEADER as u32) + record.in_full()).to_le_bytes()].concat();
    let options =
        if dropped == 0 { Vec::new() } else { [&option(4, &dropped.to_le_bytes()), &NO_OPTIONS[..]].concat() };
    let header = header(record, time);
    block(6, &[&[0; 4], &time_words(time), &lengths, &header, data, padding(length), &options])
}

impl Record<'_> {
    /// Bytes of data that this end has, recorded or not.
    fn in_full(&self) -> u32 {
        match self.data {
            Some(data) => data.len() as u32,
            None if self.has_data() => self.length,
            None => 0,
        }
    }

    /// What goes out is there at the submission, what comes in at the end.
    fn has_data(&self) -> bool {
        match self.kind {
            RecordKind::Submit => !self.endpoint.is_in(),
            RecordKind::Complete => self.endpoint.is_in(),
            RecordKind::Rejected => false,
        }
    }
}

fn header(record: &Record<'_>, time: Duration) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &record.urb.to_le_bytes());
    put(
        8,
        &[match record.kind {
            RecordKind::Submit => b'S',
            RecordKind::Complete => b'C',
            RecordKind::Rejected => b'E',
        }],
    );
    put(
        9,
        &[match record.transfer {
            TransferType::Isochronous => 0,
            TransferType::Interrupt => 1,
            TransferType::Control => 2,
            TransferType::Bulk => 3,
        }],
    );
    put(10, &[record.endpoint.0, record.address]);
    put(12, &u16::from(record.bus).to_le_bytes());
    put(14, &[if record.setup.is_some() { 0 } else { b'-' }]);
    // 0: data follow. Else why not: "<" they come in later, ">" they went out before.
    put(
        15,
        &[match (record.data, record.endpoint.is_in()) {
            (Some(_), _) => 0,
            (None, true) => b'<',
            (None, false) => b'>',
        }],
    );
    put(16, &time.as_secs().to_le_bytes());
    put(24, &time.subsec_micros().to_le_bytes());
    put(28, &record.status.to_le_bytes());
    put(32, &record.length.to_le_bytes());
    put(36, &(record.data.map_or(0, <[u8]>::len) as u32).to_le_bytes());
    if let Some(setup) = record.setup {
        put(40, &setup.to_bytes());
    }
    bytes
}

/// How every file ends: how many records there are, and how many there are not.
pub(super) fn end(time: Duration, recorded: u64, dropped: u64) -> Vec<u8> {
    let counts = [option(4, &recorded.to_le_bytes()), option(5, &dropped.to_le_bytes())].concat();
    block(5, &[&[0; 4], &time_words(time), &counts, &NO_OPTIONS])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn every_block_says_its_length_at_both_ends() {
        let record = Record {
            urb: 7,
            kind: RecordKind::Complete,
            transfer: TransferType::Bulk,
            endpoint: EndpointAddress(0x81),
            bus: 1,
            address: 2,
            setup: None,
            status: 0,
            length: 5,
            data: Some(b"hello"),
        };
        let time = Duration::new(3, 4_000);
        for bytes in [packet(&record, time, 0), packet(&record, time, 9), end(time, 1, 2)] {
            assert_eq!(word(&bytes, 4) as usize, bytes.len());
            assert_eq!(word(&bytes, bytes.len() - 4) as usize, bytes.len());
        }
        let bytes = packet(&record, time, 0);
        assert_eq!((word(&bytes, 20), word(&bytes, 24)), (69, 69));
        let header = &bytes[28..92];
        assert_eq!(header[8..16], [b'C', 3, 0x81, 2, 1, 0, b'-', 0]);
        assert_eq!((word(header, 16), word(header, 24), word(header, 32), word(header, 36)), (3, 4, 5, 5));
        assert_eq!(&bytes[92..97], b"hello");
    }

    #[test]
    fn data_that_may_not_be_seen_are_counted_and_left_out() {
        let record = Record {
            urb: 7,
            kind: RecordKind::Submit,
            transfer: TransferType::Bulk,
            endpoint: EndpointAddress(0x02),
            bus: 1,
            address: 2,
            setup: None,
            status: IN_PROGRESS,
            length: 512,
            data: None,
        };
        let bytes = packet(&record, Duration::ZERO, 0);
        assert_eq!((word(&bytes, 20), word(&bytes, 24)), (64, 64 + 512));
    }
}

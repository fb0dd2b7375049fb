//! Captures of other programs, written anew as the pcapng with usbmon records that [`super::file`] reads: pcap files of
//! Linux's usbmon (tcpdump, older Wireshark), and USBPcap on Windows, in pcap or pcapng.
//!
//! Layouts: pcap and pcapng as in the IETF's drafts; usbmon as in the kernel's Documentation/usb/usbmon.rst; USBPcap as on
//! desowin.org/usbpcap/captureformat.html. Values; nothing in a file is believed.

use std::collections::HashMap;

use super::file::{LONGEST, ReplayError};

const SECTION: u32 = 0x0a0d_0d0a;
/// Bytes of usbmon's two headers, and their link types.
const USBMON_SHORT: usize = 48;
const USBMON: usize = 64;
const LINK_USBMON_SHORT: u32 = 189;
const LINK_USBMON: u32 = 220;
const LINK_USBPCAP: u32 = 249;
/// Bytes of USBPcap's header; for control transfers one more, the stage.
const USBPCAP: usize = 27;

/// The file as pcapng with usbmon records. A file that is that already comes back as it is.
///
/// # Errors
/// When it is neither pcap nor pcapng, or breaks off.
pub fn to_pcapng(file: Vec<u8>) -> Result<Vec<u8>, ReplayError> {
    let frames = match word(&file, 0) {
        Some(SECTION) => {
            let frames = pcapng_frames(&file)?;
            // Also a file without a record is read as it is: the reader says what is missing.
            if frames.iter().all(|frame| frame.link == LINK_USBMON) {
                return Ok(file);
            }
            frames
        }
        // In microseconds, and in nanoseconds.
        Some(0xa1b2_c3d4 | 0xa1b2_3c4d) => pcap_frames(&file)?,
        // The same of a machine with big-endian numbers.
        Some(0xd4c3_b2a1 | 0x4d3c_b2a1) => return Err(ReplayError::BigEndian),
        _ => return Err(ReplayError::NotPcapng),
    };
    let mut output = Output::new();
    for CapturedPacket { at, link, data } in frames {
        match link {
            LINK_USBMON if data.len() >= USBMON => {
                output.record(&data[..USBMON], &data[USBMON..]);
            }
            LINK_USBMON_SHORT if data.len() >= USBMON_SHORT => {
                let mut header = [0; USBMON];
                header[..USBMON_SHORT].copy_from_slice(&data[..USBMON_SHORT]);
                output.record(&header, &data[USBMON_SHORT..]);
            }
            LINK_USBPCAP => output.usbpcap(data),
            _ => return Err(ReplayError::NotUsb { at }),
        }
        if output.bytes.len() as u64 > 2 * LONGEST {
            return Err(ReplayError::TooMany);
        }
    }
    Ok(output.bytes)
}

/// A captured packet with its link type.
struct CapturedPacket<'a> {
    at: usize,
    link: u32,
    data: &'a [u8],
}

fn pcap_frames(file: &[u8]) -> Result<Vec<CapturedPacket<'_>>, ReplayError> {
    // The upper bits are flags of the frame check sequence.
    let link = word(file, 20).ok_or(ReplayError::Broken { at: 0 })? & 0x0fff_ffff;
    let mut frames = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let length = word(file, at + 8).ok_or(ReplayError::Broken { at })? as usize;
        let data = (at + 16).checked_add(length).and_then(|end| file.get(at + 16..end));
        let data = data.ok_or(ReplayError::Broken { at })?;
        frames.push(CapturedPacket { at, link, data });
        at += 16 + length;
    }
    Ok(frames)
}

/// The packets of enhanced packet blocks.
fn pcapng_frames(file: &[u8]) -> Result<Vec<CapturedPacket<'_>>, ReplayError> {
    let (mut frames, mut links) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < file.len() {
        let broken = ReplayError::Broken { at };
        let (Some(kind), Some(length)) = (word(file, at), word(file, at + 4)) else { return Err(broken) };
        let end = at.checked_add(length as usize).filter(|end| *end <= file.len() && length >= 12 && length % 4 == 0);
        let Some(end) = end else { return Err(broken) };
        match kind {
            SECTION if word(file, at + 8) != Some(0x1a2b_3c4d) => return Err(ReplayError::NotPcapng),
            SECTION => links.clear(),
            1 => links.push(word(file, at + 8).map_or(0, |word| word & 0xffff)),
            6 => {
                let (Some(interface), Some(captured)) = (word(file, at + 8), word(file, at + 20)) else {
                    return Err(broken);
                };
                let data = (at + 28).checked_add(captured as usize).filter(|data_end| *data_end <= end - 4);
                let Some(data) = data.and_then(|data_end| file.get(at + 28..data_end)) else { return Err(broken) };
                let Some(link) = links.get(interface as usize) else { return Err(broken) };
                frames.push(CapturedPacket { at, link: *link, data });
            }
            _ => {}
        }
        at = end;
    }
    Ok(frames)
}

/// The pcapng that is made.
pub(super) struct Output {
    pub bytes: Vec<u8>,
    /// Where the length of a transfer under way stands, by its IRP: USBPcap does not say how many bytes a read asks for.
    reads: HashMap<u64, usize>,
    /// Control requests that data have come for already: older versions have a record for the status stage besides.
    answered: Vec<u64>,
}

impl Output {
    pub(super) fn new() -> Output {
        let mut bytes = Vec::new();
        let section = [&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat();
        let interface = [LINK_USBMON.to_le_bytes(), [0; 4]].concat();
        for (kind, body) in [(SECTION, section), (1, interface)] {
            block(&mut bytes, kind, &body);
        }
        Output { bytes, reads: HashMap::new(), answered: Vec::new() }
    }

    /// One usbmon record. Returns where its header is.
    pub(super) fn record(&mut self, header: &[u8], data: &[u8]) -> usize {
        let length = ((header.len() + data.len()) as u32).to_le_bytes();
        let at = self.bytes.len() + 28;
        block(&mut self.bytes, 6, &[&[0; 12], &length[..], &length, header, data].concat());
        at
    }

    /// A record of USBPcap. What is none, or no bulk, interrupt or control transfer, is passed over.
    fn usbpcap(&mut self, record: &[u8]) {
        let (Some(header_length), Some(irp), Some(status)) = (half(record, 0), double(record, 2), word(record, 10))
        else {
            return;
        };
        let (Some(header), Some(data)) = (record.get(..header_length.into()), record.get(usize::from(header_length)..))
        else {
            return;
        };
        if header.len() < USBPCAP {
            return;
        }
        let is_end = header[16] & 1 != 0;
        let (bus, device) = (half(header, 17).unwrap_or(0), half(header, 19).unwrap_or(0));
        let (endpoint, transfer) = (header[21], header[22]);
        let mut new =
            Header { irp, is_end, transfer, endpoint, device: device as u8, bus, status: errno(status), setup: None };
        match transfer {
            1 | 3 => {
                let at = self.record(&new.bytes(data.len()), data);
                match (endpoint & 0x80 != 0, is_end) {
                    (true, false) => {
                        self.reads.insert(irp, at);
                    }
                    (true, true) => self.ask_for(irp, data.len()),
                    (false, _) => {}
                }
            }
            2 => match (header.get(27).copied(), is_end) {
                // The setup stage, with the data that go out behind it.
                (Some(0), false) if data.len() >= 8 => {
                    let (setup, sent) = data.split_at(8);
                    new.endpoint = setup[0] & 0x80;
                    new.setup = setup.try_into().ok();
                    self.answered.retain(|other| *other != irp);
                    let asked = usize::from(half(setup, 6).unwrap_or(0));
                    self.record(&new.bytes(if new.endpoint == 0 { sent.len() } else { asked }), sent);
                }
                // The data stage or the end; then perhaps a status stage, which is nothing new.
                (Some(1 | 3), true) => {
                    self.record(&new.bytes(data.len()), data);
                    self.answered.push(irp);
                }
                (Some(2), true) if !self.answered.contains(&irp) => {
                    self.record(&new.bytes(0), &[]);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// A read that ended with a short packet asked for more than it got.
    fn ask_for(&mut self, irp: u64, arrived: usize) {
        let Some(header) = self.reads.remove(&irp) else { return };
        self.bytes[header + 32..header + 36].copy_from_slice(&(asked_for(arrived) as u32).to_le_bytes());
    }
}

/// The bytes that a read asked for, as far as what arrived tells: packets of bulk endpoints have a multiple of 64 bytes at every
/// speed above low.
pub(super) fn asked_for(arrived: usize) -> usize {
    if arrived % 64 == 0 { arrived } else { arrived + 1 }
}

/// What usbmon's header has of a transfer.
pub(super) struct Header {
    /// The same at both ends of a transfer.
    pub irp: u64,
    pub is_end: bool,
    /// 1 interrupt, 2 control, 3 bulk.
    pub transfer: u8,
    pub endpoint: u8,
    pub device: u8,
    pub bus: u16,
    /// 0 or a negative errno, at the end.
    pub status: i32,
    pub setup: Option<[u8; 8]>,
}

impl Header {
    pub(super) fn bytes(&self, length: usize) -> [u8; USBMON] {
        let mut bytes = [0; USBMON];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &self.irp.to_le_bytes());
        put(8, &[if self.is_end { b'C' } else { b'S' }, self.transfer, self.endpoint, self.device]);
        put(12, &self.bus.to_le_bytes());
        put(14, &[if self.setup.is_some() { 0 } else { b'-' }]);
        put(28, &(if self.is_end { self.status } else { -115 }).to_le_bytes());
        put(32, &(length as u32).to_le_bytes());
        // The reader takes no more than there is.
        put(36, &(length as u32).to_le_bytes());
        put(40, &self.setup.unwrap_or_default());
        bytes
    }
}

/// The errno for a USBD_STATUS of Windows (usb.h of the WDK).
fn errno(status: u32) -> i32 {
    match status {
        0 => 0,
        // STALL_PID, ENDPOINT_HALTED.
        0xc000_0004 | 0xc000_0030 => -32,
        // BUFFER_OVERRUN, DATA_OVERRUN, BABBLE_DETECTED.
        0xc000_0008 | 0xc000_000c | 0xc000_0012 => -75,
        // CANCELED.
        0xc001_0000 => -2,
        // DEV_NOT_RESPONDING, DEVICE_GONE.
        0xc000_0005 | 0xc000_7000 => -108,
        _ => -71,
    }
}

fn block(bytes: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (12 + body.len().next_multiple_of(4)) as u32;
    bytes.extend(kind.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(length.to_le_bytes());
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn double(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::file::records;
    use super::*;

    fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 0x0004_0000, link].map(u32::to_le_bytes).concat();
        for packet in packets {
            let length = (packet.len() as u32).to_le_bytes();
            file.extend([[0; 4], [0; 4], length, length].concat());
            file.extend(packet);
        }
        file
    }

    /// As desowin.org/usbpcap/captureformat.html lays it out.
    fn usbpcap(irp: u64, is_end: bool, endpoint: u8, transfer: u8, stage: Option<u8>, data: &[u8]) -> Vec<u8> {
        let mut packet = ((USBPCAP + usize::from(stage.is_some())) as u16).to_le_bytes().to_vec();
        packet.extend(irp.to_le_bytes());
        packet.extend(0_u32.to_le_bytes());
        packet.extend(9_u16.to_le_bytes());
        packet.push(is_end.into());
        packet.extend(1_u16.to_le_bytes());
        packet.extend(5_u16.to_le_bytes());
        packet.extend([endpoint, transfer]);
        packet.extend((data.len() as u32).to_le_bytes());
        packet.extend(stage);
        packet.extend(data);
        packet
    }

    #[test]
    fn usbpcap_becomes_usbmon() {
        let setup = [0x80, 6, 0, 1, 0, 0, 18, 0];
        let packets = [
            usbpcap(1, false, 0x80, 2, Some(0), &setup),
            usbpcap(1, true, 0x80, 2, Some(3), &[18; 18]),
            usbpcap(2, false, 0x02, 3, None, b"\x1b@"),
            usbpcap(2, true, 0x02, 3, None, &[]),
            usbpcap(3, false, 0x81, 3, None, &[]),
            usbpcap(3, true, 0x81, 3, None, &[6]),
        ];
        let file = to_pcapng(pcap(LINK_USBPCAP, &packets)).expect("it is understood");
        let records = records(&file).expect("it is read");
        let data = |at: usize| &file[records[at].data.clone()];
        assert_eq!(records.iter().map(|record| record.end).collect::<Vec<_>>(), *b"SCSCSC");
        assert_eq!(records[0].setup.map(|setup| setup.request), Some(6));
        assert_eq!((data(1), data(2), data(5)), (&[18; 18][..], &b"\x1b@"[..], &[6][..]));
        assert_eq!((records[4].length, records[5].length), (2, 1), "the read ended with a short packet");
        assert!(records.iter().all(|record| (record.place.bus, record.place.address) == (1, 5)));
    }

    #[test]
    fn a_pcap_of_usbmon_is_read_with_either_header() {
        let mut header = [0; USBMON];
        header[8..12].copy_from_slice(&[b'S', 3, 2, 7]);
        header[32] = 2;
        header[36] = 2;
        for (link, length) in [(LINK_USBMON, USBMON), (LINK_USBMON_SHORT, USBMON_SHORT)] {
            let packet = [&header[..length], b"\x1b@"].concat();
            let file = to_pcapng(pcap(link, &[packet])).expect("it is understood");
            let records = records(&file).expect("it is read");
            assert_eq!(&file[records[0].data.clone()], b"\x1b@");
        }
    }

    #[test]
    fn a_file_that_breaks_off_or_is_something_else_is_refused() {
        let whole = pcap(LINK_USBPCAP, &[usbpcap(1, false, 0x81, 3, None, &[])]);
        assert!(matches!(to_pcapng(whole[..whole.len() - 1].to_vec()), Err(ReplayError::Broken { .. })));
        assert!(matches!(to_pcapng(pcap(1, &[vec![0; 60]])), Err(ReplayError::NotUsb { .. })));
        assert!(matches!(to_pcapng(b"a text".to_vec()), Err(ReplayError::NotPcapng)));
        for length in 0..whole.len() {
            let _ = to_pcapng(whole[..length].to_vec());
        }
    }
}

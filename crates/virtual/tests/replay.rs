//! Captures that are played again: in order, and refused in words when they are broken. The files are written here by
//! hand, not by usbscan's own writer, so that the two can disagree.

use std::time::Instant;

use usbscan_usb::{ConfigurationDescriptor, EndpointAddress, Setup};
use usbscan_virtual::{Control, In, Loopback, Model, Out, Replay};

const BULK_IN: EndpointAddress = EndpointAddress(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress(0x02);
const EVENTS: EndpointAddress = EndpointAddress(0x83);

/// A file under construction.
struct File(Vec<u8>);

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (12 + body.len() as u32).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &length].concat()
}

impl File {
    /// With the descriptors of the loopback.
    fn new() -> File {
        let mut section = vec![0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0];
        section.extend([0xff; 8]);
        let mut file = File([block(0x0a0d_0d0a, &section), block(1, &[220, 0, 0, 0, 0, 0, 0, 0])].concat());
        let descriptors = Loopback::new().descriptors().clone();
        file.control(100, Setup::get_descriptor(1, 0, 0, 18), &descriptors.device.to_bytes());
        file.control(101, Setup::get_descriptor(2, 0, 0, 255), &descriptors.configuration.to_bytes());
        file.control(102, Setup::get_descriptor(3, 2, 0x409, 255), &descriptors.string(2).unwrap());
        file
    }

    fn record(&mut self, urb: u64, end: u8, kind: u8, endpoint: u8, (status, length): (i32, u32), data: &[u8]) {
        self.with_setup(urb, end, kind, endpoint, (status, length), data, None);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the header")]
    fn with_setup(
        &mut self,
        urb: u64,
        end: u8,
        kind: u8,
        endpoint: u8,
        (status, length): (i32, u32),
        data: &[u8],
        setup: Option<Setup>,
    ) {
        let mut header = [0; 64];
        header[..8].copy_from_slice(&urb.to_le_bytes());
        header[8..12].copy_from_slice(&[end, kind, endpoint, 5]);
        header[12] = 1;
        header[14] = if setup.is_some() { 0 } else { b'-' };
        header[28..32].copy_from_slice(&status.to_le_bytes());
        header[32..36].copy_from_slice(&length.to_le_bytes());
        header[36..40].copy_from_slice(&(data.len() as u32).to_le_bytes());
        if let Some(setup) = setup {
            header[40..48].copy_from_slice(&setup.to_bytes());
        }
        let length = (64 + data.len() as u32).to_le_bytes();
        let mut body = [&[0; 12][..], &length, &length, &header, data].concat();
        body.resize(body.len().next_multiple_of(4), 0);
        self.0.extend(block(6, &body));
    }

    fn control(&mut self, urb: u64, setup: Setup, answer: &[u8]) {
        let endpoint = setup.request_type & 0x80;
        self.with_setup(urb, b'S', 2, endpoint, (-115, setup.length.into()), &[], Some(setup));
        self.record(urb, b'C', 2, endpoint, (0, answer.len() as u32), answer);
    }

    fn write(&mut self, urb: u64, data: &[u8]) {
        self.record(urb, b'S', 3, 2, (-115, data.len() as u32), data);
        self.record(urb, b'C', 3, 2, (0, data.len() as u32), &[]);
    }

    fn read(&mut self, urb: u64, asked: u32, status: i32, data: &[u8]) {
        self.record(urb, b'S', 3, 0x81, (-115, asked), &[]);
        self.record(urb, b'C', 3, 0x81, (status, data.len() as u32), data);
    }

    fn replay(self) -> Replay {
        Replay::of_bytes(self.0, None).expect("it can be replayed")
    }
}

fn say(replay: &mut Replay, bytes: &[u8]) -> Out {
    replay.bulk_out(Instant::now(), BULK_OUT, bytes)
}

fn receive(replay: &mut Replay, room: usize) -> (In, Vec<u8>) {
    let mut buffer = vec![0; room];
    let answer = replay.bulk_in(Instant::now(), BULK_IN, &mut buffer);
    if let In::Data(length) = answer {
        buffer.truncate(length);
    } else {
        buffer.clear();
    }
    (answer, buffer)
}

#[test]
fn it_says_what_it_said_when_it_hears_what_it_heard() {
    let mut file = File::new();
    file.write(1, b"\x1b@");
    file.read(2, 512, 0, b"\x06");
    file.write(3, b"\x1bI");
    file.read(4, 512, 0, b"identity");
    let mut replay = file.replay();
    assert_eq!(replay.descriptors().product, Loopback::new().descriptors().product);
    assert_eq!(receive(&mut replay, 512).0, In::Nak);
    assert_eq!(say(&mut replay, b"\x1b@"), Out::Ack);
    // What it said is to be read first.
    assert_eq!(say(&mut replay, b"\x1bI"), Out::Nak);
    assert_eq!(receive(&mut replay, 512).1, b"\x06");
    assert_eq!(receive(&mut replay, 512).0, In::Nak);
    assert_eq!(say(&mut replay, b"\x1b"), Out::Ack);
    assert_eq!(say(&mut replay, b"I"), Out::Ack);
    assert_eq!(receive(&mut replay, 512).1, b"identity");
    assert_eq!(say(&mut replay, b"more"), Out::Stall);
    replay.reset();
    assert_eq!(say(&mut replay, b"\x1b@"), Out::Ack);
}

#[test]
fn a_host_that_says_something_else_meets_a_stall() {
    let mut file = File::new();
    file.write(1, b"\x1b@");
    let mut replay = file.replay();
    assert_eq!(say(&mut replay, b"\x1bG"), Out::Stall);
    assert_eq!(say(&mut replay, b"\x1b@ and more"), Out::Stall);
    assert_eq!(
        replay.control(Instant::now(), Setup::vendor(usbscan_usb::Direction::In, 1, 0, 0, 1), &[]),
        Control::Stall
    );
}

#[test]
fn what_answers_a_write_comes_after_it_though_the_writes_end_was_recorded_later() {
    let mut file = File::new();
    file.record(1, b'S', 3, 0x81, (-115, 512), &[]);
    file.record(2, b'S', 3, 2, (-115, 2), b"\x1b@");
    file.record(1, b'C', 3, 0x81, (0, 1), b"\x06");
    file.record(2, b'C', 3, 2, (0, 2), &[]);
    let mut replay = file.replay();
    assert_eq!(receive(&mut replay, 512).0, In::Nak);
    assert_eq!(say(&mut replay, b"\x1b@"), Out::Ack);
    assert_eq!(receive(&mut replay, 512).1, b"\x06");
}

#[test]
fn the_packets_ends_are_as_they_were() {
    let mut file = File::new();
    file.read(1, 1024, 0, &[1; 1024]);
    file.read(2, 1024, 0, &[2; 512]);
    file.read(3, 1024, 0, &[]);
    file.read(4, 1024, -2, &[]);
    file.read(5, 1024, -2, &[5; 512]);
    file.read(6, 1024, -32, &[]);
    file.read(7, 1024, -108, &[]);
    let mut replay = file.replay();
    assert_eq!(receive(&mut replay, 512).1, [1; 512]);
    assert_eq!(receive(&mut replay, 4096).1, [1; 512]);
    assert_eq!(receive(&mut replay, 4096).1, [2; 512]);
    assert_eq!(receive(&mut replay, 4096).0, In::Data(0), "it ended short of 1024");
    assert_eq!(receive(&mut replay, 4096).0, In::Data(0), "an empty packet");
    assert_eq!(receive(&mut replay, 4096).1, [5; 512]);
    assert_eq!(receive(&mut replay, 4096).0, In::Stall);
    assert_eq!(receive(&mut replay, 4096).0, In::Stall);
    replay.clear_halt(BULK_IN);
    assert_eq!(receive(&mut replay, 4096).0, In::Gone);
}

#[test]
fn a_button_comes_no_sooner_than_it_did_and_is_in_nobodys_way() {
    let mut file = File::new();
    file.record(1, b'S', 1, 0x83, (-115, 8), &[]);
    file.write(2, b"a");
    file.record(1, b'C', 1, 0x83, (0, 2), &[1, 2]);
    file.write(3, b"b");
    let mut replay = file.replay();
    let mut room = [0; 8];
    assert_eq!(replay.interrupt_in(Instant::now(), EVENTS, &mut room), In::Nak);
    assert_eq!(say(&mut replay, b"a"), Out::Ack);
    assert_eq!(say(&mut replay, b"b"), Out::Ack);
    assert_eq!(replay.interrupt_in(Instant::now(), EVENTS, &mut room), In::Data(2));
    assert_eq!(room[..2], [1, 2]);
    assert_eq!(replay.interrupt_in(Instant::now(), EVENTS, &mut room), In::Nak);
}

#[test]
fn a_vendor_request_is_answered_as_it_was() {
    let setup = Setup::vendor(usbscan_usb::Direction::In, 0x12, 5, 0, 3);
    let mut file = File::new();
    file.control(1, setup, &[5, 6, 7]);
    let mut replay = file.replay();
    assert_eq!(replay.control(Instant::now(), setup, &[]), Control::Done(vec![5, 6, 7]));
}

/// As sanei_usb of SANE 1.2 writes it; the traffic is made up.
const SANE_RECORD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<device_capture backend="genesys">
  <description id_vendor="0x04a9" id_product="0x1909">
    <configurations>
      <configuration attributes="0xa0" value="1" max_power="250">
        <interface number="0">
          <endpoint transfer_type="BULK" number="0x01" direction="IN" address="0x81"/>
          <endpoint transfer_type="BULK" number="0x02" direction="OUT" address="0x02"/>
          <endpoint transfer_type="INTERRUPT" number="0x03" direction="IN" address="0x83"/>
        </interface>
      </configuration>
    </configurations>
  </description>
  <transactions>
    <get_descriptor time_usec="1" seq="1" descriptor_type="0x1" bcd_usb="0x200"/>
    <control_tx time_usec="2" seq="2" endpoint_number="0" direction="IN" bmRequestType="0xc0" bRequest="0xc" wValue="0x8e"
      wIndex="0x0" wLength="0x1">55</control_tx>
    <debug seq="3" message="a remark"/>
    <bulk_tx seq="4" endpoint_number="0x2" direction="OUT">1b 40</bulk_tx>
    <bulk_tx seq="5" endpoint_number="1" direction="IN">06
      15</bulk_tx>
  </transactions>
</device_capture>
"#;

#[test]
fn a_record_of_sane_is_played_in_its_order() {
    let mut replay = Replay::of_bytes(SANE_RECORD.into(), None).expect("a record");
    let device = &replay.descriptors().device;
    assert_eq!((device.vendor.0, device.product.0), (0x04a9, 0x1909));
    let setup = Setup::vendor(usbscan_usb::Direction::In, 0x0c, 0x8e, 0, 1);
    assert_eq!(replay.control(Instant::now(), setup, &[]), Control::Done(vec![0x55]));
    assert_eq!(say(&mut replay, b"\x1b@"), Out::Ack);
    let mut room = [0; 512];
    assert_eq!(replay.bulk_in(Instant::now(), BULK_IN, &mut room), In::Data(2));
    assert_eq!(room[..2], [0x06, 0x15]);
}

#[test]
fn xml_that_is_no_record_or_has_no_bytes_is_refused_in_words() {
    let refusal = |text: &str| Replay::of_bytes(text.into(), None).unwrap_err().to_string();
    assert!(refusal("<html/>").contains("its first element is \"html\""));
    assert!(refusal("<device_capture/>").contains("no element \"description\""));
    assert!(refusal(&SANE_RECORD.replace("1b 40", "(unknown read of size 2)")).contains("the bytes of transfer 4"));
    assert!(refusal(&SANE_RECORD.replace("0x04a9", "0x104a9")).contains("more than 16 bits"));
    assert!(refusal(&SANE_RECORD.replace("BULK", "ISOCHRONOUS")).contains("ISOCHRONOUS"));
    assert!(refusal(&SANE_RECORD[..200]).contains("it is XML"));
    for length in 0..SANE_RECORD.len() {
        let _ = Replay::of_bytes(SANE_RECORD[..length].into(), None);
    }
}

#[test]
fn what_can_not_be_replayed_is_refused_in_words() {
    let refusal = |bytes: Vec<u8>| Replay::of_bytes(bytes, None).unwrap_err().to_string();
    assert!(refusal(Vec::new()).contains("does not begin as a pcapng or pcap file"));
    let whole = File::new().0;
    assert!(refusal(whole[..whole.len() - 1].to_vec()).contains("cut off"));
    assert!(refusal(whole[..48].to_vec()).contains("does not show what the device is"));
    let mut withheld = File::new();
    withheld.record(1, b'S', 3, 2, (-115, 512), &[]);
    assert!(refusal(withheld.0).contains("not all of its data"));
    let mut elsewhere = File::new();
    elsewhere.write(1, b"x");
    elsewhere.record(1, b'S', 3, 0x05, (-115, 1), b"x");
    assert!(refusal(elsewhere.0).contains("endpoint 05, which the device does not have"));
    let mut other = whole.clone();
    other[36] = 1;
    assert!(refusal(other).contains("link type 220"));
}

/// Whatever the file says, the model must live with it.
fn drive(replay: &mut Replay) {
    let mut room = vec![0; 4096];
    for _ in 0..8 {
        let _ = replay.bulk_in(Instant::now(), BULK_IN, &mut room);
        let _ = replay.interrupt_in(Instant::now(), EVENTS, &mut room[..64]);
        let _ = replay.bulk_out(Instant::now(), BULK_OUT, b"\x1b@");
        let _ = replay.control(Instant::now(), Setup::vendor(usbscan_usb::Direction::In, 0x12, 5, 0, 3), &[]);
    }
    let configuration = replay.descriptors().configuration.to_bytes();
    let _ = ConfigurationDescriptor::parse(&configuration);
}

#[test]
fn no_file_makes_it_panic() {
    let mut file = File::new();
    file.write(1, b"\x1b@");
    file.read(2, 512, 0, b"\x06");
    file.record(3, b'S', 1, 0x83, (-115, 8), &[]);
    file.record(3, b'C', 1, 0x83, (0, 2), &[1, 2]);
    file.control(4, Setup::vendor(usbscan_usb::Direction::In, 0x12, 5, 0, 3), &[5, 6, 7]);
    let whole = file.0;
    for length in 0..whole.len() {
        if let Ok(mut replay) = Replay::of_bytes(whole[..length].to_vec(), None) {
            drive(&mut replay);
        }
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 1, whole[at].wrapping_add(4)] {
            let mut changed = whole.clone();
            changed[at] = value;
            if let Ok(mut replay) = Replay::of_bytes(changed, None) {
                drive(&mut replay);
            }
        }
    }
}

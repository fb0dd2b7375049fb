//! Faults on a loopback, byte by byte.

use usbscan_usb::Direction;

use super::*;
use crate::Loopback;

const IN: EndpointAddress = EndpointAddress(0x81);
const OUT: EndpointAddress = EndpointAddress(0x02);

struct Rig {
    device: Faulty,
    now: Instant,
}

impl Rig {
    /// A loopback with these faults and `length` bytes of the pattern to send.
    fn new(length: u16, words: &[&str], adjust: impl Fn(&mut Plan)) -> Rig {
        let mut plan = Plan::default();
        for word in words {
            plan.add(word.parse().expect("a good word"));
        }
        adjust(&mut plan);
        let mut device = Faulty::new(Box::new(Loopback::new()), plan);
        let now = Instant::now();
        let pattern: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        for packet in pattern.chunks(512) {
            device.model.bulk_out(now, OUT, packet);
        }
        Rig { device, now }
    }

    fn read(&mut self, buffer: usize) -> Result<Vec<u8>, In> {
        let mut bytes = vec![0; buffer];
        match self.device.bulk_in(self.now, IN, &mut bytes) {
            In::Data(n) => Ok(bytes[..n].to_vec()),
            other => Err(other),
        }
    }

    /// Reads until something other than data comes; checks that nothing is missing or twice.
    fn read_on(&mut self, from: usize) -> (usize, In) {
        let mut at = from;
        loop {
            match self.read(4096) {
                Ok(bytes) => {
                    for byte in bytes {
                        assert_eq!(byte, (at % 251) as u8, "at {at}");
                        at += 1;
                    }
                }
                Err(other) => return (at, other),
            }
        }
    }
}

#[test]
fn a_stall_hits_the_packet_of_its_byte_and_the_data_goes_on_after_it() {
    for (at, whole) in [(0, 0), (511, 0), (512, 512), (1500, 1024), (3000, 2560)] {
        let mut rig = Rig::new(4000, &[&format!("stall@{at}")], |_| ());
        assert_eq!(rig.read_on(0), (whole, In::Stall));
        assert_eq!(rig.read(512), Err(In::Stall), "until it is cleared");
        rig.device.clear_halt(IN);
        assert_eq!(rig.read_on(whole), (4000, In::Nak));
    }
}

#[test]
fn a_halt_that_sticks_needs_to_be_cleared_again() {
    let mut rig = Rig::new(1000, &["stall@0"], |plan| plan.stuck_halts = 2);
    for _ in 0..3 {
        assert_eq!(rig.read(512), Err(In::Stall));
        rig.device.clear_halt(IN);
    }
    assert_eq!(rig.read_on(0), (1000, In::Nak));
}

#[test]
fn silence_lasts_for_its_time_or_until_a_reset() {
    let mut rig = Rig::new(1000, &["silence@600:50"], |_| ());
    let until = rig.now + Duration::from_millis(50);
    assert_eq!(rig.read_on(0), (512, In::NakUntil(until)));
    assert_eq!(rig.read(512), Err(In::NakUntil(until)));
    rig.now = until;
    assert_eq!(rig.read_on(512), (1000, In::Nak));
    let mut rig = Rig::new(1000, &["silence@0"], |_| ());
    assert_eq!(rig.read(512), Err(In::Nak));
    rig.now += Duration::from_secs(100_000);
    assert_eq!(rig.read(512), Err(In::Nak));
    rig.device.reset();
    rig.device.bulk_out(rig.now, OUT, &[0, 1]);
    assert_eq!(rig.read(512), Ok(vec![0, 1]));
}

#[test]
fn a_babble_loses_its_packet_and_a_garble_does_not() {
    let mut rig = Rig::new(2000, &["garble@100", "babble@512"], |_| ());
    assert_eq!(rig.read(4096), Err(In::Garbled));
    assert_eq!(rig.read_on(0), (512, In::Babble));
    assert_eq!(rig.read_on(1024), (2000, In::Nak));
}

#[test]
fn an_unplug_is_for_good() {
    assert_eq!(Rig::new(2000, &["unplug@1024"], |_| ()).read_on(0), (1024, In::Gone));
    let mut rig = Rig::new(0, &["out-unplug@5"], |_| ());
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[0; 5]), Out::Ack);
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[0; 5]), Out::Gone);
}

#[test]
fn short_packets_cut_but_lose_nothing() {
    let mut rig = Rig::new(4000, &["short@3"], |_| ());
    let (mut at, mut transfers) = (0, 0);
    while at < 4000 {
        let bytes = rig.read(1024).expect("data");
        assert!(bytes.len() % 512 != 0 || at + bytes.len() == 4000, "a short packet ends it");
        assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == ((at + i) % 251) as u8), "at {at}");
        at += bytes.len();
        transfers += 1;
    }
    assert!(transfers > 4);
    assert_eq!(rig.read(512), Err(In::Nak));
}

#[test]
fn a_rate_spreads_the_bytes_over_time() {
    let mut rig = Rig::new(4000, &[], |plan| plan.bytes_per_second = Some(102_400));
    assert_eq!(rig.read(4096).map(|bytes| bytes.len()), Ok(1024), "what 10 ms allow");
    let until = rig.now + Duration::from_millis(10);
    assert_eq!(rig.read(4096), Err(In::NakUntil(until)));
    rig.now = until;
    assert_eq!(rig.read(4096).map(|bytes| bytes.len()), Ok(1024));
}

#[test]
fn what_goes_out_can_stall_and_hang_too() {
    let mut rig = Rig::new(0, &["out-stall@3", "out-silence@5:10"], |_| ());
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[1, 2, 3]), Out::Ack);
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[4]), Out::Stall);
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[4]), Out::Stall);
    rig.device.clear_halt(OUT);
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[4, 5]), Out::Ack);
    let until = rig.now + Duration::from_millis(10);
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[6]), Out::NakUntil(until));
    rig.now = until;
    assert_eq!(rig.device.bulk_out(rig.now, OUT, &[6]), Out::Ack);
    assert_eq!(rig.read(512), Ok(vec![1, 2, 3]));
}

#[test]
fn a_control_request_can_hang() {
    let mut rig = Rig::new(0, &["hang@2"], |_| ());
    let setup = Setup::vendor(Direction::In, 0x12, 0, 0, 1);
    let answers: Vec<Control> = (0..3).map(|_| rig.device.control(rig.now, setup, &[])).collect();
    assert_eq!(answers, [Control::Done(vec![0]), Control::Hang, Control::Done(vec![0])]);
}

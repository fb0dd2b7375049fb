//! The in-process bus: what the contract does not say, and faults seen from the seam.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, unbounded};
use usbscan_usb::{
    Access, Bus, Cancel, Completion, Device, Direction, Endpoint, EndpointAddress, ErrorKind, Holder, InterfaceNumber,
    Location, Setup, Token, TransferStatus,
};
use usbscan_virtual::{Loopback, TRANSFER_MEMORY, VirtualBus};

const IN: EndpointAddress = EndpointAddress(0x81);
const OUT: EndpointAddress = EndpointAddress(0x02);
/// How long anything may take before it counts as hung.
const DEADLINE: Duration = Duration::from_secs(60);

struct Open {
    device: Box<dyn Device>,
    bulk_in: Box<dyn Endpoint>,
    bulk_out: Box<dyn Endpoint>,
    control: Box<dyn Endpoint>,
    done: Receiver<Completion>,
}

fn open(bus: &VirtualBus, location: &Location) -> Open {
    let mut device = bus.open(location).expect("it opens");
    device.claim(InterfaceNumber(0)).expect("it is free");
    let (completions, done) = unbounded();
    let bulk_in = device.endpoint(IN, completions.clone()).expect("bulk in");
    let bulk_out = device.endpoint(OUT, completions.clone()).expect("bulk out");
    let control = device.endpoint(EndpointAddress::CONTROL, completions).expect("control");
    Open { device, bulk_in, bulk_out, control, done }
}

fn plug(spec: &str) -> (VirtualBus, Location, Open) {
    let bus = VirtualBus::new();
    let location = bus.plug_spec(spec).expect("a good description");
    let open = open(&bus, &location);
    (bus, location, open)
}

impl Open {
    fn wait(&self) -> (u64, TransferStatus, usize) {
        let completion = self.done.recv_timeout(DEADLINE).expect("a completion");
        (completion.token.0, completion.status, completion.actual)
    }

    /// Two transfers end; in which order is the device's business.
    fn wait_for_two(&self) -> [(u64, TransferStatus, usize); 2] {
        let mut both = [self.wait(), self.wait()];
        both.sort_unstable_by_key(|(token, ..)| *token);
        both
    }
}

#[test]
fn a_replugged_device_is_at_the_same_port_with_another_address() {
    let bus = VirtualBus::new();
    let first = bus.plug(Box::new(Loopback::new()));
    let other = bus.plug(Box::new(Loopback::with_serial("B")));
    assert!(bus.unplug(&first));
    assert!(!bus.unplug(&first), "it is out already");
    let again = bus.plug_at(first.ports[0], Box::new(Loopback::new()));
    assert_eq!(again.port_path(), first.port_path());
    assert!(again.address != first.address && again.address != other.address);
    assert_eq!(bus.open(&first).err().expect("gone").kind, ErrorKind::NoDevice);
}

#[test]
fn addresses_are_not_given_twice_at_a_time() {
    let bus = VirtualBus::new();
    let stays = bus.plug(Box::new(Loopback::new()));
    for _ in 0..300 {
        let location = bus.plug(Box::new(Loopback::new()));
        assert_ne!(location.address, stays.address);
        assert!(bus.unplug(&location));
    }
}

#[test]
fn a_device_may_be_listed_but_not_opened() {
    let bus = VirtualBus::new();
    let location = bus.plug(Box::new(Loopback::new()));
    assert!(bus.set_access(&location, Access::Denied));
    assert_eq!(bus.list().expect("a list")[0].access, Access::Denied);
    assert_eq!(bus.open(&location).err().expect("denied").kind, ErrorKind::AccessDenied);
}

#[test]
fn an_interface_may_be_in_other_hands() {
    let bus = VirtualBus::new();
    let location = bus.plug(Box::new(Loopback::new()));
    let holder = Holder::KernelDriver("usblp".to_owned());
    assert!(bus.set_holder(&location, InterfaceNumber(0), Some(holder.clone())));
    let mut device = bus.open(&location).expect("opening takes nothing");
    assert_eq!(device.claim(InterfaceNumber(0)).expect_err("held").kind, ErrorKind::Busy(holder));
    assert!(bus.set_holder(&location, InterfaceNumber(0), None));
    device.claim(InterfaceNumber(0)).expect("free");
    assert_eq!(device.claim(InterfaceNumber(7)).expect_err("no such interface").kind, ErrorKind::NotFound);
}

#[test]
fn a_dropped_device_frees_its_interface() {
    let (bus, location, first) = plug("loopback");
    drop(first);
    open(&bus, &location).device.close(DEADLINE).expect("it closes");
}

#[test]
fn transfers_share_a_limited_memory() {
    let (_bus, _, mut open) = plug("loopback");
    for token in 0..16 {
        open.bulk_in.submit(Token(token), vec![0; TRANSFER_MEMORY / 16].into()).expect("there is room");
    }
    let rejected = open.bulk_in.submit(Token(99), vec![0; 512].into()).expect_err("no room is left");
    assert_eq!((rejected.error.kind, rejected.buffer.len()), (ErrorKind::NoResources, 512));
    assert_eq!(open.bulk_in.cancel(Token(0)), Cancel::Asked);
    assert_eq!(open.wait(), (0, TransferStatus::Cancelled, 0));
    open.bulk_in.submit(Token(99), vec![0; 512].into()).expect("there is room again");
}

#[test]
fn a_token_in_flight_and_a_bad_control_buffer_are_refused() {
    let (_bus, _, mut open) = plug("loopback");
    open.bulk_in.submit(Token(1), vec![0; 512].into()).expect("accepted");
    let rejected = open.bulk_in.submit(Token(1), vec![0; 512].into()).expect_err("twice");
    assert_eq!(rejected.error.kind, ErrorKind::InvalidParameter);
    for buffer in [vec![0; 7], Setup::vendor(Direction::In, 1, 0, 0, 5000).buffer(&[])] {
        let rejected = open.control.submit(Token(2), buffer.into()).expect_err("a bad buffer");
        assert_eq!(rejected.error.kind, ErrorKind::InvalidParameter, "{}", rejected.error);
    }
}

#[test]
fn what_hangs_at_a_loose_cable_falls_off_and_is_back_at_its_port_as_another_device() {
    let bus = VirtualBus::new();
    let (bell, rings) = bounded(1);
    let _watch = bus.watch(bell).expect("it rings");
    let mut location = bus.plug_spec("loopback,serial=LOOSE,cable=1").expect("a good description");
    for _ in 0..3 {
        let mut open = open(&bus, &location);
        // It parts within what is written and read here, wherever the seed says.
        for token in 0.. {
            let full = vec![7; 512];
            if open.bulk_out.submit(Token(2 * token), full.into()).is_err()
                || open.wait().1 != TransferStatus::Completed
            {
                break;
            }
            if open.bulk_in.submit(Token(2 * token + 1), vec![0; 512].into()).is_err()
                || open.wait().1 != TransferStatus::Completed
            {
                break;
            }
        }
        let back = loop {
            let list = bus.list().expect("a list");
            match list.iter().find(|info| info.location != location) {
                Some(info) => break info.clone(),
                None => rings.recv_timeout(DEADLINE).expect("it comes back"),
            }
        };
        assert_eq!((back.serial.as_deref(), &back.location.ports), (Some("LOOSE"), &location.ports));
        assert_eq!(bus.list().expect("a list").len(), 1, "as one");
        location = back.location;
    }
    // Pulled out by hand it stays away.
    assert!(bus.unplug(&location));
    assert!(bus.list().expect("a list").is_empty());
}

#[test]
fn a_device_that_falls_off_is_no_longer_listed() {
    let (bus, location, mut open) = plug("loopback,fault=unplug@3");
    let (ring, bell) = bounded(1);
    let _watch = bus.watch(ring).expect("it can be watched");
    open.bulk_in.submit(Token(1), vec![0; 512].into()).expect("accepted");
    open.bulk_out.submit(Token(2), vec![0; 8].into()).expect("accepted");
    let [read, _] = open.wait_for_two();
    assert_eq!(read, (1, TransferStatus::NoDevice, 0));
    bell.recv_timeout(DEADLINE).expect("a removal rings");
    assert!(bus.list().expect("a list").is_empty());
    assert_eq!(bus.open(&location).err().expect("gone").kind, ErrorKind::NoDevice);
    assert_eq!(open.bulk_in.submit(Token(3), vec![0; 1].into()).expect_err("gone").error.kind, ErrorKind::NoDevice);
    assert_eq!(open.bulk_in.clear_halt().expect_err("gone").kind, ErrorKind::NoDevice);
    open.device.close(Duration::ZERO).expect("nothing is owed");
}

#[test]
fn a_transfer_that_never_comes_back_makes_closing_say_host_stuck() {
    let (bus, location, mut open) = plug("loopback,slow-unlink=never");
    open.bulk_in.submit(Token(1), vec![0; 512].into()).expect("accepted");
    assert_eq!(open.bulk_in.cancel(Token(1)), Cancel::Asked);
    let error = open.device.close(Duration::from_millis(1)).expect_err("it is host-stuck");
    assert_eq!(error.kind, ErrorKind::HostStuck, "{error}");
    assert!(open.done.is_empty(), "still not back");
    bus.unplug(&location);
    assert_eq!(open.done.recv_timeout(DEADLINE).expect("with the unplug").status, TransferStatus::NoDevice);
}

#[test]
fn a_late_unlink_comes_back_once_and_closing_waits_for_it() {
    let (_bus, _, mut open) = plug("loopback,slow-unlink=20");
    open.bulk_in.submit(Token(1), vec![0; 512].into()).expect("accepted");
    open.device.close(DEADLINE).expect("it waits");
    let completion = open.done.try_recv().expect("it is back");
    assert_eq!((completion.token, completion.status), (Token(1), TransferStatus::Cancelled));
    assert!(open.done.is_empty());
}

#[test]
fn a_stuck_halt_needs_to_be_cleared_twice() {
    let (_bus, _, mut open) = plug("loopback,fault=stall@0,stuck-halt=1");
    open.bulk_out.submit(Token(0), b"abc".to_vec().into()).expect("accepted");
    open.wait();
    for (token, status) in [(1, TransferStatus::Stall), (2, TransferStatus::Stall), (3, TransferStatus::Completed)] {
        open.bulk_in.submit(Token(token), vec![0; 512].into()).expect("accepted");
        assert_eq!(open.wait(), (token, status, if token == 3 { 3 } else { 0 }));
        open.bulk_in.clear_halt().expect("it is asked");
    }
}

#[test]
fn a_control_request_hangs_until_it_is_cancelled() {
    let (_bus, _, mut open) = plug("loopback,fault=hang@1");
    let count = Setup::vendor(Direction::In, 0x12, 0, 0, 2);
    open.control.submit(Token(1), count.buffer(&[]).into()).expect("accepted");
    open.control.submit(Token(2), count.buffer(&[]).into()).expect("accepted");
    open.bulk_out.submit(Token(3), vec![1].into()).expect("accepted");
    assert_eq!(open.wait(), (3, TransferStatus::Completed, 1), "other pipes work");
    assert_eq!(open.control.cancel(Token(1)), Cancel::Asked);
    assert_eq!(open.wait_for_two(), [(1, TransferStatus::Cancelled, 0), (2, TransferStatus::Completed, 2)]);
}

#[test]
fn a_reset_ends_a_silence() {
    let (_bus, _, mut open) = plug("loopback,fault=silence@0");
    open.bulk_out.submit(Token(1), vec![1].into()).expect("accepted");
    open.wait();
    open.bulk_in.submit(Token(2), vec![0; 512].into()).expect("accepted");
    open.device.reset().expect("it is there");
    assert_eq!(open.wait(), (2, TransferStatus::NoDevice, 0));
    open.bulk_out.submit(Token(3), vec![1, 2].into()).expect("accepted");
    open.bulk_in.submit(Token(4), vec![0; 512].into()).expect("accepted");
    assert_eq!(open.wait_for_two(), [(3, TransferStatus::Completed, 2), (4, TransferStatus::Completed, 2)]);
}

/// Cancels and closes of every kind in the middle of transfers, for many seeds of faults.
#[test]
fn under_any_mixture_of_faults_each_transfer_completes_once() {
    for seed in 0..150u64 {
        let (bus, location, mut open) = plug(&format!("loopback,chaos={seed}"));
        let mut owed = 0;
        for round in 0..12u64 {
            owed += open.bulk_in.submit(Token(3 * round), vec![0; 1024].into()).is_ok() as usize;
            owed += open.bulk_out.submit(Token(3 * round + 1), vec![round as u8; 700].into()).is_ok() as usize;
            if (round + seed) % 3 == 0 {
                open.bulk_in.cancel(Token(3 * round));
            }
            if (round + seed) % 5 == 0 {
                open.bulk_in.clear_halt().expect("it is there");
            }
        }
        if seed % 2 == 0 {
            bus.unplug(&location);
        }
        open.device.close(DEADLINE).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let tokens: Vec<u64> = open.done.try_iter().map(|completion| completion.token.0).collect();
        assert_eq!(tokens.len(), owed, "seed {seed}: {tokens:?}");
        let distinct: std::collections::BTreeSet<u64> = tokens.iter().copied().collect();
        assert_eq!(distinct.len(), owed, "seed {seed}: {tokens:?}");
    }
}

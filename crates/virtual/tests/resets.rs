//! What a port reset does to a virtual device, and alternate settings, seen from the seam.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, unbounded};
use usbscan_usb::{
    Bus, Completion, Device, Direction, Endpoint, EndpointAddress, ErrorKind, InterfaceNumber, Location, Setup, Token,
    TransferStatus,
};
use usbscan_virtual::{Loopback, VirtualBus};

const IN: EndpointAddress = EndpointAddress(0x81);
const OUT: EndpointAddress = EndpointAddress(0x02);
const INTERFACE: InterfaceNumber = InterfaceNumber(0);
/// How long anything may take before it counts as hung.
const DEADLINE: Duration = Duration::from_secs(60);

struct Open {
    device: Box<dyn Device>,
    bulk_in: Box<dyn Endpoint>,
    bulk_out: Box<dyn Endpoint>,
    control: Box<dyn Endpoint>,
    done: Receiver<Completion>,
}

fn open(bus: &VirtualBus, location: &Location, alternate: u8) -> Open {
    let mut device = bus.open(location).expect("it opens");
    device.claim(INTERFACE).expect("it is free");
    if alternate > 0 {
        device.set_alternate(INTERFACE, alternate).expect("there is such a setting");
    }
    let (completions, done) = unbounded();
    let bulk_in = device.endpoint(IN, completions.clone()).expect("bulk in");
    let bulk_out = device.endpoint(OUT, completions.clone()).expect("bulk out");
    let control = device.endpoint(EndpointAddress::CONTROL, completions).expect("control");
    Open { device, bulk_in, bulk_out, control, done }
}

fn plug(spec: &str) -> (VirtualBus, Location, Open) {
    let bus = VirtualBus::new();
    let location = bus.plug_spec(spec).expect("a good description");
    let open = open(&bus, &location, 0);
    (bus, location, open)
}

impl Open {
    fn wait(&self) -> (u64, TransferStatus) {
        let completion = self.done.recv_timeout(DEADLINE).expect("a completion");
        (completion.token.0, completion.status)
    }

    fn write(&mut self, token: u64) -> TransferStatus {
        self.bulk_out.submit(Token(token), vec![7].into()).expect("accepted");
        let (back, status) = self.wait();
        assert_eq!(back, token);
        status
    }

    fn is_silent(&mut self, token: u64) -> bool {
        assert_eq!(self.write(token), TransferStatus::Completed);
        self.bulk_in.submit(Token(token + 1), vec![0; 512].into()).expect("accepted");
        // A request that is answered after the read was looked at: by then an answer would be there.
        self.control.submit(Token(token + 2), count().into()).expect("accepted");
        let (first, _) = self.wait();
        first == token + 2 && self.done.is_empty()
    }
}

fn count() -> Vec<u8> {
    Setup::vendor(Direction::In, 0x12, 0, 0, 2).buffer(&[])
}

#[test]
fn a_reset_that_revives_nothing_leaves_the_device_silent() {
    let (_bus, _, mut open) = plug("loopback,fault=silence@0,reset=no");
    assert!(open.is_silent(1));
    open.device.reset().expect("it is there");
    assert_eq!(open.wait(), (2, TransferStatus::NoDevice), "what was pending came back");
    assert!(open.is_silent(10));
}

#[test]
fn after_a_slow_reset_everything_is_answered_late() {
    let (_bus, _, mut open) = plug("loopback,fault=silence@0,reset=slow:50");
    assert!(open.is_silent(1));
    open.device.reset().expect("it is there");
    assert_eq!(open.wait(), (2, TransferStatus::NoDevice));
    open.control.submit(Token(10), count().into()).expect("accepted");
    assert_eq!(open.wait(), (10, TransferStatus::Completed));
    assert_eq!(open.write(11), TransferStatus::Completed);
    open.bulk_in.submit(Token(12), vec![0; 512].into()).expect("accepted");
    assert_eq!(open.wait(), (12, TransferStatus::Completed));
}

#[test]
fn a_device_that_moves_in_a_reset_is_at_its_port_with_another_address_and_as_it_was() {
    for spec in ["loopback,serial=M,fault=silence@0,reset=moves", "loopback,serial=M,fault=silence@0,reset=moves:20"] {
        let (bus, location, mut first) = plug(spec);
        let (notify, told) = bounded(1);
        let _watch = bus.watch(notify).expect("it can be watched");
        assert!(first.is_silent(1));
        assert_eq!(first.device.reset().expect_err("it left").kind, ErrorKind::NoDevice);
        assert_eq!(first.wait(), (2, TransferStatus::NoDevice));
        let back = loop {
            match bus.list().expect("a list").into_iter().find(|info| info.location != location) {
                Some(info) => break info,
                None => told.recv_timeout(DEADLINE).expect("it comes back"),
            }
        };
        assert_eq!((back.serial.as_deref(), &back.location.ports), (Some("M"), &location.ports));
        assert_eq!(bus.open(&location).err().expect("not there any more").kind, ErrorKind::NoDevice);
        let mut second = open(&bus, &back.location, 0);
        assert_eq!(second.write(1), TransferStatus::Completed);
        second.bulk_in.submit(Token(2), vec![0; 512].into()).expect("accepted");
        assert_eq!(second.wait(), (2, TransferStatus::Completed), "the reset ended its silence, which happens once");
        first.device.close(Duration::ZERO).expect("nothing is owed");
    }
}

#[test]
fn a_device_that_leaves_in_a_reset_is_gone() {
    let (bus, location, mut open) = plug("loopback,reset=gone");
    assert_eq!(open.device.reset().expect_err("it left").kind, ErrorKind::NoDevice);
    assert!(bus.list().expect("a list").iter().all(|info| info.location != location));
}

#[test]
fn requests_hang_from_a_byte_on_until_a_reset() {
    let (_bus, _, mut open) = plug("loopback,fault=hang-from@0");
    open.control.submit(Token(1), count().into()).expect("accepted");
    assert_eq!(open.wait(), (1, TransferStatus::Completed), "nothing was sent yet");
    assert_eq!(open.write(2), TransferStatus::Completed);
    open.bulk_in.submit(Token(3), vec![0; 512].into()).expect("accepted");
    assert_eq!(open.wait(), (3, TransferStatus::Completed));
    open.control.submit(Token(4), count().into()).expect("accepted");
    assert_eq!(open.write(5), TransferStatus::Completed, "the other pipes work");
    open.device.reset().expect("it is there");
    assert_eq!(open.wait(), (4, TransferStatus::NoDevice));
    open.control.submit(Token(6), count().into()).expect("accepted");
    assert_eq!(open.wait(), (6, TransferStatus::Completed));
}

#[test]
fn the_endpoints_of_a_setting_are_there_while_it_is_chosen_and_a_reset_chooses_setting_0() {
    let bus = VirtualBus::new();
    let location = bus.plug_spec("loopback,alternate=1").expect("a good description");
    let mut bare = bus.open(&location).expect("it opens");
    bare.claim(INTERFACE).expect("it is free");
    let (completions, _done) = unbounded();
    assert_eq!(bare.endpoint(IN, completions).err().expect("not in setting 0").kind, ErrorKind::NotFound);
    drop(bare);

    let mut open = open(&bus, &location, 1);
    assert_eq!(open.write(1), TransferStatus::Completed);
    open.device.reset().expect("it is there");
    let refused = open.bulk_out.submit(Token(2), vec![7].into()).expect_err("setting 0 has no endpoints");
    assert_eq!(refused.error.kind, ErrorKind::NotFound);
    open.device.set_alternate(INTERFACE, 1).expect("there is such a setting");
    assert_eq!(open.write(3), TransferStatus::Completed);
}

#[test]
fn a_device_is_listed_before_the_kernel_has_configured_it_and_nobody_is_told_of_that() {
    let bus = VirtualBus::new();
    let location = bus.plug_unconfigured(Box::new(Loopback::new()));
    let (notify, told) = bounded(1);
    let _watch = bus.watch(notify).expect("it can be watched");
    let listed = || bus.list().expect("a list").remove(0);
    assert_eq!(listed().configuration, None);
    let mut early = bus.open(&location).expect("it opens");
    assert_eq!(early.claim(INTERFACE).expect_err("it has no interface yet").kind, ErrorKind::NotFound);
    drop(early);
    assert!(bus.configure(&location));
    assert!(listed().configuration.is_some() && told.is_empty());
    assert_eq!(open(&bus, &location, 0).write(1), TransferStatus::Completed);
}

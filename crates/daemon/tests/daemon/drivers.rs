//! A scanner with several ways to it: which is used, and who says so.

use std::time::Instant;

use testkit::rig::{Client, Rig, open};
use usbscan_usb::{
    Bus, EndpointAddress, EndpointDescriptor, Holder, InterfaceDescriptor, InterfaceNumber, Setup, TransferType,
};
use usbscan_virtual::{Control, Descriptors, In, Loopback, Model, Out};
use usbscan_wire::{Command, DeviceEntry, Faults, ListBody, OpenBody, Status};

/// By its id it speaks ESC/I on interface 0, by its class eSCL on interface 1.
struct AllInOne(Descriptors);

impl AllInOne {
    fn new() -> AllInOne {
        let mut descriptors = Loopback::with_serial("ALL").descriptors().clone();
        (descriptors.device.vendor.0, descriptors.device.product.0) = (0x04b8, 0x0151);
        let own = &mut descriptors.configuration.interfaces[0];
        (own.class, own.subclass, own.protocol) = (0xff, 0xff, 0xff);
        let bulk = |address| EndpointDescriptor {
            address: EndpointAddress(address),
            transfer_type: TransferType::Bulk,
            max_packet_size: 512,
            interval: 0,
        };
        descriptors.configuration.interfaces.push(InterfaceDescriptor {
            number: InterfaceNumber(1),
            alternate: 0,
            class: 7,
            subclass: 1,
            protocol: 4,
            string_index: 0,
            endpoints: vec![bulk(0x85), bulk(0x06)],
        });
        AllInOne(descriptors)
    }
}

impl Model for AllInOne {
    fn descriptors(&self) -> &Descriptors {
        &self.0
    }

    fn control(&mut self, _now: Instant, _setup: Setup, _data: &[u8]) -> Control {
        Control::Stall
    }

    fn bulk_out(&mut self, _now: Instant, _endpoint: EndpointAddress, _packet: &[u8]) -> Out {
        Out::Ack
    }

    fn bulk_in(&mut self, _now: Instant, _endpoint: EndpointAddress, _room: &mut [u8]) -> In {
        In::Nak
    }
}

fn plugged() -> (Rig, Client) {
    let rig = Rig::new(&[]);
    rig.bus.plug(Box::new(AllInOne::new()));
    let mut client = rig.client();
    client.until_listed("usbscan0");
    (rig, client)
}

fn hold(rig: &Rig, interface: u8, holder: Option<Holder>) {
    let location = rig.bus.list().expect("a list")[0].location.clone();
    assert!(rig.bus.set_holder(&location, InterfaceNumber(interface), holder));
}

fn ipp_usb() -> Option<Holder> {
    Some(Holder::Program { pid: 4711, name: "ipp-usb".to_owned() })
}

fn listed(client: &mut Client) -> DeviceEntry {
    let list = client.done(Command::List { device: None, descriptors: false });
    list.body::<ListBody>().expect("a body").devices.remove(0)
}

fn opened(rig: &Rig, interface: Option<u8>) -> (String, u8) {
    let (event, read, write, faults) = (None, None, None, Faults::default());
    let device = "usbscan0".to_owned();
    let answer = rig.client().done(Command::Open { device, event, read, write, interface, faults });
    let device = answer.body::<OpenBody>().expect("a body").device;
    (device.protocol, device.interface)
}

#[test]
fn a_scanner_is_listed_with_its_drivers_and_opened_by_the_one_that_is_asked_for() {
    let (rig, mut client) = plugged();
    let entry = listed(&mut client);
    let drivers: Vec<_> = entry.drivers.iter().map(|way| (way.driver.as_str(), way.interface)).collect();
    assert_eq!((entry.protocol.as_str(), drivers), ("esci", vec![("esci", 0), ("escl", 1)]));
    assert_eq!(opened(&rig, None), ("esci".to_owned(), 0));
    assert_eq!(opened(&rig, Some(1)), ("escl".to_owned(), 1));
}

#[test]
fn where_another_program_has_the_first_interface_the_next_one_is_used() {
    let (rig, mut client) = plugged();
    hold(&rig, 0, ipp_usb());
    assert_eq!(opened(&rig, None), ("escl".to_owned(), 1));
    assert_eq!(listed(&mut client).protocol, "escl");
}

#[test]
fn where_another_program_has_all_of_them_it_is_named() {
    let (rig, mut client) = plugged();
    hold(&rig, 0, ipp_usb());
    hold(&rig, 1, ipp_usb());
    let refused = rig.client().call(open("usbscan0"));
    assert_eq!(refused.status, Status::Busy);
    assert!(refused.message.as_deref().is_some_and(|words| words.contains("ipp-usb (pid 4711)")), "{refused:?}");
    let problem = listed(&mut client).problem;
    assert!(problem.as_deref().is_some_and(|words| words.contains("ipp-usb (pid 4711)")), "{problem:?}");
    hold(&rig, 1, None);
    assert_eq!(opened(&rig, None), ("escl".to_owned(), 1));
    assert_eq!(listed(&mut client).problem, None);
}

//! Calls that need quiet, and calls that are never made.

use crossbeam_channel::unbounded;
use usbscan_usb::{Direction, EndpointAddress, ErrorKind, Holder, InterfaceNumber, Setup, Token};

use super::{BULK_IN, BULK_OUT, Pipe, SCANNER, close, echoes, loopback, plug};
use crate::ioctl;
use crate::models::Changed;
use crate::rig::UmockdevRig;

pub fn no_call_that_needs_quiet_is_made_under_a_transfer(rig: &mut UmockdevRig<'_>) {
    let mut device = plug(rig, Changed::with_two_settings());
    let (mut bulk_in, mut bulk_out) = (Pipe::new(&mut *device, BULK_IN), Pipe::new(&mut *device, BULK_OUT));
    let mut control = Pipe::new(&mut *device, EndpointAddress::CONTROL);
    let refused = |outcome: Result<(), usbscan_usb::Error>| {
        let error = outcome.expect_err("a transfer is in flight");
        assert_eq!(error.kind, ErrorKind::InvalidParameter, "{error}");
        assert!(error.to_string().contains("while transfers are in flight"), "{error}");
    };
    bulk_in.submit(1, vec![0; 512]);
    refused(bulk_in.endpoint.clear_halt());
    refused(device.set_alternate(SCANNER, 1));
    refused(device.reset());
    bulk_out.endpoint.clear_halt().expect("a read on another endpoint does not hurt");
    bulk_in.endpoint.cancel(Token(1));
    bulk_in.wait();
    control.submit(1, Setup::vendor(Direction::In, 0x13, 0, 0, 4).buffer(&[]));
    refused(bulk_in.endpoint.clear_halt());
    refused(device.set_alternate(SCANNER, 1));
    refused(device.reset());
    control.endpoint.cancel(Token(1));
    control.wait();
    bulk_in.endpoint.clear_halt().expect("all is quiet");
    device.reset().expect("all is quiet");
    device.set_alternate(SCANNER, 1).expect("all is quiet");
    close(device);
}

pub fn an_alternate_setting_is_sent_where_it_is_asked_for_and_nowhere_else(rig: &mut UmockdevRig<'_>) {
    let mut device = loopback(rig);
    echoes(&mut *device);
    assert_eq!(rig.usbfs().count(ioctl::SET_INTERFACE), 0);
    device.set_alternate(SCANNER, 0).expect("it is in it");
    assert_eq!(rig.usbfs().count(ioctl::SET_INTERFACE), 1);
    echoes(&mut *device);
    let error = device.set_alternate(SCANNER, 3).expect_err("there is none");
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    close(device);
}

pub fn an_alternate_setting_brings_its_endpoints(rig: &mut UmockdevRig<'_>) {
    let mut device = plug(rig, Changed::with_two_settings());
    device.set_alternate(SCANNER, 1).expect("it has two");
    assert_eq!(rig.usbfs().count(ioctl::SET_INTERFACE), 1);
    let error = device.endpoint(EndpointAddress(0x83), unbounded().0).err().expect("the second has no interrupt pipe");
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    echoes(&mut *device);
    close(device);
}

pub fn a_reset_is_refused_while_it_would_hurt_somebody_else(rig: &mut UmockdevRig<'_>) {
    let mut device = plug(rig, Changed::with_a_printer());
    rig.usbfs().bind_driver(InterfaceNumber(1), "usblp", false);
    let error = device.reset().expect_err("the printer is in use");
    assert_eq!(error.kind, ErrorKind::Busy(Holder::KernelDriver("usblp".to_owned())), "{error}");
    assert_eq!(rig.usbfs().count(ioctl::RESET), 0);
    assert!(rig.usbfs().has_driver(InterfaceNumber(1)), "we took the scanner and nothing else");
    close(device);
}

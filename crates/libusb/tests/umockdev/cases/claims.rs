//! Who has the interface: kernel drivers, other programs, we.

use std::thread;
use std::time::Duration;

use usbscan_usb::contract::Rig;
use usbscan_usb::{Cancel, ErrorKind, Holder, TransferStatus, Token};

use super::{BULK_IN, Pipe, SCANNER, close, echoes, loopback, open};
use crate::models::Changed;
use crate::rig::UmockdevRig;

pub fn a_kernel_driver_is_detached_for_us_and_put_back(rig: &mut UmockdevRig<'_>) {
    let location = rig.plug();
    rig.usbfs().bind_driver(SCANNER, "usblp", false);
    let device = open(rig, &location);
    assert!(!rig.usbfs().has_driver(SCANNER), "it is ours");
    close(device);
    assert!(rig.usbfs().has_driver(SCANNER), "it is back");
}

pub fn a_kernel_driver_that_stays_is_named(rig: &mut UmockdevRig<'_>) {
    let location = rig.plug();
    rig.usbfs().bind_driver(SCANNER, "microtekX6", true);
    let mut device = rig.bus().open(&location).expect("opening takes nothing");
    let error = device.claim(SCANNER).expect_err("the driver stays");
    assert_eq!(error.kind, ErrorKind::Busy(Holder::KernelDriver("microtekX6".to_owned())));
    assert_eq!(
        error.to_string(),
        format!("claim interface 0 of 1209:0001 at {location}: in use by kernel driver microtekX6 (code -6)")
    );
    close(device);
}

pub fn a_program_that_has_the_interface_makes_it_busy(rig: &mut UmockdevRig<'_>) {
    let first = loopback(rig);
    let mut second = rig.bus().open(&first.info().location).expect("opening takes nothing");
    let error = second.claim(SCANNER).expect_err("the first has it");
    // Which program can't be seen here: the test bed's node is a link to a terminal.
    assert!(matches!(error.kind, ErrorKind::Busy(Holder::Unknown | Holder::Program { .. })), "{error}");
    close(first);
    close(second);
}

pub fn a_dropped_device_gives_its_interface_back(rig: &mut UmockdevRig<'_>) {
    let mut device = loopback(rig);
    let location = device.info().location.clone();
    rig.usbfs().bind_driver(SCANNER, "usblp", false);
    let mut pipe = Pipe::new(&mut *device, BULK_IN);
    pipe.submit(1, vec![0; 512]);
    drop(device);
    assert_eq!(pipe.wait().status, TransferStatus::Cancelled, "dropping asks for every transfer back");
    let rejected = pipe.endpoint.submit(Token(2), vec![0; 512].into()).expect_err("the device is closed");
    assert_eq!((rejected.error.kind, rejected.buffer.len()), (ErrorKind::NoDevice, 512));
    assert_eq!(pipe.endpoint.cancel(Token(1)), Cancel::NotInFlight);
    close(open(rig, &location));
}

pub fn another_device_at_the_same_place_is_not_opened(rig: &mut UmockdevRig<'_>) {
    let location = rig.plug();
    rig.bus().list().expect("a list");
    rig.unplug();
    rig.replug_at(&location, Changed::with_product(2));
    let error = rig.bus().open(&location).err().expect("it is not what was listed");
    assert_eq!(error.kind, ErrorKind::NoDevice, "{error}");
    rig.bus().list().expect("a list");
    close(open(rig, &location));
}

pub fn a_node_that_comes_late_is_waited_for(rig: &mut UmockdevRig<'_>) {
    let location = rig.plug();
    let make_node = rig.hide_node();
    let udev = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        make_node();
    });
    let mut device = open(rig, &location);
    udev.join().expect("the node was made");
    echoes(&mut *device);
    close(device);
}

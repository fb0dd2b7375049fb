//! What happens to transfers and their buffers.

use crossbeam_channel::bounded;
use usbscan_usb::{Cancel, EndpointAddress, ErrorKind, Setup, Token};

use super::{BULK_IN, Pipe, close, loopback, plug};
use crate::ioctl;
use crate::models::Changed;
use crate::rig::UmockdevRig;

pub fn a_buffer_comes_back_as_the_same_memory(rig: &mut UmockdevRig<'_>) {
    let mut device = loopback(rig);
    let mut pipe = Pipe::new(&mut *device, BULK_IN);
    let mut buffer = Vec::with_capacity(2000);
    buffer.resize(1024, 0);
    let address = buffer.as_ptr();
    pipe.submit(1, buffer);
    assert_eq!(pipe.endpoint.cancel(Token(1)), Cancel::Asked);
    let back = pipe.wait().buffer.into_vec();
    assert_eq!((back.as_ptr(), back.len(), back.capacity()), (address, 1024, 2000));
    close(device);
}

pub fn a_class_request_for_an_interface_of_others_is_not_sent(rig: &mut UmockdevRig<'_>) {
    let mut device = plug(rig, Changed::with_a_printer());
    let mut control = Pipe::new(&mut *device, EndpointAddress::CONTROL);
    let soft_reset = Setup { request_type: 0x21, request: 2, value: 0, index: 1, length: 0 };
    let rejected = control.endpoint.submit(Token(1), soft_reset.buffer(&[]).into()).expect_err("the printer is not ours");
    assert_eq!(rejected.error.kind, ErrorKind::InvalidParameter, "{}", rejected.error);
    assert_eq!(rig.usbfs().count(ioctl::SUBMIT_URB), 0);
    close(device);
}

pub fn memory_used_up_is_no_resources_and_passes(rig: &mut UmockdevRig<'_>) {
    const MEBIBYTE: usize = 1 << 20;
    let mut device = loopback(rig);
    let mut pipe = Pipe::new(&mut *device, BULK_IN);
    for token in 0..16 {
        pipe.submit(token, vec![0; MEBIBYTE]);
    }
    let rejected = pipe.endpoint.submit(Token(16), vec![0; MEBIBYTE].into()).expect_err("16 MiB are in flight");
    assert_eq!((rejected.error.kind, rejected.buffer.len()), (ErrorKind::NoResources, MEBIBYTE));
    pipe.endpoint.cancel(Token(15));
    assert_eq!(pipe.wait().token, Token(15));
    pipe.submit(16, rejected.buffer);
    close(device);
    assert_eq!(pipe.done.try_iter().count(), 16, "closing gave back what was in flight");
}

pub fn a_token_in_flight_is_not_taken_twice(rig: &mut UmockdevRig<'_>) {
    let mut device = loopback(rig);
    let mut pipe = Pipe::new(&mut *device, BULK_IN);
    pipe.submit(1, vec![0; 512]);
    let rejected = pipe.endpoint.submit(Token(1), vec![0; 1024].into()).expect_err("there is one of that name");
    assert_eq!((rejected.error.kind, rejected.buffer.len()), (ErrorKind::InvalidParameter, 1024));
    pipe.endpoint.cancel(Token(1));
    pipe.wait();
    pipe.submit(1, vec![0; 512]);
    close(device);
}

pub fn a_bounded_channel_is_refused(rig: &mut UmockdevRig<'_>) {
    let mut device = loopback(rig);
    let (completions, _done) = bounded(64);
    let error = device.endpoint(BULK_IN, completions).err().expect("a full channel would stop the event thread");
    assert_eq!(error.kind, ErrorKind::InvalidParameter, "{error}");
    close(device);
}

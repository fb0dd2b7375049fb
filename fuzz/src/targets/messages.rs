//! Bytes from the socket, from a device, from a USB/IP client: what is understood survives being written and read again.

use usbscan_usb::{ConfigurationDescriptor, DeviceDescriptor};
use usbscan_wire::{CLIENT_HEADER_LIMIT, DAEMON_HEADER_LIMIT, FromDaemon, PAYLOAD_LIMIT, Request, read_frame};

/// What a client sends: frames, then commands.
pub fn frame(mut bytes: &[u8]) {
    while let Ok(Some(frame)) = read_frame(&mut bytes, CLIENT_HEADER_LIMIT) {
        assert!(frame.payload.len() <= PAYLOAD_LIMIT);
        let Ok(request) = Request::from_frame(frame) else { continue };
        let mut again = Vec::new();
        request.write_to(&mut again).expect("a vector takes all");
        // Written out in full, a header may be longer than it came.
        let frame = read_frame(&mut &again[..], DAEMON_HEADER_LIMIT).expect("ours").expect("one");
        assert_eq!(Request::from_frame(frame).expect("ours"), request);
    }
}

pub fn answer(mut bytes: &[u8]) {
    while let Ok(Some(frame)) = read_frame(&mut bytes, DAEMON_HEADER_LIMIT) {
        let Ok(FromDaemon::Answer(answer)) = FromDaemon::from_frame(frame) else { continue };
        let mut again = Vec::new();
        answer.write_to(&mut again).expect("a vector takes all");
        if let Ok(frame) = read_frame(&mut &again[..], DAEMON_HEADER_LIMIT) {
            assert_eq!(FromDaemon::from_frame(frame.expect("one")).expect("ours"), FromDaemon::Answer(answer));
        }
    }
}

/// What a device says of itself.
pub fn descriptor(bytes: &[u8]) {
    if let Ok(descriptor) = DeviceDescriptor::parse(bytes) {
        assert_eq!(DeviceDescriptor::parse(&descriptor.to_bytes()), Ok(descriptor));
    }
    if let Ok(configuration) = ConfigurationDescriptor::parse(bytes) {
        let endpoints: usize = configuration.interfaces.iter().map(|interface| interface.endpoints.len()).sum();
        assert!(endpoints <= bytes.len() / 7, "an endpoint takes seven bytes");
        let again = ConfigurationDescriptor::parse(&configuration.to_bytes());
        assert_eq!(again, Ok(configuration));
    }
    if let Ok(text) = usbscan_usb::string_descriptor_text(bytes) {
        assert!(text.encode_utf16().count() <= 126, "as long as its length byte says");
    }
}

pub fn usbip(bytes: &[u8]) {
    if let Some(Ok(vscan::usbip::UsbipCommand::Submit(submit))) =
        bytes.first_chunk().map(vscan::usbip::UsbipCommand::parse)
    {
        assert!(submit.data_length() <= vscan::usbip::LONGEST as usize);
    }
    if let Some(head) = bytes.first_chunk() {
        // Understood or refused; a panic is what is looked for.
        let _ = vscan::usbip::Operation::parse(head);
    }
}

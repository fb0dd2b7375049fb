//! The machine's USB: listing, opening, watching. Any thread may call; nothing runs in between.

use std::collections::HashMap;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use rusb::Context;
use usbscan_usb::{Bus, Device, DeviceInfo, Error, ErrorKind, Location, ProductId, VendorId, Watch};

use crate::{describe, hotplug, open, status, sysfs};

/// `bDeviceClass` of a hub.
const HUB: u8 = 9;

/// The oldest libusb that this crate trusts with cancels.
const OLDEST: (u16, u16, u16) = (1, 0, 26);

/// The USB of this machine, through libusb.
///
/// Each device that is opened gets a libusb context and an event thread of its own, so that one sick device
/// can't hold up the events of another. The bus itself holds nothing open.
#[derive(Debug)]
pub struct LibusbBus {
    /// What was at each place when it was last listed: an address may have been given to another device since.
    listed: Mutex<HashMap<Location, (VendorId, ProductId)>>,
}

impl LibusbBus {
    /// Checks that libusb is one to build on. A machine without any USB is no error: nothing is listed then.
    ///
    /// # Errors
    /// [`ErrorKind::NotSupported`] when the libusb that was loaded is older than 1.0.26.
    pub fn new() -> Result<LibusbBus, Error> {
        let version = rusb::version();
        let found = (version.major(), version.minor(), version.micro());
        check_version(found)?;
        log::debug!("libusb {}.{}.{}", found.0, found.1, found.2);
        if !sysfs::has_usb() {
            log::warn!("this machine has no USB (nothing in /dev/bus/usb): no scanner will be found");
        }
        Ok(LibusbBus { listed: Mutex::default() })
    }
}

fn check_version(found: (u16, u16, u16)) -> Result<(), Error> {
    if found >= OLDEST {
        return Ok(());
    }
    let ((a, b, c), (x, y, z)) = (found, OLDEST);
    Err(Error::new(ErrorKind::NotSupported, format!("use libusb {a}.{b}.{c} ({x}.{y}.{z} or newer is needed)")))
}

impl Bus for LibusbBus {
    fn name(&self) -> &str {
        "libusb"
    }

    /// Through a context that is made for it and dropped: its list is read from sysfs there and then, so it does
    /// not depend on hotplug events having come through.
    fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        let failed = |error| status::failed(status::code(error), "list USB devices");
        let context = match Context::new() {
            Ok(context) => context,
            Err(_) if !sysfs::has_usb() => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut list = Vec::new();
        for device in describe::devices(&context).map_err(failed)? {
            match describe::info(&device) {
                Ok(info) if info.descriptor.class == HUB => {}
                Ok(info) => list.push(info),
                Err(error) => log::warn!("the device at {} can't be described: {error}", describe::location(&device)),
            }
        }
        list.sort_by(|a, b| a.location.cmp(&b.location));
        let kinds = list.iter().map(|i| (i.location.clone(), (i.descriptor.vendor, i.descriptor.product)));
        *self.listed.lock() = kinds.collect();
        Ok(list)
    }

    fn descriptors(&self, location: &Location) -> Option<Vec<u8>> {
        sysfs::descriptors(location)
    }

    /// Waits up to two seconds when the device has just arrived and udev has not given it its rights yet.
    fn open(&self, location: &Location) -> Result<Box<dyn Device>, Error> {
        let known = self.listed.lock().get(location).copied();
        Ok(Box::new(open::open(location, known)?))
    }

    fn watch(&self, notify: Sender<()>) -> Result<Box<dyn Watch>, Error> {
        Ok(Box::new(hotplug::watch(notify)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_libusb_that_mishandles_cancels_is_refused() {
        assert!(check_version((1, 0, 26)).is_ok());
        assert!(check_version((1, 0, 27)).is_ok());
        let error = check_version((1, 0, 25)).expect_err("too old");
        assert_eq!(error.kind, ErrorKind::NotSupported);
        assert!(error.to_string().contains("1.0.26"), "{error}");
    }

    #[test]
    fn a_machine_without_usb_lists_nothing_and_opens_nothing() {
        if sysfs::has_usb() {
            println!("left out: this machine has USB");
            return;
        }
        let bus = LibusbBus::new().expect("no USB is no error");
        assert_eq!(bus.list(), Ok(Vec::new()));
        let place = Location { bus: 1, address: 2, ports: vec![1] };
        assert_eq!(bus.open(&place).err().map(|error| error.kind), Some(ErrorKind::NoDevice));
        // libusb's own backend refuses; one that listens to udev would hear of a controller that comes later.
        let refused = bus.watch(crossbeam_channel::bounded(1).0).err().map(|error| error.kind);
        assert!(matches!(refused, None | Some(ErrorKind::NotSupported)), "{refused:?}");
    }
}

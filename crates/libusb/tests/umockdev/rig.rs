//! The contract's rig over the test bed: real libusb, a fake usbfs, a virtual device.

use usbscan_libusb::LibusbBus;
use usbscan_usb::contract::Rig;
use usbscan_usb::{Bus, Location};
use usbscan_virtual::{Loopback, Model};

use crate::testbed::{Plugged, Testbed};
use crate::usbfs::Usbfs;

/// Real libusb over the test bed. Dropping it unplugs, and fails where a rule of the kernel's was broken.
pub struct UmockdevRig<'a> {
    testbed: &'a Testbed,
    bus: LibusbBus,
    plugged: Vec<Plugged>,
}

impl<'a> UmockdevRig<'a> {
    pub fn new(testbed: &'a Testbed) -> UmockdevRig<'a> {
        UmockdevRig { testbed, bus: LibusbBus::new().expect("libusb is new enough"), plugged: Vec::new() }
    }

    /// Plugs another device in.
    pub fn plug_model(&mut self, model: Box<dyn Model>) -> Location {
        let port = 1 + self.plugged.len() as u8;
        let plugged = self.testbed.plug(port, model);
        let location = plugged.location.clone();
        self.plugged.push(plugged);
        location
    }

    /// Plugs another device in where one has been, under the same address: as after 126 others.
    pub fn replug_at(&mut self, location: &Location, model: Box<dyn Model>) {
        self.plugged.push(self.testbed.plug_as(location.ports[0], location.address, model));
    }

    /// Takes away the node of the device that was plugged in last; the answer makes it again.
    pub fn hide_node(&self) -> impl FnOnce() + Send + 'static {
        self.testbed.hide_node(self.plugged.last().expect("something is plugged in"))
    }

    /// The kernel's side of the device that was plugged in last.
    pub fn usbfs(&self) -> &Usbfs {
        &self.plugged.last().expect("something is plugged in").usbfs
    }
}

impl Rig for UmockdevRig<'_> {
    fn bus(&self) -> &dyn Bus {
        &self.bus
    }

    fn plug(&mut self) -> Location {
        self.plug_model(Box::new(Loopback::new()))
    }

    fn unplug(&mut self) {
        let plugged = self.plugged.pop().expect("something is plugged in");
        assert_eq!(plugged.usbfs.broken_rules(), [""; 0], "rules of the kernel's");
        self.testbed.unplug(plugged);
    }

    fn rounds(&self) -> u32 {
        4000
    }
}

impl Drop for UmockdevRig<'_> {
    fn drop(&mut self) {
        for plugged in std::mem::take(&mut self.plugged) {
            let broken = plugged.usbfs.broken_rules();
            self.testbed.unplug(plugged);
            if !std::thread::panicking() {
                assert_eq!(broken, [""; 0], "rules of the kernel's");
            }
        }
    }
}

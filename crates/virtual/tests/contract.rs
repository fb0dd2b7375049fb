//! The bus contract on the in-process bus.

use usbscan_usb::contract::Rig;
use usbscan_usb::{Bus, Location};
use usbscan_virtual::{Loopback, VirtualBus};

#[derive(Default)]
struct InProcess {
    bus: VirtualBus,
    plugged: Option<Location>,
}

impl Rig for InProcess {
    fn bus(&self) -> &dyn Bus {
        &self.bus
    }

    fn plug(&mut self) -> Location {
        let location = self.bus.plug(Box::new(Loopback::new()));
        self.plugged = Some(location.clone());
        location
    }

    fn unplug(&mut self) {
        let location = self.plugged.take().expect("something is plugged in");
        assert!(self.bus.unplug(&location));
    }

    fn rounds(&self) -> u32 {
        10_000
    }
}

usbscan_usb::contract_tests!(InProcess::default());

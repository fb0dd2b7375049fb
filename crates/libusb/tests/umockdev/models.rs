//! The loopback with other descriptors or manners, for claims that the plain one can't show.

use std::time::Instant;

use usbscan_usb::{EndpointAddress, InterfaceNumber, Setup};
use usbscan_virtual::{Control, Descriptors, In, Loopback, Model, Out, Unlink};

/// A loopback that was changed.
pub struct Changed {
    inner: Loopback,
    descriptors: Descriptors,
    unlink: Unlink,
}

impl Changed {
    fn new(change: impl FnOnce(&mut Descriptors), unlink: Unlink) -> Box<Changed> {
        let inner = Loopback::new();
        let mut descriptors = inner.descriptors().clone();
        change(&mut descriptors);
        Box::new(Changed { inner, descriptors, unlink })
    }

    /// Whose host controller never gives a cancelled transfer back.
    pub fn host_stuck() -> Box<Changed> {
        Changed::new(|_| (), Unlink::Never)
    }

    /// Whose interface has a second alternate setting, with the bulk endpoints only.
    pub fn with_two_settings() -> Box<Changed> {
        Changed::new(
            |descriptors| {
                let mut second = descriptors.configuration.interfaces[0].clone();
                second.alternate = 1;
                second.endpoints.truncate(2);
                descriptors.configuration.interfaces.push(second);
            },
            Unlink::Prompt,
        )
    }

    /// With a printer beside the scanner, on interface 1.
    pub fn with_a_printer() -> Box<Changed> {
        Changed::new(
            |descriptors| {
                let mut printer = descriptors.configuration.interfaces[0].clone();
                printer.number = InterfaceNumber(1);
                (printer.class, printer.subclass, printer.protocol) = (7, 1, 2);
                printer.endpoints.truncate(1);
                printer.endpoints[0].address = EndpointAddress(0x84);
                descriptors.configuration.interfaces.push(printer);
            },
            Unlink::Prompt,
        )
    }

    /// Another product.
    pub fn with_product(product: u16) -> Box<Changed> {
        Changed::new(|descriptors| descriptors.device.product = usbscan_usb::ProductId(product), Unlink::Prompt)
    }
}

impl Model for Changed {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control(&mut self, now: Instant, setup: Setup, data: &[u8]) -> Control {
        self.inner.control(now, setup, data)
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        self.inner.bulk_out(now, endpoint, packet)
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        self.inner.bulk_in(now, endpoint, buffer)
    }

    fn interrupt_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        self.inner.interrupt_in(now, endpoint, buffer)
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) {
        self.inner.clear_halt(endpoint);
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn unlink(&self) -> Unlink {
        self.unlink
    }
}

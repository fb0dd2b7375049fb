//! An open device: claims, endpoints, reset, and its end. It runs on its owner's thread; calls that talk to
//! the kernel may take as long as the device's lock is held there (5 s at most, behind a hung request).

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use rusb::{Context, DeviceHandle};
use usbscan_usb::{
    Completion, Device, DeviceInfo, Endpoint, EndpointAddress, Error, ErrorKind, Holder, InterfaceNumber, TransferType,
};

use crate::claims::{Claims, settings};
use crate::close::{self, OpenParts};
use crate::context::EventThread;
use crate::endpoint::{DeviceShared, LibusbEndpoint, max_packet_size_0};
use crate::open_handle::OpenHandle;
use crate::transfer::TransferKind;
use crate::{capabilities, holder, status, sysfs};

/// What a device that is dropped without [`Device::close`] gets.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);

/// A device opened through libusb, with a context and an event thread of its own.
#[derive(Debug)]
pub(crate) struct LibusbDevice {
    shared: Arc<DeviceShared>,
    /// `None` only while it is being closed.
    parts: Option<OpenParts>,
}

impl LibusbDevice {
    /// Takes over a handle that was just opened in a context of its own.
    pub(crate) fn new(
        info: DeviceInfo,
        context: Context,
        handle: DeviceHandle<Context>,
    ) -> Result<LibusbDevice, Error> {
        if let Err(error) = handle.set_auto_detach_kernel_driver(true) {
            log::debug!("{} has no automatic detaching of kernel drivers: {error}", info.label());
        }
        let bulk = capabilities::of(&info.location);
        let events = EventThread::start(context.clone(), format!("usb {}", info.location))?;
        let open_handle = OpenHandle::new(handle.as_raw());
        let shared = Arc::new(DeviceShared { info, open_handle, claims: Claims::default(), bulk });
        Ok(LibusbDevice { shared, parts: Some(OpenParts { handle, events, context }) })
    }

    fn handle(&self) -> &DeviceHandle<Context> {
        &self.parts.as_ref().expect("only closing takes it, and that takes the device").handle
    }

    fn failed(&self, error: rusb::Error, tried: &str) -> Error {
        let code = status::code(error);
        self.shared.error(status::kind(code), tried).with_code(code)
    }

    fn configuration(&self) -> u8 {
        self.shared.info.configuration.as_ref().map_or(0, |configuration| configuration.value)
    }

    fn holder(&self, interface: InterfaceNumber) -> Holder {
        holder::of_interface(&self.shared.info.location, self.configuration(), interface)
    }

    /// Who else would lose their interface to a reset.
    fn bystander(&self) -> Option<Holder> {
        let info = &self.shared.info;
        let mut others: Vec<InterfaceNumber> =
            info.configuration.iter().flat_map(|c| &c.interfaces).map(|i| i.number).collect();
        others.retain(|interface| !self.shared.claims.contains(*interface));
        others
            .into_iter()
            .find(|interface| sysfs::driver(&info.location, self.configuration(), *interface).is_some())
            .map(|interface| self.holder(interface))
    }
}

impl Device for LibusbDevice {
    fn info(&self) -> &DeviceInfo {
        &self.shared.info
    }

    fn claim(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        let tried = format!("claim interface {interface}");
        let shared = &self.shared;
        if settings(&shared.info, interface).is_empty() {
            return Err(shared.error(ErrorKind::NotFound, &tried));
        }
        if shared.claims.contains(interface) {
            return Ok(());
        }
        if holder::is_printing(&shared.info.location, self.configuration(), interface) {
            return Err(shared.error(ErrorKind::Busy(Holder::Printing), &tried));
        }
        match self.handle().claim_interface(interface.0) {
            Ok(()) => {}
            Err(error @ rusb::Error::Busy) => {
                let busy = ErrorKind::Busy(self.holder(interface));
                return Err(shared.error(busy, &tried).with_code(status::code(error)));
            }
            Err(error) => return Err(self.failed(error, &tried)),
        }
        let alternate = sysfs::alternate(&shared.info.location, self.configuration(), interface).unwrap_or(0);
        shared.claims.insert(interface, alternate);
        Ok(())
    }

    fn release(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        let tried = format!("release interface {interface}");
        let shared = &self.shared;
        if !shared.claims.contains(interface) {
            return Err(shared.error(ErrorKind::NotFound, &tried));
        }
        let concerned: Vec<EndpointAddress> =
            settings(&shared.info, interface).into_iter().flat_map(|s| &s.endpoints).map(|e| e.address).collect();
        let alone = shared
            .open_handle
            .enter_exclusive(|in_flight| in_flight.is_control() || concerned.contains(&in_flight))
            .map_err(|refusal| shared.refused(refusal, &tried))?;
        let released = self.handle().release_interface(interface.0);
        drop(alone);
        shared.claims.remove(interface);
        match released {
            Ok(()) | Err(rusb::Error::NotFound) => Ok(()),
            Err(error) => Err(self.failed(error, &tried)),
        }
    }

    fn alternate(&self, interface: InterfaceNumber) -> u8 {
        self.shared.claims.alternate(interface).unwrap_or(0)
    }

    fn endpoint(
        &mut self,
        address: EndpointAddress,
        completions: Sender<Completion>,
    ) -> Result<Box<dyn Endpoint>, Error> {
        let shared = &self.shared;
        let error = |kind| Err(shared.error(kind, &format!("use endpoint {address}")));
        if completions.capacity().is_some() {
            // A full channel would make the event thread wait, and with it every transfer of the device.
            return error(ErrorKind::InvalidParameter);
        }
        let (kind, max_packet_size) = if address.is_control() {
            (TransferKind::Control, max_packet_size_0(&shared.info))
        } else {
            let Some(found) = shared.claims.endpoint(&shared.info, address) else { return error(ErrorKind::NotFound) };
            let kind = match found.transfer_type {
                TransferType::Bulk => TransferKind::Bulk,
                TransferType::Interrupt => TransferKind::Interrupt,
                TransferType::Control | TransferType::Isochronous => return error(ErrorKind::NotSupported),
            };
            (kind, usize::from(found.max_packet_size))
        };
        Ok(Box::new(LibusbEndpoint::new(shared.clone(), address, kind, max_packet_size, completions)))
    }

    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) -> Result<(), Error> {
        let tried = format!("choose alternate setting {alternate} of interface {interface}");
        let shared = &self.shared;
        let settings = settings(&shared.info, interface);
        let exists = settings.iter().any(|setting| setting.alternate == alternate);
        if !exists || !shared.claims.contains(interface) {
            return Err(shared.error(ErrorKind::NotFound, &tried));
        }
        let concerned: Vec<EndpointAddress> =
            settings.iter().flat_map(|setting| &setting.endpoints).map(|endpoint| endpoint.address).collect();
        let alone = shared
            .open_handle
            .enter_exclusive(|in_flight| in_flight.is_control() || concerned.contains(&in_flight))
            .map_err(|refusal| shared.refused(refusal, &tried))?;
        let chosen = self.handle().set_alternate_setting(interface.0, alternate);
        drop(alone);
        chosen.map_err(|error| self.failed(error, &tried))?;
        shared.claims.insert(interface, alternate);
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Error> {
        let tried = "reset the port";
        let shared = &self.shared;
        let alone = shared.open_handle.enter_exclusive(|_| true).map_err(|refusal| shared.refused(refusal, tried))?;
        if let Some(holder) = self.bystander() {
            return Err(shared.error(ErrorKind::Busy(holder), tried));
        }
        let done = self.handle().reset();
        match done {
            Ok(()) => {
                shared.claims.back_to_first_settings();
                Ok(())
            }
            Err(error @ (rusb::Error::NotFound | rusb::Error::NoDevice)) => {
                // It came back as another device, or not at all, or another program took its interface meanwhile: this
                // handle is good for nothing, and a submit through it would claim behind our back.
                shared.open_handle.close();
                drop(alone);
                Err(shared.error(ErrorKind::NoDevice, tried).with_code(status::code(error)))
            }
            Err(error) => Err(self.failed(error, tried)),
        }
    }

    fn close(mut self: Box<Self>, timeout: Duration) -> Result<(), Error> {
        let parts = self.parts.take().expect("closing happens once");
        close::close(parts, &self.shared, timeout)
    }
}

impl Drop for LibusbDevice {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        log::warn!("{} is dropped without being closed", self.shared.info.label());
        // What goes wrong there has been logged there.
        let _ = close::close(parts, &self.shared, DROP_TIMEOUT);
    }
}

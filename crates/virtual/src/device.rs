//! An open virtual device and its endpoints. The device's [`Port`] thread gives transfers back;
//! here is who they belong to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};
use usbscan_usb::{
    Buffer, Cancel, Completion, Device, DeviceInfo, Endpoint, EndpointAddress, Error, ErrorKind, Holder,
    InterfaceDescriptor, InterfaceNumber, Rejected, Setup, Token,
};

use crate::{Completed, Event, Model, Moved, Port, Unplugged, Urb, UrbId};

/// What all transfers in flight may hold together, as Linux's `usbfs_memory_mb` has it by default.
pub const TRANSFER_MEMORY: usize = 16 << 20;

/// One transfer in flight: whose it is.
#[derive(Debug)]
struct Route {
    device: u64,
    endpoint: u64,
    token: Token,
    cancel_asked: bool,
    completions: Sender<Completion>,
}

/// The transfers in flight on one plugged device, and where their completions go.
#[derive(Debug)]
struct Routes {
    in_flight: Mutex<HashMap<UrbId, Route>>,
    returned: Condvar,
    memory: Arc<AtomicUsize>,
}

impl Routes {
    /// Runs on the port's thread.
    fn deliver(&self, given: Completed) {
        let Completed { id, buffer, actual, status, .. } = given;
        self.memory.fetch_sub(buffer.len(), Ordering::Relaxed);
        let route = self.in_flight.lock().remove(&id);
        if let Some(route) = route {
            // Nobody may be listening any more; then the bytes go nowhere, as the seam says.
            let _ = route.completions.send(Completion { token: route.token, buffer, actual, status });
        }
        self.returned.notify_all();
    }
}

/// Who has claimed what on one device.
#[derive(Debug, Default)]
struct Claims {
    ours: HashMap<InterfaceNumber, u64>,
    foreign: HashMap<InterfaceNumber, Holder>,
    alternates: HashMap<InterfaceNumber, u8>,
    times_chosen: u64,
}

/// A plugged device, shared by the bus and by everyone who has it open.
#[derive(Debug)]
pub(crate) struct Slot {
    port: Port,
    routes: Arc<Routes>,
    claims: Mutex<Claims>,
    ids: AtomicU64,
}

impl Slot {
    /// `left` runs once, on the port's thread, after the device is gone; with the device if it has only moved.
    pub(crate) fn plug(
        name: &str,
        model: Box<dyn Model>,
        memory: Arc<AtomicUsize>,
        left: impl Fn(Option<Moved>) + Send + 'static,
    ) -> Arc<Slot> {
        let routes = Arc::new(Routes { in_flight: Mutex::default(), returned: Condvar::new(), memory });
        let sink_routes = routes.clone();
        let port = Port::plug(name, model, move |event| match event {
            Event::Completed(given) => sink_routes.deliver(given),
            Event::Unplugged => left(None),
            Event::Moved(moved) => left(Some(moved)),
        });
        Arc::new(Slot { port, routes, claims: Mutex::default(), ids: AtomicU64::new(1) })
    }

    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    pub(crate) fn set_foreign_holder(&self, interface: InterfaceNumber, holder: Option<Holder>) {
        let foreign = &mut self.claims.lock().foreign;
        match holder {
            Some(holder) => foreign.insert(interface, holder),
            None => foreign.remove(&interface),
        };
    }

    pub(crate) fn times_chosen(&self) -> u64 {
        self.claims.lock().times_chosen
    }

    /// Of these settings of interfaces, those in which the interfaces are.
    fn active<'a>(&self, settings: &'a [InterfaceDescriptor]) -> Vec<&'a InterfaceDescriptor> {
        let alternates = &self.claims.lock().alternates;
        let is_active = |i: &&InterfaceDescriptor| i.alternate == alternates.get(&i.number).copied().unwrap_or(0);
        settings.iter().filter(is_active).collect()
    }

    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks for every transfer that `whose` picks, newest first.
    fn cancel_all(&self, whose: impl Fn(&Route) -> bool) {
        let mut ids: Vec<UrbId> = Vec::new();
        for (id, route) in self.routes.in_flight.lock().iter_mut().filter(|(_, route)| whose(route)) {
            route.cancel_asked = true;
            ids.push(*id);
        }
        ids.sort_unstable();
        for id in ids.into_iter().rev() {
            self.port.cancel(id);
        }
    }
}

#[derive(Debug)]
pub(crate) struct OpenDevice {
    info: DeviceInfo,
    slot: Arc<Slot>,
    id: u64,
}

impl OpenDevice {
    pub(crate) fn new(info: DeviceInfo, slot: Arc<Slot>) -> OpenDevice {
        let id = slot.next_id();
        OpenDevice { info, slot, id }
    }

    fn error(&self, kind: ErrorKind, tried: &str) -> Error {
        Error::new(kind, format!("{tried} of {}", self.info.label()))
    }

    fn interfaces(&self) -> &[InterfaceDescriptor] {
        self.info.configuration.as_ref().map_or(&[], |c| &c.interfaces)
    }

    fn has_claimed(&self, interface: InterfaceNumber) -> bool {
        self.slot.claims.lock().ours.get(&interface) == Some(&self.id)
    }

    /// Transfers are asked back, interfaces become free. Harmless when done twice.
    fn release_all(&self) {
        self.slot.cancel_all(|route| route.device == self.id);
        self.slot.claims.lock().ours.retain(|_, holder| *holder != self.id);
    }
}

impl Device for OpenDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn claim(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        let tried = format!("claim interface {interface}");
        if self.slot.port.is_gone() {
            return Err(self.error(ErrorKind::NoDevice, &tried));
        }
        if self.interfaces().iter().all(|i| i.number != interface) {
            return Err(self.error(ErrorKind::NotFound, &tried));
        }
        let mut claims = self.slot.claims.lock();
        if let Some(holder) = claims.foreign.get(&interface) {
            return Err(self.error(ErrorKind::Busy(holder.clone()), &tried));
        }
        match claims.ours.get(&interface) {
            Some(holder) if *holder != self.id => {
                Err(self.error(ErrorKind::Busy(Holder::Program { pid: std::process::id(), name: own_name() }), &tried))
            }
            _ => {
                claims.ours.insert(interface, self.id);
                Ok(())
            }
        }
    }

    fn release(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        let tried = format!("release interface {interface}");
        if !self.has_claimed(interface) {
            return Err(self.error(ErrorKind::NotFound, &tried));
        }
        if self.alternate(interface) != 0 {
            // As Linux does. A device that is gone has nothing to give back.
            let _ = self.slot.port.set_alternate(interface, 0);
        }
        let mut claims = self.slot.claims.lock();
        claims.ours.remove(&interface);
        claims.alternates.remove(&interface);
        Ok(())
    }

    fn alternate(&self, interface: InterfaceNumber) -> u8 {
        self.slot.claims.lock().alternates.get(&interface).copied().unwrap_or(0)
    }

    fn endpoint(
        &mut self,
        address: EndpointAddress,
        completions: Sender<Completion>,
    ) -> Result<Box<dyn Endpoint>, Error> {
        let packet = if address.is_control() {
            Some(usize::from(self.info.descriptor.max_packet_size_0))
        } else {
            let active = self.slot.active(self.interfaces());
            let claimed = active.into_iter().filter(|i| self.has_claimed(i.number));
            let found = claimed.flat_map(|i| &i.endpoints).find(|e| e.address == address);
            found.map(|e| usize::from(e.max_packet_size))
        };
        let tried = format!("use endpoint {address}");
        let max_packet_size = packet.ok_or_else(|| self.error(ErrorKind::NotFound, &tried))?;
        Ok(Box::new(OpenEndpoint {
            label: format!("endpoint {address} of {}", self.info.label()),
            address,
            max_packet_size,
            id: self.slot.next_id(),
            device: self.id,
            slot: self.slot.clone(),
            settings: self.interfaces().to_vec(),
            completions,
        }))
    }

    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) -> Result<(), Error> {
        let tried = format!("choose alternate setting {alternate} of interface {interface}");
        let of_interface = |i: &&InterfaceDescriptor| i.number == interface;
        let exists = self.interfaces().iter().filter(of_interface).any(|i| i.alternate == alternate);
        if !exists || !self.has_claimed(interface) {
            return Err(self.error(ErrorKind::NotFound, &tried));
        }
        let gone = |Unplugged| self.error(ErrorKind::NoDevice, &tried);
        self.slot.port.set_alternate(interface, alternate).map_err(gone)?;
        let mut claims = self.slot.claims.lock();
        claims.alternates.insert(interface, alternate);
        claims.times_chosen += 1;
        Ok(())
    }

    /// As with Linux and libusb, which gives interfaces back for a reset and claims them again: they are in setting 0 then.
    fn reset(&mut self) -> Result<(), Error> {
        let done = self.slot.port.reset().map_err(|Unplugged| self.error(ErrorKind::NoDevice, "reset the port"));
        self.slot.claims.lock().alternates.clear();
        done
    }

    fn close(self: Box<Self>, timeout: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        self.slot.cancel_all(|route| route.device == self.id);
        let routes = &self.slot.routes;
        let mut in_flight = routes.in_flight.lock();
        let owed = |in_flight: &mut HashMap<UrbId, Route>| in_flight.values().any(|route| route.device == self.id);
        let waited = routes.returned.wait_while_until(&mut in_flight, owed, deadline);
        if waited.timed_out() && owed(&mut in_flight) {
            return Err(self.error(ErrorKind::HostStuck, "get all transfers back"));
        }
        Ok(())
    }
}

impl Drop for OpenDevice {
    fn drop(&mut self) {
        self.release_all();
    }
}

/// An endpoint of an open device.
#[derive(Debug)]
struct OpenEndpoint {
    label: String,
    address: EndpointAddress,
    max_packet_size: usize,
    id: u64,
    device: u64,
    slot: Arc<Slot>,
    /// All settings of the device's interfaces: an endpoint can be used while its own is chosen.
    settings: Vec<InterfaceDescriptor>,
    completions: Sender<Completion>,
}

impl OpenEndpoint {
    /// Why Linux would refuse this transfer, if it would.
    fn refusal(&self, buffer: &Buffer) -> Option<ErrorKind> {
        if self.slot.port.is_gone() {
            return Some(ErrorKind::NoDevice);
        }
        if self.address.is_control() {
            let setup = buffer.as_slice().and_then(|bytes| bytes.first_chunk()).map(|head| Setup::from_bytes(*head));
            let fits = |s: Setup| s.length <= Setup::MAX_DATA && buffer.len() == Setup::BYTES + usize::from(s.length);
            if !setup.is_some_and(fits) {
                return Some(ErrorKind::InvalidParameter);
            }
            return None;
        }
        let active = self.slot.active(&self.settings);
        let is_there = active.iter().flat_map(|i| &i.endpoints).any(|e| e.address == self.address);
        (!is_there).then_some(ErrorKind::NotFound)
    }

    fn reserve(&self, bytes: usize) -> bool {
        let memory = &self.slot.routes.memory;
        let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= TRANSFER_MEMORY);
        memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }
}

impl Endpoint for OpenEndpoint {
    fn address(&self) -> EndpointAddress {
        self.address
    }

    fn max_packet_size(&self) -> usize {
        self.max_packet_size
    }

    fn submit(&mut self, token: Token, buffer: Buffer) -> Result<(), Rejected> {
        let rejected =
            |kind, buffer| Err(Rejected { error: Error::new(kind, format!("submit to {}", self.label)), buffer });
        if let Some(kind) = self.refusal(&buffer) {
            return rejected(kind, buffer);
        }
        let id = UrbId(self.slot.next_id());
        let route = Route {
            device: self.device,
            endpoint: self.id,
            token,
            cancel_asked: false,
            completions: self.completions.clone(),
        };
        let mut in_flight = self.slot.routes.in_flight.lock();
        if in_flight.values().any(|r| r.endpoint == self.id && r.token == token) {
            return rejected(ErrorKind::InvalidParameter, buffer);
        }
        if !self.reserve(buffer.len()) {
            return rejected(ErrorKind::NoResources, buffer);
        }
        in_flight.insert(id, route);
        drop(in_flight);
        self.slot.port.submit(Urb { id, endpoint: self.address, buffer });
        Ok(())
    }

    fn cancel(&mut self, token: Token) -> Cancel {
        let mut in_flight = self.slot.routes.in_flight.lock();
        let mine = |r: &Route| r.endpoint == self.id && r.token == token && !r.cancel_asked;
        let Some((id, route)) = in_flight.iter_mut().find(|(_, route)| mine(route)) else {
            return Cancel::NotInFlight;
        };
        route.cancel_asked = true;
        let id = *id;
        drop(in_flight);
        if self.slot.port.is_gone() {
            return Cancel::NoDevice;
        }
        self.slot.port.cancel(id);
        Cancel::Asked
    }

    fn clear_halt(&mut self) -> Result<(), Error> {
        let error = |Unplugged| Error::new(ErrorKind::NoDevice, format!("clear the halt of {}", self.label));
        self.slot.port.clear_halt(self.address).map_err(error)
    }
}

impl Drop for OpenEndpoint {
    fn drop(&mut self) {
        self.slot.cancel_all(|route| route.endpoint == self.id);
    }
}

/// This program's name, as the kernel has it.
fn own_name() -> String {
    let comm = std::fs::read_to_string("/proc/self/comm");
    comm.map_or_else(|_| "this program".to_owned(), |name| name.trim_end().to_owned())
}

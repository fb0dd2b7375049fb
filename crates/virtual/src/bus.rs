//! A USB host inside this process, with models of devices plugged into it: the seam's second implementation.
//!
//! Any thread may plug, unplug and list. The devices run on their own threads (see [`crate::Port`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use crossbeam_channel::Sender;
use parking_lot::Mutex;
use usbscan_usb::{Access, Bus, Device, DeviceInfo, Error, ErrorKind, Holder, InterfaceNumber, Location, Watch};

use crate::device::{OpenDevice, Slot};
use crate::{Model, Moved, SpecError, spec};

/// The bus number of every virtual bus: far above those that Linux gives to real ones.
pub const BUS_NUMBER: u8 = 200;

/// A USB host with virtual devices. Clones are the same bus.
///
/// ```
/// use usbscan_usb::Bus;
/// use usbscan_virtual::VirtualBus;
///
/// let bus = VirtualBus::new();
/// let location = bus.plug_spec("loopback").unwrap();
/// assert_eq!(bus.list().unwrap()[0].product.as_deref(), Some("Loopback"));
/// bus.unplug(&location);
/// assert!(bus.list().unwrap().is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct VirtualBus {
    host: Arc<Host>,
}

#[derive(Debug, Default)]
struct Host {
    state: Mutex<BusState>,
    /// Bytes of all buffers in flight.
    memory: Arc<AtomicUsize>,
    ids: AtomicU64,
}

#[derive(Debug, Default)]
struct BusState {
    devices: Vec<Plugged>,
    watchers: HashMap<u64, Sender<()>>,
    last_address: u8,
}

#[derive(Debug)]
struct Plugged {
    id: u64,
    info: DeviceInfo,
    /// Whether the host has put it in its configuration yet.
    configured: bool,
    slot: Arc<Slot>,
}

impl Plugged {
    /// The device as it is listed now.
    fn shown(&self) -> DeviceInfo {
        let configuration = self.info.configuration.clone().filter(|_| self.configured);
        DeviceInfo { configuration, ..self.info.clone() }
    }
}

impl VirtualBus {
    /// A bus with nothing plugged in.
    pub fn new() -> VirtualBus {
        VirtualBus::default()
    }

    /// Plugs a device into the lowest free port. Its address is one that no device had lately.
    pub fn plug(&self, model: Box<dyn Model>) -> Location {
        self.plug_at(self.free_port(), model)
    }

    fn free_port(&self) -> u8 {
        let taken: Vec<u8> = self.host.state.lock().devices.iter().map(|d| d.info.location.ports[0]).collect();
        (1..=u8::MAX).find(|port| !taken.contains(port)).unwrap_or(u8::MAX)
    }

    /// Plugs a device into this port, as one replugs a scanner into the same socket. What was there is unplugged.
    pub fn plug_at(&self, port: u8, model: Box<dyn Model>) -> Location {
        self.plug_with(port, model, None, true)
    }

    /// Plugs a device in that is listed without a configuration until [`VirtualBus::configure`]: Linux announces a device
    /// before it has configured it, and says nothing when it has.
    pub fn plug_unconfigured(&self, model: Box<dyn Model>) -> Location {
        self.plug_with(self.free_port(), model, None, false)
    }

    /// Puts the device at `location` in its configuration; no watch hears of that. Returns whether there is one.
    pub fn configure(&self, location: &Location) -> bool {
        let mut state = self.host.state.lock();
        let device = state.devices.iter_mut().find(|d| d.info.location == *location);
        device.map(|d| d.configured = true).is_some()
    }

    /// `back_again` describes what is plugged in there when this one leaves by itself.
    fn plug_with(&self, port: u8, model: Box<dyn Model>, back_again: Option<String>, configured: bool) -> Location {
        let mut state = self.host.state.lock();
        let replaced = state.remove(|d| d.info.location.ports == [port]);
        let location = Location { bus: BUS_NUMBER, address: state.next_address(), ports: vec![port] };
        let descriptors = model.descriptors().clone();
        let info = DeviceInfo {
            location: location.clone(),
            speed: descriptors.speed,
            descriptor: descriptors.device,
            configuration: Some(descriptors.configuration),
            manufacturer: Some(descriptors.manufacturer),
            product: Some(descriptors.product),
            serial: descriptors.serial,
            access: Access::Granted,
        };
        let id = self.host.ids.fetch_add(1, Ordering::Relaxed);
        let host = Arc::downgrade(&self.host);
        let left = move |moved: Option<Moved>| {
            let Some(forgotten) = Host::forget(&host, id) else { return };
            match moved {
                Some(moved) => come_back(forgotten, port, moved, back_again.clone()),
                None => VirtualBus { host: forgotten }.plug_back(port, back_again.as_deref()),
            }
        };
        let slot = Slot::plug(&location.port_path(), model, self.host.memory.clone(), left);
        state.devices.push(Plugged { id, info, configured, slot });
        state.notify();
        drop(state);
        if let Some(replaced) = replaced {
            replaced.slot.port().unplug();
        }
        location
    }

    /// Plugs in what `spec` describes, see [`crate::spec`].
    ///
    /// # Errors
    /// When it describes nothing that can be built.
    pub fn plug_spec(&self, spec: &str) -> Result<Location, SpecError> {
        Ok(self.plug_with(self.free_port(), spec::parse(spec)?, spec::back_again(spec), true))
    }

    fn plug_back(&self, port: u8, spec: Option<&str>) {
        let Some(spec) = spec else { return };
        match spec::parse(spec) {
            Ok(model) => drop(self.plug_with(port, model, spec::back_again(spec), true)),
            // What it is made of was a file that is not there any more.
            Err(error) => log::warn!("the virtual scanner {spec} does not come back: {error}"),
        }
    }

    /// Pulls the device at `location` out. It is not listed any more when this returns; its transfers
    /// come back as "no device" soon after. Returns whether there was one.
    pub fn unplug(&self, location: &Location) -> bool {
        let mut state = self.host.state.lock();
        let Some(pulled) = state.remove(|d| d.info.location == *location) else { return false };
        state.notify();
        drop(state);
        pulled.slot.port().unplug();
        true
    }

    /// Says whether this process may open the device at `location`. Returns whether there is one.
    pub fn set_access(&self, location: &Location, access: Access) -> bool {
        let mut state = self.host.state.lock();
        let device = state.devices.iter_mut().find(|d| d.info.location == *location);
        device.map(|d| d.info.access = access).is_some()
    }

    /// Makes an interface look claimed by another program (`Some`), or free again (`None`). Returns
    /// whether there is such a device.
    pub fn set_holder(&self, location: &Location, interface: InterfaceNumber, holder: Option<Holder>) -> bool {
        let state = self.host.state.lock();
        let device = state.devices.iter().find(|d| d.info.location == *location);
        device.map(|d| d.slot.set_foreign_holder(interface, holder)).is_some()
    }

    /// How often an alternate setting of the device at `location` was chosen, the current one included.
    pub fn times_chosen(&self, location: &Location) -> Option<u64> {
        let state = self.host.state.lock();
        state.devices.iter().find(|d| d.info.location == *location).map(|d| d.slot.times_chosen())
    }
}

/// Plugs a device that has left in a port reset in again. It is away for a time of its own, on a thread of its own: this one
/// belongs to the port that it has left. Where nobody has the bus any more by then, it stays away.
fn come_back(host: Arc<Host>, port: u8, moved: Moved, back_again: Option<String>) {
    if moved.away.is_zero() {
        VirtualBus { host }.plug_with(port, moved.model, back_again, true);
        return;
    }
    let host = Arc::downgrade(&host);
    let away = thread::Builder::new().name("virtual away".to_owned()).spawn(move || {
        thread::sleep(moved.away);
        if let Some(host) = host.upgrade() {
            VirtualBus { host }.plug_with(port, moved.model, back_again, true);
        }
    });
    if let Err(error) = away {
        log::error!("a virtual scanner does not come back: {error}");
    }
}

impl Host {
    /// A device left by itself; `None` where it had been pulled out, or the whole bus is gone.
    fn forget(host: &Weak<Host>, id: u64) -> Option<Arc<Host>> {
        let host = host.upgrade()?;
        let mut state = host.state.lock();
        let gone = state.remove(|d| d.id == id);
        if gone.is_some() {
            state.notify();
        }
        drop(state);
        gone.map(|_| host)
    }
}

impl BusState {
    /// Takes a device off the list. Drop it without the lock: that joins its thread.
    fn remove(&mut self, which: impl Fn(&Plugged) -> bool) -> Option<Plugged> {
        let at = self.devices.iter().position(which)?;
        Some(self.devices.remove(at))
    }

    /// Counts up through 1..=127, past those in use.
    fn next_address(&mut self) -> u8 {
        for _ in 0..127 {
            self.last_address = self.last_address % 127 + 1;
            if self.devices.iter().all(|d| d.info.location.address != self.last_address) {
                break;
            }
        }
        self.last_address
    }

    fn notify(&self) {
        for watcher in self.watchers.values() {
            // Full: the watcher has a notification waiting already.
            let _ = watcher.try_send(());
        }
    }
}

impl Bus for VirtualBus {
    fn name(&self) -> &str {
        "virtual"
    }

    fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        let state = self.host.state.lock();
        Ok(state.devices.iter().map(Plugged::shown).collect())
    }

    fn descriptors(&self, location: &Location) -> Option<Vec<u8>> {
        let state = self.host.state.lock();
        let device = state.devices.iter().find(|d| d.info.location == *location)?;
        let mut bytes = device.info.descriptor.to_bytes().to_vec();
        bytes.extend(device.info.configuration.iter().flat_map(|configuration| configuration.to_bytes()));
        Some(bytes)
    }

    fn open(&self, location: &Location) -> Result<Box<dyn Device>, Error> {
        let state = self.host.state.lock();
        let error = |kind| Error::new(kind, format!("open the virtual device at {location}"));
        let there = state.devices.iter().find(|d| d.info.location == *location);
        let device = there.ok_or_else(|| error(ErrorKind::NoDevice))?;
        if device.info.access == Access::Denied {
            return Err(error(ErrorKind::AccessDenied));
        }
        Ok(Box::new(OpenDevice::new(device.shown(), device.slot.clone())))
    }

    fn watch(&self, notify: Sender<()>) -> Result<Box<dyn Watch>, Error> {
        let id = self.host.ids.fetch_add(1, Ordering::Relaxed);
        self.host.state.lock().watchers.insert(id, notify);
        Ok(Box::new(BusWatch { host: self.host.clone(), id }))
    }
}

struct BusWatch {
    host: Arc<Host>,
    id: u64,
}

impl Watch for BusWatch {}

impl Drop for BusWatch {
    fn drop(&mut self) {
        self.host.state.lock().watchers.remove(&self.id);
    }
}

//! Hotplug callbacks of a context, and the connection that brings their events. Callbacks run in `libusb_handle_events`, on
//! the program's own thread, with no lock held.

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use libc::pollfd;
use parking_lot::Mutex;
use usbscan_wire::{Command, EventName};

use crate::abi::{self, HotplugCallback};
use crate::connection::{Connection, Gone};
use crate::daemon;
use crate::device::Device;
use crate::known::KnownDevices;

/// What a callback is called for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    /// Bits of `libusb_hotplug_event`.
    pub events: c_int,
    /// `idVendor`, or any.
    pub vendor: c_int,
    /// `idProduct`, or any.
    pub product: c_int,
    /// `bDeviceClass`, or any.
    pub class: c_int,
}

impl Filter {
    /// Whether it wants this event of this device.
    pub fn wants(&self, device: &Device, event: c_int) -> bool {
        let is = |wanted: c_int, value: c_int| wanted == abi::HOTPLUG_MATCH_ANY || wanted == value;
        let d = &device.descriptor;
        self.events & event != 0
            && is(self.vendor, d.idVendor.into())
            && is(self.product, d.idProduct.into())
            && is(self.class, d.bDeviceClass.into())
    }
}

/// A program's pointer, which is only handed back to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserData(pub *mut c_void);

// SAFETY: it is never followed here; the program decides which thread it gets it back on, by where it handles events.
unsafe impl Send for UserData {}

/// A callback that is registered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registered {
    /// `libusb_hotplug_callback_handle`.
    pub handle: c_int,
    /// What for.
    pub filter: Filter,
    /// What to call.
    pub call: HotplugCallback,
    /// With what.
    pub user_data: UserData,
}

#[derive(Debug, Default)]
struct HotplugState {
    registered: Vec<Registered>,
    last_handle: c_int,
    connection: Option<Arc<Connection>>,
    /// What the callbacks know of.
    told: Vec<Arc<Device>>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Hotplug {
    state: Mutex<HotplugState>,
}

/// Something to tell the callbacks.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Of which device.
    pub device: Arc<Device>,
    /// `libusb_hotplug_event`.
    pub event: c_int,
}

impl Hotplug {
    /// One more.
    pub fn register(&self, filter: Filter, call: HotplugCallback, user_data: UserData) -> Registered {
        let mut state = self.state.lock();
        state.last_handle += 1;
        let registered = Registered { handle: state.last_handle, filter, call, user_data };
        state.registered.push(registered);
        registered
    }

    /// One less; harmless for one that is not registered.
    pub fn deregister(&self, handle: c_int) {
        let mut state = self.state.lock();
        state.registered.retain(|registered| registered.handle != handle);
        if state.registered.is_empty() {
            state.connection = None;
        }
    }

    /// None any more.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.registered.clear();
        state.connection = None;
    }

    /// Those that want this, unless deregistered meanwhile.
    pub fn wanting(&self, change: &Change) -> Vec<Registered> {
        let state = self.state.lock();
        let wants = |registered: &&Registered| registered.filter.wants(&change.device, change.event);
        state.registered.iter().filter(wants).copied().collect()
    }

    /// The one with this handle.
    pub fn find(&self, handle: c_int) -> Option<Registered> {
        self.state.lock().registered.iter().find(|registered| registered.handle == handle).copied()
    }

    /// What to poll for changes, if anybody wants some and the daemon is there.
    pub fn readable(&self) -> Option<pollfd> {
        self.state.lock().connection.as_ref().map(|connection| connection.readable())
    }

    /// What has changed since the callbacks were told last. Connects where there is no connection.
    pub fn changes(&self, known: &KnownDevices) -> Vec<Change> {
        let mut state = self.state.lock();
        if state.registered.is_empty() {
            return Vec::new();
        }
        let connected = state.connection.take().filter(|connection| connection.is_usable());
        let fresh = connected.is_none();
        let Some(connection) = connected.or_else(|| subscribe().ok()) else {
            // The daemon's devices are gone with it.
            return state.tell(Vec::new());
        };
        let news = connection.events();
        // Whatever the events were, the list says what is there now.
        let entries = match news {
            Ok(events) if events.is_empty() && !fresh => None,
            Ok(_) => daemon::list(&connection).ok(),
            Err(Gone) => Some(Vec::new()),
        };
        if connection.is_usable() {
            state.connection = Some(connection);
        }
        entries.map_or_else(Vec::new, |entries| state.tell(known.learn(&entries)))
    }
}

impl HotplugState {
    /// What is new and what has left.
    fn tell(&mut self, now: Vec<Arc<Device>>) -> Vec<Change> {
        let before = std::mem::replace(&mut self.told, now);
        let missing = |of: &[Arc<Device>], among: &[Arc<Device>], event| -> Vec<Change> {
            let new = of.iter().filter(|device| !among.iter().any(|other| Arc::ptr_eq(device, other)));
            new.map(|device| Change { device: device.clone(), event }).collect()
        };
        let mut changes = missing(&before, &self.told, abi::HOTPLUG_EVENT_DEVICE_LEFT);
        changes.extend(missing(&self.told, &before, abi::HOTPLUG_EVENT_DEVICE_ARRIVED));
        changes
    }
}

fn subscribe() -> Result<Arc<Connection>, Gone> {
    let connection = daemon::connect().map_err(|_| Gone)?;
    let events = vec![EventName::Arrival, EventName::Removal];
    connection.call(&Command::Subscribe { events }, &[])?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::entry;

    #[test]
    fn a_filter_takes_what_fits_all_that_it_names() {
        let device = Device::new(&entry()).unwrap();
        let any = Filter { events: 3, vendor: -1, product: -1, class: -1 };
        assert!(any.wants(&device, abi::HOTPLUG_EVENT_DEVICE_ARRIVED));
        assert!(!Filter { events: 2, ..any }.wants(&device, abi::HOTPLUG_EVENT_DEVICE_ARRIVED));
        assert!(Filter { vendor: 0x1209, ..any }.wants(&device, abi::HOTPLUG_EVENT_DEVICE_LEFT));
        assert!(!Filter { product: 2, ..any }.wants(&device, abi::HOTPLUG_EVENT_DEVICE_LEFT));
    }

    #[test]
    fn callbacks_are_told_of_what_came_and_what_left_since_the_last_time() {
        let device = Arc::new(Device::new(&entry()).unwrap());
        let mut state = HotplugState::default();
        let events = |changes: Vec<Change>| changes.iter().map(|change| change.event).collect::<Vec<_>>();
        assert_eq!(events(state.tell(vec![device.clone()])), [abi::HOTPLUG_EVENT_DEVICE_ARRIVED]);
        assert!(state.tell(vec![device]).is_empty());
        assert_eq!(events(state.tell(Vec::new())), [abi::HOTPLUG_EVENT_DEVICE_LEFT]);
    }
}

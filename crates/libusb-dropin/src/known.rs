//! The devices that a program knows of: those of the last list, and earlier ones that it still has. A device that is listed
//! again is the same object, as programs expect of libusb.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use usbscan_wire::DeviceEntry;

use crate::device::Device;

/// For so long a list counts as fresh: programs ask several times in a row.
const FRESH: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct KnownState {
    listed_at: Option<Instant>,
    /// Those of the last list.
    present: Vec<Arc<Device>>,
    /// Those of earlier ones.
    earlier: Vec<Weak<Device>>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct KnownDevices {
    state: Mutex<KnownState>,
}

impl KnownDevices {
    /// The devices, from `list` unless the last list is fresh. Others who ask meanwhile wait for the same list.
    pub fn devices(&self, list: impl FnOnce() -> Vec<DeviceEntry>) -> Vec<Arc<Device>> {
        let mut state = self.state.lock();
        if state.listed_at.is_some_and(|at| at.elapsed() < FRESH) {
            return state.present.clone();
        }
        state.take(&list())
    }

    /// Takes a list that came some other way.
    pub fn learn(&self, entries: &[DeviceEntry]) -> Vec<Arc<Device>> {
        self.state.lock().take(entries)
    }
}

impl KnownState {
    fn take(&mut self, entries: &[DeviceEntry]) -> Vec<Arc<Device>> {
        self.earlier.retain(|device| device.strong_count() > 0);
        let mut present = Vec::new();
        for device in entries.iter().filter_map(Device::new) {
            let earlier = self.earlier.iter().filter_map(Weak::upgrade);
            let same = self.present.iter().cloned().chain(earlier).find(|known| known.is(&device) && !known.is_gone());
            present.push(same.unwrap_or_else(|| Arc::new(device)));
        }
        for left in self.present.iter().filter(|known| !present.iter().any(|device| Arc::ptr_eq(device, known))) {
            left.set_gone();
        }
        self.earlier.extend(self.present.iter().map(Arc::downgrade));
        self.present.clone_from(&present);
        self.listed_at = Some(Instant::now());
        present
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::tests::entry;

    #[test]
    fn a_device_that_stays_is_the_same_object_and_one_that_leaves_is_marked() {
        let known = KnownDevices::default();
        let first = known.learn(&[entry()]);
        let again = known.learn(&[entry()]);
        assert!(Arc::ptr_eq(&first[0], &again[0]));
        assert!(known.learn(&[]).is_empty());
        assert!(first[0].is_gone());
        let back = known.learn(&[entry()]);
        assert!(!Arc::ptr_eq(&first[0], &back[0]), "one that was gone stays gone");
        let moved = known.learn(&[DeviceEntry { address: "200:008".to_owned(), ..entry() }]);
        assert!(!Arc::ptr_eq(&back[0], &moved[0]));
    }

    #[test]
    fn a_fresh_list_is_not_asked_for_again() {
        let known = KnownDevices::default();
        assert_eq!(known.devices(|| vec![entry()]).len(), 1);
        assert_eq!(known.devices(|| unreachable!("it is fresh")).len(), 1);
    }
}

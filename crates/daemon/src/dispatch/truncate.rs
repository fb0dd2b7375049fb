//! What lists have to leave out so that a header line holds them: there may be many scanners, with many requests.
//! Functions of values.

use serde::Serialize;
use usbscan_wire::{DAEMON_HEADER_LIMIT, DeviceEntry, DeviceStatus};

/// Requests of one pipe that `status` lists at most; fewer where that would be too long.
const LISTED: [usize; 4] = [32, 8, 2, 0];
/// Bytes of a header beside its list.
const ROOM: usize = 1024;

/// The scanners; where that would be too long, without the descriptors of those that came last, and then without those that
/// came last.
pub(super) fn list(mut devices: Vec<DeviceEntry>) -> Vec<DeviceEntry> {
    leave_descriptors_out(&mut devices);
    first_that_fit(devices)
}

/// What the scanners do, with so many requests of each pipe as `look` is asked for; where that would be too long of fewer;
/// then as [`list`].
pub(super) fn status(look: impl Fn(usize) -> Vec<DeviceStatus>) -> Vec<DeviceStatus> {
    let mut devices = Vec::new();
    for listed in LISTED {
        devices = look(listed);
        if fits(&devices) {
            return devices;
        }
    }
    first_that_fit(devices)
}

/// A client that misses a device's descriptors asks for that one alone.
fn leave_descriptors_out(devices: &mut [DeviceEntry]) {
    let mut all: usize = devices.iter().map(|device| length(device) + 1).sum();
    for device in devices.iter_mut().rev() {
        if all < DAEMON_HEADER_LIMIT - ROOM {
            return;
        }
        let with = length(device);
        device.descriptors = None;
        all -= with - length(device);
    }
}

fn fits(list: &impl Serialize) -> bool {
    length(list) < DAEMON_HEADER_LIMIT - ROOM
}

fn first_that_fit<T: Serialize>(mut list: Vec<T>) -> Vec<T> {
    let mut room = DAEMON_HEADER_LIMIT - ROOM;
    let fit = list.iter().take_while(|one| {
        // A comma stands between two.
        let left = room.checked_sub(length(one) + 1);
        room = left.unwrap_or(0);
        left.is_some()
    });
    let fit = fit.count();
    list.truncate(fit);
    list
}

fn length(what: &impl Serialize) -> usize {
    serde_json::to_vec(what).map_or(usize::MAX - 1, |line| line.len())
}

#[cfg(test)]
mod tests {
    use usbscan_wire::HexBytes;

    use super::*;

    fn device(number: usize, name: &str) -> DeviceEntry {
        let name = Some(name.to_owned());
        DeviceEntry {
            name: format!("usbscan{number}"),
            stable_id: format!("04b8:0151:{number}"),
            vendor_id: 0x04b8,
            product_id: 0x0151,
            manufacturer: name.clone(),
            product: name.clone(),
            serial: name,
            port: "1-2".to_owned(),
            address: "001:002".to_owned(),
            speed: "480 Mbit/s".to_owned(),
            interface: 0,
            bus: "virtual".to_owned(),
            protocol: "esci".to_owned(),
            drivers: Vec::new(),
            accessible: true,
            unresponsive: false,
            problem: None,
            configuration: None,
            descriptors: None,
        }
    }

    fn devices(count: usize, name: &str) -> Vec<DeviceEntry> {
        (0..count).map(|number| device(number, name)).collect()
    }

    #[test]
    fn what_fits_is_listed_as_it_is() {
        // Names as long as they are kept, and many with usual ones.
        for devices in [devices(60, &"x".repeat(64)), devices(100, "Perfection V850")] {
            assert_eq!(list(devices.clone()), devices);
        }
    }

    #[test]
    fn descriptors_are_left_out_before_scanners_are() {
        let with =
            |device| DeviceEntry { descriptors: Some(HexBytes(vec![0; 2000])), configuration: Some(1), ..device };
        let all: Vec<_> = devices(100, "Perfection V850").into_iter().map(with).collect();
        let listed = list(all.clone());
        let count = listed.iter().filter(|device| device.descriptors.is_some()).count();
        assert!(fits(&listed) && listed.len() == 100 && (5..20).contains(&count), "{count}");
        assert_eq!(list(all[99..].to_vec()), all[99..]);
    }

    #[test]
    fn of_more_than_a_header_holds_the_first_are_listed() {
        let listed = list(devices(1000, "x"));
        assert!(fits(&listed) && (150..1000).contains(&listed.len()), "{}", listed.len());
        assert_eq!(listed[0].name, "usbscan0");
        let statuses = status(|_| {
            let state = "idle".to_owned();
            let status = |device| DeviceStatus {
                device,
                state: state.clone(),
                recovery: None,
                last_cancel: None,
                sessions: vec![],
                pipes: vec![],
            };
            devices(1000, "x").into_iter().map(status).collect()
        });
        assert!(fits(&statuses) && (150..1000).contains(&statuses.len()), "{}", statuses.len());
    }
}

//! Opening a device: found again in a context of its own, by place and by kind.

use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rusb::{Context, DeviceHandle};
use usbscan_usb::{DeviceInfo, Error, ErrorKind, Location, ProductId, VendorId};

use crate::device::LibusbDevice;
use crate::{describe, status, sysfs};

/// How long udev may take to make a new device node and give it its rights. libusb's netlink backend tells of a
/// device before that (by some 300 ms, measured).
const SETTLE: Duration = Duration::from_secs(2);
/// Between two tries.
const STEP: Duration = Duration::from_millis(20);

/// Opens what is at `location`; `known` is what was there when it was last listed.
pub(crate) fn open(location: &Location, known: Option<(VendorId, ProductId)>) -> Result<LibusbDevice, Error> {
    let tried = format!("open the device at {location}");
    let context = match Context::new() {
        Ok(context) => context,
        Err(_) if !sysfs::has_usb() => return Err(Error::new(ErrorKind::NoDevice, tried)),
        Err(error) => return Err(status::failed(status::code(error), tried)),
    };
    let failed = |error| status::failed(status::code(error), tried.clone());
    let (device, info) = find(&context, location, known)
        .map_err(failed)?
        .ok_or_else(|| Error::new(ErrorKind::NoDevice, tried.clone()))?;
    let handle = open_when_settled(&device, &info).map_err(failed)?;
    drop(device);
    LibusbDevice::new(info, context, handle)
}

/// The device at that place, if it is still the one that was listed there.
fn find(
    context: &Context,
    location: &Location,
    known: Option<(VendorId, ProductId)>,
) -> Result<Option<(rusb::Device<Context>, DeviceInfo)>, rusb::Error> {
    let there = describe::devices(context)?.into_iter().find(|device| describe::location(device) == *location);
    let Some(device) = there else { return Ok(None) };
    let info = describe::info(&device)?;
    let kind = (info.descriptor.vendor, info.descriptor.product);
    Ok(known.is_none_or(|known| known == kind).then_some((device, info)))
}

/// Opens, and tries again while a node that has just been made may still get its rights. A node that is yet to be
/// made is waited for first: a libusb that fails to find it takes the device for gone, in every context.
fn open_when_settled(device: &rusb::Device<Context>, info: &DeviceInfo) -> Result<DeviceHandle<Context>, rusb::Error> {
    let began = Instant::now();
    while age(&info.location).is_none() && began.elapsed() < SETTLE && sysfs::is_present(&info.location) {
        thread::sleep(STEP);
    }
    loop {
        match device.open() {
            Err(rusb::Error::Access)
                if began.elapsed() < SETTLE && age(&info.location).is_some_and(|age| age < SETTLE) =>
            {
                thread::sleep(STEP);
            }
            other => return other,
        }
    }
}

/// How long ago a device's node was made or got its rights; `None` when there is none.
fn age(location: &Location) -> Option<Duration> {
    let node = std::fs::metadata(sysfs::node(location)).ok()?;
    let changed = Duration::new(node.ctime().max(0) as u64, node.ctime_nsec() as u32);
    // A clock that was set back makes it seem older than it is, which is the safe side.
    Some((SystemTime::UNIX_EPOCH + changed).elapsed().unwrap_or(SETTLE))
}

//! Notifications of arrivals and removals: a context and an event thread of its own, whose callback sends a notification.
//!
//! The callback does nothing else: it runs inside libusb, where opening or listing is asking for a deadlock.
//! Nothing is enumerated at registration (that races with deregistration in every libusb so far); whoever
//! watches lists once after the watch began.

use crossbeam_channel::Sender;
use libusb1_sys as ffi;
use libusb1_sys::constants::LIBUSB_CAP_HAS_HOTPLUG;
use rusb::{Context, Hotplug, HotplugBuilder, Registration};
use usbscan_usb::{Error, ErrorKind, Watch};

use crate::context::EventThread;
use crate::{status, sysfs};

/// Keeps the notifications coming. Fields are dropped in this order: the thread ends, so that no callback runs, then
/// the registration with the notifier goes, then the context.
#[derive(Debug)]
pub(crate) struct LibusbWatch {
    _events: EventThread,
    _registration: Registration<Context>,
    _context: Context,
}

impl Watch for LibusbWatch {}

struct Notifier(Sender<()>);

impl Hotplug<Context> for Notifier {
    fn device_arrived(&mut self, _device: rusb::Device<Context>) {
        self.notify();
    }

    fn device_left(&mut self, _device: rusb::Device<Context>) {
        self.notify();
    }
}

impl Notifier {
    fn notify(&self) {
        // Full: a notification is waiting already, and its receiver lists everything.
        let _ = self.0.try_send(());
    }
}

/// Begins to watch.
pub(crate) fn watch(notify: Sender<()>) -> Result<LibusbWatch, Error> {
    let tried = "watch for USB devices";
    if !has_hotplug() {
        return Err(Error::new(ErrorKind::NotSupported, tried));
    }
    let context = match Context::new() {
        Ok(context) => context,
        Err(_) if !sysfs::has_usb() => {
            return Err(Error::new(ErrorKind::NotSupported, format!("{tried} on a machine without USB")));
        }
        Err(error) => return Err(status::failed(status::code(error), tried)),
    };
    let registration = HotplugBuilder::new()
        .register::<Context, &Context>(&context, Box::new(Notifier(notify)))
        .map_err(|error| status::failed(status::code(error), tried))?;
    let events = EventThread::start(context.clone(), "usb hotplug".to_owned())?;
    Ok(LibusbWatch { _events: events, _registration: registration, _context: context })
}

/// Not through rusb, whose `has_hotplug` makes a global context that nobody ever handles events for: every plug
/// of every device would be kept in it for as long as the program runs.
fn has_hotplug() -> bool {
    // SAFETY: no preconditions; the answer is a constant of libusb's backend.
    unsafe { ffi::libusb_has_capability(LIBUSB_CAP_HAS_HOTPLUG) != 0 }
}

//! A `libusb_context`: the devices that are known, and the hotplug callbacks. It connects only to list, and keeps a connection
//! only while somebody wants hotplug events: a program may have dozens of contexts (each SANE backend has its own).

use std::ffi::{CStr, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::{io, ptr};

use crate::daemon;
use crate::device::Device;
use crate::hotplug::Hotplug;
use crate::known::KnownDevices;

/// The variable by which a user asks libusb for messages.
const DEBUG_VARIABLE: &CStr = c"LIBUSB_DEBUG";

/// See the head of this file. A `libusb_context *` is an `Arc` of one.
#[derive(Debug)]
pub(crate) struct Context {
    pid: u32,
    log_level: AtomicI32,
    /// The devices that the program knows of.
    pub known: KnownDevices,
    /// Callbacks, and the connection that brings the events for them.
    pub hotplug: Hotplug,
    /// How often the default context was initialised; unused in others.
    users: AtomicUsize,
}

impl Context {
    /// A new one. Nothing is connected yet, so this works without a daemon too: a program goes on to its other devices.
    pub fn new() -> Context {
        let asked = daemon::variable(DEBUG_VARIABLE).and_then(|level| level.to_str()?.parse().ok());
        Context {
            pid: std::process::id(),
            log_level: AtomicI32::new(asked.unwrap_or(0)),
            known: KnownDevices::default(),
            hotplug: Hotplug::default(),
            users: AtomicUsize::new(0),
        }
    }

    /// Whether it belongs to this process. After a fork the child has no business with its parent's; its locks may be held
    /// by threads that are not there.
    pub fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    /// `LIBUSB_OPTION_LOG_LEVEL`; the environment's wins.
    pub fn set_log_level(&self, level: c_int) {
        if daemon::variable(DEBUG_VARIABLE).is_none() {
            self.log_level.store(level, Ordering::Relaxed);
        }
    }

    /// Says something on standard error, to a program that asked for warnings.
    pub fn warn(&self, text: std::fmt::Arguments<'_>) {
        const WARNING: c_int = 2;
        if self.log_level.load(Ordering::Relaxed) >= WARNING {
            // Nobody may be there to read it.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("libusb (usbscan): {text}\n"));
        }
    }

    /// The scanners that the daemon has; none without a daemon. A device that was listed before is the same object.
    pub fn devices(&self) -> Vec<Arc<Device>> {
        self.known.devices(|| match daemon::connect() {
            Ok(connection) => daemon::list(&connection).unwrap_or_default(),
            Err(error) => {
                self.warn(format_args!("no connection to usbscand: {error}"));
                Vec::new()
            }
        })
    }
}

/// libusb's default context, for programs that name none: the one global. It is never freed, so that a thread that has just
/// read the pointer can use it; after a fork the child makes its own.
static DEFAULT: AtomicPtr<Context> = AtomicPtr::new(ptr::null_mut());

/// The default context of this process, if it was ever initialised.
pub(crate) fn default() -> Option<&'static Context> {
    // SAFETY: it is null, or was leaked by `init_default`.
    let context = unsafe { DEFAULT.load(Ordering::Acquire).as_ref() };
    context.filter(|context| context.is_ours())
}

/// `libusb_init(NULL)`: one user more.
pub(crate) fn init_default() {
    loop {
        let now = DEFAULT.load(Ordering::Acquire);
        if let Some(context) = default() {
            context.users.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let fresh = Box::into_raw(Box::new(Context::new()));
        match DEFAULT.compare_exchange(now, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {}
            // SAFETY: nobody else has seen it.
            Err(_) => drop(unsafe { Box::from_raw(fresh) }),
        }
    }
}

/// `libusb_exit(NULL)`: one user less. The last one's callbacks are forgotten, and with them the connection.
pub(crate) fn exit_default() {
    let Some(context) = default() else { return };
    let before = context.users.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |users| users.checked_sub(1));
    if before == Ok(1) {
        context.hotplug.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_context_is_one_and_outlives_its_users() {
        assert!(default().is_none());
        init_default();
        init_default();
        let context: *const Context = default().unwrap();
        exit_default();
        exit_default();
        exit_default();
        assert!(ptr::eq(context, default().unwrap()));
        assert_eq!(default().unwrap().users.load(Ordering::Relaxed), 0);
    }
}

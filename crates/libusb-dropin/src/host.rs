//! What `usbscan-sane-host` asks of this library besides libusb's functions: to show its backend one device alone, to make every
//! transfer fail while a call is to come back, and to say whether anything moves. In other programs none of this is in use.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use usbscan_wire::Command;

use crate::connection::Connection;

static DEVICE: OnceLock<String> = OnceLock::new();
static REFUSES: AtomicBool = AtomicBool::new(false);
static COMPLETED: AtomicU64 = AtomicU64::new(0);
static CANCELLED: AtomicU64 = AtomicU64::new(0);
/// Of sessions, so that what they have pending can be ended. Touched in a host only: other programs may fork at any time.
static CONNECTIONS: Mutex<Vec<Weak<Connection>>> = Mutex::new(Vec::new());

/// From now on this is the only device. The first call counts.
pub(crate) fn set_device(name: String) {
    let _ = DEVICE.set(name);
}

/// The only device that there is, if one was named.
pub(crate) fn device() -> Option<&'static str> {
    DEVICE.get().map(String::as_str)
}

/// Makes transfers fail, those that are pending too, or lets them be again.
pub(crate) fn set_refuses(refuses: bool) {
    REFUSES.store(refuses, Ordering::SeqCst);
    if !refuses {
        return;
    }
    // A transfer that is being started now either finds the flag set, or is in front of this on its connection.
    for connection in CONNECTIONS.lock().iter().filter_map(Weak::upgrade).filter(|one| one.is_usable()) {
        // Without a connection nothing is pending.
        let _ = connection.start(&Command::CancelSession { session: None }, &[]);
    }
}

/// Whether transfers are to fail.
pub(crate) fn refuses() -> bool {
    REFUSES.load(Ordering::SeqCst)
}

/// A session has begun.
pub(crate) fn add(connection: &Arc<Connection>) {
    if device().is_some() {
        let mut all = CONNECTIONS.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(connection));
    }
}

/// A transfer has ended well.
pub(crate) fn count_completed() {
    COMPLETED.fetch_add(1, Ordering::Relaxed);
}

/// Somebody else has cancelled a transfer.
pub(crate) fn count_cancelled() {
    if !refuses() {
        CANCELLED.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many transfers have ended well.
pub(crate) fn completed() -> u64 {
    COMPLETED.load(Ordering::Relaxed)
}

/// How many transfers others have cancelled.
pub(crate) fn cancelled() -> u64 {
    CANCELLED.load(Ordering::Relaxed)
}

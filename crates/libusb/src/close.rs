//! Closing an open device, in the order that libusb and the kernel need, without ever waiting for ever.
//!
//! Cancelling and closing can block in the kernel for as long as a host controller holds on to a transfer, and
//! nothing can interrupt that. So it is done on a thread of its own (`usb close 1-2`), which outlives the
//! caller's timeout if it must: then it owns all that the transfer touches, which is never freed.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rusb::{Context, DeviceHandle};
use usbscan_usb::{Error, ErrorKind};

use crate::context::EventThread;
use crate::endpoint::DeviceShared;

/// What releasing and closing may take once every transfer has completed: the kernel's own limit for a control
/// request that holds the device's lock is 5 s, and libusb issues at most two calls that wait for it.
const RELEASE: Duration = Duration::from_secs(15);

/// What an open device holds. Fields are dropped in this order: the handle, the thread, the context.
#[derive(Debug)]
pub(crate) struct OpenParts {
    pub(crate) handle: DeviceHandle<Context>,
    pub(crate) events: EventThread,
    pub(crate) context: Context,
}

/// Cancels every transfer, waits for each completion, releases, closes and joins the event thread.
///
/// # Errors
/// [`ErrorKind::HostStuck`] when that took longer than `timeout`; what is in use is left to a thread that waits on.
pub(crate) fn close(parts: OpenParts, shared: &Arc<DeviceShared>, timeout: Duration) -> Result<(), Error> {
    shared.open_handle.close();
    let deadline = Instant::now() + timeout;
    let closing = Closing::start(parts, shared.clone());
    if closing.returned.recv_deadline(deadline).is_err() {
        return Err(host_stuck(shared, "get all transfers back"));
    }
    if closing.closed.recv_deadline(deadline.max(Instant::now() + RELEASE)).is_err() {
        return Err(host_stuck(shared, "release the interfaces"));
    }
    if closing.thread.is_some_and(|thread| thread.join().is_err()) {
        log::error!("the thread that closed {} panicked", shared.info.label());
    }
    Ok(())
}

fn host_stuck(shared: &DeviceShared, tried: &str) -> Error {
    let error = shared.error(ErrorKind::HostStuck, tried);
    log::error!("{error}; {} transfers are still in flight", shared.open_handle.in_flight());
    error
}

/// The closing under way.
struct Closing {
    /// Told when all transfers have completed.
    returned: Receiver<()>,
    /// Told when all is closed.
    closed: Receiver<()>,
    /// Joined when it is through. Else it is the one that waits for the transfer that never comes back.
    thread: Option<JoinHandle<()>>,
}

impl Closing {
    fn start(parts: OpenParts, shared: Arc<DeviceShared>) -> Closing {
        let ((tell_returned, returned), (tell_closed, closed)) = (bounded(1), bounded(1));
        let (hand_over, handed_over) = bounded::<(OpenParts, Arc<DeviceShared>)>(1);
        let (tell_returned_there, tell_closed_there) = (tell_returned.clone(), tell_closed.clone());
        let name = format!("usb close {}", shared.info.location);
        let started = thread::Builder::new().name(name).spawn(move || {
            if let Ok((parts, shared)) = handed_over.recv() {
                cancel_and_close(parts, &shared, &tell_returned_there, &tell_closed_there);
            }
        });
        let thread = match started {
            Ok(thread) => {
                hand_over.send((parts, shared)).expect("the closing thread waits for its parts");
                Some(thread)
            }
            Err(error) => {
                log::warn!("closing {} without a thread of its own: {error}", shared.info.label());
                cancel_and_close(parts, &shared, &tell_returned, &tell_closed);
                None
            }
        };
        Closing { returned, closed, thread }
    }
}

fn cancel_and_close(
    parts: OpenParts,
    shared: &Arc<DeviceShared>,
    tell_returned: &Sender<()>,
    tell_closed: &Sender<()>,
) {
    cancel_all(shared);
    shared.open_handle.wait_until_unused(None);
    // The caller may have timed out.
    let _ = tell_returned.send(());
    let OpenParts { handle, events, context } = parts;
    for interface in shared.claims.all() {
        // Puts the kernel driver back as well. A device that is gone has nothing to release.
        match handle.release_interface(interface.0) {
            Ok(()) | Err(rusb::Error::NoDevice | rusb::Error::NotFound) => {}
            Err(error) => log::warn!("release interface {interface} of {}: {error}", shared.info.label()),
        }
    }
    drop(handle);
    drop(events);
    drop(context);
    let _ = tell_closed.send(());
}

/// By rank, each newest first, so that what data there is stays in the oldest.
fn cancel_all(shared: &DeviceShared) {
    let mut transfers = shared.open_handle.all_for_cancel(|_| true);
    transfers.sort_by_key(|flight| flight.transfer().cancel_rank());
    for flight in transfers {
        flight.transfer().cancel();
    }
}

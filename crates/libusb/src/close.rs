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

/// What releasing and closing may take once every transfer is back: the kernel's own limit for a control
/// request that holds the device's lock is 5 s, and libusb issues at most two calls that wait for it.
const RELEASE: Duration = Duration::from_secs(15);

/// What must be given back in the end. Fields are dropped in this order: the handle, the thread, the context.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) handle: DeviceHandle<Context>,
    pub(crate) events: EventThread,
    pub(crate) context: Context,
}

/// Asks for every transfer back, waits for each, releases, closes and joins the event thread.
///
/// # Errors
/// [`ErrorKind::HostStuck`] when that took longer than `timeout`; what is in use is left to a thread that waits on.
pub(crate) fn close(hold: Hold, shared: &Arc<DeviceShared>, timeout: Duration) -> Result<(), Error> {
    shared.open_handle.close();
    let deadline = Instant::now() + timeout;
    let work = Work::start(hold, shared.clone());
    if work.quiet.recv_deadline(deadline).is_err() {
        return Err(host_stuck(shared, "get all transfers back"));
    }
    if work.closed.recv_deadline(deadline.max(Instant::now() + RELEASE)).is_err() {
        return Err(host_stuck(shared, "release the interfaces"));
    }
    if work.thread.is_some_and(|thread| thread.join().is_err()) {
        log::error!("the thread that closed {} panicked", shared.info.label());
    }
    Ok(())
}

fn host_stuck(shared: &DeviceShared, tried: &str) -> Error {
    let error = shared.error(ErrorKind::HostStuck, tried);
    log::error!("{error}; {} transfers are still out", shared.open_handle.in_flight());
    error
}

/// The closing under way.
struct Work {
    /// Told when all transfers are back.
    quiet: Receiver<()>,
    /// Told when all is closed.
    closed: Receiver<()>,
    /// Joined when it is through. Else it is the one that waits for the transfer that never comes back.
    thread: Option<JoinHandle<()>>,
}

impl Work {
    fn start(hold: Hold, shared: Arc<DeviceShared>) -> Work {
        let ((say_quiet, quiet), (say_closed, closed)) = (bounded(1), bounded(1));
        let (hand_over, handed_over) = bounded::<(Hold, Arc<DeviceShared>)>(1);
        let (its_quiet, its_closed) = (say_quiet.clone(), say_closed.clone());
        let name = format!("usb close {}", shared.info.location);
        let started = thread::Builder::new().name(name).spawn(move || {
            if let Ok((hold, shared)) = handed_over.recv() {
                work_down(hold, &shared, &its_quiet, &its_closed);
            }
        });
        let thread = match started {
            Ok(thread) => {
                hand_over.send((hold, shared)).expect("the closing thread waits for its work");
                Some(thread)
            }
            Err(error) => {
                log::warn!("closing {} without a thread of its own: {error}", shared.info.label());
                work_down(hold, &shared, &say_quiet, &say_closed);
                None
            }
        };
        Work { quiet, closed, thread }
    }
}

fn work_down(hold: Hold, shared: &Arc<DeviceShared>, say_quiet: &Sender<()>, say_closed: &Sender<()>) {
    cancel_all(shared);
    shared.open_handle.wait_until_unused(None);
    // The caller may have timed out.
    let _ = say_quiet.send(());
    let Hold { handle, events, context } = hold;
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
    let _ = say_closed.send(());
}

/// By rank, each newest first, so that what data there is stays in the oldest.
fn cancel_all(shared: &DeviceShared) {
    let mut transfers = shared.open_handle.all_for_cancel(|_| true);
    transfers.sort_by_key(|flight| flight.transfer().cancel_rank());
    for flight in transfers {
        flight.transfer().cancel();
    }
}

//! A libusb context with the one thread that handles its events.
//!
//! The thread sleeps in libusb until a transfer ends, something is plugged, or it is told to stop; it runs
//! every callback of its context and nothing else. It never wakes up while nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusb::{Context, UsbContext};
use usbscan_usb::{Error, ErrorKind};

/// libusb wants a limit for its sleep. Nothing depends on waking up, so it is long.
const SLEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// After an error of the event loop: so that one that lasts costs no processor.
const PAUSE: Duration = Duration::from_millis(10);

/// A context and its event thread. Dropping it stops and joins the thread; the context ends with its last user.
#[derive(Debug)]
pub(crate) struct EventThread {
    context: Context,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EventThread {
    /// Starts handling events, on a thread of that name.
    pub(crate) fn start(context: Context, name: String) -> Result<EventThread, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let (its_context, its_stop) = (context.clone(), stop.clone());
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || handle_events(&its_context, &its_stop))
            .map_err(|error| start_failed(&error))?;
        Ok(EventThread { context, stop, thread: Some(thread) })
    }
}

impl Drop for EventThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Remembered by libusb even if the thread is between two waits just now.
        self.context.interrupt_handle_events();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a libusb event thread panicked");
        }
    }
}

fn start_failed(error: &std::io::Error) -> Error {
    let failed = Error::new(ErrorKind::NoResources, "start a thread for USB events");
    match error.raw_os_error() {
        Some(code) => failed.with_code(code),
        None => failed,
    }
}

fn handle_events(context: &Context, stop: &AtomicBool) {
    let mut last = None;
    while !stop.load(Ordering::Acquire) {
        match context.handle_events(Some(SLEEP)) {
            Ok(()) | Err(rusb::Error::Interrupted) => last = None,
            Err(error) => {
                if last.replace(error) != Some(error) {
                    log::error!("waiting for USB events: {error}");
                }
                thread::sleep(PAUSE);
            }
        }
    }
}

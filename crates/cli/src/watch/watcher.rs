//! Combines the daemon's events with the button presses from one thread per scanner ([`super::buttons`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use parking_lot::Mutex;
use usbscan_client::{LockHandle, Session};
use usbscan_wire::{DeviceEntry, EventName, NameMatch, match_name};

use super::buttons::{self, Stop};
use super::event::WatchEvent;
use crate::context::Connector;
use crate::failure::Failure;

#[derive(Debug, Clone)]
pub struct Filter {
    /// Only the scanner with this name, or scanners with this prefix of their stable id.
    pub device: Option<String>,
    /// Whether to watch buttons, which keeps the scanners open.
    pub buttons: bool,
}

impl Filter {
    fn matches(&self, name: &str, stable_id: &str) -> bool {
        self.device.as_ref().is_none_or(|device| match_name(device, name, stable_id) != NameMatch::No)
    }
}

/// A connected scanner.
#[derive(Debug)]
struct Watched {
    name: String,
    stable_id: String,
    _buttons: Option<ButtonThread>,
}

/// Stops and joins the thread when it is dropped.
#[derive(Debug)]
struct ButtonThread {
    stop: Option<Sender<()>>,
    session: Arc<Mutex<Option<LockHandle>>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ButtonThread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(session) = self.session.lock().take() {
            session.hang_up();
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a button thread panicked");
        }
    }
}

#[derive(Debug)]
pub struct Watcher {
    connector: Connector,
    filter: Filter,
    session: Session,
    watched: Vec<Watched>,
    /// Not returned by [`Watcher::wait`] yet.
    queue: VecDeque<WatchEvent>,
    pressed: (Sender<WatchEvent>, Receiver<WatchEvent>),
}

impl Watcher {
    /// Starts with a [`WatchEvent::Present`] for each connected scanner.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn start(connector: Connector, filter: Filter) -> Result<Watcher, Failure> {
        let session = connector.connect()?;
        // Subscribes first, so that no arrival is missed. `add` ignores one that is in the list too.
        session.subscribe(&[
            EventName::Arrival,
            EventName::Removal,
            EventName::CancelIo,
            EventName::Idle,
            EventName::Unresponsive,
        ])?;
        let there = session.list()?;
        let (watched, queue, pressed) = (Vec::new(), VecDeque::new(), unbounded());
        let mut watcher = Watcher { connector, filter, session, watched, queue, pressed };
        for device in there {
            watcher.add(device, |device| WatchEvent::Present { device });
        }
        Ok(watcher)
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// When the daemon has ended.
    pub fn wait(&mut self) -> Result<WatchEvent, Failure> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(event);
            }
            select! {
                recv(self.pressed.1) -> pressed => return Ok(pressed.expect("the watcher has both ends")),
                recv(self.session.events()) -> event => match event {
                    Ok(event) => self.take(WatchEvent::of_event(event)),
                    // The session has ended; the next call returns the reason.
                    Err(_) => self.session.list().map(drop)?,
                },
            }
        }
    }

    fn take(&mut self, event: Option<WatchEvent>) {
        match event {
            None => {}
            Some(WatchEvent::Arrival { device }) => self.add(*device, |device| WatchEvent::Arrival { device }),
            Some(event) => {
                let of_it = |watched: &Watched| watched.name == event.name();
                let Some(at) = self.watched.iter().position(of_it) else { return };
                if let WatchEvent::Removal { .. } = event {
                    self.watched.remove(at);
                }
                self.queue.push_back(event);
            }
        }
    }

    fn add(&mut self, device: DeviceEntry, event: impl Fn(Box<DeviceEntry>) -> WatchEvent) {
        let (name, stable_id) = (device.name.clone(), device.stable_id.clone());
        let known = self.watched.iter().any(|watched| watched.name == name && watched.stable_id == stable_id);
        if known || !self.filter.matches(&name, &stable_id) {
            return;
        }
        let buttons = if self.filter.buttons { self.start_button_thread(&device) } else { None };
        self.watched.push(Watched { name, stable_id, _buttons: buttons });
        self.queue.push_back(event(Box::new(device)));
    }

    fn start_button_thread(&self, device: &DeviceEntry) -> Option<ButtonThread> {
        let (stop, requested) = bounded(0);
        let session = Arc::default();
        let ours = Stop { requested, session: Arc::clone(&session) };
        let (connector, device, pressed) = (self.connector.clone(), device.clone(), self.pressed.0.clone());
        let name = format!("buttons {}", device.name);
        let run = move || buttons::listen(&connector, &device, &pressed, &ours);
        match std::thread::Builder::new().name(name).spawn(run) {
            Ok(thread) => Some(ButtonThread { stop: Some(stop), session, thread: Some(thread) }),
            Err(error) => {
                log::error!("start the button thread: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_is_matched_by_its_name_or_a_prefix_of_its_stable_id() {
        let filter = |device: Option<&str>| Filter { device: device.map(str::to_owned), buttons: true };
        assert!(filter(None).matches("usbscan0", "04b8:0151:A"));
        assert!(filter(Some("usbscan1")).matches("usbscan1", "04b8:0151:A"));
        assert!(!filter(Some("usbscan1")).matches("usbscan10", "04b8:0151:A"));
        assert!(filter(Some("04b8:")).matches("usbscan0", "04b8:0151:A"));
        assert!(!filter(Some("04b8:0151:1-1")).matches("usbscan0", "04b8:0151:1-10"));
        assert!(!filter(Some("04b9:")).matches("usbscan0", "04b8:0151:A"));
    }
}

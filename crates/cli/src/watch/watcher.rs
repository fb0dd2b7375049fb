//! Watches the scanners: the daemon's events, and for each scanner a thread `buttons usbscanN` ([`super::buttons`]).
//! [`Watcher::wait`] waits in one place for both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use parking_lot::Mutex;
use usbscan_client::{Lock, Session};
use usbscan_wire::{DeviceEntry, EventName};

use super::buttons::{self, Stop};
use super::sighting::Sighting;
use crate::context::Connector;
use crate::failure::Failure;

/// What is watched.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Only the scanner of this name, and those whose stable id begins so; it need not be there yet.
    pub device: Option<String>,
    /// Buttons as well: the scanners are kept open for it.
    pub buttons: bool,
}

impl Wish {
    fn means(&self, name: &str, stable_id: &str) -> bool {
        self.device.as_ref().is_none_or(|device| device == name || stable_id.starts_with(device))
    }
}

/// A scanner that is there, and the thread that waits for its buttons.
#[derive(Debug)]
struct Watched {
    name: String,
    stable_id: String,
    _listener: Option<Listener>,
}

/// Dropping it ends the thread, which notices at once, or when its scanner is gone.
#[derive(Debug)]
struct Listener {
    stop: Option<Sender<()>>,
    session: Arc<Mutex<Option<Lock>>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(session) = self.session.lock().take() {
            session.hang_up();
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("a thread that waits for buttons panicked");
        }
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Watcher {
    connector: Connector,
    wish: Wish,
    session: Session,
    watched: Vec<Watched>,
    /// Seen, and not told yet.
    seen: VecDeque<Sighting>,
    pressed: (Sender<Sighting>, Receiver<Sighting>),
}

impl Watcher {
    /// Begins with the scanners that are there.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn start(connector: Connector, wish: Wish) -> Result<Watcher, Failure> {
        let session = connector.connect()?;
        // In this order, so that no scanner comes in between; one that does is told of twice, and taken once.
        session.subscribe(&[EventName::Arrival, EventName::Removal, EventName::CancelIo, EventName::Idle])?;
        let there = session.list()?;
        let (watched, seen, pressed) = (Vec::new(), VecDeque::new(), unbounded());
        let mut watcher = Watcher { connector, wish, session, watched, seen, pressed };
        for device in there {
            watcher.meet(device, |device| Sighting::Present { device });
        }
        Ok(watcher)
    }

    /// Waits for the next thing that happens.
    ///
    /// # Errors
    /// When the daemon has ended.
    pub fn wait(&mut self) -> Result<Sighting, Failure> {
        loop {
            if let Some(sighting) = self.seen.pop_front() {
                return Ok(sighting);
            }
            select! {
                recv(self.pressed.1) -> pressed => return Ok(pressed.expect("the watcher has both ends")),
                recv(self.session.events()) -> event => match event {
                    Ok(event) => self.take(Sighting::of_event(event)),
                    // Asking anything now says how it ended.
                    Err(_) => self.session.list().map(drop)?,
                },
            }
        }
    }

    fn take(&mut self, sighting: Option<Sighting>) {
        match sighting {
            None => {}
            Some(Sighting::Arrival { device }) => self.meet(*device, |device| Sighting::Arrival { device }),
            Some(sighting) => {
                let of_it = |watched: &Watched| watched.name == sighting.name();
                let Some(at) = self.watched.iter().position(of_it) else { return };
                if let Sighting::Removal { .. } = sighting {
                    self.watched.remove(at);
                }
                self.seen.push_back(sighting);
            }
        }
    }

    fn meet(&mut self, device: DeviceEntry, tell: impl Fn(Box<DeviceEntry>) -> Sighting) {
        let (name, stable_id) = (device.name.clone(), device.stable_id.clone());
        let known = self.watched.iter().any(|watched| watched.name == name && watched.stable_id == stable_id);
        if known || !self.wish.means(&name, &stable_id) {
            return;
        }
        let listener = if self.wish.buttons { self.listen(&device) } else { None };
        self.watched.push(Watched { name, stable_id, _listener: listener });
        self.seen.push_back(tell(Box::new(device)));
    }

    fn listen(&self, device: &DeviceEntry) -> Option<Listener> {
        let (stop, asked) = bounded(0);
        let session = Arc::default();
        let ours = Stop { asked, session: Arc::clone(&session) };
        let (connector, device, pressed) = (self.connector.clone(), device.clone(), self.pressed.0.clone());
        let name = format!("buttons {}", device.name);
        let run = move || buttons::listen(&connector, &device, &pressed, &ours);
        match std::thread::Builder::new().name(name).spawn(run) {
            Ok(thread) => Some(Listener { stop: Some(stop), session, thread: Some(thread) }),
            Err(error) => {
                log::error!("start a thread to wait for buttons: {error}");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_is_meant_by_its_name_or_the_beginning_of_its_stable_id() {
        let wish = |device: Option<&str>| Wish { device: device.map(str::to_owned), buttons: true };
        assert!(wish(None).means("usbscan0", "04b8:0151:A"));
        assert!(wish(Some("usbscan1")).means("usbscan1", "04b8:0151:A"));
        assert!(!wish(Some("usbscan1")).means("usbscan10", "04b8:0151:A"));
        assert!(wish(Some("04b8:")).means("usbscan0", "04b8:0151:A"));
        assert!(!wish(Some("04b9:")).means("usbscan0", "04b8:0151:A"));
    }
}

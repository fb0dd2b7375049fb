//! Waits for the buttons of one scanner, on a thread of its own `buttons usbscanN`: on its event pipe where it has one,
//! else by asking it now and then, where its driver knows how. Asked only while nobody has the scanner's lock, so never
//! in the middle of a scan.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use parking_lot::Mutex;
use usbscan_client::{Error, Lock, Session};
use usbscan_scan::{ScanError, Scanner, SessionTransport, TransportError};
use usbscan_wire::{Command, DeviceEntry, Pipe, Status};

use super::sighting::Sighting;
use crate::context::Connector;
use crate::failure::Failure;
use crate::hex;

/// How often a scanner is asked for its buttons: soon enough for whoever stands before it.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After a failure it is tried again so much later, then twice that, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why nobody listens any more.
enum End {
    /// It has no buttons, or none that we know of.
    NoButtons,
    /// The watch is over.
    Stopped,
}

/// How a listener is stopped, by whoever started it.
#[derive(Debug)]
pub(super) struct Stop {
    /// Nothing is ever sent: the other end is dropped.
    pub asked: Receiver<()>,
    /// Its session, to be hung up: that ends whatever it waits for.
    pub session: Arc<Mutex<Option<Lock>>>,
}

impl Stop {
    fn is_asked(&self) -> bool {
        self.asked.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn comes_within(&self, patience: Duration) -> bool {
        self.asked.recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }
}

/// Runs until the scanner is gone, the watch is over, or the scanner turns out to have no buttons.
pub(super) fn listen(connector: &Connector, device: &DeviceEntry, pressed: &Sender<Sighting>, stop: &Stop) {
    let tell = |button: String| {
        let (name, stable_id) = (device.name.clone(), device.stable_id.clone());
        // The watcher has both ends, and joins us.
        let _ = pressed.send(Sighting::Button { name, stable_id, button });
    };
    let (mut pause, mut told) = (FIRST_PAUSE, None);
    loop {
        let message = match attempt(connector, device, &tell, stop) {
            Ok(End::NoButtons | End::Stopped) => return,
            Err(failure) if is_over(&failure) => return,
            Err(failure) => failure.to_string(),
        };
        if told.as_ref() != Some(&message) {
            let text = format!("its buttons can't be watched, which is tried again: {message}");
            let _ = pressed.send(Sighting::Problem { name: device.name.clone(), message: text });
            (told, pause) = (Some(message), FIRST_PAUSE);
        }
        if stop.comes_within(pause) {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether there is nothing to be tried again: the scanner is gone, or the daemon.
fn is_over(failure: &Failure) -> bool {
    match failure {
        Failure::Client(Error::Gone { .. } | Error::Unreachable { .. }) => true,
        Failure::Client(error) => error.status() == Some(Status::NoDevice),
        Failure::Scan(ScanError::Transport(TransportError::NoDevice)) => true,
        _ => false,
    }
}

fn attempt(connector: &Connector, device: &DeviceEntry, tell: &impl Fn(String), stop: &Stop) -> Result<End, Failure> {
    let session = connector.connect()?;
    *stop.session.lock() = Some(session.lock_handle());
    if stop.is_asked() {
        return Ok(End::Stopped);
    }
    let opened = session.open(&device.stable_id)?;
    if opened.pipes.iter().any(|pipe| pipe.bound.as_deref() == Some(Pipe::Event.as_str())) {
        return packets(&session, tell, stop);
    }
    if usbscan_scan::driver_for(&device.protocol).is_err() {
        return Ok(End::NoButtons);
    }
    session.lock(false)?;
    let lock = session.lock_handle();
    let mut scanner = usbscan_scan::open(&device.protocol, Box::new(SessionTransport::new(session)), &mut |_| {})?;
    if !scanner.has_buttons() {
        return Ok(End::NoButtons);
    }
    ask_now_and_then(&mut *scanner, &lock, tell, stop)
}

/// Every packet of the event pipe is somebody at the scanner. Other sessions that wait hear the same.
fn packets(session: &Session, tell: &impl Fn(String), stop: &Stop) -> Result<End, Failure> {
    let longest = Duration::from_secs(usbscan_wire::MAX_TIMEOUT_SECONDS.into());
    loop {
        match session.wait_event(Some(longest)) {
            Ok(packet) => tell(hex::plain(&packet)),
            Err(_) if stop.is_asked() => return Ok(End::Stopped),
            Err(error) => match error.status() {
                // Nobody pressed anything; or somebody cancelled everything, which is no reason to stop waiting.
                Some(Status::Timeout | Status::Cancelled) => {}
                Some(Status::Stall) => {
                    session.call(Command::ResetPipe { pipe: Pipe::Event }, Vec::new())?;
                    return Err(error.into());
                }
                _ => return Err(error.into()),
            },
        }
    }
}

/// The scanner's lock is taken for each question alone, and given back in between: a scan comes first.
fn ask_now_and_then(
    scanner: &mut dyn Scanner,
    lock: &Lock,
    tell: &impl Fn(String),
    stop: &Stop,
) -> Result<End, Failure> {
    loop {
        lock.give_back()?;
        if stop.comes_within(ASK_EVERY) {
            return Ok(End::Stopped);
        }
        match lock.take() {
            Ok(()) => {}
            Err(error) if error.status() == Some(Status::Busy) => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(button) = scanner.pressed_button()? {
            tell(button.to_string());
        }
    }
}

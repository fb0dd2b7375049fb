//! Waits for button presses of one scanner, on the thread `buttons usbscanN`: on its interrupt pipe if it has one,
//! otherwise by polling, if its driver supports that. Polling needs the scanner's lock, so it pauses during a scan.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use parking_lot::Mutex;
use usbscan_client::{Error, LockHandle, Session};
use usbscan_scan::{EventPacket, ScanError, Scanner, SessionTransport, TransportError};
use usbscan_wire::{Command, DeviceEntry, Pipe, Status};

use super::event::WatchEvent;
use crate::context::Connector;
use crate::failure::Failure;
use crate::hex;

/// Short enough for the person at the scanner.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// After an error it is retried with an interval that doubles from the first to the last of these.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

enum End {
    /// The scanner has no known buttons.
    NoButtons,
    Stopped,
    /// It does not respond. Only a person opens it: that asks it on the wire.
    Unresponsive,
}

/// Stops a button thread from outside.
#[derive(Debug)]
pub(super) struct Stop {
    /// Disconnected to stop; nothing is ever sent.
    pub requested: Receiver<()>,
    /// Closing the session ends a wait for the daemon.
    pub session: Arc<Mutex<Option<LockHandle>>>,
}

impl Stop {
    fn is_requested(&self) -> bool {
        self.requested.try_recv() == Err(TryRecvError::Disconnected)
    }

    fn wait(&self, timeout: Duration) -> bool {
        self.requested.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout)
    }
}

/// Runs until the scanner is unplugged, the watch ends, or the scanner turns out to have no buttons.
pub(super) fn listen(connector: &Connector, device: &DeviceEntry, pressed: &Sender<WatchEvent>, stop: &Stop) {
    let report = |button: String| {
        let (name, stable_id) = (device.name.clone(), device.stable_id.clone());
        // The watcher outlives this thread.
        let _ = pressed.send(WatchEvent::Button { name, stable_id, button });
    };
    let (mut pause, mut reported) = (FIRST_RETRY, None);
    loop {
        let message = match attempt(connector, device, &report, stop) {
            Ok(End::NoButtons | End::Stopped) => return,
            Ok(End::Unresponsive) => "the scanner does not respond".to_owned(),
            Err(failure) if is_over(&failure) => return,
            Err(failure) => failure.to_string(),
        };
        if reported.as_ref() != Some(&message) {
            let text = format!("can't watch the buttons, will retry: {message}");
            let _ = pressed.send(WatchEvent::Problem { name: device.name.clone(), message: text });
            (reported, pause) = (Some(message), FIRST_RETRY);
        }
        if stop.wait(pause) {
            return;
        }
        pause = (pause * 2).min(LAST_RETRY);
    }
}

/// Whether a retry is pointless: the scanner is unplugged, or the daemon has ended.
fn is_over(failure: &Failure) -> bool {
    match failure {
        Failure::Client(Error::Gone { .. } | Error::Unreachable { .. }) => true,
        Failure::Client(error) => error.status() == Some(Status::NoDevice),
        Failure::Scan(ScanError::Transport(TransportError::NoDevice)) => true,
        _ => false,
    }
}

fn attempt(connector: &Connector, device: &DeviceEntry, report: &impl Fn(String), stop: &Stop) -> Result<End, Failure> {
    let session = connector.connect()?;
    *stop.session.lock() = Some(session.lock_handle());
    if stop.is_requested() {
        return Ok(End::Stopped);
    }
    if session.list()?.iter().any(|listed| listed.stable_id == device.stable_id && listed.unresponsive) {
        return Ok(End::Unresponsive);
    }
    let opened = session.open(&device.stable_id)?;
    if opened.pipes.iter().any(|pipe| pipe.bound.as_deref() == Some(Pipe::Event.as_str())) {
        return packets(&session, &device.protocol, report, stop);
    }
    if usbscan_scan::driver_for(&device.protocol).is_err() {
        return Ok(End::NoButtons);
    }
    let lock = session.lock_handle();
    lock.lock_if_unused()?;
    let transport = SessionTransport::new(session).with_pipes(&opened);
    let mut scanner = usbscan_scan::open(&device.protocol, Box::new(transport), &mut |_| {})?;
    if !scanner.has_buttons() {
        return Ok(End::NoButtons);
    }
    poll_buttons(&mut *scanner, &lock, report, stop)
}

/// Reports what comes over the interrupt pipe: the number of a button where the protocol says which packets are buttons, else every
/// packet. Other sessions that wait get the same packets.
fn packets(session: &Session, protocol: &str, report: &impl Fn(String), stop: &Stop) -> Result<End, Failure> {
    let longest = Duration::from_secs(usbscan_wire::MAX_TIMEOUT_SECONDS.into());
    let driver = usbscan_scan::driver_for(protocol).ok();
    loop {
        match session.wait_event(Some(longest)) {
            Ok(packet) => match driver.map_or(EventPacket::Unknown, |driver| driver.event_packet(&packet)) {
                EventPacket::Button(button) => report(button.to_string()),
                EventPacket::Notice => log::debug!("no button: {}", hex::plain(&packet)),
                _ => report(hex::plain(&packet)),
            },
            Err(_) if stop.is_requested() => return Ok(End::Stopped),
            Err(error) => match error.status() {
                // No button was pressed; or a cancel of everything, which does not concern the watch.
                Some(Status::Timeout | Status::Cancelled) => {}
                Some(Status::Stall) => {
                    session.call(Command::ResetPipe { pipe: Some(Pipe::Event), endpoint: None }, Vec::new())?;
                    return Err(error.into());
                }
                _ => return Err(error.into()),
            },
        }
    }
}

/// Holds the scanner's lock for each poll only, so that a scan can start in between.
fn poll_buttons(
    scanner: &mut dyn Scanner,
    lock: &LockHandle,
    report: &impl Fn(String),
    stop: &Stop,
) -> Result<End, Failure> {
    loop {
        lock.unlock()?;
        if stop.wait(POLL_INTERVAL) {
            return Ok(End::Stopped);
        }
        match lock.lock_if_unused() {
            Ok(()) => {}
            Err(error) if error.status() == Some(Status::Busy) => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(button) = scanner.pressed_button()? {
            report(button.to_string());
        }
    }
}

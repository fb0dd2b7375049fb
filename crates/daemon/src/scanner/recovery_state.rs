//! What everybody may know of a scanner's recovery: how far it is, whether it has failed, whether its device is to come back
//! to its port, and by when the daemon shuts down. The supervisor writes it, any thread looks.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use parking_lot::Mutex;
use usbscan_usb::DeviceInfo;
use usbscan_wire::{AbortStep, Recovery};

/// A recovery that is under way.
#[derive(Debug, Clone, Copy)]
struct Progress {
    rung: &'static str,
    since: Instant,
    drained: u64,
}

/// A scanner that does not answer, and that no recovery has helped.
#[derive(Debug, Clone)]
pub(crate) struct Unresponsive {
    /// By which it shows that it answers again: those of its last job, if that had any.
    pub steps: Option<Arc<Vec<AbortStep>>>,
    /// It has not come back from a port reset, and stays listed until something arrives at its port.
    pub missing: bool,
}

#[derive(Debug, Default)]
struct SharedRecovery {
    progress: Option<Progress>,
    unresponsive: Option<Unresponsive>,
    /// While a port reset may make it leave the bus and come back: where that is told.
    awaits: Option<Sender<DeviceInfo>>,
    shutdown: Option<Instant>,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct RecoveryState {
    state: Mutex<SharedRecovery>,
    /// Wakes a recovery that waits, when the daemon begins to shut down.
    shutdown: (Sender<Instant>, Receiver<Instant>),
}

impl Default for RecoveryState {
    fn default() -> RecoveryState {
        RecoveryState { state: Mutex::default(), shutdown: unbounded() }
    }
}

impl RecoveryState {
    // ---- how far it is

    /// It begins, with the requests that are cancelled.
    pub fn begin(&self) {
        self.state.lock().progress = Some(Progress { rung: "cancel", since: Instant::now(), drained: 0 });
    }

    /// What is tried now.
    pub fn tries(&self, rung: &'static str) {
        self.state.lock().progress.iter_mut().for_each(|progress| progress.rung = rung);
    }

    /// So many bytes were thrown away.
    pub fn note_drained(&self, drained: u64) {
        self.state.lock().progress.iter_mut().for_each(|progress| progress.drained = drained);
    }

    /// It is over.
    pub fn end(&self) {
        self.state.lock().progress = None;
    }

    /// As `status` shows it.
    pub fn progress(&self) -> Option<Recovery> {
        self.state.lock().progress.map(|Progress { rung, since, drained }| Recovery {
            rung: rung.to_owned(),
            age_ms: since.elapsed().as_millis() as u64,
            drained,
        })
    }

    // ---- when it has failed

    /// Nothing has helped; or, with `None`, the scanner answers again.
    pub fn set_unresponsive(&self, unresponsive: Option<Unresponsive>) {
        self.state.lock().unresponsive = unresponsive;
    }

    /// Whether nothing has helped.
    pub fn unresponsive(&self) -> Option<Unresponsive> {
        self.state.lock().unresponsive.clone()
    }

    // ---- a device that leaves its port and comes back

    /// From now on the scanner stays listed when its device leaves the bus. What arrives at its port, if it is the same
    /// device, comes over the channel.
    pub fn await_return(&self) -> Receiver<DeviceInfo> {
        let (awaits, returned) = bounded(1);
        self.state.lock().awaits = Some(awaits);
        returned
    }

    /// Nothing is waited for any more.
    pub fn stop_awaiting(&self) {
        self.state.lock().awaits = None;
    }

    /// Whether it stays listed without a device.
    pub fn is_kept_listed(&self) -> bool {
        let state = self.state.lock();
        state.awaits.is_some() || state.unresponsive.as_ref().is_some_and(|unresponsive| unresponsive.missing)
    }

    /// Its device is back. `false` when nobody waits for that.
    pub fn has_returned(&self, info: DeviceInfo) -> bool {
        // Full means that the supervisor has been told already.
        self.state.lock().awaits.as_ref().is_some_and(|awaits| {
            let _ = awaits.try_send(info);
            true
        })
    }

    // ---- the daemon's end

    /// The daemon shuts down, and what is under way has so long.
    pub fn shut_down_by(&self, at: Instant) {
        self.state.lock().shutdown = Some(at);
        // The supervisor keeps the scanner, and with it the receiver.
        let _ = self.shutdown.0.send(at);
    }

    /// By when the daemon shuts down, if it does.
    pub fn shutdown(&self) -> Option<Instant> {
        self.state.lock().shutdown
    }

    /// Tells when the daemon begins to shut down, to the one who waits.
    pub fn on_shutdown(&self) -> &Receiver<Instant> {
        &self.shutdown.1
    }
}

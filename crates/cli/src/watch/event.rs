//! An event of `usbscan watch`, as text and as JSON. Values, no I/O.

use std::fmt;

use serde::Serialize;
use usbscan_wire::{AbortReport, DeviceEntry, Event, Peer};

use crate::label::label;
use crate::table::printable;

/// An event. Its JSON has the member names of the protocol's events.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum WatchEvent {
    /// The scanner was there at the start.
    Present { device: Box<DeviceEntry> },
    /// It was plugged in.
    Arrival { device: Box<DeviceEntry> },
    /// It was unplugged.
    Removal { name: String, stable_id: String },
    /// A button was pressed, or the interrupt pipe sent another packet.
    Button {
        name: String,
        stable_id: String,
        /// The number of the button; where nobody knows what an interrupt packet says, its bytes as hex digits.
        button: String,
    },
    /// Everything pending was cancelled.
    CancelIo { name: String, by: Peer },
    /// The scanner is idle again after a cancel.
    Idle { name: String, abort: AbortReport },
    /// It does not respond, and no recovery has helped.
    Unresponsive { name: String, message: String },
    /// Its buttons can't be watched; this is retried.
    Problem { name: String, message: String },
}

impl WatchEvent {
    /// From a protocol event.
    pub fn of_event(event: Event) -> Option<WatchEvent> {
        match event {
            Event::Arrival { device } => Some(WatchEvent::Arrival { device }),
            Event::Removal { name, stable_id } => Some(WatchEvent::Removal { name, stable_id }),
            Event::CancelIo { name, by } => Some(WatchEvent::CancelIo { name, by }),
            Event::Idle { name, abort } => Some(WatchEvent::Idle { name, abort }),
            Event::Unresponsive { name, message } => Some(WatchEvent::Unresponsive { name, message }),
            // The greeting, and what a newer daemon may have to tell.
            _ => None,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            WatchEvent::Present { device } | WatchEvent::Arrival { device } => &device.name,
            WatchEvent::Removal { name, .. }
            | WatchEvent::Button { name, .. }
            | WatchEvent::CancelIo { name, .. }
            | WatchEvent::Idle { name, .. }
            | WatchEvent::Unresponsive { name, .. }
            | WatchEvent::Problem { name, .. } => name,
        }
    }
}

impl fmt::Display for WatchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            WatchEvent::Present { device } => {
                write!(f, "present: {} ({})", label(device), printable(&device.stable_id))
            }
            WatchEvent::Arrival { device } => {
                write!(f, "arrival: {} ({})", label(device), printable(&device.stable_id))
            }
            WatchEvent::Removal { stable_id, .. } => write!(f, "removal ({})", printable(stable_id)),
            WatchEvent::Button { button, .. } => write!(f, "button {button}"),
            WatchEvent::CancelIo { by, .. } => {
                write!(f, "all requests cancelled by {} ({})", printable(&by.program), by.numbers())
            }
            WatchEvent::Idle { abort, .. } => match &abort.failed_step {
                None => f.write_str("idle"),
                Some(step) => write!(f, "may not be idle: {}", printable(step)),
            },
            WatchEvent::Unresponsive { message, .. } | WatchEvent::Problem { message, .. } => {
                f.write_str(&printable(message))
            }
        }
    }
}

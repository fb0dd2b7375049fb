//! Something that was seen to happen at a scanner: as a line for people, and as JSON. A value.

use std::fmt;

use serde::Serialize;
use usbscan_wire::{AbortReport, DeviceEntry, Event, Peer};

use crate::device::label;
use crate::table::printable;

/// What happened. Field names of the JSON are those of the daemon's events, where it has such.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Sighting {
    /// The scanner was there when the watch began.
    Present {
        /// It.
        device: Box<DeviceEntry>,
    },
    /// It was plugged in.
    Arrival {
        /// It.
        device: Box<DeviceEntry>,
    },
    /// It was unplugged.
    Removal {
        /// Its name until now.
        name: String,
        /// Its stable id.
        stable_id: String,
    },
    /// One of its buttons was pressed, or its event pipe told something else.
    Button {
        /// Its name.
        name: String,
        /// Its stable id.
        stable_id: String,
        /// The packet of its event pipe as hex digits; for scanners that must be asked, the number of the button.
        button: String,
    },
    /// Somebody cancelled everything on it.
    CancelIo {
        /// Its name.
        name: String,
        /// Who did.
        by: Peer,
    },
    /// It is idle after that.
    Idle {
        /// Its name.
        name: String,
        /// How it went.
        abort: AbortReport,
    },
    /// Its buttons can't be watched now; that is tried again.
    Problem {
        /// Its name.
        name: String,
        /// Why.
        message: String,
    },
}

impl Sighting {
    /// What the daemon said, if that is something to see.
    pub fn of_event(event: Event) -> Option<Sighting> {
        match event {
            Event::Hello { .. } => None,
            Event::Arrival { device } => Some(Sighting::Arrival { device: Box::new(device) }),
            Event::Removal { name, stable_id } => Some(Sighting::Removal { name, stable_id }),
            Event::CancelIo { name, by } => Some(Sighting::CancelIo { name, by }),
            Event::Idle { name, abort } => Some(Sighting::Idle { name, abort }),
        }
    }

    /// At which scanner.
    pub fn name(&self) -> &str {
        match self {
            Sighting::Present { device } | Sighting::Arrival { device } => &device.name,
            Sighting::Removal { name, .. }
            | Sighting::Button { name, .. }
            | Sighting::CancelIo { name, .. }
            | Sighting::Idle { name, .. }
            | Sighting::Problem { name, .. } => name,
        }
    }
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Sighting::Present { device } => write!(f, "there: {} ({})", label(device), printable(&device.stable_id)),
            Sighting::Arrival { device } => write!(f, "arrival: {} ({})", label(device), printable(&device.stable_id)),
            Sighting::Removal { stable_id, .. } => write!(f, "removal ({})", printable(stable_id)),
            Sighting::Button { button, .. } => write!(f, "button {button}"),
            Sighting::CancelIo { by, .. } => {
                write!(f, "everything cancelled by {} (pid {}, user {})", printable(&by.program), by.pid, by.uid)
            }
            Sighting::Idle { abort, .. } => match &abort.failed_step {
                None => f.write_str("idle"),
                Some(step) => write!(f, "may not be idle: {}", printable(step)),
            },
            Sighting::Problem { message, .. } => f.write_str(&printable(message)),
        }
    }
}

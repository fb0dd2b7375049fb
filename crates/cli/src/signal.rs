//! The signals that end `usbscan`.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// A signal that ends the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            SIGINT => f.write_str("interrupted"),
            SIGTERM => f.write_str("terminated"),
            SIGHUP => f.write_str("terminal closed"),
            other => write!(f, "ended by signal {other}"),
        }
    }
}

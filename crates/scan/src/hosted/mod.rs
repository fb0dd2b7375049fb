//! Scanners that a backend of SANE drives, in a process of its own: `usbscan-sane-host` (crates/sane-host) loads one backend over
//! our libusb and calls it, and is asked from here over a socket. The backend's options keep their names, units and ranges; its
//! pages become ours.
//!
//! A cancel gives control back after [`crate::CLEAN_UP`] at the latest, whatever the backend does. The process then goes on by
//! itself: it brings the scanner home as its backend does, and ends.
//!
//! | file | what |
//! |---|---|
//! | `frames` | the bytes of a frame to lines of a page, three passes to one |
//! | `link` | a request and its reply; cancels |
//! | `options` | the backend's options as ours |
//! | `process` | the process, from its start to its end |
//! | `scanner` | the whole of a page |

mod frames;
mod link;
mod options;
mod process;
mod scanner;

use std::path::PathBuf;

use crate::{Progress, ScanError, Scanner};

pub use process::HostedBackend;

/// In front of a backend's name in that of a driver: `sane:epson2`.
pub const PREFIX: &str = "sane:";

/// The program, in usbscan's private folder.
pub const PROGRAM: &str = "usbscan-sane-host";

impl HostedBackend {
    /// Starts the process, and opens the scanner. A cancel while nothing is open yet comes through `cancel`.
    ///
    /// # Errors
    /// [`ScanError::Backend`] where the backend can't be used; else what the backend says.
    pub fn open(
        &self,
        cancel: crate::Cancel,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        progress(Progress::Starting);
        Ok(Box::new(scanner::HostedScanner::open(self, cancel)?))
    }

    /// For cancels of what [`HostedBackend::open`] will open.
    pub fn cancel_handle() -> crate::Cancel {
        // The link looks whether it was cancelled: it has no transfers of its own to interrupt.
        crate::Cancel::new(|_| {})
    }

    /// With these files: the host program, and our libusb.
    pub fn new(program: PathBuf, libusb: PathBuf, backend: String, device: String, socket: PathBuf) -> HostedBackend {
        HostedBackend { program, libusb, backend, device, socket }
    }
}

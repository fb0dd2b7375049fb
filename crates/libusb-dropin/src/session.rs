//! An open scanner: a session with the daemon, from a handle's first real use to its end. A session has one scanner, so each
//! handle that is used has a connection of its own; one that is only opened and closed, as programs do to look at each
//! device, has none.

use std::ffi::c_int;
use std::sync::Arc;

use usbscan_wire::{Answer, Command, Faults, OpenBody, Status};

use crate::abi;
use crate::connection::{Connection, Gone};
use crate::daemon;
use crate::device::Device;
use crate::host;
use crate::status;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Arc<Connection>,
}

/// The code for a connection that has ended.
pub(crate) fn gone(_: Gone) -> c_int {
    abi::ERROR_NO_DEVICE
}

impl Session {
    /// Opens the device at the daemon. It takes faults as libusb's programs do: each is told, and they do what is to be done.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn open(device: &Device) -> Result<Session, c_int> {
        let connection = daemon::connect().map_err(|_| abi::ERROR_NO_DEVICE)?;
        host::add(&connection);
        let session = Session { connection };
        let (name, faults) = (device.name.clone(), Faults::Pass);
        let open = Command::Open { device: name, event: None, read: None, write: None, interface: None, faults };
        let body: OpenBody = session.ask(&open)?.body().map_err(|_| abi::ERROR_OTHER)?;
        // A name may have gone to another device since it was listed.
        if body.device.stable_id != device.stable_id {
            return Err(abi::ERROR_NO_DEVICE);
        }
        Ok(session)
    }

    /// Its way to the daemon.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    fn ask(&self, command: &Command) -> Result<Answer, c_int> {
        let answer = self.connection.call(command, &[]).map_err(gone)?;
        match answer.status {
            Status::Success => Ok(answer),
            other => Err(status::code(other)),
        }
    }

    /// Takes the scanner for this session alone.
    ///
    /// # Errors
    /// libusb's codes; `BUSY` when another session has it.
    pub fn lock(&self) -> Result<(), c_int> {
        self.ask(&Command::Lock { wait: false, if_unused: false }).map(drop)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn unlock(&self) -> Result<(), c_int> {
        self.ask(&Command::Unlock {}).map(drop)
    }

    /// Takes an interface, or another setting of one that it has.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn claim(&self, interface: u8, alternate: Option<u8>) -> Result<(), c_int> {
        self.ask(&Command::Claim { interface, alternate }).map(drop)
    }

    /// Gives an interface back.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn release(&self, interface: u8) -> Result<(), c_int> {
        self.ask(&Command::Release { interface }).map(drop)
    }

    /// Clears the halt of an endpoint.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn clear_halt(&self, endpoint: u8) -> Result<(), c_int> {
        self.ask(&Command::ResetPipe { pipe: None, endpoint: Some(endpoint) }).map(drop)
    }

    /// Resets the port.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn reset(&self) -> Result<(), c_int> {
        self.ask(&Command::ResetDevice { device: None }).map(drop)
    }

    /// Ends it in order: nothing has to be brought back to idle behind a program that has finished. One that was cancelled
    /// or got more than it had asked for, and has received nothing since, has not, though it closes its handle: its session
    /// just ends, and the daemon looks after the scanner.
    pub fn close(self) {
        if self.connection.is_unfinished() {
            return;
        }
        // A daemon that is gone has ended it already.
        let _ = self.ask(&Command::Close {});
    }
}

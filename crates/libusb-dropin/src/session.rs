//! An open scanner: a session with the daemon, from a handle's first real use to its end. A session has one scanner, so each
//! handle that is used has a connection of its own; one that is only opened and closed, as programs do to look at each
//! device, has none.

use std::ffi::c_int;
use std::sync::Arc;

use usbscan_wire::{Answer, Command, OpenBody, Pipe, Status};

use crate::abi;
use crate::connection::{Connection, Gone};
use crate::daemon;
use crate::device::Device;
use crate::status;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Arc<Connection>,
    interface: u8,
    pipes: OpenBody,
    locked: bool,
}

/// The code for a connection that has ended.
pub(crate) fn gone(_: Gone) -> c_int {
    abi::ERROR_NO_DEVICE
}

fn ask(connection: &Arc<Connection>, command: &Command) -> Result<Answer, c_int> {
    let answer = connection.call(command, &[]).map_err(gone)?;
    match answer.status {
        Status::Success => Ok(answer),
        other => Err(status::code(other)),
    }
}

impl Session {
    /// Opens the device at the daemon.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn open(device: &Device, interface: Option<u8>) -> Result<Session, c_int> {
        let connection = daemon::connect().map_err(|_| abi::ERROR_NO_DEVICE)?;
        Session::open_over(connection, device, interface)
    }

    fn open_over(connection: Arc<Connection>, device: &Device, interface: Option<u8>) -> Result<Session, c_int> {
        let name = device.name.clone();
        let open = Command::Open { device: name, event: None, read: None, write: None, interface };
        let body: OpenBody = ask(&connection, &open)?.body().map_err(|_| abi::ERROR_OTHER)?;
        // A name may have gone to another device since it was listed.
        if body.device.stable_id != device.stable_id {
            return Err(abi::ERROR_NO_DEVICE);
        }
        let interface = interface.unwrap_or(body.device.interface);
        Ok(Session { connection, interface, pipes: body, locked: false })
    }

    /// Its way to the daemon.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Takes an interface for this session alone.
    ///
    /// # Errors
    /// libusb's codes; `BUSY` when another session has the scanner.
    pub fn claim(&mut self, device: &Device, interface: u8) -> Result<(), c_int> {
        if self.interface != interface {
            ask(&self.connection, &Command::Close {})?;
            *self = Session::open_over(self.connection.clone(), device, Some(interface))?;
        }
        ask(&self.connection, &Command::Lock { wait: false, if_unused: false })?;
        self.locked = true;
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn release(&mut self) -> Result<(), c_int> {
        if std::mem::take(&mut self.locked) {
            ask(&self.connection, &Command::Unlock {})?;
        }
        Ok(())
    }

    /// The pipe that this session has at an endpoint.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn pipe(&self, endpoint: u8) -> Result<Pipe, c_int> {
        let bound =
            self.pipes.pipes.iter().find(|pipe| pipe.endpoint == endpoint).and_then(|pipe| pipe.bound.as_deref());
        match bound {
            Some("read") => Ok(Pipe::Read),
            Some("write") => Ok(Pipe::Write),
            Some("event") => Ok(Pipe::Event),
            _ => Err(abi::ERROR_NOT_FOUND),
        }
    }

    /// Clears the halt of an endpoint.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn clear_halt(&self, endpoint: u8) -> Result<(), c_int> {
        let pipe = self.pipe(endpoint)?;
        ask(&self.connection, &Command::ResetPipe { pipe }).map(drop)
    }

    /// Ends it in order: nothing has to be brought back to idle behind a program that has finished.
    pub fn close(self) {
        // A daemon that is gone has ended it already.
        let _ = ask(&self.connection, &Command::Close {});
    }

    /// Resets the port.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn reset(&self) -> Result<(), c_int> {
        ask(&self.connection, &Command::ResetDevice { device: None }).map(drop)
    }
}

//! A `libusb_device_handle`: a device that the program has opened, and the session that its first real use begins.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::abi;
use crate::descriptors::Endpoint;
use crate::device::Device;
use crate::session::Session;

/// What changes on a handle.
#[derive(Debug, Default)]
pub(crate) struct HandleState {
    /// From the first real use on.
    pub session: Option<Session>,
    /// The interfaces that are claimed, each with its alternate setting.
    pub claimed: BTreeMap<u8, u8>,
}

/// See the head of this file. A `libusb_device_handle *` is an `Arc` of one, so that a call that blocks keeps it while another
/// thread closes it.
#[derive(Debug)]
pub(crate) struct Handle {
    pid: u32,
    /// What it is a handle of.
    pub device: Arc<Device>,
    state: Mutex<HandleState>,
}

impl Handle {
    /// Opens, which asks nobody: programs open every device there is only to look at it.
    ///
    /// # Errors
    /// `ACCESS` where the daemon may not open it, `NO_DEVICE` when it is known to be gone.
    pub fn open(device: Arc<Device>) -> Result<Handle, c_int> {
        if device.is_gone() {
            return Err(abi::ERROR_NO_DEVICE);
        }
        if !device.accessible {
            return Err(abi::ERROR_ACCESS);
        }
        Ok(Handle { pid: std::process::id(), device, state: Mutex::default() })
    }

    /// Works with its state. Not for what may block for long: others wait meanwhile.
    ///
    /// # Errors
    /// `NO_DEVICE` in a child of the process that opened it, and what `work` says.
    pub fn with<T>(&self, work: impl FnOnce(&Device, &mut HandleState) -> Result<T, c_int>) -> Result<T, c_int> {
        if self.pid != std::process::id() {
            return Err(abi::ERROR_NO_DEVICE);
        }
        work(&self.device, &mut self.state.lock())
    }

    /// As [`Handle::with`], with the session, which begins if there is none or the last one's daemon is gone.
    ///
    /// # Errors
    /// As [`Handle::with`], and why it can't be opened.
    pub fn with_session<T>(
        &self,
        work: impl FnOnce(&Device, &mut Session, &mut BTreeMap<u8, u8>) -> Result<T, c_int>,
    ) -> Result<T, c_int> {
        self.with(|device, state| {
            let session = match &mut state.session {
                Some(session) if !session.connection().is_usable() => return Err(abi::ERROR_NO_DEVICE),
                Some(session) => session,
                none => none.insert(Session::open(device)?),
            };
            work(device, session, &mut state.claimed)
        })
    }

    /// Ends the session; what other threads have pending is cancelled.
    pub fn close(&self) {
        // In a child there is nothing to end: the session is the parent's.
        let session = self.with(|_, state| Ok(std::mem::take(state).session));
        if let Ok(Some(session)) = session {
            session.close();
        }
    }
}

/// What a program does to an open device, besides moving data.
impl Handle {
    /// Takes an interface. One that it has already is a success, as it is with libusb. With its first one a program has the
    /// scanner alone.
    ///
    /// # Errors
    /// libusb's codes; `BUSY` when another session has the scanner.
    pub fn claim(&self, interface: u8) -> Result<(), c_int> {
        self.with_session(|_, session, claimed| {
            if claimed.contains_key(&interface) {
                return Ok(());
            }
            if claimed.is_empty() {
                session.lock()?;
            }
            // Of a scanner that is not used its interfaces are in their first settings.
            if let Err(code) = session.claim(interface, Some(0)) {
                if claimed.is_empty() {
                    session.unlock()?;
                }
                return Err(code);
            }
            claimed.insert(interface, 0);
            Ok(())
        })
    }

    /// Gives an interface back. With the last one of a program that was cancelled its session ends, so that the daemon looks
    /// after the scanner; the next use begins another.
    ///
    /// # Errors
    /// `NOT_FOUND` for one that it does not have.
    pub fn release(&self, interface: u8) -> Result<(), c_int> {
        let left_behind = self.with_session(|_, session, claimed| {
            claimed.remove(&interface).ok_or(abi::ERROR_NOT_FOUND)?;
            if claimed.is_empty() && session.connection().is_unfinished() {
                return Ok(true);
            }
            let released = session.release(interface);
            if claimed.is_empty() {
                session.unlock()?;
            }
            released.map(|()| false)
        })?;
        if left_behind {
            self.close();
        }
        Ok(())
    }

    /// Chooses an alternate setting of an interface that it has.
    ///
    /// # Errors
    /// `NOT_FOUND` where it does not have the interface, or that has no such setting.
    pub fn set_alternate(&self, interface: u8, alternate: u8) -> Result<(), c_int> {
        self.with_session(|device, session, claimed| {
            let setting = claimed.get_mut(&interface).ok_or(abi::ERROR_NOT_FOUND)?;
            if !device.active().is_some_and(|active| active.has_setting(interface, alternate)) {
                return Err(abi::ERROR_NOT_FOUND);
            }
            session.claim(interface, Some(alternate))?;
            *setting = alternate;
            Ok(())
        })
    }

    /// How the bytes of an endpoint of an interface that it has are moved, and its largest packet.
    ///
    /// # Errors
    /// `IO` where it has none such, as the kernel's refusal becomes one in libusb.
    pub fn endpoint(&self, address: u8) -> Result<Endpoint, c_int> {
        self.with(|device, state| {
            let active = device.active().ok_or(abi::ERROR_IO)?;
            let found = state
                .claimed
                .iter()
                .find_map(|(interface, alternate)| active.endpoint(address, Some((*interface, *alternate))));
            found.ok_or(abi::ERROR_IO)
        })
    }

    /// Clears the halt of an endpoint.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn clear_halt(&self, endpoint: u8) -> Result<(), c_int> {
        self.with_session(|_, session, _| session.clear_halt(endpoint))
    }

    /// Resets the port.
    ///
    /// # Errors
    /// libusb's codes.
    pub fn reset(&self) -> Result<(), c_int> {
        self.with_session(|_, session, _| session.reset())
    }

    /// The configuration that it is in is a success without a byte on the wire. Another one would end every session's pipes.
    ///
    /// # Errors
    /// `BUSY` for another one.
    pub fn set_configuration(&self, value: c_int) -> Result<(), c_int> {
        self.with(|device, _| if value == c_int::from(device.configuration) { Ok(()) } else { Err(abi::ERROR_BUSY) })
    }
}

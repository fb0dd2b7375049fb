//! The lock of a session's scanner, for code that does not own the session.

use std::sync::Arc;
use std::time::Duration;

use usbscan_wire::{Command, Status};

use crate::link::Link;
use crate::{Error, GoneWhy, Pending};

/// A timeout for [`LockHandle::lock_timeout`]. Longer than any status query takes, short enough not to look like a hang.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes and gives back the lock of its session's scanner, and ends its session. For programs that keep a scanner open
/// for long and use it now and then, with the session inside a driver. It keeps nothing alive: after the session is
/// dropped every call ends with [`Error::Gone`].
#[derive(Debug, Clone)]
pub struct LockHandle {
    link: Arc<Link>,
}

impl LockHandle {
    pub(crate) fn new(link: Arc<Link>) -> LockHandle {
        LockHandle { link }
    }

    /// Takes the scanner's pipes for this session alone, or fails at once.
    ///
    /// # Errors
    /// A refusal with the status `busy`, naming the holder; [`Error::Gone`].
    pub fn lock(&self) -> Result<(), Error> {
        self.call(Command::Lock { wait: false, if_unused: false })
    }

    /// Takes them, but not where another session has used the scanner without the lock in the last seconds: for polling a status now and
    /// then, which must not get between the commands of a program that is used by hand.
    ///
    /// # Errors
    /// As [`LockHandle::lock`].
    pub fn lock_if_unused(&self) -> Result<(), Error> {
        self.call(Command::Lock { wait: false, if_unused: true })
    }

    /// Takes them, or waits for them until `timeout`: another program may only be reading the scanner's status.
    ///
    /// # Errors
    /// As [`LockHandle::lock`].
    pub fn lock_timeout(&self, timeout: Duration) -> Result<(), Error> {
        let mut waiting =
            Pending::start(&self.link, self.link.new_id(), &Command::Lock { wait: true, if_unused: false }, &[])?;
        if waiting.wait_for(timeout)?.is_some() {
            return Ok(());
        }
        // Dropped, it is cancelled, unless it was granted just now; then taking it again does nothing.
        drop(waiting);
        self.lock()
    }

    /// Gives the lock back. Nothing happens where the session does not have them.
    ///
    /// # Errors
    /// [`Error::Gone`], or a refusal other than `not-found`.
    pub fn unlock(&self) -> Result<(), Error> {
        match self.call(Command::Unlock {}) {
            Err(error) if error.status() == Some(Status::NotFound) => Ok(()),
            other => other,
        }
    }

    /// Ends the connection, and with it the lock; waits for nothing. The daemon then does what it does for a session that
    /// ends: it cancels, and brings the scanner back to idle if an abort sequence is armed.
    pub fn hang_up(&self) {
        self.link.hang_up(GoneWhy::Dropped);
    }

    /// Whether the connection has ended.
    pub fn is_gone(&self) -> bool {
        self.link.gone().is_some()
    }

    fn call(&self, command: Command) -> Result<(), Error> {
        Pending::start(&self.link, self.link.new_id(), &command, &[])?.wait().map(drop)
    }
}

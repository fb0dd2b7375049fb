//! Taking a scanner for a while, by who does not have the session in hand.

use std::sync::Arc;
use std::time::Duration;

use usbscan_wire::{Command, Status};

use crate::link::Link;
use crate::{Error, GoneWhy, Pending};

/// How long one may wait for a scanner that another has. More than any question to a scanner takes, and not so much that
/// somebody who waits in vain would wonder.
const MOMENT: Duration = Duration::from_secs(2);

/// Takes and gives back the lock of its session's scanner, and ends its session. For programs that keep a scanner open
/// for long and use it now and then, with the session inside a driver. It keeps nothing alive: after the session is
/// dropped every call ends with [`Error::Gone`].
#[derive(Debug, Clone)]
pub struct Lock {
    link: Arc<Link>,
}

impl Lock {
    pub(crate) fn new(link: Arc<Link>) -> Lock {
        Lock { link }
    }

    /// Takes the scanner's pipes for this session alone, or fails at once.
    ///
    /// # Errors
    /// A refusal with the status `busy`, naming the holder; [`Error::Gone`].
    pub fn take(&self) -> Result<(), Error> {
        self.call(Command::Lock { wait: false })
    }

    /// Takes them, or waits a moment: another may only be asking the scanner something, such as whether a button was
    /// pressed.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take_soon(&self) -> Result<(), Error> {
        let mut waiting = Pending::start(&self.link, self.link.new_id(), &Command::Lock { wait: true }, &[])?;
        if waiting.wait_for(MOMENT)?.is_some() {
            return Ok(());
        }
        // Dropped, it is cancelled, unless it was granted just now; then taking it again does nothing.
        drop(waiting);
        self.take()
    }

    /// Gives them back. Nothing happens where the session does not have them.
    ///
    /// # Errors
    /// [`Error::Gone`], or a refusal other than `not-found`.
    pub fn give_back(&self) -> Result<(), Error> {
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

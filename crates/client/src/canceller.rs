//! Cancelling what a session has under way, from any thread.

use std::sync::Arc;

use usbscan_wire::{AbortReport, Answer, Command, Status};

use crate::link::Link;
use crate::{Error, Pending};

/// Cancels what its session has under way. Any thread may hold one, and it keeps nothing alive: after
/// the session is dropped every call ends with [`Error::Gone`].
#[derive(Debug, Clone)]
pub struct Canceller {
    link: Arc<Link>,
}

impl Canceller {
    pub(crate) fn new(link: Arc<Link>) -> Canceller {
        Canceller { link }
    }

    /// Cancels one request and waits until it has its answer. `false` when there was nothing to cancel.
    ///
    /// # Errors
    /// [`Error::Gone`], or a refusal other than `not-found`.
    pub fn cancel_request(&self, id: u64) -> Result<bool, Error> {
        match self.call(Command::CancelRequest { request: id, session: None }) {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(Status::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks for one request to be cancelled, and waits for nothing.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub fn ask_cancel_request(&self, id: u64) -> Result<(), Error> {
        self.link.send(self.link.new_id(), &Command::CancelRequest { request: id, session: None }, &[])
    }

    /// Cancels everything that the session has under way, and waits until all have their answers.
    ///
    /// # Errors
    /// [`Error::Gone`], or a refusal.
    pub fn cancel_session(&self) -> Result<(), Error> {
        self.call(Command::CancelSession { session: None }).map(drop)
    }

    /// Cancels everything of everybody on the session's scanner, and brings it back to idle.
    ///
    /// # Errors
    /// [`Error::Gone`], or a refusal.
    pub fn cancel_pending(&self) -> Result<AbortReport, Error> {
        let answer = self.call(Command::CancelPending { device: None })?;
        answer.body().map_err(|source| Error::BadAnswer { command: "cancel-pending", source })
    }

    fn call(&self, command: Command) -> Result<Answer, Error> {
        Pending::start(&self.link, self.link.new_id(), &command, &[])?.wait()
    }
}

//! A request that is under way.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Select};
use usbscan_shm::Received;
use usbscan_wire::{Answer, Command, Event};

use crate::link::{Link, Reply};
use crate::reply_extra::ReplyExtra;
use crate::{Error, GoneWhy};

/// A request that is under way. Its answer is taken with [`Pending::wait`].
///
/// Dropped unfinished, it asks the daemon to cancel the request and waits for nothing: a read that nobody
/// waits for must not eat the next one's bytes.
#[derive(Debug)]
#[must_use = "dropping it cancels the request"]
pub struct Pending {
    id: u64,
    command: &'static str,
    answer: Receiver<Reply>,
    link: Arc<Link>,
    spent: bool,
}

impl Pending {
    pub(crate) fn start(link: &Arc<Link>, id: u64, command: &Command, payload: &[u8]) -> Result<Pending, Error> {
        Pending::start_with(link, id, command, payload, ReplyExtra::Nothing)
    }

    /// Of a request that has something out.
    pub(crate) fn start_with(
        link: &Arc<Link>,
        id: u64,
        command: &Command,
        payload: &[u8],
        extra: ReplyExtra,
    ) -> Result<Pending, Error> {
        let name = command.name();
        let answer = link.start(id, command, payload, extra)?;
        Ok(Pending { id, command: name, answer, link: link.clone(), spent: false })
    }

    /// The id by which it can be cancelled.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`Error::Refused`] with the answer when that is not `success`; [`Error::Gone`].
    pub fn wait(mut self) -> Result<Answer, Error> {
        let reply = self.answer.recv();
        self.spent = true;
        match reply {
            Ok(Reply { answer, .. }) => Error::unless_success(self.command, answer),
            Err(_) => Err(self.gone()),
        }
    }

    /// Waits for the end, but no longer than this; `None` when it has not come yet.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<Answer>, Error> {
        self.wait_with_descriptor(timeout).map(|reply| reply.map(|(answer, _)| answer))
    }

    /// The same, but it also returns `None` as soon as `wake` has a message, which it takes, or `events` have one, which the caller is
    /// to take.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn wait_unless_woken(
        &mut self,
        timeout: Duration,
        wake: &Receiver<()>,
        events: &Receiver<Event>,
    ) -> Result<Option<Answer>, Error> {
        let mut select = Select::new();
        select.recv(&self.answer);
        select.recv(wake);
        select.recv(events);
        // Whichever is ready; the answer first, if both are.
        if select.ready_timeout(timeout).is_ok() && self.answer.is_empty() {
            let _ = wake.try_recv();
        }
        self.wait_for(Duration::ZERO)
    }

    /// The same, with the descriptor that came along.
    pub(crate) fn wait_with_descriptor(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<(Answer, Option<Received>)>, Error> {
        match self.answer.recv_timeout(timeout) {
            Ok(Reply { answer, descriptor }) => {
                self.spent = true;
                Error::unless_success(self.command, answer).map(|answer| Some((answer, descriptor)))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                self.spent = true;
                Err(self.gone())
            }
        }
    }

    /// Lets it go on without anyone waiting for the answer.
    pub fn detach(mut self) {
        self.spent = true;
        self.link.forget(self.id);
    }

    fn gone(&self) -> Error {
        Error::Gone { command: self.command, why: self.link.gone().unwrap_or(GoneWhy::Closed) }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.spent || !self.link.forget(self.id) {
            return;
        }
        let cancel = Command::CancelRequest { request: self.id, session: None };
        if let Err(error) = self.link.send(self.link.new_id(), &cancel, &[]) {
            log::debug!("cancel the dropped request {}: {error}", self.id);
        }
    }
}

//! One request and its reply, and the cancel that may come between the two. Used by the thread that scans.

use std::net::Shutdown;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crossbeam_channel::{at, never, select};
use parking_lot::Mutex;
use usbscan_sane_protocol::{Call, Reply, Request, Unusable, status};

use super::process::{HostedBackend, Incoming, Process};
use crate::{BackendError, Cancel, DeviceError, ScanError, SignalNumber};

/// How long a process may take to end in order before it is left to that: the carriage may be on its way home.
const CLOSING: Duration = Duration::from_secs(1);

/// A process that answers.
pub(super) struct Link {
    backend: String,
    cancel: Cancel,
    process: Process,
    state: Mutex<LinkState>,
}

/// What is known of the process. Locked for a request and all of its replies.
#[derive(Debug, Default, Clone, Copy)]
struct LinkState {
    /// `cancel` was sent, and its end not seen yet.
    cancelling: bool,
    /// It has ended, or nobody here waits for it any more.
    is_over: bool,
}

impl Link {
    /// Starts a process.
    pub fn start(of: &HostedBackend, cancel: Cancel) -> Result<Link, ScanError> {
        let process = of.start().map_err(ScanError::from)?;
        Ok(Link { backend: of.backend.clone(), cancel, process, state: Mutex::default() })
    }

    pub fn backend(&self) -> &str {
        &self.backend
    }

    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Asks, and waits for the first reply.
    ///
    /// # Errors
    /// Failures that were answered, by their status; [`ScanError::Cancelled`].
    pub fn ask(&self, request: &Request) -> Result<Reply, ScanError> {
        let mut state = self.state.lock();
        if self.cancel.is_requested() {
            // Nothing is under way; between two pages of a feeder the caller ends the batch.
            return Err(ScanError::Cancelled { idle: false });
        }
        self.send(request, &mut state)?;
        self.receive(&mut state)
    }

    /// Waits for another reply.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub fn next(&self) -> Result<Reply, ScanError> {
        self.receive(&mut self.state.lock())
    }

    /// Ends the page that is under way, cancelled or not, before control has to be given back. Whether the scanner is idle then.
    pub fn stop(&self) -> bool {
        self.cancel.acknowledge();
        let mut state = self.state.lock();
        if state.is_over || self.send(&Request::Cancel {}, &mut state).is_err() {
            return false;
        }
        state.cancelling = true;
        let ended = self.receive(&mut state);
        matches!(ended, Err(ScanError::Cancelled { idle: true }))
    }

    fn send(&self, request: &Request, state: &mut LinkState) -> Result<(), ScanError> {
        if state.is_over {
            return Err(self.ended().into());
        }
        // Where nobody is there to take it, the thread that reads knows why.
        if let Err(error) = request.write_to(&mut &self.process.to_host) {
            log::debug!("ask the host of {}: {error}", self.backend);
        }
        Ok(())
    }

    fn receive(&self, state: &mut LinkState) -> Result<Reply, ScanError> {
        if state.is_over {
            return Err(self.ended().into());
        }
        let woken = self.cancel.woken();
        loop {
            if self.cancel.is_requested() && !state.cancelling {
                self.send(&Request::Cancel {}, state)?;
                state.cancelling = true;
            }
            let deadline = self.cancel.deadline().map_or_else(never, at);
            select! {
                recv(self.process.replies) -> incoming => match incoming {
                    Ok(Incoming::Reply(Reply::Cancelled {})) => {
                        state.cancelling = false;
                        self.cancel.reset();
                        return Err(ScanError::Cancelled { idle: true });
                    }
                    // What was under way when the cancel came.
                    Ok(Incoming::Reply(_)) if state.cancelling => {}
                    Ok(Incoming::Reply(reply)) => return self.take(reply),
                    Ok(Incoming::Nonsense(source)) => {
                        state.is_over = true;
                        return Err(BackendError::Message { backend: self.backend.clone(), source }.into());
                    }
                    Ok(Incoming::Ended(how)) => {
                        state.is_over = true;
                        let signal = how.ok().and_then(|how| how.signal()).map(SignalNumber);
                        return Err(match signal {
                            Some(signal) => BackendError::Crashed { backend: self.backend.clone(), signal },
                            None => self.ended(),
                        }.into());
                    }
                    Err(_) => {
                        state.is_over = true;
                        return Err(self.ended().into());
                    }
                },
                recv(woken) -> _ => {}
                recv(deadline) -> _ => {
                    // Control is given back; the process goes on, and ends by itself.
                    self.abandon(state);
                    return Err(ScanError::Cancelled { idle: false });
                }
            }
        }
    }

    fn abandon(&self, state: &mut LinkState) {
        state.is_over = true;
        let _ = self.process.to_host.shutdown(Shutdown::Both);
    }

    fn ended(&self) -> BackendError {
        BackendError::Ended { backend: self.backend.clone() }
    }

    pub fn other_reply(&self) -> ScanError {
        BackendError::OtherReply { backend: self.backend.clone() }.into()
    }

    /// What a failure means.
    fn take(&self, reply: Reply) -> Result<Reply, ScanError> {
        let backend = self.backend.clone();
        match reply {
            Reply::Failed { cancelled: true, .. } => Err(ScanError::Cancelled { idle: false }),
            Reply::Failed { call, status, .. } => Err(match (call, status) {
                (Call::SaneControlOption, _) => BackendError::Status { backend, call: call.name(), status }.into(),
                (_, status::NO_DOCS) => DeviceError::NoDocuments.into(),
                (_, status::JAMMED) => DeviceError::PaperJam.into(),
                (_, status::COVER_OPEN) => DeviceError::CoverOpen.into(),
                (_, status::DEVICE_BUSY) => DeviceError::Busy.into(),
                (Call::SaneStart | Call::SaneRead, status::CANCELLED) => DeviceError::CancelledAtDevice.into(),
                _ => BackendError::Status { backend, call: call.name(), status }.into(),
            }),
            Reply::Unusable { reason } => Err(match reason {
                Unusable::NotInstalled { folders } => BackendError::NotInstalled { backend, folders },
                Unusable::NotLoadable { reason } => BackendError::NotLoadable { backend, reason },
                Unusable::NoDevice => BackendError::NoDevice { backend },
            }
            .into()),
            reply => Ok(reply),
        }
    }
}

/// Lets the process close its scanner, and waits a little for that.
impl Drop for Link {
    fn drop(&mut self) {
        if self.state.get_mut().is_over {
            return;
        }
        let _ = self.process.to_host.shutdown(Shutdown::Write);
        if self.cancel.deadline().is_some() {
            return;
        }
        let until = std::time::Instant::now() + CLOSING;
        // Replies that nobody wants any more, until its end or the time for it.
        while let Ok(Incoming::Reply(_)) = self.process.replies.recv_deadline(until) {}
    }
}

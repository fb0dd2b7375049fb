//! The port reset: the last rung of a recovery, and what a person asks for with `reset-device`. The device may come back at
//! another address; what arrives at its port is then taken for the same scanner, and nobody sees it leave.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, select};
use usbscan_usb::DeviceInfo;

use crate::config::models::ResetPolicy;
use crate::failure::Failure;
use crate::pipe::orders::{Order, PipeHandle, Role};
use crate::reply::responder::Responder;
use crate::scanner::claim::ResetEnd;
use crate::scanner::gates::{quiesce, resume, wait};
use crate::scanner::message::PendingCancel;
use crate::scanner::reset_policy::{may_reset, policy};
use crate::scanner::supervisor::Supervisor;

/// Why a scanner has not been reset.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotReset {
    /// Policy or bus did not allow it; nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// It has left its port, and not come back in time.
    #[error("the scanner has not come back to its port")]
    Missing,
    /// It has come back as something else, or was unplugged.
    #[error("the scanner has come back as another device, or was unplugged")]
    Gone,
    /// The call has not returned.
    #[error("it has not returned")]
    HostStuck,
}

impl Supervisor {
    /// Whether this scanner's port may be reset by itself.
    pub(super) fn may_reset(&self) -> Result<(), &'static str> {
        let config = self.environment.configured.now();
        let own = self.scanner.model.as_ref().and_then(|model| model.quirks.reset);
        let policy = policy(own, config.reset, self.scanner.info().configuration.as_ref());
        may_reset(policy, !self.sessions_on_other_interfaces().is_empty())
    }

    /// Whether a job that left no abort sequence is followed by a reset.
    pub(super) fn resets_after_job(&self) -> bool {
        let config = self.environment.configured.now();
        let own = self.scanner.model.as_ref().and_then(|model| model.quirks.reset);
        policy(own, config.reset, self.scanner.info().configuration.as_ref()) == ResetPolicy::AfterJob
    }

    /// Sessions that hold another interface of the device than the scanner's own.
    fn sessions_on_other_interfaces(&self) -> Vec<String> {
        let own = self.scanner.function().interface;
        let sessions = self.scanner.sessions().into_iter();
        let others = sessions.filter(|s| s.binding().is_some_and(|binding| binding.interface != own));
        others.map(|session| session.label()).collect()
    }

    /// Resets the port. All pipes but those for events are quiet already; waits for events are taken out of flight, and put
    /// back afterwards.
    pub(super) fn reset_port(&mut self) -> Result<(), NotReset> {
        let pipes = self.scanner.pipes();
        let events: Vec<PipeHandle> = pipes.iter().filter(|pipe| pipe.role == Role::Event).cloned().collect();
        if quiesce(&events, |_| None).is_err() {
            return Err(NotReset::HostStuck);
        }
        self.scanner.recovery.tries("port-reset");
        log::info!("{}: its port is reset", self.scanner.name);
        let returned = self.scanner.recovery.await_return();
        let reset = self.reset_and_return(&returned);
        self.scanner.recovery.stop_awaiting();
        if reset.is_ok() {
            self.forget_halts(&pipes);
        }
        resume(&events);
        reset
    }

    fn reset_and_return(&mut self, returned: &Receiver<DeviceInfo>) -> Result<(), NotReset> {
        let times = self.environment.configured.now().recovery;
        let Some(claimed) = self.claimed.as_mut() else { return Err(NotReset::Gone) };
        match claimed.reset(times.port_reset) {
            ResetEnd::Done => Ok(()),
            ResetEnd::Refused(error) => Err(NotReset::Refused(error.to_string())),
            ResetEnd::Stuck => {
                log::error!("{}: the port reset has not returned in {:?}", self.scanner.name, times.port_reset);
                Err(NotReset::HostStuck)
            }
            ResetEnd::Left(error) => {
                log::info!("{}: it has left its port ({error})", self.scanner.name);
                self.scanner.recovery.tries("return");
                self.wait_for_return(returned, times.return_to_port)
            }
        }
    }

    fn wait_for_return(&mut self, returned: &Receiver<DeviceInfo>, limit: Duration) -> Result<(), NotReset> {
        let mut until = Instant::now() + limit;
        if let Some(shutdown) = self.scanner.recovery.shutdown() {
            until = until.min(shutdown);
        }
        loop {
            let info = select! {
                recv(returned) -> info => match info {
                    Ok(info) => info,
                    // Something else is at the port, or the scanner was unplugged: the registry has parted from it.
                    Err(_) => return Err(NotReset::Gone),
                },
                recv(self.scanner.recovery.on_shutdown()) -> at => {
                    until = at.map_or(until, |at| until.min(at));
                    continue;
                }
                recv(after(until.saturating_duration_since(Instant::now()))) -> _ => return Err(NotReset::Missing),
            };
            log::info!("{}: it is back as {}", self.scanner.name, info.label());
            self.scanner.set_info(info);
            let Some(claimed) = self.claimed.as_mut() else { return Err(NotReset::Gone) };
            match claimed.reopen() {
                Ok(()) => return Ok(()),
                // It may have left once more, or its rights are about to change: the registry looks again.
                Err(error) => log::info!("{error}"),
            }
        }
    }

    /// `reset-device`, which a person asks for: refused only where others would lose an interface by it.
    pub(super) fn reset_device(&mut self, pending: PendingCancel) {
        let (responder, outcome) = self.reset_for(pending);
        self.scanner.end_reset();
        match outcome {
            Ok(()) => responder.done(),
            Err(failure) => responder.fail(&failure),
        }
    }

    fn reset_for(&mut self, pending: PendingCancel) -> (Responder, Result<(), Failure>) {
        let PendingCancel { by, sum, responder, .. } = pending;
        let device = self.scanner.name.clone();
        let others = self.sessions_on_other_interfaces();
        let refusal = match others.is_empty() {
            true => None,
            false => Some(Failure::OthersHold { device: device.clone(), others: others.join(", ") }),
        };
        let possible = refusal.map_or(Ok(()), Err).and_then(|()| self.scanner.check_device());
        if let Err(failure) = possible.and_then(|()| self.claim().map(drop)) {
            drop(by);
            wait(&sum);
            return (responder, Err(failure));
        }
        self.scanner.begin_recovery();
        let pipes: Vec<PipeHandle> = self.scanner.pipes();
        let quiet = quiesce(&pipes, |_| Some(by.clone()));
        drop(by);
        wait(&sum);
        let reset = if quiet.is_ok() { self.reset_port() } else { Err(NotReset::HostStuck) };
        let outcome = match reset {
            Ok(()) => {
                self.scanner.recovery.set_unresponsive(None);
                self.scanner.sessions().iter().for_each(|session| session.mark_idle());
                Ok(())
            }
            Err(NotReset::Refused(why)) => Err(Failure::NotReset { device, why }),
            Err(why) => {
                self.after_failed_reset(why);
                self.scanner.check().and(Err(Failure::Unresponsive { device }))
            }
        };
        resume(&pipes);
        self.scanner.end_recovery();
        self.release_later();
        (responder, outcome)
    }

    /// Writes down what has become of a scanner that is not there after a reset.
    pub(super) fn after_failed_reset(&mut self, why: NotReset) {
        match why {
            NotReset::Refused(_) => {}
            NotReset::HostStuck => self.give_up(),
            NotReset::Gone => {
                self.scanner.tell_pipes(|| Order::Lost);
                self.scanner.set_gone(true);
            }
            NotReset::Missing => self.become_unresponsive(None, true),
        }
    }
}

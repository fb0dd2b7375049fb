//! Clearing halts, when somebody asks (`reset-pipe`), when a model wants it, and after the last session.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::failure::Failure;
use crate::pipe::cancellation::Cancellation;
use crate::pipe::orders::{Order, PipeHandle, Role};
use crate::reply::responder::Responder;
use crate::scanner::abort;
use crate::scanner::gates::{NotQuiet, quiesce, resume};
use crate::scanner::handle::Scanner;
use crate::scanner::supervisor::Supervisor;

/// How long a reset waits for another's control request before it says who is in the way.
const CONTROL_PATIENCE: Duration = Duration::from_secs(5);

impl Supervisor {
    /// `reset-pipe`: cancels, waits until the pipes and control are quiet, clears the halts.
    pub(super) fn reset_pipes(&mut self, pipes: Vec<PipeHandle>, by: Arc<Cancellation>, responder: Responder) {
        let quiet = quiesce(&pipes, |_| Some(by.clone()));
        drop(by);
        let device = self.scanner.name.clone();
        let outcome =
            quiet.map_err(|NotQuiet| Failure::HostStuck { device }).and_then(|()| self.clear_quiet_halts(&pipes));
        resume(&pipes);
        self.scanner.end_pipe_cancel();
        match self.scanner.check().and(outcome) {
            Err(failure) => responder.fail(&failure),
            Ok(()) => responder.done(),
        }
    }

    /// Clears the halts of frozen pipes, without cancelling what waits on others.
    pub(super) fn clear_halts(&mut self, pipes: Vec<PipeHandle>) {
        let halted: Vec<PipeHandle> = pipes.into_iter().filter(PipeHandle::is_halted).collect();
        if halted.is_empty() {
            return;
        }
        if quiesce(&halted, |_| None).is_ok() {
            if let Err(failure) = self.clear_quiet_halts(&halted) {
                log::warn!("{failure}");
            }
        }
        resume(&halted);
    }

    fn clear_quiet_halts(&mut self, pipes: &[PipeHandle]) -> Result<(), Failure> {
        let on_the_wire = self.clears_halts();
        let scanner = self.scanner.clone();
        with_control_quiet(&scanner, || {
            if let Some(claimed) = self.claimed.as_mut() {
                claimed.prepare_to_clear();
            }
            pipes.iter().try_for_each(|pipe| Ok(abort::clear_halt(pipe, on_the_wire)?))
        })
    }

    /// Whether halts are cleared on the wire: some models take it badly.
    pub(super) fn clears_halts(&self) -> bool {
        !self.scanner.model.as_ref().is_some_and(|model| model.quirks.no_clear_halt)
    }

    /// The device forgot its halts; the pipes do too, and both sides' toggles begin anew.
    pub(super) fn forget_halts(&self, pipes: &[PipeHandle]) {
        for pipe in pipes {
            pipe.tell(Order::DropSurplus { session: None });
            if let Err(error) = abort::clear_halt(pipe, false) {
                log::warn!("{error}");
            }
        }
    }
}

/// Does something for which the kernel holds the device's lock, while no control request is pending: everybody's cancels would
/// wait behind one.
pub(super) fn with_control_quiet<T>(
    scanner: &Scanner,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let control: Vec<_> = scanner.pipes().into_iter().filter(|pipe| pipe.role == Role::Control).collect();
    let (quiet, is_quiet) = bounded(control.len());
    control.iter().for_each(|pipe| pipe.tell(Order::Quiesce { cancel: None, quiet: quiet.clone() }));
    drop(quiet);
    let done = match is_quiet.recv_timeout(CONTROL_PATIENCE) {
        Ok(()) => work(),
        Err(_) => Err(Failure::ControlPending { device: scanner.name.clone() }),
    };
    resume(&control);
    done
}

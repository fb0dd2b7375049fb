//! What the supervisor does with the scanner to itself: cancels everything and brings it back to idle, when somebody
//! asks and when a session ends; clears halts; resets.
//!
//! When a session ends, its requests are cancelled, and then one of these is done:
//!
//! | left by the session | done |
//! | --- | --- |
//! | an abort sequence, and the scanner used since it was armed | the sequence |
//! | no sequence; its end cancelled a read, write or control request, or it used the scanner and its connection ended without `close` | what USB alone allows: drain, and for still image devices their class's requests |
//! | neither: `close` with every request answered, or nothing used since `disarm-abort` | nothing; it costs no time |
//! | anything, while another session has the lock, has used the scanner since, or has ended its job or its lock | nothing |
//!
//! Either takes the pipes from all other sessions for its time, and cancels what they have on them; so without a
//! sequence nothing is done while another session has requests on the bulk pipes, which are its own job's.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use usbscan_usb::ErrorKind;
use usbscan_wire::{AbortReport, AbortStep, Event, Pipe};

use crate::failure::Failure;
use crate::pipe::cancellation::{CancelCount, Cancellation};
use crate::pipe::endpoint_io::WATCHDOG;
use crate::pipe::orders::{CancelTarget, Order, PipeHandle, Role};
use crate::reply::responder::Responder;
use crate::scanner::abort::{self, AbortContext, Drain};
use crate::scanner::function;
use crate::scanner::handle::Scanner;
use crate::scanner::message::{CloseReason, PendingCancel};
use crate::scanner::supervisor::Supervisor;
use crate::session::binding::Binding;
use crate::session::handle::Session;

/// Silence that ends a drain; scanners send without longer pauses while they have something.
const DRAIN_QUIET: Duration = Duration::from_millis(200);
/// The most that a drain takes.
const DRAIN_MOST: Duration = Duration::from_secs(3);
/// How long a reset waits for another's control request before it says who is in the way.
const CONTROL_PATIENCE: Duration = Duration::from_secs(5);

/// The host did not give everything back in time.
#[derive(Debug)]
struct NotQuiet;

/// A cancel and where its end is told.
fn cancellation() -> (Arc<Cancellation>, Receiver<CancelCount>) {
    let (told, sum) = bounded(1);
    // Whoever waited may have given up on a host-stuck scanner.
    let by = Cancellation::new(move |sum| {
        let _ = told.send(sum);
    });
    (by, sum)
}

/// Cancels what a session has outstanding, and waits for the end of that. Returns how many requests of its job that
/// were: not those for events. On the session's own thread, so that a supervisor which waits for one of them goes on.
pub(crate) fn cancel_session(scanner: &Scanner, binding: &Binding, id: u64) -> u64 {
    scanner.cancel_lock_waiters(|waiting, _| waiting == id);
    let (jobs, events): (Vec<_>, Vec<_>) = binding.pipes().cloned().partition(|pipe| pipe.role != Role::Event);
    let (by, sum) = cancellation();
    Scanner::cancel(&jobs, CancelTarget::Session(id), &by);
    let (also, rest) = cancellation();
    Scanner::cancel(&events, CancelTarget::Session(id), &also);
    drop((by, also));
    let cut_short = wait(&sum);
    wait(&rest);
    cut_short
}

impl Supervisor {
    // ---- a session ends

    /// Its requests end, its job is aborted if it left one, its lock is free. The next session gets the pipes after that.
    pub(super) fn leave(&mut self, session: &Arc<Session>, reason: CloseReason, cut_short: u64) {
        let id = session.id();
        let armed = session.armed().filter(|_| session.has_used_scanner());
        let unfinished = cut_short > 0 || (reason == CloseReason::Died && session.has_used_scanner());
        let healthy = self.scanner.check().is_ok() && self.claimed.is_some();
        // The scanner is another's now: what this one left was ended when that one got the lock, or by a cancel.
        let is_others = self.scanner.lock_holder().is_some_and(|holder| holder != id);
        let is_over = session.is_job_over() || session.has_lost_lock();
        match armed {
            _ if !healthy || is_others || is_over => {}
            Some(steps) => self.abort_job(session, Some(&steps)),
            None if unfinished && self.scanner.was_last_used_by(id) && self.others_are_still(id) => {
                self.abort_job(session, None);
            }
            None => {}
        }
        session.disarm();
        self.scanner.tell_pipes(|| Order::DropSurplus { session: Some(id) });
        self.scanner.detach(session);
        if healthy && self.scanner.sessions().is_empty() {
            self.clear_halts(self.scanner.pipes());
        }
        self.scanner.release_lock(id);
        self.after_the_last_session();
    }

    /// Whether no other session has a request on the pipes of jobs.
    fn others_are_still(&self, id: u64) -> bool {
        let events: Vec<_> = self.scanner.pipes().iter().filter(|p| p.role == Role::Event).map(|p| p.address).collect();
        let others = self.scanner.sessions().into_iter().filter(|session| session.id() != id);
        let busy = |session: &Arc<Session>| session.pending().iter().any(|request| !events.contains(&request.endpoint));
        others.into_iter().all(|session| !busy(&session))
    }

    fn abort_job(&mut self, session: &Session, steps: Option<&[AbortStep]>) {
        let name = self.scanner.name.clone();
        let kind = if steps.is_some() { "runs its abort sequence" } else { "is brought back to idle" };
        log::info!("{name}: {} ended in the middle of something; the scanner {kind}", session.label());
        self.scanner.set_cancelling(true);
        self.scanner.end_jobs(session.id());
        let clears_event =
            steps.is_some_and(|s| s.iter().any(|s| matches!(s, AbortStep::ClearHalt { pipe: Pipe::Event })));
        let pipes: Vec<_> =
            self.scanner.pipes().into_iter().filter(|pipe| pipe.role != Role::Event || clears_event).collect();
        let (by, sum) = cancellation();
        let quiet = quiesce(&pipes, |pipe| (pipe.role != Role::Event).then(|| by.clone()));
        drop(by);
        let cancelled = wait(&sum);
        if cancelled > 0 {
            log::info!("{name}: {cancelled} requests of other sessions are cancelled by that");
        }
        if quiet.is_err() {
            self.give_up();
        } else {
            let mut report = AbortReport::default();
            self.bring_to_idle(session.binding().as_deref(), steps, &mut report);
        }
        resume(&pipes);
        self.scanner.set_cancelling(false);
    }

    /// Not even a worker has answered in time. A device that is gone will say so itself.
    fn give_up(&self) {
        if self.scanner.check().is_ok() {
            log::error!("{}: the host controller did not return a cancelled transfer", self.scanner.name);
            self.scanner.set_host_stuck();
            self.scanner.tell_pipes(|| Order::HostStuck);
        }
    }

    // ---- cancel-pending

    pub(super) fn cancel_pending(&mut self, pending: PendingCancel) {
        let PendingCancel { peer, by, sum, responder } = pending;
        let name = self.scanner.name.to_string();
        if let Err(failure) = self.scanner.check().and_then(|()| self.claim().map(drop)) {
            drop(by);
            wait(&sum);
            responder.fail(&failure);
            return self.scanner.take_joined_cancels().into_iter().for_each(|joined| joined.responder.fail(&failure));
        }
        self.scanner.set_cancelling(true);
        let pipes = self.scanner.pipes();
        let gates = close_gates(&pipes, |_| Some(by.clone()));
        drop(by);
        // A client that sees this and goes on at once waits behind the gates.
        self.announce(Event::CancelIo { name: name.clone(), by: peer });
        let quiet = until_quiet(gates);
        let mut report = AbortReport { cancelled: wait(&sum), ..AbortReport::default() };
        match quiet {
            Ok(()) => self.abort_everybodys_job(&mut report),
            Err(NotQuiet) => {
                report.failed_step = Some("cancel: the host controller did not return a transfer".to_owned());
                self.give_up();
            }
        }
        resume(&pipes);
        self.scanner.set_cancelling(false);
        log::info!("{name}: {} requests cancelled, {}", report.cancelled, in_words(&report));
        self.announce(Event::Idle { name, abort: report.clone() });
        self.release_later();
        self.answer_cancel(responder, &report);
        for PendingCancel { by, sum, responder, .. } in self.scanner.take_joined_cancels() {
            drop(by);
            let report = AbortReport { cancelled: wait(&sum), ..report.clone() };
            self.answer_cancel(responder, &report);
        }
    }

    fn answer_cancel(&self, responder: Responder, report: &AbortReport) {
        match self.scanner.check() {
            Ok(()) => responder.done_with_body(0, report),
            Err(failure) => responder.fail_with_body(&failure, report),
        }
    }

    /// The sequences of those who left one, the lock's holder first; or what USB alone allows.
    fn abort_everybodys_job(&mut self, report: &mut AbortReport) {
        let mut sessions = self.scanner.sessions();
        let holder = self.scanner.lock_holder();
        sessions.sort_by_key(|session| Some(session.id()) != holder);
        let armed: Vec<_> = sessions.iter().filter_map(|session| Some((session, session.armed()?))).collect();
        for (session, steps) in &armed {
            self.bring_to_idle(session.binding().as_deref(), Some(steps), report);
        }
        if armed.is_empty() {
            self.bring_to_idle(None, None, report);
        }
        if report.failed_step.is_none() {
            sessions.iter().for_each(|session| session.mark_idle());
        }
    }

    fn announce(&self, event: Event) {
        let scanner = &self.scanner;
        self.environment
            .sessions
            .broadcast(event, |session| session.binding().is_some_and(|binding| binding.scanner == scanner.id));
    }

    // ---- the method

    /// Everything is quiet. Surplus bytes and halts go, then the steps run on the pipes that the session had bound.
    fn bring_to_idle(&mut self, binding: Option<&Binding>, steps: Option<&[AbortStep]>, report: &mut AbortReport) {
        self.scanner.tell_pipes(|| Order::DropSurplus { session: None });
        let bench = match binding {
            Some(binding) => Ok(self.bench_of(binding)),
            None => self.bench(),
        };
        let bench = match bench {
            Ok(bench) => bench,
            Err(failure) => {
                report.failed_step.get_or_insert(failure.to_string());
                return;
            }
        };
        let mut bench = AbortContext { claimed: self.claimed.as_mut(), ..bench };
        let pipes = self.scanner.pipes();
        pipes.iter().filter(|pipe| pipe.role != Role::Event).for_each(|pipe| bench.unhalt(pipe));
        let quirks = self.scanner.model.as_ref().map(|model| model.quirks).unwrap_or_default();
        let quiet = quirks.drain_ms.map_or(DRAIN_QUIET, |ms| Duration::from_millis(u64::from(ms)));
        let drain = Drain { quiet, most: DRAIN_MOST.max(quiet * 2) };
        match steps {
            Some(steps) => bench.run(steps, report),
            None if self.scanner.function.still_image => bench.run_class(drain, report),
            None => bench.drain_only(drain, report),
        }
        pipes.iter().filter(|pipe| pipe.role != Role::Event).for_each(|pipe| bench.unhalt(pipe));
        self.scanner.tell_pipes(|| Order::DropSurplus { session: None });
        if report.failed_step.is_some() && quirks.reset_to_idle {
            self.reset_as_last_resort(report);
        }
    }

    fn reset_as_last_resort(&mut self, report: &mut AbortReport) {
        let Some(claimed) = self.claimed.as_mut() else { return };
        log::info!("{}: nothing else helped, so its port is reset", self.scanner.name);
        match claimed.reset() {
            Ok(()) => report.failed_step = None,
            Err(error) => log::warn!("{error}"),
        }
    }

    fn clears_halts(&self) -> bool {
        !self.scanner.model.as_ref().is_some_and(|model| model.quirks.no_clear_halt)
    }

    fn bench_of(&self, binding: &Binding) -> AbortContext<'static> {
        AbortContext {
            device: self.scanner.name.clone(),
            interface: binding.interface,
            control: binding.control.clone(),
            read: binding.read.clone(),
            write: binding.write.clone(),
            event: binding.event.clone(),
            clears_halts: self.clears_halts(),
            claimed: None,
        }
    }

    /// On the pipes that a session would get that names none.
    fn bench(&mut self) -> Result<AbortContext<'static>, Failure> {
        let scanner = self.scanner.clone();
        let clears_halts = self.clears_halts();
        let endpoints = function::endpoints(&scanner.info, scanner.function);
        let claimed = self.claim()?;
        let mut pipe = |role: Role| -> Result<Option<PipeHandle>, Failure> {
            let endpoint = function::choose(endpoints, role, None).unwrap_or_default();
            Ok(endpoint.map(|endpoint| claimed.pipe(&endpoint)).transpose()?)
        };
        let (read, write) = (pipe(Role::Read)?, pipe(Role::Write)?);
        let (control, handles) = (claimed.control().clone(), claimed.handles());
        scanner.set_claim_state(crate::scanner::handle::ClaimState::Claimed, handles);
        let (device, interface) = (scanner.name.clone(), scanner.function.interface);
        Ok(AbortContext { device, interface, control, read, write, event: None, clears_halts, claimed: None })
    }

    // ---- resets

    /// `reset-pipe`: cancels, waits until the pipes and control are quiet, clears the halts.
    pub(super) fn reset_pipes(&mut self, pipes: Vec<PipeHandle>, by: Arc<Cancellation>, responder: Responder) {
        let quiet = quiesce(&pipes, |_| Some(by.clone()));
        drop(by);
        let device = self.scanner.name.clone();
        let outcome =
            quiet.map_err(|NotQuiet| Failure::HostStuck { device }).and_then(|()| self.clear_quiet_halts(&pipes));
        resume(&pipes);
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

    /// No control request may be pending while a halt is cleared: the kernel holds the device's lock for the time of it,
    /// and everybody else's cancels would wait.
    fn clear_quiet_halts(&mut self, pipes: &[PipeHandle]) -> Result<(), Failure> {
        let control: Vec<_> = self.scanner.pipes().into_iter().filter(|pipe| pipe.role == Role::Control).collect();
        let (quiet, is_quiet) = bounded(control.len());
        control.iter().for_each(|pipe| pipe.tell(Order::Quiesce { cancel: None, quiet: quiet.clone() }));
        drop(quiet);
        let still = is_quiet.recv_timeout(CONTROL_PATIENCE);
        let on_the_wire = self.clears_halts();
        if let (Ok(()), Some(claimed)) = (still, self.claimed.as_mut()) {
            claimed.prepare_to_clear();
        }
        let cleared = match still {
            Ok(()) => pipes.iter().try_for_each(|pipe| Ok(abort::clear_halt(pipe, on_the_wire)?)),
            Err(_) => Err(Failure::ControlPending { device: self.scanner.name.clone() }),
        };
        resume(&control);
        cleared
    }

    pub(super) fn reset_device(&mut self, pending: PendingCancel) {
        let (responder, outcome) = self.reset_port(pending);
        self.scanner.end_reset();
        match outcome {
            Ok(()) => responder.done(),
            Err(failure) => responder.fail(&failure),
        }
    }

    fn reset_port(&mut self, pending: PendingCancel) -> (Responder, Result<(), Failure>) {
        let PendingCancel { by, sum, responder, .. } = pending;
        if let Err(failure) = self.scanner.check().and_then(|()| self.claim().map(drop)) {
            drop(by);
            wait(&sum);
            return (responder, Err(failure));
        }
        self.scanner.set_cancelling(true);
        let pipes = self.scanner.pipes();
        let quiet = quiesce(&pipes, |_| Some(by.clone()));
        drop(by);
        wait(&sum);
        let outcome = match (quiet, self.claimed.as_mut()) {
            (Ok(()), Some(claimed)) => claimed.reset().map_err(Failure::Usb),
            _ => Err(Failure::HostStuck { device: self.scanner.name.clone() }),
        };
        match &outcome {
            // The device forgot its halts; the pipes do too, and both sides' toggles begin anew.
            Ok(()) => self.forget_halts(&pipes),
            Err(Failure::Usb(error)) if error.kind == ErrorKind::NoDevice => {
                self.scanner.tell_pipes(|| Order::Lost);
                self.scanner.set_gone(true);
            }
            Err(_) => {}
        }
        resume(&pipes);
        self.scanner.set_cancelling(false);
        self.release_later();
        (responder, outcome)
    }

    fn forget_halts(&self, pipes: &[PipeHandle]) {
        for pipe in pipes {
            pipe.tell(Order::DropSurplus { session: None });
            if let Err(error) = abort::clear_halt(pipe, false) {
                log::warn!("{error}");
            }
        }
        self.scanner.sessions().iter().for_each(|session| session.mark_idle());
    }
}

/// Waits for the requests of a cancel to end. Its count is lost only with a host-stuck scanner, whose requests have ended
/// all the same.
fn wait(sum: &Receiver<CancelCount>) -> u64 {
    sum.recv_timeout(2 * WATCHDOG).map_or(0, |sum| sum.found)
}

/// Closes the gates and cancels where `cancel` says so: control first, for a hung control request can hold up every
/// other cancel in the kernel (docs/usb-engine.md, "What pulls the rug"). What comes later waits behind the gates.
fn close_gates(pipes: &[PipeHandle], cancel: impl Fn(&PipeHandle) -> Option<Arc<Cancellation>>) -> Vec<Receiver<()>> {
    let close = |pipe: &PipeHandle| {
        let (quiet, is_quiet) = bounded(1);
        pipe.tell(Order::Quiesce { cancel: cancel(pipe), quiet });
        is_quiet
    };
    pipes.iter().map(close).collect()
}

/// Waits until nothing is in flight.
fn until_quiet(gates: Vec<Receiver<()>>) -> Result<(), NotQuiet> {
    gates.iter().try_for_each(|is_quiet| is_quiet.recv_timeout(2 * WATCHDOG).map_err(|_| NotQuiet))
}

fn quiesce(pipes: &[PipeHandle], cancel: impl Fn(&PipeHandle) -> Option<Arc<Cancellation>>) -> Result<(), NotQuiet> {
    until_quiet(close_gates(pipes, cancel))
}

fn resume(pipes: &[PipeHandle]) {
    pipes.iter().for_each(|pipe| pipe.tell(Order::Resume));
}

fn in_words(report: &AbortReport) -> String {
    match &report.failed_step {
        Some(step) => format!("not idle: {step}"),
        None => format!("idle ({}, {} bytes drained)", report.method, report.drained),
    }
}

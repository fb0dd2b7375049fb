//! Recovery: what the supervisor does to bring a scanner back to idle, after a cancel of everything and after a session that
//! ended in the middle of a job. docs/architecture.md, "Recovery", says why it is as it is. An *abort sequence* is the steps
//! that a client has left with the daemon (`arm-abort`), to be run if it is cut off in the middle of its job.
//!
//! | left by the session that ended | done |
//! | --- | --- |
//! | an abort sequence, and the scanner used since it was armed | the ladder, from its first rung |
//! | no sequence; its end cancelled a read, write or control request, or it used the scanner and its connection ended without `close` | the ladder, from its second rung |
//! | neither: `close` with every request answered, or nothing used since `disarm-abort` | nothing; it costs no time |
//! | anything, while another session has the lock, has used the scanner since, or has ended its job or its lock | nothing |
//! | anything, where that would end the job of another user, whom nobody but he may cancel | nothing |
//!
//! ```text
//!   1 abort sequence ──verified──▶ idle
//!        │ fails, or nothing is answered
//!   2 still image class requests   ──▶ idle: verified by the class or the sequence's end; else unverified
//!     where there is that class; drain, clear halts
//!        │ fails, or was silent in the job, or that was of a program for libusb
//!        │ (never where a policy or another user of the device forbids the next)
//!   3 port reset, and the device back at its port ──▶ idle
//!        │ fails
//!   4 unresponsive: released, and left alone
//! ```
//!
//! It takes the pipes from all other sessions for its time, and cancels what they have on them; so without a sequence
//! nothing is done while another session has requests on the bulk pipes, which are its own job's, or a job armed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use usbscan_usb::InterfaceNumber;
use usbscan_wire::{AbortReport, AbortStep, Event, Faults, Pipe};

use crate::config::RecoveryTimes;
use crate::failure::Failure;
use crate::pipe::orders::{CancelTarget, Order, PipeHandle, Role};
use crate::reply::responder::Responder;
use crate::scanner::abort::{AbortContext, Verdict};
use crate::scanner::claim::Claimed;
use crate::scanner::clock::RecoveryClock;
use crate::scanner::function;
use crate::scanner::gates::{NotQuiet, cancellation, close_gates, quiesce, resume, until_quiet, wait};
use crate::scanner::handle::{ClaimState, Scanner, UNRESPONSIVE};
use crate::scanner::message::{CloseReason, CutShort, PendingCancel};
use crate::scanner::port_reset::NotReset;
use crate::scanner::recovery_state::Unresponsive;
use crate::scanner::supervisor::Supervisor;
use crate::session::binding::Binding;
use crate::session::handle::{Armed, Session};

/// A job that is to be ended: on which pipes, and by which sequence.
struct JobToEnd {
    binding: Option<Arc<Binding>>,
    armed: Option<Armed>,
}

/// The pipes that recovery uses, of a session or the scanner's own.
struct Pipes {
    interface: InterfaceNumber,
    control: PipeHandle,
    read: Option<PipeHandle>,
    write: Option<PipeHandle>,
    event: Option<PipeHandle>,
    /// Those of the interfaces that the session has claimed, by interface.
    claims: Vec<Vec<PipeHandle>>,
}

/// Cancels what a session has outstanding, and waits for the end of that: the count arrives when the last clone of the
/// [`Cancellation`](crate::pipe::cancellation::Cancellation) is dropped, of which each request that is cancelled holds one; hence
/// the `drop` in front of `wait`. On the session's own thread, so that a supervisor
/// which waits for one of them goes on.
pub(crate) fn cancel_session(scanner: &Scanner, binding: &Binding, session: &Session) -> CutShort {
    let id = session.id();
    scanner.cancel_lock_waiters(|waiting, _| waiting == id);
    let silent_for = scanner.silent_for(session.pending().iter().map(|pending| &**pending));
    let (jobs, events): (Vec<_>, Vec<_>) = binding.pipes().cloned().partition(|pipe| pipe.role != Role::Event);
    let (by, sum) = cancellation();
    Scanner::cancel(&jobs, CancelTarget::Session(id), &by);
    let (also, rest) = cancellation();
    Scanner::cancel(&events, CancelTarget::Session(id), &also);
    drop((by, also));
    let requests = wait(&sum);
    wait(&rest);
    CutShort { requests, silent_for }
}

/// Cancels what a session has outstanding on these pipes, and waits for the end of that.
pub(crate) fn cancel_session_on(pipes: &[PipeHandle], id: u64) {
    let (by, sum) = cancellation();
    Scanner::cancel(pipes, CancelTarget::Session(id), &by);
    drop(by);
    wait(&sum);
}

impl Supervisor {
    // ---- a session ends

    /// Its requests end, its job is aborted if it left one, its lock is free. The next session gets the pipes after that.
    pub(super) fn leave(&mut self, session: &Arc<Session>, reason: CloseReason, cut_short: CutShort) {
        let id = session.id();
        let armed = session.armed().filter(|_| session.has_used_scanner());
        let unfinished = cut_short.requests > 0 || (reason == CloseReason::Died && session.has_used_scanner());
        let healthy = self.scanner.check().is_ok() && self.claimed.is_some();
        let is_over = session.is_job_over() || session.has_lost_lock();
        let unfinished = unfinished && self.scanner.was_last_used_by(id);
        let left_something = healthy && !is_over && (armed.is_some() || unfinished);
        let policy = self.environment.configured.now().cancel;
        if left_something && self.scanner.begin_recovery_after(session, armed.is_some(), policy) {
            // A program written for libusb may have been anywhere in its dialogue: a scanner that waits for the rest of a command
            // is as silent as one that is idle.
            let is_libusb_program = session.binding().is_some_and(|binding| binding.faults == Faults::Pass);
            let silent_for = if is_libusb_program { Duration::MAX } else { cut_short.silent_for };
            self.abort_job(session, armed, silent_for);
        }
        session.disarm();
        self.scanner.tell_pipes(|| Order::DropSurplus { session: Some(id) });
        self.scanner.detach(session);
        if self.scanner.check().is_ok() && self.claimed.is_some() && self.scanner.sessions().is_empty() {
            self.clear_halts(self.scanner.pipes());
        }
        self.given_back.extend(session.binding().iter().flat_map(|binding| binding.claims.keys()));
        self.give_back_unused(Some(id));
        self.scanner.release_lock(id);
        self.after_the_last_session();
    }

    fn abort_job(&mut self, session: &Arc<Session>, armed: Option<Armed>, silent_for: Duration) {
        let name = self.scanner.name.clone();
        session.log(format_args!("ended in the middle of a job; {name} is recovered"));
        self.scanner.begin_recovery();
        self.scanner.end_jobs(session.id());
        let clears_event = armed.as_ref().is_some_and(|armed| {
            armed.steps.iter().any(|s| matches!(s, AbortStep::ClearHalt { pipe: Some(Pipe::Event), .. }))
        });
        let pipes: Vec<_> =
            self.scanner.pipes().into_iter().filter(|pipe| pipe.role != Role::Event || clears_event).collect();
        let (by, sum) = cancellation();
        let quiet = quiesce(&pipes, |pipe| (pipe.role != Role::Event).then(|| by.clone()));
        drop(by);
        let cancelled = wait(&sum);
        if cancelled > 0 {
            log::info!("{name}: {cancelled} requests of other sessions are cancelled by that");
        }
        let mut report = AbortReport::default();
        match quiet {
            Ok(()) => self.recover(&[JobToEnd { binding: session.binding(), armed }], silent_for, &mut report),
            Err(NotQuiet) => self.give_up(),
        }
        resume(&pipes);
        self.scanner.end_recovery();
        log::info!("{name}: {}", in_words(&report));
    }

    /// Not even a worker has answered in time. A device that is gone will say so itself.
    pub(super) fn give_up(&self) {
        if self.scanner.check_device().is_ok() {
            log::error!("{}: the host controller did not return a cancelled transfer", self.scanner.name);
            self.scanner.set_host_stuck();
            self.scanner.tell_pipes(|| Order::HostStuck);
        }
    }

    // ---- cancel-pending

    pub(super) fn cancel_pending(&mut self, pending: PendingCancel) {
        let PendingCancel { peer, by, sum, silent_for, responder } = pending;
        let name = self.scanner.name.to_string();
        if let Err(failure) = self.scanner.check().and_then(|()| self.claim().map(drop)) {
            drop(by);
            wait(&sum);
            responder.fail(&failure);
            return self.scanner.take_joined_cancels().into_iter().for_each(|joined| joined.responder.fail(&failure));
        }
        self.scanner.begin_recovery();
        let pipes = self.scanner.pipes();
        let gates = close_gates(&pipes, |_| Some(by.clone()));
        drop(by);
        // A client that sees this and goes on at once waits behind the gates.
        self.announce(Event::CancelIo { name: name.clone(), by: peer });
        let quiet = until_quiet(gates);
        let mut report = AbortReport { cancelled: wait(&sum), ..AbortReport::default() };
        match quiet {
            Ok(()) => {
                let jobs = self.jobs();
                self.recover(&jobs, silent_for, &mut report);
            }
            Err(NotQuiet) => {
                report.failed_step = Some("cancel: the host controller did not return a transfer".to_owned());
                self.give_up();
            }
        }
        resume(&pipes);
        self.scanner.end_recovery();
        // One that found nothing to do is no news, however often it is asked for.
        let level = if report.cancelled == 0 { log::Level::Debug } else { log::Level::Info };
        log::log!(level, "{name}: {} requests cancelled, {}", report.cancelled, in_words(&report));
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

    /// Those of the sessions that left a sequence, the lock's holder first; else one that left none.
    fn jobs(&self) -> Vec<JobToEnd> {
        let mut sessions = self.scanner.sessions();
        let holder = self.scanner.lock_holder();
        sessions.sort_by_key(|session| Some(session.id()) != holder);
        let armed = sessions.iter().filter_map(|session| Some((session.binding(), session.armed()?)));
        let jobs: Vec<JobToEnd> = armed.map(|(binding, armed)| JobToEnd { binding, armed: Some(armed) }).collect();
        if jobs.is_empty() { vec![JobToEnd { binding: None, armed: None }] } else { jobs }
    }

    fn announce(&self, event: Event) {
        let scanner = &self.scanner;
        self.environment
            .sessions
            .broadcast(event, |session| session.binding().is_some_and(|binding| binding.scanner == scanner.id));
    }

    // ---- the ladder

    /// Everything is quiet. What has become of the scanner is in the report, and in its state.
    fn recover(&mut self, jobs: &[JobToEnd], silent_for: Duration, report: &mut AbortReport) {
        let times = self.environment.configured.now().recovery;
        let settle = self.settle(jobs, times);
        let mut clock = RecoveryClock::start(times, settle, self.scanner.recovery.shutdown(), Instant::now());
        let mut verdict = self.by_its_pipes(jobs, &mut clock, report);
        let silent = jobs.iter().all(|job| job.armed.is_none()) && (silent_for > settle || self.resets_after_job());
        if clock.is_over(Instant::now()) && self.scanner.recovery.shutdown().is_some() {
            verdict = Verdict::Failed("the daemon is shutting down".to_owned());
        } else if matches!(verdict, Verdict::Failed(_)) || (silent && verdict == Verdict::Unverified) {
            verdict = self.by_port_reset(jobs, &mut clock, verdict, report);
        }
        report.verified = verdict == Verdict::Verified;
        match verdict {
            Verdict::Failed(why) => report.failed_step = Some(why),
            Verdict::Verified | Verdict::Unverified => {
                report.failed_step = None;
                self.scanner.sessions().iter().for_each(|session| session.mark_idle());
            }
        }
    }

    /// How long silence is nothing unusual: what the drivers say of the phase that they are in, or the model where that is
    /// longer; else as for all scanners.
    fn settle(&self, jobs: &[JobToEnd], times: RecoveryTimes) -> Duration {
        let of_job =
            |armed: &Armed| armed.settle.or_else(|| longest_read(&armed.steps).filter(|read| *read > times.settle));
        let of_drivers = jobs.iter().filter_map(|job| of_job(job.armed.as_ref()?)).max();
        let of_model = self.scanner.model.as_ref().and_then(|model| model.quirks.settle_ms);
        let of_model = of_model.map(|ms| Duration::from_millis(u64::from(ms)));
        of_drivers.max(of_model).unwrap_or(times.settle).min(times.longest_settle)
    }

    /// The first two rungs.
    fn by_its_pipes(&mut self, jobs: &[JobToEnd], clock: &mut RecoveryClock, report: &mut AbortReport) -> Verdict {
        let mut worst = Verdict::Verified;
        for job in jobs {
            let verdict = match &job.armed {
                Some(armed) => self.by_sequence(job, &armed.steps, clock, report),
                None => self.with_pipes(job, clock, report, "class", |context, report| context.by_usb(report)),
            };
            worst = match (worst, verdict) {
                (failed @ Verdict::Failed(_), _) | (_, failed @ Verdict::Failed(_)) => failed,
                (Verdict::Verified, Verdict::Verified) => Verdict::Verified,
                _ => Verdict::Unverified,
            };
        }
        worst
    }

    fn by_sequence(
        &mut self,
        job: &JobToEnd,
        steps: &[AbortStep],
        clock: &mut RecoveryClock,
        report: &mut AbortReport,
    ) -> Verdict {
        let failed =
            match self.with_pipes(job, clock, report, "abort-sequence", |context, report| context.run(steps, report)) {
                Verdict::Failed(failed) => failed,
                verdict => return verdict,
            };
        // Whoever has said nothing for as long as that has nothing to be drained, and without a class nothing else is left to try.
        let was_silent = !clock.has_heard() && clock.is_silent(Instant::now());
        if was_silent && !self.scanner.function().still_image {
            return Verdict::Failed(failed);
        }
        let drained = report.drained;
        let by_usb = self.with_pipes(job, clock, report, "class", |context, report| context.by_usb(report));
        // Where the second rung has changed nothing, asking once more is only lost time.
        let has_changed = by_usb == Verdict::Verified || report.drained > drained;
        let verdict = match has_changed {
            true => self.with_pipes(job, clock, report, "verify", |context, report| context.verify(steps, report)),
            false => Verdict::Unverified,
        };
        if verdict == Verdict::Verified { verdict } else { Verdict::Failed(failed) }
    }

    /// The third rung, and the fourth where that is not allowed or has not helped.
    fn by_port_reset(
        &mut self,
        jobs: &[JobToEnd],
        clock: &mut RecoveryClock,
        before: Verdict,
        report: &mut AbortReport,
    ) -> Verdict {
        let reset = match self.may_reset() {
            Ok(()) => {
                self.wait_for_settling(clock);
                self.reset_port()
            }
            Err(why) => Err(NotReset::Refused(why.to_owned())),
        };
        let failed = match reset {
            Ok(()) => {
                report.method = "port-reset".to_owned();
                match self.verify_jobs(jobs, clock, report) {
                    // It answers, though not as it should: it is not silent.
                    Verdict::Failed(failed) if clock.has_heard() => return Verdict::Failed(failed),
                    Verdict::Failed(failed) => failed,
                    verdict => return verdict,
                }
            }
            Err(NotReset::Refused(why)) => {
                log::info!("{}: {why}", self.scanner.name);
                match before {
                    // It has answered something, so it is not silent; or nothing is known.
                    Verdict::Failed(failed) if clock.has_heard() => return Verdict::Failed(failed),
                    Verdict::Failed(failed) => format!("{failed}; {why}"),
                    verdict => return verdict,
                }
            }
            Err(why) => {
                report.method = "port-reset".to_owned();
                let failed = format!("port reset: {why}");
                self.after_failed_reset(why);
                return Verdict::Failed(failed);
            }
        };
        if clock.is_over(Instant::now()) && self.scanner.recovery.shutdown().is_some() {
            return Verdict::Failed("the daemon is shutting down".to_owned());
        }
        self.become_unresponsive(jobs.iter().find_map(|job| Some(job.armed.as_ref()?.steps.clone())), false);
        Verdict::Failed(failed)
    }

    /// Nothing is reset before the settle time is over: a mechanism may be moving.
    fn wait_for_settling(&self, clock: &mut RecoveryClock) {
        while let Some(left) = clock.silence_counts_at().checked_duration_since(Instant::now()) {
            let end = left.min(clock.ends_at().saturating_duration_since(Instant::now()));
            match self.scanner.recovery.on_shutdown().recv_timeout(end) {
                Ok(at) => clock.stop_by(at),
                Err(_) => return,
            }
        }
    }

    fn verify_jobs(&mut self, jobs: &[JobToEnd], clock: &mut RecoveryClock, report: &mut AbortReport) -> Verdict {
        clock.restart(Instant::now());
        let mut all = Verdict::Unverified;
        for job in jobs {
            let Some(armed) = &job.armed else { continue };
            all = self.with_pipes(job, clock, report, "verify", |context, report| {
                context.verify_patiently(&armed.steps, report)
            });
            if let Verdict::Failed(_) = all {
                return all;
            }
        }
        all
    }

    /// Runs one rung on the pipes that a job had bound. Surplus bytes and halts go before and after it.
    fn with_pipes(
        &mut self,
        job: &JobToEnd,
        clock: &mut RecoveryClock,
        report: &mut AbortReport,
        rung: &'static str,
        run: impl FnOnce(&mut AbortContext<'_>, &mut AbortReport) -> Verdict,
    ) -> Verdict {
        self.scanner.recovery.tries(rung);
        self.scanner.tell_pipes(|| Order::DropSurplus { session: None });
        let pipes = match &job.binding {
            Some(binding) => pipes_of(binding),
            None => match self.own_pipes() {
                Ok(pipes) => pipes,
                Err(failure) => return Verdict::Failed(failure.to_string()),
            },
        };
        let halted: Vec<_> = self.scanner.pipes().into_iter().filter(|pipe| pipe.role != Role::Event).collect();
        let http_responses = job.armed.as_ref().map(|armed| armed.http_responses.clone()).unwrap_or_default();
        let mut context = AbortContext { http_responses, ..self.context(pipes, clock) };
        halted.iter().for_each(|pipe| context.unhalt(pipe));
        let verdict = run(&mut context, report);
        halted.iter().for_each(|pipe| context.unhalt(pipe));
        self.scanner.tell_pipes(|| Order::DropSurplus { session: None });
        verdict
    }

    fn context<'a>(&'a mut self, pipes: Pipes, clock: &'a mut RecoveryClock) -> AbortContext<'a> {
        let quirks = self.scanner.model.as_ref().map(|model| model.quirks).unwrap_or_default();
        let quiet = self.environment.configured.now().recovery.drain_quiet;
        let Pipes { interface, control, read, write, event, claims } = pipes;
        AbortContext {
            scanner: self.scanner.clone(),
            interface,
            control,
            read,
            write,
            event,
            claims,
            still_image: self.scanner.function().still_image,
            clears_halts: self.clears_halts(),
            claimed: self.claimed.as_mut(),
            clock,
            drain_quiet: quirks.drain_ms.map_or(quiet, |ms| Duration::from_millis(u64::from(ms))),
            takes_nothing: false,
            http_responses: Vec::new(),
        }
    }

    /// The pipes that a session would get that names none.
    fn own_pipes(&mut self) -> Result<Pipes, Failure> {
        let scanner = self.scanner.clone();
        let info = scanner.info();
        let endpoints = function::endpoints(&info, scanner.function());
        let claimed = self.claim()?;
        let mut pipe = |role: Role| -> Result<Option<PipeHandle>, Failure> {
            let endpoint = function::choose(endpoints, role, None).unwrap_or_default();
            Ok(endpoint.map(|endpoint| claimed.pipe(&endpoint)).transpose()?)
        };
        let (read, write) = (pipe(Role::Read)?, pipe(Role::Write)?);
        let (control, handles) = (claimed.control().clone(), claimed.handles());
        scanner.set_pipes(handles);
        let interface = scanner.function().interface;
        Ok(Pipes { interface, control, read, write, event: None, claims: Vec::new() })
    }

    // ---- the end of the ladder

    /// Nothing has helped. The claim is released, and the wire left alone; `steps` are those by which the scanner may show
    /// later that it answers again. `missing`: it has not come back to its port.
    pub(super) fn become_unresponsive(&mut self, steps: Option<Arc<Vec<AbortStep>>>, missing: bool) {
        log::error!("{}: unresponsive, abandoned", self.scanner.name);
        self.scanner.recovery.set_unresponsive(Some(Unresponsive { steps, missing }));
        let failure = Failure::Unresponsive { device: self.scanner.name.clone() };
        self.scanner.take_lock_waiters().into_iter().for_each(|waiter| waiter.fail(&failure));
        let claimed = self.claimed.take();
        self.scanner.set_claim_state(ClaimState::Closed, Vec::new());
        claimed.into_iter().for_each(Claimed::close);
        let (name, message) = (self.scanner.name.to_string(), UNRESPONSIVE.to_owned());
        self.announce(Event::Unresponsive { name, message });
    }

    /// A person opens a scanner that has not responded: it may show once, and quickly, that it does again.
    pub(super) fn verify_again(&mut self, unresponsive: &Unresponsive) -> Result<(), Failure> {
        let failure = Failure::Unresponsive { device: self.scanner.name.clone() };
        if unresponsive.missing || self.claim().is_err() {
            return Err(failure);
        }
        let times = self.environment.configured.now().recovery;
        let times = RecoveryTimes { total: Duration::ZERO, ..times };
        let shutdown = self.scanner.recovery.shutdown();
        let mut clock = RecoveryClock::start(times, times.verify_at_open, shutdown, Instant::now());
        let (job, mut report) = (JobToEnd { binding: None, armed: None }, AbortReport::default());
        let verdict = self.with_pipes(&job, &mut clock, &mut report, "verify", |context, report| {
            let verdict =
                unresponsive.steps.as_ref().map_or(Verdict::Unverified, |steps| context.verify(steps, report));
            // It may answer what it was asked before, too.
            if verdict == Verdict::Verified {
                context.empty(report);
            }
            verdict
        });
        if let Verdict::Failed(why) = verdict {
            log::info!("{}: it still does not respond: {why}", self.scanner.name);
            let claimed = self.claimed.take();
            self.scanner.set_claim_state(ClaimState::Closed, Vec::new());
            claimed.into_iter().for_each(Claimed::close);
            return Err(failure);
        }
        log::info!("{}: it responds again", self.scanner.name);
        self.scanner.recovery.set_unresponsive(None);
        Ok(())
    }
}

/// A sequence that gives an answer so long expects silence of that length: a sheet has its way to go.
fn longest_read(steps: &[AbortStep]) -> Option<Duration> {
    let timeouts = steps.iter().filter_map(|step| match step {
        AbortStep::Read { timeout, .. } => Some(Duration::from_millis(u64::from(*timeout))),
        // And more than that: behind a response that did not come the other steps are tried.
        AbortStep::DrainHttp { quiet, .. } => Some(Duration::from_millis(u64::from(*quiet)) * 3 / 2),
        _ => None,
    });
    timeouts.max()
}

fn pipes_of(binding: &Binding) -> Pipes {
    Pipes {
        interface: binding.interface,
        control: binding.control.clone(),
        read: binding.read.clone(),
        write: binding.write.clone(),
        event: binding.event.clone(),
        claims: binding.claims.values().cloned().collect(),
    }
}

fn in_words(report: &AbortReport) -> String {
    let verified = if report.verified { "verified" } else { "unverified" };
    match &report.failed_step {
        Some(step) => format!("not idle: {step}"),
        None => format!("idle ({}, {verified}, {} bytes drained)", report.method, report.drained),
    }
}

//! The cancel family, resets, and abort sequences.

use std::fmt::{self, Arguments};
use std::sync::Arc;
use std::time::Duration;

use usbscan_usb::EndpointAddress;
use usbscan_wire::{AbortStep, MAX_SETTLE_MS, NOTE_LIMIT, Pipe};

use super::{Handler, Opened};
use crate::config::CancelPolicy;
use crate::failure::Failure;
use crate::pipe::cancellation::Cancellation;
use crate::pipe::orders::{CancelTarget, PipeHandle, Role};
use crate::reply::responder::Responder;
use crate::scanner::abort_steps;
use crate::scanner::function;
use crate::scanner::handle::Scanner;
use crate::scanner::message::{self, Message};
use crate::session::binding::Binding;
use crate::session::following::FollowedResponse;
use crate::session::handle::{Armed, JobOver, RequestLocation, Session};

impl Handler<'_> {
    pub(super) fn cancel_request(&self, responder: Responder, request: u64, session: Option<u64>) {
        let target = or_fail!(responder, self.session_named(session));
        let not_found = Failure::NoSuchRequest { session: target.id(), request };
        match target.find(request) {
            Some(RequestLocation::Pipe(pipe, pending)) => {
                let binding = target.binding();
                self.note_of(&target, binding.as_deref(), format_args!("cancels request {request} of"));
                let device = binding.map(|binding| binding.device.clone());
                let by = Cancellation::new(move |sum| match sum.found {
                    0 => responder.fail(&not_found),
                    _ => finish(responder, sum.host_stuck, device),
                });
                Scanner::cancel(&[pipe], CancelTarget::Serial(pending.serial), &by);
            }
            Some(RequestLocation::Lock(scanner)) => {
                let id = target.id();
                let Some(scanner) = self.core.registry.by_id(scanner) else { return responder.fail(&not_found) };
                match scanner.cancel_lock_waiters(|session, waiting| (session, waiting) == (id, request)) {
                    0 => responder.fail(&not_found),
                    _ => responder.done(),
                }
            }
            Some(RequestLocation::Disarm(scanner)) => {
                let id = target.id();
                let Some(scanner) = self.core.registry.by_id(scanner) else { return responder.fail(&not_found) };
                match scanner.cancel_disarms(|session, waiting| (session, waiting) == (id, request)) {
                    0 => responder.fail(&not_found),
                    _ => responder.done(),
                }
            }
            Some(RequestLocation::Ordered) => match target.ordered.cancel(|id| id == request) {
                0 => responder.fail(&not_found),
                _ => responder.done(),
            },
            Some(RequestLocation::Capture(capture)) => match capture.leave(Some(request)) {
                true => responder.done(),
                false => responder.fail(&not_found),
            },
            Some(RequestLocation::Dispatching | RequestLocation::Reset | RequestLocation::Note) | None => {
                responder.fail(&not_found)
            }
        }
    }

    /// Says in the log and in `status` who does what to a scanner, whoever uses it.
    fn note(&self, scanner: &Scanner, what: Arguments<'_>) {
        // A cancel that finds nothing to cancel is no news.
        if scanner.sessions().iter().any(|session| session.has_outstanding() || session.has_used_scanner()) {
            self.session.log(format_args!("{what} {}", scanner.name));
        }
        scanner.set_last_cancel(self.session.peer.clone(), self.command);
    }

    /// The same, to what a session has outstanding. One's own is nobody else's business, and only in the log.
    fn note_of(&self, target: &Session, binding: Option<&Binding>, what: Arguments<'_>) {
        if target.has_outstanding() {
            self.session.log(format_args!("{what} {}", target.label()));
        }
        let scanner = binding.and_then(|binding| self.core.registry.scanner_of(binding).ok());
        if let Some(scanner) = scanner.filter(|_| target.id() != self.session.id()) {
            scanner.set_last_cancel(self.session.peer.clone(), self.command);
        }
    }

    /// Who may cancel what, now.
    fn policy(&self) -> CancelPolicy {
        self.core.configured.now().cancel
    }

    /// The session whose requests are to be cancelled, if they may be.
    fn session_named(&self, session: Option<u64>) -> Result<Arc<Session>, Failure> {
        let Some(id) = session else { return Ok(self.session.clone()) };
        let target = self.core.sessions.find(id).ok_or(Failure::NoSuchSession { session: id })?;
        match self.policy().allows(&self.session.peer, &target.peer) {
            true => Ok(target),
            false => Err(Failure::OtherUsersSession { of: target.peer.clone() }),
        }
    }

    /// Leaves out the event pipe, where all pipes are named and somebody waits there who may not be cancelled: whoever means
    /// that pipe names it.
    fn without_others_events(&self, scanner: &Scanner, named: NamedPipe, pipes: &mut Vec<PipeHandle>) {
        if matches!(named, NamedPipe::Role(Pipe::All)) && scanner.others_wait_for_events(self.session, self.policy()) {
            pipes.retain(|pipe| pipe.role != Role::Event);
        }
    }

    pub(super) fn cancel_session(&self, responder: Responder, session: Option<u64>) {
        let target = or_fail!(responder, self.session_named(session));
        if let Some(capturing) = target.capturing() {
            capturing.capture.leave(None);
        }
        target.ordered.cancel(|_| true);
        for scanner in target.disarms().into_iter().filter_map(|scanner| self.core.registry.by_id(scanner)) {
            scanner.cancel_disarms(|session, _| session == target.id());
        }
        let Some(binding) = target.binding() else { return responder.done() };
        self.note_of(&target, Some(&binding), format_args!("cancels everything of"));
        let id = target.id();
        if let Ok(scanner) = self.core.registry.scanner_of(&binding) {
            scanner.cancel_lock_waiters(|waiting, _| waiting == id);
        }
        let device = binding.device.clone();
        let by = Cancellation::new(move |sum| finish(responder, sum.host_stuck, Some(device)));
        let pipes: Vec<_> = binding.pipes().cloned().collect();
        Scanner::cancel(&pipes, CancelTarget::Session(id), &by);
    }

    pub(super) fn cancel_pipe(&self, responder: Responder, named: NamedPipe, device: Option<&str>) {
        let scanner = or_fail!(responder, self.scanner(device));
        or_fail!(responder, scanner.check());
        let mut pipes = match (named, self.session.binding()) {
            // Windows' meaning: the pipe that this handle is bound to.
            (NamedPipe::Role(Pipe::Event | Pipe::Read | Pipe::Write | Pipe::Control), Some(binding))
                if device.is_none() =>
            {
                named.among(binding.bound_pipes())
            }
            _ => named.among(scanner.pipes().iter()),
        };
        if pipes.is_empty() && !named.exists(&scanner) {
            return responder.fail(&named.failure(scanner.name.clone()));
        }
        self.without_others_events(&scanner, named, &mut pipes);
        or_fail!(responder, scanner.begin_pipe_cancel(self.session, self.policy(), &pipes));
        self.note(&scanner, format_args!("cancels everything on {named} of"));
        let cancelled = scanner.clone();
        let by = Cancellation::new(move |sum| {
            cancelled.end_pipe_cancel();
            finish(responder, sum.host_stuck, Some(cancelled.name.clone()));
        });
        Scanner::cancel(&pipes, CancelTarget::All, &by);
    }

    fn pending_cancel(&self, responder: Responder) -> message::PendingCancel {
        let (told, sum) = crossbeam_channel::bounded(1);
        // The supervisor may have ended.
        let by = Cancellation::new(move |sum| {
            let _ = told.send(sum);
        });
        message::PendingCancel { peer: self.session.peer.clone(), by, sum, silent_for: Duration::ZERO, responder }
    }

    pub(super) fn cancel_pending(&self, responder: Responder, device: Option<&str>) {
        let scanner = or_fail!(responder, self.scanner(device));
        or_fail!(responder, scanner.check());
        or_fail!(responder, scanner.may_be_cancelled_by(self.session, self.policy()));
        self.note(&scanner, format_args!("cancels everything on"));
        scanner.cancel_pending(self.session, self.policy(), self.pending_cancel(responder));
    }

    pub(super) fn reset_pipe(&self, responder: Responder, named: NamedPipe) {
        let Opened { scanner, binding } = or_fail!(responder, self.opened());
        if let NamedPipe::Role(pipe @ Pipe::Control) = named {
            return responder.fail(&Failure::NotResettable { pipe });
        }
        let mut pipes = match named {
            NamedPipe::Role(Pipe::Event | Pipe::Read | Pipe::Write) => named.among(binding.bound_pipes()),
            _ => named.among(binding.pipes()),
        };
        pipes.retain(|handle| handle.role != Role::Control);
        if pipes.is_empty() {
            return responder.fail(&named.failure(binding.device.clone()));
        }
        self.without_others_events(&scanner, named, &mut pipes);
        let (session, id) = (self.session, responder.id());
        or_fail!(responder, scanner.admit(session, || session.set_location(id, RequestLocation::Reset)));
        or_fail!(responder, scanner.begin_pipe_cancel(session, self.policy(), &pipes));
        self.note(&scanner, format_args!("resets {named} of"));
        // Its end is the supervisor's to tell; until then it only holds the requests' answers before its own.
        let by = Cancellation::new(|_| ());
        Scanner::cancel(&pipes, CancelTarget::All, &by);
        scanner.tell(Message::ResetPipes { pipes, by, responder });
    }

    pub(super) fn reset_device(&self, responder: Responder, device: Option<&str>) {
        let scanner = or_fail!(responder, self.scanner(device));
        or_fail!(responder, scanner.check_device());
        or_fail!(responder, scanner.may_be_cancelled_by(self.session, self.policy()));
        self.note(&scanner, format_args!("resets"));
        scanner.reset(self.session, self.policy(), self.pending_cancel(responder));
    }

    // ---- abort sequences

    pub(super) fn arm_abort(&self, responder: Responder, steps: Vec<AbortStep>, settle: Option<u32>) {
        let Opened { scanner, binding } = or_fail!(responder, self.opened());
        or_fail!(responder, abort_steps::check(&steps, &binding));
        if settle.is_some_and(|settle| settle > MAX_SETTLE_MS) {
            let expected = "a number of milliseconds, from 0 to 30000";
            return responder.fail(&Failure::BadValue { field: "settle", expected });
        }
        let settle = settle.map(|ms| Duration::from_millis(u64::from(ms)));
        let read = binding.read.as_ref().map(|pipe| pipe.address);
        let http_responses = FollowedResponse::of(&steps, read, &self.session.followed.all());
        let (session, armed) = (self.session, Armed { steps: Arc::new(steps), settle, http_responses });
        or_fail!(responder, session.arm(armed, |begin| scanner.admit(session, begin)));
        responder.done();
    }

    pub(super) fn set_note(&self, responder: Responder, note: String) {
        let Opened { scanner, .. } = or_fail!(responder, self.opened());
        if note.len() > NOTE_LIMIT {
            return responder.fail(&Failure::BadValue { field: "note", expected: "at most 1024 bytes" });
        }
        let (session, id) = (self.session, responder.id());
        let job = or_fail!(responder, session.job().map_err(|JobOver| Failure::JobCancelled));
        // Until it is answered nobody is granted the lock: the note of its holder is not overwritten by one from before.
        let admitted = scanner.admit_note(session, || session.set_location(id, RequestLocation::Note));
        drop(job);
        or_fail!(responder, admitted);
        scanner.note.set(note, &scanner.info(), &scanner.stable_id());
        responder.done();
    }

    pub(super) fn disarm_abort(&self, responder: Responder) {
        let Opened { scanner, .. } = or_fail!(responder, self.opened());
        scanner.disarm(self.session, responder);
    }
}

/// A cancel's own answer, after those of what it cancelled.
fn finish(responder: Responder, host_stuck: bool, device: Option<Arc<str>>) {
    match (host_stuck, device) {
        (true, Some(device)) => responder.fail(&Failure::HostStuck { device }),
        _ => responder.done(),
    }
}

/// The pipe, or the pipes, that a command names.
#[derive(Debug, Clone, Copy)]
pub(super) enum NamedPipe {
    Role(Pipe),
    Endpoint(EndpointAddress),
}

impl NamedPipe {
    /// One of both has to be named.
    pub fn of(pipe: Option<Pipe>, endpoint: Option<u8>) -> Result<NamedPipe, Failure> {
        match (pipe, endpoint) {
            (Some(pipe), None) => Ok(NamedPipe::Role(pipe)),
            (None, Some(endpoint)) => Ok(NamedPipe::Endpoint(EndpointAddress(endpoint))),
            (None, None) => Err(Failure::BadValue { field: "pipe", expected: "there, or \"endpoint\"" }),
            (Some(_), Some(_)) => {
                Err(Failure::BadValue { field: "pipe", expected: "absent: the endpoint says which pipe" })
            }
        }
    }

    fn among<'a>(self, pipes: impl Iterator<Item = &'a PipeHandle>) -> Vec<PipeHandle> {
        let is_it = |pipe: &&PipeHandle| match self {
            NamedPipe::Role(named) => pipe.role.is_named_by(named),
            NamedPipe::Endpoint(address) => pipe.address == address,
        };
        pipes.filter(is_it).cloned().collect()
    }

    fn failure(self, device: Arc<str>) -> Failure {
        match self {
            NamedPipe::Role(pipe) => Failure::NoPipe { device, pipe },
            NamedPipe::Endpoint(endpoint) => Failure::NoEndpoint { device, endpoint },
        }
    }

    /// Whether the scanner's interface has such a pipe, claimed or not.
    fn exists(self, scanner: &Scanner) -> bool {
        let info = scanner.info();
        let endpoints = function::endpoints(&info, scanner.function());
        match self {
            NamedPipe::Role(Pipe::All | Pipe::Control) => true,
            NamedPipe::Role(pipe) => {
                endpoints.iter().any(|one| function::role(one).is_some_and(|role| role.is_named_by(pipe)))
            }
            NamedPipe::Endpoint(address) => endpoints.iter().any(|one| one.address == address),
        }
    }
}

/// In a sentence.
impl fmt::Display for NamedPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamedPipe::Role(Pipe::All) => f.write_str("all pipes"),
            NamedPipe::Role(pipe) => write!(f, "the {pipe} pipe"),
            NamedPipe::Endpoint(endpoint) => write!(f, "endpoint {endpoint}"),
        }
    }
}

//! The cancel family, resets, and abort sequences.

use std::fmt::Arguments;
use std::sync::Arc;

use usbscan_wire::{AbortStep, Pipe};

use super::Asked;
use crate::abort;
use crate::answer::Answer;
use crate::cancellation::Cancellation;
use crate::failure::Failure;
use crate::function;
use crate::message::{self, Message};
use crate::pipe::{PipeHandle, Role, Which};
use crate::scanner::Scanner;
use crate::session::{Binding, Place, Session};

impl Asked<'_> {
    pub(super) fn cancel_request(&self, answer: Answer, request: u64, session: Option<u64>) {
        let target = or_fail!(answer, self.session_named(session));
        let not_found = Failure::NoSuchRequest { session: target.id(), request };
        match target.find(request) {
            Some(Place::Pipe(pipe, pending)) => {
                let binding = target.binding();
                self.note_of(&target, binding.as_deref(), format_args!("cancels request {request} of"));
                let device = binding.map(|binding| binding.scanner.name.clone());
                let by = Cancellation::new(move |sum| match sum.found {
                    0 => answer.fail(&not_found),
                    _ => finish(answer, sum.wedged, device),
                });
                Scanner::cancel(&[pipe], Which::Serial(pending.serial), &by);
            }
            Some(Place::Lock(scanner)) => {
                let id = target.id();
                match scanner.leave_the_line(|session, waiting| (session, waiting) == (id, request)) {
                    0 => answer.fail(&not_found),
                    _ => answer.done(),
                }
            }
            Some(Place::Capture(capture)) => match capture.leave(Some(request)) {
                true => answer.done(),
                false => answer.fail(&not_found),
            },
            Some(Place::Here) | None => answer.fail(&not_found),
        }
    }

    /// Says in the log and in `status` who does what to a scanner, whoever uses it.
    fn note(&self, scanner: &Scanner, what: Arguments<'_>) {
        log::info!("{} {what} {}", self.session.label(), scanner.name);
        scanner.set_last_cancel(self.session.peer.clone(), self.command);
    }

    /// The same, to what a session has outstanding. One's own is nobody else's business, and only in the log.
    fn note_of(&self, target: &Session, binding: Option<&Binding>, what: Arguments<'_>) {
        log::info!("{} {what} {}", self.session.label(), target.label());
        if let Some(binding) = binding.filter(|_| target.id() != self.session.id()) {
            binding.scanner.set_last_cancel(self.session.peer.clone(), self.command);
        }
    }

    fn session_named(&self, session: Option<u64>) -> Result<Arc<Session>, Failure> {
        match session {
            Some(id) => self.core.sessions.find(id).ok_or(Failure::NoSuchSession { session: id }),
            None => Ok(self.session.clone()),
        }
    }

    pub(super) fn cancel_session(&self, answer: Answer, session: Option<u64>) {
        let target = or_fail!(answer, self.session_named(session));
        if let Some(capturing) = target.capturing() {
            capturing.capture.leave(None);
        }
        let Some(binding) = target.binding() else { return answer.done() };
        self.note_of(&target, Some(&binding), format_args!("cancels everything of"));
        let id = target.id();
        binding.scanner.leave_the_line(|waiting, _| waiting == id);
        let device = binding.scanner.name.clone();
        let by = Cancellation::new(move |sum| finish(answer, sum.wedged, Some(device)));
        let pipes: Vec<_> = binding.pipes().cloned().collect();
        Scanner::cancel(&pipes, Which::Session(id), &by);
    }

    pub(super) fn cancel_pipe(&self, answer: Answer, pipe: Pipe, device: Option<&str>) {
        let scanner = or_fail!(answer, self.scanner(device));
        or_fail!(answer, scanner.check());
        let of_scanner = || scanner.pipes().into_iter().filter(|handle| handle.role.is_named_by(pipe)).collect();
        let pipes: Vec<PipeHandle> = match (pipe, self.session.binding()) {
            // Windows' meaning: the pipe that this handle is bound to.
            (Pipe::Event | Pipe::Read | Pipe::Write | Pipe::Control, Some(binding)) if device.is_none() => {
                binding.pipes().filter(|handle| handle.role.is_named_by(pipe)).cloned().collect()
            }
            _ => of_scanner(),
        };
        if pipes.is_empty() && !has_pipe(&scanner, pipe) {
            return answer.fail(&Failure::NoPipe { device: scanner.name.clone(), pipe });
        }
        self.note(&scanner, format_args!("cancels everything on {} of", in_words(pipe)));
        let device = scanner.name.clone();
        let by = Cancellation::new(move |sum| finish(answer, sum.wedged, Some(device)));
        Scanner::cancel(&pipes, Which::All, &by);
    }

    fn pending_cancel(&self, answer: Answer) -> message::Pending {
        let (told, sum) = crossbeam_channel::bounded(1);
        // The supervisor may have ended.
        let by = Cancellation::new(move |sum| {
            let _ = told.send(sum);
        });
        message::Pending { peer: self.session.peer.clone(), by, sum, answer }
    }

    pub(super) fn cancel_pending(&self, answer: Answer, device: Option<&str>) {
        let scanner = or_fail!(answer, self.scanner(device));
        or_fail!(answer, scanner.check());
        self.note(&scanner, format_args!("cancels everything on"));
        scanner.cancel_pending(self.session, self.pending_cancel(answer));
    }

    pub(super) fn reset_pipe(&self, answer: Answer, pipe: Pipe) {
        let binding = or_fail!(answer, self.admitted());
        if pipe == Pipe::Control {
            return answer.fail(&Failure::NotResettable { pipe });
        }
        let named = binding.pipes().filter(|handle| handle.role.is_named_by(pipe));
        let pipes: Vec<PipeHandle> = named.filter(|handle| handle.role != Role::Control).cloned().collect();
        if pipes.is_empty() {
            return answer.fail(&Failure::NoPipe { device: binding.scanner.name.clone(), pipe });
        }
        self.note(&binding.scanner, format_args!("resets {} of", in_words(pipe)));
        // Its end is the supervisor's to tell; until then it only holds the requests' answers before its own.
        let by = Cancellation::new(|_| ());
        Scanner::cancel(&pipes, Which::All, &by);
        binding.scanner.tell(Message::ResetPipes { pipes, by, answer });
    }

    pub(super) fn reset_device(&self, answer: Answer, device: Option<&str>) {
        let scanner = or_fail!(answer, self.scanner(device));
        or_fail!(answer, scanner.admit(self.session));
        self.note(&scanner, format_args!("resets"));
        scanner.reset(self.session, self.pending_cancel(answer));
    }

    // ---- abort sequences

    pub(super) fn arm_abort(&self, answer: Answer, steps: Vec<AbortStep>) {
        let binding = or_fail!(answer, self.admitted());
        or_fail!(answer, abort::check(&steps, binding.interface));
        or_fail!(answer, self.session.arm(steps));
        answer.done();
    }

    pub(super) fn disarm_abort(&self, answer: Answer) {
        let binding = or_fail!(answer, self.binding());
        binding.scanner.disarm(answer);
    }
}

/// A cancel's own answer, after those of what it cancelled.
fn finish(answer: Answer, wedged: bool, device: Option<Arc<str>>) {
    match (wedged, device) {
        (true, Some(device)) => answer.fail(&Failure::Wedged { device }),
        _ => answer.done(),
    }
}

/// Which pipes, in a sentence.
fn in_words(pipe: Pipe) -> &'static str {
    match pipe {
        Pipe::Event => "the event pipe",
        Pipe::Read => "the read pipe",
        Pipe::Write => "the write pipe",
        Pipe::Control => "the control pipe",
        Pipe::All => "all pipes",
    }
}

/// Whether the scanner's interface has such a pipe, claimed or not.
fn has_pipe(scanner: &Scanner, pipe: Pipe) -> bool {
    let endpoints = function::endpoints(&scanner.info, scanner.function);
    let named = |endpoint| function::role(endpoint).is_some_and(|role| role.is_named_by(pipe));
    matches!(pipe, Pipe::All | Pipe::Control) || endpoints.iter().any(named)
}

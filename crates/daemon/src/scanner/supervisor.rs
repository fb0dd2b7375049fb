//! The thread `scanner usbscanN`: opens and closes one scanner, and does all that needs it quiet, one thing at a time.
//! It waits in one place, for messages and for the moment at which an unused scanner is released.
//!
//! ```text
//!   Closed ──first session──▶ Claimed ──last session, then idle_seconds──▶ Closed
//!                               │  │ unplugged: pipes answer "no device" until the sessions left
//!                               │  └──────────────────────────────────────────────▶ Closed, or the end
//!                               └ a transfer is not given back: HostStuck ──it is, after all──▶ Closed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, SendError, Sender, TryRecvError, unbounded};
use usbscan_usb::{Device, EndpointDescriptor, ErrorKind, InterfaceNumber};
use usbscan_wire::Pipe;

use crate::config::Configured;
use crate::failure::Failure;
use crate::pipe::orders::{Order, PipeEvent, PipeHandle, Role};
use crate::scanner::claim::Claimed;
use crate::scanner::function::{self, Function};
use crate::scanner::handle::{ClaimState, Scanner, ScannerParts};
use crate::scanner::message::{Message, OpenOptions};
use crate::session::binding::Binding;
use crate::session::handle::Session;
use crate::session::list::Sessions;

/// What a supervisor must know besides its scanner.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// How its pipes work, and how long it is kept.
    pub configured: Arc<Configured>,
    /// Whom to tell of cancels.
    pub sessions: Arc<Sessions>,
}

/// A supervisor that runs.
#[derive(Debug)]
pub(crate) struct SupervisorHandle {
    pub scanner: Arc<Scanner>,
    /// It ends after [`Message::Stop`], or after [`Message::Removed`] when nobody has the scanner open any more.
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

impl SupervisorHandle {
    /// Starts one.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(parts: ScannerParts, environment: Environment) -> std::io::Result<SupervisorHandle> {
        let (sender, inbox) = unbounded();
        let name = format!("scanner {}", parts.name);
        let scanner = Scanner::new(parts, sender);
        let (alive, ended) = crossbeam_channel::bounded(0);
        let supervisor = Supervisor {
            scanner: scanner.clone(),
            environment,
            claimed: None,
            not_opened: None,
            given_back: BTreeSet::new(),
            returned_pipes: 0,
            release_at: None,
            removed: false,
        };
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            supervisor.run(&inbox);
            drop(alive);
        })?;
        Ok(SupervisorHandle { scanner, thread, ended })
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Joins the thread; `false` when it did not end in time, and is left to itself.
    pub fn join(self, deadline: Instant) -> bool {
        // Nothing is ever sent: the thread drops its end of the channel.
        if self.ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        if self.thread.join().is_err() {
            log::error!("the thread of {} panicked", self.scanner.name);
        }
        true
    }
}

/// What the thread works with. What needs the scanner quiet is in recovery.rs.
pub(super) struct Supervisor {
    pub scanner: Arc<Scanner>,
    pub environment: Environment,
    pub claimed: Option<Claimed>,
    /// Why it could not be opened when that was last tried, as the log has it. Clients may try as often as they like.
    not_opened: Option<String>,
    /// Interfaces that sessions have let go, and that are still ours.
    pub given_back: BTreeSet<InterfaceNumber>,
    /// Pipes that have nothing in flight any more, after a disconnect or while host-stuck.
    returned_pipes: usize,
    release_at: Option<Instant>,
    removed: bool,
}

impl Supervisor {
    fn run(mut self, inbox: &Receiver<Message>) {
        if self.environment.configured.now().kept().is_none() {
            self.claim_at_arrival();
        }
        loop {
            if self.removed && self.claimed.is_none() && self.scanner.sessions().is_empty() {
                break;
            }
            let message = match self.release_at {
                Some(at) => inbox.recv_deadline(at),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(message) => self.handle_message(message),
                Err(RecvTimeoutError::Timeout) => self.release(),
            }
        }
        self.release();
        refuse_the_rest(inbox, &self.scanner);
    }

    fn handle_message(&mut self, message: Message) {
        match message {
            // Nobody wants it any more: a scanner is not claimed for that.
            Message::Attach { cancelled, .. } if cancelled.try_recv() == Err(TryRecvError::Disconnected) => {}
            Message::Attach { session, options, done, .. } => {
                let opened = self.attach(session.clone(), options);
                if let Err(SendError(Ok(_))) = done.send(opened) {
                    log::debug!("{}: the open of {} was cancelled, and is undone", self.scanner.name, session.label());
                    self.scanner.detach(&session);
                    self.after_the_last_session();
                }
            }
            Message::Detach { session, reason, cut_short, done } => {
                self.leave(&session, reason, cut_short);
                let _ = done.send(());
            }
            Message::Claim { session, interface, alternate, done } => {
                let _ = done.send(self.claim_interface(&session, interface, alternate));
            }
            Message::Release { session, interface, done } => {
                let _ = done.send(self.release_interface(&session, interface));
            }
            Message::CancelPending(pending) => self.cancel_pending(pending),
            Message::ResetPipes { pipes, by, responder } => self.reset_pipes(pipes, by, responder),
            Message::ResetDevice(pending) => self.reset_device(pending),
            Message::GrantLock => self.scanner.grant_lock(),
            Message::PipeEvent(event) => self.handle_pipe_event(event),
            Message::ResetReturned(device) => self.reset_returned(device),
            Message::Accessible if self.environment.configured.now().kept().is_none() && !self.removed => {
                self.claim_at_arrival();
            }
            Message::Accessible => {}
            Message::Removed => {
                self.removed = true;
                self.lost();
                self.scanner.tell_pipes(|| Order::Lost);
            }
            Message::Stop => unreachable!("run() looks at it first"),
        }
        self.give_back_unused(None);
    }

    // ---- open and close

    fn attach(&mut self, session: Arc<Session>, options: OpenOptions) -> Result<Arc<Binding>, Failure> {
        self.scanner.check_device()?;
        if let Some(unresponsive) = self.scanner.recovery.unresponsive() {
            self.verify_again(&unresponsive)?;
        }
        // What makes no sense is refused before anything is claimed.
        self.choose(self.wanted_function(options)?, options)?;
        self.claim()?;
        // Which part of it was free shows only now.
        let function = self.wanted_function(options)?;
        let chosen = self.choose(function, options).inspect_err(|_| self.release_later())?;
        self.check_setting(function)?;
        let claimed = self.claim()?;
        let bound = bind(claimed, function, &chosen);
        let handles = claimed.handles();
        let control = claimed.control().clone();
        self.scanner.set_pipes(handles);
        let [event, read, write] = bound.inspect_err(|_| self.release_later())?;
        self.scanner.attach(session);
        self.release_at = None;
        let interface = function.interface;
        let (scanner, device) = (self.scanner.id, self.scanner.name.clone());
        let lock_awaited = self.scanner.lock_awaited.clone();
        let claim = self.scanner.claim_number();
        let (claims, faults) = (BTreeMap::new(), options.faults);
        let binding =
            Binding { scanner, device, claim, lock_awaited, interface, control, event, read, write, claims, faults };
        Ok(Arc::new(binding))
    }

    fn wanted_function(&self, options: OpenOptions) -> Result<Function, Failure> {
        let own = self.scanner.function();
        match options.interface {
            Some(number) if number != own.interface.0 => {
                function::other(&self.scanner.info(), number, &self.scanner.functions)
                    .ok_or_else(|| Failure::BadInterface { device: self.scanner.name.clone(), interface: number })
            }
            _ => Ok(own),
        }
    }

    fn choose(&self, function: Function, options: OpenOptions) -> Result<[Option<EndpointDescriptor>; 3], Failure> {
        let info = self.scanner.info();
        let endpoints = function::endpoints(&info, function);
        let choose = |role: Role, pipe: Pipe, index: Option<u8>| {
            function::choose(endpoints, role, index).map_err(|()| Failure::BadIndex {
                device: self.scanner.name.clone(),
                pipe,
                interface: function.interface,
                index: index.unwrap_or_default(),
            })
        };
        Ok([
            choose(Role::Event, Pipe::Event, options.event)?,
            choose(Role::Read, Pipe::Read, options.read)?,
            choose(Role::Write, Pipe::Write, options.write)?,
        ])
    }

    /// The claimed scanner; claims it if need be.
    pub fn claim(&mut self) -> Result<&mut Claimed, Failure> {
        let claimed = match self.claimed.take() {
            Some(claimed) => claimed,
            None => self.open()?,
        };
        Ok(self.claimed.insert(claimed))
    }

    fn open(&mut self) -> Result<Claimed, Failure> {
        let opened = Claimed::open(&self.scanner, self.environment.configured.now().pipes());
        let claimed = opened.map_err(|error| {
            let why = error.to_string();
            if self.not_opened.as_ref() != Some(&why) {
                log::info!("{why}");
                self.not_opened = Some(why);
            }
            let in_use = matches!(error.kind, ErrorKind::Busy(_)).then(|| error.to_string());
            self.scanner.set_in_use(in_use);
            Failure::Usb(error)
        })?;
        let model = self.scanner.model.as_ref().filter(|model| model.quirks != Default::default());
        if let Some(model) = model {
            log::info!(
                "{}: treated as {} says for {}: {:?}",
                self.scanner.name,
                model.source.display(),
                model.name,
                model.quirks
            );
        }
        log::info!("{} ({}) is claimed", self.scanner.name, self.scanner.info().label());
        self.returned_pipes = 0;
        self.scanner.count_claim();
        self.scanner.set_claim_state(ClaimState::Claimed, claimed.handles());
        Ok(claimed)
    }

    fn claim_at_arrival(&mut self) {
        if self.scanner.check().is_err() {
            return;
        }
        // What goes wrong is in the log, and is tried again by the first session.
        let _ = self.claim();
    }

    /// Closes, if it is open. Nobody uses it.
    pub fn release(&mut self) {
        self.release_at = None;
        self.given_back.clear();
        let Some(claimed) = self.claimed.take() else { return };
        if self.scanner.claim_state() == ClaimState::HostStuck {
            log::error!("{}: the host controller did not return its transfers; abandoned", self.scanner.name);
            std::mem::forget(claimed);
            return;
        }
        self.scanner.set_claim_state(ClaimState::Closed, Vec::new());
        claimed.close();
        self.scanner.set_gone(self.removed);
        log::info!("{} is released", self.scanner.name);
    }

    /// The last session left: the claim is kept for a while.
    pub fn release_later(&mut self) {
        if self.claimed.is_some() && self.scanner.sessions().is_empty() {
            self.release_at = self.environment.configured.now().kept().map(|idle| Instant::now() + idle);
        }
    }

    /// What is left to be closed after the last session left.
    pub fn after_the_last_session(&mut self) {
        if !self.scanner.sessions().is_empty() {
            return;
        }
        match self.scanner.check() {
            // What it is waits until its transfers are back.
            _ if self.scanner.claim_state() == ClaimState::HostStuck => {}
            Ok(()) => self.release_later(),
            Err(_) => self.release(),
        }
    }

    // ---- endings of the device

    fn handle_pipe_event(&mut self, event: PipeEvent) {
        match event {
            PipeEvent::Lost => self.lost(),
            PipeEvent::HostStuck => {}
            PipeEvent::AllReturned => self.pipe_returned(),
            PipeEvent::Halted => self.clear_halts_by_quirk(),
        }
    }

    /// The pipes answer "no device" from now on, to those who have it open; when those left, it is closed.
    fn lost(&mut self) {
        self.scanner.set_gone(true);
        self.after_the_last_session();
    }

    /// A host-stuck device whose transfers all came back is one that can be closed, and opened afresh.
    fn pipe_returned(&mut self) {
        self.returned_pipes += 1;
        let returned = |claimed: &Claimed| claimed.has_device() && claimed.handles().len() <= self.returned_pipes;
        let all = self.claimed.as_ref().is_some_and(returned);
        if all && self.scanner.claim_state() == ClaimState::HostStuck {
            log::info!("{}: the host controller has returned all transfers", self.scanner.name);
            let handles = self.claimed.as_ref().map(Claimed::handles).unwrap_or_default();
            self.scanner.set_claim_state(ClaimState::Claimed, handles);
            self.lost();
        }
    }

    /// The host controller has done it after all: the device can be closed, and opened afresh.
    fn reset_returned(&mut self, device: Box<dyn Device>) {
        log::info!("{}: the port reset has returned", self.scanner.name);
        let Some(claimed) = self.claimed.as_mut() else { return };
        claimed.take_back(device);
        let handles = claimed.handles();
        self.scanner.set_claim_state(ClaimState::Claimed, handles);
        self.lost();
    }

    fn clear_halts_by_quirk(&mut self) {
        let wanted = self.scanner.model.as_ref().is_some_and(|model| model.quirks.clear_halt_on_error);
        if wanted && self.scanner.check().is_ok() {
            let halted: Vec<PipeHandle> = self.scanner.pipes().into_iter().filter(PipeHandle::is_halted).collect();
            self.clear_halts(halted);
        }
    }
}

fn bind(
    claimed: &mut Claimed,
    function: Function,
    chosen: &[Option<EndpointDescriptor>; 3],
) -> Result<[Option<PipeHandle>; 3], usbscan_usb::Error> {
    claimed.interface(function)?;
    let mut bound = [None, None, None];
    for (at, endpoint) in chosen.iter().enumerate() {
        bound[at] = endpoint.as_ref().map(|endpoint| claimed.pipe(endpoint)).transpose()?;
    }
    Ok(bound)
}

/// The supervisor ends: messages that still wait get an answer.
fn refuse_the_rest(inbox: &Receiver<Message>, scanner: &Scanner) {
    let gone = || Failure::Gone { device: scanner.name.clone() };
    for message in inbox.try_iter() {
        match message {
            Message::Attach { done, .. } => {
                let _ = done.send(Err(gone()));
            }
            Message::Detach { session, done, .. } => {
                scanner.detach(&session);
                let _ = done.send(());
            }
            Message::Claim { done, .. } | Message::Release { done, .. } => {
                let _ = done.send(Err(gone()));
            }
            Message::CancelPending(pending) | Message::ResetDevice(pending) => pending.responder.fail(&gone()),
            Message::ResetPipes { responder, .. } => responder.fail(&gone()),
            Message::GrantLock
            | Message::ResetReturned(_)
            | Message::PipeEvent(_)
            | Message::Accessible
            | Message::Removed
            | Message::Stop => {}
        }
    }
    scanner.take_joined_cancels().into_iter().for_each(|joined| joined.responder.fail(&gone()));
}

/// Tells an ended supervisor's caller: `None` when nobody answers any more.
pub(crate) fn ask<T>(scanner: &Scanner, message: impl FnOnce(Sender<T>) -> Message) -> Option<T> {
    let (done, responder) = crossbeam_channel::bounded(1);
    scanner.tell(message(done));
    responder.recv().ok()
}

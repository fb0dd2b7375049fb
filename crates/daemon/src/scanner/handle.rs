//! A scanner as everybody knows it: what it is, who has it open, its lock, its pipes. Its supervisor thread works on
//! it; any thread may look, and send the supervisor a message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};
use usbscan_usb::{Access, Bus, DeviceInfo};
use usbscan_wire::{DeviceEntry, DeviceStatus, DriverEntry, HexBytes, LastCancel, Peer, PipeState, SessionEntry};

use crate::capture::Taps;
use crate::config::models::Model;
use crate::failure::Failure;
use crate::pipe::orders::{Order, PipeHandle, Role};
use crate::pipe::request::RequestInfo;
use crate::reply::responder::Responder;
use crate::scanner::function::Function;
use crate::scanner::lock::Lock;
use crate::scanner::message::{Message, PendingCancel};
use crate::scanner::note::Note;
use crate::scanner::recovery_state::RecoveryState;
use crate::session::binding::{LockAwaited, ScannerId};
use crate::session::handle::{RequestLocation, Session};

mod cancelling;
mod locking;

/// What a person is told of a scanner that no recovery has helped.
pub(crate) const UNRESPONSIVE: &str = "the scanner does not respond, and recovery has failed; switch it off and on";

const NOT_ACCESSIBLE: &str =
    "no permission: usbscand's udev rules (60-usbscan.rules) are not in force; install them and replug";

/// A session that has the scanner open.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    pub session: Arc<Session>,
    pub since: Instant,
}

/// What its claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ClaimState {
    /// Not ours: another program may have it.
    #[default]
    Closed,
    Claimed,
    /// Ours, and its host controller does not answer.
    HostStuck,
}

#[derive(Debug, Default)]
struct ScannerState {
    claim_state: ClaimState,
    /// The device is gone, or the handle to it is good for nothing.
    gone: bool,
    /// The supervisor brings it back to idle.
    recovering: bool,
    /// Counts its claims.
    claims: u64,
    /// Who else had it when it was last claimed in vain.
    in_use: Option<String>,
    sessions: Vec<Attached>,
    lock: Lock<Responder>,
    pipes: Vec<PipeHandle>,
    /// While a cancel of everything is under way: others that joined it.
    joined: Option<Vec<PendingCancel>>,
    /// The last that interfered with others: who, with which command, when.
    last_cancel: Option<(Peer, &'static str, Instant)>,
    /// Resets of the port that are asked for and not done.
    resets: usize,
    /// Cancels and resets of single pipes that are not over.
    pipe_cancels: usize,
    /// Whose cancels or resets keep other users out until their end, where the configuration lets nobody cancel theirs.
    fenced_by: Vec<Peer>,
    /// Sessions that disarm while the scanner is being brought to idle, and their answers, unless those were cancelled.
    disarming: Vec<(Arc<Session>, Option<Responder>)>,
    /// The session that used it last.
    last_user: Option<u64>,
    /// The session that used it last without the lock, and when.
    last_use: Option<(u64, Instant)>,
}

impl ScannerState {
    /// Whether no cancel of everything was under way; now there is one.
    fn begin_cancel(&mut self) -> bool {
        let is_first = self.joined.is_none();
        self.joined.get_or_insert_default();
        is_first
    }

    /// Those whose time has come.
    fn take_disarming(&mut self) -> Vec<(Arc<Session>, Option<Responder>)> {
        if self.is_recovering() { Vec::new() } else { std::mem::take(&mut self.disarming) }
    }

    /// Whether the scanner is being brought to idle, or soon will be.
    fn is_recovering(&self) -> bool {
        self.recovering || self.joined.is_some() || self.resets > 0
    }
}

pub(crate) struct Scanner {
    pub id: ScannerId,
    /// `usbscan0`.
    pub name: Arc<str>,
    /// See names.rs. It changes when another scanner with the same serial arrives.
    stable_id: Mutex<String>,
    info: RwLock<Arc<DeviceInfo>>,
    /// How its recovery goes.
    pub recovery: RecoveryState,
    pub bus: Arc<dyn Bus>,
    /// The parts of it that are a scanner, that which is preferred first; at least one.
    pub functions: Vec<Function>,
    /// Which of them it was last claimed by: the first that nobody else had.
    function: AtomicUsize,
    /// Its entry in the model table.
    pub model: Option<Model>,
    /// What its drivers leave for those that come after them.
    pub note: Note,
    /// Who records what goes over its pipes.
    pub taps: Arc<Taps>,
    accessible: AtomicBool,
    inbox: Sender<Message>,
    state: Mutex<ScannerState>,
    /// Told of the ends of requests while somebody waits for the lock.
    pub lock_awaited: Arc<LockAwaited>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner")
            .field("name", &self.name)
            .field("stable_id", &self.stable_id())
            .finish_non_exhaustive()
    }
}

/// What a scanner is made of.
pub(crate) struct ScannerParts {
    pub id: ScannerId,
    pub name: Arc<str>,
    pub stable_id: String,
    pub info: DeviceInfo,
    pub bus: Arc<dyn Bus>,
    pub functions: Vec<Function>,
    pub model: Option<Model>,
    /// Where notes are kept, beyond this daemon.
    pub notes: Option<std::path::PathBuf>,
}

impl Scanner {
    /// One that nobody has open. `inbox` leads to its supervisor.
    pub fn new(parts: ScannerParts, inbox: Sender<Message>) -> Arc<Scanner> {
        let ScannerParts { id, name, stable_id, info, bus, functions, model, notes } = parts;
        let note = Note::load(notes, &info, &stable_id);
        let accessible = AtomicBool::new(info.access == Access::Granted);
        let state = Mutex::default();
        let stable_id = Mutex::new(stable_id);
        let taps = Arc::default();
        let grant = inbox.clone();
        let lock_awaited = LockAwaited::new(move || {
            // Without a supervisor there is no scanner to be locked.
            let _ = grant.send(Message::GrantLock);
        });
        Arc::new(Scanner {
            id,
            name,
            stable_id,
            info: RwLock::new(Arc::new(info)),
            recovery: RecoveryState::default(),
            bus,
            functions,
            function: AtomicUsize::new(0),
            model,
            note,
            taps,
            accessible,
            inbox,
            state,
            lock_awaited,
        })
    }

    /// Which part of it is the scanner.
    pub fn function(&self) -> Function {
        self.functions[self.function.load(Ordering::SeqCst).min(self.functions.len() - 1)]
    }

    /// It is claimed by this one of its parts. Only the supervisor says so, while no session has it open.
    pub fn set_function(&self, function: Function) {
        let at = self.functions.iter().position(|one| *one == function).unwrap_or(0);
        self.function.store(at, Ordering::SeqCst);
    }

    /// As the bus lists it. Its address changes when it leaves its port and comes back.
    pub fn info(&self) -> Arc<DeviceInfo> {
        self.info.read().clone()
    }

    /// It is back at its port as this one.
    pub fn set_info(&self, info: DeviceInfo) {
        *self.info.write() = Arc::new(info);
    }

    pub fn stable_id(&self) -> String {
        self.stable_id.lock().clone()
    }

    /// Gives it another stable id. Returns the one before.
    pub fn rename(&self, stable_id: String) -> String {
        std::mem::replace(&mut self.stable_id.lock(), stable_id)
    }

    /// Passes a message to the supervisor, which outlives whoever has the scanner open.
    pub fn tell(&self, message: Message) {
        if self.inbox.send(message).is_err() {
            log::debug!("{}: its supervisor has ended", self.name);
        }
    }

    /// Whether it is there and answers.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Failure> {
        self.healthy(&self.state.lock())
    }

    fn healthy(&self, state: &ScannerState) -> Result<(), Failure> {
        self.is_there(state)?;
        match self.recovery.unresponsive() {
            Some(_) => Err(Failure::Unresponsive { device: self.name.clone() }),
            None => Ok(()),
        }
    }

    fn is_there(&self, state: &ScannerState) -> Result<(), Failure> {
        match (state.gone, state.claim_state) {
            (true, _) => Err(Failure::Gone { device: self.name.clone() }),
            (false, ClaimState::HostStuck) => Err(Failure::HostStuck { device: self.name.clone() }),
            (false, _) => Ok(()),
        }
    }

    /// Whether it is there, and the host controller has all that it should; it may be unresponsive.
    ///
    /// # Errors
    /// Why not.
    pub fn check_device(&self) -> Result<(), Failure> {
        self.is_there(&self.state.lock())
    }

    // ---- pipes

    /// The pipes that run, control first: the order in which they are cancelled.
    pub fn pipes(&self) -> Vec<PipeHandle> {
        let mut pipes = self.state.lock().pipes.clone();
        pipes.sort_by_key(|pipe| pipe.role);
        pipes
    }

    pub fn tell_pipes(&self, order: impl Fn() -> Order) {
        self.pipes().iter().for_each(|pipe| pipe.tell(order()));
    }

    /// `disarm-abort`. While the scanner is being brought to idle it is answered after that: so whoever was told of the end
    /// of its job, and goes on, finds it idle.
    pub fn disarm(&self, session: &Arc<Session>, responder: Responder) {
        session.set_location(responder.id(), RequestLocation::Disarm(self.id));
        let mut state = self.state.lock();
        state.disarming.push((session.clone(), Some(responder)));
        let disarming = state.take_disarming();
        drop(state);
        self.disarm_all(disarming);
    }

    /// Cancels the waiting of `disarm-abort` requests, which do what they should all the same. Says how many there were.
    pub fn cancel_disarms(&self, which: impl Fn(u64, u64) -> bool) -> usize {
        let mut state = self.state.lock();
        let disarming = state.disarming.iter_mut();
        let waiting = disarming
            .filter_map(|(session, responder)| responder.take_if(|responder| which(session.id(), responder.id())));
        let cancelled: Vec<Responder> = waiting.collect();
        drop(state);
        // Dropped, they say "cancelled".
        cancelled.len()
    }

    fn disarm_all(&self, disarming: Vec<(Arc<Session>, Option<Responder>)>) {
        let any = !disarming.is_empty();
        for (session, responder) in disarming {
            let binding = session.binding();
            // Unless it has gone on to another one.
            if binding.is_some_and(|binding| binding.scanner == self.id) {
                session.disarm();
            }
            if let Some(responder) = responder {
                responder.done();
            }
        }
        if any {
            self.grant_lock();
        }
    }

    /// Somebody cancels what others have pending, or resets: `status` shows who.
    pub fn set_last_cancel(&self, by: Peer, command: &'static str) {
        self.state.lock().last_cancel = Some((by, command, Instant::now()));
    }

    // ---- what the supervisor writes down

    pub fn set_claim_state(&self, claim_state: ClaimState, pipes: Vec<PipeHandle>) {
        let mut state = self.state.lock();
        state.claim_state = claim_state;
        state.pipes = pipes;
        if claim_state == ClaimState::Claimed {
            state.in_use = None;
        }
    }

    /// It has other pipes; what is wrong with it otherwise stays so.
    pub fn set_pipes(&self, pipes: Vec<PipeHandle>) {
        self.state.lock().pipes = pipes;
    }

    pub fn claim_state(&self) -> ClaimState {
        self.state.lock().claim_state
    }

    /// It does not answer.
    pub fn set_host_stuck(&self) {
        self.state.lock().claim_state = ClaimState::HostStuck;
    }

    /// The device is gone.
    pub fn set_gone(&self, gone: bool) {
        self.state.lock().gone = gone;
    }

    /// Its rights were looked at again.
    pub fn set_accessible(&self, accessible: bool) {
        if !self.accessible.swap(accessible, Ordering::Relaxed) && accessible {
            self.tell(Message::Accessible);
        }
    }

    /// Another program has it.
    pub fn set_in_use(&self, by: Option<String>) {
        self.state.lock().in_use = by;
    }

    /// The supervisor begins to bring it back to idle.
    pub fn begin_recovery(&self) {
        self.state.lock().recovering = true;
        self.recovery.begin();
    }

    /// It has.
    pub fn end_recovery(&self) {
        self.recovery.end();
        let mut state = self.state.lock();
        state.recovering = false;
        state.end_fence();
        let disarming = state.take_disarming();
        drop(state);
        self.disarm_all(disarming);
        self.grant_lock();
    }

    /// A new claim has its number.
    pub fn count_claim(&self) -> u64 {
        let mut state = self.state.lock();
        state.claims += 1;
        state.claims
    }

    /// The number of its claim.
    pub fn claim_number(&self) -> u64 {
        self.state.lock().claims
    }

    /// For how long nothing has moved on the pipes of jobs, while the oldest request of these has waited.
    pub fn silent_for<'a>(&self, pending: impl Iterator<Item = &'a RequestInfo>) -> Duration {
        let pipes: Vec<PipeHandle> = self.pipes().into_iter().filter(|pipe| pipe.role != Role::Event).collect();
        let of_job = pending.filter(|request| pipes.iter().any(|pipe| pipe.address == request.endpoint));
        let Some(oldest) = of_job.map(|request| request.since).min() else { return Duration::ZERO };
        let moved = pipes.iter().filter_map(|pipe| pipe.activity.last()).max();
        moved.map_or(oldest, |moved| moved.max(oldest)).elapsed()
    }

    /// A session has it open.
    pub fn attach(&self, session: Arc<Session>) {
        session.set_attached(true);
        let mut state = self.state.lock();
        state.sessions.push(Attached { session, since: Instant::now() });
        self.taps.set_users(users(&state));
    }

    /// It has not any more.
    pub fn detach(&self, session: &Session) {
        let mut state = self.state.lock();
        state.sessions.retain(|attached| attached.session.id() != session.id());
        self.taps.set_users(users(&state));
        drop(state);
        session.set_attached(false);
    }

    /// Who has it open.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.state.lock().sessions.iter().map(|attached| attached.session.clone()).collect()
    }

    // ---- what people see

    pub fn entry(&self) -> DeviceEntry {
        let (info, model) = (self.info(), self.model.as_ref());
        let unresponsive = self.recovery.unresponsive().is_some();
        let or_model = |own: &Option<String>, of: fn(&Model) -> &String| own.clone().or_else(|| model.map(of).cloned());
        let accessible = self.accessible.load(Ordering::Relaxed);
        DeviceEntry {
            name: self.name.to_string(),
            stable_id: self.stable_id(),
            vendor_id: info.descriptor.vendor.0,
            product_id: info.descriptor.product.0,
            manufacturer: or_model(&info.manufacturer, |model| &model.manufacturer),
            product: or_model(&info.product, |model| &model.name),
            serial: info.serial.clone(),
            port: info.location.port_path(),
            address: format!("{:03}:{:03}", info.location.bus, info.location.address),
            speed: info.speed.to_string(),
            interface: self.function().interface.0,
            bus: self.bus.name().to_owned(),
            protocol: self.function().speaks.to_string(),
            drivers: self.drivers(),
            accessible,
            unresponsive,
            problem: match (accessible, unresponsive) {
                (_, true) => Some(UNRESPONSIVE.to_owned()),
                (false, _) => Some(NOT_ACCESSIBLE.to_owned()),
                (true, false) => self.state.lock().in_use.clone(),
            },
            configuration: None,
            descriptors: None,
        }
    }

    /// As in `list`: what there is to choose from.
    fn drivers(&self) -> Vec<DriverEntry> {
        let entry = |way: &Function| DriverEntry { driver: way.speaks.to_string(), interface: way.interface.0 };
        self.functions.iter().filter(|_| self.functions.len() > 1).map(entry).collect()
    }

    /// As in `list` with descriptors.
    pub fn entry_with_descriptors(&self) -> DeviceEntry {
        let info = self.info();
        let configuration = info.configuration.as_ref().map_or(0, |configuration| configuration.value);
        DeviceEntry {
            configuration: Some(configuration),
            descriptors: self.bus.descriptors(&info.location).map(HexBytes),
            ..self.entry()
        }
    }

    /// As in `status`, with at most `listed` requests of each pipe.
    pub fn status(&self, listed: usize) -> DeviceStatus {
        let state = self.state.lock();
        let (claim_state, in_use) = (state.claim_state, state.in_use.clone());
        let (attached, holder) = (state.sessions.clone(), state.lock.holder());
        let (mut handles, last_cancel) = (state.pipes.clone(), state.last_cancel.clone());
        drop(state);
        handles.sort_by_key(|pipe| pipe.address);
        let mut requests: Vec<_> = attached.iter().flat_map(|attached| attached.session.pending()).collect();
        requests.sort_by_key(|request| request.serial);
        let (mut device, recovery) = (self.entry(), self.recovery.progress());
        let state = match claim_state {
            ClaimState::HostStuck => "host-stuck",
            _ if recovery.is_some() => "recovering",
            _ if device.unresponsive => "unresponsive",
            ClaimState::Closed if in_use.is_some() => "in-use",
            ClaimState::Closed => "closed",
            ClaimState::Claimed if !requests.is_empty() => "busy",
            ClaimState::Claimed if attached.is_empty() => "idle",
            ClaimState::Claimed => "open",
        };
        device.problem = device.problem.or(in_use);
        let of_pipe = |pipe: &PipeHandle| PipeState {
            pipe: pipe.role.pipe().to_string(),
            endpoint: pipe.address.0,
            halted: pipe.is_halted(),
            pending: requests.iter().filter(|r| r.endpoint == pipe.address).take(listed).map(|r| r.entry()).collect(),
        };
        DeviceStatus {
            device,
            state: state.to_owned(),
            recovery,
            last_cancel: last_cancel.map(|(by, command, at)| LastCancel {
                by,
                command: command.to_owned(),
                age_seconds: at.elapsed().as_secs(),
            }),
            sessions: attached.iter().map(|attached| session_entry(attached, holder.map(|(id, _)| id))).collect(),
            pipes: handles.iter().map(of_pipe).collect(),
        }
    }
}

fn users(state: &ScannerState) -> Vec<Option<u32>> {
    state.sessions.iter().map(|attached| attached.session.peer.uid).collect()
}

fn session_entry(attached: &Attached, holder: Option<u64>) -> SessionEntry {
    let session = &attached.session;
    SessionEntry {
        peer: session.peer.clone(),
        age_seconds: attached.since.elapsed().as_secs(),
        locked: holder == Some(session.id()),
        armed: session.armed().is_some(),
    }
}

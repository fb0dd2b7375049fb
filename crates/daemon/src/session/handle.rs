//! A connection as the rest of the daemon knows it: who is at the other end, what it has outstanding, which scanner it
//! has open. Its reader thread changes what it is bound to; any thread may look.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use parking_lot::{Mutex, MutexGuard};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use usbscan_shm::SharedMemory;
use usbscan_usb::{Buffer, EndpointAddress};
use usbscan_wire::{AbortStep, Event, EventName, Faults, Peer};

use crate::capture::{Capture, Taps};
use crate::failure::{Failure, Limit};
use crate::pipe::orders::{PipeHandle, Role};
use crate::pipe::request::RequestInfo;
use crate::reply::budget::Budget;
use crate::reply::outbox::Outbox;
use crate::reply::responder::{Requester, Responder};
use crate::session::binding::{Binding, ScannerId};
use crate::session::following::{FollowedResponse, FollowedResponses};
use crate::session::log_budget::LogBudget;
use crate::session::ordered::OrderedRequests;
use crate::session::shared_memory::SessionMemory;
use crate::session::timeouts::Timeouts;

/// Events that may wait for a client before it counts as one that reads no more.
const UNREAD_EVENTS: usize = 4096;

/// How long an `open` waits for the end of a session whose client is gone.
const LEAVING: Duration = Duration::from_secs(60);

/// Where an outstanding request is, for whoever wants to cancel it.
#[derive(Debug, Clone)]
pub(crate) enum RequestLocation {
    /// In the hands of the daemon for a moment; nothing to cancel.
    Dispatching,
    Pipe(PipeHandle, Arc<RequestInfo>),
    /// Its pipes are being reset.
    Reset,
    /// Its note is being written.
    Note,
    /// An `open` or `close` that is carried out, or behind one.
    Ordered,
    /// Waiting for a scanner's lock.
    Lock(ScannerId),
    /// A `disarm-abort`, until the scanner is idle.
    Disarm(ScannerId),
    /// Waiting for something to be captured.
    Capture(Arc<Capture>),
}

impl RequestLocation {
    /// Whether it keeps others from the lock.
    fn is_of_job(&self) -> bool {
        match self {
            RequestLocation::Pipe(pipe, _) => pipe.role != Role::Event,
            RequestLocation::Reset | RequestLocation::Note => true,
            _ => false,
        }
    }
}

/// A capture, and where it is fed.
#[derive(Debug, Clone)]
pub(crate) struct OwnCapture {
    pub taps: Arc<Taps>,
    pub capture: Arc<Capture>,
}

/// What a session has left for the case that its job is cut off.
#[derive(Debug, Clone)]
pub(crate) struct Armed {
    /// Its abort sequence.
    pub steps: Arc<Vec<AbortStep>>,
    /// For how long the scanner may be silent in this phase of the job; `None`: as any other.
    pub settle: Option<Duration>,
    /// The responses of HTTP that it reads, where the sequence has to know how much of them is still to come.
    pub http_responses: Vec<Arc<FollowedResponse>>,
}

/// What a session is doing with its scanner, as far as it says.
#[derive(Debug, Default)]
pub(crate) struct JobState {
    armed: Option<Armed>,
    /// It has claimed interfaces and takes faults as libusb's programs do: none of those says when a job begins, or that one is
    /// over.
    claims: bool,
    /// Somebody has done so, or is about to.
    is_over: bool,
}

/// Somebody has ended the job, and the session has not disarmed since.
#[derive(Debug)]
pub(crate) struct JobOver;

/// How many requests have no answer in the outbox yet. One leaves the outstanding requests, where others look for it, just before
/// that.
#[derive(Debug, Default)]
struct Unanswered {
    count: AtomicUsize,
    /// Written when there are none, once the client sends no more.
    tell: OnceLock<OwnedFd>,
}

impl Unanswered {
    fn one_more(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn one_less(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.tell();
        }
    }

    fn tell(&self) {
        // An eventfd has room for more than there are requests.
        let _ = self.tell.get().map(|tell| rustix::io::write(tell, &1_u64.to_ne_bytes()));
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    /// Who, and under which number.
    pub peer: Peer,
    stream: UnixStream,
    outbox: Outbox,
    budget: Arc<Budget>,
    log_budget: Arc<LogBudget>,
    outstanding: Mutex<HashMap<u64, RequestLocation>>,
    unanswered: Unanswered,
    timeouts: Mutex<Timeouts>,
    binding: Mutex<Option<Arc<Binding>>>,
    job: Mutex<JobState>,
    /// As in what it has armed; the read pipes' workers feed them.
    pub followed: FollowedResponses,
    /// Since the last time that the scanner was known to be idle, this session has used it.
    used: AtomicBool,
    /// It has left an abort sequence, of a job that is not over. Changed under the scanner's state.
    armed: AtomicBool,
    /// Somebody's cancel of everything has taken its lock, and it has not asked for it again. Changed under the scanner's state.
    lost_lock: AtomicBool,
    /// What waits behind an `open` or `close`.
    pub ordered: OrderedRequests,
    /// Why its connection is for looking and cancelling only.
    reserve: OnceLock<Limit>,
    subscribed: Mutex<Vec<EventName>>,
    capturing: Mutex<Option<OwnCapture>>,
    sharing: Mutex<Option<Arc<SessionMemory>>>,
    /// While a scanner counts it as one of its sessions: the sender is dropped when it does no more.
    attached: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Session {
    /// A new one, bound to nothing.
    pub fn new(
        peer: Peer,
        stream: UnixStream,
        outbox: Outbox,
        budget: Arc<Budget>,
        log_budget: Arc<LogBudget>,
    ) -> Arc<Session> {
        Arc::new(Session {
            peer,
            stream,
            outbox,
            budget,
            log_budget,
            outstanding: Mutex::default(),
            unanswered: Unanswered::default(),
            timeouts: Mutex::default(),
            binding: Mutex::default(),
            job: Mutex::default(),
            followed: FollowedResponses::default(),
            used: AtomicBool::new(false),
            subscribed: Mutex::default(),
            capturing: Mutex::default(),
            sharing: Mutex::default(),
            armed: AtomicBool::new(false),
            lost_lock: AtomicBool::new(false),
            ordered: OrderedRequests::default(),
            reserve: OnceLock::new(),
            attached: Mutex::default(),
        })
    }

    pub fn id(&self) -> u64 {
        self.peer.session
    }

    /// What it may have outstanding.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// `session 3 (scanimage, pid 42, uid 1000)`, for the log.
    pub fn label(&self) -> String {
        let Peer { session, program, .. } = &self.peer;
        let numbers = self.peer.numbers();
        match program.is_empty() {
            true => format!("session {session} ({numbers})"),
            false => format!("session {session} ({program}, {numbers})"),
        }
    }

    /// Says in the log what it does or what becomes of it: as much of that as its user may have logged.
    pub fn log(&self, what: std::fmt::Arguments<'_>) {
        match self.log_budget.take() {
            Some(0) => log::info!("{} {what}", self.label()),
            Some(left_out) => {
                log::info!("{} {what} ({left_out} lines of this user left out before)", self.label());
            }
            None => {}
        }
    }

    /// Its connection is for looking and cancelling only.
    pub fn set_reserve(&self, limit: Limit) {
        let _ = self.reserve.set(limit);
    }

    /// Whether it is, and why.
    pub fn reserve(&self) -> Option<Limit> {
        self.reserve.get().copied()
    }

    /// Whether it waits for no answer.
    pub fn has_nothing_outstanding(&self) -> bool {
        self.outstanding.lock().is_empty()
    }

    /// Waits until the client has closed its end, after it has only ended its sending, or until `done` is ready. `false`: it
    /// has not.
    pub fn closes_before(&self, done: &OwnedFd) -> bool {
        // No events: the end of both directions is told in any case.
        let mut asked = [PollFd::new(&self.stream, PollFlags::empty()), PollFd::new(done, PollFlags::IN)];
        while poll(&mut asked, None) == Err(rustix::io::Errno::INTR) {}
        asked[1].revents().is_empty()
    }

    /// Waits until every request that was taken up has its answer in the outbox, or the client has closed its end. Only the reader
    /// thread does, when it has read the last.
    pub fn wait_for_answers(&self) {
        let Ok(done) = eventfd(0, EventfdFlags::CLOEXEC) else { return };
        let Ok(tell) = done.try_clone() else { return };
        let _ = self.unanswered.tell.set(tell);
        // The last of them may have ended before it could tell.
        if self.unanswered.count.load(Ordering::SeqCst) > 0 {
            self.closes_before(&done);
        }
    }

    /// Whether its client is gone: hung up, or dead. Its reader may not have come to that yet.
    pub fn has_hung_up(&self) -> bool {
        let mut asked = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        poll(&mut asked, Some(&Timespec::default())).is_ok() && !asked[0].revents().is_empty()
    }

    // ---- outstanding requests

    /// Takes a request up, holding `bytes`. A cancel is taken up beyond the limits too; where many such wait for their answers
    /// to be read, this waits for that.
    ///
    /// # Errors
    /// When its id is in use, or a limit is reached.
    pub fn begin_request(self: &Arc<Session>, id: u64, bytes: u64, is_cancel: bool) -> Result<Responder, Failure> {
        let credit = match self.budget.request(bytes) {
            Err(_) if is_cancel => self.budget.cancel().ok_or(Failure::Ending)?,
            credit => credit?,
        };
        let mut outstanding = self.outstanding.lock();
        if outstanding.contains_key(&id) {
            return Err(Failure::IdInUse { id });
        }
        outstanding.insert(id, RequestLocation::Dispatching);
        drop(outstanding);
        self.unanswered.one_more();
        Ok(Responder::of_request(self.clone(), id, credit))
    }

    /// Says where a request is now.
    pub fn set_location(&self, id: u64, place: RequestLocation) {
        if let Some(known) = self.outstanding.lock().get_mut(&id) {
            *known = place;
        }
    }

    /// Where a request is.
    pub fn find(&self, id: u64) -> Option<RequestLocation> {
        self.outstanding.lock().get(&id).cloned()
    }

    /// Whether something waits at a pipe, for a lock or for a capture.
    pub fn has_outstanding(&self) -> bool {
        let waits = |place: &RequestLocation| !matches!(place, RequestLocation::Dispatching);
        self.outstanding.lock().values().any(waits)
    }

    /// Its requests at pipes.
    pub fn pending(&self) -> Vec<Arc<RequestInfo>> {
        let pending = |place: &RequestLocation| match place {
            RequestLocation::Pipe(_, pending) => Some(pending.clone()),
            _ => None,
        };
        self.outstanding.lock().values().filter_map(pending).collect()
    }

    /// How many of its requests are at the pipes of jobs: not those for events.
    pub fn requests_of_job(&self) -> usize {
        let outstanding = self.outstanding.lock();
        outstanding.values().filter(|location| location.is_of_job()).count()
    }

    /// How many of its requests are at these pipes, or have such a pipe reset.
    pub fn requests_at(&self, pipes: &[PipeHandle]) -> usize {
        let is_there = |location: &&RequestLocation| match location {
            RequestLocation::Pipe(pipe, _) => pipes.iter().any(|one| one.address == pipe.address),
            RequestLocation::Reset => pipes.iter().any(|one| one.role != Role::Event),
            _ => false,
        };
        self.outstanding.lock().values().filter(is_there).count()
    }

    /// Whether it has claimed interfaces and takes faults as libusb's programs do: its job lasts until it gives them back.
    pub fn has_plain_claims(&self) -> bool {
        self.binding().is_some_and(|binding| binding.faults == Faults::Pass && !binding.claims.is_empty())
    }

    /// Its `disarm-abort` requests that wait, with their scanners.
    pub fn disarms(&self) -> Vec<ScannerId> {
        let scanner = |location: &RequestLocation| match location {
            RequestLocation::Disarm(scanner) => Some(*scanner),
            _ => None,
        };
        self.outstanding.lock().values().filter_map(scanner).collect()
    }

    // ---- what it is bound to

    /// What it has open.
    pub fn binding(&self) -> Option<Arc<Binding>> {
        self.binding.lock().clone()
    }

    /// Opens. Only the reader thread does.
    pub fn bind(&self, binding: Arc<Binding>) {
        *self.job.lock() = JobState::default();
        self.armed.store(false, Ordering::SeqCst);
        self.lost_lock.store(false, Ordering::SeqCst);
        self.used.store(false, Ordering::Relaxed);
        *self.binding.lock() = Some(binding);
    }

    /// What it has of its scanner has changed. Only the scanner's supervisor does, while the reader thread waits for that.
    pub fn rebind(&self, binding: Binding) {
        self.job.lock().claims = binding.faults == Faults::Pass && !binding.claims.is_empty();
        *self.binding.lock() = Some(Arc::new(binding));
    }

    /// Closes. Only the reader thread does.
    pub fn unbind(&self) {
        self.binding.lock().take();
    }

    /// A scanner counts it as one of its sessions from now on, or no more.
    pub fn set_attached(&self, attached: bool) {
        *self.attached.lock() = attached.then(|| bounded(0));
    }

    /// Waits for those whose clients are gone until their requests have ended and their jobs are aborted. So whoever
    /// opens a scanner after another program died finds it as that is left behind, however soon that is. `false` when
    /// `cancelled` has ended the waiting, by being closed.
    pub fn wait_for_disconnected(sessions: &[Arc<Session>], cancelled: &Receiver<()>) -> bool {
        let mut asked: Vec<_> = sessions.iter().map(|session| PollFd::new(&session.stream, PollFlags::RDHUP)).collect();
        // All in one call: there may be hundreds.
        if poll(&mut asked, Some(&Timespec::default())).is_err() {
            return true;
        }
        for (session, _) in sessions.iter().zip(&asked).filter(|(_, asked)| !asked.revents().is_empty()) {
            let attached = session.attached.lock().as_ref().map(|(_, left)| left.clone());
            let Some(left) = attached else { continue };
            // Nothing is ever sent on either: this ends when it has left, or when that takes too long to wait for.
            select! {
                recv(left) -> _ => {}
                recv(cancelled) -> _ => return false,
                default(LEAVING) => {}
            }
        }
        true
    }

    /// Memory for a payload that comes, if the pipe that it is for has some to spare; else none.
    pub fn room(&self, length: usize) -> Vec<u8> {
        let binding = self.binding.lock();
        let pipe = binding.as_ref().and_then(|binding| binding.pipe(Role::Write));
        pipe.and_then(|pipe| pipe.pool.spare(length)).unwrap_or_default()
    }

    /// Makes the memory that it shares with its client; that is done once. Only the reader thread does.
    ///
    /// # Errors
    /// When it has some, and those of [`SessionMemory::new`].
    pub fn share_memory(&self, length: u32) -> Result<Arc<SharedMemory>, Failure> {
        let mut sharing = self.sharing.lock();
        if sharing.is_some() {
            return Err(Failure::AlreadyShared);
        }
        let made = sharing.insert(Arc::new(SessionMemory::new(length, &self.budget)?));
        Ok(made.memory())
    }

    /// The memory that it shares with its client.
    pub fn sharing(&self) -> Option<Arc<SessionMemory>> {
        self.sharing.lock().clone()
    }

    /// What the client has read of that memory stays there when the session ends.
    pub fn leave_shared_memory(&self) {
        if let Some(sharing) = self.sharing() {
            sharing.memory().leave_pages();
        }
    }

    pub fn timeouts(&self) -> Timeouts {
        *self.timeouts.lock()
    }

    /// Other ones, for later requests.
    pub fn set_timeouts(&self, change: impl FnOnce(&mut Timeouts)) {
        change(&mut self.timeouts.lock());
    }

    // ---- the job

    /// Leaves an abort sequence: a job begins, or goes on.
    ///
    /// # Errors
    /// When the job is over; it has to be disarmed first.
    pub fn arm(&self, armed: Armed, admit: impl FnOnce(&dyn Fn()) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut job = self.job().map_err(|JobOver| Failure::JobCancelled)?;
        admit(&|| self.armed.store(true, Ordering::SeqCst))?;
        self.followed.set(armed.http_responses.clone());
        job.armed = Some(armed);
        self.mark_used();
        Ok(())
    }

    /// Takes it back: no job any more.
    pub fn disarm(&self) {
        self.followed.set(Vec::new());
        let mut job = self.job.lock();
        *job = JobState { claims: job.claims, ..JobState::default() };
        self.armed.store(false, Ordering::SeqCst);
        self.mark_idle();
    }

    /// Whether it has left an abort sequence, of a job that is not over.
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::SeqCst)
    }

    /// Whether somebody else has ended its job, and it has not disarmed since.
    pub fn is_job_over(&self) -> bool {
        self.job.lock().is_over
    }

    /// The abort sequence that it left.
    pub fn armed(&self) -> Option<Armed> {
        self.job.lock().armed.clone()
    }

    /// Somebody is about to bring its scanner to idle. If it left a sequence, then whatever it asks of the pipes from now on
    /// is cancelled, until it has disarmed; what it asked for before is with the pipes already, for that cancel to find.
    pub fn end_job(&self) {
        let mut job = self.job.lock();
        job.is_over = job.armed.is_some() || job.claims;
        self.armed.store(false, Ordering::SeqCst);
    }

    /// Its job, which does not end while this is held; long enough to hand a request to a pipe.
    ///
    /// # Errors
    /// [`JobOver`].
    pub fn job(&self) -> Result<MutexGuard<'_, JobState>, JobOver> {
        let job = self.job.lock();
        if job.is_over { Err(JobOver) } else { Ok(job) }
    }

    /// Whether somebody's cancel of everything has taken its lock, and it has not asked for it again.
    pub fn has_lost_lock(&self) -> bool {
        self.lost_lock.load(Ordering::SeqCst)
    }

    /// See [`Session::has_lost_lock`].
    pub fn set_lost_lock(&self, lost: bool) {
        self.lost_lock.store(lost, Ordering::SeqCst);
    }

    /// It uses the scanner.
    pub fn mark_used(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// The scanner is known to be idle.
    pub fn mark_idle(&self) {
        self.used.store(false, Ordering::Relaxed);
    }

    /// Whether it has used the scanner since that was known.
    pub fn has_used_scanner(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    // ---- its capture

    pub fn capturing(&self) -> Option<OwnCapture> {
        self.capturing.lock().clone()
    }

    /// Begins. Only the reader thread does.
    pub fn set_capturing(&self, capturing: Option<OwnCapture>) {
        *self.capturing.lock() = capturing;
    }

    /// The connection ends, and with it the capture.
    pub fn end_capture(&self) {
        if let Some(OwnCapture { taps, capture }) = self.capturing.lock().take() {
            taps.end(&capture);
            capture.leave(None);
        }
    }

    // ---- events

    /// Which events it wants.
    pub fn subscribe(&self, events: Vec<EventName>) {
        *self.subscribed.lock() = events;
    }

    /// Whether it wants these.
    pub fn wants(&self, name: EventName) -> bool {
        self.subscribed.lock().contains(&name)
    }

    /// Tells it something. A client that reads nothing for thousands of events is ended.
    pub fn tell(&self, event: Arc<Event>) {
        if self.outbox.len() < UNREAD_EVENTS {
            self.outbox.event(event);
        } else {
            self.log(format_args!("reads no events; disconnected"));
            self.hang_up();
        }
    }

    /// Ends the connection: the reader thread sees the end of the stream and cleans up.
    pub fn hang_up(&self) {
        // Whether it was connected still is of no interest.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Reads nothing more from the client; what it is owed is still written.
    pub fn stop_reading(&self) {
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

impl Requester for Session {
    fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn read(&self, endpoint: EndpointAddress, buffer: &Buffer, moved: usize) {
        self.followed.read(endpoint, buffer, moved);
    }

    fn answered(&self, id: u64) {
        let location = self.outstanding.lock().remove(&id);
        if location.is_some_and(|location| location.is_of_job()) {
            if let Some(binding) = &*self.binding.lock() {
                binding.lock_awaited.request_ended();
            }
        }
    }

    fn put(&self) {
        self.unanswered.one_less();
    }
}

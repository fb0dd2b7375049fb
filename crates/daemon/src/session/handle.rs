//! A connection as the rest of the daemon knows it: who is at the other end, what it has outstanding, which scanner it
//! has open. Its reader thread changes what it is bound to; any thread may look.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never};
use parking_lot::{Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use usbscan_shm::SharedMemory;
use usbscan_wire::{AbortStep, DEFAULT_TIMEOUT_SECONDS, Event, EventName, Peer};

use crate::capture::{Capture, Taps};
use crate::failure::Failure;
use crate::pipe::orders::{PipeHandle, Role};
use crate::pipe::request::RequestInfo;
use crate::reply::budget::Budget;
use crate::reply::outbox::Outbox;
use crate::reply::responder::{Requester, Responder};
use crate::session::binding::{Binding, ScannerId};
use crate::session::shared_memory::SessionMemory;

/// Events that may wait for a client before it counts as one that reads no more.
const UNREAD_EVENTS: usize = 4096;

/// How long an `open` waits for the end of a session whose client is gone.
const LEAVING: Duration = Duration::from_secs(60);

/// How long requests may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// Reads and control requests.
    pub read: Duration,
    pub write: Duration,
    pub event: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let default = Duration::from_secs(u64::from(DEFAULT_TIMEOUT_SECONDS));
        Timeouts { read: default, write: default, event: default }
    }
}

/// Where an outstanding request is, for whoever wants to cancel it.
#[derive(Debug, Clone)]
pub(crate) enum RequestLocation {
    /// In the hands of the daemon for a moment; nothing to cancel.
    Dispatching,
    Pipe(PipeHandle, Arc<RequestInfo>),
    /// Waiting for a scanner's lock.
    Lock(ScannerId),
    /// Waiting for something to be captured.
    Capture(Arc<Capture>),
}

/// A capture, and where it is fed.
#[derive(Debug, Clone)]
pub(crate) struct OwnCapture {
    pub taps: Arc<Taps>,
    pub capture: Arc<Capture>,
}

/// What a session is doing with its scanner, as far as it says.
#[derive(Debug, Default)]
pub(crate) struct Job {
    /// How the scanner is brought back to idle.
    armed: Option<Arc<Vec<AbortStep>>>,
    /// Somebody has done so, or is about to.
    is_over: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    /// Who, and under which number.
    pub peer: Peer,
    stream: UnixStream,
    outbox: Outbox,
    budget: Arc<Budget>,
    outstanding: Mutex<HashMap<u64, RequestLocation>>,
    timeouts: Mutex<Timeouts>,
    binding: Mutex<Option<Arc<Binding>>>,
    job: Mutex<Job>,
    /// Since the last time that the scanner was known to be idle, this session has used it.
    used: AtomicBool,
    subscribed: Mutex<Vec<EventName>>,
    capturing: Mutex<Option<OwnCapture>>,
    sharing: Mutex<Option<Arc<SessionMemory>>>,
    /// Dropped when it has left the scanner that it had open.
    present: Mutex<Option<Sender<()>>>,
    left: Mutex<Receiver<()>>,
}

impl Session {
    /// A new one, bound to nothing.
    pub fn new(peer: Peer, stream: UnixStream, outbox: Outbox, budget: Arc<Budget>) -> Arc<Session> {
        Arc::new(Session {
            peer,
            stream,
            outbox,
            budget,
            outstanding: Mutex::default(),
            timeouts: Mutex::default(),
            binding: Mutex::default(),
            job: Mutex::default(),
            used: AtomicBool::new(false),
            subscribed: Mutex::default(),
            capturing: Mutex::default(),
            sharing: Mutex::default(),
            present: Mutex::default(),
            left: Mutex::new(never()),
        })
    }

    pub fn id(&self) -> u64 {
        self.peer.session
    }

    /// What it may have outstanding.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// `session 3 (scanimage, pid 42, user 1000)`, for the log.
    pub fn label(&self) -> String {
        let Peer { session, pid, uid, program } = &self.peer;
        match program.is_empty() {
            true => format!("session {session} (pid {pid}, user {uid})"),
            false => format!("session {session} ({program}, pid {pid}, user {uid})"),
        }
    }

    /// Whether its client is gone: hung up, or dead. Its reader may not have come to that yet.
    pub fn has_hung_up(&self) -> bool {
        let mut asked = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        poll(&mut asked, Some(&Timespec::default())).is_ok() && !asked[0].revents().is_empty()
    }

    // ---- outstanding requests

    /// Takes a request up, holding `bytes`.
    ///
    /// # Errors
    /// When its id is in use, or a limit is reached.
    pub fn begin_request(self: &Arc<Session>, id: u64, bytes: u64) -> Result<Responder, Failure> {
        let credit = self.budget.request(bytes)?;
        let mut outstanding = self.outstanding.lock();
        if outstanding.contains_key(&id) {
            return Err(Failure::IdInUse { id });
        }
        outstanding.insert(id, RequestLocation::Dispatching);
        drop(outstanding);
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

    /// Its requests at pipes.
    pub fn pending(&self) -> Vec<Arc<RequestInfo>> {
        let pending = |place: &RequestLocation| match place {
            RequestLocation::Pipe(_, pending) => Some(pending.clone()),
            RequestLocation::Dispatching | RequestLocation::Lock(_) | RequestLocation::Capture(_) => None,
        };
        self.outstanding.lock().values().filter_map(pending).collect()
    }

    // ---- what it is bound to

    /// What it has open.
    pub fn binding(&self) -> Option<Arc<Binding>> {
        self.binding.lock().clone()
    }

    /// Opens. Only the reader thread does.
    pub fn bind(&self, binding: Arc<Binding>) {
        let (present, left) = bounded(0);
        *self.present.lock() = Some(present);
        *self.left.lock() = left;
        *self.binding.lock() = Some(binding);
        *self.job.lock() = Job::default();
        self.used.store(false, Ordering::Relaxed);
    }

    /// Closes. Only the reader thread does.
    pub fn unbind(&self) {
        self.binding.lock().take();
        self.present.lock().take();
    }

    /// Waits for those whose clients are gone until their requests have ended and their jobs are aborted. So whoever
    /// opens a scanner after another program died finds it as that is left behind, however soon that is.
    pub fn wait_for_disconnected(sessions: &[Arc<Session>]) {
        let mut asked: Vec<_> = sessions.iter().map(|session| PollFd::new(&session.stream, PollFlags::RDHUP)).collect();
        // All in one call: there may be hundreds.
        if poll(&mut asked, Some(&Timespec::default())).is_err() {
            return;
        }
        for (session, _) in sessions.iter().zip(&asked).filter(|(_, asked)| !asked.revents().is_empty()) {
            let left = session.left.lock().clone();
            // Nothing is ever sent: this ends when it has left, or when that takes too long to wait for.
            let _ = left.recv_timeout(LEAVING);
        }
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
    pub fn arm(&self, steps: Vec<AbortStep>) -> Result<(), Failure> {
        self.job()?.armed = Some(Arc::new(steps));
        self.mark_used();
        Ok(())
    }

    /// Takes it back: no job any more.
    pub fn disarm(&self) {
        let mut job = self.job.lock();
        *job = Job::default();
        self.mark_idle();
    }

    /// The abort sequence that it left.
    pub fn armed(&self) -> Option<Arc<Vec<AbortStep>>> {
        self.job.lock().armed.clone()
    }

    /// Somebody is about to bring its scanner to idle. If it left a sequence, then whatever it asks of the pipes from now on
    /// is cancelled, until it has disarmed; what it asked for before is with the pipes already, for that cancel to find.
    pub fn end_job(&self) {
        let mut job = self.job.lock();
        job.is_over = job.armed.is_some();
    }

    /// Its job, which does not end while this is held; long enough to hand a request to a pipe.
    ///
    /// # Errors
    /// [`Failure::JobCancelled`].
    pub fn job(&self) -> Result<MutexGuard<'_, Job>, Failure> {
        let job = self.job.lock();
        if job.is_over { Err(Failure::JobCancelled) } else { Ok(job) }
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

    /// CancelTarget events it wants.
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
            log::warn!("{} reads no events; disconnected", self.label());
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

    fn answered(&self, id: u64) {
        self.outstanding.lock().remove(&id);
    }
}

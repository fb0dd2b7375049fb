//! The lock of a scanner, and what it excludes: while others have requests on the pipes or a job armed it is not granted, and
//! while somebody waits for it nobody begins anything new. Nothing here waits; the scanner's state is held for a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use usbscan_wire::Peer;

use super::{Scanner, ScannerState};
use crate::failure::{Failure, InUse};
use crate::pipe::cancellation::Cancellation;
use crate::pipe::orders::{CancelTarget, Order, Role};
use crate::reply::responder::Responder;
use crate::scanner::lock::LockResult;
use crate::scanner::message::Message;
use crate::session::binding::Binding;
use crate::session::handle::{RequestLocation, Session};

impl Scanner {
    /// Lets a session use the pipes, if it may now: `begin` marks what it is about to do, so that nobody is granted the lock
    /// in between. The caller holds the session's job, so that no cancel of everything comes in between either.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, session: &Session, begin: impl FnOnce()) -> Result<(), Failure> {
        self.admit_in(&mut self.state.lock(), session)?;
        begin();
        Ok(())
    }

    /// Lets a session leave a note, likewise; but not while another session has a job armed, which the note there is may be about.
    ///
    /// # Errors
    /// Why not.
    pub fn admit_note(&self, session: &Session, begin: impl FnOnce()) -> Result<(), Failure> {
        let mut state = self.state.lock();
        let mut sessions = state.sessions.iter().map(|attached| &attached.session);
        if let Some(other) = sessions.find(|other| other.id() != session.id() && other.is_armed()) {
            return Err(Failure::InUse { device: self.name.clone(), by: other.peer.clone(), why: InUse::Armed });
        }
        self.admit_in(&mut state, session)?;
        begin();
        Ok(())
    }

    fn admit_in(&self, state: &mut ScannerState, session: &Session) -> Result<(), Failure> {
        self.healthy(state)?;
        if session.binding().is_some_and(|binding| binding.scanner == self.id && binding.claim != state.claims) {
            return Err(Failure::Released { device: self.name.clone() });
        }
        if session.has_lost_lock() {
            return Err(Failure::LockCancelled);
        }
        if let Some(by) = state.fenced_out_by(session) {
            return Err(Failure::InUse { device: self.name.clone(), by, why: InUse::Cancels });
        }
        if !state.lock.admits(session.id()) {
            return Err(self.excluded(state, session.id()));
        }
        state.last_user = Some(session.id());
        // Whoever locks it leaves it as it was.
        if state.lock.holder().is_none() {
            state.last_use = Some((session.id(), Instant::now()));
        }
        Ok(())
    }

    /// Whether no other session has used the scanner since this one has.
    pub fn was_last_used_by(&self, session: u64) -> bool {
        self.state.lock().last_user == Some(session)
    }

    /// `lock`: answers now, or when it is the session's turn. What a dead holder leaves, and a recovery under way, are waited
    /// for in any case: they end by themselves. With `unused_for` the session gets the lock only where no other has used the
    /// scanner without the lock for so long.
    pub fn lock(&self, session: &Session, responder: Responder, wait: bool, unused_for: Option<Duration>) {
        let wait = wait || self.holder_is_leaving();
        let request = responder.id();
        session.set_location(request, RequestLocation::Lock(self.id));
        let mut state = self.state.lock();
        if let Err(failure) = self.healthy(&state) {
            drop(state);
            return responder.fail(&failure);
        }
        let used = |(user, at): &(u64, Instant)| {
            *user != session.id() && unused_for.is_some_and(|unused_for| at.elapsed() < unused_for)
        };
        if let Some((user, _)) = state.last_use.filter(used) {
            let failure = Failure::InUse { device: self.name.clone(), by: state.peer(user), why: InUse::Lately };
            drop(state);
            return responder.fail(&failure);
        }
        let wait = wait || state.is_recovering();
        let clear = !state.is_recovering() && state.in_the_way_of(session.id()).is_none();
        match state.lock.take(session.id(), request, wait, clear, responder) {
            LockResult::Granted(responder) => {
                self.granted(&state, session.id());
                drop(state);
                responder.done();
            }
            LockResult::Held(responder) => {
                drop(state);
                responder.done();
            }
            LockResult::Waits => self.lock_awaited.set(true),
            LockResult::Busy(responder) => {
                let failure = self.excluded(&state, session.id());
                drop(state);
                responder.fail(&failure);
            }
        }
    }

    /// Grants the lock to the first in line, if nothing is in the way any more.
    pub fn grant_lock(&self) {
        let mut state = self.state.lock();
        let Some(next) = state.lock.next().filter(|_| !state.is_recovering()) else { return };
        if state.in_the_way_of(next).is_some() {
            return;
        }
        let granted = state.lock.grant_next();
        if !granted.is_empty() {
            self.granted(&state, next);
        }
        self.lock_awaited.set(state.lock.next().is_some());
        drop(state);
        granted.into_iter().for_each(Responder::done);
    }

    /// The session has the lock from now on: nothing that anybody did before is left for it, and what others did is over.
    fn granted(&self, state: &ScannerState, holder: u64) {
        state.pipes.iter().for_each(|pipe| pipe.tell(Order::DropSurplus { session: None }));
        for attached in &state.sessions {
            match attached.session.id() == holder {
                true => attached.session.set_lost_lock(false),
                false => attached.session.mark_idle(),
            }
        }
    }

    /// Whether whoever has the lock is dead, or detached already and about to give it up.
    fn holder_is_leaving(&self) -> bool {
        let state = self.state.lock();
        let Some((id, _)) = state.lock.holder() else { return false };
        let attached = state.sessions.iter().find(|attached| attached.session.id() == id);
        let session = attached.map(|attached| attached.session.clone());
        drop(state);
        session.is_none_or(|session| session.has_hung_up())
    }

    /// `unlock`: the session's requests end, then the next in line has the lock, then this is answered.
    pub fn unlock(self: &Arc<Scanner>, session: &Session, binding: &Binding, responder: Responder) {
        let mut state = self.state.lock();
        if state.lock.holder().is_none_or(|(holder, _)| holder != session.id()) {
            drop(state);
            return responder.fail(&Failure::NotLocked { device: self.name.clone() });
        }
        if session.is_armed() {
            drop(state);
            return responder.fail(&Failure::JobArmed { device: self.name.clone() });
        }
        state.lock.begin_unlock(session.id());
        drop(state);
        let (scanner, id) = (self.clone(), session.id());
        let by = Cancellation::new(move |_| {
            scanner.release_lock(id);
            // What others have given back meanwhile.
            scanner.tell(Message::GrantLock);
            responder.done();
        });
        let pipes: Vec<_> = binding.pipes().filter(|pipe| pipe.role != Role::Event).cloned().collect();
        Scanner::cancel(&pipes, CancelTarget::Session(id), &by);
    }

    /// The session has the lock no more, if it had it.
    pub fn release_lock(&self, session: u64) {
        self.state.lock().lock.release(session);
        self.grant_lock();
    }

    /// Somebody cancels everything: whoever else has the lock has it no more, and hears of that from whatever it asks next.
    pub(super) fn revoke_lock(&self, by: u64) {
        let mut state = self.state.lock();
        let Some(holder) = state.lock.revoke_unless(by) else { return };
        let attached = state.sessions.iter().find(|attached| attached.session.id() == holder);
        if let Some(attached) = attached {
            log::info!("{}: {} has lost its lock by that", self.name, attached.session.label());
            attached.session.set_lost_lock(true);
        }
    }

    /// Cancels those that wait for the lock; says how many there were.
    pub fn cancel_lock_waiters(&self, which: impl Fn(u64, u64) -> bool) -> usize {
        let left = self.state.lock().lock.take_out(which);
        let count = left.len();
        // Dropped, they say "cancelled".
        drop(left);
        if count > 0 {
            self.grant_lock();
        }
        count
    }

    /// Those who wait for the lock; they wait no more.
    pub fn take_lock_waiters(&self) -> Vec<Responder> {
        self.state.lock().lock.take_out(|_, _| true)
    }

    /// Who has the lock.
    pub fn lock_holder(&self) -> Option<u64> {
        self.state.lock().lock.holder().map(|(session, _)| session)
    }

    /// Why a session may not use the pipes, or may not have the lock.
    fn excluded(&self, state: &ScannerState, session: u64) -> Failure {
        let device = self.name.clone();
        if let Some((holder, since)) = state.lock.holder() {
            return match holder == session {
                true => Failure::Unlocking { device },
                false => Failure::Locked { device, holder: state.peer(holder), age: since.elapsed() },
            };
        }
        let in_use = match state.in_the_way_of(session) {
            Some((peer, why)) => (peer, why),
            None => (state.peer(state.lock.next().unwrap_or(session)), InUse::Awaited),
        };
        let first = state.lock.next().filter(|next| *next != session);
        let (by, why) = first.map_or(in_use, |next| (state.peer(next), InUse::Awaited));
        Failure::InUse { device, by, why }
    }
}

impl ScannerState {
    /// Another session whose requests or job keep this one from being granted the lock.
    pub(super) fn in_the_way_of(&self, session: u64) -> Option<(Peer, InUse)> {
        let others = self.sessions.iter().map(|attached| &attached.session).filter(|other| other.id() != session);
        others.into_iter().find_map(|other| {
            let why = match other.requests_of_job() {
                0 if other.is_armed() => InUse::Armed,
                0 => return None,
                pending => InUse::Pending(pending),
            };
            Some((other.peer.clone(), why))
        })
    }

    fn peer(&self, session: u64) -> Peer {
        let attached = self.sessions.iter().find(|attached| attached.session.id() == session);
        let unknown = || Peer { session, pid: None, uid: None, program: String::new() };
        attached.map_or_else(unknown, |attached| attached.session.peer.clone())
    }
}

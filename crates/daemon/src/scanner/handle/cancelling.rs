//! Cancels and resets that concern a whole scanner, or a pipe that several sessions use: whom they would hit, whether they
//! may, and what they do at once. The supervisor does the rest.
//!
//! With `cancel = "same-user"` a cancel that would hit another user is refused whole. That nobody else is hit is decided and
//! written down in one step under the scanner's state: until the cancel is over, other users' new requests are `busy`.

use std::sync::Arc;

use usbscan_wire::Peer;

use super::{Scanner, ScannerState};
use crate::config::CancelPolicy;
use crate::failure::{Failure, InUse};
use crate::pipe::cancellation::Cancellation;
use crate::pipe::orders::{CancelTarget, Order, PipeHandle, Role};
use crate::scanner::message::{Message, PendingCancel};
use crate::session::handle::Session;

impl Scanner {
    /// Cancels on these pipes. Their workers hold `by` until they have looked, the requests until they have ended.
    pub fn cancel(pipes: &[PipeHandle], which: CancelTarget, by: &Arc<Cancellation>) {
        pipes.iter().for_each(|pipe| pipe.tell(Order::Cancel { which, by: by.clone() }));
    }

    /// `cancel-pending`: cancels at once, whatever the supervisor is doing, and has it bring the scanner to idle. While
    /// that is under way another one joins it.
    pub fn cancel_pending(&self, by: &Session, policy: CancelPolicy, mut pending: PendingCancel) {
        let requests: Vec<_> = self.sessions().iter().flat_map(|session| session.pending()).collect();
        pending.silent_for = self.silent_for(requests.iter().map(|request| &**request));
        let mut state = self.state.lock();
        if let Err(failure) = self.may_cancel_jobs(&state, by, policy) {
            drop(state);
            return pending.responder.fail(&failure);
        }
        let is_first = state.begin_cancel();
        state.fence(by, policy);
        drop(state);
        self.cancel_everything(by, policy, &pending);
        let mut state = self.state.lock();
        match &mut state.joined {
            Some(joined) if !is_first => return joined.push(pending),
            Some(_) => {}
            // The one that this would have joined has ended meanwhile.
            None => {
                state.joined = Some(Vec::new());
                state.fence(by, policy);
            }
        }
        drop(state);
        self.tell(Message::CancelPending(pending));
    }

    /// `reset-device`: cancels at once likewise, and has the supervisor reset the port.
    pub fn reset(&self, by: &Session, policy: CancelPolicy, pending: PendingCancel) {
        let mut state = self.state.lock();
        if let Err(failure) = self.may_cancel_jobs(&state, by, policy) {
            drop(state);
            return pending.responder.fail(&failure);
        }
        state.resets += 1;
        state.fence(by, policy);
        drop(state);
        self.cancel_everything(by, policy, &pending);
        self.tell(Message::ResetDevice(pending));
    }

    /// Before everything on these pipes is cancelled, of all sessions; [`Scanner::end_pipe_cancel`] says when that is over.
    ///
    /// # Errors
    /// When that is another user's.
    pub fn begin_pipe_cancel(&self, by: &Session, policy: CancelPolicy, pipes: &[PipeHandle]) -> Result<(), Failure> {
        let mut state = self.state.lock();
        self.may_cancel_jobs(&state, by, policy)?;
        self.may_cancel(&state, by, policy, |other| {
            let pending = other.requests_at(pipes);
            (pending > 0).then_some(InUse::Pending(pending))
        })?;
        state.pipe_cancels += 1;
        state.fence(by, policy);
        Ok(())
    }

    pub fn end_pipe_cancel(&self) {
        let mut state = self.state.lock();
        state.pipe_cancels = state.pipe_cancels.saturating_sub(1);
        state.end_fence();
    }

    /// Whether somebody whom this session may not cancel waits for events.
    pub fn others_wait_for_events(&self, by: &Session, policy: CancelPolicy) -> bool {
        let events: Vec<_> = self.pipes().into_iter().filter(|pipe| pipe.role == Role::Event).collect();
        let others = self.sessions().into_iter().filter(|session| !policy.allows(&by.peer, &session.peer));
        others.into_iter().any(|session| session.requests_at(&events) > 0)
    }

    /// Whether this session may cancel everything here. What it does so by asks again.
    ///
    /// # Errors
    /// When that would hit another user.
    pub fn may_be_cancelled_by(&self, by: &Session, policy: CancelPolicy) -> Result<(), Failure> {
        self.may_cancel_jobs(&self.state.lock(), by, policy)
    }

    fn may_cancel_jobs(&self, state: &ScannerState, by: &Session, policy: CancelPolicy) -> Result<(), Failure> {
        let holder = state.lock.holder().map(|(holder, _)| holder);
        self.may_cancel(state, by, policy, |other| {
            // Whoever only waits for events asks for them again: that keeps nobody from cancelling.
            match other.requests_of_job() {
                _ if holder == Some(other.id()) => Some(InUse::Holds),
                0 if other.is_armed() => Some(InUse::Armed),
                0 if other.has_plain_claims() => Some(InUse::Claims),
                0 => None,
                pending => Some(InUse::Pending(pending)),
            }
        })
    }

    /// Refused when what `is_hit` says of a session is so of one whom this session may not cancel.
    fn may_cancel(
        &self,
        state: &ScannerState,
        by: &Session,
        policy: CancelPolicy,
        is_hit: impl Fn(&Session) -> Option<InUse>,
    ) -> Result<(), Failure> {
        let others = state.sessions.iter().map(|attached| &attached.session);
        let mut others = others.filter(|other| !policy.allows(&by.peer, &other.peer));
        match others.find_map(|other| is_hit(other).map(|why| (other.peer.clone(), why))) {
            Some((by, why)) => Err(Failure::OtherUsersJob { device: self.name.clone(), by, why }),
            None => Ok(()),
        }
    }

    fn cancel_everything(&self, by: &Session, policy: CancelPolicy, pending: &PendingCancel) {
        self.revoke_lock(by.id());
        let ends = |session: &Arc<Session>| session.id() != by.id() && policy.allows(&by.peer, &session.peer);
        self.sessions().into_iter().filter(ends).for_each(|session| session.end_job());
        Scanner::cancel(&self.pipes(), CancelTarget::All, &pending.by);
    }

    /// The scanner is about to be brought to idle, so whatever the sessions are in the middle of is over. Not for the one
    /// that does so: it knows.
    pub fn end_jobs(&self, but: u64) {
        let others = self.sessions().into_iter().filter(|session| session.id() != but);
        others.for_each(|session| session.end_job());
    }

    /// A session has ended in the middle of something: the scanner is being brought to idle from now on, unless it is another's.
    /// That is so where another session has the lock: what this one left was ended when that one got it, or by a cancel. It is so
    /// where others are in the middle of a job and this one left no sequence, or where the job is one that it might not cancel.
    pub fn begin_recovery_after(&self, left: &Session, has_sequence: bool, policy: CancelPolicy) -> bool {
        let mut state = self.state.lock();
        let is_others = state.lock.holder().is_some_and(|(holder, _)| holder != left.id());
        if is_others || (!has_sequence && state.in_the_way_of(left.id()).is_some()) {
            return false;
        }
        if let Err(failure) = self.may_cancel_jobs(&state, left, policy) {
            log::info!(
                "{}: {} ended in the middle of a job, which is left as it is: {failure}",
                self.name,
                left.label()
            );
            return false;
        }
        state.recovering = true;
        state.fence(left, policy);
        true
    }

    /// The end of `cancel-pending`: those who joined are answered, and the next one is a new one.
    pub fn take_joined_cancels(&self) -> Vec<PendingCancel> {
        let mut state = self.state.lock();
        let joined = state.joined.take().unwrap_or_default();
        state.end_fence();
        let disarming = state.take_disarming();
        drop(state);
        self.disarm_all(disarming);
        self.grant_lock();
        joined
    }

    /// The end of a reset.
    pub fn end_reset(&self) {
        let mut state = self.state.lock();
        state.resets = state.resets.saturating_sub(1);
        state.end_fence();
        let disarming = state.take_disarming();
        drop(state);
        self.disarm_all(disarming);
        self.grant_lock();
    }
}

impl ScannerState {
    /// Keeps whom this session may not cancel from beginning anything that it would cancel after all.
    fn fence(&mut self, by: &Session, policy: CancelPolicy) {
        if policy == CancelPolicy::SameUser {
            // One of each user: what they may cancel is the same, and so there are no more than users.
            let is_known = |known: &Peer| known.session == by.peer.session || known.is_same_user(&by.peer);
            if !self.fenced_by.iter().any(is_known) {
                self.fenced_by.push(by.peer.clone());
            }
        }
    }

    /// Once nothing is cancelled any more.
    pub(super) fn end_fence(&mut self) {
        if !self.recovering && self.joined.is_none() && self.resets == 0 && self.pipe_cancels == 0 {
            self.fenced_by.clear();
        }
    }

    /// Whose cancel keeps this session from beginning anything.
    pub(super) fn fenced_out_by(&self, session: &Session) -> Option<Peer> {
        self.fenced_by.iter().find(|by| !CancelPolicy::SameUser.allows(by, &session.peer)).cloned()
    }
}

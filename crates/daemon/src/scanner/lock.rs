//! Which session has a scanner's pipes exclusively, and which wait for that. A value, part of the scanner's state.
//!
//! ```text
//!   free ──take──▶ held ──begin_unlock──▶ unlocking ──release──▶ free, or the next in line's
//!                    └──────revoke, release──────────────────────▲
//! ```
//!
//! While a session waits, no other may start requests: those on the pipes end, and then the lock is granted.

use std::collections::VecDeque;
use std::time::Instant;

/// The lock of one scanner. `A` is what is owed to those who wait.
#[derive(Debug)]
pub(crate) struct Lock<A> {
    holder: Option<Holder>,
    waiting: VecDeque<Waiting<A>>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    session: u64,
    since: Instant,
    /// It has said `unlock`, and what it had pending ends.
    unlocking: bool,
}

#[derive(Debug)]
struct Waiting<A> {
    session: u64,
    request: u64,
    answer: A,
}

/// What came of asking for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LockResult<A> {
    /// It is the asker's from now on.
    Granted(A),
    /// It was the asker's before.
    Held(A),
    /// The asker waits in line.
    Waits,
    /// Others are in the way.
    Busy(A),
}

impl<A> Default for Lock<A> {
    fn default() -> Lock<A> {
        Lock { holder: None, waiting: VecDeque::new() }
    }
}

impl<A> Lock<A> {
    /// Who has it, and since when.
    pub fn holder(&self) -> Option<(u64, Instant)> {
        self.holder.map(|holder| (holder.session, holder.since))
    }

    /// Who is first in line.
    pub fn next(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.session)
    }

    /// Whether this session may use the pipes.
    pub fn admits(&self, session: u64) -> bool {
        match self.holder {
            Some(holder) => holder.session == session && !holder.unlocking,
            None => self.waiting.is_empty(),
        }
    }

    /// Asks for it. `clear`: nothing but another holder is in the way.
    pub fn take(&mut self, session: u64, request: u64, wait: bool, clear: bool, answer: A) -> LockResult<A> {
        match self.holder {
            Some(holder) if holder.session == session && !holder.unlocking => LockResult::Held(answer),
            None if clear && self.waiting.is_empty() => {
                self.hold(session);
                LockResult::Granted(answer)
            }
            _ if wait => {
                self.waiting.push_back(Waiting { session, request, answer });
                LockResult::Waits
            }
            _ => LockResult::Busy(answer),
        }
    }

    /// Gives it to the first in line, if nobody has it: the answers to all that this session has asked, for it may have
    /// asked more than once.
    pub fn grant_next(&mut self) -> Vec<A> {
        let (None, Some(next)) = (self.holder, self.next()) else { return Vec::new() };
        self.hold(next);
        self.take_out(|session, _| session == next)
    }

    fn hold(&mut self, session: u64) {
        self.holder = Some(Holder { session, since: Instant::now(), unlocking: false });
    }

    /// The holder gives it back once its requests have ended, and asks for nothing more until then. `false` when it was
    /// not this session's.
    pub fn begin_unlock(&mut self, session: u64) -> bool {
        match &mut self.holder {
            Some(holder) if holder.session == session && !holder.unlocking => {
                holder.unlocking = true;
                true
            }
            _ => false,
        }
    }

    /// It is nobody's, if it was this session's.
    pub fn release(&mut self, session: u64) {
        self.holder = self.holder.filter(|holder| holder.session != session);
    }

    /// Takes it from its holder, unless that is this session. Returns the holder.
    pub fn revoke_unless(&mut self, session: u64) -> Option<u64> {
        let holder = self.holder.take_if(|holder| holder.session != session)?;
        Some(holder.session)
    }

    /// Takes those out of the line whom `which` (session, request) picks.
    pub fn take_out(&mut self, which: impl Fn(u64, u64) -> bool) -> Vec<A> {
        let (out, left): (VecDeque<_>, VecDeque<_>) =
            self.waiting.drain(..).partition(|waiting| which(waiting.session, waiting.request));
        self.waiting = left;
        out.into_iter().map(|waiting| waiting.answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_goes_from_hand_to_hand_in_the_order_of_asking() {
        let mut lock = Lock::default();
        assert_eq!(lock.take(1, 10, false, true, "a"), LockResult::Granted("a"));
        assert_eq!(lock.take(1, 11, false, true, "again"), LockResult::Held("again"));
        assert_eq!(lock.take(2, 20, false, true, "b"), LockResult::Busy("b"));
        assert_eq!(lock.take(2, 21, true, true, "b"), LockResult::Waits);
        assert_eq!(lock.take(3, 30, true, true, "c"), LockResult::Waits);
        lock.release(2);
        assert!(lock.grant_next().is_empty(), "session 1 has it still");
        lock.release(1);
        assert_eq!(lock.grant_next(), ["b"]);
        assert!(lock.admits(2) && !lock.admits(3));
        lock.release(2);
        assert_eq!(lock.grant_next(), ["c"]);
        lock.release(3);
        assert!(lock.grant_next().is_empty() && lock.holder().is_none() && lock.admits(4));
    }

    #[test]
    fn whoever_leaves_the_line_is_passed_over() {
        let mut lock = Lock::default();
        let _ = lock.take(1, 10, false, true, "a");
        let _ = lock.take(2, 20, true, true, "b");
        let _ = lock.take(3, 30, true, true, "c");
        assert_eq!(lock.take_out(|session, request| (session, request) == (2, 20)), ["b"]);
        lock.release(1);
        assert_eq!(lock.grant_next(), ["c"]);
    }

    #[test]
    fn while_others_are_in_the_way_it_is_waited_for_and_nobody_is_admitted() {
        let mut lock = Lock::default();
        assert_eq!(lock.take(2, 20, false, false, "b"), LockResult::Busy("b"));
        assert!(lock.admits(1), "who only asked keeps nobody off");
        assert_eq!(lock.take(2, 21, true, false, "b"), LockResult::Waits);
        assert_eq!(lock.take(3, 30, false, true, "c"), LockResult::Busy("c"), "another is first");
        assert!(!lock.admits(1) && !lock.admits(2));
        assert_eq!(lock.grant_next(), ["b"]);
        assert!(lock.admits(2));
    }

    #[test]
    fn a_session_that_unlocks_is_admitted_no_more_and_holds_it_until_that_is_done() {
        let mut lock = Lock::default();
        let _ = lock.take(1, 10, false, true, "a");
        assert!(lock.begin_unlock(1) && !lock.begin_unlock(1) && !lock.begin_unlock(2));
        assert!(!lock.admits(1));
        assert_eq!(lock.take(1, 11, true, true, "again"), LockResult::Waits);
        lock.release(1);
        assert_eq!(lock.grant_next(), ["again"]);
        assert!(lock.admits(1));
    }

    #[test]
    fn it_is_taken_from_whoever_has_it_but_from_oneself() {
        let mut lock = Lock::default();
        let _ = lock.take(1, 10, false, true, "a");
        assert_eq!(lock.revoke_unless(1), None);
        assert_eq!(lock.revoke_unless(2), Some(1));
        assert_eq!(lock.revoke_unless(2), None);
    }
}

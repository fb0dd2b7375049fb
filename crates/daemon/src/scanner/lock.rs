//! Who has a scanner's pipes for itself, and who waits for that. A value; whoever holds the scanner's state asks it.

use std::collections::VecDeque;
use std::time::Instant;

/// The lock of one scanner. `A` is what is owed to those who wait.
#[derive(Debug)]
pub(crate) struct Lock<A> {
    holder: Option<(u64, Instant)>,
    waiting: VecDeque<(u64, u64, A)>,
}

/// What came of asking for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LockResult<A> {
    /// It is the asker's.
    Yes(A),
    /// The asker waits in line.
    Waits,
    No(A),
}

impl<A> Default for Lock<A> {
    fn default() -> Lock<A> {
        Lock { holder: None, waiting: VecDeque::new() }
    }
}

impl<A> Lock<A> {
    /// Who has it, and since when.
    pub fn holder(&self) -> Option<(u64, Instant)> {
        self.holder
    }

    /// Whether this session may use the pipes.
    pub fn admits(&self, session: u64) -> bool {
        self.holder.is_none_or(|(holder, _)| holder == session)
    }

    /// Asks for it. A session that has it has it still.
    pub fn take(&mut self, session: u64, request: u64, wait: bool, answer: A) -> LockResult<A> {
        if self.admits(session) {
            self.holder.get_or_insert_with(|| (session, Instant::now()));
            return LockResult::Yes(answer);
        }
        if wait {
            self.waiting.push_back((session, request, answer));
            return LockResult::Waits;
        }
        LockResult::No(answer)
    }

    /// Gives it up; the next in line has it then. `None` when it was not this session's.
    pub fn release(&mut self, session: u64) -> Option<Vec<A>> {
        if self.holder.is_none_or(|(holder, _)| holder != session) {
            return None;
        }
        self.holder = None;
        let Some((next, _, answer)) = self.waiting.pop_front() else { return Some(Vec::new()) };
        self.holder = Some((next, Instant::now()));
        let mut granted = vec![answer];
        // It may have asked more than once.
        let (again, left): (VecDeque<_>, VecDeque<_>) = self.waiting.drain(..).partition(|waiting| waiting.0 == next);
        self.waiting = left;
        granted.extend(again.into_iter().map(|(_, _, answer)| answer));
        Some(granted)
    }

    /// Takes those out of the line whom `which` (session, request) picks.
    pub fn cancel_lock_waiters(&mut self, which: impl Fn(u64, u64) -> bool) -> Vec<A> {
        let (out, left): (VecDeque<_>, VecDeque<_>) = self.waiting.drain(..).partition(|(s, r, _)| which(*s, *r));
        self.waiting = left;
        out.into_iter().map(|(_, _, answer)| answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_goes_from_hand_to_hand_in_the_order_of_asking() {
        let mut lock = Lock::default();
        assert_eq!(lock.take(1, 10, false, "a"), LockResult::Yes("a"));
        assert_eq!(lock.take(1, 11, false, "again"), LockResult::Yes("again"));
        assert_eq!(lock.take(2, 20, false, "b"), LockResult::No("b"));
        assert_eq!(lock.take(2, 21, true, "b"), LockResult::Waits);
        assert_eq!(lock.take(3, 30, true, "c"), LockResult::Waits);
        assert_eq!(lock.release(2), None, "it is not the session's that waits");
        assert_eq!(lock.release(1), Some(vec!["b"]));
        assert!(lock.admits(2) && !lock.admits(3));
        assert_eq!(lock.release(2), Some(vec!["c"]));
        assert_eq!(lock.release(3), Some(vec![]));
        assert!(lock.holder().is_none());
    }

    #[test]
    fn whoever_leaves_the_line_is_passed_over() {
        let mut lock = Lock::default();
        let _ = lock.take(1, 10, false, "a");
        let _ = lock.take(2, 20, true, "b");
        let _ = lock.take(3, 30, true, "c");
        assert_eq!(lock.cancel_lock_waiters(|session, request| (session, request) == (2, 20)), ["b"]);
        assert_eq!(lock.release(1), Some(vec!["c"]));
    }
}

//! When bytes last moved on a pipe. Its worker stores it; other threads read how long the pipe has been silent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Activity {
    began: Instant,
    /// Microseconds after that, plus 1; 0 is never.
    last: AtomicU64,
}

impl Default for Activity {
    fn default() -> Activity {
        Activity { began: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Activity {
    /// Bytes have moved just now.
    pub fn moved(&self) {
        let since = self.began.elapsed().as_micros();
        self.last.store(u64::try_from(since).unwrap_or(u64::MAX - 1) + 1, Ordering::Relaxed);
    }

    /// When they last did.
    pub fn last(&self) -> Option<Instant> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.began + Duration::from_micros(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_on_which_nothing_moved_has_no_last_time() {
        let activity = Activity::default();
        assert_eq!(activity.last(), None);
        let before = Instant::now();
        activity.moved();
        // It is kept in whole microseconds.
        assert!(activity.last().is_some_and(|last| last + Duration::from_micros(1) >= before));
    }
}

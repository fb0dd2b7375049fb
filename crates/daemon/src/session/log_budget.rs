//! How much one user's sessions may have the daemon log. The log is the machine's: a user who may scan must not be able to fill
//! its disk, or push out of it what others did.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lines that may come at once, and how often there is one more.
const BURST: u32 = 30;
const ONE_MORE: Duration = Duration::from_secs(1);

/// The lines of one user. Any thread.
#[derive(Debug)]
pub(crate) struct LogBudget {
    state: Mutex<LogState>,
}

#[derive(Debug)]
struct LogState {
    lines: u32,
    counted_at: Instant,
    left_out: u64,
}

impl Default for LogBudget {
    fn default() -> LogBudget {
        LogBudget { state: Mutex::new(LogState { lines: BURST, counted_at: Instant::now(), left_out: 0 }) }
    }
}

impl LogBudget {
    /// Whether one more line may be written; then how many were left out before it.
    pub fn take(&self) -> Option<u64> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        let more = (now.saturating_duration_since(state.counted_at).as_millis() / ONE_MORE.as_millis()) as u32;
        state.counted_at += ONE_MORE * more;
        state.lines = state.lines.saturating_add(more).min(BURST);
        if state.lines == 0 {
            state.left_out += 1;
            return None;
        }
        state.lines -= 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_what_was_left_out_is_counted() {
        let budget = LogBudget::default();
        let now = budget.state.lock().counted_at;
        let written = (0..1000).filter(|_| budget.take_at(now).is_some()).count();
        assert_eq!(written, BURST as usize);
        assert_eq!(budget.take_at(now + ONE_MORE), Some(1000 - u64::from(BURST)));
        assert_eq!(budget.take_at(now + ONE_MORE), None);
        // However long it is quiet, no more than a burst is saved up.
        let later = now + ONE_MORE * 10_000;
        assert_eq!((0..1000).filter(|_| budget.take_at(later).is_some()).count(), BURST as usize);
    }
}

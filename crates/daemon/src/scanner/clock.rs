//! The time of one recovery. Deadlines count silence, not work: from the last byte that the scanner sent. A value; it is
//! told what time it is.

use std::time::{Duration, Instant};

use crate::config::RecoveryTimes;

/// See the head of this file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecoveryClock {
    began: Instant,
    /// When the scanner last sent something, or when the recovery began.
    heard: Instant,
    /// How long the scanner may be silent before its silence counts.
    settle: Duration,
    times: RecoveryTimes,
    /// The daemon is shutting down, and has so long.
    stop_by: Option<Instant>,
    has_heard: bool,
}

impl RecoveryClock {
    /// It begins now. `settle` is that of the phase in which the job was.
    pub fn start(times: RecoveryTimes, settle: Duration, stop_by: Option<Instant>, now: Instant) -> RecoveryClock {
        RecoveryClock {
            began: now,
            heard: now,
            settle: settle.min(times.longest_settle),
            times,
            stop_by,
            has_heard: false,
        }
    }

    /// The scanner has sent something.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.has_heard = true;
    }

    /// It was reset, and has its settle time anew; that is as long as firmware may take to start, at least.
    pub fn restart(&mut self, now: Instant) {
        self.heard = now;
        self.has_heard = false;
        self.settle = self.settle.max(self.times.start_up);
    }

    /// Whether the scanner has sent anything since the beginning, or the reset.
    pub fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// The daemon is shutting down: an end that comes sooner.
    pub fn stop_by(&mut self, at: Instant) {
        self.stop_by = Some(self.stop_by.map_or(at, |known| known.min(at)));
    }

    /// When its silence counts, if nothing comes until then.
    pub fn silence_counts_at(&self) -> Instant {
        self.heard + self.settle
    }

    /// Whether it has been silent for longer than its settle time.
    pub fn is_silent(&self, now: Instant) -> bool {
        now >= self.silence_counts_at()
    }

    /// When the recovery ends, whatever was armed: the settle time and [`RecoveryTimes::total`] after the last byte, and
    /// [`RecoveryTimes::longest_drain`] after its beginning while bytes keep coming.
    pub fn ends_at(&self) -> Instant {
        let by_silence = self.silence_counts_at() + self.times.total;
        let by_work = self.began + self.times.longest_drain.max(self.settle + self.times.total);
        let end = by_silence.min(by_work);
        self.stop_by.map_or(end, |stop| stop.min(end))
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.ends_at()
    }

    /// What is left for one step that may take `timeout`: until its silence counts, or all ends.
    pub fn left_for(&self, timeout: Duration, now: Instant) -> Duration {
        let end = self.silence_counts_at().min(self.ends_at());
        timeout.min(end.saturating_duration_since(now))
    }

    /// What is left of the whole for one step that may take `timeout`.
    pub fn left_of_all(&self, timeout: Duration, now: Instant) -> Duration {
        timeout.min(self.ends_at().saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock(settle: Duration, now: Instant) -> RecoveryClock {
        RecoveryClock::start(RecoveryTimes::default(), settle, None, now)
    }

    #[test]
    fn silence_counts_from_the_last_byte_and_not_from_the_beginning() {
        let now = Instant::now();
        let mut clock = clock(SECOND, now);
        clock.heard(now + SECOND * 3);
        assert!(!clock.is_silent(now + SECOND * 3));
        assert!(clock.is_silent(now + SECOND * 4));
    }

    #[test]
    fn the_whole_ends_settle_and_ten_seconds_after_the_last_byte() {
        let now = Instant::now();
        let mut clock = clock(SECOND * 2, now);
        assert_eq!(clock.ends_at(), now + SECOND * 12);
        clock.heard(now + SECOND * 100);
        assert_eq!(clock.ends_at(), now + SECOND * 112);
        clock.heard(now + SECOND * 179);
        assert_eq!(clock.ends_at(), now + SECOND * 180, "while bytes keep coming, 180 s at most");
    }

    #[test]
    fn after_a_reset_it_has_as_long_as_firmware_takes_to_start() {
        let now = Instant::now();
        for (settle, silent) in [(SECOND, SECOND * 2), (SECOND * 5, SECOND * 5)] {
            let mut clock = clock(settle, now);
            clock.restart(now + SECOND * 8);
            assert_eq!(clock.silence_counts_at(), now + SECOND * 8 + silent);
        }
    }

    #[test]
    fn no_settle_time_is_longer_than_thirty_seconds() {
        let now = Instant::now();
        assert_eq!(clock(SECOND * 3600, now).silence_counts_at(), now + SECOND * 30);
    }

    #[test]
    fn a_daemon_that_shuts_down_gives_it_what_is_left_and_never_more() {
        let now = Instant::now();
        let mut clock = clock(SECOND, now);
        clock.stop_by(now + SECOND * 5);
        clock.stop_by(now + SECOND * 7);
        assert_eq!(clock.ends_at(), now + SECOND * 5);
        assert_eq!(clock.left_for(SECOND * 9, now), SECOND);
        assert_eq!(clock.left_of_all(SECOND * 9, now), SECOND * 5);
        assert!(clock.is_over(now + SECOND * 5));
    }
}

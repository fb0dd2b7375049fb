//! What ends a backend's call, and what ends the process.
//!
//! ```text
//!   cancel, or the program is gone
//!     └▶ a call is under way: wait for it ── 300 ms ──▶ make its transfers fail until it is back
//!     └▶ it is back: sane_cancel (and sane_close) on the main thread, with transfers as usual
//!          └▶ no transfer ends well for 2 s, or 30 s are over: the process ends, and the daemon recovers the scanner
//! ```
//!
//! Many backends do I/O in `sane_cancel`, to bring the carriage home, and few may be called by two threads.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::dropin::Dropin;

/// So long a call may take to come back by itself.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two looks whether anything moves.
const ROUND: Duration = Duration::from_millis(100);
/// Without a transfer that ended well for so long nothing moves.
const STANDSTILL: Duration = Duration::from_secs(2);
/// All of it may take so long.
const LIMIT: Duration = Duration::from_secs(30);

/// What the main thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for a request, or hands bytes on.
    Outside,
    /// Is in a call of the backend.
    Call,
    /// Is in a call that ends something: `sane_cancel`, `sane_close`.
    Ending,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    cancelled: bool,
    hung_up: bool,
    refuses: bool,
}

impl State {
    fn is_to_end(&self) -> bool {
        self.cancelled || self.hung_up
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Control {
    state: Mutex<State>,
    changed: Condvar,
    dropin: Dropin,
}

impl Control {
    /// With nothing under way.
    pub fn new(dropin: Dropin) -> Control {
        let state = State { phase: Phase::Outside, cancelled: false, hung_up: false, refuses: false };
        Control { state: Mutex::new(state), changed: Condvar::new(), dropin }
    }

    /// Our libusb.
    pub fn dropin(&self) -> Dropin {
        self.dropin
    }

    /// The program wants no more of what is under way.
    pub fn cancel(&self) {
        self.state.lock().cancelled = true;
        self.changed.notify_all();
    }

    /// The program is gone.
    pub fn hang_up(&self) {
        self.state.lock().hung_up = true;
        self.changed.notify_all();
    }

    /// Whether what is under way is not wanted any more.
    pub fn is_to_end(&self) -> bool {
        self.state.lock().is_to_end()
    }

    /// The cancel is over. Whether there was one.
    pub fn end_cancel(&self) -> bool {
        let was = std::mem::take(&mut self.state.lock().cancelled);
        self.changed.notify_all();
        was
    }

    /// Makes a call of the backend that a cancel may have to end.
    pub fn call<T>(&self, call: impl FnOnce() -> T) -> T {
        self.run(Phase::Call, call)
    }

    /// Makes a call that ends something.
    pub fn ending<T>(&self, call: impl FnOnce() -> T) -> T {
        self.run(Phase::Ending, call)
    }

    fn run<T>(&self, phase: Phase, call: impl FnOnce() -> T) -> T {
        self.state.lock().phase = phase;
        self.changed.notify_all();
        let result = call();
        let mut state = self.state.lock();
        state.phase = Phase::Outside;
        if std::mem::take(&mut state.refuses) {
            self.dropin.refuse(false);
        }
        drop(state);
        self.changed.notify_all();
        result
    }

    /// Watches for as long as the process lives. `give_up` ends it.
    pub fn watch(&self, give_up: impl Fn()) {
        loop {
            let mut state = self.state.lock();
            while !state.is_to_end() {
                self.changed.wait(&mut state);
            }
            let began = Instant::now();
            while state.phase == Phase::Call && state.is_to_end() {
                if self.changed.wait_until(&mut state, began + PATIENCE).timed_out() {
                    break;
                }
            }
            if state.phase == Phase::Call && state.is_to_end() {
                state.refuses = true;
                self.dropin.refuse(true);
            }
            let (mut completed, mut moved_at) = (self.dropin.completed(), Instant::now());
            while state.is_to_end() {
                self.changed.wait_for(&mut state, ROUND);
                let now = self.dropin.completed();
                if now != completed || state.phase != Phase::Ending {
                    (completed, moved_at) = (now, Instant::now());
                }
                if moved_at.elapsed() >= STANDSTILL || began.elapsed() >= LIMIT {
                    return give_up();
                }
            }
        }
    }
}

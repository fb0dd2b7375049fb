//! One cancel, while it is under way. It is shared by the workers that have not handled it yet, and by its requests that have
//! not ended. When the last of them drops it, its callback runs; so its answer comes after those of everything that it
//! cancelled. Any thread; never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a cancel came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CancelCount {
    /// Requests that it concerned.
    pub found: u64,
    /// Whether the host did not give some transfer back.
    pub host_stuck: bool,
}

type Speak = Box<dyn FnOnce(CancelCount) + Send + Sync>;

/// A cancel under way.
pub(crate) struct Cancellation {
    found: AtomicU64,
    host_stuck: AtomicBool,
    speak: Option<Speak>,
}

impl std::fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancellation").field("found", &self.found).field("host_stuck", &self.host_stuck).finish()
    }
}

impl Cancellation {
    /// `speak` runs once, on the thread that lets go last.
    pub fn new(speak: impl FnOnce(CancelCount) + Send + Sync + 'static) -> Arc<Cancellation> {
        Arc::new(Cancellation {
            found: AtomicU64::new(0),
            host_stuck: AtomicBool::new(false),
            speak: Some(Box::new(speak)),
        })
    }

    /// Counts requests that it concerned.
    pub fn found(&self, requests: usize) {
        self.found.fetch_add(requests as u64, Ordering::Relaxed);
    }

    /// Something that it concerned was never given back.
    pub fn host_stuck(&self) {
        self.host_stuck.store(true, Ordering::Relaxed);
    }
}

impl Drop for Cancellation {
    fn drop(&mut self) {
        let sum = CancelCount { found: *self.found.get_mut(), host_stuck: *self.host_stuck.get_mut() };
        if let Some(speak) = self.speak.take() {
            speak(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_let_go_makes_it_speak_once() {
        let (told, hear) = crossbeam_channel::unbounded();
        let one = Cancellation::new(move |sum| told.send(sum).expect("the test hears"));
        let two = one.clone();
        one.found(2);
        drop(one);
        assert!(hear.try_recv().is_err());
        two.host_stuck();
        drop(two);
        assert_eq!(hear.recv(), Ok(CancelCount { found: 2, host_stuck: true }));
        assert!(hear.recv().is_err());
    }
}

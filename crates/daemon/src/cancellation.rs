//! One cancel, while it is under way. Whoever still owes something to it holds it: the workers that have not looked
//! yet, and the requests that have not ended. The last to let go of it makes it speak, so its answer comes after those
//! of everything that it cancelled. Any thread; never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a cancel came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    /// Requests that it concerned.
    pub found: u64,
    /// Whether the host did not give some transfer back.
    pub wedged: bool,
}

type Speak = Box<dyn FnOnce(Sum) + Send + Sync>;

/// A cancel under way.
pub(crate) struct Cancellation {
    found: AtomicU64,
    wedged: AtomicBool,
    speak: Option<Speak>,
}

impl std::fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancellation").field("found", &self.found).field("wedged", &self.wedged).finish()
    }
}

impl Cancellation {
    /// `speak` runs once, on the thread that lets go last.
    pub fn new(speak: impl FnOnce(Sum) + Send + Sync + 'static) -> Arc<Cancellation> {
        Arc::new(Cancellation {
            found: AtomicU64::new(0),
            wedged: AtomicBool::new(false),
            speak: Some(Box::new(speak)),
        })
    }

    /// Counts requests that it concerned.
    pub fn found(&self, requests: usize) {
        self.found.fetch_add(requests as u64, Ordering::Relaxed);
    }

    /// Something that it concerned was never given back.
    pub fn wedged(&self) {
        self.wedged.store(true, Ordering::Relaxed);
    }
}

impl Drop for Cancellation {
    fn drop(&mut self) {
        let sum = Sum { found: *self.found.get_mut(), wedged: *self.wedged.get_mut() };
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
        two.wedged();
        drop(two);
        assert_eq!(hear.recv(), Ok(Sum { found: 2, wedged: true }));
        assert!(hear.recv().is_err());
    }
}

//! Ending a scan from another thread, at once.
//!
//! ```text
//!           cancel()              acknowledge()                 cancel(), or the time for it is over
//!   wanted ─────────▶ cancelled ───────────────▶ cleaning up ──────────────────────────────────────▶ abandoned
//! ```
//!
//! The first cancel ends the transfer under way and every one that would follow. The driver then acknowledges it: what it
//! does to bring the scanner back to idle is not cancelled by the cancel that made it necessary. A second cancel
//! ends that too; and so does [`CLEAN_UP`], after which the person has control again whatever the scanner does. The
//! transport then ends its session with the abort sequence armed, and the daemon goes on.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};

/// How long a program whose scan ends may take to bring the scanner back to idle itself, or wait for the daemon to do so.
/// A person who waits for a prompt takes 0.3 s for at once.
pub const CLEAN_UP: Duration = Duration::from_millis(250);

/// It was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

#[derive(Debug)]
struct CancelState {
    requested: u64,
    acknowledged: u64,
    /// The transfers that would have to be ended.
    under_way: Vec<u64>,
    /// How long cleaning up may take, and until when it may.
    clean_up: Duration,
    deadline: Option<Instant>,
}

impl CancelState {
    fn start_clean_up(&mut self) {
        let length = self.clean_up;
        self.deadline.get_or_insert_with(|| Instant::now() + length);
    }
}

struct Shared {
    state: Mutex<CancelState>,
    changed: Condvar,
    /// Wakes the transport, which then looks at the deadline.
    wake: Sender<()>,
    woken: Receiver<()>,
    interrupt: Box<dyn Fn(u64) + Send + Sync>,
}

/// Cancels whatever its transport's driver does. Clones are the same; any thread may use one.
#[derive(Clone)]
pub struct Cancel {
    shared: Arc<Shared>,
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&*self.shared.state.lock()).finish()
    }
}

impl Cancel {
    /// For a transport: `interrupt` asks for the transfer of this id to be ended. It is called on the thread
    /// that cancels, or on that which started the transfer, perhaps for one that has ended already.
    pub fn new(interrupt: impl Fn(u64) + Send + Sync + 'static) -> Cancel {
        let (wake, woken) = crossbeam_channel::bounded(1);
        let state =
            CancelState { requested: 0, acknowledged: 0, under_way: Vec::new(), clean_up: CLEAN_UP, deadline: None };
        let interrupt = Box::new(interrupt);
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), wake, woken, interrupt };
        Cancel { shared: Arc::new(shared) }
    }

    /// Cancels. Waits for nothing; the scan ends with [`crate::ScanError::Cancelled`] when the scanner is idle.
    /// A cancel while nothing is scanned ends the next scan before it begins, see [`Cancel::reset`].
    pub fn cancel(&self) {
        let under_way = {
            let mut state = self.shared.state.lock();
            state.requested += 1;
            state.start_clean_up();
            state.under_way.clone()
        };
        self.shared.changed.notify_all();
        // Full: it will wake up anyway.
        let _ = self.shared.wake.try_send(());
        for id in under_way {
            (self.shared.interrupt)(id);
        }
    }

    /// Whether it was cancelled and the driver has not acknowledged that yet.
    pub fn is_requested(&self) -> bool {
        let state = self.shared.state.lock();
        state.requested > state.acknowledged
    }

    /// Forgets earlier cancels. The owner of a scanner calls it before another scan.
    pub fn reset(&self) {
        self.acknowledge();
        self.end_clean_up();
    }

    /// Another length than [`CLEAN_UP`]. Tests take one that is never over, or none.
    pub fn set_clean_up(&self, length: Duration) {
        self.shared.state.lock().clean_up = length;
    }

    /// For drivers: nobody wants the page any more, though it was not cancelled here: its reader is gone, or another client
    /// cancelled it. From now on it is cleaning up, and has as little time as after a cancel.
    pub fn start_clean_up(&self) {
        self.shared.state.lock().start_clean_up();
    }

    /// For drivers: the scanner is idle.
    pub fn end_clean_up(&self) {
        self.shared.state.lock().deadline = None;
    }

    /// For transports: until when cleaning up may take, while it is going on.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.state.lock().deadline
    }

    /// For transports: has a message after each cancel.
    pub fn woken(&self) -> Receiver<()> {
        self.shared.woken.clone()
    }

    /// For drivers: the cancel is known, what follows is cleaning up. Only another cancel ends that.
    pub fn acknowledge(&self) {
        let mut state = self.shared.state.lock();
        state.acknowledged = state.requested;
    }

    /// For drivers: waits, unless or until it is cancelled.
    ///
    /// # Errors
    /// [`Cancelled`], at once.
    pub fn pause(&self, length: Duration) -> Result<(), Cancelled> {
        let until = Instant::now() + length;
        let mut state = self.shared.state.lock();
        while state.requested == state.acknowledged {
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                return if state.requested == state.acknowledged { Ok(()) } else { Err(Cancelled) };
            }
        }
        Err(Cancelled)
    }

    /// For transports: a transfer is about to be started.
    ///
    /// # Errors
    /// [`Cancelled`] when it must not be.
    pub fn starting(&self, id: u64) -> Result<(), Cancelled> {
        let mut state = self.shared.state.lock();
        if state.requested > state.acknowledged {
            return Err(Cancelled);
        }
        state.under_way.push(id);
        Ok(())
    }

    /// For transports: the transfer is started. A cancel that came while it was being started could not find it.
    pub fn started(&self, id: u64) {
        if self.is_requested() {
            (self.shared.interrupt)(id);
        }
    }

    /// For transports: the transfer has ended.
    pub fn ended(&self, id: u64) {
        self.shared.state.lock().under_way.retain(|one| *one != id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> (Cancel, Arc<Mutex<Vec<u64>>>) {
        let interrupted = Arc::new(Mutex::new(Vec::new()));
        let cancel = Cancel::new({
            let interrupted = interrupted.clone();
            move |id| interrupted.lock().push(id)
        });
        (cancel, interrupted)
    }

    #[test]
    fn a_cancel_ends_what_is_under_way_and_what_would_follow() {
        let (cancel, interrupted) = watched();
        cancel.starting(1).expect("wanted");
        cancel.starting(2).expect("wanted");
        cancel.ended(1);
        cancel.cancel();
        assert_eq!(*interrupted.lock(), [2]);
        assert_eq!(cancel.starting(3), Err(Cancelled));
    }

    #[test]
    fn a_transfer_that_a_cancel_could_not_find_yet_is_ended_when_it_is_started() {
        let (cancel, interrupted) = watched();
        cancel.starting(1).expect("wanted");
        cancel.cancel();
        interrupted.lock().clear(); // sent before the transfer was: the other side knew no such
        cancel.started(1);
        assert_eq!(*interrupted.lock(), [1]);
    }

    /// A transport's way with one transfer, a step at a time, and what the other side makes of it.
    #[derive(Default)]
    struct Way {
        step: usize,
        refused: bool,
        /// The other side knows the transfer, so an interrupt finds it.
        known: bool,
        interrupted: bool,
    }

    impl Way {
        /// Asks whether it may start, sends the request, tells that it has.
        const STEPS: usize = 3;

        fn go_on(way: &Mutex<Way>, cancel: &Cancel) {
            let Way { step, refused, .. } = *way.lock();
            match step {
                0 => {
                    let refused = cancel.starting(1).is_err();
                    way.lock().refused = refused;
                }
                1 => way.lock().known = !refused,
                2 if !refused => cancel.started(1),
                _ => {}
            }
            way.lock().step += 1;
        }
    }

    #[test]
    fn at_whatever_moment_a_cancel_comes_the_transfer_is_not_started_or_is_interrupted_while_it_is_known() {
        // The cancel comes in front of this step; and its interrupt, which is sent without the lock, is overtaken by so many.
        for before in 0..=Way::STEPS {
            for overtaken_by in 0..=Way::STEPS - before {
                let way = Arc::new(Mutex::new(Way::default()));
                let slot: Arc<Mutex<Option<Cancel>>> = Arc::default();
                let overtaking = Arc::new(Mutex::new(overtaken_by));
                let cancel = Cancel::new({
                    let (way, slot, overtaking) = (way.clone(), slot.clone(), overtaking.clone());
                    move |_| {
                        // On its way to the other side; then it is there.
                        let steps = std::mem::take(&mut *overtaking.lock());
                        for _ in 0..steps {
                            let cancel = slot.lock().clone().expect("it is there");
                            Way::go_on(&way, &cancel);
                        }
                        let mut way = way.lock();
                        way.interrupted |= way.known;
                    }
                });
                *slot.lock() = Some(cancel.clone());
                (0..before).for_each(|_| Way::go_on(&way, &cancel));
                cancel.cancel();
                while way.lock().step < Way::STEPS {
                    Way::go_on(&way, &cancel);
                }
                let way = way.lock();
                assert!(way.refused != way.interrupted, "before step {before}, overtaken by {overtaken_by}");
            }
        }
    }

    #[test]
    fn cleaning_up_has_a_deadline_from_the_first_sign_that_the_page_is_not_wanted_until_the_scanner_is_idle() {
        let (cancel, _) = watched();
        assert_eq!(cancel.deadline(), None);
        cancel.start_clean_up();
        let first = cancel.deadline().expect("it is cleaning up");
        cancel.set_clean_up(Duration::from_secs(3600));
        cancel.cancel();
        assert_eq!(cancel.deadline(), Some(first), "a later cancel gives no more time");
        assert!(cancel.woken().try_recv().is_ok());
        cancel.end_clean_up();
        assert_eq!(cancel.deadline(), None);
        cancel.cancel();
        assert!(cancel.deadline().is_some_and(|deadline| deadline > first));
        cancel.reset();
        assert_eq!((cancel.deadline(), cancel.is_requested()), (None, false));
    }

    #[test]
    fn cleaning_up_is_ended_only_by_another_cancel() {
        let (cancel, interrupted) = watched();
        cancel.cancel();
        cancel.acknowledge();
        cancel.starting(4).expect("cleaning up");
        cancel.started(4);
        assert!(interrupted.lock().is_empty());
        cancel.cancel();
        assert_eq!(*interrupted.lock(), [4]);
    }

    #[test]
    fn a_pause_ends_when_it_is_cancelled() {
        let (cancel, _) = watched();
        assert_eq!(cancel.pause(Duration::ZERO), Ok(()));
        let waiting = std::thread::spawn({
            let cancel = cancel.clone();
            move || cancel.pause(Duration::from_secs(3600))
        });
        cancel.cancel();
        assert_eq!(waiting.join().expect("no panic"), Err(Cancelled));
    }
}

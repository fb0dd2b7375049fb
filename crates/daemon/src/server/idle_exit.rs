//! Ends a daemon that nobody uses: for one behind systemd's socket, which starts it again for the next client. Its thread
//! `unused` waits for connections to come and go, and for the time that may pass without any.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};

use crate::session::list::Sessions;

/// Watches over the number of connections. Dropping it ends the watch.
#[derive(Debug)]
pub struct IdleExit {
    sessions: Arc<Sessions>,
    thread: Option<JoinHandle<()>>,
}

impl IdleExit {
    /// Calls `call`, once, when there was no connection for so long, and `close` has found that there is still none and sees to
    /// it that none comes. A client may be connected already: the one that systemd started the daemon for.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn watch(
        sessions: Arc<Sessions>,
        after: Duration,
        close: impl Fn() -> bool + Send + 'static,
        call: impl FnOnce() + Send + 'static,
    ) -> io::Result<IdleExit> {
        let (counts, changes) = unbounded();
        sessions.count_to(Some(counts));
        let wait = move || {
            // One whose connection is accepted at this very moment is not counted yet: then the wait begins anew.
            while is_unused(&changes, after) {
                if close() {
                    return call();
                }
            }
        };
        let thread = std::thread::Builder::new().name("idle-exit".to_owned()).spawn(wait)?;
        Ok(IdleExit { sessions, thread: Some(thread) })
    }
}

/// Waits until the count was 0 for so long; `false` when nobody counts any more.
fn is_unused(changes: &Receiver<usize>, after: Duration) -> bool {
    let mut since = Some(Instant::now());
    loop {
        let news = match since {
            Some(since) => changes.recv_deadline(since + after),
            None => changes.recv().map_err(RecvTimeoutError::from),
        };
        match news {
            Ok(count) => since = (count == 0).then(Instant::now),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

impl Drop for IdleExit {
    fn drop(&mut self) {
        self.sessions.count_to(None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);
    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn it_calls_when_nobody_ever_connected() {
        let (call, called) = unbounded();
        let watch = IdleExit::watch(Arc::default(), SOON, || true, move || call.send(()).unwrap()).unwrap();
        called.recv().expect("it calls");
        drop(watch);
    }

    #[test]
    fn it_goes_on_waiting_when_somebody_has_just_come_who_is_not_counted_yet() {
        let (call, called) = unbounded();
        let (ask, asked) = unbounded();
        let close = move || {
            ask.send(()).unwrap();
            ask.len() == 3
        };
        let watch = IdleExit::watch(Arc::default(), SOON, close, move || call.send(()).unwrap()).unwrap();
        called.recv().expect("it calls in the end");
        assert_eq!(asked.len(), 3);
        drop(watch);
    }

    #[test]
    fn it_does_not_call_while_somebody_is_connected() {
        let (counts, changes) = unbounded();
        counts.send(2).unwrap();
        counts.send(1).unwrap();
        drop(counts);
        assert!(!is_unused(&changes, NEVER), "the counting thread went first");
    }

    #[test]
    fn it_calls_after_the_last_one_left() {
        let (counts, changes) = unbounded();
        counts.send(1).unwrap();
        counts.send(0).unwrap();
        assert!(is_unused(&changes, SOON));
    }

    #[test]
    fn dropping_it_ends_the_wait() {
        drop(IdleExit::watch(Arc::default(), NEVER, || true, || panic!("nobody waited so long")).unwrap());
    }
}

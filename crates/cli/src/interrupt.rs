//! Ctrl-C and SIGTERM. The first one does what the running command registered (a scan is cancelled at the scanner); with
//! nothing registered, and for the second one, the program ends at once, with last words if there are any. A thread (`signals`) waits for them; it lives as
//! long as the program, because a signal may come at any time.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::exit::Exit;

/// A signal that asks us to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            SIGINT => f.write_str("interrupted"),
            SIGTERM => f.write_str("terminated"),
            SIGHUP => f.write_str("hung up"),
            other => write!(f, "ended by signal {other}"),
        }
    }
}

/// What a signal does now, and which came.
#[derive(Clone)]
pub struct Interrupts {
    state: Arc<Mutex<State>>,
    bell: Arc<Bell>,
    last_words: Arc<dyn Fn(Signal) + Send + Sync>,
}

/// A pipe that can be read from once a signal came, for those who wait for input.
#[derive(Debug)]
struct Bell {
    heard: OwnedFd,
    rung: OwnedFd,
}

#[derive(Default)]
struct State {
    action: Option<Box<dyn FnOnce(Signal) + Send>>,
    caught: Option<Signal>,
}

impl std::fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupts").field("caught", &self.caught()).finish_non_exhaustive()
    }
}

/// Signals end the program at once again when this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Listening(Interrupts);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.state.lock().action = None;
    }
}

impl Interrupts {
    /// Begins to listen. Before the program ends at once it does what `last_words` does.
    ///
    /// # Errors
    /// When the system has no more descriptors or threads.
    pub fn listen(last_words: impl Fn(Signal) + Send + Sync + 'static) -> io::Result<Interrupts> {
        let (heard, rung) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let interrupts = Interrupts {
            state: Arc::default(),
            bell: Arc::new(Bell { heard, rung }),
            last_words: Arc::new(last_words),
        };
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let heard = interrupts.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|signal| heard.on(Signal(signal))))?;
        Ok(interrupts)
    }

    /// The first signal does `action` from now on.
    pub fn on_first(&self, action: impl FnOnce(Signal) + Send + 'static) -> Listening {
        self.state.lock().action = Some(Box::new(action));
        Listening(self.clone())
    }

    /// The signal that came first, if one did.
    pub fn caught(&self) -> Option<Signal> {
        self.state.lock().caught
    }

    /// Waits for `input` to have something, or its end, unless or until a signal comes: that is given back.
    ///
    /// # Errors
    /// The system's.
    pub fn readable(&self, input: BorrowedFd<'_>) -> io::Result<Option<Signal>> {
        let mut both = [PollFd::new(&self.bell.heard, PollFlags::IN), PollFd::from_borrowed_fd(input, PollFlags::IN)];
        loop {
            match rustix::event::poll(&mut both, None) {
                Ok(_) => return Ok(self.caught()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn on(&self, signal: Signal) {
        let action = {
            let mut state = self.state.lock();
            let first = state.caught.is_none();
            state.caught.get_or_insert(signal);
            state.action.take().filter(|_| first)
        };
        match action {
            Some(action) => {
                action(signal);
                // One byte in a pipe of its own: it can't be full.
                let _ = rustix::io::write(&self.bell.rung, &[0]);
            }
            None => {
                (self.last_words)(signal);
                std::process::exit(Exit::Interrupted(signal).code().into());
            }
        }
    }
}

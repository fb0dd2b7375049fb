//! SIGINT, SIGTERM and SIGHUP. The first signal runs the action that the current command registered (a scan is cancelled
//! at the scanner). The second one, or the first without an action, runs `on_exit` and exits. The thread `signals` waits
//! for them as long as the program runs.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::exit::Exit;
use super::signal::Signal;

/// The registered action, and the first signal that came.
#[derive(Clone)]
pub struct Interrupts {
    state: Arc<Mutex<InterruptState>>,
    pipe: Arc<SelfPipe>,
    on_exit: Arc<dyn Fn(Signal) + Send + Sync>,
}

/// Becomes readable when a signal comes, so that `poll` can wait for input and signals together.
#[derive(Debug)]
struct SelfPipe {
    read: OwnedFd,
    write: OwnedFd,
}

#[derive(Default)]
struct InterruptState {
    action: Option<Box<dyn FnOnce(Signal) + Send>>,
    caught: Option<Signal>,
}

impl std::fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interrupts").field("caught", &self.caught()).finish_non_exhaustive()
    }
}

/// Unregisters the action when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct ActionGuard(Interrupts);

impl Drop for ActionGuard {
    fn drop(&mut self) {
        self.0.state.lock().action = None;
    }
}

impl Interrupts {
    /// Starts the signal thread. `on_exit` runs before a signal ends the program.
    ///
    /// # Errors
    /// When the system is out of file descriptors or threads.
    pub fn listen(on_exit: impl Fn(Signal) + Send + Sync + 'static) -> io::Result<Interrupts> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let interrupts =
            Interrupts { state: Arc::default(), pipe: Arc::new(SelfPipe { read, write }), on_exit: Arc::new(on_exit) };
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let handler = interrupts.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|signal| handler.handle(Signal(signal))))?;
        Ok(interrupts)
    }

    /// Registers what the first signal does.
    pub fn on_first(&self, action: impl FnOnce(Signal) + Send + 'static) -> ActionGuard {
        self.state.lock().action = Some(Box::new(action));
        ActionGuard(self.clone())
    }

    /// The first signal that came.
    pub fn caught(&self) -> Option<Signal> {
        self.state.lock().caught
    }

    /// Waits until `input` is readable or a signal comes. Returns the signal.
    ///
    /// # Errors
    /// The system's.
    pub fn readable(&self, input: BorrowedFd<'_>) -> io::Result<Option<Signal>> {
        let mut both = [PollFd::new(&self.pipe.read, PollFlags::IN), PollFd::from_borrowed_fd(input, PollFlags::IN)];
        loop {
            match rustix::event::poll(&mut both, None) {
                Ok(_) => return Ok(self.caught()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Waits until `output` takes something. `false`: a signal has come, and it has taken nothing for `patience` after that.
    ///
    /// # Errors
    /// The system's.
    pub fn writable(&self, output: BorrowedFd<'_>, patience: Duration) -> io::Result<bool> {
        let mut patience_left = None;
        loop {
            let mut both =
                [PollFd::from_borrowed_fd(output, PollFlags::OUT), PollFd::new(&self.pipe.read, PollFlags::IN)];
            // Once a signal has come, only the output is looked at.
            let looked_at = if patience_left.is_some() { 1 } else { 2 };
            match rustix::event::poll(&mut both[..looked_at], patience_left.as_ref()) {
                Ok(0) => return Ok(false),
                // Also where it is broken, which the write says.
                Ok(_) if !both[0].revents().is_empty() => return Ok(true),
                Ok(_) => patience_left = Some(Timespec::try_from(patience).map_err(io::Error::other)?),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn handle(&self, signal: Signal) {
        let action = {
            let mut state = self.state.lock();
            let first = state.caught.is_none();
            state.caught.get_or_insert(signal);
            state.action.take().filter(|_| first)
        };
        match action {
            Some(action) => {
                action(signal);
                // One byte at most is ever written, so the pipe is never full.
                let _ = rustix::io::write(&self.pipe.write, &[0]);
            }
            None => {
                (self.on_exit)(signal);
                std::process::exit(Exit::Interrupted(signal).code().into());
            }
        }
    }
}

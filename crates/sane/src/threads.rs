//! Threads of this library inside a program that is not ours: named, and deaf to signals, so that the program's handlers
//! run on the program's threads and interrupt the calls that it expects them to interrupt. A thread that one of these
//! starts is as deaf.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that gets no signals.
pub fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    // The new thread takes over the mask of the one that starts it.
    let heard = Mask::block_all();
    let thread = Builder::new().name(name.to_owned()).spawn(work);
    heard.restore();
    thread
}

/// Runs `work` on such a thread and waits for it: for what starts threads of its own. `None` if it could not be started
/// or panicked.
pub fn run<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match spawn(name, work) {
        Ok(thread) => thread.join().ok(),
        Err(error) => {
            log::error!("start the thread {name}: {error}");
            None
        }
    }
}

/// The signals that the calling thread did not get, before all were blocked.
struct Mask(libc::sigset_t);

impl Mask {
    fn block_all() -> Mask {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset fills the set that it is given room for.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: sigfillset just filled it.
        let all = unsafe { all.assume_init() };
        let mut before = all;
        // SAFETY: both sets are ours and whole; the call fails only for an unknown first argument.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
        Mask(before)
    }

    fn restore(self) {
        // SAFETY: the set is the one that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("Linux has it");
        status.lines().find(|line| line.starts_with("SigBlk")).expect("and says what is blocked").to_owned()
    }

    #[test]
    fn our_threads_and_theirs_are_deaf_and_the_applications_are_not() {
        let before = blocked();
        let (ours, theirs) = run("deaf", || {
            let theirs = std::thread::spawn(blocked).join().expect("it reads a file");
            (blocked(), theirs)
        })
        .expect("threads are left");
        assert_eq!(blocked(), before);
        assert_ne!(ours, before);
        assert_eq!(ours, theirs);
    }
}

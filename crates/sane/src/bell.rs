//! A descriptor that is readable while something is to be noticed: how a signal handler wakes a thread, and how
//! `sane_get_select_fd` wakes an application. Nothing here takes a lock or allocates once the bell is made.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, read, write};

/// An eventfd: rung or quiet. A pipe would do the same with two descriptors, and could fill up.
#[derive(Debug)]
pub struct Bell {
    fd: OwnedFd,
}

impl Bell {
    /// A quiet one. Fails where the process has no descriptors left.
    pub fn new() -> Result<Bell, Errno> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Bell { fd })
    }

    /// Makes it readable. One write and nothing else, so a signal handler may; ringing twice is ringing once.
    pub fn ring(&self) {
        // The one way to fail is a counter at 2^64 - 2, and then it is readable already.
        let _ = write(&self.fd, &1_u64.to_ne_bytes());
    }

    pub fn quiet(&self) {
        // Fails where it was quiet already.
        let _ = read(&self.fd, &mut [0_u8; 8]);
    }

    /// Waits until it rings, and makes it quiet again.
    pub fn wait(&self) {
        let mut watched = [PollFd::new(&self.fd, PollFlags::IN)];
        while let Err(error) = poll(&mut watched, None) {
            assert!(error == Errno::INTR || error == Errno::AGAIN, "poll on an eventfd of ours: {error}");
        }
        self.quiet();
    }

    /// The descriptor, for `select` and `poll`. It stays this bell's.
    pub fn descriptor(&self) -> RawFd {
        self.fd.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(bell: &Bell) -> bool {
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&bell.fd, PollFlags::IN)], Some(&now)).expect("poll works") == 1
    }

    #[test]
    fn a_bell_is_readable_from_its_ring_until_it_is_quieted() {
        let bell = Bell::new().expect("descriptors are left");
        assert!(!readable(&bell));
        bell.ring();
        bell.ring();
        assert!(readable(&bell));
        bell.quiet();
        assert!(!readable(&bell));
        bell.quiet();
    }

    #[test]
    fn who_waits_is_woken_by_a_ring_before_or_after() {
        let bell = Bell::new().expect("descriptors are left");
        bell.ring();
        bell.wait();
        std::thread::scope(|scope| {
            scope.spawn(|| bell.wait());
            bell.ring();
        });
        assert!(!readable(&bell));
    }
}

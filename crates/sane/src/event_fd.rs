//! An eventfd: how a signal handler wakes a thread, and how `sane_get_select_fd` wakes an application. Nothing here takes a
//! lock or allocates once it is made.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, read, write};

/// Readable from [`EventFd::notify`] to [`EventFd::clear`]. A pipe would need two descriptors, and could fill up.
#[derive(Debug)]
pub struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// One that is not readable. Fails where the process has no descriptors left.
    pub fn new() -> Result<EventFd, Errno> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(EventFd { fd })
    }

    /// Makes it readable. One write and nothing else, so a signal handler may call it. Twice is as good as once.
    pub fn notify(&self) {
        // The one way to fail is a counter at 2^64 - 2, and then it is readable already.
        let _ = write(&self.fd, &1_u64.to_ne_bytes());
    }

    pub fn clear(&self) {
        // Fails where it was not readable.
        let _ = read(&self.fd, &mut [0_u8; 8]);
    }

    /// Waits until it is readable, and clears it.
    pub fn wait(&self) {
        let mut watched = [PollFd::new(&self.fd, PollFlags::IN)];
        while let Err(error) = poll(&mut watched, None) {
            assert!(error == Errno::INTR || error == Errno::AGAIN, "poll on an eventfd of ours: {error}");
        }
        self.clear();
    }

    /// The descriptor, for `select` and `poll`. It stays open as long as this value.
    pub fn descriptor(&self) -> RawFd {
        self.fd.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(event_fd: &EventFd) -> bool {
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&event_fd.fd, PollFlags::IN)], Some(&now)).expect("poll works") == 1
    }

    #[test]
    fn an_event_fd_is_readable_from_notify_to_clear() {
        let event_fd = EventFd::new().expect("descriptors are left");
        assert!(!readable(&event_fd));
        event_fd.notify();
        event_fd.notify();
        assert!(readable(&event_fd));
        event_fd.clear();
        assert!(!readable(&event_fd));
        event_fd.clear();
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_a_notification_before_or_after() {
        let event_fd = EventFd::new().expect("descriptors are left");
        event_fd.notify();
        event_fd.wait();
        std::thread::scope(|scope| {
            scope.spawn(|| event_fd.wait());
            event_fd.notify();
        });
        assert!(!readable(&event_fd));
    }
}

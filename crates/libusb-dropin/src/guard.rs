//! What every export stands behind: no panic leaves this library, and no thread is cancelled inside of it but at the one
//! place that is made for it.
//!
//! `pthread_cancel` ends a thread by unwinding its stack from wherever it waits. Rust allows that only through frames that
//! have nothing to drop. So cancellation is off while Rust code runs, and on in [`cancel_point`] alone, whose callers up to
//! the C program have nothing to drop either. What the blocked call holds is kept by the thread itself (blocked.rs).

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::pollfd;

/// `PTHREAD_CANCEL_ENABLE` of glibc and musl.
const ENABLE: c_int = 0;
/// `PTHREAD_CANCEL_DISABLE`.
const DISABLE: c_int = 1;

// Declared here and not taken from the libc crate, because a cancelled thread unwinds out of poll.
unsafe extern "C-unwind" {
    fn poll(fds: *mut pollfd, count: libc::nfds_t, timeout: c_int) -> c_int;
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
}

/// Whether a thread could be cancelled before it came here. Nothing to drop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cancelability(c_int);

impl Cancelability {
    /// Off from now on.
    pub fn disable() -> Cancelability {
        Cancelability(set(DISABLE))
    }

    /// As it was.
    pub fn restore(self) {
        set(self.0);
    }
}

fn set(state: c_int) -> c_int {
    let mut old = ENABLE;
    // SAFETY: both constants are states, and `old` is written to. It is no cancellation point, so nothing unwinds here.
    unsafe { pthread_setcancelstate(state, &raw mut old) };
    old
}

/// Waits until one of the descriptors is ready, or for so many milliseconds (-1: for ever). The thread may be cancelled
/// meanwhile, if it could be before it came into this library; this frame and its callers have nothing to drop.
///
/// # Safety
/// No frame between here and the C program may have anything to drop.
pub(crate) unsafe fn cancel_point(outside: Cancelability, fds: &mut [pollfd], timeout: c_int) {
    outside.restore();
    // SAFETY: the slice is as long as it says and stays borrowed for the call.
    unsafe { poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) };
    set(DISABLE);
}

/// Runs the body of an export that does not block for long: not cancelled in it, and without a panic out of it.
pub(crate) fn export<T>(when_panicking: T, body: impl FnOnce() -> T) -> T {
    let outside = Cancelability::disable();
    let value = catch_panic(when_panicking, body);
    outside.restore();
    value
}

/// Without a panic out of it.
pub(crate) fn catch_panic<T>(when_panicking: T, body: impl FnOnce() -> T) -> T {
    // What a panic leaves half-done is one call's; the locks of this crate do not poison.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(when_panicking)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_value_for_it() {
        assert_eq!(export(-99, || panic!("inside of an export")), -99);
        assert_eq!(export(-99, || 7), 7);
    }

    #[test]
    fn a_thread_is_as_cancellable_after_an_export_as_before() {
        let inside = export(None, || Some(set(DISABLE)));
        assert_eq!(inside, Some(DISABLE));
        assert_eq!(set(ENABLE), ENABLE);
        let outside = Cancelability::disable();
        export((), || ());
        assert_eq!(set(DISABLE), DISABLE, "one that was off stays off");
        outside.restore();
    }
}

//! Handling events: of a context, those that its hotplug callbacks hear of. Synchronous transfers need none of this.

use std::ffi::{c_int, c_short, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{pollfd, timeval};

use super::{hotplug, with_context};
use crate::abi::{self, Pollfd};
use crate::context::Context;
use crate::guard::{Cancelability, cancel_point, catch_panic};

/// As long as `libusb_handle_events` of the real one waits at most.
const DEFAULT: timeval = timeval { tv_sec: 60, tv_usec: 0 };
/// How soon a daemon that is not there is looked for again.
const RECONNECT: Duration = Duration::from_secs(2);

/// What a step of waiting needs. Nothing to drop.
#[derive(Debug, Clone, Copy)]
enum EventStep {
    Return(c_int),
    Wait { fd: pollfd, milliseconds: c_int },
}

/// # Safety
/// As libusb.h says of the functions that use it.
unsafe fn handle(context: *mut Context, timeout: *const timeval, completed: *mut c_int) -> c_int {
    let outside = Cancelability::disable();
    let deadline = catch_panic(None, || {
        // SAFETY: null, or the program's own.
        let wanted = unsafe { timeout.as_ref() }.copied().unwrap_or(DEFAULT);
        let seconds = Duration::from_secs(u64::try_from(wanted.tv_sec).unwrap_or(0));
        Instant::now().checked_add(seconds + Duration::from_micros(u64::try_from(wanted.tv_usec).unwrap_or(0)))
    });
    let mut first = true;
    loop {
        let next = || {
            // SAFETY: as the caller promises.
            unsafe { step(context, deadline, completed, first) }
        };
        match catch_panic(EventStep::Return(abi::ERROR_OTHER), next) {
            EventStep::Return(code) => {
                outside.restore();
                return code;
            }
            // SAFETY: the frames of the C program begin above the export that called this; none has anything to drop.
            EventStep::Wait { fd, milliseconds } => unsafe { cancel_point(outside, &mut [fd], milliseconds) },
        }
        first = false;
    }
}

/// # Safety
/// As [`handle`].
unsafe fn step(context: *mut Context, deadline: Option<Instant>, completed: *mut c_int, first: bool) -> EventStep {
    // SAFETY: as the caller promises.
    if !unsafe { hotplug::look(context) } {
        return EventStep::Return(abi::ERROR_NO_DEVICE);
    }
    // SAFETY: null, or the program's own.
    if unsafe { completed.as_ref() }.is_some_and(|completed| *completed != 0) {
        return EventStep::Return(abi::SUCCESS);
    }
    let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_zero() || !first {
        // As libusb: one wait, then back to the program, whether something happened or not.
        return EventStep::Return(abi::SUCCESS);
    }
    // SAFETY: as the caller promises.
    let readable = unsafe { with_context(context, |context| context.hotplug.readable()) }.flatten();
    let wait = if readable.is_some() { left } else { left.min(RECONNECT) };
    let milliseconds = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
    EventStep::Wait { fd: readable.unwrap_or(pollfd { fd: -1, events: 0, revents: 0 }), milliseconds }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_handle_events(context: *mut Context) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { handle(context, ptr::null(), ptr::null_mut()) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_handle_events_completed(context: *mut Context, completed: *mut c_int) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { handle(context, ptr::null(), completed) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_handle_events_timeout(context: *mut Context, timeout: *const timeval) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { handle(context, timeout, ptr::null_mut()) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_handle_events_timeout_completed(
    context: *mut Context,
    timeout: *const timeval,
    completed: *mut c_int,
) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { handle(context, timeout, completed) }
}

/// # Safety
/// See libusb.h.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn libusb_handle_events_locked(context: *mut Context, timeout: *const timeval) -> c_int {
    // SAFETY: as libusb.h demands.
    unsafe { handle(context, timeout, ptr::null_mut()) }
}

/// No lock is needed to handle events: any thread may, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_try_lock_events(_context: *mut Context) -> c_int {
    0
}

/// As `libusb_try_lock_events`.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_lock_events(_context: *mut Context) {}

/// As `libusb_try_lock_events`.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_unlock_events(_context: *mut Context) {}

/// Always.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_event_handling_ok(_context: *mut Context) -> c_int {
    1
}

/// Nobody needs to handle events for another.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_event_handler_active(_context: *mut Context) -> c_int {
    0
}

/// Whoever handles events comes back by itself.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_interrupt_event_handler(_context: *mut Context) {}

/// As `libusb_try_lock_events`.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_lock_event_waiters(_context: *mut Context) {}

/// As `libusb_try_lock_events`.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_unlock_event_waiters(_context: *mut Context) {}

/// There is nothing to wait for: 1, which says that the time is up.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_wait_for_event(_context: *mut Context, _timeout: *mut timeval) -> c_int {
    1
}

/// The daemon keeps all times.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_pollfds_handle_timeouts(_context: *mut Context) -> c_int {
    1
}

/// As `libusb_pollfds_handle_timeouts`.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_get_next_timeout(_context: *mut Context, _timeout: *mut timeval) -> c_int {
    0
}

/// Descriptors come and go with hotplug callbacks, and nobody is told: null, which says that this is not supported.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_get_pollfds(_context: *mut Context) -> *const *const Pollfd {
    ptr::null()
}

/// Of none.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_free_pollfds(_pollfds: *const *const Pollfd) {}

/// As `libusb_get_pollfds`.
#[unsafe(no_mangle)]
pub extern "C" fn libusb_set_pollfd_notifiers(
    _context: *mut Context,
    _added: Option<unsafe extern "C" fn(c_int, c_short, *mut c_void)>,
    _removed: Option<unsafe extern "C" fn(c_int, *mut c_void)>,
    _user_data: *mut c_void,
) {
}

//! The one place where a program's thread waits for long, and where it may be cancelled (`pthread_cancel`). Every transfer is
//! a request to usbscand, and what is waited for is its answer.
//!
//! ```text
//!   libusb_bulk_transfer ─▶ begin: the transfer goes into the thread's own slot
//!        ▲     │ drive      step ─▶ answer: out of the slot, returned
//!        │     └──────────▶ step ─▶ nothing yet ─▶ cancel_point ─┐
//!        └────────────────────────────────────────────────────────┘ cancelled: the thread's destructor
//!                                                                  drops the slot, which ends the request
//! ```
//!
//! A cancelled thread is unwound from `cancel_point` up to its beginning. The frames of this crate that it leaves have nothing
//! to drop; what they worked with is in the slot, which the thread drops when it ends, before anybody who joins it goes on.

use std::cell::RefCell;
use std::ffi::c_int;

use libc::pollfd;

use crate::abi;
use crate::guard::{Cancelability, cancel_point, catch_panic};
use crate::transfer::{Ended, Transfer};

/// A call that waits: the transfer, and where its count goes.
#[derive(Debug)]
struct Blocked {
    transfer: Transfer,
    /// `transferred` of the program, or null.
    transferred: *mut c_int,
    /// Control transfers return their count.
    returns_count: bool,
}

thread_local! {
    static SLOT: RefCell<Option<Box<Blocked>>> = const { RefCell::new(None) };
}

/// How a call goes on. Nothing to drop.
#[derive(Debug, Clone, Copy)]
enum CallStep {
    Return(c_int),
    /// Until one of the connection's two descriptors is ready: its socket, and what another thread that reads it wakes by.
    Wait([pollfd; 2]),
}

/// Runs a blocking export: `start` makes the transfer, and its end becomes what the export returns.
///
/// # Safety
/// `transferred` is null or may be written to. `start` has nothing to drop when it is called, and no frame between here and
/// the C program has.
pub(crate) unsafe fn run<S>(start: S, transferred: *mut c_int, returns_count: bool) -> c_int
where
    S: FnOnce() -> Result<Transfer, c_int> + Copy,
{
    let previous = Cancelability::disable();
    let mut step = catch_panic(CallStep::Return(abi::ERROR_OTHER), || begin(start, transferred, returns_count));
    loop {
        match step {
            CallStep::Return(code) => {
                previous.restore();
                return code;
            }
            // SAFETY: the frames of the C program begin right above, as the caller promises.
            CallStep::Wait(mut fds) => unsafe { cancel_point(previous, &mut fds, -1) },
        }
        step = catch_panic(CallStep::Return(abi::ERROR_OTHER), advance);
    }
}

fn begin(start: impl FnOnce() -> Result<Transfer, c_int>, transferred: *mut c_int, returns_count: bool) -> CallStep {
    write_count(transferred, 0);
    let transfer = match start() {
        Ok(transfer) => transfer,
        Err(code) => return CallStep::Return(code),
    };
    let mut blocked = Some(Box::new(Blocked { transfer, transferred, returns_count }));
    let is_kept = SLOT.try_with(|slot| *slot.borrow_mut() = blocked.take());
    match (is_kept, blocked) {
        (Ok(()), _) => advance(),
        // The thread is ending, and calls from one of its last destructors. It is not cancelled any more.
        (Err(_), Some(mut blocked)) => loop {
            match blocked.step() {
                CallStep::Return(code) => return CallStep::Return(code),
                CallStep::Wait(mut fds) => wait(&mut fds),
            }
        },
        (Err(_), None) => CallStep::Return(abi::ERROR_OTHER),
    }
}

fn wait(fds: &mut [pollfd; 2]) {
    // SAFETY: the array is as long as is said.
    unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) };
}

/// One step of the call that is in this thread's slot.
fn advance() -> CallStep {
    let step = SLOT.try_with(|slot| {
        let mut slot = slot.borrow_mut();
        let step = slot.as_mut().map_or(CallStep::Return(abi::ERROR_OTHER), |blocked| blocked.step());
        if matches!(step, CallStep::Return(_)) {
            *slot = None;
        }
        step
    });
    step.unwrap_or(CallStep::Return(abi::ERROR_OTHER))
}

impl Blocked {
    fn step(&mut self) -> CallStep {
        let Some(Ended { code, moved: actual_length }) = self.transfer.advance() else {
            return self.transfer.poll_fds().map_or(CallStep::Return(abi::ERROR_OTHER), CallStep::Wait);
        };
        let count = c_int::try_from(actual_length).unwrap_or(c_int::MAX);
        write_count(self.transferred, count);
        CallStep::Return(if code == abi::SUCCESS && self.returns_count { count } else { code })
    }
}

fn write_count(transferred: *mut c_int, count: c_int) {
    if !transferred.is_null() {
        // SAFETY: the program says that a count may be written there, for as long as its call lasts.
        unsafe { *transferred = count };
    }
}

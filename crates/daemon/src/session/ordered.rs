//! Requests that need the scanner while an `open`, `close`, `claim` or `release` of the same connection is carried out, which may take long: they
//! wait for its end, in order. Cancels and looking pass them by. Each of them can be cancelled, and so can the one that is
//! carried out.
//!
//! The connection's reader puts requests in; the thread that carries one out takes the next.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use usbscan_wire::{Command, Request};

use crate::reply::responder::Responder;

/// What is to be carried out.
#[derive(Debug)]
pub(crate) enum Turn {
    /// An `open`, `close`, `claim` or `release`, whose answer is kept here until [`OrderedRequests::done`]. What comes closes when it is cancelled.
    Long(Command, Receiver<()>),
    /// Another request.
    Short(Responder, Request),
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct OrderedRequests {
    /// The same as in the state, so that nobody need lock that where nothing waits.
    is_busy: AtomicBool,
    state: Mutex<OrderedState>,
}

#[derive(Debug, Default)]
struct OrderedState {
    busy: bool,
    running: Option<Running>,
    waiting: VecDeque<(Responder, Request)>,
    /// Written when nothing waits any more.
    tell: Option<OwnedFd>,
}

/// The one that is carried out.
#[derive(Debug)]
struct Running {
    responder: Responder,
    /// Nothing is ever sent: dropped, it is cancelled.
    _cancel: Sender<()>,
}

/// Whether a request may take long.
pub(crate) fn takes_long(command: &Command) -> bool {
    matches!(command, Command::Open { .. } | Command::Close {} | Command::Claim { .. } | Command::Release { .. })
}

impl OrderedState {
    fn begin(&mut self, responder: Responder, request: Request) -> Turn {
        if !takes_long(&request.command) {
            return Turn::Short(responder, request);
        }
        let (cancel, cancelled) = bounded(0);
        self.running = Some(Running { responder, _cancel: cancel });
        Turn::Long(request.command, cancelled)
    }
}

impl OrderedRequests {
    /// Whether one is carried out.
    pub fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }

    /// Puts a request behind the one that is carried out; or it is its turn at once, and if that may take long, what follows
    /// waits until [`OrderedRequests::next`] finds nothing.
    pub fn push(&self, responder: Responder, request: Request) -> Option<Turn> {
        let mut state = self.state.lock();
        if state.busy {
            state.waiting.push_back((responder, request));
            return None;
        }
        state.busy = takes_long(&request.command);
        self.is_busy.store(state.busy, Ordering::Release);
        Some(state.begin(responder, request))
    }

    /// The next that waits, or the end of the waiting.
    pub fn next(&self) -> Option<Turn> {
        let mut state = self.state.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.busy = false;
            self.is_busy.store(false, Ordering::Release);
            // An eventfd has room for the one.
            let _ = state.tell.take().map(|tell| rustix::io::write(tell, &1_u64.to_ne_bytes()));
        }
        next.map(|(responder, request)| state.begin(responder, request))
    }

    /// What can be read when nothing waits any more; `None` where that is so already, or the system has no descriptor left.
    pub fn told_when_done(&self) -> Option<OwnedFd> {
        let mut state = self.state.lock();
        if !state.busy {
            return None;
        }
        let done = eventfd(0, EventfdFlags::CLOEXEC).ok()?;
        state.tell = Some(done.try_clone().ok()?);
        Some(done)
    }

    /// It is done: its answer, unless it was cancelled.
    pub fn done(&self) -> Option<Responder> {
        self.state.lock().running.take().map(|running| running.responder)
    }

    /// Cancels those that `which` picks by their ids; says how many there were.
    pub fn cancel(&self, which: impl Fn(u64) -> bool) -> usize {
        let mut state = self.state.lock();
        let running = state.running.take_if(|running| which(running.responder.id()));
        let (out, left): (VecDeque<_>, VecDeque<_>) =
            state.waiting.drain(..).partition(|(responder, _)| which(responder.id()));
        state.waiting = left;
        drop(state);
        let count = out.len() + usize::from(running.is_some());
        // Dropped, they say "cancelled", in the order in which they came.
        drop(running);
        drop(out);
        count
    }

    /// The connection ends: everything is cancelled.
    pub fn end(&self) {
        self.cancel(|_| true);
    }
}

//! Pipes: one worker thread an endpoint, and the handle by which the rest of the daemon reaches it.

mod event;
mod line;
mod orders;
mod stream;
#[cfg(test)]
mod tests;
mod waiters;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};
use usbscan_usb::{Completion, Endpoint};

pub(crate) use line::WATCHDOG;
pub(crate) use orders::{News, Order, PipeHandle, Role, Which};
pub(crate) use stream::Settings;

use super::capture::Tap;
use super::payload::Pool;
use event::Events;
use line::Line;
use stream::Stream;

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The way to it.
    pub handle: PipeHandle,
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

impl Worker {
    /// Joins the thread, which ends after [`Order::Retire`] as soon as nothing is in flight. `false` when that was not
    /// the case in time; the thread is then left to itself.
    pub fn join(self, deadline: Instant) -> bool {
        // Nothing is ever sent: the thread drops its end of the channel.
        if self.ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        if self.thread.join().is_err() {
            log::error!("the thread of endpoint {} panicked", self.handle.address);
        }
        true
    }
}

/// Starts the worker of an endpoint. `news` is called on its thread and must not wait.
///
/// # Errors
/// When the system has no thread left.
pub(crate) fn start(
    device: &str,
    role: Role,
    endpoint: Box<dyn Endpoint>,
    completions: Receiver<Completion>,
    settings: Settings,
    tap: Tap,
    news: impl Fn(News) + Send + 'static,
) -> std::io::Result<Worker> {
    let (orders, inbox) = unbounded();
    let halted = Arc::new(AtomicBool::new(false));
    // Those in flight, and some on their way to a client or from one.
    let pool = Pool::new(settings.depth + 3);
    let (address, packet) = (endpoint.address(), endpoint.max_packet_size().max(1));
    let handle = PipeHandle { address, role, packet, pool: pool.clone(), orders, halted: halted.clone() };
    let place = format!("{device}/{}", handle.address);
    let name = format!("pipe {place}");
    let line = Line::new(place, endpoint, completions, WATCHDOG).with_tap(tap);
    let news = Box::new(news);
    let run: Box<dyn FnOnce() + Send> = match role {
        Role::Event => {
            let events = Events::new(event::Parts { line, orders: inbox, news, halted });
            Box::new(move || events.run())
        }
        Role::Control | Role::Read | Role::Write => {
            let stream = Stream::new(stream::Parts { role, line, settings, pool, orders: inbox, news, halted });
            Box::new(move || stream.run())
        }
    };
    let (alive, ended) = bounded(0);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        run();
        drop(alive);
    })?;
    Ok(Worker { handle, thread, ended })
}

//! Starts the worker thread of an endpoint, and joins it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};
use usbscan_usb::{Completion, Endpoint};

use crate::capture::Tap;
use crate::payload::Pool;
use crate::pipe::activity::Activity;
use crate::pipe::endpoint_io::{EndpointIo, WATCHDOG};
use crate::pipe::event::{self, Events};
use crate::pipe::orders::{PipeEvent, PipeHandle, Role};
use crate::pipe::stream::{self, PipeSettings, TransferWorker};

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

/// Starts the worker of an endpoint. `notify` is called on its thread and must not wait.
///
/// # Errors
/// When the system has no thread left.
pub(crate) fn start(
    device: &str,
    role: Role,
    endpoint: Box<dyn Endpoint>,
    completions: Receiver<Completion>,
    settings: PipeSettings,
    tap: Tap,
    notify: impl Fn(PipeEvent) + Send + 'static,
) -> std::io::Result<Worker> {
    let (orders, inbox) = unbounded();
    let halted = Arc::new(AtomicBool::new(false));
    // Those in flight, and some on their way to a client or from one.
    let pool = Pool::new(settings.depth + 3);
    let (address, packet) = (endpoint.address(), endpoint.max_packet_size().max(1));
    let activity = Arc::<Activity>::default();
    let handle = PipeHandle {
        address,
        role,
        packet,
        pool: pool.clone(),
        activity: activity.clone(),
        orders,
        halted: halted.clone(),
    };
    let place = format!("{device}/{}", handle.address);
    let name = format!("pipe {place}");
    let io = EndpointIo::new(place, endpoint, completions, WATCHDOG).with_tap(tap);
    let notify = Box::new(notify);
    let run: Box<dyn FnOnce() + Send> = match role {
        Role::Event => {
            let events = Events::new(event::EventParts { io, orders: inbox, notify, halted });
            Box::new(move || events.run())
        }
        Role::Control | Role::Read | Role::Write => {
            let stream = TransferWorker::new(stream::TransferWorkerParts {
                role,
                io,
                settings,
                pool,
                orders: inbox,
                notify,
                halted,
                activity,
            });
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

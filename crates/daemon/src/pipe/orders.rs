//! What a pipe's worker is told, what it tells, and the handle by which others reach it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender};
use usbscan_usb::{Completion, Direction, Endpoint, EndpointAddress, TransferType};
use usbscan_wire::Pipe;

use crate::capture::Tap;
use crate::outcome::Outcome;
use crate::payload::Pool;
use crate::pipe::activity::Activity;
use crate::pipe::cancellation::Cancellation;
use crate::pipe::request::IoRequest;

/// Which pipe an endpoint is, by its type and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Endpoint zero. The first, because it is cancelled first: a hung control request blocks every other cancel.
    Control,
    Write,
    Read,
    Event,
}

impl Role {
    /// The role of an endpoint; `None` for those that usbscan has no use for.
    pub fn of(transfer_type: TransferType, direction: Direction) -> Option<Role> {
        match (transfer_type, direction) {
            (TransferType::Control, _) => Some(Role::Control),
            (TransferType::Bulk, Direction::In) => Some(Role::Read),
            (TransferType::Bulk, Direction::Out) => Some(Role::Write),
            (TransferType::Interrupt, Direction::In) => Some(Role::Event),
            _ => None,
        }
    }

    /// The word in the protocol.
    pub fn pipe(self) -> Pipe {
        match self {
            Role::Control => Pipe::Control,
            Role::Write => Pipe::Write,
            Role::Read => Pipe::Read,
            Role::Event => Pipe::Event,
        }
    }

    /// Whether the pipe that a client names is this one.
    pub fn is_named_by(self, pipe: Pipe) -> bool {
        pipe == Pipe::All || pipe == self.pipe()
    }
}

/// Which requests a cancel concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelTarget {
    /// The one with this serial number.
    Serial(u64),
    /// Those of a session.
    Session(u64),
    All,
}

impl CancelTarget {
    /// Whether it picks this request.
    pub fn picks(self, request: &IoRequest) -> bool {
        match self {
            CancelTarget::Serial(serial) => request.pending.serial == serial,
            CancelTarget::Session(session) => request.pending.session == session,
            CancelTarget::All => true,
        }
    }
}

/// What a worker is told.
pub(crate) enum Order {
    /// A client's request, behind all others.
    Io(Box<IoRequest>),
    /// One of the daemon's own. It passes the gate.
    Own(Box<IoRequest>),
    /// Cancel. What comes after a cancel of everybody's waits until nothing of that is in flight.
    Cancel {
        which: CancelTarget,
        /// Who waits for it.
        by: Arc<Cancellation>,
    },
    /// Start nothing more of the clients', cancel what there is if `cancel` says so, and say when nothing is in flight.
    Quiesce {
        /// Who waits for the cancelled requests.
        cancel: Option<Arc<Cancellation>>,
        /// Told once; dropped when the pipe is host-stuck.
        quiet: Sender<()>,
    },
    /// The gate is open again.
    Resume,
    /// Clears the halt and ends the freeze. The pipe is quiet, and so is control.
    ClearHalt {
        /// Whether the device is told; some take it badly.
        on_the_wire: bool,
        done: Sender<Result<(), usbscan_usb::Error>>,
    },
    /// Throws surplus bytes away: those that a session left, or all.
    DropSurplus { session: Option<u64> },
    /// The device is gone.
    Lost,
    /// The device is host-stuck: touch it no more.
    HostStuck,
    /// Ends the daemon's own requests, whose time is up.
    CancelOwn,
    /// The device was opened anew after a port reset: the endpoint is this one from now on. The pipe is quiet.
    Replace { endpoint: Box<dyn Endpoint>, completions: Receiver<Completion>, tap: Tap },
    /// Nobody uses the pipe any more: end when nothing is in flight.
    Retire,
}

/// What a worker tells the supervisor unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PipeEvent {
    /// The device is gone, as far as this pipe can tell.
    Lost,
    /// The host does not give a transfer back.
    HostStuck,
    /// After either of these: nothing is in flight any more.
    AllReturned,
    /// A fault froze the pipe.
    Halted,
}

/// How the rest of the daemon reaches a pipe's worker.
#[derive(Debug, Clone)]
pub(crate) struct PipeHandle {
    pub address: EndpointAddress,
    /// Which pipe that is.
    pub role: Role,
    /// Bytes of its largest packet.
    pub packet: usize,
    pub pool: Pool,
    /// When bytes last moved on it.
    pub activity: Arc<Activity>,
    pub(super) orders: Sender<Order>,
    pub(super) halted: Arc<AtomicBool>,
}

impl PipeHandle {
    /// Passes an order on. The worker ends only when no session and no job can have one for it, so an order that finds
    /// nobody is one that came after the end of the daemon; its answer says cancelled.
    pub fn tell(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Hands a client's request over.
    pub fn request(&self, request: IoRequest) {
        if let Err(unsent) = self.orders.send(Order::Io(Box::new(request))) {
            if let Order::Io(request) = unsent.0 {
                request.end(Outcome::Gone, 0);
            }
        }
    }

    /// Whether a fault froze it.
    pub fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }
}

//! A request on its way through a pipe: what it wants, what it has got, and whom to tell. Owned by the pipe's worker;
//! what `status` shows of it is shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use usbscan_shm::Region;
use usbscan_usb::{Buffer, EndpointAddress, Setup};
use usbscan_wire::PendingRequest;

use crate::failure::{Failure, TransferError};
use crate::outcome::Outcome;
use crate::payload::{Payload, Piece, Pool};
use crate::pipe::cancellation::Cancellation;
use crate::pipe::queue::Need;
use crate::reply::responder::Responder;

/// Where a request stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestState {
    Queued,
    InFlight,
    Cancelling,
}

impl RequestState {
    const ALL: [(RequestState, &'static str); 3] = [
        (RequestState::Queued, "queued"),
        (RequestState::InFlight, "in-flight"),
        (RequestState::Cancelling, "cancelling"),
    ];
}

/// What may be known of a request while its worker has it.
#[derive(Debug)]
pub(crate) struct RequestInfo {
    /// Unique in this daemon, so that a cancel never hits a later request under the same id.
    pub serial: u64,
    /// Who issued it; 0 is the daemon itself.
    pub session: u64,
    pub id: u64,
    /// `read`, …
    pub command: &'static str,
    /// Bytes that it wants to move.
    pub length: u64,
    pub endpoint: EndpointAddress,
    pub since: Instant,
    standing: AtomicU8,
    actual: AtomicU64,
}

static SERIALS: AtomicU64 = AtomicU64::new(1);

impl RequestInfo {
    /// A new one, queued.
    pub fn new(
        session: u64,
        id: u64,
        command: &'static str,
        length: u64,
        endpoint: EndpointAddress,
    ) -> Arc<RequestInfo> {
        Arc::new(RequestInfo {
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            session,
            id,
            command,
            length,
            endpoint,
            since: Instant::now(),
            standing: AtomicU8::new(RequestState::Queued as u8),
            actual: AtomicU64::new(0),
        })
    }

    pub fn set_state(&self, standing: RequestState) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }

    /// More bytes have moved.
    pub fn moved(&self, bytes: usize) {
        self.actual.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn entry(&self) -> PendingRequest {
        let state = RequestState::ALL[usize::from(self.standing.load(Ordering::Relaxed))].1;
        PendingRequest {
            request: self.id,
            session: self.session,
            command: self.command.to_owned(),
            length: self.length,
            actual: self.actual.load(Ordering::Relaxed),
            state: state.to_owned(),
            age_ms: self.since.elapsed().as_millis() as u64,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Data {
    /// It came through the socket.
    Own(Vec<u8>),
    /// It lies in shared memory, where the client may change it until it is sent.
    Shared(Region),
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Data::Own(bytes) => bytes.len(),
            Data::Shared(region) => region.len(),
        }
    }
}

/// What a request wants of its endpoint.
#[derive(Debug)]
pub(crate) enum Work {
    Read {
        length: usize,
        /// Whether a cancelled answer carries what had come.
        return_partial: bool,
        /// Where in shared memory it goes, with what room there is behind it for the rest of its last packet.
        into: Option<Region>,
    },
    Write {
        data: Data,
        /// Whether a zero-length packet follows whole packets.
        zero_packet: bool,
    },
    Control {
        setup: Setup,
        /// Its data, when that goes out.
        data: Vec<u8>,
    },
    Event,
}

impl Work {
    /// What the queue must know of it. `packet` is the endpoint's largest.
    pub fn need(&self, packet: usize, libusb_semantics: bool) -> Need {
        match self {
            Work::Read { length, .. } => Need { bytes: *length, empty_packet: false, libusb_semantics },
            Work::Write { data, zero_packet } => {
                let empty_packet = data.len() == 0 || (*zero_packet && data.len() % packet == 0);
                Need { bytes: data.len(), empty_packet, libusb_semantics }
            }
            // A request without a data stage is a transfer all the same.
            Work::Control { setup, .. } => {
                Need { bytes: usize::from(setup.length), empty_packet: setup.length == 0, libusb_semantics }
            }
            Work::Event => Need { bytes: packet, empty_packet: false, libusb_semantics },
        }
    }
}

/// How a request of the daemon itself ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub outcome: Outcome,
    pub moved: usize,
    pub received: Payload,
}

#[derive(Debug)]
pub(crate) enum Reply {
    Client(Responder),
    /// A client who wants the descriptor spelt out as well.
    Descriptor(Responder),
    /// The scanner's supervisor, which waits for it.
    Own(Sender<Report>),
}

/// A request with all that belongs to it.
#[derive(Debug)]
pub(crate) struct IoRequest {
    /// What others may see.
    pub pending: Arc<RequestInfo>,
    /// The scanner, for messages.
    pub device: Arc<str>,
    pub work: Work,
    /// How long it may take once it is its turn.
    pub timeout: Duration,
    /// As with libusb: it is not rounded up to whole packets, and a fault of it freezes nothing.
    pub libusb_semantics: bool,
    pub reply: Reply,
    /// What it has read.
    pub received: Payload,
    /// The cancels that wait for its end.
    pub cancelled_by: Vec<Arc<Cancellation>>,
}

impl IoRequest {
    /// A cancel concerns it, which may come twice: at once, and when the gates close. Whether it is the first time.
    pub fn concern(&mut self, by: &Arc<Cancellation>) -> bool {
        let first = !self.cancelled_by.iter().any(|known| Arc::ptr_eq(known, by));
        if first {
            self.cancelled_by.push(by.clone());
        }
        first
    }

    /// These bytes of a buffer have come for it, which goes back to `pool` where it is one of ours.
    pub fn arrived(&mut self, buffer: Buffer, moved: usize, pool: &Pool) {
        if let (Work::Read { .. }, Reply::Client(answer)) = (&self.work, &self.reply) {
            answer.read(self.pending.endpoint, &buffer, moved);
        }
        match (buffer, &self.work) {
            // It is where it belongs.
            (Buffer::Shared(_), _) => self.received.add_shared(moved),
            (Buffer::Vec(bytes), Work::Read { into: Some(region), .. }) => {
                let from = self.received.shared();
                region.subregion(from..region.len()).map(|rest| rest.copy_from(&bytes[..moved]));
                self.received.add_shared(moved);
                pool.give(bytes);
            }
            (Buffer::Vec(bytes), _) => self.received.push(Piece::new(bytes, 0..moved, pool)),
        }
    }

    /// Tells how it ended; then the cancels that waited for that may speak.
    pub fn end(mut self, outcome: Outcome, moved: usize) {
        let received = std::mem::take(&mut self.received);
        if outcome == Outcome::HostStuck {
            self.cancelled_by.iter().for_each(|cancellation| cancellation.host_stuck());
        }
        match self.reply {
            Reply::Own(ref reply) => {
                // Whoever asked may have given up on the whole scanner.
                let _ = reply.send(Report { outcome, moved, received });
            }
            Reply::Client(answer) => {
                let return_partial = matches!(self.work, Work::Read { return_partial: true, .. });
                let words = FailureContext { pending: &self.pending, device: &self.device, timeout: self.timeout };
                answer_client(answer, outcome, moved, received, return_partial, &words);
            }
            Reply::Descriptor(answer) if outcome == Outcome::Success => {
                let text = usbscan_usb::string_descriptor_text(&received.to_vec()).ok();
                answer.done_with_body_and_payload(&usbscan_wire::DescriptorBody { text }, received);
            }
            Reply::Descriptor(answer) => {
                let words = FailureContext { pending: &self.pending, device: &self.device, timeout: self.timeout };
                answer_client(answer, outcome, moved, received, false, &words);
            }
        }
        drop(self.cancelled_by);
    }
}

/// What a message needs.
struct FailureContext<'a> {
    pending: &'a RequestInfo,
    device: &'a Arc<str>,
    timeout: Duration,
}

impl FailureContext<'_> {
    fn failure(&self, mishap: TransferError) -> Failure {
        let RequestInfo { command, length, endpoint, .. } = *self.pending;
        Failure::Transfer { command, length, endpoint, device: self.device.clone(), mishap }
    }
}

/// A cancel hands nothing over and counts it; a timeout or a fault hands over what had come; behind a fault lies a gap.
fn answer_client(
    answer: Responder,
    outcome: Outcome,
    moved: usize,
    received: Payload,
    return_partial: bool,
    words: &FailureContext<'_>,
) {
    let moved = moved as u64;
    let with_bytes = |answer: Responder, mishap, received| answer.fail_with(&words.failure(mishap), moved, 0, received);
    let without = |answer: Responder, mishap| answer.fail_with(&words.failure(mishap), 0, moved, Payload::default());
    match outcome {
        Outcome::Success => answer.done_with(moved, received),
        Outcome::Cancelled => answer.cancelled(moved, if return_partial { received } else { Payload::default() }),
        Outcome::Timeout => with_bytes(answer, TransferError::Timeout(words.timeout), received),
        Outcome::Fault(fault) => with_bytes(answer, TransferError::Fault(fault), received),
        Outcome::Gone => with_bytes(answer, TransferError::Gone, received),
        Outcome::Halted => without(answer, TransferError::Halted),
        Outcome::HostStuck => without(answer, TransferError::HostStuck),
    }
}

//! The worker of a pipe against an endpoint that is played by hand: what no virtual device does.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use usbscan_usb::{
    Buffer, Cancel, Completion, Endpoint, EndpointAddress, Error, ErrorKind, Rejected, Token, TransferStatus,
};

use super::endpoint_io::EndpointIo;
use super::orders::{CancelTarget, Order, PipeEvent, Role};
use super::stream::PipeSettings;
use super::{event, stream};
use crate::outcome::{Fault, Outcome};
use crate::payload::{Payload, Pool};
use crate::pipe::cancellation::{CancelCount, Cancellation};
use crate::pipe::request::{IoRequest, Reply, Report, RequestInfo, Work};

const DEADLINE: Duration = Duration::from_secs(30);
const ADDRESS: EndpointAddress = EndpointAddress(0x81);

/// What the endpoint is asked, and when it may go on.
struct Hand {
    submitted: Receiver<(Token, Buffer)>,
    cancelled: Receiver<Token>,
    /// A cancel returns when something comes here.
    release: Sender<()>,
    completions: Sender<Completion>,
    orders: Sender<Order>,
    notify: Receiver<PipeEvent>,
    thread: std::thread::JoinHandle<()>,
}

struct Played {
    submitted: Sender<(Token, Buffer)>,
    cancelled: Sender<Token>,
    release: Receiver<()>,
    /// Buffers longer than this find no memory.
    memory: usize,
}

impl Endpoint for Played {
    fn address(&self) -> EndpointAddress {
        ADDRESS
    }

    fn max_packet_size(&self) -> usize {
        512
    }

    fn submit(&mut self, token: Token, buffer: Buffer) -> Result<(), Rejected> {
        if buffer.len() > self.memory {
            return Err(Rejected { error: Error::new(ErrorKind::NoResources, "submit"), buffer });
        }
        self.submitted.send((token, buffer)).expect("the test listens");
        Ok(())
    }

    fn cancel(&mut self, token: Token) -> Cancel {
        self.cancelled.send(token).expect("the test listens");
        // Ends when the test lets go, or ends.
        let _ = self.release.recv();
        Cancel::Asked
    }

    fn clear_halt(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

type Tell = Box<dyn Fn(PipeEvent) + Send>;

fn start(memory: usize, watchdog: Duration) -> Hand {
    start_worker(memory, watchdog, |io, orders, notify| {
        let (settings, pool, halted) = (PipeSettings { depth: 1, max_transfer: 65536 }, Pool::new(4), Arc::default());
        stream::TransferWorker::new(stream::TransferWorkerParts {
            role: Role::Read,
            io,
            settings,
            pool,
            orders,
            notify,
            halted,
            activity: Arc::default(),
        })
        .run();
    })
}

fn start_events() -> Hand {
    start_worker(usize::MAX, DEADLINE, |io, orders, notify| {
        event::Events::new(event::EventParts { io, orders, notify, halted: Arc::default() }).run();
    })
}

fn start_worker(
    memory: usize,
    watchdog: Duration,
    run: impl FnOnce(EndpointIo, Receiver<Order>, Tell) + Send + 'static,
) -> Hand {
    let (submitted, to_submitted) = unbounded();
    let (cancelled, to_cancelled) = unbounded();
    let (to_release, release) = unbounded();
    let (completions, done) = unbounded();
    let (orders, inbox) = unbounded();
    let (told, notify) = unbounded();
    let played = Played { submitted, cancelled, release, memory };
    let io = EndpointIo::new("test/81".to_owned(), Box::new(played), done, watchdog);
    let tell = Box::new(move |notify| {
        // The test may have ended.
        let _ = told.send(notify);
    });
    let thread = std::thread::spawn(move || run(io, inbox, tell));
    Hand { submitted: to_submitted, cancelled: to_cancelled, release: to_release, completions, orders, notify, thread }
}

impl Hand {
    fn read(&self, length: usize) -> Receiver<Report> {
        self.request(length, Work::Read { length, return_partial: false, into: None })
    }

    fn wait_event(&self) -> Receiver<Report> {
        self.request(0, Work::Event)
    }

    fn request(&self, length: usize, work: Work) -> Receiver<Report> {
        let (reply, report) = bounded(1);
        let request = IoRequest {
            pending: RequestInfo::new(1, 1, "test", length as u64, ADDRESS),
            device: "test".into(),
            work,
            timeout: DEADLINE,
            libusb_semantics: false,
            reply: Reply::Own(reply),
            received: Payload::default(),
            cancelled_by: Vec::new(),
        };
        self.orders.send(Order::Io(Box::new(request))).expect("the worker runs");
        report
    }

    fn cancel_all(&self) -> Receiver<CancelCount> {
        let (told, sum) = bounded(1);
        let by = Cancellation::new(move |sum| told.send(sum).expect("the test listens"));
        self.orders.send(Order::Cancel { which: CancelTarget::All, by }).expect("the worker runs");
        sum
    }

    fn submitted(&self) -> (Token, Buffer) {
        self.submitted.recv_timeout(DEADLINE).expect("a transfer is submitted")
    }

    fn complete(&self, (token, buffer): (Token, Buffer), actual: usize, status: TransferStatus) {
        self.completions.send(Completion { token, buffer, actual, status }).expect("the worker runs");
    }

    fn end(self) {
        let Hand { orders, release, thread, .. } = self;
        orders.send(Order::Retire).expect("the worker runs");
        drop(release);
        thread.join().expect("the worker ends");
    }
}

fn outcome(report: &Receiver<Report>) -> Outcome {
    report.recv_timeout(DEADLINE).expect("the request ends").outcome
}

#[test]
fn a_cancel_that_does_not_return_makes_the_pipe_host_stuck_and_everybody_is_told() {
    let hand = start(usize::MAX, Duration::from_millis(20));
    let (read, behind) = (hand.read(512), hand.read(512));
    let transfer = hand.submitted();
    let sum = hand.cancel_all();
    assert_eq!(hand.cancelled.recv_timeout(DEADLINE), Ok(transfer.0));
    assert_eq!(outcome(&behind), Outcome::Cancelled, "it never was with the host");
    assert_eq!(outcome(&read), Outcome::HostStuck);
    assert_eq!(sum.recv_timeout(DEADLINE), Ok(CancelCount { found: 2, host_stuck: true }));
    assert_eq!(hand.notify.recv_timeout(DEADLINE), Ok(PipeEvent::HostStuck));
    assert_eq!(outcome(&hand.read(512)), Outcome::HostStuck, "later ones too");
    // The host comes round after all.
    hand.release.send(()).unwrap();
    hand.complete(transfer, 0, TransferStatus::Cancelled);
    assert_eq!(hand.notify.recv_timeout(DEADLINE), Ok(PipeEvent::AllReturned));
    hand.end();
}

#[test]
fn completions_are_taken_while_a_cancel_takes_its_time() {
    let hand = start(usize::MAX, DEADLINE);
    let read = hand.read(512);
    let transfer = hand.submitted();
    let sum = hand.cancel_all();
    hand.cancelled.recv_timeout(DEADLINE).unwrap();
    hand.complete(transfer, 512, TransferStatus::Completed);
    assert_eq!(outcome(&read), Outcome::Success);
    assert_eq!(sum.recv_timeout(DEADLINE), Ok(CancelCount { found: 1, host_stuck: false }));
    let next = hand.read(512);
    assert!(hand.submitted.is_empty(), "nothing is submitted while the endpoint is asking");
    hand.release.send(()).unwrap();
    let transfer = hand.submitted();
    hand.complete(transfer, 512, TransferStatus::Completed);
    assert_eq!(outcome(&next), Outcome::Success);
    hand.end();
}

#[test]
fn a_wait_that_is_cancelled_while_the_endpoint_is_asking_for_an_earlier_transfer_ends() {
    let hand = start_events();
    let first = hand.wait_event();
    let transfer = hand.submitted();
    let sum = hand.cancel_all();
    hand.cancelled.recv_timeout(DEADLINE).expect("it is asked back");
    hand.complete(transfer, 2, TransferStatus::Completed);
    assert_eq!(outcome(&first), Outcome::Success, "the packet was on its way");
    assert_eq!(sum.recv_timeout(DEADLINE), Ok(CancelCount { found: 1, host_stuck: false }));
    // The asking goes on, and nothing is in flight that the next one could wait for.
    let second = hand.wait_event();
    let sum = hand.cancel_all();
    assert_eq!(outcome(&second), Outcome::Cancelled);
    assert_eq!(sum.recv_timeout(DEADLINE), Ok(CancelCount { found: 1, host_stuck: false }));
    hand.end();
}

#[test]
fn without_memory_a_transfer_is_tried_again_shorter() {
    let hand = start(16384, DEADLINE);
    let read = hand.read(65536);
    for _ in 0..4 {
        let (token, buffer) = hand.submitted();
        assert_eq!(buffer.len(), 16384);
        hand.complete((token, buffer), 16384, TransferStatus::Completed);
    }
    assert_eq!(outcome(&read), Outcome::Success);
    hand.end();
}

#[test]
fn without_any_memory_a_request_ends_and_the_next_one_is_tried() {
    let hand = start(0, DEADLINE);
    assert_eq!(outcome(&hand.read(512)), Outcome::Fault(Fault::NoResources));
    assert_eq!(outcome(&hand.read(512)), Outcome::Fault(Fault::NoResources));
    hand.end();
}

#[test]
fn an_error_that_was_the_first_sign_of_unplugging_is_no_device() {
    let hand = start(usize::MAX, DEADLINE);
    let read = hand.read(512);
    let transfer = hand.submitted();
    hand.complete(transfer, 0, TransferStatus::Error);
    hand.orders.send(Order::Lost).unwrap();
    assert_eq!(outcome(&read), Outcome::Gone);
    hand.end();
}

#[test]
fn an_error_with_the_device_still_there_is_an_error() {
    let hand = start(usize::MAX, DEADLINE);
    let read = hand.read(512);
    let transfer = hand.submitted();
    hand.complete(transfer, 0, TransferStatus::Error);
    assert_eq!(outcome(&read), Outcome::Fault(Fault::Io));
    hand.end();
}

//! A link as a value: what is submitted, what comes back, at which moment.

use usbscan_shm::SharedMemory;
use usbscan_usb::{Direction, SetupKind};

use super::*;
use crate::Loopback;
use crate::faults::{Fault, Faulty, Plan, Random};

const IN: EndpointAddress = EndpointAddress(0x81);
const OUT: EndpointAddress = EndpointAddress(0x02);
const EVENT: EndpointAddress = EndpointAddress(0x83);

struct Host {
    link: Link,
    now: Instant,
}

impl Host {
    fn new() -> Host {
        Host::with(|_| ())
    }

    fn with(adjust: impl FnOnce(&mut Plan)) -> Host {
        let mut plan = Plan::default();
        adjust(&mut plan);
        let link = Link::new(Box::new(Faulty::new(Box::new(Loopback::new()), plan)));
        Host { link, now: Instant::now() }
    }

    fn submit(&mut self, id: u64, endpoint: EndpointAddress, buffer: impl Into<Buffer>) {
        self.link.submit(Urb { id: UrbId(id), endpoint, buffer: buffer.into() });
    }

    /// Lets it run until it idles; what came back, as (id, status, actual).
    fn run(&mut self) -> Vec<(u64, TransferStatus, usize)> {
        while self.link.step(self.now) == LinkProgress::More {}
        self.events()
    }

    fn events(&mut self) -> Vec<(u64, TransferStatus, usize)> {
        std::iter::from_fn(|| self.link.event())
            .filter_map(|event| match event {
                Event::Completed(given) => Some((given.id.0, given.status, given.actual)),
                Event::Unplugged | Event::Moved(_) => None,
            })
            .collect()
    }

    fn vendor(&mut self, id: u64, request: u8, value: u16) {
        let setup = Setup::vendor(Direction::Out, request, value, 0, 0);
        self.submit(id, EndpointAddress::CONTROL, setup.buffer(&[]));
    }

    fn control_in(&mut self, setup: Setup) -> (TransferStatus, Vec<u8>) {
        self.submit(999, EndpointAddress::CONTROL, setup.buffer(&[]));
        while self.link.step(self.now) == LinkProgress::More {}
        match self.link.event() {
            Some(Event::Completed(given)) => (given.status, given.buffer.bytes_in(8..8 + given.actual).into_owned()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_stall_ends_all_that_is_queued_and_what_comes_until_it_is_cleared() {
    let mut host = Host::new();
    for id in 1..=3 {
        host.submit(id, IN, vec![0; 512]);
    }
    host.vendor(4, 0x11, 0x81);
    let stall = |id| (id, TransferStatus::Stall, 0);
    assert_eq!(host.run(), [(4, TransferStatus::Completed, 0), stall(1), stall(2), stall(3)]);
    host.submit(5, IN, vec![0; 512]);
    assert_eq!(host.run(), [stall(5)]);
    host.link.clear_halt(IN);
    host.submit(6, IN, vec![0; 512]);
    host.submit(7, OUT, vec![1; 7]);
    assert_eq!(host.run(), [(7, TransferStatus::Completed, 7), (6, TransferStatus::Completed, 7)]);
}

#[test]
fn a_cancelled_read_keeps_what_had_arrived_and_the_next_gets_what_follows() {
    let mut host = Host::new();
    host.submit(1, IN, vec![0; 2048]);
    host.submit(2, IN, vec![0; 2048]);
    host.submit(3, OUT, vec![1; 1024]);
    assert_eq!(host.run(), [(3, TransferStatus::Completed, 1024)]);
    host.link.cancel(host.now, UrbId(1));
    host.submit(4, OUT, vec![1; 100]);
    let mut ended = host.run();
    ended.sort_unstable_by_key(|(id, ..)| *id);
    assert_eq!(
        ended,
        [
            (1, TransferStatus::Cancelled, 1024),
            (2, TransferStatus::Completed, 100),
            (4, TransferStatus::Completed, 100)
        ]
    );
    host.link.cancel(host.now, UrbId(1));
    assert_eq!(host.run(), [], "what has come back can't be cancelled");
}

#[test]
fn a_slow_controller_gives_a_cancelled_transfer_back_later() {
    let delay = Duration::from_millis(30);
    let mut host = Host::with(|plan| plan.unlink = Unlink::After(delay));
    host.submit(1, IN, vec![0; 512]);
    host.submit(2, IN, vec![0; 512]);
    host.run();
    host.link.cancel(host.now, UrbId(1));
    host.submit(3, OUT, vec![1; 5]);
    assert_eq!(host.run(), [(3, TransferStatus::Completed, 5)], "the endpoint stands still");
    assert_eq!(host.link.step(host.now), LinkProgress::Wait(Some(host.now + delay)));
    host.now += delay;
    assert_eq!(host.run(), [(1, TransferStatus::Cancelled, 0), (2, TransferStatus::Completed, 5)]);
}

#[test]
fn a_transfer_that_is_never_given_back_comes_with_the_unplug() {
    let mut host = Host::with(|plan| plan.unlink = Unlink::Never);
    host.submit(1, IN, vec![0; 512]);
    host.run();
    host.link.cancel(host.now, UrbId(1));
    host.now += Duration::from_secs(1_000_000);
    assert_eq!(host.run(), []);
    assert_eq!(host.link.step(host.now), LinkProgress::Wait(None));
    host.link.unplug();
    assert_eq!(host.run(), [(1, TransferStatus::NoDevice, 0)]);
}

#[test]
fn an_unplug_ends_everything_once_and_later_submits_too() {
    let mut host = Host::new();
    host.submit(1, IN, vec![0; 512]);
    host.submit(2, EVENT, vec![0; 64]);
    host.vendor(3, 0x13, 0);
    host.run();
    host.link.unplug();
    host.link.unplug();
    host.submit(4, IN, vec![0; 512]);
    let mut ended = host.run();
    ended.sort_unstable_by_key(|(id, ..)| *id);
    assert_eq!(ended, [1, 2, 3, 4].map(|id| (id, TransferStatus::NoDevice, 0)));
}

#[test]
fn a_reset_ends_what_is_pending_and_every_halt() {
    let mut host = Host::new();
    host.submit(1, IN, vec![0; 512]);
    host.vendor(2, 0x11, 0x02);
    host.run();
    host.link.reset();
    assert_eq!(host.run(), [(1, TransferStatus::NoDevice, 0)]);
    host.submit(3, OUT, vec![0; 9]);
    assert_eq!(host.run(), [(3, TransferStatus::Completed, 9)]);
}

#[test]
fn a_packet_larger_than_the_rest_of_the_buffer_fills_it_and_overflows() {
    let mut host = Host::new();
    host.submit(1, OUT, vec![7; 1024]);
    host.submit(2, IN, vec![0; 600]);
    assert_eq!(host.run(), [(1, TransferStatus::Completed, 1024), (2, TransferStatus::Overflow, 600)]);
}

#[test]
fn standard_requests_are_answered_for_every_model() {
    let mut host = Host::new();
    let (status, device) = host.control_in(Setup::get_descriptor(1, 0, 0, 64));
    assert_eq!((status, device), (TransferStatus::Completed, Loopback::new().descriptors().device.to_bytes().to_vec()));
    let (_, head) = host.control_in(Setup::get_descriptor(2, 0, 0, 9));
    assert_eq!(head.len(), 9, "no more than was asked for");
    let (_, text) = host.control_in(Setup::get_descriptor(3, 2, 0x0409, 255));
    assert_eq!(usbscan_usb::string_descriptor_text(&text).as_deref(), Ok("Loopback"));
    assert_eq!(host.control_in(Setup::get_descriptor(3, 9, 0x0409, 255)).0, TransferStatus::Stall);
    assert_eq!(host.control_in(Setup::get_descriptor(15, 0, 0, 5)).0, TransferStatus::Stall);
    let raw = |request_type, request, value, index, length| Setup { request_type, request, value, index, length };
    assert_eq!(host.control_in(raw(0x80, 0, 0, 0, 2)), (TransferStatus::Completed, vec![1, 0]), "self-powered");
    assert_eq!(host.control_in(raw(0x80, 8, 0, 0, 1)), (TransferStatus::Completed, vec![1]));
    assert_eq!(host.control_in(raw(0x00, 9, 1, 0, 0)).0, TransferStatus::Completed);
    assert_eq!(host.control_in(raw(0x00, 9, 7, 0, 0)).0, TransferStatus::Stall);
    assert_eq!(host.control_in(raw(0x01, 11, 0, 0, 0)).0, TransferStatus::Completed);
    assert_eq!(host.control_in(raw(0x01, 11, 1, 0, 0)).0, TransferStatus::Stall);
}

#[test]
fn the_host_can_set_a_halt_see_it_and_clear_it() {
    let mut host = Host::new();
    let raw = |request_type, request, length| Setup { request_type, request, value: 0, index: 0x81, length };
    assert_eq!(host.control_in(raw(0x82, 0, 2)), (TransferStatus::Completed, vec![0, 0]));
    assert_eq!(host.control_in(raw(0x02, 3, 0)).0, TransferStatus::Completed);
    assert_eq!(host.control_in(raw(0x82, 0, 2)), (TransferStatus::Completed, vec![1, 0]));
    assert_eq!(host.control_in(raw(0x02, 1, 0)).0, TransferStatus::Completed);
    assert_eq!(host.control_in(raw(0x82, 0, 2)), (TransferStatus::Completed, vec![0, 0]));
    let nowhere = Setup { index: 0x8f, ..raw(0x02, 1, 0) };
    assert_eq!((host.control_in(nowhere).0, nowhere.kind()), (TransferStatus::Stall, SetupKind::Standard));
}

#[test]
fn what_can_not_be_carried_out_comes_back_as_an_error() {
    let mut host = Host::new();
    host.submit(1, EndpointAddress(0x8f), vec![0; 4]);
    host.submit(2, EndpointAddress::CONTROL, vec![0; 3]);
    host.submit(3, EndpointAddress::CONTROL, Setup::vendor(Direction::In, 0x12, 0, 0, 9).to_bytes().to_vec());
    assert_eq!(host.run(), [1, 2, 3].map(|id| (id, TransferStatus::Error, 0)));
}

/// What came back, with all that its buffer holds.
fn with_bytes(link: &mut Link) -> Vec<(u64, TransferStatus, usize, Vec<u8>)> {
    let events = std::iter::from_fn(|| link.event());
    let given = events.filter_map(|event| if let Event::Completed(given) = event { Some(given) } else { None });
    given.map(|given| (given.id.0, given.status, given.actual, given.buffer.into_vec())).collect()
}

#[test]
fn shared_memory_is_filled_and_sent_as_a_vector_is() {
    let own = |bytes: Vec<u8>| Buffer::from(bytes);
    let shared = |bytes: Vec<u8>| {
        let memory = SharedMemory::new(bytes.len() + 3).unwrap();
        let region = memory.region(3..bytes.len() + 3).unwrap();
        region.copy_from(&bytes);
        Buffer::from(region)
    };
    for seed in 0..100 {
        let ends = [own as fn(Vec<u8>) -> Buffer, shared].map(|buffer| {
            let mut random = Random::new(seed);
            let mut host = Host::with(|plan| plan.add("babble@300000".parse::<Fault>().expect("a good word")));
            // More than one step, and no whole number of packets.
            host.vendor(0, 0x15, 200);
            let mut ended = Vec::new();
            for id in 1..60 {
                let length = (random.next() % 150_000) as usize;
                match random.next() % 4 {
                    0 | 1 => host.submit(id, IN, buffer(vec![0xee; length])),
                    2 => host.submit(id, OUT, buffer((0..length).map(|i| (i % 253) as u8).collect())),
                    _ => host.link.cancel(host.now, UrbId(random.next() % id)),
                }
                let _ = host.link.step(host.now);
                ended.extend(with_bytes(&mut host.link));
            }
            host.link.unplug();
            ended.extend(with_bytes(&mut host.link));
            ended
        });
        assert!(ends[0].iter().any(|(.., actual, _)| *actual > STEP), "seed {seed}: one takes several steps");
        assert!(ends[0] == ends[1], "seed {seed}");
    }
}

#[test]
fn a_control_request_in_shared_memory_comes_back_as_an_error() {
    let mut host = Host::new();
    let request = Setup::vendor(Direction::In, 0x12, 0, 0, 4).buffer(&[]);
    let memory = SharedMemory::new(request.len()).unwrap();
    let region = memory.region(0..request.len()).unwrap();
    region.copy_from(&request);
    host.submit(1, EndpointAddress::CONTROL, region);
    assert_eq!(host.run(), [(1, TransferStatus::Error, 0)]);
}

#[test]
fn whatever_is_done_each_transfer_comes_back_exactly_once() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut host = Host::with(|plan| {
            for word in ["stall@700", "garble@1500", "babble@2600", "silence@4000:3"] {
                plan.add(word.parse::<Fault>().expect("a good word"));
            }
            plan.unlink = [Unlink::Prompt, Unlink::After(Duration::from_millis(2))][seed as usize % 2];
        });
        let (mut submitted, mut returned) = (0u64, Vec::new());
        for _ in 0..200 {
            match random.next() % 12 {
                0..=3 => {
                    submitted += 1;
                    host.submit(submitted, IN, vec![0; (random.next() % 3000) as usize]);
                }
                4 | 5 => {
                    submitted += 1;
                    host.submit(submitted, OUT, vec![0; (random.next() % 1500) as usize]);
                }
                6 => {
                    submitted += 1;
                    host.vendor(submitted, 0x10 + (random.next() % 6) as u8, 0x81);
                }
                7 => host.link.cancel(host.now, UrbId(random.next() % (submitted + 1))),
                8 => host.link.clear_halt(IN),
                9 => host.now += Duration::from_millis(random.next() % 5),
                10 if random.next() % 8 == 0 => host.link.reset(),
                _ => drop(host.link.step(host.now)),
            }
            returned.extend(host.events());
        }
        host.link.unplug();
        returned.extend(host.run());
        let mut ids: Vec<u64> = returned.iter().map(|(id, ..)| *id).collect();
        ids.sort_unstable();
        assert!(ids.iter().copied().eq(1..=submitted), "seed {seed}: {ids:?} of {submitted}");
    }
}

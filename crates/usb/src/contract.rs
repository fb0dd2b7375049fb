//! What every [`crate::Bus`] must keep, as a suite that runs on each of them.
//!
//! The device under it is the loopback: bulk-out comes back on bulk-in packet by packet, vendor
//! request 0x10 OUT makes its data an interrupt packet, 0x11 OUT halts the endpoint named in wValue,
//! 0x12 IN answers bytes that count up from wValue, 0x13 is never answered, 0x14 OUT forgets what is queued.
//! A [`Rig`] plugs one in and out; [`contract_tests!`](crate::contract_tests) makes a test of each case.
//! Nothing here asserts on elapsed time: each wait has a deadline that only a hang can reach.

mod cancels;
mod shared;

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded, unbounded};

use self::cancels::*;
use self::shared::*;
use crate::{
    Buffer, Bus, Cancel, Completion, Device, Direction, Endpoint, EndpointAddress, ErrorKind, InterfaceNumber,
    Location, Setup, Token, TransferStatus, TransferType,
};

/// How long anything may take before it counts as hung. Emulated machines are slow.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a device has to give its transfers back when it is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);

const VENDOR_EVENT: u8 = 0x10;
const VENDOR_HALT: u8 = 0x11;
const VENDOR_COUNT: u8 = 0x12;
const VENDOR_HANG: u8 = 0x13;
const VENDOR_FORGET: u8 = 0x14;
const VENDOR_UNKNOWN: u8 = 0x7e;

/// A place to run the suite: a bus and a hand that plugs the loopback in and out.
pub trait Rig {
    /// The bus under test.
    fn bus(&self) -> &dyn Bus;
    /// Plugs the loopback in; returns where it is once the bus lists it.
    fn plug(&mut self) -> Location;
    /// Pulls it out.
    fn unplug(&mut self);
    /// Rounds of the races; thousands, fewer only where a round is slow.
    fn rounds(&self) -> u32 {
        2000
    }
    /// Why a case can't be run here, if so. Printed, and for what the place itself lacks only.
    fn lacks(&self, _case: &str) -> Option<&'static str> {
        None
    }
}

/// One claim about a bus.
#[derive(Clone, Copy)]
pub struct Case {
    /// The claim, as a name.
    pub name: &'static str,
    /// Panics where it does not hold.
    pub run: fn(&mut dyn Rig),
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Makes `CASES`, the list for rigs that have a runner of their own, and `contract_tests!`, a `#[test]` a case.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// Every case, in an order that puts the simple ones first.
        pub const CASES: &[Case] = &[$(Case { name: stringify!($name), run: $name }),*];

        /// Makes a `#[test]` of every case of the contract; `$rig` is an expression that makes a fresh rig.
        #[macro_export]
        macro_rules! contract_tests {
            ($rig:expr) => {
                $(#[test]
                fn $name() {
                    $crate::contract::run(&mut $rig, stringify!($name));
                })*
            };
        }
    };
}

cases! {
    the_device_is_listed_with_its_descriptors_and_strings,
    opening_a_place_where_nothing_is_says_no_device,
    an_interface_is_claimed_once,
    an_endpoint_needs_its_interface_claimed,
    what_is_written_comes_back,
    a_short_packet_ends_a_read,
    a_full_buffer_ends_a_read_without_a_short_packet,
    a_zero_length_packet_is_a_completion_of_zero_bytes,
    an_interrupt_packet_arrives,
    control_data_goes_both_ways,
    a_refused_control_request_is_a_stall_and_the_next_one_works,
    a_hung_control_request_is_cancelled_and_the_next_one_works,
    a_halted_endpoint_stalls_until_it_is_cleared,
    a_halted_out_endpoint_stalls_until_it_is_cleared,
    queued_reads_are_filled_in_order,
    a_silent_read_stays_pending_until_it_is_cancelled,
    cancelling_what_is_not_in_flight_says_so,
    a_transfer_cancelled_twice_completes_once,
    bytes_that_arrived_before_a_cancel_are_handed_over,
    cancel_against_completion_gives_exactly_one_completion,
    more_than_the_buffer_holds_is_an_overflow,
    unplugging_ends_every_transfer_once,
    closing_ends_every_transfer_once_and_the_device_opens_again,
    a_dropped_endpoint_leaves_the_device_usable,
    a_reset_keeps_the_claim,
    the_bell_rings_for_arrival_and_removal,
    a_read_into_shared_memory_arrives_there_and_nowhere_else,
    a_write_from_shared_memory_arrives,
    a_short_read_leaves_the_rest_of_its_shared_memory_alone,
    what_shared_memory_has_no_room_for_is_not_written_behind_it,
    queued_reads_fill_neighbouring_places_in_order,
    bytes_that_arrived_before_a_cancel_are_in_shared_memory,
    shared_memory_stays_mapped_until_its_transfer_has_ended,
    shared_memory_is_let_go_when_nobody_waits_for_its_transfer,
    a_control_request_in_shared_memory_is_refused_and_given_back,
}

/// Runs one case by name, unless the rig lacks what it needs.
pub fn run(rig: &mut dyn Rig, name: &str) {
    let case = CASES.iter().find(|case| case.name == name).expect("a case of that name");
    match rig.lacks(name) {
        Some(why) => println!("contract case {name} left out: {why}"),
        None => (case.run)(rig),
    }
}

/// One endpoint with the channel that its completions come on.
struct Pipe {
    endpoint: Box<dyn Endpoint>,
    done: Receiver<Completion>,
    next: u64,
}

impl Pipe {
    fn new(device: &mut dyn Device, address: EndpointAddress) -> Pipe {
        let (completions, done) = unbounded();
        let endpoint = device.endpoint(address, completions).expect("an endpoint of a claimed interface");
        assert_eq!(endpoint.address(), address);
        Pipe { endpoint, done, next: 0 }
    }

    fn submit(&mut self, buffer: impl Into<Buffer>) -> Token {
        self.next += 1;
        let token = Token(self.next);
        self.endpoint
            .submit(token, buffer.into())
            .map_err(|rejected| rejected.error)
            .expect("the transfer is accepted");
        token
    }

    fn wait(&self) -> Completion {
        match self.done.recv_timeout(DEADLINE) {
            Ok(completion) => completion,
            Err(RecvTimeoutError::Timeout) => panic!("no completion on {} in {DEADLINE:?}", self.endpoint.address()),
            Err(RecvTimeoutError::Disconnected) => panic!("the completions of {} ended", self.endpoint.address()),
        }
    }

    fn wait_for(&self, token: Token) -> Completion {
        let completion = self.wait();
        assert_eq!(completion.token, token, "completions come in the order of submission");
        completion
    }

    /// Submits, waits, and expects success.
    fn transfer(&mut self, buffer: impl Into<Buffer>) -> Completion {
        let buffer = buffer.into();
        let length = buffer.len();
        let token = self.submit(buffer);
        let completion = self.wait_for(token);
        assert_eq!(completion.status, TransferStatus::Completed);
        assert_eq!(completion.buffer.len(), length, "the buffer comes back as it went");
        completion
    }

    fn control(&mut self, setup: Setup, data: &[u8]) -> Completion {
        let token = self.submit(setup.buffer(data));
        self.wait_for(token)
    }

    fn vendor_out(&mut self, request: u8, value: u16, data: &[u8]) {
        let setup = Setup::vendor(Direction::Out, request, value, 0, data.len() as u16);
        assert_eq!(self.control(setup, data).status, TransferStatus::Completed, "vendor request {request:#04x}");
    }

    fn assert_nothing_more(&self) {
        assert!(self.done.is_empty(), "a second completion on {}: {:?}", self.endpoint.address(), self.done.try_recv());
    }
}

/// The loopback, opened, with all its endpoints.
struct Loopback {
    device: Box<dyn Device>,
    control: Pipe,
    bulk_in: Pipe,
    bulk_out: Pipe,
    interrupt: Pipe,
    packet: usize,
}

impl Loopback {
    fn open(rig: &mut dyn Rig) -> Loopback {
        let location = rig.plug();
        Loopback::open_at(rig.bus(), &location)
    }

    fn open_at(bus: &dyn Bus, location: &Location) -> Loopback {
        let mut device = bus.open(location).expect("the loopback opens");
        device.claim(InterfaceNumber(0)).expect("its interface is free");
        let interface = device.info().configuration.as_ref().expect("it is configured").interfaces[0].clone();
        let address = |kind, direction| interface.endpoint(kind, direction).expect("it has this endpoint").address;
        let bulk_in = Pipe::new(&mut *device, address(TransferType::Bulk, Direction::In));
        let bulk_out = Pipe::new(&mut *device, address(TransferType::Bulk, Direction::Out));
        let interrupt = Pipe::new(&mut *device, address(TransferType::Interrupt, Direction::In));
        let mut control = Pipe::new(&mut *device, EndpointAddress::CONTROL);
        control.vendor_out(VENDOR_FORGET, 0, &[]);
        let packet = bulk_in.endpoint.max_packet_size();
        Loopback { device, control, bulk_in, bulk_out, interrupt, packet }
    }

    fn write(&mut self, bytes: &[u8]) {
        let completion = self.bulk_out.transfer(bytes.to_vec());
        assert_eq!(completion.actual, bytes.len());
    }

    fn read(&mut self, length: usize) -> Vec<u8> {
        self.bulk_in.transfer(vec![0; length]).received().to_vec()
    }

    fn assert_echoes(&mut self) {
        let bytes = pattern(100, 7);
        self.write(&bytes);
        let length = self.packet;
        assert_eq!(self.read(length), bytes, "the device echoes");
    }

    fn close(self) {
        let Loopback { device, control, bulk_in, bulk_out, interrupt, .. } = self;
        drop((control.endpoint, bulk_in.endpoint, bulk_out.endpoint, interrupt.endpoint));
        device.close(CLOSE_TIMEOUT).expect("it closes");
    }
}

/// Bytes whose position can be told from their value.
fn pattern(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(31).wrapping_add(seed.wrapping_mul(97)) >> 2) as u8).collect()
}

fn the_device_is_listed_with_its_descriptors_and_strings(rig: &mut dyn Rig) {
    let location = rig.plug();
    let list = rig.bus().list().expect("a list");
    let info = list.iter().find(|info| info.location == location).expect("the loopback is listed");
    assert_eq!((info.descriptor.vendor.0, info.descriptor.product.0), (0x1209, 0x0001));
    assert_eq!(info.manufacturer.as_deref(), Some("usbscan"));
    assert_eq!(info.product.as_deref(), Some("Loopback"));
    assert!(info.serial.is_some(), "it has a serial number");
    let interface = &info.configuration.as_ref().expect("it is configured").interfaces[0];
    assert_eq!(interface.class_triple(), (6, 1, 1));
    assert_eq!(interface.endpoints.len(), 3);
}

fn opening_a_place_where_nothing_is_says_no_device(rig: &mut dyn Rig) {
    let mut nowhere = rig.plug();
    nowhere.address = 126;
    let error = rig.bus().open(&nowhere).err().expect("nothing is there");
    assert_eq!(error.kind, ErrorKind::NoDevice, "{error}");
}

fn an_interface_is_claimed_once(rig: &mut dyn Rig) {
    let location = rig.plug();
    let first = Loopback::open_at(rig.bus(), &location);
    let mut second = rig.bus().open(&location).expect("opening takes nothing");
    let error = second.claim(InterfaceNumber(0)).expect_err("the first has it");
    assert!(matches!(error.kind, ErrorKind::Busy(_)), "{error}");
    first.close();
    second.claim(InterfaceNumber(0)).expect("it is free again");
    second.close(CLOSE_TIMEOUT).expect("it closes");
}

fn an_endpoint_needs_its_interface_claimed(rig: &mut dyn Rig) {
    let location = rig.plug();
    let mut device = rig.bus().open(&location).expect("the loopback opens");
    let interface = device.info().configuration.as_ref().expect("it is configured").interfaces[0].clone();
    let (completions, _done) = unbounded();
    let error = device.endpoint(interface.endpoints[0].address, completions).err().expect("nothing is claimed");
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    device.close(CLOSE_TIMEOUT).expect("it closes");
}

fn what_is_written_comes_back(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let bytes = pattern(loopback.packet * 40 + 1, 1);
    loopback.write(&bytes);
    let room = loopback.packet * 64;
    assert_eq!(loopback.read(room), bytes);
    loopback.close();
}

fn a_short_packet_ends_a_read(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let (first, second) = (pattern(loopback.packet + 10, 1), pattern(20, 2));
    loopback.write(&first);
    loopback.write(&second);
    let room = loopback.packet * 8;
    assert_eq!(loopback.read(room), first);
    assert_eq!(loopback.read(room), second);
    loopback.close();
}

fn a_full_buffer_ends_a_read_without_a_short_packet(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let bytes = pattern(loopback.packet * 2, 3);
    loopback.write(&bytes);
    let room = loopback.packet;
    assert_eq!(loopback.read(room), bytes[..room]);
    assert_eq!(loopback.read(room), bytes[room..]);
    loopback.close();
}

fn a_zero_length_packet_is_a_completion_of_zero_bytes(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    loopback.write(&[]);
    let room = loopback.packet;
    assert_eq!(loopback.read(room), []);
    loopback.assert_echoes();
    loopback.close();
}

fn an_interrupt_packet_arrives(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let length = loopback.interrupt.endpoint.max_packet_size();
    let token = loopback.interrupt.submit(vec![0; length]);
    loopback.control.vendor_out(VENDOR_EVENT, 0, &[1, 2, 3]);
    let completion = loopback.interrupt.wait_for(token);
    assert_eq!((completion.status, &*completion.received()), (TransferStatus::Completed, &[1, 2, 3][..]));
    loopback.close();
}

fn control_data_goes_both_ways(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let completion = loopback.control.control(Setup::vendor(Direction::In, VENDOR_COUNT, 9, 0, 300), &[]);
    let expected: Vec<u8> = (0..300u32).map(|i| (9 + i) as u8).collect();
    assert_eq!(
        (completion.status, completion.actual),
        (TransferStatus::Completed, 300),
        "the setup packet is not counted"
    );
    assert_eq!(*completion.buffer.bytes_in(Setup::BYTES..308), expected);
    let setup = Setup::vendor(Direction::Out, VENDOR_EVENT, 0, 0, 5);
    let completion = loopback.control.control(setup, &[9; 5]);
    assert_eq!((completion.status, completion.actual), (TransferStatus::Completed, 5));
    loopback.close();
}

fn a_refused_control_request_is_a_stall_and_the_next_one_works(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let refused = loopback.control.control(Setup::vendor(Direction::In, VENDOR_UNKNOWN, 0, 0, 4), &[]);
    assert_eq!(refused.status, TransferStatus::Stall);
    let next = loopback.control.control(Setup::vendor(Direction::In, VENDOR_COUNT, 0, 0, 4), &[]);
    assert_eq!((next.status, &*next.buffer.bytes_in(Setup::BYTES..12)), (TransferStatus::Completed, &[0, 1, 2, 3][..]));
    loopback.close();
}

fn a_hung_control_request_is_cancelled_and_the_next_one_works(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let token = loopback.control.submit(Setup::vendor(Direction::In, VENDOR_HANG, 0, 0, 4).buffer(&[]));
    assert_eq!(loopback.control.endpoint.cancel(token), Cancel::Asked);
    assert_eq!(loopback.control.wait_for(token).status, TransferStatus::Cancelled);
    let next = loopback.control.control(Setup::vendor(Direction::In, VENDOR_COUNT, 0, 0, 4), &[]);
    assert_eq!(next.status, TransferStatus::Completed);
    loopback.close();
}

fn a_halted_endpoint_stalls_until_it_is_cleared(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let address = loopback.bulk_in.endpoint.address();
    loopback.control.vendor_out(VENDOR_HALT, u16::from(address.0), &[]);
    for _ in 0..2 {
        let token = loopback.bulk_in.submit(vec![0; loopback.packet]);
        assert_eq!(loopback.bulk_in.wait_for(token).status, TransferStatus::Stall);
    }
    loopback.bulk_in.endpoint.clear_halt().expect("the halt is cleared");
    loopback.assert_echoes();
    loopback.close();
}

fn a_halted_out_endpoint_stalls_until_it_is_cleared(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let address = loopback.bulk_out.endpoint.address();
    loopback.control.vendor_out(VENDOR_HALT, u16::from(address.0), &[]);
    let token = loopback.bulk_out.submit(pattern(10, 1));
    assert_eq!(loopback.bulk_out.wait_for(token).status, TransferStatus::Stall);
    loopback.bulk_out.endpoint.clear_halt().expect("the halt is cleared");
    loopback.assert_echoes();
    loopback.close();
}

fn queued_reads_are_filled_in_order(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let packet = loopback.packet;
    let tokens: Vec<Token> = (0..4).map(|_| loopback.bulk_in.submit(vec![0; packet])).collect();
    let bytes = pattern(packet * 4, 5);
    loopback.write(&bytes);
    for (token, expected) in tokens.into_iter().zip(bytes.chunks(packet)) {
        let completion = loopback.bulk_in.wait_for(token);
        assert_eq!((completion.status, &*completion.received()), (TransferStatus::Completed, expected));
    }
    loopback.close();
}

fn more_than_the_buffer_holds_is_an_overflow(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let bytes = pattern(loopback.packet, 1);
    loopback.write(&bytes);
    let token = loopback.bulk_in.submit(vec![0; 100]);
    assert_eq!(loopback.bulk_in.wait_for(token).status, TransferStatus::Overflow);
    loopback.close();
}

fn unplugging_ends_every_transfer_once(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let location = loopback.device.info().location.clone();
    let packet = loopback.packet;
    let owed: Vec<Token> = (0..4).map(|_| loopback.bulk_in.submit(vec![0; packet])).collect();
    let event = loopback.interrupt.submit(vec![0; 64]);
    rig.unplug();
    // In no particular order: Linux gives them back newest first.
    let mut ended: Vec<Token> = owed.iter().map(|_| lost(loopback.bulk_in.wait())).collect();
    ended.sort_unstable();
    assert_eq!(ended, owed);
    assert_eq!(lost(loopback.interrupt.wait()), event);
    loopback.bulk_in.assert_nothing_more();
    wait_until_gone(rig.bus(), &location);
    let rejected = loopback.bulk_in.endpoint.submit(Token(77), vec![0; packet].into()).expect_err("it is gone");
    assert_eq!(rejected.error.kind, ErrorKind::NoDevice, "{}", rejected.error);
    assert_eq!(rejected.buffer.len(), packet, "the buffer never left");
    loopback.close();
    Loopback::open(rig).close();
}

fn lost(completion: Completion) -> Token {
    let status = completion.status;
    assert!(matches!(status, TransferStatus::NoDevice | TransferStatus::Error), "{status:?}");
    completion.token
}

/// Waits for the bus to stop listing a place, woken by the notifications.
fn wait_until_gone(bus: &dyn Bus, location: &Location) {
    let (notify, changes) = bounded(1);
    let watch = bus.watch(notify).expect("the bus can be watched");
    while bus.list().expect("a list").iter().any(|info| info.location == *location) {
        changes.recv_timeout(DEADLINE).expect("a removal is notified");
    }
    drop(watch);
}

fn closing_ends_every_transfer_once_and_the_device_opens_again(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let location = loopback.device.info().location.clone();
    let packet = loopback.packet;
    let reads: Vec<Token> = (0..4).map(|_| loopback.bulk_in.submit(vec![0; packet])).collect();
    let event = loopback.interrupt.submit(vec![0; 64]);
    let Loopback { device, bulk_in, interrupt, .. } = loopback;
    device.close(CLOSE_TIMEOUT).expect("it closes with transfers in flight");
    let mut ended: Vec<Token> =
        reads.iter().map(|_| bulk_in.wait()).map(|c| (c.status, c.token)).map(cancelled).collect();
    ended.sort_unstable();
    assert_eq!(ended, reads);
    assert_eq!(interrupt.wait_for(event).status, TransferStatus::Cancelled);
    bulk_in.assert_nothing_more();
    drop((bulk_in, interrupt));
    let mut again = Loopback::open_at(rig.bus(), &location);
    again.assert_echoes();
    again.close();
}

fn cancelled((status, token): (TransferStatus, Token)) -> Token {
    assert_eq!(status, TransferStatus::Cancelled);
    token
}

fn a_dropped_endpoint_leaves_the_device_usable(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let address = loopback.bulk_in.endpoint.address();
    for _ in 0..4 {
        loopback.bulk_in.submit(vec![0; loopback.packet]);
    }
    // Another endpoint takes its place first, so that the old one is dropped with its reads in flight.
    loopback.bulk_in = Pipe::new(&mut *loopback.device, EndpointAddress::CONTROL);
    loopback.bulk_in = Pipe::new(&mut *loopback.device, address);
    loopback.assert_echoes();
    loopback.close();
}

fn a_reset_keeps_the_claim(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    loopback.device.reset().expect("the port is reset");
    loopback.control.vendor_out(VENDOR_FORGET, 0, &[]);
    loopback.assert_echoes();
    loopback.close();
}

fn the_bell_rings_for_arrival_and_removal(rig: &mut dyn Rig) {
    let (notify, changes) = bounded(1);
    let watch = rig.bus().watch(notify).expect("the bus can be watched");
    let location = rig.plug();
    changes.recv_timeout(DEADLINE).expect("an arrival is notified");
    rig.unplug();
    while rig.bus().list().expect("a list").iter().any(|info| info.location == location) {
        changes.recv_timeout(DEADLINE).expect("a removal is notified");
    }
    drop(watch);
    assert!(matches!(changes.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected) | Ok(())), "the watch ended");
}

//! The part of the contract that is about shared memory: the bytes of a transfer are in its place and nowhere else, and the
//! place stays mapped as long as the bus may write to it.

use std::cell::RefCell;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use usbscan_shm::{Region, SharedMemory};

use super::cancels::cancel_partly_read;
use super::{DEADLINE, Loopback, Rig, VENDOR_EVENT, pattern};
use crate::{Buffer, Direction, ErrorKind, Setup, Token, TransferStatus};

/// Bytes before and behind the place of a transfer. An odd number, so that the place begins at none that is round.
const AROUND: usize = 101;
/// What stands where nothing was written.
const UNTOUCHED: u8 = 0xee;

/// Shared memory with a place for transfers in the middle.
struct GuardedMemory {
    memory: SharedMemory,
    middle: Range<usize>,
}

impl GuardedMemory {
    fn new(length: usize) -> GuardedMemory {
        let memory = SharedMemory::new(length + 2 * AROUND).expect("some memory");
        let place = GuardedMemory { memory, middle: AROUND..AROUND + length };
        place.wipe();
        place
    }

    fn wipe(&self) {
        let all = self.memory.region(0..self.memory.len()).expect("all of it");
        all.copy_from(&vec![UNTOUCHED; all.len()]);
    }

    fn region(&self) -> Region {
        self.memory.region(self.middle.clone()).expect("the middle of it")
    }

    /// These bytes stand at the beginning of the place, and around them it is as it was.
    fn assert_holds(&self, bytes: &[u8]) {
        let mut expected = vec![UNTOUCHED; self.memory.len()];
        expected[AROUND..AROUND + bytes.len()].copy_from_slice(bytes);
        let found = self.memory.region(0..self.memory.len()).expect("all of it").to_vec();
        let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert_eq!(wrong, None, "the first wrong byte, in a place at {AROUND} for {} bytes", bytes.len());
    }
}

/// Whether this process has a memory mapped, that of which this is the descriptor.
fn is_mapped(descriptor: &File) -> bool {
    let inode = descriptor.metadata().expect("a descriptor tells").ino().to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux lists what is mapped");
    // address permissions offset device inode name
    maps.lines().any(|line| line.contains("usbscan") && line.split_whitespace().nth(4) == Some(&inode))
}

pub(super) fn a_read_into_shared_memory_arrives_there_and_nowhere_else(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let bytes = pattern(loopback.packet * 40, 1);
    let place = GuardedMemory::new(bytes.len());
    loopback.write(&bytes);
    let completion = loopback.bulk_in.transfer(place.region());
    assert_eq!((completion.actual, &*completion.received()), (bytes.len(), &bytes[..]));
    assert!(matches!(completion.buffer, Buffer::Shared(region) if region.offset() == AROUND), "it is the same place");
    place.assert_holds(&bytes);
    loopback.close();
}

pub(super) fn a_write_from_shared_memory_arrives(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let bytes = pattern(loopback.packet * 40 + 1, 2);
    let place = GuardedMemory::new(bytes.len());
    place.region().copy_from(&bytes);
    assert_eq!(loopback.bulk_out.transfer(place.region()).actual, bytes.len());
    place.assert_holds(&bytes);
    let room = loopback.packet * 64;
    assert_eq!(loopback.read(room), bytes);
    loopback.close();
}

pub(super) fn a_short_read_leaves_the_rest_of_its_shared_memory_alone(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let place = GuardedMemory::new(loopback.packet * 8);
    for bytes in [pattern(loopback.packet + 10, 3), pattern(1, 4), Vec::new()] {
        place.wipe();
        loopback.write(&bytes);
        assert_eq!(loopback.bulk_in.transfer(place.region()).received(), &bytes[..]);
        place.assert_holds(&bytes);
    }
    loopback.close();
}

pub(super) fn what_shared_memory_has_no_room_for_is_not_written_behind_it(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let bytes = pattern(loopback.packet, 5);
    let place = GuardedMemory::new(100);
    loopback.write(&bytes);
    let token = loopback.bulk_in.submit(place.region());
    let completion = loopback.bulk_in.wait_for(token);
    assert_eq!(completion.status, TransferStatus::Overflow);
    place.assert_holds(&bytes[..completion.actual]);
    loopback.close();
}

pub(super) fn queued_reads_fill_neighbouring_places_in_order(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let packet = loopback.packet;
    let bytes = pattern(packet * 4, 6);
    let place = GuardedMemory::new(bytes.len());
    let parts = (0..4).map(|i| place.region().subregion(i * packet..(i + 1) * packet).expect("inside"));
    let tokens: Vec<Token> = parts.map(|part| loopback.bulk_in.submit(part)).collect();
    loopback.write(&bytes);
    for token in tokens {
        let completion = loopback.bulk_in.wait_for(token);
        assert_eq!((completion.status, completion.actual), (TransferStatus::Completed, packet));
    }
    place.assert_holds(&bytes);
    loopback.close();
}

pub(super) fn bytes_that_arrived_before_a_cancel_are_in_shared_memory(rig: &mut dyn Rig) {
    let place = RefCell::new(GuardedMemory::new(0));
    let buffer = |length| {
        *place.borrow_mut() = GuardedMemory::new(length);
        place.borrow().region().into()
    };
    cancel_partly_read(rig, buffer, |completion| place.borrow().assert_holds(&completion.received()));
}

pub(super) fn shared_memory_stays_mapped_until_its_transfer_has_ended(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let bytes = pattern(loopback.packet, 7);
    let place = GuardedMemory::new(bytes.len());
    let descriptor = File::from(place.memory.descriptor().try_clone_to_owned().expect("another descriptor"));
    let token = loopback.bulk_in.submit(place.region());
    drop(place);
    assert!(is_mapped(&descriptor), "the transfer keeps it");
    loopback.write(&bytes);
    let completion = loopback.bulk_in.wait_for(token);
    assert_eq!((completion.status, &*completion.received()), (TransferStatus::Completed, &bytes[..]));
    drop(completion);
    assert!(!is_mapped(&descriptor), "nobody needs it any more");
    loopback.close();
}

pub(super) fn shared_memory_is_let_go_when_nobody_waits_for_its_transfer(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let place = GuardedMemory::new(loopback.packet);
    let descriptor = File::from(place.memory.descriptor().try_clone_to_owned().expect("another descriptor"));
    for _ in 0..4 {
        loopback.bulk_in.submit(place.region());
    }
    drop(place);
    loopback.close();
    // A completion that nobody waits for ends on a thread of the bus.
    let deadline = Instant::now() + DEADLINE;
    while is_mapped(&descriptor) {
        assert!(Instant::now() < deadline, "it is mapped for ever");
        std::thread::yield_now();
    }
}

pub(super) fn a_control_request_in_shared_memory_is_refused_and_given_back(rig: &mut dyn Rig) {
    let mut loopback = Loopback::open(rig);
    let request = Setup::vendor(Direction::Out, VENDOR_EVENT, 0, 0, 5).buffer(&[9; 5]);
    let place = GuardedMemory::new(request.len());
    place.region().copy_from(&request);
    let rejected = loopback.control.endpoint.submit(Token(77), place.region().into()).expect_err("it might be changed");
    assert_eq!(rejected.error.kind, ErrorKind::InvalidParameter, "{}", rejected.error);
    assert!(
        matches!(&rejected.buffer, Buffer::Shared(region) if (region.offset(), region.len()) == (AROUND, request.len()))
    );
    place.assert_holds(&request);
    loopback.control.assert_nothing_more();
    loopback.assert_echoes();
    loopback.close();
}

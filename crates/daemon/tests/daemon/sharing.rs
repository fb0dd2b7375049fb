//! Memory shared with a client: what comes and goes through it, and what a client may do to it without harm.

use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::fs::{FallocateFlags, fallocate, ftruncate};
use usbscan_shm::ShmArena;
use usbscan_wire::{Command, ControlDirection, Pipe, SHARED_LIMIT, Status};

use testkit::rig::{COUNT, Client, DEADLINE, HALT, PATTERN, Rig, vendor, vendor_out};

const LENGTH: u32 = 1 << 20;

/// A client with memory, and with the first scanner open.
fn sharing(rig: &Rig) -> (Client, OwnedFd) {
    let mut client = rig.open();
    client.done(Command::ShareMemory { length: LENGTH });
    let descriptor = client.descriptor().expect("its descriptor comes with the answer");
    (client, descriptor)
}

fn read_at(at: u32, length: u32) -> Command {
    Command::Read { endpoint: None, offset: Some(at), length, return_partial: false, timeout: None }
}

fn write_at(at: u32, length: u32) -> Command {
    Command::Write { endpoint: None, offset: Some(at), length, zero_packet: false, timeout: None }
}

/// What stands in the memory now.
fn look(descriptor: &OwnedFd, at: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    assert_eq!(rustix::io::pread(descriptor, &mut bytes, at as u64).expect("it can be read"), length);
    bytes
}

fn put(descriptor: &OwnedFd, at: usize, bytes: &[u8]) {
    assert_eq!(rustix::io::pwrite(descriptor, bytes, at as u64).expect("it can be written"), bytes.len());
}

#[test]
fn a_read_puts_its_bytes_into_the_memory_and_nowhere_else() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    put(&memory, 0, &[7; 4096]);
    client.write_all(b"hello");
    let answer = client.done(read_at(1000, 5));
    assert_eq!((answer.information, answer.shared, answer.payload.len()), (5, 5, 0));
    assert_eq!(look(&memory, 0, 1000), [7; 1000]);
    assert_eq!(look(&memory, 1000, 5), b"hello");
    assert_eq!(look(&memory, 1005 + 512, 1000), [7; 1000], "at most the rest of a packet is written behind it");
}

#[test]
fn a_write_takes_its_bytes_from_the_memory() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    put(&memory, 70_000, b"from here");
    assert_eq!(client.done(write_at(70_000, 9)).information, 9);
    assert_eq!(client.read_all(512), b"from here");
    let empty = client.done(write_at(0, 0));
    assert_eq!((empty.information, client.read_all(512).len()), (0, 0), "an empty packet");
}

#[test]
fn a_megabyte_goes_through_the_memory_whole_and_in_order_at_any_depth_and_chunk() {
    for (depth, chunk) in [(1, 1 << 16), (4, 1 << 16), (4, 1 << 20)] {
        let config = usbscan_daemon::Config {
            queue_depth: depth,
            max_transfer_bytes: chunk,
            ..usbscan_daemon::Config::default()
        };
        let rig = Rig::with(config, &["loopback"]);
        let (mut client, memory) = sharing(&rig);
        let bytes: Vec<u8> = (0..LENGTH).map(|i| (i % 253) as u8).collect();
        let quarter = LENGTH / 4;
        let reads: Vec<u64> = (0..4).map(|part| client.send(read_at(part * quarter, quarter))).collect();
        client.write_all(&bytes);
        for read in reads {
            assert_eq!(client.answer(read).shared, u64::from(quarter));
        }
        assert!(look(&memory, 0, LENGTH as usize) == bytes, "depth {depth}, chunk {chunk}");
        client.done(write_at(0, LENGTH));
        let back: Vec<u8> = (0..4).flat_map(|_| client.read_all(quarter)).collect();
        assert!(back == bytes, "depth {depth}, chunk {chunk}");
    }
}

#[test]
fn at_the_memorys_end_a_read_of_no_whole_packets_loses_nothing() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    let bytes: Vec<u8> = (0..2000).map(|i| (i % 251) as u8).collect();
    client.write_all(&bytes);
    let length = 700;
    let at = LENGTH - length;
    assert_eq!(client.done(read_at(at, length)).shared, u64::from(length));
    assert_eq!(look(&memory, at as usize, length as usize), bytes[..700]);
    assert_eq!(
        client.done(read_at(at, length)).shared,
        u64::from(length),
        "it begins with what the last one left over"
    );
    assert_eq!(look(&memory, at as usize, length as usize), bytes[700..1400]);
    assert_eq!(client.read_all(4096), bytes[1400..]);
}

#[test]
fn what_a_read_leaves_over_goes_to_the_next_wherever_that_wants_it() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    client.write_all(b"abcdefghij");
    assert_eq!(client.read_all(3), b"abc");
    assert_eq!(client.done(read_at(10, 3)).shared, 3);
    assert_eq!(look(&memory, 10, 3), b"def");
    assert_eq!(client.read_all(512), b"ghij");
}

#[test]
fn a_cancelled_read_says_what_had_come_and_returns_it_where_that_was_asked_for() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    for return_partial in [false, true] {
        let read =
            client.send(Command::Read { endpoint: None, offset: Some(0), length: 4096, return_partial, timeout: None });
        client.write_all(&[return_partial.into(); 512]);
        client.until_the_device_has_caught_up();
        client.done(Command::CancelPipe { pipe: Some(Pipe::Read), endpoint: None, device: None });
        let answer = client.answer(read);
        let expected = (Status::Cancelled, 0, 512, if return_partial { 512 } else { 0 }, 0);
        let said = (answer.status, answer.information, answer.discarded, answer.shared, answer.payload.len());
        assert_eq!(said, expected);
        if return_partial {
            assert_eq!(look(&memory, 0, 512), [1; 512]);
        }
    }
}

#[test]
fn a_timeout_and_a_fault_hand_over_what_had_come() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    client.write_all(&[3; 512]);
    let answer = client.call(Command::Read {
        endpoint: None,
        offset: Some(512),
        length: 4096,
        return_partial: false,
        timeout: Some(0.05),
    });
    assert_eq!((answer.status, answer.information, answer.shared), (Status::Timeout, 512, 512));
    assert_eq!(look(&memory, 512, 512), [3; 512]);
    let read = client.send(read_at(8192, 4096));
    client.write_all(&[4; 512]);
    client.until_the_device_has_caught_up();
    client.done(vendor_out(HALT, 0x81));
    let answer = client.answer(read);
    assert_eq!((answer.status, answer.information, answer.shared), (Status::Stall, 512, 512));
    assert_eq!(look(&memory, 8192, 512), [4; 512]);
}

#[test]
fn without_memory_and_outside_of_it_nothing_is_read_or_written() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    for command in [read_at(0, 1), write_at(0, 1)] {
        assert_eq!(client.call(command).status, Status::NotFound);
    }
    client.done(Command::ShareMemory { length: LENGTH });
    let outside = [(LENGTH - 1, 2), (LENGTH, 1), (u32::MAX, 1), (0, LENGTH + 1), (u32::MAX, u32::MAX)];
    for (at, length) in outside {
        for command in [read_at(at, length), write_at(at, length)] {
            let answer = client.call(command);
            assert_eq!(answer.status, Status::InvalidParameter, "{at} {length}");
        }
    }
    let both = client.call_with(write_at(0, 1), vec![1]);
    assert!(both.message.is_some_and(|message| message.contains("payload")), "{:?}", both.status);
    let length =
        client.call(Command::Write { endpoint: None, offset: None, length: 5, zero_packet: false, timeout: None });
    assert!(length.message.is_some_and(|message| message.contains("length")));
    client.write_all(b"it goes on");
    assert_eq!(client.read_all(512), b"it goes on");
}

#[test]
fn memory_is_shared_once_and_within_limits() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    for length in [0, SHARED_LIMIT as u32 + 1, u32::MAX] {
        assert_eq!(client.call(Command::ShareMemory { length }).status, Status::InvalidParameter, "{length}");
    }
    let whole = rig.client().call(Command::ShareMemory { length: SHARED_LIMIT as u32 });
    assert_eq!(whole.status, Status::Success, "a connection may have as many bytes as that by default");
    client.done(Command::ShareMemory { length: LENGTH });
    assert_eq!(client.call(Command::ShareMemory { length: LENGTH }).status, Status::InvalidParameter);
}

#[test]
fn memory_counts_against_the_connections_bytes_and_reads_into_it_do_not() {
    let limits = usbscan_daemon::Limits { bytes: 2 << 20, ..usbscan_daemon::Limits::default() };
    let rig = Rig::with(usbscan_daemon::Config { limits, ..usbscan_daemon::Config::default() }, &["loopback"]);
    let mut client = rig.open();
    client.done(Command::ShareMemory { length: 2 << 20 });
    let through_the_socket = client.read(1);
    assert_eq!(client.answer(through_the_socket).status, Status::InsufficientResources);
    let reads: Vec<u64> = (0..8).map(|_| client.send(read_at(0, 1 << 20))).collect();
    client.done(Command::CancelSession { session: None });
    for read in reads {
        assert_eq!(client.answer(read).status, Status::Cancelled);
    }
}

/// Two of them at once into one place spoil each other's bytes, and nothing else.
#[test]
fn reads_into_the_same_place_are_the_clients_own_trouble() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, _memory) = sharing(&rig);
    let reads: Vec<u64> = (0..4).map(|_| client.send(read_at(0, 1 << 16))).collect();
    client.done(vendor_out(PATTERN, 256));
    for read in reads {
        assert_eq!(client.answer(read).shared, 1 << 16);
    }
    client.write_all(b"unharmed");
    assert_eq!(client.read_all(512), b"unharmed");
}

#[test]
fn a_client_that_cuts_punches_and_overwrites_the_memory_harms_only_itself() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    let read = client.send(read_at(0, LENGTH));
    client.until_pending(&[(read, "in-flight")]);
    assert!(ftruncate(&memory, 0).is_err(), "its size is sealed");
    assert!(ftruncate(&memory, u64::from(LENGTH) * 2).is_err());
    fallocate(&memory, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, u64::from(LENGTH))
        .expect("its pages can be given back; they come again as they are touched");
    put(&memory, 0, &vec![9; LENGTH as usize]);
    client.done(vendor_out(PATTERN, 1024));
    assert_eq!(client.answer(read).shared, u64::from(LENGTH));
    drop(memory);
    assert_eq!(client.done(vendor(COUNT, ControlDirection::In, 0, 4)).payload.len(), 4);
}

#[test]
fn the_bytes_of_one_client_are_never_in_anothers_memory() {
    let rig = Rig::new(&["loopback"]);
    let (mut first, memory) = sharing(&rig);
    first.write_all(&[0x55; 4096]);
    assert_eq!(first.done(read_at(0, 4096)).shared, 4096);
    let (_second, others) = sharing(&rig);
    assert!(look(&others, 0, LENGTH as usize).iter().all(|byte| *byte == 0), "new memory is empty");
    put(&memory, 0, &[0x66; 64]);
    assert_eq!(look(&others, 0, 64), [0; 64]);
}

/// Mappings of shared memory of this many bytes, in this process.
fn mapped(length: usize) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let is_ours = |line: &&str| {
        let ends = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = ends.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)));
        matches!(ends, Some((Ok(from), Ok(to))) if to - from == length) && line.contains("memfd:usbscan")
    };
    maps.lines().filter(is_ours).count()
}

#[test]
fn clients_that_die_with_reads_under_way_leave_an_idle_scanner_and_no_memory_behind() {
    // A length that no other test has.
    let length = LENGTH + 7 * 4096;
    let limits = usbscan_daemon::Limits { all_bytes: 4 << 20, ..usbscan_daemon::Limits::default() };
    let rig = Rig::with(usbscan_daemon::Config { limits, ..usbscan_daemon::Config::default() }, &["loopback"]);
    let hung = Instant::now() + DEADLINE;
    for _ in 0..20 {
        let mut client = rig.open();
        // What the dead had counts until the daemon is done with them.
        while client.call(Command::ShareMemory { length }).status != Status::Success {
            assert!(Instant::now() < hung, "the memory of the dead never comes back");
        }
        let read = client.send(read_at(0, LENGTH));
        client.until_pending(&[(read, "in-flight")]);
        drop(client);
    }
    let mut client = rig.open();
    client.write_all(b"next");
    assert_eq!(client.read_all(512), b"next");
    while mapped(length as usize) > 0 {
        assert!(Instant::now() < hung, "it stays mapped");
        std::thread::yield_now();
    }
}

#[test]
fn a_scanner_that_is_pulled_ends_reads_into_memory_as_any_other() {
    let rig = Rig::new(&["loopback"]);
    let (mut client, memory) = sharing(&rig);
    let read = client.send(read_at(0, 4096));
    client.write_all(&[5; 512]);
    client.until_the_device_has_caught_up();
    rig.unplug(0);
    let answer = client.answer(read);
    assert_eq!((answer.status, answer.information, answer.shared), (Status::NoDevice, 512, 512));
    assert_eq!(look(&memory, 0, 512), [5; 512]);
}

#[test]
fn both_sides_may_map_it_and_the_client_can_be_sure_of_its_length() {
    let rig = Rig::new(&[]);
    let mut client = rig.client();
    assert_eq!(client.done(Command::ShareMemory { length: 12_345 }).information, 12_345);
    let received = client.received().expect("a descriptor");
    assert_eq!(ShmArena::new(received, 12_345).expect("sealed, and as long as said").len(), 12_345);
    let mut other = rig.client();
    other.done(Command::ShareMemory { length: 12_345 });
    assert!(ShmArena::new(other.received().expect("a descriptor"), 12_346).is_err());
}

//! Bytes through the daemon: reads, writes, events, control requests.

use usbscan_wire::{Command, ControlDirection, Status};

use testkit::rig::{COUNT, Client, EVENT, HALT, PATTERN, Rig, vendor, vendor_out};

fn timed_read(length: u32, seconds: f64) -> Command {
    Command::Read { endpoint: None, offset: None, length, return_partial: false, timeout: Some(seconds) }
}

#[test]
fn what_is_written_is_read() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(b"hello");
    assert_eq!(client.read_all(512), b"hello");
}

#[test]
fn a_read_waits_for_what_is_written_later() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let read = client.read(512);
    client.write_all(b"later");
    assert_eq!(client.answer(read).payload[..], *b"later");
}

#[test]
fn a_megabyte_goes_through_whole_and_in_order_at_any_depth() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let mut client = rig.open();
        let bytes: Vec<u8> = (0..1 << 20).map(|i| (i % 253) as u8).collect();
        let reads: Vec<u64> = (0..4).map(|_| client.read(1 << 18)).collect();
        client.write_all(&bytes);
        let read: Vec<u8> = reads.into_iter().flat_map(|id| client.answer(id).payload).collect();
        assert!(read == bytes, "depth {depth}");
        let whole = client.read(1 << 20);
        client.write_all(&bytes);
        assert!(client.answer(whole).payload == bytes, "depth {depth}: one read of a megabyte");
    }
}

#[test]
fn a_short_packet_ends_a_read_and_an_empty_one_is_a_success_of_nothing() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(&[7; 700]);
    assert_eq!(client.read_all(4096), [7; 700]);
    client.write_all(b"");
    assert_eq!(client.read_all(4096), b"");
    let zero_packet = Command::Write { endpoint: None, offset: None, length: 0, zero_packet: true, timeout: None };
    assert_eq!(client.call_with(zero_packet, vec![1; 512]).information, 512);
    assert_eq!(client.read_all(512), [1; 512]);
    assert_eq!(client.read_all(512), b"", "the packet that ends the write");
}

#[test]
fn a_read_of_any_length_loses_nothing_of_a_packet() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let mut client = rig.open();
        let bytes: Vec<u8> = (0..=255).cycle().take(1024 + 100).collect();
        client.write_all(&bytes);
        let reads: Vec<u64> = [1, 600, 11, 4096].into_iter().map(|length| client.read(length)).collect();
        let read: Vec<Vec<u8>> = reads.into_iter().map(|id| client.answer(id).payload.into()).collect();
        assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [1, 600, 11, 512]);
        assert_eq!(read.concat(), bytes);
    }
}

#[test]
fn surplus_of_one_session_is_not_read_by_the_next() {
    let rig = Rig::new(&["loopback"]);
    let mut first = rig.open();
    first.write_all(b"secret");
    assert_eq!(first.read_all(1), b"s");
    first.done(Command::Close {});
    let mut second = rig.open();
    second.write_all(b"new");
    assert_eq!(second.read_all(512), b"new");
}

#[test]
fn a_timeout_hands_over_what_had_come() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    client.write_all(&[9; 512]);
    let answer = client.call(timed_read(2048, 0.05));
    assert_eq!((answer.status, answer.information), (Status::Timeout, 512));
    assert_eq!(answer.payload[..], [9; 512]);
    assert!(answer.message.unwrap().contains("timed out after 0.050 s"));
    client.write_all(b"on");
    assert_eq!(client.read_all(512), b"on", "the pipe goes on");
}

#[test]
fn set_timeout_stands_for_later_requests_and_214_seconds_are_the_most() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let too_long = client.call(Command::SetTimeout { read: Some(215.0), write: None, event: None });
    assert_eq!(too_long.status, Status::InvalidParameter);
    client.done(Command::SetTimeout { read: Some(0.02), write: None, event: Some(214.0) });
    let id = client.read(512);
    assert_eq!(client.answer(id).status, Status::Timeout);
}

#[test]
fn set_timeout_leaves_requests_that_are_pending_as_they_are() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let before = client.send(Command::WaitEvent { endpoint: None, timeout: None });
    client.done(Command::SetTimeout { read: None, write: None, event: Some(0.02) });
    assert_eq!(client.call(Command::WaitEvent { endpoint: None, timeout: None }).status, Status::Timeout);
    assert!(!client.has(before), "that one has 120 seconds");
    press(&mut client, b"now");
    assert_eq!(client.answer(before).payload[..], *b"now");
}

#[test]
fn a_read_of_nothing_succeeds_in_its_turn_and_a_write_of_nothing_is_an_empty_packet() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let (first, nothing) = (client.read(512), client.read(0));
    client.until_pending(&[(first, "in-flight")]);
    assert!(!client.has(nothing));
    client.write_all(b"");
    assert_eq!((client.answer(first).payload.len(), client.answer(nothing).information), (0, 0));
    assert_eq!(client.order.iter().filter(|id| [first, nothing].contains(id)).collect::<Vec<_>>(), [&first, &nothing]);
}

#[test]
fn the_deadline_of_a_read_runs_from_its_turn() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let first = client.send(timed_read(512, 0.3));
    let second = client.send(timed_read(512, 0.3));
    assert_eq!(client.answer(first).status, Status::Timeout);
    client.write_all(b"for the second");
    assert_eq!(client.answer(second).status, Status::Success);
}

#[test]
fn a_control_request_moves_data_both_ways() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let answer = client.done(vendor(COUNT, ControlDirection::In, 5, 4));
    assert_eq!((answer.information, &answer.payload[..]), (4, &[5, 6, 7, 8][..]));
    let refused = client.call(vendor(0x7e, ControlDirection::In, 0, 4));
    assert_eq!(refused.status, Status::Stall);
    assert_eq!(
        client.done(vendor(COUNT, ControlDirection::In, 1, 1)).payload[..],
        [1],
        "control goes on after a refusal"
    );
}

#[test]
fn registers_are_vendor_requests() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let write = |offset| Command::WriteRegisters { offset, index: 1 };
    let read = |offset, index, length| Command::ReadRegisters { offset, index, length };
    // The loopback takes request 04 for several registers only, and 0C for one only.
    assert_eq!(client.call_with(write(16), vec![1, 2, 3]).information, 3);
    assert_eq!(client.call_with(write(17), vec![9]).information, 1);
    assert_eq!(client.done(read(16, 1, 3)).payload[..], [1, 9, 3]);
    assert_eq!(client.done(read(18, 1, 1)).payload[..], [3]);
    assert_eq!(client.done(read(16, 0, 3)).payload[..], [0, 0, 0], "another bank");
    assert_eq!(client.call(read(16, 2, 3)).status, Status::Stall, "there is no such bank");
}

#[test]
fn requests_reserved_for_the_host_are_refused() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let set_configuration = Command::UsbRequest {
        request: 9,
        value: 1,
        index: 0,
        direction: ControlDirection::Out,
        length: 0,
        kind: usbscan_wire::RequestKind::Standard,
        recipient: usbscan_wire::RequestRecipient::Device,
        timeout: None,
    };
    let answer = client.call(set_configuration);
    assert_eq!(answer.status, Status::InvalidParameter);
    assert!(answer.message.unwrap().contains("reserved for the host"));
}

#[test]
fn every_session_that_waits_gets_the_event() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let first = one.send(Command::WaitEvent { endpoint: None, timeout: None });
    let second = one.send(Command::WaitEvent { endpoint: None, timeout: None });
    let other = two.send(Command::WaitEvent { endpoint: None, timeout: None });
    one.until_pending(&[(first, "in-flight"), (second, "in-flight"), (other, "in-flight")]);
    press(&mut one, b"button 1");
    assert_eq!(one.answer(first).payload[..], *b"button 1");
    assert_eq!(two.answer(other).payload[..], *b"button 1");
    press(&mut two, b"button 2");
    assert_eq!(one.answer(second).payload[..], *b"button 2", "the second request waited for the second packet");
}

fn press(client: &mut Client, packet: &[u8]) {
    assert_eq!(client.call_with(vendor_out(EVENT, 0), packet.to_vec()).status, Status::Success);
}

#[test]
fn waiting_for_an_event_times_out() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    assert_eq!(client.call(Command::WaitEvent { endpoint: None, timeout: Some(0.02) }).status, Status::Timeout);
    press(&mut client, b"x");
    assert_eq!(
        client.done(Command::WaitEvent { endpoint: None, timeout: None }).payload[..],
        *b"x",
        "nothing was lost to the timeout"
    );
}

#[test]
fn a_stall_of_the_event_pipe_is_told_to_everybody_who_waits_and_ends_with_a_reset() {
    let rig = Rig::new(&["loopback"]);
    let (mut one, mut two) = (rig.open(), rig.open());
    let (first, second) = (
        one.send(Command::WaitEvent { endpoint: None, timeout: None }),
        two.send(Command::WaitEvent { endpoint: None, timeout: None }),
    );
    one.until_pending(&[(first, "in-flight"), (second, "in-flight")]);
    one.done(vendor_out(HALT, 0x83));
    assert_eq!((one.answer(first).status, two.answer(second).status), (Status::Stall, Status::Stall));
    assert_eq!(two.call(Command::WaitEvent { endpoint: None, timeout: None }).status, Status::Stall);
    two.done(Command::ResetPipe { pipe: Some(usbscan_wire::Pipe::Event), endpoint: None });
    press(&mut one, b"again");
    assert_eq!(one.done(Command::WaitEvent { endpoint: None, timeout: None }).payload[..], *b"again");
}

#[test]
fn a_stall_freezes_the_pipe_until_it_is_reset() {
    for depth in [1, 4] {
        let rig = Rig::depth(depth);
        let mut client = rig.open();
        let reads: Vec<u64> = (0..3).map(|_| client.read(512)).collect();
        client.done(vendor_out(HALT, 0x81));
        for read in &reads {
            let answer = client.answer(*read);
            assert_eq!((answer.status, answer.information), (Status::Stall, 0));
        }
        let refused = client.read(512);
        assert_eq!(client.answer(refused).status, Status::Stall);
        client.done(Command::ResetPipe { pipe: Some(usbscan_wire::Pipe::Read), endpoint: None });
        client.write_all(b"again");
        assert_eq!(client.read_all(512), b"again");
    }
}

#[test]
fn answers_come_in_the_order_in_which_requests_end() {
    let rig = Rig::new(&["loopback"]);
    let mut client = rig.open();
    let reads: Vec<u64> = (0..3).map(|_| client.read(512)).collect();
    let version = client.send(Command::Version {});
    client.answer(version);
    client.done(vendor_out(PATTERN, 2));
    reads.iter().for_each(|read| assert_eq!(client.answer(*read).information, 512));
    let position = |id: u64| client.order.iter().position(|answered| *answered == id).unwrap();
    assert!(position(version) < position(reads[0]));
    assert!(reads.is_sorted_by_key(|read| position(*read)));
}

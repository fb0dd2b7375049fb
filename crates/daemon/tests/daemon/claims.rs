//! Several interfaces in one session: `claim` and `release`, pipes by endpoint, and requests with libusb's plain semantics.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use testkit::rig::{Client, Rig, open};
use usbscan_daemon::Config;
use usbscan_daemon::config::CancelPolicy;
use usbscan_usb::{
    Bus, Direction, EndpointAddress, EndpointDescriptor, Holder, InterfaceDescriptor, InterfaceNumber, Setup,
    SetupKind, TransferType,
};
use usbscan_virtual::{Control, Descriptors, In, Loopback, Model, Out};
use usbscan_wire::{
    AbortReport, AbortStep, Answer, Command, ControlDirection, Faults, HexBytes, Pipe, RequestKind, RequestRecipient,
    Status,
};

/// The scanner's own interface, 0, has 0x81 and 0x02; interface 1 has 0x85 and 0x06, and in its setting 1 0x87, 0x08 and the
/// interrupt endpoint 0x09. What is written to an endpoint comes back, a packet at a time, at the one that is 0x7f ahead;
/// request 0x11 halts the endpoint `wValue`.
struct TwoInterfaces {
    descriptors: Descriptors,
    written: HashMap<u8, VecDeque<Vec<u8>>>,
    halted: Vec<EndpointAddress>,
}

fn bulk(address: u8) -> EndpointDescriptor {
    let address = EndpointAddress(address);
    EndpointDescriptor { address, transfer_type: TransferType::Bulk, max_packet_size: 512, interval: 0 }
}

impl TwoInterfaces {
    fn new() -> TwoInterfaces {
        let mut descriptors = Loopback::with_serial("TWO").descriptors().clone();
        let interrupt = EndpointDescriptor { transfer_type: TransferType::Interrupt, interval: 4, ..bulk(0x09) };
        let setting = |alternate, endpoints| InterfaceDescriptor {
            number: InterfaceNumber(1),
            alternate,
            class: 7,
            subclass: 1,
            protocol: 2,
            string_index: 0,
            endpoints,
        };
        descriptors.configuration.interfaces.push(setting(0, vec![bulk(0x85), bulk(0x06)]));
        descriptors.configuration.interfaces.push(setting(1, vec![bulk(0x87), bulk(0x08), interrupt]));
        TwoInterfaces { descriptors, written: HashMap::new(), halted: Vec::new() }
    }
}

impl Model for TwoInterfaces {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control(&mut self, _now: Instant, setup: Setup, _data: &[u8]) -> Control {
        match (setup.kind(), setup.request, setup.direction()) {
            (SetupKind::Vendor, 0x11, Direction::Out) => {
                self.halted.push(EndpointAddress(setup.value as u8));
                Control::Done(Vec::new())
            }
            _ => Control::Stall,
        }
    }

    fn bulk_out(&mut self, _now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        self.written.entry(endpoint.0 + 0x7f).or_default().push_back(packet.to_vec());
        Out::Ack
    }

    fn bulk_in(&mut self, _now: Instant, endpoint: EndpointAddress, room: &mut [u8]) -> In {
        if self.halted.contains(&endpoint) {
            return In::Stall;
        }
        let Some(packet) = self.written.get_mut(&endpoint.0).and_then(VecDeque::pop_front) else { return In::Nak };
        room[..packet.len()].copy_from_slice(&packet);
        In::Data(packet.len())
    }

    fn clear_halt(&mut self, endpoint: EndpointAddress) {
        self.halted.retain(|halted| *halted != endpoint);
    }
}

/// A daemon with that scanner, and a client that has it open.
fn opened() -> (Rig, Client) {
    opened_with(Config::default())
}

fn opened_with(config: Config) -> (Rig, Client) {
    let rig = Rig::with(config, &[]);
    rig.bus.plug(Box::new(TwoInterfaces::new()));
    let mut client = rig.client();
    client.until_listed("usbscan0");
    client.done(open("usbscan0"));
    (rig, client)
}

fn claim(interface: u8, alternate: Option<u8>) -> Command {
    Command::Claim { interface, alternate }
}

fn release(interface: u8) -> Command {
    Command::Release { interface }
}

fn read(endpoint: u8, length: u32) -> Command {
    let (endpoint, timeout) = (Some(endpoint), Some(f64::INFINITY));
    Command::Read { endpoint, offset: None, length, return_partial: false, timeout }
}

fn write(client: &mut Client, endpoint: u8, bytes: &[u8]) -> Answer {
    let (endpoint, timeout) = (Some(endpoint), Some(5.0));
    let id = client
        .send_with(Command::Write { endpoint, offset: None, length: 0, zero_packet: false, timeout }, bytes.to_vec());
    client.answer(id)
}

fn halt(endpoint: u8) -> Command {
    Command::UsbRequest {
        request: 0x11,
        value: endpoint.into(),
        index: 0,
        direction: ControlDirection::Out,
        length: 0,
        kind: RequestKind::Vendor,
        recipient: RequestRecipient::Device,
        timeout: Some(5.0),
    }
}

/// What is written to the first comes back from the second.
fn assert_echo(client: &mut Client, out: u8, bytes: &[u8]) {
    assert_eq!(write(client, out, bytes).status, Status::Success, "{out:02x}");
    assert_eq!(client.done(read(out + 0x7f, 512)).payload[..], *bytes);
}

#[test]
fn endpoints_of_a_claimed_interface_are_used_by_address_and_those_of_others_are_not_found() {
    let (_rig, mut client) = opened();
    assert_echo(&mut client, 0x02, b"own");
    assert_eq!(client.call(read(0x85, 1)).status, Status::NotFound);
    client.done(claim(1, None));
    assert_echo(&mut client, 0x06, b"claimed");
    assert_echo(&mut client, 0x02, b"own still");
    // One that is there in another setting; the wrong direction; none.
    for endpoint in [0x87, 0x06, 0x8f, 0x00] {
        assert_eq!(client.call(read(endpoint, 1)).status, Status::NotFound, "{endpoint:02x}");
    }
    client.done(release(1));
    assert_eq!(client.call(read(0x85, 1)).status, Status::NotFound);
    assert_eq!(client.call(release(1)).status, Status::NotFound);
}

#[test]
fn an_interface_or_a_setting_that_the_device_has_not_is_refused() {
    let (_rig, mut client) = opened();
    assert_eq!(client.call(claim(2, None)).status, Status::InvalidParameter);
    assert_eq!(client.call(claim(1, Some(2))).status, Status::InvalidParameter);
    let mut nothing_open = _rig.client();
    assert_eq!(nothing_open.call(claim(1, None)).status, Status::NotFound);
}

#[test]
fn a_session_chooses_the_setting_of_an_interface_that_it_has_and_its_pipes_change() {
    let (_rig, mut client) = opened();
    for _ in 0..3 {
        client.done(claim(1, Some(1)));
        assert_echo(&mut client, 0x08, b"one");
        assert_eq!(write(&mut client, 0x09, b"interrupt").status, Status::Success);
        assert_eq!(client.call(read(0x85, 1)).status, Status::NotFound);
        client.done(claim(1, Some(0)));
        assert_echo(&mut client, 0x06, b"zero");
    }
    // Not while something is pending there.
    let pending = client.send(read(0x85, 1));
    assert_eq!(client.call(claim(1, Some(1))).status, Status::Busy);
    client.done(Command::CancelRequest { request: pending, session: None });
    assert_eq!(client.answer(pending).status, Status::Cancelled);
    client.done(claim(1, Some(1)));
}

#[test]
fn two_sessions_may_have_an_interface_in_one_setting_and_neither_changes_it_under_the_other() {
    let (rig, mut one) = opened();
    let mut two = rig.client();
    two.done(open("usbscan0"));
    one.done(claim(1, Some(1)));
    two.done(claim(1, None));
    assert_echo(&mut two, 0x08, b"two");
    let refused = two.call(claim(1, Some(0)));
    assert_eq!(refused.status, Status::Busy);
    assert!(refused.message.as_deref().is_some_and(|words| words.contains("interface 1")), "{refused:?}");
    // The scanner's own interface belongs to all who have it open.
    assert_eq!(two.call(claim(0, Some(0))).status, Status::Success, "the setting that it is in");
    one.done(release(1));
    two.done(claim(1, Some(0)));
    assert_echo(&mut two, 0x06, b"alone");
}

#[test]
fn an_interface_that_nobody_has_any_more_is_free_for_other_programs() {
    let (rig, mut client) = opened();
    let location = rig.bus.list().expect("a list")[0].location.clone();
    let holder = || Some(Holder::Program { pid: 4711, name: "cupsd".to_owned() });
    client.done(claim(1, Some(1)));
    client.done(release(1));
    rig.bus.set_holder(&location, InterfaceNumber(1), holder());
    let refused = client.call(claim(1, None));
    assert_eq!(refused.status, Status::Busy);
    assert!(refused.message.as_deref().is_some_and(|words| words.contains("cupsd")), "{refused:?}");
    rig.bus.set_holder(&location, InterfaceNumber(1), None);
    client.done(claim(1, None));
    assert_echo(&mut client, 0x06, b"in its first setting again");
    // And when its session dies.
    drop(client);
    rig.bus.set_holder(&location, InterfaceNumber(1), holder());
    let mut next = rig.client();
    next.done(open("usbscan0"));
    assert_eq!(next.call(claim(1, None)).status, Status::Busy);
}

#[test]
fn cancels_and_resets_reach_the_pipes_of_claimed_interfaces() {
    let (_rig, mut client) = opened();
    client.done(claim(1, None));
    let cancels = [
        Command::CancelSession { session: None },
        Command::CancelPipe { pipe: None, endpoint: Some(0x85), device: None },
        Command::CancelPipe { pipe: Some(Pipe::All), endpoint: None, device: Some("usbscan0".to_owned()) },
        Command::ResetPipe { pipe: None, endpoint: Some(0x85) },
        Command::ResetPipe { pipe: Some(Pipe::All), endpoint: None },
        Command::CancelPending { device: None },
    ];
    for cancel in cancels {
        let (pending, cancelling) = (client.send(read(0x85, 512)), client.send(cancel.clone()));
        assert_eq!(client.answer(pending).status, Status::Cancelled, "{cancel:?}");
        assert_eq!(client.answer(cancelling).status, Status::Success, "{cancel:?}");
    }
    // A release ends what is pending there.
    let (pending, releasing) = (client.send(read(0x85, 512)), client.send(release(1)));
    assert_eq!(client.answer(pending).status, Status::Cancelled);
    assert_eq!(client.answer(releasing).status, Status::Success);
}

#[test]
fn a_pipe_is_named_by_its_role_or_by_its_endpoint_and_not_by_both() {
    let (_rig, mut client) = opened();
    for (pipe, endpoint) in [(None, None), (Some(Pipe::Read), Some(0x81))] {
        for command in [Command::ResetPipe { pipe, endpoint }, Command::CancelPipe { pipe, endpoint, device: None }] {
            assert_eq!(client.call(command.clone()).status, Status::InvalidParameter, "{command:?}");
        }
    }
    let none = Command::ResetPipe { pipe: None, endpoint: Some(0x85) };
    assert_eq!(client.call(none).status, Status::NotFound, "it has not claimed that");
}

#[test]
fn the_steps_that_a_dead_session_leaves_run_on_its_claimed_endpoints() {
    let (rig, mut client) = opened();
    client.done(claim(1, None));
    let step = AbortStep::Write { endpoint: Some(0x06), bytes: HexBytes(b"sorry".to_vec()), timeout: 1000 };
    client.done(Command::ArmAbort { steps: vec![step.clone()], settle: None });
    let foreign = AbortStep::Drain { endpoint: Some(0x87), quiet: 10, timeout: 100 };
    assert_eq!(client.call(Command::ArmAbort { steps: vec![foreign], settle: None }).status, Status::InvalidParameter);
    drop(client);
    let mut next = rig.client();
    next.done(open("usbscan0"));
    next.done(claim(1, None));
    assert_eq!(next.done(read(0x85, 512)).payload[..], *b"sorry");
}

#[test]
fn an_answer_that_comes_before_the_expected_one_on_a_claimed_endpoint_is_thrown_away() {
    let (_rig, mut client) = opened();
    client.done(claim(1, None));
    let steps = vec![
        AbortStep::Write { endpoint: Some(0x06), bytes: HexBytes(b"there".to_vec()), timeout: 1000 },
        AbortStep::Read { endpoint: Some(0x85), length: 512, timeout: 10_000, expect: HexBytes(b"there".to_vec()) },
    ];
    client.done(Command::ArmAbort { steps, settle: Some(30_000) });
    for _ in 0..3 {
        assert_eq!(write(&mut client, 0x06, b"of the job").status, Status::Success);
    }
    let report: AbortReport = client.done(Command::CancelPending { device: None }).body().expect("a report");
    assert_eq!((&*report.method, report.verified, report.failed_step), ("armed", true, None));
}

#[test]
fn bytes_that_a_dead_session_left_on_a_claimed_endpoint_are_not_for_the_next() {
    let (rig, mut client) = opened();
    client.done(claim(1, None));
    assert_eq!(write(&mut client, 0x06, b"of the dead").status, Status::Success);
    drop(client);
    let mut next = rig.client();
    next.done(open("usbscan0"));
    next.done(claim(1, None));
    assert_echo(&mut next, 0x06, b"of the next");
}

/// A client that takes faults as libusb tells them.
fn plain(rig: &Rig) -> Client {
    plain_as(rig, Some(1000))
}

fn plain_as(rig: &Rig, user: Option<u32>) -> Client {
    let mut client = rig.client_as(user);
    let (device, faults) = ("usbscan0".to_owned(), Faults::Pass);
    client.done(Command::Open { device, event: None, read: None, write: None, interface: None, faults });
    client.done(claim(0, None));
    client
}

#[test]
fn to_a_plain_session_each_fault_is_told_and_freezes_nothing() {
    let (rig, mut other) = opened();
    other.done(Command::Close {});
    let mut client = plain(&rig);
    client.done(halt(0x81));
    for _ in 0..3 {
        assert_eq!(client.call(read(0x81, 512)).status, Status::Stall, "the device's own answer, each time");
    }
    client.done(Command::ResetPipe { pipe: None, endpoint: Some(0x81) });
    assert_echo(&mut client, 0x02, b"on");
}

#[test]
fn a_plain_read_asks_for_exactly_its_bytes_and_a_longer_packet_is_an_overrun() {
    let (rig, mut other) = opened();
    other.done(Command::Close {});
    let mut client = plain(&rig);
    assert_eq!(write(&mut client, 0x02, &[7; 100]).status, Status::Success);
    assert_eq!(client.call(read(0x81, 60)).status, Status::Overrun);
    assert_echo(&mut client, 0x02, b"nothing of it is left over");
}

#[test]
fn somebodys_cancel_ends_a_plain_sessions_job_until_it_releases() {
    let (rig, mut other) = opened();
    let mut client = plain(&rig);
    assert_echo(&mut client, 0x02, b"before");
    other.done(Command::CancelPending { device: None });
    assert_eq!(write(&mut client, 0x02, b"late").status, Status::Cancelled);
    assert_eq!(client.call(read(0x81, 1)).status, Status::Cancelled);
    client.done(release(0));
    client.done(claim(0, None));
    assert_echo(&mut client, 0x02, b"after");
}

// ---- of somebody else

fn lock() -> Command {
    Command::Lock { wait: false, if_unused: false }
}

fn cancel_pending() -> Command {
    Command::CancelPending { device: Some("usbscan0".to_owned()) }
}

#[test]
fn a_job_that_only_claims_interfaces_is_its_users_where_only_he_may_cancel() {
    let (rig, mut opener) = opened_with(Config { cancel: CancelPolicy::SameUser, ..Config::default() });
    opener.done(Command::Close {});
    // Nothing is pending, nothing armed, and nobody has the lock.
    let mut alice = plain_as(&rig, Some(1000));
    for other in [Some(1001), None] {
        let mut other = rig.client_as(other);
        other.done(open("usbscan0"));
        let reset = Command::ResetDevice { device: Some("usbscan0".to_owned()) };
        for command in [cancel_pending(), reset, Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None }] {
            let refused = other.call(command.clone());
            assert_eq!(refused.status, Status::AccessDenied, "{command:?}");
            assert!(refused.message.as_deref().is_some_and(|words| words.contains("claim")), "{refused:?}");
        }
    }
    assert_echo(&mut alice, 0x02, b"untouched");
    rig.client_as(Some(1000)).done(cancel_pending());
    assert_eq!(write(&mut alice, 0x02, b"late").status, Status::Cancelled);
    alice.done(release(0));
    // Without a claim there is no job, and anybody may.
    rig.client_as(Some(1001)).done(cancel_pending());
    alice.done(claim(0, None));
    assert_echo(&mut alice, 0x02, b"after");
}

#[test]
fn a_session_that_only_claims_dies_and_the_lock_and_the_bytes_of_another_stay_as_they_are() {
    let (rig, mut holder) = opened();
    let mut claims = rig.client();
    claims.done(open("usbscan0"));
    claims.done(claim(1, Some(1)));
    holder.done(lock());
    let pending = holder.send(read(0x81, 512));
    holder.until_pending(&[(pending, "in-flight")]);
    drop(claims);
    holder.until_sessions(1);
    assert_eq!(write(&mut holder, 0x02, b"untouched").status, Status::Success);
    assert_eq!(holder.answer(pending).payload[..], *b"untouched");
    // Its interface is as it left it, until the lock is free.
    holder.done(claim(1, None));
    assert_echo(&mut holder, 0x08, b"in setting 1 still");
}

#[test]
fn while_another_has_the_lock_no_setting_is_changed_and_no_interface_given_back() {
    let (rig, mut holder) = opened();
    let location = rig.bus.list().expect("a list")[0].location.clone();
    let mut other = rig.client();
    other.done(open("usbscan0"));
    other.done(claim(1, None));
    holder.done(lock());
    assert_eq!(other.call(claim(1, Some(1))).status, Status::Busy);
    other.done(release(1));
    rig.bus.set_holder(&location, InterfaceNumber(1), Some(Holder::Program { pid: 4711, name: "cupsd".to_owned() }));
    // It is not free for the other program.
    other.done(claim(1, None));
    other.done(release(1));
    holder.done(Command::Unlock {});
    other.until(|other| match other.call(claim(1, None)).status {
        Status::Busy => Ok(()),
        status => {
            other.call(release(1));
            Err(format!("{status:?}"))
        }
    });
}

#[test]
fn a_claim_that_fails_leaves_the_interface_to_other_programs() {
    let (rig, mut holder) = opened();
    let location = rig.bus.list().expect("a list")[0].location.clone();
    let mut other = rig.client();
    other.done(open("usbscan0"));
    holder.done(lock());
    assert_eq!(other.call(claim(1, Some(1))).status, Status::Busy, "its setting would change");
    holder.done(Command::Unlock {});
    rig.bus.set_holder(&location, InterfaceNumber(1), Some(Holder::Program { pid: 4711, name: "cupsd".to_owned() }));
    other.until(|other| match other.call(claim(1, None)).message {
        Some(words) if words.contains("cupsd") => Ok(()),
        given => {
            other.call(release(1));
            Err(format!("{given:?}"))
        }
    });
}

#[test]
fn an_interface_in_a_setting_that_another_has_chosen_is_not_opened_in_it() {
    let (rig, mut one) = opened();
    one.done(claim(1, Some(1)));
    let open_1 = || Command::Open {
        device: "usbscan0".to_owned(),
        event: None,
        read: None,
        write: None,
        interface: Some(1),
        faults: Faults::Freeze,
    };
    let mut two = rig.client();
    let refused = two.call(open_1());
    assert_eq!(refused.status, Status::Busy, "{refused:?}");
    one.done(release(1));
    two.done(open_1());
    assert_echo(&mut two, 0x06, b"in its own setting");
}

#[test]
fn requests_to_an_endpoint_reach_none_of_an_interface_that_another_session_has() {
    let (rig, mut one) = opened();
    one.done(claim(1, None));
    let mut two = rig.client();
    two.done(open("usbscan0"));
    let to = |kind, endpoint| Command::UsbRequest {
        request: 0x21,
        value: 0,
        index: endpoint,
        direction: ControlDirection::Out,
        length: 0,
        kind,
        recipient: RequestRecipient::Endpoint,
        timeout: Some(5.0),
    };
    for kind in [RequestKind::Class, RequestKind::Vendor] {
        for (endpoint, of_two) in [(0x85, Status::InvalidParameter), (0x81, Status::Stall), (0, Status::Stall)] {
            assert_eq!(one.call(to(kind, endpoint)).status, Status::Stall, "the device's own answer");
            assert_eq!(two.call(to(kind, endpoint)).status, of_two, "{kind:?} {endpoint:02x}");
        }
    }
    let step = |index| AbortStep::Control {
        kind: RequestKind::Class,
        recipient: RequestRecipient::Endpoint,
        direction: ControlDirection::Out,
        request: 0x21,
        value: 0,
        index,
        bytes: HexBytes(Vec::new()),
        length: 0,
        timeout: 1000,
    };
    let arm = |index| Command::ArmAbort { steps: vec![step(index)], settle: None };
    assert_eq!(two.call(arm(0x85)).status, Status::InvalidParameter);
    two.done(arm(0x81));
}

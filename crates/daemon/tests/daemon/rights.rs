//! Whether one program can harm another: every command of the protocol, asked by the session whose job is under way, by another
//! session of the same user, by another user, and by another user where the job has no lock, with either value of `cancel`.

use std::collections::BTreeSet;

use testkit::rig::{COUNT, Client, Rig, open, vendor};
use usbscan_daemon::Config;
use usbscan_daemon::config::CancelPolicy;
use usbscan_wire::{AbortStep, Command, ControlDirection, EventName, OpenBody, Pipe, Status};

use CancelPolicy::{Anyone, SameUser};
use Right::{Busy, Cancels, Denied, Done, EndsJob, Invalid, NotFound, Shares, TimesOut, Waits};

const ALICE: Option<u32> = Some(1000);
const BOB: Option<u32> = Some(1001);
const ROOT: Option<u32> = Some(0);
const NOTE: &str = "the job of Alice";

/// What becomes of a command, and of the job of Alice: a read in flight, an abort sequence, a note, and perhaps the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// It succeeds, and her job goes on. So it does after all that are refused, by the names of their statuses.
    Done,
    Busy,
    Denied,
    Invalid,
    NotFound,
    TimesOut,
    /// It waits in line behind her read, and her job goes on.
    Waits,
    /// It succeeds and cancels her read; the job and the lock stay hers.
    Cancels,
    /// It succeeds and ends her job, and her lock.
    EndsJob,
    /// It succeeds and moves bytes of the scanner that nobody has locked, which her read gets.
    Shares,
}

/// A command, what has to come before it, and its right: of Alice; of another session of hers, and of Bob with both values of
/// `cancel`, while she has the lock; of Bob with both while nobody has.
struct Row {
    before: Vec<Command>,
    command: Command,
    right: [Right; 6],
}

fn device() -> Option<String> {
    Some("usbscan0".to_owned())
}

fn control_in(request: u8) -> Command {
    vendor(request, ControlDirection::In, 0, 1)
}

/// `alice` is the number of her session, `read` that of her request.
fn rows(alice: u64, read: u64) -> Vec<Row> {
    let all = |right| [right; 6];
    // What needs the scanner's pipes.
    let pipes = [Done, Busy, Busy, Busy, Done, Done];
    // What cancels, where it may.
    let cancels = |own, other| [own, other, other, Denied, other, Denied];
    let row = |command, right| Row { before: Vec::new(), command, right };
    let after = |before: Command, command, right| Row { before: vec![before], command, right };
    let claim = |alternate| Command::Claim { interface: 0, alternate };
    let capture = || Command::Capture { device: "usbscan0".to_owned() };
    let session = Some(alice);
    let write = || Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout: None };
    let soon = Some(0.01);
    vec![
        row(Command::Version {}, all(Done)),
        row(Command::List { device: None, descriptors: true }, all(Done)),
        row(Command::Status { device: None }, all(Done)),
        row(Command::EsclQuirks { model: None }, all(Done)),
        after(Command::Close {}, open("usbscan0"), [Done; 6]),
        row(claim(None), all(Done)),
        // In a setting that it is in already; another one can't be chosen, nor the same anew, while two have the interface.
        row(claim(Some(0)), all(Done)),
        after(claim(None), claim(Some(0)), [Done, Busy, Busy, Busy, Busy, Busy]),
        after(claim(None), Command::Release { interface: 0 }, all(Done)),
        row(Command::Close {}, all(Done)),
        row(Command::ShareMemory { length: 4096 }, all(Done)),
        row(
            Command::Read { endpoint: None, offset: None, length: 1, return_partial: false, timeout: soon },
            [TimesOut, Busy, Busy, Busy, Waits, Waits],
        ),
        row(write(), [Done, Busy, Busy, Busy, Shares, Shares]),
        row(Command::WaitEvent { endpoint: None, timeout: soon }, all(TimesOut)),
        row(control_in(COUNT), pipes),
        row(Command::ReadRegisters { offset: 16, index: 1, length: 2 }, pipes),
        row(Command::WriteRegisters { offset: 16, index: 1 }, pipes),
        row(Command::ChannelSizes {}, all(Done)),
        row(Command::PipeConfiguration {}, all(Done)),
        row(Command::DeviceDescriptor {}, all(Done)),
        row(Command::UsbDescriptor { descriptor_type: 1, index: 0, language: 0 }, pipes),
        row(Command::SetTimeout { read: soon, write: soon, event: soon }, all(Done)),
        row(Command::ResetPipe { pipe: Some(Pipe::Read), endpoint: None }, [Done, Busy, Busy, Busy, Cancels, Denied]),
        row(Command::ResetDevice { device: device() }, cancels(Done, EndsJob)),
        row(Command::CancelRequest { request: read, session }, cancels(NotFound, Cancels)),
        row(Command::CancelSession { session }, cancels(Done, Cancels)),
        row(Command::CancelPipe { pipe: Some(Pipe::Read), endpoint: None, device: device() }, cancels(Done, Cancels)),
        row(Command::CancelPending { device: device() }, cancels(Done, EndsJob)),
        // Also where nobody has the lock: her note is about her job.
        row(Command::SetNote { note: "the job of Bob".to_owned() }, [Done, Busy, Busy, Busy, Busy, Busy]),
        row(Command::Lock { wait: false, if_unused: false }, [Done, Busy, Busy, Busy, Busy, Busy]),
        row(Command::Unlock {}, [Invalid, NotFound, NotFound, NotFound, NotFound, NotFound]),
        row(Command::ArmAbort { steps: steps(), settle: None }, pipes),
        row(Command::DisarmAbort {}, all(Done)),
        row(capture(), all(Done)),
        after(capture(), Command::StopCapture {}, all(Done)),
        // What follows the beginning: the end, or it would wait for something to be recorded.
        Row { before: vec![capture(), Command::StopCapture {}], command: Command::ReadCapture {}, right: all(Done) },
        row(Command::Subscribe { events: vec![EventName::CancelIo] }, all(Done)),
    ]
}

fn steps() -> Vec<AbortStep> {
    vec![AbortStep::Drain { endpoint: None, quiet: 10, timeout: 1000 }]
}

/// Who asks, the value of `cancel`, and whether Alice has the lock; in the order of the rights.
const ASKED: [(Option<u32>, CancelPolicy, bool); 6] = [
    (ALICE, SameUser, true),
    (ALICE, SameUser, true),
    (BOB, Anyone, true),
    (BOB, SameUser, true),
    (BOB, Anyone, false),
    (BOB, SameUser, false),
];

fn job(policy: CancelPolicy, locked: bool) -> (Rig, Client) {
    let rig = Rig::with(Config { cancel: policy, ..Config::default() }, &["loopback"]);
    let mut alice = rig.client_as(ALICE);
    alice.open("usbscan0");
    if locked {
        alice.done(Command::Lock { wait: false, if_unused: false });
    }
    alice.done(Command::ArmAbort { steps: steps(), settle: None });
    alice.done(Command::SetNote { note: NOTE.to_owned() });
    (rig, alice)
}

fn payload(command: &Command) -> Vec<u8> {
    match command {
        Command::Write { .. } => b"of Bob".to_vec(),
        Command::WriteRegisters { .. } => vec![1, 2],
        _ => Vec::new(),
    }
}

fn ask(client: &mut Client, row: &Row) -> u64 {
    row.before.iter().for_each(|before| drop(client.done(before.clone())));
    client.send_with(row.command.clone(), payload(&row.command))
}

fn status(right: Right) -> Status {
    match right {
        Busy => Status::Busy,
        Denied => Status::AccessDenied,
        Invalid => Status::InvalidParameter,
        NotFound => Status::NotFound,
        TimesOut => Status::Timeout,
        Done | Waits | Cancels | EndsJob | Shares => Status::Success,
    }
}

/// Whether her job is as the right says.
fn check(rig: &Rig, alice: &mut Client, read: u64, right: Right, locked: bool, context: &str) {
    let mut root = rig.client_as(ROOT);
    let sessions = root.status().sessions;
    let of_alice = sessions.iter().find(|session| session.peer.session == alice.session).expect("she has it open");
    assert_eq!(of_alice.locked, locked && right != EndsJob, "{context}");
    let note = root.done(open("usbscan0")).body::<OpenBody>().expect("a body").note;
    assert_eq!(note.as_deref(), Some(NOTE), "{context}");
    match right {
        Cancels => {
            assert_eq!(alice.answer(read).status, Status::Cancelled, "{context}");
            let again = alice.read(9);
            alice.write_all(b"untouched");
            assert_eq!(alice.answer(again).payload[..], *b"untouched", "{context}");
        }
        EndsJob => {
            let (again, said) = (alice.read(9), alice.answer(read).status);
            assert_eq!((said, alice.answer(again).status), (Status::Cancelled, Status::Cancelled), "{context}");
        }
        Shares => assert_eq!(alice.answer(read).payload[..], *b"of Bob", "{context}"),
        _ => {
            assert!(of_alice.armed, "{context}");
            alice.write_all(b"untouched");
            assert_eq!(alice.answer(read).payload[..], *b"untouched", "{context}");
        }
    }
}

/// One cell of the table.
fn ask_one(at: usize, column: usize) {
    let (user, policy, locked) = ASKED[column];
    let (rig, mut alice) = job(policy, locked);
    if column == 0 {
        let row = rows(alice.session, u64::MAX).swap_remove(at);
        // It has the scanner open.
        if row.command.name() == "open" {
            return;
        }
        let id = ask(&mut alice, &row);
        let answer = alice.answer(id);
        return assert_eq!(answer.status, status(row.right[0]), "{}: {:?}", row.command.name(), answer.message);
    }
    let read = alice.read(9);
    let mut other = rig.client_as(user);
    other.open("usbscan0");
    other.until_pending(&[(read, "in-flight")]);
    let row = rows(alice.session, read).swap_remove(at);
    let right = row.right[column];
    let context = format!("{} of {user:?}, {policy:?}, locked: {locked}", row.command.name());
    let id = ask(&mut other, &row);
    if right == Waits {
        other.until_pending(&[(id, "queued")]);
    } else {
        let answer = other.answer(id);
        assert_eq!(answer.status, status(right), "{context}: {:?}", answer.message);
    }
    check(&rig, &mut alice, read, right, locked, &context);
}

#[test]
fn every_command_does_what_its_asker_may_and_no_more_to_the_job_of_another() {
    std::thread::scope(|scope| {
        for column in 0..ASKED.len() {
            scope.spawn(move || (0..rows(0, 0).len()).for_each(|at| ask_one(at, column)));
        }
    });
}

#[test]
fn the_table_of_rights_has_every_command_there_is() {
    let rig = Rig::new(&[]);
    let mut client = rig.client();
    client.send_raw(b"{\"id\":1,\"command\":\"everything\"}\n");
    let message = client.answer(1).message.expect("the daemon says which there are");
    let (_, known) = message.split_once("there are: ").expect("their names");
    let known: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
    let decided: BTreeSet<String> = rows(0, 0).iter().map(|row| row.command.name().to_owned()).collect();
    assert_eq!(decided, known);
}

// ---- what is no command

/// Something of a session that has left no sequence.
fn write(client: &mut Client) {
    client.write_all(b"half a command");
    assert_eq!(client.read_all(14), b"half a command");
}

#[test]
fn with_same_user_the_death_of_a_job_ends_nothing_of_another_user() {
    let (rig, mut alice) = job(SameUser, false);
    let read = alice.read(9);
    alice.until_pending(&[(read, "in-flight")]);
    let mut bob = rig.client_as(BOB);
    bob.open("usbscan0");
    bob.done(Command::ArmAbort { steps: steps(), settle: None });
    drop(bob);
    alice.until_sessions(1);
    check(&rig, &mut alice, read, Done, false, "a sequence that another user has left");
    // The same user's own, and by default anybody's, runs.
    for (policy, user) in [(SameUser, ALICE), (Anyone, BOB)] {
        let (rig, mut alice) = job(policy, false);
        let read = alice.read(9);
        alice.until_pending(&[(read, "in-flight")]);
        let mut other = rig.client_as(user);
        other.open("usbscan0");
        other.done(Command::ArmAbort { steps: steps(), settle: None });
        drop(other);
        check(&rig, &mut alice, read, EndsJob, false, "a sequence that runs");
    }
}

#[test]
fn a_session_that_dies_without_a_sequence_leaves_a_job_that_another_has_armed_alone() {
    for policy in [Anyone, SameUser] {
        let (rig, mut alice) = job(policy, false);
        let mut bob = rig.client_as(BOB);
        bob.open("usbscan0");
        write(&mut bob);
        drop(bob);
        alice.until_sessions(1);
        let read = alice.read(9);
        check(&rig, &mut alice, read, Done, false, "a death in the middle of nothing that anybody knows");
    }
}

#[test]
fn a_program_that_was_cancelled_leaves_no_note_until_it_knows() {
    for locked in [true, false] {
        let (rig, mut alice) = job(Anyone, locked);
        rig.client_as(BOB).done(Command::CancelPending { device: device() });
        let late = || Command::SetNote { note: "late".to_owned() };
        assert_eq!(alice.call(late()).status, Status::Cancelled);
        alice.done(Command::DisarmAbort {});
        if locked {
            alice.done(Command::Lock { wait: false, if_unused: false });
        }
        alice.done(late());
    }
}

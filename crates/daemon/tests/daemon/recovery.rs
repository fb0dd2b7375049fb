//! The recovery ladder, rung by rung: what is done to a scanner after a cancel or in place of a program that died, what is
//! not done, and what anybody sees of it. No test measures a time: clocks are configured, and resets are held.

use std::sync::atomic::Ordering;
use std::time::Duration;

use testkit::rig::{Client, DEADLINE, EVENT, vendor, vendor_out};
use usbscan_daemon::Config;
use usbscan_daemon::config::RecoveryTimes;
use usbscan_daemon::quirks::{ResetPolicy, Table};
use usbscan_usb::InterfaceNumber;
use usbscan_virtual::Descriptors;
use usbscan_wire::{
    AbortReport, AbortStep, Answer, Command, ControlDirection, Event, EventName, FromDaemon, HexBytes, ListBody,
    Status, StatusBody,
};

use super::recovery_bus::{Bench, Reset};

const SOON: Duration = Duration::from_millis(20);
/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(3600);

/// A question that the loopback answers, if it is not silent.
fn verifying() -> Vec<AbortStep> {
    vec![
        AbortStep::Drain { endpoint: None, quiet: 10, timeout: 1000 },
        AbortStep::Write { endpoint: None, bytes: HexBytes(b"are you there".to_vec()), timeout: 1000 },
        AbortStep::Read { endpoint: None, length: 64, timeout: 300, expect: HexBytes(b"there".to_vec()) },
    ]
}

fn arm(client: &mut Client, settle: Option<u32>) {
    client.done(Command::ArmAbort { steps: verifying(), settle });
}

/// Silence counts at once.
fn quick() -> Config {
    let recovery = RecoveryTimes { settle: SOON, start_up: SOON, return_to_port: DEADLINE, ..RecoveryTimes::default() };
    Config { recovery, ..Config::default() }
}

fn report(answer: &Answer) -> AbortReport {
    answer.body().expect("a report")
}

fn cancel_pending() -> Command {
    Command::CancelPending { device: Some("usbscan0".to_owned()) }
}

fn works(client: &mut Client) {
    client.write_all(b"the next page");
    assert_eq!(client.read_all(512), b"the next page");
}

fn is_listed(client: &mut Client) -> usize {
    let list: ListBody = client.done(Command::List { device: None, descriptors: false }).body().expect("a list");
    list.devices.len()
}

// ---- the first rungs

#[test]
fn a_sequence_whose_end_is_answered_is_verified_and_nothing_is_reset() {
    let bench = Bench::new(Reset::Stays);
    let mut client = bench.open();
    arm(&mut client, None);
    let report = report(&client.done(cancel_pending()));
    assert_eq!((&*report.method, report.verified, report.failed_step), ("armed", true, None));
    assert_eq!(bench.hand.resets(), 0);
    works(&mut client);
}

#[test]
fn without_a_sequence_quiet_is_unverified_and_nothing_is_reset() {
    let bench = Bench::new(Reset::Stays);
    let mut client = bench.open();
    let report = report(&client.done(cancel_pending()));
    assert_eq!((&*report.method, report.verified, report.failed_step), ("class", false, None));
    assert_eq!(bench.hand.resets(), 0);
}

#[test]
fn an_answer_that_comes_late_but_within_the_settle_time_prevents_the_reset() {
    let bench = Bench::new(Reset::Stays);
    let (mut client, mut other) = (bench.open(), bench.client());
    arm(&mut client, Some(30_000));
    bench.hand.fall_silent();
    let cancel = client.send(cancel_pending());
    // It has asked, and nothing came.
    other.until(|other| match other.status().recovery {
        Some(recovery) if recovery.rung == "abort-sequence" && recovery.age_ms > 400 => Ok(()),
        recovery => Err(format!("{recovery:?}")),
    });
    bench.hand.silent.store(false, Ordering::SeqCst);
    let report = report(&client.answer(cancel));
    assert_eq!((&*report.method, report.verified, report.failed_step), ("armed", true, None));
    assert_eq!(bench.hand.resets(), 0);
}

// ---- the port reset

#[test]
fn a_silent_scanner_is_reset_and_shows_that_it_is_idle() {
    let bench = Bench::with(Reset::Stays, quick(), |_| ());
    let (mut client, mut other) = (bench.open(), bench.open());
    arm(&mut client, None);
    bench.hand.fall_silent();
    let read = client.read(512);
    client.until_pending(&[(read, "in-flight")]);
    let report = report(&other.done(cancel_pending()));
    assert_eq!((&*report.method, report.verified, report.failed_step), ("port-reset", true, None));
    assert_eq!(bench.hand.resets(), 1);
    assert_eq!(client.answer(read).status, Status::Cancelled);
    client.done(Command::DisarmAbort {});
    works(&mut client);
}

#[test]
fn a_silent_scanner_whose_program_died_is_reset_before_anybody_else_has_it() {
    let bench = Bench::with(Reset::Stays, quick(), |_| ());
    let mut client = bench.open();
    arm(&mut client, None);
    bench.hand.fall_silent();
    let _never_answered = client.read(512);
    drop(client);
    let mut next = bench.open();
    assert_eq!(bench.hand.resets(), 1);
    works(&mut next);
}

#[test]
fn without_a_sequence_a_request_that_was_silent_for_longer_than_the_settle_time_is_followed_by_a_reset() {
    let bench = Bench::with(Reset::Stays, quick(), |_| ());
    let (mut client, mut other) = (bench.open(), bench.client());
    bench.hand.fall_silent();
    let read = client.read(512);
    other.until(|other| {
        let pipes = other.status().pipes;
        match pipes.iter().flat_map(|pipe| &pipe.pending).any(|request| request.age_ms > 100) {
            true => Ok(()),
            false => Err(format!("{pipes:?}")),
        }
    });
    let report = report(&other.done(cancel_pending()));
    assert_eq!((&*report.method, report.verified, report.failed_step), ("port-reset", false, None));
    assert_eq!(client.answer(read).status, Status::Cancelled);
    works(&mut client);
}

#[test]
fn a_model_may_be_reset_after_every_job_that_left_no_sequence() {
    let config = Config { reset: ResetPolicy::AfterJob, ..Config::default() };
    let bench = Bench::with(Reset::Stays, config, |_| ());
    let mut client = bench.open();
    client.write_all(b"in the middle");
    drop(client);
    let mut next = bench.open();
    assert_eq!(bench.hand.resets(), 1);
    works(&mut next);
}

#[test]
fn waits_for_events_outlive_a_port_reset() {
    for reset in [Reset::Stays, Reset::Moves] {
        let bench = Bench::with(reset, quick(), |_| ());
        let (mut client, mut watch) = (bench.open(), bench.open());
        let wait = watch.send(Command::WaitEvent { endpoint: None, timeout: None });
        watch.until_pending(&[(wait, "in-flight")]);
        arm(&mut client, None);
        bench.hand.fall_silent();
        let _never_answered = client.read(512);
        drop(client);
        let mut next = bench.open();
        assert_eq!(bench.hand.resets(), 1);
        next.call_with(vendor_out(EVENT, 0), b"a button".to_vec());
        assert_eq!(watch.answer(wait).payload.to_vec(), b"a button", "{reset:?}");
    }
}

#[test]
fn alternate_settings_are_chosen_again_after_a_port_reset() {
    fn in_setting_1(descriptors: &mut Descriptors) {
        let interfaces = &mut descriptors.configuration.interfaces;
        let mut first = interfaces[0].clone();
        (first.class, first.endpoints) = (0xff, Vec::new());
        interfaces[0].alternate = 1;
        interfaces.insert(0, first);
    }
    for reset in [Reset::Stays, Reset::Moves] {
        let bench = Bench::with(reset, quick(), in_setting_1);
        let mut client = bench.open();
        works(&mut client);
        let location = |bench: &Bench| usbscan_usb::Bus::list(&bench.bus).expect("it lists")[0].location.clone();
        assert_eq!(bench.bus.times_chosen(&location(&bench)), Some(1));
        arm(&mut client, None);
        bench.hand.fall_silent();
        let report = report(&client.done(cancel_pending()));
        assert_eq!((&*report.method, report.verified), ("port-reset", true), "{reset:?}");
        let chosen = if reset == Reset::Stays { 2 } else { 1 };
        assert_eq!(bench.bus.times_chosen(&location(&bench)), Some(chosen), "{reset:?}");
        works(&mut client);
    }
}

#[test]
fn a_scanner_that_comes_back_at_another_address_is_the_same_one_to_everybody() {
    let bench = Bench::with(Reset::Moves, quick(), |_| ());
    let (mut client, mut other) = (bench.open(), bench.client());
    other.done(Command::Subscribe { events: vec![EventName::Arrival, EventName::Removal] });
    client.done(Command::Lock { wait: false, if_unused: false });
    let before = other.status();
    arm(&mut client, None);
    bench.hand.fall_silent();
    let report = report(&client.done(cancel_pending()));
    assert_eq!((&*report.method, report.verified, report.failed_step), ("port-reset", true, None));
    let after = other.status();
    assert_ne!(before.device.address, after.device.address);
    assert_eq!((before.device.name, before.device.stable_id), (after.device.name, after.device.stable_id));
    assert_eq!(after.sessions.len(), 1);
    client.done(Command::DisarmAbort {});
    works(&mut client);
    assert_eq!(is_listed(&mut other), 1);
    assert!(!other.has_event(|event| matches!(event, Event::Arrival { .. } | Event::Removal { .. })));
}

#[test]
fn a_device_that_also_prints_is_never_reset_by_itself() {
    fn prints(descriptors: &mut Descriptors) {
        let mut printer = descriptors.configuration.interfaces[0].clone();
        (printer.number, printer.class, printer.endpoints) = (InterfaceNumber(1), 7, Vec::new());
        descriptors.configuration.interfaces.push(printer);
    }
    let bench = Bench::with(Reset::Stays, quick(), prints);
    let mut client = bench.open();
    arm(&mut client, None);
    bench.hand.fall_silent();
    let answer = client.call(cancel_pending());
    assert_eq!((answer.status, bench.hand.resets()), (Status::IoError, 0));
    assert!(report(&answer).failed_step.expect("it says why").contains("never reset"));
    // A person may.
    let mut person = bench.client();
    person.done(Command::ResetDevice { device: Some("usbscan0".to_owned()) });
    assert_eq!(bench.hand.resets(), 1);
    person.open("usbscan0");
    works(&mut person);
}

// ---- while it goes on

#[test]
fn while_a_reset_is_held_status_says_so_and_a_later_cancel_joins() {
    let bench = Bench::with(Reset::Stays, quick(), |_| ());
    let (mut client, mut other, mut third) = (bench.open(), bench.client(), bench.client());
    arm(&mut client, None);
    bench.hand.fall_silent();
    bench.hand.latched.store(true, Ordering::SeqCst);
    let first = client.send(cancel_pending());
    let held = bench.hand.held_reset();
    let status = other.status();
    assert_eq!(
        (&*status.state, status.recovery.map(|recovery| recovery.rung)),
        ("recovering", Some("port-reset".into()))
    );
    let second = third.send(cancel_pending());
    third.done(Command::Version {});
    let mut impatient = bench.client();
    let open = impatient.send(testkit::rig::open("usbscan0"));
    assert_eq!(impatient.done(Command::CancelRequest { request: open, session: None }).status, Status::Success);
    assert_eq!(impatient.answer(open).status, Status::Cancelled, "nobody has to wait for a recovery");
    drop(held);
    let (first, second) = (client.answer(first), third.answer(second));
    assert_eq!(report(&first), report(&second), "one recovery, two answers");
    assert_eq!(bench.hand.resets(), 1);
    assert_eq!(other.status().recovery, None);
}

#[test]
fn a_client_that_sends_no_more_still_hears_how_the_recovery_that_it_asked_for_ended() {
    let bench = Bench::with(Reset::Stays, quick(), |_| ());
    let (mut client, mut other, mut third) = (bench.open(), bench.client(), bench.client());
    arm(&mut client, None);
    bench.hand.fall_silent();
    bench.hand.latched.store(true, Ordering::SeqCst);
    let cancel = third.send(cancel_pending());
    let held = bench.hand.held_reset();
    third.stream().shutdown(std::net::Shutdown::Write).expect("it is connected");
    // Time for a daemon that does not wait to end the connection.
    (0..100).for_each(|_| drop(other.status()));
    drop(held);
    let answers = third.hear_the_end().into_iter().filter_map(|message| match message {
        FromDaemon::Answer(answer) => Some((answer.id, answer.status)),
        FromDaemon::Event(_) => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), [(Some(cancel), Status::Success)]);
}

#[test]
fn a_reset_that_does_not_return_leaves_the_scanner_host_stuck_until_it_does() {
    let mut config = quick();
    config.recovery.port_reset = SOON;
    let bench = Bench::with(Reset::Stays, config, |_| ());
    let (mut client, mut other) = (bench.open(), bench.client());
    arm(&mut client, None);
    bench.hand.fall_silent();
    bench.hand.latched.store(true, Ordering::SeqCst);
    let cancel = client.send(cancel_pending());
    let held = bench.hand.held_reset();
    let answer = client.answer(cancel);
    assert_eq!(answer.status, Status::IoError);
    assert!(report(&answer).failed_step.expect("it says why").contains("has not returned"));
    assert_eq!(other.status().state, "host-stuck");
    drop(client);
    other.until_sessions(0);
    drop(held);
    other.until(|other| match &*other.status().state {
        "closed" => Ok(()),
        state => Err(state.to_owned()),
    });
    other.open("usbscan0");
    works(&mut other);
}

#[test]
fn a_daemon_that_shuts_down_does_not_wait_out_a_recovery() {
    let mut config = Config::default();
    config.recovery.total = NEVER;
    let bench = Bench::with(Reset::Stays, config, |_| ());
    let mut client = bench.open();
    client.done(Command::ArmAbort {
        steps: vec![
            AbortStep::Read { endpoint: None, length: 64, timeout: 10_000, expect: HexBytes(b"never".to_vec()) };
            16
        ],
        settle: Some(30_000),
    });
    bench.hand.fall_silent();
    let _cancel = client.send(cancel_pending());
    let mut other = bench.client();
    other.until(|other| match other.status().recovery {
        Some(_) => Ok(()),
        None => Err("no recovery".to_owned()),
    });
    assert!(bench.daemon.stop(Duration::from_secs(4)), "160 s of steps were armed");
}

// ---- when nothing helps

#[test]
fn a_scanner_that_nothing_revives_is_unresponsive_and_everybody_is_told() {
    let bench = Bench::with(Reset::Stays, quick(), |_| ());
    bench.hand.revives.store(false, Ordering::SeqCst);
    let (mut client, mut other) = (bench.open(), bench.client());
    other.done(Command::Subscribe { events: vec![EventName::Unresponsive] });
    arm(&mut client, None);
    bench.hand.fall_silent();
    let answer = client.call(cancel_pending());
    assert_eq!(answer.status, Status::IoError);
    assert!(answer.message.as_deref().is_some_and(|message| message.contains("switch it off and on")));
    assert!(matches!(other.event(), Event::Unresponsive { name, .. } if name == "usbscan0"));
    let status = other.status();
    assert_eq!((&*status.state, status.device.unresponsive, status.pipes.len()), ("unresponsive", true, 0));
    assert!(status.device.problem.is_some_and(|problem| problem.contains("switch it off and on")));
    // The wire is left alone, and whoever asks is told at once.
    for command in [
        Command::Read { endpoint: None, offset: None, length: 512, return_partial: false, timeout: None },
        cancel_pending(),
    ] {
        let answer = client.call(command);
        assert_eq!(answer.status, Status::IoError, "{:?}", answer.message);
    }
    drop(client);
    other.until_sessions(0);
    assert_eq!(bench.hand.resets(), 1);
}

#[test]
fn an_unresponsive_scanner_may_show_to_the_next_who_opens_it_that_it_answers_again() {
    let mut config = quick();
    config.recovery.verify_at_open = Duration::from_millis(800);
    let bench = Bench::with(Reset::Stays, config, |_| ());
    bench.hand.revives.store(false, Ordering::SeqCst);
    let mut client = bench.open();
    arm(&mut client, None);
    bench.hand.fall_silent();
    assert_eq!(client.call(cancel_pending()).status, Status::IoError);
    let mut next = bench.client();
    let refused = next.call(testkit::rig::open("usbscan0"));
    assert_eq!(refused.status, Status::IoError);
    assert!(refused.message.is_some_and(|message| message.contains("switch it off and on")));
    bench.hand.silent.store(false, Ordering::SeqCst);
    next.open("usbscan0");
    assert_eq!(next.status().state, "open");
    works(&mut next);
    // The pipes that the first one had are none any more.
    let stale = client.call(vendor(testkit::rig::COUNT, ControlDirection::In, 0, 1));
    assert!(stale.message.is_some_and(|message| message.contains("open it again")));
    client.done(Command::Close {});
    client.open("usbscan0");
    works(&mut client);
}

#[test]
fn a_device_that_does_not_come_back_stays_listed_until_something_arrives_at_its_port() {
    let mut config = quick();
    config.recovery.return_to_port = SOON;
    let bench = Bench::with(Reset::Leaves, config, |_| ());
    let (mut client, mut other) = (bench.open(), bench.client());
    arm(&mut client, None);
    bench.hand.fall_silent();
    let answer = client.call(cancel_pending());
    assert_eq!(answer.status, Status::IoError);
    assert!(report(&answer).failed_step.expect("it says why").contains("not come back"));
    assert_eq!((is_listed(&mut other), &*other.status().state), (1, "unresponsive"));
    assert_eq!(other.call(testkit::rig::open("usbscan0")).status, Status::IoError);
    drop(client);
    other.until_sessions(0);
    bench.hand.silent.store(false, Ordering::SeqCst);
    bench.replug();
    // For a moment neither the old one nor the new one is there.
    other.until(|other| match is_listed(other) {
        0 => Err("not listed".to_owned()),
        _ => match &*other.call(Command::Status { device: None }).body::<StatusBody>().expect("a status").devices {
            [device] if device.state == "closed" => Ok(()),
            devices => Err(format!("{devices:?}")),
        },
    });
    other.open("usbscan0");
    works(&mut other);
}

#[test]
fn where_a_policy_forbids_the_reset_a_silent_scanner_is_unresponsive_at_once() {
    let config = Config { reset: ResetPolicy::Never, ..quick() };
    let bench = Bench::with(Reset::Stays, config, |_| ());
    let mut client = bench.open();
    arm(&mut client, None);
    bench.hand.fall_silent();
    assert_eq!(client.call(cancel_pending()).status, Status::IoError);
    assert_eq!((bench.hand.resets(), client.status().state), (0, "unresponsive".to_owned()));
}

#[test]
fn a_settle_time_out_of_its_range_is_refused() {
    let bench = Bench::new(Reset::Stays);
    let mut client = bench.open();
    let answer = client.call(Command::ArmAbort { steps: verifying(), settle: Some(30_001) });
    assert_eq!(answer.status, Status::InvalidParameter);
    assert!(answer.message.is_some_and(|message| message.contains("settle")));
}

/// It has been asked, has not answered, and is not reset: a mechanism may be moving.
fn is_held_back(bench: &Bench, other: &mut Client) {
    other.until(|other| match other.status().recovery {
        Some(recovery) if recovery.age_ms > 700 => Ok(()),
        recovery => Err(format!("{recovery:?}")),
    });
    let rung = other.status().recovery.expect("it goes on").rung;
    assert_eq!((&*rung, bench.hand.resets()), ("abort-sequence", 0));
}

#[test]
fn a_reset_is_held_back_until_the_settle_time_of_the_phase_is_over() {
    // Without one it is reset at once, as `quick` has it.
    let bench = Bench::with(Reset::Stays, quick(), |_| ());
    let (mut client, mut other) = (bench.open(), bench.client());
    arm(&mut client, Some(30_000));
    bench.hand.fall_silent();
    let cancel = client.send(cancel_pending());
    is_held_back(&bench, &mut other);
    // The next phase, in which nothing moves, has the usual time again: so would the daemon without the driver's word.
    bench.hand.silent.store(false, Ordering::SeqCst);
    assert!(report(&client.answer(cancel)).verified);
    client.done(Command::DisarmAbort {});
    arm(&mut client, None);
    bench.hand.fall_silent();
    assert_eq!(report(&client.done(cancel_pending())).method, "port-reset");
    assert_eq!(bench.hand.resets(), 1);
}

/// A loopback device whose interface is of no class, so that nothing can be asked of it, and what the model table says of it.
fn without_a_class(lines: &str, config: Config) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let head = "vendor = \"1209\"\nmanufacturer = \"usbscan\"\n[[model]]\nproduct = \"0001\"\nname = \"Loopback\"\n\
                notes = \"test\"\nprotocol = \"esci\"\nevidence = \"listed\"\n";
    std::fs::write(folder.path().join("test.toml"), format!("{head}{lines}\n")).expect("a file");
    let mut models = Table::built_in();
    models.add_folder(folder.path()).expect("a table");
    Bench::with(Reset::Stays, Config { models, ..config }, |descriptors| {
        descriptors.configuration.interfaces[0].class = 0xff;
    })
}

#[test]
fn a_silent_scanner_has_nothing_to_be_drained() {
    for (reset, settle, method) in [
        (ResetPolicy::Never, None, "armed"),
        (ResetPolicy::IfAlone, None, "port-reset"),
        (ResetPolicy::Never, Some(0), "armed"),
    ] {
        let bench = without_a_class("", Config { reset, ..quick() });
        let mut client = bench.open();
        arm(&mut client, settle);
        bench.hand.fall_silent();
        let report = report(&client.call(cancel_pending()));
        assert_eq!(report.method, method);
    }
}

#[test]
fn a_model_may_have_longer_to_settle_and_never_shorter_than_its_driver_says() {
    for (lines, settle) in
        [("settle_ms = 30000", None), ("settle_ms = 30000", Some(1)), ("settle_ms = 1", Some(30_000))]
    {
        let bench = without_a_class(lines, quick());
        let (mut client, mut other) = (bench.open(), bench.client());
        arm(&mut client, settle);
        bench.hand.fall_silent();
        let cancel = client.send(cancel_pending());
        is_held_back(&bench, &mut other);
        bench.hand.silent.store(false, Ordering::SeqCst);
        assert!(report(&client.answer(cancel)).verified, "{lines}, {settle:?}");
    }
}

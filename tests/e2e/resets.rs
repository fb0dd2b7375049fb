//! What a port reset does to a silent scanner, and what each program sees of that: it stays, is slow, moves to another address,
//! leaves, or is not helped. The daemon is in this process, so that tests can plug its scanners and set its clocks; `usbscan`
//! is a program of its own.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use usbscan_client::Session;
use usbscan_client::wire::{DeviceStatus, Event, EventName};
use usbscan_daemon::config::RecoveryTimes;
use usbscan_daemon::quirks::{ResetPolicy, Table};
use usbscan_daemon::{Config, Running};
use usbscan_usb::{Bus, Holder, InterfaceNumber, Location};
use usbscan_virtual::VirtualBus;

use crate::program::{DEADLINE, Ended, Program};
use crate::rig::{eventually, program};

/// Behind its first block it says nothing any more.
const SILENT: &str = "esci,fault=silence@800k";
const SENTENCE: &str = "the scanner does not respond, and recovery has failed; switch it off and on";
const SCAN: [&str; 8] = ["scan", "-r", "300", "--mode", "color", "--area", "0,0,100,100", "-o"];
const NEXT: [&str; 7] = ["scan", "-r", "75", "--area", "0,0,50,50", "-o", "next.png"];

struct Bench {
    folder: tempfile::TempDir,
    bus: VirtualBus,
    scanner: Location,
    _daemon: Running,
}

impl Bench {
    fn new(spec: &str) -> Bench {
        Bench::with(spec, Config::default())
    }

    /// With a configuration. Silence counts soon, whatever phase the scanner is in.
    fn with(spec: &str, config: Config) -> Bench {
        let recovery = RecoveryTimes {
            longest_settle: Duration::from_millis(100),
            start_up: Duration::from_millis(1500),
            return_to_port: Duration::from_millis(300),
            ..RecoveryTimes::default()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let bus = VirtualBus::new();
        let scanner = bus.plug_spec(spec).expect("a good description");
        let config = Config { recovery, ..config };
        let daemon = Running::start(config, vec![Arc::new(bus.clone())]).expect("the daemon starts");
        let socket = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        daemon.listen(socket).expect("it listens");
        Bench { folder, bus, scanner, _daemon: daemon }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn usbscan(&self, arguments: &[&str]) -> Command {
        let mut command = program("usbscan");
        command.arg("--socket").arg(self.path("socket")).args(arguments).current_dir(self.folder.path());
        command
    }

    fn start(&self, arguments: &[&str]) -> Program {
        Program::start(&mut self.usbscan(arguments))
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "usbscan {}: {}", arguments.join(" "), ended.stderr);
        ended.stdout
    }

    fn session(&self) -> Session {
        Session::connect(self.path("socket")).expect("the daemon answers")
    }

    fn hears(&self, events: &[EventName]) -> Session {
        let session = self.session();
        session.subscribe(events).expect("events");
        session
    }

    fn status(&self) -> DeviceStatus {
        let mut all = self.session().status(None).expect("a status");
        assert_eq!(all.len(), 1, "one scanner, whatever became of it");
        all.remove(0)
    }

    /// Waits until it is listed, and nothing is wrong with it.
    fn is_back(&self) {
        let session = self.session();
        eventually("it is back", || session.list().expect("a list").iter().any(|device| !device.unresponsive));
    }

    /// A scan that waits for the silent scanner.
    fn hanging(&self) -> Program {
        let scan = self.start(&[&SCAN[..], &["page.png"]].concat());
        eventually("the scan's read of a block hangs", || {
            let status = self.status();
            let read = status.pipes.iter().find(|pipe| pipe.pipe == "read").and_then(|pipe| pipe.pending.first());
            read.is_some_and(|read| read.length > 70_000 && read.age_ms > 700)
        });
        scan
    }

    /// Cancels a hanging scan from elsewhere. What `usbscan cancel` says, and how the scan ends.
    fn cancel_hanging(&self) -> (Ended, Ended) {
        let scan = self.hanging();
        (self.run(&["cancel"]), scan.end())
    }
}

fn next(events: &Session) -> Event {
    events.events().recv_timeout(DEADLINE).expect("an event")
}

#[test]
fn a_scanner_that_no_reset_revives_is_unresponsive_and_the_next_scan_says_so_at_once() {
    let bench = Bench::new(&format!("{SILENT},reset=no"));
    let events = bench.hears(&[EventName::Unresponsive]);
    let (cancel, scan) = bench.cancel_hanging();
    assert_eq!(cancel.code, Some(8), "{}", cancel.stderr);
    let at_once = "usbscan0: cancelled 1 request; waiting for usbscand to recover the scanner";
    assert!(cancel.stderr.contains(at_once), "{}", cancel.stderr);
    assert_eq!(scan.code, Some(6), "{}", scan.stderr);
    assert!(matches!(next(&events), Event::Unresponsive { message, .. } if message == SENTENCE));
    assert_eq!(bench.status().state, "unresponsive");
    for arguments in [&NEXT[..], &["options"], &["cancel"]] {
        let ended = bench.run(arguments);
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains(SENTENCE), "{arguments:?}: {}", ended.stderr);
    }
    for shows in ["list", "status"] {
        assert!(bench.done(&[shows]).contains("does not respond"), "{shows}");
    }
    // Switched off and on.
    bench.bus.unplug(&bench.scanner);
    bench.bus.plug_spec("esci").expect("a good description");
    bench.is_back();
    bench.done(&NEXT);
}

#[test]
fn a_scanner_that_starts_slowly_after_its_reset_is_waited_for() {
    // Longer than one question waits for its answer.
    let bench = Bench::new(&format!("{SILENT},reset=slow:900"));
    let (cancel, scan) = bench.cancel_hanging();
    assert_eq!((cancel.code, scan.code), (Some(0), Some(6)), "{} {}", cancel.stderr, scan.stderr);
    assert!(cancel.stdout.contains("port reset, verified"), "{}", cancel.stdout);
    bench.done(&NEXT);
}

#[test]
fn a_scanner_that_moves_in_its_reset_stays_the_same_to_everybody() {
    for moves in ["moves", "moves:100"] {
        let bench = Bench::new(&format!("{SILENT},reset={moves}"));
        let before = bench.status().device;
        let comings = bench.hears(&[EventName::Arrival, EventName::Removal, EventName::Idle]);
        let capture = bench.start(&["capture", "-o", "all.pcapng"]);
        let captured = || fs::metadata(bench.path("all.pcapng")).map_or(0, |file| file.len());
        eventually("the capture begins", || captured() > 500);
        let scan = bench.hanging();
        // Three in line for the lock, which the hanging scan holds.
        let lines: Vec<Program> = (0..3)
            .map(|number| bench.start(&["scan", "-r", "75", "--area", "0,0,50,50", "-o", &format!("{number}.png")]))
            .collect();
        eventually("three are in line", || bench.status().sessions.len() >= 4);
        let cancel = bench.run(&["cancel"]);
        assert_eq!(cancel.code, Some(0), "{moves}: {}", cancel.stderr);
        assert!(cancel.stdout.contains("port reset, verified"), "{}", cancel.stdout);
        assert_eq!(scan.end().code, Some(6));
        for (number, line) in lines.into_iter().enumerate() {
            let ended = line.end();
            assert_eq!(ended.code, Some(0), "{moves}: {}", ended.stderr);
            assert!(bench.path(&format!("{number}.png")).exists());
        }
        assert!(matches!(next(&comings), Event::Idle { abort, .. } if abort.method == "port-reset"));
        let after = bench.status().device;
        assert_ne!(before.address, after.address, "{moves}");
        assert_eq!((&before.name, &before.stable_id), (&after.name, &after.stable_id));
        assert!(comings.events().try_recv().is_err(), "nobody has seen it leave or come");
        // What was captured since it is at the new address.
        let until_now = captured();
        bench.done(&NEXT);
        eventually("the capture goes on", || captured() > until_now + 1000);
        capture.signal(Signal::INT);
        let ended = capture.end();
        assert_eq!(ended.code, Some(0), "{moves}: {}", ended.stderr);
    }
}

#[test]
fn a_scanner_that_leaves_in_its_reset_is_listed_until_something_arrives_at_its_port() {
    let bench = Bench::new(&format!("{SILENT},reset=gone"));
    let (cancel, scan) = bench.cancel_hanging();
    assert_eq!((cancel.code, scan.code), (Some(8), Some(6)), "{} {}", cancel.stderr, scan.stderr);
    assert!(cancel.stderr.contains(SENTENCE), "{}", cancel.stderr);
    let status = bench.status();
    assert_eq!((&*status.state, status.device.unresponsive), ("unresponsive", true));
    assert!(bench.bus.list().expect("it lists").is_empty(), "it is gone from the bus");
    let refused = bench.run(&NEXT);
    assert!(refused.stderr.contains(SENTENCE), "{}", refused.stderr);
    bench.bus.plug_spec("esci").expect("a good description");
    bench.is_back();
    bench.done(&NEXT);
}

/// An all-in-one, which may print from its memory.
const PRINTS: &str = "esci,level=D7,printer=yes,fault=silence@800k";

#[test]
fn what_a_reset_policy_of_the_configuration_allows_is_done_and_nothing_else() {
    for (spec, reset, code, words) in [
        (SILENT, ResetPolicy::IfAlone, 0, "port reset, verified"),
        (SILENT, ResetPolicy::Never, 8, SENTENCE),
        (PRINTS, ResetPolicy::IfAlone, 8, SENTENCE),
        (PRINTS, ResetPolicy::Always, 8, SENTENCE),
        (PRINTS, ResetPolicy::AfterJob, 8, SENTENCE),
    ] {
        let bench = Bench::with(spec, Config { reset, ..Config::default() });
        let (cancel, _) = bench.cancel_hanging();
        let said = format!("{}{}", cancel.stdout, cancel.stderr);
        assert_eq!(cancel.code, Some(code), "{spec}, {reset:?}: {said}");
        assert!(said.contains(words), "{spec}, {reset:?}: {said}");
        let next = bench.run(&NEXT);
        assert_eq!(next.code == Some(0), code == 0, "{spec}, {reset:?}: {}", next.stderr);
    }
}

#[test]
fn a_device_that_also_prints_is_reset_where_its_entry_in_the_model_table_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let entry = "vendor = \"04b8\"\nmanufacturer = \"Epson\"\n[[model]]\nproduct = \"08b8\"\nname = \"WF-3620\"\n\
                 notes = \"prints nothing from its memory\"\nprotocol = \"esci\"\nevidence = \"listed\"\nreset = \"always\"\n";
    fs::write(folder.path().join("own.toml"), entry).expect("a file");
    let mut models = Table::built_in();
    models.add_folder(folder.path()).expect("a table");
    let bench = Bench::with(PRINTS, Config { models, ..Config::default() });
    let (cancel, _) = bench.cancel_hanging();
    assert_eq!(cancel.code, Some(0), "{}", cancel.stderr);
    assert!(cancel.stdout.contains("port reset, verified"), "{}", cancel.stdout);
    bench.done(&NEXT);
}

#[test]
fn after_a_job_that_left_no_sequence_a_scanner_is_reset_where_the_configuration_says_so() {
    for (reset, method) in [(ResetPolicy::IfAlone, "class"), (ResetPolicy::AfterJob, "port-reset")] {
        let bench = Bench::with("loopback", Config { reset, ..Config::default() });
        let events = bench.hears(&[EventName::Idle]);
        let read = bench.start(&["raw", "read"]);
        eventually("it waits", || bench.status().pipes.iter().any(|pipe| !pipe.pending.is_empty()));
        bench.done(&["cancel"]);
        assert_ne!(read.end().code, Some(0));
        assert!(matches!(next(&events), Event::Idle { abort, .. } if abort.method == method), "{reset:?}");
    }
}

#[test]
fn a_cancel_says_that_another_program_has_the_scanner_which_only_that_can_stop() {
    let bench = Bench::new("esci");
    for (holder, who) in
        [(Holder::Program { pid: 4711, name: "vuescan".to_owned() }, "vuescan"), (Holder::Unknown, "another program")]
    {
        assert!(bench.bus.set_holder(&bench.scanner, InterfaceNumber(0), Some(holder)));
        for arguments in [&["cancel"][..], &["cancel", "--pipe", "all"]] {
            let ended = bench.run(arguments);
            if arguments.len() > 1 && ended.code == Some(0) {
                continue;
            }
            assert_eq!(ended.code, Some(5), "{arguments:?}: {}", ended.stderr);
            let sentence =
                "usbscan0 is used by another program, not through usbscand, so only that program can be stopped";
            assert!(ended.stderr.contains(sentence) && ended.stderr.contains(who), "{}", ended.stderr);
        }
    }
    bench.bus.set_holder(&bench.scanner, InterfaceNumber(0), None);
    bench.done(&["cancel"]);
}

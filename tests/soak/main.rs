//! Soak: several scanners and clients, scans, cancels, kills of clients and of the daemon, cables that are pulled and put in
//! again, and faults, all from a seed; at the end nothing has leaked and every finished picture was right. `tools/soak [SECONDS] [SEED]` runs it for long.

#[path = "../e2e/page.rs"]
#[allow(dead_code)]
mod page;
#[path = "../e2e/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../e2e/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use page::{Page, PixelFormat};
use parking_lot::{Mutex, RwLock};
use program::{Ended, Program};
use rig::{Rig, eventually};
use rustix::process::Signal;
use usbscan_client::Session;
use usbscan_client::wire::{Event, EventName};
use usbscan_virtual::glass::{Glass, View};

/// Without being asked for more, in every test run.
const SECONDS: u64 = 8;
/// Scanners that do as they should; behind them comes one for each of these.
const GOOD: usize = 3;
const SICK: [&str; 3] = ["chaos={seed}", "fault=short@{seed}", "cable={seed}"];
/// How often the thread that watches cables looks at the clock.
const GLANCE: Duration = Duration::from_millis(100);
/// What memory may have grown by: the pools of pipes that were used meanwhile, and the allocator's slack.
const SLACK: u64 = 24 << 20;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// A sequence of numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}

/// Everything that the threads share.
struct Soak {
    rig: RwLock<Rig>,
    /// Odd while the daemon is being replaced.
    daemons: AtomicU64,
    until: Instant,
    right: Page,
    did: Mutex<BTreeMap<&'static str, u64>>,
}

impl Soak {
    fn count(&self, what: &'static str) {
        *self.did.lock().entry(what).or_insert(0) += 1;
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.rig.read().usbscan(arguments)
    }

    /// A client's life at its own scanner.
    fn client(&self, scanner: usize, mut dice: Dice) {
        while Instant::now() < self.until {
            let daemon = self.daemons.load(Ordering::SeqCst);
            let file = format!("page{scanner}.png");
            let scan =
                ["scan", &serial(scanner), "-r", "100", "--mode", "color", "--area", "0,0,50.8,50.8", "-o", &file];
            let mut program = Program::start(&mut self.command(&scan));
            let disturbed = self.disturb(&mut program, scanner, &mut dice);
            let ended = program.end();
            assert_ne!(ended.code, Some(101), "a panic: {}", ended.stderr);
            let same = daemon % 2 == 0 && daemon == self.daemons.load(Ordering::SeqCst);
            self.judge(scanner, &ended, disturbed || !same, &file);
        }
    }

    /// Perhaps ends or cancels the scan, at some moment.
    fn disturb(&self, program: &mut Program, scanner: usize, dice: &mut Dice) -> bool {
        let what = dice.below(6);
        if what > 3 {
            return false;
        }
        // No moment is the right one; the seed chooses how far it comes.
        std::thread::sleep(Duration::from_millis(dice.below(60)));
        match what {
            0 => program.try_signal(Signal::KILL),
            1 => program.try_signal(Signal::INT),
            2 => program.try_signal(Signal::TERM),
            _ => {
                let cancelled = Program::start(&mut self.command(&["cancel", &serial(scanner)])).end();
                assert_ne!(cancelled.code, Some(101), "a panic: {}", cancelled.stderr);
            }
        }
        self.count(
            ["clients killed", "clients interrupted", "clients terminated", "cancels from elsewhere"][what as usize],
        );
        true
    }

    fn judge(&self, scanner: usize, ended: &Ended, excused: bool, file: &str) {
        let path = self.rig.read().path(file);
        if ended.code == Some(0) {
            // Two clients are never at one scanner, so the file is this scan's.
            Page::read_png(&path).assert_shows(&self.right);
            self.count(RIGHT);
            let _ = fs::remove_file(&path);
            return;
        }
        let said = excused || scanner >= GOOD;
        assert!(said, "a scan that nobody disturbed ended {:?}: {}", ended.code, ended.stderr);
        // A signal that kills leaves no time for words; everything else has some.
        assert!(ended.code.is_none() || !ended.stderr.is_empty() || ended.code > Some(128), "no words: {ended:?}");
        self.count(if excused { "scans that were ended" } else { "scans that failed at sick scanners, in words" });
    }

    /// Counts the cables that the daemon sees pulled, and put in again.
    fn watch_cables(&self) {
        while Instant::now() < self.until {
            // It may have been killed just now; the next one is watched then.
            let session = Session::connect(self.rig.read().socket());
            let Ok(session) = session else { continue };
            if session.subscribe(&[EventName::Removal, EventName::Arrival]).is_err() {
                continue;
            }
            while Instant::now() < self.until {
                match session.events().recv_timeout(GLANCE) {
                    Ok(Event::Removal { .. }) => self.count(PULLED),
                    Ok(Event::Arrival { .. }) => self.count("cables put in again"),
                    Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        }
    }

    /// Kills the daemon, or ends it in good order, and starts another.
    fn replace_daemon(&self, signal: Signal) {
        let mut rig = self.rig.write();
        self.daemons.fetch_add(1, Ordering::SeqCst);
        let ended = rig.end_daemon(signal);
        assert_ne!(ended.code, Some(101), "a panic: {}", ended.stderr);
        rig.start_daemon();
        self.daemons.fetch_add(1, Ordering::SeqCst);
        self.count(if signal == Signal::KILL { "daemons killed" } else { "daemons ended in good order" });
    }
}

const RIGHT: &str = "pictures finished, each of them right";
const PULLED: &str = "cables pulled";

fn serial(scanner: usize) -> String {
    format!("04b8:0151:SOAK{scanner}")
}

/// What a process holds: resident bytes, threads, descriptors.
fn held(pid: i32) -> (u64, u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon lives");
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("the daemon lives").count();
    (field("VmRSS:") * 1024, field("Threads:"), descriptors)
}

#[test]
fn after_scans_cancels_kills_and_faults_nothing_has_leaked_and_every_finished_picture_was_right() {
    let seconds = from_environment("USBSCAN_SOAK_SECONDS", SECONDS);
    let seed = from_environment("USBSCAN_SOAK_SEED", 1);
    println!("{seconds} s, seed {seed}");
    let mut specs: Vec<String> = (0..GOOD).map(|number| format!("esci,serial=SOAK{number}")).collect();
    let sick = SICK.iter().zip(GOOD..);
    specs.extend(sick.map(|(how, n)| format!("esci,serial=SOAK{n},{}", how.replace("{seed}", &seed.to_string()))));
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    let view = View { dpi: (100, 100), left: 0, top: 0, width: 200, height: 200 };
    let began = Instant::now();
    let soak = Soak {
        rig: RwLock::new(Rig::with_scanners(&specs)),
        daemons: AtomicU64::new(0),
        until: began + Duration::from_secs(seconds),
        right: Page::on_glass(&Glass::chart(), view, PixelFormat::Color8),
        did: Mutex::default(),
    };
    let mut dice = Dice(seed);
    std::thread::scope(|scope| {
        for scanner in 0..specs.len() {
            let dice = Dice(dice.below(u64::MAX));
            let soak = &soak;
            scope.spawn(move || soak.client(scanner, dice));
        }
        scope.spawn(|| soak.watch_cables());
        // The last daemon lives for the second half, so that what it holds at the end tells something.
        while Instant::now() < began + Duration::from_secs(seconds) / 2 {
            std::thread::sleep(Duration::from_millis(200 + dice.below(1500)));
            soak.replace_daemon(if dice.below(2) == 0 { Signal::KILL } else { Signal::TERM });
        }
    });
    nothing_is_left(&soak);
    for (what, count) in &*soak.did.lock() {
        println!("{count:6} {what}");
    }
    for what in [RIGHT, PULLED] {
        assert!(soak.did.lock().contains_key(what), "no {what}");
    }
}

/// Sessions, requests, threads, descriptors and memory of the last daemon, beside one that has done nothing yet.
fn nothing_is_left(soak: &Soak) {
    let rig = soak.rig.read();
    let pid = rig.daemon_pid();
    let session = rig.session();
    eventually("nobody has a request outstanding, and every scanner is let go", || {
        let devices = session.status(None).expect("a status");
        let pending: usize = devices.iter().flat_map(|device| &device.pipes).map(|pipe| pipe.pending.len()).sum();
        let sessions: usize = devices.iter().map(|device| device.sessions.len()).sum();
        pending == 0 && sessions == 0 && devices.iter().all(|device| device.state == "closed")
    });
    drop(session);
    let specs: Vec<String> = (0..GOOD + SICK.len()).map(|number| format!("esci,serial=SOAK{number}")).collect();
    let fresh = Rig::with_scanners(&specs.iter().map(String::as_str).collect::<Vec<_>>());
    let (memory, threads, descriptors) = held(fresh.daemon_pid());
    eventually("threads and descriptors are as many as a fresh daemon has", || {
        let now = held(pid);
        now.1 <= threads && now.2 <= descriptors
    });
    let grown = held(pid).0.saturating_sub(memory);
    println!("{} KiB more than a fresh daemon, {threads} threads, {descriptors} descriptors", grown >> 10);
    assert!(grown < SLACK, "{grown} bytes more than a fresh daemon");
}

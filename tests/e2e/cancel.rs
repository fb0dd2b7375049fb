//! A scan can be ended at any time and from anywhere, and the scanner is usable again.

use std::fs::{self, File};
use std::io::Read;
use std::process::{Child, ChildStdout, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use usbscan_virtual::glass::{Glass, View};

use crate::page::{Page, PixelFormat};
use crate::program::Program;
use crate::rig::{Rig, eventually};

/// A scan of a page far larger than all buffers on its way, to standard output, of which the beginning has come and
/// nothing more is read: so it stays in the middle of the page for as long as the test likes.
pub fn stuck_in_mid_page(rig: &Rig) -> (Program, ChildStdout) {
    let mut command = rig.usbscan(&["scan", "-r", "600", "--mode", "color", "--format", "pnm", "-o", "-"]);
    let (scan, mut page) = Program::start_unread(&mut command);
    page.read_exact(&mut [0; 4096]).expect("the page begins");
    (scan, page)
}

/// A scanner that says nothing any more behind its first block: while the carriage is still on its way, it may.
const SILENT: &str = "esci,fault=silence@800k";

/// A scan to page.png that waits for a scanner which is [`SILENT`], and the read of it that hangs: session and id.
fn hanging(rig: &Rig) -> (Program, u64, u64) {
    let scan = Program::start(&mut rig.usbscan(&["scan", "-r", "300", "--area", "0,0,100,100", "-o", "page.png"]));
    let (session, request) = hangs(rig);
    (scan, session, request)
}

/// Waits until the read of a block hangs.
fn hangs(rig: &Rig) -> (u64, u64) {
    let watcher = rig.session();
    let mut found = None;
    eventually("the scan's read of a block hangs", || {
        let status = watcher.status(None).expect("a status");
        let reads = status.iter().flat_map(|device| &device.pipes).filter(|pipe| pipe.pipe == "read");
        // Longer than what the driver reads to synchronize: only a block is.
        let block = reads.flat_map(|pipe| &pipe.pending).find(|read| read.length > 70_000 && read.age_ms > 700);
        found = block.map(|read| (read.session, read.request));
        found.is_some()
    });
    found.expect("it was found")
}

/// A terminal: the end that a person looks at, and the one that a program writes to.
fn terminal() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
    grantpt(&person).and_then(|()| unlockpt(&person)).expect("it may be used");
    let name = ptsname(&person, Vec::new()).expect("its name").into_string().expect("plain letters");
    let program = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    (person.into(), program.expect("its other end").into())
}

fn next_scan_is_right(rig: &Rig) {
    rig.done(&["scan", "-r", "100", "--mode", "color", "--area", "25.4,25.4,50.8,25.4", "-o", "next.png"]);
    let view = View { dpi: (100, 100), left: 100, top: 100, width: 200, height: 100 };
    Page::read_png(&rig.path("next.png")).assert_shows(&Page::on_glass(&Glass::chart(), view, PixelFormat::Color8));
}

fn rest_of(mut page: ChildStdout) {
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
}

#[test]
fn ctrl_c_in_mid_page_ends_the_scan_and_leaves_the_scanner_idle() {
    for dialect in ["fs", "esc"] {
        let rig = Rig::new(&format!("esci,dialect={dialect}"));
        let (scan, page) = stuck_in_mid_page(&rig);
        scan.signal(Signal::INT);
        rest_of(page);
        let ended = scan.end();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
        next_scan_is_right(&rig);
    }
}

#[test]
fn sigterm_in_mid_page_does_the_same() {
    let rig = Rig::new("esci");
    let (scan, page) = stuck_in_mid_page(&rig);
    scan.signal(Signal::TERM);
    rest_of(page);
    assert_eq!(scan.end().code, Some(143));
    next_scan_is_right(&rig);
}

#[test]
fn a_signal_ends_a_scan_to_a_pipe_that_nobody_reads() {
    for spec in ["esci", "esci2"] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
            let rig = Rig::new(spec);
            let (scan, unread) = stuck_in_mid_page(&rig);
            scan.signal(signal);
            let ended = scan.end();
            assert_eq!(ended.code, Some(code), "{spec}: {}", ended.stderr);
            rig.done(&["scan", "-r", "75", "--area", "0,0,50,50", "-o", "next.png"]);
            drop(unread);
        }
    }
}

#[test]
fn after_a_signal_a_partial_page_goes_to_a_pipe_that_somebody_reads() {
    let rig = Rig::new("esci,fault=silence@2M");
    let mut command =
        rig.usbscan(&["scan", "-r", "300", "--mode", "color", "--format", "pnm", "--keep-partial", "-o", "-"]);
    let (scan, mut page) = Program::start_unread(&mut command);
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        page.read_to_end(&mut bytes).map(|_| bytes)
    });
    hangs(&rig);
    scan.signal(Signal::INT);
    assert_eq!(scan.end().code, Some(130));
    let bytes = reader.join().expect("it ends").expect("a page");
    let head = b"P6\n";
    assert!(bytes.starts_with(head) && bytes.len() > 2 << 20, "{} bytes: it is filled up", bytes.len());
}

#[test]
fn a_reader_that_goes_away_in_mid_page_ends_the_scan_quietly() {
    let rig = Rig::new("esci");
    let (scan, page) = stuck_in_mid_page(&rig);
    drop(page);
    let ended = scan.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(141), ""));
    next_scan_is_right(&rig);
}

#[test]
fn a_scan_that_is_stopped_keeps_nobody_off_the_scanner_and_ends_as_cancelled_when_it_goes_on() {
    for spec in ["esci", "esci,dialect=esc", "esci2"] {
        let rig = Rig::new(spec);
        let (scan, page) = stuck_in_mid_page(&rig);
        scan.signal(Signal::STOP);
        rig.done(&["cancel"]);
        if spec == "esci" {
            next_scan_is_right(&rig);
        } else {
            rig.done(&["scan", "-r", "75", "--area", "0,0,50,50", "-o", "next.png"]);
        }
        scan.signal(Signal::CONT);
        rest_of(page);
        let ended = scan.end();
        assert_eq!(ended.code, Some(6), "{spec}: {}", ended.stderr);
        assert!(ended.stderr.contains("cancelled"), "{spec}: {}", ended.stderr);
        rig.done(&["scan", "-r", "75", "--area", "0,0,50,50", "-o", "again.png"]);
    }
}

#[test]
fn a_file_stays_as_it_was_however_its_scan_is_ended() {
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let rig = Rig::new(SILENT);
        fs::write(rig.path("page.png"), "what was there").expect("a file");
        let names = || fs::read_dir(rig.path("")).expect("a folder").count();
        let before = names();
        let (scan, _, _) = hanging(&rig);
        scan.signal(signal);
        let ended = scan.end();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert_eq!(fs::read_to_string(rig.path("page.png")).expect("a file"), "what was there");
        assert_eq!(names(), before, "nothing is left beside it");
    }
}

#[test]
fn a_second_signal_ends_at_once_whatever_the_scanner_does() {
    let rig = Rig::new(SILENT);
    let (scan, _, _) = hanging(&rig);
    scan.signal(Signal::INT);
    scan.signal(Signal::TERM);
    let ended = scan.end();
    // Two signals that are pending at once are delivered in either order.
    assert!(matches!(ended.code, Some(130 | 143)), "{:?}", ended.code);
    let left_to_the_daemon = "usbscand is recovering the scanner";
    assert!(ended.stderr.contains(left_to_the_daemon), "it did not wait for the first's end: {}", ended.stderr);
    assert!(!rig.path("page.png").exists());
}

#[test]
fn on_a_terminal_ctrl_c_says_at_once_what_it_waits_for_and_once_more_leaves_that_to_the_daemon() {
    // On one that can't go back in a line there is no bar, but these words all the same.
    for kind in [Some("xterm"), Some("dumb"), None] {
        let rig = Rig::new(SILENT);
        let mut command = rig.usbscan(&["scan", "-r", "300", "--area", "0,0,100,100", "-o", "page.png"]);
        match kind {
            Some(kind) => command.env("TERM", kind),
            None => command.env_remove("TERM"),
        };
        let (mut terminal, stderr) = terminal();
        let mut scan = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("usbscan starts");
        // It holds the terminal's other end too.
        drop(command);
        hangs(&rig);
        let interrupt = |scan: &Child| kill_process(Pid::from_child(scan), Signal::INT).expect("it lives");
        let mut said = String::new();
        let mut hear = |words: &str| {
            let mut chunk = [0; 4096];
            while !said.contains(words) {
                let length = terminal
                    .read(&mut chunk)
                    .unwrap_or_else(|error| panic!("{kind:?}: {words:?} is not in {said:?}: {error}"));
                said.push_str(&String::from_utf8_lossy(&chunk[..length]));
            }
        };
        interrupt(&scan);
        // The scanner is silent, and the driver waits for it until long after the next signal.
        hear("interrupted; returning the scanner to idle (press Ctrl-C again to exit at once)");
        interrupt(&scan);
        hear("usbscan: interrupted; usbscand is recovering the scanner");
        assert_eq!(scan.wait().expect("it ends").code(), Some(130), "{kind:?}");
    }
}

#[test]
fn a_second_process_ends_a_scan_that_hangs() {
    for way in ["pending", "pipe", "request"] {
        let rig = Rig::new(SILENT);
        let (scan, session, request) = hanging(&rig);
        let status = rig.done(&["status"]);
        assert!(status.contains(&format!("{session}/{request}")) && status.contains("usbscan"), "{status}");
        match way {
            "pending" => drop(rig.run(&["cancel"])),
            "pipe" => drop(rig.done(&["cancel", "--pipe", "read"])),
            _ => drop(rig.done(&["cancel", "--request", &format!("{session}/{request}")])),
        }
        let ended = scan.end();
        assert_eq!(ended.code, Some(6), "{way}: {}", ended.stderr);
        assert!(ended.stderr.contains("cancel"), "{way}: {}", ended.stderr);
        let status = rig.done(&["status"]);
        assert!(status.contains(&format!("last cancel: cancel-{way} by usbscan (pid ")), "it says who: {status}");
        assert!(!rig.path("page.png").exists(), "{way}: no half page");
        rig.done(&["reset", "--device"]);
        next_scan_is_right(&rig);
    }
}

#[test]
fn whoever_ends_a_scan_of_a_silent_scanner_has_control_again_while_the_daemon_recovers_it() {
    for (signal, word, code) in
        [(Signal::INT, "interrupted", 130), (Signal::TERM, "terminated", 143), (Signal::HUP, "terminal closed", 129)]
    {
        let rig = Rig::new(SILENT);
        let (scan, _, _) = hanging(&rig);
        scan.signal(signal);
        let ended = scan.end();
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        let said = format!("{word}; usbscand is recovering the scanner");
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    }
    let rig = Rig::new(SILENT);
    let (scan, _, _) = hanging(&rig);
    let cancel = Program::start(&mut rig.usbscan(&["cancel"]));
    let ended = scan.end();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains("cancelled; usbscand is recovering the scanner"), "{}", ended.stderr);
    cancel.end();
}

#[test]
fn a_control_request_that_hangs_is_ended_by_a_cancel_of_that_pipe_alone() {
    let rig = Rig::new("loopback");
    let read = Program::start(&mut rig.usbscan(&["raw", "read", "-n", "512"]));
    let control = ["raw", "control", "--direction", "out", "--request", "0x13"];
    let control = Program::start(&mut rig.usbscan(&control));
    let pending = || {
        let pipes = rig.session().status(None).expect("a status").into_iter().flat_map(|device| device.pipes);
        pipes.map(|pipe| pipe.pending.len()).sum::<usize>()
    };
    eventually("both are pending", || pending() == 2);
    rig.done(&["cancel", "--pipe", "control"]);
    let ended = control.end();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert_eq!(pending(), 1, "the read");
    rig.done(&["cancel", "--pipe", "read"]);
    assert_eq!(read.end().code, Some(6));
}

#[test]
fn a_cancel_of_nothing_changes_nothing() {
    let rig = Rig::new("esci");
    for arguments in [&["cancel"][..], &["cancel", "--pipe", "all"], &["cancel", "usbscan0", "--pipe", "read"]] {
        rig.done(arguments);
    }
    let ended = rig.run(&["cancel", "--request", "1/1"]);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    next_scan_is_right(&rig);
}

#[test]
fn a_reset_of_a_scanner_that_somebody_scans_with_ends_that_scan_as_cancelled() {
    let rig = Rig::new("esci");
    let (scan, page) = stuck_in_mid_page(&rig);
    rig.done(&["reset", "--device"]);
    rest_of(page);
    let ended = scan.end();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains("cancelled"), "{}", ended.stderr);
    next_scan_is_right(&rig);
}

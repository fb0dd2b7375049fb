//! The scanner survives the death of any program: the scanning program by SIGKILL, at every message of its dialogue; the daemon.

use std::path::Path;

use rustix::process::Signal;
use usbscan_virtual::Side;
use usbscan_virtual::glass::{Glass, View};

use crate::page::{Page, PixelFormat};
use crate::program::Program;
use crate::proxy::{Kill, Proxy, Sent};
use crate::rig::{Rig, eventually};

/// What the sweep scans: two blocks of image in the FS dialect, several in the other.
const SCAN: &[&str] = &["-r", "200", "--mode", "color", "--area", "25.4,25.4,101.6,50.8"];
const VIEW: View = View { dpi: (200, 200), left: 200, top: 200, width: 800, height: 400 };

fn page_is_right(rig: &Rig, what: &dyn std::fmt::Display) {
    let mut arguments = vec!["scan", "-o", "page.png"];
    arguments.extend(SCAN);
    let ended = rig.run(&arguments);
    assert_eq!(ended.code, Some(0), "the scan after {what}: {}", ended.stderr);
    assert_page_is_right(&rig.path("page.png"));
}

fn assert_page_is_right(page: &Path) {
    Page::read_png(page).assert_shows(&Page::on_glass(&Glass::chart(), VIEW, PixelFormat::Color8));
}

/// Scans through a proxy that kills the program at one message, and returns what it sent.
fn scan_killed(rig: &Rig, kill: Option<Kill>) -> Sent {
    let proxy = Proxy::start(&rig.path("proxy"), &rig.socket(), kill);
    let mut arguments = vec!["scan", "-o", "dead.png"];
    arguments.extend(SCAN);
    let scan = Program::start(&mut rig.usbscan_at(&rig.path("proxy"), &arguments));
    let sent = proxy.serve(|| scan.try_signal(Signal::KILL));
    let ended = scan.end();
    // The answer to its last request may reach it before the signal does: then it has its page.
    assert!(ended.code == Some(0) || kill.is_some() && ended.code.is_none(), "{kill:?}: {ended:?}");
    let page = rig.path("dead.png");
    if ended.code == Some(0) || page.exists() {
        // It may also die between its last message and its end: with the whole page, never with half of one.
        assert_page_is_right(&page);
        std::fs::remove_file(page).expect("it is there");
    }
    sent
}

/// Kills at every message; at some of them, 24 or 8, where the machine is an emulated one: `USBSCAN_SWEEP=all`, `some` or
/// `few` says otherwise.
fn sweep(dialect: &str) {
    let rig = Rig::new(&format!("esci,dialect={dialect}"));
    let messages = scan_killed(&rig, None).requests;
    assert!(messages > 20, "a dialogue has many messages: {messages}");
    let at_a_kernel = std::env::var_os("USBSCAN_E2E_RIG").is_some();
    let step = match std::env::var("USBSCAN_SWEEP").as_deref() {
        Ok("few") => messages.div_ceil(8),
        Ok("all") => 1,
        Err(_) if !at_a_kernel => 1,
        _ => messages.div_ceil(24),
    };
    for at in (1..=messages).step_by(step) {
        for kill in [Kill::AfterRequest(at), Kill::AfterAnswer(at)] {
            scan_killed(&rig, Some(kill));
            page_is_right(&rig, &format!("a program killed {kill:?} of {messages}"));
        }
    }
}

#[test]
fn a_program_killed_at_any_message_leaves_the_scanner_usable_in_the_fs_dialect() {
    sweep("fs");
}

#[test]
fn a_program_killed_at_any_message_leaves_the_scanner_usable_in_the_esc_dialect() {
    sweep("esc");
}

/// The front of a sheet, as little of it as tells it from others.
fn front(number: u32) -> Page {
    let view = View { dpi: (100, 100), left: 0, top: 0, width: 800, height: 200 };
    Page::on_glass(&Glass::numbered_sheet(number, Side::Front), view, PixelFormat::Gray8)
}

/// So slow that a block of image is on its way for a second, and the program dies within that.
#[test]
fn a_program_killed_inside_a_block_of_image_leaves_the_scanner_usable() {
    for dialect in ["fs", "esc"] {
        let rig = Rig::new(&format!("esci,dialect={dialect},slow=400k"));
        let blocks = scan_killed(&rig, None).blocks;
        assert!(blocks.len() > 1, "{dialect}: a page has blocks: {blocks:?}");
        for at in blocks {
            scan_killed(&rig, Some(Kill::AfterRequest(at)));
            page_is_right(&rig, &format!("a program killed inside the block of request {at}, {dialect}"));
        }
    }
}

#[test]
fn a_program_killed_in_a_batch_leaves_a_feeder_that_begins_with_a_front() {
    let feeder = ["--source", "adf-duplex", "-r", "100", "--mode", "gray", "--area", "0,0,203.2,50.8"];
    for dialect in ["fs", "esc"] {
        let rig = Rig::new(&format!("esci,dialect={dialect},adf=500,duplex"));
        let killed = |kill: Option<Kill>| {
            let proxy = Proxy::start(&rig.path("proxy"), &rig.socket(), kill);
            let arguments = [&["scan", "--pages", "3", "-o", "dead.pdf"], &feeder[..]].concat();
            let scan = Program::start(&mut rig.usbscan_at(&rig.path("proxy"), &arguments));
            let sent = proxy.serve(|| scan.try_signal(Signal::KILL));
            scan.end();
            sent.requests
        };
        let messages = killed(None);
        let mut last = 2;
        for at in (1..=messages).step_by(messages.div_ceil(12)) {
            killed(Some(Kill::AfterRequest(at)));
            let ended = rig.run(&[&["scan", "--pages", "1", "-o", "page.png"], &feeder[..]].concat());
            assert_eq!(ended.code, Some(0), "{dialect}, after {at} of {messages}: {}", ended.stderr);
            let page = Page::read_png(&rig.path("page.png"));
            // The sheets that the dead one had, at most two, and perhaps one that was put out for it, are gone.
            let next = (last + 1..=last + 4).find(|number| page.samples == front(*number).samples);
            last = next.unwrap_or_else(|| panic!("{dialect}, after {at} of {messages}: no front of the next sheets"));
        }
    }
}

#[test]
fn a_daemon_killed_in_mid_scan_is_a_clear_error_and_the_next_one_takes_over() {
    let mut rig = Rig::new("esci");
    let mut command = rig.usbscan(&["scan", "-r", "600", "--format", "pnm", "-o", "-"]);
    let (scan, mut page) = Program::start_unread(&mut command);
    std::io::Read::read_exact(&mut page, &mut [0; 4096]).expect("the page begins");
    rig.end_daemon(Signal::KILL);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    let ended = scan.end();
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("usbscand") && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    rig.start_daemon();
    page_is_right(&rig, &"a daemon's death");
}

#[test]
fn a_daemon_that_is_stopped_answers_those_who_wait_and_ends_in_order() {
    let mut rig = Rig::new("loopback");
    let waiting: Vec<Program> = [&["raw", "read"][..], &["wait-event"]]
        .iter()
        .map(|arguments| Program::start(&mut rig.usbscan(arguments)))
        .collect();
    let watcher = rig.session();
    eventually("both wait", || {
        let status = watcher.status(None).expect("a status");
        status.iter().flat_map(|device| &device.pipes).map(|pipe| pipe.pending.len()).sum::<usize>() == 2
    });
    let daemon = rig.end_daemon(Signal::TERM);
    assert_eq!(daemon.code, Some(0), "{}", daemon.stderr);
    for program in waiting {
        let ended = program.end();
        assert!(matches!(ended.code, Some(3 | 6)), "{:?}: {}", ended.code, ended.stderr);
    }
    assert!(!rig.socket().exists(), "it takes its socket away");
}

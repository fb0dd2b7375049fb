//! The recovery ladder with a scanner at whichever port there is, a kernel's too: a silent scanner is reset and used again, in the
//! alternate setting that it had, wherever it comes back; and the daemon may end in the middle of that. The rows of what a
//! reset may do are in resets.rs.

use rustix::process::Signal;
use usbscan_virtual::glass::{Glass, View};

use crate::page::{Page, PixelFormat};
use crate::program::Program;
use crate::rig::{Rig, eventually};

/// Behind its first block it says nothing any more.
const SILENT: &str = "esci,fault=silence@800k";

fn page_is_right(rig: &Rig, what: &str) {
    let arguments = ["scan", "-r", "100", "--mode", "color", "--area", "25.4,25.4,50.8,25.4", "-o", "right.png"];
    let ended = rig.run(&arguments);
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
    let view = View { dpi: (100, 100), left: 100, top: 100, width: 200, height: 100 };
    Page::read_png(&rig.path("right.png")).assert_shows(&Page::on_glass(&Glass::chart(), view, PixelFormat::Color8));
}

/// A scan that waits for the silent scanner.
fn hanging(rig: &Rig) -> Program {
    let scan = Program::start(&mut rig.usbscan(&["scan", "-r", "300", "--area", "0,0,100,100", "-o", "page.png"]));
    let watcher = rig.session();
    eventually("the scan's read of a block hangs", || {
        let status = watcher.status(None).expect("a status");
        let reads = status.iter().flat_map(|device| &device.pipes).filter(|pipe| pipe.pipe == "read");
        reads.flat_map(|pipe| &pipe.pending).any(|read| read.length > 70_000 && read.age_ms > 700)
    });
    scan
}

fn is_recovering(rig: &Rig) -> bool {
    rig.session().status(None).expect("a status").iter().any(|device| device.recovery.is_some())
}

/// The whole ladder, of a scanner that is like this besides.
fn is_revived(more: &str) {
    let spec = format!("{SILENT}{more}");
    let rig = Rig::new(&spec);
    let names =
        || -> Vec<String> { rig.session().list().expect("a list").iter().map(|device| device.name.clone()).collect() };
    let before = names();
    let scan = hanging(&rig);
    let said = rig.done(&["cancel"]);
    assert!(said.contains("port reset, verified"), "{spec}: {said}");
    assert_eq!(scan.end().code, Some(6), "{spec}");
    page_is_right(&rig, &spec);
    assert_eq!(before, names(), "{spec}: it is the same one");
}

#[test]
fn a_silent_scanner_is_reset_and_the_next_page_is_right() {
    is_revived("");
}

#[test]
fn a_silent_scanner_in_alternate_setting_1_is_in_it_again_after_its_reset() {
    if !Rig::left_out_with_a_gadget("alternate settings") {
        is_revived(",alternate=1");
    }
}

#[test]
fn a_silent_scanner_that_moves_in_its_reset_is_the_same_one_afterwards() {
    if !Rig::left_out_at_a_kernel(
        "another address after a reset: Linux tries it again meanwhile, and takes a device that is back for the same",
    ) {
        is_revived(",reset=moves");
        is_revived(",reset=moves,alternate=1");
    }
}

#[test]
fn a_daemon_that_is_ended_in_the_middle_of_a_recovery_leaves_a_scanner_that_the_next_one_can_use() {
    for signal in [Signal::TERM, Signal::KILL] {
        let mut rig = Rig::new(SILENT);
        let scan = hanging(&rig);
        let cancel = Program::start(&mut rig.usbscan(&["cancel"]));
        eventually("the recovery begins", || is_recovering(&rig));
        let daemon = rig.end_daemon(signal);
        if signal == Signal::TERM {
            assert_eq!(daemon.code, Some(0), "{}", daemon.stderr);
        }
        // They hear of it, whichever of the two was first.
        for program in [scan, cancel] {
            let ended = program.end();
            assert!(matches!(ended.code, Some(0 | 3 | 6 | 8)), "{:?}: {}", ended.code, ended.stderr);
        }
        rig.start_daemon();
        eventually("it is listed", || !rig.session().list().expect("a list").is_empty());
        page_is_right(&rig, &format!("{signal:?}"));
    }
}

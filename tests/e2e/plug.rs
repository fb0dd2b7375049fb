//! A cable that is plugged in, pulled in the middle of things, and plugged in again: at a kernel's port, which the
//! in-process bus has not, so only where `USBSCAN_E2E_RIG` says so.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use usbscan_virtual::glass::{Glass, View};

use crate::page::{Page, PixelFormat};
use crate::program::Program;
use crate::rig::{Rig, eventually};

fn page_is_right(rig: &Rig) {
    rig.done(&["scan", "-r", "100", "--mode", "color", "--area", "25.4,25.4,50.8,25.4", "-o", "right.png"]);
    let view = View { dpi: (100, 100), left: 100, top: 100, width: 200, height: 100 };
    Page::read_png(&rig.path("right.png")).assert_shows(&Page::on_glass(&Glass::chart(), view, PixelFormat::Color8));
}

fn stable_ids(rig: &Rig) -> Vec<String> {
    let there = rig.session().list().expect("a list");
    there.into_iter().map(|device| device.stable_id).collect()
}

#[test]
#[ignore = "needs a kernel to plug into: tools/test --only guest-user-vhci"]
fn a_scanner_is_found_when_it_is_plugged_in_and_keeps_its_id_when_it_comes_back() {
    // The rig's daemon runs before anything is plugged in.
    let mut rig = Rig::new("esci,serial=CABLE");
    let ids = stable_ids(&rig);
    assert_eq!(ids, ["04b8:0151:CABLE"]);
    rig.unplug();
    assert_eq!(stable_ids(&rig), [""; 0]);
    assert_eq!(rig.run(&["scan", "-o", "page.png"]).code, Some(4), "there is nothing to scan with");
    rig.replug();
    assert_eq!(stable_ids(&rig), ids);
    page_is_right(&rig);
}

#[test]
#[ignore = "needs a kernel to plug into: tools/test --only guest-user-vhci"]
fn a_cable_pulled_in_mid_page_is_a_clear_error_and_after_replugging_the_page_is_right() {
    let mut rig = Rig::new("esci");
    // Far larger than all buffers on its way, and not read further: so it stays in the middle of the page.
    let mut command = rig.usbscan(&["scan", "-r", "600", "--mode", "color", "--format", "pnm", "-o", "-"]);
    let (scan, mut page) = Program::start_unread(&mut command);
    page.read_exact(&mut [0; 4096]).expect("the page begins");
    rig.unplug();
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    let ended = scan.end();
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("unplugged") && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    rig.replug();
    page_is_right(&rig);
}

#[test]
#[ignore = "needs a kernel to plug into: tools/test --only guest-user-vhci"]
fn whoever_waits_on_any_pipe_learns_that_the_cable_was_pulled() {
    let mut rig = Rig::new("loopback");
    let waiting = [&["raw", "read"][..], &["wait-event"]].map(|arguments| Program::start(&mut rig.usbscan(arguments)));
    let watcher = rig.session();
    eventually("both wait", || {
        let status = watcher.status(None).expect("a status");
        status.iter().flat_map(|device| &device.pipes).map(|pipe| pipe.pending.len()).sum::<usize>() == 2
    });
    rig.unplug();
    for program in waiting {
        let ended = program.end();
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    }
}

#[test]
#[ignore = "needs a kernel to plug into: tools/test --only guest-user-vhci"]
fn a_scanner_that_is_plugged_in_again_and_again_on_a_busy_machine_is_found_each_time() {
    let times = std::env::var("USBSCAN_PLUGS").map_or(25, |text| text.parse().expect("USBSCAN_PLUGS is a number"));
    let mut rig = Rig::new("loopback");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = Done(&is_done);
        // More that want the processor than there are processors.
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for _ in 0..times {
            rig.unplug();
            rig.replug();
        }
        drop(done);
    });
}

/// Says so however its test ends.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

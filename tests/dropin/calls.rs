//! libusb's functions, called from C programs that are linked with the library: what each answers, a thread that is
//! cancelled in one, a process that forks.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::desk::Desk;
use crate::program::Program;
use crate::requirements::{self, VALGRIND};
use crate::rig::eventually;

/// What libusb answers on the same device: `tests/sane/peer.rs` has this machine's libusb say so.
const CALLS: &str = include_str!("calls.expected");
const UNPLUGGED: &str = include_str!("calls-unplug.expected");

fn compiled(desk: &Desk, name: &str) -> PathBuf {
    let lib = desk.path("lib");
    desk.compile(name, &["-L", lib.to_str().expect("text"), "-l:libusb-1.0.so.0", "-lpthread"])
}

fn output(desk: &Desk, name: &str, arguments: &[&str]) -> String {
    let program = compiled(desk, name);
    let ended = Program::start(&mut desk.alone(program, arguments, &desk.rig.socket())).end();
    assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
    ended.stdout
}

fn assert_rows_are_equal(ours: &str, theirs: &str) {
    let differ: Vec<_> = ours.lines().zip(theirs.lines()).filter(|(ours, theirs)| ours != theirs).collect();
    assert!(differ.is_empty(), "ours, and libusb's: {differ:#?}");
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{ours}");
}

#[test]
fn every_call_answers_what_libusb_answers() {
    assert_rows_are_equal(&output(&Desk::new(&["loopback"], &[]), "calls", &[]), CALLS);
}

#[test]
fn a_device_that_falls_off_the_bus_is_no_device() {
    let desk = Desk::new(&["loopback,fault=unplug@100000"], &[]);
    assert_rows_are_equal(&output(&desk, "calls", &["unplug"]), UNPLUGGED);
}

#[test]
fn a_thread_that_is_cancelled_in_a_blocked_call_ends_and_leaves_nothing_pending() {
    assert_eq!(output(&Desk::new(&["loopback"], &[]), "cancelled", &[]), "ended\n");
}

#[test]
fn a_process_that_forks_keeps_what_it_has_and_its_child_begins_anew() {
    assert_eq!(output(&Desk::new(&["loopback"], &[]), "forked", &[]), "ended\n");
}

#[test]
fn neither_a_process_that_forks_nor_its_children_touch_memory_that_is_not_theirs() {
    if !requirements::are_there("a process that uses libusb and forks, under valgrind", &[&VALGRIND]) {
        return;
    }
    let desk = Desk::new(&["loopback"], &[]);
    // It follows the children, which have no program of their own. What threads had that they have not is lost there: no leaks.
    let checks = ["--quiet", "--error-exitcode=99", "--leak-check=no", "--fair-sched=yes"];
    let program = compiled(&desk, "forked");
    let arguments: Vec<&str> = checks.into_iter().chain([program.to_str().expect("text")]).collect();
    let ended = Program::start(&mut desk.alone("valgrind", &arguments, &desk.rig.socket())).end();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "ended\n"), "{ended:?}");
}

#[test]
fn a_cancel_from_elsewhere_is_an_io_error_and_a_daemon_that_dies_is_no_device() {
    let mut desk = Desk::new(&["loopback"], &[]);
    let lib = desk.path("lib");
    let link = ["-L", lib.to_str().expect("text"), "-l:libusb-1.0.so.0"];
    let program = desk.compile("waiting", &link);
    let start = |desk: &Desk| {
        let waiting = Program::start(&mut desk.alone(&program, &[], &desk.rig.socket()));
        waiting.wait_for_words("reads", 1);
        eventually("its read is pending", || {
            let status = desk.rig.json(&["status"]);
            status["devices"][0]["state"] == "busy"
        });
        waiting
    };
    let waiting = start(&desk);
    desk.rig.done(&["cancel"]);
    assert_eq!(waiting.end().stdout, "reads\nLIBUSB_ERROR_IO 0\n");
    let waiting = start(&desk);
    desk.rig.end_daemon(Signal::KILL);
    assert_eq!(waiting.end().stdout, "reads\nLIBUSB_ERROR_NO_DEVICE 0\n");
}

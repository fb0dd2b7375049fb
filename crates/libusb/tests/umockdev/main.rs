//! The bus contract and more on real libusb over a fake usbfs (umockdev), on a machine that needs no USB.
//!
//! umockdev works by standing in front of the C library, so the tests run in a child process under
//! `umockdev-wrapper`. Where that is not installed (Debian: `umockdev`, `libumockdev0`) they are left out, with
//! a line that says so; with `USBSCAN_REQUIRE_UMOCKDEV=1` they fail instead. Under a checker:
//! `USBSCAN_UMOCKDEV_UNDER='valgrind -q --fair-sched=yes --error-exitcode=9' cargo test -p usbscan-libusb --test umockdev`

mod cases;
mod glib;
mod ioctl;
mod models;
mod netlink;
mod node;
mod rig;
#[path = "../runner/mod.rs"]
mod runner;
mod testbed;
mod usbfs;

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicPtr, Ordering};

use usbscan_usb::contract;

use crate::glib::Umockdev;
use crate::rig::UmockdevRig;
use crate::runner::Test;
use crate::testbed::Testbed;

/// Set for the child.
const INSIDE: &str = "USBSCAN_INSIDE_UMOCKDEV";
/// Set where leaving these tests out would hide something.
const REQUIRED: &str = "USBSCAN_REQUIRE_UMOCKDEV";

/// The test bed, at the end too: whoever looks for lost memory then finds that it is not.
static KEPT: AtomicPtr<Testbed> = AtomicPtr::new(std::ptr::null_mut());

/// A program, with arguments, to run the child under.
const UNDER: &str = "USBSCAN_UMOCKDEV_UNDER";

fn main() -> ExitCode {
    if std::env::var_os(INSIDE).is_none() {
        return run_under_wrapper();
    }
    let _ = env_logger::builder().is_test(true).try_init();
    sleep_exactly();
    let Some(api) = Umockdev::load() else { return left_out("libumockdev.so.0 can't be loaded") };
    let testbed: &'static Testbed = Box::leak(Box::new(Testbed::new(api)));
    KEPT.store(std::ptr::from_ref(testbed).cast_mut(), Ordering::Relaxed);
    let mut tests: Vec<Test> = contract::CASES
        .iter()
        .map(|case| Test::new(case.name, move || contract::run(&mut UmockdevRig::new(testbed), case.name)))
        .collect();
    tests.extend(cases::ALL.iter().map(|(name, case)| Test::new(name, move || case(&mut UmockdevRig::new(testbed)))));
    runner::run(&tests)
}

/// umockdev ends every ioctl with `usleep(0)`, which takes 50 µs unless the kernel is told not to be generous.
/// Threads inherit that.
fn sleep_exactly() {
    // SAFETY: PR_SET_TIMERSLACK takes a number of nanoseconds.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize) };
}

fn run_under_wrapper() -> ExitCode {
    let program = std::env::current_exe().expect("a program has a file");
    let under = std::env::var(UNDER).unwrap_or_default();
    let mut child = Command::new("umockdev-wrapper");
    child.args(under.split_whitespace()).arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    match child.status() {
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101)),
        Err(_) => left_out("umockdev-wrapper is not installed (Debian: umockdev, libumockdev0)"),
    }
}

fn left_out(why: &str) -> ExitCode {
    if std::env::var_os(REQUIRED).is_some() {
        eprintln!("the libusb tests over umockdev must run here ({REQUIRED}), but {why}");
        return ExitCode::FAILURE;
    }
    println!("left out: all libusb tests over umockdev: {why}");
    ExitCode::SUCCESS
}

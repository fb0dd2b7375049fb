//! The backend in programs that do what it can't know: that fork in mid-page, and that run with more rights than whoever
//! started them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::abi::run;
use crate::bench::Bench;
use crate::program::Program;
use crate::requirements::{self, LIBSANE_DEV};

/// A user who has no account.
const CALLER: u32 = 12_345;

#[test]
fn after_a_fork_the_childs_calls_fail_and_the_parents_page_is_right() {
    if requirements::are_there("the backend in a program that forks", &[&LIBSANE_DEV]) {
        let bench = Bench::new(&["esci,serial=FIRST", "esci,serial=SECOND,dialect=esc"]);
        run(bench.backend(), "forked", |program| bench.command(program));
    }
}

#[test]
fn in_a_set_uid_program_the_environment_chooses_no_daemon_and_no_log() {
    if !requirements::are_there("the backend in a set-uid program", &[&LIBSANE_DEV]) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return requirements::say("LEFT OUT: the backend in a set-uid program: only root makes one for another user");
    }
    let bench = Bench::new(&["esci,serial=ATTACKERS"]);
    let program = bench.backend().compile("listing");
    // Where no daemon is the log says so.
    let silent = || {
        let mut command = bench.command(&program);
        command.env("SANE_DEBUG_USBSCAN", "5").env("USBSCAN_SOCKET", "/nonexistent");
        command
    };
    let plain = Program::start(&mut bench.command(&program)).end();
    assert_eq!((plain.code, plain.stdout.lines().next()), (Some(0), Some("secure 0")), "{}", plain.stderr);
    assert!(plain.stdout.contains("ATTACKERS"), "{}", plain.stdout);
    assert!(Program::start(&mut silent()).end().stderr.contains("[usbscan]"));

    fs::set_permissions(program.parent().expect("its folder"), Permissions::from_mode(0o755)).expect("it is ours");
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).expect("it is ours");
    let secure = Program::start(bench.command(&program).uid(CALLER).gid(CALLER)).end();
    if secure.stdout.starts_with("secure 0") {
        return requirements::say("LEFT OUT: the backend in a set-uid program: this file system has no set-uid");
    }
    assert_eq!((secure.code, secure.stdout.lines().next()), (Some(0), Some("secure 1")), "{}", secure.stderr);
    assert!(!secure.stdout.contains("ATTACKERS"), "it asks the system's daemon alone: {}", secure.stdout);
    assert_eq!(Program::start(silent().uid(CALLER).gid(CALLER)).end().stderr, "");
}

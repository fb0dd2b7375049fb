//! The peer: SANE's own epson2 backend scans the same scanner, over libusb and this kernel's USB stack, without usbscan. Its
//! pictures are ours, pixel for pixel; and what a Ctrl-C costs with either when the scanner is silent.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Bench;
use crate::epson2::{GLASS, HAIR, LARGE, Page, picture, table};
use crate::picture::Pnm;
use crate::program::{DEADLINE, Program};
use crate::requirements::{self, SANE_UTILS};

/// scanimage with epson2 and no other backend.
fn epson2(bench: &Bench) -> Command {
    let configuration = bench.path("epson2");
    std::fs::create_dir_all(&configuration).expect("a folder");
    std::fs::write(configuration.join("dll.conf"), "epson2\n").expect("a file");
    std::fs::write(configuration.join("epson2.conf"), "usb\n").expect("a file");
    let mut command = Command::new("scanimage");
    command.env("SANE_CONFIG_DIR", configuration).current_dir(bench.path("."));
    command
}

/// Everything with epson2 first, because the daemon keeps a scanner for some seconds when it was used.
fn assert_pictures_are_equal(scanner: &str, depths: &[Option<&'static str>]) {
    let bench = Bench::new(&[scanner]);
    let pages = table(depths);
    let theirs: Vec<Pnm> = pages.iter().map(|page| picture(epson2(&bench), &page.arguments(HAIR))).collect();
    for (page, theirs) in pages.iter().zip(theirs) {
        let mut ours = picture(bench.scanimage(&[]), &page.arguments(0.0));
        if page.area == GLASS {
            ours.cut_right(theirs.size.0 / 8 * 8);
        }
        ours.assert_equals(&theirs, &format!("{scanner}, {:?}", page.arguments(0.0)));
    }
    requirements::say(&format!("{scanner}: {} pictures of epson2 and of ours are equal", pages.len()));
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn epson2_makes_the_same_pictures_in_the_fs_dialect() {
    if requirements::are_there("epson2's pictures", &[&SANE_UTILS]) {
        assert_pictures_are_equal("esci", &[Some("8"), Some("16")]);
    }
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn epson2_makes_the_same_pictures_in_the_esc_dialect() {
    if requirements::are_there("epson2's pictures, without FS commands", &[&SANE_UTILS]) {
        // epson2 gives scanners without FS commands no choice of depth; it is 8.
        assert_pictures_are_equal("esci,dialect=esc", &[None]);
    }
}

/// What each function of libusb answers on the loopback device, as the daemon's does (`tests/dropin/calls.rs`): the same program,
/// linked with the library of this machine, on a device of this kernel's.
fn assert_libusb_answers(scanner: &str, arguments: &[&str], expected: &str) {
    let bench = Bench::new(&[scanner]);
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dropin/calls.c");
    let program = bench.path("calls");
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=c11", "-D_GNU_SOURCE", "-o"]).arg(&program).arg(source).args(["-l:libusb-1.0.so.0", "-lpthread"]);
    let compiled = Program::start(&mut gcc).end();
    assert_eq!(compiled.code, Some(0), "{}", compiled.stderr);
    let ended = Program::start(Command::new(&program).args(arguments)).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let rows = ended.stdout.lines().zip(expected.lines());
    let differ: Vec<_> = rows.filter(|(libusbs, ours)| libusbs != ours).collect();
    assert!(differ.is_empty(), "libusb's rows, and those that are expected of it and of ours: {differ:#?}");
    assert_eq!(ended.stdout.lines().count(), expected.lines().count(), "{}", ended.stdout);
    requirements::say(&format!("{scanner}: {} rows of libusb's and of ours are equal", expected.lines().count() - 1));
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn every_call_of_libusb_answers_what_ours_does() {
    assert_libusb_answers("loopback", &[], include_str!("../dropin/calls.expected"));
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn libusb_answers_what_ours_does_of_a_device_that_falls_off_the_bus() {
    let scanner = "loopback,fault=unplug@100000";
    assert_libusb_answers(scanner, &["unplug"], include_str!("../dropin/calls-unplug.expected"));
}

/// How long epson2 is waited for. It waits a minute for each answer that does not come, one after the other, and is back after
/// some 175 s: `USBSCAN_PEER_PATIENCE=600 tools/test --only guest-peer -v` sees the end of it.
fn timeout() -> Duration {
    let seconds = std::env::var("USBSCAN_PEER_PATIENCE").ok();
    Duration::from_secs(seconds.map_or(25, |seconds| seconds.parse().expect("seconds")))
}

/// Reads all that comes, until nothing does for longer than anything takes.
fn read_until_silence(page: &mut ChildStdout) {
    let mut room = vec![0; 1 << 16];
    let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
    while poll(&mut [PollFd::new(&page.as_fd(), PollFlags::IN)], Some(&patience)) == Ok(1) {
        assert_ne!(page.read(&mut room).expect("a pipe reads"), 0, "the page ended, and was to fall silent");
    }
}

/// Scans until the scanner is silent, presses Ctrl-C, and says how long it took until the program was gone, if it went.
fn cancel_when_silent(mut command: Command, patience: Duration) -> Option<Duration> {
    let mut scan: Child = command
        .args(["--format=pnm", "--mode=Color", "--resolution=300"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("scanimage starts");
    let pid = Pid::from_child(&scan);
    let mut page = scan.stdout.take().expect("it was asked for");
    read_until_silence(&mut page);
    let began = Instant::now();
    kill_process(pid, Signal::INT).expect("it runs");
    let (tell, ended) = bounded(1);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut page, &mut std::io::sink());
        let _ = tell.send(scan.wait());
    });
    let ended = ended.recv_timeout(patience).is_ok().then(|| began.elapsed());
    if ended.is_none() {
        // It was not reaped, so the number is still its own.
        kill_process(pid, Signal::KILL).expect("it runs");
    }
    ended
}

/// The times are a measurement: it prints both, and judges neither.
#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn control_comes_back_from_a_silent_scanner_and_the_next_page_is_right() {
    if !requirements::are_there("Ctrl-C beside epson2", &[&SANE_UTILS]) {
        return;
    }
    let silent = "esci,fault=silence@1000000";
    let theirs = cancel_when_silent(epson2(&Bench::new(&[silent])), timeout());
    let bench = Bench::new(&[silent]);
    let page = Page { mode: "Color", depth: None, dpi: "75", area: LARGE, more: &[] };
    let before = picture(bench.scanimage(&[]), &page.arguments(0.0));
    let ours = cancel_when_silent(bench.scanimage(&[]), DEADLINE).expect("scanimage ends");
    let after = picture(bench.scanimage(&[]), &page.arguments(0.0));
    after.assert_equals(&before, "the page after the cancel");
    let theirs = theirs.map_or_else(|| format!("not within {:?}", timeout()), |time| format!("{time:.1?}"));
    requirements::say(&format!(
        "the scanner is silent: Ctrl-C to the end of scanimage: usbscan {ours:.1?}, epson2 {theirs}"
    ));
}

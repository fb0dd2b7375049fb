//! A scanner falls silent, or somebody interferes, while SANE's backend waits for it in a blocked call: who waits has
//! control back, and the next page is right. How long it takes is printed, and judged by nobody.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::ChildStdout;
use std::time::Instant;

use rustix::process::Signal;

use crate::desk::Desk;
use crate::page::{Page, PixelFormat};
use crate::picture::Pnm;
use crate::program::{Ended, Program};
use crate::requirements::{self, SANE_UTILS};
use usbscan_virtual::glass::{Glass, View};

/// What is scanned, of which the silence is a part.
const PAGE: [&str; 3] = ["--format=pnm", "--mode=Color", "--resolution=300"];
/// Far into it, and far from its end (26 MB).
const SILENT_AT: u64 = 3_000_000;

pub fn desk(scanner: &str, backend: &str) -> Desk {
    Desk::new(&[&format!("{scanner},fault=silence@{SILENT_AT}")], &[backend])
}

/// Reads until the scanner is silent: the daemon has a read pending of which nothing comes.
pub fn until_silent(desk: &Desk, page: &ChildStdout) {
    let mut rest: File = page.as_fd().try_clone_to_owned().expect("a descriptor").into();
    std::thread::spawn(move || std::io::copy(&mut rest, &mut std::io::sink()));
    crate::rig::eventually("the scanner is silent", || {
        let status = desk.rig.json(&["status"]);
        let pipes = status["devices"][0]["pipes"].as_array().cloned().unwrap_or_default();
        let pending = pipes.iter().flat_map(|pipe| pipe["pending"].as_array().cloned().unwrap_or_default());
        pending.into_iter().any(|request| request["age-ms"].as_u64() > Some(1000))
    });
}

fn next_page_is_right(desk: &Desk) {
    let arguments = ["--format=pnm", "--mode=Color", "--resolution=300"];
    let area = ["-l", "25.4", "-t", "25.4", "-x", "50.8", "-y", "25.405"];
    let (left, top, width, height) = (300, 300, 600, 300);
    let pnm = desk.path("next.pnm");
    desk.done("scanimage", &[&arguments[..], &area, &["-o", pnm.to_str().expect("text")]].concat());
    let view = View { dpi: (300, 300), left, top, width, height };
    Pnm::read(&pnm).to_page().assert_shows(&Page::on_glass(&Glass::chart(), view, PixelFormat::Color8));
}

/// Scans until the scanner is silent, interferes, and returns how the program ended.
pub fn interfere(desk: &Desk, how: &str, interfere: impl FnOnce(&mut Program)) -> Ended {
    let (mut scan, page) = Program::start_unread(&mut desk.run("scanimage", &PAGE));
    until_silent(desk, &page);
    drop(page);
    let began = Instant::now();
    interfere(&mut scan);
    let ended = scan.end();
    requirements::say(&format!("the scanner is silent: {how} to the end of scanimage: {:.1?}", began.elapsed()));
    ended
}

#[test]
fn an_interrupt_gives_control_back_and_the_next_page_is_right() {
    if !requirements::are_there("Ctrl-C under run", &[&SANE_UTILS]) {
        return;
    }
    for (scanner, backend) in [("esci", "epson2"), ("esci,dialect=esc", "epson2"), ("esci2,formats=raw", "epsonds")] {
        let desk = desk(scanner, backend);
        // epsonds tries it ten times more, and sleeps for 5 s in between: it gets a second one from `usbscan run`.
        let ended = interfere(&desk, &format!("Ctrl-C, {backend}"), |scan| scan.signal(Signal::INT));
        assert!(ended.stderr.contains("received signal 2"), "{backend}: {}", ended.stderr);
        next_page_is_right(&desk);
    }
}

#[test]
fn a_termination_of_the_parent_gives_control_back() {
    if !requirements::are_there("SIGTERM under run", &[&SANE_UTILS]) {
        return;
    }
    let desk = desk("esci", "epson2");
    interfere(&desk, "SIGTERM, epson2", |scan| scan.signal(Signal::TERM));
    next_page_is_right(&desk);
}

#[test]
fn a_cancel_from_elsewhere_is_an_io_error_to_the_backend_and_the_next_page_is_right() {
    if !requirements::are_there("usbscan cancel of a program under run", &[&SANE_UTILS]) {
        return;
    }
    for (scanner, backend) in [("esci", "epson2"), ("esci,dialect=esc", "epson2")] {
        let desk = desk(scanner, backend);
        let ended = interfere(&desk, &format!("usbscan cancel, {backend}"), |_| drop(desk.rig.run(&["cancel"])));
        assert_ne!(ended.code, Some(0), "half a page is no success");
        assert!(ended.stderr.contains("Error during device I/O"), "{backend}: {}", ended.stderr);
        next_page_is_right(&desk);
    }
}

//! SANE's own backends in a process of their own, as `usbscan scan --driver sane:NAME` has them: their options, their pages, their
//! crashes, and what a Ctrl-C costs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use usbscan_scan::hosted::HostedBackend;
use usbscan_scan::{Constraint, Scanner, Value};

use crate::desk::{Desk, built};
use crate::epson2::{self, HAIR};
use crate::picture::Pnm;
use crate::program::{Ended, Program};
use crate::requirements::{self, LIBSANE_DEV, SANE_UTILS};
use crate::silence::until_silent;

/// The `test` backend, which has every option type and every frame format, and no scanner.
const TEST: &str = "sane:test";

/// `usbscan scan` with a backend.
pub fn scan(desk: &Desk, driver: &str, arguments: &[&str]) -> Command {
    scan_at(desk, &desk.rig.socket(), driver, arguments)
}

/// The same, of a daemon that listens somewhere else.
pub fn scan_at(desk: &Desk, socket: &Path, driver: &str, arguments: &[&str]) -> Command {
    let mut command = desk.rig.usbscan_at(socket, &["scan", "--driver", driver, "--host-folder"]);
    command.arg(desk.path("lib")).args(arguments);
    desk.prepare(&mut command);
    command
}

/// A page that a backend has to bring.
fn page(desk: &Desk, driver: &str, arguments: &[&str]) -> Pnm {
    let file = desk.path("hosted.pnm");
    let output = ["--overwrite", "-o", file.to_str().expect("text")];
    let ended = Program::start(&mut scan(desk, driver, &[arguments, &output[1..]].concat())).end();
    assert_eq!(ended.code, Some(0), "{driver} {arguments:?}: {}", ended.stderr);
    let page = Pnm::read(&file);
    std::fs::remove_file(file).expect("it is there");
    page
}

fn failed(desk: &Desk, driver: &str, arguments: &[&str]) -> Ended {
    let ended = Program::start(&mut scan(desk, driver, &[arguments, &["-o", "none.pnm"]].concat())).end();
    assert_ne!(ended.code, Some(0), "{driver} {arguments:?}");
    ended
}

/// An area of 200 pixels across at 100 dpi, a hair more than that.
const AREA: [(&str, &str); 2] = [("br-x", "50.81"), ("br-y", "20.33")];

const BY_HAND: (&str, &str) = ("hand-scanner", "yes");

/// What a page of the `test` backend is scanned with, in scanimage's words, which are the backend's own.
type Words<'a> = &'a [(&'a str, &'a str)];

fn test_page_equals_scanimages(desk: &Desk, words: Words<'_>) {
    let all: Vec<(&str, &str)> = [("resolution", "100")].iter().chain(words).copied().collect();
    let theirs = desk.path("theirs.pnm");
    let mut scanimage = desk.alone("scanimage", &["-d", "test", "--format=pnm", "-o"], &desk.rig.socket());
    scanimage.arg(&theirs);
    scanimage.args(all.iter().map(|(name, value)| format!("--{name}={value}")));
    // The width of one that is held by hand is fixed, and its height is known at its end.
    let area: &[(&str, &str)] = if words.contains(&BY_HAND) { &[] } else { &AREA };
    if !area.is_empty() {
        scanimage.args(["-x", AREA[0].1, "-y", AREA[1].1]);
    }
    let ended = Program::start(&mut scanimage).end();
    assert_eq!(ended.code, Some(0), "{words:?}: {}", ended.stderr);

    let set = |(name, value): &(&str, &str)| ["--set".to_owned(), format!("{name}={value}")];
    let arguments: Vec<String> = all.iter().chain(area).flat_map(set).collect();
    let ours = page(desk, TEST, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    ours.assert_equals(&Pnm::read(&theirs), &format!("{words:?}"));
}

#[test]
fn every_frame_format_of_the_test_backend_is_the_page_that_scanimage_makes_of_it() {
    if !requirements::are_there("SANE's test backend in a host", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["loopback"], &["test"]);
    let pattern = ("test-picture", "Color pattern");
    let color = ("mode", "Color");
    let mut pages = 0;
    for words in [
        &[("mode", "Gray"), ("depth", "1"), ("test-picture", "Grid")][..],
        &[("mode", "Gray"), ("depth", "8"), ("test-picture", "Grid")],
        &[("mode", "Gray"), ("depth", "16"), pattern],
        &[color, ("depth", "8"), pattern],
        &[color, ("depth", "16"), pattern],
        &[color, ("depth", "8"), ("three-pass", "yes"), ("three-pass-order", "RGB"), pattern],
        &[color, ("depth", "8"), ("three-pass", "yes"), ("three-pass-order", "BRG"), pattern],
        &[color, ("depth", "8"), pattern, ("read-limit", "yes"), ("read-limit-size", "997")],
        &[("mode", "Gray"), ("depth", "8"), pattern, BY_HAND],
        &[color, ("depth", "8"), pattern, ("non-blocking", "yes")],
    ] {
        test_page_equals_scanimages(&desk, words);
        pages += 1;
    }
    requirements::say(&format!("test: {pages} pages in a host and of scanimage are equal"));
}

/// The scanner that the `test` backend has, with all of its options.
fn test_scanner(desk: &Desk) -> Box<dyn Scanner> {
    let programs = crate::rig::program("usbscan-sane-host");
    let host = HostedBackend::new(
        PathBuf::from(programs.get_program()),
        built("libusbscan_libusb_dropin.so"),
        "test".to_owned(),
        "usbscan0".to_owned(),
        desk.rig.socket(),
    );
    let opened = host.open(HostedBackend::cancel_handle(), &mut |_| {});
    opened.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_option_type_is_told_and_set() {
    if !requirements::are_there("options of SANE's test backend in a host", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["loopback"], &["test"]);
    let mut scanner = test_scanner(&desk);
    let options = scanner.options_mut();
    assert!(!options.get("int").expect("it is there").active);
    assert!(options.set_text("int", "3").is_err(), "one that is not used");
    options.set_text("enable-test-options", "yes").expect("a switch");
    assert!(options.get("int").expect("it is there").active, "the backend has had its options told anew");

    for (name, text, value) in [
        ("bool-soft-select-soft-detect", "yes", Value::Bool(true)),
        ("int", "-3", Value::Int(-3)),
        ("int-constraint-range", "6", Value::Int(6)),
        ("int-constraint-word-list", "-42", Value::Int(-42)),
        ("fixed", "1.5", Value::Fixed(1.5)),
        // The backend has steps, and says that it has rounded.
        ("fixed-constraint-range", "42", Value::Fixed(41.83)),
        ("fixed-constraint-word-list", "12.1", Value::Fixed(12.1)),
        ("string", "any words", Value::from("any words")),
        ("string-constraint-string-list", "second entry", Value::from("Second entry")),
    ] {
        options.set_text(name, text).unwrap_or_else(|error| panic!("{error}"));
        let is = options.get(name).expect("it is there");
        match (&is.value, &value) {
            (Value::Fixed(is), Value::Fixed(value)) => assert!((is - value).abs() < 0.001, "{name} is {is}"),
            (is, value) => assert_eq!(is, value, "{name}"),
        }
    }
    let array = options.get("int-constraint-array").expect("it is there");
    let Constraint::Numbers { count, whole: true, .. } = array.constraint else { panic!("{array:?}") };
    let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    options.set_text("int-constraint-array", &numbers.join(",")).expect("as many numbers");
    let now = options.numbers("int-constraint-array").expect("numbers").to_vec();
    assert_eq!(now, (0..count).map(|number| number as f64).collect::<Vec<_>>());
    options.set_text("button", "yes").expect("a button is pressed");
    assert!(options.set_text("int-constraint-range", "1000").is_err(), "beyond its range");
    assert!(options.get("int").expect("it is there").group.contains("Int"), "options stand in groups");
}

#[test]
fn what_a_backend_says_of_its_feeder_is_what_our_drivers_say() {
    if !requirements::are_there("feeder states of SANE's test backend", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["loopback"], &["test"]);
    for (status, words) in [
        ("SANE_STATUS_JAMMED", "paper is jammed"),
        ("SANE_STATUS_NO_DOCS", "no paper in the document feeder"),
        ("SANE_STATUS_COVER_OPEN", "a cover of the scanner is open"),
        ("SANE_STATUS_IO_ERROR", "SANE's backend test: sane_read: Error during device I/O"),
    ] {
        let ended = failed(&desk, TEST, &["--set", &format!("read-return-value={status}")]);
        assert!(ended.stderr.contains(words), "{status}: {}", ended.stderr);
    }
    // The backend's feeder has ten sheets.
    let batch = ["--source", "adf", "-r", "20", "-o", "sheet-%d.pnm"];
    let ended = Program::start(&mut scan(&desk, TEST, &batch)).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let sheets = ended.stdout.lines().filter(|line| line.starts_with("sheet-")).count();
    assert_eq!(sheets, 10, "{}", ended.stdout);
}

/// The same page by our driver and by a backend, from one scanner.
fn assert_equals_our_driver(desk: &Desk, driver: &str, mode: &str, depth: Option<&str>, dpi: &str, area: [f64; 4]) {
    let [left, top, width, height] = area;
    let arguments = |longer: f64| {
        let area = format!("{left},{top},{},{}", width + longer, height + longer);
        let mut all =
            vec!["--mode".to_owned(), mode.to_owned(), "-r".to_owned(), dpi.to_owned(), "--area".to_owned(), area];
        all.extend(depth.into_iter().flat_map(|depth| ["--depth".to_owned(), depth.to_owned()]));
        all
    };
    // Backends cut lengths where ours rounds them.
    let hosted: Vec<String> = arguments(HAIR);
    let hosted = page(desk, driver, &hosted.iter().map(String::as_str).collect::<Vec<_>>());
    let file = desk.path("ours.pnm");
    let own: Vec<String> = arguments(0.0);
    let mut words = vec!["scan", "-o", file.to_str().expect("text")];
    words.extend(own.iter().map(String::as_str));
    desk.rig.done(&words);
    hosted.assert_equals(&Pnm::read(&file), &format!("{driver}, {mode} {depth:?}, {dpi} dpi"));
    std::fs::remove_file(file).expect("it is there");
}

#[test]
fn epson2_in_a_host_scans_what_our_driver_scans() {
    if !requirements::are_there("epson2 in a host", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["esci"], &["epson2"]);
    for (mode, depth, dpi, area) in [
        ("lineart", None, "300", epson2::LARGE),
        ("gray", Some("8"), "100", epson2::SMALL),
        ("gray", Some("16"), "75", epson2::LARGE),
        ("color", Some("8"), "300", epson2::LARGE),
        ("color", Some("16"), "150", epson2::SMALL),
        ("color", Some("8"), "1200", epson2::TINY),
    ] {
        assert_equals_our_driver(&desk, "sane:epson2", mode, depth, dpi, area);
    }
}

#[test]
fn epsonds_in_a_host_scans_what_our_driver_scans() {
    if !requirements::are_there("epsonds in a host", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["esci2,formats=raw"], &["epsonds"]);
    for (mode, dpi, area) in
        [("lineart", "300", epson2::LARGE), ("gray", "150", epson2::SMALL), ("color", "75", epson2::LARGE)]
    {
        assert_equals_our_driver(&desk, "sane:epsonds", mode, None, dpi, area);
    }
}

#[test]
fn the_sheets_of_a_feeder_come_through_a_host() {
    if !requirements::are_there("feeders in a host", &[&SANE_UTILS]) {
        return;
    }
    for (scanner, backend) in [("esci,adf=3", "epson2"), ("esci2,formats=raw,sheets=3", "epsonds")] {
        let desk = Desk::new(&[scanner], &[backend]);
        let driver = format!("sane:{backend}");
        let batch = ["--source", "adf", "--mode", "gray", "-r", "150", "-o", "sheet-%d.pnm"];
        let ended = Program::start(&mut scan(&desk, &driver, &batch)).end();
        assert_eq!(ended.code, Some(0), "{backend}: {}", ended.stderr);
        let sheets = (1..=3).map(|number| std::fs::read(desk.path(&format!("sheet-{number}.pnm"))).expect("a sheet"));
        let sheets: std::collections::BTreeSet<_> = sheets.collect();
        assert_eq!(sheets.len(), 3, "{backend}: each sheet has its number on it");
        assert!(!desk.path("sheet-4.pnm").exists(), "{backend}: the feeder is empty then");
    }
}

#[test]
fn a_backend_that_crashes_is_a_sentence_and_the_next_scan_works() {
    if !requirements::are_there("a backend that crashes", &[&SANE_UTILS, &LIBSANE_DEV]) {
        return;
    }
    let desk = Desk::new(&["esci"], &[]);
    let built = desk.compile("crash", &["-shared", "-fPIC"]);
    let folder = desk.path("crash-folder");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::rename(built, folder.join("libsane-crash.so.1")).expect("one file system");
    let mut crash = scan(&desk, "sane:crash", &["-o", "none.pnm"]);
    let ended = Program::start(crash.env("USBSCAN_SANE_FOLDERS", &folder)).end();
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("SANE's backend crash crashed (SIGSEGV)"), "{}", ended.stderr);
    assert!(!desk.path("none.pnm").exists(), "no half page is left");
    desk.rig.done(&["scan", "-r", "75", "--mode", "gray", "-o", "next.pnm"]);
}

#[test]
fn a_backend_that_is_not_there_or_is_none_for_this_scanner_is_a_sentence() {
    if !requirements::are_there("backends that can't be used", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["esci"], &[]);
    for (driver, words) in [
        ("sane:no-such-backend", "SANE's backend no-such-backend is not installed"),
        ("sane:../epson2", "SANE's backend ../epson2 is not installed"),
        ("sane:epsonds", "SANE's backend epsonds does not find this scanner"),
    ] {
        let ended = failed(&desk, driver, &[]);
        assert!(ended.stderr.contains(words), "{driver}: {}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{driver}");
    }
}

#[test]
fn an_interrupt_while_the_scanner_is_silent_gives_control_back_and_the_next_page_is_right() {
    if !requirements::are_there("Ctrl-C of a host", &[&SANE_UTILS]) {
        return;
    }
    for (scanner, backend) in [("esci", "epson2"), ("esci2,formats=raw", "epsonds")] {
        let desk = crate::silence::desk(scanner, backend);
        let driver = format!("sane:{backend}");
        let whole = ["--mode", "color", "-r", "300", "--format", "pnm", "-o", "-"];
        let (scan, output) = Program::start_unread(&mut scan(&desk, &driver, &whole));
        until_silent(&desk, &output);
        drop(output);
        let began = std::time::Instant::now();
        scan.signal(Signal::INT);
        let ended = scan.end();
        requirements::say(&format!("the scanner is silent: Ctrl-C, {backend} in a host: {:.1?}", began.elapsed()));
        assert!(ended.stderr.contains("interrupted"), "{backend}: {}", ended.stderr);
        assert_equals_our_driver(&desk, &driver, "color", None, "300", epson2::LARGE);
    }
}

#[test]
fn a_cancel_from_elsewhere_is_a_cancel_and_the_next_page_is_right() {
    if !requirements::are_there("usbscan cancel of a host", &[&SANE_UTILS]) {
        return;
    }
    let desk = crate::silence::desk("esci", "epson2");
    let whole = ["--mode", "color", "-r", "300", "--format", "pnm", "-o", "-"];
    let (scan, output) = Program::start_unread(&mut scan(&desk, "sane:epson2", &whole));
    until_silent(&desk, &output);
    drop(output);
    drop(desk.rig.run(&["cancel"]));
    let ended = scan.end();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains("cancelled"), "{}", ended.stderr);
    assert_equals_our_driver(&desk, "sane:epson2", "color", None, "300", epson2::LARGE);
}

#[test]
fn a_page_that_nobody_reads_is_interrupted_and_the_next_page_is_right() {
    if !requirements::are_there("Ctrl-C of a host's page that nobody reads", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["esci"], &["epson2"]);
    let whole = ["--mode", "color", "-r", "300", "--format", "pnm", "-o", "-"];
    let (scan, mut output) = Program::start_unread(&mut scan(&desk, "sane:epson2", &whole));
    output.read_exact(&mut [0; 1000]).expect("the page has begun");
    scan.signal(Signal::INT);
    let ended = scan.end();
    assert!(ended.stderr.contains("interrupted"), "{}", ended.stderr);
    drop(output);
    assert_equals_our_driver(&desk, "sane:epson2", "color", None, "300", epson2::LARGE);
}

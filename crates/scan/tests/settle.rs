//! What the drivers tell the daemon of each phase of a job: for how long the scanner may be silent in it. What is written shows
//! the phase; the numbers are seconds.

mod support;

use support::{Bench, Cable, Page, bench, open, scan, timeouts};
use usbscan_scan::esci2::Esci2;
use usbscan_scan::{Driver, Scanner, sources};

const ACK: &[u8] = &[0x06];
const FF: &[u8] = &[0x0c];
const PF: &[u8] = &[0x19];
const USUAL: u64 = 1;
const SHEET: u64 = 8;
const MOVING: u64 = 10;
const WARM_UP: u64 = 30;

/// Some blocks of gray.
const PAGE: [(&str, &str); 4] = [("mode", "gray"), ("resolution", "300"), ("br-x", "100"), ("br-y", "200")];

/// The settle time at each write that begins so.
fn at(bench: &Bench, begins: &[u8]) -> Vec<u64> {
    let rig = bench.lock();
    assert_eq!(rig.written.len(), rig.settled.len());
    let writes = rig.written.iter().zip(&rig.settled);
    writes.filter(|(bytes, _)| bytes.starts_with(begins)).map(|(_, settle)| *settle).collect()
}

fn next_page(scanner: &mut dyn Scanner) {
    let mut page = Page::default();
    scanner.scan(&mut page, &mut |_| {}).expect("a page");
    assert!(page.is_whole);
}

#[test]
fn on_the_glass_only_the_start_of_a_page_may_take_long() {
    for (dialect, start) in [("fs", b"\x1cG"), ("esc", b"\x1bG")] {
        let bench = bench(&format!("esci,dialect={dialect}"));
        let mut scanner = open(&bench).expect("it opens");
        scan(&mut *scanner, &PAGE).expect("a page");
        assert_eq!(at(&bench, start), [MOVING], "{dialect}");
        let acks = at(&bench, ACK);
        assert!(acks.len() > 2 && acks.iter().all(|settle| *settle == USUAL), "{dialect}: {acks:?}");
        for question in [b"\x1b@", b"\x1bI"] {
            assert!(at(&bench, question).iter().all(|settle| *settle == USUAL), "{dialect}");
        }
    }
}

#[test]
fn a_sheet_in_the_feeder_may_take_long_until_it_is_out() {
    for (description, loads) in [("esci,adf=2", true), ("esci,level=D7,adf=2", false)] {
        let bench = bench(description);
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all(PAGE).expect("good options");
        scanner.options_mut().set_text("source", sources::FEEDER).expect("a feeder");
        next_page(&mut *scanner);
        next_page(&mut *scanner);
        scanner.end_batch().expect("idle");
        assert_eq!(at(&bench, b"\x1cG"), [MOVING, MOVING], "{description}");
        assert_eq!(!at(&bench, PF).is_empty(), loads, "{description}");
        for moving in [PF, FF, ACK] {
            assert!(at(&bench, moving).iter().all(|settle| *settle == SHEET), "{description}: {moving:?}");
        }
        assert!(!at(&bench, FF).is_empty() && !at(&bench, ACK).is_empty(), "{description}");
    }
}

#[test]
fn after_a_cancel_the_carriage_may_take_long_to_come_home() {
    let bench = bench("esci");
    let mut scanner = open(&bench).expect("it opens");
    let mut page = Page { stop_after: Some(1), ..Page::default() };
    scanner.options_mut().set_all(PAGE).expect("good options");
    scanner.scan(&mut page, &mut |_| {}).expect("a part of a page");
    scan(&mut *scanner, &PAGE).expect("a page");
    let settings = at(&bench, b"\x1cW");
    assert_eq!(settings, [USUAL, MOVING]);
    scan(&mut *scanner, &PAGE).expect("another page");
    assert_eq!(at(&bench, b"\x1cW"), [USUAL, MOVING, USUAL], "it is home");
}

#[test]
fn a_lamp_may_take_long_to_warm_up() {
    for dialect in ["fs", "esc"] {
        let bench = bench(&format!("esci,dialect={dialect},warmup=0.05"));
        let mut scanner = open(&bench).expect("it opens");
        scan(&mut *scanner, &PAGE).expect("a page");
        let settled = bench.lock().settled.clone();
        assert!(settled.contains(&WARM_UP), "{dialect}: {settled:?}");
        assert_eq!(settled.first(), Some(&USUAL));
        assert_eq!(at(&bench, ACK).last(), Some(&USUAL), "{dialect}: it is warm");
    }
}

fn open_esci2(bench: &Bench) -> Box<dyn Scanner> {
    Esci2.open_with(timeouts(), Box::new(Cable::new(bench)), &mut |_| {}).expect("it opens")
}

#[test]
fn an_esci2_scanner_may_take_long_for_the_start_and_as_long_as_it_has_a_sheet() {
    for (source, page) in [(sources::FLATBED, USUAL), (sources::FEEDER, SHEET)] {
        let bench = bench("esci2,sheets=2");
        let mut scanner = open_esci2(&bench);
        scanner.options_mut().set_text("source", source).expect("a source");
        scan(&mut *scanner, &PAGE).expect("a page");
        for (request, settle) in [("INFO", USUAL), ("PARA", USUAL), ("TRDT", MOVING)] {
            assert_eq!(at(&bench, request.as_bytes()), [settle], "{source} {request}");
        }
        let images = at(&bench, b"IMG ");
        assert_eq!(images.first(), Some(&MOVING), "{source}");
        assert_eq!(images.last(), Some(&page), "{source}: {images:?}");
        assert!(images.len() > 3);
    }
}

#[test]
fn an_esci2_scanner_that_is_busy_or_warms_up_may_take_long() {
    let bench = bench("esci2,warmup=0.05");
    let mut scanner = open_esci2(&bench);
    scan(&mut *scanner, &PAGE).expect("a page");
    let settled = bench.lock().settled.clone();
    assert!(settled.contains(&WARM_UP), "{settled:?}");
}

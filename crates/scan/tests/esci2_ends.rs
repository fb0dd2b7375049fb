//! ESC/I-2, and somebody ends in the middle: a cancel at any transfer, a client that dies at any, with its abort sequence and
//! without one. The scanner is idle, the next page is right.

mod support;

use std::time::Duration;

use support::{Bench, Cable, Page, Read, When, bench, scan, timeouts};
use usbscan_scan::esci2::Esci2;
use usbscan_scan::{Driver, Progress, ScanError, Scanner};

/// Some chunks of gray from the glass; both sides of a sheet.
const FLATBED: [(&str, &str); 5] =
    [("source", "flatbed"), ("mode", "gray"), ("resolution", "300"), ("br-x", "50"), ("br-y", "100")];
const SHEET: [(&str, &str); 5] =
    [("source", "adf duplex"), ("mode", "gray"), ("resolution", "300"), ("br-x", "50"), ("br-y", "80")];
const JOBS: [&[(&str, &str)]; 2] = [&FLATBED, &SHEET];
/// Enough sheets for whatever happens before the one that counts.
const SCANNER: &str = "esci2,sheets=9";

fn open(bench: &Bench) -> Result<Box<dyn Scanner>, ScanError> {
    Esci2.open_with(timeouts(), Box::new(Cable::new(bench)), &mut |_| {})
}

fn whole_page() -> Vec<u8> {
    scan(&mut *open(&bench(SCANNER)).expect("it opens"), &FLATBED).expect("a page").bytes
}

fn is_idle(bench: &Bench) -> bool {
    let mut rig = bench.lock();
    let before = rig.hear_out();
    let wait = Duration::from_secs(1);
    let entered = rig.write(b"\x1cX", wait).is_ok() && rig.hear_out() == [0x06];
    let left = rig.write(b"FIN x0000000", wait).is_ok() && rig.hear_out().starts_with(b"FIN x0000000");
    before.is_empty() && entered && left
}

/// Transfers of opening and of opening and a page.
fn transfers(options: &[(&str, &str)]) -> (u64, u64) {
    let bench = bench(SCANNER);
    let mut scanner = open(&bench).expect("it opens");
    let opened = bench.lock().transfers;
    scan(&mut *scanner, options).expect("a page");
    let all = bench.lock().transfers;
    (opened, all)
}

#[test]
fn a_client_that_dies_at_any_transfer_leaves_what_the_daemon_needs_to_end_its_job() {
    let right = whole_page();
    for options in JOBS {
        let (_, all) = transfers(options);
        assert!(all > 30, "a page of some chunks: {all}");
        for at in 1..=all {
            let bench = bench(SCANNER);
            bench.lock().die = When::Transfer(at);
            let died = open(&bench).and_then(|mut scanner| scan(&mut *scanner, options));
            assert!(died.is_err() || at >= all, "it died at {at}");
            bench.lock().bury();
            assert!(is_idle(&bench), "not idle after a death at {at} of {all}");
            let page = scan(&mut *open(&bench).expect("it opens"), &FLATBED).expect("a page");
            assert!(page.bytes == right, "death at {at} of {all}");
            assert_eq!(bench.lock().resets, 0);
        }
    }
}

/// All that a driver writes for one page, a transfer each.
fn dialogue(options: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let bench = bench(SCANNER);
    scan(&mut *open(&bench).expect("it opens"), options).expect("a page");
    let written = bench.lock().written.clone();
    assert!(written.iter().filter(|bytes| bytes.starts_with(b"IMG ")).count() >= 5, "a page of some chunks");
    written
}

#[test]
fn after_any_prefix_of_a_dialogue_without_an_abort_sequence_the_next_page_is_right() {
    let right = whole_page();
    for options in JOBS {
        let written = dialogue(options);
        for (at, last) in written.iter().enumerate() {
            let cuts = (1..=last.len()).filter(|cut| cut % 5 == 1 || *cut == last.len());
            for (cut, read) in cuts.flat_map(|cut| Read::EACH.map(|read| (cut, read))) {
                let bench = bench(SCANNER);
                bench.lock().die_in_the_middle(&written[..at], &last[..cut], read);
                let mut scanner =
                    open(&bench).unwrap_or_else(|error| panic!("transfer {at}, {cut} of {last:?}, {read:?}: {error}"));
                let page = scan(&mut *scanner, &FLATBED).expect("a page");
                assert!(page.bytes == right, "transfer {at}, {cut} bytes, {read:?}");
                assert_eq!(bench.lock().resets, 0, "transfer {at}, {cut} bytes, {read:?}");
            }
        }
    }
}

#[test]
fn a_cancel_at_any_transfer_leaves_the_scanner_idle_and_the_next_page_right() {
    let right = whole_page();
    for options in JOBS {
        let (opened, all) = transfers(options);
        for at in opened..all {
            let bench = bench(SCANNER);
            let mut scanner = open(&bench).expect("it opens");
            bench.lock().cancel = When::Transfer(at);
            let mut told = false;
            scanner.options_mut().set_all(options.iter().copied()).expect("good options");
            let mut page = Page::default();
            let outcome = scanner.scan(&mut page, &mut |progress| told |= progress == Progress::Cancelling);
            match outcome {
                Err(ScanError::Cancelled { idle }) => assert!(idle && told, "at {at} of {all}"),
                // The last transfers only take leave.
                Ok(_) => assert!(at + 4 >= all, "not cancelled at {at} of {all}"),
                Err(error) => panic!("at {at} of {all}: {error}"),
            }
            assert!(is_idle(&bench), "not idle after a cancel at {at} of {all}");
            scanner.cancel_handle().reset();
            let page = scan(&mut *scanner, &FLATBED).expect("a page");
            assert!(page.bytes == right, "cancel at {at} of {all}");
            assert!(bench.lock().armed.is_none());
        }
    }
}

#[test]
fn a_cancel_while_the_scanner_is_silent_comes_back_though_it_can_not_be_made_idle() {
    let bench = bench("esci2,fault=silence@30k");
    let mut scanner = open(&bench).expect("it opens");
    let began = bench.lock().clock();
    bench.lock().cancel = When::At(began + Duration::from_secs(2));
    let error = scan(&mut *scanner, &FLATBED).expect_err("silent");
    assert!(matches!(error, ScanError::Cancelled { idle: false }), "{error:?}");
    assert!(bench.lock().clock() - began < Duration::from_secs(12));
    assert!(bench.lock().armed.is_some(), "for the daemon to try again");
}

#[test]
fn a_transfer_that_fails_in_mid_page_fails_the_page_and_not_the_next() {
    let right = whole_page();
    for fault in ["stall", "garble", "babble"] {
        let bench = bench(&format!("{SCANNER},fault={fault}@30k"));
        let mut scanner = open(&bench).expect("it opens");
        scan(&mut *scanner, &FLATBED).expect_err("a fault");
        let page = scan(&mut *scanner, &FLATBED).expect("a page");
        assert!(page.bytes == right, "{fault}");
        assert!(is_idle(&bench), "{fault}");
    }
}

#[test]
fn a_scanner_that_is_unplugged_is_said_to_be_gone() {
    let bench = bench("esci2,fault=unplug@30k");
    let mut scanner = open(&bench).expect("it opens");
    let error = scan(&mut *scanner, &FLATBED).expect_err("gone");
    assert!(error.to_string().contains("unplugged"), "{error}");
}

#[test]
fn any_mixture_of_faults_ends_in_a_page_or_in_words() {
    for seed in 0..60 {
        let bench = bench(&format!("{SCANNER},chaos={seed}"));
        for _ in 0..2 {
            let result = open(&bench).and_then(|mut scanner| scan(&mut *scanner, &SHEET));
            if let Err(error) = result {
                assert!(!error.to_string().is_empty());
            }
        }
    }
}

//! Cancelled anywhere, by anyone, a scanner is idle afterwards and its next page is right.

mod support;

use std::time::Duration;

use support::{Bench, Page, When, bench, open, scan};
use usbscan_scan::{DeviceError, Progress, ScanError, Scanner};

const SMALL: [(&str, &str); 4] = [("mode", "gray"), ("resolution", "300"), ("br-x", "84.7"), ("br-y", "60")];
const DIALECTS: [&str; 2] = ["fs", "esc"];

/// Scans until it is cancelled, and says whether it was, and how long the clock of the rig ran after that.
fn cancelled(bench: &Bench, scanner: &mut dyn Scanner, when: When) -> Option<Page> {
    scanner.options_mut().set_all(SMALL).expect("good options");
    bench.lock().cancel = when;
    let mut page = Page::default();
    match scanner.scan(&mut page, &mut |_| {}) {
        Ok(_) => None,
        Err(ScanError::Cancelled { idle: true }) => Some(page),
        Err(error) => panic!("cancelled at {when:?}: {error}"),
    }
}

fn whole_page(description: &str) -> Vec<u8> {
    let bench = bench(description);
    scan(&mut *open(&bench).expect("it opens"), &SMALL).expect("a page").bytes
}

#[test]
fn cancelled_before_any_transfer_of_a_page_it_is_idle_and_the_next_page_is_right() {
    for dialect in DIALECTS {
        let description = format!("esci,dialect={dialect}");
        let right = whole_page(&description);
        let mut at = 0;
        loop {
            let bench = bench(&description);
            let mut scanner = open(&bench).expect("it opens");
            let from = bench.lock().transfers;
            let page = cancelled(&bench, &mut *scanner, When::Transfer(from + at));
            let Some(page) = page else { break };
            assert!(!page.is_whole, "{dialect} {at}");
            assert!(bench.lock().is_idle(), "{dialect} {at}: not idle");
            assert!(bench.lock().armed.is_none(), "{dialect} {at}: still armed");
            let next = scan(&mut *scanner, &SMALL).expect("the next page");
            assert!(next.bytes == right, "{dialect} {at}: the next page is another one");
            at += 1;
        }
        assert!(at > 15, "{dialect}: only {at} transfers in a page");
    }
}

#[test]
fn cancelled_inside_a_block_it_is_idle_and_the_next_page_is_right() {
    for dialect in DIALECTS {
        let right = whole_page(&format!("esci,dialect={dialect}"));
        // A million bytes a second: the page takes 0.7 seconds of the rig's clock.
        let description = format!("esci,dialect={dialect},slow=1000000");
        for part in 0..34 {
            let bench = bench(&description);
            let mut scanner = open(&bench).expect("it opens");
            let at = bench.lock().clock() + Duration::from_millis(1 + 20 * part);
            let page = cancelled(&bench, &mut *scanner, When::At(at)).expect("it was cancelled");
            assert!(page.bytes.len() < right.len() && right.starts_with(&page.bytes), "{dialect} {part}");
            assert!(bench.lock().is_idle(), "{dialect} {part}: not idle");
            let next = scan(&mut *scanner, &SMALL).expect("the next page");
            assert!(next.bytes == right, "{dialect} {part}: the next page is another one");
        }
    }
}

#[test]
fn a_cancel_waits_for_the_rest_of_a_block_and_for_nothing_else() {
    // Of 254 lines of 1000 bytes, and of 128 KiB.
    for (dialect, whole_blocks, most) in [("fs", 1, 254), ("esc", 2, 135)] {
        let description = format!("esci,dialect={dialect},slow=1000000");
        let bench = bench(&description);
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all(SMALL).expect("good options");
        let at = bench.lock().clock() + Duration::from_millis(300);
        bench.lock().cancel = When::At(at);
        assert!(scanner.scan(&mut Page::default(), &mut |_| {}).is_err());
        let rig = bench.lock();
        assert_eq!(rig.written.last().map(Vec::as_slice), Some(&[0x18][..]), "{dialect}: CAN is the last word");
        let blocks = rig.written.iter().filter(|bytes| **bytes == [0x06]).count();
        assert_eq!(blocks, whole_blocks, "{dialect}");
        // The rest of a block at a million bytes a second, and some transfers.
        let took = rig.clock() - at;
        assert!(took < Duration::from_millis(most), "{dialect}: {took:?} on the rig's clock");
    }
}

#[test]
fn a_sink_that_says_stop_or_fails_leaves_an_idle_scanner() {
    for dialect in DIALECTS {
        for call in [1, 2, 3] {
            for fails in [false, true] {
                let bench = bench(&format!("esci,dialect={dialect}"));
                let mut scanner = open(&bench).expect("it opens");
                scanner.options_mut().set_all(SMALL).expect("good options");
                let mut page = Page::default();
                *(if fails { &mut page.fail_after } else { &mut page.stop_after }) = Some(call);
                let result = scanner.scan(&mut page, &mut |_| {});
                match result {
                    Ok(usbscan_scan::Outcome::Stopped) => assert!(!fails),
                    Err(ScanError::Sink(error)) => assert!(fails && error.to_string() == "the disk is full"),
                    other => panic!("{other:?}"),
                }
                assert!(!page.is_whole && page.calls == call);
                assert!(bench.lock().is_idle(), "{dialect} {call}");
                assert!(scan(&mut *scanner, &SMALL).expect("the next page").is_whole);
            }
        }
    }
}

#[test]
fn a_cancel_before_the_scan_ends_it_before_it_begins() {
    let bench = bench("esci");
    let mut scanner = open(&bench).expect("it opens");
    let cancel = scanner.cancel_handle();
    cancel.cancel();
    let mut page = Page::default();
    let result = scanner.scan(&mut page, &mut |_| {});
    assert!(matches!(result, Err(ScanError::Cancelled { idle: true })), "{result:?}");
    assert!(page.format.is_none());
    assert!(scan(&mut *scanner, &SMALL).expect("the cancel is spent").is_whole);
    cancel.cancel();
    cancel.reset();
    assert!(scan(&mut *scanner, &SMALL).expect("the cancel was taken back").is_whole);
}

#[test]
fn a_cancel_ends_the_warming_up_too() {
    for dialect in DIALECTS {
        let bench = bench(&format!("esci,dialect={dialect},warmup=100000"));
        let mut scanner = open(&bench).expect("it opens");
        let cancel = scanner.cancel_handle();
        let mut warming = 0;
        let result = scanner.scan(&mut Page::default(), &mut |progress| {
            if let Progress::WarmingUp { .. } = progress {
                warming += 1;
                if warming == 5 {
                    cancel.cancel();
                }
            }
        });
        assert!(matches!(result, Err(ScanError::Cancelled { idle: true })), "{result:?}");
        assert_eq!(warming, 5);
        assert!(bench.lock().is_idle());
    }
}

#[test]
fn a_mute_scanner_is_given_up_after_a_cancel_and_armed_for_whoever_comes() {
    for dialect in DIALECTS {
        let bench = bench(&format!("esci,dialect={dialect},fault=silence@100k"));
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all(SMALL).expect("good options");
        bench.lock().cancel = When::At(Duration::from_secs(20));
        let result = scanner.scan(&mut Page::default(), &mut |_| {});
        assert!(matches!(result, Err(ScanError::Cancelled { idle: false })), "{result:?}");
        assert!(bench.lock().armed.is_some());
    }
}

#[test]
fn a_read_that_somebody_else_cancelled_ends_the_scan_the_same_way() {
    // As `usbscan cancel --request` from another terminal does: the read comes back cancelled, and nobody asked here.
    for dialect in DIALECTS {
        let bench = bench(&format!("esci,dialect={dialect},slow=1000000"));
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all(SMALL).expect("good options");
        let at = bench.lock().clock() + Duration::from_millis(200);
        bench.lock().foreign_cancel = When::At(at);
        let result = scanner.scan(&mut Page::default(), &mut |_| {});
        assert!(matches!(result, Err(ScanError::Cancelled { idle: true })), "{result:?}");
        assert!(bench.lock().is_idle());
        assert!(scan(&mut *scanner, &SMALL).expect("the next page").is_whole);
    }
}

#[test]
fn after_somebody_elses_cancel_of_everything_the_driver_puts_nothing_more_on_the_wire() {
    for dialect in DIALECTS {
        let bench = bench(&format!("esci,dialect={dialect},slow=1000000"));
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all(SMALL).expect("good options");
        let at = bench.lock().clock() + Duration::from_millis(200);
        (bench.lock().foreign_cancel, bench.lock().foreign_cancel_ends_job) = (When::At(at), true);
        let written = std::cell::Cell::new(0);
        let result = scanner.scan(&mut Page::default(), &mut |progress| {
            if progress == Progress::Cancelling {
                written.set(bench.lock().written.len());
            }
        });
        assert!(matches!(result, Err(ScanError::Cancelled { idle: true })), "{result:?}");
        let after: Vec<_> = bench.lock().written[written.get()..].to_vec();
        assert!(after == bench.lock().recovered_with, "all of it is the daemon's: {after:02x?}");
        assert!(bench.lock().is_idle());
        assert!(scan(&mut *scanner, &SMALL).expect("the next page").is_whole);
    }
}

#[test]
fn a_carriage_that_goes_home_after_a_cancel_is_waited_for() {
    for dialect in [usbscan_virtual::Dialect::Fs, usbscan_virtual::Dialect::Esc] {
        let level = usbscan_virtual::Level::B7;
        let model = usbscan_virtual::Esci::new(usbscan_virtual::EsciSetup { dialect, level, ..Default::default() });
        let panel = model.panel();
        let bench = std::sync::Arc::new(parking_lot::Mutex::new(support::Rig::new(Box::new(model))));
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all(SMALL).expect("good options");
        let mut page = Page { stop_after: Some(1), ..Page::default() };
        scanner.scan(&mut page, &mut |_| {}).expect("stopped");
        panel.change(|conditions| conditions.busy = usbscan_virtual::Busy::Always);
        let (mut page, mut asked) = (Page::default(), 0);
        let home = |progress| {
            asked += u32::from(progress == Progress::Starting);
            if asked == 3 {
                panel.change(|conditions| conditions.busy = usbscan_virtual::Busy::No);
            }
        };
        scanner.scan(&mut page, &mut { home }).expect("a page");
        assert!(page.is_whole);
        panel.change(|conditions| conditions.busy = usbscan_virtual::Busy::Always);
        let error = scan(&mut *scanner, &SMALL).expect_err("now it is somebody else");
        assert!(matches!(error, ScanError::Device(DeviceError::Busy)), "{error:?}");
    }
}

#[test]
fn the_cancel_button_of_the_scanner_ends_the_page_there() {
    let bench = bench("esci,fault=cancel@200000");
    let mut scanner = open(&bench).expect("it opens");
    scanner.options_mut().set_all(SMALL).expect("good options");
    let mut page = Page::default();
    let result = scanner.scan(&mut page, &mut |_| {});
    assert!(matches!(result, Err(ScanError::Device(DeviceError::CancelledAtDevice))), "{result:?}");
    assert!(bench.lock().is_idle());
    assert!(scan(&mut *scanner, &SMALL).expect("the next page").is_whole);
}

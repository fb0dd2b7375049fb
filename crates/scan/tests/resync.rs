//! Whatever a client was doing when it died, the next one gets in sync and its page is right: by the abort sequence that
//! was armed, and also without one.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use usbscan_usb::EndpointAddress;
use usbscan_virtual::{In, Model, Out};

use support::{Bench, Cable, Page, Read, Rig, When, bench, open, scan, timeouts};
use usbscan_scan::{Driver, Progress, ScanError, Scanner};

const SMALL: [(&str, &str); 4] = [("mode", "gray"), ("resolution", "150"), ("br-x", "130"), ("br-y", "130")];
const LINEAR: [(&str, &str); 5] = [("gamma", "linear"), SMALL[0], SMALL[1], SMALL[2], SMALL[3]];
const DIALECTS: [&str; 2] = ["esci", "esci,dialect=esc"];

fn whole_page(description: &str) -> Vec<u8> {
    let bench = bench(description);
    scan(&mut *open(&bench).expect("it opens"), &SMALL).expect("a page").bytes
}

/// All that a driver writes for one page, a transfer each.
fn dialogue(description: &str, options: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let bench = bench(description);
    scan(&mut *open(&bench).expect("it opens"), options).expect("a page");
    let written = bench.lock().written.clone();
    assert!(written.iter().filter(|bytes| **bytes == [0x06]).count() >= 3, "a page of several blocks");
    written
}

/// Opens, and says whether it took more than the usual.
fn open_and_see(bench: &Bench) -> (Box<dyn Scanner>, bool) {
    let mut recovered = false;
    let scanner = usbscan_scan::esci::Esci.open_with(timeouts(), Box::new(Cable::new(bench)), &mut |progress| {
        recovered |= progress == Progress::Recovering;
    });
    (scanner.expect("it opens"), recovered)
}

#[test]
fn after_any_prefix_of_a_dialogue_the_next_page_is_right() {
    for description in DIALECTS {
        let right = whole_page(description);
        for options in [&SMALL[..], &LINEAR[..]] {
            let written = dialogue(description, options);
            for (at, last) in written.iter().enumerate() {
                // Long parameters: their first bytes, and some between.
                let cuts = (1..=last.len()).filter(|cut| last.len() < 70 || cut % 23 == 1 || *cut == last.len());
                for (cut, read) in cuts.flat_map(|cut| Read::EACH.map(|read| (cut, read))) {
                    let bench = bench(description);
                    bench.lock().die_in_the_middle(&written[..at], &last[..cut], read);
                    let (mut scanner, _) = open_and_see(&bench);
                    let page = scan(&mut *scanner, &SMALL).expect("a page");
                    assert!(page.bytes == right, "{description}: transfer {at}, {cut} bytes, {read:?}");
                    assert_eq!(bench.lock().resets, 0, "{description}: transfer {at}, {cut} bytes, {read:?}");
                }
            }
        }
    }
}

/// A scanner that answers where it need not as no source tells (docs/esc-i.md, "What nobody has confirmed").
struct Odd {
    inner: Box<dyn Model>,
    oddity: Oddity,
    last: Vec<u8>,
    repeat: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Oddity {
    /// CAN when idle, ACK when idle and bytes that mean nothing: no answer.
    IgnoresStrays,
    /// Every NAK comes twice, as if each byte of a command were refused.
    RefusesTwice,
}

impl Model for Odd {
    fn descriptors(&self) -> &usbscan_virtual::Descriptors {
        self.inner.descriptors()
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        self.last = packet.to_vec();
        self.inner.bulk_out(now, endpoint, packet)
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, room: &mut [u8]) -> In {
        if std::mem::take(&mut self.repeat) {
            room[0] = 0x15;
            return In::Data(1);
        }
        let answer = self.inner.bulk_in(now, endpoint, room);
        let is_stray = self.last.first().is_some_and(|first| ![0x1b, 0x1c].contains(first));
        match (answer, self.oddity) {
            (In::Data(1), Oddity::IgnoresStrays) if room[0] == 0x15 && is_stray => self.bulk_in(now, endpoint, room),
            (In::Data(1), Oddity::RefusesTwice) if room[0] == 0x15 => {
                self.repeat = true;
                answer
            }
            _ => answer,
        }
    }

    fn reset(&mut self) {
        self.inner.reset();
    }
}

#[test]
fn scanners_that_answer_strays_otherwise_are_brought_back_too() {
    for description in DIALECTS {
        let right = whole_page(description);
        let written = dialogue(description, &LINEAR);
        for oddity in [Oddity::IgnoresStrays, Oddity::RefusesTwice] {
            for (at, last) in written.iter().enumerate() {
                for cut in [1, last.len()] {
                    let inner = usbscan_virtual::spec::parse(description).expect("a good description");
                    let odd = Odd { inner, oddity, last: Vec::new(), repeat: false };
                    let bench = Arc::new(Mutex::new(Rig::new(Box::new(odd))));
                    let mut rig = bench.lock();
                    for bytes in &written[..at] {
                        let _ = rig.write(bytes, Duration::from_secs(1));
                        rig.hear_out();
                    }
                    let _ = rig.write(&last[..cut], Duration::from_secs(1));
                    drop(rig);
                    let (mut scanner, _) = open_and_see(&bench);
                    let page = scan(&mut *scanner, &SMALL).expect("a page");
                    assert!(page.bytes == right, "{description}: {oddity:?}, transfer {at}, {cut} bytes");
                    assert_eq!(bench.lock().resets, 0, "{description}: {oddity:?}, transfer {at}, {cut} bytes");
                }
            }
        }
    }
}

/// Dies at this moment of a page, or not at all.
fn die(bench: &Bench, when: When, options: &[(&str, &str)]) -> bool {
    bench.lock().die = when;
    let result = open(bench).and_then(|mut scanner| {
        scanner.options_mut().set_all(options.iter().copied())?;
        scanner.scan(&mut Page::default(), &mut |_| {})
    });
    match result {
        Ok(_) => bench.lock().dead,
        Err(ScanError::Transport(_)) if bench.lock().dead => true,
        Err(error) => panic!("{when:?}: {error}"),
    }
}

#[test]
fn the_armed_steps_bring_a_scanner_to_idle_from_before_any_transfer() {
    for description in DIALECTS {
        let right = whole_page(description);
        for options in [&SMALL[..], &LINEAR[..]] {
            let mut at = 0;
            loop {
                let bench = bench(description);
                if !die(&bench, When::Transfer(at), options) {
                    break;
                }
                bench.lock().bury();
                let (mut scanner, recovered) = open_and_see(&bench);
                assert!(!recovered, "{description} {at}: it was not idle");
                assert!(scan(&mut *scanner, &SMALL).expect("a page").bytes == right, "{description} {at}");
                at += 1;
            }
            assert!(at > 25, "{description}: only {at} transfers in a page");
        }
    }
}

#[test]
fn the_armed_steps_bring_a_scanner_to_idle_from_inside_any_block() {
    for description in DIALECTS {
        let right = whole_page(description);
        let slow = format!("{description},slow=1000000");
        let mut at = 0;
        loop {
            let bench = bench(&slow);
            if !die(&bench, When::At(Duration::from_millis(at)), &SMALL) {
                break;
            }
            bench.lock().bury();
            let (mut scanner, recovered) = open_and_see(&bench);
            assert!(!recovered, "{description} {at} ms: it was not idle");
            assert!(scan(&mut *scanner, &SMALL).expect("a page").bytes == right, "{description} {at} ms");
            at += 11;
        }
        assert!(at > 400, "{description}: {at} ms");
    }
}

#[test]
fn without_armed_steps_opening_takes_longer_and_works_as_well() {
    for description in DIALECTS {
        let right = whole_page(description);
        let slow = format!("{description},slow=1000000");
        for at in (0..500).step_by(37) {
            let bench = bench(&slow);
            assert!(die(&bench, When::At(Duration::from_millis(at)), &SMALL), "{at} ms is in the page");
            bench.lock().armed = None;
            bench.lock().bury();
            let (mut scanner, _) = open_and_see(&bench);
            assert!(scan(&mut *scanner, &SMALL).expect("a page").bytes == right, "{description} {at} ms");
        }
    }
}

#[test]
fn a_scanner_that_pauses_in_the_middle_of_its_block_is_waited_for() {
    for description in DIALECTS {
        let right = whole_page(description);
        for at in [300, 5_000, 60_000, 140_000] {
            // Longer than what counts as silence: CAN then falls into the block.
            let bench = bench(&format!("{description},fault=silence@{at}:700"));
            bench.lock().die = When::Transfer(26);
            let _ = open(&bench).and_then(|mut scanner| scan(&mut *scanner, &SMALL));
            bench.lock().armed = None;
            bench.lock().bury();
            let (mut scanner, _) = open_and_see(&bench);
            assert!(scan(&mut *scanner, &SMALL).expect("a page").bytes == right, "{description} {at}");
        }
    }
}

#[test]
fn an_idle_scanner_is_opened_without_any_of_this() {
    for description in DIALECTS {
        let bench = bench(description);
        let (_, recovered) = open_and_see(&bench);
        assert!(!recovered);
        assert!(bench.lock().clock() < Duration::from_millis(50), "{:?}", bench.lock().clock());
        assert!(bench.lock().armed.is_none());
    }
}

#[test]
fn two_clients_one_after_the_other_need_nothing_between_them() {
    let bench = bench("esci");
    for _ in 0..3 {
        let (mut scanner, recovered) = open_and_see(&bench);
        assert!(!recovered);
        assert!(scan(&mut *scanner, &SMALL).expect("a page").is_whole);
    }
}

#[test]
fn one_that_is_left_in_mid_page_between_two_scans_of_one_client_is_brought_back() {
    let bench = bench("esci");
    let mut scanner = open(&bench).expect("it opens");
    scan(&mut *scanner, &SMALL).expect("a page");
    // Somebody else, past the daemon: FS W, FS G, and gone.
    let written = dialogue("esci", &SMALL);
    let mut rig = bench.lock();
    for bytes in &written[written.len() - 8..written.len() - 2] {
        let _ = rig.write(bytes, Duration::from_secs(1));
        rig.hear_out();
    }
    drop(rig);
    let mut recovered = false;
    let mut page = Page::default();
    scanner.scan(&mut page, &mut |progress| recovered |= progress == Progress::Recovering).expect("a page");
    assert!(recovered && page.bytes == whole_page("esci"));
}

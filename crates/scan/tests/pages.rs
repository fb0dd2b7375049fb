//! A page scanned is the page that lies on the glass: all modes, depths, dialects and areas, pixel for pixel.

mod support;

use support::{Bench, bench, open, scan, shows};
use usbscan_scan::{Flow, PageFormat, PageSink, Pixels, SinkError};
use usbscan_virtual::glass::Glass;

fn check(description: &str, options: &[(&str, &str)], left: u32, top: u32) -> PageFormat {
    let bench = bench(description);
    let mut scanner = open(&bench).expect("it opens");
    scanner.options_mut().set_all(options.iter().copied()).expect("good options");
    let promised = scanner.page_format().expect("a page");
    let page = scan(&mut *scanner, options).expect("a page");
    let format = page.format.expect("a page began");
    assert!(page.is_whole);
    assert_eq!(promised, format, "what was promised");
    let threshold =
        options.iter().find(|(name, _)| *name == "threshold").map_or(128, |(_, text)| text.parse().unwrap());
    assert!(
        shows(&page, &Glass::chart(), left, top, threshold),
        "{description} {options:?}: other pixels than on the glass"
    );
    let mut rig = bench.lock();
    assert!(rig.is_idle(), "{description} {options:?}: not idle");
    assert!(rig.armed.is_none());
    format
}

const LOOKS: [(&str, &str, Pixels); 5] = [
    ("color", "8", Pixels::Rgb8),
    ("color", "16", Pixels::Rgb16),
    ("gray", "8", Pixels::Gray8),
    ("gray", "16", Pixels::Gray16),
    ("lineart", "", Pixels::Bit),
];

const SCANNERS: [&str; 4] = ["esci", "esci,dialect=esc", "esci,dialect=esc,level=B4", "esci,level=B7"];

#[test]
fn every_mode_and_depth_is_the_glass_pixel_for_pixel() {
    for scanner in SCANNERS {
        for (mode, depth, pixels) in LOOKS {
            let mut options = vec![("mode", mode), ("resolution", "50"), ("br-y", "200")];
            if !depth.is_empty() {
                options.push(("depth", depth));
            }
            assert_eq!(check(scanner, &options, 0, 0).pixels, pixels);
        }
    }
}

#[test]
fn an_area_is_cut_out_of_the_glass_at_the_pixel() {
    for scanner in SCANNERS {
        for (mode, _, _) in LOOKS {
            let area = [("tl-x", "10"), ("tl-y", "20.5"), ("br-x", "61.5"), ("br-y", "70")];
            let options: Vec<_> = [("mode", mode), ("resolution", "150")].into_iter().chain(area).collect();
            let format = check(scanner, &options, 59, 121);
            assert_eq!((format.width, format.height), (363 - 59, Some(413 - 121)));
        }
    }
}

#[test]
fn a_page_of_one_line_and_one_of_exactly_whole_blocks_end_where_they_should() {
    for scanner in SCANNERS {
        // At 300 dpi a block of gray has 254 lines: 255 at most, even.
        for (lines, to) in [(1, "0.08"), (254, "21.51"), (508, "43.01"), (509, "43.09")] {
            let options = [("mode", "gray"), ("resolution", "300"), ("br-x", "33.87"), ("br-y", to)];
            assert_eq!(check(scanner, &options, 0, 0).height, Some(lines));
        }
    }
}

#[test]
fn the_whole_glass_up_to_its_last_pixel() {
    assert_eq!(check("esci", &[("mode", "gray"), ("resolution", "50")], 0, 0).width, 425);
    assert_eq!(check("esci", &[("mode", "lineart"), ("resolution", "50")], 0, 0).width, 425);
    assert_eq!(check("esci,dialect=esc", &[("mode", "gray"), ("resolution", "50")], 0, 0).width, 425);
}

#[test]
fn lines_of_which_no_three_fit_in_a_block_are_a_page_too() {
    let area = [("tl-x", "100"), ("tl-y", "100"), ("br-x", "203"), ("br-y", "100.02")];
    let options: Vec<_> = [("depth", "16"), ("resolution", "9600")].into_iter().chain(area).collect();
    let format = check("esci", &options, 37_795, 37_795);
    assert!(3 * format.bytes_per_line() > 512 * 1024);
}

#[test]
fn the_threshold_is_the_one_that_was_chosen() {
    for scanner in ["esci", "esci,dialect=esc"] {
        for threshold in ["1", "90", "200", "255"] {
            check(scanner, &[("mode", "lineart"), ("threshold", threshold), ("resolution", "50")], 0, 0);
        }
    }
}

#[test]
fn a_linear_curve_is_the_same_on_a_scanner_whose_own_curve_is_straight() {
    for scanner in SCANNERS {
        check(scanner, &[("gamma", "linear"), ("resolution", "50")], 0, 0);
        check(scanner, &[("gamma", "linear"), ("mode", "gray"), ("resolution", "50")], 0, 0);
    }
}

#[test]
fn one_scan_after_the_other_with_other_options() {
    let bench = bench("esci,dialect=esc");
    let mut scanner = open(&bench).expect("it opens");
    for (mode, resolution) in [("lineart", "50"), ("color", "75"), ("gray", "60"), ("color", "50")] {
        let page = scan(&mut *scanner, &[("mode", mode), ("resolution", resolution)]).expect("a page");
        assert!(shows(&page, &Glass::chart(), 0, 0, 128), "{mode} {resolution}");
    }
}

#[test]
fn a_scanner_that_sends_its_items_in_pieces_gives_the_same_page() {
    for seed in 1..6 {
        for dialect in ["fs", "esc"] {
            let description = format!("esci,dialect={dialect},fault=short@{seed}");
            check(&description, &[("resolution", "50"), ("br-y", "50")], 0, 0);
        }
    }
}

#[test]
fn no_more_than_a_block_is_read_or_handed_over_at_once() {
    for (scanner, most, calls) in [("esci", 512 * 1024, 7), ("esci,dialect=esc", 128 * 1024, 28)] {
        let bench = bench(scanner);
        let mut scanner = open(&bench).expect("it opens");
        let page = scan(&mut *scanner, &[("resolution", "300"), ("br-y", "40")]).expect("a page");
        assert!(page.most <= most && page.calls >= calls, "{} of {} bytes", page.calls, page.most);
        assert!(bench.lock().most_read <= most + 512);
    }
}

/// Looks at the cable whenever it is given lines.
struct Onlooker {
    bench: Bench,
    reading: Vec<bool>,
}

impl PageSink for Onlooker {
    fn begin(&mut self, _: &PageFormat) -> Result<(), SinkError> {
        Ok(())
    }

    fn lines(&mut self, _: &[u8]) -> Result<Flow, SinkError> {
        self.reading.push(self.bench.lock().is_reading());
        Ok(Flow::Continue)
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn the_next_block_is_being_read_while_the_last_is_looked_at() {
    for scanner in ["esci", "esci,dialect=esc"] {
        let bench = bench(scanner);
        let mut scanner = open(&bench).expect("it opens");
        scanner.options_mut().set_all([("resolution", "150"), ("br-y", "170")]).expect("good options");
        let mut onlooker = Onlooker { bench, reading: Vec::new() };
        scanner.scan(&mut onlooker, &mut |_| {}).expect("a page");
        let (last, others) = onlooker.reading.split_last().expect("blocks");
        assert!(others.len() > 5 && others.iter().all(|reading| *reading) && !last);
    }
}

#[test]
fn a_scanner_says_what_it_is() {
    let extended = open(&bench("esci")).expect("it opens");
    let identity = extended.identity();
    assert_eq!((identity.model.as_str(), identity.firmware.as_str()), ("GT-X980", "1.00"));
    assert_eq!(identity.protocol, "ESC/I B8, extended commands");
    let plain = open(&bench("esci,dialect=esc")).expect("it opens");
    assert_eq!((plain.identity().model.as_str(), plain.identity().protocol.as_str()), ("GT-X980", "ESC/I B7"));
}

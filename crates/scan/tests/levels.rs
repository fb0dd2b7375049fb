//! Every level of ESC/I: what it offers, and that its pages are the glass pixel for pixel.

mod support;

use support::{bench, open, scan, shows};
use usbscan_scan::{ScanError, Unsupported};
use usbscan_virtual::glass::Glass;

const LEVELS: [&str; 13] = ["A2", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "F5", "D1", "D2", "D7", "D8"];

/// Scans a part, and holds it against the glass, `top` pixels below its edge.
fn check(description: &str, options: &[(&str, &str)], top: u32) {
    let bench = bench(description);
    let mut scanner = open(&bench).expect("it opens");
    let page = scan(&mut *scanner, options).unwrap_or_else(|error| panic!("{description} {options:?}: {error}"));
    assert!(page.is_whole);
    assert!(shows(&page, &Glass::chart(), 0, top, 128), "{description} {options:?}");
    assert!(bench.lock().is_idle() && bench.lock().armed.is_none(), "{description} {options:?}");
}

#[test]
fn every_level_scans_in_every_mode_that_it_offers() {
    for level in LEVELS {
        let description = format!("esci,dialect=esc,level={level}");
        let scanner = open(&bench(&description)).expect("it opens");
        let modes = scanner.options().get("mode").expect("an option").possible();
        assert_eq!(modes.contains("Color"), level != "A2", "{level}");
        assert_eq!(scanner.identity().protocol, format!("ESC/I {level}"));
        let depths = scanner.options().get("depth").expect("an option").possible();
        // At 50 dpi the colours of no scanner here lie a whole line apart; the all-in-one of level D7 begins at 75.
        let dpi = if level == "D7" { "75" } else { "50" };
        for mode in ["Gray", "Lineart", "Color"].into_iter().filter(|mode| modes.contains(mode)) {
            for depth in ["8", "16"].into_iter().filter(|depth| mode != "Lineart" && depths.contains(depth)) {
                check(&description, &[("mode", mode), ("depth", depth), ("resolution", dpi)], 0);
            }
            if mode == "Lineart" {
                check(&description, &[("mode", mode), ("resolution", dpi)], 0);
            }
        }
    }
}

#[test]
fn colors_that_lie_lines_apart_come_together_at_every_resolution_and_depth() {
    for (dpi, distance) in [("75", 1), ("150", 2), ("300", 4), ("600", 8)] {
        for depth in ["8", "16"] {
            for level in ["D1", "D2"] {
                let description = format!("esci,dialect=esc,level={level}");
                // From the very edge: the first lines that have all colours.
                let options = [("depth", depth), ("resolution", dpi), ("br-x", "50"), ("br-y", "30")];
                check(&description, &options, distance);
                let part = [("depth", depth), ("resolution", dpi), ("br-x", "50"), ("tl-y", "25.4"), ("br-y", "40")];
                check(&description, &part, dpi.parse().expect("a number"));
            }
        }
    }
}

#[test]
fn the_last_lines_of_the_glass_that_have_all_colors_are_there() {
    for (level, lost) in [("D1", 8), ("D8", 0)] {
        let bench = bench(&format!("esci,dialect=esc,level={level}"));
        let mut scanner = open(&bench).expect("it opens");
        let page = scan(&mut *scanner, &[("resolution", "300"), ("br-x", "10")]).expect("a page");
        assert_eq!(page.format.expect("a page").height, Some(3510 - lost), "{level}");
        assert!(shows(&page, &Glass::chart(), 0, lost / 2, 128), "{level}");
    }
}

#[test]
fn gray_and_lineart_of_a_sensor_with_colors_apart_lose_nothing() {
    for mode in ["gray", "lineart"] {
        check("esci,dialect=esc,level=D1", &[("mode", mode), ("resolution", "600"), ("br-x", "40"), ("br-y", "20")], 0);
    }
}

#[test]
fn a_level_that_can_not_be_done_is_refused_in_words_and_at_once() {
    for level in ["A1", "B1"] {
        let bench = bench(&format!("esci,dialect=esc,level={level}"));
        let error = open(&bench).map(drop).expect_err("not supported");
        assert!(matches!(error, ScanError::NotSupported(Unsupported::Level { .. })), "{level}: {error:?}");
        let words = format!("this scanner is a scanner of command level {level} without extended commands");
        assert!(error.to_string().starts_with(&words), "{error}");
        assert_eq!(bench.lock().resets, 0);
    }
}

#[test]
fn a_d_level_with_extended_commands_scans_with_them() {
    for mode in ["color", "gray", "lineart"] {
        check("esci,level=D8", &[("mode", mode), ("resolution", "50")], 0);
    }
    // FS I says nothing of colours that lie apart: here 2 lines at 150 dpi.
    check("esci,level=D1", &[("resolution", "150"), ("br-x", "50"), ("br-y", "30")], 2);
    let scanner = open(&bench("esci,level=D8")).expect("it opens");
    assert!(scanner.options().get("brightness").is_err() && scanner.options().get("color-correction").is_err());
}

#[test]
fn an_old_level_says_what_is_wrong_as_well_as_it_can() {
    for (level, words) in [("B2", "the scanner reports a fatal error"), ("B3", "a cover of the scanner is open")] {
        let bench = bench(&format!("esci,dialect=esc,level={level},cover=open"));
        let mut scanner = open(&bench).expect("it opens");
        let error = scan(&mut *scanner, &[("resolution", "50")]).expect_err("no page").to_string();
        assert!(error.starts_with(words), "{level}: {error}");
        assert!(bench.lock().is_idle());
    }
}

#[test]
fn a_line_by_line_scan_is_cancelled_and_the_next_is_right() {
    let bench = bench("esci,dialect=esc,level=B3,slow=1000000");
    let mut scanner = open(&bench).expect("it opens");
    let options = [("mode", "gray"), ("resolution", "75"), ("br-y", "40")];
    scanner.options_mut().set_all(options).expect("good options");
    let at = bench.lock().clock() + std::time::Duration::from_millis(20);
    bench.lock().cancel = support::When::At(at);
    let error = scanner.scan(&mut support::Page::default(), &mut |_| {}).expect_err("cancelled");
    assert!(matches!(error, ScanError::Cancelled { idle: true }), "{error:?}");
    assert!(bench.lock().is_idle());
    let page = scan(&mut *scanner, &options).expect("a page");
    assert!(shows(&page, &Glass::chart(), 0, 0, 128));
}

#[test]
fn a_client_of_any_level_may_die_anywhere_and_the_next_page_is_right() {
    let options = [("mode", "gray"), ("resolution", "75"), ("br-x", "100"), ("br-y", "20")];
    for level in ["B2", "B3", "D1", "B8"] {
        let description = format!("esci,dialect=esc,level={level}");
        let right = scan(&mut *open(&bench(&description)).expect("it opens"), &options).expect("a page").bytes;
        let mut at = 0;
        loop {
            let bench = bench(&description);
            bench.lock().die = support::When::Transfer(at);
            let died = open(&bench).and_then(|mut scanner| scan(&mut *scanner, &options)).is_err();
            // Who dies when it says that the job is over has its page.
            let dead = bench.lock().dead;
            assert!(dead || !died, "{level} {at}");
            if !dead {
                break;
            }
            if at % 2 == 1 {
                bench.lock().armed = None;
            }
            bench.lock().bury();
            let page = open(&bench).and_then(|mut scanner| scan(&mut *scanner, &options));
            assert!(page.expect("a page").bytes == right, "{level} {at}");
            assert_eq!(bench.lock().resets, 0, "{level} {at}");
            at += 1;
        }
        assert!(at > 20, "{level}: only {at} transfers");
    }
}

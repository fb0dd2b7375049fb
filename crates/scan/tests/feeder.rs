//! Pages from the document feeder and the transparency unit: in order, pixel for pixel, to the end of paper, and out again
//! whatever happens on the way.

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use support::{Bench, Cable, Page, Rig, When, bench, open, scan, shows, shows_within, timeouts};
use usbscan_scan::{DeviceError, Driver, Outcome, PageFormat, ScanError, Scanner, sources};
use usbscan_virtual::glass::{Bits, Glass, Mode, View};
use usbscan_virtual::{Dialect, Esci, EsciSetup, FeederSetup, Level, Sheet, Side};

/// All kinds of feeders: with the extended commands and without, with PF and without.
const FEEDERS: [&str; 4] = ["esci", "esci,level=B7", "esci,dialect=esc", "esci,dialect=esc,level=B8"];
const LOOKS: [(&str, &str); 5] = [("color", "8"), ("color", "16"), ("gray", "8"), ("gray", "16"), ("lineart", "")];

fn choose(scanner: &mut dyn Scanner, source: &str, mode: &str, depth: &str) {
    let mut options = vec![("source", source), ("mode", mode), ("resolution", "50"), ("br-y", "120")];
    if !depth.is_empty() {
        options.push(("depth", depth));
    }
    scanner.options_mut().set_all(options).expect("good options");
}

fn next_page(scanner: &mut dyn Scanner) -> Result<Page, ScanError> {
    let mut page = Page::default();
    assert_eq!(scanner.scan(&mut page, &mut |_| {})?, Outcome::Complete);
    assert!(page.is_whole);
    Ok(page)
}

fn is_sheet(page: &Page, number: u32, side: Side) -> bool {
    shows(page, &Glass::numbered_sheet(number, side), 0, 0, 128)
}

fn no_documents(error: &ScanError) -> bool {
    matches!(error, ScanError::Device(DeviceError::NoDocuments))
}

/// A batch that ended well: the scanner is idle, nothing is left to be done, the feeder is out of use.
fn assert_at_rest(bench: &Bench, what: &str) {
    let mut rig = bench.lock();
    assert!(rig.armed.is_none(), "{what}: still armed");
    assert!(!rig.touched, "{what}: the daemon would see to it");
    assert!(rig.is_idle(), "{what}: not idle");
}

#[test]
fn every_sheet_comes_once_and_in_order_in_every_mode_and_then_there_are_none() {
    for feeder in FEEDERS {
        for (mode, depth) in LOOKS {
            let bench = bench(&format!("{feeder},adf=3"));
            let mut scanner = open(&bench).expect("it opens");
            choose(&mut *scanner, sources::FEEDER, mode, depth);
            for number in 1..=3 {
                let page = next_page(&mut *scanner).expect("a page");
                assert!(is_sheet(&page, number, Side::Front), "{feeder} {mode} {depth}: sheet {number}");
            }
            let error = next_page(&mut *scanner).expect_err("no more");
            assert!(no_documents(&error), "{feeder} {mode}: {error:?}");
            assert_at_rest(&bench, feeder);
        }
    }
}

#[test]
fn in_duplex_each_front_is_followed_by_its_back() {
    for feeder in FEEDERS {
        for (mode, depth) in LOOKS {
            let bench = bench(&format!("{feeder},adf=2,duplex"));
            let mut scanner = open(&bench).expect("it opens");
            choose(&mut *scanner, sources::FEEDER_DUPLEX, mode, depth);
            for (number, side) in [(1, Side::Front), (1, Side::Back), (2, Side::Front), (2, Side::Back)] {
                let page = next_page(&mut *scanner).expect("a page");
                assert!(is_sheet(&page, number, side), "{feeder} {mode} {depth}: sheet {number} {side:?}");
            }
            assert!(no_documents(&next_page(&mut *scanner).expect_err("no more")), "{feeder}");
            assert_at_rest(&bench, feeder);
        }
    }
}

#[test]
fn a_duplex_feeder_used_for_fronts_gives_fronts() {
    for feeder in FEEDERS {
        let bench = bench(&format!("{feeder},adf=2,duplex"));
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER, "gray", "8");
        for number in 1..=2 {
            assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), number, Side::Front), "{feeder}");
        }
        assert!(no_documents(&next_page(&mut *scanner).expect_err("no more")), "{feeder}");
    }
}

#[test]
fn a_scanner_offers_the_sources_that_it_has() {
    let sources = |description: &str| {
        let scanner = open(&bench(description)).expect("it opens");
        scanner.options().get("source").expect("an option").possible()
    };
    for dialect in ["fs", "esc"] {
        let has = |more: &str| sources(&format!("esci,dialect={dialect}{more}"));
        assert_eq!(has(""), "only Flatbed");
        assert_eq!(has(",adf=1"), "Flatbed or Automatic Document Feeder");
        assert_eq!(has(",adf=1,duplex"), "Flatbed, Automatic Document Feeder or ADF Duplex");
    }
    assert_eq!(sources("esci,dialect=esc,tpu"), "Flatbed or Transparency Unit");
    assert_eq!(sources("esci,tpu"), "Flatbed, Transparency Unit or TPU8x10");
}

#[test]
fn the_feeder_takes_longer_sheets_than_the_glass() {
    for feeder in FEEDERS {
        let bench = bench(&format!("{feeder},adf=1"));
        let mut scanner = open(&bench).expect("it opens");
        let page = scan(&mut *scanner, &[("source", sources::FEEDER), ("mode", "gray"), ("resolution", "50")]);
        let page = page.expect("a page");
        assert_eq!(page.format.expect("a page").height, Some(700), "14 inches");
        assert!(is_sheet(&page, 1, Side::Front), "{feeder}");
        scanner.end_batch().expect("it ends");
        let page = scan(&mut *scanner, &[("source", sources::FLATBED)]).expect("a page");
        assert_eq!(page.format.expect("a page").height, Some(585), "11.7 inches");
        assert!(shows(&page, &Glass::chart(), 0, 0, 128), "{feeder}");
    }
}

#[test]
fn a_page_ends_with_its_sheet_where_the_feeder_can_tell() {
    // 210 mm at 50 dpi, and less than a block below them.
    let (sheet, block) = (413, 254);
    for (mode, depth) in LOOKS {
        let bench = bench("esci,adf=2,duplex,sheet=a5");
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER_DUPLEX, mode, depth);
        scanner.options_mut().set_all([("br-x", "140"), ("br-y", "355")]).expect("an area");
        for (number, side) in [(1, Side::Front), (1, Side::Back), (2, Side::Front), (2, Side::Back)] {
            let page = next_page(&mut *scanner).expect("a page");
            let format = page.format.expect("a page");
            assert_eq!(format.height, None);
            let lines = page.bytes.len() / format.bytes_per_line();
            assert!((sheet..sheet + block).contains(&lines), "{mode} {depth}: {lines} lines");
            let top = PageFormat { height: Some(sheet as u32), ..format };
            let bytes = page.bytes[..sheet * format.bytes_per_line()].to_vec();
            let above = Page { bytes, format: Some(top), ..Page::default() };
            assert!(is_sheet(&above, number, side), "{mode} {depth}: sheet {number} {side:?}");
        }
        assert!(no_documents(&next_page(&mut *scanner).expect_err("no more")), "{mode} {depth}");
        assert_at_rest(&bench, "esci,sheet=a5");
    }
}

#[test]
fn a_short_sheet_is_filled_up_with_white_where_that_is_wanted() {
    for (mode, depth) in LOOKS {
        let bench = bench("esci,adf=2,sheet=a5");
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER, mode, depth);
        scanner.options_mut().set_all([("br-x", "140"), ("br-y", "355"), ("fill-page", "yes")]).expect("an area");
        assert_eq!(scanner.page_format().expect("a page").height, Some(699));
        for _ in 1..=2 {
            let page = next_page(&mut *scanner).expect("a page");
            let format = page.format.expect("a page");
            let line = format.bytes_per_line();
            assert_eq!((format.height, page.bytes.len()), (Some(699), 699 * line), "{mode} {depth}");
            assert!(page.bytes[698 * line..].iter().all(|byte| *byte == 0xff), "{mode} {depth}: the end is white");
        }
    }
}

#[test]
fn an_area_that_ends_above_the_end_of_the_sheet_is_scanned_to_its_end() {
    let bench = bench("esci,adf=1,sheet=a5");
    let mut scanner = open(&bench).expect("it opens");
    choose(&mut *scanner, sources::FEEDER, "gray", "8");
    scanner.options_mut().set_all([("br-x", "140"), ("br-y", "120")]).expect("an area");
    let page = next_page(&mut *scanner).expect("a page");
    assert_eq!(page.bytes.len() / page.format.expect("a page").bytes_per_line(), 236);
}

#[test]
fn an_empty_feeder_says_so_and_the_glass_still_works() {
    for feeder in FEEDERS {
        let bench = bench(&format!("{feeder},adf=0"));
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER, "gray", "8");
        for _ in 0..2 {
            assert!(no_documents(&next_page(&mut *scanner).expect_err("no paper")), "{feeder}");
            assert_at_rest(&bench, feeder);
        }
        choose(&mut *scanner, sources::FLATBED, "gray", "8");
        assert!(next_page(&mut *scanner).is_ok());
    }
}

#[test]
fn the_end_of_a_batch_puts_the_sheet_out_and_the_next_batch_goes_on_with_the_next() {
    for feeder in FEEDERS {
        let bench = bench(&format!("{feeder},adf=3,duplex"));
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER_DUPLEX, "gray", "8");
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 1, Side::Front));
        assert!(bench.lock().armed.is_some(), "between two pages somebody must put the sheet out");
        scanner.end_batch().expect("it ends");
        assert_eq!(bench.lock().written.iter().filter(|bytes| **bytes == [0x0c]).count(), 1, "{feeder}: one eject");
        assert_at_rest(&bench, feeder);
        scanner.end_batch().expect("nothing to do");
        assert_eq!(bench.lock().written.iter().filter(|bytes| **bytes == [0x0c]).count(), 1, "{feeder}: no more");
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 2, Side::Front), "{feeder}");
    }
}

#[test]
fn other_options_are_another_batch() {
    for feeder in FEEDERS {
        let bench = bench(&format!("{feeder},adf=3,duplex"));
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER_DUPLEX, "gray", "8");
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 1, Side::Front));
        choose(&mut *scanner, sources::FEEDER_DUPLEX, "color", "8");
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 2, Side::Front), "{feeder}");
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 2, Side::Back), "{feeder}");
    }
}

#[test]
fn what_goes_wrong_with_paper_is_said_and_when_it_is_put_right_the_rest_is_scanned() {
    for feeder in FEEDERS {
        let said = [
            ("jam", DeviceError::PaperJam, "paper is jammed in the scanner; take it out"),
            ("double-feed", DeviceError::DoubleFeed, "the document feeder took two sheets at once; take them out"),
            ("open", DeviceError::CoverOpen, "a cover of the scanner is open; close it"),
        ];
        for (fault, problem, words) in said {
            let bench = bench(&format!("{feeder},adf=3,fault={fault}@2"));
            let mut scanner = open(&bench).expect("it opens");
            choose(&mut *scanner, sources::FEEDER, "gray", "8");
            assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 1, Side::Front));
            let error = next_page(&mut *scanner).expect_err("no page");
            assert!(matches!(error, ScanError::Device(said) if said == problem), "{feeder} {fault}: {error:?}");
            assert_eq!(error.to_string(), words);
            assert_at_rest(&bench, fault);
            assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 3, Side::Front), "{feeder} {fault}");
        }
    }
}

#[test]
fn how_double_feeds_are_looked_for_is_told_where_the_feeder_can() {
    for (word, value) in [("off", 0), ("low", 1), ("high", 2)] {
        let bench = bench("esci,adf=1");
        let mut scanner = open(&bench).expect("it opens");
        assert!(scanner.options_mut().set_text("double-feed-detection", word).is_err(), "not on the glass");
        choose(&mut *scanner, sources::FEEDER, "gray", "8");
        scanner.options_mut().set_text("double-feed-detection", word).expect("of the feeder");
        next_page(&mut *scanner).expect("a page");
        let written = bench.lock().written.clone();
        assert!(written.windows(2).any(|pair| pair[0] == b"\x1cW" && pair[1][39] == value), "{word}");
    }
}

#[test]
fn an_open_feeder_and_a_missing_tray_are_said() {
    for (condition, problem, dialects) in
        [("feeder=open", DeviceError::CoverOpen, &FEEDERS[..]), ("tray=out", DeviceError::TrayOut, &FEEDERS[..2])]
    {
        for feeder in dialects {
            let bench = bench(&format!("{feeder},adf=3,{condition}"));
            let mut scanner = open(&bench).expect("it opens");
            choose(&mut *scanner, sources::FEEDER, "gray", "8");
            let error = next_page(&mut *scanner).expect_err("no page");
            assert!(matches!(error, ScanError::Device(said) if said == problem), "{feeder}: {error:?}");
            assert_at_rest(&bench, feeder);
            choose(&mut *scanner, sources::FLATBED, "gray", "8");
            assert!(next_page(&mut *scanner).is_ok(), "{feeder}: the glass has nothing to do with it");
        }
    }
}

#[test]
fn cancelled_before_any_transfer_of_a_second_page_it_is_idle_without_a_sheet_in_it() {
    for feeder in FEEDERS {
        let mut at = 0;
        loop {
            let bench = bench(&format!("{feeder},adf=4,duplex"));
            let mut scanner = open(&bench).expect("it opens");
            choose(&mut *scanner, sources::FEEDER_DUPLEX, "gray", "8");
            next_page(&mut *scanner).expect("a page");
            let from = bench.lock().transfers;
            bench.lock().cancel = When::Transfer(from + at);
            match next_page(&mut *scanner) {
                Err(ScanError::Cancelled { idle: true }) => {}
                Ok(_) => break,
                Err(error) => panic!("{feeder} {at}: {error}"),
            }
            assert_at_rest(&bench, &format!("{feeder} {at}"));
            let ejects = bench.lock().written.iter().filter(|bytes| **bytes == [0x0c]).count();
            assert_eq!(ejects, 1, "{feeder} {at}: the sheet was put out, and no other");
            let page = next_page(&mut *scanner).expect("the next page");
            assert!(is_sheet(&page, 2, Side::Front), "{feeder} {at}");
            at += 1;
        }
        assert!(at > 6, "{feeder}: only {at} transfers in a page");
    }
}

#[test]
fn cancelled_inside_a_block_the_sheet_is_put_out() {
    for feeder in FEEDERS {
        for part in 0..6 {
            let bench = bench(&format!("{feeder},adf=3,slow=1000000"));
            let mut scanner = open(&bench).expect("it opens");
            choose(&mut *scanner, sources::FEEDER, "gray", "8");
            next_page(&mut *scanner).expect("a page");
            let at = bench.lock().clock() + Duration::from_millis(30 + 10 * part);
            bench.lock().cancel = When::At(at);
            let error = next_page(&mut *scanner).expect_err("cancelled");
            assert!(matches!(error, ScanError::Cancelled { idle: true }), "{feeder} {part}: {error:?}");
            assert_at_rest(&bench, feeder);
            assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 3, Side::Front), "{feeder} {part}");
        }
    }
}

#[test]
fn a_page_that_is_not_wanted_to_its_end_is_followed_by_the_next() {
    for feeder in FEEDERS {
        let bench = bench(&format!("{feeder},adf=2"));
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER, "color", "16");
        let mut page = Page { stop_after: Some(1), ..Page::default() };
        assert_eq!(scanner.scan(&mut page, &mut |_| {}).expect("a part"), Outcome::Stopped);
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 2, Side::Front), "{feeder}");
    }
}

/// Runs a batch until its client dies before this transfer; whether it did.
fn die_in_a_batch(bench: &Bench, at: u64) -> bool {
    bench.lock().die = When::Transfer(at);
    let result = open(bench).and_then(|mut scanner| {
        choose(&mut *scanner, sources::FEEDER_DUPLEX, "gray", "8");
        (0..2).try_for_each(|_| scanner.scan(&mut Page::default(), &mut |_| {}).map(drop))
    });
    match result {
        Ok(()) => bench.lock().dead,
        Err(ScanError::Transport(_)) if bench.lock().dead => true,
        Err(error) => panic!("{at}: {error}"),
    }
}

#[test]
fn a_client_that_dies_anywhere_in_a_batch_leaves_a_scanner_that_is_idle() {
    for feeder in FEEDERS {
        for is_armed in [true, false] {
            let mut at = 0;
            loop {
                let bench = bench(&format!("{feeder},adf=4,duplex"));
                if !die_in_a_batch(&bench, at) {
                    break;
                }
                let mut rig = bench.lock();
                if !is_armed {
                    rig.armed = None;
                }
                rig.bury();
                drop(rig);
                let mut recovered = false;
                let cable = Box::new(Cable::new(&bench));
                let mut scanner = usbscan_scan::esci::Esci
                    .open_with(timeouts(), cable, &mut |progress| {
                        recovered |= progress == usbscan_scan::Progress::Recovering
                    })
                    .expect("it opens");
                assert!(!(is_armed && recovered), "{feeder} {at}: it was not idle");
                choose(&mut *scanner, sources::FEEDER_DUPLEX, "gray", "8");
                let page = next_page(&mut *scanner).expect("a page");
                let fresh = (1..=3).any(|number| is_sheet(&page, number, Side::Front));
                assert!(fresh, "{feeder} {at}: a front is followed by a front");
                assert_eq!(bench.lock().resets, 0, "{feeder} {at}");
                at += 1;
            }
            assert!(at > 25, "{feeder}: only {at} transfers");
        }
    }
}

/// The paper path of a scanner whose client died in mid-page, seen through the glass: which sheet comes next.
#[test]
fn after_a_death_in_mid_page_the_daemon_has_put_the_sheet_out() {
    for feeder in FEEDERS {
        let bench = bench(&format!("{feeder},adf=4,duplex,slow=1000000"));
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER_DUPLEX, "gray", "8");
        let at = bench.lock().clock() + Duration::from_millis(60);
        bench.lock().die = When::At(at);
        next_page(&mut *scanner).expect_err("dead");
        drop(scanner);
        let before = bench.lock().written.len();
        bench.lock().bury();
        assert!(bench.lock().written[before..].contains(&vec![0x0c]), "{feeder}: FF is among the steps");
        let mut scanner = open(&bench).expect("it opens");
        choose(&mut *scanner, sources::FEEDER_DUPLEX, "gray", "8");
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 2, Side::Front), "{feeder}");
    }
}

#[test]
fn of_level_d7_with_extended_commands_every_page_is_put_out_and_all_is_set_again_for_the_next() {
    // As the maker's driver does it with a WF-3620: "empty" is told only behind FF.
    let bench = bench("esci,level=D7,adf=2");
    let mut scanner = open(&bench).expect("it opens");
    let options = [("source", sources::FEEDER), ("mode", "gray"), ("resolution", "75")];
    scanner.options_mut().set_all(options).expect("good options");
    for page in 1..=2 {
        next_page(&mut *scanner).expect("a page");
        let sent = |what: &[u8]| bench.lock().written.iter().filter(|bytes| *bytes == what).count();
        assert_eq!((sent(b"\x0c"), sent(b"\x1cW"), sent(b"\x1cG")), (page, page, page));
    }
    assert!(no_documents(&next_page(&mut *scanner).expect_err("that was the last")));
    assert_at_rest(&bench, "level D7");
}

#[test]
fn of_level_d7_a_sheet_is_turned_by_what_puts_a_page_out_and_front_and_back_are_its_own() {
    let bench = bench("esci,level=D7,adf=2,duplex");
    let mut scanner = open(&bench).expect("it opens");
    let options = [("source", sources::FEEDER_DUPLEX), ("mode", "gray"), ("resolution", "75"), ("br-y", "120")];
    scanner.options_mut().set_all(options).expect("good options");
    for (number, side) in [(1, Side::Front), (1, Side::Back), (2, Side::Front), (2, Side::Back)] {
        let page = next_page(&mut *scanner).expect("a page");
        assert!(is_sheet(&page, number, side), "sheet {number} {side:?}");
    }
    assert!(no_documents(&next_page(&mut *scanner).expect_err("that was the last")));
    assert_at_rest(&bench, "level D7");
}

#[test]
fn film_is_scanned_where_it_lies_within_what_is_lit() {
    for (description, source, width, height) in [
        ("esci,tpu", sources::TRANSPARENCY, 300, 487),
        ("esci,tpu", sources::TRANSPARENCY_WIDE, 400, 500),
        ("esci,dialect=esc,tpu", sources::TRANSPARENCY, 300, 487),
    ] {
        for (mode, depth) in LOOKS {
            let bench = bench(description);
            let mut scanner = open(&bench).expect("it opens");
            let mut options = vec![("source", source), ("mode", mode), ("resolution", "50")];
            if !depth.is_empty() {
                options.push(("depth", depth));
            }
            let page = scan(&mut *scanner, &options).expect("a page");
            let format = page.format.expect("a page");
            assert_eq!((format.width, format.height), (width, Some(height)), "{description} {source} {mode}");
            assert!(shows_within(&page, &Glass::chart(), (0, 0), width, 128), "{source} {mode} {depth}");
            assert_at_rest(&bench, source);
        }
    }
}

#[test]
fn a_negative_becomes_a_positive() {
    for description in ["esci,tpu", "esci,dialect=esc,tpu"] {
        let mut scanner = open(&bench(description)).expect("it opens");
        assert!(scanner.options_mut().set_text("film-type", "Negative Film").is_err(), "not on the glass");
        let film = [("source", sources::TRANSPARENCY), ("film-type", "Negative Film")];
        // 200 pixels: every dialect has them all.
        let options = [&film[..], &[("mode", "gray"), ("resolution", "50"), ("br-x", "101.6")]].concat();
        let page = scan(&mut *scanner, &options).expect("a page");
        let format = page.format.expect("a page");
        let view = View { dpi: (50, 50), left: 0, top: 0, width: format.width, height: format.height.expect("known") };
        let positive = Glass::chart().render(&view, Mode::Gray, Bits::Eight).expect("the chart");
        assert!(page.bytes.iter().zip(&positive).all(|(got, had)| u16::from(*got) == 255 - had), "{description}");
    }
}

#[test]
fn a_scanner_whose_buttons_were_asked_for_is_at_rest_and_one_in_a_batch_is_not() {
    let bench = bench("esci,adf=2");
    let mut scanner = open(&bench).expect("it opens");
    scanner.pressed_button().expect("an answer");
    assert_at_rest(&bench, "no page yet");
    choose(&mut *scanner, sources::FEEDER, "gray", "8");
    next_page(&mut *scanner).expect("a page");
    scanner.pressed_button().expect("an answer");
    assert!(bench.lock().armed.is_some(), "a sheet may be in the feeder");
    scanner.end_batch().expect("it ends");
    scanner.pressed_button().expect("an answer");
    assert_at_rest(&bench, "after the batch");
}

#[test]
fn buttons_are_told_once_and_also_between_two_pages() {
    for (dialect, level) in [(Dialect::Fs, Level::B8), (Dialect::Esc, Level::B7)] {
        let feeder = Some(FeederSetup { sheets: Sheet::numbered(2), ..FeederSetup::default() });
        let model = Esci::new(EsciSetup { dialect, level, feeder, ..EsciSetup::default() });
        let panel = model.panel();
        let bench = Arc::new(Mutex::new(Rig::new(Box::new(model))));
        let mut scanner = open(&bench).expect("it opens");
        assert!(scanner.has_buttons());
        assert_eq!(scanner.pressed_button().expect("an answer"), None);
        panel.press(2);
        assert_eq!(scanner.pressed_button().expect("an answer"), Some(2));
        assert_eq!(scanner.pressed_button().expect("an answer"), None);
        choose(&mut *scanner, sources::FEEDER, "gray", "8");
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 1, Side::Front));
        panel.press(1);
        assert_eq!(scanner.pressed_button().expect("an answer"), Some(1));
        assert!(is_sheet(&next_page(&mut *scanner).expect("a page"), 2, Side::Front));
        panel.load();
        assert!(is_sheet(&next_page(&mut *scanner).expect("loaded again"), 1, Side::Front));
    }
    let scanner = open(&bench("esci,dialect=esc,level=B5")).expect("it opens");
    assert!(!scanner.has_buttons(), "ESC ! came with B7");
}

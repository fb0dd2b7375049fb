//! ESC/I-2: every mode, source and form of image is what lies there, pixel for pixel; and what is wrong is said in words.

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use support::{Bench, Cable, Page, Rig, bench, expected, scan, timeouts, without_padding};
use usbscan_scan::esci2::Esci2;
use usbscan_scan::{DeviceError, Driver, Outcome, Pixels, Progress, ScanError, Scanner};
use usbscan_virtual::glass::Glass;
use usbscan_virtual::{Esci2 as Model, Esci2Setup};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

fn open(bench: &Bench) -> Result<Box<dyn Scanner>, ScanError> {
    Esci2.open_with(timeouts(), Box::new(Cable::new(bench)), &mut |_| {})
}

/// FS X and FIN are answered by themselves.
fn is_idle(bench: &Bench) -> bool {
    let mut rig = bench.lock();
    let before = rig.hear_out();
    let wait = Duration::from_secs(1);
    let entered = rig.write(b"\x1cX", wait).is_ok() && rig.hear_out() == [0x06];
    let left = rig.write(b"FIN x0000000", wait).is_ok() && rig.hear_out().starts_with(b"FIN x0000000#---");
    before.is_empty() && entered && left
}

/// What the page must be, on the how-manieth side of the feeder's stack, or on the glass.
fn right(page: &Page, options: &[(&str, &str)], left: u32, top: u32, side: Option<u32>) -> Vec<u8> {
    let mut format = page.format.expect("a page");
    format.height = Some((page.bytes.len() / format.bytes_per_line()) as u32);
    let threshold =
        options.iter().find(|(name, _)| *name == "threshold").map_or(128, |(_, text)| text.parse().expect("a number"));
    let shift = side.map_or(0, |side| Model::shift(side, format.dpi.1.0));
    expected(&Glass::chart(), &format, left, top + shift, threshold)
}

const MODES: [(&str, Pixels); 3] = [("color", Pixels::Rgb8), ("gray", Pixels::Gray8), ("lineart", Pixels::Bit)];
const SOURCES: [&str; 3] = ["flatbed", "automatic document feeder", "adf duplex"];

#[test]
fn every_mode_from_every_source_is_what_lies_there_pixel_for_pixel() {
    for source in SOURCES {
        for (mode, pixels) in MODES {
            let bench = bench("esci2");
            let mut scanner = open(&bench).expect("it opens");
            let options = [("mode", mode), ("source", source), ("resolution", "75"), ("br-y", "200")];
            for page in 0..4 {
                let side = (source != "flatbed").then_some(page);
                if page == 3 && source == "automatic document feeder" {
                    break;
                }
                let page = scan(&mut *scanner, &options).expect("a page");
                assert_eq!(page.format.map(|format| format.pixels), Some(pixels));
                assert!(page.is_whole);
                assert!(without_padding(&page) == right(&page, &options, 0, 0, side), "{source} {mode} {side:?}");
                assert!(bench.lock().armed.is_none());
            }
            assert!(is_idle(&bench), "{source} {mode}");
        }
    }
}

#[test]
fn sixteen_bits_from_every_source_are_what_lies_there_pixel_for_pixel() {
    for source in SOURCES {
        for (mode, pixels) in [("color", Pixels::Rgb16), ("gray", Pixels::Gray16)] {
            let bench = bench("esci2,depth=16,align=left");
            let mut scanner = open(&bench).expect("it opens");
            // 101 mm are 298 pixels: of 304 that the scanner sends, and behind them are dummy bytes.
            let area = [("resolution", "75"), ("br-x", "101"), ("br-y", "100")];
            let options = [&[("mode", mode), ("depth", "16"), ("source", source)], &area[..]].concat();
            let page = scan(&mut *scanner, &options).expect("a page");
            let format = page.format.expect("a page");
            assert_eq!((format.pixels, format.width), (pixels, 298), "{source} {mode}");
            let side = (source != "flatbed").then_some(0);
            assert!(page.bytes == right(&page, &options, 0, 0, side), "{source} {mode}");
            assert!(is_idle(&bench), "{source} {mode}");
        }
    }
}

#[test]
fn a_curve_of_ones_own_is_downloaded_for_each_color_and_forgotten_by_the_next_page() {
    let negative = (0..256).map(|shade| (255 - shade).to_string()).collect::<Vec<_>>().join(",");
    let root = |light: u8| ((f64::from(light) / 255.0).powf(1.0 / 1.8) * 255.0).round() as u8;
    for (mode, _) in &MODES[..2] {
        let mut scanner = open(&bench("esci2,tables=yes")).expect("it opens");
        let small = [("mode", *mode), ("resolution", "75"), ("br-y", "100")];
        let mut scanned = |gamma: &[(&str, &str)]| {
            let page = scan(&mut *scanner, &[&small[..], gamma].concat()).expect("a page");
            let glass = right(&page, &small, 0, 0, None);
            (page.bytes, glass)
        };
        let (page, glass) = scanned(&[("gamma", "custom"), ("gamma-value", "1.8")]);
        assert!(page == glass.iter().map(|light| root(*light)).collect::<Vec<_>>(), "{mode}");
        let (page, glass) = scanned(&[("gamma", "table"), ("gamma-table", &negative)]);
        assert!(page == glass.iter().map(|light| 255 - light).collect::<Vec<_>>(), "{mode}");
        let (page, glass) = scanned(&[("gamma", "built-in")]);
        assert!(page == glass, "{mode}");
    }
}

#[test]
fn a_scanner_that_turns_out_to_speak_esc_i_is_used_as_such() {
    for model in ["esci", "esci,dialect=esc,level=B4", "esci,level=D7,adf=1"] {
        let bench = bench(model);
        let mut scanner = open(&bench).expect("it opens");
        assert!(scanner.identity().protocol.starts_with("ESC/I "), "{model}");
        let page = scan(&mut *scanner, &[("resolution", "75"), ("mode", "gray"), ("br-x", "203.2"), ("br-y", "100")]);
        let page = page.expect("a page");
        assert!(page.bytes == expected(&Glass::chart(), &page.format.expect("a page"), 0, 0, 128), "{model}");
        assert!(bench.lock().armed.is_none(), "{model}");
    }
}

#[test]
fn a_short_sheet_is_filled_up_with_white_where_that_is_wanted() {
    for compression in ["none", "jpeg"] {
        let mut scanner = open(&bench("esci2,sheet=a5,align=left")).expect("it opens");
        let options = [("source", "automatic document feeder"), ("resolution", "75"), ("mode", "gray")];
        let more = [("br-x", "140"), ("br-y", "300"), ("fill-page", "yes"), ("compression", compression)];
        let page = scan(&mut *scanner, &[&options[..], &more].concat()).expect("a page");
        let format = page.format.expect("a page");
        let line = format.bytes_per_line();
        assert_eq!((format.height, page.bytes.len() / line), (Some(886), 886), "{compression}");
        // 210 mm are 620 lines.
        assert!(page.bytes[640 * line..].iter().all(|byte| *byte == 0xff), "{compression}: the end is white");
        assert!(page.bytes[..600 * line].iter().any(|byte| *byte != 0xff));
    }
}

#[test]
fn an_area_is_cut_out_at_the_pixel() {
    for source in SOURCES {
        for (mode, _) in MODES {
            let bench = bench("esci2");
            let mut scanner = open(&bench).expect("it opens");
            let area = [("tl-x", "10"), ("tl-y", "20.5"), ("br-x", "61.5"), ("br-y", "70")];
            let mut options: Vec<_> =
                [("mode", mode), ("source", source), ("resolution", "150")].into_iter().chain(area).collect();
            if source != "flatbed" {
                // Sheets as wide as the feeder, which holds them in the middle.
                options.push(("page-width", "297.18"));
            }
            let page = scan(&mut *scanner, &options).expect("a page");
            let format = page.format.expect("a page");
            assert_eq!((format.width, page.bytes.len() / format.bytes_per_line()), (363 - 59, 413 - 121));
            let side = (source != "flatbed").then_some(0);
            assert!(without_padding(&page) == right(&page, &options, 59, 121, side), "{source} {mode}");
        }
    }
}

#[test]
fn the_threshold_is_the_one_that_was_chosen() {
    for threshold in ["1", "90", "255"] {
        let bench = bench("esci2");
        let options = [("mode", "lineart"), ("threshold", threshold), ("resolution", "75")];
        let page = scan(&mut *open(&bench).expect("it opens"), &options).expect("a page");
        assert!(without_padding(&page) == right(&page, &options, 0, 0, None), "{threshold}");
    }
}

/// The mean and the largest difference of a page from the glass.
fn difference(page: &Page, right: &[u8]) -> (f64, u8) {
    assert_eq!(page.bytes.len(), right.len());
    let each = || page.bytes.iter().zip(right).map(|(one, other)| one.abs_diff(*other));
    (each().map(f64::from).sum::<f64>() / right.len() as f64, each().max().unwrap_or(0))
}

#[test]
fn a_page_of_jpeg_is_the_glass_but_for_what_jpeg_costs() {
    for (mode, most) in [("color", 2.0), ("gray", 1.5)] {
        for source in SOURCES {
            let bench = bench("esci2");
            let mut scanner = open(&bench).expect("it opens");
            let quality = [("compression", "jpeg"), ("jpeg-quality", "95"), ("resolution", "75"), ("br-y", "120")];
            let options: Vec<_> = [("mode", mode), ("source", source)].into_iter().chain(quality).collect();
            for page in 0..2 {
                let side = (source != "flatbed").then_some(page);
                let page = scan(&mut *scanner, &options).expect("a page");
                let (mean, _) = difference(&page, &right(&page, &options, 0, 0, side));
                assert!(mean < most, "{mode} from {source}: {mean}");
            }
            assert!(is_idle(&bench));
        }
    }
}

/// The data of all replies to IMG that a scanner sends for what these parameters say, as a host reads it by hand.
fn data_by_hand(parameters: &str) -> Vec<u8> {
    let bench = bench("esci2");
    let mut rig = bench.lock();
    let wait = Duration::from_secs(1);
    let ask = |rig: &mut Rig, bytes: &[u8]| {
        rig.write(bytes, wait).expect("it takes it");
        rig.take(64, wait)
    };
    ask(&mut rig, b"\x1cX");
    ask(&mut rig, format!("PARAx{:07x}{parameters}", parameters.len()).as_bytes());
    ask(&mut rig, b"TRDTx0000000");
    let mut all = Vec::new();
    loop {
        let head = ask(&mut rig, b"IMG x0000000");
        let length = usize::from_str_radix(&String::from_utf8_lossy(&head[5..12]), 16).expect("a length");
        all.extend(rig.take(length, wait));
        if head.windows(4).any(|token| token == b"#pen") {
            return all;
        }
    }
}

#[test]
fn a_page_of_jpeg_is_what_another_decoder_makes_of_the_same_bytes() {
    for (mode, word, color) in [("color", "C024", ColorSpace::RGB), ("gray", "M008", ColorSpace::Luma)] {
        let bytes = data_by_hand(&format!(
            "#FB #RSMi0000150#RSSi0000150#COL{word}#FMTJPG #JPGd085#ACQi0000008i0000016i0000400i0000301#BSZi0010000"
        ));
        let options = DecoderOptions::default().jpeg_set_out_colorspace(color);
        let theirs = JpegDecoder::new_with_options(ZCursor::new(&bytes[..]), options).decode().expect("a picture");
        let bench = bench("esci2");
        let area = [("tl-x", "1.355"), ("tl-y", "2.709"), ("br-x", "69.088"), ("br-y", "53.679")];
        let form = [("mode", mode), ("compression", "jpeg"), ("jpeg-quality", "85"), ("resolution", "150")];
        let options: Vec<_> = form.into_iter().chain(area).collect();
        let page = scan(&mut *open(&bench).expect("it opens"), &options).expect("a page");
        assert_eq!(page.format.map(|format| (format.width, format.height)), Some((400, Some(301))));
        // Each rounds in its own way.
        let (mean, most) = difference(&page, &theirs);
        assert!(most <= 3 && mean < 0.1, "{mode}: {mean}, {most}");
    }
}

#[test]
fn a_scanner_that_sends_its_items_in_pieces_gives_the_same_page() {
    for seed in 1..6 {
        for form in ["None", "JPEG"] {
            let options = [("compression", form), ("source", "adf duplex"), ("resolution", "75"), ("br-y", "60")];
            let whole = scan(&mut *open(&bench("esci2")).expect("it opens"), &options).expect("a page");
            let pieces = bench(&format!("esci2,fault=short@{seed}"));
            let page = scan(&mut *open(&pieces).expect("it opens"), &options).expect("a page");
            assert!(page.bytes == whole.bytes, "{form} {seed}");
        }
    }
}

#[test]
fn no_more_than_a_chunk_is_read_or_handed_over_at_once() {
    for form in ["None", "JPEG"] {
        let bench = bench("esci2");
        let options = [("compression", form), ("source", "adf duplex"), ("resolution", "300"), ("br-y", "100")];
        let page = scan(&mut *open(&bench).expect("it opens"), &options).expect("a page");
        assert!(page.most <= 128 * 1024 && page.calls > 20, "{} in {} calls", page.most, page.calls);
        assert!(bench.lock().most_read <= 128 * 1024 + 512);
    }
}

#[test]
fn an_empty_feeder_says_so_and_sheets_put_in_are_scanned() {
    let model = Model::new(Esci2Setup { sheets: 1, ..Esci2Setup::default() });
    let feeder = model.feeder();
    let bench: Bench = Arc::new(Mutex::new(Rig::new(Box::new(model))));
    let mut scanner = open(&bench).expect("it opens");
    let options = [("source", "automatic document feeder"), ("resolution", "75"), ("br-y", "50")];
    scan(&mut *scanner, &options).expect("the only sheet");
    for _ in 0..2 {
        let error = scan(&mut *scanner, &options).expect_err("no sheet");
        assert!(matches!(error, ScanError::Device(DeviceError::NoDocuments)), "{error}");
        assert!(is_idle(&bench) && bench.lock().armed.is_none());
    }
    feeder.load(1);
    let page = scan(&mut *scanner, &options).expect("another sheet");
    assert!(page.bytes == right(&page, &options, 0, 0, Some(1)));
    scanner.end_batch().expect("nothing to do");
}

#[test]
fn the_back_is_that_of_the_page_before_or_of_none() {
    let bench = bench("esci2,sheets=3");
    let mut scanner = open(&bench).expect("it opens");
    let options = [("source", "adf duplex"), ("mode", "gray"), ("resolution", "75"), ("br-y", "50")];
    let front = scan(&mut *scanner, &options).expect("a front");
    assert!(front.bytes == right(&front, &options, 0, 0, Some(0)));
    scanner.end_batch().expect("nothing to do");
    let next = scan(&mut *scanner, &options).expect("the next front");
    assert!(next.bytes == right(&next, &options, 0, 0, Some(2)), "what was not asked for is forgotten");
    let other = [("source", "adf duplex"), ("mode", "color"), ("resolution", "75"), ("br-y", "50")];
    let third = scan(&mut *scanner, &other).expect("the third front");
    assert!(third.bytes == right(&third, &other, 0, 0, Some(4)), "and so it is with other options");
    let back = scan(&mut *scanner, &other).expect("its back");
    assert!(back.bytes == right(&back, &other, 0, 0, Some(5)));
}

#[test]
fn a_scanner_of_one_form_is_scanned_in_that_form() {
    for (formats, form) in [("raw", "None"), ("jpeg", "JPEG")] {
        let bench = bench(&format!("esci2,formats={formats}"));
        let mut scanner = open(&bench).expect("it opens");
        assert_eq!(scanner.options().text("compression"), Some(form));
        let page = scan(&mut *scanner, &[("resolution", "75"), ("br-y", "50")]).expect("a page");
        assert_eq!(page.format.expect("a page").height, Some(148));
    }
}

fn problem(description: &str, source: &str) -> DeviceError {
    let bench = bench(description);
    let mut scanner = open(&bench).expect("it opens");
    let options = [("source", source), ("resolution", "75"), ("mode", "gray"), ("br-y", "200")];
    let error = scan(&mut *scanner, &options).expect_err("trouble");
    assert!(is_idle(&bench), "{description}: not idle after {error}");
    assert!(bench.lock().armed.is_none());
    match error {
        ScanError::Device(problem) => problem,
        other => panic!("{description}: {other:?}"),
    }
}

#[test]
fn what_is_wrong_is_said_in_words_and_the_scanner_is_idle() {
    let feeder = "automatic document feeder";
    let said = [
        ("cover=open", "flatbed", DeviceError::CoverOpen),
        ("cover=open", feeder, DeviceError::CoverOpen),
        ("paper=jam", feeder, DeviceError::PaperJam),
        ("paper=double", "adf duplex", DeviceError::DoubleFeed),
        ("sheets=0", feeder, DeviceError::NoDocuments),
        ("lamp=dead", "flatbed", DeviceError::Lamp),
        ("busy=0.001,busy=always", "flatbed", DeviceError::Busy),
        ("fault=fatal@20k", "flatbed", DeviceError::Fatal),
        ("fault=fatal@20k", feeder, DeviceError::Feeder),
        ("fault=jam@20k", "adf duplex", DeviceError::PaperJam),
        ("fault=cancel@20k", feeder, DeviceError::CancelledAtDevice),
    ];
    for (what, source, expected) in said {
        if what.starts_with("busy") {
            let error = open(&bench(&format!("esci2,{what}"))).map(drop).expect_err("in use");
            assert!(matches!(error, ScanError::Device(DeviceError::Busy)), "{error}");
            continue;
        }
        assert_eq!(problem(&format!("esci2,{what}"), source), expected, "{what} from {source}");
    }
}

#[test]
fn trouble_with_the_feeder_is_none_of_the_glass() {
    for trouble in ["paper=jam", "sheets=0"] {
        let bench = bench(&format!("esci2,{trouble}"));
        let options = [("source", "flatbed"), ("resolution", "75"), ("br-y", "50")];
        scan(&mut *open(&bench).expect("it opens"), &options).expect("a page");
    }
}

#[test]
fn a_lamp_that_warms_up_is_waited_for() {
    let bench = bench("esci2,warmup=0.05");
    let mut scanner = open(&bench).expect("it opens");
    let mut waited = 0;
    scanner.options_mut().set_all([("resolution", "75"), ("br-y", "50")]).expect("good options");
    let mut page = Page::default();
    let outcome =
        scanner.scan(&mut page, &mut |progress| waited += u32::from(matches!(progress, Progress::WarmingUp { .. })));
    assert_eq!(outcome.expect("a page"), Outcome::Complete);
    assert!(waited > 0);
}

#[test]
fn after_a_failure_in_mid_page_the_next_page_is_right() {
    for source in ["flatbed", "automatic document feeder", "adf duplex"] {
        for trouble in ["fatal@50k", "cancel@50k"] {
            let bench = bench(&format!("esci2,fault={trouble}"));
            let mut scanner = open(&bench).expect("it opens");
            let options = [("source", source), ("resolution", "75"), ("br-y", "200")];
            scan(&mut *scanner, &options).expect_err("trouble");
            let page = scan(&mut *scanner, &options).expect("a page");
            let side = match source {
                "flatbed" => None,
                "adf duplex" => Some(2),
                _ => Some(1),
            };
            assert!(page.bytes == right(&page, &options, 0, 0, side), "{source} {trouble}");
        }
    }
}

#[test]
fn a_sink_that_has_enough_or_fails_leaves_the_scanner_idle() {
    for source in SOURCES {
        for fails in [false, true] {
            let bench = bench("esci2");
            let mut scanner = open(&bench).expect("it opens");
            let options = [("source", source), ("resolution", "150")];
            scanner.options_mut().set_all(options).expect("good options");
            let when = Some(2);
            let mut page = if fails {
                Page { fail_after: when, ..Page::default() }
            } else {
                Page { stop_after: when, ..Page::default() }
            };
            let outcome = scanner.scan(&mut page, &mut |_| {});
            assert_eq!(outcome.ok(), (!fails).then_some(Outcome::Stopped));
            assert!(!page.is_whole && is_idle(&bench), "{source} {fails}");
        }
    }
}

#[test]
fn a_scanner_says_what_it_is() {
    let scanner = open(&bench("esci2")).expect("it opens");
    let identity = scanner.identity();
    assert_eq!((identity.protocol.as_str(), identity.model.as_str()), ("ESC/I-2", "PX-M7050"));
}

//! Each option of an eSCL scanner against what lies on its glass, and each thing that goes wrong at it, on the in-process bus:
//! neither is a matter of a kernel.

use usbscan_virtual::glass::{Bits, Glass, Mode, View};

use crate::escl::{VIEW, page_is_right};
use crate::page::{Page, PixelFormat};
use crate::rig::Rig;

/// Scans with these arguments to PNG.
fn scan(rig: &Rig, arguments: &[&str]) -> Page {
    rig.done(&[&["scan", "-o", "page.png"], arguments].concat());
    Page::read_png(&rig.path("page.png"))
}

/// In the mean by less than this many shades: pages come as JPEG.
fn assert_is_like(page: &Page, view: View, expected: &[u16], least: f64, what: &str) {
    assert_eq!((page.width, page.height, page.samples.len()), (view.width, view.height, expected.len()), "{what}");
    let differences = page.samples.iter().zip(expected).map(|(got, want)| f64::from(got.abs_diff(*want)));
    let mean = differences.sum::<f64>() / expected.len() as f64;
    assert!(mean < least, "{what} is another picture: {mean}");
}

/// What the virtual scanner makes of a shade (crates/virtual/src/escl/document.rs): brightness moves, contrast stretches.
fn toned(shade: u16, brightness: i32, contrast: i32) -> u16 {
    let stretched = (i32::from(shade) - 128) * contrast / 1000 + 128;
    (stretched + (brightness - 1000) / 8).clamp(0, 255) as u16
}

#[test]
fn each_option_gives_the_picture_that_it_says() {
    let rig = Rig::new("escl");
    let area = ["-r", "150", "--area", "25.4,25.4,101.6,50.8"];
    let glass = Page::on_glass(&Glass::chart(), VIEW, PixelFormat::Gray8).samples;
    for (option, brightness, contrast) in [
        ("brightness=1400", 1400, 1000),
        ("brightness=600", 600, 1000),
        ("contrast=1500", 1000, 1500),
        ("contrast=500", 1000, 500),
        ("compression-factor=5", 1000, 1000),
        ("sharpness=1", 1000, 1000),
        ("intent=Photo", 1000, 1000),
    ] {
        let page = scan(&rig, &[&area[..], &["--mode", "gray", "--set", option]].concat());
        let expected: Vec<u16> = glass.iter().map(|shade| toned(*shade, brightness, contrast)).collect();
        assert_is_like(&page, VIEW, &expected, 2.5, option);
    }
    for threshold in [60, 128, 200] {
        let option = format!("threshold={threshold}");
        let page = scan(&rig, &[&area[..], &["--mode", "lineart", "--set", &option]].concat());
        let expected = Glass::chart().render(&VIEW, Mode::Lineart { threshold }, Bits::Eight).expect("it can be seen");
        assert_is_like(&page, VIEW, &expected, 0.02, &option);
    }
    // An inch from the corner, two by one.
    for dpi in [75, 100, 150, 200, 300, 600] {
        let view = View { dpi: (dpi, dpi), left: dpi, top: dpi, width: 2 * dpi, height: dpi };
        let page = scan(&rig, &["-r", &dpi.to_string(), "--mode", "color", "--area", "25.4,25.4,50.8,25.4"]);
        let expected = Page::on_glass(&Glass::chart(), view, PixelFormat::Color8).samples;
        assert_is_like(&page, view, &expected, 2.0, &format!("{dpi} dpi"));
    }
    let view = View { dpi: (75, 75), left: 90, top: 61, width: 151, height: 37 };
    let page = scan(&rig, &["-r", "75", "--mode", "gray", "--area", "30.48,20.6587,51.1387,12.5307"]);
    let expected = Page::on_glass(&Glass::chart(), view, PixelFormat::Gray8).samples;
    assert_is_like(&page, view, &expected, 2.0, "an area");
}

#[test]
fn whatever_goes_wrong_with_a_page_is_told_in_words_and_the_next_page_is_right() {
    // The words, or none where the page is right all the same. None of these happens twice.
    for (key, words) in [
        ("fault=stall@20k", "stall"),
        ("fault=garble@20k", "failed on the bus"),
        ("fault=out-stall@300", "stall"),
        ("fault=silence@20k:700", ""),
        ("fault=short@3", ""),
        ("delete=after-page", ""),
        ("delete=waits-for-page", ""),
        ("delete=hangs", ""),
        ("not-ready=1", ""),
        ("framing=long", ""),
        ("busy=1", ""),
    ] {
        let rig = Rig::new(&format!("escl,{key}"));
        let area = ["-r", "150", "--area", "25.4,25.4,101.6,50.8"];
        let ended = rig.run(&[&["scan", "--mode", "color", "-o", "page.png"], &area[..]].concat());
        assert_eq!(ended.code == Some(0), words.is_empty(), "{key}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{key}: {}", ended.stderr);
        page_is_right(&rig);
    }
}

#[test]
fn what_a_scanner_can_not_do_now_is_told_in_words() {
    let glass = ["--mode", "color", "-r", "75"];
    let feeder = ["--source", "adf", "--mode", "gray", "-r", "100"];
    for (key, arguments, words) in [
        ("cover=open", &glass[..], "fatal error"),
        ("lamp=dead", &glass, "fatal error"),
        ("sends=pdf", &glass, "application/pdf where image/jpeg was asked for"),
        ("chunk=1k,framing=bad-chunk", &glass, "chunks are damaged"),
        ("adf=0", &feeder, "no paper"),
        ("adf=0,empty=404", &feeder, "no paper"),
        ("adf=2,paper=jam", &feeder, "jammed"),
        ("adf=2,fault=jam@1", &feeder, "jammed"),
        ("adf=2,feeder=open", &feeder, "cover"),
        ("adf=2,fault=open@1", &feeder, "cover"),
        ("adf=2,fault=double-feed@1", &feeder, "two sheets"),
    ] {
        let rig = Rig::new(&format!("escl,{key}"));
        let ended = rig.run(&[&["scan", "--pages", "1", "-o", "page.png"], arguments].concat());
        assert_ne!(ended.code, Some(0), "{key}");
        assert!(ended.stderr.contains(words), "{key}: {}", ended.stderr);
        assert!(!rig.path("page.png").exists(), "{key}: no half page");
        // It is free again, and answers.
        rig.json(&["options"]);
    }
}

#[test]
fn there_are_no_buttons_to_wait_for_and_that_is_said() {
    let rig = Rig::new("escl");
    let ended = rig.run(&["wait-event", "--timeout", "1"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("has no interrupt pipe"), "{}", ended.stderr);
    page_is_right(&rig);
}

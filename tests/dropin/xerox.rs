//! SANE's xerox_mfp, of which no driver of ours knows anything, over the daemon with a virtual scanner of its family: glass and
//! feeder, gray, colour and lineart, raw and JPEG, and cancels between its blocks.

use std::fs::File;
use std::io::Read;

use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;
use usbscan_virtual::Sheet;
use usbscan_virtual::glass::{Bits, Glass, Mode, View};

use crate::desk::Desk;
use crate::page::{Page, PixelFormat};
use crate::picture::Pnm;
use crate::program::Program;
use crate::requirements::{self, SANE_UTILS};
use crate::silence;

/// The backend's threshold as it begins, 50 per cent.
const THRESHOLD: u8 = 127;

/// Four inches by one, an inch right and down. It moves a window in hundredths of an inch, and rounds down.
fn window(mode: &str, dpi: u32) -> Vec<String> {
    let place = ["-l", "25.5", "-t", "25.5", "-x", "101.605", "-y", "25.405"];
    let options = ["--format=pnm".to_owned(), format!("--mode={mode}"), format!("--resolution={dpi}")];
    options.into_iter().chain(place.map(str::to_owned)).collect()
}

/// What of the glass that is. The backend reckons with 1213.9 lines where there are 1200, and leaves the rest.
fn view(dpi: u32) -> View {
    View { dpi: (dpi, dpi), left: dpi, top: dpi, width: 4 * dpi, height: (f64::from(dpi) * 1200.0 / 1213.9) as u32 }
}

fn expected(glass: &Glass, mode: &str, dpi: u32) -> Page {
    let view = view(dpi);
    match mode {
        "Color" => Page::on_glass(glass, view, PixelFormat::Color8),
        "Gray" => Page::on_glass(glass, view, PixelFormat::Gray8),
        _ => {
            let samples = glass.render(&view, Mode::Lineart { threshold: THRESHOLD }, Bits::Eight).expect("a picture");
            Page { samples, ..Page::on_glass(glass, view, PixelFormat::Lineart) }
        }
    }
}

fn scan(desk: &Desk, arguments: &[String]) -> Page {
    let file = desk.path("page.pnm");
    let mut all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    all.extend(["-o", file.to_str().expect("text")]);
    desk.done("scanimage", &all);
    Pnm::read(&file).to_page()
}

fn next_page_is_right(desk: &Desk) {
    scan(desk, &window("Color", 300)).assert_shows(&expected(&Glass::chart(), "Color", 300));
}

#[test]
fn the_scanner_is_listed_with_the_backend_that_drives_it() {
    let desk = Desk::new(&["xerox"], &[]);
    assert_eq!(desk.rig.json(&["list"])["devices"][0]["protocol"], "sane:xerox_mfp");
    let table = desk.rig.done(&["list"]);
    assert!(table.contains("sane:xerox_mfp"), "{table}");
}

#[test]
fn its_pages_are_what_lies_on_the_glass_in_every_mode() {
    if !requirements::are_there("xerox_mfp's pictures over the daemon", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["xerox"], &["xerox_mfp"]);
    for (dpi, modes) in [(150, &["Gray", "Color", "Lineart"][..]), (300, &["Color", "Lineart"]), (600, &["Gray"])] {
        for mode in modes {
            scan(&desk, &window(mode, dpi)).assert_shows(&expected(&Glass::chart(), mode, dpi));
        }
    }
}

#[test]
fn the_sheets_of_its_feeder_come_one_after_the_other() {
    if !requirements::are_there("xerox_mfp's feeder over the daemon", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["xerox,adf=2"], &["xerox_mfp"]);
    let mut arguments = window("Gray", 150);
    arguments.extend(["--source=ADF".to_owned(), "--batch=sheet-%d.pnm".to_owned()]);
    desk.ended("scanimage", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    for (at, sheet) in Sheet::numbered(2).iter().enumerate() {
        let page = Pnm::read(&desk.path(&format!("sheet-{}.pnm", at + 1))).to_page();
        page.assert_shows(&expected(&sheet.front, "Gray", 150));
    }
    assert!(!desk.path("sheet-3.pnm").exists(), "the feeder is empty then");
}

/// The backend keeps what it decodes in one file of that name for the whole machine.
struct OnlyOne(File);

impl OnlyOne {
    fn wait() -> OnlyOne {
        let path = std::env::temp_dir().join("usbscan-tests-of-xerox_mfp");
        let file = File::options().create(true).truncate(false).write(true).open(path).expect("a file");
        flock(&file, FlockOperation::LockExclusive).expect("it is one's turn in the end");
        OnlyOne(file)
    }
}

impl Drop for OnlyOne {
    fn drop(&mut self) {
        flock(&self.0, FlockOperation::Unlock).expect("it was locked");
    }
}

#[test]
fn colour_that_comes_as_jpeg_is_what_lies_on_the_glass_as_near_as_jpeg_is() {
    if !requirements::are_there("xerox_mfp's JPEG over the daemon", &[&SANE_UTILS]) {
        return;
    }
    let _only = OnlyOne::wait();
    let desk = Desk::new(&["xerox,jpeg=yes"], &["xerox_mfp"]);
    let with = |jpeg: &str| [&window("Color", 150)[..], &[format!("--jpeg={jpeg}")]].concat();
    scan(&desk, &with("no")).assert_shows(&expected(&Glass::chart(), "Color", 150));

    let page = scan(&desk, &with("yes"));
    // Here it reckons with 1180 lines where there are 1200, and fills the rest with white.
    let glass = Page::on_glass(&Glass::chart(), View { height: 150, ..view(150) }, PixelFormat::Color8);
    assert_eq!((page.width, page.height), (600, 152));
    let (lines, white) = page.samples.split_at(glass.samples.len());
    assert!(white.iter().all(|sample| *sample == 255), "below the glass");
    let far: u64 = lines.iter().zip(&glass.samples).map(|(one, two)| u64::from(one.abs_diff(*two))).sum();
    let mean = far as f64 / lines.len() as f64;
    assert!(mean > 0.0 && mean < 4.0, "JPEG, and of this glass: {mean} of 255 a sample");
}

#[test]
fn an_interrupt_between_its_blocks_ends_the_page_at_the_scanner_and_the_next_one_is_right() {
    if !requirements::are_there("Ctrl-C in xerox_mfp", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["xerox,slow=4000000"], &["xerox_mfp"]);
    let page = ["--format=pnm", "--mode=Color", "--resolution=300"];
    let mut command = desk.alone("scanimage", &page, &desk.rig.socket());
    let (scan, mut output) = Program::start_unread(command.env("SANE_DEBUG_XEROX_MFP", "4"));
    output.read_exact(&mut [0; 200_000]).expect("the page comes");
    scan.signal(Signal::INT);
    std::io::copy(&mut output, &mut std::io::sink()).expect("what was under way");
    let ended = scan.end();
    assert!(ended.stderr.contains("dev_command(ABORT"), "the backend cancels by itself: {}", ended.stderr);
    next_page_is_right(&desk);
}

#[test]
fn an_interrupt_while_the_scanner_is_silent_gives_control_back_and_the_next_page_is_right() {
    if !requirements::are_there("Ctrl-C under run, xerox_mfp", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["xerox,fault=silence@3000000"], &["xerox_mfp"]);
    silence::interfere(&desk, "Ctrl-C, xerox_mfp", |scan| scan.signal(Signal::INT));
    next_page_is_right(&desk);
}

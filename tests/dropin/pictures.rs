//! What SANE's own backends scan over the daemon: the pictures of our drivers, pixel for pixel.

use crate::bench::Bench;
use crate::desk::Desk;
use crate::epson2::{self, GLASS, HAIR, picture};
use crate::requirements::{self, SANE_UTILS};

/// Scanners of the same description: one for the backend, one for our own driver.
struct Pair {
    theirs: Desk,
    ours: Bench,
}

impl Pair {
    fn new(scanner: &str, backend: &str) -> Pair {
        Pair { theirs: Desk::new(&[scanner], &[backend]), ours: Bench::new(&[scanner]) }
    }

    fn theirs(&self, arguments: &[String]) -> crate::picture::Pnm {
        picture(self.theirs.run("scanimage", &[]), arguments)
    }

    fn ours(&self, arguments: &[String]) -> crate::picture::Pnm {
        picture(self.ours.scanimage(&[]), arguments)
    }
}

fn assert_epson2_equals_ours(scanner: &str, depths: &[Option<&'static str>]) {
    let pair = Pair::new(scanner, "epson2");
    let pages = epson2::table(depths);
    for page in &pages {
        let theirs = pair.theirs(&page.arguments(HAIR));
        let mut ours = pair.ours(&page.arguments(0.0));
        if page.area == GLASS {
            ours.cut_right(theirs.size.0 / 8 * 8);
        }
        ours.assert_equals(&theirs, &format!("{scanner}, {:?}", page.arguments(0.0)));
    }
    requirements::say(&format!("{scanner}: {} pictures of epson2 over the daemon and of ours are equal", pages.len()));
}

#[test]
fn epson2_scans_what_our_driver_scans_in_the_fs_dialect() {
    if requirements::are_there("epson2's pictures over the daemon", &[&SANE_UTILS]) {
        assert_epson2_equals_ours("esci", &[Some("8"), Some("16")]);
    }
}

#[test]
fn epson2_scans_what_our_driver_scans_in_the_esc_dialect() {
    if requirements::are_there("epson2's pictures over the daemon, without FS commands", &[&SANE_UTILS]) {
        assert_epson2_equals_ours("esci,dialect=esc", &[None]);
    }
}

/// Whole pixels at each resolution, and widths that are multiples of 8.
const AREAS: [(&str, [f64; 4]); 4] =
    [("75", epson2::LARGE), ("100", epson2::SMALL), ("150", epson2::SMALL), ("300", epson2::LARGE)];

/// Sides are longer by `longer`, since these backends cut lengths as epson2 does.
fn words(mode: &str, dpi: &str, [left, top, width, height]: [f64; 4], longer: f64) -> Vec<String> {
    let mut all = vec!["--format=pnm".to_owned(), format!("--mode={mode}"), format!("--resolution={dpi}")];
    for (side, length) in [("-l", left), ("-t", top), ("-x", width + longer), ("-y", height + longer)] {
        all.extend([side.to_owned(), length.to_string()]);
    }
    all
}

#[test]
fn epsonds_scans_what_our_driver_scans() {
    if !requirements::are_there("epsonds' pictures over the daemon", &[&SANE_UTILS]) {
        return;
    }
    let pair = Pair::new("esci2,formats=raw", "epsonds");
    let mut count = 0;
    for (dpi, area) in AREAS {
        for mode in ["Color", "Gray", "Lineart"] {
            let arguments = words(mode, dpi, area, 0.0);
            let theirs = pair.theirs(&words(mode, dpi, area, HAIR));
            pair.ours(&arguments).assert_equals(&theirs, &format!("{arguments:?}"));
            count += 1;
        }
    }
    requirements::say(&format!("esci2: {count} pictures of epsonds over the daemon and of ours are equal"));
}

#[test]
fn the_sheets_of_a_feeder_come_one_after_the_other() {
    if !requirements::are_there("a feeder over the daemon", &[&SANE_UTILS]) {
        return;
    }
    for (scanner, backend, source) in [
        ("esci,adf=3", "epson2", "--source=Automatic Document Feeder"),
        ("esci2,formats=raw,sheets=3", "epsonds", "--source=ADF Front"),
    ] {
        let desk = Desk::new(&[scanner], &[backend]);
        let batch = ["--batch=sheet-%d.pnm", "--format=pnm", "--mode=Gray", "--resolution=100", source];
        desk.ended("scanimage", &batch);
        let sheets = (1..=3).map(|number| std::fs::read(desk.path(&format!("sheet-{number}.pnm"))).expect("a sheet"));
        let sheets: std::collections::BTreeSet<_> = sheets.collect();
        assert_eq!(sheets.len(), 3, "{backend}: each sheet has its number on it");
        assert!(!desk.path("sheet-4.pnm").exists(), "{backend}: the feeder is empty then");
    }
}

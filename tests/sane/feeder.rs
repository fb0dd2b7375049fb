//! Pages from a document feeder, and the buttons: scanimage's batch, and a C program for what lies between two pages.

use std::io::Read;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::abi::{run, valgrind};
use crate::bench::Bench;
use crate::picture::Pnm;
use crate::program::Program;
use crate::requirements::{self, LIBSANE_DEV, SANE_UTILS, VALGRIND};

const FEEDER: &str = "--source=Automatic Document Feeder";
/// No longer than the glass is, and than the feeder's sheets.
const PAGE: [&str; 4] = ["--format=pnm", "--mode=Gray", "--resolution=75", "-y250"];

/// Scans until there is no more paper, and gives the pages.
fn whole_batch(bench: &Bench, source: &str) -> Vec<Pnm> {
    let ended = bench.run(&[&PAGE[..], &[source, "--batch=page-%d.pnm"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("out of documents"), "{}", ended.stderr);
    let paths = (1..).map(|number| bench.path(&format!("page-{number}.pnm")));
    paths.take_while(|path| path.exists()).map(|path| Pnm::read(&path)).collect()
}

/// Pictures of pages that can be told apart, made by scanning in different modes; in a folder of their own, for a kernel has the
/// scanners of all benches, so there is one at a time.
fn sheets() -> (TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::new(&["esci"]);
    let mut sheets = Vec::new();
    for (name, mode) in [("first.png", "color"), ("second.png", "gray"), ("third.png", "lineart")] {
        let sheet = folder.path().join(name).to_str().expect("a path in ASCII").to_owned();
        bench.rig.done(&["scan", "-r", "100", "--mode", mode, "-o", &sheet]);
        sheets.push(sheet);
    }
    (folder, sheets)
}

/// The page on the glass.
fn flat(bench: &Bench) -> Pnm {
    bench.done(&[&PAGE[..], &["-o", "flat.pnm"]].concat());
    Pnm::read(&bench.path("flat.pnm"))
}

#[test]
fn a_batch_has_the_sheets_in_their_order_and_ends_behind_the_last() {
    if !requirements::are_there("scanimage: --batch from a feeder", &[&SANE_UTILS]) {
        return;
    }
    let (_kept, sheets) = sheets();
    let pages = whole_batch(&Bench::new(&[&format!("esci,adf={}", sheets.join(":"))]), FEEDER);
    assert_eq!(pages.len(), 3);
    for (number, (page, sheet)) in pages.iter().zip(&sheets).enumerate() {
        let on_the_glass = flat(&Bench::new(&[&format!("esci,glass={sheet}")]));
        page.assert_equals(&on_the_glass, &format!("sheet {number} as on the glass"));
    }
}

#[test]
fn both_sides_of_a_sheet_come_one_after_the_other_in_each_dialect() {
    if !requirements::are_there("scanimage: --batch of both sides", &[&SANE_UTILS]) {
        return;
    }
    for dialect in ["fs", "esc"] {
        let bench = Bench::new(&[&format!("esci,dialect={dialect},adf=2,duplex=yes")]);
        let pages = whole_batch(&bench, "--source=ADF Duplex");
        assert_eq!(pages.len(), 4, "{dialect}");
        let alike = pages.iter().enumerate().filter(|(at, page)| pages[..*at].contains(page)).count();
        assert_eq!(alike, 0, "{dialect}: every side has a picture of its own");
    }
}

/// Width and height in the head of a PNG.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[test]
fn scanimage_writes_every_format_from_glass_and_feeder_in_both_protocols() {
    if !requirements::are_there("scanimage: png, jpeg, tiff and pdf", &[&SANE_UTILS]) {
        return;
    }
    let begins: [(&str, &[u8]); 4] =
        [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("tiff", b"MM\0*"), ("pdf", b"%PDF-")];
    // More sheets than pages: the end of a batch may put out a sheet that the scanner has drawn in already.
    for spec in ["esci,adf=9", "esci2,sheets=9"] {
        let bench = Bench::new(&[spec]);
        for (format, begin) in begins {
            for source in ["--source=Flatbed", FEEDER] {
                let options = [&format!("--format={format}"), "--mode=Gray", "--resolution=75", source];
                let ended = bench.run(&[&options[..], &["--batch=page-%d", "--batch-count=1"]].concat());
                assert_eq!(ended.code, Some(0), "{spec} {source} {format}: {}", ended.stderr);
                let page = std::fs::read(bench.path("page-1")).expect("a page");
                assert!(page.starts_with(begin), "{spec} {source} {format}: {:?}", &page[..page.len().min(8)]);
                if format == "png" {
                    let (width, height) = png_size(&page);
                    assert!(width > 600 && (500..1300).contains(&height), "{spec} {source}: {width} x {height}");
                }
            }
        }
    }
}

#[test]
fn a_batch_that_is_ended_in_mid_page_leaves_the_scanner_idle() {
    if !requirements::are_there("scanimage: a batch ended", &[&SANE_UTILS]) {
        return;
    }
    let expected = flat(&Bench::new(&["esci"]));
    for signal in [Signal::INT, Signal::KILL] {
        let bench = Bench::new(&["esci,adf=2"]);
        // The whole batch goes to standard output, and nobody takes more than its beginning.
        let page = ["--format=pnm", "--mode=Color", "--resolution=600", FEEDER];
        let (scan, mut page) = Program::start_unread(&mut bench.scanimage(&page));
        page.read_exact(&mut [0; 4096]).expect("the page begins");
        scan.signal(signal);
        std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
        scan.end();
        flat(&bench).assert_equals(&expected, &format!("the glass after {signal:?}"));
    }
}

#[test]
fn what_is_wrong_with_the_feeder_is_said_in_sanes_words() {
    if !requirements::are_there("scanimage: statuses of a feeder", &[&SANE_UTILS]) {
        return;
    }
    for (keys, words) in [
        ("adf=0", "out of documents"),
        ("adf=2,fault=jam@1", "jammed"),
        ("adf=2,fault=double-feed@1", "jammed"),
        ("adf=2,feeder=open", "cover is open"),
        ("adf=2,tray=out", "cover is open"),
    ] {
        let bench = Bench::new(&[&format!("esci,{keys}")]);
        let ended = bench.run(&[&PAGE[..], &[FEEDER, "-o", "never.pnm"]].concat());
        assert_ne!(ended.code, Some(0), "{keys}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{keys}: {}", ended.stderr);
    }
}

#[test]
fn a_pressed_button_is_an_option_that_is_read() {
    if !requirements::are_there("scanimage: buttons", &[&SANE_UTILS]) {
        return;
    }
    let bench = Bench::new(&["esci,button=3"]);
    assert!(bench.done(&["-A"]).contains("--button <int> [3] [hardware]"));
    assert!(bench.done(&["-A"]).contains("--button <int> [0] [hardware]"), "it was read");
}

fn bench() -> Bench {
    Bench::new(&["esci,adf=3,duplex=yes,button=2"])
}

#[test]
fn between_two_pages_every_call_answers_as_sane_says() {
    if requirements::are_there("the feeder, called from C", &[&LIBSANE_DEV]) {
        let bench = bench();
        run(bench.backend(), "feeder", |program| bench.command(program));
    }
}

#[test]
fn between_two_pages_no_call_touches_memory_that_is_not_its_own() {
    if requirements::are_there("the feeder, under valgrind", &[&LIBSANE_DEV, &VALGRIND]) {
        let bench = bench();
        run(bench.backend(), "feeder", |program| valgrind(bench.command("valgrind"), program));
    }
}

//! Pages from a document feeder, and the buttons: scanimage's batch, and a C program for what lies between two pages.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::abi::{run, valgrind};
use crate::bench::Bench;
use crate::picture::Pnm;
use crate::program::Program;
use crate::requirements::{self, LIBSANE_DEV, SANE_UTILS, VALGRIND};
use crate::rig::Rig;

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

#[test]
fn an_all_in_one_that_speaks_escl_has_the_sources_and_sizes_that_sanes_users_expect() {
    if !requirements::are_there("scanimage: eSCL's options", &[&SANE_UTILS]) {
        return;
    }
    let bench = Bench::new(&["escl,adf=2,duplex=yes,align=center"]);
    let glass = bench.done(&["-A"]);
    let feeder = bench.done(&["-A", "--source=ADF Duplex"]);
    for words in [
        "--source Flatbed|Automatic Document Feeder|ADF Duplex [Flatbed]",
        "--mode Color|Gray|Lineart [Color]",
        "-x 0..215.9mm [215.9]",
        "-y 0..297.011mm [297.011]",
        "--page-width 0..215.9mm [inactive]",
        "--fill-page no|yes [inactive]",
    ] {
        assert!(glass.contains(words), "{words} is not in:\n{glass}");
    }
    for words in ["[ADF Duplex]", "-y 0..355.6mm [355.6]", "--page-width 0..215.9mm [0]", "--fill-page no|yes [no]"] {
        assert!(feeder.contains(words), "{words} is not in:\n{feeder}");
    }
}

#[test]
fn all_sides_of_an_escl_feeder_come_in_their_order_each_as_long_as_its_sheet_or_filled_up() {
    if !requirements::are_there("scanimage: --batch from eSCL's feeder", &[&SANE_UTILS]) {
        return;
    }
    let spec = "escl,adf=2,duplex=yes,sheet=a5,align=center";
    let a5 = ["--format=pnm", "--mode=Gray", "--resolution=100", "-x148", "-y250"];
    let batch = |more: &[&str]| {
        let bench = Bench::new(&[spec]);
        let ended = bench.run(&[&a5[..], more, &["--batch=page-%d.pnm"]].concat());
        assert_eq!(ended.code, Some(0), "{more:?}: {}", ended.stderr);
        let paths = (1..).map(|number| bench.path(&format!("page-{number}.pnm")));
        paths.take_while(|path| path.exists()).map(|path| Pnm::read(&path)).collect::<Vec<Pnm>>()
    };
    let sides = batch(&["--source=ADF Duplex"]);
    assert_eq!(sides.len(), 4);
    // 148 x 210 mm.
    let sizes: Vec<_> = sides.iter().map(|side| side.size).collect();
    assert_eq!(sizes, [(583, 827); 4]);
    let alike = sides.iter().enumerate().filter(|(at, side)| sides[..*at].contains(side)).count();
    assert_eq!(alike, 0, "every side has a picture of its own");
    let fronts = batch(&["--source=Automatic Document Feeder", "--fill-page=yes"]);
    assert_eq!(fronts.len(), 2);
    for (front, side) in fronts.iter().zip(sides.iter().step_by(2)) {
        assert_eq!(front.size, (583, 984), "250 mm");
        let (sheet, rest) = front.samples.split_at(side.samples.len());
        assert!(sheet == side.samples && rest.iter().all(|shade| *shade == 255), "the same sheet, and white behind it");
    }
}

/// Width and height in the head of a PNG.
fn png_size(bytes: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[test]
fn scanimage_writes_every_format_from_glass_and_feeder_in_every_protocol() {
    if !requirements::are_there("scanimage: png, jpeg, tiff and pdf", &[&SANE_UTILS]) {
        return;
    }
    let begins: [(&str, &[u8]); 4] =
        [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("tiff", b"MM\0*"), ("pdf", b"%PDF-")];
    // More sheets than pages: the end of a batch may put out a sheet that the scanner has drawn in already.
    let specs = ["esci,adf=9", "esci2,sheets=9", "escl,adf=9"];
    // Its pages are large, and the kernel is none of the formats' business.
    let specs = if Rig::left_out_at_a_kernel("formats of scanimage with eSCL") { &specs[..2] } else { &specs };
    for spec in specs {
        let bench = Bench::new(&[spec]);
        let mut sizes = HashMap::new();
        for (format, begin) in begins {
            for source in ["--source=Flatbed", FEEDER] {
                let options = [&format!("--format={format}"), "--mode=Gray", "--resolution=75", source];
                // With --batch it leaves the end of a PDF out.
                let ended = bench.run(&[&options[..], &["-o", "page-1"]].concat());
                assert_eq!(ended.code, Some(0), "{spec} {source} {format}: {}", ended.stderr);
                let page = std::fs::read(bench.path("page-1")).expect("a page");
                assert!(page.starts_with(begin), "{spec} {source} {format}: {:?}", &page[..page.len().min(8)]);
                let Some((width, height)) = size_as_others_read_it(&bench, format, &page) else { continue };
                assert!(width > 600 && (500..5000).contains(&height), "{spec} {source}: {width} x {height}");
                let first = *sizes.entry(source).or_insert((width, height));
                assert_eq!((width, height), first, "{spec} {source} {format}: as large as in the other formats");
            }
        }
    }
}

/// The pixels across and down of page-1, as a program of others reads it; `None` where that is not installed.
fn size_as_others_read_it(bench: &Bench, format: &str, page: &[u8]) -> Option<(u32, u32)> {
    let (program, arguments): (_, &[&str]) = match format {
        "jpeg" => ("djpeg", &["-pnm", "-outfile", "page-1.pnm", "page-1"]),
        "tiff" => ("tiffinfo", &["page-1"]),
        "pdf" => ("pdfimages", &["-list", "page-1"]),
        _ => return Some(png_size(page)),
    };
    if !Path::new("/usr/bin").join(program).exists() {
        assert!(std::env::var_os("USBSCAN_REQUIRE_READERS").is_none(), "needs {program}");
        return None;
    }
    let read = Program::start(bench.command(program).args(arguments)).end();
    assert_eq!(read.code, Some(0), "{program}: {}", read.stderr);
    let behind = |words: &str| {
        let (_, rest) = read.stdout.split_once(words).unwrap_or_else(|| panic!("{words}: {}", read.stdout));
        rest.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    Some(match format {
        "jpeg" => {
            let (width, height) = Pnm::read(&bench.path("page-1.pnm")).size;
            (width as u32, height as u32)
        }
        "tiff" => (behind("Image Width:"), behind("Image Length:")),
        _ => {
            let fields: Vec<&str> = read.stdout.lines().nth(2).expect("a picture").split_whitespace().collect();
            (fields[3].parse().expect("a width"), fields[4].parse().expect("a height"))
        }
    })
}

/// The most that a process ever had in memory, in bytes.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

#[test]
fn an_a3_page_of_70_megabytes_whose_height_nobody_knows_takes_the_application_no_more_than_32_mib() {
    if !requirements::are_there("scanimage: memory", &[&SANE_UTILS]) {
        return;
    }
    let bench = Bench::new(&["esci2,sheets=2"]);
    let page = ["--format=png", "--mode=Gray", "--resolution=600", FEEDER, "-x", "297", "-y", "420"];
    // sane_start returns when all of it is in.
    let (scan, mut page) = Program::start_unread(&mut bench.scanimage(&page));
    page.read_exact(&mut [0; 4096]).expect("the page begins");
    let peak = peak(scan.pid());
    println!("scanimage had {} KiB at most", peak >> 10);
    assert!(peak < 32 << 20, "{peak} bytes");
    scan.signal(Signal::INT);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    scan.end();
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

//! Several pages: from the feeder until it is empty, or from the glass, one after the other; to one file or to a file each.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::page::{Page, write_noise};
use crate::program::Program;
use crate::rig::{Rig, eventually};

const SMALL: [&str; 8] = ["-r", "75", "--mode", "gray", "--area", "0,0,50,50", "--source", "adf"];

fn with<'a>(first: &[&'a str], then: &[&'a str]) -> Vec<&'a str> {
    [first, then].concat()
}

/// The files in the rig's folder whose names begin so, in order.
fn files(rig: &Rig, beginning: &str) -> Vec<String> {
    let entries = fs::read_dir(rig.path("")).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.trim_start_matches('.').starts_with(beginning)).collect();
    names.sort();
    names
}

/// Pages of a PDF that is whole.
fn pages_of_pdf(path: &Path) -> usize {
    let bytes = fs::read(path).expect("a PDF");
    assert!(bytes.starts_with(b"%PDF-") && bytes.ends_with(b"%%EOF\n"), "whole");
    String::from_utf8_lossy(&bytes).matches("/Type /Page /").count()
}

/// Pages of a TIFF, following its directories.
fn pages_of_tiff(path: &Path) -> usize {
    let bytes = fs::read(path).expect("a TIFF");
    let long = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let next = |at: &usize| Some(long(at + 2 + 12 * (long(*at) >> 16))).filter(|at| *at != 0);
    assert!(bytes.starts_with(b"MM\0\x2a"), "a TIFF");
    std::iter::successors(Some(long(4)), next).count()
}

#[test]
fn all_sheets_of_the_feeder_go_to_one_pdf_or_tiff() {
    let rig = Rig::new("esci,adf=3");
    let said = rig.done(&with(&["scan", "-o", "scan.pdf"], &SMALL));
    assert!(said.starts_with("scan.pdf: 3 pages, 75 dpi, "), "{said}");
    assert_eq!(pages_of_pdf(&rig.path("scan.pdf")), 3);
    rig.done(&with(&["scan", "-o", "scan.tiff"], &SMALL));
    assert_eq!(pages_of_tiff(&rig.path("scan.tiff")), 3);
}

#[test]
fn front_and_back_of_each_sheet_are_pages() {
    let rig = Rig::new("esci,adf=2,duplex=yes");
    rig.done(&["scan", "--source", "adf-duplex", "-r", "75", "--area", "0,0,50,50", "-o", "scan.pdf"]);
    assert_eq!(pages_of_pdf(&rig.path("scan.pdf")), 4);
}

#[test]
fn a_number_in_the_name_makes_a_file_a_page_and_each_is_its_sheet() {
    let folder = tempfile::tempdir().expect("a folder");
    let sheets: Vec<_> = (1..=3).map(|number| folder.path().join(format!("{number}.png"))).collect();
    sheets.iter().zip(1..).for_each(|(sheet, seed)| write_noise(sheet, 600, 448, seed));
    let names: Vec<_> = sheets.iter().map(|sheet| sheet.display().to_string()).collect();
    let rig = Rig::new(&format!("esci,adf={}", names.join(":")));
    let area = ["-r", "300", "--mode", "color", "--area", "0,0,50.8,37.93", "--source", "adf"];
    let said = rig.done(&with(&["scan", "-o", "page-%03d.png"], &area));
    assert_eq!(said.lines().count(), 3, "{said}");
    assert_eq!(files(&rig, "page"), ["page-001.png", "page-002.png", "page-003.png"]);
    for (number, sheet) in sheets.iter().enumerate() {
        let page = Page::read_png(&rig.path(&format!("page-00{}.png", number + 1)));
        page.assert_shows(&Page::read_png(sheet));
    }
}

#[test]
fn programs_get_an_object_a_line_for_each_page_and_for_the_file_of_all() {
    let rig = Rig::new("esci,adf=2");
    let objects = |printed: String| -> Vec<serde_json::Value> {
        printed.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    };
    let said = objects(rig.done(&with(&["--json", "scan", "-o", "scan.pdf"], &SMALL)));
    assert_eq!((&said[0]["page"], &said[1]["page"], said.len()), (&1.into(), &2.into(), 3), "{said:?}");
    assert_eq!((&said[2]["file"], &said[2]["pages"]), (&"scan.pdf".into(), &2.into()));
    let said = objects(rig.done(&with(&["--json", "scan", "-o", "page-%d.png"], &SMALL)));
    assert_eq!((&said[0]["file"], &said[1]["file"], said.len()), (&"page-1.png".into(), &"page-2.png".into(), 2));
    assert!(said.iter().all(|page| page["bytes"].as_u64().is_some_and(|bytes| bytes > 0)), "{said:?}");
}

#[test]
fn no_more_pages_are_scanned_than_were_asked_for() {
    let rig = Rig::new("esci,adf=5");
    rig.done(&with(&["scan", "--pages", "2", "-o", "scan.pdf"], &SMALL));
    assert_eq!(pages_of_pdf(&rig.path("scan.pdf")), 2);
    // One page has room anywhere.
    rig.done(&with(&["scan", "--pages", "1", "-o", "page.png"], &SMALL));
    let output = rig.usbscan(&with(&["scan", "--pages", "1", "-o", "-"], &SMALL)).output().expect("usbscan starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Page::from_png(&output.stdout).assert_shows(&Page::read_png(&rig.path("page.png")));
}

#[test]
fn a_feeder_that_is_empty_at_once_needs_a_person_and_leaves_the_file_as_it_was() {
    let rig = Rig::new("esci,adf=0");
    fs::write(rig.path("scan.pdf"), "what was there").expect("a file");
    for name in ["scan.pdf", "page-%d.png"] {
        let ended = rig.run(&with(&["scan", "-o", name], &SMALL));
        assert_eq!(ended.code, Some(7), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("no paper in the document feeder"), "{}", ended.stderr);
    }
    assert_eq!(fs::read_to_string(rig.path("scan.pdf")).expect("a file"), "what was there");
    assert!(files(&rig, "page").is_empty());
}

#[test]
fn a_jam_in_page_3_keeps_the_files_of_the_pages_before_it_and_says_which() {
    let rig = Rig::new("esci,adf=5,fault=jam@3");
    let ended = rig.run(&with(&["scan", "-o", "page-%02d.png"], &SMALL));
    assert_eq!(ended.code, Some(7), "{}", ended.stderr);
    let words = ["page 3: ", "jammed", "; kept: page-01.png to page-02.png"];
    assert!(words.iter().all(|word| ended.stderr.contains(word)), "{}", ended.stderr);
    assert_eq!(files(&rig, "page"), ["page-01.png", "page-02.png"]);
}

#[test]
fn a_jam_in_page_3_leaves_no_pdf_or_tiff_unless_the_part_is_wanted() {
    for (name, count) in [("scan.pdf", pages_of_pdf as fn(&Path) -> usize), ("scan.tiff", pages_of_tiff)] {
        let rig = Rig::new("esci,adf=5,fault=jam@3");
        let ended = rig.run(&with(&["scan", "-o", name], &SMALL));
        assert_eq!(ended.code, Some(7), "{}", ended.stderr);
        let words = format!("{name} was not written; --keep-partial would have kept 2 pages");
        assert!(ended.stderr.contains(&words), "{}", ended.stderr);
        assert!(files(&rig, "scan").is_empty(), "{:?}", files(&rig, "scan"));

        // One after the other: a kernel shows both scanners to both daemons.
        drop(rig);
        let rig = Rig::new("esci,adf=5,fault=jam@3");
        let ended = rig.run(&with(&["scan", "--keep-partial", "-o", name], &SMALL));
        assert_eq!(ended.code, Some(7), "{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("kept: {name} with 2 pages")), "{}", ended.stderr);
        // It jams half-way: what came of the third is there if something did.
        let expected = if ended.stderr.contains("lines of page 3") { 3 } else { 2 };
        assert_eq!(count(&rig.path(name)), expected, "{}", ended.stderr);
    }
}

#[test]
fn pages_without_room_are_refused_before_anything_is_scanned() {
    let rig = Rig::new("esci,adf=2");
    let busy = rig.session();
    busy.open("usbscan0").expect("it opens");
    busy.lock(false).expect("it is free");
    // A program that got as far as the scanner would find it busy.
    for (arguments, words) in [
        (&["--source", "adf", "-o", "page.png"][..], "a PNG file holds one page"),
        (&["--source", "adf-duplex", "-o", "page.jpg"], "a JPEG file holds one page"),
        (&["--batch", "-o", "page.pgm"], "a PNM file holds one page"),
        (&["--source", "adf", "-o", "-"], "a PNG file holds one page"),
        (&["--source", "adf", "-o", "%d-%d.png"], "more than one %d"),
        (&["--quality", "50", "-o", "page.png"], "--quality is for JPEG and PDF"),
        (&["--quality", "lossless", "-o", "page.jpg"], "never without loss"),
    ] {
        let ended = rig.run(&with(&["scan"], arguments));
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words) && ended.stderr.lines().count() == 1, "{arguments:?}: {}", ended.stderr);
    }
    drop(busy);
    let ended = rig.run(&["scan", "--set", "source=automatic document feeder", "-o", "page.png"]);
    assert_eq!(ended.code, Some(2), "however the feeder is asked for: {}", ended.stderr);
    let ended = rig.run(&["scan", "--mode", "lineart", "-o", "page.jpg"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("black or white"), "{}", ended.stderr);
    assert!(files(&rig, "page").is_empty());
}

#[test]
fn sheets_that_a_feeder_holds_in_the_middle_or_at_the_right_are_scanned_whole() {
    for model in ["esci,adf=1", "esci2,sheets=1,formats=raw"] {
        let sheet = |alignment: &str| {
            let rig = Rig::new(&format!("{model},sheet=a5,align={alignment}"));
            rig.done(&["scan", "--source", "adf", "-r", "75", "--mode", "gray", "--area", "a5", "-o", "a5-%d.png"]);
            Page::read_png(&rig.path("a5-1.png"))
        };
        let left = sheet("left");
        assert_eq!((left.width, left.height.abs_diff(620) < 8), (437, true), "{model}: {} lines", left.height);
        for alignment in ["center", "right"] {
            sheet(alignment).assert_shows(&left);
        }
    }
}

#[test]
fn a_page_that_ends_with_its_sheet_is_kept_beside_its_file_and_where_it_can_not_be_no_sheet_is_fed() {
    let rig = Rig::new("esci2,sheets=2,formats=raw");
    let scan = |file: &[&str]| {
        let mut scan = rig.usbscan(&[&["scan", "-o"], file, &SMALL].concat());
        Program::start(scan.env("TMPDIR", "/nowhere").current_dir(rig.path(""))).end()
    };
    let ended = scan(&["-", "--pages", "1"]);
    assert_ne!(ended.code, Some(0), "standard output has no folder of its own");
    assert!(ended.stderr.contains("/nowhere") && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    let ended = scan(&["page-%d.png"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(files(&rig, "page"), ["page-1.png", "page-2.png"], "both sheets were there");
}

/// A batch from the glass that has scanned its first page and asks for the second.
fn asking(rig: &Rig, name: &str) -> Program {
    let scan = ["--json", "scan", "--batch", "-r", "75", "--mode", "gray", "-o", name];
    let program = Program::start(&mut rig.usbscan(&scan));
    program.wait_for_words("\"page\":1", 1);
    program
}

#[test]
fn a_batch_from_the_glass_asks_for_the_next_page_until_that_was_all() {
    let rig = Rig::new("esci");
    let mut scan = asking(&rig, "scan.tiff");
    scan.say("");
    scan.wait_for_words("\"page\":2", 1);
    scan.say("what?");
    scan.say("q");
    let ended = scan.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.lines().all(|line| line.starts_with("{\"progress\":")), "no prompt: {}", ended.stderr);
    assert_eq!(pages_of_tiff(&rig.path("scan.tiff")), 2);
}

#[test]
fn the_question_is_on_standard_error_and_the_end_of_input_means_no() {
    let rig = Rig::new("esci");
    let mut command = rig.usbscan(&["scan", "--batch", "-r", "50", "-o", "page-%d.png"]);
    let output = command.stdin(std::process::Stdio::null()).output().expect("usbscan starts");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Put page 2 on the glass"));
    assert_eq!(files(&rig, "page"), ["page-1.png"]);
}

#[test]
fn ctrl_c_at_the_question_keeps_the_files_that_are_whole() {
    for (name, kept) in [("page-%d.png", &["page-1.png"][..]), ("page.pdf", &[])] {
        let rig = Rig::new("esci");
        let scan = asking(&rig, name);
        scan.signal(Signal::INT);
        let ended = scan.end();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        assert!(ended.stderr.contains("page 2: interrupted"), "{}", ended.stderr);
        assert_eq!(files(&rig, "page"), kept);
    }
}

#[test]
fn ctrl_c_and_kill_in_page_2_keep_page_1_and_nothing_else() {
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        // A page has 1.4 MB.
        let rig = Rig::new("esci,adf=3,fault=silence@2000k");
        let area = ["-r", "300", "--mode", "gray", "--area", "0,0,100,100", "--source", "adf"];
        let scan = Program::start(&mut rig.usbscan(&with(&["--json", "scan", "-o", "page-%d.png"], &area)));
        scan.wait_for_words("\"page\":1", 1);
        let watcher = rig.session();
        eventually("the read of a block of page 2 hangs", || {
            let status = watcher.status(None).expect("a status");
            let mut reads = status.iter().flat_map(|device| &device.pipes).filter(|pipe| pipe.pipe == "read");
            reads.any(|pipe| pipe.pending.iter().any(|read| read.length > 50_000))
        });
        scan.signal(signal);
        let ended = scan.end();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert!(code.is_none() || ended.stderr.contains("kept: page-1.png"), "{}", ended.stderr);
        assert_eq!(files(&rig, "page"), ["page-1.png"]);
    }
}

//! Debian's unmodified scanimage and libsane1 with our backend: what a person does with them.

use std::io::Read;
use std::process::ChildStdout;

use rustix::process::Signal;

use crate::backend::Backend;
use crate::bench::Bench;
use crate::picture::Pnm;
use crate::program::Program;
use crate::requirements::{self, SANE_UTILS};
use crate::rig::eventually;

/// 50 by 40 mm, off the corner.
const AREA: [&str; 8] = ["-l", "10", "-t", "20", "-x", "50", "-y", "40"];
const SAME_AREA: &str = "10,20,50,40";

fn is_there(claim: &str) -> bool {
    requirements::are_there(&format!("scanimage: {claim}"), &[&SANE_UTILS])
}

/// A page far larger than every buffer on its way, of which the beginning has come and nothing more is taken: so it is in
/// mid-page for as long as the test likes.
fn stuck_in_mid_page(bench: &Bench, more: &[&str]) -> (Program, ChildStdout) {
    let page = ["--format=pnm", "--mode=Color", "--resolution=1200"];
    let (scan, mut page) = Program::start_unread(&mut bench.scanimage(&[&page, more].concat()));
    page.read_exact(&mut [0; 4096]).expect("the page begins");
    (scan, page)
}

/// Scans the same area with scanimage and with usbscan, and compares.
fn assert_pages_are_equal(bench: &Bench, ours: &[&str], theirs: &[&str]) {
    bench.rig.done(&[&["scan", "--area", SAME_AREA, "--format", "pnm", "-o", "page.pnm"], ours].concat());
    bench.done(&[&AREA[..], &["--format=pnm", "-o", "page.pnm"], theirs].concat());
    let (by_usbscan, by_scanimage) = (Pnm::read(&bench.rig.path("page.pnm")), Pnm::read(&bench.path("page.pnm")));
    by_scanimage.assert_equals(&by_usbscan, &format!("{theirs:?}"));
}

fn assert_next_page_is_right(bench: &Bench) {
    assert_pages_are_equal(bench, &["-r", "100", "--mode", "color"], &["--resolution=100", "--mode=Color"]);
}

#[test]
fn lists_the_scanners_of_the_daemon() {
    if !is_there("-L") {
        return;
    }
    let bench = Bench::new(&["esci", "esci2", "loopback"]);
    let listed = bench.done(&["-L"]);
    for line in [
        "device `usbscan:04b8:0151:VIRTUAL1' is a EPSON Perfection V850 (virtual) flatbed scanner",
        "device `usbscan:04b8:08bc:VIRTUAL2' is a EPSON PX-M7050 (virtual) scanner",
    ] {
        assert_eq!(listed.matches(line).count(), 1, "{listed}");
    }
    assert!(!listed.contains("Loopback"), "a loopback is no scanner: {listed}");
}

#[test]
fn lists_nothing_where_there_is_no_daemon() {
    if !is_there("-L without a daemon") {
        return;
    }
    let backend = Backend::new();
    let listed = Program::start(backend.command("scanimage").arg("-L")).end();
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(listed.stdout.contains("No scanners were identified"), "{}", listed.stdout);
}

#[test]
fn shows_the_options_with_the_names_that_sane_knows() {
    if !is_there("-A") {
        return;
    }
    let bench = Bench::new(&["esci"]);
    let shown = bench.done(&["-A"]);
    for option in [
        "--mode Color|Gray|Lineart [",
        "--depth 8|16bit [",
        "--preview[=(yes|no)] [",
        "-l 0..215.9mm",
        "-t 0..297.18mm",
        "-x 0..215.9mm [215.9]",
        "-y 0..297.18mm [297.18]",
        "--resolution ",
        "--brightness ",
    ] {
        assert!(shown.contains(option), "{option} is not in:\n{}", shown);
    }
    let order = ["Scan mode:", "Geometry:", "Enhancement:"].map(|group| shown.find(group));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "the groups:\n{}", shown);
}

#[test]
fn passes_its_own_test_of_a_backend() {
    if !is_there("--test") {
        return;
    }
    let bench = Bench::new(&["esci"]);
    for mode in ["Color", "Gray", "Lineart"] {
        let tested = bench.run(&[&AREA[..], &["--test", &format!("--mode={mode}"), "--resolution=100"]].concat());
        assert_eq!(tested.code, Some(0), "{mode}: {}", tested.stderr);
        assert!(!tested.stderr.contains("FAIL"), "{mode}: {}", tested.stderr);
    }
}

#[test]
fn a_page_equals_that_of_usbscan_in_every_mode_and_dialect() {
    if !is_there("pages in all modes") {
        return;
    }
    for dialect in ["fs", "esc"] {
        let bench = Bench::new(&[&format!("esci,dialect={dialect}")]);
        for dpi in ["75", "150", "300"] {
            for (mode, same_mode) in [("Color", "color"), ("Gray", "gray")] {
                for depth in ["8", "16"] {
                    let theirs = [format!("--resolution={dpi}"), format!("--mode={mode}"), format!("--depth={depth}")];
                    let theirs = theirs.each_ref().map(String::as_str);
                    assert_pages_are_equal(&bench, &["-r", dpi, "--mode", same_mode, "--depth", depth], &theirs);
                }
            }
            let theirs = [format!("--resolution={dpi}"), "--mode=Lineart".to_owned()];
            assert_pages_are_equal(&bench, &["-r", dpi, "--mode", "lineart"], &theirs.each_ref().map(String::as_str));
        }
    }
}

#[test]
fn curves_and_matrices_are_arrays_of_words() {
    if !is_there("gamma tables") {
        return;
    }
    let bench = Bench::new(&["esci,matrix=yes"]);
    let negative = (0..256).rev().map(|shade: u32| shade.to_string()).collect::<Vec<_>>().join(",");
    let table = format!("gamma-table={negative}");
    let ours = ["-r", "75", "--mode", "gray", "--set", "gamma=table", "--set", &table];
    let theirs = ["--resolution=75", "--mode=Gray", "--gamma=table", &format!("--{table}")];
    assert_pages_are_equal(&bench, &ours, &theirs);
    let matrix = "color-matrix=1.5,-0.25,-0.25,0,0.75,0.25,-0.5,0,1.5";
    let ours = ["-r", "75", "--mode", "color", "--set", "color-correction=matrix", "--set", matrix];
    let theirs = ["--resolution=75", "--mode=Color", "--color-correction=matrix", &format!("--{matrix}")];
    assert_pages_are_equal(&bench, &ours, &theirs);
}

#[test]
fn several_pages_come_one_after_the_other() {
    if !is_there("--batch") {
        return;
    }
    let bench = Bench::new(&["esci"]);
    let batch = ["--batch=page-%d.pnm", "--batch-count=3", "--format=pnm", "--mode=Gray", "--resolution=100"];
    bench.done(&[&AREA[..], &batch].concat());
    let first = Pnm::read(&bench.path("page-1.pnm"));
    for page in ["page-2.pnm", "page-3.pnm"] {
        Pnm::read(&bench.path(page)).assert_equals(&first, page);
    }
}

#[test]
fn an_interrupt_in_mid_page_leaves_the_scanner_idle() {
    if !is_there("Ctrl-C") {
        return;
    }
    let bench = Bench::new(&["esci"]);
    let (scan, mut page) = stuck_in_mid_page(&bench, &[]);
    scan.signal(Signal::INT);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    let ended = scan.end();
    assert!(ended.stderr.contains("received signal 2"), "{}", ended.stderr);
    assert_next_page_is_right(&bench);
}

#[test]
fn a_kill_in_mid_page_leaves_the_scanner_idle() {
    if !is_there("kill -9") {
        return;
    }
    let bench = Bench::new(&["esci"]);
    let (scan, page) = stuck_in_mid_page(&bench, &[]);
    scan.signal(Signal::KILL);
    assert_eq!(scan.end().code, None);
    drop(page);
    assert_next_page_is_right(&bench);
}

#[test]
fn a_reader_that_goes_away_in_mid_page_leaves_the_scanner_idle() {
    if !is_there("scanimage | head") {
        return;
    }
    let bench = Bench::new(&["esci"]);
    let (scan, page) = stuck_in_mid_page(&bench, &[]);
    drop(page);
    scan.end();
    assert_next_page_is_right(&bench);
}

#[test]
fn an_interrupt_gives_control_back_though_the_scanner_is_silent() {
    if !is_there("Ctrl-C while the scanner is silent") {
        return;
    }
    let bench = Bench::new(&["esci,fault=silence@3000000"]);
    let (scan, mut page) = stuck_in_mid_page(&bench, &[]);
    // The sixth of the blocks, which are of 490 kB, is handed over while the seventh is read: the one that never ends.
    page.read_exact(&mut vec![0; 2_500_000]).expect("the page goes on");
    scan.signal(Signal::INT);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    scan.end();
    assert_next_page_is_right(&bench);
}

#[test]
fn who_has_the_scanner_keeps_others_off_it_but_not_off_the_list() {
    if !is_there("two at a time") {
        return;
    }
    let bench = Bench::new(&["esci,serial=FIRST", "esci,serial=SECOND"]);
    let (scan, mut page) = stuck_in_mid_page(&bench, &["--device-name=usbscan:04b8:0151:FIRST"]);
    let listed = bench.done(&["-L"]);
    assert!(listed.contains(":FIRST'") && listed.contains(":SECOND'"), "{listed}");
    let refused = bench.run(&["--device-name=usbscan:04b8:0151:FIRST", "--format=pnm", "-o", "never.pnm"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("Device busy"), "{}", refused.stderr);
    let second = ["--device-name=usbscan:04b8:0151:SECOND", "--format=pnm", "--resolution=75", "-o", "second.pnm"];
    bench.done(&[&AREA[..], &second].concat());
    scan.signal(Signal::INT);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    scan.end();
}

#[test]
fn what_is_wrong_with_the_scanner_is_said_in_sanes_words() {
    if !is_there("statuses") {
        return;
    }
    for (key, words) in [
        ("cover=open", "cover is open"),
        ("paper=jam", "jammed"),
        ("lamp=dead", "Error during device I/O"),
        ("busy=always", "Device busy"),
        ("fault=unplug@100000", "Error during device I/O"),
        ("fault=fatal@100000", "Error during device I/O"),
    ] {
        let bench = Bench::new(&[&format!("esci,{key}")]);
        let ended = bench.run(&["--format=pnm", "--mode=Color", "--resolution=150", "-o", "never.pnm"]);
        assert_ne!(ended.code, Some(0), "{key}: half a page is no success");
        assert!(ended.stderr.contains(words), "{key}: {}", ended.stderr);
    }
}

/// The rest of the page, and the end of a scan that another client has cancelled.
fn assert_is_cancelled(scan: Program, mut page: ChildStdout) {
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    let ended = scan.end();
    assert_ne!(ended.code, Some(0), "half a page is no success");
    assert!(ended.stderr.contains("canceled"), "{}", ended.stderr);
}

#[test]
fn a_cancel_from_elsewhere_ends_a_scan_whose_application_is_slow() {
    if !is_there("usbscan cancel") {
        return;
    }
    let bench = Bench::new(&["esci"]);
    let (scan, page) = stuck_in_mid_page(&bench, &[]);
    // Perhaps nothing is pending: then the backend hears of it by its next request.
    bench.rig.done(&["cancel"]);
    assert_is_cancelled(scan, page);
    assert_next_page_is_right(&bench);
}

#[test]
fn a_cancel_from_elsewhere_ends_a_scan_whose_scanner_is_silent() {
    if !is_there("usbscan cancel while the scanner is silent") {
        return;
    }
    // In the second of the blocks, which are of 490 kB: its read is under way before the first one is handed over.
    let bench = Bench::new(&["esci,fault=silence@600000"]);
    let (scan, page) = stuck_in_mid_page(&bench, &[]);
    let cancel = bench.rig.run(&["cancel"]);
    assert_eq!(cancel.code, Some(0), "{}", cancel.stderr);
    assert!(cancel.stdout.contains("port reset"), "nothing else ends its silence: {}", cancel.stdout);
    assert_is_cancelled(scan, page);
    assert_next_page_is_right(&bench);
}

#[test]
fn a_daemon_that_dies_in_mid_page_is_an_error_at_once() {
    if !is_there("the daemon's death") {
        return;
    }
    let mut bench = Bench::new(&["esci"]);
    let (scan, mut page) = stuck_in_mid_page(&bench, &[]);
    bench.rig.end_daemon(Signal::KILL);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest of what came");
    let ended = scan.end();
    assert_ne!(ended.code, Some(0), "half a page is no success");
    assert!(ended.stderr.contains("Error during device I/O"), "{}", ended.stderr);
    bench.rig.start_daemon();
    assert_next_page_is_right(&bench);
}

#[test]
fn a_daemon_that_was_started_again_is_found_again_by_who_has_the_scanner_open() {
    if !is_there("a daemon started again between two pages") {
        return;
    }
    let mut bench = Bench::new(&["esci"]);
    let batch = ["--batch=page-%d.pnm", "--batch-count=2", "--batch-prompt", "--format=pnm", "--mode=Gray"];
    let mut scan = Program::start(&mut bench.scanimage(&[&AREA[..], &batch, &["--resolution=100"]].concat()));
    scan.say("");
    eventually("the first page is there", || bench.path("page-1.pnm").exists());
    bench.rig.end_daemon(Signal::TERM);
    bench.rig.start_daemon();
    scan.say("");
    let ended = scan.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    Pnm::read(&bench.path("page-2.pnm")).assert_equals(&Pnm::read(&bench.path("page-1.pnm")), "the second page");
}

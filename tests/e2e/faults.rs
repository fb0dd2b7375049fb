//! Each fault of a scanner has its own message and exit code.

use crate::rig::Rig;

fn scan_fails(spec: &str, code: i32, words: &str) {
    let rig = Rig::new(spec);
    let ended = rig.run(&["scan", "-r", "100", "-o", "page.png"]);
    assert_eq!(ended.code, Some(code), "{spec}: {}", ended.stderr);
    assert!(ended.stderr.to_lowercase().contains(words), "{spec}: {}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{spec}: {}", ended.stderr);
    assert!(!rig.path("page.png").exists(), "{spec}: no half page");
}

#[test]
fn a_scanner_that_needs_a_person_says_what_for() {
    for dialect in ["fs", "esc"] {
        scan_fails(&format!("esci,dialect={dialect},cover=open"), 7, "cover");
        scan_fails(&format!("esci,dialect={dialect},lamp=dead"), 7, "fatal");
    }
}

#[test]
fn a_fatal_error_in_mid_page_is_said() {
    scan_fails("esci,fault=fatal@100k", 7, "error");
}

#[test]
fn a_cancel_at_the_scanner_is_a_cancel() {
    scan_fails("esci,fault=cancel@100k", 6, "cancel");
}

#[test]
fn a_transfer_that_fails_is_an_io_error() {
    scan_fails("esci,fault=stall@200k", 8, "");
}

#[test]
fn rubbish_on_the_wire_is_an_io_error() {
    if Rig::left_out_with_a_gadget("packets that break the rules of the bus: its controller sends none") {
        return;
    }
    scan_fails("esci,fault=garble@200k", 8, "");
    scan_fails("esci,fault=babble@200k", 8, "");
}

#[test]
fn an_unplug_in_mid_page_is_said_and_the_next_scanner_scans() {
    let mut rig = Rig::new("esci,fault=unplug@300k");
    let ended = rig.run(&["scan", "-r", "100", "-o", "page.png"]);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("unplugged"), "{}", ended.stderr);
    assert!(!rig.path("page.png").exists(), "no half page");
    rig.exchange("esci");
    rig.done(&["scan", "-r", "50", "-o", "page.png"]);
}

#[test]
fn a_partial_page_is_kept_where_that_is_asked_for() {
    let rig = Rig::new("esci,fault=unplug@300k");
    let ended = rig.run(&["scan", "-r", "100", "--mode", "gray", "-o", "page.pgm", "--keep-partial"]);
    assert_eq!(ended.code, Some(4), "{}", ended.stderr);
    let page = crate::page::Page::from_pnm(&std::fs::read(rig.path("page.pgm")).expect("what came of it"));
    assert_eq!(page.samples.len(), (page.width * page.height) as usize, "white below");
    assert!(page.samples.ends_with(&[255; 100]));
}

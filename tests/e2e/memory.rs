//! Memory is bounded by a few blocks, whatever the page.

use std::fs;
use std::io::Read;

use crate::program::Program;
use crate::rig::Rig;

/// A quarter of what the page has.
const MOST: u64 = 24 << 20;
/// What a pipe holds, and some more: a program that has so much left to write has not ended.
const HELD_BACK: u64 = 100_000;

/// The most that a process ever had in memory, in bytes.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells the peak");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_page_of_100_megabytes_takes_neither_program_more_than_24_mib() {
    let rig = Rig::new("esci");
    let scan = ["scan", "-r", "600", "--mode", "color", "--area", "A4", "--format", "pnm", "-o", "-"];
    let (program, mut page) = Program::start_unread(&mut rig.usbscan(&scan));
    let length = 4961 * 7016 * 3;
    let read = std::io::copy(&mut page.by_ref().take(length - HELD_BACK), &mut std::io::sink());
    assert_eq!(read.expect("nearly all of the page"), length - HELD_BACK);
    assert_both_stayed_small(&rig, &program);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest");
    assert_eq!(program.end().code, Some(0));
}

fn assert_both_stayed_small(rig: &Rig, program: &Program) {
    for (name, pid) in [("usbscan", program.pid()), ("usbscand", rig.daemon_pid())] {
        let peak = peak(pid);
        println!("{name} had {} KiB at most", peak >> 10);
        assert!(peak < MOST, "{name} had {peak} bytes at most");
    }
}

/// Scans a page to a file and asks for the program's peak when the page is written and it waits for the next one.
fn peak_of(dpi: &str, area: &str, arguments: &[&str]) -> u64 {
    let rig = Rig::new("esci");
    let mut command = rig.usbscan(&["--json", "scan", "--batch", "-r", dpi, "--mode", "color", "--area", area]);
    let mut program = Program::start(command.args(arguments));
    program.wait_for_words("\"page\":1", 1);
    let peak = peak(program.pid());
    println!("{arguments:?} at {dpi} dpi: usbscan had {} KiB at most", peak >> 10);
    program.say("q");
    assert_eq!(program.end().code, Some(0));
    peak
}

#[test]
fn a_pdf_of_100_megabytes_takes_usbscan_no_more_than_24_mib() {
    assert!(peak_of("600", "A4", &["-o", "scan.pdf"]) < MOST);
}

#[test]
fn a_file_of_any_format_takes_usbscan_no_more_than_24_mib() {
    for arguments in [
        &["-o", "page-%d.png"][..],
        &["-o", "page-%d.jpg"],
        &["-o", "scan.tiff"],
        &["-o", "scan.pdf"],
        &["-o", "scan.pdf", "--quality", "lossless"],
    ] {
        // As wide as at any height, and 38 MB: the virtual scanner takes a while for each pixel.
        assert!(peak_of("1200", "0,0,215.9,26", arguments) < MOST, "{arguments:?}");
    }
}

#[test]
fn an_a3_page_of_70_megabytes_whose_height_nobody_knows_takes_neither_program_more_than_24_mib() {
    let rig = Rig::new("esci2,sheets=2");
    let scan = ["scan", "--source", "adf", "--pages", "1", "-r", "600", "--mode", "gray", "--area", "A3", "-o", "-"];
    // A PNG begins with its height. It goes to a pipe, so usbscan lives as long as that is not read.
    let (program, mut page) = Program::start_unread(&mut rig.usbscan(&scan));
    page.read_exact(&mut [0; 4096]).expect("the page begins");
    assert_both_stayed_small(&rig, &program);
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest");
    assert_eq!(program.end().code, Some(0));
}

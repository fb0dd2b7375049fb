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
    for (name, pid) in [("usbscan", program.pid()), ("usbscand", rig.daemon_pid())] {
        let peak = peak(pid);
        println!("{name} had {} KiB at most", peak >> 10);
        assert!(peak < MOST, "{name} had {peak} bytes at most");
    }
    std::io::copy(&mut page, &mut std::io::sink()).expect("the rest");
    assert_eq!(program.end().code, Some(0));
}

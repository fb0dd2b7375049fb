//! The shared object as the loader sees it: its name, what it needs, and that every function of libusb is in it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// The functions of libusb 1.0.30, as its list of exports names them.
const NEWEST: &str = include_str!("exports-1.0.30.txt");
/// Where Debian, Fedora and Arch keep libusb.
const INSTALLED: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/libusb-1.0.so.0",
    "/usr/lib/aarch64-linux-gnu/libusb-1.0.so.0",
    "/lib/x86_64-linux-gnu/libusb-1.0.so.0",
    "/usr/lib64/libusb-1.0.so.0",
    "/usr/lib/libusb-1.0.so.0",
];

/// The one that cargo built with this test.
fn library() -> PathBuf {
    let tests = std::env::current_exe().expect("this program has a path");
    let built = tests.parent().expect("a folder").join("libusbscan_libusb_dropin.so");
    assert!(built.exists(), "cargo built no {}", built.display());
    built
}

fn output(program: &str, arguments: &[&str], file: &std::path::Path) -> String {
    let ran = Command::new(program).args(arguments).arg(file).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("its output is text")
}

/// What a shared object defines for others.
fn exports(file: &std::path::Path) -> BTreeSet<String> {
    let listed = output("nm", &["-D", "--defined-only"], file);
    listed.lines().filter_map(|line| line.split_whitespace().nth(2)).map(str::to_owned).collect()
}

#[test]
fn every_function_of_the_newest_libusb_is_there_without_a_version() {
    let ours = exports(&library());
    let missing: Vec<_> = NEWEST.lines().filter(|name| !ours.contains(*name)).collect();
    assert_eq!(NEWEST.lines().count(), 104);
    assert!(missing.is_empty(), "missing: {missing:?}");
}

#[test]
fn every_function_of_the_installed_libusb_is_there() {
    let Some(installed) = INSTALLED.iter().map(PathBuf::from).find(|path| path.exists()) else {
        eprintln!("LEFT OUT: this machine has no libusb to compare with");
        return;
    };
    let ours = exports(&library());
    let missing: Vec<_> = exports(&installed).into_iter().filter(|name| !ours.contains(name)).collect();
    assert!(missing.is_empty(), "{} has also {missing:?}", installed.display());
}

#[test]
fn nothing_but_libusbs_functions_and_those_for_our_host_is_visible() {
    let foreign: Vec<_> = exports(&library()).into_iter().filter(|name| !name.starts_with("libusb_")).collect();
    let for_host = ["usbscan_host_cancelled", "usbscan_host_completed", "usbscan_host_device", "usbscan_host_refuse"];
    assert_eq!(foreign, for_host);
}

#[test]
fn the_loader_takes_it_for_libusb_and_it_needs_no_other() {
    let dynamic = output("readelf", &["--wide", "--dynamic"], &library());
    let entries = |kind: &str| -> Vec<&str> {
        let lines = dynamic.lines().filter(|line| line.contains(kind));
        lines.filter_map(|line| line.split('[').nth(1)?.split(']').next()).collect()
    };
    assert_eq!(entries("(SONAME)"), ["libusb-1.0.so.0"]);
    let needed = entries("(NEEDED)");
    assert!(
        !needed.is_empty() && needed.iter().all(|name| !name.contains("usb") && !name.contains("udev")),
        "{needed:?}"
    );
}

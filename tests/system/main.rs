//! What is installed beside the programs, as the tools of the system that reads it understand it: the udev rules, the units.
//! No systemd runs for that, and no device is there.
//!
//! What is not installed, or not allowed, leaves its tests out, and says so; with `USBSCAN_REQUIRE_SYSTEM=1`, as `tools/test`
//! sets it, it is a failure.

mod udev;
mod units;

use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of the sources.
fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(source(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether these programs are there. What `claim` is then not shown is said, or is a failure where they are required.
fn are_there(claim: &str, programs: &[&str]) -> bool {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let is_missing = |program: &&&str| !folders.iter().any(|folder| Path::new(folder).join(program).exists());
    let missing: Vec<&str> = programs.iter().filter(is_missing).copied().collect();
    missing.is_empty() || left_out(claim, &format!("no {}", missing.join(", no ")))
}

fn left_out(claim: &str, why: &str) -> bool {
    assert!(std::env::var_os("USBSCAN_REQUIRE_SYSTEM").is_none(), "{claim}: {why}");
    // Where no test runner hides it; nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {claim}: {why}");
    false
}

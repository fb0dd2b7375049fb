//! What this library takes from the environment of the program that it is loaded into. A program that runs with more rights
//! than whoever started it (set-uid, file capabilities) takes nothing from there: its caller would choose the daemon that it
//! talks to, and the folder that it writes to.

use std::ffi::OsString;
use std::path::PathBuf;

/// A variable, if it is set and may be believed, as glibc's `secure_getenv` gives it.
pub fn variable(name: &str) -> Option<OsString> {
    if has_more_rights_than_its_caller() {
        return None;
    }
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Where files that nobody else sees may be: `TMPDIR`, or /tmp.
pub fn temporary_folder() -> PathBuf {
    variable("TMPDIR").map_or_else(|| "/tmp".into(), PathBuf::from)
}

/// Whether the kernel started this program in secure mode.
fn has_more_rights_than_its_caller() -> bool {
    // SAFETY: no preconditions; it looks a number up in what the kernel left at the start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

//! Debian packages that a test needs. What is missing is said on standard error, where no test runner hides it.

use std::io::Write;
use std::path::Path;

/// A package, and the file by which it is known to be there.
pub struct Package {
    name: &'static str,
    file: &'static str,
}

/// scanimage, and with it libsane1.
pub const SANE_UTILS: Package = Package { name: "sane-utils", file: "/usr/bin/scanimage" };
/// The daemon that shows this machine's scanners to others. Since bookworm it comes with scanimage; where it is a package of
/// its own, that is named as this one is.
pub const SANED: Package = Package { name: "sane-utils", file: "/usr/sbin/saned" };
/// The header.
pub const LIBSANE_DEV: Package = Package { name: "libsane-dev", file: "/usr/include/sane/sane.h" };
/// Looks over a program's shoulder at its memory.
pub const VALGRIND: Package = Package { name: "valgrind", file: "/usr/bin/valgrind" };
/// A program of the desktop that scans.
pub const SIMPLE_SCAN: Package = Package { name: "simple-scan", file: "/usr/bin/simple-scan" };
/// A screen that nobody sees.
pub const XVFB: Package = Package { name: "xvfb", file: "/usr/bin/Xvfb" };
/// Presses keys there.
pub const XDOTOOL: Package = Package { name: "xdotool", file: "/usr/bin/xdotool" };

/// Whether all of them are there. What `claim` is then not shown is said, or is a failure where they are required.
pub fn are_there(claim: &str, packages: &[&Package]) -> bool {
    let missing: Vec<&str> =
        packages.iter().filter(|package| !Path::new(package.file).exists()).map(|package| package.name).collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(" ");
    assert!(
        std::env::var_os("USBSCAN_REQUIRE_SANE").is_none(),
        "{claim}: needs Debian's {missing}, which USBSCAN_REQUIRE_SANE demands"
    );
    say(&format!("LEFT OUT: {claim}: Debian's {missing} is not installed"));
    false
}

/// Says a line where no test runner hides it.
pub fn say(line: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

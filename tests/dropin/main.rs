//! Programs of other people over the daemon: SANE's own backends, unmodified as Debian has them, with our libusb under them
//! and virtual scanners behind it. What they scan, what a Ctrl-C and a kill cost, and what every function of libusb answers.
//!
//! What is not installed leaves its tests out, and says so; with `USBSCAN_REQUIRE_SANE=1`, as `tools/test` sets it, it is a
//! failure.

mod backends;
mod calls;
mod death;
mod desk;
mod hosted;
mod pictures;
mod programs;
mod silence;
mod xerox;

// How other tests of this package start daemons, scanners and programs, and look at pictures; not all of it is needed here.
#[path = "../sane/backend.rs"]
#[allow(dead_code)]
mod backend;
#[path = "../sane/bench.rs"]
#[allow(dead_code)]
mod bench;
#[path = "../sane/epson2.rs"]
#[allow(dead_code)]
mod epson2;
#[path = "../e2e/page.rs"]
#[allow(dead_code)]
mod page;
#[path = "../sane/picture.rs"]
#[allow(dead_code)]
mod picture;
#[path = "../e2e/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../sane/requirements.rs"]
#[allow(dead_code)]
mod requirements;
#[path = "../e2e/rig.rs"]
#[allow(dead_code)]
mod rig;

//! The SANE backend, as Debian's unmodified programs and a C program of ours meet it: the shared library that cargo built,
//! loaded by Debian's libsane1, and a daemon with virtual scanners behind it.
//!
//! What is not installed (Debian's sane-utils, libsane-dev, valgrind) leaves its tests out, and says so; with
//! `USBSCAN_REQUIRE_SANE=1`, as `tools/test` sets it, it is a failure.

mod abi;
mod airscan;
mod backend;
mod bench;
mod desktop;
mod epson2;
mod feeder;
mod foreign;
mod peer;
mod picture;
mod requirements;
mod saned;
mod scanimage;
mod scanners;
mod screen;

// How other tests of this package start daemons, scanners and programs; not all of it is needed here.
#[path = "../e2e/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../e2e/rig.rs"]
#[allow(dead_code)]
mod rig;

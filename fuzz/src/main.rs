//! libFuzzer's program for every target: `USBSCAN_FUZZ=NAME usbscan-fuzz [LIBFUZZER'S ARGUMENTS]`; tools/fuzz runs it.
#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{TARGETS, Target};

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("USBSCAN_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|target| target.0 == name);
        found.unwrap_or_else(|| panic!("USBSCAN_FUZZ={name}: there is no such target")).1
    })
}

fuzz_target!(|bytes: &[u8]| chosen()(bytes));

//! libFuzzer's program for every target: `USBSCAN_FUZZ=NAME usbscan-fuzz [LIBFUZZER'S ARGUMENTS]`, or a copy of it under the
//! target's name; tools/fuzz runs it.
#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{TARGETS, Target};

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let program = || Some(std::env::current_exe().ok()?.file_name()?.to_str()?.to_owned());
        let name = std::env::var("USBSCAN_FUZZ").ok().or_else(program).unwrap_or_default();
        let found = TARGETS.iter().find(|target| target.0 == name);
        found.unwrap_or_else(|| panic!("\"{name}\": there is no such target")).1
    })
}

fuzz_target!(|bytes: &[u8]| chosen()(bytes));

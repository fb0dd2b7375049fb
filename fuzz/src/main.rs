//! libFuzzer's program for every target: `USBSCAN_FUZZ=NAME usbscan-fuzz [LIBFUZZER'S ARGUMENTS]`; tools/fuzz runs it.
//!
//! A target is a function of bytes that panics when something is wrong. To add one: write it in the file that it
//! belongs to, name it in [`TARGETS`], and put some inputs of its kind into `corpus/NAME`. Other
//! protocols' replies come in so.
#![no_main]

mod driver;
mod files;
mod messages;
mod requests;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

/// Every target by name. tools/fuzz takes the names from here.
const TARGETS: &[(&str, Target)] = &[
    ("frame", messages::frame),
    ("answer", messages::answer),
    ("descriptor", messages::descriptor),
    ("usbip", messages::usbip),
    ("esci", driver::esci),
    ("esci2", driver::esci2),
    ("config", files::config),
    ("quirks", files::quirks),
    ("spec", files::spec),
    ("glass", files::glass),
    ("replay", files::replay),
    ("requests", requests::requests),
];

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("USBSCAN_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|target| target.0 == name);
        found.unwrap_or_else(|| panic!("USBSCAN_FUZZ={name}: there is no such target")).1
    })
}

fuzz_target!(|bytes: &[u8]| chosen()(bytes));

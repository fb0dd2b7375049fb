//! Every fuzz target: a function of bytes that panics when something is wrong. The fuzzer's program and `tests/corpus.rs`
//! both have them; nothing here may need libFuzzer.
//!
//! To add one: write it in the file that it belongs to, name it in [`TARGETS`], and put some inputs of its kind into
//! `fuzz/corpus/NAME`. Other protocols' replies come in so.

mod driver;
mod escl;
mod files;
mod messages;
mod models;
mod picture;
mod queue;
mod requests;

#[allow(unused_imports)] // The fuzzer's program needs the targets alone.
pub use driver::{scan_esci, scan_esci2};

/// What is done with an input.
pub type Target = fn(&[u8]);

/// Every target by name. tools/fuzz takes the names from here.
pub const TARGETS: &[(&str, Target)] = &[
    ("frame", messages::frame),
    ("answer", messages::answer),
    ("descriptor", messages::descriptor),
    ("usbip", messages::usbip),
    ("esci", driver::esci),
    ("esci2", driver::esci2),
    ("http", escl::http),
    ("documents", escl::documents),
    ("models", models::models),
    ("config", files::config),
    ("quirks", files::quirks),
    ("spec", files::spec),
    ("glass", files::glass),
    ("replay", files::replay),
    ("jpeg", picture::jpeg),
    ("queue", queue::queue),
    ("requests", requests::requests),
];

//! Every figure that docs/performance.md states, each beside its peer in the same run: medians, spread and ratio.
//!
//!     tools/bench                  # this, with the tables under target/bench
//!     cargo bench --bench figures -- [--quick] [--only PART]... [--out FOLDER]
//!     tools/bench --guest vhci     # the parts that need a kernel with a virtual host controller
//!
//! No absolute time is a claim; the ratio is. In each round the candidates take turns, so that whatever else the
//! machine does meets all of them.

mod bulk;
mod cancel;
mod growth;
mod hang;
mod hang_peer;
mod idle;
mod jpeg;
mod kernel;
mod kernel_cancel;
mod pages;
mod report;
mod rigs;
mod scans;
mod source;
mod usbscand;

use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What was asked for.
#[derive(Debug)]
pub struct Wishes {
    /// Few rounds: to see that all of it works.
    pub quick: bool,
    only: Vec<String>,
    out: PathBuf,
    /// The kernel's host controller, where there is one to measure on: vhci or functionfs.
    controller: Option<String>,
    /// Of whole scans.
    resolutions: Vec<u32>,
}

impl Wishes {
    fn read() -> Option<Wishes> {
        let mut wishes = Wishes {
            quick: false,
            only: Vec::new(),
            out: PathBuf::from("target/bench"),
            controller: None,
            resolutions: Vec::new(),
        };
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => wishes.quick = true,
                "--only" => wishes.only.push(arguments.next().filter(|name| is_a_part(name))?),
                "--controller" => wishes.controller = Some(arguments.next()?),
                "--dpi" => wishes.resolutions.push(arguments.next()?.parse().ok().filter(|dpi| *dpi <= 4800)?),
                "--out" => wishes.out = arguments.next()?.into(),
                _ => return None,
            }
        }
        Some(wishes)
    }

    /// What a part needs that measures on this machine's kernel.
    pub fn controller(&self) -> Outcome<&str> {
        Ok(self.controller.as_deref().ok_or("--controller vhci or functionfs; tools/bench --guest does all of it")?)
    }

    /// What whole scans are made at.
    pub fn resolutions(&self) -> &[u32] {
        if self.resolutions.is_empty() { &[300, 600] } else { &self.resolutions }
    }

    /// `most`, or a few of them.
    pub fn rounds(&self, most: usize) -> usize {
        if self.quick { most.div_ceil(8).max(2) } else { most }
    }
}

type Part = fn(&Wishes, &mut Report) -> Outcome<()>;

const PARTS: &[(&str, Part)] = &[
    ("bulk", bulk::measure),
    ("depths", bulk::settings),
    ("cancel", cancel::measure),
    ("growth", growth::measure),
    ("idle", idle::measure),
    ("pages", pages::measure),
    ("jpeg", jpeg::measure),
    ("hang", hang::measure),
];

/// Only when they are asked for by name: they need a kernel with a virtual host controller, and root's rights.
const KERNEL_PARTS: &[(&str, Part)] = &[
    ("kernel", kernel::measure),
    ("settings", kernel::settings),
    ("scans", scans::measure),
    ("kernel-cancel", kernel_cancel::measure),
    ("kernel-idle", idle::measure_on_a_kernel),
    ("kernel-hang", hang_peer::measure),
];

fn is_a_part(name: &str) -> bool {
    PARTS.iter().chain(KERNEL_PARTS).any(|part| part.0 == name)
}

fn main() -> ExitCode {
    let Some(wishes) = Wishes::read() else {
        eprintln!("usage: figures [--quick] [--only bulk|depths|cancel|growth|idle|pages|jpeg|hang]... [--out FOLDER]");
        eprintln!(
            "       figures --only kernel|settings|kernel-cancel|kernel-idle|kernel-hang|scans... --controller vhci|functionfs \
             [--dpi N]... [--quick]"
        );
        return ExitCode::from(2);
    };
    match run(&wishes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(wishes: &Wishes) -> Outcome<()> {
    std::fs::create_dir_all(&wishes.out)?;
    let (mut report, mut failed) = (Report::new(), Vec::new());
    let unasked = if wishes.only.is_empty() { PARTS.len() } else { 0 };
    for (number, (name, part)) in PARTS.iter().chain(KERNEL_PARTS).enumerate() {
        if number < unasked || wishes.only.iter().any(|only| only == name) {
            report.begin(name);
            if let Err(error) = part(wishes, &mut report) {
                // What the others say is worth having all the same.
                eprintln!("figures: {name}: {error}");
                failed.push(*name);
            }
        }
    }
    report.write(&wishes.out)?;
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", ")).into()) }
}

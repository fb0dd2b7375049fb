//! Every figure that docs/performance.md states, each beside its peer in the same run: medians, spread and ratio.
//!
//!     tools/bench                  # this, and the whole pages, with the figures and plots under target/bench
//!     cargo bench --bench figures -- [--quick] [--only bulk|cancel|growth|idle]... [--out FOLDER]
//!
//! No absolute time is a claim; the ratio is. In each round the candidates take turns, so that whatever else the
//! machine does meets all of them.

mod bulk;
mod cancel;
mod growth;
mod idle;
mod plot;
mod report;
mod rigs;
mod source;

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
}

impl Wishes {
    fn read() -> Option<Wishes> {
        let mut wishes = Wishes { quick: false, only: Vec::new(), out: PathBuf::from("target/bench") };
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => wishes.quick = true,
                "--only" => wishes.only.push(arguments.next().filter(|name| PARTS.iter().any(|p| p.0 == name))?),
                "--out" => wishes.out = arguments.next()?.into(),
                _ => return None,
            }
        }
        Some(wishes)
    }

    /// `most`, or a few of them.
    pub fn rounds(&self, most: usize) -> usize {
        if self.quick { most.div_ceil(8).max(2) } else { most }
    }
}

type Part = fn(&Wishes, &mut Report) -> Outcome<()>;

const PARTS: &[(&str, Part)] =
    &[("bulk", bulk::measure), ("cancel", cancel::measure), ("growth", growth::measure), ("idle", idle::measure)];

fn main() -> ExitCode {
    let Some(wishes) = Wishes::read() else {
        eprintln!("usage: figures [--quick] [--only bulk|cancel|growth|idle]... [--out FOLDER]");
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
    let mut report = Report::new();
    for (name, part) in PARTS {
        if wishes.only.is_empty() || wishes.only.iter().any(|only| only == name) {
            report.begin(name);
            part(wishes, &mut report)?;
        }
    }
    report.write(&wishes.out)
}

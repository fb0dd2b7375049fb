//! A test runner for tests that share one place (a test bed, a kernel) and so run one after another, in the
//! order they are listed. Understands what `cargo test` passes: filters, `--skip`, `--exact`, `--list`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// A test: its claim, and what panics where that does not hold.
pub struct Test {
    pub name: String,
    pub run: Box<dyn Fn()>,
}

impl Test {
    pub fn new(name: &str, run: impl Fn() + 'static) -> Test {
        Test { name: name.to_owned(), run: Box::new(run) }
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Choice {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    ignored: bool,
}

impl Choice {
    fn from_arguments() -> Choice {
        let mut choice = Choice::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => choice.exact = true,
                "--list" => choice.list = true,
                "--ignored" => choice.ignored = true,
                "--skip" => choice.skipped.extend(arguments.next()),
                "--test-threads" | "--color" | "--format" | "--logfile" => drop(arguments.next()),
                flag if flag.starts_with('-') => {}
                _ => choice.filters.push(argument),
            }
        }
        choice
    }

    fn picks(&self, name: &str) -> bool {
        let matches = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        // None of these tests is an ignored one.
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skipped.iter().any(matches)
    }
}

/// Runs those that the command line picks.
pub fn run(tests: &[Test]) -> ExitCode {
    let choice = Choice::from_arguments();
    let picked: Vec<&Test> = tests.iter().filter(|test| choice.picks(&test.name)).collect();
    if choice.list {
        picked.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    let failed: Vec<&str> = picked.iter().filter(|test| !holds(test)).map(|test| test.name.as_str()).collect();
    println!("\n{} of {} tests passed", picked.len() - failed.len(), picked.len());
    for name in &failed {
        println!("    failed: {name}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn holds(test: &Test) -> bool {
    println!("test {} ...", test.name);
    let began = Instant::now();
    let held = catch_unwind(AssertUnwindSafe(&test.run)).is_ok();
    println!("test {} ... {} <{:.3}s>", test.name, if held { "ok" } else { "FAILED" }, began.elapsed().as_secs_f64());
    held
}

//! The command line: subcommands, output, exit codes. Everything runs on the main thread, but for the one that hears of
//! signals (interrupt.rs) and, with `--virtual`, those of the daemon inside.

mod actions;
mod area;
pub mod args;
mod cancel;
mod capture;
mod context;
mod device;
pub mod doctor;
mod event;
mod exit;
mod failure;
mod hex;
mod interrupt;
mod list;
mod options;
mod output;
mod progress;
mod raw;
mod reset;
mod scan;
mod status;
mod table;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command, Global};
use context::Context;
use exit::Exit;
use failure::{Failure, Left};
use interrupt::{Interrupts, Signal};
use output::Leftover;
use progress::Bar;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.global.verbose);
    let bar = Bar::new(!arguments.global.json);
    let outcome = run(&arguments, &bar);
    bar.wipe();
    let exit = match &outcome {
        Ok(()) => Exit::Done,
        Err(failure) => Exit::from(failure),
    };
    if let Err(failure) = &outcome {
        tell(failure, exit, arguments.global.json);
    }
    ExitCode::from(exit.code())
}

fn run(arguments: &Arguments, bar: &Bar) -> Result<(), Failure> {
    let leftover = Leftover::default();
    let last_words = last_words(&arguments.global, leftover.clone(), bar.clone());
    let interrupts = Interrupts::listen(last_words).map_err(Failure::System)?;
    let context = Context::new(&arguments.global, interrupts, leftover, bar.clone())?;
    match &arguments.command {
        Command::List => list::run(&context),
        Command::Status(device) => status::run(&context, device),
        Command::Options(device) => options::run(&context, device),
        Command::Scan(wish) => scan::run(&context, wish),
        Command::Cancel(wish) => cancel::run(&context, wish),
        Command::WaitEvent(wish) => event::run(&context, wish),
        Command::Watch(wish) => watch::run(&context, wish),
        Command::Capture(wish) => capture::run(&context, wish),
        Command::Actions(wish) => actions::run(&context, wish),
        Command::Reset(wish) => reset::run(&context, wish),
        Command::Raw(wish) => raw::run(&context, wish),
        Command::Doctor => examine(&context, &arguments.global),
    }
}

/// What is done, and said, before a signal ends the program at once.
fn last_words(global: &Global, leftover: Leftover, bar: Bar) -> impl Fn(Signal) + Send + Sync + 'static {
    // A daemon inside ends with the program, and so do its scanners.
    let left = if global.virtual_scanners.is_empty() { Left::ToDaemon } else { Left::Idle };
    let json = global.json;
    move |signal| {
        leftover.remove();
        if bar.wipe() {
            tell(&Failure::Interrupted { signal, left }, Exit::Interrupted(signal), json);
        }
    }
}

fn examine(context: &Context<'_>, global: &Global) -> Result<(), Failure> {
    let report = doctor::examine(&global.socket);
    context.print(&report, |out| report.write_text(out))?;
    if report.worst() == doctor::Level::Problem { Err(Failure::Doctor) } else { Ok(()) }
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "error",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).format_timestamp_millis().init();
}

/// One sentence on standard error. Nobody is left to tell when that fails too; and whoever closed our output knows.
fn tell(failure: &Failure, exit: Exit, json: bool) {
    if exit == Exit::BrokenPipe || matches!(failure, Failure::Doctor) {
        return;
    }
    let message = without_numbers(&failure.to_string());
    let line = if json {
        serde_json::json!({ "error": exit.word(), "exit-code": exit.code(), "message": message }).to_string()
    } else {
        format!("usbscan: {message}")
    };
    let _ = writeln!(io::stderr(), "{line}");
}

/// What the standard library says of a system's error, without the number that helps nobody.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default();
    parts.fold(first.to_owned(), |text, part| text + part.split_once(')').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_systems_error_is_told_in_words() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(without_numbers(&format!("open a: {error}; b")), "open a: No such file or directory; b");
        assert_eq!(without_numbers("nothing (of that)"), "nothing (of that)");
    }
}

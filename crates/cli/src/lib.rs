//! The `usbscan` program: subcommands, output, exit codes. Commands run on the main thread; another thread waits for
//! signals (interrupt.rs). With `--virtual` the daemon's threads run in this process too.

mod actions;
mod area;
pub mod args;
mod cancel;
mod capture;
mod capture_report;
mod context;
mod device;
pub mod doctor;
mod exit;
mod failure;
mod hex;
mod interrupt;
mod label;
mod list;
mod options;
mod output;
mod program;
mod progress;
mod raw;
mod reset;
mod run;
mod scan;
mod signal;
mod status;
mod table;
mod wait_event;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command, Global};
use context::Context;
use exit::Exit;
use failure::{DeviceState, Failure};
use interrupt::Interrupts;
use output::TempFileGuard;
use progress::Bar;
use signal::Signal;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(args::normalized(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) => return report_usage(&error, std::env::args_os().any(|argument| argument == "--json")),
    };
    log_to_stderr(arguments.global.verbose);
    let bar = Bar::new(arguments.global.json);
    let outcome = match &arguments.command {
        // It has its own way with signals.
        Command::Run(args) => run::run(&arguments.global, args),
        command => run_command(&arguments.global, command, &bar),
    };
    bar.wipe();
    let exit = match &outcome {
        Ok(()) => Exit::Done,
        Err(failure) => Exit::from(failure),
    };
    if let Err(failure) = &outcome {
        print_error(failure, exit, arguments.global.json);
    }
    ExitCode::from(exit.code())
}

/// Prints help, the version, or what is wrong with the command line.
fn report_usage(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() || !json {
        // A closed output is no reason to fail.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    print_message(&usage_message(&error.to_string()), Exit::Usage, true);
    ExitCode::from(Exit::Usage.code())
}

/// The parser's message as one line: without `error:`, and without the usage and the hint below it.
fn usage_message(text: &str) -> String {
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let message = lines.join(" ");
    message.strip_prefix("error: ").unwrap_or(&message).to_owned()
}

fn run_command(global: &Global, command: &Command, bar: &Bar) -> Result<(), Failure> {
    let temp_file = TempFileGuard::default();
    let on_exit = on_exit(global, temp_file.clone(), bar.clone());
    let interrupts = Interrupts::listen(on_exit).map_err(Failure::System)?;
    let context = Context::new(global, interrupts, temp_file, bar.clone())?;
    match command {
        Command::List => list::run(&context),
        Command::Status(device) => status::run(&context, device),
        Command::Options(args) => options::run(&context, args),
        Command::Scan(args) => scan::run(&context, args),
        Command::Cancel(args) => cancel::run(&context, args),
        Command::WaitEvent(args) => wait_event::run(&context, args),
        Command::Watch(args) => watch::run(&context, args),
        Command::Capture(args) => capture::run(&context, args),
        Command::Actions(args) => actions::run(&context, args),
        Command::Reset(args) => reset::run(&context, args),
        Command::Raw(args) => raw::run(&context, args),
        Command::Run(args) => run::run(global, args),
        Command::Doctor => run_doctor(&context),
    }
}

/// What a second signal does before the process exits at once: it removes the temporary file and prints the error.
fn on_exit(global: &Global, temp_file: TempFileGuard, bar: Bar) -> impl Fn(Signal) + Send + Sync + 'static {
    // A virtual scanner ends with this process.
    let state = if global.virtual_scanners.is_empty() { DeviceState::Recovering } else { DeviceState::Idle };
    let json = global.json;
    move |signal| {
        temp_file.remove();
        if bar.wipe() {
            print_error(&Failure::Interrupted { signal, state }, Exit::Interrupted(signal), json);
        }
    }
}

fn run_doctor(context: &Context<'_>) -> Result<(), Failure> {
    let report = context.doctor();
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

/// Prints one sentence on standard error. A closed standard output needs no message, doctor has printed its report, and a
/// program that was run has said what it had to say.
fn print_error(failure: &Failure, exit: Exit, json: bool) {
    if exit == Exit::BrokenPipe || matches!(failure, Failure::Doctor | Failure::ProgramEnded { .. }) {
        return;
    }
    print_message(&without_os_error(&failure.to_string()), exit, json);
}

fn print_message(message: &str, exit: Exit, json: bool) {
    let line = if json {
        serde_json::json!({ "error": exit.word(), "exit-code": exit.code(), "message": message }).to_string()
    } else {
        format!("usbscan: {message}")
    };
    let _ = writeln!(io::stderr(), "{line}");
}

/// Removes the ` (os error N)` that the standard library appends to system errors.
fn without_os_error(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default();
    parts.fold(first.to_owned(), |text, part| text + part.split_once(')').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_one_sentence() {
        let error = Arguments::try_parse_from(["usbscan", "scan", "--depth", "7"]).expect_err("it is wrong");
        let message = usage_message(&error.to_string());
        assert_eq!(message, "invalid value '7' for '--depth <8|16>': expected 8 or 16");
    }

    #[test]
    fn the_number_of_a_system_error_is_removed() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(without_os_error(&format!("open a: {error}; b")), "open a: No such file or directory; b");
        assert_eq!(without_os_error("nothing (of that)"), "nothing (of that)");
    }
}

//! The command line as clap reads it: every flag, its help, and the table of exit codes. Nothing is carried out here;
//! man page and completions are made from [`command`].

mod raw;

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use usbscan_image::Quality;
use usbscan_wire::Pipe;

use super::area::AreaWish;
use super::exit::Exit;
pub use raw::{Direction, Kind, Raw, Recipient, Target};

/// Scan, and cancel what hangs, through usbscand.
#[derive(Debug, Parser)]
#[command(name = "usbscan", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH", env = "USBSCAN_SOCKET", default_value = usbscan_client::DEFAULT_SOCKET)]
    #[arg(help_heading = "For every command")]
    pub socket: PathBuf,

    /// Run a daemon with a virtual scanner inside this program, instead of asking usbscand; may be given several times.
    /// MODEL is esci if left out; `usbscan --help` lists all
    #[arg(long = "virtual", global = true, value_name = "MODEL[,KEY=VALUE...]", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "esci", action = ArgAction::Append, help_heading = "For every command")]
    pub virtual_scanners: Vec<String>,

    /// Print JSON, one object, instead of text for people; errors too, on standard error
    #[arg(long, global = true, help_heading = "For every command")]
    pub json: bool,

    /// Say on standard error what is done; twice, and three times, more of it
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "For every command")]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the scanners
    List,
    /// Show what a scanner is doing, for whom, and what is pending
    Status(Device),
    /// Show what can be set for a scan, and the values it may have
    Options(Device),
    /// Scan a page, or all that lie in the feeder, to files or to standard output
    Scan(Scan),
    /// Cancel what is pending on a scanner, and bring it back to idle
    Cancel(Cancel),
    /// Wait for a button to be pressed, and print the packet that tells of it
    WaitEvent(WaitEvent),
    /// Print what happens at the scanners, as it happens: plugging, buttons, cancels
    Watch(Watch),
    /// Record what goes over a scanner's pipes, whoever uses it, in a file for Wireshark
    Capture(Capture),
    /// Run the commands that the configuration has for buttons, as usbscan-actions.service does
    Actions(Actions),
    /// Reset a pipe, or the whole device, after everything pending was cancelled
    Reset(Reset),
    /// Look at all that scanning needs on this machine, and say how to mend what is wrong
    Doctor,
    /// Move bytes to and from a scanner, for those who debug one
    #[command(subcommand)]
    Raw(Raw),
}

/// Which scanner.
#[derive(Debug, Args)]
pub struct Device {
    /// Name or stable id of the scanner, or the beginning of either; may be left out if there is only one
    #[arg(value_name = "DEVICE")]
    pub device: Option<String>,
}

/// `scan`.
#[derive(Debug, Args)]
pub struct Scan {
    /// Which scanner.
    #[command(flatten)]
    pub device: Device,

    /// Dots per inch; if left out, what `usbscan options` shows
    #[arg(short, long, value_name = "DPI", value_parser = whole::<u32>(1, 100_000))]
    pub resolution: Option<u32>,

    /// What to keep of the colours
    #[arg(long)]
    pub mode: Option<Mode>,

    /// Bits a sample
    #[arg(long, value_name = "8|16", value_parser = depth)]
    pub depth: Option<u32>,

    /// What to scan of the glass: A4, A5, A6, letter, or left, top, width and height in mm; all of it if left out
    #[arg(long, value_name = "A4|letter|X,Y,W,H", allow_hyphen_values = true)]
    pub area: Option<AreaWish>,

    /// Where the pages lie; a feeder is scanned until it is empty
    #[arg(long)]
    pub source: Option<Source>,

    /// Scan page after page: from the glass, asking on the terminal for the next one
    #[arg(long)]
    pub batch: bool,

    /// Scan so many pages at most
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1, 1_000_000))]
    pub pages: Option<u32>,

    /// Set any other option of the scanner, see `usbscan options`; may be given several times
    #[arg(long = "set", value_name = "OPTION=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,

    /// The format of the file; else the ending of its name says, and standard output gets PNG
    #[arg(long)]
    pub format: Option<Format>,

    /// How alike to the page JPEG has to be, alone or inside a PDF, from 1 to 100; 85 if left out. lossless: no JPEG in a PDF
    #[arg(long, value_name = "1-100|lossless", value_parser = quality)]
    pub quality: Option<Quality>,

    /// Where to write; - is standard output, the default unless that is a terminal. All pages go to one PDF or TIFF; a
    /// number in the name, as in page-%03d.png, makes it a file a page
    #[arg(short, long, value_name = "FILE|-")]
    pub output: Option<PathBuf>,

    /// Keep what came of a page that was cancelled or failed; what is missing is white. A PDF or TIFF is kept with it and
    /// the pages before it, and is else not written at all
    #[arg(long)]
    pub keep_partial: bool,
}

/// Where pages lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// On the glass
    Flatbed,
    /// In the document feeder; their fronts
    Adf,
    /// In the document feeder; front and back of each
    AdfDuplex,
    /// Film or slides, on the glass, with the lamp above them
    Transparency,
}

/// What to keep of the colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Red, green and blue
    #[value(alias = "colour")]
    Color,
    /// Shades of gray
    #[value(alias = "grey")]
    Gray,
    /// Black and white
    Lineart,
}

/// Formats of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Compressed without loss; records the resolution
    Png,
    /// PBM, PGM or PPM, as the mode needs; no compression
    Pnm,
    /// Any number of pages, compressed without loss; records the resolution
    #[value(alias = "tif")]
    Tiff,
    /// Small, by giving up some likeness; 8 bits a sample only; records the resolution
    #[value(alias = "jpg")]
    Jpeg,
    /// Any number of pages, of the size they had on paper; JPEG inside where that can be
    Pdf,
}

/// `cancel`.
#[derive(Debug, Args)]
#[command(override_usage = "usbscan cancel [--pipe <PIPE>] [DEVICE]\n       usbscan cancel --request <SESSION/ID>")]
pub struct Cancel {
    /// Which scanner.
    #[command(flatten)]
    pub device: Device,

    /// Only what is pending on this pipe; all: on every pipe, and the scanner is left where it is
    #[arg(long, value_name = "PIPE", conflicts_with = "request")]
    pub pipe: Option<PipeName>,

    /// Only this request, as `usbscan status` numbers it
    #[arg(long, value_name = "SESSION/ID", value_parser = request_number, conflicts_with = "device")]
    pub request: Option<RequestNumber>,
}

/// `wait-event`.
#[derive(Debug, Args)]
pub struct WaitEvent {
    /// Which scanner.
    #[command(flatten)]
    pub device: Device,

    /// How long to wait, in seconds; else for ever
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,

    /// Index of the endpoint that tells of events, as `usbscan raw pipes` has it; else the highest-numbered one
    #[arg(long, value_name = "N")]
    pub event_index: Option<u8>,
}

/// `watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// Only the scanner of this name, or those whose stable id begins so; they need not be there yet
    #[arg(value_name = "DEVICE")]
    pub device: Option<String>,

    /// Leave the scanners alone: watching buttons keeps a scanner open, and so from programs that don't use usbscand
    #[arg(long)]
    pub no_buttons: bool,
}

/// `capture`.
#[derive(Debug, Args)]
pub struct Capture {
    /// Which scanner.
    #[command(flatten)]
    pub device: Device,

    /// Where to, in pcapng, readable only by you; - is standard output
    #[arg(short, long, value_name = "FILE.pcapng|-")]
    pub output: PathBuf,
}

/// `actions`.
#[derive(Debug, Args)]
pub struct Actions {
    /// Read this configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `reset`.
#[derive(Debug, Args)]
pub struct Reset {
    /// Which scanner.
    #[command(flatten)]
    pub device: Device,

    /// Reset this pipe only: cancel what is pending on it, clear its halt, throw surplus bytes away [default: all]
    #[arg(long, value_name = "PIPE", conflicts_with = "whole_device")]
    pub pipe: Option<PipeName>,

    /// Reset the USB port, as if the scanner was plugged in anew
    #[arg(long = "device", id = "whole_device")]
    pub whole_device: bool,
}

/// A pipe of a scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PipeName {
    /// Interrupt
    Event,
    /// Bulk in
    Read,
    /// Bulk out
    Write,
    /// Every one
    All,
}

impl From<PipeName> for Pipe {
    fn from(name: PipeName) -> Pipe {
        match name {
            PipeName::Event => Pipe::Event,
            PipeName::Read => Pipe::Read,
            PipeName::Write => Pipe::Write,
            PipeName::All => Pipe::All,
        }
    }
}

/// A request as `usbscan status` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestNumber {
    /// The connection that issued it.
    pub session: u64,
    /// Its id there.
    pub request: u64,
}

/// The whole command line, for man page and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// What most people want.
const EXAMPLES: &str = "\
Examples:
  usbscan scan -o page.png                      a page from the glass
  usbscan scan --source adf -o letters.pdf      all that lies in the feeder
  usbscan --virtual scan -o page.png            a page without any scanner
  usbscan status; usbscan cancel                what hangs, and its end
  usbscan doctor                                what is in the way of scanning";

fn long_help() -> String {
    format!("{EXAMPLES}\n\n{}\n\n{}", Exit::help(), usbscan_virtual::spec::help())
}

/// A whole number that is not off these ends.
fn whole<N>(least: N, most: N) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: Copy + PartialOrd + FromStr + Display + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }
}

fn depth(text: &str) -> Result<u32, String> {
    match text {
        "8" => Ok(8),
        "16" => Ok(16),
        _ => Err("expected 8 or 16".to_owned()),
    }
}

fn quality(text: &str) -> Result<Quality, String> {
    match text.parse() {
        Ok(quality @ 1..=100) => Ok(Quality::Jpeg(quality)),
        _ if text == "lossless" => Ok(Quality::Lossless),
        _ => Err("expected 1 to 100, or lossless".to_owned()),
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected OPTION=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn request_number(text: &str) -> Result<RequestNumber, String> {
    let (session, request) =
        text.split_once('/').ok_or("expected SESSION/ID, such as 3/12, as `usbscan status` shows")?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
    Ok(RequestNumber { session: number(session)?, request: number(request)? })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let longest = usbscan_wire::MAX_TIMEOUT_SECONDS;
    let seconds: f64 = text.parse().map_err(|_| "expected seconds, such as 2 or 0.5".to_owned())?;
    if seconds > 0.0 && seconds <= f64::from(longest) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("expected more than 0 and at most {longest} seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_argument_of_every_command_is_described() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(|below| {
                assert!(below.get_about().is_some(), "{}", below.get_name());
                check(below);
            });
        }
        check(&command());
    }

    #[test]
    fn a_virtual_scanner_needs_no_model_and_takes_no_command_for_one() {
        let arguments = parse("usbscan --virtual scan -o page.png").expect("it parses");
        assert_eq!(arguments.global.virtual_scanners, ["esci"]);
        let arguments = parse("usbscan scan --virtual=esci,dialect=esc -o page.png").expect("it parses");
        assert_eq!(arguments.global.virtual_scanners, ["esci,dialect=esc"]);
    }

    #[test]
    fn every_number_is_of_the_type_that_its_place_wants() {
        for line in [
            "usbscan scan -r 300 --depth 8 --pages 2 --quality 85",
            "usbscan raw read -n 512",
            "usbscan raw write --hex 1b40 --then-read 1",
            "usbscan raw control --direction in --request 1 --value 2 --index 3 -n 4",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "usbscan",
            "usbscan scan -r 0",
            "usbscan scan --depth 7",
            "usbscan scan --area 1,2,3",
            "usbscan scan --set brightness",
            "usbscan scan --source tray",
            "usbscan scan --pages 0",
            "usbscan scan --quality 0",
            "usbscan scan --quality 101",
            "usbscan scan --format gif",
            "usbscan cancel --pipe control",
            "usbscan cancel --pipe read --request 1/2",
            "usbscan cancel --request 12",
            "usbscan wait-event --timeout 0",
            "usbscan wait-event --timeout 1e9",
            "usbscan wait-event --timeout NaN",
            "usbscan raw read -n 1048577",
            "usbscan raw write --hex 1b4",
            "usbscan raw write --hex 1b --read-index 0",
            "usbscan raw read --read-index 256",
            "usbscan raw control --direction in --request 256",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_number_that_will_not_do_is_answered_with_those_that_will() {
        for (line, words) in [
            ("usbscan scan -r 0", "expected a whole number from 1 to 100000"),
            ("usbscan scan -r many", "expected a whole number from 1 to 100000"),
            ("usbscan scan --pages 0", "expected a whole number from 1 to 1000000"),
            ("usbscan raw control --direction in --request 1 -n 4097", "expected a whole number from 0 to 4096"),
        ] {
            let refusal = parse(line).expect_err("it makes no sense").to_string();
            assert!(refusal.contains(words), "{line}: {refusal}");
        }
    }

    #[test]
    fn a_request_is_named_by_session_and_id() {
        let arguments = parse("usbscan cancel --request 3/17").expect("it parses");
        let Command::Cancel(cancel) = arguments.command else { panic!("another command") };
        assert_eq!(cancel.request, Some(RequestNumber { session: 3, request: 17 }));
    }

    #[test]
    fn the_help_lists_exit_codes_and_virtual_scanners() {
        let help = command().render_long_help().to_string();
        assert!(help.contains("130") && help.contains("esci"), "{help}");
    }

    #[test]
    fn the_examples_of_the_help_are_command_lines() {
        let lines = EXAMPLES.lines().skip(1).map(|line| line.trim().split("  ").next().expect("a command"));
        let commands: Vec<&str> = lines.flat_map(|line| line.split("; ")).collect();
        assert_eq!(commands.len(), 6);
        commands.into_iter().for_each(|line| assert!(parse(line).is_ok(), "{line}"));
    }
}

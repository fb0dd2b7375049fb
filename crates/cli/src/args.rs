//! The command line: every command and flag with its help text. Nothing is executed here. Man page and completions are
//! generated from [`command`].

mod normalized;
mod raw;
mod run;

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use usbscan_image::Quality;
use usbscan_wire::Pipe;

use super::area::AreaArgument;
use super::exit::Exit;
pub use normalized::normalized;
pub use raw::{Direction, Raw, RawTarget, Recipient, RequestType};
pub use run::Run;

/// Scan with USB scanners, and cancel scans that hang
#[derive(Debug, Parser)]
#[command(name = "usbscan", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH", env = "USBSCAN_SOCKET", default_value = usbscan_client::DEFAULT_SOCKET)]
    #[arg(value_parser = socket_path(), help_heading = "Global options")]
    pub socket: PathBuf,

    /// Use a virtual scanner inside this process instead of usbscand; may be repeated. The default MODEL is esci;
    /// `usbscan --help` lists all models
    #[arg(long = "virtual", global = true, value_name = "MODEL[,KEY=VALUE...]", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "esci", action = ArgAction::Append, help_heading = "Global options")]
    pub virtual_scanners: Vec<String>,

    /// Print JSON instead of text; errors are JSON too, on standard error
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,

    /// Increase verbosity (-v, -vv, -vvv)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the scanners
    List,
    /// Show a scanner's sessions and pending requests
    Status(DeviceArg),
    /// Show a scanner's options and their possible values
    Options(ScanOptions),
    /// Scan one page, or every page in the feeder
    Scan(Scan),
    /// Cancel everything pending on a scanner and return it to idle
    Cancel(Cancel),
    /// Wait for one packet on the scanner's interrupt pipe (a button press) and print it
    WaitEvent(WaitEvent),
    /// Print events as they happen: scanners plugged in and out, button presses, cancels
    Watch(Watch),
    /// Record a scanner's USB traffic to a pcapng file
    Capture(Capture),
    /// Run the commands that are configured as actions on button presses, as usbscan-actions.service does
    Actions(Actions),
    /// Reset a pipe or the USB port, after cancelling what is pending
    Reset(Reset),
    /// Run a program written for libusb, such as scanimage with SANE's own backends, over usbscand: its requests can be
    /// cancelled, and its scanner is usable after whatever happens to it
    Run(Run),
    /// Check this machine's scanning setup and suggest fixes
    Doctor,
    /// Read and write a scanner's pipes directly, for debugging
    #[command(subcommand)]
    Raw(Raw),
}

#[derive(Debug, Args)]
pub struct DeviceArg {
    /// Name or stable id of the scanner, or the beginning of one (see usbscan(1)); optional if there is only one
    #[arg(value_name = "DEVICE")]
    pub device: Option<String>,
}

#[derive(Debug, Args)]
pub struct ScanOptions {
    #[command(flatten)]
    pub device: DeviceArg,

    #[command(flatten)]
    pub driver: Driver,
}

#[derive(Debug, Args)]
pub struct Driver {
    /// Driver to use, of a scanner that `usbscan list` shows with several [default: the first whose interface is free];
    /// or a backend of SANE's: sane:NAME, as in sane:genesys
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,

    /// Folder with usbscan-sane-host and usbscan's libusb-1.0.so.0 [default: ../lib/usbscan, from the folder of this
    /// program]
    #[arg(long, value_name = "FOLDER")]
    pub host_folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Scan {
    #[command(flatten)]
    pub device: DeviceArg,

    #[command(flatten)]
    pub driver: Driver,

    /// Resolution in dots per inch [default: see `usbscan options`]
    #[arg(short, long, value_name = "DPI", value_parser = whole::<u32>(1, 100_000))]
    pub resolution: Option<u32>,

    /// Color mode [default: see `usbscan options`]
    #[arg(long, ignore_case = true)]
    pub mode: Option<Mode>,

    /// Bits per sample
    #[arg(long, value_name = "8|16", value_parser = depth)]
    pub depth: Option<u32>,

    /// Scan area: A3 to A6, B4, B5, letter, legal, tabloid, executive, max, or left,top,width,height in mm [default: max]
    #[arg(long, value_name = "PAPER|max|X,Y,W,H", allow_hyphen_values = true)]
    pub area: Option<AreaArgument>,

    /// Paper source; a feeder is scanned until it is empty
    #[arg(long, ignore_case = true)]
    pub source: Option<Source>,

    /// Scan several pages from the glass, prompting for each one
    #[arg(long)]
    pub batch: bool,

    /// Stop after N pages
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1, 1_000_000))]
    pub pages: Option<u32>,

    /// Number of the first page, for %d in the file name [default: 1]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0, 1_000_000))]
    pub start: Option<u32>,

    /// Step between page numbers; a negative one counts down, for the backs of a stack that was turned over [default: 1]
    #[arg(long, value_name = "N", value_parser = increment, allow_negative_numbers = true)]
    pub increment: Option<i32>,

    /// Replace files of earlier pages, for %d in the file name
    #[arg(long)]
    pub overwrite: bool,

    /// Set any scanner option, see `usbscan options`; may be repeated
    #[arg(long = "set", value_name = "OPTION=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,

    /// File format [default: from the file extension; PNG on standard output]
    #[arg(long, ignore_case = true)]
    pub format: Option<Format>,

    /// JPEG quality, 1 to 100, or `lossless` for a PDF without JPEG compression [default: 85]
    #[arg(long, value_name = "1-100|lossless", value_parser = quality)]
    pub quality: Option<Quality>,

    /// Output file; - is standard output (the default, unless that is a terminal). A PDF or TIFF gets all pages; %d, as
    /// in page-%03d.png, writes each page to a file of its own
    #[arg(short, long, value_name = "FILE|-")]
    pub output: Option<PathBuf>,

    /// Keep the part of a page that was scanned before a cancel or an error, with missing lines white; also keep the
    /// PDF or TIFF that it belongs to, which is otherwise discarded
    #[arg(long)]
    pub keep_partial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// The glass
    Flatbed,
    /// The document feeder, front sides
    #[value(alias = "Automatic Document Feeder")]
    Adf,
    /// The document feeder, both sides
    #[value(alias = "ADF Duplex")]
    AdfDuplex,
    /// The transparency unit, for film and slides
    #[value(alias = "Transparency Unit")]
    Transparency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Color (RGB)
    #[value(alias = "colour")]
    Color,
    /// Grayscale
    #[value(alias = "grey")]
    Gray,
    /// Black and white
    Lineart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lossless; one page
    Png,
    /// PBM, PGM or PPM, depending on the mode; uncompressed; one page
    Pnm,
    /// Lossless; any number of pages
    #[value(alias = "tif")]
    Tiff,
    /// Lossy; 8 bits per sample; one page
    #[value(alias = "jpg")]
    Jpeg,
    /// Any number of pages, at their paper size; JPEG-compressed where possible
    Pdf,
}

#[derive(Debug, Args)]
#[command(override_usage = "usbscan cancel [--pipe <PIPE>] [DEVICE]\n       usbscan cancel --request <SESSION/ID>")]
pub struct Cancel {
    #[command(flatten)]
    pub device: DeviceArg,

    /// Cancel only this pipe's requests, without returning the scanner to idle
    #[arg(long, value_name = "PIPE", conflicts_with = "request")]
    pub pipe: Option<CancelPipeName>,

    /// Cancel only this request, numbered as in `usbscan status`
    #[arg(long, value_name = "SESSION/ID", value_parser = request_number, conflicts_with = "device")]
    pub request: Option<RequestNumber>,
}

#[derive(Debug, Args)]
pub struct WaitEvent {
    #[command(flatten)]
    pub device: DeviceArg,

    /// Timeout in seconds [default: none]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,

    /// Index of the interrupt endpoint, as listed by `usbscan raw pipes` [default: the highest-numbered]
    #[arg(long, value_name = "N")]
    pub event_index: Option<u8>,
}

#[derive(Debug, Args)]
pub struct Watch {
    /// Only this scanner: its name, or a prefix of its stable id; it need not be plugged in yet
    #[arg(value_name = "DEVICE")]
    pub device: Option<String>,

    /// Don't watch buttons: that keeps scanners claimed, and other programs can't open them
    #[arg(long)]
    pub no_buttons: bool,
}

#[derive(Debug, Args)]
pub struct Capture {
    #[command(flatten)]
    pub device: DeviceArg,

    /// Output file in pcapng format, readable only by you; - is standard output
    #[arg(short, long, value_name = "FILE.pcapng|-")]
    pub output: PathBuf,

    /// Make a file for a public report: pictures are gray or zeros, serial numbers are X, and `doctor --json` is inside
    #[arg(long)]
    pub for_report: bool,
}

#[derive(Debug, Args)]
pub struct Actions {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Reset {
    #[command(flatten)]
    pub device: DeviceArg,

    /// Reset only this pipe: cancel its requests, clear its halt, discard surplus bytes [default: all]
    #[arg(long, value_name = "PIPE", conflicts_with = "whole_device")]
    pub pipe: Option<PipeName>,

    /// Reset the USB port, as if the scanner had been replugged
    #[arg(long = "device", id = "whole_device")]
    pub whole_device: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PipeName {
    /// Interrupt
    Event,
    /// Bulk in
    Read,
    /// Bulk out
    Write,
    /// All pipes
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

/// What can be cancelled, but not reset: control too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CancelPipeName {
    /// Interrupt
    Event,
    /// Bulk in
    Read,
    /// Bulk out
    Write,
    /// Endpoint zero
    Control,
    /// All pipes
    All,
}

impl From<CancelPipeName> for Pipe {
    fn from(name: CancelPipeName) -> Pipe {
        match name {
            CancelPipeName::Event => Pipe::Event,
            CancelPipeName::Read => Pipe::Read,
            CancelPipeName::Write => Pipe::Write,
            CancelPipeName::Control => Pipe::Control,
            CancelPipeName::All => Pipe::All,
        }
    }
}

/// A request as `usbscan status` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestNumber {
    pub session: u64,
    pub request: u64,
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

const EXAMPLES: &str = "\
Examples:
  usbscan scan -o page.png                    scan a page from the glass
  usbscan scan --source adf -o letters.pdf    scan every page in the feeder
  usbscan --virtual scan -o page.png          scan with a virtual scanner
  usbscan status; usbscan cancel              find a scan that hangs, and end it
  usbscan doctor                              check the setup";

fn long_help() -> String {
    format!("{EXAMPLES}\n\n{}\n\n{}", Exit::help(), usbscan_virtual::spec::help())
}

/// A parser of whole numbers from `least` to `most`.
fn whole<N>(least: N, most: N) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: Copy + PartialOrd + FromStr + Display + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }
}

/// An empty `USBSCAN_SOCKET` counts as unset.
fn socket_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(|path| match path.is_empty() {
        true => PathBuf::from(usbscan_client::DEFAULT_SOCKET),
        false => PathBuf::from(path),
    })
}

fn increment(text: &str) -> Result<i32, String> {
    match text.parse() {
        Ok(step @ (-1000..=-1 | 1..=1000)) => Ok(step),
        _ => Err("expected -1000 to 1000, and not 0".to_owned()),
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
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number"));
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
    use std::ffi::OsString;

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
    fn a_virtual_scanner_may_be_named_behind_a_space() {
        let parsed = |line: &str| {
            let words = normalized(line.split_whitespace().map(OsString::from));
            Arguments::try_parse_from(words).map(|arguments| arguments.global.virtual_scanners)
        };
        assert_eq!(parsed("usbscan --virtual esci scan").unwrap(), ["esci"]);
        assert_eq!(
            parsed("usbscan --virtual esci2,adf=3 --virtual loopback list").unwrap(),
            ["esci2,adf=3", "loopback"]
        );
        assert_eq!(parsed("usbscan --virtual scan").unwrap(), ["esci"]);
        assert!(parsed("usbscan --virtual nonsense scan").is_err());
    }

    #[test]
    fn an_empty_socket_variable_counts_as_unset() {
        let arguments = Arguments::try_parse_from(["usbscan", "--socket", "", "list"]).expect("it parses");
        assert_eq!(arguments.global.socket, PathBuf::from(usbscan_client::DEFAULT_SOCKET));
    }

    #[test]
    fn what_options_prints_can_be_typed() {
        let scan = |words: &[&str]| {
            let parsed = Arguments::try_parse_from(["usbscan", "scan"].iter().chain(words)).expect("it parses");
            let Command::Scan(scan) = parsed.command else { panic!("another command") };
            scan
        };
        assert_eq!(scan(&["--mode", "Color"]).mode, Some(Mode::Color));
        assert_eq!(scan(&["--source", "Flatbed"]).source, Some(Source::Flatbed));
        assert_eq!(scan(&["--source", "Automatic Document Feeder"]).source, Some(Source::Adf));
        assert_eq!(scan(&["--source", "ADF Duplex"]).source, Some(Source::AdfDuplex));
        assert_eq!(scan(&["--source", "Transparency Unit"]).source, Some(Source::Transparency));
        assert_eq!(scan(&["--format", "PNG"]).format, Some(Format::Png));
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
    fn invalid_command_lines_are_refused() {
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
            "usbscan reset --pipe control",
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
    fn a_number_out_of_range_is_answered_with_the_range() {
        for (line, words) in [
            ("usbscan scan -r 0", "expected a whole number from 1 to 100000"),
            ("usbscan scan -r many", "expected a whole number from 1 to 100000"),
            ("usbscan scan --pages 0", "expected a whole number from 1 to 1000000"),
            ("usbscan raw control --direction in --request 1 -n 4097", "expected a whole number from 0 to 4096"),
        ] {
            let refusal = parse(line).expect_err("it is invalid").to_string();
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

//! Errors of the commands, with their messages and exit codes.

mod exit;

use std::io;

use usbscan_image::FileFormat;
use usbscan_wire::DeviceEntry;

use super::label::label;
use super::output::OutputError;
use super::program::ProgramError;
use super::signal::Signal;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Client(#[from] usbscan_client::Error),
    #[error(transparent)]
    Scan(#[from] usbscan_scan::ScanError),
    #[error(transparent)]
    Setting(#[from] usbscan_scan::OptionError),
    /// Encoding the page.
    #[error(transparent)]
    Picture(#[from] usbscan_image::ImageError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("{name}: unknown file extension; use .png, .pdf, .tiff, .jpg or .pnm, or --format")]
    NoFormat { name: String },
    #[error("{flag} and --set {option}=... set the same option; use one of them")]
    Conflict { flag: &'static str, option: String },
    #[error("this scanner has 8 bits per sample, and no other depth")]
    Depth,
    #[error("{0} needs a file per page: put %d into the file name, as in -o page-%03d.png")]
    NotNumbered(&'static str),
    /// Several pages, for a format that holds one.
    #[error(
        "a {format} file holds one page, and there may be more; use PDF or TIFF, one file per page \
         (-o page-%03d.{}), or --pages 1", format.to_string().to_lowercase()
    )]
    OnePage { format: FileFormat },
    #[error("--quality is for JPEG and PDF; {0} is lossless")]
    Quality(FileFormat),
    #[error(
        "this scanner sends pages only as PDF documents: use a .pdf file, and neither --quality nor --keep-partial"
    )]
    OnlyPdf,
    #[error(transparent)]
    Unwritable(usbscan_image::ImageError),
    /// An error after the first lines of a batch were scanned.
    #[error("{}{source}{}", page.map(|page| format!("page {page}: ")).unwrap_or_default(), after(kept.as_deref()))]
    InPage {
        /// Unless it was the first.
        page: Option<u32>,
        source: Box<Failure>,
        /// Says which files and pages are kept.
        kept: Option<String>,
    },
    #[error("no scanner found; is it plugged in and switched on?")]
    NoScanner,
    #[error("{} scanners found, specify one: {}", .0.len(), names(.0))]
    WhichScanner(Vec<DeviceEntry>),
    /// `--driver` names one that the scanner has not.
    #[error("{device} can't be used with {wanted}; its drivers: {known}")]
    NoDriver { device: String, wanted: String, known: String },
    #[error("no request {session}/{request}; it may have completed already")]
    NoRequest { session: u64, request: u64 },
    /// There is nothing that the daemon could cancel.
    #[error(
        "{device} is used by another program, not through usbscand, so only that program can be stopped: {source}; \
         `sudo usbscan doctor` says which it is"
    )]
    ForeignProgram { device: String, source: usbscan_client::Error },
    /// Not through usbscand.
    #[error("{0}; `sudo usbscan doctor` says by which program, and how to get the scanner from it")]
    HeldElsewhere(#[source] usbscan_client::Error),
    #[error("{device}: all requests were cancelled, but the scanner may not be idle: {step}")]
    NotIdle {
        device: String,
        /// The step of the abort sequence that failed.
        step: String,
    },
    /// The buttons of such scanners, those of ESC/I for example, must be polled.
    #[error("{device} has no interrupt pipe; use `usbscan watch`, which polls the buttons of such scanners")]
    NoEventPipe { device: String },
    #[error("{device}: no event within {seconds} s")]
    NoEvent { device: String, seconds: f64 },
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A program that `run` started; it has said itself what was wrong.
    #[error("the program ended with code {code}")]
    ProgramEnded { code: i32 },
    /// The virtual scanner, or the daemon in this process, can't be started.
    #[error("{0}")]
    Virtual(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// `doctor` found problems, and has printed them.
    #[error("problems found")]
    Doctor,
    #[error("{signal}{state}")]
    Interrupted { signal: Signal, state: DeviceState },
    #[error("{}: {source}", path.display())]
    File { path: std::path::PathBuf, source: io::Error },
    #[error("{0}")]
    Config(Box<dyn std::error::Error + Send + Sync>),
    #[error("standard output: {0}")]
    Stdout(#[source] io::Error),
    #[error("standard input: {0}")]
    Stdin(#[source] io::Error),
    #[error("standard input has more than {} bytes, the maximum of one write", usbscan_wire::PAYLOAD_LIMIT)]
    TooLong,
    /// Out of file descriptors or threads.
    #[error("{0}")]
    System(#[source] io::Error),
}

/// The scanner's state after an interrupted command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    Idle,
    /// This process did not wait until it was idle: the daemon goes on.
    Recovering,
}

impl std::fmt::Display for DeviceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeviceState::Idle => "",
            DeviceState::Recovering => "; usbscand is recovering the scanner",
        })
    }
}

fn after(kept: Option<&str>) -> String {
    kept.map(|kept| format!("; {kept}")).unwrap_or_default()
}

fn names(devices: &[DeviceEntry]) -> String {
    let names: Vec<String> = devices.iter().map(|device| format!("{} ({})", device.name, label(device))).collect();
    names.join(", ")
}

//! Why a command of `usbscan` did not do what it was asked to. Every kind has its sentence here or where it arose, and
//! its exit code in exit.rs.

use std::io;

use usbscan_image::FileFormat;
use usbscan_wire::DeviceEntry;

use super::interrupt::Signal;
use super::output::OutputError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon, or the scanner through it.
    #[error(transparent)]
    Client(#[from] usbscan_client::Error),
    /// The scan.
    #[error(transparent)]
    Scan(#[from] usbscan_scan::ScanError),
    /// A setting that the scanner does not have, or not with this value.
    #[error(transparent)]
    Setting(#[from] usbscan_scan::OptionError),
    /// The picture of a page that was kept though it is not whole.
    #[error(transparent)]
    Picture(#[from] usbscan_image::ImageError),
    /// The page's file.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The ending of a file's name says no format.
    #[error("{name}: its ending names no format; end it in .png, .pdf, .tiff, .jpg or .pnm, or say --format")]
    NoFormat {
        /// The file's name.
        name: String,
    },
    /// More pages than the file has room for.
    #[error(
        "a {format} has one page, and there may be more; scan to PDF or TIFF, or to a file a page, as with \
         -o page-%03d.{}, or say --pages 1", format.to_string().to_lowercase()
    )]
    OnePage {
        /// Its format.
        format: FileFormat,
    },
    /// A quality for a format that loses nothing.
    #[error("--quality means nothing for {0}, which loses nothing; it is for JPEG, and for PDF")]
    Quality(FileFormat),
    /// The format can't hold such a page.
    #[error(transparent)]
    Unwritable(usbscan_image::ImageError),
    /// A page that was not the first, or of which something came.
    #[error("{}{source}{}", page.map(|page| format!("page {page}: ")).unwrap_or_default(), after(kept.as_deref()))]
    InPage {
        /// Which, unless it was the first.
        page: Option<u32>,
        /// Why.
        source: Box<Failure>,
        /// What is kept of it and of those before it.
        kept: Option<String>,
    },
    /// No DEVICE was named and there is none.
    #[error("there is no scanner; is it plugged in and switched on?")]
    NoScanner,
    /// No DEVICE was named and there are several.
    #[error("there are {} scanners, so say which one: {}", .0.len(), names(.0))]
    WhichScanner(Vec<DeviceEntry>),
    /// There is no such request, or it was over already.
    #[error("there is no request {request} of session {session}, or it was over already")]
    NoRequest {
        /// The connection.
        session: u64,
        /// Its id there.
        request: u64,
    },
    /// All requests are cancelled, but the scanner may not be idle.
    #[error("{device}: everything was cancelled, but the scanner may not be idle: {step}")]
    NotIdle {
        /// Its name.
        device: String,
        /// The step that failed.
        step: String,
    },
    /// It has no interrupt pipe; those of ESC/I, for one, must be asked for their buttons.
    #[error("{device} has no event pipe; `usbscan watch` shows the buttons of such scanners too")]
    NoEventPipe {
        /// Its name.
        device: String,
    },
    /// Nobody pressed a button in time.
    #[error("{device}: no event came in {seconds} s")]
    NoEvent {
        /// Its name.
        device: String,
        /// How long that was.
        seconds: f64,
    },
    /// The virtual scanner can't be built, or its daemon not be started.
    #[error("{0}")]
    Virtual(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// `doctor` found what is in the way; it has been said.
    #[error("something is in the way of scanning")]
    Doctor,
    /// A signal.
    #[error("{signal}{left}")]
    Interrupted {
        /// Which.
        signal: Signal,
        /// In what state that left the scanner.
        left: Left,
    },
    /// A file that is no page.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration.
    #[error("{0}")]
    Config(Box<dyn std::error::Error + Send + Sync>),
    /// Standard output.
    #[error("standard output: {0}")]
    Stdout(#[source] io::Error),
    /// Standard input.
    #[error("standard input: {0}")]
    Stdin(#[source] io::Error),
    /// More than one message can carry.
    #[error("standard input has more than {} bytes, which is the most for one write", usbscan_wire::PAYLOAD_LIMIT)]
    TooLong,
    /// The system has no more descriptors or threads.
    #[error("listen to signals: {0}")]
    System(#[source] io::Error),
}

/// In what state a scanner was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// As it should be.
    Idle,
    /// Nobody knows.
    Silent,
    /// Nobody waited for it.
    ToDaemon,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Left::Idle => "",
            Left::Silent => "; the scanner did not answer and may not be idle",
            Left::ToDaemon => "; usbscand brings the scanner back to idle",
        })
    }
}

fn after(kept: Option<&str>) -> String {
    kept.map(|kept| format!("; {kept}")).unwrap_or_default()
}

fn names(devices: &[DeviceEntry]) -> String {
    let names: Vec<String> =
        devices.iter().map(|device| format!("{} ({})", device.name, super::device::label(device))).collect();
    names.join(", ")
}

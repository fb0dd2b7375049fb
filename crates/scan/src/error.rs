//! Why there is no page.

use std::time::Duration;

use crate::jpeg::JpegError;
use crate::{AreaError, BackendError, OptionError, ProtocolError, SinkError, TransportError};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It was cancelled, by [`crate::Cancel`] or by another client. Where `idle` is false the session should end, if it has not: the
    /// daemon then goes on with what the driver had no time for.
    #[error("cancelled{}", if *idle { "" } else { "; usbscand is recovering the scanner" })]
    Cancelled {
        /// Whether the scanner said that it has stopped.
        idle: bool,
    },
    /// The scanner says what is wrong.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An option can't have that value.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The area can't be scanned.
    #[error(transparent)]
    Area(#[from] AreaError),
    /// The scanner refused a parameter that it should know.
    #[error("the scanner refused {parameter} ({command})")]
    Refused {
        /// What it was, with its value: `the resolution 300 dpi`.
        parameter: String,
        /// The command: `ESC R`.
        command: &'static str,
    },
    /// The scanner sent what makes no sense at this point.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// It sent an image that can't be decoded.
    #[error(transparent)]
    Image(#[from] JpegError),
    /// The back of a sheet could not be kept until it is asked for, in the folder for temporary files.
    #[error("keep the back of the sheet in {folder} (TMPDIR): {0}", folder = std::env::temp_dir().display())]
    Spool(#[source] std::io::Error),
    /// The scanner said nothing, for as long as one may wait.
    #[error("the scanner did not answer {during} for {} s", after.as_secs())]
    NoResponse {
        /// What was asked: `ESC I (identity)`, `the image`.
        during: &'static str,
        /// How long.
        after: Duration,
    },
    /// It could not be brought back in sync after it was left in the middle of a job.
    #[error("the scanner is in the middle of another job and can't be brought out of it; switch it off and on")]
    OutOfSync,
    /// A scanner that no driver here can do.
    #[error("{0}")]
    NotSupported(Unsupported),
    /// The transfer failed.
    #[error(transparent)]
    Transport(TransportError),
    /// The page could not be taken.
    #[error(transparent)]
    Sink(SinkError),
    /// A backend of SANE is of no use.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl From<TransportError> for ScanError {
    fn from(error: TransportError) -> ScanError {
        match error {
            TransportError::Cancelled => ScanError::Cancelled { idle: false },
            other => ScanError::Transport(other),
        }
    }
}

impl From<crate::Cancelled> for ScanError {
    fn from(_: crate::Cancelled) -> ScanError {
        ScanError::Cancelled { idle: false }
    }
}

/// A scanner that no driver here can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// No driver for its protocol.
    #[error("there is no driver for a scanner that speaks {protocol:?}; there are: {known}")]
    Protocol {
        /// What it speaks.
        protocol: String,
        /// What there is.
        known: String,
    },
    /// Interfaces for scanning, and nothing behind them.
    #[error("the device has eSCL interfaces and answers there that it has no scanner (HTTP 404)")]
    NoScanService,
    /// No form of page that can be decoded.
    #[error("{model} sends pages only as {formats}; only {known} can be decoded here")]
    Format {
        /// Its name.
        model: String,
        /// Media types.
        formats: String,
        /// The media type that is known.
        known: &'static str,
    },
    /// It has the protocol but not what the driver needs of it.
    #[error("{model} is a scanner of command level {level} without extended commands, which is not supported")]
    Level {
        /// Its name, as far as it said.
        model: String,
        /// Its level.
        level: String,
    },
}

/// What a scanner says is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// A cover is open.
    #[error("a cover of the scanner is open; close it")]
    CoverOpen,
    /// Paper is jammed.
    #[error("paper is jammed in the scanner; take it out")]
    PaperJam,
    /// The document feeder is empty.
    #[error("there is no paper in the document feeder")]
    NoDocuments,
    /// Two sheets at once.
    #[error("the document feeder took two sheets at once; take them out")]
    DoubleFeed,
    /// The feeder's paper tray.
    #[error("the paper tray of the document feeder is not in place")]
    TrayOut,
    /// The document feeder, without saying what.
    #[error("the document feeder reports an error")]
    Feeder,
    /// The lamp.
    #[error("the scanner's lamp has failed")]
    Lamp,
    /// The transparency unit, without saying what.
    #[error("the transparency unit reports an error")]
    TransparencyUnit,
    /// The carriage is locked for transport.
    #[error("the scanner's carriage is locked for transport; unlock it")]
    CarriageLocked,
    /// It wants to know who asks.
    #[error("the scanner lets only those scan who log in, or who are allowed to, at its panel or in its settings")]
    NotAllowed,
    /// Its battery.
    #[error("the scanner's battery is too low to scan")]
    BatteryLow,
    /// Someone else uses it, through another interface or its panel.
    #[error("the scanner is busy: it is in use at its panel or through another connection")]
    Busy,
    /// It has been warming up for too long.
    #[error("the scanner is still warming up after {} s", .0.as_secs())]
    StillWarmingUp(Duration),
    /// The stop button was pressed.
    #[error("the scan was cancelled at the scanner")]
    CancelledAtDevice,
    /// A fatal error without a cause.
    #[error("the scanner reports a fatal error, such as a dead lamp; if it stays, switch it off and on")]
    Fatal,
}

impl DeviceError {
    /// Whether a person must go to the scanner.
    pub fn needs_a_person(self) -> bool {
        !matches!(self, DeviceError::Busy | DeviceError::CancelledAtDevice | DeviceError::StillWarmingUp(_))
    }
}

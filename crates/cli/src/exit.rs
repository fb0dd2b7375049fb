//! The exit codes of `usbscan`: maps every failure to its code, and holds the table that `--help` and the man page print.

use std::io;

use usbscan_client::{Error as ClientError, GoneWhy};
use usbscan_image::ImageError;
use usbscan_scan::{DeviceError, ScanError, SinkError, TransportError};
use usbscan_wire::Status;

use super::failure::Failure;
use super::interrupt::Signal;
use super::output::OutputError;

/// How `usbscan` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// `doctor` found problems.
    ProblemsFound,
    /// The command line is invalid, or this scanner doesn't support what it asks for.
    Usage,
    /// The daemon is not running or doesn't answer.
    Unreachable,
    /// No such scanner, or it was unplugged.
    NoScanner,
    /// Another program uses it.
    Busy,
    /// Another program cancelled it.
    Cancelled,
    /// Cover open, paper jam, lamp error: a person must go to the scanner.
    NeedsAttention,
    Io,
    Denied,
    /// `--timeout` expired.
    Timeout,
    /// The reader of standard output closed it.
    BrokenPipe,
    Interrupted(Signal),
}

/// Every code with its meaning, in order.
const MEANINGS: &[(Exit, &str, &str)] = &[
    (Exit::Done, "done", "done"),
    (Exit::ProblemsFound, "problems-found", "doctor found problems"),
    (Exit::Usage, "usage", "the command line is invalid, or asks for something this scanner can't do"),
    (Exit::Unreachable, "daemon-unreachable", "the daemon is not running or does not answer"),
    (Exit::NoScanner, "no-scanner", "no such scanner, scanner unplugged, or no such request"),
    (Exit::Busy, "busy", "the scanner is in use"),
    (Exit::Cancelled, "cancelled", "cancelled by another program"),
    (Exit::NeedsAttention, "needs-attention", "the scanner needs attention: cover, paper, lamp"),
    (Exit::Io, "io-error", "I/O error on the bus, in the scanner, or in a file"),
    (Exit::Denied, "access-denied", "access denied"),
    (Exit::Timeout, "timeout", "timeout expired"),
    (Exit::Interrupted(Signal(1)), "interrupted", "ended by SIGHUP"),
    (Exit::Interrupted(Signal(2)), "interrupted", "interrupted (Ctrl-C)"),
    (Exit::BrokenPipe, "broken-pipe", "standard output was closed"),
    (Exit::Interrupted(Signal(15)), "interrupted", "ended by SIGTERM"),
];

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::ProblemsFound => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::NoScanner => 4,
            Exit::Busy => 5,
            Exit::Cancelled => 6,
            Exit::NeedsAttention => 7,
            Exit::Io => 8,
            Exit::Denied => 9,
            Exit::Timeout => 10,
            Exit::BrokenPipe => 141,
            Exit::Interrupted(signal) => 128 + u8::try_from(signal.0 & 0x7f).expect("seven bits"),
        }
    }

    /// The word for `--json`.
    pub fn word(self) -> &'static str {
        MEANINGS.iter().find(|meaning| meaning.0.code() == self.code()).map_or("interrupted", |meaning| meaning.1)
    }

    pub fn help() -> String {
        let lines = MEANINGS.iter().map(|(exit, _, meaning)| format!("  {:>3}  {meaning}", exit.code()));
        format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
    }
}

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Exit {
        match failure {
            Failure::Client(error) => of_client(error),
            Failure::Scan(error) => of_scan(error),
            Failure::Setting(_) | Failure::NoFormat { .. } | Failure::TooLong => Exit::Usage,
            Failure::Conflict { .. } | Failure::NotNumbered(_) => Exit::Usage,
            Failure::OnePage { .. } | Failure::Quality(_) | Failure::Unwritable(_) => Exit::Usage,
            Failure::InPage { source, .. } => Exit::from(&**source),
            Failure::Output(error) => of_output(error),
            Failure::Picture(error) => of_picture(error),
            Failure::NoScanner | Failure::NoRequest { .. } => Exit::NoScanner,
            Failure::WhichScanner(_) | Failure::Virtual(_) | Failure::Config(_) => Exit::Usage,
            Failure::NotIdle { .. } | Failure::System(_) => Exit::Io,
            Failure::ForeignProgram { .. } => Exit::Busy,
            Failure::NoEventPipe { .. } => Exit::Usage,
            Failure::NoEvent { .. } => Exit::Timeout,
            Failure::Doctor => Exit::ProblemsFound,
            Failure::Interrupted { signal, .. } => Exit::Interrupted(*signal),
            Failure::Stdout(error) | Failure::Stdin(error) | Failure::File { source: error, .. } => of_io(error),
        }
    }
}

fn of_io(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Exit::BrokenPipe,
        io::ErrorKind::PermissionDenied => Exit::Denied,
        _ => Exit::Io,
    }
}

fn of_output(error: &OutputError) -> Exit {
    match error {
        OutputError::Folder(_) | OutputError::Terminal | OutputError::Numbers(_) | OutputError::Exists { .. } => {
            Exit::Usage
        }
        OutputError::Closed => Exit::Io,
        OutputError::Create { source, .. }
        | OutputError::NotReplaceable { source, .. }
        | OutputError::Finish { source, .. }
        | OutputError::Writer(source) => of_io(source),
    }
}

fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::Denied,
        ClientError::Unreachable { .. }
        | ClientError::NotUsbscand(_)
        | ClientError::NoHello(_)
        | ClientError::Silent { .. }
        | ClientError::Version { .. } => Exit::Unreachable,
        ClientError::Gone { why: GoneWhy::Broken(_), .. } | ClientError::BadAnswer { .. } => Exit::Io,
        ClientError::Gone { .. } => Exit::Unreachable,
        ClientError::Refused(refusal) => of_status(refusal.answer.status),
        ClientError::TooLong { .. } => Exit::Usage,
        _ => Exit::Io,
    }
}

fn of_status(status: Status) -> Exit {
    match status {
        Status::Success => Exit::Done,
        Status::Cancelled => Exit::Cancelled,
        Status::Timeout => Exit::Timeout,
        Status::Stall | Status::Overrun | Status::IoError | Status::InsufficientResources => Exit::Io,
        Status::NoDevice | Status::NotFound => Exit::NoScanner,
        Status::Busy => Exit::Busy,
        Status::AccessDenied => Exit::Denied,
        Status::InvalidParameter | Status::NotSupported => Exit::Usage,
    }
}

fn of_picture(error: &ImageError) -> Exit {
    match error {
        ImageError::Write(error) | ImageError::Spool { source: error, .. } | ImageError::Thread(error) => of_io(error),
        _ => Exit::Io,
    }
}

fn of_scan(error: &ScanError) -> Exit {
    match error {
        ScanError::Cancelled { .. } | ScanError::Device(DeviceError::CancelledThere) => Exit::Cancelled,
        ScanError::Device(problem) if problem.needs_a_person() => Exit::NeedsAttention,
        // In use from its panel, or warming up: it becomes free by itself.
        ScanError::Device(_) => Exit::Busy,
        ScanError::Option(_) | ScanError::Area(_) | ScanError::NotSupported(_) => Exit::Usage,
        ScanError::OutOfSync => Exit::NeedsAttention,
        ScanError::Refused { .. } | ScanError::Protocol(_) | ScanError::NoResponse { .. } => Exit::Io,
        ScanError::Image(_) => Exit::Io,
        ScanError::Spool(error) => of_io(error),
        ScanError::Transport(error) => of_transport(error),
        ScanError::Sink(error) => of_sink(error),
    }
}

fn of_sink(error: &SinkError) -> Exit {
    let error = error.get_ref();
    let of_picture = || error.downcast_ref().map(of_picture);
    error.downcast_ref().map(of_output).or_else(of_picture).unwrap_or(Exit::Io)
}

fn of_transport(error: &TransportError) -> Exit {
    match error {
        TransportError::Cancelled => Exit::Cancelled,
        TransportError::NoDevice => Exit::NoScanner,
        TransportError::NotSupported { .. } => Exit::Usage,
        TransportError::Silent => Exit::Unreachable,
        TransportError::Daemon(error) => of_client(error),
        _ => Exit::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_code_once_and_in_order() {
        let codes: Vec<u8> = MEANINGS.iter().map(|meaning| meaning.0.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    #[test]
    fn no_failure_exits_with_zero() {
        for status in [Status::Cancelled, Status::Timeout, Status::Busy, Status::NoDevice, Status::IoError] {
            assert_ne!(of_status(status).code(), 0, "{status}");
        }
    }

    #[test]
    fn a_closed_pipe_and_a_full_disk_have_different_codes() {
        let sink = |kind: io::ErrorKind| ScanError::Sink(ImageError::Write(kind.into()).into());
        assert_eq!(of_scan(&sink(io::ErrorKind::BrokenPipe)), Exit::BrokenPipe);
        assert_eq!(of_scan(&sink(io::ErrorKind::StorageFull)), Exit::Io);
    }

    #[test]
    fn a_socket_without_permission_and_a_missing_socket_have_different_codes() {
        let unreachable = |kind: io::ErrorKind| ClientError::Unreachable { path: "socket".into(), source: kind.into() };
        assert_eq!(of_client(&unreachable(io::ErrorKind::PermissionDenied)), Exit::Denied);
        assert_eq!(of_client(&unreachable(io::ErrorKind::NotFound)), Exit::Unreachable);
    }
}

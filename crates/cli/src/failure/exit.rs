//! Maps every failure to its exit code.

use std::io;

use usbscan_client::{Error as ClientError, GoneWhy};
use usbscan_image::ImageError;
use usbscan_scan::{BackendError, DeviceError, ScanError, SinkError, TransportError};
use usbscan_wire::Status;

use super::Failure;
use crate::exit::Exit;
use crate::output::OutputError;
use crate::program::ProgramError;

impl From<&Failure> for Exit {
    fn from(failure: &Failure) -> Exit {
        match failure {
            Failure::Client(error) => of_client(error),
            Failure::Scan(error) => of_scan(error),
            Failure::Setting(_) | Failure::NoFormat { .. } | Failure::TooLong => Exit::Usage,
            Failure::Conflict { .. } | Failure::NotNumbered(_) | Failure::Depth => Exit::Usage,
            Failure::OnePage { .. } | Failure::Quality(_) | Failure::Unwritable(_) => Exit::Usage,
            Failure::InPage { source, .. } => Exit::from(&**source),
            Failure::Output(error) => of_output(error),
            Failure::Picture(error) => of_picture(error),
            Failure::NoScanner | Failure::NoRequest { .. } => Exit::NoScanner,
            Failure::NoDriver { .. } | Failure::OnlyPdf => Exit::Usage,
            Failure::WhichScanner(_) | Failure::Virtual(_) | Failure::Config(_) => Exit::Usage,
            Failure::NotIdle { .. } | Failure::System(_) => Exit::Io,
            Failure::ForeignProgram { .. } | Failure::HeldElsewhere(_) => Exit::Busy,
            Failure::NoEventPipe { .. } => Exit::Usage,
            Failure::NoEvent { .. } => Exit::Timeout,
            Failure::Doctor => Exit::ProblemsFound,
            Failure::Program(error) => of_program(error),
            Failure::ProgramEnded { code } => Exit::OfProgram(u8::try_from(*code).unwrap_or(u8::MAX)),
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

fn of_program(error: &ProgramError) -> Exit {
    match error {
        ProgramError::NotFound(_) => Exit::OfProgram(127),
        ProgramError::NotExecutable(..) => Exit::OfProgram(126),
        _ => Exit::Usage,
    }
}

fn of_output(error: &OutputError) -> Exit {
    match error {
        OutputError::Folder(_) | OutputError::Terminal | OutputError::Numbers(_) | OutputError::Exists { .. } => {
            Exit::Usage
        }
        OutputError::Closed => Exit::Io,
        OutputError::Create { source, .. }
        | OutputError::Write { source, .. }
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
        ScanError::Cancelled { .. } | ScanError::Device(DeviceError::CancelledAtDevice) => Exit::Cancelled,
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
        ScanError::Backend(error) => of_backend(error),
    }
}

fn of_backend(error: &BackendError) -> Exit {
    match error {
        BackendError::NotInstalled { .. } | BackendError::NotLoadable { .. } | BackendError::NoDevice { .. } => {
            Exit::Usage
        }
        BackendError::Format { .. } => Exit::Usage,
        BackendError::Start { source, .. } => of_io(source),
        _ => Exit::Io,
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

//! One call per command, on the session's reader thread; and the one place where a failure becomes a protocol status.

/// Goes on with what `result` holds, or answers why not.
macro_rules! or_fail {
    ($answer:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(failure) => return $answer.fail(&failure),
        }
    };
}

mod cancelling;
mod capturing;
mod fitting;
mod looking;
mod moving;

use std::sync::Arc;

use usbscan_usb::ErrorKind;
use usbscan_wire::{Command, PAYLOAD_LIMIT, Request, Status};

use super::abort;
use super::answer::Answer;
use super::core::Core;
use super::failure::{Failure, Mishap};
use super::message::Wants;
use super::queue::Fault;
use super::scanner::Scanner;
use super::session::{Binding, Session};

pub(crate) use looking::leave;
use looking::version;
use moving::Control;

/// The status of a failure. Nowhere else is this decided.
pub(crate) fn status(failure: &Failure) -> Status {
    match failure {
        Failure::Transfer { mishap, .. } => match mishap {
            Mishap::Fault(Fault::Stall) | Mishap::Halted => Status::Stall,
            Mishap::Fault(Fault::Overrun) => Status::Overrun,
            Mishap::Fault(Fault::Io) | Mishap::Wedged => Status::IoError,
            Mishap::Fault(Fault::NoResources) => Status::InsufficientResources,
            Mishap::Fault(Fault::Refused) => Status::InvalidParameter,
            Mishap::Timeout(_) => Status::Timeout,
            Mishap::Gone => Status::NoDevice,
        },
        Failure::Usb(error) => match error.kind {
            ErrorKind::NoDevice => Status::NoDevice,
            ErrorKind::Busy(_) => Status::Busy,
            ErrorKind::AccessDenied => Status::AccessDenied,
            ErrorKind::NotFound | ErrorKind::NotSupported => Status::NotSupported,
            ErrorKind::Stall => Status::Stall,
            ErrorKind::InvalidParameter => Status::InvalidParameter,
            ErrorKind::NoResources => Status::InsufficientResources,
            ErrorKind::Wedged | ErrorKind::Io => Status::IoError,
        },
        Failure::Unknown { .. } | Failure::Gone { .. } => Status::NoDevice,
        Failure::JobIsOver => Status::Cancelled,
        Failure::Wedged { .. } => Status::IoError,
        Failure::Locked { .. } | Failure::ControlPending { .. } | Failure::CaptureIsRead => Status::Busy,
        Failure::NotOpen { .. }
        | Failure::NotLocked { .. }
        | Failure::NotShared
        | Failure::NotCapturing
        | Failure::NoSuchRequest { .. }
        | Failure::NoSuchSession { .. } => Status::NotFound,
        Failure::NoPipe { .. } | Failure::NotResettable { .. } => Status::NotSupported,
        Failure::Limit(_) | Failure::NoMemory { .. } => Status::InsufficientResources,
        Failure::Ending => Status::NoDevice,
        Failure::Ambiguous { .. }
        | Failure::AlreadyOpen { .. }
        | Failure::AlreadyShared
        | Failure::Capturing
        | Failure::BadIndex { .. }
        | Failure::BadInterface { .. }
        | Failure::ForeignInterface { .. }
        | Failure::BadValue { .. }
        | Failure::BadTimeout { .. }
        | Failure::BehindTheHostsBack
        | Failure::TooManySteps
        | Failure::BadStep { .. }
        | Failure::IdInUse { .. }
        | Failure::BadCommand(_)
        | Failure::BadFrame(_) => Status::InvalidParameter,
    }
}

/// Carries a request out, or sends it on its way.
pub(crate) fn dispatch(core: &Core, answer: Answer, request: Request) {
    let session = answer.session().clone();
    let asked = Asked { core, session: &session, command: request.command.name() };
    let payload = request.payload;
    match request.command {
        Command::Version {} => version(answer),
        Command::List {} => asked.list(answer),
        Command::Status { device } => asked.status(answer, device.as_deref()),
        Command::Open { device, event, read, write, interface } => {
            asked.open(answer, &device, Wants { event, read, write, interface });
        }
        Command::Close {} => asked.close(answer),
        Command::ShareMemory { length } => asked.share_memory(answer, length),
        Command::Read { length, at, salvage, timeout } => asked.read(answer, length, at, salvage, timeout),
        Command::Write { at, length, zero_packet, timeout } => {
            let data = or_fail!(answer, asked.data(payload, at, length));
            asked.write(answer, data, zero_packet, timeout);
        }
        Command::WaitEvent { timeout } => asked.wait_event(answer, timeout),
        Command::UsbRequest { request, value, index, direction, length, kind, recipient, timeout } => {
            let request_type = abort::request_type(direction, kind, recipient);
            let wanted = Control { request_type, request, value, index, length, recipient, payload };
            asked.usb_request(answer, wanted, timeout);
        }
        Command::ReadRegisters { offset, index, length } => asked.read_registers(answer, offset, index, length),
        Command::WriteRegisters { offset, index } => asked.write_registers(answer, offset, index, payload),
        Command::ChannelSizes {} => asked.channel_sizes(answer),
        Command::PipeConfiguration {} => asked.pipe_configuration(answer),
        Command::DeviceDescriptor {} => asked.device_descriptor(answer),
        Command::UsbDescriptor { descriptor_type, index, language } => {
            asked.usb_descriptor(answer, descriptor_type, index, language);
        }
        Command::SetTimeout { read, write, event } => asked.set_timeout(answer, read, write, event),
        Command::ResetPipe { pipe } => asked.reset_pipe(answer, pipe),
        Command::ResetDevice { device } => asked.reset_device(answer, device.as_deref()),
        Command::CancelRequest { request, session } => asked.cancel_request(answer, request, session),
        Command::CancelSession { session } => asked.cancel_session(answer, session),
        Command::CancelPipe { pipe, device } => asked.cancel_pipe(answer, pipe, device.as_deref()),
        Command::CancelPending { device } => asked.cancel_pending(answer, device.as_deref()),
        Command::Lock { wait } => asked.lock(answer, wait),
        Command::Unlock {} => asked.unlock(answer),
        Command::ArmAbort { steps } => asked.arm_abort(answer, steps),
        Command::DisarmAbort {} => asked.disarm_abort(answer),
        Command::Capture { device } => asked.capture(answer, &device),
        Command::ReadCapture {} => asked.read_capture(answer),
        Command::StopCapture {} => asked.stop_capture(answer),
        Command::Subscribe { events } => {
            session.subscribe(events);
            answer.done();
        }
    }
}

/// Bytes that a request holds until its answer is on the socket.
pub(crate) fn bytes_held(request: &Request) -> u64 {
    let asked_for = match request.command {
        // What lies in shared memory is counted with that.
        Command::Read { at: None, length, .. } => u64::from(length).min(PAYLOAD_LIMIT as u64),
        Command::ReadCapture {} => PAYLOAD_LIMIT as u64,
        Command::UsbRequest { length, .. } | Command::ReadRegisters { length, .. } => u64::from(length),
        _ => 0,
    };
    asked_for + request.payload.len() as u64
}

/// A command under way: who asked it of whom.
struct Asked<'a> {
    core: &'a Core,
    session: &'a Arc<Session>,
    command: &'static str,
}

impl Asked<'_> {
    fn binding(&self) -> Result<Arc<Binding>, Failure> {
        self.session.binding().ok_or(Failure::NotOpen { command: self.command })
    }

    /// The binding, if the session may use its pipes now.
    fn admitted(&self) -> Result<Arc<Binding>, Failure> {
        let binding = self.binding()?;
        binding.scanner.admit(self.session)?;
        Ok(binding)
    }

    /// The scanner that is named, else the one that is open.
    fn scanner(&self, device: Option<&str>) -> Result<Arc<Scanner>, Failure> {
        match device {
            Some(device) => self.core.registry.find(device),
            None => Ok(self.binding()?.scanner.clone()),
        }
    }
}

//! One call per command, on the session's reader thread.

/// Goes on with what `result` holds, or answers why not.
macro_rules! or_fail {
    ($responder:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(failure) => return $responder.fail(&failure),
        }
    };
}

mod cancel;
mod capture;
pub(crate) mod core;
mod info;
mod io;
pub(crate) mod ordered;
mod truncate;

use std::sync::Arc;

use usbscan_wire::{Command, PAYLOAD_LIMIT, Request};

use crate::dispatch::core::Core;
use crate::failure::Failure;
use crate::reply::responder::Responder;
use crate::scanner::abort_steps;
use crate::scanner::handle::Scanner;
use crate::session::binding::Binding;
use crate::session::handle::Session;

use cancel::NamedPipe;
pub(crate) use info::leave;
use info::version;
use io::{Control, Reading};

/// Carries a request out, or sends it on its way.
pub(crate) fn dispatch(core: &Core, session: &Arc<Session>, responder: Responder, request: Request) {
    let handler = Handler { core, session, command: request.command.name() };
    let payload = request.payload;
    match request.command {
        Command::Version {} => version(responder),
        Command::List { device, descriptors } => handler.list(responder, device.as_deref(), descriptors),
        Command::Status { device } => handler.status(responder, device.as_deref()),
        Command::Open { .. } | Command::Close {} | Command::Claim { .. } | Command::Release { .. } => {
            unreachable!("ordered.rs carries them out")
        }
        Command::ShareMemory { length } => handler.share_memory(responder, length),
        Command::Read { endpoint, length, offset, return_partial, timeout } => {
            handler.read(responder, endpoint, Reading { length, offset, return_partial }, timeout);
        }
        Command::Write { endpoint, offset, length, zero_packet, timeout } => {
            let data = or_fail!(responder, handler.data(payload, offset, length));
            handler.write(responder, endpoint, data, zero_packet, timeout);
        }
        Command::WaitEvent { endpoint, timeout } => handler.wait_event(responder, endpoint, timeout),
        Command::UsbRequest { request, value, index, direction, length, kind, recipient, timeout } => {
            let request_type = abort_steps::request_type(direction, kind, recipient);
            let wanted = Control { request_type, request, value, index, length, recipient, payload };
            handler.usb_request(responder, wanted, timeout);
        }
        Command::ReadRegisters { offset, index, length } => handler.read_registers(responder, offset, index, length),
        Command::WriteRegisters { offset, index } => handler.write_registers(responder, offset, index, payload),
        Command::ChannelSizes {} => handler.channel_sizes(responder),
        Command::PipeConfiguration {} => handler.pipe_configuration(responder),
        Command::DeviceDescriptor {} => handler.device_descriptor(responder),
        Command::UsbDescriptor { descriptor_type, index, language } => {
            handler.usb_descriptor(responder, descriptor_type, index, language);
        }
        Command::SetTimeout { read, write, event } => handler.set_timeout(responder, read, write, event),
        Command::ResetPipe { pipe, endpoint } => {
            let named = or_fail!(responder, NamedPipe::of(pipe, endpoint));
            handler.reset_pipe(responder, named);
        }
        Command::ResetDevice { device } => handler.reset_device(responder, device.as_deref()),
        Command::CancelRequest { request, session } => handler.cancel_request(responder, request, session),
        Command::CancelSession { session } => handler.cancel_session(responder, session),
        Command::CancelPipe { pipe, endpoint, device } => {
            let named = or_fail!(responder, NamedPipe::of(pipe, endpoint));
            handler.cancel_pipe(responder, named, device.as_deref());
        }
        Command::CancelPending { device } => handler.cancel_pending(responder, device.as_deref()),
        Command::Lock { wait, if_unused } => handler.lock(responder, wait, if_unused),
        Command::Unlock {} => handler.unlock(responder),
        Command::ArmAbort { steps, settle } => handler.arm_abort(responder, steps, settle),
        Command::SetNote { note } => handler.set_note(responder, note),
        Command::EsclQuirks { model } => handler.escl_quirks(responder, model.as_deref()),
        Command::DisarmAbort {} => handler.disarm_abort(responder),
        Command::Capture { device } => handler.capture(responder, &device),
        Command::ReadCapture {} => handler.read_capture(responder),
        Command::StopCapture {} => handler.stop_capture(responder),
        Command::Subscribe { events } => {
            session.subscribe(events);
            responder.done();
        }
    }
}

/// Bytes that a request holds until its answer is on the socket.
pub(crate) fn bytes_held(request: &Request) -> u64 {
    let asked_for = match request.command {
        // What lies in shared memory is counted with that.
        Command::Read { offset: None, length, .. } => u64::from(length).min(PAYLOAD_LIMIT as u64),
        Command::ReadCapture {} => PAYLOAD_LIMIT as u64,
        Command::UsbRequest { length, .. } | Command::ReadRegisters { length, .. } => u64::from(length),
        _ => 0,
    };
    asked_for + request.payload.len() as u64
}

/// What a session has open.
struct Opened {
    scanner: Arc<Scanner>,
    binding: Arc<Binding>,
}

/// A command under way: who asked it of whom.
struct Handler<'a> {
    core: &'a Core,
    session: &'a Arc<Session>,
    command: &'static str,
}

impl Handler<'_> {
    fn opened(&self) -> Result<Opened, Failure> {
        let binding = self.session.binding().ok_or(Failure::NotOpen { command: self.command })?;
        let scanner = self.core.registry.scanner_of(&binding)?;
        Ok(Opened { scanner, binding })
    }

    /// The scanner that is named, else the one that is open.
    fn scanner(&self, device: Option<&str>) -> Result<Arc<Scanner>, Failure> {
        match device {
            Some(device) => self.core.registry.find(device),
            None => Ok(self.opened()?.scanner),
        }
    }
}

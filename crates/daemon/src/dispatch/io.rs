//! Commands that become requests at a pipe: checked here, carried out there.

use std::sync::Arc;
use std::time::Duration;

use usbscan_usb::{Direction, EndpointAddress, InterfaceNumber, Setup, SetupKind};
use usbscan_wire::{Faults, MAX_TIMEOUT_SECONDS, PAYLOAD_LIMIT, RequestRecipient};

use super::{Handler, Opened};
use crate::failure::Failure;
use crate::payload::Payload;
use crate::pipe::orders::{PipeHandle, Role};
use crate::pipe::request::{Data, IoRequest, Reply, RequestInfo, Work};
use crate::reply::responder::Responder;
use crate::session::binding::Binding;
use crate::session::handle::{JobOver, RequestLocation};
use crate::session::shared_memory::SessionMemory;

/// A read that a client wants.
pub(super) struct Reading {
    pub length: u32,
    /// Where in the shared memory.
    pub offset: Option<u32>,
    pub return_partial: bool,
}

/// A control request that a client wants.
pub(super) struct Control {
    pub request_type: u8,
    pub request: u8,
    pub value: u16,
    pub index: u16,
    pub length: u16,
    pub recipient: RequestRecipient,
    pub payload: Vec<u8>,
}

impl Handler<'_> {
    /// The pipe of an endpoint that this session has, where it is of this role; the bound one where none is named.
    fn pipe(&self, binding: &Binding, role: Role, endpoint: Option<u8>) -> Result<PipeHandle, Failure> {
        let device = || binding.device.clone();
        match endpoint.map(EndpointAddress) {
            None => binding.pipe(role).cloned().ok_or_else(|| Failure::NoPipe { device: device(), pipe: role.pipe() }),
            Some(endpoint) => {
                let found = binding.pipe_at(endpoint).filter(|pipe| pipe.role == role).cloned();
                found.ok_or_else(|| Failure::NoEndpoint { device: device(), endpoint })
            }
        }
    }

    pub(super) fn share_memory(&self, responder: Responder, length: u32) {
        let memory = or_fail!(responder, self.session.share_memory(length));
        responder.done_with(u64::from(length), Payload::from(memory));
    }

    pub(super) fn read(&self, responder: Responder, endpoint: Option<u8>, reading: Reading, timeout: Option<f64>) {
        let Reading { length, offset, return_partial } = reading;
        let opened = or_fail!(responder, self.opened());
        let pipe = or_fail!(responder, self.pipe(&opened.binding, Role::Read, endpoint));
        if length as usize > PAYLOAD_LIMIT {
            return responder.fail(&Failure::BadValue { field: "length", expected: "a number from 0 to 1048576" });
        }
        let timeout = or_fail!(responder, duration("timeout", timeout, self.session.timeouts().read));
        let into = match offset {
            Some(offset) => Some(or_fail!(responder, self.sharing()).to_read_into(offset, length, pipe.packet)),
            None => None,
        };
        let into = or_fail!(responder, into.transpose());
        let work = Work::Read { length: length as usize, return_partial, into };
        self.use_scanner(Reply::Client(responder), &opened, &pipe, u64::from(length), work, timeout);
    }

    fn sharing(&self) -> Result<Arc<SessionMemory>, Failure> {
        self.session.sharing().ok_or(Failure::NotShared)
    }

    /// What a write is to send: its payload, or what it says lies in the shared memory.
    pub(super) fn data(&self, payload: Vec<u8>, offset: Option<u32>, length: u32) -> Result<Data, Failure> {
        match offset {
            None if length == 0 => Ok(Data::Own(payload)),
            None => Err(Failure::BadValue { field: "length", expected: "absent: the payload's length counts" }),
            Some(_) if !payload.is_empty() => {
                Err(Failure::BadValue { field: "payload", expected: "absent: the bytes are in the shared memory" })
            }
            Some(offset) => self.sharing()?.to_write_from(offset, length).map(Data::Shared),
        }
    }

    pub(super) fn write(
        &self,
        responder: Responder,
        endpoint: Option<u8>,
        data: Data,
        zero_packet: bool,
        timeout: Option<f64>,
    ) {
        let opened = or_fail!(responder, self.opened());
        let pipe = or_fail!(responder, self.pipe(&opened.binding, Role::Write, endpoint));
        let timeout = or_fail!(responder, duration("timeout", timeout, self.session.timeouts().write));
        let length = data.len() as u64;
        self.use_scanner(Reply::Client(responder), &opened, &pipe, length, Work::Write { data, zero_packet }, timeout);
    }

    pub(super) fn wait_event(&self, responder: Responder, endpoint: Option<u8>, timeout: Option<f64>) {
        let Opened { scanner, binding } = or_fail!(responder, self.opened());
        or_fail!(responder, scanner.check());
        let pipe = or_fail!(responder, self.pipe(&binding, Role::Event, endpoint));
        let timeout = or_fail!(responder, duration("timeout", timeout, self.session.timeouts().event));
        let id = responder.id();
        let pending = RequestInfo::new(self.session.id(), id, self.command, 0, pipe.address);
        self.session.set_location(id, RequestLocation::Pipe(pipe.clone(), pending.clone()));
        submit(Reply::Client(responder), pending, &binding, &pipe, Work::Event, timeout);
    }

    pub(super) fn usb_request(&self, responder: Responder, wanted: Control, timeout: Option<f64>) {
        let opened = or_fail!(responder, self.opened());
        let (setup, data) = or_fail!(responder, control(wanted, &opened.binding));
        let timeout = or_fail!(responder, duration("timeout", timeout, self.session.timeouts().read));
        self.control(responder, &opened, setup, data, timeout);
    }

    pub(super) fn read_registers(&self, responder: Responder, offset: u16, index: u16, length: u16) {
        let opened = or_fail!(responder, self.opened());
        let setup = Setup::vendor(Direction::In, register_request(length), offset, index, length);
        or_fail!(responder, check_length(usize::from(length), "length"));
        self.control(responder, &opened, setup, Vec::new(), self.session.timeouts().read);
    }

    pub(super) fn write_registers(&self, responder: Responder, offset: u16, index: u16, data: Vec<u8>) {
        let opened = or_fail!(responder, self.opened());
        or_fail!(responder, check_length(data.len(), "payload"));
        let length = data.len() as u16;
        let setup = Setup::vendor(Direction::Out, register_request(length), offset, index, length);
        self.control(responder, &opened, setup, data, self.session.timeouts().write);
    }

    fn control(&self, responder: Responder, opened: &Opened, setup: Setup, data: Vec<u8>, timeout: Duration) {
        let work = Work::Control { setup, data };
        let length = u64::from(setup.length);
        self.use_scanner(Reply::Client(responder), opened, &opened.binding.control, length, work, timeout);
    }

    /// What goes over the pipes of jobs is not started when the session's job is over, or another has the lock or waits for
    /// it. Neither a cancel of everything nor a grant comes in between: it finds the request at the pipe, or the session is
    /// refused.
    fn use_scanner(
        &self,
        reply: Reply,
        opened: &Opened,
        pipe: &PipeHandle,
        length: u64,
        work: Work,
        timeout: Duration,
    ) {
        let (Reply::Client(responder) | Reply::Descriptor(responder)) = &reply else { return };
        let (id, session) = (responder.id(), self.session);
        let pending = RequestInfo::new(session.id(), id, self.command, length, pipe.address);
        let begin = || session.set_location(id, RequestLocation::Pipe(pipe.clone(), pending.clone()));
        let job = session.job();
        let admitted = job.as_ref().map(|_| ()).map_err(|JobOver| Failure::JobCancelled);
        if let Err(failure) = admitted.and_then(|()| opened.scanner.admit(session, begin)) {
            drop(job);
            return fail(reply, &failure);
        }
        session.mark_used();
        submit(reply, pending, &opened.binding, pipe, work, timeout);
    }

    pub(super) fn usb_descriptor(&self, responder: Responder, descriptor_type: u8, index: u8, language: u16) {
        let opened = or_fail!(responder, self.opened());
        // The language list is string 0, and no text.
        let is_text = descriptor_type == 3 && index > 0;
        let length = match descriptor_type {
            1 => 18,
            2 => Setup::MAX_DATA,
            3 => 255,
            _ => {
                let expected = "1 (device), 2 (configuration) or 3 (string)";
                return responder.fail(&Failure::BadValue { field: "descriptor-type", expected });
            }
        };
        let setup = Setup::get_descriptor(descriptor_type, index, language, length);
        let work = Work::Control { setup, data: Vec::new() };
        let timeout = self.session.timeouts().read;
        let reply = if is_text { Reply::Descriptor(responder) } else { Reply::Client(responder) };
        self.use_scanner(reply, &opened, &opened.binding.control, u64::from(length), work, timeout);
    }

    pub(super) fn set_timeout(&self, responder: Responder, read: Option<f64>, write: Option<f64>, event: Option<f64>) {
        let now = self.session.timeouts();
        let read = or_fail!(responder, duration("read", read, now.read));
        let write = or_fail!(responder, duration("write", write, now.write));
        let event = or_fail!(responder, duration("event", event, now.event));
        self.session.set_timeouts(|timeouts| {
            (timeouts.read, timeouts.write, timeouts.event) = (read, write, event);
        });
        responder.done();
    }
}

/// Hands a request to its pipe.
fn submit(
    reply: Reply,
    pending: Arc<RequestInfo>,
    binding: &Binding,
    pipe: &PipeHandle,
    work: Work,
    timeout: Duration,
) {
    let device = binding.device.clone();
    let (received, cancelled_by) = (Payload::default(), Vec::new());
    let libusb_semantics = binding.faults == Faults::Pass;
    pipe.request(IoRequest { pending, device, work, timeout, libusb_semantics, reply, received, cancelled_by });
}

fn fail(reply: Reply, failure: &Failure) {
    if let Reply::Client(responder) | Reply::Descriptor(responder) = reply {
        responder.fail(failure);
    }
}

/// `IOCTL_READ_REGISTERS` and its twin: request 4 for several bytes, 12 for one.
fn register_request(length: u16) -> u8 {
    if length > 1 { 0x04 } else { 0x0c }
}

fn check_length(length: usize, field: &'static str) -> Result<(), Failure> {
    match length <= usize::from(Setup::MAX_DATA) {
        true => Ok(()),
        false => Err(Failure::BadValue { field, expected: "a number from 0 to 4096" }),
    }
}

fn control(wanted: Control, binding: &Binding) -> Result<(Setup, Vec<u8>), Failure> {
    let Control { request_type, request, value, index, length, recipient, payload } = wanted;
    check_length(payload.len(), "payload")?;
    let incoming = request_type & 0x80 != 0;
    if incoming && !payload.is_empty() {
        return Err(Failure::BadValue { field: "payload", expected: "absent: the data of this request comes in" });
    }
    if !incoming && length != 0 && usize::from(length) != payload.len() {
        return Err(Failure::BadValue { field: "length", expected: "absent: the payload's length counts" });
    }
    check_length(usize::from(length), "length")?;
    let length = if incoming { length } else { payload.len() as u16 };
    let setup = Setup { request_type, request, value, index, length };
    if setup.is_reserved_for_host() {
        return Err(Failure::ReservedForHost);
    }
    // libusb looks at the interface of class and standard requests only.
    let is_looked_at = binding.faults == Faults::Freeze || setup.kind() != SetupKind::Vendor;
    let endpoint = EndpointAddress(index as u8);
    match recipient {
        RequestRecipient::Interface if is_looked_at && !binding.has(InterfaceNumber(index as u8)) => {
            Err(Failure::ForeignInterface { interface: index as u8 })
        }
        RequestRecipient::Endpoint if is_looked_at && endpoint.number() != 0 && binding.pipe_at(endpoint).is_none() => {
            Err(Failure::ForeignEndpoint { endpoint })
        }
        _ => Ok((setup, payload)),
    }
}

/// As good as none: 136 years.
const NO_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);

/// Seconds from a client.
fn duration(field: &'static str, seconds: Option<f64>, default: Duration) -> Result<Duration, Failure> {
    match seconds {
        None => Ok(default),
        Some(f64::INFINITY) if field == "timeout" => Ok(NO_TIMEOUT),
        Some(seconds) if (0.0..=f64::from(MAX_TIMEOUT_SECONDS)).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(_) => Err(Failure::BadTimeout { field }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_end_at_214_seconds_as_on_windows() {
        let default = Duration::from_secs(120);
        let seconds = |value| duration("timeout", value, default).ok();
        assert_eq!(seconds(None), Some(default));
        assert_eq!(seconds(Some(214.0)), Some(Duration::from_secs(214)));
        assert_eq!(seconds(Some(0.25)), Some(Duration::from_millis(250)));
        assert_eq!(seconds(Some(214.1)), None);
        assert_eq!(seconds(Some(-1.0)), None);
        assert_eq!(seconds(Some(f64::NAN)), None);
    }

    #[test]
    fn a_request_may_have_no_timeout_and_a_session_always_has_one() {
        let default = Duration::from_secs(120);
        assert_eq!(duration("timeout", Some(f64::INFINITY), default).ok(), Some(NO_TIMEOUT));
        assert!(duration("read", Some(f64::INFINITY), default).is_err());
    }

    #[test]
    fn a_register_of_one_byte_has_a_request_of_its_own() {
        assert_eq!([1, 2, 64].map(register_request), [0x0c, 0x04, 0x04]);
    }
}

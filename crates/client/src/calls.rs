//! Every command as a call. All block until the answer is there; for many at once see [`Session::start`].

use std::time::Duration;

use bytes::Bytes;
use usbscan_wire::{
    AbortReport, AbortStep, Answer, ChannelSizesBody, Command, ControlDirection, DescriptorBody, DeviceDescriptorBody,
    DeviceEntry, DeviceStatus, EsclQuirks, EventName, Faults, ListBody, OpenBody, Pipe, PipeConfigurationBody,
    PipeDescription, RequestKind, RequestRecipient, StatusBody, VersionBody,
};

use crate::timeout::seconds;
use crate::{Error, Session};

/// Which endpoints to bind: positions in the array of `pipe-configuration`. Those not named are the
/// highest-numbered of their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Endpoints {
    /// For events.
    pub event: Option<u8>,
    /// To read from.
    pub read: Option<u8>,
    /// To write to.
    pub write: Option<u8>,
    /// The interface, where a device has several that are scanners.
    pub interface: Option<u8>,
}

/// A control request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsbRequest {
    /// Vendor, class or standard.
    pub kind: RequestKind,
    /// To the device, an interface or an endpoint.
    pub recipient: RequestRecipient,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// The data stage.
    pub data: RequestData,
}

/// The data stage of a control request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestData {
    /// Device to host: at most so many bytes, up to 4096.
    In(u16),
    /// Host to device.
    Out(Vec<u8>),
}

fn body<T: serde::de::DeserializeOwned>(command: &'static str, answer: &Answer) -> Result<T, Error> {
    answer.body().map_err(|source| Error::BadAnswer { command, source })
}

impl Session {
    fn ask(&self, command: Command) -> Result<Answer, Error> {
        self.call(command, Vec::new())
    }

    fn ask_for<T: serde::de::DeserializeOwned>(&self, command: Command) -> Result<T, Error> {
        let name = command.name();
        body(name, &self.ask(command)?)
    }

    /// The daemon's version.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn version(&self) -> Result<VersionBody, Error> {
        self.ask_for(Command::Version {})
    }

    /// The scanners there are, in order of arrival.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn list(&self) -> Result<Vec<DeviceEntry>, Error> {
        self.ask_for::<ListBody>(Command::List { device: None, descriptors: false }).map(|body| body.devices)
    }

    /// One scanner, by name, stable id, or an unambiguous beginning of either.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn find(&self, device: &str) -> Result<DeviceEntry, Error> {
        let command = Command::List { device: Some(device.to_owned()), descriptors: false };
        let answer = self.ask(command)?;
        let mut devices = body::<ListBody>("list", &answer)?.devices;
        if devices.is_empty() {
            return body("list", &answer);
        }
        Ok(devices.remove(0))
    }

    /// What one scanner, or every one, is doing, and for whom.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn status(&self, device: Option<&str>) -> Result<Vec<DeviceStatus>, Error> {
        self.ask_for::<StatusBody>(Command::Status { device: device.map(str::to_owned) }).map(|body| body.devices)
    }

    /// Opens a scanner by name, stable id, or an unambiguous beginning of either.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn open(&self, device: &str) -> Result<OpenBody, Error> {
        self.open_at(device, Endpoints::default())
    }

    /// Opens a scanner with these endpoints of it.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn open_at(&self, device: &str, endpoints: Endpoints) -> Result<OpenBody, Error> {
        let Endpoints { event, read, write, interface } = endpoints;
        self.ask_for(Command::Open { device: device.to_owned(), event, read, write, interface, faults: Faults::Freeze })
    }

    /// Opens a scanner by name, stable id, or an unambiguous beginning of either, for a driver that takes faults as libusb tells
    /// them: none freezes a pipe, and reads ask for exactly as many bytes as they say.
    pub fn open_plain(&self, device: &str) -> Result<OpenBody, Error> {
        let (event, read, write, interface, faults) = (None, None, None, None, Faults::Pass);
        self.ask_for(Command::Open { device: device.to_owned(), event, read, write, interface, faults })
    }

    /// Leaves a note for whoever opens the scanner next, until another one replaces it; empty: none.
    ///
    /// # Errors
    /// Those of [`Session::call`].
    pub fn set_note(&self, note: &str) -> Result<(), Error> {
        self.ask(Command::SetNote { note: note.to_owned() }).map(drop)
    }

    /// What the model of the open scanner does differently, of those that speak eSCL; known by its USB strings, and by the name
    /// that it says itself, at most [`usbscan_wire::MODEL_LIMIT`] bytes.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn escl_quirks(&self, model: Option<&str>) -> Result<EsclQuirks, Error> {
        self.ask_for(Command::EsclQuirks { model: model.map(str::to_owned) })
    }

    /// Takes one interface more of the open scanner, in this alternate setting or in the one that it is in; or another setting of
    /// one that this session has. Its endpoints are used by address, see [`Session::read_from`].
    pub fn claim(&self, interface: u8, alternate: Option<u8>) -> Result<(), Error> {
        self.ask(Command::Claim { interface, alternate }).map(drop)
    }

    /// Gives it back.
    pub fn release(&self, interface: u8) -> Result<(), Error> {
        self.ask(Command::Release { interface }).map(drop)
    }

    /// As [`Session::read`], from an endpoint of an interface that this session has.
    ///
    /// # Errors
    /// As [`Session::read`], and `not-found` where it has no such endpoint.
    pub fn read_from(&self, endpoint: u8, length: u32, timeout: Option<Duration>) -> Result<Bytes, Error> {
        let (endpoint, timeout) = (Some(endpoint), seconds(timeout));
        let command = Command::Read { endpoint, offset: None, length, return_partial: false, timeout };
        self.ask(command).map(|answer| answer.payload)
    }

    /// As [`Session::write`], to an endpoint of an interface that this session has.
    ///
    /// # Errors
    /// As [`Session::write`], and `not-found` where it has no such endpoint.
    pub fn write_to(&self, endpoint: u8, bytes: &[u8], timeout: Option<Duration>) -> Result<(), Error> {
        let (endpoint, timeout) = (Some(endpoint), seconds(timeout));
        self.call(Command::Write { endpoint, offset: None, length: 0, zero_packet: false, timeout }, bytes).map(drop)
    }

    /// Cancels what is pending on an endpoint's pipe, clears its halt, throws surplus bytes away.
    pub fn reset_endpoint(&self, endpoint: u8) -> Result<(), Error> {
        self.ask(Command::ResetPipe { pipe: None, endpoint: Some(endpoint) }).map(drop)
    }

    /// Ends what `open` began.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn close(&self) -> Result<(), Error> {
        self.ask(Command::Close {}).map(drop)
    }

    /// Reads up to `length` bytes; a short packet ends it sooner. Without a timeout the session's holds.
    ///
    /// # Errors
    /// A refusal with the status `timeout` carries what had come in its answer's payload.
    pub fn read(&self, length: u32, timeout: Option<Duration>) -> Result<Bytes, Error> {
        let command =
            Command::Read { endpoint: None, offset: None, length, return_partial: false, timeout: seconds(timeout) };
        self.ask(command).map(|answer| answer.payload)
    }

    /// Writes all of `bytes`; how many were taken is in the answer if it ends otherwise.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn write(&self, bytes: &[u8], timeout: Option<Duration>) -> Result<(), Error> {
        self.call(
            Command::Write { endpoint: None, offset: None, length: 0, zero_packet: false, timeout: seconds(timeout) },
            bytes,
        )
        .map(drop)
    }

    /// Waits for one interrupt packet.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn wait_event(&self, timeout: Option<Duration>) -> Result<Bytes, Error> {
        self.ask(Command::WaitEvent { endpoint: None, timeout: seconds(timeout) }).map(|answer| answer.payload)
    }

    /// A control request; gives back the data of an IN request.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn usb_request(&self, request: UsbRequest, timeout: Option<Duration>) -> Result<Bytes, Error> {
        let UsbRequest { kind, recipient, request, value, index, data } = request;
        let (direction, length, payload) = match data {
            RequestData::In(length) => (ControlDirection::In, length, Vec::new()),
            RequestData::Out(bytes) => (ControlDirection::Out, 0, bytes),
        };
        let timeout = seconds(timeout);
        let command = Command::UsbRequest { request, value, index, direction, length, kind, recipient, timeout };
        self.call(command, payload).map(|answer| answer.payload)
    }

    /// `IOCTL_READ_REGISTERS`.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn read_registers(&self, offset: u16, index: u16, length: u16) -> Result<Bytes, Error> {
        self.ask(Command::ReadRegisters { offset, index, length }).map(|answer| answer.payload)
    }

    /// `IOCTL_WRITE_REGISTERS`.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn write_registers(&self, offset: u16, index: u16, bytes: &[u8]) -> Result<(), Error> {
        self.call(Command::WriteRegisters { offset, index }, bytes).map(drop)
    }

    /// The largest packets of the bound pipes.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn channel_sizes(&self) -> Result<ChannelSizesBody, Error> {
        self.ask_for(Command::ChannelSizes {})
    }

    /// Every endpoint of the interface.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn pipe_configuration(&self) -> Result<Vec<PipeDescription>, Error> {
        self.ask_for::<PipeConfigurationBody>(Command::PipeConfiguration {}).map(|body| body.pipes)
    }

    /// Vendor, product and version numbers.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn device_descriptor(&self) -> Result<DeviceDescriptorBody, Error> {
        self.ask_for(Command::DeviceDescriptor {})
    }

    /// A descriptor as bytes, and the text of a string.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn usb_descriptor(
        &self,
        descriptor_type: u8,
        index: u8,
        language: u16,
    ) -> Result<(Bytes, Option<String>), Error> {
        let answer = self.ask(Command::UsbDescriptor { descriptor_type, index, language })?;
        let text = body::<DescriptorBody>("usb-descriptor", &answer)?.text;
        Ok((answer.payload, text))
    }

    /// Timeouts of later requests that name none; `None` leaves one as it is.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn set_timeout(
        &self,
        read: Option<Duration>,
        write: Option<Duration>,
        event: Option<Duration>,
    ) -> Result<(), Error> {
        let command = Command::SetTimeout { read: seconds(read), write: seconds(write), event: seconds(event) };
        self.ask(command).map(drop)
    }

    /// Cancels what is pending on a pipe, clears its halt, throws surplus bytes away.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn reset_pipe(&self, pipe: Pipe) -> Result<(), Error> {
        self.ask(Command::ResetPipe { pipe: Some(pipe), endpoint: None }).map(drop)
    }

    /// Resets the port of a scanner, the open one when none is named.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn reset_device(&self, device: Option<&str>) -> Result<(), Error> {
        self.ask(Command::ResetDevice { device: device.map(str::to_owned) }).map(drop)
    }

    /// Cancels one request, of this session or of another. `false` when there was nothing to cancel.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn cancel_request(&self, request: u64, session: Option<u64>) -> Result<bool, Error> {
        match self.ask(Command::CancelRequest { request, session }) {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(usbscan_wire::Status::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Cancels everything that a session issued; this one when none is named.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn cancel_session(&self, session: Option<u64>) -> Result<(), Error> {
        self.ask(Command::CancelSession { session }).map(drop)
    }

    /// Cancels everything pending on a pipe of a scanner, the open one when none is named.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn cancel_pipe(&self, pipe: Pipe, device: Option<&str>) -> Result<(), Error> {
        self.ask(Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: device.map(str::to_owned) }).map(drop)
    }

    /// Cancels everything on a scanner, the open one when none is named, and brings it back to idle.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn cancel_pending(&self, device: Option<&str>) -> Result<AbortReport, Error> {
        self.ask_for(Command::CancelPending { device: device.map(str::to_owned) })
    }

    /// Takes the scanner's pipes for this session alone.
    ///
    /// # Errors
    /// A refusal with the status `busy`, naming the holder, when another has them and `wait` is false.
    pub fn lock(&self, wait: bool) -> Result<(), Error> {
        self.ask(Command::Lock { wait, if_unused: false }).map(drop)
    }

    /// Gives the lock back: what this session has pending ends first.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn unlock(&self) -> Result<(), Error> {
        self.ask(Command::Unlock {}).map(drop)
    }

    /// Leaves the daemon the steps that bring this scanner back to idle.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn arm_abort(&self, steps: Vec<AbortStep>) -> Result<(), Error> {
        self.ask(Command::ArmAbort { steps, settle: None }).map(drop)
    }

    /// Takes them back.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn disarm_abort(&self) -> Result<(), Error> {
        self.ask(Command::DisarmAbort {}).map(drop)
    }

    /// Hears these events from now on, see [`Session::events`]; an empty list ends it.
    ///
    /// # Errors
    /// Those of [`Session::call`]; [`Error::BadAnswer`] where the answer lacks what it should bring.
    pub fn subscribe(&self, events: &[EventName]) -> Result<(), Error> {
        self.ask(Command::Subscribe { events: events.to_vec() }).map(drop)
    }
}

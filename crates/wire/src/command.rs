//! What a client may ask for. One variant a command; each names its Windows twin.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::frame::header_line;
use crate::hex::HexBytes;
use crate::http_framing::HttpFraming;

/// A pipe of a device, or all of them: `PIPE_TYPE` of usbscan.h, and control, which Windows has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pipe {
    /// Interrupt: `EVENT_PIPE`.
    Event,
    /// Bulk in: `READ_DATA_PIPE`.
    Read,
    /// Bulk out: `WRITE_DATA_PIPE`.
    Write,
    /// Endpoint zero.
    Control,
    /// Every one of the device: `ALL_PIPE`.
    All,
}

impl Pipe {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Pipe::Event => "event",
            Pipe::Read => "read",
            Pipe::Write => "write",
            Pipe::Control => "control",
            Pipe::All => "all",
        }
    }
}

impl std::fmt::Display for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which way a control request's data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlDirection {
    /// Device to host.
    In,
    /// Host to device.
    Out,
}

/// Bits 6-5 of `bmRequestType`. Windows sends vendor requests only; here a class driver can be written too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestKind {
    /// Of the manufacturer (2).
    #[default]
    Vendor,
    /// Of the device's or interface's class (1).
    Class,
    /// Of USB itself (0). Those that change what the host believes of the device are refused.
    Standard,
}

/// Bits 4-0 of `bmRequestType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestRecipient {
    /// The device (0).
    #[default]
    Device,
    /// 1: the interface in the low byte of `index`, which must be one that this session has.
    Interface,
    /// An endpoint (2).
    Endpoint,
}

/// What a fault does to a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Faults {
    /// What stands behind it is refused until the pipe is reset, so that no byte is taken for one that belongs elsewhere.
    #[default]
    Freeze,
    /// It is told, and the pipe goes on, as with libusb: reads ask for exactly as many bytes as they say, and vendor requests
    /// are not looked at.
    Pass,
}

/// One step of the program that brings a scanner back to idle. Times are milliseconds, 1 to 10,000.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
pub enum AbortStep {
    /// Write these bytes to the bulk-out pipe.
    Write {
        /// The address of the endpoint; without it, the bulk-out pipe that `open` bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// At most 512 bytes.
        bytes: HexBytes,
        /// How long the device may take.
        timeout: u32,
    },
    /// Read up to `length` bytes; nothing, or less, is as good, unless something is expected.
    Read {
        /// The address of the endpoint; without it, the bulk-in pipe that `open` bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// At most 1 MiB.
        length: u32,
        /// How long to wait for them.
        timeout: u32,
        /// How what comes must end, by which the device shows that the steps have worked; empty: nobody looks at it.
        #[serde(default, skip_serializing_if = "is_default")]
        expect: HexBytes,
    },
    /// Read and throw away until the device has been quiet for `quiet`. It goes on for as long as bytes come.
    Drain {
        /// As for a read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// Silence that counts as the end.
        quiet: u32,
        /// The most that the step may take while no byte comes.
        timeout: u32,
    },
    /// Read a response of HTTP to its end and throw it away. Of the first such step of each endpoint, but for those that say
    /// `answer`, the daemon follows the response from the moment that the sequence is armed: it knows how much of it the session
    /// has read. So it is armed before the request is sent, or between two reads of the body.
    DrainHttp {
        /// Where from; without it, the bound pipe.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// From where on.
        framing: HttpFraming,
        /// Silence after which the response is given up.
        quiet: u32,
        /// The most that the whole step may take, up to 180,000.
        timeout: u32,
        /// Should it be a 201 that names a job below this root's `ScanJobs/` in its Location, the job is deleted: of a session
        /// that dies between its request and the answer nobody else knows the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delete_job_of: Option<String>,
    },
    /// A control request. No data (OUT) or up to `length` bytes that nobody looks at (IN).
    Control {
        /// Vendor, class or standard.
        #[serde(default)]
        kind: RequestKind,
        /// Device, interface or endpoint.
        #[serde(default)]
        recipient: RequestRecipient,
        /// Direction of the data stage.
        direction: ControlDirection,
        /// `bRequest`.
        request: u8,
        /// `wValue`.
        #[serde(default)]
        value: u16,
        /// `wIndex`.
        #[serde(default)]
        index: u16,
        /// Data of an OUT request.
        #[serde(default, skip_serializing_if = "is_default")]
        bytes: HexBytes,
        /// Room for the answer of an IN request.
        #[serde(default, skip_serializing_if = "is_default")]
        length: u16,
        /// How long the device may take.
        timeout: u32,
    },
    /// Clear the halt of the read, write or event pipe.
    ClearHalt {
        /// `read`, `write` or `event`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipe: Option<Pipe>,
        /// Or the address of its endpoint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
    },
}

/// Seconds, or `null` for ever.
fn seconds<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<f64>, D::Error> {
    Option::<f64>::deserialize(value).map(|seconds| Some(seconds.unwrap_or(f64::INFINITY)))
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Everything that a client may say. Field names are those on the wire, with `-` for `_`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// The daemon's version: `IOCTL_GET_VERSION`.
    Version {},
    /// The scanners there are.
    List {
        /// Only this one: name, stable id, or an unambiguous beginning of either.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
        /// With each one's USB descriptors, as far as the header holds them.
        #[serde(default, skip_serializing_if = "is_default")]
        descriptors: bool,
    },
    /// What a scanner is doing, for whom; of all scanners when none is named. Needs no `open`.
    Status {
        /// Name, stable id, or an unambiguous beginning of either.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// Opens a scanner for this connection: `CreateFile`.
    ///
    /// Without indexes the highest-numbered endpoint of each type is bound. An index is a position in
    /// the array of `pipe-configuration`, the `\N` of Windows' port names.
    Open {
        /// Name, stable id, or an unambiguous beginning of either.
        device: String,
        /// Index of the endpoint for events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<u8>,
        /// Index of the endpoint to read from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<u8>,
        /// Index of the endpoint to write to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<u8>,
        /// Interface, where a device has several that are scanners.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<u8>,
        /// What a fault does to a pipe of this session.
        #[serde(default, skip_serializing_if = "is_default")]
        faults: Faults,
    },
    /// One interface more of the open scanner for this session, in a setting of its choice; or another setting of one that it
    /// has. Its endpoints are used by address.
    Claim {
        /// `bInterfaceNumber`.
        interface: u8,
        /// `bAlternateSetting`; without it, the setting that the interface is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alternate: Option<u8>,
    },
    /// Gives an interface back.
    Release {
        /// `bInterfaceNumber`.
        interface: u8,
    },
    /// Ends what `open` began; the connection may open another.
    Close {},
    /// Memory that the daemon and this connection share from now on, so that reads and writes need not go through the
    /// socket. The answer brings its descriptor (`SCM_RIGHTS`); once a connection.
    ShareMemory {
        /// Bytes of it; at most [`crate::SHARED_LIMIT`].
        length: u32,
    },
    /// Bulk in: `ReadFile`. The answer's payload is what came.
    Read {
        /// The address of an endpoint of an interface that this session has claimed; without it, the one that `open` bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// Bytes wanted; a short packet ends it sooner. At most [`crate::PAYLOAD_LIMIT`].
        length: u32,
        /// Where in the shared memory to put them, instead of a payload. They are written there as they come, up to the
        /// next multiple of 1024 behind `length`; what is there is of meaning after the answer, and for as many bytes as
        /// its `shared` says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u32>,
        /// If it is cancelled, send what had come by then as the payload of the `cancelled` answer.
        #[serde(default, skip_serializing_if = "is_default")]
        return_partial: bool,
        /// Seconds until it ends with `timeout`; this session's `set-timeout` when not named; infinity, which is `null` on the
        /// wire, is none.
        #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    },
    /// Bulk out: `WriteFile`. The payload is what to write.
    Write {
        /// The address of an endpoint of an interface that this session has claimed; without it, the one that `open` bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// Where in the shared memory the bytes are, instead of a payload. They must stay as they are until the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u32>,
        /// With `offset`: how many; at most [`crate::PAYLOAD_LIMIT`].
        #[serde(default, skip_serializing_if = "is_default")]
        length: u32,
        /// End with a zero-length packet when the length is a multiple of the packet size.
        #[serde(default, skip_serializing_if = "is_default")]
        zero_packet: bool,
        /// Seconds until it ends with `timeout`; this session's `set-timeout` when not named; infinity, which is `null` on the
        /// wire, is none.
        #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    },
    /// One interrupt packet: `IOCTL_WAIT_ON_DEVICE_EVENT`.
    WaitEvent {
        /// The address of an endpoint of an interface that this session has claimed; without it, the one that `open` bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// Seconds until it ends with `timeout`; this session's `set-timeout` when not named; infinity, which is `null` on the
        /// wire, is none.
        #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    },
    /// A control request: `IOCTL_SEND_USB_REQUEST`. OUT data is the payload; an IN answer's payload is the data.
    UsbRequest {
        /// `bRequest`.
        request: u8,
        /// `wValue`.
        #[serde(default)]
        value: u16,
        /// `wIndex`.
        #[serde(default)]
        index: u16,
        /// Which way the data goes.
        direction: ControlDirection,
        /// IN: bytes wanted, at most 4096.
        #[serde(default, skip_serializing_if = "is_default")]
        length: u16,
        /// Vendor unless said otherwise.
        #[serde(default, skip_serializing_if = "is_default")]
        kind: RequestKind,
        /// Device unless said otherwise.
        #[serde(default, skip_serializing_if = "is_default")]
        recipient: RequestRecipient,
        /// Seconds until it ends with `timeout`; this session's `set-timeout` when not named; infinity, which is `null` on the
        /// wire, is none.
        #[serde(default, deserialize_with = "seconds", skip_serializing_if = "Option::is_none")]
        timeout: Option<f64>,
    },
    /// `IOCTL_READ_REGISTERS`: vendor IN, bRequest 0x04 (0x0c for one byte).
    ReadRegisters {
        /// `wValue`.
        offset: u16,
        /// `wIndex`.
        #[serde(default)]
        index: u16,
        /// Bytes wanted.
        length: u16,
    },
    /// `IOCTL_WRITE_REGISTERS`: vendor OUT, bRequest 0x04 (0x0c for one byte), data = payload.
    WriteRegisters {
        /// `wValue`.
        offset: u16,
        /// `wIndex`.
        #[serde(default)]
        index: u16,
    },
    /// Largest packet of the three bound pipes: `IOCTL_GET_CHANNEL_ALIGN_RQST`.
    ChannelSizes {},
    /// Every endpoint: `IOCTL_GET_PIPE_CONFIGURATION`.
    PipeConfiguration {},
    /// `IOCTL_GET_DEVICE_DESCRIPTOR`.
    DeviceDescriptor {},
    /// `IOCTL_GET_USB_DESCRIPTOR`; the payload is the descriptor.
    UsbDescriptor {
        /// 1 device, 2 configuration, 3 string.
        descriptor_type: u8,
        /// Which of that type.
        #[serde(default)]
        index: u8,
        /// Language of a string.
        #[serde(default)]
        language: u16,
    },
    /// Timeouts of this session's later requests: `IOCTL_SET_TIMEOUT`. What is not named stays.
    SetTimeout {
        /// Seconds, up to [`crate::MAX_TIMEOUT_SECONDS`]; a fraction is allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<f64>,
        /// For writes, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<f64>,
        /// For `wait-event`, likewise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<f64>,
    },
    /// Cancels what is pending, clears the halt, data toggle to 0: `IOCTL_RESET_PIPE`.
    ResetPipe {
        /// Any but `control`, which has no halt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipe: Option<Pipe>,
        /// Or the address of its endpoint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
    },
    /// Resets the port; every session's requests are cancelled first.
    ResetDevice {
        /// Which; the open one when none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// One request: `CancelIoEx`. `not-found` when there is nothing to cancel.
    CancelRequest {
        /// The id of the request to cancel.
        request: u64,
        /// The session that issued it; this one when none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
    },
    /// Everything that a session issued, nothing else: `CancelIo`.
    CancelSession {
        /// Which; this one when none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<u64>,
    },
    /// Everything pending on a pipe, of all sessions: `IOCTL_CANCEL_IO`, `IOCTL_ABORT_PIPE`.
    CancelPipe {
        /// Which pipe.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pipe: Option<Pipe>,
        /// Or the address of its endpoint.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<u8>,
        /// Of which device; the open one when none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// Everything on every pipe, and the device back to idle: `CancelPendingIO`, `WIA_EVENT_CANCEL_IO`.
    CancelPending {
        /// Which device; the open one when none is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<String>,
    },
    /// What whoever opens this scanner next is told: for a driver whose job may outlive it. Replaces the one before; kept until
    /// then, also beyond this session, and beyond the daemon where that has a place for it.
    SetNote {
        /// At most [`crate::NOTE_LIMIT`] bytes; empty: none.
        note: String,
    },
    /// What the model of the open scanner does differently, of those that speak eSCL: for its driver. Known by its USB strings,
    /// and by the name that it says itself.
    EsclQuirks {
        /// At most [`crate::MODEL_LIMIT`] bytes; `MakeAndModel` of its capabilities.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// Takes the device's pipes for this session alone.
    Lock {
        /// Wait until it is free, instead of `busy`. The waiting can be cancelled.
        #[serde(default, skip_serializing_if = "is_default")]
        wait: bool,
        /// `busy` as well where another session has used the scanner without the lock a moment ago: for programs that poll a status now and
        /// then, and must not get between the commands of one that is used by hand.
        #[serde(default, skip_serializing_if = "is_default")]
        if_unused: bool,
    },
    /// Gives the pipes back: ends what this session has pending, then its lock.
    Unlock {},
    /// Leaves the daemon the program that brings this scanner back to idle; replaces one left before.
    ArmAbort {
        /// At most [`crate::ABORT_STEPS_LIMIT`].
        steps: Vec<AbortStep>,
        /// Milliseconds for which the scanner may be silent in this phase of the job before its silence counts against it;
        /// 1000 when not named, at most [`crate::MAX_SETTLE_MS`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settle: Option<u32>,
    },
    /// Takes it back: the job is over.
    DisarmAbort {},
    /// Records what goes over a scanner's pipes from now on, of all sessions. The payload is how the file begins. One
    /// at a time on a connection; needs no `open`.
    Capture {
        /// Which scanner.
        device: String,
    },
    /// What was recorded and not read yet, as soon as there is something.
    ReadCapture {},
    /// Records no more. What was recorded can still be read.
    StopCapture {},
    /// Events from now on. An empty list ends it.
    Subscribe {
        /// Which events.
        events: Vec<crate::EventName>,
    },
}

impl Command {
    /// The header line of a request that is this command, for a sender that has its payload elsewhere.
    pub fn header_line(&self, id: u64, payload: usize) -> Vec<u8> {
        let Ok(Value::Object(command)) = serde_json::to_value(self) else {
            unreachable!("an internally tagged enum of plain data is an object")
        };
        let mut header = Map::new();
        header.insert("id".to_owned(), id.into());
        header.extend(command);
        header_line(header, payload)
    }

    /// The word on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Version {} => "version",
            Command::List { .. } => "list",
            Command::Status { .. } => "status",
            Command::Open { .. } => "open",
            Command::Claim { .. } => "claim",
            Command::Release { .. } => "release",
            Command::Close {} => "close",
            Command::ShareMemory { .. } => "share-memory",
            Command::Read { .. } => "read",
            Command::Write { .. } => "write",
            Command::WaitEvent { .. } => "wait-event",
            Command::UsbRequest { .. } => "usb-request",
            Command::ReadRegisters { .. } => "read-registers",
            Command::WriteRegisters { .. } => "write-registers",
            Command::ChannelSizes {} => "channel-sizes",
            Command::PipeConfiguration {} => "pipe-configuration",
            Command::DeviceDescriptor {} => "device-descriptor",
            Command::UsbDescriptor { .. } => "usb-descriptor",
            Command::SetTimeout { .. } => "set-timeout",
            Command::ResetPipe { .. } => "reset-pipe",
            Command::ResetDevice { .. } => "reset-device",
            Command::CancelRequest { .. } => "cancel-request",
            Command::CancelSession { .. } => "cancel-session",
            Command::CancelPipe { .. } => "cancel-pipe",
            Command::CancelPending { .. } => "cancel-pending",
            Command::Lock { .. } => "lock",
            Command::Unlock {} => "unlock",
            Command::ArmAbort { .. } => "arm-abort",
            Command::SetNote { .. } => "set-note",
            Command::EsclQuirks { .. } => "escl-quirks",
            Command::DisarmAbort {} => "disarm-abort",
            Command::Capture { .. } => "capture",
            Command::ReadCapture {} => "read-capture",
            Command::StopCapture {} => "stop-capture",
            Command::Subscribe { .. } => "subscribe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_null_is_none_and_one_that_is_not_named_is_the_sessions() {
        let command = |json: &str| serde_json::from_str::<Command>(json).unwrap();
        let wait = |timeout| Command::WaitEvent { endpoint: None, timeout };
        for (json, timeout) in [
            (r#"{"command":"wait-event"}"#, None),
            (r#"{"command":"wait-event","timeout":null}"#, Some(f64::INFINITY)),
            (r#"{"command":"wait-event","timeout":0.5}"#, Some(0.5)),
        ] {
            assert_eq!(command(json), wait(timeout));
            assert_eq!(serde_json::to_string(&wait(timeout)).unwrap(), json);
        }
    }

    #[test]
    fn the_name_of_each_command_is_its_tag() {
        let commands = [
            Command::Version {},
            Command::WaitEvent { endpoint: None, timeout: None },
            Command::CancelPipe { pipe: Some(Pipe::All), endpoint: None, device: None },
            Command::ArmAbort {
                steps: vec![AbortStep::Drain { endpoint: None, quiet: 200, timeout: 2000 }],
                settle: Some(3000),
            },
            Command::Capture { device: "usbscan0".to_owned() },
            Command::ReadCapture {},
            Command::StopCapture {},
            Command::Subscribe { events: vec![] },
        ];
        for command in commands {
            assert_eq!(serde_json::to_value(&command).unwrap()["command"], command.name());
        }
    }
}

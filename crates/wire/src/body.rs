//! What the answers of single commands carry in their headers, beside the common fields.

use serde::{Deserialize, Serialize};

use crate::HexBytes;

/// `version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VersionBody {
    /// `usbscand 0.1.0`.
    pub server: String,
    /// The three numbers of `IOCTL_GET_VERSION`: major, minor, internal.
    pub version: [u32; 3],
    /// [`crate::PROTOCOL_VERSION`].
    pub protocol: u32,
}

/// A scanner, as `list` and `arrival` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceEntry {
    /// `usbscan0`: by order of arrival.
    pub name: String,
    /// `04b8:0151:SERIAL`, or with the port path where there is no serial number. Survives replugging.
    pub stable_id: String,
    /// `idVendor`.
    pub vendor_id: u16,
    /// `idProduct`.
    pub product_id: u16,
    /// As the device says, else from the model table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// `iProduct`, else from the model table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// `iSerialNumber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Port path: `1-2.4`.
    pub port: String,
    /// Bus number and address: `001:007`.
    pub address: String,
    /// `480 Mbit/s`.
    pub speed: String,
    /// The interface that is a scanner.
    pub interface: u8,
    /// The bus it is on: `libusb` or `virtual`.
    pub bus: String,
    /// The protocol it is taken for, from class or model table: `esci`, `esci2`, `escl`, `still-image`, `loopback`; or `sane:` and
    /// the name of the backend of SANE's that drives it, such as `sane:genesys`.
    pub protocol: String,
    /// Where there are several ways to it: what each speaks and on which interface, that which is preferred first. `open` takes
    /// the first whose interface no other program has, or the one of the interface that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<DriverEntry>,
    /// Whether the daemon may open it.
    pub accessible: bool,
    /// It does not answer, and no recovery has helped. Programs that open scanners by themselves leave it alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unresponsive: bool,
    /// Why not, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Beside `descriptors`: `bConfigurationValue` of the configuration that it is in; 0 where it is in none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<u8>,
    /// Where `list` asks for them: the device descriptor, then every configuration with all that belongs to it, as they came
    /// from the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<HexBytes>,
}

/// A way to a scanner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverEntry {
    /// The protocol, and the name of the driver for it.
    pub driver: String,
    /// The interface that it takes.
    pub interface: u8,
}

/// `list`. `information` is the number of scanners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBody {
    /// In order of arrival.
    pub devices: Vec<DeviceEntry>,
}

/// Who is at the other end of a connection, from the socket's peer credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Peer {
    /// The connection's number.
    pub session: u64,
    /// Process id; unknown where the client is in a pid namespace that the daemon can't see into.
    pub pid: Option<i32>,
    /// User id; unknown where the kernel does not say it, or where it has no number here (another user namespace).
    pub uid: Option<u32>,
    /// The program's name; empty where it can't be read.
    pub program: String,
}

impl Peer {
    /// `pid 42, uid 1000`, for people.
    pub fn numbers(&self) -> String {
        let number = |number: Option<String>| number.unwrap_or_else(|| "unknown".to_owned());
        format!(
            "pid {}, uid {}",
            number(self.pid.map(|pid| pid.to_string())),
            number(self.uid.map(|uid| uid.to_string()))
        )
    }

    /// Whether both are known to be the same user.
    pub fn is_same_user(&self, other: &Peer) -> bool {
        self.uid.is_some() && self.uid == other.uid
    }
}

/// One request that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PendingRequest {
    /// The client's id for it.
    pub request: u64,
    /// The session that issued it.
    pub session: u64,
    /// `read`, `write`, …
    pub command: String,
    /// Bytes asked for.
    pub length: u64,
    /// Bytes moved so far.
    pub actual: u64,
    /// `queued`, `in-flight` or `cancelling`.
    pub state: String,
    /// Milliseconds since it arrived.
    pub age_ms: u64,
}

/// One pipe of a scanner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PipeState {
    /// `event`, `read`, `write`, `control`.
    pub pipe: String,
    /// `bEndpointAddress`.
    pub endpoint: u8,
    /// Whether a fault froze it until `reset-pipe`.
    pub halted: bool,
    /// What waits on it, oldest first.
    pub pending: Vec<PendingRequest>,
}

/// A connection that has the scanner open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionEntry {
    /// Who is connected.
    #[serde(flatten)]
    pub peer: Peer,
    /// Seconds since it opened the scanner.
    pub age_seconds: u64,
    /// Whether it holds the lock.
    pub locked: bool,
    /// Whether it left an abort sequence.
    pub armed: bool,
}

/// A cancel of what others had pending, or a reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastCancel {
    /// Who cancelled, or reset.
    #[serde(flatten)]
    pub by: Peer,
    /// With which command.
    pub command: String,
    /// How long ago.
    pub age_seconds: u64,
}

/// A recovery that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Recovery {
    /// What is being tried: `cancel` (transfers are coming back), `abort-sequence`, `class` (class requests, drain, halts),
    /// `port-reset`, `return` (of the device after that), `verify`.
    pub rung: String,
    /// Milliseconds since the recovery began.
    pub age_ms: u64,
    /// Bytes that were thrown away so far.
    pub drained: u64,
}

/// One scanner in `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceStatus {
    /// What it is, as in `list`.
    #[serde(flatten)]
    pub device: DeviceEntry,
    /// `closed` (not claimed), `idle`, `open`, `busy` (requests pending), `recovering` (see `recovery`), `unresponsive` (it does
    /// not answer and can't be recovered), `host-stuck` (the host controller keeps a transfer), `in-use` (by another program).
    pub state: String,
    /// While it is brought back to idle: how far that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// Who interfered last with what others do there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cancel: Option<LastCancel>,
    /// Who has it open.
    pub sessions: Vec<SessionEntry>,
    /// Its pipes, where it is claimed.
    pub pipes: Vec<PipeState>,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusBody {
    /// The scanner that was named, or all.
    pub devices: Vec<DeviceStatus>,
}

/// An endpoint, as `pipe-configuration` and `open` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PipeDescription {
    /// Position in the array of `pipe-configuration`: the N of `\N`.
    pub index: u8,
    /// `control`, `isochronous`, `bulk`, `interrupt`: `RAW_PIPE_TYPE`.
    #[serde(rename = "type")]
    pub pipe_type: String,
    /// `bEndpointAddress`.
    pub endpoint: u8,
    /// `in` or `out`.
    pub direction: String,
    /// Bytes of its largest packet.
    pub max_packet_size: u16,
    /// Milliseconds between polls of an interrupt endpoint; 0 for others.
    pub interval_ms: u32,
    /// `event`, `read` or `write` where this session's pipe is this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<String>,
}

/// `open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBody {
    /// The scanner that was meant, as in `list`.
    pub device: DeviceEntry,
    /// Its endpoints, in the order of `pipe-configuration`.
    pub pipes: Vec<PipeDescription>,
    /// What a session before this one has left with `set-note`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `capture`. `information` is the length of the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureBody {
    /// The scanner that was meant, by its name.
    pub device: String,
}

/// `read-capture`. `information` is the length of the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadCaptureBody {
    /// Records that there was no room for, since the beginning.
    pub dropped: u64,
    /// Whether this was the last: nothing comes any more.
    pub over: bool,
}

/// `pipe-configuration`. `information` is the number of pipes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeConfigurationBody {
    /// All endpoints of the interface.
    pub pipes: Vec<PipeDescription>,
}

/// `channel-sizes`: bytes of the largest packet of each bound pipe; 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChannelSizesBody {
    /// Interrupt.
    pub event: u16,
    /// Bulk in.
    pub read: u16,
    /// Bulk out.
    pub write: u16,
}

/// `device-descriptor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DeviceDescriptorBody {
    /// `idVendor`.
    pub vendor_id: u16,
    /// `idProduct`.
    pub product_id: u16,
    /// `bcdDevice`.
    pub device_version: u16,
}

/// `usb-descriptor`: the payload is the descriptor; a string is spelt out here too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorBody {
    /// A string descriptor's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How bringing a scanner back to idle went: in `cancel-pending`'s answer, and in the event `idle`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AbortReport {
    /// Requests that were cancelled.
    #[serde(default)]
    pub cancelled: u64,
    /// Bytes that were thrown away while draining.
    #[serde(default)]
    pub drained: u64,
    /// What it was brought back by: `armed` (the session's abort sequence), `class` (requests of the interface's class),
    /// `drain` (neither), `port-reset`.
    #[serde(default)]
    pub method: String,
    /// Whether the scanner has shown that it is idle. Without an abort sequence that ends in an expectation it can't.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
    /// The step that failed, if one did: `step 2 (read): …`. The scanner may not be idle then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<String>,
}

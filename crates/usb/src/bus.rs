//! A USB host as usbscan sees it: what is plugged in, opening it, and word of changes.

use std::fmt;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::{Completion, ConfigurationDescriptor, DeviceDescriptor, Endpoint, EndpointAddress, Error, InterfaceNumber};

/// Where a device is now. Replugging changes the address; `ports` says which socket it is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Bus number.
    pub bus: u8,
    /// Address on that bus; the host never gives the same one to two devices at a time.
    pub address: u8,
    /// Port numbers from the root hub to the device; empty where the system does not say.
    pub ports: Vec<u8>,
}

impl Location {
    /// The port path as Linux writes it: `1-2.4`; `1@5` (bus and address) where there is none.
    pub fn port_path(&self) -> String {
        if self.ports.is_empty() {
            return format!("{}@{}", self.bus, self.address);
        }
        let ports: Vec<String> = self.ports.iter().map(u8::to_string).collect();
        format!("{}-{}", self.bus, ports.join("."))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.port_path())
    }
}

/// Signalling rate of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// The host did not say.
    Unknown,
    /// 1.5 Mbit/s.
    Low,
    /// 12 Mbit/s.
    Full,
    /// 480 Mbit/s.
    High,
    /// 5 Gbit/s.
    Super,
    /// 10 Gbit/s and more.
    SuperPlus,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Speed::Unknown => "unknown",
            Speed::Low => "1.5 Mbit/s",
            Speed::Full => "12 Mbit/s",
            Speed::High => "480 Mbit/s",
            Speed::Super => "5 Gbit/s",
            Speed::SuperPlus => "10 Gbit/s",
        })
    }
}

/// Whether this process may open the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Granted,
    /// The system says no.
    Denied,
}

/// What can be known of a device without opening it, and without a byte on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Where it is.
    pub location: Location,
    /// How fast the link is.
    pub speed: Speed,
    /// Its device descriptor.
    pub descriptor: DeviceDescriptor,
    /// The configuration it is in; `None` when it is in none.
    pub configuration: Option<ConfigurationDescriptor>,
    /// `iManufacturer` as the system has it.
    pub manufacturer: Option<String>,
    /// `iProduct`.
    pub product: Option<String>,
    /// `iSerialNumber`.
    pub serial: Option<String>,
    /// Whether it can be opened.
    pub access: Access,
}

impl DeviceInfo {
    /// `04b8:0151 at 1-2`, for messages.
    pub fn label(&self) -> String {
        format!("{}:{} at {}", self.descriptor.vendor, self.descriptor.product, self.location)
    }
}

/// Keeps a watch on a bus alive; dropping it ends the watch, and waits for that.
pub trait Watch: Send {}

/// A USB host.
pub trait Bus: Send + Sync {
    /// `libusb` or `virtual`, for the log.
    fn name(&self) -> &str;

    /// The devices that are plugged in now, hubs left out. Reads what the system already knows.
    ///
    /// # Errors
    /// Only when the system itself can't be asked; a machine without USB is an empty list.
    fn list(&self) -> Result<Vec<DeviceInfo>, Error>;

    /// The descriptors of the device at `location` as they came from it: its own, then every configuration with all that
    /// belongs to it. Reads what the system already knows; `None` where it does not.
    fn descriptors(&self, location: &Location) -> Option<Vec<u8>>;

    /// Opens the device at `location`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`] when another device, or none, is there now;
    /// [`crate::ErrorKind::AccessDenied`].
    fn open(&self, location: &Location) -> Result<Box<dyn Device>, Error>;

    /// Sends to `notify` after something was plugged in or out, never for nothing in between. The
    /// channel has room for one: several changes may share it, so its receiver lists again.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotSupported`] where the system has no such events.
    fn watch(&self, notify: Sender<()>) -> Result<Box<dyn Watch>, Error>;
}

/// An open device.
pub trait Device: Send {
    /// What was known when it was opened.
    fn info(&self) -> &DeviceInfo;

    /// Takes an interface for us. A kernel driver on it is detached, and put back by `close`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Busy`] with the holder.
    fn claim(&mut self, interface: InterfaceNumber) -> Result<(), Error>;

    /// Gives an interface back, and its kernel driver returns. Nothing may be in flight on it. The kernel puts it into its first
    /// setting.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when it is not claimed.
    fn release(&mut self, interface: InterfaceNumber) -> Result<(), Error>;

    /// The alternate setting that a claimed interface is in; 0 for one that is not claimed.
    fn alternate(&self, interface: InterfaceNumber) -> u8;

    /// An endpoint of a claimed interface, or endpoint zero ([`EndpointAddress::CONTROL`], which
    /// needs no claim). Its completions go to `completions`, which must be unbounded.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when no claimed interface has it.
    fn endpoint(
        &mut self,
        address: EndpointAddress,
        completions: Sender<Completion>,
    ) -> Result<Box<dyn Endpoint>, Error>;

    /// Chooses an alternate setting of a claimed interface. Nothing may be in flight on it. The setting that it is in
    /// already is sent all the same, which makes both sides' toggles begin anew; some devices print garbage after a
    /// needless one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an interface that is not claimed, or a setting that it does not have.
    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) -> Result<(), Error>;

    /// Resets the port. Nothing may be in flight. Claims survive if the device comes back as it was.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NoDevice`] when it came back as another: drop it and wait for its arrival.
    fn reset(&mut self) -> Result<(), Error>;

    /// Asks for every transfer back, waits for each, releases interfaces (kernel drivers return) and closes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::HostStuck`] when a transfer was not given back within `timeout`; what it
    /// used is then left alone for ever, which is the only safe thing.
    fn close(self: Box<Self>, timeout: Duration) -> Result<(), Error>;
}

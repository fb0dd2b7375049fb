//! The words of USB that every usbscan crate shares, and the one seam between usbscan and a USB host.
//!
//! A [`Bus`] lists devices and opens them. An open [`Device`] claims an interface and hands out
//! [`Endpoint`]s. An endpoint takes *owned* buffers with [`Endpoint::submit`], is asked to give them
//! back early with [`Endpoint::cancel`], and afterwards posts exactly one [`Completion`] per
//! accepted transfer on a channel:
//!
//! ```text
//!            submit                     completion
//!   caller ──────────▶ in flight ─────────────────────▶ caller
//!                          │  cancel: only asks            ▲
//!                          └───────────────────────────────┘
//! ```
//!
//! Two implementations stand behind the seam: `libusb` (a real host) and `virtual_scanner` (models
//! of devices, in this process). [`contract`] is the suite of claims that both must keep.
//!
//! ```no_run
//! use usbscan_usb::{Bus, EndpointAddress, InterfaceNumber, Token};
//!
//! fn first_packet(bus: &dyn Bus) -> Result<Vec<u8>, usbscan_usb::Error> {
//!     let there = bus.list()?;
//!     let mut device = bus.open(&there[0].location)?;
//!     device.claim(InterfaceNumber(0))?;
//!     let (completions, done) = crossbeam_channel::unbounded();
//!     let mut bulk_in = device.endpoint(EndpointAddress(0x81), completions)?;
//!     bulk_in.submit(Token(1), vec![0; 512].into()).map_err(|rejected| rejected.error)?;
//!     let completion = done.recv().expect("an accepted transfer completes");
//!     Ok(completion.received().to_vec())
//! }
//! ```
#![warn(missing_docs)]

mod buffer;
mod bus;
pub mod contract;
mod descriptor;
mod error;
mod ids;
mod setup;
mod transfer;

/// The channels that completions and notifications go through.
pub use crossbeam_channel;
/// Memory of which a [`Buffer`] may be a part.
pub use usbscan_shm as shm;

pub use buffer::Buffer;
pub use bus::{Access, Bus, Device, DeviceInfo, Location, Speed, Watch};
pub use descriptor::{
    ConfigurationDescriptor, DescriptorError, DeviceDescriptor, EndpointDescriptor, InterfaceDescriptor,
    string_descriptor_text,
};
pub use error::{Error, ErrorKind, Holder};
pub use ids::{Direction, EndpointAddress, InterfaceNumber, ProductId, TransferType, VendorId};
pub use setup::{Setup, SetupKind, SetupRecipient};
pub use transfer::{Cancel, Completion, Endpoint, Rejected, Token, TransferStatus};

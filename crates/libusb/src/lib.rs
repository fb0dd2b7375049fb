//! The seam of [`usb`] over libusb: a real USB host, with asynchronous transfers that can be cancelled.
//!
//! All of usbscan's USB `unsafe` is here. `rusb` lists, opens, claims and watches; transfers go to libusb
//! itself, because rusb has none that can be cancelled.
//!
//! ```text
//!   LibusbBus ── list, open ──▶ LibusbDevice ── endpoint ──▶ LibusbEndpoint
//!       │                          │ owns                        │ submit, cancel
//!       │ watch                    ▼                             ▼
//!       ▼                    context + thread              OpenHandle: who uses the handle,
//!   LibusbWatch              (every callback)              what is in flight
//! ```
//!
//! Threads: one per open device (`usb 1-2`), which runs libusb's callbacks; one per watch (`usb hotplug`); one
//! while a device is being closed; and libusb's own, which listens for plugs. None wakes up while nothing happens.
//!
//! What may be relied on, beyond the seam:
//!
//! - An accepted transfer completes once, whatever happens to its endpoint or device, unless the host controller
//!   never gives it back; then closing says so ([`usbscan_usb::ErrorKind::HostStuck`]) and its memory is never touched again.
//! - Buffers are not copied, and do not move, between submit and completion; shared memory stays mapped until then.
//! - Calls that would pull the rug from under a transfer (clear-halt, alternate setting, reset) are refused
//!   while it is in flight. SET_CONFIGURATION is never sent.
//!
//! ```no_run
//! use usbscan_libusb::LibusbBus;
//! use usbscan_usb::{Bus, EndpointAddress, InterfaceNumber, Token};
//!
//! let bus = LibusbBus::new()?;
//! for info in bus.list()? {
//!     println!("{} {}", info.label(), info.product.as_deref().unwrap_or("?"));
//! }
//! let scanner = &bus.list()?[0].location;
//! let mut device = bus.open(scanner)?;
//! device.claim(InterfaceNumber(0))?;
//!
//! let (completions, done) = crossbeam_channel::unbounded();
//! let mut bulk_in = device.endpoint(EndpointAddress(0x81), completions)?;
//! bulk_in.submit(Token(1), vec![0; 65536].into()).map_err(|rejected| rejected.error)?;
//! // Nothing came in five seconds: ask for it back. The completion tells how it callback, and what had arrived.
//! if done.recv_timeout(std::time::Duration::from_secs(5)).is_err() {
//!     bulk_in.cancel(Token(1));
//!     let completion = done.recv().expect("an accepted transfer completes");
//!     println!("{:?} after {} bytes", completion.status, completion.actual);
//! }
//! device.close(std::time::Duration::from_secs(5))?;
//! # Ok::<(), usbscan_usb::Error>(())
//! ```
#![warn(missing_docs)]

mod bus;
mod capabilities;
mod claims;
mod close;
mod context;
mod describe;
mod device;
mod endpoint;
mod holder;
mod hotplug;
mod in_flight_buffer;
mod open;
mod open_handle;
mod status;
mod submit;
mod sysfs;
mod transfer;

/// The types and traits that it implements.
pub use usbscan_usb as usb;

pub use bus::LibusbBus;

//! Virtual scanners: models of USB devices as functions of bytes, and a USB host inside this process
//! to plug them into.
//!
//! A [`Model`] answers packets and control requests, knows no transport, and is tested with slices. A
//! [`Link`] is what a host controller does with it (queues of transfers, short packets, stalls, cancels),
//! as a state machine; a [`Port`] runs a link on a thread. On ports stand the [`VirtualBus`], which is
//! the second implementation of [`usbscan_usb::Bus`], and the USB/IP server of `tools/vscan`.
//!
//! ```text
//!   VirtualBus (usbscan_usb::Bus)      vscan: USB/IP, FunctionFS
//!            │                          │
//!            └──────── Port ────────────┘   a thread a device
//!                        │
//!                      Link                 transfers ⇄ packets
//!                        │
//!                      Model                a scanner as functions of bytes
//! ```
//!
//! The models are [`Esci`], a flatbed that speaks ESC/I, [`Esci2`], a flatbed with a feeder that speaks ESC/I-2, [`Escl`], an all-in-one's scanner that speaks eSCL over IPP over USB, and [`Loopback`]. What lies on the scanner is a
//! [`glass::Glass`], which also says what every scan of it must look like. [`faults`] go around any model.
//! [`spec`] builds all of that from a line such as `esci,glass=page.png,fault=stall@64k`.
//!
//! ```
//! use usbscan_usb::{Bus, EndpointAddress, InterfaceNumber, Token};
//! use usbscan_virtual::VirtualBus;
//!
//! let bus = VirtualBus::new();
//! let location = bus.plug_spec("loopback").unwrap();
//! let mut device = bus.open(&location).unwrap();
//! device.claim(InterfaceNumber(0)).unwrap();
//!
//! let (completions, done) = crossbeam_channel::unbounded();
//! let mut bulk_in = device.endpoint(EndpointAddress(0x81), completions.clone()).unwrap();
//! let mut bulk_out = device.endpoint(EndpointAddress(0x02), completions).unwrap();
//! bulk_in.submit(Token(1), vec![0; 512].into()).unwrap();
//! bulk_out.submit(Token(2), b"hello".to_vec().into()).unwrap();
//!
//! let read = done.iter().find(|completion| completion.token == Token(1)).unwrap();
//! assert_eq!(&*read.received(), b"hello");
//! ```

mod bus;
mod device;
mod esci;
mod esci2;
mod escl;
pub mod faults;
pub mod glass;
mod jpeg;
mod link;
mod loopback;
mod model;
mod outbox;
mod panel;
mod port;
mod replay;
pub mod spec;
mod standard;
mod xerox;

pub use bus::{BUS_NUMBER, VirtualBus};
pub use device::TRANSFER_MEMORY;
pub use esci::{Dialect, Esci, EsciSetup, FeederSetup, Level, Sheet, Side};
pub use esci2::{Chunks, Esci2, Esci2Setup, Feeder, Formats, JpegSetup};
pub use escl::{Delete, DocumentFormat, Escl, EsclSetup, Framing, JobNames, Layout, LocationForm};
pub use jpeg::{FrameHeight, Sampling};
pub use link::{Completed, Event, Link, LinkProgress, Moved, Urb, UrbId};
pub use loopback::Loopback;
pub use model::{AfterReset, Control, Descriptors, In, Model, Out, Unlink};
pub use panel::{Busy, Conditions, Panel};
pub use port::{Port, Unplugged};
pub use replay::{BusAddress, Replay, ReplayError};
pub use spec::SpecError;
pub use xerox::{Xerox, XeroxSetup};

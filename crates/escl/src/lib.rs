//! eSCL as values: what goes over a pair of USB pipes, without USB, threads, clocks or I/O.
//!
//! An eSCL scanner on USB (interfaces of class 7/1/4) speaks HTTP/1.1 over one bulk-out and one bulk-in pipe per interface, and
//! XML in that. [`http`] writes requests and understands responses, as they come in packets of any size; [`ScannerCapabilities`],
//! [`ScannerStatus`], [`ScanSettings`] and [`ScanImageInfo`] are the documents. Both are used by the driver in crates/scan,
//! and the framing of bodies by the daemon, which finishes what a dead driver has begun. What is known of the protocol, and
//! from where, is in docs/escl.md.
//!
//! Everything that a device sends is bounded: heads, lines, documents, lists, texts; and no control character of it is kept.
//!
//! ```
//! use usbscan_escl::http::{Limits, Part, Receiver, Request};
//! use usbscan_escl::ScannerStatus;
//!
//! let request = Request::get("/eSCL/ScannerStatus").unwrap().to_bytes(); // goes to the bulk-out pipe
//! assert!(request.starts_with(b"GET /eSCL/ScannerStatus HTTP/1.1\r\nHost: localhost\r\n"));
//!
//! let mut receiver = Receiver::default();
//! receiver.expect(Limits::document());
//! let mut document = Vec::new();
//! # let mut packets = [&b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 50\r\n\r\n"[..],
//! #     b"<ScannerStatus><State>Idle</State></ScannerStatus>"].into_iter();
//! # let mut read_at_least = |_due: u64| bytes::Bytes::from_static(packets.next().unwrap());
//! loop {
//!     match receiver.next_part().unwrap() {
//!         Some(Part::Head(head)) => assert_eq!(head.status, 200),
//!         Some(Part::Body(bytes)) => document.extend_from_slice(&bytes),
//!         Some(Part::End) => break,
//!         None => receiver.push(read_at_least(receiver.due())), // from the bulk-in pipe, in whole packets
//!     }
//! }
//! assert!(ScannerStatus::parse(&document).unwrap().is_idle());
//! ```
#![warn(missing_docs)]

mod capabilities;
mod image_info;
mod input;
mod job;
mod range;
mod settings;
mod status;
mod xml;

pub mod http;

pub use capabilities::{Adf, Justification, ScannerCapabilities, Version};
pub use image_info::ScanImageInfo;
pub use input::{ColorMode, Format, InputCaps, Resolution, Resolutions};
pub use job::JobPath;
pub use range::Range;
pub use settings::{InputSource, Region, ScanSettings};
pub use status::{AdfState, JobInfo, JobState, ScannerStatus, State};
pub use xml::DocumentError;

/// Areas and sizes of pages are told in this part of an inch, whatever the resolution.
pub const UNITS_PER_INCH: u32 = 300;
/// Where a scanner's documents lie, unless it says otherwise.
pub const ROOT: &str = "/eSCL";

//! Scanning: drivers of scan protocols, the options they have, the geometry of a page, and where its lines go.
//!
//! A [`Driver`] speaks a protocol over a [`Transport`] and gives a [`Scanner`]; that has [`Options`], and
//! pushes the lines of a page into a [`PageSink`]. All of it runs on the thread that calls; a [`Cancel`] handle ends it
//! from any other. Nothing here knows files, windows, or USB itself.
//!
//! ```no_run
//! use usbscan_scan::{Progress, SessionTransport, Value};
//! # struct Sink;
//! # impl usbscan_scan::PageSink for Sink {
//! #     fn begin(&mut self, _: &usbscan_scan::PageFormat) -> Result<(), usbscan_scan::SinkError> { Ok(()) }
//! #     fn lines(&mut self, _: &[u8]) -> Result<usbscan_scan::Flow, usbscan_scan::SinkError> { Ok(usbscan_scan::Flow::Continue) }
//! #     fn end(&mut self) -> Result<(), usbscan_scan::SinkError> { Ok(()) }
//! # }
//!
//! let session = usbscan_client::Session::connect(usbscan_client::DEFAULT_SOCKET).unwrap();
//! let (transport, device) = SessionTransport::open(session, "usbscan0").unwrap();
//! let cancel = transport.cancel_handle(); // for another thread: cancel.cancel()
//! let mut scanner = usbscan_scan::open(&device.protocol, Box::new(transport), &mut |_: Progress| {}).unwrap();
//! scanner.options_mut().set("mode", Value::Text("Color".into())).unwrap();
//! scanner.options_mut().set_text("resolution", "300").unwrap();
//! let mut sink = Sink;
//! scanner.scan(&mut sink, &mut |progress| eprintln!("{progress:?}")).unwrap();
//! ```
#![warn(missing_docs)]

mod backend_error;
mod cancel;
mod driver;
mod error;
pub mod esci;
pub mod esci2;
pub mod escl;
mod geometry;
pub mod hosted;
pub mod jpeg;
mod options;
mod page;
mod protocol_error;
mod registry;
mod session;
mod support;
mod transport;

pub use backend_error::{BackendError, SignalNumber};
pub use cancel::{CLEAN_UP, Cancel, Cancelled};
pub use driver::{Driver, EventPacket, Identity, Outcome, Progress, Scanner};
pub use error::{DeviceError, ScanError, Unsupported};
pub use geometry::{Area, AreaError, Dpi, MM_PER_INCH, MaxArea, PixelArea};
pub use options::{
    Constraint, Dependence, OptionDescriptor, OptionError, Options, OptionsKeeper, SourceKind, Unit, Value, Variant,
    names, source_kind, sources,
};
pub use page::{Flow, PageFormat, PageSink, Pixels, SinkError};
pub use protocol_error::ProtocolError;
pub use registry::{DRIVERS, driver_for, open};
pub use session::SessionTransport;
pub use support::Timeouts;
pub use transport::{ClassTriple, ControlRequest, ReadEnd, Received, Transport, TransportError};
/// The steps of an abort sequence, for [`Transport::arm_abort`].
pub use usbscan_client::wire::AbortStep;

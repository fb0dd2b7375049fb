//! A session with usbscand: blocking calls, any number of requests under way, cancel handles.
//!
//! A [`Session`] is one connection, and so the unit of clean-up: when it is dropped, or its program
//! dies, the daemon cancels its requests, runs its abort sequence and frees its lock. One thread
//! a session (`usbscand session N`) reads answers and events and hands them to the waiting calls; every call runs on
//! the caller's thread. No call retries anything, and none outlives the connection: when the daemon
//! ends, every waiting call ends at once with [`Error::Gone`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! let session = usbscan_client::Session::connect("/run/usbscan/usbscand.sock")?;
//! for device in session.list()? {
//!     println!("{} {}", device.name, device.stable_id);
//! }
//! session.open("usbscan0")?;
//! session.write(b"\x1b@", Some(Duration::from_secs(1)))?;
//! let reply = session.read(1, Some(Duration::from_secs(1)))?;
//! assert_eq!(reply[..], [0x06]);
//! # Ok::<(), usbscan_client::Error>(())
//! ```
#![warn(missing_docs)]

mod buffer_pool;
mod calls;
mod canceller;
mod error;
mod incoming;
mod link;
mod lock;
mod outgoing;
mod pending;
mod reply_extra;
mod session;
mod timeout;

/// What payloads are.
pub use bytes::Bytes;
pub use calls::{Endpoints, RequestData, UsbRequest};
pub use canceller::Canceller;
/// Where events come.
pub use crossbeam_channel::Receiver;
pub use error::{Error, GoneWhy, Refusal};
pub use lock::{LOCK_TIMEOUT, LockHandle};
pub use outgoing::Outgoing;
pub use pending::Pending;
pub use reply_extra::SHORTEST_SHARED;
pub use session::{DEFAULT_SOCKET, Session};
/// The protocol's values: what calls take and give back.
pub use usbscan_wire as wire;

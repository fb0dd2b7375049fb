//! The daemon: scanners, their pipes, and the sessions that use them.
//!
//! ```text
//!   socket ─▶ connection ─▶ dispatch ─▶ pipe (queue) ─▶ usbscan_usb::Endpoint
//!             │  ▲                        │
//!             │  └── outbox ◀── answer ◀──┘
//!             └▶ supervisor: open, close, abort, reset, one scanner each
//!   usbscan_usb::Bus ─▶ registry: which scanners there are
//! ```
//!
//! [`Running`] is a daemon in this process; the program usbscand is one with a socket and signals around it.

mod abort;
pub mod action;
mod answer;
pub mod args;
mod budget;
mod cancellation;
mod capture;
mod claim;
pub mod config;
mod connection;
mod core;
mod dispatch;
mod failure;
mod function;
mod idle;
mod listener;
mod lock;
mod message;
mod names;
mod outbox;
mod payload;
mod peer;
mod pipe;
pub mod queue;
pub mod quirks;
mod registry;
mod request;
mod running;
mod scanner;
mod server;
mod session;
mod sharing;
pub mod socket;
mod supervisor;
pub mod systemd;
mod unused;

pub use config::{Config, Limits};
pub use running::Running;
pub use unused::Unused;

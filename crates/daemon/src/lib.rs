//! The daemon: scanners, their pipes, and the sessions that use them.
//!
//! ```text
//!   socket ─▶ server ─▶ dispatch ─▶ pipe (queue) ─▶ usbscan_usb::Endpoint
//!               │  ▲                  │
//!               │  └────── reply ◀────┘
//!               └▶ scanner: open, close, recovery, reset; one supervisor each
//!   usbscan_usb::Bus ─▶ scanner::registry: which scanners there are
//! ```
//!
//! Each folder uses only those behind it: `server` → `dispatch` → `scanner` → `session` → `pipe` → `capture` → `reply` →
//! the base types (`failure`, `payload`, `outcome`, `config`). tests/architecture.rs holds that no two files use each other.
//!
//! [`Running`] is a daemon in this process; the program usbscand is one with a socket and signals around it.

mod capture;
pub mod config;
mod dispatch;
mod failure;
mod outcome;
mod payload;
mod pipe;
mod reply;
mod scanner;
mod server;
mod session;
mod version;

pub use config::action;
pub use config::models as quirks;
pub use config::{Config, Limits};
pub use pipe::queue;
pub use server::args;
pub use server::idle_exit::IdleExit;
pub use server::running::Running;
pub use server::{process_limits, socket, systemd};

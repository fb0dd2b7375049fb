//! `libsane-usbscan.so.1`: the scanners of usbscand for every SANE application.
//!
//! SANE's dll backend loads this library into the application and calls the functions of [`entry`]. A scanner that is
//! opened is a session with the daemon and a driver of `crates/scan`; a page that is started is two threads and a bounded
//! queue:
//!
//! ```text
//!   application                  this library                          usbscand
//!   sane_get_devices ─▶ backend ─▶ devices ───────────────────────────▶ list
//!   sane_control_option ─▶ scanner ─▶ table, choice, value
//!   sane_start ────────▶ scanner ─▶ job ─▶ scanning thread ─▶ driver ─▶ open, lock, read, write
//!   sane_read ◀──────────────────── stream ◀── sink ◀───────────┘
//!   sane_cancel ─▶ handle (a counter, an eventfd) ─▶ watching thread ─▶ cancel-request
//! ```
//!
//! The C interface's `unsafe` is here, and no other: [`entry`] and `value` turn pointers into values, `table` and `devices`
//! keep what C is shown, `apart` asks for a thread's signal mask. USB is the daemon's alone.
#![warn(missing_docs)]

pub mod abi;
mod backend;
mod button;
mod convert;
mod debug;
mod devices;
mod engine;
pub mod entry;
mod environment;
mod event_fd;
mod handle;
mod job;
mod scanner;
mod sink;
mod spool;
mod status;
mod stream;
mod table;
mod threads;
mod value;

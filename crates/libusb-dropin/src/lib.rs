//! `libusb-1.0.so.0` over usbscand: a program that was written for libusb uses the daemon's scanners, with all that the daemon
//! gives: others see who has the scanner, can cancel what hangs, and find it usable afterwards.
//!
//! The SONAME decides what the loader takes for libusb, so the file lies in a folder of its own, and a program finds it there
//! (`usbscan run`) instead of the machine's.
//!
//! ```text
//!   program                    this library                                    usbscand
//!   libusb_get_device_list ─▶ context ─▶ connection (for that call only) ───▶ list
//!   libusb_open ────────────▶ handle       (nothing is asked)
//!   libusb_claim_interface ─▶ handle ─▶ session ─▶ connection (the handle's) ▶ open, lock
//!   libusb_bulk_transfer ───▶ blocked ─▶ transfer ─▶ connection ─────────────▶ read, write
//!   libusb_handle_events ───▶ hotplug ─▶ connection (the context's) ─────────▶ subscribe
//! ```
//!
//! It runs inside other people's programs, so: no thread, no signal handler, no file, no word on standard error unless the
//! program asked for warnings (`LIBUSB_DEBUG`), no global but libusb's own default context
//! (and what host.rs has, which is in use in our own host process only), no SIGPIPE, no panic and no
//! half-ended thread over the border (guard.rs). After a fork, what the parent opened is gone for the child; a new
//! `libusb_init` connects anew.
//!
//! The C interface's `unsafe` is here, and no other.
#![warn(missing_docs)]

pub mod abi;
mod blocked;
mod connection;
mod context;
mod daemon;
mod descriptors;
mod device;
mod exports;
mod guard;
mod handle;
mod host;
mod hotplug;
mod known;
mod session;
mod status;
mod transfer;

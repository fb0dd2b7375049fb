//! The daemon's outside: the socket and its connections, systemd, the command line, the orderly end.

pub mod args;
mod connection;
mod connections;
pub(crate) mod idle_exit;
mod listener;
pub mod process_limits;
pub(crate) mod running;
pub mod socket;
pub mod systemd;

//! The daemon over its socket, on the in-process bus: everything between a client's bytes and a scanner's.

mod cancelling;
mod capturing;
mod chaos;
mod ending;
mod hostile;
mod kernel;
mod lying;
mod mixture;
mod moving;
mod opening;
mod program;
mod quirks;
mod races;
mod rig;
mod shared;
mod sharing;
mod unused;

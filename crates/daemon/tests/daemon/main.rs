//! The daemon over its socket, on the in-process bus: everything between a client's bytes and a scanner's.

mod arrivals;
mod bad_descriptors;
mod cancelling;
mod capturing;
mod chaos;
mod claims;
mod drivers;
mod ending;
mod hostile;
mod http;
mod idle_exit;
mod latched;
mod limits;
mod locking;
mod mixture;
mod moving;
mod note;
mod opening;
mod overtaking;
mod quirks;
mod races;
mod recovery;
mod recovery_bus;
mod rights;
mod same_user;
mod sharing;

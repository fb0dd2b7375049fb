//! What tests of the daemon share: a daemon in this process with virtual scanners, a client that sees every message in the
//! order in which it came, and scanners at this machine's kernel. For tests only: whatever fails here panics.

pub mod kernel;
pub mod rig;
pub mod shared;

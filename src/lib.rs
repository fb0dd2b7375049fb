//! The two programs' own code: the daemon and the command line.
pub mod action;
pub mod cli;
pub mod daemon;

//! Scanners: which there are, who has each, and what its supervisor thread does with it.

pub(crate) mod abort;
mod abort_http;
pub(crate) mod abort_steps;
pub(crate) mod claim;
mod clock;
pub(crate) mod function;
mod gates;
mod halts;
pub(crate) mod handle;
mod interfaces;
mod lock;
pub(crate) mod message;
mod names;
mod note;
mod port_reset;
pub(crate) mod recovery;
pub(crate) mod recovery_state;
pub(crate) mod registry;
mod reset_policy;
pub(crate) mod supervisor;

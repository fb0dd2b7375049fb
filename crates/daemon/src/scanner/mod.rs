//! Scanners: which there are, who has each, and what its supervisor thread does with it.

pub(crate) mod abort;
pub(crate) mod claim;
pub(crate) mod function;
pub(crate) mod handle;
mod lock;
pub(crate) mod message;
mod names;
pub(crate) mod recovery;
pub(crate) mod registry;
pub(crate) mod supervisor;

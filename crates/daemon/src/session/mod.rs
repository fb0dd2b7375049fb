//! Sessions: one a connection. Who is at the other end, what it has outstanding, which scanner it has open.

pub(crate) mod binding;
pub(crate) mod following;
pub(crate) mod handle;
pub(crate) mod list;
pub(crate) mod log_budget;
pub(crate) mod ordered;
pub(crate) mod peer;
pub(crate) mod shared_memory;
mod timeouts;

//! Pipes: one worker thread an endpoint, and the handle by which the rest of the daemon reaches it.

pub(crate) mod activity;
pub(crate) mod cancellation;
pub(crate) mod endpoint_io;
mod event;
pub(crate) mod orders;
pub mod queue;
pub(crate) mod request;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod waiters;
pub(crate) mod worker;
mod worker_loop;

//! What a client is owed: answers, the way to its socket, and how much of either there may be.

pub(crate) mod budget;
pub(crate) mod outbox;
pub(crate) mod responder;

//! HTTP/1.1 where there is no connection: one request at a time over a pair of pipes, responses in packets that mean nothing.
//!
//! | file | what |
//! |---|---|
//! | `request` | a request as bytes |
//! | `head` | status line and fields of a response, parsed by `httparse` |
//! | `framing` | where a body ends: a length, chunks, or nothing that says so |
//! | `follower` | where a response is that somebody else reads |
//! | `receiver` | a response as it comes: what is left over of others, head, body, end |
//!
//! On a socket a response that nobody wants ends with the connection. Here nothing ends but by being read, so every
//! response must be followed to its end, and what a predecessor left unread comes first.

mod error;
mod follower;
mod framing;
mod head;
mod receiver;
mod request;

pub use error::HttpError;
pub use follower::Follower;
pub use framing::{Framing, FramingStep};
pub use head::{HEAD_LIMIT, Head};
pub use receiver::{Limits, Part, Receiver};
pub use request::{Method, Request};

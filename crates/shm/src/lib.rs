//! Memory that usbscand shares with a client, so that the bytes of a page need not go through the socket.
//!
//! ```text
//!   usbscand: SharedMemory ──descriptor──▶ client: ShmArena
//!       │ region                         │ take
//!       ▼                                ▼
//!     Region ◀──"offset", in a request──── LentSlot ◀──lend── Slot
//!       │ the kernel writes into it      │
//!       └──"shared", in the answer────▶ LentSlot::reclaim ──▶ ShmBytes
//! ```
//!
//! The daemon makes it, seals its size, and sends its descriptor to one client. Neither side trusts the other equally:
//!
//! - The daemon believes nothing of what stands in it. It never makes a Rust reference to it, since the client may write
//!   at any moment; it hands the address to the kernel, or copies bytes out and in. Sealed, it can't be cut shorter under
//!   the daemon, which would end it with SIGBUS.
//! - The client looks at the bytes of an answer where they lie, so it has to believe that the daemon writes only to what was
//!   lent to it, and before it answers. It believes that of a daemon that may write to all of its memory anyway: root's, or
//!   that of its own user ([`is_trusted`]). From any other it maps nothing.
//!
//! The daemon takes the pages back when the connection ends. Bytes that a client keeps longer are made its own before it
//! hangs up ([`ShmArena::detach`]).
//!
//! All `unsafe` of sharing is in this crate.
//!
//! ```
//! # use std::io::IoSlice;
//! # use std::mem::MaybeUninit;
//! # use std::os::unix::net::UnixStream;
//! # use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
//! use usbscan_shm::{SharedMemory, ShmArena, receive};
//!
//! // The daemon makes it, and sends its descriptor.
//! let (to_client, from_daemon) = UnixStream::pair()?;
//! let memory = SharedMemory::new(65536)?;
//! # let (descriptors, mut space) = ([memory.descriptor()], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
//! # let mut along = SendAncillaryBuffer::new(&mut space);
//! # assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
//! # sendmsg(&to_client, &[IoSlice::new(b"!")], &mut along, SendFlags::NOSIGNAL)?;
//! // The client maps it, and lends a part of it to a request.
//! let (_, received) = receive(&from_daemon, &mut [0; 1])?;
//! let arena = ShmArena::new(received.expect("a descriptor came along"), 65536)?;
//! let lent = arena.alloc(512).expect("there is room").lend();
//! // The daemon, or the kernel for it, writes there before it answers.
//! let offset = lent.offset();
//! memory.region(offset..offset + 512).expect("it is inside").copy_from(b"a page");
//! // After the answer the bytes are read where they lie.
//! let bytes = lent.reclaim(6).expect("so many fit");
//! assert_eq!(bytes.as_ref(), b"a page");
//! # Ok::<(), std::io::Error>(())
//! ```
#![warn(missing_docs)]

mod client;
mod daemon;
mod receive;

pub use client::{LentSlot, NotReclaimed, ShmArena, ShmBytes, Slot};
pub use daemon::{Held, Region, SharedMemory};
pub use receive::{Received, is_trusted, receive};

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
//! - The client trusts the daemon, as it trusts it with the bytes in the socket: that it writes only to what was lent to it,
//!   and before it answers. So the client may look at the bytes of an answer where they lie.
//!
//! All `unsafe` of sharing is in this crate.
//!
//! ```
//! use usbscan_shm::{SharedMemory, ShmArena};
//!
//! // The daemon makes it, and sends its descriptor.
//! let memory = SharedMemory::new(65536)?;
//! let descriptor = memory.descriptor().try_clone_to_owned()?;
//! // The client maps it, and lends a part of it to a request.
//! let arena = ShmArena::new(&descriptor, 65536)?;
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

pub use client::{LentSlot, ShmArena, ShmBytes, Slot};
pub use daemon::{Held, Region, SharedMemory};

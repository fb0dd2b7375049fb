//! Which requests use the memory that the daemon shares, and what their answers bring back from it. No I/O.
//!
//! ```text
//!   free ──a request goes out──▶ lent ──its answer──▶ payload ──dropped──▶ free
//!                                  │ io-error, no-device; or the answer never comes
//!                                  ▼
//!                         the daemon's for good
//! ```

use bytes::Bytes;
use usbscan_shm::{LentSlot, NotReclaimed, ShmArena, Slot};
use usbscan_wire::{Answer, Command, Status};

/// Bytes of the shortest reads and writes that go through shared memory. A copy of fewer takes no longer than finding them a
/// place.
pub const SHORTEST_SHARED: usize = 16 * 1024;

/// What a request has out that comes back with its answer.
#[derive(Debug)]
pub(crate) enum ReplyExtra {
    Nothing,
    /// The descriptor of the memory itself.
    Memory,
    /// A place in it, and how many bytes the answer may say are there.
    Slot {
        lent: LentSlot,
        most: usize,
    },
}

/// An answer that does not fit its request: the daemon does not know what it is doing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("it says that {shared} bytes are in shared memory, where a request had room for {most}")]
    TooMany { shared: u64, most: usize },
    #[error("it says that {shared} bytes are in shared memory, and sends {payload} besides")]
    Twice { shared: u64, payload: usize },
    /// The connection is ended at this end; there is a reason already.
    #[error("its memory is not shared any more")]
    HungUp,
}

/// Finds a place for the bytes of a request, if it is worth it and there is room. What is left to be sent as payload, and
/// what is extra. Where the memory is used is the session's to say: what else stands in `offset` is not looked at.
pub(crate) fn reserve_shared<'a>(
    arena: Option<&ShmArena>,
    command: &mut Command,
    payload: &'a [u8],
) -> (&'a [u8], ReplyExtra) {
    let slot = |bytes| arena.filter(|_| (SHORTEST_SHARED..=usbscan_wire::PAYLOAD_LIMIT).contains(&bytes))?.alloc(bytes);
    match command {
        Command::Read { offset, length, .. } => {
            let most = *length as usize;
            let lent = slot(most).map(Slot::lend);
            *offset = lent.as_ref().map(offset_of);
            (payload, lent.map_or(ReplyExtra::Nothing, |lent| ReplyExtra::Slot { lent, most }))
        }
        Command::Write { offset, length, .. } => {
            (*offset, *length) = (None, 0);
            let Some(mut slot) = slot(payload.len()) else { return (payload, ReplyExtra::Nothing) };
            slot.bytes_mut()[..payload.len()].copy_from_slice(payload);
            let lent = slot.lend();
            (*offset, *length) = (Some(offset_of(&lent)), payload.len() as u32);
            (&[], ReplyExtra::Slot { lent, most: 0 })
        }
        _ => (payload, ReplyExtra::Nothing),
    }
}

/// As a request names it. Shared memory has fewer than 4 GiB: its length was a number of 32 bits.
pub(crate) fn offset_of(lent: &LentSlot) -> u32 {
    lent.offset() as u32
}

impl ReplyExtra {
    /// Takes back what this answer brings; bytes that are in shared memory become its payload.
    pub(crate) fn settle(self, answer: &mut Answer) -> Result<(), Mismatch> {
        let shared = answer.shared;
        let (lent, most) = match self {
            ReplyExtra::Slot { lent, most } => (Some(lent), most),
            ReplyExtra::Nothing | ReplyExtra::Memory => (None, 0),
        };
        let count = usize::try_from(shared).ok().filter(|count| *count <= most);
        let count = count.ok_or(Mismatch::TooMany { shared, most })?;
        if count > 0 && !answer.payload.is_empty() {
            return Err(Mismatch::Twice { shared, payload: answer.payload.len() });
        }
        let Some(lent) = lent else { return Ok(()) };
        if matches!(answer.status, Status::IoError | Status::NoDevice) {
            // A transfer may be lost in the kernel, which writes to its place whenever it finds it again.
            if count > 0 {
                answer.payload = lent.copy_prefix(count).into();
            }
            return Ok(());
        }
        let loaded = lent.reclaim(count).map_err(|not| match not {
            NotReclaimed::TooLong => Mismatch::TooMany { shared, most },
            NotReclaimed::Detached => Mismatch::HungUp,
        })?;
        if count > 0 {
            answer.payload = Bytes::from_owner(loaded);
        }
        Ok(())
    }
}

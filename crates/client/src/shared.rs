//! Which requests use the memory that the daemon shares, and what their answers bring back from it. No I/O.
//!
//! ```text
//!   free ──a request goes out──▶ lent ──its answer──▶ payload ──dropped──▶ free
//!                                  │ io-error, no-device; or the answer never comes
//!                                  ▼
//!                         the daemon's for good
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use usbscan_shm::{Lent, Room, Slot};
use usbscan_wire::{Answer, Command, Status};

use crate::link::Link;
use crate::{Error, Pending, calls};

/// Bytes of the shortest reads and writes that go through shared memory. A copy of fewer takes no longer than finding them a
/// place.
pub const SHORTEST_SHARED: usize = 16 * 1024;

/// What a request has out that comes back with its answer.
#[derive(Debug)]
pub(crate) enum Due {
    Nothing,
    /// The descriptor of the memory itself.
    Memory,
    /// A place in it, and how many bytes the answer may say are there.
    Slot {
        lent: Lent,
        most: usize,
    },
}

/// An answer that does not fit its request: the daemon does not know what it is doing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misplaced {
    #[error("it says that {shared} bytes are in shared memory, where a request had room for {most}")]
    TooMany { shared: u64, most: usize },
    #[error("it says that {shared} bytes are in shared memory, and sends {payload} besides")]
    Twice { shared: u64, payload: usize },
}

/// Finds a place for the bytes of a request, if it is worth it and there is room. What is left to be sent as payload, and
/// what is due. Where the memory is used is the session's to say: what else stands in `at` is not looked at.
pub(crate) fn place<'a>(room: Option<&Room>, command: &mut Command, payload: &'a [u8]) -> (&'a [u8], Due) {
    let slot = |bytes| room.filter(|_| (SHORTEST_SHARED..=usbscan_wire::PAYLOAD_LIMIT).contains(&bytes))?.take(bytes);
    match command {
        Command::Read { at, length, .. } => {
            let most = *length as usize;
            let lent = slot(most).map(Slot::lend);
            *at = lent.as_ref().map(place_of);
            (payload, lent.map_or(Due::Nothing, |lent| Due::Slot { lent, most }))
        }
        Command::Write { at, length, .. } => {
            (*at, *length) = (None, 0);
            let Some(mut slot) = slot(payload.len()) else { return (payload, Due::Nothing) };
            slot.bytes_mut()[..payload.len()].copy_from_slice(payload);
            let lent = slot.lend();
            (*at, *length) = (Some(place_of(&lent)), payload.len() as u32);
            (&[], Due::Slot { lent, most: 0 })
        }
        _ => (payload, Due::Nothing),
    }
}

/// As a request names it. A room has fewer bytes than 4 GiB: it was asked for in a number of 32 bits.
fn place_of(lent: &Lent) -> u32 {
    lent.at() as u32
}

impl Due {
    /// Takes back what this answer brings; bytes that are in shared memory become its payload.
    pub(crate) fn settle(self, answer: &mut Answer) -> Result<(), Misplaced> {
        let shared = answer.shared;
        let (lent, most) = match self {
            Due::Slot { lent, most } => (Some(lent), most),
            Due::Nothing | Due::Memory => (None, 0),
        };
        let count = usize::try_from(shared).ok().filter(|count| *count <= most);
        let count = count.ok_or(Misplaced::TooMany { shared, most })?;
        if count > 0 && !answer.payload.is_empty() {
            return Err(Misplaced::Twice { shared, payload: answer.payload.len() });
        }
        let Some(lent) = lent else { return Ok(()) };
        if matches!(answer.status, Status::IoError | Status::NoDevice) {
            // A transfer may be lost in the kernel, which writes to its place whenever it finds it again.
            if count > 0 {
                answer.payload = lent.copy(count).into();
            }
            return Ok(());
        }
        let loaded = lent.back(count).ok_or(Misplaced::TooMany { shared, most })?;
        if count > 0 {
            answer.payload = Bytes::from_owner(loaded);
        }
        Ok(())
    }
}

/// Memory for bytes to be written, which are not copied any more: see [`crate::Session::outgoing`]. Dropped, it is free again.
#[derive(Debug)]
pub struct Outgoing {
    link: Arc<Link>,
    slot: Slot,
    length: usize,
}

impl Outgoing {
    pub(crate) fn new(link: &Arc<Link>, length: usize) -> Option<Outgoing> {
        let room = link.room().filter(|_| (1..=usbscan_wire::PAYLOAD_LIMIT).contains(&length))?;
        Some(Outgoing { link: link.clone(), slot: room.take(length)?, length })
    }

    /// The bytes, to be filled in. They are not zero: whatever was there last is there still.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.slot.bytes_mut()[..self.length]
    }

    /// Sends a `write` of these bytes.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub fn start(self, zero_packet: bool, timeout: Option<Duration>) -> Result<Pending, Error> {
        let Outgoing { link, slot, length } = self;
        let lent = slot.lend();
        let (at, length) = (Some(place_of(&lent)), length as u32);
        let command = Command::Write { at, length, zero_packet, timeout: calls::seconds(timeout) };
        Pending::start_due(&link, link.new_id(), &command, &[], Due::Slot { lent, most: 0 })
    }
}

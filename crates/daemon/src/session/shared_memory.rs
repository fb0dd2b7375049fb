//! Memory that a session shares with its client: what is read is written there by the kernel, and what is to be written
//! lies there already, so that neither goes through the socket. The client may change it at any moment; nothing here
//! depends on what stands in it.

use std::sync::Arc;

use usbscan_shm::{Region, SharedMemory};
use usbscan_wire::{PAYLOAD_LIMIT, SHARED_LIMIT};

use crate::failure::Failure;
use crate::reply::budget::{Budget, Credit};

/// What a session shares, until its end. The kernel may have a region of it for somewhat longer.
#[derive(Debug)]
pub(crate) struct SessionMemory {
    memory: Arc<SharedMemory>,
}

impl SessionMemory {
    /// Makes memory of so many bytes, which count as the connection's.
    ///
    /// # Errors
    /// A length that may not be, a limit, or what the system says.
    pub fn new(length: u32, budget: &Arc<Budget>) -> Result<SessionMemory, Failure> {
        if length == 0 || length as usize > SHARED_LIMIT {
            return Err(Failure::BadValue { field: "length", expected: "a number from 1 to 8388608" });
        }
        // It counts until its pages are the system's again, which a transfer that is late can delay.
        let credit: Credit = budget.memory(u64::from(length))?;
        let memory = SharedMemory::new_with(length as usize, credit);
        let memory = memory.map_err(|error| Failure::NoMemory { length, error })?;
        Ok(SessionMemory { memory: Arc::new(memory) })
    }

    /// The memory, whose descriptor the client is sent.
    pub fn memory(&self) -> Arc<SharedMemory> {
        self.memory.clone()
    }

    /// Where a read puts `length` bytes, with room for the rest of its last packet as far as there is any.
    ///
    /// # Errors
    /// When they don't all fit.
    pub fn to_read_into(&self, offset: u32, length: u32, packet: usize) -> Result<Region, Failure> {
        let (offset, end) = self.range(offset, length)?;
        let rounded = offset + (end - offset).next_multiple_of(packet);
        self.region(offset, rounded.min(self.memory.len()).max(end))
    }

    /// What a write takes.
    ///
    /// # Errors
    /// When it is not all there.
    pub fn to_write_from(&self, offset: u32, length: u32) -> Result<Region, Failure> {
        let (offset, end) = self.range(offset, length)?;
        self.region(offset, end)
    }

    fn range(&self, offset: u32, length: u32) -> Result<(usize, usize), Failure> {
        if length as usize > PAYLOAD_LIMIT {
            return Err(Failure::BadValue { field: "length", expected: "a number from 0 to 1048576" });
        }
        Ok((offset as usize, offset as usize + length as usize))
    }

    fn region(&self, from: usize, to: usize) -> Result<Region, Failure> {
        let outside = Failure::BadValue { field: "offset", expected: "where as many bytes are in the shared memory" };
        self.memory.region(from..to).ok_or(outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Amount;
    use crate::failure::Limit;
    use crate::reply::budget::GlobalBudget;

    fn budget(bytes: u64) -> Arc<Budget> {
        let most = Amount { requests: 1, bytes };
        Budget::new(most, GlobalBudget::new(most, 1))
    }

    #[test]
    fn it_counts_as_the_connections_until_it_goes() {
        let budget = budget(20_000);
        let sharing = SessionMemory::new(15_000, &budget).unwrap();
        assert!(matches!(SessionMemory::new(5001, &budget), Err(Failure::Limit(Limit::Bytes(20_000)))));
        assert!(budget.request(5000).is_ok(), "it is no request");
        drop(sharing);
        assert!(SessionMemory::new(20_000, &budget).is_ok());
    }

    #[test]
    fn a_length_that_may_not_be_is_refused() {
        let budget = budget(u64::MAX / 4);
        for length in [0, SHARED_LIMIT as u32 + 1, u32::MAX] {
            assert!(
                matches!(SessionMemory::new(length, &budget), Err(Failure::BadValue { field: "length", .. })),
                "{length}"
            );
        }
    }

    #[test]
    fn a_read_has_room_for_its_last_packet_where_there_is_any() {
        let sharing = SessionMemory::new(2000, &budget(2000)).unwrap();
        let room =
            |at, length| sharing.to_read_into(at, length, 512).map(|region| (region.offset(), region.len())).ok();
        assert_eq!(room(0, 512), Some((0, 512)));
        assert_eq!(room(0, 513), Some((0, 1024)));
        assert_eq!(room(1000, 1000), Some((1000, 1000)), "none");
        assert_eq!(room(1000, 600), Some((1000, 1000)), "some");
        assert_eq!(room(1000, 1001), None);
        assert_eq!((room(2000, 0), room(2001, 0)), (Some((2000, 0)), None));
        assert_eq!((room(u32::MAX, u32::MAX), room(0, PAYLOAD_LIMIT as u32 + 1)), (None, None));
    }

    #[test]
    fn a_write_takes_what_is_there_and_no_more() {
        let sharing = SessionMemory::new(2000, &budget(2000)).unwrap();
        let bytes = |at, length| sharing.to_write_from(at, length).map(|region| (region.offset(), region.len())).ok();
        assert_eq!((bytes(1999, 1), bytes(1999, 2)), (Some((1999, 1)), None));
    }
}

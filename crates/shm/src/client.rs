//! The side that was sent the memory's descriptor. It deals the memory out in slots that never overlap, and trusts the
//! other side to write only to those that were lent to it.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};

/// Slots begin at multiples of this and end at one, so that a read that is rounded up to whole packets stays in its own.
const GRAIN: usize = 4096;

#[derive(Debug)]
struct Shared {
    mapping: MmapRaw,
    /// What is dealt out, in order.
    taken: Mutex<Vec<Range<usize>>>,
}

/// Memory that a daemon has shared. Clones are the same memory, which stays mapped as long as one of them, or anything
/// that was taken from it, lives.
#[derive(Debug, Clone)]
pub struct Room {
    shared: Arc<Shared>,
}

impl Room {
    /// Maps the descriptor that a daemon has sent, for so many bytes.
    ///
    /// # Errors
    /// `InvalidData` when it has fewer, or might get fewer: looking at them would then end this process. Else as the
    /// system says.
    pub fn new(descriptor: &OwnedFd, length: usize) -> io::Result<Room> {
        let sealed = fcntl_get_seals(descriptor)?.contains(SealFlags::SHRINK);
        let size = fstat(descriptor)?.st_size;
        if length == 0 || !sealed || u64::try_from(size).unwrap_or(0) < length as u64 {
            let why = format!("{length} bytes of memory that has {size}, {}sealed", if sealed { "" } else { "not " });
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mapping = MmapOptions::new().len(length).map_raw(descriptor)?;
        Ok(Room { shared: Arc::new(Shared { mapping, taken: Mutex::default() }) })
    }

    /// Bytes, all in all.
    pub fn len(&self) -> usize {
        self.shared.mapping.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A slot of at least so many bytes; `None` where there is no such room now.
    pub fn take(&self, length: usize) -> Option<Slot> {
        let length = length.max(1).checked_next_multiple_of(GRAIN)?;
        let mut taken = self.shared.taken.lock();
        let ends = std::iter::once(0).chain(taken.iter().map(|range| range.end));
        let begins = taken.iter().map(|range| range.start).chain([self.len()]);
        let (place, at) = ends
            .zip(begins)
            .enumerate()
            .find_map(|(place, (from, to))| (to.checked_sub(from)? >= length).then_some((place, from)))?;
        taken.insert(place, at..at + length);
        drop(taken);
        Some(Slot { shared: self.shared.clone(), range: at..at + length, is_ours: true })
    }
}

/// A part of a [`Room`] that is nobody else's. Dropped, it can be taken again.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    range: Range<usize>,
    /// Not lent, so that it may be dealt out again.
    is_ours: bool,
}

impl Slot {
    /// Where it begins in the memory.
    pub fn at(&self) -> usize {
        self.range.start
    }

    /// Bytes: those that were asked for, and somewhat more.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Its bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let start = self.start();
        // SAFETY: the range is inside the mapping, all of whose bytes are initialised, and which `self` keeps mapped. No
        // other slot overlaps it, `self` is borrowed for as long as the slice, and the daemon does not touch what is not
        // lent to it, which it is trusted with.
        unsafe { std::slice::from_raw_parts_mut(start, self.range.len()) }
    }

    /// Lends it to the daemon.
    pub fn lend(mut self) -> Lent {
        self.is_ours = false;
        Lent { slot: self }
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: the range is inside the mapping.
        unsafe { self.shared.mapping.as_mut_ptr().add(self.range.start) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_ours {
            self.shared.taken.lock().retain(|range| *range != self.range);
        }
    }
}

/// A slot while the daemon may write to it: nobody looks at it here.
///
/// It comes back by an answer that says so ([`Lent::back`]). Dropped without one it is left to the daemon, and its place
/// in the memory is not dealt out again.
#[derive(Debug)]
pub struct Lent {
    slot: Slot,
}

impl Lent {
    /// Where it begins in the memory: what a request names.
    pub fn at(&self) -> usize {
        self.slot.at()
    }

    /// Copies its first bytes out, `length` of them or all that it has, while the daemon may still write to it.
    pub fn copy(&self, length: usize) -> Vec<u8> {
        let mut copy = vec![0; length.min(self.slot.len())];
        // SAFETY: so many bytes are inside both; `copy` is nobody else's, and what another process does to the slot
        // meanwhile makes them other bytes, and no more.
        unsafe { std::ptr::copy_nonoverlapping(self.slot.start(), copy.as_mut_ptr(), copy.len()) };
        copy
    }

    /// The daemon has answered, and will not touch it any more: its first bytes, `length` of them, can be looked at.
    /// `None` when that is more than it has, which is left to the daemon then: it does not know what it is doing.
    pub fn back(mut self, length: usize) -> Option<Loaded> {
        if length > self.slot.len() {
            return None;
        }
        self.slot.is_ours = true;
        Some(Loaded { slot: self.slot, length })
    }
}

/// Bytes that lie in shared memory. Dropped, their place is free again.
#[derive(Debug)]
pub struct Loaded {
    slot: Slot,
    length: usize,
}

impl AsRef<[u8]> for Loaded {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: as in `Slot::bytes_mut`, but that there may be many readers: nobody here writes while `self` is borrowed,
        // and the daemon has given the slot back.
        unsafe { std::slice::from_raw_parts(self.slot.start(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    /// Both sides of memory of so many slots of one grain.
    fn both(slots: usize) -> (Memory, Room) {
        let memory = Memory::new(slots * GRAIN).unwrap();
        let room = Room::new(&memory.descriptor().try_clone_to_owned().unwrap(), slots * GRAIN).unwrap();
        (memory, room)
    }

    #[test]
    fn what_one_side_writes_the_other_side_reads() {
        let (memory, room) = both(4);
        let _first = room.take(1).unwrap();
        let mut slot = room.take(5).unwrap();
        slot.bytes_mut()[..5].copy_from_slice(b"order");
        let lent = slot.lend();
        let region = memory.region(lent.at()..lent.at() + 5).unwrap();
        assert_eq!((region.at(), region.to_vec()), (GRAIN, b"order".to_vec()));
        assert_eq!((lent.copy(5), lent.copy(usize::MAX).len()), (b"order".to_vec(), GRAIN));
        region.copy_from(b"page!");
        let loaded = lent.back(4).unwrap();
        assert_eq!(loaded.as_ref(), b"page");
        drop(memory);
        assert_eq!(loaded.as_ref(), b"page", "it stays mapped here");
    }

    #[test]
    fn slots_never_overlap_and_one_that_is_dropped_is_dealt_out_again() {
        let (_memory, room) = both(4);
        let mut slots = [1, GRAIN + 1, GRAIN].map(|length| room.take(length).unwrap());
        assert_eq!(
            slots.each_ref().map(|slot| (slot.at(), slot.len())),
            [(0, GRAIN), (GRAIN, 2 * GRAIN), (3 * GRAIN, GRAIN)]
        );
        assert!(room.take(1).is_none());
        let replaced = std::mem::replace(&mut slots[1], room_of_one());
        drop(replaced);
        let again = room.take(GRAIN).unwrap();
        assert_eq!((again.at(), room.take(2 * GRAIN).is_none()), (GRAIN, true));
        assert_eq!(room.take(GRAIN).unwrap().at(), 2 * GRAIN);
    }

    fn room_of_one() -> Slot {
        both(1).1.take(1).unwrap()
    }

    #[test]
    fn any_sequence_of_taking_and_dropping_leaves_slots_apart() {
        let (_memory, room) = both(16);
        let mut slots: Vec<Slot> = Vec::new();
        let mut dice = 1_u64;
        for _ in 0..5000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (kind, size) = ((dice >> 33) % 3, (dice >> 40) as usize % (5 * GRAIN));
            match kind {
                0 if !slots.is_empty() => drop(slots.swap_remove(size % slots.len())),
                _ => slots.extend(room.take(size)),
            }
            let mut ranges: Vec<_> = slots.iter().map(|slot| slot.range.clone()).collect();
            ranges.sort_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            assert!(ranges.last().is_none_or(|last| last.end <= room.len()));
            assert_eq!(*room.shared.taken.lock(), ranges);
        }
        slots.clear();
        assert_eq!(room.take(16 * GRAIN).unwrap().at(), 0, "nothing is lost");
    }

    #[test]
    fn a_slot_that_does_not_come_back_is_never_dealt_out_again() {
        let (_memory, room) = both(2);
        drop(room.take(1).unwrap().lend());
        assert_eq!(room.take(1).unwrap().at(), GRAIN);
        assert!(room.take(1).unwrap().lend().back(GRAIN + 1).is_none());
        assert!(room.take(1).is_none());
    }

    #[test]
    fn more_than_there_is_can_not_be_taken() {
        let (_memory, room) = both(2);
        for length in [2 * GRAIN + 1, usize::MAX] {
            assert!(room.take(length).is_none());
        }
        assert!(room.take(0).is_some());
    }

    #[test]
    fn memory_that_is_shorter_than_said_or_might_get_shorter_is_not_mapped() {
        let memory = Memory::new(100).unwrap();
        let descriptor = memory.descriptor().try_clone_to_owned().unwrap();
        for length in [0, 101, usize::MAX] {
            assert_eq!(Room::new(&descriptor, length).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let open = rustix::fs::memfd_create("open", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&open, 100).unwrap();
        assert_eq!(Room::new(&open, 100).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (pipe, _) = rustix::pipe::pipe().unwrap();
        assert!(Room::new(&pipe, 100).is_err());
    }

    #[test]
    fn what_was_taken_outlives_the_room() {
        let (memory, room) = both(1);
        memory.region(0..4).unwrap().copy_from(b"page");
        let loaded = room.take(4).unwrap().lend().back(4).unwrap();
        drop((memory, room));
        assert_eq!(loaded.as_ref(), b"page");
    }
}

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
const SLOT_ALIGN: usize = 4096;

#[derive(Debug)]
struct Shared {
    mapping: MmapRaw,
    /// What is dealt out, in order.
    allocated: Mutex<Vec<Range<usize>>>,
}

/// Memory that a daemon has shared. Clones are the same memory, which stays mapped as long as one of them, or anything
/// that was taken from it, lives.
#[derive(Debug, Clone)]
pub struct ShmArena {
    shared: Arc<Shared>,
}

impl ShmArena {
    /// Maps the descriptor that a daemon has sent, for so many bytes.
    ///
    /// # Errors
    /// `InvalidData` when it has fewer, or might get fewer: looking at them would then end this process. Else as the
    /// system says.
    pub fn new(descriptor: &OwnedFd, length: usize) -> io::Result<ShmArena> {
        let sealed = fcntl_get_seals(descriptor)?.contains(SealFlags::SHRINK);
        let size = fstat(descriptor)?.st_size;
        if length == 0 || !sealed || u64::try_from(size).unwrap_or(0) < length as u64 {
            let why = format!("{length} bytes of memory that has {size}, {}sealed", if sealed { "" } else { "not " });
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mapping = MmapOptions::new().len(length).map_raw(descriptor)?;
        Ok(ShmArena { shared: Arc::new(Shared { mapping, allocated: Mutex::default() }) })
    }

    /// Bytes, all in all.
    pub fn len(&self) -> usize {
        self.shared.mapping.len()
    }

    /// Always false: there is no empty memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A slot of at least so many bytes; `None` where there is no such room now.
    pub fn alloc(&self, length: usize) -> Option<Slot> {
        let length = length.max(1).checked_next_multiple_of(SLOT_ALIGN)?;
        let mut allocated = self.shared.allocated.lock();
        let ends = std::iter::once(0).chain(allocated.iter().map(|range| range.end));
        let begins = allocated.iter().map(|range| range.start).chain([self.len()]);
        let (place, at) = ends
            .zip(begins)
            .enumerate()
            .find_map(|(place, (from, to))| (to.checked_sub(from)? >= length).then_some((place, from)))?;
        allocated.insert(place, at..at + length);
        drop(allocated);
        Some(Slot { shared: self.shared.clone(), range: at..at + length, is_ours: true })
    }
}

/// A part of a [`ShmArena`] that is nobody else's. Dropped, it can be taken again.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    range: Range<usize>,
    /// Not lent, so that it may be dealt out again.
    is_ours: bool,
}

impl Slot {
    /// Where it begins in the memory.
    pub fn offset(&self) -> usize {
        self.range.start
    }

    /// Bytes: those that were asked for, and somewhat more.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Always false: there is no empty slot.
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
    pub fn lend(mut self) -> LentSlot {
        self.is_ours = false;
        LentSlot { slot: self }
    }

    fn start(&self) -> *mut u8 {
        // SAFETY: the range is inside the mapping.
        unsafe { self.shared.mapping.as_mut_ptr().add(self.range.start) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_ours {
            self.shared.allocated.lock().retain(|range| *range != self.range);
        }
    }
}

/// A slot while the daemon may write to it: nobody looks at it here.
///
/// It comes back by an answer that says so ([`LentSlot::reclaim`]). Dropped without one it is left to the daemon, and its place
/// in the memory is not dealt out again.
#[derive(Debug)]
pub struct LentSlot {
    slot: Slot,
}

impl LentSlot {
    /// Where it begins in the memory: what a request names.
    pub fn offset(&self) -> usize {
        self.slot.offset()
    }

    /// Copies its first bytes out, `length` of them or all that it has, while the daemon may still write to it.
    pub fn copy_prefix(&self, length: usize) -> Vec<u8> {
        let mut copy = vec![0; length.min(self.slot.len())];
        // SAFETY: so many bytes are inside both; `copy` is nobody else's, and what another process does to the slot
        // meanwhile makes them other bytes, and no more.
        unsafe { std::ptr::copy_nonoverlapping(self.slot.start(), copy.as_mut_ptr(), copy.len()) };
        copy
    }

    /// The daemon has answered, and will not touch it any more: its first bytes, `length` of them, can be looked at.
    /// `None` when that is more than it has, which is left to the daemon then: it does not know what it is doing.
    pub fn reclaim(mut self, length: usize) -> Option<ShmBytes> {
        if length > self.slot.len() {
            return None;
        }
        self.slot.is_ours = true;
        Some(ShmBytes { slot: self.slot, length })
    }
}

/// Bytes that lie in shared memory. Dropped, their place is free again. They are to be used while the connection lives: at its
/// end the daemon takes the pages back, and what lay there reads as zeros.
#[derive(Debug)]
pub struct ShmBytes {
    slot: Slot,
    length: usize,
}

impl AsRef<[u8]> for ShmBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: as in `Slot::bytes_mut`, but that there may be many readers: nobody here writes while `self` is borrowed,
        // and the daemon has given the slot back.
        unsafe { std::slice::from_raw_parts(self.slot.start(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SharedMemory;

    /// Both sides of memory of so many slots of one grain.
    fn both(slots: usize) -> (SharedMemory, ShmArena) {
        let memory = SharedMemory::new(slots * SLOT_ALIGN).unwrap();
        let arena = ShmArena::new(&memory.descriptor().try_clone_to_owned().unwrap(), slots * SLOT_ALIGN).unwrap();
        (memory, arena)
    }

    #[test]
    fn what_one_side_writes_the_other_side_reads() {
        let (memory, arena) = both(4);
        let _first = arena.alloc(1).unwrap();
        let mut slot = arena.alloc(5).unwrap();
        slot.bytes_mut()[..5].copy_from_slice(b"order");
        let lent = slot.lend();
        let region = memory.region(lent.offset()..lent.offset() + 5).unwrap();
        assert_eq!((region.offset(), region.to_vec()), (SLOT_ALIGN, b"order".to_vec()));
        assert_eq!((lent.copy_prefix(5), lent.copy_prefix(usize::MAX).len()), (b"order".to_vec(), SLOT_ALIGN));
        region.copy_from(b"page!");
        let loaded = lent.reclaim(4).unwrap();
        assert_eq!(loaded.as_ref(), b"page");
        drop(memory);
        assert_eq!(loaded.as_ref(), b"page", "it stays mapped here");
    }

    #[test]
    fn slots_never_overlap_and_one_that_is_dropped_is_dealt_out_again() {
        let (_memory, arena) = both(4);
        let mut slots = [1, SLOT_ALIGN + 1, SLOT_ALIGN].map(|length| arena.alloc(length).unwrap());
        assert_eq!(
            slots.each_ref().map(|slot| (slot.offset(), slot.len())),
            [(0, SLOT_ALIGN), (SLOT_ALIGN, 2 * SLOT_ALIGN), (3 * SLOT_ALIGN, SLOT_ALIGN)]
        );
        assert!(arena.alloc(1).is_none());
        let replaced = std::mem::replace(&mut slots[1], arena_of_one());
        drop(replaced);
        let again = arena.alloc(SLOT_ALIGN).unwrap();
        assert_eq!((again.offset(), arena.alloc(2 * SLOT_ALIGN).is_none()), (SLOT_ALIGN, true));
        assert_eq!(arena.alloc(SLOT_ALIGN).unwrap().offset(), 2 * SLOT_ALIGN);
    }

    fn arena_of_one() -> Slot {
        both(1).1.alloc(1).unwrap()
    }

    #[test]
    fn any_sequence_of_taking_and_dropping_leaves_slots_apart() {
        let (_memory, arena) = both(16);
        let mut slots: Vec<Slot> = Vec::new();
        let mut dice = 1_u64;
        for _ in 0..5000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (kind, size) = ((dice >> 33) % 3, (dice >> 40) as usize % (5 * SLOT_ALIGN));
            match kind {
                0 if !slots.is_empty() => drop(slots.swap_remove(size % slots.len())),
                _ => slots.extend(arena.alloc(size)),
            }
            let mut ranges: Vec<_> = slots.iter().map(|slot| slot.range.clone()).collect();
            ranges.sort_by_key(|range| range.start);
            assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            assert!(ranges.last().is_none_or(|last| last.end <= arena.len()));
            assert_eq!(*arena.shared.allocated.lock(), ranges);
        }
        slots.clear();
        assert_eq!(arena.alloc(16 * SLOT_ALIGN).unwrap().offset(), 0, "nothing is lost");
    }

    #[test]
    fn a_slot_that_does_not_come_back_is_never_dealt_out_again() {
        let (_memory, arena) = both(2);
        drop(arena.alloc(1).unwrap().lend());
        assert_eq!(arena.alloc(1).unwrap().offset(), SLOT_ALIGN);
        assert!(arena.alloc(1).unwrap().lend().reclaim(SLOT_ALIGN + 1).is_none());
        assert!(arena.alloc(1).is_none());
    }

    #[test]
    fn more_than_there_is_can_not_be_taken() {
        let (_memory, arena) = both(2);
        for length in [2 * SLOT_ALIGN + 1, usize::MAX] {
            assert!(arena.alloc(length).is_none());
        }
        assert!(arena.alloc(0).is_some());
    }

    #[test]
    fn memory_that_is_shorter_than_said_or_might_get_shorter_is_not_mapped() {
        let memory = SharedMemory::new(100).unwrap();
        let descriptor = memory.descriptor().try_clone_to_owned().unwrap();
        for length in [0, 101, usize::MAX] {
            assert_eq!(ShmArena::new(&descriptor, length).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        let open = rustix::fs::memfd_create("open", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&open, 100).unwrap();
        assert_eq!(ShmArena::new(&open, 100).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (pipe, _) = rustix::pipe::pipe().unwrap();
        assert!(ShmArena::new(&pipe, 100).is_err());
    }

    #[test]
    fn what_was_taken_outlives_the_arena_but_not_what_the_daemon_takes_back() {
        for is_left in [true, false] {
            let (memory, arena) = both(1);
            memory.region(0..4).unwrap().copy_from(b"page");
            let loaded = arena.alloc(4).unwrap().lend().reclaim(4).unwrap();
            drop(arena);
            assert_eq!(loaded.as_ref(), b"page");
            if is_left {
                memory.leave_pages();
            }
            drop(memory);
            assert_eq!(loaded.as_ref(), if is_left { b"page" } else { b"\0\0\0\0" });
        }
    }
}

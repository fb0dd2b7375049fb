//! The side that was sent the memory's descriptor. It deals the memory out in slots that never overlap, and trusts the
//! other side to write only to those that were lent to it.
//!
//! ```text
//!   free ──alloc──▶ Slot ──lend──▶ LentSlot ──reclaim──▶ ShmBytes ──dropped──▶ free
//!                    │                                     │ detach: a private copy takes the place of its pages,
//!                    ▼ dropped                             ▼ at the same address
//!                   free                                 ShmBytes, which nobody else has
//! ```

use std::alloc::{Layout, handle_alloc_error};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::mm::{MremapFlags, mremap_fixed};

use crate::Received;

/// Slots begin at multiples of this and end at one, so that a read that is rounded up to whole packets stays in its own; and
/// where pages are larger, at multiples of those.
fn slot_align() -> usize {
    rustix::param::page_size().max(4096)
}

#[derive(Debug)]
struct Shared {
    mapping: MmapRaw,
    state: Mutex<ArenaState>,
}

#[derive(Debug, Default)]
struct ArenaState {
    /// What is dealt out, in order.
    allocated: Vec<Allocated>,
    /// See [`ShmArena::detach`].
    is_detached: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Allocated {
    range: Range<usize>,
    /// Bytes of an answer: somebody looks at them.
    is_loaded: bool,
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
    /// `PermissionDenied` where its sender is not [trusted](crate::is_trusted). `InvalidData` when it has fewer bytes, or
    /// might get fewer: looking at them would then end this process. Else as the system says.
    pub fn new(received: Received, length: usize) -> io::Result<ShmArena> {
        if !received.is_trusted() {
            let why = "memory of another user's process, which may change at any moment";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let descriptor = received.as_fd();
        let sealed = fcntl_get_seals(descriptor)?.contains(SealFlags::SHRINK);
        let size = fstat(descriptor)?.st_size;
        if length == 0 || !sealed || u64::try_from(size).unwrap_or(0) < length as u64 {
            let why = format!("{length} bytes of memory that has {size}, {}sealed", if sealed { "" } else { "not " });
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mapping = MmapOptions::new().len(length).map_raw(&descriptor)?;
        Ok(ShmArena { shared: Arc::new(Shared { mapping, state: Mutex::default() }) })
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
        let length = length.max(1).checked_next_multiple_of(slot_align())?;
        let mut state = self.shared.state.lock();
        if state.is_detached {
            return None;
        }
        let ends = std::iter::once(0).chain(state.allocated.iter().map(|one| one.range.end));
        let begins = state.allocated.iter().map(|one| one.range.start).chain([self.len()]);
        let (place, at) = ends
            .zip(begins)
            .enumerate()
            .find_map(|(place, (from, to))| (to.checked_sub(from)? >= length).then_some((place, from)))?;
        state.allocated.insert(place, Allocated { range: at..at + length, is_loaded: false });
        drop(state);
        Some(Slot { shared: self.shared.clone(), range: at..at + length, is_ours: true })
    }

    /// Before the connection is ended, at whose end the daemon takes the pages back: what there is of [`ShmBytes`] gets
    /// pages of its own, with the same bytes at the same address. From now on nothing is dealt out and nothing comes back.
    ///
    /// Where the system has no memory for that, the process ends as for any other allocation that fails.
    pub fn detach(&self) {
        let mut state = self.shared.state.lock();
        if std::mem::replace(&mut state.is_detached, true) {
            return;
        }
        for loaded in state.allocated.iter().filter(|one| one.is_loaded) {
            if self.shared.make_private(&loaded.range).is_err() {
                let layout = Layout::from_size_align(loaded.range.len(), 1).expect("it is mapped, so it fits");
                handle_alloc_error(layout);
            }
        }
    }
}

impl Shared {
    /// Where an offset lies. It is inside the mapping, as those of slots are.
    fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.mapping.len());
        // SAFETY: inside the mapping, or right behind it.
        unsafe { self.mapping.as_mut_ptr().add(offset) }
    }

    /// Puts a copy that nobody else has in the place of this part, whose bytes nobody changes meanwhile.
    fn make_private(&self, range: &Range<usize>) -> io::Result<()> {
        let mut copy = MmapOptions::new().len(range.len()).map_anon()?;
        // SAFETY: so many bytes are inside both, and the copy is nobody else's yet. The source is a loaded slot, which the
        // daemon has given back and here nobody writes to.
        unsafe { std::ptr::copy_nonoverlapping(self.at(range.start), copy.as_mut_ptr(), range.len()) };
        let (from, length) = (copy.as_mut_ptr().cast(), range.len());
        // SAFETY: `copy` is a whole mapping of this length, which is `forget`ten when it has moved. What it replaces is a
        // part of our own mapping, from page to page, whose end unmaps whatever lies there by then. Whoever reads there at
        // that moment waits in the kernel or has read: before and after he finds the same bytes.
        unsafe { mremap_fixed(from, length, length, MremapFlags::MAYMOVE, self.at(range.start).cast()) }?;
        std::mem::forget(copy);
        Ok(())
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
        // SAFETY: the range is inside the mapping, all of whose bytes are initialised, and which `self` keeps mapped. No
        // other slot overlaps it, and `self` is borrowed for as long as the slice. The daemon does not touch what is not
        // lent to it: a process of root or of this user vouches for that, which may write anywhere here
        // (`ShmArena::new` takes memory of no other), and a hole that it punches at the connection's end is a write by it.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.range.len()) }
    }

    /// Lends it to the daemon.
    pub fn lend(mut self) -> LentSlot {
        self.is_ours = false;
        LentSlot { slot: self }
    }

    fn start(&self) -> *mut u8 {
        self.shared.at(self.range.start)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_ours {
            self.shared.state.lock().allocated.retain(|one| one.range != self.range);
        }
    }
}

/// Why a slot can't be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReclaimed {
    /// The answer says that more bytes are there than it has. It is left to the daemon, which does not know what it is doing.
    TooLong,
    /// The connection is being ended: what the daemon wrote there may be gone.
    Detached,
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
    ///
    /// # Errors
    /// Why not.
    pub fn reclaim(mut self, length: usize) -> Result<ShmBytes, NotReclaimed> {
        if length > self.slot.len() {
            return Err(NotReclaimed::TooLong);
        }
        let mut state = self.slot.shared.state.lock();
        if state.is_detached {
            return Err(NotReclaimed::Detached);
        }
        state.allocated.iter_mut().filter(|one| one.range == self.slot.range).for_each(|one| one.is_loaded = true);
        drop(state);
        self.slot.is_ours = true;
        Ok(ShmBytes { slot: self.slot, length })
    }
}

/// Bytes that lie in shared memory. Dropped, their place is free again. They stay what they are when the connection is ended
/// at this end, see [`ShmArena::detach`].
#[derive(Debug)]
pub struct ShmBytes {
    slot: Slot,
    length: usize,
}

impl AsRef<[u8]> for ShmBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: as in `Slot::bytes_mut`, but that there may be many readers: nobody here writes while `self` lives, and the
        // daemon has given the slot back. The hole that it punches when the connection ends finds other pages: whoever
        // ends it has called `detach` before.
        unsafe { std::slice::from_raw_parts(self.slot.start(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::BorrowedFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;
    use crate::SharedMemory;

    const SLOT_ALIGN: usize = 4096;

    /// The descriptor as a client gets it.
    fn sent(descriptor: BorrowedFd<'_>) -> Received {
        let (here, there) = UnixStream::pair().unwrap();
        let (descriptors, mut space) = ([descriptor], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut along = SendAncillaryBuffer::new(&mut space);
        assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(&here, &[IoSlice::new(b"!")], &mut along, SendFlags::NOSIGNAL).unwrap();
        crate::receive(&there, &mut [0; 1]).unwrap().1.unwrap()
    }

    /// Both sides of memory of so many slots of one grain.
    fn both(slots: usize) -> (SharedMemory, ShmArena) {
        let memory = SharedMemory::new(slots * SLOT_ALIGN).unwrap();
        let arena = ShmArena::new(sent(memory.descriptor()), slots * SLOT_ALIGN).unwrap();
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
            let dealt_out: Vec<_> = arena.shared.state.lock().allocated.iter().map(|one| one.range.clone()).collect();
            assert_eq!(dealt_out, ranges);
        }
        slots.clear();
        assert_eq!(arena.alloc(16 * SLOT_ALIGN).unwrap().offset(), 0, "nothing is lost");
    }

    #[test]
    fn a_slot_that_does_not_come_back_is_never_dealt_out_again() {
        let (_memory, arena) = both(2);
        drop(arena.alloc(1).unwrap().lend());
        assert_eq!(arena.alloc(1).unwrap().offset(), SLOT_ALIGN);
        let more = arena.alloc(1).unwrap().lend().reclaim(SLOT_ALIGN + 1);
        assert_eq!(more.unwrap_err(), NotReclaimed::TooLong);
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
        for length in [0, 101, usize::MAX] {
            assert_eq!(
                ShmArena::new(sent(memory.descriptor()), length).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }
        let open = rustix::fs::memfd_create("open", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&open, 100).unwrap();
        assert_eq!(ShmArena::new(sent(open.as_fd()), 100).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (pipe, _) = rustix::pipe::pipe().unwrap();
        assert!(ShmArena::new(sent(pipe.as_fd()), 100).is_err());
    }

    #[test]
    fn memory_of_another_user_is_not_mapped() {
        let memory = SharedMemory::new(100).unwrap();
        let foreign = Received::untrusted(memory.descriptor().try_clone_to_owned().unwrap());
        assert_eq!(ShmArena::new(foreign, 100).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_was_taken_outlives_the_arena() {
        let (memory, arena) = both(1);
        memory.region(0..4).unwrap().copy_from(b"page");
        let loaded = arena.alloc(4).unwrap().lend().reclaim(4).unwrap();
        drop(arena);
        assert_eq!(loaded.as_ref(), b"page");
        memory.leave_pages();
        drop(memory);
        assert_eq!(loaded.as_ref(), b"page", "as a daemon that ends leaves it");
    }

    #[test]
    fn what_was_taken_before_a_detach_stays_when_the_daemon_takes_its_pages_back() {
        let (memory, arena) = both(5);
        let mut taken = Vec::new();
        for at in 0..4 {
            memory.region(at * SLOT_ALIGN..(at + 1) * SLOT_ALIGN).unwrap().copy_from(&[at as u8 + 1; SLOT_ALIGN]);
            taken.push(arena.alloc(1).unwrap().lend().reclaim(SLOT_ALIGN).unwrap());
        }
        drop(taken.swap_remove(1));
        let (late, mut filled) = (arena.alloc(1).unwrap().lend(), arena.alloc(1).unwrap());
        filled.bytes_mut()[0] = 9;
        arena.detach();
        memory.region(0..5 * SLOT_ALIGN).unwrap().copy_from(&[0xff; 5 * SLOT_ALIGN]);
        drop(memory);
        let kept: Vec<_> = taken.iter().map(|bytes| (bytes.as_ref()[0], bytes.as_ref()[SLOT_ALIGN - 1])).collect();
        assert_eq!(kept, [(1, 1), (4, 4), (3, 3)]);
        assert_eq!(late.reclaim(1).unwrap_err(), NotReclaimed::Detached);
        taken.clear();
        assert!(arena.alloc(1).is_none(), "nothing is shared any more");
    }

    #[test]
    fn bytes_that_are_read_while_their_memory_is_detached_never_change() {
        let (memory, arena) = both(64);
        memory.region(0..64 * SLOT_ALIGN).unwrap().copy_from(&vec![7; 64 * SLOT_ALIGN]);
        let loaded = arena.alloc(64 * SLOT_ALIGN).unwrap().lend().reclaim(64 * SLOT_ALIGN).unwrap();
        let (begun, begins) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let begun = begun;
                (0..50).all(|round| {
                    let _ = begun.send(round);
                    loaded.as_ref().iter().all(|byte| *byte == 7)
                })
            });
            begins.recv().unwrap();
            arena.detach();
            drop(memory);
            assert!(reader.join().unwrap());
        });
        assert!(loaded.as_ref().iter().all(|byte| *byte == 7));
    }
}

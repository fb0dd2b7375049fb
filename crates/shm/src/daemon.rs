//! The side that makes the memory, and believes nothing of what stands in it.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create};

/// The most bytes of one memory. The system would try to find any number, at the cost of everything else that runs.
const MOST: usize = 64 << 20;

/// Memory with a descriptor. It stays mapped as long as it or a [`Region`] of it lives; then its pages go back to the system,
/// even where a client keeps the descriptor or has it mapped: it finds zeros there, and new pages are charged to it.
#[derive(Debug)]
pub struct SharedMemory {
    pages: Arc<Pages>,
}

#[derive(Debug)]
struct Pages {
    descriptor: OwnedFd,
    mapping: MmapRaw,
    /// See [`SharedMemory::leave_pages`].
    are_left: AtomicBool,
    /// Dropped when the pages have gone.
    _held: Box<dyn Held>,
}

/// What is kept for as long as memory is used: see [`SharedMemory::new_with`].
pub trait Held: std::fmt::Debug + Send + Sync {}

impl<T: std::fmt::Debug + Send + Sync> Held for T {}

impl Drop for Pages {
    fn drop(&mut self) {
        // No region is left, so no transfer writes here any more. The seals allow a hole; without it the memory would last as
        // long as the client's descriptor. Only a file system without holes refuses, and a memfd's has them.
        if self.are_left.load(Ordering::Relaxed) {
            return;
        }
        let whole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let punched = fallocate(&self.descriptor, whole, 0, self.mapping.len() as u64);
        debug_assert!(punched.is_ok(), "{punched:?}");
    }
}

impl SharedMemory {
    /// Makes memory of so many bytes, all zero: 1 to 64 MiB. It is taken from the system at once: none is found missing
    /// while a transfer writes to it.
    ///
    /// # Errors
    /// As the system says; `InvalidInput` for another length.
    pub fn new(length: usize) -> io::Result<SharedMemory> {
        SharedMemory::new_with(length, ())
    }

    /// The same, and keeps something until the pages have gone back to the system: what they count against.
    ///
    /// # Errors
    /// As [`SharedMemory::new`].
    pub fn new_with(length: usize, held: impl Held + 'static) -> io::Result<SharedMemory> {
        if length == 0 || length > MOST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let descriptor = memfd_create("usbscan", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&descriptor, length as u64)?;
        fallocate(&descriptor, FallocateFlags::empty(), 0, length as u64)?;
        fcntl_add_seals(&descriptor, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let mapping = MmapOptions::new().len(length).map_raw(&descriptor)?;
        Ok(SharedMemory {
            pages: Arc::new(Pages { descriptor, mapping, are_left: AtomicBool::new(false), _held: Box::new(held) }),
        })
    }

    /// What the client maps: see [`crate::ShmArena::new`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.pages.descriptor.as_fd()
    }

    /// The pages are not taken back: this process ends, and a client that means well may be in the middle of what it read.
    pub fn leave_pages(&self) {
        self.pages.are_left.store(true, Ordering::Relaxed);
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.pages.mapping.len()
    }

    /// Always false: there is no empty memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A part of it; `None` where that is not inside it.
    pub fn region(&self, range: Range<usize>) -> Option<Region> {
        let inside = range.start <= range.end && range.end <= self.len();
        inside.then(|| Region { pages: self.pages.clone(), range })
    }
}

/// A part of a [`SharedMemory`], which it keeps mapped. Regions may overlap, and the client may write to them at any moment.
#[derive(Debug, Clone)]
pub struct Region {
    pages: Arc<Pages>,
    range: Range<usize>,
}

impl Region {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Where it begins in its memory.
    pub fn offset(&self) -> usize {
        self.range.start
    }

    /// A part of it, counted from its own beginning; `None` where that is not inside it.
    pub fn subregion(&self, range: Range<usize>) -> Option<Region> {
        let inside = range.start <= range.end && range.end <= self.len();
        let from = self.range.start;
        inside.then(|| Region { pages: self.pages.clone(), range: from + range.start..from + range.end })
    }

    /// Its address, for the kernel. What is there may change at any moment: no reference may be made of it.
    pub fn as_mut_ptr(&self) -> *mut u8 {
        // SAFETY: the range is inside the mapping, which `self` keeps mapped.
        unsafe { self.pages.mapping.as_mut_ptr().add(self.range.start) }
    }

    /// Copies bytes into it, from its beginning; those that it has no room for are left out. Says how many were copied.
    pub fn copy_from(&self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.len());
        // SAFETY: `count` bytes are inside both. A Rust slice is never part of a mapping of this crate but in `ShmBytes`,
        // where nobody copies; what another process does to the bytes meanwhile makes them other bytes, and no more.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.as_mut_ptr(), count) };
        count
    }

    /// Copies its bytes out, from its beginning, as many as there is room for. Says how many were copied.
    pub fn copy_to(&self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.len());
        // SAFETY: as in `copy_from`; `into` is nobody else's.
        unsafe { std::ptr::copy_nonoverlapping(self.as_mut_ptr(), into.as_mut_ptr(), count) };
        count
    }

    /// Copies the bytes of another region into it, as many as fit; they may overlap. Says how many were copied.
    pub fn copy_region(&self, from: &Region) -> usize {
        let count = from.len().min(self.len());
        // SAFETY: `count` bytes are inside both, and this kind of copy allows that they overlap.
        unsafe { std::ptr::copy(from.as_mut_ptr(), self.as_mut_ptr(), count) };
        count
    }

    /// A copy of its bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.copy_to(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{fcntl_get_seals, fstat};

    use super::*;

    #[test]
    fn nobody_can_change_its_size_or_take_that_back() {
        let memory = SharedMemory::new(5000).unwrap();
        assert_eq!((memory.len(), fstat(memory.descriptor()).unwrap().st_size), (5000, 5000));
        assert!(ftruncate(memory.descriptor(), 1).is_err());
        assert!(ftruncate(memory.descriptor(), 50_000).is_err());
        assert!(fcntl_add_seals(memory.descriptor(), SealFlags::WRITE).is_err());
        let seals = fcntl_get_seals(memory.descriptor()).unwrap();
        assert_eq!(seals, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL);
    }

    #[test]
    fn no_bytes_and_too_many_are_refused_before_the_system_is_asked() {
        for length in [0, MOST + 1, usize::MAX] {
            assert_eq!(SharedMemory::new(length).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_region_is_inside_its_memory_and_a_part_inside_its_region() {
        let memory = SharedMemory::new(100).unwrap();
        let region = memory.region(10..60).unwrap();
        assert_eq!((region.offset(), region.len(), region.is_empty()), (10, 50, false));
        let part = region.subregion(20..50).unwrap();
        assert_eq!((part.offset(), part.len()), (30, 30));
        assert!(memory.region(100..100).unwrap().is_empty());
        #[expect(clippy::reversed_empty_ranges, reason = "such a range is refused too")]
        let outside =
            [memory.region(90..101), memory.region(5..4), region.subregion(0..51), region.subregion(usize::MAX..0)];
        assert!(outside.iter().all(Option::is_none));
    }

    #[test]
    fn a_copy_is_as_long_as_the_shorter_of_both() {
        let memory = SharedMemory::new(8).unwrap();
        let region = memory.region(2..6).unwrap();
        assert_eq!(region.copy_from(b"abcdefgh"), 4);
        assert_eq!(memory.region(0..8).unwrap().to_vec(), b"\0\0abcd\0\0");
        let mut two = [0; 2];
        assert_eq!((region.copy_to(&mut two), two), (2, *b"ab"));
        let mut ten = [7; 10];
        assert_eq!((region.copy_to(&mut ten), ten), (4, *b"abcd\x07\x07\x07\x07\x07\x07"));
    }

    #[test]
    fn regions_that_overlap_are_copied_as_if_they_did_not() {
        let memory = SharedMemory::new(8).unwrap();
        memory.region(0..8).unwrap().copy_from(b"abcdefgh");
        let (front, back) = (memory.region(1..6).unwrap(), memory.region(3..8).unwrap());
        assert_eq!(front.copy_region(&back), 5);
        assert_eq!(memory.region(0..8).unwrap().to_vec(), b"adefghgh");
        assert_eq!(back.copy_region(&front), 5);
        assert_eq!(memory.region(0..8).unwrap().to_vec(), b"adedefgh");
    }

    #[test]
    fn its_pages_go_with_the_last_region_though_somebody_keeps_the_descriptor() {
        let blocks = |descriptor: &OwnedFd| fstat(descriptor).unwrap().st_blocks;
        let held = Arc::new(());
        let memory = SharedMemory::new_with(1 << 20, held.clone()).unwrap();
        let kept = memory.descriptor().try_clone_to_owned().unwrap();
        let region = memory.region(0..10).unwrap();
        region.copy_from(b"page");
        drop(memory);
        assert!(blocks(&kept) > 0 && Arc::strong_count(&held) == 2, "a transfer may write there still");
        drop(region);
        assert_eq!((blocks(&kept), Arc::strong_count(&held)), (0, 1));
    }

    #[test]
    fn a_region_outlives_its_memory() {
        let memory = SharedMemory::new(4).unwrap();
        let region = memory.region(0..4).unwrap();
        drop(memory);
        region.copy_from(b"page");
        assert_eq!(region.to_vec(), b"page");
    }
}

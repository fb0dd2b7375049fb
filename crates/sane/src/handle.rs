//! What a `SANE_Handle` is: a number that names a slot of a table and one use of that slot. It is never followed, so a
//! handle that is closed, made up or null is found out. `sane_cancel` finds its way through here alone: no lock, no
//! allocation, because it may run in a signal handler, in the middle of any other call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use rustix::io::Errno;

use crate::abi;
use crate::event_fd::EventFd;

/// Scanners that one process may have open at a time.
pub const MOST_OPEN: usize = 64;

/// Bits of a handle that name the slot (from 1 on, so that no handle is null); the rest counts its uses.
const SLOT_BITS: u32 = 8;

/// One open scanner's place. Slots live as long as the process, and so does a slot's eventfd: a `sane_cancel` that comes
/// too late rings in an empty room, never on a descriptor that is another's by now.
#[derive(Debug)]
pub struct HandleSlot {
    /// The handle that is open here, 0 for none.
    current: AtomicUsize,
    /// The process that opened it. A child of that process has a copy of all this, but neither the threads of the scan nor
    /// a connection of its own: to it the handle is not open, or it would spoil its parent's scan.
    owner: AtomicU32,
    /// How often this slot was taken.
    uses: AtomicUsize,
    /// How often `sane_cancel` was called on it.
    cancels: AtomicU64,
    event_fd: OnceLock<EventFd>,
}

impl HandleSlot {
    const fn new() -> HandleSlot {
        HandleSlot {
            current: AtomicUsize::new(0),
            owner: AtomicU32::new(0),
            uses: AtomicUsize::new(0),
            cancels: AtomicU64::new(0),
            event_fd: OnceLock::new(),
        }
    }

    /// How often it was cancelled up to now. A scan that began at one number is cancelled by any other.
    pub fn cancels(&self) -> u64 {
        self.cancels.load(Ordering::Acquire)
    }

    /// Rings at each cancel.
    pub fn event_fd(&self) -> &EventFd {
        self.event_fd.get().expect("a slot has its eventfd before its first handle")
    }
}

static SLOTS: [HandleSlot; MOST_OPEN] = [const { HandleSlot::new() }; MOST_OPEN];

/// A handle that was open when it was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandleId(usize);

/// Why there is no new handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All slots are taken.
    TooMany,
    /// The process has no descriptor left for the eventfd.
    NoDescriptor(Errno),
}

impl HandleId {
    /// Takes a slot. One thread at a time may: the caller holds the backend's lock.
    pub fn open() -> Result<HandleId, Refused> {
        let this = std::process::id();
        // An eventfd that a parent process made is the parent's too: reading it here would take its signals away.
        let is_ours = |slot: &HandleSlot| slot.event_fd.get().is_none() || slot.owner.load(Ordering::Relaxed) == this;
        let free = SLOTS.iter().position(|slot| slot.current.load(Ordering::Acquire) == 0 && is_ours(slot));
        let index = free.ok_or(Refused::TooMany)?;
        let slot = &SLOTS[index];
        if slot.event_fd.get().is_none() {
            let event_fd = EventFd::new().map_err(Refused::NoDescriptor)?;
            slot.event_fd.set(event_fd).expect("one thread at a time opens");
        }
        let uses = slot.uses.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let handle = uses << SLOT_BITS | (index + 1);
        slot.owner.store(this, Ordering::Relaxed);
        slot.current.store(handle, Ordering::Release);
        Ok(HandleId(handle))
    }

    /// Gives the slot back.
    pub fn close(self) {
        if let Some(slot) = slot_of(self.0) {
            slot.current.store(0, Ordering::Release);
        }
    }

    /// The handle that an application passed, if it is open.
    pub fn from_c(handle: abi::Handle) -> Option<HandleId> {
        let number = handle as usize;
        slot_of(number).map(|_| HandleId(number))
    }

    /// Whether it was opened by a process that this one was forked from.
    pub fn is_inherited(self) -> bool {
        slot_of(self.0).is_none()
    }

    /// As the application sees it.
    pub fn to_c(self) -> abi::Handle {
        self.0 as abi::Handle
    }

    /// Its place in the table.
    pub fn slot(self) -> &'static HandleSlot {
        &SLOTS[index_of(self.0).expect("a handle that was made here names a slot")]
    }
}

/// `sane_cancel`: counts, rings, returns. A handle that is not open is left alone.
pub fn cancel(handle: abi::Handle) {
    let Some(slot) = slot_of(handle as usize) else { return };
    slot.cancels.fetch_add(1, Ordering::AcqRel);
    if let Some(event_fd) = slot.event_fd.get() {
        event_fd.notify();
    }
}

fn index_of(handle: usize) -> Option<usize> {
    let index = (handle & ((1 << SLOT_BITS) - 1)).checked_sub(1)?;
    (index < MOST_OPEN).then_some(index)
}

fn slot_of(handle: usize) -> Option<&'static HandleSlot> {
    let slot = &SLOTS[index_of(handle)?];
    let is_open = slot.current.load(Ordering::Acquire) == handle;
    // getpid may be called in a signal handler.
    (is_open && slot.owner.load(Ordering::Relaxed) == std::process::id()).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is the process's, and tests run beside each other: one test, which opens all there are.
    #[test]
    fn handles_are_found_while_open_and_never_afterwards() {
        let opened: Vec<_> = (0..MOST_OPEN).map(|_| HandleId::open().expect("a slot is free")).collect();
        assert_eq!(HandleId::open(), Err(Refused::TooMany));
        let mut distinct = opened.clone();
        distinct.dedup();
        assert_eq!(distinct, opened);

        let one = opened[7];
        let before = one.slot().cancels();
        cancel(one.to_c());
        assert_eq!(one.slot().cancels(), before + 1);
        assert_eq!(opened[8].slot().cancels(), 0);

        one.close();
        let again = HandleId::open().expect("the slot is free again");
        assert_eq!(HandleId::from_c(one.to_c()), None, "a closed handle stays closed when its slot is used again");
        assert_eq!(HandleId::from_c(again.to_c()), Some(again));
        cancel(one.to_c());
        assert_eq!(again.slot().cancels(), before + 1);

        for garbage in [0, 1, 0xff, 0x100, usize::MAX, 0x1234_5678] {
            assert_eq!(HandleId::from_c(garbage as abi::Handle), None, "{garbage:#x}");
            cancel(garbage as abi::Handle);
        }
        opened.iter().filter(|other| **other != one).for_each(|other| other.close());
        again.close();
    }
}

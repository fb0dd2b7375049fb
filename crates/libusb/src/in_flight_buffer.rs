//! A buffer while the kernel has it.
//!
//! libusb and the kernel own it between submit and callback, so no Rust reference to it exists: a `Vec` is taken apart, and
//! of shared memory there never is a reference. Another process may write to that at any moment: libusb and the kernel go
//! by none of its bytes (docs/usb-engine.md, "A transfer's life"), so the worst that comes of it are other bytes.

use std::mem::ManuallyDrop;

use usbscan_shm::Region;
use usbscan_usb::Buffer;

/// A buffer while the kernel has it. Dropped it leaks, which is always safe: the kernel may write to it yet.
#[derive(Debug)]
pub(crate) struct InFlightBuffer {
    pub(crate) start: *mut u8,
    pub(crate) length: usize,
    memory: Memory,
}

/// What becomes a [`Buffer`] again.
#[derive(Debug)]
enum Memory {
    /// A `Vec` taken apart, of this capacity.
    Vec(usize),
    /// Shared memory, which this keeps mapped.
    Shared(ManuallyDrop<Region>),
}

impl InFlightBuffer {
    pub(crate) fn new(buffer: Buffer) -> InFlightBuffer {
        match buffer {
            Buffer::Vec(bytes) => {
                let mut bytes = ManuallyDrop::new(bytes);
                InFlightBuffer { start: bytes.as_mut_ptr(), length: bytes.len(), memory: Memory::Vec(bytes.capacity()) }
            }
            Buffer::Shared(region) => {
                let (start, length) = (region.as_mut_ptr(), region.len());
                InFlightBuffer { start, length, memory: Memory::Shared(ManuallyDrop::new(region)) }
            }
        }
    }

    /// Makes the buffer of it again that it was.
    ///
    /// # Safety
    /// The kernel has given the buffer back.
    pub(crate) unsafe fn into_buffer(self) -> Buffer {
        match self.memory {
            // SAFETY: the three parts are those of the Vec that `new` took apart, once; the caller says that no
            // one writes to it any more.
            Memory::Vec(capacity) => Buffer::Vec(unsafe { Vec::from_raw_parts(self.start, self.length, capacity) }),
            Memory::Shared(region) => Buffer::Shared(ManuallyDrop::into_inner(region)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_in_flight_buffer_is_the_same_memory_when_it_comes_back() {
        let mut buffer = Vec::with_capacity(100);
        buffer.extend_from_slice(b"page");
        let (start, capacity) = (buffer.as_ptr(), buffer.capacity());
        // SAFETY: no kernel had it.
        let back = unsafe { InFlightBuffer::new(buffer.into()).into_buffer() }.into_vec();
        assert_eq!((back.as_ptr(), back.capacity(), &back[..]), (start, capacity, &b"page"[..]));
    }

    #[test]
    fn shared_memory_stays_where_it_is_and_mapped_while_it_is_in_flight() {
        let memory = usbscan_shm::SharedMemory::new(8).expect("memory");
        let region = memory.region(2..6).expect("inside");
        let start = region.as_mut_ptr();
        let in_flight = InFlightBuffer::new(region.into());
        drop(memory);
        assert_eq!((in_flight.start, in_flight.length), (start, 4));
        // SAFETY: what a kernel does: four bytes into memory that `in_flight` keeps mapped.
        unsafe { in_flight.start.copy_from_nonoverlapping(b"page".as_ptr(), 4) };
        // SAFETY: no kernel had it.
        assert_eq!(&*unsafe { in_flight.into_buffer() }.bytes(), b"page");
    }
}

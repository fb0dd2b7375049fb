//! What a transfer carries: bytes of its own, or a place in memory that another process sees too.

use std::borrow::Cow;
use std::ops::Range;

use usbscan_shm::Region;

/// A transfer's buffer. No reference into shared memory is ever given out, because the client may write there at any moment:
/// its bytes are copied out and in.
#[derive(Debug)]
pub enum Buffer {
    /// Memory of this process.
    Vec(Vec<u8>),
    /// Shared memory. It stays mapped until the transfer has ended, whichever other owner drops it.
    Shared(Region),
}

impl Buffer {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Buffer::Vec(bytes) => bytes.len(),
            Buffer::Shared(region) => region.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes where they lie; `None` in shared memory.
    pub fn as_slice(&self) -> Option<&[u8]> {
        match self {
            Buffer::Vec(bytes) => Some(bytes),
            Buffer::Shared(_) => None,
        }
    }

    /// All its bytes; in shared memory, a copy of what stands there now.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        self.bytes_in(0..self.len())
    }

    /// Some of its bytes, as [`Buffer::bytes`]; of a range that is not all inside it, those that are.
    pub fn bytes_in(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        let end = range.end.min(self.len());
        let range = range.start.min(end)..end;
        match self {
            Buffer::Vec(bytes) => Cow::Borrowed(&bytes[range]),
            Buffer::Shared(region) => Cow::Owned(region.subregion(range).map_or_else(Vec::new, |part| part.to_vec())),
        }
    }

    /// Copies its bytes out, from `at` on, as many as there are and as there is room for. Says how many were copied.
    pub fn copy_to(&self, at: usize, into: &mut [u8]) -> usize {
        let at = at.min(self.len());
        let count = into.len().min(self.len() - at);
        match self {
            Buffer::Vec(bytes) => into[..count].copy_from_slice(&bytes[at..at + count]),
            Buffer::Shared(region) => {
                region.subregion(at..at + count).map(|part| part.copy_to(into));
            }
        }
        count
    }

    /// Copies bytes into it, from `at` on; those that it has no room for are left out. Says how many were copied.
    pub fn put(&mut self, at: usize, bytes: &[u8]) -> usize {
        let at = at.min(self.len());
        let count = bytes.len().min(self.len() - at);
        match self {
            Buffer::Vec(room) => room[at..at + count].copy_from_slice(&bytes[..count]),
            Buffer::Shared(region) => {
                region.subregion(at..at + count).map(|part| part.copy_from(bytes));
            }
        }
        count
    }

    /// The vector it is, or a copy of the shared bytes.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Buffer::Vec(bytes) => bytes,
            Buffer::Shared(region) => region.to_vec(),
        }
    }
}

impl Default for Buffer {
    /// An empty vector.
    fn default() -> Buffer {
        Buffer::Vec(Vec::new())
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer::Vec(bytes)
    }
}

impl From<Region> for Buffer {
    fn from(region: Region) -> Buffer {
        Buffer::Shared(region)
    }
}

#[cfg(test)]
mod tests {
    use usbscan_shm::SharedMemory;

    use super::*;

    /// The same bytes in memory of its own, and in the middle of shared memory.
    fn both(bytes: &[u8]) -> [Buffer; 2] {
        let memory = SharedMemory::new(bytes.len() + 2).unwrap();
        memory.region(0..bytes.len() + 2).unwrap().copy_from(&vec![b'-'; bytes.len() + 2]);
        let region = memory.region(1..bytes.len() + 1).unwrap();
        region.copy_from(bytes);
        [Buffer::from(bytes.to_vec()), Buffer::from(region)]
    }

    #[test]
    fn bytes_are_the_same_wherever_they_lie() {
        for buffer in both(b"page") {
            assert_eq!((buffer.len(), buffer.is_empty(), &*buffer.bytes()), (4, false, &b"page"[..]));
            assert_eq!(&*buffer.bytes_in(1..3), b"ag");
            assert_eq!(buffer.into_vec(), b"page");
        }
        assert!(Buffer::default().is_empty());
    }

    #[test]
    fn a_range_beyond_the_end_is_cut() {
        for buffer in both(b"page") {
            assert_eq!(&*buffer.bytes_in(2..9), b"ge");
            #[expect(clippy::reversed_empty_ranges, reason = "such a range has no bytes either")]
            let empty = [4..4, 9..12, 3..1, usize::MAX..0];
            assert!(empty.into_iter().all(|range| buffer.bytes_in(range).is_empty()));
        }
    }

    #[test]
    fn what_is_put_stays_inside() {
        for mut buffer in both(b"page") {
            assert_eq!(
                (buffer.put(1, b"o"), buffer.put(3, b"lish"), buffer.put(4, b"!"), buffer.put(usize::MAX, b"!")),
                (1, 1, 0, 0)
            );
            assert_eq!(&*buffer.bytes(), b"pogl");
        }
        let memory = SharedMemory::new(4).unwrap();
        Buffer::from(memory.region(1..3).unwrap()).put(0, b"page");
        assert_eq!(memory.region(0..4).unwrap().to_vec(), b"\0pa\0");
    }

    #[test]
    fn a_copy_is_as_long_as_what_is_there_and_as_the_room() {
        for buffer in both(b"page") {
            let mut room = *b"------";
            assert_eq!(
                (buffer.copy_to(1, &mut room[..2]), buffer.copy_to(3, &mut room[2..]), buffer.copy_to(9, &mut room)),
                (2, 1, 0)
            );
            assert_eq!(room, *b"age---");
        }
    }

    #[test]
    fn only_memory_of_its_own_can_be_looked_at() {
        let [own, shared] = both(b"page");
        assert_eq!((own.as_slice(), shared.as_slice()), (Some(&b"page"[..]), None));
        assert!(matches!((own.bytes(), shared.bytes()), (Cow::Borrowed(_), Cow::Owned(_))));
    }
}

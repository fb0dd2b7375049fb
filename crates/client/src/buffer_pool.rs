//! Memory that payloads came in and whose bytes are done with, for payloads to come: new memory costs a read of 256 KiB more
//! than its bytes do. Any thread; no I/O.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Shorter payloads are not worth a look.
const SHORTEST: usize = crate::reply_extra::SHORTEST_SHARED;

/// Vectors that are kept: as many as a program has reads under way, and each at most the largest payload.
const MOST: usize = 8;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// Bytes whose memory goes back when nobody has them any more.
struct Payload {
    bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.bytes));
    }
}

impl BufferPool {
    /// These bytes as others may have them. Their memory comes back here by itself.
    pub(crate) fn bytes(self: &Arc<BufferPool>, bytes: Vec<u8>) -> Bytes {
        match is_kept(&bytes) {
            true => Bytes::from_owner(Payload { bytes, pool: self.clone() }),
            false => bytes.into(),
        }
    }

    /// Keeps this for later, if it is worth it.
    fn give(&self, buffer: Vec<u8>) {
        if !is_kept(&buffer) {
            return;
        }
        let mut buffers = self.buffers.lock();
        if buffers.len() < MOST {
            buffers.push(buffer);
        }
    }

    /// One of at least this length, whatever is in it; else an empty one.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        if length < SHORTEST {
            return Vec::new();
        }
        let mut buffers = self.buffers.lock();
        let Some(at) = buffers.iter().position(|buffer| buffer.capacity() >= length) else { return Vec::new() };
        let mut buffer = buffers.swap_remove(at);
        drop(buffers);
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        buffer
    }
}

/// Whether it is worth it.
fn is_kept(buffer: &Vec<u8>) -> bool {
    (SHORTEST..=usbscan_wire::PAYLOAD_LIMIT).contains(&buffer.capacity())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_back_once_where_it_is_long_enough() {
        let pool = BufferPool::default();
        let buffer = vec![7; 20_000];
        let place = buffer.as_ptr();
        pool.give(buffer);
        assert!(pool.take(20_001).is_empty());
        let again = pool.take(20_000);
        assert_eq!((again.len(), again.as_ptr()), (20_000, place));
        assert!(pool.take(20_000).is_empty());
    }

    #[test]
    fn memory_of_a_payload_comes_back_when_the_last_part_of_it_is_dropped() {
        let pool = Arc::new(BufferPool::default());
        let buffer = vec![7; 20_000];
        let place = buffer.as_ptr();
        let mut payload = pool.bytes(buffer);
        let part = payload.split_off(19_990);
        drop(payload);
        assert!(pool.take(SHORTEST).is_empty());
        assert_eq!(part, [7; 10][..]);
        drop(part);
        let again = pool.take(SHORTEST);
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn few_are_kept_and_none_that_is_too_short_or_too_long() {
        let pool = BufferPool::default();
        pool.give(vec![0; SHORTEST - 1]);
        pool.give(vec![0; usbscan_wire::PAYLOAD_LIMIT + 1]);
        (0..99).for_each(|_| pool.give(vec![0; SHORTEST]));
        assert_eq!(pool.buffers.lock().len(), MOST);
    }
}

//! Memory that payloads came in and whose bytes are done with, for payloads to come. Any thread; no I/O.

use parking_lot::Mutex;

/// Vectors that are kept: as many as a program has reads under way, and each at most the largest payload.
const MOST: usize = 8;
/// Shorter payloads are not worth a look.
const SHORTEST: usize = 16 * 1024;

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Spare {
    /// Keeps this for later, if it is worth it.
    pub(crate) fn give(&self, buffer: Vec<u8>) {
        if !(SHORTEST..=wire::PAYLOAD_LIMIT).contains(&buffer.capacity()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_comes_back_once_where_it_is_long_enough() {
        let spare = Spare::default();
        let buffer = vec![7; 20_000];
        let place = buffer.as_ptr();
        spare.give(buffer);
        assert!(spare.take(20_001).is_empty());
        let again = spare.take(20_000);
        assert_eq!((again.len(), again.as_ptr()), (20_000, place));
        assert!(spare.take(20_000).is_empty());
    }

    #[test]
    fn few_are_kept_and_none_that_is_too_short_or_too_long() {
        let spare = Spare::default();
        spare.give(vec![0; SHORTEST - 1]);
        spare.give(vec![0; wire::PAYLOAD_LIMIT + 1]);
        (0..99).for_each(|_| spare.give(vec![0; SHORTEST]));
        assert_eq!(spare.buffers.lock().len(), MOST);
    }
}

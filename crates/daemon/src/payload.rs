//! Bytes on their way from an endpoint to a socket: pieces of the buffers they arrived in, never copied. Buffers go back
//! to the pool of their pipe once they are written. Any thread; no I/O.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use usbscan_shm::SharedMemory;

/// Buffers of one pipe that wait to be used again, so that a read costs neither a zeroing nor page faults.
///
/// The client has a pool of its own (`crates/client/src/buffer_pool.rs`), which is another thing: its buffers become `Bytes`
/// that a program keeps as long as it likes, come from anywhere, and are taken if they are long enough. Buffers here are all
/// of one pipe's lengths, go to a transfer with exactly the length of that, and come back when an answer is written.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    buffers: Arc<Mutex<Vec<Vec<u8>>>>,
    most: usize,
}

impl Pool {
    /// One that keeps at most `most` buffers.
    pub fn new(most: usize) -> Pool {
        Pool { buffers: Arc::default(), most }
    }

    /// A buffer of this length. What stands in it is of no meaning, and must not leave this process.
    pub fn take(&self, length: usize) -> Vec<u8> {
        let mut buffers = self.buffers.lock();
        let fits = buffers.iter().position(|b| b.len() == length);
        let found =
            fits.or_else(|| buffers.iter().position(|b| b.capacity() >= length)).map(|at| buffers.swap_remove(at));
        drop(buffers);
        let mut buffer = found.unwrap_or_default();
        buffer.resize(length, 0);
        buffer
    }

    /// A buffer of this length if there is one: for a payload that a client announces. One that never comes must not
    /// cost memory, nor a short one a long buffer.
    pub fn spare(&self, length: usize) -> Option<Vec<u8>> {
        let mut buffers = self.buffers.lock();
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= length && buffer.capacity() / 4 <= length;
        let at = buffers.iter().position(fits)?;
        let mut buffer = buffers.swap_remove(at);
        drop(buffers);
        buffer.resize(length, 0);
        Some(buffer)
    }

    /// Takes a buffer back.
    pub fn give(&self, buffer: Vec<u8>) {
        let mut buffers = self.buffers.lock();
        if buffers.len() < self.most && buffer.capacity() > 0 {
            buffers.push(buffer);
        }
    }
}

/// A part of a buffer.
#[derive(Debug)]
pub(crate) struct Piece {
    buffer: Vec<u8>,
    range: Range<usize>,
    pool: Option<Pool>,
}

impl Piece {
    /// These bytes of a buffer, which goes back to `pool`. A range beyond the buffer is cut.
    pub fn new(buffer: Vec<u8>, range: Range<usize>, pool: &Pool) -> Piece {
        let range = range.start.min(buffer.len())..range.end.min(buffer.len());
        Piece { buffer, range, pool: Some(pool.clone()) }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

impl From<Vec<u8>> for Piece {
    fn from(buffer: Vec<u8>) -> Piece {
        Piece { range: 0..buffer.len(), buffer, pool: None }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.give(std::mem::take(&mut self.buffer));
        }
    }
}

/// What comes with an answer: bytes behind its header, or word of bytes that lie in shared memory.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    pieces: Vec<Piece>,
    bytes: usize,
    shared: usize,
    descriptor: Option<Arc<SharedMemory>>,
}

impl Payload {
    /// Adds bytes at the end.
    pub fn push(&mut self, piece: Piece) {
        let bytes = piece.bytes().len();
        if bytes > 0 {
            self.bytes += bytes;
            self.pieces.push(piece);
        }
    }

    /// Bytes behind the header.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// So many more bytes are in the shared memory.
    pub fn add_shared(&mut self, bytes: usize) {
        self.shared += bytes;
    }

    /// Bytes in the shared memory.
    pub fn shared(&self) -> usize {
        self.shared
    }

    /// The memory whose descriptor goes along.
    pub fn descriptor(&self) -> Option<&SharedMemory> {
        self.descriptor.as_deref()
    }

    /// The pieces, none of them empty.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(Piece::bytes)
    }

    /// All of them in one vector, for code that reads them here.
    pub fn to_vec(&self) -> Vec<u8> {
        self.slices().collect::<Vec<_>>().concat()
    }
}

impl From<Arc<SharedMemory>> for Payload {
    /// No bytes, but the memory's descriptor.
    fn from(memory: Arc<SharedMemory>) -> Payload {
        Payload { descriptor: Some(memory), ..Payload::default() }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        let mut payload = Payload::default();
        payload.push(Piece::from(bytes));
        payload
    }
}

/// Surplus bytes of a pipe: the device sent more than was asked for, because reads are rounded up to whole packets.
/// The next read gets them first.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    bytes: VecDeque<u8>,
    /// Whether a short packet stood behind them, which ends the read that empties them.
    ends_short: bool,
    /// Whose read they were surplus of.
    owner: u64,
}

impl Surplus {
    /// Keeps what a read left over. There is nothing left from before: that was served first.
    pub fn keep(&mut self, bytes: &[u8], ends_short: bool, owner: u64) {
        self.bytes.extend(bytes);
        self.ends_short = ends_short;
        self.owner = owner;
    }

    /// Whether a read must go to the wire.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Up to `length` of them, and whether a short packet stood behind the last.
    pub fn take(&mut self, length: usize) -> (Vec<u8>, bool) {
        let taken: Vec<u8> = self.bytes.drain(..length.min(self.bytes.len())).collect();
        (taken, self.bytes.is_empty() && self.ends_short)
    }

    /// Throws them away; says how many.
    pub fn clear(&mut self) -> usize {
        let bytes = self.bytes.len();
        self.bytes.clear();
        bytes
    }

    /// The same if they are what this session left.
    pub fn clear_of(&mut self, owner: u64) -> usize {
        if self.owner == owner { self.clear() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_without_being_touched() {
        let pool = Pool::new(2);
        let mut buffer = pool.take(8);
        buffer[0] = 7;
        drop(Piece::new(buffer, 0..4, &pool));
        assert_eq!(pool.take(8)[0], 7);
        assert_eq!(pool.take(4), [0; 4], "another length is another buffer");
    }

    #[test]
    fn a_payload_gets_a_buffer_of_about_its_length_or_none() {
        let pool = Pool::new(2);
        assert_eq!(pool.spare(8), None);
        pool.give(vec![7; 8]);
        assert_eq!((pool.spare(9), pool.spare(1)), (None, None));
        assert_eq!((pool.spare(4), pool.spare(4)), (Some(vec![7; 4]), None));
    }

    #[test]
    fn a_pool_keeps_no_more_than_it_may() {
        let pool = Pool::new(1);
        pool.give(vec![1]);
        pool.give(vec![2]);
        assert_eq!((pool.take(1), pool.take(1)), (vec![1], vec![0]));
    }

    #[test]
    fn a_payload_is_its_pieces_in_order() {
        let pool = Pool::new(1);
        let mut payload = Payload::from(b"ab".to_vec());
        payload.push(Piece::new(b"xcdx".to_vec(), 1..3, &pool));
        payload.push(Piece::new(b"y".to_vec(), 1..9, &pool));
        assert_eq!((payload.len(), payload.to_vec()), (4, b"abcd".to_vec()));
    }

    #[test]
    fn surplus_is_served_first_and_its_short_packet_ends_the_read_that_empties_it() {
        let mut carry = Surplus::default();
        carry.keep(b"abc", true, 1);
        assert_eq!(carry.take(2), (b"ab".to_vec(), false));
        assert_eq!(carry.clear_of(2), 0);
        assert_eq!(carry.take(9), (b"c".to_vec(), true));
        assert!(carry.is_empty());
    }
}

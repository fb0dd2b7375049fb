//! The client's side of shared memory: with it, reads and writes of a [`crate::rig::Client`] go through the memory, and
//! a test sees no difference.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

use usbscan_shm::{LentSlot, Received, ShmArena, receive};
use usbscan_wire::{Answer, Command};

/// Reads a socket, and keeps the descriptor that comes along.
#[derive(Debug)]
pub struct FdReader {
    stream: UnixStream,
    pub descriptor: Option<Received>,
}

impl FdReader {
    pub fn new(stream: UnixStream) -> FdReader {
        FdReader { stream, descriptor: None }
    }
}

impl Read for FdReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (read, descriptor) = receive(&self.stream, into)?;
        self.descriptor = descriptor.or(self.descriptor.take());
        Ok(read)
    }
}

/// Memory that a client shares with the daemon.
#[derive(Debug)]
pub struct ClientMemory {
    arena: ShmArena,
    lent: HashMap<u64, LentSlot>,
}

impl ClientMemory {
    pub fn new(descriptor: Received, length: usize) -> ClientMemory {
        let arena = ShmArena::new(descriptor, length).expect("memory that can be mapped");
        ClientMemory { arena, lent: HashMap::new() }
    }

    /// What to say instead of this, so that its bytes come or go through the memory.
    pub fn through(&mut self, id: u64, command: Command, payload: Vec<u8>) -> (Command, Vec<u8>) {
        match command {
            Command::Read { endpoint, offset: None, length, return_partial, timeout } => {
                let Some(slot) = self.arena.alloc(length as usize) else {
                    return (Command::Read { endpoint, offset: None, length, return_partial, timeout }, payload);
                };
                let offset = Some(slot.offset() as u32);
                self.lent.insert(id, slot.lend());
                (Command::Read { endpoint, offset, length, return_partial, timeout }, payload)
            }
            Command::Write { endpoint, offset: None, length: 0, zero_packet, timeout } => {
                let Some(mut slot) = self.arena.alloc(payload.len()) else {
                    return (Command::Write { endpoint, offset: None, length: 0, zero_packet, timeout }, payload);
                };
                slot.bytes_mut()[..payload.len()].copy_from_slice(&payload);
                let (offset, length) = (Some(slot.offset() as u32), payload.len() as u32);
                self.lent.insert(id, slot.lend());
                (Command::Write { endpoint, offset, length, zero_packet, timeout }, Vec::new())
            }
            other => (other, payload),
        }
    }

    /// Puts the bytes that came through the memory where they would stand without it.
    pub fn fill(&mut self, answer: &mut Answer) {
        let Some(lent) = answer.id.and_then(|id| self.lent.remove(&id)) else {
            assert_eq!(answer.shared, 0, "nothing was lent to this request");
            return;
        };
        let loaded = lent.reclaim(answer.shared as usize).expect("no more than there was room for");
        if answer.shared > 0 {
            assert!(answer.payload.is_empty(), "its bytes come one way or the other");
            answer.payload = loaded.as_ref().to_vec().into();
        }
    }
}

//! What reads a session's socket: bytes, and the descriptor that the daemon may send along. On the session's thread.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use usbscan_shm::{Received, receive};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Incoming {
    socket: UnixStream,
    /// What nobody has taken yet: one, and those that come behind it are closed at once.
    descriptor: Option<Received>,
}

impl Incoming {
    pub(crate) fn new(socket: UnixStream) -> Incoming {
        Incoming { socket, descriptor: None }
    }

    pub(crate) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// The descriptor that came with what was read. Linux ends a read behind the bytes that bring one, so it belongs to the
    /// last message of what was read.
    pub(crate) fn take_descriptor(&mut self) -> Option<Received> {
        self.descriptor.take()
    }
}

impl AsFd for Incoming {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (read, descriptor) = receive(&self.socket, into)?;
        if let Some(descriptor) = descriptor {
            self.descriptor.get_or_insert(descriptor);
        }
        Ok(read)
    }
}

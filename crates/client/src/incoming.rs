//! What reads a session's socket: bytes, and the descriptor that the daemon may send along. On the session's thread.

use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Incoming {
    socket: UnixStream,
    /// What nobody has taken yet: one, and those that come behind it are closed at once.
    descriptor: Option<OwnedFd>,
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
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
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
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = RecvAncillaryBuffer::new(&mut space);
        let read = recvmsg(&self.socket, &mut [IoSliceMut::new(into)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
        for message in along.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    self.descriptor.get_or_insert(descriptor);
                }
            }
        }
        Ok(read.bytes)
    }
}

//! Reads a socket and the descriptor that comes along, and remembers whether its sender can be trusted with memory of ours.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

const ROOT: u32 = 0;
/// What the kernel says for a user who has no number in this user namespace: it may be anybody.
const OVERFLOW_UID: u32 = 65_534;

/// A descriptor that came over a socket. Only [`receive`] makes one, so what it says of its sender is so.
#[derive(Debug)]
pub struct Received {
    descriptor: OwnedFd,
    is_trusted: bool,
}

impl Received {
    /// Whether [`is_trusted`] holds for the socket that it came over.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// As it would come from another user's process.
    #[cfg(test)]
    pub(crate) fn untrusted(descriptor: OwnedFd) -> Received {
        Received { descriptor, is_trusted: false }
    }

    /// The descriptor alone.
    pub fn into_descriptor(self) -> OwnedFd {
        self.descriptor
    }
}

impl AsFd for Received {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Whether who listens at the other end is root or this process's own user. Such a process may write to all of this
/// process's memory anyway (ptrace(2), /proc/PID/mem): that it may write to memory which both have mapped adds nothing to
/// what this process has to believe of it. Of a socket that systemd made the listener is systemd.
pub fn is_trusted(socket: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    getsockopt(socket, sockopt::PeerCredentials).is_ok_and(|peer| writes_here_anyway(peer.uid(), ours))
}

fn writes_here_anyway(theirs: u32, ours: u32) -> bool {
    theirs == ROOT || (theirs == ours && theirs != OVERFLOW_UID)
}

/// Reads bytes, at most as many as there is room for, and the descriptor that came with the last of them; of several the
/// first, and the others are closed.
///
/// # Errors
/// As the system says.
pub fn receive(socket: &UnixStream, into: &mut [u8]) -> io::Result<(usize, Option<Received>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(socket, &mut [IoSliceMut::new(into)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    let mut first = None;
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                first.get_or_insert(descriptor);
            }
        }
    }
    Ok((read.bytes, first.map(|descriptor| Received { descriptor, is_trusted: is_trusted(socket) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_ones_own_user_are_trusted_and_nobody_who_is_unknown() {
        assert!(writes_here_anyway(0, 1000) && writes_here_anyway(0, 0) && writes_here_anyway(1000, 1000));
        assert!(!writes_here_anyway(1001, 1000) && !writes_here_anyway(1000, 0));
        assert!(!writes_here_anyway(OVERFLOW_UID, OVERFLOW_UID), "everybody without a number has that one");
    }

    #[test]
    fn a_socket_of_this_process_is_trusted() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(is_trusted(&ours), rustix::process::geteuid().as_raw() != OVERFLOW_UID);
    }
}

//! Who is at the other end of a connection.

use std::fs;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{getsockopt, sockopt};
use usbscan_wire::{Peer, printable};

/// Linux gives a program's name 15 bytes.
const NAME_CHARACTERS: usize = 16;
/// What the kernel says for a user who has no number in this user namespace, unless it is told otherwise.
const OVERFLOW_UID: u32 = 65_534;

/// From the socket's peer credentials and /proc. What can't be found out is unknown, and gets the least rights: it is nobody,
/// never root. The socket's permissions have decided already who may connect.
pub(crate) fn of(stream: &UnixStream, session: u64) -> Peer {
    match getsockopt(stream, sockopt::PeerCredentials) {
        Ok(credentials) => from_numbers(session, credentials.pid(), credentials.uid(), overflow_uid()),
        Err(error) => {
            log::warn!("session {session}: read the peer's credentials: {error}");
            Peer { session, pid: None, uid: None, program: String::new() }
        }
    }
}

fn from_numbers(session: u64, pid: i32, uid: u32, overflow: u32) -> Peer {
    // In another pid namespace it has no number here: the kernel says 0.
    let pid = (pid > 0).then_some(pid);
    // Everybody without a number here has this one, so it is nobody's.
    let uid = (uid != overflow).then_some(uid);
    Peer { session, pid, uid, program: pid.map(program).unwrap_or_default() }
}

/// Any program may call itself anything.
fn program(pid: i32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    printable(&String::from_utf8_lossy(&name), NAME_CHARACTERS)
}

fn overflow_uid() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap_or_default();
    text.trim().parse().unwrap_or(OVERFLOW_UID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_this_process_when_it_made_both_ends() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = of(&ours, 7);
        assert_eq!((peer.session, peer.pid), (7, Some(std::process::id() as i32)));
        assert_eq!(peer.uid, Some(rustix::process::geteuid().as_raw()));
        assert!(!peer.program.is_empty());
    }

    #[test]
    fn who_has_no_number_here_is_unknown_and_nobodys_equal() {
        let peer = from_numbers(1, 0, 65_534, 65_534);
        assert_eq!((peer.pid, peer.uid, &*peer.program), (None, None, ""));
        assert!(!peer.is_same_user(&peer.clone()), "two unmapped users are not one");
        assert_eq!(peer.numbers(), "pid unknown, uid unknown");
        let root = from_numbers(2, 0, 0, 65_534);
        assert_eq!((root.pid, root.uid), (None, Some(0)), "the kernel knows its user all the same");
    }
}

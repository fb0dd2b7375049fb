//! Who is at the other end of a connection.

use std::fs;
use std::os::unix::net::UnixStream;

use usbscan_wire::Peer;

/// From the socket's peer credentials and /proc. What can't be found out is 0 or empty: nothing is decided by it,
/// for the socket's permissions have decided already who may connect.
pub(crate) fn of(stream: &UnixStream, session: u64) -> Peer {
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(credentials) => {
            let pid = credentials.pid.as_raw_nonzero().get();
            Peer { session, pid, uid: credentials.uid.as_raw(), program: program(pid) }
        }
        Err(error) => {
            log::warn!("session {session}: read the peer's credentials: {error}");
            Peer { session, pid: 0, uid: 0, program: String::new() }
        }
    }
}

fn program(pid: i32) -> String {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_this_process_when_it_made_both_ends() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let peer = of(&ours, 7);
        assert_eq!((peer.session, peer.pid), (7, std::process::id() as i32));
        assert!(!peer.program.is_empty());
    }
}

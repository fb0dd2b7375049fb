//! A listening socket. Its thread `listener` waits in `accept`, and for an order to pause or to end.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// After the system refused a connection for want of something, it is asked again so much later.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What goes over [`Listener::wake`]: to the thread, stop accepting; back, it has; to it again, go on. Its end is the thread's.
const ORDER: [u8; 1] = [0];

/// See the head of this file. Dropping it ends the thread; clients that connect later wait in the socket's backlog, if systemd
/// has the socket too, and are refused by the system otherwise.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `None` in `drop`.
    thread: Option<(JoinHandle<()>, UnixStream)>,
}

impl Listener {
    /// Calls `serve` for each connection, on the listener's thread.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(
        listener: UnixListener,
        serve: impl Fn(UnixStream) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        let (wake, woken) = UnixStream::pair()?;
        let accept = move || accept(&listener, &woken, serve);
        let thread = std::thread::Builder::new().name("listener".to_owned()).spawn(accept)?;
        Ok(Listener { thread: Some((thread, wake)) })
    }

    /// Accepts nobody any more, until [`Listener::resume`]. What was accepted before has gone through `serve`.
    pub fn pause(&self) {
        let Some((_, wake)) = &self.thread else { return };
        let mut wake: &UnixStream = wake;
        // A thread that has ended accepts nobody either.
        let _ = wake.write_all(&ORDER).and_then(|()| wake.read_exact(&mut { ORDER }));
    }

    pub fn resume(&self) {
        let Some((_, wake)) = &self.thread else { return };
        let mut wake: &UnixStream = wake;
        let _ = wake.write_all(&ORDER);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some((thread, wake)) = self.thread.take() else { return };
        drop(wake);
        if thread.join().is_err() {
            log::error!("the thread of the listener panicked");
        }
    }
}

/// Accepts until `woken` is at its end.
fn accept(listener: &UnixListener, woken: &UnixStream, serve: impl Fn(UnixStream) -> io::Result<()>) {
    loop {
        let mut waits = [PollFd::new(listener, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        match poll(&mut waits, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return log::error!("wait for connections: {error}"),
        }
        if !waits[1].revents().is_empty() {
            match wait_for_resume(woken) {
                Ok(()) => continue,
                Err(_) => return,
            }
        }
        let accepted = match listener.accept() {
            Ok((stream, _)) => stream.set_nonblocking(false).and_then(|()| serve(stream)),
            Err(error) if is_of_one_client(&error) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = accepted {
            log::error!("accept a connection: {error}");
            // Out of descriptors or threads: it would be ready again at once.
            let _ = poll(&mut [PollFd::new(woken, PollFlags::IN)], Some(&PAUSE));
        }
    }
}

/// Says that nothing is accepted now, and waits for the word to go on. An error is the end.
fn wait_for_resume(mut woken: &UnixStream) -> io::Result<()> {
    woken.read_exact(&mut { ORDER })?;
    woken.write_all(&ORDER)?;
    woken.read_exact(&mut { ORDER })
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, TryRecvError, unbounded};

    use super::*;

    struct Bed {
        listener: Listener,
        accepted: Receiver<UnixStream>,
        socket: std::path::PathBuf,
        _folder: tempfile::TempDir,
    }

    fn bed() -> Bed {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let (tell, accepted) = unbounded();
        let serve = move |stream| tell.send(stream).map_err(io::Error::other);
        let listener = Listener::start(UnixListener::bind(&socket).unwrap(), serve).unwrap();
        Bed { listener, accepted, socket, _folder: folder }
    }

    #[test]
    fn while_it_pauses_connections_wait_and_afterwards_they_are_accepted() {
        let bed = bed();
        for _ in 0..20 {
            bed.listener.pause();
            let _client = UnixStream::connect(&bed.socket).unwrap();
            assert!(matches!(bed.accepted.try_recv(), Err(TryRecvError::Empty)));
            bed.listener.resume();
            bed.accepted.recv().expect("it is accepted");
        }
    }

    #[test]
    fn what_was_accepted_before_a_pause_has_been_handed_over_when_that_begins() {
        let bed = bed();
        for _ in 0..200 {
            let _client = UnixStream::connect(&bed.socket).unwrap();
            bed.listener.pause();
            let before = bed.accepted.try_recv();
            bed.listener.resume();
            if before.is_err() {
                bed.accepted.recv().expect("it waited in the socket's queue");
            }
            assert!(bed.accepted.is_empty(), "once");
        }
    }

    #[test]
    fn one_that_pauses_can_be_dropped() {
        let bed = bed();
        bed.listener.pause();
        drop(bed.listener);
        assert!(UnixStream::connect(&bed.socket).is_err(), "nobody listens");
    }
}

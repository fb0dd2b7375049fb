//! Connections: those that come over a socket, whose thread `listener` waits for them, and those made in this process.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection;
use super::core::Core;

/// After the system refused a connection for want of something, it is asked again so much later.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A thread that ends by itself.
#[derive(Debug)]
struct Ending {
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

impl Ending {
    fn join(self, deadline: Instant) -> bool {
        // Nothing is ever sent: the thread drops its end of the channel.
        if self.ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        if self.thread.join().is_err() {
            log::error!("the thread of a connection panicked");
        }
        true
    }
}

/// All connections' threads.
#[derive(Debug)]
pub(crate) struct Server {
    core: Arc<Core>,
    connections: Arc<Mutex<Vec<Ending>>>,
    listeners: Mutex<Vec<(JoinHandle<()>, UnixStream)>>,
}

impl Server {
    /// One that listens nowhere yet.
    pub fn new(core: Arc<Core>) -> Server {
        Server { core, connections: Arc::default(), listeners: Mutex::default() }
    }

    /// Serves whoever connects to `listener`.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn listen(&self, listener: UnixListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let (wake, woken) = UnixStream::pair()?;
        let (core, connections) = (self.core.clone(), self.connections.clone());
        let accept = move || accept(&listener, &woken, |stream| serve(&core, &connections, stream));
        let thread = std::thread::Builder::new().name("listener".to_owned()).spawn(accept)?;
        self.listeners.lock().push((thread, wake));
        Ok(())
    }

    /// A connection within this process, served as any other.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn connect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        serve(&self.core, &self.connections, ours)?;
        Ok(theirs)
    }

    /// Ends the listeners, then the sessions: they are read no further, their requests are cancelled and answered, their
    /// jobs aborted. `false` when one did not end in time.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.core.end();
        for (thread, wake) in self.listeners.lock().drain(..) {
            drop(wake);
            if thread.join().is_err() {
                log::error!("the thread of the listener panicked");
            }
        }
        self.core.sessions.all().iter().for_each(|session| session.stop_reading());
        let connections: Vec<Ending> = self.connections.lock().drain(..).collect();
        // A client that does not read gets half of the time; then its socket is shut.
        let now = Instant::now();
        let patience = now + deadline.saturating_duration_since(now) / 2;
        let late: Vec<Ending> = connections.into_iter().filter_map(|one| join_or_keep(one, patience)).collect();
        self.core.sessions.all().iter().for_each(|session| session.hang_up());
        let stuck = late.into_iter().filter_map(|one| (!one.join(deadline)).then_some(())).count();
        if stuck > 0 {
            log::error!("{stuck} sessions did not end in time");
        }
        stuck == 0
    }
}

fn join_or_keep(one: Ending, patience: Instant) -> Option<Ending> {
    match one.ended.recv_deadline(patience) {
        Err(RecvTimeoutError::Timeout) => Some(one),
        _ => {
            one.join(patience);
            None
        }
    }
}

fn serve(core: &Arc<Core>, connections: &Mutex<Vec<Ending>>, stream: UnixStream) -> io::Result<()> {
    let (alive, ended) = bounded(0);
    let (core, number) = (core.clone(), core.session_number());
    let thread = std::thread::Builder::new().name(format!("session {number}")).spawn(move || {
        connection::serve(&core, stream, number);
        drop(alive);
    })?;
    let mut connections = connections.lock();
    connections.retain(|connection| !connection.thread.is_finished());
    connections.push(Ending { thread, ended });
    Ok(())
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
            return;
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

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted)
}

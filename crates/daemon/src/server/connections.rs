//! Connections: those that come over a socket, and those made in this process.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;

use crate::dispatch::core::Core;
use crate::failure::UserId;
use crate::server::connection;
use crate::server::listener::Listener;
use crate::session::handle::Session;

/// What closing the scanners takes of the time that a shutdown has.
const CLOSING: Duration = Duration::from_secs(2);

/// A thread that ends by itself.
#[derive(Debug)]
struct ConnectionThread {
    thread: JoinHandle<()>,
    ended: Receiver<()>,
    /// Set once it has begun.
    session: Arc<OnceLock<Weak<Session>>>,
}

impl ConnectionThread {
    fn hang_up(&self) {
        if let Some(session) = self.session.get().and_then(Weak::upgrade) {
            session.hang_up();
        }
    }

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

#[derive(Debug)]
pub(crate) struct Connections {
    core: Arc<Core>,
    connections: Arc<Mutex<Vec<ConnectionThread>>>,
    listeners: Mutex<Vec<Listener>>,
}

impl Connections {
    /// One that listens nowhere yet.
    pub fn new(core: Arc<Core>) -> Connections {
        Connections { core, connections: Arc::default(), listeners: Mutex::default() }
    }

    /// Serves whoever connects to `listener`.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn listen(&self, listener: UnixListener) -> io::Result<()> {
        let (core, connections) = (self.core.clone(), self.connections.clone());
        let listener = Listener::start(listener, move |stream| serve(&core, &connections, stream, None))?;
        self.listeners.lock().push(listener);
        Ok(())
    }

    /// A connection within this process, served as any other.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn connect(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        serve(&self.core, &self.connections, ours, None)?;
        Ok(theirs)
    }

    /// The same, of this user, or of one who is unknown.
    ///
    /// # Errors
    /// As [`Connections::connect`].
    pub fn connect_as(&self, user: UserId) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        serve(&self.core, &self.connections, ours, Some(user))?;
        Ok(theirs)
    }

    /// Accepts nobody any more, unless somebody is connected. `true` when nobody is: whoever connects from then on waits in
    /// the socket's queue, for the next daemon if somebody else holds the socket open; none is accepted and then cut off.
    pub fn close_if_unused(&self) -> bool {
        let listeners = self.listeners.lock();
        listeners.iter().for_each(Listener::pause);
        // One that was accepted just now is no session yet, but its thread is there.
        let unused = self.connections.lock().iter().all(|connection| connection.thread.is_finished());
        if !unused {
            listeners.iter().for_each(Listener::resume);
        }
        unused
    }

    /// Ends the listeners, then the sessions: they are read no further, their requests are cancelled and answered, their
    /// jobs aborted. `false` when one did not end in time.
    pub fn stop(&self, deadline: Instant) -> bool {
        self.core.end();
        // A recovery that runs, or that a session's end begins, has what is left, but for what closing takes.
        let recovered = deadline.checked_sub(CLOSING).unwrap_or(deadline);
        self.core.registry.scanners().iter().for_each(|scanner| scanner.recovery.shut_down_by(recovered));
        let listeners = std::mem::take(&mut *self.listeners.lock());
        drop(listeners);
        self.core.sessions.all().iter().for_each(|session| session.stop_reading());
        let connections: Vec<ConnectionThread> = self.connections.lock().drain(..).collect();
        // A client that does not read gets half of the time; then its socket is shut.
        let now = Instant::now();
        let patience = now + deadline.saturating_duration_since(now) / 2;
        let late: Vec<ConnectionThread> =
            connections.into_iter().filter_map(|one| join_or_keep(one, patience)).collect();
        late.iter().for_each(ConnectionThread::hang_up);
        let stuck = late.into_iter().filter_map(|one| (!one.join(deadline)).then_some(())).count();
        if stuck > 0 {
            log::error!("{stuck} sessions did not end in time");
        }
        stuck == 0
    }
}

fn join_or_keep(one: ConnectionThread, patience: Instant) -> Option<ConnectionThread> {
    match one.ended.recv_deadline(patience) {
        Err(RecvTimeoutError::Timeout) => Some(one),
        _ => {
            one.join(patience);
            None
        }
    }
}

/// `user`, where it is not who the kernel says.
fn serve(
    core: &Arc<Core>,
    connections: &Mutex<Vec<ConnectionThread>>,
    stream: UnixStream,
    user: Option<UserId>,
) -> io::Result<()> {
    let (alive, ended) = bounded(0);
    let (core, number) = (core.clone(), core.session_number());
    let session = Arc::new(OnceLock::new());
    let told = session.clone();
    let thread = std::thread::Builder::new().name(format!("session {number}")).spawn(move || {
        connection::serve(&core, stream, number, user, &told);
        drop(alive);
    })?;
    let mut connections = connections.lock();
    connections.retain(|connection| !connection.thread.is_finished());
    connections.push(ConnectionThread { thread, ended, session });
    Ok(())
}

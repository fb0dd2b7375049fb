//! One connection to the daemon, from greeting to hanging up.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::Receiver;
use rustix::net::sockopt::set_socket_send_buffer_size;
use usbscan_shm::ShmArena;
use usbscan_wire::{Answer, Command, Event, FrameError, FromDaemon, Limits};

use crate::incoming::Incoming;
use crate::link::{self, Events, Link};
use crate::reply_extra::{self, ReplyExtra};
use crate::{Canceller, Error, GoneWhy, LockHandle, Outgoing, Pending};

/// Where usbscand listens unless configured otherwise.
pub const DEFAULT_SOCKET: &str = "/run/usbscan/usbscand.sock";

/// How long the daemon may take to greet, and to share memory. It does both at once, unless it is stopped or swapped out.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// A connection to usbscand. Dropping it ends the connection and joins its thread; what the daemon then
/// does for a session that ended is to cancel, to bring the scanner back to idle if an abort
/// sequence is armed (`arm-abort`: the steps by which the daemon ends a job that its client can't), and to free the lock.
///
/// All calls take `&self` and may be made from many threads at once.
#[derive(Debug)]
pub struct Session {
    link: Arc<Link>,
    events: Receiver<Event>,
    reader: Option<JoinHandle<()>>,
    server: String,
    number: u64,
    limits: Limits,
}

impl Session {
    /// Connects to the daemon at `path`.
    ///
    /// # Errors
    /// [`Error::Unreachable`], and those of [`Session::on_socket`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Session, Error> {
        let path = path.as_ref();
        let socket =
            UnixStream::connect(path).map_err(|source| Error::Unreachable { path: path.to_owned(), source })?;
        Session::on_socket(socket)
    }

    /// Takes a connected socket, and waits for the daemon's greeting.
    ///
    /// # Errors
    /// [`Error::NotUsbscand`], [`Error::NoHello`], [`Error::Version`], [`Error::Gone`].
    pub fn on_socket(socket: UnixStream) -> Result<Session, Error> {
        // As much as the system allows: less only costs wake-ups.
        let _ = set_socket_send_buffer_size(&socket, usbscan_wire::SOCKET_BUFFER);
        let reading = socket.try_clone().map_err(Error::System)?;
        reading.set_read_timeout(Some(HELLO_PATIENCE)).map_err(Error::System)?;
        let mut stream = BufReader::new(Incoming::new(reading));
        let (server, number, limits) = hello(&mut stream)?;
        stream.get_ref().socket().set_read_timeout(None).map_err(Error::System)?;

        let link = Arc::new(Link::new(socket));
        let (events, receiver) = Events::new();
        let reader = thread::Builder::new()
            .name(format!("usbscand session {number}"))
            .spawn({
                let link = link.clone();
                move || link.read_all(stream, &events)
            })
            .map_err(Error::System)?;
        Ok(Session { link, events: receiver, reader: Some(reader), server, number, limits })
    }

    /// The daemon's name and version: `usbscand 0.1.0`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The number by which the daemon knows this connection.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The longest header and payload on this connection, and how many requests and bytes may be outstanding.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What the daemon said unasked, in order; the channel ends with the connection. See [`Session::subscribe`].
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// A handle that cancels what this session has under way.
    pub fn canceller(&self) -> Canceller {
        Canceller::new(self.link.clone())
    }

    /// A handle that locks the scanner and unlocks it.
    pub fn lock_handle(&self) -> LockHandle {
        LockHandle::new(self.link.clone())
    }

    /// Whether the connection has ended.
    pub fn is_gone(&self) -> bool {
        self.link.gone().is_some()
    }

    /// Asks for memory of so many bytes that the daemon and this session share, at most [`usbscan_wire::SHARED_LIMIT`]. From then on
    /// reads and writes of [`crate::SHORTEST_SHARED`] bytes and more go through it while there is room in it, instead of through the socket: what a
    /// read brought lies there until its payload is dropped. Nothing else changes. Once a session.
    ///
    /// # Errors
    /// Refusals: a daemon that is older than this, or has no more memory to share. The session goes on as before. So it does
    /// with a daemon of another user who is not root, whose memory is not looked at: [`Error::Memory`]. And
    /// [`Error::SharesAlready`], [`Error::Silent`], [`Error::NoMemory`], [`Error::Memory`], [`Error::Gone`].
    pub fn share_memory(&self, bytes: usize) -> Result<(), Error> {
        if self.link.arena().is_some() {
            return Err(Error::SharesAlready);
        }
        if !self.link.is_trusted() {
            let why = "it would be memory of another user's process";
            return Err(Error::Memory(io::Error::new(io::ErrorKind::PermissionDenied, why)));
        }
        let length = u32::try_from(bytes).unwrap_or(u32::MAX);
        let asking = Command::ShareMemory { length };
        let mut asking = Pending::start_with(&self.link, self.new_id(), &asking, &[], ReplyExtra::Memory)?;
        let silent = Error::Silent { command: "share-memory", after: HELLO_PATIENCE };
        let (_, descriptor) = asking.wait_with_descriptor(HELLO_PATIENCE)?.ok_or(silent)?;
        let arena = ShmArena::new(descriptor.ok_or(Error::NoMemory)?, length as usize).map_err(Error::Memory)?;
        if self.link.share(arena) { Ok(()) } else { Err(Error::SharesAlready) }
    }

    /// Shared memory for so many bytes that are to be written, so that they need not be copied there: fill it, then
    /// [`Outgoing::start`]. `None` when there is no room in it now, or no such memory.
    pub fn outgoing(&self, length: usize) -> Option<Outgoing> {
        Outgoing::new(&self.link, length)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Refused`] when the answer is not `success`; [`Error::Gone`].
    pub fn call(&self, command: Command, payload: impl AsRef<[u8]>) -> Result<Answer, Error> {
        self.start(command, payload)?.wait()
    }

    /// Sends a request; its answer is waited for elsewhere, or later.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::TooLong`].
    pub fn start(&self, command: Command, payload: impl AsRef<[u8]>) -> Result<Pending, Error> {
        self.start_as(self.new_id(), command, payload)
    }

    /// An id for [`Session::start_as`], never given out again.
    pub fn new_id(&self) -> u64 {
        self.link.new_id()
    }

    /// As [`Session::start`], under an id from [`Session::new_id`], for those who must be able to cancel the request
    /// from another thread before this call returns.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn start_as(&self, id: u64, mut command: Command, payload: impl AsRef<[u8]>) -> Result<Pending, Error> {
        let (payload, extra) = reply_extra::reserve_shared(self.link.arena(), &mut command, payload.as_ref());
        Pending::start_with(&self.link, id, &command, payload, extra)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.hang_up(GoneWhy::Dropped);
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            log::error!("the thread of session {} panicked", self.number);
        }
    }
}

fn hello(stream: &mut BufReader<Incoming>) -> Result<(String, u64, Limits), Error> {
    match link::next(stream, &Arc::default()) {
        Ok(Some(FromDaemon::Event(Event::Hello { server, protocol, session, limits }))) => {
            if protocol != usbscan_wire::PROTOCOL_VERSION {
                return Err(Error::Version { server, theirs: protocol });
            }
            Ok((server, session, limits))
        }
        // The daemon's one way to turn a connection away: too many of them, or not allowed.
        Ok(Some(FromDaemon::Answer(answer))) => {
            Err(Error::unless_success("hello", answer).err().unwrap_or(Error::Gone {
                command: "hello",
                why: GoneWhy::Broken("it answers before it greets".to_owned()),
            }))
        }
        Ok(Some(FromDaemon::Event(event))) => {
            let why = GoneWhy::Broken(format!("it says {event:?} before it greets"));
            Err(Error::Gone { command: "hello", why })
        }
        Ok(None) => Err(Error::Gone { command: "hello", why: GoneWhy::Closed }),
        Err(FrameError::Io(error)) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(Error::NoHello(HELLO_PATIENCE))
        }
        Err(error) => Err(Error::NotUsbscand(error)),
    }
}

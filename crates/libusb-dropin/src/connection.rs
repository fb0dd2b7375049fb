//! A connection to usbscand without a thread of its own. Requests go out whole, from any thread; threads that wait for
//! answers take turns reading, and hand over what is another's.
//!
//! ```text
//!   start ──request──▶ socket                     Call { id, event_fd }
//!   wait: poll(socket, event_fd) ─▶ socket: read one message, deliver it, notify its event_fd
//!                                 └▶ event_fd: another thread has read our answer
//! ```
//!
//! It belongs to the process that made it: after a fork the child never touches its locks or its socket.

use std::collections::HashMap;
use std::io::{self, BufReader, IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libc::pollfd;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use usbscan_wire::{Answer, Command, DAEMON_HEADER_LIMIT, Event, FromDaemon, PROTOCOL_VERSION, receive_frame};

/// How long the daemon may take to go on in the middle of a message, and to greet. One that is stopped does neither, and
/// counts as gone then: a program must not hang in libusb because of it.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);

/// Events that wait for somebody to look at them. Nobody does but who asked for hotplug events.
const EVENTS_KEPT: usize = 256;

/// The connection has ended: the daemon is gone, or sends what is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// The socket, as the buffered reader reads it.
#[derive(Debug)]
struct Incoming(Arc<UnixStream>);

impl AsFd for Incoming {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (_, count) = recv(&*self.0, into, RecvFlags::empty())?;
        Ok(count)
    }
}

/// What is known of a request without an answer, or with one that nobody has fetched.
#[derive(Debug)]
enum ReplySlot {
    WaitingThread(Arc<OwnedFd>),
    Answered(Box<Answer>),
    /// Whoever asked does not wait any more.
    Abandoned,
}

#[derive(Debug, Default)]
struct WaitingThread {
    slots: HashMap<u64, ReplySlot>,
    gone: bool,
    /// Bells that nobody uses: a thread that blocks again and again needs no new one.
    event_fds: Vec<Arc<OwnedFd>>,
    events: Vec<Event>,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Connection {
    pid: u32,
    socket: Arc<UnixStream>,
    /// The turn to read.
    reader: Mutex<BufReader<Incoming>>,
    /// Held while one request goes out, so that no other gets in between.
    writer: Mutex<()>,
    waiting: Mutex<WaitingThread>,
    next_id: AtomicU64,
    /// Somebody has cancelled a transfer, or one has brought more than was asked for, and nothing was received since.
    is_unfinished: AtomicBool,
}

impl Connection {
    /// Connects, and waits for the greeting.
    ///
    /// # Errors
    /// As the system says; `InvalidData` where something else than a usbscand of this protocol answers.
    pub fn open(path: &Path) -> io::Result<Arc<Connection>> {
        Connection::over(UnixStream::connect(path)?)
    }

    /// Over a socket that is connected.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn over(socket: UnixStream) -> io::Result<Arc<Connection>> {
        socket.set_read_timeout(Some(MESSAGE_LIMIT))?;
        // As much as the system allows: less only costs wake-ups.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, usbscan_wire::SOCKET_BUFFER);
        let socket = Arc::new(socket);
        let mut reader = BufReader::new(Incoming(socket.clone()));
        match next(&mut reader) {
            Some(FromDaemon::Event(Event::Hello { protocol, .. })) if protocol == PROTOCOL_VERSION => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(Arc::new(Connection {
            pid: std::process::id(),
            socket,
            reader: Mutex::new(reader),
            writer: Mutex::default(),
            waiting: Mutex::default(),
            next_id: AtomicU64::new(1),
            is_unfinished: AtomicBool::new(false),
        }))
    }

    /// Whether it is this process's and has not ended. In a child of the process that made it nothing else may be called.
    pub fn is_usable(&self) -> bool {
        self.pid == std::process::id() && !self.waiting.lock().gone
    }

    /// Notes that somebody has cancelled a transfer or that one has brought too much, or that one after that has received
    /// something.
    pub fn note_unfinished(&self, is_unfinished: bool) {
        self.is_unfinished.store(is_unfinished, Ordering::Relaxed);
    }

    /// Whether somebody has cancelled a transfer, or one has brought too much, and nothing was received since.
    pub fn is_unfinished(&self) -> bool {
        self.is_unfinished.load(Ordering::Relaxed)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn start(self: &Arc<Self>, command: &Command, payload: &[u8]) -> Result<Call, Gone> {
        if self.pid != std::process::id() {
            return Err(Gone);
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        if waiting.gone {
            return Err(Gone);
        }
        let event_fd = match waiting.event_fds.pop() {
            Some(event_fd) => event_fd,
            None => Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|_| Gone)?),
        };
        waiting.slots.insert(id, ReplySlot::WaitingThread(event_fd.clone()));
        drop(waiting);
        let call = Call { connection: self.clone(), id, event_fd };
        self.send(id, command, payload)?;
        Ok(call)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn call(self: &Arc<Self>, command: &Command, payload: &[u8]) -> Result<Answer, Gone> {
        self.start(command, payload)?.wait()
    }

    fn send(&self, id: u64, command: &Command, payload: &[u8]) -> Result<(), Gone> {
        let header = command.header_line(id, payload.len());
        let turn = self.writer.lock();
        let mut parts = [IoSlice::new(&header), IoSlice::new(payload)];
        let mut left = &mut parts[..];
        let mut sent = Ok(());
        while left.iter().any(|slice| !slice.is_empty()) {
            // Without SIGPIPE: the program did not ask for that.
            match sendmsg(&self.socket, left, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL) {
                Ok(0) => sent = Err(Gone),
                Ok(count) => IoSlice::advance_slices(&mut left, count),
                Err(Errno::INTR) => {}
                Err(_) => sent = Err(Gone),
            }
            if sent.is_err() {
                break;
            }
        }
        drop(turn);
        // Half a message may be out, so nothing can follow it.
        sent.inspect_err(|Gone| self.end())
    }

    /// Nothing comes any more: everybody who waits is told.
    fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.gone = true;
        for slot in waiting.slots.values() {
            if let ReplySlot::WaitingThread(event_fd) = slot {
                notify(event_fd);
            }
        }
        drop(waiting);
        // The daemon cleans up behind this session at once, and not when the last handle is closed.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Reads what is there, if it is still there when this thread's turn comes, and delivers it.
    fn read_some(&self) {
        let mut reader = self.reader.lock();
        if reader.buffer().is_empty() && !is_readable(&self.socket) {
            return;
        }
        loop {
            match next(&mut reader) {
                Some(FromDaemon::Answer(answer)) => self.deliver(answer),
                Some(FromDaemon::Event(event)) => self.keep(event),
                None => return self.end(),
            }
            if reader.buffer().is_empty() {
                return;
            }
        }
    }

    fn deliver(&self, answer: Answer) {
        let Some(id) = answer.id else { return self.end() };
        let mut waiting = self.waiting.lock();
        match waiting.slots.remove(&id) {
            Some(ReplySlot::WaitingThread(event_fd)) => {
                notify(&event_fd);
                waiting.slots.insert(id, ReplySlot::Answered(Box::new(answer)));
            }
            Some(ReplySlot::Abandoned) => {}
            Some(ReplySlot::Answered(_)) | None => {
                drop(waiting);
                self.end();
            }
        }
    }

    fn keep(&self, event: Event) {
        let mut waiting = self.waiting.lock();
        if waiting.events.len() < EVENTS_KEPT {
            waiting.events.push(event);
        }
    }

    /// Events that have come, oldest first, when what is there has been read.
    ///
    /// # Errors
    /// [`Gone`], when there are none left.
    pub fn events(&self) -> Result<Vec<Event>, Gone> {
        self.read_some();
        let mut waiting = self.waiting.lock();
        let events = std::mem::take(&mut waiting.events);
        if events.is_empty() && waiting.gone { Err(Gone) } else { Ok(events) }
    }

    /// What to poll for news of events.
    pub fn readable(&self) -> pollfd {
        pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 }
    }
}

/// The next message; `None` at the end, whatever brought it.
fn next(reader: &mut BufReader<Incoming>) -> Option<FromDaemon> {
    let frame = receive_frame(reader, DAEMON_HEADER_LIMIT).ok()??;
    FromDaemon::from_frame(frame).ok()
}

fn is_readable(socket: &UnixStream) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

fn notify(event_fd: &OwnedFd) {
    // It can only fail when it was written to 2^64 times.
    let _ = rustix::io::write(event_fd, &1_u64.to_ne_bytes());
}

fn clear(event_fd: &OwnedFd) {
    // It may not have been notified.
    let _ = rustix::io::read(event_fd, &mut [0; 8]);
}

/// A request that has gone out. Dropped, its answer is thrown away when it comes.
#[derive(Debug)]
pub(crate) struct Call {
    connection: Arc<Connection>,
    id: u64,
    event_fd: Arc<OwnedFd>,
}

impl Call {
    /// The number by which others may cancel it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The answer, if it is there: reads what has come, and waits for nothing.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn poll(&mut self) -> Result<Option<Answer>, Gone> {
        if let Some(answer) = self.take()? {
            return Ok(Some(answer));
        }
        self.connection.read_some();
        self.take()
    }

    fn take(&mut self) -> Result<Option<Answer>, Gone> {
        let mut waiting = self.connection.waiting.lock();
        match waiting.slots.remove(&self.id) {
            Some(ReplySlot::Answered(answer)) => Ok(Some(*answer)),
            _ if waiting.gone => Err(Gone),
            Some(slot) => {
                waiting.slots.insert(self.id, slot);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// What to poll until [`Call::poll`] may bring something.
    pub fn ready(&self) -> [pollfd; 2] {
        let event_fd = pollfd { fd: self.event_fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        [self.connection.readable(), event_fd]
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn wait(mut self) -> Result<Answer, Gone> {
        loop {
            if let Some(answer) = self.poll()? {
                return Ok(answer);
            }
            self.wait_for_news(None);
        }
    }

    /// As [`Call::wait`], until `deadline` at most.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn wait_until(&mut self, deadline: Instant) -> Result<Option<Answer>, Gone> {
        loop {
            if let Some(answer) = self.poll()? {
                return Ok(Some(answer));
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(None) };
            self.wait_for_news(Some(left));
        }
    }

    fn wait_for_news(&self, most: Option<Duration>) {
        let mut asked =
            [PollFd::new(&*self.connection.socket, PollFlags::IN), PollFd::new(&*self.event_fd, PollFlags::IN)];
        let most = most.and_then(|most| Timespec::try_from(most).ok());
        // Interrupted or not, the caller looks again.
        let _ = poll(&mut asked, most.as_ref());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.connection.pid != std::process::id() {
            return;
        }
        let mut waiting = self.connection.waiting.lock();
        if let Some(ReplySlot::WaitingThread(_)) = waiting.slots.remove(&self.id) {
            waiting.slots.insert(self.id, ReplySlot::Abandoned);
        }
        // Under the lock: nobody rings it any more, since its slot is gone.
        clear(&self.event_fd);
        waiting.event_fds.push(self.event_fd.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use usbscan_wire::{CLIENT_HEADER_LIMIT, Limits, Request, Status, read_frame};

    use super::*;

    fn hello(protocol: u32) -> Event {
        let limits = Limits { header: 4096, payload: 1 << 20, requests: 256, bytes: 8 << 20 };
        Event::Hello { server: "usbscand 0".to_owned(), protocol, session: 1, limits }
    }

    /// A connection, and the daemon's end of it.
    fn connected() -> (Arc<Connection>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        hello(PROTOCOL_VERSION).write_to(&mut theirs).unwrap();
        (Connection::over(ours).unwrap(), theirs)
    }

    fn request(daemon: &mut BufReader<UnixStream>) -> Request {
        Request::from_frame(read_frame(daemon, CLIENT_HEADER_LIMIT).unwrap().unwrap()).unwrap()
    }

    fn wait_event() -> Command {
        Command::WaitEvent { endpoint: None, timeout: None }
    }

    #[test]
    fn a_daemon_of_another_protocol_is_none() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        hello(PROTOCOL_VERSION + 1).write_to(&mut theirs).unwrap();
        assert_eq!(Connection::over(ours).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn threads_that_wait_get_each_its_own_answer_in_whatever_order_they_come() {
        let (connection, theirs) = connected();
        let waiters: Vec<_> = (0..8)
            .map(|_| {
                let connection = connection.clone();
                thread::spawn(move || {
                    let call = connection.start(&wait_event(), &[]).unwrap();
                    let id = call.id();
                    let answer = call.wait().unwrap();
                    assert_eq!((answer.id, answer.information), (Some(id), id * 10));
                })
            })
            .collect();
        let mut daemon = BufReader::new(theirs);
        let mut ids: Vec<u64> = (0..8).map(|_| request(&mut daemon).id).collect();
        ids.reverse();
        for id in ids {
            let answer = Answer { information: id * 10, ..Answer::new(id, Status::Success) };
            answer.write_to(daemon.get_mut()).unwrap();
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(connection.waiting.lock().slots.is_empty());
    }

    #[test]
    fn the_end_of_the_connection_ends_everybody_who_waits() {
        let (connection, theirs) = connected();
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let connection = connection.clone();
                thread::spawn(move || connection.call(&wait_event(), &[]))
            })
            .collect();
        let mut daemon = BufReader::new(theirs);
        (0..4).for_each(|_| drop(request(&mut daemon)));
        drop(daemon);
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), Err(Gone)));
        assert!(!connection.is_usable());
        assert_eq!(connection.call(&wait_event(), &[]), Err(Gone));
    }

    #[test]
    fn an_answer_to_a_dropped_call_is_thrown_away_and_the_next_call_is_not_confused_by_its_bell() {
        let (connection, theirs) = connected();
        let mut daemon = BufReader::new(theirs);
        let dropped = connection.start(&wait_event(), &[]).unwrap();
        drop(dropped);
        let first = request(&mut daemon).id;
        let call = connection.start(&wait_event(), &[]).unwrap();
        let second = request(&mut daemon).id;
        for id in [first, second] {
            Answer::new(id, Status::Success).write_to(daemon.get_mut()).unwrap();
        }
        assert_eq!(call.wait().unwrap().id, Some(second));
        let waiting = connection.waiting.lock();
        assert_eq!((waiting.slots.len(), waiting.event_fds.len()), (0, 1));
    }

    #[test]
    fn what_is_no_message_or_answers_nobody_ends_the_connection() {
        for line in [
            &b"what is this\n"[..],
            b"{\"id\":99,\"status\":\"success\",\"information\":0}\n",
            b"{\"id\":null,\"status\":\"success\",\"information\":0}\n",
        ] {
            let (connection, mut theirs) = connected();
            let call = connection.start(&wait_event(), &[]).unwrap();
            theirs.write_all(line).unwrap();
            assert_eq!(call.wait(), Err(Gone));
        }
    }

    #[test]
    fn a_deadline_ends_the_waiting_and_not_the_call() {
        let (connection, mut theirs) = connected();
        let mut call = connection.start(&wait_event(), &[]).unwrap();
        assert_eq!(call.wait_until(Instant::now() + Duration::from_millis(5)), Ok(None));
        Answer::new(call.id(), Status::Success).write_to(&mut theirs).unwrap();
        assert!(call.wait().is_ok());
    }
}

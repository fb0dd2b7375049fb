//! One connection: its thread `session N` reads and dispatches, its thread `session N out` writes. When the first ends,
//! for whatever reason, the session's requests end, its job is aborted, its lock is free.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{JoinHandle, Scope};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::set_socket_send_buffer_size;
use usbscan_wire::{
    CLIENT_HEADER_LIMIT, Command, Event, FrameError, PROTOCOL_VERSION, Request, RequestError, receive_frame_into,
};

use crate::dispatch::core::Core;
use crate::dispatch::ordered::{carry_out, is_cancel};
use crate::dispatch::{bytes_held, leave};
use crate::failure::{Failure, UserId};
use crate::reply::budget::Budget;
use crate::reply::outbox;
use crate::reply::responder::{Requester, Responder};
use crate::scanner::message::CloseReason;
use crate::session::handle::Session;
use crate::session::list::Admission;
use crate::session::peer;
use crate::version::SERVER;

/// The most that is read of a client after its last request.
const UNREAD: usize = 1 << 20;
/// Headers are short, and what is longer is read right to where it belongs.
const READ_AHEAD: usize = 4096;

/// Serves a connection until its end. Runs on the reader thread. `session` tells whoever started that of the session, which is
/// there for longer than it is listed: until its last answer is on the socket.
pub(crate) fn serve(
    core: &Core,
    stream: UnixStream,
    number: u64,
    user: Option<UserId>,
    session: &OnceLock<Weak<Session>>,
) {
    match Connection::new(core, stream, number, user) {
        Ok(connection) => {
            let _ = session.set(Arc::downgrade(&connection.session));
            connection.run();
        }
        Err(error) => log::error!("session {number}: {error}"),
    }
}

struct Connection<'a> {
    core: &'a Core,
    session: Arc<Session>,
    reader: BufReader<UnixStream>,
    writer: JoinHandle<()>,
}

impl<'a> Connection<'a> {
    fn new(core: &'a Core, stream: UnixStream, number: u64, user: Option<UserId>) -> io::Result<Connection<'a>> {
        let config = core.configured.now();
        stream.set_write_timeout(Some(config.stall))?;
        // As much as the system allows: less only costs wake-ups.
        let _ = set_socket_send_buffer_size(&stream, usbscan_wire::SOCKET_BUFFER);
        let (outbox, receiver) = outbox::outbox(stream.try_clone()?);
        let mut peer = peer::of(&stream, number);
        if let Some(UserId(uid)) = user {
            peer.uid = uid;
        }
        let budget = Budget::of_user(config.each(), core.global_budget.clone(), peer.uid);
        let log_budget = core.sessions.log_budget(peer.uid);
        let session = Session::new(peer, stream.try_clone()?, outbox, budget.clone(), log_budget);
        let (of_whom, stall) = (Arc::downgrade(&session), config.stall);
        let write = move || {
            let written = outbox::write(&receiver, &budget);
            // It is there as long as its reader thread is.
            let (Err(error), Some(session)) = (written, of_whom.upgrade()) else { return };
            match error.kind() {
                io::ErrorKind::WouldBlock => {
                    session.log(format_args!("has not read its socket for {} s; disconnected", stall.as_secs()))
                }
                _ => log::debug!("{}: {error}", session.label()),
            }
        };
        let writer = std::thread::Builder::new().name(format!("session {number} out")).spawn(write)?;
        Ok(Connection { core, session, reader: BufReader::with_capacity(READ_AHEAD, stream), writer })
    }

    fn run(mut self) {
        let session = self.session.clone();
        let limits = self.core.configured.now().connections();
        let admission = self.core.sessions.add(session.clone(), limits);
        if let Admission::Refused(limit) = admission {
            session.log(format_args!("is refused: {limit}"));
            self.refuse(None, &Failure::Limit(limit));
        } else {
            match admission {
                Admission::Reserve(limit) => session.log(format_args!("may look and cancel only: {limit}")),
                _ => log::debug!("{} begins", session.label()),
            }
            self.hello();
            // One that was accepted just before the end began may have come too late to be told.
            if self.core.is_ending() {
                session.stop_reading();
            }
            self.serve_requests();
            session.end_capture();
            // The daemon's end is no reason to spoil what a client is in the middle of; the memory goes with both processes.
            if self.core.is_ending() && !session.has_hung_up() {
                session.leave_shared_memory();
            }
            leave(self.core, &session, CloseReason::Died);
            // A client that has only ended its sending hears every answer, also of a recovery that it asked for.
            session.wait_for_answers();
            self.core.sessions.remove(session.id());
            log::debug!("{} ends", session.label());
        }
        self.read_the_rest();
        session.outbox().end();
        if self.writer.join().is_err() {
            log::error!("{}: its writer panicked", session.label());
        }
    }

    /// Until the client has no more. What is carried out in order then goes on to its end, as long as somebody is there to
    /// hear of it.
    fn serve_requests(&mut self) {
        let core = self.core;
        let session = self.session.clone();
        std::thread::scope(|scope| {
            while self.is_at_work() && self.next(scope, core) {}
            if let Some(done) = session.ordered.told_when_done() {
                if core.is_ending() || session.closes_before(&done) {
                    session.ordered.end();
                }
            }
        });
    }

    /// Whether there is a request, or may be one. A connection of the reserve that asks for nothing is ended.
    fn is_at_work(&self) -> bool {
        if self.session.reserve().is_none() || !self.reader.buffer().is_empty() {
            return true;
        }
        let idle = self.core.configured.now().reserve_idle;
        let until = Timespec { tv_sec: idle.as_secs() as i64, tv_nsec: idle.subsec_nanos().into() };
        loop {
            let mut asked = [PollFd::new(self.reader.get_ref(), PollFlags::IN)];
            match poll(&mut asked, Some(&until)) {
                Err(Errno::INTR) => {}
                Ok(0) if !self.session.has_nothing_outstanding() => {}
                Ok(0) => {
                    log::info!("{} asks for nothing, and its place is for others", self.session.label());
                    return false;
                }
                _ => return true,
            }
        }
    }

    fn hello(&self) {
        let limits = self.core.configured.now().hello();
        let (server, protocol, session) = (SERVER.to_owned(), PROTOCOL_VERSION, self.session.id());
        self.session.tell(Arc::new(Event::Hello { server, protocol, session, limits }));
    }

    /// One request. `false` when it was the last.
    fn next<'scope>(&mut self, scope: &'scope Scope<'scope, '_>, core: &'scope Core) -> bool {
        let session = &self.session;
        let frame = match receive_frame_into(&mut self.reader, CLIENT_HEADER_LIMIT, |length| session.room(length)) {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FrameError::Io(_)) => return false,
            Err(error) => {
                self.session.log(format_args!("is disconnected: {error}"));
                self.refuse(None, &Failure::BadFrame(error));
                return false;
            }
        };
        match Request::from_frame(frame) {
            Ok(request) => self.request(scope, core, request),
            Err(error @ RequestError::BadCommand { id, .. }) => self.refuse(Some(id), &Failure::BadCommand(error)),
            Err(error @ RequestError::NoId) => {
                self.refuse(None, &Failure::BadCommand(error));
                false
            }
        }
    }

    fn request<'scope>(&self, scope: &'scope Scope<'scope, '_>, core: &'scope Core, request: Request) -> bool {
        let id = request.id;
        if core.is_ending() {
            return self.refuse(Some(id), &Failure::Ending);
        }
        if let Some(limit) = self.session.reserve().filter(|_| !is_for_the_reserve(&request.command)) {
            return self.refuse(Some(id), &Failure::Reserve { command: request.command.name(), limit });
        }
        match self.session.begin_request(id, bytes_held(&request), is_cancel(&request.command)) {
            Ok(responder) => {
                carry_out(scope, core, &self.session, responder, request);
                true
            }
            Err(failure) => self.refuse(Some(id), &failure),
        }
    }

    /// Throws away what the client had sent already: a socket that is closed with something unread makes the client's
    /// next read an error, where it should find our last answer and the end.
    fn read_the_rest(&self) {
        let mut rest = [0; 4096];
        for _ in 0..UNREAD / rest.len() {
            match rustix::net::recv(self.reader.get_ref(), &mut rest[..], RecvFlags::DONTWAIT) {
                Ok((_, 1..)) => {}
                Ok(_) | Err(_) => break,
            }
        }
    }

    /// Says no. `false` when nobody reads that any more.
    fn refuse(&self, id: Option<u64>, failure: &Failure) -> bool {
        let Some(credit) = self.session.budget().refusal() else { return false };
        Responder::of_refusal(self.session.clone(), id, credit).fail(failure);
        true
    }
}

/// Whether a command is possible on a connection of the reserve.
fn is_for_the_reserve(command: &Command) -> bool {
    is_cancel(command)
        || matches!(
            command,
            Command::Version {} | Command::List { .. } | Command::Status { .. } | Command::Subscribe { .. }
        )
}

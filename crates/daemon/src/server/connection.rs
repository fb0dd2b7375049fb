//! One connection: its thread `session N` reads and dispatches, its thread `session N out` writes. When the first ends,
//! for whatever reason, the session's requests end, its job is aborted, its lock is free.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::net::RecvFlags;
use rustix::net::sockopt::set_socket_send_buffer_size;
use usbscan_wire::{
    CLIENT_HEADER_LIMIT, Event, FrameError, PROTOCOL_VERSION, Request, RequestError, receive_frame_into,
};

use crate::dispatch::core::Core;
use crate::dispatch::{bytes_held, dispatch, leave};
use crate::failure::{Failure, Limit};
use crate::reply::budget::Budget;
use crate::reply::outbox;
use crate::reply::responder::{Requester, Responder};
use crate::scanner::message::CloseReason;
use crate::session::handle::Session;
use crate::session::peer;
use crate::version::SERVER;

/// The most that is read of a client after its last request.
const UNREAD: usize = 1 << 20;
/// Headers are short, and what is longer is read right to where it belongs.
const READ_AHEAD: usize = 4096;

/// Serves a connection until its end. Runs on the reader thread.
pub(crate) fn serve(core: &Core, stream: UnixStream, number: u64) {
    match Connection::new(core, stream, number) {
        Ok(connection) => connection.run(),
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
    fn new(core: &'a Core, stream: UnixStream, number: u64) -> io::Result<Connection<'a>> {
        let config = core.configured.now();
        stream.set_write_timeout(Some(config.stall))?;
        // As much as the system allows: less only costs wake-ups.
        let _ = set_socket_send_buffer_size(&stream, usbscan_wire::SOCKET_BUFFER);
        let (outbox, receiver) = outbox::outbox(stream.try_clone()?);
        let budget = Budget::new(config.each(), core.global_budget.clone());
        let peer = peer::of(&stream, number);
        let session = Session::new(peer, stream.try_clone()?, outbox, budget.clone());
        let (label, stall) = (session.label(), config.stall);
        let write = move || match outbox::write(&receiver, &budget) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                log::warn!("{label} has not read its socket for {} s; disconnected", stall.as_secs());
            }
            Err(error) => log::debug!("{label}: {error}"),
            Ok(()) => {}
        };
        let writer = std::thread::Builder::new().name(format!("session {number} out")).spawn(write)?;
        Ok(Connection { core, session, reader: BufReader::with_capacity(READ_AHEAD, stream), writer })
    }

    fn run(mut self) {
        let session = self.session.clone();
        let most = self.core.configured.now().limits.connections;
        if self.core.sessions.add(session.clone(), most) {
            log::debug!("{} begins", session.label());
            self.hello();
            // One that was accepted just before the end began may have come too late to be told.
            if self.core.is_ending() {
                session.stop_reading();
            }
            while self.next() {}
            session.end_capture();
            leave(self.core, &session, CloseReason::Died);
            self.core.sessions.remove(session.id());
            log::debug!("{} ends", session.label());
        } else {
            let limit = Limit::Connections(most);
            log::warn!("{} is refused: {limit}", session.label());
            self.refuse(None, &Failure::Limit(limit));
        }
        self.read_the_rest();
        session.outbox().end();
        if self.writer.join().is_err() {
            log::error!("{}: its writer panicked", session.label());
        }
    }

    fn hello(&self) {
        let limits = self.core.configured.now().hello();
        let (server, protocol, session) = (SERVER.to_owned(), PROTOCOL_VERSION, self.session.id());
        self.session.tell(Arc::new(Event::Hello { server, protocol, session, limits }));
    }

    /// One request. `false` when it was the last.
    fn next(&mut self) -> bool {
        let session = &self.session;
        let frame = match receive_frame_into(&mut self.reader, CLIENT_HEADER_LIMIT, |length| session.room(length)) {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(FrameError::Io(_)) => return false,
            Err(error) => {
                log::info!("{}: {error}", self.session.label());
                self.refuse(None, &Failure::BadFrame(error));
                return false;
            }
        };
        match Request::from_frame(frame) {
            Ok(request) => self.request(request),
            Err(error @ RequestError::BadCommand { id, .. }) => self.refuse(Some(id), &Failure::BadCommand(error)),
            Err(error @ RequestError::NoId) => {
                self.refuse(None, &Failure::BadCommand(error));
                false
            }
        }
    }

    fn request(&self, request: Request) -> bool {
        let id = request.id;
        if self.core.is_ending() {
            return self.refuse(Some(id), &Failure::Ending);
        }
        match self.session.begin_request(id, bytes_held(&request)) {
            Ok(answer) => {
                dispatch(self.core, &self.session, answer, request);
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

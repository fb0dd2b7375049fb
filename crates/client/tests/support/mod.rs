//! A daemon that a test plays by hand.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::io::{BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use usbscan_client::Session;
use usbscan_client::wire::{self, Answer, Command, Event, Limits, Request, Status};

/// The daemon's end of a connection.
pub struct Daemon {
    pub reader: BufReader<UnixStream>,
    pub writer: UnixStream,
}

impl Daemon {
    pub fn next_request(&mut self) -> Request {
        let frame = wire::read_frame(&mut self.reader, wire::CLIENT_HEADER_LIMIT).expect("a frame");
        Request::from_frame(frame.expect("not the end")).expect("a request")
    }

    pub fn is_left(&mut self) -> bool {
        wire::read_frame(&mut self.reader, wire::CLIENT_HEADER_LIMIT).is_ok_and(|frame| frame.is_none())
    }

    pub fn say(&mut self, answer: &Answer) {
        answer.write_to(&mut self.writer).expect("the client is there");
    }

    pub fn tell(&mut self, event: &Event) {
        event.write_to(&mut self.writer).expect("the client is there");
    }

    /// Says it with descriptors, as the daemon sends its memory.
    pub fn say_with(&mut self, answer: &Answer, descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        assert!(along.push(SendAncillaryMessage::ScmRights(descriptors)));
        let line = answer.header_line();
        let sent = sendmsg(&self.writer, &[IoSlice::new(&line)], &mut along, SendFlags::NOSIGNAL);
        assert_eq!(sent.expect("the client is there"), line.len());
    }

    pub fn payload(&mut self, id: u64, payload: &[u8]) {
        let mut answer = Answer::new(id, Status::Success);
        answer.information = payload.len() as u64;
        answer.payload = payload.to_vec().into();
        self.say(&answer);
    }
}

pub fn greeting() -> Event {
    let limits = Limits { header: 4096, payload: 1 << 20, requests: 64, bytes: 4 << 20 };
    Event::Hello { server: "usbscand 9".to_owned(), protocol: wire::PROTOCOL_VERSION, session: 7, limits }
}

pub fn pair() -> (UnixStream, Daemon) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let reader = BufReader::new(theirs.try_clone().expect("a second descriptor"));
    (ours, Daemon { reader, writer: theirs })
}

pub fn session() -> (Session, Daemon) {
    let (socket, mut daemon) = pair();
    daemon.tell(&greeting());
    (Session::on_socket(socket).expect("a session"), daemon)
}

pub fn read(length: u32) -> Command {
    Command::Read { endpoint: None, offset: None, length, return_partial: false, timeout: None }
}

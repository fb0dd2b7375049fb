//! A page through memory that the daemon shares: a driver, its session, and a daemon that a test plays with a virtual scanner.

mod support;

use std::io::{BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use support::{Rig, bench, scan, shows, timeouts};
use usbscan_client::wire::{self, Answer, Command, Event, Limits, Request, Status};
use usbscan_client::{SHORTEST_SHARED, Session};
use usbscan_scan::esci::Esci;
use usbscan_scan::esci2::Esci2;
use usbscan_scan::{Driver, Scanner, SessionTransport};
use usbscan_shm::SharedMemory;
use usbscan_virtual::glass::Glass;

/// What a daemon does with shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Yes,
    /// It is older.
    No,
}

/// The reads of at least [`SHORTEST_SHARED`] bytes that a daemon has heard.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// Those that named a place.
    through_memory: usize,
    through_socket: usize,
    /// Requests for memory.
    asked: usize,
}

struct Daemon {
    stream: UnixStream,
    memory: Option<SharedMemory>,
    heard: Heard,
}

impl Daemon {
    /// Answers everything, one request after the other.
    fn serve(mut self, rig: &support::Bench, sharing: Sharing) -> Heard {
        let mut reader = BufReader::new(self.stream.try_clone().expect("a second descriptor"));
        while let Some(frame) = wire::read_frame(&mut reader, wire::CLIENT_HEADER_LIMIT).expect("a frame or the end") {
            let request = Request::from_frame(frame).expect("a request");
            let mut answer = Answer::new(request.id, Status::Success);
            match request.command {
                Command::ShareMemory { length } => {
                    self.heard.asked += 1;
                    self.share(answer, length, sharing);
                    continue;
                }
                Command::Read { offset, length, .. } => self.read(&mut rig.lock(), &mut answer, offset, length),
                Command::Write { .. } => {
                    rig.lock().write(&request.payload, Duration::from_secs(60)).expect("written");
                }
                _ => {}
            }
            answer.write_to(&mut self.stream).expect("written");
        }
        self.heard
    }

    fn share(&mut self, answer: Answer, length: u32, sharing: Sharing) {
        if sharing == Sharing::No {
            let refusal = Answer::failure(answer.id, Status::InvalidParameter, "there is no command \"share-memory\"");
            return refusal.write_to(&mut self.stream).expect("written");
        }
        let memory = self.memory.insert(SharedMemory::new(length as usize).expect("memory"));
        let descriptors = [memory.descriptor()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        assert!(along.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let line = answer.header_line();
        let sent = sendmsg(&self.stream, &[IoSlice::new(&line)], &mut along, SendFlags::NOSIGNAL);
        assert_eq!(sent.expect("sent"), line.len());
    }

    fn read(&mut self, rig: &mut Rig, answer: &mut Answer, at: Option<u32>, length: u32) {
        let came = rig.take(length as usize, Duration::from_secs(60));
        let is_long = length as usize >= SHORTEST_SHARED;
        self.heard.through_memory += usize::from(at.is_some());
        self.heard.through_socket += usize::from(is_long && at.is_none());
        let Some(at) = at else { return answer.payload = came.into() };
        let memory = self.memory.as_ref().expect("there is some");
        let at = at as usize;
        // As the kernel may: up to the end of the last packet.
        let region = memory.region(at..at + (length as usize).next_multiple_of(1024)).expect("inside");
        region.copy_from(&vec![0xa5; region.len()]);
        region.copy_from(&came);
        answer.shared = came.len() as u64;
    }
}

fn daemon(description: &str, sharing: Sharing) -> (SessionTransport, JoinHandle<Heard>) {
    let bench = bench(description);
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    let limits = Limits { header: 4096, payload: 1 << 20, requests: 64, bytes: 4 << 20 };
    let hello = Event::Hello { server: "usbscand 9".to_owned(), protocol: wire::PROTOCOL_VERSION, session: 1, limits };
    hello.write_to(&mut theirs).expect("written");
    let daemon = Daemon { stream: theirs, memory: None, heard: Heard::default() };
    let daemon = thread::spawn(move || daemon.serve(&bench, sharing));
    (SessionTransport::new(Session::on_socket(ours).expect("a session")), daemon)
}

/// Scans the chart, and says what the daemon has heard.
fn heard(description: &str, options: &[(&str, &str)], sharing: Sharing) -> Heard {
    let (transport, daemon) = daemon(description, sharing);
    let opened: Box<dyn Scanner> = match description.starts_with("esci2") {
        true => Esci2.open_with(timeouts(), Box::new(transport), &mut |_| {}).expect("it opens"),
        false => Esci.open_with(timeouts(), Box::new(transport), &mut |_| {}).expect("it opens"),
    };
    let mut scanner = opened;
    for _ in 0..2 {
        let page = scan(&mut *scanner, options).expect("a page");
        assert!(page.is_whole && shows(&page, &Glass::chart(), 0, 0, 128), "{description}");
    }
    drop(scanner);
    daemon.join().expect("no panic")
}

#[test]
fn every_block_of_a_page_comes_through_shared_memory_and_the_page_is_right() {
    for description in ["esci", "esci,dialect=esc", "esci2"] {
        for depth in ["8", "16"] {
            let options = [("mode", "color"), ("resolution", "150"), ("br-y", "200"), ("depth", depth)];
            let options = if description == "esci2" { &options[..3] } else { &options };
            let heard = heard(description, options, Sharing::Yes);
            assert_eq!((heard.asked, heard.through_socket), (1, 0), "{description}");
            assert!(heard.through_memory >= 8, "{description}: {heard:?}");
        }
    }
}

#[test]
fn with_a_daemon_that_knows_no_shared_memory_a_page_comes_through_the_socket() {
    for description in ["esci", "esci2"] {
        let options = [("mode", "gray"), ("resolution", "150"), ("br-y", "200")];
        let heard = heard(description, &options, Sharing::No);
        assert_eq!((heard.asked, heard.through_memory), (1, 0), "{description}");
        assert!(heard.through_socket >= 8, "{description}: {heard:?}");
    }
}

#[test]
fn who_only_asks_a_scanner_for_its_buttons_needs_no_memory() {
    let (transport, daemon) = daemon("esci,button=1", Sharing::Yes);
    let mut scanner = Esci.open_with(timeouts(), Box::new(transport), &mut |_| {}).expect("it opens");
    scanner.pressed_button().expect("an answer");
    drop(scanner);
    assert_eq!(daemon.join().expect("no panic"), Heard::default());
}

//! A page on its way from the scan's thread to `sane_read`: a bounded queue of bytes that the scan's thread fills and
//! whichever thread calls `sane_read` empties. It knows no scanner, only bytes, parameters and how they end.
//!
//! ```text
//!   Starting ──begin──▶ Page ──end──▶ Ended(Eof, or what went wrong)
//!       │                │
//!       └──── stop ──────┴──────────▶ Ended(Cancelled), the bytes dropped
//! ```

use std::collections::VecDeque;
use std::mem::MaybeUninit;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use crate::abi::{Parameters, Status};
use crate::event_fd::EventFd;

/// Bytes that wait for the application at most: some blocks of the scanner, so that it need not stop its carriage while
/// the application is busy for a moment.
pub const CAPACITY: usize = 1 << 20;

/// Whether `sane_read` waits for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until there is one.
    ForBytes,
    /// Not at all: `sane_set_io_mode(…, SANE_TRUE)`.
    No,
}

/// Nobody reads any more; the scan's thread should end the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

#[derive(Debug)]
pub struct PageQueue {
    state: Mutex<PageQueueState>,
    changed: Condvar,
    /// Readable while `read` would not wait: what `sane_get_select_fd` gives out.
    ready: EventFd,
}

#[derive(Debug)]
struct PageQueueState {
    parameters: Option<Parameters>,
    ended: Option<Status>,
    bytes: VecDeque<u8>,
}

impl PageQueue {
    /// One that has not begun. Fails where the process has no descriptors left.
    pub fn new() -> Result<PageQueue, Errno> {
        let state = PageQueueState { parameters: None, ended: None, bytes: VecDeque::new() };
        Ok(PageQueue { state: Mutex::new(state), changed: Condvar::new(), ready: EventFd::new()? })
    }

    /// The page has begun, and this is what it will be.
    pub fn begin(&self, parameters: Parameters) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Err(Stopped);
        }
        state.parameters = Some(parameters);
        self.changed.notify_all();
        Ok(())
    }

    /// Adds bytes, waiting for room.
    pub fn push(&self, mut bytes: &[u8]) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        while !bytes.is_empty() {
            if state.ended.is_some() {
                return Err(Stopped);
            }
            let room = CAPACITY - state.bytes.len();
            if room == 0 {
                self.changed.wait(&mut state);
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if state.bytes.is_empty() {
                self.ready.notify();
                self.changed.notify_all();
            }
            state.bytes.extend(now);
            bytes = later;
        }
        Ok(())
    }

    /// No more bytes will come: [`Status::Eof`] where the page is whole, else what went wrong. Bytes that are here can
    /// still be read. The first end stays.
    pub fn end(&self, status: Status) {
        let mut state = self.state.lock();
        if state.ended.is_none() {
            state.ended = Some(status);
            self.ready.notify();
            self.changed.notify_all();
        }
    }

    /// Ends it and drops what was not read, unless the application has the whole page already.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        if state.ended != Some(Status::Eof) || !state.bytes.is_empty() {
            state.ended = Some(Status::Cancelled);
            state.bytes = VecDeque::new();
            self.ready.notify();
            self.changed.notify_all();
        }
    }

    /// Waits until the page has begun, or ended before it did. What goes wrong later is for [`PageQueue::read`] to say.
    pub fn wait_begun(&self) -> Result<Parameters, Status> {
        let mut state = self.state.lock();
        loop {
            match (state.parameters, state.ended) {
                (_, Some(Status::Cancelled)) => return Err(Status::Cancelled),
                (Some(parameters), _) => return Ok(parameters),
                (None, Some(status)) => return Err(status),
                (None, None) => self.changed.wait(&mut state),
            }
        }
    }

    /// What the page is, once it has begun.
    pub fn parameters(&self) -> Option<Parameters> {
        self.state.lock().parameters
    }

    /// Whether `sane_read` has nothing more to say than how it ended.
    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.ended.is_some() && state.bytes.is_empty()
    }

    /// Takes bytes into `buffer`, which need not hold any yet, and says how many; none only where none is wanted or `wait` says
    /// not to wait. `Err` with how the page ended once all bytes are read.
    pub fn read(&self, buffer: &mut [MaybeUninit<u8>], wait: Wait) -> Result<usize, Status> {
        let mut state = self.state.lock();
        while state.bytes.is_empty() {
            match state.ended {
                Some(status) => return Err(status),
                None if wait == Wait::No || buffer.is_empty() => return Ok(0),
                None => self.changed.wait(&mut state),
            }
        }
        let was_full = state.bytes.len() == CAPACITY;
        let count = take(&mut state.bytes, buffer);
        if state.bytes.is_empty() && state.ended.is_none() {
            self.ready.clear();
        }
        if was_full {
            self.changed.notify_all();
        }
        Ok(count)
    }

    /// Readable while [`PageQueue::read`] would not wait.
    pub fn ready(&self) -> &EventFd {
        &self.ready
    }
}

/// Moves what fits from the front of `bytes`.
fn take(bytes: &mut VecDeque<u8>, buffer: &mut [MaybeUninit<u8>]) -> usize {
    let count = buffer.len().min(bytes.len());
    let (first, second) = bytes.as_slices();
    let from_first = count.min(first.len());
    let taken = first[..from_first].iter().chain(&second[..count - from_first]);
    buffer.iter_mut().zip(taken).for_each(|(place, byte)| {
        place.write(*byte);
    });
    bytes.drain(..count);
    count
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::abi::{self, Frame};

    const LINE: Parameters = Parameters {
        format: Frame::Gray,
        last_frame: abi::TRUE,
        bytes_per_line: 10,
        pixels_per_line: 10,
        lines: 1,
        depth: 8,
    };

    fn begun() -> PageQueue {
        let stream = PageQueue::new().expect("descriptors are left");
        stream.begin(LINE).expect("nobody stopped it");
        stream
    }

    /// Reads into memory that holds nothing yet, as an application's may.
    fn read(stream: &PageQueue, into: &mut [u8], wait: Wait) -> Result<usize, Status> {
        let mut buffer = vec![MaybeUninit::uninit(); into.len()];
        let count = stream.read(&mut buffer, wait)?;
        for (byte, place) in into.iter_mut().zip(&buffer[..count]) {
            // SAFETY: so many places were written.
            *byte = unsafe { place.assume_init() };
        }
        Ok(count)
    }

    fn readable(stream: &PageQueue) -> bool {
        // SAFETY: the stream is borrowed, so its eventfd stays open.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(stream.ready().descriptor()) };
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).expect("poll works") == 1
    }

    #[test]
    fn bytes_come_out_as_they_went_in_though_there_are_more_than_it_holds() {
        let stream = begun();
        let sent: Vec<u8> = (0..3 * CAPACITY + 7).map(|at| (at % 251) as u8).collect();
        let mut got = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                sent.chunks(100_003).for_each(|chunk| stream.push(chunk).expect("nobody stopped it"));
                stream.end(Status::Eof);
            });
            let mut buffer = vec![0; 70_001];
            let end = loop {
                match read(&stream, &mut buffer, Wait::ForBytes) {
                    Ok(count) => got.extend_from_slice(&buffer[..count]),
                    Err(status) => break status,
                }
            };
            assert_eq!(end, Status::Eof);
        });
        assert!(got == sent);
        assert_eq!(read(&stream, &mut [0], Wait::ForBytes), Err(Status::Eof), "and it says so again");
    }

    #[test]
    fn a_stop_ends_a_reader_that_waits_and_a_writer_that_waits() {
        let stream = begun();
        thread::scope(|scope| {
            let reader = scope.spawn(|| read(&stream, &mut [0; 10], Wait::ForBytes));
            stream.stop();
            assert_eq!(reader.join().expect("the reader returns"), Err(Status::Cancelled));
        });
        let stream = begun();
        thread::scope(|scope| {
            let writer = scope.spawn(|| stream.push(&vec![0; CAPACITY + 1]));
            while !readable(&stream) {
                thread::yield_now();
            }
            stream.stop();
            assert_eq!(writer.join().expect("the writer returns"), Err(Stopped));
        });
    }

    #[test]
    fn a_stop_drops_what_was_not_read_but_a_page_that_was_read_stays_whole() {
        let stream = begun();
        stream.push(b"0123456789").expect("nobody stopped it");
        stream.end(Status::Eof);
        let mut buffer = [0; 4];
        assert_eq!(read(&stream, &mut buffer, Wait::ForBytes), Ok(4));
        stream.stop();
        assert_eq!(read(&stream, &mut buffer, Wait::ForBytes), Err(Status::Cancelled));

        let stream = begun();
        stream.end(Status::Eof);
        stream.stop();
        assert_eq!(read(&stream, &mut buffer, Wait::ForBytes), Err(Status::Eof));
    }

    #[test]
    fn what_went_wrong_is_told_after_the_bytes_that_came_before_it() {
        let stream = begun();
        stream.push(b"01").expect("nobody stopped it");
        stream.end(Status::Jammed);
        stream.end(Status::Eof);
        let mut buffer = [0; 4];
        assert_eq!(read(&stream, &mut buffer, Wait::No), Ok(2));
        assert_eq!(read(&stream, &mut buffer, Wait::No), Err(Status::Jammed));
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_a_read_would_not_wait() {
        let stream = begun();
        assert!(!readable(&stream));
        assert_eq!(read(&stream, &mut [0; 4], Wait::No), Ok(0));
        stream.push(b"012345").expect("nobody stopped it");
        assert!(readable(&stream));
        assert_eq!(read(&stream, &mut [0; 4], Wait::No), Ok(4));
        assert!(readable(&stream));
        assert_eq!(read(&stream, &mut [0; 4], Wait::No), Ok(2));
        assert!(!readable(&stream));
        stream.end(Status::Eof);
        assert!(readable(&stream));
        assert_eq!(read(&stream, &mut [0; 4], Wait::No), Err(Status::Eof));
        assert!(readable(&stream));
    }

    #[test]
    fn a_page_that_fails_before_it_begins_says_why() {
        let stream = PageQueue::new().expect("descriptors are left");
        thread::scope(|scope| {
            let starter = scope.spawn(|| stream.wait_begun());
            stream.end(Status::CoverOpen);
            assert_eq!(starter.join().expect("it returns"), Err(Status::CoverOpen));
        });
        assert_eq!(stream.begin(LINE), Err(Stopped));
    }
}

//! Messages straight from a socket: the kernel writes a payload to where it stays. The only I/O of this crate.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::frame::read_frame_with;
use crate::{Frame, FrameError};

/// As [`crate::read_frame`], from a socket: without the zeroing and the many small reads that a reader of any kind
/// costs. Headers come through `Read`, payloads with `recv` from the descriptor below it.
///
/// # Errors
/// See [`FrameError`]; the connection is of no use afterwards.
pub fn receive_frame<R: Read + AsFd>(
    reader: &mut BufReader<R>,
    header_limit: usize,
) -> Result<Option<Frame>, FrameError> {
    read_frame_with(reader, header_limit, receive)
}

/// As [`receive_frame`], with memory for the payload that was in use before: `spare` is asked, where there is a payload,
/// for a vector of at least so many bytes, whatever they are. With a shorter one new memory is taken, which the kernel
/// must clear, a page fault for each 4 KiB of it.
///
/// # Errors
/// See [`FrameError`]; the connection is of no use afterwards.
pub fn receive_frame_into<R: Read + AsFd>(
    reader: &mut BufReader<R>,
    header_limit: usize,
    spare: impl FnOnce(usize) -> Vec<u8>,
) -> Result<Option<Frame>, FrameError> {
    read_frame_with(reader, header_limit, |reader, length| {
        let mut payload = spare(length);
        if payload.len() < length {
            return receive(reader, length);
        }
        payload.truncate(length);
        let filled = fill(reader, &mut payload)?;
        payload.truncate(filled);
        Ok(payload)
    })
}

/// What was read ahead, then the rest from the socket itself. Gives back how many bytes that are: all, but at the end.
fn fill<R: Read + AsFd>(reader: &mut BufReader<R>, payload: &mut [u8]) -> io::Result<usize> {
    let mut filled = reader.buffer().len().min(payload.len());
    payload[..filled].copy_from_slice(&reader.buffer()[..filled]);
    reader.consume(filled);
    while filled < payload.len() {
        match recv(reader.get_ref(), &mut payload[filled..], RecvFlags::WAITALL) {
            Ok((_, 0)) => break,
            Ok((_, received)) => filled += received,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// The same into new memory, none of which is touched before its bytes are there.
fn receive<R: Read + AsFd>(reader: &mut BufReader<R>, length: usize) -> io::Result<Vec<u8>> {
    let mut payload = Vec::new();
    payload.reserve_exact(length);
    let ahead = reader.buffer().len().min(length);
    payload.extend_from_slice(&reader.buffer()[..ahead]);
    reader.consume(ahead);
    // A vector may have more room than was asked for, and what follows the payload is the next message.
    if payload.capacity() > length {
        return reader.take((length - ahead) as u64).read_to_end(&mut payload).map(|_| payload);
    }
    while payload.len() < length {
        match recv(reader.get_ref(), spare_capacity(&mut payload), RecvFlags::WAITALL) {
            Ok((0, _)) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;
    use crate::{Answer, FromDaemon, Status};

    #[test]
    fn payloads_of_all_lengths_arrive_whole_and_what_follows_stays_for_the_next() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let lengths = [0, 1, 31, 32, 4000, 4096, 9000, 65536, 1 << 20, 5];
        let answer = |length: usize| Answer {
            payload: (0..length).map(|i| (i % 251) as u8).collect(),
            ..Answer::new(length as u64, Status::Success)
        };
        let writer = thread::spawn(move || {
            lengths.iter().for_each(|length| answer(*length).write_to(&mut ours).unwrap());
        });
        let mut reader = BufReader::new(theirs);
        for length in lengths {
            let frame = receive_frame(&mut reader, 999).unwrap().unwrap();
            assert_eq!(FromDaemon::from_frame(frame).unwrap(), FromDaemon::Answer(answer(length)));
        }
        assert!(receive_frame(&mut reader, 999).unwrap().is_none());
        writer.join().unwrap();
    }

    #[test]
    fn a_payload_that_fits_comes_into_the_memory_it_is_given_and_one_that_does_not_into_new() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut reader = BufReader::new(theirs);
        let spare = vec![9; 8000];
        let place = spare.as_ptr();
        let mut spare = Some(spare);
        for (length, same) in [(8000, true), (5000, true), (5001, false), (0, false)] {
            Answer { payload: vec![7; length].into(), ..Answer::new(1, Status::Success) }.write_to(&mut ours).unwrap();
            let frame = receive_frame_into(&mut reader, 999, |_| spare.take().unwrap_or_default()).unwrap().unwrap();
            assert_eq!((frame.payload.len(), frame.payload.as_ptr() == place), (length, same));
            assert!(frame.payload.iter().all(|byte| *byte == 7));
            spare.get_or_insert(frame.payload);
        }
    }

    #[test]
    fn an_end_inside_a_payload_is_truncated() {
        for sent in [0, 1, 9999] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(b"{\"id\":1,\"payload\":10000}\n").unwrap();
            ours.write_all(&vec![7; sent]).unwrap();
            drop(ours);
            let mut reader = BufReader::new(theirs);
            let received = match sent {
                1 => receive_frame_into(&mut reader, 999, |length| vec![7; length]),
                _ => receive_frame(&mut reader, 999),
            };
            assert!(matches!(received, Err(FrameError::Truncated)), "{sent}: {received:?}");
        }
    }
}

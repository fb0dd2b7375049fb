//! Messages straight from a socket: the kernel writes a payload to where it stays. The only I/O of this crate.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::UnixStream;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::frame::read_frame_with;
use crate::{Frame, FrameError};

/// As [`crate::read_frame`], from a socket: without the zeroing and the many small reads that a reader of any kind
/// costs.
///
/// # Errors
/// See [`FrameError`]; the connection is of no use afterwards.
pub fn receive_frame(reader: &mut BufReader<UnixStream>, header_limit: usize) -> Result<Option<Frame>, FrameError> {
    read_frame_with(reader, header_limit, receive)
}

/// What was read ahead, then the rest of the payload from the socket itself.
fn receive(reader: &mut BufReader<UnixStream>, payload: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let ahead = reader.buffer().len().min(length);
    payload.extend_from_slice(&reader.buffer()[..ahead]);
    reader.consume(ahead);
    // A vector may have more room than was asked for, and what follows the payload is the next message.
    if payload.capacity() > length {
        return reader.take((length - ahead) as u64).read_to_end(payload).map(drop);
    }
    while payload.len() < length {
        match recv(reader.get_ref(), spare_capacity(payload), RecvFlags::WAITALL) {
            Ok((0, _)) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
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
    fn an_end_inside_a_payload_is_truncated() {
        for sent in [0, 1, 9999] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(b"{\"id\":1,\"payload\":10000}\n").unwrap();
            ours.write_all(&vec![7; sent]).unwrap();
            drop(ours);
            let received = receive_frame(&mut BufReader::new(theirs), 999);
            assert!(matches!(received, Err(FrameError::Truncated)), "{sent}: {received:?}");
        }
    }
}

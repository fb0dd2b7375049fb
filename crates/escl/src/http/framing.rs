//! Where the body of a response ends. Counts bytes and keeps none of them; the driver and the daemon's abort sequence both
//! follow bodies with it.

use super::HttpError;

/// A line of framing: the size of a chunk with its extensions.
const LINE_LIMIT: usize = 256;
/// Bytes of trailer fields in all.
const TRAILER_LIMIT: usize = 8 * 1024;
/// A body, or a chunk, that claims more is no page of any scanner.
const BODY_LIMIT: u64 = 1 << 40;
/// What comes at least behind a chunk's data: its line end, and the last chunk.
const BEHIND_CHUNK: u64 = 7;

/// How far a body has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing {
    state: FramingState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FramingState {
    Length {
        left: u64,
    },
    /// The line with a chunk's size.
    Size(Vec<u8>),
    Data {
        left: u64,
    },
    /// The line end behind a chunk's data.
    DataEnd {
        has_return: bool,
    },
    /// Fields behind the last chunk, ended by an empty line.
    Trailer {
        left: usize,
        line: usize,
    },
    /// Only silence ends it.
    Unframed,
    Over,
}

/// What the next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingStep {
    /// So many bytes of the body.
    Body(usize),
    /// So many bytes of framing.
    Framing(usize),
    /// The body is over; what follows belongs to something else.
    Over,
}

impl Framing {
    /// A body of so many bytes: Content-Length.
    ///
    /// # Errors
    /// [`HttpError::TooLong`] for more than any page has.
    pub fn length(bytes: u64) -> Result<Framing, HttpError> {
        if bytes > BODY_LIMIT {
            return Err(HttpError::TooLong { most: BODY_LIMIT });
        }
        Ok(Framing { state: if bytes == 0 { FramingState::Over } else { FramingState::Length { left: bytes } } })
    }

    /// A body in chunks, from the first one on.
    pub fn chunked() -> Framing {
        Framing { state: FramingState::Size(Vec::new()) }
    }

    /// A body of which nothing says where it ends. On a socket the connection's end would; a pipe has none.
    pub fn unframed() -> Framing {
        Framing { state: FramingState::Unframed }
    }

    /// Whether all of it has come.
    pub fn is_over(&self) -> bool {
        self.state == FramingState::Over
    }

    /// Whether only silence ends it.
    pub fn is_unframed(&self) -> bool {
        self.state == FramingState::Unframed
    }

    /// Bytes that are sure to come before the body is over, framing included; 0 when it is. A read of so many, rounded up to
    /// whole packets, is never left waiting by a device that sends what it announced, whether or not the device marks a burst
    /// of whole packets with an empty one.
    pub fn due(&self) -> u64 {
        match self.state {
            FramingState::Over => 0,
            FramingState::Length { left } => left,
            FramingState::Data { left } => left + BEHIND_CHUNK,
            _ => 1,
        }
    }

    /// Takes some of `input`, and says what they are. Takes nothing only of no input, and when the body is over.
    ///
    /// # Errors
    /// [`HttpError::Chunk`], [`HttpError::TooLong`]: the end of the body can't be found any more.
    pub fn step(&mut self, input: &[u8]) -> Result<FramingStep, HttpError> {
        let most = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        match &mut self.state {
            FramingState::Over => Ok(FramingStep::Over),
            FramingState::Unframed => Ok(FramingStep::Body(input.len())),
            FramingState::Length { left } => {
                let taken = most(*left);
                *left -= taken as u64;
                if *left == 0 {
                    self.state = FramingState::Over;
                }
                Ok(FramingStep::Body(taken))
            }
            FramingState::Data { left } => {
                let taken = most(*left);
                *left -= taken as u64;
                if *left == 0 {
                    self.state = FramingState::DataEnd { has_return: false };
                }
                Ok(FramingStep::Body(taken))
            }
            FramingState::Size(line) => {
                let end = input.iter().position(|byte| *byte == b'\n');
                let taken = end.map_or(input.len(), |end| end + 1);
                if line.len() + taken > LINE_LIMIT {
                    return Err(HttpError::Chunk);
                }
                line.extend_from_slice(&input[..taken]);
                if end.is_some() {
                    self.state = after_size(chunk_size(line)?);
                }
                Ok(FramingStep::Framing(taken))
            }
            FramingState::DataEnd { has_return } => match input.first() {
                None => Ok(FramingStep::Framing(0)),
                Some(b'\r') if !*has_return => {
                    *has_return = true;
                    Ok(FramingStep::Framing(1))
                }
                Some(b'\n') => {
                    self.state = FramingState::Size(Vec::new());
                    Ok(FramingStep::Framing(1))
                }
                Some(_) => Err(HttpError::Chunk),
            },
            FramingState::Trailer { left, line } => {
                for (at, byte) in input.iter().enumerate() {
                    *left = left.checked_sub(1).ok_or(HttpError::Chunk)?;
                    match byte {
                        b'\n' if *line == 0 => {
                            self.state = FramingState::Over;
                            return Ok(FramingStep::Framing(at + 1));
                        }
                        b'\n' => *line = 0,
                        b'\r' => {}
                        _ => *line += 1,
                    }
                }
                Ok(FramingStep::Framing(input.len()))
            }
        }
    }
}

fn after_size(size: u64) -> FramingState {
    match size {
        0 => FramingState::Trailer { left: TRAILER_LIMIT, line: 0 },
        left => FramingState::Data { left },
    }
}

/// Of a whole line. Some devices end lines without a carriage return.
fn chunk_size(line: &[u8]) -> Result<u64, HttpError> {
    let text = line.trim_ascii();
    if text.is_empty() {
        return Err(HttpError::Chunk);
    }
    let line = [text, b"\r\n"].concat();
    match httparse::parse_chunk_size(&line) {
        Ok(httparse::Status::Complete((_, size))) if size <= BODY_LIMIT => Ok(size),
        Ok(httparse::Status::Complete(_)) => Err(HttpError::TooLong { most: BODY_LIMIT }),
        _ => Err(HttpError::Chunk),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All of a stream in pieces of such sizes: the body, and what is left over when it is over.
    fn follow(mut framing: Framing, stream: &[u8], sizes: &[usize]) -> Result<(Vec<u8>, usize, Framing), HttpError> {
        let (mut body, mut at) = (Vec::new(), 0);
        let mut sizes = sizes.iter().copied().cycle();
        while at < stream.len() && !framing.is_over() {
            let end = (at + sizes.next().unwrap_or(1).max(1)).min(stream.len());
            let mut piece = &stream[at..end];
            while !piece.is_empty() {
                let taken = match framing.step(piece)? {
                    FramingStep::Body(taken) => {
                        body.extend_from_slice(&piece[..taken]);
                        taken
                    }
                    FramingStep::Framing(taken) => taken,
                    FramingStep::Over => break,
                };
                assert!(taken > 0, "takes nothing only of no input");
                piece = &piece[taken..];
                at += taken;
            }
        }
        Ok((body, stream.len() - at, framing))
    }

    #[test]
    fn a_length_is_counted_and_what_follows_is_left() {
        let (body, left, framing) = follow(Framing::length(5).unwrap(), b"12345HTTP", &[2]).unwrap();
        assert_eq!((&body[..], left, framing.due()), (&b"12345"[..], 4, 0));
        assert!(Framing::length(0).unwrap().is_over());
        assert_eq!(Framing::length(u64::MAX), Err(HttpError::TooLong { most: BODY_LIMIT }));
    }

    #[test]
    fn chunks_with_extensions_trailers_and_bare_line_feeds_are_followed() {
        let stream = b"4;name=\"x\"\r\nabcd\r\n 0a \r\n0123456789\r\n2\nxy\n0\r\nA: b\r\n\r\nHTTP/1.1";
        let (body, left, framing) = follow(Framing::chunked(), stream, &[3]).unwrap();
        assert_eq!((&body[..], left), (&b"abcd0123456789xy"[..], 8));
        assert!(framing.is_over());
    }

    #[test]
    fn what_is_due_is_sure_to_come() {
        let mut framing = Framing::chunked();
        assert_eq!(framing.due(), 1);
        framing.step(b"10\r\n").unwrap();
        assert_eq!(framing.due(), 16 + 7);
        framing.step(b"0123456789").unwrap();
        assert_eq!(framing.due(), 6 + 7);
        assert_eq!(Framing::length(700).unwrap().due(), 700);
        assert_eq!(Framing::unframed().due(), 1);
    }

    #[test]
    fn damaged_chunks_are_refused() {
        for stream in [
            &b"\r\nabcd"[..],
            b"xyz\r\n",
            b"4\r\nabcde\r\n",
            b"4\r\nabcd\r\r\n",
            b"ffffffffffffffff\r\n",
            b"FFFFFFFFFFFF\r\n",
            b"-1\r\n",
        ] {
            let result = follow(Framing::chunked(), stream, &[1]);
            assert!(result.is_err(), "{}", String::from_utf8_lossy(stream));
        }
        let line = [b"1;".to_vec(), vec![b'x'; LINE_LIMIT]].concat();
        assert_eq!(follow(Framing::chunked(), &line, &[64]).map(|_| ()), Err(HttpError::Chunk));
        let trailer = [b"0\r\n".to_vec(), vec![b'x'; TRAILER_LIMIT + 1]].concat();
        assert_eq!(follow(Framing::chunked(), &trailer, &[64]).map(|_| ()), Err(HttpError::Chunk));
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_it_is_the_same(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..6),
            sizes in prop::collection::vec(1usize..70, 1..5),
        ) {
            let mut stream = Vec::new();
            for chunk in &chunks {
                stream.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                stream.extend_from_slice(chunk);
                stream.extend_from_slice(b"\r\n");
            }
            stream.extend_from_slice(b"0\r\n\r\nrest");
            let (body, left, framing) = follow(Framing::chunked(), &stream, &sizes).unwrap();
            prop_assert_eq!((body, left, framing.is_over()), (chunks.concat(), 4, true));
        }
    }
}

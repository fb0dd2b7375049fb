//! One message as bytes: a header line, then the payload that it announces. Lengths are checked before
//! anything is allocated for them.

use std::io::{self, BufRead, Read, Write};

use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::PAYLOAD_LIMIT;
use crate::unique::{TWICE, UniqueFields};

/// A message that is not understood yet: the header's fields without `payload`, and the payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The header.
    pub header: Map<String, Value>,
    /// The bytes behind it.
    pub payload: Vec<u8>,
}

/// Why bytes are no message. After any of these the stream can't be followed any further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The line is longer than the limit.
    #[error("the header line is longer than {limit} bytes")]
    HeaderTooLong {
        /// Bytes that a header line may have.
        limit: usize,
    },
    /// The line is not one JSON object, or has a member twice.
    #[error("the header line is not a JSON object: {}", problem(.0))]
    NotAnObject(#[source] serde_json::Error),
    /// `payload` is no number, or a larger one than is allowed.
    #[error("\"payload\" must be a whole number from 0 to {PAYLOAD_LIMIT}")]
    BadPayload,
    /// A frame that a daemon would never send.
    #[error("the daemon sent what is neither an answer nor an event: {0}")]
    NotFromDaemon(#[source] serde_json::Error),
    /// The stream ended inside a message.
    #[error("the connection ended inside a message")]
    Truncated,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where a line is wrong. The line's own number would only mislead: it is always the first.
fn problem(error: &serde_json::Error) -> String {
    match error.classify() {
        // serde adds where that is.
        Category::Data => match error.to_string().split(" at line ").next() {
            Some(twice) if twice.starts_with(TWICE) => twice.to_owned(),
            _ => "it is JSON of another kind".to_owned(),
        },
        Category::Eof => "it ends too early".to_owned(),
        _ => format!("it is no JSON at byte {}", error.column()),
    }
}

/// Reads one message; `None` at a clean end. Blocks as the reader does.
///
/// # Errors
/// See [`FrameError`]; the connection is of no use afterwards.
pub fn read_frame(reader: &mut impl BufRead, header_limit: usize) -> Result<Option<Frame>, FrameError> {
    read_frame_with(reader, header_limit, |reader, length| {
        let mut payload = Vec::new();
        payload.reserve_exact(length);
        reader.take(length as u64).read_to_end(&mut payload).map(|_| payload)
    })
}

/// As [`read_frame`], with another way to read the payload: `read` gives so many bytes back, or fewer at the end of the
/// stream. Who knows the socket below the reader can have the kernel write them to where they stay.
///
/// # Errors
/// See [`FrameError`]; the connection is of no use afterwards.
pub(crate) fn read_frame_with<R: BufRead>(
    reader: &mut R,
    header_limit: usize,
    read: impl FnOnce(&mut R, usize) -> io::Result<Vec<u8>>,
) -> Result<Option<Frame>, FrameError> {
    let Some((header, length)) = read_header(reader, header_limit)? else { return Ok(None) };
    let payload = if length > 0 { read(reader, length)? } else { Vec::new() };
    if payload.len() < length {
        return Err(FrameError::Truncated);
    }
    Ok(Some(Frame { header, payload }))
}

/// A header's fields.
type Fields = Map<String, Value>;

/// The header's fields, and the length of the payload behind it.
fn read_header(reader: &mut impl BufRead, header_limit: usize) -> Result<Option<(Fields, usize)>, FrameError> {
    let mut line = Vec::new();
    reader.by_ref().take(header_limit as u64).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) if line.len() + 1 >= header_limit => return Err(FrameError::HeaderTooLong { limit: header_limit }),
        Some(_) => return Err(FrameError::Truncated),
    }
    let UniqueFields(mut header) = serde_json::from_slice(&line).map_err(FrameError::NotAnObject)?;
    let length = match header.remove("payload") {
        None => 0,
        Some(value) => value
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= PAYLOAD_LIMIT)
            .ok_or(FrameError::BadPayload)?,
    };
    Ok(Some((header, length)))
}

/// The header line with `payload` set where there is one.
pub(crate) fn header_line(mut header: Map<String, Value>, payload: usize) -> Vec<u8> {
    if payload > 0 {
        header.insert("payload".to_owned(), payload.into());
    }
    let mut line = serde_json::to_vec(&header).expect("a map of JSON values is JSON");
    line.push(b'\n');
    line
}

/// Writes header line and payload.
///
/// # Errors
/// The stream's.
pub fn write_frame(out: &mut impl Write, header: Map<String, Value>, payload: &[u8]) -> io::Result<()> {
    out.write_all(&header_line(header, payload.len()))?;
    out.write_all(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, FromDaemon};

    fn read(mut bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        read_frame(&mut bytes, 64)
    }

    #[test]
    fn a_payload_is_exactly_as_long_as_announced() {
        let mut bytes: &[u8] = b"{\"id\":5,\"payload\":2}\nab{\"id\":6}\n";
        let first = read_frame(&mut bytes, 64).unwrap().unwrap();
        assert_eq!((first.payload, first.header["id"].as_u64()), (b"ab".to_vec(), Some(5)));
        assert!(read_frame(&mut bytes, 64).unwrap().unwrap().payload.is_empty());
        assert!(read_frame(&mut bytes, 64).unwrap().is_none());
    }

    #[test]
    fn a_line_of_the_limit_is_read_and_one_byte_more_is_not() {
        let line = |length: usize| {
            let mut line = b"{\"a\":\"".to_vec();
            line.resize(length - 3, b'x');
            line.extend_from_slice(b"\"}\n");
            line
        };
        assert!(read(&line(64)).is_ok());
        assert!(matches!(read(&line(65)), Err(FrameError::HeaderTooLong { limit: 64 })));
    }

    #[test]
    fn an_end_inside_a_header_or_a_payload_is_told_from_a_clean_end() {
        assert!(matches!(read(b"{\"id\":1"), Err(FrameError::Truncated)));
        assert!(matches!(read(b"{\"payload\":2}\na"), Err(FrameError::Truncated)));
        assert!(matches!(read(b""), Ok(None)));
    }

    #[test]
    fn a_payload_of_any_other_kind_is_refused_before_it_is_read() {
        for payload in ["-1", "1048577", "99999999999999999999", "\"2\"", "1.5", "null", "[]"] {
            let line = format!("{{\"payload\":{payload}}}\n");
            assert!(matches!(read(line.as_bytes()), Err(FrameError::BadPayload)), "{line}");
        }
    }

    #[test]
    fn an_answer_with_a_member_called_event_is_an_answer() {
        let answer = Answer::new(1, crate::Status::Success).with_body(&crate::ChannelSizesBody {
            event: 64,
            read: 512,
            write: 512,
        });
        let frame = read_frame(&mut &answer.header_line()[..], 999).unwrap().unwrap();
        assert_eq!(FromDaemon::from_frame(frame).unwrap(), FromDaemon::Answer(answer));
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for line in ["\n", "[]\n", "1\n", "{\n", "\u{fffd}\n", "{} {}\n"] {
            assert!(matches!(read(line.as_bytes()), Err(FrameError::NotAnObject(_))), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_object_is_refused_with_the_place_where_it_goes_wrong() {
        for (line, words) in [
            ("GET / HTTP/1.1\r\n", "it is no JSON at byte 1"),
            ("{\"id\":1,}\n", "it is no JSON at byte 9"),
            ("{\"id\":1\n", "it ends too early"),
            ("[1]\n", "it is JSON of another kind"),
        ] {
            let error = read(line.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("the header line is not a JSON object: {words}"));
        }
    }
}

//! A response of HTTP (eSCL over USB) that passes in pieces: its head and its framing stay, a document loses its serial numbers,
//! and a picture becomes gray. No I/O; what is kept is a head at most.

use usbscan_escl::http::{Framing, FramingStep, HEAD_LIMIT};

use super::gray_jpeg::GrayJpeg;
use super::texts::Document;

const BEGIN: &[u8] = b"HTTP/1.";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

#[derive(Debug)]
enum Body {
    Document(Document),
    /// JPEG becomes gray, everything else zeros.
    Picture(Box<GrayJpeg>),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Outside,
    Head(Vec<u8>),
    Body(Framing, Body),
    /// In a body whose end can't be found.
    Lost,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Response {
    state: State,
}

impl Response {
    /// Whether this piece is of a response: one has begun, or begins here.
    pub(super) fn takes(&self, piece: &[u8]) -> bool {
        !matches!(self.state, State::Outside) || piece.starts_with(BEGIN)
    }

    /// Replaces the next piece.
    pub(super) fn cover(&mut self, piece: &mut [u8]) {
        if piece.starts_with(BEGIN) {
            self.state = State::Head(Vec::new());
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = self.step(rest);
            rest = &mut rest[taken..];
        }
    }

    /// Some of the bytes, at least one.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match &mut self.state {
            State::Outside => match bytes.windows(BEGIN.len()).position(|window| window == BEGIN) {
                Some(0) => {
                    self.state = State::Head(Vec::new());
                    self.step(bytes)
                }
                // Whatever this is, it is shown to nobody.
                begin => {
                    let end = begin.unwrap_or(bytes.len());
                    bytes[..end].fill(0);
                    end
                }
            },
            State::Head(head) => {
                let before = head.len();
                head.extend_from_slice(&bytes[..bytes.len().min(HEAD_LIMIT - before)]);
                let from = before.saturating_sub(END_OF_HEAD.len());
                let found = head[from..].windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD);
                let Some(end) = found.map(|at| from + at + END_OF_HEAD.len()) else {
                    if head.len() == HEAD_LIMIT {
                        self.state = State::Outside;
                    }
                    return bytes.len();
                };
                self.state = body(&head[..end]);
                end - before
            }
            State::Body(framing, body) => match framing.step(bytes) {
                Ok(FramingStep::Body(count)) => {
                    match body {
                        Body::Document(document) => document.cover(&mut bytes[..count]),
                        Body::Picture(picture) => picture.cover(&mut bytes[..count]),
                    }
                    self.leave_body_at_its_end();
                    count
                }
                Ok(FramingStep::Framing(count)) => {
                    self.leave_body_at_its_end();
                    count.max(1)
                }
                // It has been left at its end.
                Ok(FramingStep::Over) => bytes.len(),
                Err(_) => {
                    self.state = State::Lost;
                    self.step(bytes)
                }
            },
            State::Lost => {
                // Nothing of the rest is shown.
                bytes.fill(0);
                bytes.len()
            }
        }
    }

    fn leave_body_at_its_end(&mut self) {
        if matches!(&self.state, State::Body(framing, _) if framing.is_over()) {
            self.state = State::Outside;
        }
    }
}

/// What follows a head.
fn body(head: &[u8]) -> State {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
        line.map(str::trim)
    };
    let status = text.split_whitespace().nth(1).unwrap_or_default();
    let framing = match (status, field("transfer-encoding"), field("content-length")) {
        ("204" | "304", ..) => return State::Outside,
        (_, Some(encoding), _) if encoding.contains("chunked") => Framing::chunked(),
        (_, _, Some(length)) => match length.parse().ok().and_then(|length| Framing::length(length).ok()) {
            Some(framing) if framing.is_over() => return State::Outside,
            Some(framing) => framing,
            None => Framing::unframed(),
        },
        _ => Framing::unframed(),
    };
    let media = field("content-type").unwrap_or_default();
    let is_document = media.starts_with("text/") || media.contains("xml") || media.contains("json");
    State::Body(
        framing,
        if is_document { Body::Document(Document::default()) } else { Body::Picture(Box::new(GrayJpeg::new())) },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_framing_stay_and_bodies_are_covered_in_whatever_pieces_they_come() {
        let responses = [
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n\
             8\r\n<U:UUID>\r\n6\r\n12ab</\r\n0\r\n\r\n",
            "HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\npixel",
        ];
        for size in BEGIN.len()..=responses[0].len() {
            let mut response = Response::default();
            for before in responses {
                let mut bytes = before.as_bytes().to_vec();
                for piece in bytes.chunks_mut(size) {
                    assert!(response.takes(piece));
                    response.cover(piece);
                }
                let after = before.replace("12ab", "XXXX").replace("pixel", "\0\0\0\0\0");
                assert_eq!(String::from_utf8_lossy(&bytes), after, "in pieces of {size}");
            }
            assert!(!response.takes(b"\x02\x06"), "the last response is over");
        }
    }

    #[test]
    fn behind_a_response_whose_end_is_lost_nothing_is_shown() {
        let mut response = Response::default();
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nwhat is this\r\npixels".to_vec();
        response.cover(&mut bytes);
        assert!(bytes.ends_with(&[0; 20]));
        let mut bytes = b"pixels".to_vec();
        assert!(response.takes(&bytes));
        response.cover(&mut bytes);
        assert_eq!(bytes, [0; 6]);
    }
}

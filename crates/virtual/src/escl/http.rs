//! HTTP/1.1 as the scanner speaks it on one pair of pipes: requests out of a stream of bytes, and responses with their
//! framing. One request at a time; there is no connection that could be closed.

use std::collections::VecDeque;

/// The longest head of a request, and the longest body, that are understood.
const LONGEST_HEAD: usize = 16 * 1024;
const LONGEST_BODY: usize = 256 * 1024;

/// A request, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub method: String,
    /// The path, without the query.
    pub path: String,
    pub body: Vec<u8>,
}

/// What stands in front of the bytes that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// More bytes are needed.
    Partial,
    /// This one, of so many bytes.
    Request(Request, usize),
    /// Something that is none, of so many bytes: to be answered with a status.
    Bad(u16, usize),
}

/// Reads the request at the front.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    // Empty lines before a request line are passed over (RFC 9112, section 2.2).
    let skipped = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let rest = &bytes[skipped..];
    if rest.is_empty() {
        return Parsed::Partial;
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(rest) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if rest.len() < LONGEST_HEAD => return Parsed::Partial,
        Ok(httparse::Status::Partial) => return Parsed::Bad(431, bytes.len()),
        Err(_) => return Parsed::Bad(400, bytes.len()),
    };
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    };
    let target = request.path.unwrap_or_default();
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    let method = request.method.unwrap_or_default().to_owned();
    let is_chunked = header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let body = if is_chunked {
        unchunk(&rest[head..])
    } else {
        let length = header("content-length").map_or(Some(0), |value| value.parse::<usize>().ok());
        match length {
            Some(length) if length <= LONGEST_BODY => match rest.get(head..head + length) {
                Some(body) => Body::Whole(body.to_vec(), length),
                None => Body::Partial,
            },
            _ => Body::Bad,
        }
    };
    match body {
        Body::Whole(body, length) => Parsed::Request(Request { method, path, body }, skipped + head + length),
        Body::Partial => Parsed::Partial,
        Body::Bad => Parsed::Bad(413, bytes.len()),
    }
}

enum Body {
    Whole(Vec<u8>, usize),
    Partial,
    Bad,
}

/// A chunked body, without trailers.
fn unchunk(bytes: &[u8]) -> Body {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let (line, size) = match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Body::Partial,
            Err(_) => return Body::Bad,
        };
        let Some(size) = usize::try_from(size).ok().filter(|size| body.len() + size <= LONGEST_BODY) else {
            return Body::Bad;
        };
        at += line;
        match bytes.get(at..at + size + 2) {
            None => return Body::Partial,
            Some(chunk) if chunk[size..] != *b"\r\n" => return Body::Bad,
            Some(chunk) => body.extend(&chunk[..size]),
        }
        at += size + 2;
        if size == 0 {
            return Body::Whole(body, at);
        }
    }
}

/// How the end of a document's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// In chunks, of which an empty one is the last.
    #[default]
    Chunked,
    /// Content-Length.
    Length,
    /// Not at all.
    None,
    /// Content-Length says ten bytes more than come.
    Short,
    /// Ten bytes more come than Content-Length says.
    Long,
    /// In chunks, of which the third has no size that can be read.
    BadChunk,
}

impl Framing {
    pub(crate) fn parse(text: &str) -> Option<Framing> {
        match text {
            "chunked" => Some(Framing::Chunked),
            "length" => Some(Framing::Length),
            "none" => Some(Framing::None),
            "short" => Some(Framing::Short),
            "long" => Some(Framing::Long),
            "bad-chunk" => Some(Framing::BadChunk),
            _ => None,
        }
    }

    fn is_chunked(self) -> bool {
        matches!(self, Framing::Chunked | Framing::BadChunk)
    }
}

/// Bytes of a body that are made as they are taken.
pub(super) trait Document: Send + std::fmt::Debug {
    /// The next bytes, at most so many; none: that was all.
    fn take(&mut self, most: usize) -> Vec<u8>;
}

/// A response on its way to the host.
#[derive(Debug, Default)]
pub(super) struct Response {
    /// Made and not sent.
    ready: VecDeque<u8>,
    body: Option<Streamed>,
    /// The head has no end: it goes on for as long as it is read.
    is_endless: bool,
}

/// A body that follows piece by piece.
#[derive(Debug)]
struct Streamed {
    document: Box<dyn Document>,
    framing: Framing,
    chunk: usize,
    pieces: u32,
}

/// The reason phrase of a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

const SERVER: &str = "Server: usbscan virtual eSCL scanner\r\n";

impl Response {
    /// A status with headers of its own (each with its line end) and a body that is there.
    pub(super) fn new(status: u16, headers: &str, body: &[u8]) -> Response {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} {}\r\n{SERVER}{headers}Content-Length: {length}\r\n\r\n", reason(status));
        let mut ready: VecDeque<u8> = head.into_bytes().into();
        ready.extend(body);
        Response { ready, ..Response::default() }
    }

    /// 200 with a document in chunks of so many bytes.
    pub(super) fn document(
        content_type: &str,
        framing: Framing,
        chunk: usize,
        mut document: Box<dyn Document>,
    ) -> Response {
        let head = format!("HTTP/1.1 200 OK\r\n{SERVER}Content-Type: {content_type}\r\n");
        let mut ready: VecDeque<u8> = head.into_bytes().into();
        if framing.is_chunked() {
            ready.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            return Response { ready, body: Some(Streamed { document, framing, chunk, pieces: 0 }), is_endless: false };
        }
        if framing == Framing::None {
            ready.extend(b"\r\n");
            return Response { ready, body: Some(Streamed { document, framing, chunk, pieces: 0 }), is_endless: false };
        }
        // Its length stands in front, so it has to be there whole.
        let mut body = Vec::new();
        loop {
            let part = document.take(chunk.max(4096));
            if part.is_empty() {
                break;
            }
            body.extend(part);
        }
        let length = match framing {
            Framing::Short => body.len() + 10,
            _ => body.len(),
        };
        ready.extend(format!("Content-Length: {length}\r\n\r\n").into_bytes());
        ready.extend(&body);
        if framing == Framing::Long {
            ready.extend([0xee; 10]);
        }
        Response { ready, ..Response::default() }
    }

    /// A head that never ends.
    pub(super) fn endless() -> Response {
        let ready = format!("HTTP/1.1 200 OK\r\n{SERVER}").into_bytes().into();
        Response { ready, body: None, is_endless: true }
    }

    /// Bytes that are no response, as of one that was broken off.
    pub(super) fn stale(bytes: Vec<u8>) -> Response {
        Response { ready: bytes.into(), ..Response::default() }
    }

    /// Ends the body as early as its framing allows. False: it has to be sent to its end.
    pub(super) fn end_early(&mut self) -> bool {
        match self.body.take() {
            Some(body) if body.framing.is_chunked() => {
                self.ready.extend(b"0\r\n\r\n");
                true
            }
            Some(body) if body.framing == Framing::None => true,
            other => {
                self.body = other;
                false
            }
        }
    }

    /// Fills `buffer`; 0: that was all.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> usize {
        while self.ready.len() < buffer.len() && self.make_more() {}
        let n = buffer.len().min(self.ready.len());
        for (to, from) in buffer.iter_mut().zip(self.ready.drain(..n)) {
            *to = from;
        }
        n
    }

    pub(super) fn is_over(&self) -> bool {
        self.ready.is_empty() && self.body.is_none() && !self.is_endless
    }

    fn make_more(&mut self) -> bool {
        if self.is_endless {
            self.ready.extend(b"X-More: and more of it, without an end\r\n");
            return true;
        }
        let Some(body) = &mut self.body else { return false };
        let part = body.document.take(body.chunk.max(1));
        body.pieces += 1;
        let framing = body.framing;
        match (framing.is_chunked(), part.is_empty()) {
            (true, true) => self.ready.extend(b"0\r\n\r\n"),
            (true, false) => {
                let size = if framing == Framing::BadChunk && body.pieces == 3 {
                    "zz\r\n".to_owned()
                } else {
                    format!("{:x}\r\n", part.len())
                };
                self.ready.extend(size.into_bytes());
                self.ready.extend(&part);
                self.ready.extend(b"\r\n");
            }
            (false, _) => self.ready.extend(&part),
        }
        if part.is_empty() {
            self.body = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_when_all_of_it_is_there() {
        let bytes = b"\r\nPOST /eSCL/ScanJobs?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n<a/>GET";
        let whole = bytes.len() - 3;
        for length in 0..whole {
            assert_eq!(parse(&bytes[..length]), Parsed::Partial, "{length}");
        }
        let request = Request { method: "POST".into(), path: "/eSCL/ScanJobs".into(), body: b"<a/>".to_vec() };
        assert_eq!(parse(bytes), Parsed::Request(request, whole));
    }

    #[test]
    fn a_chunked_body_is_put_together() {
        let bytes = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;e=1\r\nd\r\n0\r\n\r\n";
        let Parsed::Request(request, length) = parse(bytes) else { panic!("it is whole") };
        assert_eq!((request.body.as_slice(), length), (&b"abcd"[..], bytes.len()));
        assert_eq!(parse(&bytes[..bytes.len() - 1]), Parsed::Partial);
        let bad = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert_eq!(parse(bad), Parsed::Bad(413, bad.len()));
    }

    #[test]
    fn what_is_no_request_is_answered_and_bounded() {
        assert_eq!(parse(b"\x1b@\x1b\r\n\r\n"), Parsed::Bad(400, 7));
        let long = [&b"GET / HTTP/1.1\r\n"[..], &vec![b'a'; LONGEST_HEAD]].concat();
        assert!(matches!(parse(&long), Parsed::Bad(_, n) if n == long.len()));
        let body = b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n";
        assert_eq!(parse(body), Parsed::Bad(413, body.len()));
    }

    #[derive(Debug)]
    struct Counting(u8);

    impl Document for Counting {
        fn take(&mut self, most: usize) -> Vec<u8> {
            let n = most.min(usize::from(self.0));
            self.0 -= n as u8;
            vec![b'x'; n]
        }
    }

    fn all(mut response: Response) -> String {
        let mut text = Vec::new();
        let mut buffer = [0; 7];
        loop {
            match response.fill(&mut buffer) {
                0 => break,
                n => text.extend(&buffer[..n]),
            }
        }
        assert!(response.is_over());
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_body_has_the_framing_that_it_is_told_to_have() {
        let of = |framing| all(Response::document("a/b", framing, 4, Box::new(Counting(6))));
        let body = |text: String| text.split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned()));
        let (head, chunked) = body(of(Framing::Chunked)).expect("a head");
        assert!(head.contains("Transfer-Encoding: chunked"));
        assert_eq!(chunked, "4\r\nxxxx\r\n2\r\nxx\r\n0\r\n\r\n");
        let lengths = [(Framing::Length, "6", 6), (Framing::Short, "16", 6), (Framing::Long, "6", 16)];
        for (framing, said, came) in lengths {
            let text = Response::document("a/b", framing, 4, Box::new(Counting(6)));
            let bytes = {
                let mut text = text;
                let mut buffer = vec![0; 1000];
                let n = text.fill(&mut buffer);
                buffer.truncate(n);
                buffer
            };
            let head = String::from_utf8_lossy(&bytes).into_owned();
            assert!(head.contains(&format!("Content-Length: {said}\r\n")), "{head}");
            let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
            assert_eq!(bytes.len() - at, came, "{framing:?}");
        }
        let (head, plain) = body(of(Framing::None)).expect("a head");
        assert!(!head.contains("Length") && !head.contains("chunked") && plain == "xxxxxx");
    }

    #[test]
    fn a_chunked_body_that_ends_early_has_a_last_chunk() {
        let mut response = Response::document("a/b", Framing::Chunked, 4, Box::new(Counting(200)));
        let mut buffer = [0; 200];
        response.fill(&mut buffer);
        assert!(response.end_early());
        assert!(all(response).ends_with("\r\n0\r\n\r\n"));
        assert!(!Response::new(200, "", b"x").end_early());
    }
}

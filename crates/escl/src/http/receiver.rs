//! One response after the other, as they come from a pipe. A state machine of values: it says how many bytes must follow at least,
//! takes bytes as they arrive, and returns head, body and end.
//!
//! ```text
//!           expect()           head found             body over
//!   Idle ─────────────▶ Seeking ─────────▶ Body ───────────────────▶ Idle
//!                         │  ▲                │ end_here(): taken as complete
//!                         └──┘ bytes of another client's response, interim responses (1xx)
//! ```

use bytes::Bytes;

use super::head::{self, Found, HEAD_LIMIT, Head};
use super::{Framing, FramingStep, HttpError};

/// Interim responses before the one that was asked for.
const INTERIM: u32 = 8;
/// How every response begins, and bytes by which that can be told.
const BEGINNING: &[u8] = b"HTTP/1.";
const BEGINNING_BYTES: usize = 9;

/// How much may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in front of the head that are passed over: the rest of a response that another client did not read.
    pub skip: u64,
    /// Bytes of the body.
    pub body: u64,
}

impl Limits {
    /// For an XML document on a pipe that is in sync. A few bytes may be left of the last response, where its length was wrong.
    pub fn document() -> Limits {
        Limits { skip: 64 * 1024, body: 1 << 20 }
    }

    /// For a page.
    pub fn page(body: u64) -> Limits {
        Limits { body, ..Limits::document() }
    }
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The response begins.
    Head(Head),
    /// Some of its body, where it came to.
    Body(Bytes),
    /// It is over; the next request may be sent.
    End,
}

#[derive(Debug)]
enum ReceiverState {
    /// Nothing was asked for.
    Idle,
    /// For a head: the bytes that may be its beginning.
    Seeking(Vec<u8>),
    Body(Framing),
}

/// The responses from one pipe.
#[derive(Debug)]
pub struct Receiver {
    state: ReceiverState,
    /// What came and was not looked at.
    input: Bytes,
    limits: Limits,
    skipped: u64,
    interim: u32,
    body: u64,
}

impl Default for Receiver {
    fn default() -> Receiver {
        let limits = Limits::document();
        Receiver { state: ReceiverState::Idle, input: Bytes::new(), limits, skipped: 0, interim: 0, body: 0 }
    }
}

impl Receiver {
    /// A request was sent: its response comes next. Unread bytes from before, and the
    /// rest of a response that was expected until now, are dropped.
    pub fn expect(&mut self, limits: Limits) {
        let dropped = std::mem::take(&mut self.input).len() as u64;
        *self = Receiver { state: ReceiverState::Seeking(Vec::new()), limits, skipped: dropped, ..Receiver::default() };
    }

    /// The rest of a body comes next, whose head another client has read.
    pub fn expect_body(&mut self, framing: Framing, most: u64) {
        let limits = Limits { skip: 0, body: most };
        *self = Receiver { state: ReceiverState::Body(framing), limits, ..Receiver::default() };
    }

    /// Whether nothing is expected.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, ReceiverState::Idle)
    }

    /// Whether some of the expected response, or of another one in front of it, has come.
    pub fn has_begun(&self) -> bool {
        match &self.state {
            ReceiverState::Idle => false,
            ReceiverState::Seeking(held) => !held.is_empty() || self.skipped > 0,
            ReceiverState::Body(_) => true,
        }
    }

    /// The body under way, if its head has come.
    pub fn framing(&self) -> Option<&Framing> {
        match &self.state {
            ReceiverState::Body(framing) => Some(framing),
            _ => None,
        }
    }

    /// Bytes that are sure to come still, at least; 0 when nothing is expected. Read so many, rounded up to whole packets.
    pub fn due(&self) -> u64 {
        let due = match &self.state {
            ReceiverState::Idle => return 0,
            ReceiverState::Seeking(_) => 1,
            ReceiverState::Body(framing) if framing.is_over() => return 0,
            ReceiverState::Body(framing) => framing.due(),
        };
        due.saturating_sub(self.input.len() as u64).max(1)
    }

    /// Whether something is expected, and all that came is used up.
    pub fn needs_more(&self) -> bool {
        self.input.is_empty() && self.due() > 0
    }

    /// Bytes that were passed over in front of this response's head.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Bytes came. None may be pushed before [`Receiver::next_part`] has said that it needs more.
    pub fn push(&mut self, bytes: Bytes) {
        debug_assert!(self.input.is_empty(), "what came before is used up");
        if self.input.is_empty() {
            self.input = bytes;
        } else {
            self.input = [&self.input[..], &bytes[..]].concat().into();
        }
    }

    /// The next part of the response; `None` when more bytes are needed for one.
    ///
    /// # Errors
    /// [`HttpError`]; nothing is expected any more then.
    pub fn next_part(&mut self) -> Result<Option<Part>, HttpError> {
        let part = self.advance();
        if part.is_err() {
            self.state = ReceiverState::Idle;
            self.input = Bytes::new();
        }
        part
    }

    fn advance(&mut self) -> Result<Option<Part>, HttpError> {
        loop {
            match &mut self.state {
                ReceiverState::Idle => return Ok(None),
                ReceiverState::Seeking(_) => match self.seek()? {
                    Some(head) if (100..200).contains(&head.status) => {
                        self.interim += 1;
                        if self.interim > INTERIM {
                            return Err(HttpError::Interim);
                        }
                    }
                    Some(head) => {
                        self.state = ReceiverState::Body(head.framing.clone());
                        return Ok(Some(Part::Head(head)));
                    }
                    None => return Ok(None),
                },
                ReceiverState::Body(framing) => {
                    if framing.is_over() {
                        self.state = ReceiverState::Idle;
                        return Ok(Some(Part::End));
                    }
                    if self.input.is_empty() {
                        return Ok(None);
                    }
                    match framing.step(&self.input)? {
                        FramingStep::Body(taken) => {
                            self.body += taken as u64;
                            if self.body > self.limits.body {
                                return Err(HttpError::TooLong { most: self.limits.body });
                            }
                            return Ok(Some(Part::Body(self.input.split_to(taken))));
                        }
                        FramingStep::Framing(taken) => drop(self.input.split_to(taken)),
                        FramingStep::Over => {}
                    }
                }
            }
        }
    }

    /// Looks for a head in what has come. What is behind it stays in `input`.
    fn seek(&mut self) -> Result<Option<Head>, HttpError> {
        let ReceiverState::Seeking(held) = &mut self.state else { return Ok(None) };
        loop {
            // In bounded steps, so that a lot of junk is not held twice.
            let step = self.input.split_to(self.input.len().min(HEAD_LIMIT));
            held.extend_from_slice(&step);
            let mut from = 0;
            let found = loop {
                match beginning(&held[from..]) {
                    Beginning::At(at) => from += at,
                    Beginning::NotBefore(at) => {
                        from += at;
                        break Found::Part;
                    }
                }
                match head::parse(&held[from..])? {
                    Found::Nothing => from += 1,
                    found => break found,
                }
            };
            self.skipped += from as u64;
            if self.skipped > self.limits.skip {
                return Err(HttpError::NotHttp { skipped: self.skipped });
            }
            held.drain(..from);
            match found {
                Found::Head(length, head) => {
                    let behind = held.split_off(length);
                    held.clear();
                    if !behind.is_empty() {
                        self.input = [&behind[..], &self.input[..]].concat().into();
                    }
                    return Ok(Some(*head));
                }
                _ if held.len() > HEAD_LIMIT => return Err(HttpError::HeadTooLong),
                _ if self.input.is_empty() => return Ok(None),
                _ => {}
            }
        }
    }

    /// The scanner has fallen silent, and the response is taken for complete. How many bytes are missing by what the
    /// head said: 0 where nothing said it, and where only framing is missing.
    pub fn end_here(&mut self) -> u64 {
        let state = std::mem::replace(&mut self.state, ReceiverState::Idle);
        match state {
            ReceiverState::Body(framing) if !framing.is_unframed() => framing.due(),
            _ => 0,
        }
    }
}

enum Beginning {
    /// A response may begin here.
    At(usize),
    /// None begins before this, and perhaps one here, if more bytes come.
    NotBefore(usize),
}

/// Where a response may begin. It need not be at the start of a line: a body with a length has none at its end.
fn beginning(bytes: &[u8]) -> Beginning {
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        let common = rest.len().min(BEGINNING.len());
        if rest[..common] != BEGINNING[..common] {
            continue;
        }
        match rest.get(BEGINNING.len()..BEGINNING_BYTES) {
            None => return Beginning::NotBefore(at),
            Some([digit, b' ']) if digit.is_ascii_digit() => return Beginning::At(at),
            Some(_) => {}
        }
    }
    Beginning::NotBefore(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SKIP: u64 = 1000;

    /// Status, body, bytes passed over, bytes left.
    type Response = (u16, Vec<u8>, u64, usize);

    /// The response in a stream that comes in pieces of such sizes; `None` of a stream that ends before it does.
    fn receive(stream: &[u8], sizes: &[usize]) -> Result<Option<Response>, HttpError> {
        let mut receiver = Receiver::default();
        receiver.expect(Limits { skip: SKIP, body: 10_000 });
        let (mut status, mut body, mut at) = (0, Vec::new(), 0);
        let mut sizes = sizes.iter().copied().cycle();
        loop {
            match receiver.next_part()? {
                Some(Part::Head(head)) => status = head.status,
                Some(Part::Body(bytes)) => body.extend_from_slice(&bytes),
                Some(Part::End) => {
                    assert!(receiver.is_idle() && receiver.due() == 0);
                    let left = stream.len() - at + receiver.input.len();
                    return Ok(Some((status, body, receiver.skipped(), left)));
                }
                None if at == stream.len() => return Ok(None),
                None => {
                    assert!(receiver.due() > 0);
                    let end = (at + sizes.next().unwrap_or(1).max(1)).min(stream.len());
                    receiver.push(Bytes::copy_from_slice(&stream[at..end]));
                    at = end;
                }
            }
        }
    }

    const DOCUMENT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 10\r\n\r\n0123456789";

    #[test]
    fn head_and_body_may_come_in_one_piece_or_many() {
        for size in [1, 7, 64, 1000] {
            assert_eq!(receive(DOCUMENT, &[size]), Ok(Some((200, b"0123456789".to_vec(), 0, 0))), "{size}");
        }
    }

    #[test]
    fn behind_the_last_byte_of_a_body_nothing_more_is_asked_for() {
        let mut receiver = Receiver::default();
        receiver.expect(Limits::document());
        receiver.push(Bytes::from_static(DOCUMENT));
        assert!(matches!(receiver.next_part(), Ok(Some(Part::Head(_)))));
        assert_eq!(receiver.next_part(), Ok(Some(Part::Body(Bytes::from_static(b"0123456789")))));
        // A read would be left waiting, and take what belongs to the next response.
        assert!(!receiver.needs_more());
        assert_eq!((receiver.next_part(), receiver.is_idle()), (Ok(Some(Part::End)), true));
    }

    #[test]
    fn what_is_left_of_another_response_is_passed_over() {
        for junk in [
            &b"tail of a page\r\n0\r\n\r\n"[..],
            b"</a>",
            b"HTTP/1",
            b"HTTP/1.x HTTP/1.1 no\r\n",
            b"\r\n",
            &[0xff; 600],
        ] {
            let stream = [junk, DOCUMENT].concat();
            for size in [1, 3, 512, 5000] {
                let expected = (200, b"0123456789".to_vec(), junk.len() as u64, 0);
                assert_eq!(receive(&stream, &[size]), Ok(Some(expected)), "{junk:?} {size}");
            }
        }
    }

    #[test]
    fn too_much_that_is_no_response_is_an_error() {
        let stream = vec![b'x'; SKIP as usize + 1];
        assert_eq!(receive(&stream, &[64]), Err(HttpError::NotHttp { skipped: SKIP + 1 }));
        assert_eq!(receive(&stream[1..], &[64]), Ok(None));
    }

    #[test]
    fn a_head_without_an_end_is_an_error() {
        let mut stream = b"HTTP/1.1 200 OK\r\n".to_vec();
        while stream.len() < 2 * HEAD_LIMIT {
            stream.extend_from_slice(b"A: b\r\n");
        }
        // Either there are too many fields, and it is taken for junk, or too many bytes.
        assert!(receive(&stream, &[512]).is_err());
        let long = [&b"HTTP/1.1 200 OK\r\nA: "[..], &vec![b'b'; 2 * HEAD_LIMIT]].concat();
        assert_eq!(receive(&long, &[512]), Err(HttpError::HeadTooLong));
        assert_eq!(receive(&long, &[100_000]), Err(HttpError::HeadTooLong));
    }

    #[test]
    fn interim_responses_are_passed_over_but_not_for_ever() {
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        let stream = [&interim[..], interim, DOCUMENT].concat();
        assert_eq!(receive(&stream, &[30]), Ok(Some((200, b"0123456789".to_vec(), 0, 0))));
        assert_eq!(receive(&interim.repeat(20), &[30]), Err(HttpError::Interim));
    }

    #[test]
    fn a_body_longer_than_could_be_asked_for_is_an_error() {
        let stream = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b'x'; 20_000]].concat();
        assert_eq!(receive(&stream, &[512]), Err(HttpError::TooLong { most: 10_000 }));
    }

    #[test]
    fn behind_the_last_byte_of_a_body_nothing_is_due_though_its_end_was_not_told_yet() {
        for (body, rest) in
            [("Content-Length: 3\r\n\r\nabc", 1), ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 2)]
        {
            let mut receiver = Receiver::default();
            receiver.expect(Limits::document());
            receiver.push(format!("HTTP/1.1 200 OK\r\n{body}").into_bytes().into());
            assert!(matches!(receiver.next_part(), Ok(Some(Part::Head(_)))));
            assert!(matches!(receiver.next_part(), Ok(Some(Part::Body(_)))));
            if rest == 1 {
                assert_eq!((receiver.due(), receiver.needs_more()), (0, false), "it is over, and not idle yet");
            } else {
                assert!(!receiver.needs_more(), "the last chunk is there");
            }
            assert!(matches!(receiver.next_part(), Ok(Some(Part::End))));
            assert_eq!((receiver.due(), receiver.needs_more(), receiver.is_idle()), (0, false, true));
        }
    }

    #[test]
    fn a_body_that_nothing_ends_is_ended_by_silence() {
        let mut receiver = Receiver::default();
        receiver.expect(Limits::document());
        receiver.push(Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\nall of it"));
        assert!(matches!(receiver.next_part(), Ok(Some(Part::Head(_)))));
        assert_eq!(receiver.next_part(), Ok(Some(Part::Body(Bytes::from_static(b"all of it")))));
        assert_eq!((receiver.next_part(), receiver.due()), (Ok(None), 1));
        assert_eq!(receiver.end_here(), 0);
        assert!(receiver.is_idle());
    }

    #[test]
    fn a_body_that_is_too_short_says_what_is_missing() {
        let mut receiver = Receiver::default();
        receiver.expect(Limits::document());
        receiver.push(Bytes::from_static(b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nfour"));
        while receiver.next_part().expect("so far so good").is_some() {}
        assert_eq!((receiver.due(), receiver.end_here(), receiver.is_idle()), (1, 1, true));
    }

    #[test]
    fn a_body_whose_head_another_reader_has_seen_can_be_followed() {
        let mut receiver = Receiver::default();
        receiver.expect_body(Framing::chunked(), u64::MAX);
        receiver.push(Bytes::from_static(b"2\r\nab\r\n0\r\n\r\n"));
        assert_eq!(receiver.next_part(), Ok(Some(Part::Body(Bytes::from_static(b"ab")))));
        assert_eq!(receiver.next_part(), Ok(Some(Part::End)));
    }

    const PIECES: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\n",
        b"Content-Length: 3\r\n",
        b"\r\n",
        b"abc",
        b"Transfer-Encoding: chunked\r\n",
        b"1\r\n",
        b"0\r\n",
        b"HTTP/1.1 100 ",
        b"H",
    ];

    proptest! {
        #[test]
        fn whatever_comes_is_understood_alike_however_it_is_cut(
            stream in prop::collection::vec(prop::sample::select(PIECES), 0..12),
            sizes in prop::collection::vec(1usize..40, 1..4),
        ) {
            let stream = stream.concat();
            let whole = receive(&stream, &[10_000]);
            prop_assert_eq!(receive(&stream, &sizes), whole);
        }
    }
}

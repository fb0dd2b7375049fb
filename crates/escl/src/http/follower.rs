//! Follows a response that somebody else reads: where it is, from the bytes alone. Keeps none of a body.
//!
//! The daemon feeds it what it delivers to a driver. Should the driver die, the rest of the response is still on its way, and
//! nothing else knows how long that is.

use bytes::Bytes;

use super::{Framing, FramingStep, HttpError, Limits, Part, Receiver};

/// What is passed over in front of a head: a whole page of somebody else.
const SKIP: u64 = 1 << 30;

#[derive(Debug)]
enum FollowerState {
    Head(Box<Receiver>),
    Body(Framing),
    Over,
    /// Its end can't be found any more.
    Lost,
}

/// A response, followed.
#[derive(Debug)]
pub struct Follower {
    state: FollowerState,
    status: Option<u16>,
    location: Option<String>,
}

impl Follower {
    /// From its head on.
    pub fn of_response() -> Follower {
        let mut receiver = Receiver::default();
        receiver.expect(Limits { skip: SKIP, body: u64::MAX });
        Follower { state: FollowerState::Head(Box::new(receiver)), status: None, location: None }
    }

    /// From somewhere in its body on.
    pub fn of_body(framing: Framing) -> Follower {
        Follower { state: FollowerState::Body(framing), status: None, location: None }
    }

    /// Whether all of it has come.
    pub fn is_over(&self) -> bool {
        match &self.state {
            FollowerState::Over => true,
            FollowerState::Body(framing) => framing.is_over(),
            FollowerState::Head(_) | FollowerState::Lost => false,
        }
    }

    /// Whether only silence ends it: nothing says where its end is, or what said so was damaged.
    pub fn is_unframed(&self) -> bool {
        match &self.state {
            FollowerState::Body(framing) => framing.is_unframed(),
            FollowerState::Lost => true,
            FollowerState::Head(_) | FollowerState::Over => false,
        }
    }

    /// Whether any of it has come, or of another response in front of it.
    pub fn has_begun(&self) -> bool {
        match &self.state {
            FollowerState::Head(receiver) => receiver.has_begun(),
            FollowerState::Body(_) | FollowerState::Over | FollowerState::Lost => true,
        }
    }

    /// Bytes that are sure to come still, at least; 0 when it is over.
    pub fn due(&self) -> u64 {
        match &self.state {
            FollowerState::Head(_) | FollowerState::Lost => 1,
            FollowerState::Body(framing) => framing.due(),
            FollowerState::Over => 0,
        }
    }

    /// Its status and its Location, if its head was seen.
    pub fn made(&self) -> Option<(u16, &str)> {
        Some((self.status?, self.location.as_deref()?))
    }

    /// The next bytes of the pipe. Those behind the response's end are nobody's.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let FollowerState::Head(receiver) = &mut self.state {
            receiver.push(Bytes::copy_from_slice(bytes));
            match read_on(receiver, &mut self.status, &mut self.location) {
                Ok(Some(state)) => self.state = state,
                Ok(None) => {}
                Err(_) => self.state = FollowerState::Lost,
            }
            return;
        }
        let FollowerState::Body(framing) = &mut self.state else { return };
        let mut rest = bytes;
        while !rest.is_empty() {
            match framing.step(rest) {
                Ok(FramingStep::Body(taken) | FramingStep::Framing(taken)) => rest = &rest[taken..],
                Ok(FramingStep::Over) => break,
                Err(_) => {
                    self.state = FollowerState::Lost;
                    return;
                }
            }
        }
        if framing.is_over() {
            self.state = FollowerState::Over;
        }
    }
}

/// All that has come; where the response is then, if its head was among it.
fn read_on(
    receiver: &mut Receiver,
    status: &mut Option<u16>,
    location: &mut Option<String>,
) -> Result<Option<FollowerState>, HttpError> {
    while let Some(part) = receiver.next_part()? {
        match part {
            Part::Head(head) => (*status, *location) = (Some(head.status), head.location),
            Part::Body(_) => {}
            Part::End => return Ok(Some(FollowerState::Over)),
        }
    }
    Ok(receiver.framing().map(|framing| FollowerState::Body(framing.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 201 Created\r\nLocation: /eSCL/ScanJobs/7\r\nTransfer-Encoding: chunked\r\n\r\n\
        a\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n";

    #[test]
    fn wherever_its_reader_stops_it_knows_what_is_still_to_come() {
        for stop in 0..=RESPONSE.len() {
            for size in [1, 7, 64] {
                let mut follower = Follower::of_response();
                RESPONSE[..stop].chunks(size).for_each(|bytes| follower.feed(bytes));
                assert_eq!(follower.is_over(), stop == RESPONSE.len(), "stopped at {stop}");
                assert!(follower.due() <= (RESPONSE.len() - stop) as u64, "never more than comes, at {stop}");
                follower.feed(&RESPONSE[stop..]);
                assert!(follower.is_over() && follower.due() == 0, "stopped at {stop}");
                assert_eq!(follower.made(), Some((201, "/eSCL/ScanJobs/7")));
            }
        }
    }

    #[test]
    fn a_body_can_be_followed_without_its_head() {
        let mut follower = Follower::of_body(Framing::length(5).unwrap());
        follower.feed(b"123");
        assert_eq!((follower.due(), follower.is_over(), follower.made()), (2, false, None));
        follower.feed(b"45HTTP/1.1");
        assert!(follower.is_over());
    }

    #[test]
    fn what_is_damaged_or_has_no_framing_ends_with_silence() {
        let mut damaged = Follower::of_body(Framing::chunked());
        damaged.feed(b"what is this\r\n");
        assert!(damaged.is_unframed() && !damaged.is_over() && damaged.due() == 1);
        let mut unframed = Follower::of_response();
        unframed.feed(b"HTTP/1.1 200 OK\r\n\r\nbody");
        assert!(unframed.is_unframed() && !unframed.is_over());
    }
}

//! The step `drain-http` of abort sequences: a response that a dead driver has begun to read is read to its end, which only its
//! own framing tells. On the supervisor's thread, like the other steps.

use std::time::{Duration, Instant};

use usbscan_escl::JobPath;
use usbscan_escl::http::{Follower, Request};
use usbscan_wire::{AbortReport, HttpFraming};

use crate::outcome::Outcome;
use crate::pipe::orders::{PipeHandle, Role};
use crate::pipe::request::{Data, Work};
use crate::scanner::abort::{AbortContext, DRAIN_READ, StepResult, result};
use crate::session::following::follower;

/// Empty packets one behind the other that count as silence.
const EMPTY_PACKETS: u32 = 64;

/// Silence that ends a response, and when the whole step ends.
type Times = (Duration, Instant);

impl AbortContext<'_> {
    /// Reads a response of HTTP to its end, from where the session has read it to; and deletes the job that it made.
    pub(super) fn drain_http(
        &mut self,
        pipe: Option<PipeHandle>,
        framing: HttpFraming,
        times: Times,
        root: Option<&str>,
        report: &mut AbortReport,
    ) -> StepResult {
        let Some(pipe) = pipe else { return Err("there is no such pipe") };
        if framing == HttpFraming::Answer {
            let mut answer = Follower::of_response();
            self.follow_to_the_end(&pipe, &mut answer, times, report)?;
            return if answer.has_begun() { Ok(()) } else { Err("the scanner did not answer") };
        }
        let known = self.http_responses.iter().position(|following| following.endpoint == pipe.address);
        let Some(following) = known.map(|at| self.http_responses.swap_remove(at)) else {
            return self.follow_to_the_end(&pipe, &mut follower(framing), times, report);
        };
        let mut response = following.follower.lock();
        let went = self.follow_to_the_end(&pipe, &mut response, times, report);
        let job = root
            .zip(response.made())
            .and_then(|(root, (status, location))| JobPath::find(root, location).filter(|_| status == 201));
        let Some(request) = job.and_then(|job| Request::delete(job.as_str())) else { return went };
        let work = Work::Write { data: Data::Own(request.to_bytes()), zero_packet: false };
        let timeout = self.clock.left_of_all(times.0, Instant::now());
        self.write_step(self.writes_beside(&pipe), work, timeout)?;
        self.follow_to_the_end(&pipe, &mut Follower::of_response(), times, report)
    }

    /// The pipe on which what is asked is answered by this one.
    fn writes_beside(&self, read: &PipeHandle) -> Option<PipeHandle> {
        let is_here = |pipes: &&Vec<PipeHandle>| pipes.iter().any(|pipe| pipe.address == read.address);
        let claimed = self.claims.iter().find(is_here).map(|pipes| pipes.iter().find(|pipe| pipe.role == Role::Write));
        claimed.map_or(self.write.clone(), |write| write.cloned())
    }

    /// Silence before a response has begun is none of its failures: the request may never have been sent.
    fn follow_to_the_end(
        &mut self,
        pipe: &PipeHandle,
        response: &mut Follower,
        (quiet, end): Times,
        report: &mut AbortReport,
    ) -> StepResult {
        let mut empty = 0;
        while !response.is_over() {
            let now = Instant::now();
            let left = self.clock.left_of_all(quiet.min(end.saturating_duration_since(now)), now);
            if left.is_zero() {
                return Err("the response does not end");
            }
            // No more than is sure to come; the pipe makes whole packets of it.
            let length = response.due().clamp(1, DRAIN_READ as u64) as usize;
            let read = self.own(pipe, "drain", Work::Read { length, return_partial: false, into: None }, left);
            self.count_drained(read.moved, report);
            read.received.slices().for_each(|bytes| response.feed(bytes));
            empty = if read.moved == 0 { empty + 1 } else { 0 };
            match read.outcome {
                Outcome::Success if empty < EMPTY_PACKETS => {}
                Outcome::Success | Outcome::Timeout if empty > 0 => {
                    let may_be_all = response.is_unframed() || !response.has_begun();
                    return if may_be_all { Ok(()) } else { Err("the response has stopped in the middle") };
                }
                Outcome::Success | Outcome::Timeout => {}
                outcome => {
                    self.unhalt(pipe);
                    return result(outcome);
                }
            }
        }
        Ok(())
    }
}

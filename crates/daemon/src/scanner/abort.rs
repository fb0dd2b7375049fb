//! Runs what brings a scanner back to idle by its pipes: an abort sequence, the requests of the still image class, draining.
//! On the supervisor's thread, with the gate of every pipe closed. Each request of it has a deadline, and all of them
//! together have the recovery's clock, which counts the scanner's silence.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{after, bounded, never, select};
use usbscan_usb::{Direction, InterfaceNumber, Setup};
use usbscan_wire::{AbortReport, AbortStep};

use crate::outcome::{Fault, Outcome};
use crate::payload::Payload;
use crate::pipe::endpoint_io::WATCHDOG;
use crate::pipe::orders::{Order, PipeHandle, Role};
use crate::pipe::request::{Data, IoRequest, Reply, Report, RequestInfo, Work};
use crate::scanner::abort_steps::{control, verifying};
use crate::scanner::claim::Claimed;
use crate::scanner::clock::RecoveryClock;
use crate::scanner::handle::Scanner;
use crate::session::following::FollowedResponse;

/// Bytes that one read of a drain takes.
pub(super) const DRAIN_READ: usize = 64 * 1024;

/// Requests of the still image class (PIMA 15740 USB, section 5.2).
const CANCEL_REQUEST: u8 = 0x64;
const DEVICE_RESET: u8 = 0x66;
const GET_DEVICE_STATUS: u8 = 0x67;
/// `CancellationCode`, then a transaction id that names none.
const CANCELLATION: [u8; 6] = [0x01, 0x40, 0, 0, 0, 0];
/// Response code "OK" in the status, little-endian, behind its length.
const STATUS_OK: [u8; 2] = [0x01, 0x20];
const CLASS_TIMEOUT: Duration = Duration::from_secs(1);

/// Wrong answers of a scanner that was reset, until it is not asked any more: the first may be to half a command of before.
const WRONG_ANSWERS: u32 = 3;

/// A scanner that was reset, and that refuses a question at once, is asked again so much later.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// What a rung of the recovery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The scanner has shown that it is idle.
    Verified,
    /// Nothing is wrong, and nothing shows that the scanner is idle.
    Unverified,
    /// It is not idle: the first step that failed.
    Failed(String),
}

/// The pipes that the steps use, and the device for what some models need besides.
pub(crate) struct AbortContext<'a> {
    pub scanner: Arc<Scanner>,
    /// Of class requests.
    pub interface: InterfaceNumber,
    pub control: PipeHandle,
    pub read: Option<PipeHandle>,
    pub write: Option<PipeHandle>,
    pub event: Option<PipeHandle>,
    /// Those of the interfaces that the session has claimed, by interface.
    pub claims: Vec<Vec<PipeHandle>>,
    /// Whether the interface is of the still image class, which has requests for cancelling.
    pub still_image: bool,
    /// Whether halts are cleared on the wire.
    pub clears_halts: bool,
    pub claimed: Option<&'a mut Claimed>,
    pub clock: &'a mut RecoveryClock,
    /// Silence that ends a drain.
    pub drain_quiet: Duration,
    /// A write of ours was not taken in its time.
    pub takes_nothing: bool,
    /// HTTP responses in the middle of which the session was, by endpoint.
    pub http_responses: Vec<Arc<FollowedResponse>>,
}

/// What is left of the time that a step may take: until its silence counts, or until the recovery ends.
type Limit = fn(&RecoveryClock, Duration, Instant) -> Duration;

/// How a step went; the next one is tried all the same.
pub(super) type StepResult = Result<(), &'static str>;

impl AbortContext<'_> {
    /// Runs a session's abort sequence. Where nothing at all is answered for the settle time, the other steps are left out,
    /// but for those by which the scanner shows that it is idle: one that is idle may have had nothing to say before.
    pub fn run(&mut self, steps: &[AbortStep], report: &mut AbortReport) -> Verdict {
        set_method(report, "armed");
        let Some(verifying) = verifying(steps) else {
            return self.steps(steps, report).map_or(Verdict::Unverified, Verdict::Failed);
        };
        let before = self.steps(&steps[..steps.len() - verifying.len()], report);
        if let Some(failed) = before.filter(|_| self.takes_nothing) {
            return Verdict::Failed(failed);
        }
        let failed = match self.ask(verifying, report) {
            Ok(()) => return Verdict::Verified,
            Err(failed) => failed,
        };
        // An answer may come late, but within the settle time; then it is asked again.
        let has_reads = !self.reads().is_empty();
        while has_reads && !self.clock.is_silent(Instant::now()) && !self.clock.is_over(Instant::now()) {
            let (heard, began) = (report.drained, Instant::now());
            if self.drain_all(report).is_err() {
                break;
            }
            if report.drained > heard {
                if self.ask(verifying, report).is_ok() {
                    return Verdict::Verified;
                }
            } else {
                // A pipe that answers with a stall at once is no reason to ask it without a break.
                self.pause(self.drain_quiet.saturating_sub(began.elapsed()));
            }
        }
        Verdict::Failed(failed)
    }

    /// Runs only the part of a sequence by which the scanner shows that it is idle.
    pub fn verify(&mut self, steps: &[AbortStep], report: &mut AbortReport) -> Verdict {
        match verifying(steps) {
            Some(verifying) => self.ask(verifying, report).map_or_else(Verdict::Failed, |()| Verdict::Verified),
            None => Verdict::Unverified,
        }
    }

    /// The same after a reset: it is asked again until its silence counts. What it answers to the earlier questions is thrown away.
    /// One that answers, and not as it should, has started; it is asked [`WRONG_ANSWERS`] times.
    pub fn verify_patiently(&mut self, steps: &[AbortStep], report: &mut AbortReport) -> Verdict {
        let mut verdict = self.verify(steps, report);
        let (mut is_second, mut wrong_answers) = (false, 0);
        while matches!(verdict, Verdict::Failed(_)) && !self.clock.is_silent(Instant::now()) {
            wrong_answers += u32::from(self.clock.has_heard());
            let is_wrong = wrong_answers == WRONG_ANSWERS;
            if is_wrong || self.clock.is_over(Instant::now()) || self.scanner.check_device().is_err() {
                break;
            }
            is_second = true;
            self.pause(BETWEEN_TRIES);
            verdict = self.verify(steps, report);
        }
        if is_second && verdict == Verdict::Verified {
            self.empty(report);
        }
        verdict
    }

    /// The verifying steps: the first that fails is the end of them.
    fn ask(&mut self, verifying: &[AbortStep], report: &mut AbortReport) -> Result<(), String> {
        for step in verifying {
            let (name, went) = self.step(step, RecoveryClock::left_of_all, report);
            went.map_err(|why| format!("verify ({name}): {why}"))?;
        }
        Ok(())
    }

    /// Each step is tried, whatever became of those before it, until silence counts. Says the first that failed.
    fn steps(&mut self, steps: &[AbortStep], report: &mut AbortReport) -> Option<String> {
        let mut failed = None;
        for (at, step) in steps.iter().enumerate() {
            let now = Instant::now();
            if self.clock.is_silent(now) || self.clock.is_over(now) {
                return Some(failed.unwrap_or_else(|| "the scanner does not answer".to_owned()));
            }
            let (name, went) = self.step(step, RecoveryClock::left_for, report);
            if let Err(why) = went {
                let what = format!("step {} ({name}): {why}", at + 1);
                log::debug!("{}: recovery: {what}", self.scanner.name);
                failed.get_or_insert(what);
            }
        }
        failed
    }

    /// What class and USB offer. Without a class that tells its status, quiet is no proof.
    pub fn by_usb(&mut self, report: &mut AbortReport) -> Verdict {
        if self.still_image {
            return self.by_class(report);
        }
        set_method(report, "drain");
        match self.drain_all(report) {
            Ok(()) => Verdict::Unverified,
            Err(why) => Verdict::Failed(format!("drain: {why}")),
        }
    }

    /// Throws away what still comes; a scanner that sends without an end shows that to the next who reads.
    pub fn empty(&mut self, report: &mut AbortReport) {
        let _ = self.drain_all(report);
    }

    /// What the still image class offers. A device that refuses its requests is drained, and that is all.
    fn by_class(&mut self, report: &mut AbortReport) -> Verdict {
        set_method(report, "class");
        let cancel = self.class(CANCEL_REQUEST, Direction::Out, &CANCELLATION, 0);
        if let Err(why) = self.drain_all(report) {
            return Verdict::Failed(format!("drain: {why}"));
        }
        match cancel.outcome {
            Outcome::Success => {}
            // Devices that do not know the request refuse it with a stall: that is no failure.
            Outcome::Fault(Fault::Stall) => return Verdict::Unverified,
            outcome => return Verdict::Failed(format!("Cancel Request: {}", words(outcome))),
        }
        if self.class_status_is_ok() {
            return Verdict::Verified;
        }
        let reset = self.class(DEVICE_RESET, Direction::Out, &[], 0);
        match reset.outcome {
            Outcome::Success if self.class_status_is_ok() => Verdict::Verified,
            Outcome::Success | Outcome::Fault(Fault::Stall) => Verdict::Unverified,
            outcome => Verdict::Failed(format!("Device Reset Request: {}", words(outcome))),
        }
    }

    fn class_status_is_ok(&mut self) -> bool {
        let status = self.class(GET_DEVICE_STATUS, Direction::In, &[], 0x14);
        status.received.to_vec().get(2..4) == Some(&STATUS_OK[..])
    }

    fn class(&mut self, request: u8, direction: Direction, data: &[u8], length: u16) -> Report {
        let request_type = if direction == Direction::In { 0xa1 } else { 0x21 };
        let length = if direction == Direction::In { length } else { data.len() as u16 };
        let setup = Setup { request_type, request, value: 0, index: u16::from(self.interface.0), length };
        let timeout = self.clock.left_of_all(CLASS_TIMEOUT, Instant::now());
        self.own(&self.control.clone(), "abort", Work::Control { setup, data: data.to_vec() }, timeout)
    }

    /// `limit` says what is left of the time that the step may take.
    fn step(&mut self, step: &AbortStep, limit: Limit, report: &mut AbortReport) -> (&'static str, StepResult) {
        let ms = |timeout: u32| Duration::from_millis(u64::from(timeout));
        let left = |clock: &RecoveryClock, timeout: u32| limit(clock, ms(timeout), Instant::now());
        match step {
            AbortStep::Write { endpoint, bytes, timeout } => {
                let work = Work::Write { data: Data::Own(bytes.0.clone()), zero_packet: false };
                let timeout = left(self.clock, *timeout);
                ("write", self.write_step(self.pipe_at(*endpoint, Role::Write), work, timeout))
            }
            AbortStep::Read { endpoint, length, timeout, expect } => {
                let timeout = left(self.clock, *timeout);
                let pipe = self.pipe_at(*endpoint, Role::Read);
                ("read", self.read_step(pipe, *length as usize, timeout, &expect.0, report))
            }
            AbortStep::Drain { endpoint, quiet, .. } => {
                ("drain", self.drain(self.pipe_at(*endpoint, Role::Read), ms(*quiet), report))
            }
            AbortStep::DrainHttp { endpoint, framing, quiet, timeout, delete_job_of } => {
                let (quiet, end) = (ms(*quiet), Instant::now() + ms(*timeout));
                let pipe = self.pipe_at(*endpoint, Role::Read);
                ("drain-http", self.drain_http(pipe, *framing, (quiet, end), delete_job_of.as_deref(), report))
            }
            AbortStep::Control { timeout, .. } => {
                let (setup, data) = control(step).expect("it is a control step");
                let work = Work::Control { setup, data: data.to_vec() };
                let timeout = left(self.clock, *timeout);
                ("control", result(self.own(&self.control.clone(), "abort", work, timeout).outcome))
            }
            AbortStep::ClearHalt { pipe, endpoint } => {
                let handle = match (pipe, endpoint) {
                    (_, Some(endpoint)) => self.pipes().find(|handle| handle.address.0 == *endpoint).cloned(),
                    (Some(pipe), None) => self.pipes().find(|handle| handle.role.pipe() == *pipe).cloned(),
                    (None, None) => None,
                };
                ("clear-halt", handle.map_or(Err("there is no such pipe"), |handle| self.clear_halt(&handle)))
            }
        }
    }

    /// The bound pipes first.
    fn pipes(&self) -> impl Iterator<Item = &PipeHandle> {
        [&self.read, &self.write, &self.event].into_iter().flatten().chain(self.claims.iter().flatten())
    }

    /// The pipe of an endpoint, or the bound one of a role.
    fn pipe_at(&self, endpoint: Option<u8>, role: Role) -> Option<PipeHandle> {
        let bound = if role == Role::Write { &self.write } else { &self.read };
        match endpoint {
            None => bound.clone(),
            Some(endpoint) => self.pipes().find(|pipe| pipe.address.0 == endpoint && pipe.role == role).cloned(),
        }
    }

    pub(super) fn write_step(&mut self, pipe: Option<PipeHandle>, work: Work, timeout: Duration) -> StepResult {
        let Some(pipe) = pipe else { return Err("there is no such pipe") };
        let outcome = self.own(&pipe, "abort", work, timeout).outcome;
        self.takes_nothing |= outcome == Outcome::Timeout;
        self.unhalt(&pipe);
        result(outcome)
    }

    /// Nothing, or less than there was room for, is as good, unless something is expected at its end.
    fn read_step(
        &mut self,
        pipe: Option<PipeHandle>,
        length: usize,
        timeout: Duration,
        expect: &[u8],
        report: &mut AbortReport,
    ) -> StepResult {
        let Some(pipe) = pipe else { return Err("there is no such pipe") };
        let read = self.own(&pipe, "abort", Work::Read { length, return_partial: true, into: None }, timeout);
        self.unhalt(&pipe);
        self.count_drained(read.moved, report);
        match read.outcome {
            Outcome::Success | Outcome::Timeout if read.received.to_vec().ends_with(expect) => Ok(()),
            Outcome::Timeout if read.moved == 0 => Err("the scanner did not answer"),
            Outcome::Success | Outcome::Timeout => Err("the scanner gave another answer than expected"),
            outcome => result(outcome),
        }
    }

    /// Reads until the device is quiet, for as long as the recovery may take.
    fn drain(&mut self, pipe: Option<PipeHandle>, quiet: Duration, report: &mut AbortReport) -> StepResult {
        let Some(pipe) = pipe else { return Ok(()) };
        let mut last_byte = Instant::now();
        loop {
            let left = self.clock.left_of_all(quiet, Instant::now());
            if left.is_zero() {
                return Err("the scanner does not stop sending");
            }
            let read =
                self.own(&pipe, "drain", Work::Read { length: DRAIN_READ, return_partial: false, into: None }, left);
            self.count_drained(read.moved, report);
            if read.moved > 0 {
                last_byte = Instant::now();
            }
            match read.outcome {
                // Empty packets are no bytes.
                Outcome::Success if last_byte.elapsed() >= quiet => return Ok(()),
                Outcome::Success => {}
                Outcome::Timeout if read.moved == 0 && left < quiet => return Err("the scanner does not stop sending"),
                Outcome::Timeout if read.moved == 0 => return Ok(()),
                Outcome::Timeout => {}
                // It stops sending by halting the pipe.
                Outcome::Fault(Fault::Stall) => {
                    self.unhalt(&pipe);
                    return Ok(());
                }
                outcome => {
                    self.unhalt(&pipe);
                    return result(outcome);
                }
            }
        }
    }

    /// The same with every pipe that the session reads from, the bound one first. Each is tried; the first failure is told.
    fn drain_all(&mut self, report: &mut AbortReport) -> StepResult {
        let mut all = Ok(());
        for pipe in self.reads() {
            all = all.and(self.drain(Some(pipe), self.drain_quiet, report));
        }
        all
    }

    /// The pipes that bytes of the job may still come from.
    fn reads(&self) -> Vec<PipeHandle> {
        let mut reads: Vec<PipeHandle> = Vec::new();
        for pipe in self.pipes().filter(|pipe| pipe.role == Role::Read) {
            if reads.iter().all(|known| known.address != pipe.address) {
                reads.push(pipe.clone());
            }
        }
        reads
    }

    /// Leaves the scanner alone for a while, at most until its silence counts. A daemon that begins to shut down ends that.
    fn pause(&mut self, time: Duration) {
        let time = self.clock.left_for(time, Instant::now());
        if let Ok(at) = self.scanner.recovery.on_shutdown().recv_timeout(time) {
            self.clock.stop_by(at);
        }
    }

    pub(super) fn count_drained(&mut self, moved: usize, report: &mut AbortReport) {
        report.drained += moved as u64;
        self.scanner.recovery.note_drained(report.drained);
    }

    /// Clears the halt of a pipe that a fault froze, so that the next step can use it.
    pub fn unhalt(&mut self, pipe: &PipeHandle) {
        if pipe.is_halted() {
            // What goes wrong is in the log, and shows in the next step.
            let _ = self.clear_halt(pipe);
        }
    }

    fn clear_halt(&mut self, pipe: &PipeHandle) -> StepResult {
        if let Some(claimed) = self.claimed.as_mut().filter(|_| self.clears_halts) {
            claimed.prepare_to_clear();
        }
        clear_halt(pipe, self.clears_halts).map_err(|error| {
            log::warn!("{}: {error}", self.scanner.name);
            "the halt can't be cleared"
        })
    }

    /// Puts a request of the daemon's own and waits for its end, which its worker sees to: by completion, deadline,
    /// loss or watchdog. A daemon that begins to shut down meanwhile may make that sooner.
    pub(super) fn own(&mut self, pipe: &PipeHandle, command: &'static str, work: Work, timeout: Duration) -> Report {
        let nothing = |outcome| Report { outcome, moved: 0, received: Payload::default() };
        if timeout.is_zero() {
            return nothing(Outcome::Timeout);
        }
        let length = match &work {
            Work::Read { length, .. } => *length,
            Work::Write { data, .. } => data.len(),
            Work::Control { setup, .. } => usize::from(setup.length),
            Work::Event => 0,
        };
        let (is_write, is_control) = (matches!(&work, Work::Write { .. }), matches!(&work, Work::Control { .. }));
        let (reply, end) = bounded(1);
        pipe.tell(Order::Own(Box::new(IoRequest {
            pending: RequestInfo::new(0, 0, command, length as u64, pipe.address),
            device: self.scanner.name.clone(),
            work,
            timeout,
            libusb_semantics: false,
            reply: Reply::Own(reply),
            received: Payload::default(),
            cancelled_by: Vec::new(),
        })));
        let lost = after(timeout + 2 * WATCHDOG);
        let mut cut_short = never();
        let report = loop {
            select! {
                recv(end) -> report => break report.unwrap_or_else(|_| nothing(Outcome::HostStuck)),
                recv(self.scanner.recovery.on_shutdown()) -> at => if let Ok(at) = at {
                    self.clock.stop_by(at);
                    cut_short = after(at.saturating_duration_since(Instant::now()));
                },
                recv(cut_short) -> _ => {
                    pipe.tell(Order::CancelOwn);
                    cut_short = never();
                },
                recv(lost) -> _ => break nothing(Outcome::HostStuck),
            }
        };
        // A scanner that takes bytes has said nothing yet: many put them into a buffer without looking.
        let answered = report.moved > 0 || (is_control && report.outcome == Outcome::Success);
        if !is_write && answered {
            self.clock.heard(Instant::now());
        }
        report
    }
}

fn set_method(report: &mut AbortReport, method: &str) {
    method.clone_into(&mut report.method);
}

/// Clears a halt on a quiet pipe.
pub(crate) fn clear_halt(pipe: &PipeHandle, on_the_wire: bool) -> Result<(), usbscan_usb::Error> {
    let (done, cleared) = bounded(1);
    pipe.tell(Order::ClearHalt { on_the_wire, done });
    let stuck = || {
        usbscan_usb::Error::new(
            usbscan_usb::ErrorKind::HostStuck,
            format!("clear the halt of endpoint {}", pipe.address),
        )
    };
    cleared.recv_timeout(2 * WATCHDOG).unwrap_or_else(|_| Err(stuck()))
}

pub(super) fn result(outcome: Outcome) -> StepResult {
    if outcome == Outcome::Success { Ok(()) } else { Err(words(outcome)) }
}

fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "it succeeded",
        Outcome::Timeout => "timed out",
        Outcome::Fault(Fault::Stall) => "the scanner answered with a stall",
        Outcome::Fault(Fault::Overrun) => "the scanner sent more than was asked for",
        Outcome::Fault(_) | Outcome::Halted => "the bus failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Gone => "the scanner is gone",
        Outcome::HostStuck => "the host controller did not return a cancelled transfer",
    }
}

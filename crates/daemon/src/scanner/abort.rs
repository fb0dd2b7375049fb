//! Runs the steps that bring a scanner back to idle. On the supervisor's thread, with the gate of every pipe closed;
//! each step has a deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use usbscan_usb::{Direction, InterfaceNumber, Setup};
use usbscan_wire::{AbortReport, AbortStep, ControlDirection, Pipe, RequestKind, RequestRecipient};

use crate::failure::Failure;
use crate::outcome::{Fault, Outcome};
use crate::payload::Payload;
use crate::pipe::endpoint_io::WATCHDOG;
use crate::pipe::orders::{Order, PipeHandle};
use crate::pipe::request::{Data, IoRequest, Reply, Report, RequestInfo, Work};
use crate::scanner::claim::Claimed;

/// Bytes that one read of a drain takes.
const DRAIN_READ: usize = 64 * 1024;
/// The longest time of a step, in milliseconds.
const LONGEST_STEP: u32 = 10_000;
/// Bytes that a step may write.
const LONGEST_WRITE: usize = 512;

/// Requests of the still image class (PIMA 15740 USB, section 5.2).
const CANCEL_REQUEST: u8 = 0x64;
const DEVICE_RESET: u8 = 0x66;
const GET_DEVICE_STATUS: u8 = 0x67;
/// `CancellationCode`, then a transaction id that names none.
const CANCELLATION: [u8; 6] = [0x01, 0x40, 0, 0, 0, 0];
/// Response code "OK" in the status, little-endian, behind its length.
const STATUS_OK: [u8; 2] = [0x01, 0x20];
const CLASS_TIMEOUT: Duration = Duration::from_secs(1);

/// The pipes that the steps use, and the device for what some models need besides.
pub(crate) struct AbortContext<'a> {
    pub device: Arc<str>,
    /// Its interface, for class requests.
    pub interface: InterfaceNumber,
    pub control: PipeHandle,
    pub read: Option<PipeHandle>,
    pub write: Option<PipeHandle>,
    pub event: Option<PipeHandle>,
    /// Whether halts are cleared on the wire.
    pub clears_halts: bool,
    pub claimed: Option<&'a mut Claimed>,
}

/// Silence that ends a drain, and the most that it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    pub quiet: Duration,
    pub most: Duration,
}

/// How a step went.
enum Went {
    Well,
    /// It did not, for this reason; the next step is tried all the same.
    Badly(&'static str),
}

/// Checks the steps that a client leaves.
///
/// # Errors
/// The first that makes no sense.
pub(crate) fn check(steps: &[AbortStep], interface: InterfaceNumber) -> Result<(), Failure> {
    if steps.len() > usbscan_wire::ABORT_STEPS_LIMIT {
        return Err(Failure::TooManySteps);
    }
    for (at, step) in steps.iter().enumerate() {
        problem(step, interface).map_or(Ok(()), |problem| Err(Failure::BadStep { number: at + 1, problem }))?;
    }
    Ok(())
}

fn problem(step: &AbortStep, interface: InterfaceNumber) -> Option<&'static str> {
    let bad_time = |timeout: u32| !(1..=LONGEST_STEP).contains(&timeout);
    match step {
        AbortStep::Write { timeout, .. }
        | AbortStep::Read { timeout, .. }
        | AbortStep::Drain { timeout, .. }
        | AbortStep::Control { timeout, .. }
            if bad_time(*timeout) =>
        {
            Some("\"timeout\" must be from 1 to 10000 milliseconds")
        }
        AbortStep::Drain { quiet, .. } if bad_time(*quiet) => Some("\"quiet\" must be from 1 to 10000 milliseconds"),
        AbortStep::Write { bytes, .. } if bytes.0.len() > LONGEST_WRITE => Some("\"bytes\" has at most 512"),
        AbortStep::Read { length, .. } if *length as usize > usbscan_wire::PAYLOAD_LIMIT => {
            Some("\"length\" is at most 1048576")
        }
        AbortStep::Read { length, expect, .. } if expect.0.len() > *length as usize => {
            Some("\"expect\" is longer than \"length\"")
        }
        AbortStep::Control { bytes, length, direction, .. } => {
            let (setup, _) = control(step)?;
            let foreign = setup.request_type & 0x1f == 1 && setup.index as u8 != interface.0;
            match direction {
                _ if foreign => Some("\"index\" must be the interface that is open"),
                _ if setup.is_reserved_for_host() => Some("this standard request has a command of its own"),
                ControlDirection::In if *length > Setup::MAX_DATA => Some("\"length\" is at most 4096"),
                ControlDirection::Out if bytes.0.len() > usize::from(Setup::MAX_DATA) => {
                    Some("\"bytes\" has at most 4096")
                }
                _ => None,
            }
        }
        AbortStep::ClearHalt { pipe: Pipe::All | Pipe::Control } => Some("\"pipe\" must be read, write or event"),
        _ => None,
    }
}

/// `bmRequestType` from its parts.
pub(crate) fn request_type(direction: ControlDirection, kind: RequestKind, recipient: RequestRecipient) -> u8 {
    let direction = if direction == ControlDirection::In { 0x80 } else { 0 };
    let kind = match kind {
        RequestKind::Standard => 0,
        RequestKind::Class => 0x20,
        RequestKind::Vendor => 0x40,
    };
    let recipient = match recipient {
        RequestRecipient::Device => 0,
        RequestRecipient::Interface => 1,
        RequestRecipient::Endpoint => 2,
    };
    direction | kind | recipient
}

fn control(step: &AbortStep) -> Option<(Setup, &[u8])> {
    let AbortStep::Control { kind, recipient, direction, request, value, index, bytes, length, .. } = step else {
        return None;
    };
    let length = match direction {
        ControlDirection::In => *length,
        ControlDirection::Out => bytes.0.len() as u16,
    };
    let request_type = request_type(*direction, *kind, *recipient);
    Some((Setup { request_type, request: *request, value: *value, index: *index, length }, &bytes.0))
}

impl AbortContext<'_> {
    /// Runs a session's steps. A step that fails is noted, the first of them, and the rest is tried all the same.
    pub fn run(&mut self, steps: &[AbortStep], report: &mut AbortReport) {
        report.method = "armed".to_owned();
        for (at, step) in steps.iter().enumerate() {
            let (name, went) = self.step(step, report);
            self.note(report, format!("step {} ({name})", at + 1), went);
        }
    }

    /// What USB alone allows: drain.
    pub fn drain_only(&mut self, drain: Drain, report: &mut AbortReport) {
        report.method = "drain".to_owned();
        let went = self.drain(drain, report);
        self.note(report, "drain".to_owned(), went);
    }

    /// What the still image class offers. A device that refuses its requests is drained, and that is all.
    pub fn run_class(&mut self, drain: Drain, report: &mut AbortReport) {
        report.method = "class".to_owned();
        let cancel = self.class(CANCEL_REQUEST, Direction::Out, &CANCELLATION, 0);
        self.note_class(report, "Cancel Request", &cancel);
        let went = self.drain(drain, report);
        self.note(report, "drain".to_owned(), went);
        if cancel.outcome != Outcome::Success {
            return;
        }
        let status = self.class(GET_DEVICE_STATUS, Direction::In, &[], 0x14);
        self.note_class(report, "Get Device Status", &status);
        let idle = status.received.to_vec().get(2..4) == Some(&STATUS_OK[..]);
        if !idle {
            let reset = self.class(DEVICE_RESET, Direction::Out, &[], 0);
            self.note_class(report, "Device Reset Request", &reset);
        }
    }

    fn class(&self, request: u8, direction: Direction, data: &[u8], length: u16) -> Report {
        let request_type = if direction == Direction::In { 0xa1 } else { 0x21 };
        let length = if direction == Direction::In { length } else { data.len() as u16 };
        let setup = Setup { request_type, request, value: 0, index: u16::from(self.interface.0), length };
        self.own(&self.control, "abort", Work::Control { setup, data: data.to_vec() }, CLASS_TIMEOUT)
    }

    /// Devices that do not know a class request refuse it with a stall: that is no failure.
    fn note_class(&self, report: &mut AbortReport, name: &str, of: &Report) {
        let went = if of.outcome == Outcome::Fault(Fault::Stall) { Went::Well } else { well(of.outcome) };
        self.note(report, name.to_owned(), went);
    }

    fn note(&self, report: &mut AbortReport, what: String, went: Went) {
        if let Went::Badly(why) = went {
            log::warn!("{}: recovery: {what}: {why}", self.device);
            report.failed_step.get_or_insert(format!("{what}: {why}"));
        }
    }

    fn step(&mut self, step: &AbortStep, report: &mut AbortReport) -> (&'static str, Went) {
        let ms = |timeout: u32| Duration::from_millis(u64::from(timeout));
        match step {
            AbortStep::Write { bytes, timeout } => {
                let work = Work::Write { data: Data::Own(bytes.0.clone()), zero_packet: false };
                ("write", self.write(work, ms(*timeout)))
            }
            AbortStep::Read { length, timeout, expect } => {
                let work = Work::Read { length: *length as usize, return_partial: true, into: None };
                ("read", self.read_what_comes(work, ms(*timeout), &expect.0, report))
            }
            AbortStep::Drain { quiet, timeout } => {
                ("drain", self.drain(Drain { quiet: ms(*quiet), most: ms(*timeout) }, report))
            }
            AbortStep::Control { timeout, .. } => {
                let (setup, data) = control(step).expect("it is a control step");
                let work = Work::Control { setup, data: data.to_vec() };
                ("control", well(self.own(&self.control, "abort", work, ms(*timeout)).outcome))
            }
            AbortStep::ClearHalt { pipe } => {
                let handle = self.pipe(*pipe);
                ("clear-halt", handle.map_or(Went::Badly("there is no such pipe"), |handle| self.clear_halt(&handle)))
            }
        }
    }

    fn pipe(&self, pipe: Pipe) -> Option<PipeHandle> {
        [&self.read, &self.write, &self.event].into_iter().flatten().find(|handle| handle.role.pipe() == pipe).cloned()
    }

    fn write(&mut self, work: Work, timeout: Duration) -> Went {
        let Some(pipe) = self.write.clone() else { return Went::Badly("there is no such pipe") };
        let outcome = self.own(&pipe, "abort", work, timeout).outcome;
        self.unhalt(&pipe);
        well(outcome)
    }

    /// Nothing, or less than there was room for, is as good, unless something is expected at its end.
    fn read_what_comes(&mut self, work: Work, timeout: Duration, expect: &[u8], report: &mut AbortReport) -> Went {
        let Some(pipe) = self.read.clone() else { return Went::Badly("there is no such pipe") };
        let read = self.own(&pipe, "abort", work, timeout);
        report.drained += read.moved as u64;
        self.unhalt(&pipe);
        match read.outcome {
            Outcome::Success | Outcome::Timeout if read.received.to_vec().ends_with(expect) => Went::Well,
            Outcome::Timeout if read.moved == 0 => Went::Badly("the scanner did not answer"),
            Outcome::Success | Outcome::Timeout => Went::Badly("the scanner gave another answer than expected"),
            outcome => well(outcome),
        }
    }

    /// Reads until the device is quiet.
    fn drain(&mut self, drain: Drain, report: &mut AbortReport) -> Went {
        let Some(pipe) = self.read.clone() else { return Went::Well };
        let end = Instant::now() + drain.most;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Went::Badly("the scanner does not stop sending");
            }
            let work = Work::Read { length: DRAIN_READ, return_partial: false, into: None };
            let read = self.own(&pipe, "drain", work, drain.quiet.min(left));
            report.drained += read.moved as u64;
            match read.outcome {
                Outcome::Success => {}
                Outcome::Timeout if read.moved == 0 => return Went::Well,
                Outcome::Timeout => {}
                // It stops sending by halting the pipe.
                Outcome::Fault(Fault::Stall) => {
                    self.unhalt(&pipe);
                    return Went::Well;
                }
                outcome => {
                    self.unhalt(&pipe);
                    return well(outcome);
                }
            }
        }
    }

    /// Clears the halt of a pipe that a fault froze, so that the next step can use it.
    pub fn unhalt(&mut self, pipe: &PipeHandle) {
        if pipe.is_halted() {
            self.clear_halt(pipe);
        }
    }

    fn clear_halt(&mut self, pipe: &PipeHandle) -> Went {
        if let Some(claimed) = self.claimed.as_mut().filter(|_| self.clears_halts) {
            claimed.prepare_to_clear();
        }
        match clear_halt(pipe, self.clears_halts) {
            Ok(()) => Went::Well,
            Err(error) => {
                log::warn!("{}: {error}", self.device);
                Went::Badly("the halt can't be cleared")
            }
        }
    }

    /// Puts a request of the daemon's own and waits for its end, which its worker sees to: by completion, deadline,
    /// loss or watchdog.
    fn own(&self, pipe: &PipeHandle, command: &'static str, work: Work, timeout: Duration) -> Report {
        let length = match &work {
            Work::Read { length, .. } => *length,
            Work::Write { data, .. } => data.len(),
            Work::Control { setup, .. } => usize::from(setup.length),
            Work::Event => 0,
        };
        let (reply, end) = bounded(1);
        pipe.tell(Order::Own(Box::new(IoRequest {
            pending: RequestInfo::new(0, 0, command, length as u64, pipe.address),
            device: self.device.clone(),
            work,
            timeout,
            reply: Reply::Own(reply),
            received: Payload::default(),
            cancelled_by: Vec::new(),
        })));
        let lost = Report { outcome: Outcome::HostStuck, moved: 0, received: Payload::default() };
        end.recv_timeout(timeout + 2 * WATCHDOG).unwrap_or(lost)
    }
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

fn well(outcome: Outcome) -> Went {
    match outcome {
        Outcome::Success => Went::Well,
        Outcome::Timeout => Went::Badly("timed out"),
        Outcome::Fault(Fault::Stall) => Went::Badly("the scanner answered with a stall"),
        Outcome::Fault(Fault::Overrun) => Went::Badly("the scanner sent more than was asked for"),
        Outcome::Fault(_) | Outcome::Halted => Went::Badly("the bus failed"),
        Outcome::Cancelled => Went::Badly("cancelled"),
        Outcome::Gone => Went::Badly("the scanner is gone"),
        Outcome::HostStuck => Went::Badly("the host controller did not return a cancelled transfer"),
    }
}

#[cfg(test)]
mod tests {
    use usbscan_wire::HexBytes;

    use super::*;

    fn refusal(step: AbortStep) -> Option<String> {
        check(&[step], InterfaceNumber(1)).err().map(|failure| failure.to_string())
    }

    fn class_request(index: u16) -> AbortStep {
        AbortStep::Control {
            kind: RequestKind::Class,
            recipient: RequestRecipient::Interface,
            direction: ControlDirection::Out,
            request: CANCEL_REQUEST,
            value: 0,
            index,
            bytes: HexBytes(CANCELLATION.to_vec()),
            length: 0,
            timeout: 1000,
        }
    }

    #[test]
    fn steps_out_of_bounds_are_refused_with_their_number() {
        assert_eq!(refusal(class_request(1)), None);
        for step in [
            AbortStep::Write { bytes: HexBytes(vec![0; 513]), timeout: 1 },
            AbortStep::Write { bytes: HexBytes(vec![]), timeout: 0 },
            AbortStep::Read { length: 2 << 20, timeout: 1, expect: HexBytes::default() },
            AbortStep::Read { length: 1, timeout: 10_001, expect: HexBytes::default() },
            AbortStep::Read { length: 1, timeout: 1, expect: HexBytes(vec![6, 6]) },
            AbortStep::Drain { quiet: 0, timeout: 1 },
            AbortStep::ClearHalt { pipe: Pipe::All },
            class_request(0),
        ] {
            let refused = refusal(step.clone()).unwrap_or_else(|| panic!("{step:?} is refused"));
            assert!(refused.contains("step 1: "), "{refused}");
        }
        let many = vec![AbortStep::ClearHalt { pipe: Pipe::Read }; 17];
        assert!(matches!(check(&many, InterfaceNumber(0)), Err(Failure::TooManySteps)));
    }

    #[test]
    fn a_request_type_is_made_of_its_three_parts() {
        assert_eq!(request_type(ControlDirection::In, RequestKind::Vendor, RequestRecipient::Device), 0xc0);
        assert_eq!(request_type(ControlDirection::Out, RequestKind::Class, RequestRecipient::Interface), 0x21);
    }
}

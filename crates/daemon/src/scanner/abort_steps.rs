//! The steps of an abort sequence as values: which a client may leave, and which of them show that the scanner is idle.

use usbscan_escl::http::{Framing, Request};
use usbscan_usb::{EndpointAddress, InterfaceNumber, Setup};
use usbscan_wire::{AbortStep, ControlDirection, HttpFraming, Pipe, RequestKind, RequestRecipient};

use crate::failure::Failure;
use crate::session::binding::Binding;

/// The longest time of a step, in milliseconds.
const LONGEST_STEP: u32 = 10_000;
/// The longest time of a step that reads a page to its end.
const LONGEST_HTTP: u32 = 180_000;
/// Bytes that a step may write.
const LONGEST_WRITE: usize = 512;

/// Checks the steps that a client leaves.
///
/// # Errors
/// The first that makes no sense.
pub(crate) fn check(steps: &[AbortStep], binding: &Binding) -> Result<(), Failure> {
    let interfaces: Vec<_> = binding.claims.keys().copied().chain([binding.interface]).collect();
    let endpoints: Vec<_> = binding.pipes().map(|pipe| pipe.address).collect();
    check_within(steps, &interfaces, &endpoints)
}

fn check_within(
    steps: &[AbortStep],
    interfaces: &[InterfaceNumber],
    endpoints: &[EndpointAddress],
) -> Result<(), Failure> {
    if steps.len() > usbscan_wire::ABORT_STEPS_LIMIT {
        return Err(Failure::TooManySteps);
    }
    for (at, step) in steps.iter().enumerate() {
        let problem = problem(step, interfaces).or_else(|| foreign_endpoint(step, endpoints));
        problem.map_or(Ok(()), |problem| Err(Failure::BadStep { number: at + 1, problem }))?;
    }
    Ok(())
}

fn foreign_endpoint(step: &AbortStep, endpoints: &[EndpointAddress]) -> Option<&'static str> {
    let endpoint = match step {
        AbortStep::Write { endpoint, .. }
        | AbortStep::Read { endpoint, .. }
        | AbortStep::Drain { endpoint, .. }
        | AbortStep::DrainHttp { endpoint, .. }
        | AbortStep::ClearHalt { endpoint, .. } => EndpointAddress((*endpoint)?),
        AbortStep::Control { recipient: RequestRecipient::Endpoint, index, .. } => {
            let endpoint = EndpointAddress(*index as u8);
            let known = endpoint.number() == 0 || endpoints.contains(&endpoint);
            return (!known).then_some("\"index\" must be an endpoint of an interface that this session has");
        }
        AbortStep::Control { .. } => return None,
    };
    let known = !endpoint.is_control() && endpoints.contains(&endpoint);
    (!known).then_some("\"endpoint\" must be one of an interface that this session has")
}

fn problem(step: &AbortStep, interfaces: &[InterfaceNumber]) -> Option<&'static str> {
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
        AbortStep::DrainHttp { timeout, .. } if !(1..=LONGEST_HTTP).contains(timeout) => {
            Some("\"timeout\" must be from 1 to 180000 milliseconds")
        }
        AbortStep::DrainHttp { framing: HttpFraming::Length(bytes), .. } if Framing::length(*bytes).is_err() => {
            Some("\"framing\" has more bytes than any page")
        }
        AbortStep::DrainHttp { delete_job_of: Some(root), .. } if Request::get(root).is_none() => {
            Some("\"delete-job-of\" must be a path")
        }
        AbortStep::Drain { quiet, .. } | AbortStep::DrainHttp { quiet, .. } if bad_time(*quiet) => {
            Some("\"quiet\" must be from 1 to 10000 milliseconds")
        }
        AbortStep::Write { bytes, .. } if bytes.0.len() > LONGEST_WRITE => Some("\"bytes\" has at most 512"),
        AbortStep::Read { length, .. } if *length as usize > usbscan_wire::PAYLOAD_LIMIT => {
            Some("\"length\" is at most 1048576")
        }
        AbortStep::Read { length, expect, .. } if expect.0.len() > *length as usize => {
            Some("\"expect\" is longer than \"length\"")
        }
        AbortStep::Control { bytes, length, direction, .. } => {
            let (setup, _) = control(step)?;
            let foreign = setup.request_type & 0x1f == 1 && !interfaces.contains(&InterfaceNumber(setup.index as u8));
            match direction {
                _ if foreign => Some("\"index\" must be an interface that this session has"),
                _ if setup.is_reserved_for_host() => Some("this standard request has a command of its own"),
                ControlDirection::In if *length > Setup::MAX_DATA => Some("\"length\" is at most 4096"),
                ControlDirection::Out if bytes.0.len() > usize::from(Setup::MAX_DATA) => {
                    Some("\"bytes\" has at most 4096")
                }
                _ => None,
            }
        }
        AbortStep::ClearHalt { pipe: Some(Pipe::All | Pipe::Control), .. } => {
            Some("\"pipe\" must be read, write or event")
        }
        AbortStep::ClearHalt { pipe: None, endpoint: None } => Some("\"pipe\" or \"endpoint\" is missing"),
        AbortStep::ClearHalt { pipe: Some(_), endpoint: Some(_) } => {
            Some("\"pipe\" and \"endpoint\" exclude each other")
        }
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

/// The control request of a step, and its data.
pub(crate) fn control(step: &AbortStep) -> Option<(Setup, &[u8])> {
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

/// The part of a sequence by which the scanner shows that it is idle: from the question before the last expectation to the
/// end. `None` where nothing is expected, so that a sequence proves nothing.
pub(crate) fn verifying(steps: &[AbortStep]) -> Option<&[AbortStep]> {
    let expects = |step: &AbortStep| match step {
        AbortStep::Read { expect, .. } => !expect.0.is_empty(),
        AbortStep::DrainHttp { framing, .. } => *framing == HttpFraming::Answer,
        _ => false,
    };
    let asks = |step: &AbortStep| matches!(step, AbortStep::Write { .. } | AbortStep::Control { .. });
    let last = steps.iter().rposition(expects)?;
    let begins = steps[..last].iter().rposition(asks).unwrap_or(last);
    Some(&steps[begins..])
}

#[cfg(test)]
mod tests {
    use usbscan_wire::HexBytes;

    use super::*;

    fn refusal(step: AbortStep) -> Option<String> {
        check_within(&[step], &[InterfaceNumber(1)], &[EndpointAddress(0x81), EndpointAddress::CONTROL])
            .err()
            .map(|failure| failure.to_string())
    }

    fn class_request(index: u16) -> AbortStep {
        AbortStep::Control {
            kind: RequestKind::Class,
            recipient: RequestRecipient::Interface,
            direction: ControlDirection::Out,
            request: 0x64,
            value: 0,
            index,
            bytes: HexBytes(vec![0x01, 0x40, 0, 0, 0, 0]),
            length: 0,
            timeout: 1000,
        }
    }

    fn drain_http(framing: HttpFraming, quiet: u32, timeout: u32, delete_job_of: Option<&str>) -> AbortStep {
        AbortStep::DrainHttp {
            endpoint: None,
            framing,
            quiet,
            timeout,
            delete_job_of: delete_job_of.map(str::to_owned),
        }
    }

    #[test]
    fn steps_out_of_bounds_are_refused_with_their_number() {
        assert_eq!(refusal(class_request(1)), None);
        for step in [
            AbortStep::Write { endpoint: None, bytes: HexBytes(vec![0; 513]), timeout: 1 },
            AbortStep::Write { endpoint: None, bytes: HexBytes(vec![]), timeout: 0 },
            AbortStep::Read { endpoint: None, length: 2 << 20, timeout: 1, expect: HexBytes::default() },
            AbortStep::Read { endpoint: None, length: 1, timeout: 10_001, expect: HexBytes::default() },
            AbortStep::Read { endpoint: None, length: 1, timeout: 1, expect: HexBytes(vec![6, 6]) },
            AbortStep::Drain { endpoint: None, quiet: 0, timeout: 1 },
            AbortStep::ClearHalt { pipe: Some(Pipe::All), endpoint: None },
            AbortStep::ClearHalt { pipe: None, endpoint: None },
            AbortStep::ClearHalt { pipe: None, endpoint: Some(0x82) },
            AbortStep::ClearHalt { pipe: None, endpoint: Some(0) },
            AbortStep::Drain { endpoint: Some(0x82), quiet: 1, timeout: 1 },
            drain_http(HttpFraming::Head, 1, 180_001, None),
            drain_http(HttpFraming::Head, 10_001, 1, None),
            drain_http(HttpFraming::Length(u64::MAX), 1, 1, None),
            drain_http(HttpFraming::Head, 1, 1, Some("/a b")),
            AbortStep::DrainHttp {
                endpoint: Some(0x82),
                framing: HttpFraming::Head,
                quiet: 1,
                timeout: 1,
                delete_job_of: None,
            },
            class_request(0),
        ] {
            let refused = refusal(step.clone()).unwrap_or_else(|| panic!("{step:?} is refused"));
            assert!(refused.contains("step 1: "), "{refused}");
        }
        let many = vec![AbortStep::ClearHalt { pipe: Some(Pipe::Read), endpoint: None }; 17];
        assert!(matches!(check_within(&many, &[], &[]), Err(Failure::TooManySteps)));
    }

    #[test]
    fn a_request_type_is_made_of_its_three_parts() {
        assert_eq!(request_type(ControlDirection::In, RequestKind::Vendor, RequestRecipient::Device), 0xc0);
        assert_eq!(request_type(ControlDirection::Out, RequestKind::Class, RequestRecipient::Interface), 0x21);
    }

    #[test]
    fn what_verifies_is_the_question_before_the_last_expectation_and_all_behind_it() {
        let read = |expect: &[u8]| AbortStep::Read {
            endpoint: None,
            length: 8,
            timeout: 1,
            expect: HexBytes(expect.to_vec()),
        };
        let write = |byte| AbortStep::Write { endpoint: None, bytes: HexBytes(vec![byte]), timeout: 1 };
        let drain = AbortStep::Drain { endpoint: None, quiet: 1, timeout: 1 };
        let steps = [drain.clone(), write(0x18), read(&[]), write(0x1b), read(&[6]), drain.clone()];
        assert_eq!(verifying(&steps), Some(&steps[3..]));
        assert_eq!(verifying(&steps[..3]), None, "nothing is expected");
        assert_eq!(verifying(&[drain.clone(), read(&[6])]), Some(&[read(&[6])][..]), "nothing is asked");
    }
}

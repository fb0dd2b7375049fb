//! `usbscan cancel`.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::json;
use usbscan_client::{Refusal, Session};
use usbscan_wire::{AbortReport, Command, Status};

use super::args::{Cancel, CancelPipeName, RequestNumber};
use super::context::Context;
use super::device::select_device;
use super::failure::Failure;

/// Cancels everything on a scanner and returns it to idle; or only one pipe's requests; or one request.
pub fn run(context: &Context<'_>, args: &Cancel) -> Result<(), Failure> {
    match (args.request, args.pipe) {
        (Some(number), _) => request(context, number),
        (None, Some(name)) => pipe(context, args, name),
        (None, None) => pending(context, args),
    }
}

fn request(context: &Context<'_>, number: RequestNumber) -> Result<(), Failure> {
    let RequestNumber { session, request } = number;
    if !context.connect()?.cancel_request(request, Some(session))? {
        return Err(Failure::NoRequest { session, request });
    }
    context.print(&json!({ "session": session, "request": request, "cancelled": true }), |out| {
        writeln!(out, "request {session}/{request} cancelled")
    })
}

fn pipe(context: &Context<'_>, args: &Cancel, name: CancelPipeName) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = select_device(&session, &args.device)?;
    let pipe: usbscan_wire::Pipe = name.into();
    let answer = session
        .call(Command::CancelPipe { pipe: Some(pipe), endpoint: None, device: Some(device.clone()) }, Vec::new())?;
    context.print(&json!({ "device": device, "pipe": pipe, "cancelled": answer.information }), |out| {
        let pipe = if name == CancelPipeName::All { "all pipes".to_owned() } else { format!("{pipe} pipe") };
        writeln!(out, "{device}: {pipe}: {}", cancelled(answer.information))
    })
}

fn pending(context: &Context<'_>, args: &Cancel) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = select_device(&session, &args.device)?;
    let report = match recover(context, &session, &device) {
        // Only a scanner that usbscand can't claim is busy to a cancel.
        Err(error) if error.status() == Some(Status::Busy) => {
            return Err(Failure::ForeignProgram { device, source: error });
        }
        report => report?,
    };
    if let Some(step) = report.failed_step {
        return Err(Failure::NotIdle { device, step });
    }
    context.print(&json!({ "device": device, "idle": true, "report": report }), |out| {
        writeln!(out, "{device}: {}; the scanner is idle{}", cancelled(report.cancelled), recovered_by(&report))
    })
}

/// A healthy scanner is idle by then, without a word on the way.
const PROMPT: Duration = Duration::from_millis(250);

/// Cancels everything. Where the recovery takes longer, it says at once what was cancelled, and what is being waited for.
fn recover(context: &Context<'_>, session: &Session, device: &str) -> Result<AbortReport, usbscan_client::Error> {
    let command = Command::CancelPending { device: Some(device.to_owned()) };
    let name = command.name();
    let before = requests(session, device);
    let mut pending = session.start(command, Vec::new())?;
    let answer = match pending.wait_for(PROMPT)? {
        Some(answer) => answer,
        None => {
            let ended = before.saturating_sub(requests(session, device));
            if !context.json() {
                let words = cancelled(ended as u64);
                // Nobody is worse off without it.
                let _ =
                    writeln!(io::stderr(), "usbscan: {device}: {words}; waiting for usbscand to recover the scanner");
            }
            pending.wait()?
        }
    };
    match answer.status {
        Status::Success => answer.body().map_err(|source| usbscan_client::Error::BadAnswer { command: name, source }),
        _ => Err(usbscan_client::Error::Refused(Box::new(Refusal { command: name, answer }))),
    }
}

/// Requests that are pending on a scanner, as far as that can be found out.
fn requests(session: &Session, device: &str) -> usize {
    let status = session.status(Some(device)).unwrap_or_default();
    status.iter().flat_map(|device| &device.pipes).map(|pipe| pipe.pending.len()).sum()
}

/// What brought it back, and whether it has shown that.
fn recovered_by(report: &AbortReport) -> &'static str {
    match (&*report.method, report.verified) {
        ("armed", true) => " (abort sequence, verified)",
        ("port-reset", true) => " (port reset, verified)",
        ("port-reset", false) => " (port reset)",
        ("class", true) => " (class requests, verified)",
        _ => "",
    }
}

fn cancelled(requests: u64) -> String {
    match requests {
        0 => "nothing was pending".to_owned(),
        1 => "cancelled 1 request".to_owned(),
        count => format!("cancelled {count} requests"),
    }
}

//! `usbscan cancel`.

use serde_json::json;
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
    let report = match session.cancel_pending(Some(&device)) {
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

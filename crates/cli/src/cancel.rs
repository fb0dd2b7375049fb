//! `usbscan cancel`.

use serde_json::json;
use usbscan_wire::Command;

use super::args::{Cancel, PipeName, RequestNumber};
use super::context::Context;
use super::device::chosen;
use super::failure::Failure;

/// Cancels everything on a scanner and brings it back to idle, or what is on one pipe, or one request.
pub fn run(context: &Context<'_>, wish: &Cancel) -> Result<(), Failure> {
    match (wish.request, wish.pipe) {
        (Some(number), _) => request(context, number),
        (None, Some(name)) => pipe(context, wish, name),
        (None, None) => pending(context, wish),
    }
}

fn request(context: &Context<'_>, number: RequestNumber) -> Result<(), Failure> {
    let RequestNumber { session, request } = number;
    if !context.connect()?.cancel_request(request, Some(session))? {
        return Err(Failure::NoRequest { session, request });
    }
    context.print(&json!({ "session": session, "request": request, "cancelled": true }), |out| {
        writeln!(out, "request {session}/{request} is cancelled")
    })
}

fn pipe(context: &Context<'_>, wish: &Cancel, name: PipeName) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = chosen(&session, &wish.device)?;
    let pipe: usbscan_wire::Pipe = name.into();
    let answer = session.call(Command::CancelPipe { pipe, device: Some(device.clone()) }, Vec::new())?;
    context.print(&json!({ "device": device, "pipe": pipe, "cancelled": answer.information }), |out| {
        let what = if name == PipeName::All { "all pipes".to_owned() } else { format!("the {pipe} pipe") };
        writeln!(out, "{device}: nothing is pending on {what} any more")
    })
}

fn pending(context: &Context<'_>, wish: &Cancel) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = chosen(&session, &wish.device)?;
    let report = session.cancel_pending(Some(&device))?;
    if let Some(step) = report.failed_step {
        return Err(Failure::NotIdle { device, step });
    }
    context.print(&json!({ "device": device, "idle": true, "report": report }), |out| {
        let requests = match report.cancelled {
            0 => "nothing was pending".to_owned(),
            1 => "cancelled 1 request".to_owned(),
            count => format!("cancelled {count} requests"),
        };
        writeln!(out, "{device}: {requests}; the scanner is idle")
    })
}

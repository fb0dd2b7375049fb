//! `usbscan wait-event`.

use std::time::{Duration, Instant};

use serde_json::json;
use usbscan_client::{Endpoints, Session};
use usbscan_wire::Status;

use super::args::WaitEvent;
use super::context::Context;
use super::device::select_device;
use super::failure::Failure;
use super::hex;

/// Waits for one interrupt packet and prints it.
pub fn run(context: &Context<'_>, args: &WaitEvent) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = select_device(&session, &args.device)?;
    let opened = session.open_at(&device, Endpoints { event: args.event_index, ..Endpoints::default() })?;
    let device = opened.device.name;
    if !opened.pipes.iter().any(|pipe| pipe.bound.as_deref() == Some("event")) {
        return Err(Failure::NoEventPipe { device });
    }
    let packet = match args.timeout {
        Some(timeout) => wait(&session, timeout)?
            .ok_or(Failure::NoEvent { device: device.clone(), seconds: timeout.as_secs_f64() })?,
        None => wait_without_timeout(&session)?,
    };
    context.print(&json!({ "device": device, "packet": hex::plain(&packet) }), |out| {
        writeln!(out, "{device}: {}", hex::plain(&packet))
    })
}

/// `None` on timeout.
fn wait(session: &Session, timeout: Duration) -> Result<Option<usbscan_client::Bytes>, Failure> {
    match session.wait_event(Some(timeout)) {
        Ok(packet) => Ok(Some(packet)),
        Err(error) if error.status() == Some(Status::Timeout) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The protocol limits the timeout of one request, so this repeats it.
fn wait_without_timeout(session: &Session) -> Result<usbscan_client::Bytes, Failure> {
    let longest = Duration::from_secs(usbscan_wire::MAX_TIMEOUT_SECONDS.into());
    loop {
        let began = Instant::now();
        if let Some(packet) = wait(session, longest)? {
            return Ok(packet);
        }
        log::debug!("no event in {:?}; still waiting", began.elapsed());
    }
}

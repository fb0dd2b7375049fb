//! `usbscan wait-event`.

use std::time::{Duration, Instant};

use serde_json::json;
use usbscan_client::{Endpoints, Session};
use usbscan_wire::Status;

use super::args::WaitEvent;
use super::context::Context;
use super::device::chosen;
use super::failure::Failure;
use super::hex;

/// Waits for one packet and prints it.
pub fn run(context: &Context<'_>, wish: &WaitEvent) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = chosen(&session, &wish.device)?;
    let opened = session.open_at(&device, Endpoints { event: wish.event_index, ..Endpoints::default() })?;
    let device = opened.device.name;
    if !opened.pipes.iter().any(|pipe| pipe.bound.as_deref() == Some("event")) {
        return Err(Failure::NoEventPipe { device });
    }
    let packet = match wish.timeout {
        Some(patience) => wait(&session, patience)?
            .ok_or(Failure::NoEvent { device: device.clone(), seconds: patience.as_secs_f64() })?,
        None => wait_for_ever(&session)?,
    };
    context.print(&json!({ "device": device, "packet": hex::plain(&packet) }), |out| {
        writeln!(out, "{device}: {}", hex::plain(&packet))
    })
}

/// `None` when the time is up.
fn wait(session: &Session, patience: Duration) -> Result<Option<usbscan_client::Bytes>, Failure> {
    match session.wait_event(Some(patience)) {
        Ok(packet) => Ok(Some(packet)),
        Err(error) if error.status() == Some(Status::Timeout) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A request has a longest time, so one follows the other.
fn wait_for_ever(session: &Session) -> Result<usbscan_client::Bytes, Failure> {
    let longest = Duration::from_secs(usbscan_wire::MAX_TIMEOUT_SECONDS.into());
    loop {
        let began = Instant::now();
        if let Some(packet) = wait(session, longest)? {
            return Ok(packet);
        }
        log::debug!("no event in {:?}; waiting on", began.elapsed());
    }
}

//! Opens a scanner with a backend of SANE, in a process of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use usbscan_client::Session;
use usbscan_client::wire::{DeviceEntry, Status};
use usbscan_scan::hosted::{HostedBackend, PROGRAM};
use usbscan_scan::{Progress, SessionTransport};

use super::super::context::Context;
use super::super::failure::Failure;
use super::super::program::{Library, ProgramError, sane_host};
use super::batch::signal_or_error;
use super::{Opened, open_failure};

/// For so long the process of a scan that was cancelled may take to bring its scanner home, and a little more.
const HOMING: Duration = Duration::from_secs(35);

/// Starts the process, and opens the scanner that the daemon calls `name`.
///
/// # Errors
/// The daemon's or the backend's; [`Failure::Interrupted`].
pub fn open(
    context: &Context<'_>,
    session: Session,
    name: &str,
    backend: &str,
    folder: Option<&Path>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Opened, Failure> {
    let socket = context.socket().ok_or(ProgramError::VirtualHost)?;
    let socket = std::path::absolute(socket).map_err(Failure::System)?;
    let (program, libusb) = (sane_host(folder)?, Library::find(folder)?.file());
    let device = wait_until_free(context, session, name)?;
    let hosted = HostedBackend::new(program, libusb, backend.to_owned(), device.name.clone(), socket);
    let cancel = HostedBackend::cancel_handle();
    let (bar, cancelled) = (context.bar.clone(), cancel.clone());
    let signal_guard = context.interrupts.on_first(move |signal| {
        bar.interrupted(signal);
        cancelled.cancel();
    });
    let scanner = hosted.open(cancel, progress).map_err(|error| signal_or_error(context.interrupts.caught(), error))?;
    Ok(Opened { scanner, device, _signal_guard: signal_guard })
}

/// Waits until nobody uses the scanner, as other drivers do; and for the process of an earlier scan that is still at it, longer.
/// Where it stays in use, the daemon says by whom.
fn wait_until_free(context: &Context<'_>, mut session: Session, name: &str) -> Result<DeviceEntry, Failure> {
    let began = Instant::now();
    loop {
        match SessionTransport::open(session, name) {
            Ok((transport, device)) => {
                // The process takes it from here.
                transport.session().close()?;
                return Ok(device);
            }
            Err(error) => {
                session = context.connect()?;
                let is_homing = error.status() == Some(Status::Busy) && is_hosted(&session, name);
                if !is_homing || began.elapsed() >= HOMING || context.interrupts.caught().is_some() {
                    return Err(open_failure(context, name, error));
                }
            }
        }
    }
}

/// Whether the process of a backend has the scanner.
fn is_hosted(session: &Session, name: &str) -> bool {
    let devices = session.status(Some(name)).unwrap_or_default();
    let sessions = devices.iter().flat_map(|device| &device.sessions);
    // The kernel keeps the first 15 letters of a name.
    let is_host = |program: &str| !program.is_empty() && PROGRAM.starts_with(program);
    sessions.into_iter().any(|session| is_host(&session.peer.program))
}

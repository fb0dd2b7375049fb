//! `usbscan reset`.

use serde_json::json;
use usbscan_wire::Pipe;

use super::args::Reset;
use super::context::Context;
use super::device::chosen;
use super::failure::Failure;

/// Resets one pipe, all pipes, or the port.
pub fn run(context: &Context<'_>, wish: &Reset) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = chosen(&session, &wish.device)?;
    // Opening waits until a job that died is cleaned up; until then the scanner would be busy.
    let device = session.open(&device)?.device.name;
    if wish.whole_device {
        session.reset_device(None)?;
        return context.print(&json!({ "device": device, "reset": "device" }), |out| {
            writeln!(out, "{device}: its port was reset")
        });
    }
    let pipe: Pipe = wish.pipe.map_or(Pipe::All, Pipe::from);
    session.reset_pipe(pipe)?;
    context.print(&json!({ "device": device, "reset": pipe }), |out| match pipe {
        Pipe::All => writeln!(out, "{device}: its pipes were reset"),
        pipe => writeln!(out, "{device}: its {pipe} pipe was reset"),
    })
}

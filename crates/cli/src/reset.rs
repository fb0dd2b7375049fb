//! `usbscan reset`.

use serde_json::json;
use usbscan_wire::Pipe;

use super::args::Reset;
use super::context::Context;
use super::device::select_device;
use super::failure::Failure;

/// Resets one pipe, all pipes, or the USB port.
pub fn run(context: &Context<'_>, args: &Reset) -> Result<(), Failure> {
    let session = context.connect()?;
    let device = select_device(&session, &args.device)?;
    // `open` waits until the job of a dead client is cleaned up; until then the scanner is busy.
    let device = session.open(&device)?.device.name;
    if args.whole_device {
        session.reset_device(None)?;
        return context
            .print(&json!({ "device": device, "reset": "device" }), |out| writeln!(out, "{device}: port reset"));
    }
    let pipe: Pipe = args.pipe.map_or(Pipe::All, Pipe::from);
    session.reset_pipe(pipe)?;
    context.print(&json!({ "device": device, "reset": pipe }), |out| match pipe {
        Pipe::All => writeln!(out, "{device}: all pipes reset"),
        pipe => writeln!(out, "{device}: {pipe} pipe reset"),
    })
}

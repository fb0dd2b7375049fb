//! `usbscan list`.

use serde_json::json;
use usbscan_wire::DeviceEntry;

use super::context::Context;
use super::failure::Failure;
use super::label::label;
use super::table::{Table, printable};

/// That which is in use or preferred, then the others.
fn protocols(device: &DeviceEntry) -> String {
    let others = device.drivers.iter().map(|way| way.driver.as_str()).filter(|name| *name != device.protocol);
    std::iter::once(device.protocol.as_str()).chain(others).collect::<Vec<_>>().join(", ")
}

/// Lists the scanners. An empty list is no failure.
pub fn run(context: &Context<'_>) -> Result<(), Failure> {
    let devices = context.connect()?.list()?;
    context.print(&json!({ "devices": devices }), |out| {
        if devices.is_empty() {
            return writeln!(out, "No scanners.");
        }
        let mut table = Table::new(["NAME", "SCANNER", "STABLE ID", "PROTOCOL", "PORT", "SPEED"]);
        for device in &devices {
            table.row([
                device.name.clone(),
                label(device),
                device.stable_id.clone(),
                protocols(device),
                device.port.clone(),
                device.speed.clone(),
            ]);
        }
        table.write(out, "")?;
        for device in devices.iter().filter(|device| !device.accessible || device.problem.is_some()) {
            let problem = device.problem.as_deref().unwrap_or("can't be opened");
            writeln!(out, "{}: {}", device.name, printable(problem))?;
        }
        Ok(())
    })
}

//! Which scanner is meant, and what it is called for people.

use usbscan_client::Session;
use usbscan_wire::DeviceEntry;

use super::args::Device;
use super::failure::Failure;
use super::table::printable;

/// The scanner that was named, or the only one there is. What was named goes to the daemon as it is: it alone knows what
/// it abbreviates.
///
/// # Errors
/// [`Failure::NoScanner`], [`Failure::WhichScanner`], or the daemon's.
pub fn chosen(session: &Session, device: &Device) -> Result<String, Failure> {
    if let Some(name) = &device.device {
        return Ok(name.clone());
    }
    let mut devices = session.list()?;
    match devices.len() {
        0 => Err(Failure::NoScanner),
        1 => Ok(devices.remove(0).name),
        _ => Err(Failure::WhichScanner(devices)),
    }
}

/// Maker and product, or the numbers where it names neither.
pub fn label(device: &DeviceEntry) -> String {
    let words: Vec<&str> = [&device.manufacturer, &device.product]
        .into_iter()
        .flatten()
        .map(|word| word.trim())
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        [] => format!("{:04x}:{:04x}", device.vendor_id, device.product_id),
        words => printable(&words.join(" ")),
    }
}

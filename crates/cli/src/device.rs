//! Chooses the scanner that DEVICE names, and its display name.

use usbscan_client::Session;
use usbscan_wire::DeviceEntry;

use super::args::Device;
use super::failure::Failure;
use super::table::printable;

/// DEVICE as given (the daemon resolves prefixes), or the only scanner there is.
///
/// # Errors
/// [`Failure::NoScanner`], [`Failure::WhichScanner`], or the daemon's.
pub fn select_device(session: &Session, device: &Device) -> Result<String, Failure> {
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

/// Manufacturer and product; vendor and product id where the device reports neither.
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

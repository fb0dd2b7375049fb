//! Chooses the scanner that DEVICE names.

use usbscan_client::Session;

use super::args::DeviceArg;
use super::failure::Failure;

/// DEVICE as given (the daemon resolves prefixes), or the only scanner there is.
///
/// # Errors
/// [`Failure::NoScanner`], [`Failure::WhichScanner`], or the daemon's.
pub fn select_device(session: &Session, device: &DeviceArg) -> Result<String, Failure> {
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

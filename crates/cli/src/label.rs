//! The display name of a scanner.

use usbscan_wire::DeviceEntry;

use super::table::printable;

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

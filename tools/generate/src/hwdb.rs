//! The model table as a udev hardware database: what `udev/60-usbscan.rules` asks about a device that was plugged in.

use usbscan_daemon::quirks::Table;

const HEAD: &str = "\
# Which USB devices are scanners though their interface does not say so: for 60-usbscan.rules.
# Made from quirks/*.toml by tools/generate; usbscand reads the same table. To add a model, see MODELS in usbscand.toml(5).
";

/// The whole file. Models without a protocol are in the table for their oddities only, and found by their class.
pub fn render() -> String {
    let mut text = HEAD.to_owned();
    for model in Table::built_in().models() {
        let Some(protocol) = model.protocol else { continue };
        // The hardware database matches upper-case digits, as the kernel writes them in a modalias.
        text += &format!(
            "\n# {} {}\nusb:v{:04X}p{:04X}*\n USBSCAN_PROTOCOL={}\n",
            model.manufacturer, model.name, model.vendor.0, model.product.0, protocol
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_that_is_a_scanner_by_table_is_one_for_udev() {
        let text = render();
        let models = Table::built_in();
        let scanners: Vec<_> = models.models().filter(|model| model.protocol.is_some()).collect();
        assert!(!scanners.is_empty());
        assert_eq!(text.matches("\nusb:v").count(), scanners.len());
        for model in scanners {
            let id = format!("usb:v{:04X}p{:04X}*\n USBSCAN_PROTOCOL=", model.vendor.0, model.product.0);
            assert!(text.contains(&id), "{id}");
        }
    }
}

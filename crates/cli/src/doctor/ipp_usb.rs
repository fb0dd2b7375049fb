//! ipp-usb has every printer and scanner of class 7/1/4, as it is installed. Which of them it leaves to us is a file of its own
//! configuration, and this says which: ipp-usb is not stopped, and no device is taken from it while it uses it.
//!
//! From ipp-usb's manual page and source: files `*.conf` in /etc/ipp-usb/quirks are read when it starts; a section is a pattern
//! that the whole model name has to match, with `*`, `?` for one byte, and a backslash. The name is the product string, behind the
//! manufacturer's unless it begins with that, both without spaces at their ends. Versions before 0.9.31, as Debian 12's 0.9.23,
//! know no patterns of USB ids.

use super::finding::Finding;
use super::holder::Holder;

/// Its `comm`.
pub const PROGRAM: &str = "ipp-usb";
const FOLDER: &str = "/etc/ipp-usb/quirks";

/// What it calls a model.
pub fn model(manufacturer: &str, product: &str) -> String {
    let (manufacturer, product) = (manufacturer.trim(), product.trim());
    if product.starts_with(manufacturer) { product.to_owned() } else { format!("{manufacturer} {product}") }
}

/// A section that matches a model. What a device calls itself goes into a command that root is to run, so all but plain
/// characters become `?`.
fn section(model: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_.,+/()".contains(&byte);
    model.bytes().map(|byte| if plain(byte) { char::from(byte) } else { '?' }).collect()
}

/// `id` is `04b8:0151`.
pub fn file(id: &str) -> String {
    format!("{FOLDER}/usbscan-{}.conf", id.replace(':', "-"))
}

fn take_away(id: &str, model: &str) -> String {
    format!(
        "sudo mkdir -p {FOLDER} && printf '[%s]\\n  blacklist = true\\n' '{}' | sudo tee {} && sudo systemctl restart ipp-usb",
        section(model),
        file(id)
    )
}

fn give_back(id: &str) -> String {
    format!("sudo rm {} && sudo systemctl restart ipp-usb", file(id))
}

/// What to say when it has a device.
pub fn has_it(check: &str, holder: &Holder, id: &str, model: &str) -> Vec<Finding> {
    let text = format!(
        "ipp-usb (pid {}) has the device, for driverless printing and scanning, and usbscand does not take it away; the \
         command leaves this one device to usbscand: driverless printing to it over USB ends then, while printing with a \
         driver of its own (usb://) goes on",
        holder.pid
    );
    vec![
        Finding::problem(check, text).with_fix(take_away(id, model)),
        Finding::note(check, "to give it back to ipp-usb afterwards:").with_details(give_back(id)),
    ]
}

/// What to say when it has been told to leave a device alone.
pub fn leaves_it(check: &str, id: &str) -> Finding {
    let text = format!("{} keeps ipp-usb from this device; to give it back:", file(id));
    Finding::note(check, text).with_details(give_back(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_called_as_ipp_usb_calls_it() {
        assert_eq!(model("HP ", " HP LaserJet MFP M28w"), "HP LaserJet MFP M28w");
        assert_eq!(model("HP Inc.", "HP Laser MFP 135a"), "HP Inc. HP Laser MFP 135a");
        assert_eq!(model("", "V1"), "V1");
    }

    #[test]
    fn a_name_that_would_be_more_than_a_name_to_a_shell_or_to_ipp_usb_is_none() {
        let command = take_away("04b8:0151", "Acme' $(reboot)]\n[*] `x` \u{e9}");
        assert!(command.contains("'Acme? ?(reboot)????? ?x? ??'"), "{command}");
        assert!(command.contains("/etc/ipp-usb/quirks/usbscan-04b8-0151.conf"));
    }
}

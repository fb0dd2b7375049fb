//! The keys of the model that SANE's xerox_mfp drives.

use super::{Built, Key, ModelSpec, SpecError, Values, at_sheet, either, seconds, sheets};
use crate::glass::Glass;
use crate::{Busy, Xerox, XeroxSetup};

pub(super) const XEROX: ModelSpec = ModelSpec {
    name: "xerox",
    about: "Samsung SCX-4200, which usbscan has no driver for: SANE's xerox_mfp drives it",
    keys: &[
        Key { name: "glass", value: "FILE.png", about: "what lies on it [a test chart]" },
        Key {
            name: "adf",
            value: "N|A.png:B.png",
            about: "a document feeder with so many sheets, or with these pages",
        },
        Key { name: "jpeg", value: "yes|no", about: "can send colour as JPEG [no]" },
        Key { name: "warmup", value: "SECONDS", about: "how long it is busy with warming up" },
        Key { name: "busy", value: "SECONDS|always", about: "in use from elsewhere" },
        Key { name: "cover", value: "open|closed", about: "its cover [closed]" },
        Key { name: "serial", value: "TEXT", about: "its serial number [VIRTUAL4]" },
        Key { name: "fault", value: "jam@SHEET", about: "this sheet jams" },
    ],
    build: build_xerox,
};

fn build_xerox(values: &mut Values) -> Result<Built, SpecError> {
    let mut setup = XeroxSetup::default();
    if let Some(serial) = values.last("serial") {
        setup.serial = serial;
    }
    if let Some(file) = values.last("glass") {
        setup.glass = Glass::png_file(file)?;
    }
    setup.sheets = values.last("adf").map(|text| sheets(text, false)).transpose()?;
    setup.has_jpeg = values.read("jpeg", "yes or no", either("yes", "no"))?.unwrap_or(false);
    let conditions = &mut setup.conditions;
    let busy = |text: &str| if text == "always" { Some(Busy::Always) } else { seconds(text).map(Busy::For) };
    conditions.warm_up = values.read("warmup", "seconds", seconds)?.unwrap_or_default();
    conditions.busy = values.read("busy", "seconds or always", busy)?.unwrap_or_default();
    conditions.cover_open = values.read("cover", "open or closed", either("open", "closed"))?.unwrap_or(false);
    conditions.jam_at = at_sheet(values, "jam@")?;
    let scanner = Xerox::new(setup);
    let panel = scanner.panel();
    Ok((Box::new(scanner), Some(panel)))
}

//! The keys of the ESC/I model.

use std::time::Duration;

use super::{Built, Key, ModelSpec, SHEET, SpecError, Values, alignment, at_byte, at_sheet, either, seconds, sheets};
use crate::glass::{Glass, Paper};
use crate::{Busy, Dialect, Esci, EsciSetup, FeederSetup, Level};

pub(super) const ESCI: ModelSpec = ModelSpec {
    name: "esci",
    about: "Epson Perfection V850, a flatbed that speaks ESC/I",
    keys: &[
        Key { name: "glass", value: "FILE.png", about: "what lies on it [a test chart]" },
        Key { name: "dialect", value: "fs|esc", about: "with FS commands or without [fs]" },
        Key {
            name: "level",
            value: "A1...D8",
            about: "A1 A2 B1-B8 F5 D1 D2 D7 D8 [B8; without FS: B7]; D7: an all-in-one",
        },
        Key { name: "warmup", value: "SECONDS", about: "how long its lamp warms up" },
        Key { name: "late", value: "SECONDS", about: "how late it answers when something has to move first" },
        Key { name: "busy", value: "SECONDS|always", about: "in use from elsewhere" },
        Key { name: "cover", value: "open|closed", about: "its cover [closed]" },
        Key { name: "paper", value: "jam|free", about: "its paper path [free]" },
        Key { name: "lamp", value: "dead|good", about: "its lamp [good]" },
        Key { name: "button", value: "N[@SECONDS]", about: "its button 1, 2 or 3 is pressed, now or so much later" },
        Key {
            name: "adf",
            value: "N|A.png:B.png",
            about: "a document feeder with so many sheets, or with these pages",
        },
        Key { name: "duplex", value: "yes|no", about: "which scans both sides: pictures are fronts and backs in turn" },
        Key { name: "sheet", value: "SIZE", about: "their size: a4, letter, ..., WIDTHxHEIGHT in mm [the feeder's]" },
        Key { name: "align", value: "left|center|right", about: "where it lays them [left]" },
        Key { name: "feeder", value: "open|closed", about: "the feeder's cover [closed]" },
        Key { name: "tray", value: "in|out", about: "the feeder's tray [in]" },
        Key { name: "tpu", value: "yes|no", about: "a transparency unit; not together with a feeder [no]" },
        Key { name: "printer", value: "yes|no", about: "a printer beside it, as an all-in-one has [no]" },
        Key { name: "serial", value: "TEXT", about: "its serial number [VIRTUAL1]" },
        Key { name: "matrix", value: "yes|no", about: "applies colour matrices that are downloaded [no]" },
        Key { name: "fault", value: "fatal@N", about: "fatal error at byte N of image data" },
        Key { name: "fault", value: "cancel@N", about: "its cancel button is pressed there (with FS)" },
        Key {
            name: "fault",
            value: "jam@SHEET",
            about: "this sheet jams half-way; also double-feed@SHEET, open@SHEET",
        },
    ],
    build: build_esci,
};

/// `2` or `2@1.5`.
pub(super) fn button(text: &str) -> Option<(u8, Duration)> {
    let (button, after) = text.split_once('@').unwrap_or((text, "0"));
    let button = button.parse().ok().filter(|button| (1..=3).contains(button))?;
    Some((button, seconds(after)?))
}

/// `adf=3`, `adf=a.png:b.png`.
fn feeder(values: &mut Values) -> Result<Option<FeederSetup>, SpecError> {
    let duplex = values.read("duplex", "yes or no", either("yes", "no"))?;
    let Some(text) = values.last("adf") else {
        let value = "yes".to_owned();
        return match duplex {
            Some(true) => Err(SpecError::BadValue { key: "duplex", value, expected: "adf= besides" }),
            _ => Ok(None),
        };
    };
    let duplex = duplex.unwrap_or(false);
    let sheets = sheets(text, duplex)?;
    let paper = values.read("sheet", SHEET, Paper::parse)?;
    let alignment = values.read("align", "left, center or right", alignment)?.unwrap_or_default();
    Ok(Some(FeederSetup { sheets, duplex, paper, alignment }))
}

fn build_esci(values: &mut Values) -> Result<Built, SpecError> {
    let mut setup = EsciSetup::default();
    let dialect = |text: &str| match text {
        "fs" => Some((Dialect::Fs, Level::B8)),
        "esc" => Some((Dialect::Esc, Level::B7)),
        _ => None,
    };
    if let Some((dialect, level)) = values.read("dialect", "fs or esc", dialect)? {
        (setup.dialect, setup.level) = (dialect, level);
    }
    if let Some(level) = values.read("level", "A1, A2, B1 to B8, F5, D1, D2, D7 or D8", Level::parse)? {
        setup.level = level;
    }
    setup.applies_matrix = values.read("matrix", "yes or no", either("yes", "no"))?.unwrap_or(false);
    if let Some(serial) = values.last("serial") {
        setup.serial = serial;
    }
    if let Some(file) = values.last("glass") {
        setup.glass = Glass::png_file(file)?;
    }
    let conditions = &mut setup.conditions;
    let busy = |text: &str| if text == "always" { Some(Busy::Always) } else { seconds(text).map(Busy::For) };
    conditions.warm_up = values.read("warmup", "seconds", seconds)?.unwrap_or_default();
    conditions.late = values.read("late", "seconds", seconds)?.unwrap_or_default();
    conditions.busy = values.read("busy", "seconds or always", busy)?.unwrap_or_default();
    conditions.cover_open = values.read("cover", "open or closed", either("open", "closed"))?.unwrap_or(false);
    conditions.jam = values.read("paper", "jam or free", either("jam", "free"))?.unwrap_or(false);
    conditions.lamp_dead = values.read("lamp", "dead or good", either("dead", "good"))?.unwrap_or(false);
    (conditions.button, conditions.button_after) =
        values.read("button", "1, 2 or 3, or 1@SECONDS", button)?.unwrap_or_default();
    conditions.feeder_open = values.read("feeder", "open or closed", either("open", "closed"))?.unwrap_or(false);
    conditions.tray_out = values.read("tray", "in or out", either("out", "in"))?.unwrap_or(false);
    conditions.fatal_at = at_byte(values, "fatal@")?;
    conditions.cancel_at = at_byte(values, "cancel@")?;
    conditions.jam_at = at_sheet(values, "jam@")?;
    conditions.double_feed_at = at_sheet(values, "double-feed@")?;
    conditions.open_at = at_sheet(values, "open@")?;
    setup.printer = values.read("printer", "yes or no", either("yes", "no"))?.unwrap_or(false);
    setup.feeder = feeder(values)?;
    setup.transparency = values.read("tpu", "yes or no", either("yes", "no"))?.unwrap_or(false);
    if setup.transparency && setup.feeder.is_some() {
        return Err(SpecError::BadValue { key: "tpu", value: "yes".to_owned(), expected: "no: it has a feeder" });
    }
    let scanner = Esci::new(setup);
    let panel = scanner.panel();
    Ok((Box::new(scanner), Some(panel)))
}

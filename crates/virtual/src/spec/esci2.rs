//! The keys of the ESC/I-2 model.

use super::esci::button;
use super::{Built, Key, ModelSpec, SHEET, SpecError, Values, alignment, at_byte, either, seconds};
use crate::faults;
use crate::glass::{Glass, Paper};
use crate::{Busy, Esci2, Esci2Setup, Formats, FrameHeight, Sampling};

pub(super) const ESCI2: ModelSpec = ModelSpec {
    name: "esci2",
    about: "Epson PX-M7050, a flatbed with a duplex feeder that speaks ESC/I-2",
    keys: &[
        Key {
            name: "glass",
            value: "FILE.png",
            about: "what lies on it, and what its sheets look like [a test chart]",
        },
        Key { name: "sheets", value: "N", about: "sheets in its feeder [3]" },
        Key {
            name: "sheet",
            value: "SIZE",
            about: "size of these: a4, letter, ..., WIDTHxHEIGHT in mm [as asked for]",
        },
        Key { name: "align", value: "left|center|right", about: "where its feeder lays them [center]" },
        Key { name: "formats", value: "both|raw|jpeg", about: "how it sends images [both]" },
        Key { name: "frame", value: "asked|right|dnl", about: "the height in a JPEG page's frame [asked]" },
        Key { name: "sampling", value: "444|422|420", about: "chroma subsampling of JPEG [444]" },
        Key { name: "restart", value: "yes|no", about: "restart intervals in JPEG [yes]" },
        Key { name: "chunk", value: "BYTES", about: "image data in a reply [as many as #BSZ allows]" },
        Key { name: "first-chunk", value: "BYTES", about: "and in the first of a page" },
        Key { name: "depth", value: "8|16", about: "bits of a sample that it has at most [8]" },
        Key { name: "tables", value: "yes|no", about: "applies gamma tables that are downloaded [no]" },
        Key { name: "warmup", value: "SECONDS", about: "how long its lamp warms up" },
        Key { name: "busy", value: "SECONDS|always", about: "in use from elsewhere" },
        Key { name: "cover", value: "open|closed", about: "its cover [closed]" },
        Key {
            name: "paper",
            value: "jam|double|free",
            about: "its feeder: jammed, or takes two sheets at once [free]",
        },
        Key { name: "lamp", value: "dead|good", about: "its lamp [good]" },
        Key {
            name: "button",
            value: "N[@SECONDS]",
            about: "its button 1, 2 or 3 is pressed; it then has an interrupt pipe",
        },
        Key { name: "serial", value: "TEXT", about: "its serial number [VIRTUAL2]" },
        Key { name: "fault", value: "fatal@N", about: "fatal error at byte N of a job's image data" },
        Key { name: "fault", value: "cancel@N", about: "its cancel button is pressed there" },
        Key { name: "fault", value: "jam@N", about: "paper jams in its feeder there" },
    ],
    build: build_esci2,
};

fn build_esci2(values: &mut Values) -> Result<Built, SpecError> {
    let mut setup = Esci2Setup::default();
    if let Some(serial) = values.last("serial") {
        setup.serial = serial;
    }
    if let Some(file) = values.last("glass") {
        setup.glass = Glass::png_file(file)?;
    }
    let one_of = |words: &'static [&'static str]| move |text: &str| words.iter().position(|word| *word == text);
    let busy = |text: &str| if text == "always" { Some(Busy::Always) } else { seconds(text).map(Busy::For) };
    setup.sheets = values.read("sheets", "a number", |text| text.parse().ok())?.unwrap_or(setup.sheets);
    setup.formats = match values.read("formats", "both, raw or jpeg", one_of(&["both", "raw", "jpeg"]))? {
        Some(1) => Formats::Raw,
        Some(2) => Formats::Jpeg,
        _ => Formats::Both,
    };
    setup.paper = values.read("sheet", SHEET, Paper::parse)?;
    setup.alignment = values.read("align", "left, center or right", alignment)?.unwrap_or(setup.alignment);
    let frame = |text: &str| match text {
        "asked" => Some(FrameHeight::Claimed(0)),
        "right" => Some(FrameHeight::Right),
        "dnl" => Some(FrameHeight::Dnl),
        _ => None,
    };
    setup.jpeg.frame = values.read("frame", "asked, right or dnl", frame)?.unwrap_or(setup.jpeg.frame);
    setup.jpeg.sampling = values.read("sampling", "444, 422 or 420", Sampling::parse)?.unwrap_or_default();
    setup.jpeg.restarts = values.read("restart", "yes or no", either("yes", "no"))?.unwrap_or(true);
    setup.applies_tables = values.read("tables", "yes or no", either("yes", "no"))?.unwrap_or(false);
    setup.sixteen_bits = values.read("depth", "8 or 16", either("16", "8"))?.unwrap_or(false);
    let bytes = |text: &str| faults::parse_bytes(text).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
    setup.chunks.every = values.read("chunk", "bytes, not 0", bytes)?;
    setup.chunks.first = values.read("first-chunk", "bytes, not 0", bytes)?;
    let conditions = &mut setup.conditions;
    conditions.warm_up = values.read("warmup", "seconds", seconds)?.unwrap_or_default();
    conditions.busy = values.read("busy", "seconds or always", busy)?.unwrap_or_default();
    conditions.cover_open = values.read("cover", "open or closed", one_of(&["closed", "open"]))? == Some(1);
    let paper = values.read("paper", "jam, double or free", one_of(&["free", "jam", "double"]))?;
    (conditions.jam, setup.double_feed) = (paper == Some(1), paper == Some(2));
    conditions.lamp_dead = values.read("lamp", "dead or good", one_of(&["good", "dead"]))? == Some(1);
    let pressed = values.read("button", "1, 2 or 3, or 1@SECONDS", button)?;
    setup.events = pressed.is_some();
    (conditions.button, conditions.button_after) = pressed.unwrap_or_default();
    conditions.fatal_at = at_byte(values, "fatal@")?;
    conditions.cancel_at = at_byte(values, "cancel@")?;
    setup.jam_at = at_byte(values, "jam@")?;
    let scanner = Esci2::new(setup);
    let panel = scanner.panel();
    Ok((Box::new(scanner), Some(panel)))
}

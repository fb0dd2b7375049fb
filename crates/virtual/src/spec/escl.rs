//! The keys of the eSCL model.

use std::fs;

use super::{Built, Key, ModelSpec, SHEET, SpecError, Values, alignment, at_sheet, either, seconds, sheets};
use crate::escl::{Delete, DocumentFormat, Framing, JobNames, Layout, LocationForm};
use crate::faults;
use crate::glass::{Glass, Paper};
use crate::{Busy, Escl, EsclSetup, Sampling};

pub(super) const ESCL: ModelSpec = ModelSpec {
    name: "escl",
    about: "an all-in-one's scanner that speaks eSCL over IPP over USB",
    keys: &[
        Key { name: "glass", value: "FILE.png", about: "what lies on it [a test chart]" },
        Key {
            name: "adf",
            value: "N|A.png:B.png",
            about: "a document feeder with so many sheets, or with these pages",
        },
        Key { name: "duplex", value: "yes|no", about: "which scans both sides [no]" },
        Key { name: "sheet", value: "SIZE", about: "size of its sheets: a4, letter, ..., WIDTHxHEIGHT in mm" },
        Key { name: "align", value: "left|center|right", about: "where it lays them [left]" },
        Key { name: "platen", value: "yes|no", about: "whether it has a glass [yes]" },
        Key { name: "interfaces", value: "1|2|3", about: "how many interfaces are IPP over USB [2]" },
        Key { name: "layout", value: "plain|alternate", about: "in setting 0, or in setting 1 of others [plain]" },
        Key { name: "formats", value: "jpeg+pdf+raw", about: "which of these it has [all]" },
        Key { name: "capabilities", value: "FILE.xml", about: "plays the scanner whose ScannerCapabilities these are" },
        Key { name: "sampling", value: "444|422|420", about: "chroma subsampling of JPEG [444]" },
        Key { name: "restart", value: "yes|no", about: "restart intervals in JPEG [yes]" },
        Key { name: "picture", value: "PIXELS", about: "so much larger, or smaller, than asked for; -8" },
        Key { name: "sends", value: "asked|pdf", about: "PDF whatever was asked for [asked]" },
        Key {
            name: "framing",
            value: "chunked|length|none|...",
            about: "of documents; also short, long, bad-chunk [chunked]",
        },
        Key { name: "chunk", value: "BYTES", about: "size of chunks [16k]" },
        Key { name: "stale", value: "N", about: "N bytes of an old answer wait on each pipe" },
        Key { name: "open-job", value: "yes|no", about: "another client's job is open [no]" },
        Key {
            name: "delete",
            value: "at-once|after-page|...",
            about: "ends a page; lets it end; also waits-for-page, hangs [at-once]",
        },
        Key { name: "location", value: "path|absolute|...", about: "of a job; also foreign, slash, missing [path]" },
        Key { name: "jobs", value: "number|urn", about: "names of jobs [number]" },
        Key { name: "keep-jobs", value: "yes|no", about: "a job is open until it is deleted [no]" },
        Key { name: "not-ready", value: "N", about: "N answers 503 before each page" },
        Key { name: "false-end", value: "N", about: "N answers 404 before each page but the first" },
        Key { name: "empty", value: "409|404", about: "an empty feeder refuses a job, or ends it at once [409]" },
        Key { name: "empty-packets", value: "N", about: "N empty packets before each answer" },
        Key { name: "last-packet", value: "yes|no", about: "an empty packet behind a full last one [yes]" },
        Key { name: "endless-head", value: "yes|no", about: "the head before the first page never ends [no]" },
        Key { name: "warmup", value: "SECONDS", about: "how long its lamp warms up" },
        Key { name: "busy", value: "SECONDS|always", about: "in use from elsewhere" },
        Key { name: "cover", value: "open|closed", about: "its cover [closed]" },
        Key { name: "feeder", value: "open|closed", about: "the feeder's cover [closed]" },
        Key { name: "paper", value: "jam|free", about: "its feeder's path [free]" },
        Key { name: "lamp", value: "dead|good", about: "its lamp [good]" },
        Key { name: "serial", value: "TEXT", about: "its serial number [VIRTUAL3]" },
        Key { name: "fault", value: "jam@SHEET", about: "this sheet jams; also double-feed@SHEET, open@SHEET" },
    ],
    build: build_escl,
};

/// Those words and what they mean.
fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Option<T> {
    move |text| words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

fn formats(text: &str) -> Option<Vec<DocumentFormat>> {
    let format = |word: &str| match word {
        "jpeg" => Some(DocumentFormat::Jpeg),
        "pdf" => Some(DocumentFormat::Pdf),
        "raw" => Some(DocumentFormat::Raw),
        _ => None,
    };
    text.split('+').map(format).collect()
}

/// A document longer than this is no scanner's.
const LONGEST_FILE: u64 = 1 << 20;

fn capabilities(path: &str) -> Result<String, SpecError> {
    let failed = |problem: String| SpecError::Capabilities { path: path.to_owned(), problem };
    let length = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if length > LONGEST_FILE {
        return Err(failed(format!("longer than {LONGEST_FILE} bytes")));
    }
    fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

fn build_escl(values: &mut Values) -> Result<Built, SpecError> {
    let mut setup = EsclSetup::default();
    if let Some(serial) = values.last("serial") {
        setup.serial = serial;
    }
    if let Some(file) = values.last("glass") {
        setup.glass = Glass::png_file(file)?;
    }
    let yes_or_no = |values: &mut Values, key: &'static str, default: bool| {
        values.read(key, "yes or no", either("yes", "no")).map(|value| value.unwrap_or(default))
    };
    setup.duplex = yes_or_no(values, "duplex", false)?;
    setup.sheets = values.last("adf").map(|text| sheets(text, setup.duplex)).transpose()?;
    setup.paper = values.read("sheet", SHEET, Paper::parse)?;
    setup.alignment = values.read("align", "left, center or right", alignment)?.unwrap_or_default();
    setup.is_feeder_only = !yes_or_no(values, "platen", true)?;
    let interfaces = |text: &str| text.parse().ok().filter(|count| (1..=3).contains(count));
    setup.interfaces = values.read("interfaces", "1, 2 or 3", interfaces)?.unwrap_or(setup.interfaces);
    let layouts = one_of(&[("plain", Layout::Plain), ("alternate", Layout::Alternate)]);
    setup.layout = values.read("layout", "plain or alternate", layouts)?.unwrap_or_default();
    setup.formats = values.read("formats", "jpeg, pdf, raw, with + between", formats)?.unwrap_or(setup.formats);
    let file = values.last("capabilities");
    setup.capabilities = file.as_deref().map(capabilities).transpose()?;
    read_documents(values, &mut setup)?;
    read_jobs(values, &mut setup)?;
    let conditions = &mut setup.conditions;
    let busy = |text: &str| if text == "always" { Some(Busy::Always) } else { seconds(text).map(Busy::For) };
    conditions.warm_up = values.read("warmup", "seconds", seconds)?.unwrap_or_default();
    conditions.busy = values.read("busy", "seconds or always", busy)?.unwrap_or_default();
    conditions.cover_open = values.read("cover", "open or closed", either("open", "closed"))?.unwrap_or(false);
    conditions.feeder_open = values.read("feeder", "open or closed", either("open", "closed"))?.unwrap_or(false);
    conditions.jam = values.read("paper", "jam or free", either("jam", "free"))?.unwrap_or(false);
    conditions.lamp_dead = values.read("lamp", "dead or good", either("dead", "good"))?.unwrap_or(false);
    conditions.jam_at = at_sheet(values, "jam@")?;
    conditions.double_feed_at = at_sheet(values, "double-feed@")?;
    conditions.open_at = at_sheet(values, "open@")?;
    let scanner = Escl::new(setup).ok_or_else(|| SpecError::Capabilities {
        path: file.unwrap_or_default(),
        problem: "no ScannerCapabilities that can be read".to_owned(),
    })?;
    let panel = scanner.panel();
    Ok((Box::new(scanner), Some(panel)))
}

/// How pages are made and framed.
fn read_documents(values: &mut Values, setup: &mut EsclSetup) -> Result<(), SpecError> {
    setup.sampling = values.read("sampling", "444, 422 or 420", Sampling::parse)?.unwrap_or_default();
    setup.restarts = values.read("restart", "yes or no", either("yes", "no"))?.unwrap_or(setup.restarts);
    let surplus = |text: &str| text.parse().ok().filter(|pixels: &i32| pixels.abs() <= 1000);
    setup.surplus = values.read("picture", "pixels, -1000 to 1000", surplus)?.unwrap_or(0);
    setup.sends_pdf = values.read("sends", "asked or pdf", either("pdf", "asked"))?.unwrap_or(false);
    let framings = "chunked, length, none, short, long or bad-chunk";
    setup.framing = values.read("framing", framings, Framing::parse)?.unwrap_or_default();
    let bytes = |text: &str| faults::parse_bytes(text).filter(|n| (1..=1 << 20).contains(n)).map(|n| n as usize);
    setup.chunk = values.read("chunk", "bytes, 1 to 1M", bytes)?.unwrap_or(setup.chunk);
    setup.stale = values.read("stale", "bytes, 1 to 1M", bytes)?.unwrap_or(0);
    let number = |text: &str| text.parse().ok();
    setup.empty_packets = values.read("empty-packets", "a number", number)?.unwrap_or(0);
    setup.forgets_last_packet = !values.read("last-packet", "yes or no", either("yes", "no"))?.unwrap_or(true);
    setup.endless_head = values.read("endless-head", "yes or no", either("yes", "no"))?.unwrap_or(false);
    Ok(())
}

/// What becomes of jobs.
fn read_jobs(values: &mut Values, setup: &mut EsclSetup) -> Result<(), SpecError> {
    setup.has_open_job = values.read("open-job", "yes or no", either("yes", "no"))?.unwrap_or(false);
    let deletes = one_of(&[
        ("at-once", Delete::AtOnce),
        ("after-page", Delete::AfterPage),
        ("waits-for-page", Delete::WaitsForPage),
        ("hangs", Delete::Hangs),
    ]);
    let known = "at-once, after-page, waits-for-page or hangs";
    setup.delete = values.read("delete", known, deletes)?.unwrap_or_default();
    let locations = one_of(&[
        ("path", LocationForm::Path),
        ("absolute", LocationForm::Absolute),
        ("foreign", LocationForm::Foreign),
        ("slash", LocationForm::Slash),
        ("missing", LocationForm::Missing),
    ]);
    let known = "path, absolute, foreign, slash or missing";
    setup.location = values.read("location", known, locations)?.unwrap_or_default();
    let names = one_of(&[("number", JobNames::Number), ("urn", JobNames::Urn)]);
    setup.names = values.read("jobs", "number or urn", names)?.unwrap_or_default();
    setup.keeps_jobs = values.read("keep-jobs", "yes or no", either("yes", "no"))?.unwrap_or(false);
    let number = |text: &str| text.parse().ok();
    setup.not_ready = values.read("not-ready", "a number", number)?.unwrap_or(0);
    setup.false_ends = values.read("false-end", "a number", number)?.unwrap_or(0);
    setup.empty_refuses = values.read("empty", "409 or 404", either("409", "404"))?.unwrap_or(true);
    Ok(())
}

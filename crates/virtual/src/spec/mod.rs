//! Descriptions of virtual scanners in one line: `MODEL[,key=value…]`, as `--virtual` takes them.
//!
//! [`parse`] reads one; [`help`] lists all there is, from the same tables.
//!
//! ```
//! use usbscan_virtual::spec;
//!
//! let scanner = spec::parse("esci,dialect=esc,level=B7,warmup=2,fault=stall@64k").unwrap();
//! assert_eq!(scanner.descriptors().product, "Perfection V850 (virtual)");
//! println!("{}", spec::help());
//! ```

mod esci;
mod esci2;
mod escl;
mod xerox;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::faults::{self, Fault, FaultError, Faulty, Plan, ResetEffect};
use crate::glass::{Alignment, Glass, GlassError};
use crate::{BusAddress, Loopback, Model, Panel, Replay, ReplayError, Sheet, Unlink};

/// Why a description describes nothing that can be built.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// No model of that name.
    #[error("there is no virtual scanner \"{name}\"; there are: {known}")]
    UnknownModel { name: String, known: String },
    /// The model has no such key.
    #[error("the virtual scanner {model} has no key \"{key}\"; it has: {known}")]
    UnknownKey { model: &'static str, key: String, known: String },
    /// A key's value can't be read.
    #[error("{key}={value}: expected {expected}")]
    BadValue { key: &'static str, value: String, expected: &'static str },
    #[error("fault={}: {}, and those of the model, see --help", .0.0, .0)]
    Fault(#[from] FaultError),
    /// Nothing that can be put on the glass.
    #[error("glass: {0}")]
    Glass(#[from] GlassError),
    /// A file with a scanner's capabilities that can't be read, or holds none.
    #[error("capabilities={path}: {problem}")]
    Capabilities {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No capture that can be replayed.
    #[error("replay: {0}")]
    Replay(#[from] ReplayError),
}

/// A key that a model takes.
struct Key {
    name: &'static str,
    value: &'static str,
    about: &'static str,
}

/// A model that can be asked for.
struct ModelSpec {
    name: &'static str,
    about: &'static str,
    keys: &'static [Key],
    build: fn(&mut Values) -> Result<Built, SpecError>,
}

/// A model, and its control panel if it has one.
type Built = (Box<dyn Model>, Option<Panel>);

const LOOPBACK: ModelSpec = ModelSpec {
    name: "loopback",
    about: "no scanner: what is written to it can be read back",
    keys: &[
        Key { name: "serial", value: "TEXT", about: "its serial number [LOOP0001]" },
        Key {
            name: "id",
            value: "VENDOR:PRODUCT",
            about: "the ids of another device, to try that one's driver [1209:0001]",
        },
        Key { name: "endpoints", value: "1|2|3|4", about: "so many of each type, of which only the last answer [1]" },
    ],
    build: build_loopback,
};

const REPLAY: ModelSpec = ModelSpec {
    name: "replay",
    about: "a scanner that was captured says again what it said then, once",
    keys: &[
        Key { name: "file", value: "FILE.pcapng", about: "what `usbscan capture`, Wireshark or SANE wrote" },
        Key { name: "device", value: "BUS:ADDRESS", about: "which one, if several scanners are in it" },
    ],
    build: build_replay,
};

/// What every model takes.
const COMMON: &[Key] = &[
    Key { name: "fault", value: "silence@N[:MS]", about: "sends no more from byte N on, for MS or until a bus reset" },
    Key { name: "fault", value: "stall@N", about: "halts bulk-in at byte N" },
    Key { name: "fault", value: "babble@N", about: "sends too large a packet at byte N" },
    Key { name: "fault", value: "garble@N", about: "a transfer fails at byte N" },
    Key { name: "fault", value: "unplug@N", about: "falls off the bus at byte N" },
    Key { name: "fault", value: "short[@SEED]", about: "cuts every transfer with a short packet" },
    Key { name: "fault", value: "hang@K", about: "never answers the Kth vendor or class request" },
    Key { name: "fault", value: "hang-from@N", about: "nor any of them after byte N, until a bus reset" },
    Key {
        name: "fault",
        value: "out-silence@N[:MS]",
        about: "takes no more from byte N on; also out-stall, out-unplug",
    },
    Key { name: "slow", value: "BYTES", about: "sends so many bytes a second" },
    Key { name: "slow-unlink", value: "MS|never", about: "cancelled transfers come back so much later" },
    Key { name: "stuck-halt", value: "K", about: "K clear-halts have no effect" },
    Key {
        name: "reset",
        value: "yes|no|slow:MS|moves[:MS]|gone",
        about: "what a port reset does to it: revives it, or not [yes]",
    },
    Key { name: "alternate", value: "0|1", about: "its endpoints are in this alternate setting [0]" },
    Key { name: "chaos", value: "SEED", about: "a mixture of these, drawn from a seed" },
    Key { name: CABLE, value: "SEED", about: "loose: falls off at bytes drawn from a seed, and is back at once" },
];

const CABLE: &str = "cable";

const KINDS: &[ModelSpec] = &[esci::ESCI, esci2::ESCI2, escl::ESCL, xerox::XEROX, LOOPBACK, REPLAY];

/// The keys and values of one description, in order; each is taken out by whom it concerns.
struct Values(Vec<(String, String)>);

impl Values {
    /// Takes out a key; the last value given for it counts.
    fn last(&mut self, key: &str) -> Option<String> {
        self.take(|k, _| k == key).pop().map(|(_, value)| value)
    }

    fn take(&mut self, which: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(k, v)| which(k, v));
        self.0 = left;
        taken
    }

    /// Takes out a key whose value `read` understands.
    fn read<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SpecError> {
        let Some(value) = self.last(key) else { return Ok(None) };
        match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(SpecError::BadValue { key, value, expected }),
        }
    }
}

/// Builds what a description describes.
///
/// # Errors
/// With a sentence that says what there is instead.
pub fn parse(spec: &str) -> Result<Box<dyn Model>, SpecError> {
    Ok(parse_with_panel(spec)?.0)
}

/// The same, with the scanner's control panel.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_panel(spec: &str) -> Result<(Box<dyn Model>, Option<Panel>), SpecError> {
    let mut parts = spec.split(',');
    let name = parts.next().unwrap_or_default().trim();
    let kind = KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| SpecError::UnknownModel {
        name: name.to_owned(),
        known: join(KINDS.iter().map(|kind| kind.name)),
    })?;
    let mut values = Vec::new();
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let key = key.trim();
        if keys_of(kind).all(|k| k.name != key) {
            let mut known: Vec<&str> = keys_of(kind).map(|k| k.name).collect();
            known.dedup();
            let known = join(known.into_iter());
            return Err(SpecError::UnknownKey { model: kind.name, key: key.to_owned(), known });
        }
        values.push((key.to_owned(), value.trim().to_owned()));
    }
    let mut values = Values(values);
    let (model, panel) = (kind.build)(&mut values)?;
    let plan = read_plan(&mut values)?;
    let model = if plan.is_empty() { model } else { Box::new(Faulty::new(model, plan)) };
    Ok((model, panel))
}

/// What is plugged in next where a scanner's cable is loose: the same one, which falls off somewhere else.
pub(crate) fn back_again(spec: &str) -> Option<String> {
    let mut is_loose = false;
    let next = |part: &str| match part.split_once('=').filter(|(key, _)| key.trim() == CABLE) {
        Some((_, seed)) => {
            is_loose = true;
            format!("{CABLE}={}", seed.trim().parse::<u64>().unwrap_or(0).wrapping_add(1))
        }
        None => part.to_owned(),
    };
    let parts: Vec<String> = spec.split(',').map(next).collect();
    is_loose.then(|| parts.join(","))
}

/// Whether this is a description of a virtual scanner, right or wrong: it begins with the name of a model.
pub fn names_a_model(spec: &str) -> bool {
    let name = spec.split(',').next().unwrap_or_default().trim();
    KINDS.iter().any(|kind| kind.name == name)
}

/// All models and their keys, for `--help`.
pub fn help() -> String {
    let mut text = String::from("Virtual scanners, MODEL[,key=value...]:\n");
    let list = |keys: &[Key]| {
        keys.iter().fold(String::new(), |mut lines, key| {
            let _ = writeln!(lines, "    {:<26} {}", format!("{}={}", key.name, key.value), key.about);
            lines
        })
    };
    for kind in KINDS {
        let _ = write!(text, "\n  {}: {}\n{}", kind.name, kind.about, list(kind.keys));
    }
    let _ = write!(
        text,
        "\n  all of them, for tests (N counts bytes read since it was plugged in; 64k, 2M):\n{}",
        list(COMMON)
    );
    text
}

fn keys_of(kind: &ModelSpec) -> impl Iterator<Item = &'static Key> {
    kind.keys.iter().chain(COMMON)
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// Two words for yes and no; the empty one is yes where `yes` is.
fn either(yes: &'static str, no: &'static str) -> impl Fn(&str) -> Option<bool> {
    move |text: &str| match text {
        "" if yes == "yes" => Some(true),
        text if text == yes => Some(true),
        text if text == no => Some(false),
        _ => None,
    }
}

/// What the key `sheet` takes.
const SHEET: &str = "a3 to a6, letter, legal, card, or WIDTHxHEIGHT in mm";

fn alignment(text: &str) -> Option<Alignment> {
    match text {
        "left" => Some(Alignment::Left),
        "center" => Some(Alignment::Center),
        "right" => Some(Alignment::Right),
        _ => None,
    }
}

/// `fault=fatal@64k`: a fault of the model's own at a byte.
fn at_byte(values: &mut Values, prefix: &str) -> Result<Option<u64>, SpecError> {
    at(values, prefix, "a byte behind the @", faults::parse_bytes)
}

/// `fault=jam@2`: one at a sheet, counted from 1.
fn at_sheet(values: &mut Values, prefix: &str) -> Result<Option<usize>, SpecError> {
    at(values, prefix, "a sheet behind the @", |text| text.parse().ok().filter(|sheet| *sheet > 0))
}

fn at<T>(
    values: &mut Values,
    prefix: &str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, SpecError> {
    let mut found = None;
    for (_, value) in values.take(|key, value| key == "fault" && value.starts_with(prefix)) {
        let read = read(&value[prefix.len()..]);
        found = Some(read.ok_or(SpecError::BadValue { key: "fault", value, expected })?);
    }
    Ok(found)
}

/// More than anybody puts into a feeder.
const MOST_SHEETS: u32 = 1000;

/// `adf=3`, `adf=a.png:b.png`: a stack of sheets.
fn sheets(text: String, duplex: bool) -> Result<Vec<Sheet>, SpecError> {
    match text.parse::<u32>() {
        Ok(count) if count <= MOST_SHEETS => Ok(Sheet::numbered(count)),
        Ok(_) => Err(SpecError::BadValue { key: "adf", value: text, expected: "at most 1000 sheets" }),
        Err(_) => {
            let pictures = text.split(':').map(Glass::png_file).collect::<Result<Vec<_>, _>>()?;
            Ok(Sheet::of_pictures(pictures, duplex))
        }
    }
}

fn build_loopback(values: &mut Values) -> Result<Built, SpecError> {
    let serial = values.last("serial").unwrap_or("LOOP0001".to_owned());
    let count = |text: &str| text.parse().ok().filter(|count| (1..=4).contains(count));
    let endpoints = values.read("endpoints", "a number from 1 to 4", count)?.unwrap_or(1);
    let id = |text: &str| {
        let (vendor, product) = text.split_once(':')?;
        Some((u16::from_str_radix(vendor, 16).ok()?, u16::from_str_radix(product, 16).ok()?))
    };
    let loopback = Loopback::with_endpoints(&serial, endpoints);
    let loopback = match values.read("id", "two numbers of four hexadecimal digits", id)? {
        Some((vendor, product)) => loopback.with_ids(vendor, product),
        None => loopback,
    };
    Ok((Box::new(loopback), None))
}

fn build_replay(values: &mut Values) -> Result<Built, SpecError> {
    let place = |text: &str| {
        let (bus, address) = text.split_once(':')?;
        Some(BusAddress { bus: bus.parse().ok()?, address: address.parse().ok()? })
    };
    let which = values.read("device", "BUS:ADDRESS, two numbers", place)?;
    let file = values.last("file").ok_or(ReplayError::NoFile)?;
    Ok((Box::new(Replay::open(Path::new(&file), which)?), None))
}

fn read_plan(values: &mut Values) -> Result<Plan, SpecError> {
    let number = |text: &str| text.parse::<u64>().ok();
    let mut plan = Plan::default();
    if let Some(seed) = values.read("chaos", "a seed, a number", number)? {
        let drawn = faults::chaos(seed);
        let words: Vec<String> = drawn.iter().map(|(key, value)| format!("{key}={value}")).collect();
        log::info!("chaos={seed} is {}", words.join(","));
        // What is given besides comes later, and counts.
        values.0.splice(..0, drawn.into_iter().map(|(key, value)| (key.to_owned(), value)));
    }
    if let Some(seed) = values.read(CABLE, "a seed, a number", number)? {
        plan.add(faults::falls_off(seed));
    }
    for (_, word) in values.take(|key, _| key == "fault") {
        plan.add(word.parse::<Fault>()?);
    }
    let rate = |text: &str| faults::parse_bytes(text).filter(|rate| *rate > 0);
    plan.bytes_per_second = values.read("slow", "bytes a second, not 0", rate)?;
    let unlink = |text: &str| match text {
        "never" => Some(Unlink::Never),
        ms => ms.parse().ok().map(|ms| Unlink::After(Duration::from_millis(ms))),
    };
    plan.unlink = values.read("slow-unlink", "milliseconds or never", unlink)?.unwrap_or_default();
    plan.reset = values.read("reset", ResetEffect::KNOWN, ResetEffect::parse)?.unwrap_or_default();
    plan.alternate = values.read("alternate", "0 or 1", either("1", "0"))?.unwrap_or(false);
    plan.stuck_halts = values.read("stuck-halt", "a number", |text| text.parse().ok())?.unwrap_or(0);
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(spec: &str) -> String {
        parse(spec).map(|_| ()).expect_err("a bad description").to_string()
    }

    #[test]
    fn an_unknown_model_or_key_is_answered_with_those_there_are() {
        assert_eq!(
            refusal("copier"),
            "there is no virtual scanner \"copier\"; there are: esci, esci2, escl, xerox, loopback, replay"
        );
        assert_eq!(
            refusal("loopback,colour=red"),
            "the virtual scanner loopback has no key \"colour\"; it has: serial, id, endpoints, fault, slow, slow-unlink, \
             stuck-halt, reset, alternate, chaos, cable"
        );
    }

    #[test]
    fn a_bad_value_is_answered_with_what_would_do() {
        assert_eq!(refusal("esci,dialect=pcl"), "dialect=pcl: expected fs or esc");
        assert_eq!(refusal("esci,warmup=-1"), "warmup=-1: expected seconds");
        assert_eq!(refusal("esci,fault=fatal@x"), "fault=fatal@x: expected a byte behind the @");
        assert!(refusal("esci,fault=explode").starts_with("fault=explode: there is no fault \"explode\"; there are: "));
        assert!(refusal("loopback,fault=fatal@1").contains("there is no fault"));
        assert_eq!(refusal("esci,duplex"), "duplex=yes: expected adf= besides");
        assert_eq!(refusal("esci,adf=2,tpu"), "tpu=yes: expected no: it has a feeder");
        assert_eq!(refusal("esci,adf=2000"), "adf=2000: expected at most 1000 sheets");
        assert_eq!(refusal("esci,fault=jam@0"), "fault=jam@0: expected a sheet behind the @");
        assert!(refusal("esci,adf=/nonexistent.png:b.png").starts_with("glass: open /nonexistent.png"));
        assert!(refusal("esci,glass=/nonexistent.png").starts_with("glass: open /nonexistent.png"));
    }

    #[test]
    fn every_key_is_understood() {
        let spec = "esci,dialect=esc,level=B5,warmup=0.5,late=0.1,sheet=letter,align=center,busy=always,cover=open,paper=jam,lamp=dead,button=2@1.5,serial=X,\
                    adf=3,duplex=yes,feeder=open,tray=out,tpu=no,printer=yes,fault=jam@1,fault=double-feed@2,fault=open@3,\
                    fault=fatal@1k,fault=cancel@5,fault=silence@10:5,fault=short,slow=1M,slow-unlink=never,stuck-halt=1,chaos=3,\
                    cable=4";
        assert_eq!(parse(spec).expect("all good").descriptors().serial.as_deref(), Some("X"));
        let spec = "esci2,sheets=0,sheet=a5,align=right,formats=jpeg,frame=dnl,sampling=420,restart=no,chunk=256k,\
                    first-chunk=100,depth=16,warmup=1,busy=2,cover=open,paper=double,lamp=dead,serial=Y,\
                    fault=fatal@1,fault=cancel@2,fault=jam@3k,slow=1M";
        assert_eq!(parse(spec).expect("all good").descriptors().serial.as_deref(), Some("Y"));
        let spec = "escl,adf=2,duplex=yes,interfaces=3,layout=alternate,formats=pdf+raw,framing=length,chunk=512,\
                    sampling=422,restart=no,picture=-8,sends=pdf,stale=304,open-job=yes,delete=after-page,location=foreign,\
                    jobs=urn,keep-jobs=yes,not-ready=2,false-end=1,empty=404,empty-packets=2,last-packet=no,endless-head=yes,\
                    warmup=1,busy=2,cover=open,lamp=dead,serial=Z,sheet=a5,align=right,fault=jam@1,fault=silence@9";
        assert_eq!(parse(spec).expect("all good").descriptors().serial.as_deref(), Some("Z"));
        assert!(refusal("escl,capabilities=/nonexistent.xml").starts_with("capabilities=/nonexistent.xml: "));
        let spec = "xerox,adf=2,warmup=1,busy=2,cover=open,serial=S,fault=jam@1,slow=1M";
        assert_eq!(parse(spec).expect("all good").descriptors().serial.as_deref(), Some("S"));
        assert_eq!(parse("loopback,serial=ABC").expect("good").descriptors().serial.as_deref(), Some("ABC"));
    }

    #[test]
    fn what_comes_back_on_a_loose_cable_is_the_same_with_another_seed() {
        assert_eq!(back_again("esci,serial=X,cable=7,slow=1M").as_deref(), Some("esci,serial=X,cable=8,slow=1M"));
        assert_eq!(back_again("esci,serial=X"), None);
        assert_eq!(refusal("esci,cable=x"), "cable=x: expected a seed, a number");
    }

    #[test]
    fn the_help_names_every_model_and_key() {
        let help = help();
        for kind in KINDS {
            assert!(help.contains(kind.name));
            assert!(keys_of(kind).all(|key| help.contains(&format!("{}={}", key.name, key.value))));
        }
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
}

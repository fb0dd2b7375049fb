//! The model table: which devices are scanners though their interface does not say so, and how some want to be treated.
//! Read once, before any thread starts: the files that are compiled in, one a manufacturer, then the administrator's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use usbscan_usb::{ProductId, VendorId};
use usbscan_wire::EsclQuirks;

use crate::config::escl::{self, EsclEntry, EsclModel, EsclProblem};
use crate::config::file::{self, FileError};
pub use crate::config::protocol::{Backend, Evidence, Protocol, UnknownProtocol};

/// The files of `quirks/`, compiled in.
const BUILT_IN: &[(&str, &str)] = &[
    ("quirks/canon.toml", include_str!("../../../../quirks/canon.toml")),
    ("quirks/epson.toml", include_str!("../../../../quirks/epson.toml")),
    ("quirks/escl.toml", include_str!("../../../../quirks/escl.toml")),
    ("quirks/panasonic.toml", include_str!("../../../../quirks/panasonic.toml")),
    ("quirks/sane.toml", include_str!("../../../../quirks/sane.toml")),
];

/// When a recovery may reset a scanner's port. A reset takes the whole device from everybody who uses a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResetPolicy {
    /// When nothing else has helped, and nobody else uses another interface of the device.
    #[default]
    IfAlone,
    /// When nothing else has helped, whoever else uses it. A kernel driver on another interface still prevents it.
    Always,
    /// Never.
    Never,
    /// As [`ResetPolicy::IfAlone`]; and after every job that ended in the middle without an abort sequence, since the scanner's
    /// silence then does not show that it is idle.
    AfterJob,
}

/// How a model wants to be treated. What is not said is as for any other scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quirks {
    /// Clear the halt of both bulk endpoints right after claiming the interface.
    pub clear_halt_on_open: bool,
    /// And after every error of theirs.
    pub clear_halt_on_error: bool,
    pub no_clear_halt: bool,
    /// Select the alternate setting again before that.
    pub set_alt_before_clear: bool,
    /// When a recovery may reset its port; what the configuration says where it is `None`.
    pub reset: Option<ResetPolicy>,
    /// Milliseconds for which it may be silent before its silence counts against it, where its driver does not say longer.
    pub settle_ms: Option<u32>,
    /// Transfers in flight at once on bulk-in.
    pub queue_depth: Option<u8>,
    /// Largest single transfer, in bytes.
    pub max_transfer_bytes: Option<u32>,
    /// Silence that counts as the end of surplus data, in milliseconds.
    pub drain_ms: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// `idVendor`.
    pub vendor: VendorId,
    /// `idProduct`.
    pub product: ProductId,
    pub manufacturer: String,
    pub name: String,
    /// What it speaks; a model that has one is a scanner whatever its interface says.
    pub protocol: Option<Protocol>,
    /// How sure that is, where the table says.
    pub evidence: Option<Evidence>,
    /// Why the entry is there: who saw what, on which scanner. Empty for one of a list, whose file says it at its head.
    pub notes: String,
    /// How it wants to be treated.
    pub quirks: Quirks,
    /// The file that says so, for the log.
    pub source: PathBuf,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum QuirkError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value that makes no sense.
    #[error("{}: model {product}: {problem}", path.display())]
    Value {
        path: PathBuf,
        product: String,
        /// The key, and what it may be.
        problem: ValueProblem,
    },
}

/// A value that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueProblem {
    /// A `[[model]]` without `vendor` or `manufacturer`.
    #[error("a file with a [[model]] says vendor and manufacturer before it")]
    NoVendor,
    /// A line of a `[[list]]`.
    #[error("a line of a list is ids, manufacturer and name, such as \"04a9:2213 Canon: CanoScan LiDE 35\"")]
    Line,
    /// `evidence` that is not said of such a protocol.
    #[error("evidence is replies, listed or assumed; of a sane: protocol complete, good, basic, minimal or untested")]
    Evidence,
    /// `vendor` or `product`.
    #[error("vendor and product are four hex digits each, such as \"04b8\"")]
    Id,
    /// `notes`.
    #[error("notes says nothing: who saw what, on which scanner?")]
    NoNotes,
    /// `queue_depth`.
    #[error("queue_depth is 1 to 16")]
    Depth,
    /// `max_transfer_bytes`.
    #[error("max_transfer_bytes is 512 to 1048576 bytes")]
    MaxTransfer,
    /// `drain_ms`.
    #[error("drain_ms is 1 to 10000")]
    Drain,
    /// `settle_ms`.
    #[error("settle_ms is 1 to 30000")]
    Settle,
    /// `no_clear_halt` with one of the keys that clear it.
    #[error("no_clear_halt contradicts clear_halt_on_open and clear_halt_on_error")]
    Contradiction,
    /// Of an entry by name.
    #[error(transparent)]
    Escl(#[from] EsclProblem),
}

/// All models, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    models: BTreeMap<(u16, u16), Model>,
    /// Known by name, in the order of the files.
    escl: Vec<EsclModel>,
}

impl Table {
    /// What is compiled in.
    pub fn built_in() -> Table {
        let mut table = Table::default();
        for (path, text) in BUILT_IN {
            table.add(Path::new(path), text).expect("the tests read the files that are compiled in");
        }
        table
    }

    /// Adds the `*.toml` files of a folder in the order of their names; an entry replaces one for the same model. A
    /// folder that is not there adds nothing.
    ///
    /// # Errors
    /// The first file that can't be understood.
    pub fn add_folder(&mut self, folder: &Path) -> Result<(), QuirkError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(FileError::read(folder, error).into()),
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| FileError::read(folder, error))?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        for path in paths {
            self.add(&path, &file::read(&path)?)?;
        }
        Ok(())
    }

    /// The entry for a model, if there is one.
    pub fn find(&self, vendor: VendorId, product: ProductId) -> Option<&Model> {
        self.models.get(&(vendor.0, product.0))
    }

    /// What a scanner that speaks eSCL does differently, by its names: where entries differ, the later one counts. `heed` is told
    /// of each that applies: its file, its name, and its notes.
    pub fn escl_quirks(&self, names: &[&str], heed: &mut dyn FnMut(&Path, &str, &str)) -> EsclQuirks {
        escl::find(&self.escl, names, heed)
    }

    /// All models, by vendor and product.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    /// Adds what a file says; an entry replaces one for the same model, or for the same name.
    ///
    /// # Errors
    /// When it can't be understood.
    pub fn add(&mut self, path: &Path, text: &str) -> Result<(), QuirkError> {
        let file: File = file::parse(path, text)?;
        let wrong =
            |product: &str, problem| QuirkError::Value { path: path.to_owned(), product: product.to_owned(), problem };
        for entry in &file.model {
            self.insert(understand(path, &file, entry).map_err(|problem| wrong(&entry.product, problem))?);
        }
        for list in &file.list {
            for line in &list.models {
                self.insert(understand_line(path, list, line).map_err(|problem| wrong(line, problem))?);
            }
        }
        for entry in &file.escl {
            entry.add_to(&mut self.escl, path).map_err(|problem| wrong(entry.name(), problem.into()))?;
        }
        Ok(())
    }

    fn insert(&mut self, model: Model) {
        self.models.insert((model.vendor.0, model.product.0), model);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Of its `model`s.
    vendor: Option<String>,
    manufacturer: Option<String>,
    #[serde(default)]
    model: Vec<Entry>,
    #[serde(default)]
    list: Vec<List>,
    #[serde(default)]
    escl: Vec<EsclEntry>,
}

/// Many models of one protocol, a line each, of which there is nothing else to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    protocol: Protocol,
    evidence: Option<Evidence>,
    /// `04a9:2213 Canon: CanoScan LiDE 35`
    models: Vec<String>,
}

/// The keys of [`Quirks`] stand here too: serde refuses no unknown key beside a flattened struct.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    product: String,
    name: String,
    notes: String,
    protocol: Option<Protocol>,
    evidence: Option<Evidence>,
    #[serde(default)]
    clear_halt_on_open: bool,
    #[serde(default)]
    clear_halt_on_error: bool,
    #[serde(default)]
    no_clear_halt: bool,
    #[serde(default)]
    set_alt_before_clear: bool,
    reset: Option<ResetPolicy>,
    settle_ms: Option<u32>,
    queue_depth: Option<u8>,
    max_transfer_bytes: Option<u32>,
    drain_ms: Option<u32>,
}

fn understand(path: &Path, file: &File, entry: &Entry) -> Result<Model, ValueProblem> {
    let (Some(vendor), Some(manufacturer)) = (&file.vendor, &file.manufacturer) else {
        return Err(ValueProblem::NoVendor);
    };
    let (vendor, product) = (hex(vendor)?, hex(&entry.product)?);
    if entry.notes.trim().is_empty() {
        return Err(ValueProblem::NoNotes);
    }
    let quirks = Quirks {
        clear_halt_on_open: entry.clear_halt_on_open,
        clear_halt_on_error: entry.clear_halt_on_error,
        no_clear_halt: entry.no_clear_halt,
        set_alt_before_clear: entry.set_alt_before_clear,
        reset: entry.reset,
        settle_ms: entry.settle_ms,
        queue_depth: entry.queue_depth,
        max_transfer_bytes: entry.max_transfer_bytes,
        drain_ms: entry.drain_ms,
    };
    check(&quirks)?;
    check_evidence(entry.protocol, entry.evidence)?;
    Ok(Model {
        vendor: VendorId(vendor),
        product: ProductId(product),
        manufacturer: manufacturer.clone(),
        name: entry.name.clone(),
        protocol: entry.protocol,
        evidence: entry.evidence,
        notes: entry.notes.clone(),
        quirks,
        source: path.to_owned(),
    })
}

fn understand_line(path: &Path, list: &List, line: &str) -> Result<Model, ValueProblem> {
    check_evidence(Some(list.protocol), list.evidence)?;
    let (ids, names) = line.split_once(' ').ok_or(ValueProblem::Line)?;
    let (vendor, product) = ids.split_once(':').ok_or(ValueProblem::Line)?;
    let (manufacturer, name) = names.split_once(": ").ok_or(ValueProblem::Line)?;
    if manufacturer.trim().is_empty() || name.trim().is_empty() {
        return Err(ValueProblem::Line);
    }
    Ok(Model {
        vendor: VendorId(hex(vendor)?),
        product: ProductId(hex(product)?),
        manufacturer: manufacturer.to_owned(),
        name: name.to_owned(),
        protocol: Some(list.protocol),
        evidence: list.evidence,
        notes: String::new(),
        quirks: Quirks::default(),
        source: path.to_owned(),
    })
}

fn check_evidence(protocol: Option<Protocol>, evidence: Option<Evidence>) -> Result<(), ValueProblem> {
    let fits = protocol.zip(evidence).is_none_or(|(protocol, evidence)| evidence.fits(protocol));
    if fits { Ok(()) } else { Err(ValueProblem::Evidence) }
}

fn hex(digits: &str) -> Result<u16, ValueProblem> {
    let four = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if four { u16::from_str_radix(digits, 16).map_err(|_| ValueProblem::Id) } else { Err(ValueProblem::Id) }
}

fn check(quirks: &Quirks) -> Result<(), ValueProblem> {
    let within = |value: Option<u32>, least: u32, most: u32| value.is_none_or(|value| (least..=most).contains(&value));
    if !within(quirks.queue_depth.map(u32::from), 1, 16) {
        return Err(ValueProblem::Depth);
    }
    if !within(quirks.max_transfer_bytes, 512, 1 << 20) {
        return Err(ValueProblem::MaxTransfer);
    }
    if !within(quirks.drain_ms, 1, 10_000) {
        return Err(ValueProblem::Drain);
    }
    if !within(quirks.settle_ms, 1, 30_000) {
        return Err(ValueProblem::Settle);
    }
    let clears = quirks.clear_halt_on_open || quirks.clear_halt_on_error;
    if quirks.no_clear_halt && clears { Err(ValueProblem::Contradiction) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use usbscan_wire::HttpConnection;

    use super::*;

    const V850: (VendorId, ProductId) = (VendorId(0x04b8), ProductId(0x0151));

    fn add(text: &str) -> Result<Table, QuirkError> {
        let mut table = Table::built_in();
        table.add(Path::new("mine.toml"), text)?;
        Ok(table)
    }

    fn model(lines: &str) -> String {
        format!(
            "vendor = \"04b8\"\nmanufacturer = \"Epson\"\n[[model]]\nproduct = \"0151\"\nname = \"mine\"\nnotes = \"seen\"\n{lines}"
        )
    }

    #[test]
    fn every_file_of_the_folder_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../quirks");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = files.filter(|name| name.ends_with(".toml")).collect();
        files.sort();
        let compiled: Vec<_> = BUILT_IN.iter().map(|(path, _)| path.trim_start_matches("quirks/")).collect();
        assert_eq!(files, compiled);
    }

    #[test]
    fn the_v850_speaks_esci() {
        let table = Table::built_in();
        let model = table.find(V850.0, V850.1).expect("it is in epson.toml");
        assert_eq!((model.protocol, model.source.as_path()), (Some(Protocol::Esci), Path::new("quirks/epson.toml")));
        assert!(table.find(VendorId(0xffff), ProductId(1)).is_none());
    }

    #[test]
    fn no_model_stands_in_two_of_the_files_that_are_compiled_in() {
        let mut models = 0;
        for (path, text) in BUILT_IN {
            let mut one = Table::default();
            one.add(Path::new(path), text).unwrap();
            models += one.models().count();
        }
        assert_eq!(Table::built_in().models().count(), models);
    }

    #[test]
    fn what_only_sane_drives_is_a_model_and_what_a_driver_of_ours_does_stays_ours() {
        let table = Table::built_in();
        let of = |vendor, product| {
            let model = table.find(VendorId(vendor), ProductId(product)).expect("it is in the table");
            (model.protocol.map(|protocol| protocol.to_string()), model.evidence)
        };
        assert_eq!(of(0x04a9, 0x2213), (Some("sane:genesys".to_owned()), Some(Evidence::Good)));
        assert_eq!(of(0x04b8, 0x0151), (Some("esci".to_owned()), None));
        // What one of two backends is the newer of.
        assert_eq!(of(0x04b0, 0x4000).0, Some("sane:coolscan3".to_owned()));
        // Opened in a way of its own, and driven by SANE.
        let canon = table.find(VendorId(0x1083), ProductId(0x161b)).expect("it is in canon.toml");
        assert!(canon.quirks.clear_halt_on_open);
        assert_eq!(canon.protocol, "sane:canon_dr".parse().ok());
    }

    #[test]
    fn a_backend_that_sane_does_not_have_is_one_by_an_entry() {
        let table = add(&model("protocol = \"sane:epkowa\"")).unwrap();
        assert_eq!(table.find(V850.0, V850.1).unwrap().protocol, "sane:epkowa".parse().ok());
        let table = add("[[list]]\nprotocol = \"sane:hpaio\"\nmodels = [\"03f0:0024 HP: OfficeJet\"]").unwrap();
        let listed = table.find(VendorId(0x03f0), ProductId(0x0024)).unwrap();
        assert_eq!((&*listed.manufacturer, &*listed.name), ("HP", "OfficeJet"));
        for protocol in ["sane", "sane:", "sane:../x", "genesys"] {
            let error = add(&model(&format!("protocol = \"{protocol}\""))).unwrap_err().to_string();
            assert!(error.contains("line 7") && error.contains("is no protocol"), "{error}");
        }
    }

    #[test]
    fn the_administrators_entry_replaces_ours_and_says_where_it_is_from() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("10.toml"), model("queue_depth = 4")).unwrap();
        fs::write(folder.path().join("notes.txt"), "no table").unwrap();
        let mut table = Table::built_in();
        table.add_folder(folder.path()).unwrap();
        let model = table.find(V850.0, V850.1).unwrap();
        assert_eq!((model.quirks.queue_depth, model.source.clone()), (Some(4), folder.path().join("10.toml")));
        assert_eq!(model.protocol, None, "it replaces the whole entry");
    }

    #[test]
    fn a_folder_that_is_not_there_adds_nothing() {
        let mut table = Table::built_in();
        table.add_folder(Path::new("/nonexistent/quirks.d")).unwrap();
        assert_eq!(table, Table::built_in());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = add(&model("clear_hlt_on_open = true")).unwrap_err().to_string();
        assert!(
            error.contains("mine.toml") && error.contains("line 7") && error.contains("clear_hlt_on_open"),
            "{error}"
        );
    }

    #[test]
    fn a_model_that_speaks_escl_is_known_by_its_name() {
        let of = |name: &str| Table::built_in().escl_quirks(&[name], &mut |_, _, _| {});
        assert!(of("Brother MFC-L8690CDW series").pause_between_pages);
        assert!(of("Xerox(R) B205 MFP").no_page_is_not_yet && of("Xerox B215").no_delete_after_page);
        assert!(of("Fuji Xerox VersaLink B405 DN").no_delete_after_page);
        assert_eq!(of("A Brother"), EsclQuirks::default());
        let label_printer = of("Brother QL-810W");
        assert!(label_printer.one_interface && label_printer.pause_between_pages);
        assert_eq!(of("HP OfficeJet Pro 8730").http_connection, Some(HttpConnection::Close));
        assert_eq!(of("HP LaserJet MFP M28w").http_connection, Some(HttpConnection::KeepAlive));
        assert_eq!(of("Canon iR2625/2630 (series)").max_resolution, Some(300));
        assert!(of("HP ScanJet Pro 4500 fn1").one_interface);
        assert!(of("EPSON ET-4750 Series").port_in_host);
    }

    #[test]
    fn the_administrators_entry_for_a_name_wins_over_ours() {
        let brother = |lines: &str| format!("[[escl]]\nname = \"Brother*\"\nnotes = \"seen\"\n{lines}");
        let table = add(&brother("one_interface = true")).unwrap();
        let mut heeded = Vec::new();
        let quirks = table.escl_quirks(&["no", "Brother MFC"], &mut |path, name, _| {
            heeded.push(format!("{}: {name}", path.display()));
        });
        assert!(quirks.one_interface && !quirks.pause_between_pages, "it replaces the whole entry");
        assert_eq!(heeded, ["mine.toml: Brother*"]);
        let one = "[[escl]]\nname = \"Brother MFC\"\nnotes = \"mended\"\npause_between_pages = false";
        assert!(!add(one).unwrap().escl_quirks(&["Brother MFC"], &mut |_, _, _| {}).pause_between_pages);
        for (lines, part) in [
            ("max_resolution = 1", "50 to 19200"),
            ("http_connection = \"open\"", "keep-alive"),
            ("pause = true", "line 4"),
        ] {
            let error = add(&brother(lines)).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("mine.toml"), "{error}");
        }
        let error = add("[[model]]\nproduct = \"0151\"\nname = \"mine\"\nnotes = \"seen\"").unwrap_err();
        assert!(error.to_string().contains("vendor and manufacturer"), "{error}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused_with_what_they_may_be() {
        for (lines, part) in [
            ("queue_depth = 17", "1 to 16"),
            ("max_transfer_bytes = 100", "512 to 1048576"),
            ("drain_ms = 0", "1 to 10000"),
            ("settle_ms = 30001", "1 to 30000"),
            ("no_clear_halt = true\nclear_halt_on_open = true", "contradicts"),
            ("protocol = \"esci\"\nevidence = \"complete\"", "evidence is"),
            ("protocol = \"sane:epson2\"\nevidence = \"listed\"", "evidence is"),
        ] {
            let error = add(&model(lines)).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("0151"), "{error}");
        }
        let short = model("").replace("0151", "151");
        assert!(matches!(add(&short), Err(QuirkError::Value { problem: ValueProblem::Id, .. })));
        for line in ["04b80151 Epson: V850", "04b8:0151 V850", "04b8:0151 : V850", "04b8:0151"] {
            let text = format!("[[list]]\nprotocol = \"esci\"\nmodels = [\"{line}\"]");
            assert!(matches!(add(&text), Err(QuirkError::Value { problem: ValueProblem::Line, .. })), "{line}");
        }
        let whose = model("").replace("manufacturer = \"Epson\"\n", "");
        assert!(matches!(add(&whose), Err(QuirkError::Value { problem: ValueProblem::NoVendor, .. })));
        let silent = model("").replace("seen", " ");
        assert!(matches!(add(&silent), Err(QuirkError::Value { problem: ValueProblem::NoNotes, .. })));
    }
}

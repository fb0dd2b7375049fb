//! How a virtual eSCL scanner is set up: what it has, and what is wrong with it.

use super::http::Framing;
use super::job::JobNames;
use crate::glass::{Alignment, Glass, Paper};
use crate::{Conditions, Sampling, Sheet};

/// What the interfaces of the device look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Each interface is IPP over USB and nothing else.
    #[default]
    Plain,
    /// Each is something else in setting 0 (a printer, then the vendor's own), and IPP over USB in setting 1.
    Alternate,
}

/// What becomes of a page that is on its way when its job is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delete {
    /// Its body ends at once, if its framing can end early.
    #[default]
    AtOnce,
    /// It is sent to its end, and DELETE is answered at once.
    AfterPage,
    /// It is sent to its end, and DELETE is answered then.
    WaitsForPage,
    /// DELETE is never answered, until the interface or the device is reset.
    Hangs,
}

/// How a new job's address is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LocationForm {
    /// The path alone.
    #[default]
    Path,
    /// With a host, `localhost`.
    Absolute,
    /// With a host that does not exist.
    Foreign,
    /// The path with a slash at its end.
    Slash,
    /// None at all.
    Missing,
}

/// A virtual eSCL scanner's set-up.
#[derive(Debug, Clone)]
pub struct EsclSetup {
    /// What lies on it.
    pub glass: Glass,
    /// The sheets of its feeder, if it has one, from the top.
    pub sheets: Option<Vec<Sheet>>,
    /// The feeder scans both sides.
    pub duplex: bool,
    /// The size of the sheets, and where they lie.
    pub paper: Option<Paper>,
    /// Where the feeder lays them.
    pub alignment: Alignment,
    /// It has no glass.
    pub is_feeder_only: bool,
    /// How many interfaces are IPP over USB, 1 to 3.
    pub interfaces: u8,
    /// What these look like.
    pub layout: Layout,
    /// Media types, by the words jpeg, pdf and raw; the first is what it sends unasked.
    pub formats: Vec<DocumentFormat>,
    /// The capabilities of a real scanner, instead of its own.
    pub capabilities: Option<String>,
    /// How documents are framed.
    pub framing: Framing,
    /// Bytes of a chunk.
    pub chunk: usize,
    /// Chroma subsampling of JPEG.
    pub sampling: Sampling,
    /// Restart intervals in JPEG.
    pub restarts: bool,
    /// Pixels by which a picture is larger (or smaller) than what was asked for.
    pub surplus: i32,
    /// It sends PDF, whatever was asked for and whatever it says that it sends.
    pub sends_pdf: bool,
    /// Bytes of an old answer that wait on each pipe when it is plugged in.
    pub stale: usize,
    /// Another client's job is open when it is plugged in.
    pub has_open_job: bool,
    /// What DELETE does.
    pub delete: Delete,
    /// How Location looks.
    pub location: LocationForm,
    /// How jobs are named.
    pub names: JobNames,
    /// A job is open until it is deleted.
    pub keeps_jobs: bool,
    /// So many answers 503 before each document.
    pub not_ready: u32,
    /// So many answers 404 before each document but the first.
    pub false_ends: u32,
    /// An empty feeder refuses a job (409), else it ends at once (404).
    pub empty_refuses: bool,
    /// So many empty packets before each answer.
    pub empty_packets: u32,
    /// No empty packet behind an answer that ends with a full one.
    pub forgets_last_packet: bool,
    /// The head of the first document never ends.
    pub endless_head: bool,
    /// What is the matter with it.
    pub conditions: Conditions,
    /// Its serial number.
    pub serial: String,
}

/// A media type that a scanner may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    /// image/jpeg
    Jpeg,
    /// application/pdf
    Pdf,
    /// application/octet-stream: pixels
    Raw,
}

impl Default for EsclSetup {
    /// A healthy flatbed with two interfaces of their own and the test chart on it.
    fn default() -> EsclSetup {
        EsclSetup {
            glass: Glass::chart(),
            sheets: None,
            duplex: false,
            paper: None,
            alignment: Alignment::Left,
            is_feeder_only: false,
            interfaces: 2,
            layout: Layout::Plain,
            formats: vec![DocumentFormat::Jpeg, DocumentFormat::Pdf, DocumentFormat::Raw],
            capabilities: None,
            framing: Framing::Chunked,
            chunk: 16 * 1024,
            sampling: Sampling::Full,
            restarts: true,
            surplus: 0,
            sends_pdf: false,
            stale: 0,
            has_open_job: false,
            delete: Delete::AtOnce,
            location: LocationForm::Path,
            names: JobNames::Number,
            keeps_jobs: false,
            not_ready: 0,
            false_ends: 0,
            empty_refuses: true,
            empty_packets: 0,
            forgets_last_packet: false,
            endless_head: false,
            conditions: Conditions::default(),
            serial: "VIRTUAL3".to_owned(),
        }
    }
}

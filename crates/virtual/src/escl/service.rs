//! The scanner behind the connections: which resources there are, which answers they give, and what becomes of jobs.

use std::time::Instant;

use super::capabilities::{Capabilities, FEEDER_BED, Own};
use super::document::{self, Making};
use super::http::{Request, Response};
use super::job::{JobState, Jobs};
use super::settings::{self, Format, Refusal, Source};
use super::setup::{Delete, DocumentFormat, EsclSetup, LocationForm};
use crate::glass::{Glass, Laid};
use crate::panel::Trouble;
use crate::{Busy, Panel, Sheet};

const ROOT: &str = "/eSCL";
const JOBS: &str = "/eSCL/ScanJobs";

/// What a request leads to.
#[derive(Debug)]
pub(super) enum Answer {
    Now(Response),
    /// A page of this job.
    Page(Response, String),
    /// This job was deleted.
    Deleted(Response, String),
    /// Not before something else has happened.
    Later,
    Never,
}

/// The scanner.
#[derive(Debug)]
pub(super) struct Service {
    setup: EsclSetup,
    capabilities: Capabilities,
    jobs: Jobs,
    panel: Panel,
    plugged: Option<Instant>,
    /// The sheet on top of the feeder's stack.
    next_sheet: usize,
    trouble: Option<Trouble>,
    /// The job whose page is being read.
    page_under_way: Option<String>,
    /// DELETE is not answered any more.
    hung: bool,
}

fn own_format(format: DocumentFormat) -> Format {
    match format {
        DocumentFormat::Jpeg => Format::Jpeg,
        DocumentFormat::Pdf => Format::Pdf,
        DocumentFormat::Raw => Format::Raw,
    }
}

impl Service {
    pub(super) fn new(mut setup: EsclSetup, panel: Panel) -> Option<Service> {
        let formats: Vec<Format> = setup.formats.iter().copied().map(own_format).collect();
        let capabilities = match setup.capabilities.take() {
            Some(xml) => Capabilities::parse(xml)?,
            None => Capabilities::own(&Own {
                name: "eSCL Scanner (virtual)",
                serial: &setup.serial,
                platen: !setup.is_feeder_only,
                feeder: setup.sheets.is_some() || setup.is_feeder_only,
                duplex: setup.duplex,
                alignment: setup.alignment,
                formats: &formats,
            }),
        };
        if let (Some(paper), Some(sheets)) = (setup.paper, &mut setup.sheets) {
            let laid = Laid { paper, alignment: setup.alignment, bed: FEEDER_BED };
            for sheet in sheets {
                *sheet = Sheet { front: sheet.front.clone().laid(laid), back: sheet.back.clone().laid(laid) };
            }
        }
        Some(Service {
            jobs: Jobs::new(setup.names),
            setup,
            capabilities,
            panel,
            plugged: None,
            next_sheet: 0,
            trouble: None,
            page_under_way: None,
            hung: false,
        })
    }

    /// What it calls itself.
    pub(super) fn name(&self) -> &str {
        &self.capabilities.make_and_model
    }

    pub(super) fn ends_pages_at_once(&self) -> bool {
        self.setup.delete == Delete::AtOnce
    }

    /// The interface was reset: what hung on it is forgotten.
    pub(super) fn unhang(&mut self) {
        self.hung = false;
    }

    pub(super) fn reset(&mut self) {
        self.jobs.abort_all();
        (self.page_under_way, self.hung, self.trouble) = (None, false, None);
    }

    /// A person has put sheets in.
    fn look_at_the_tray(&mut self) {
        if self.panel.conditions().load {
            self.panel.change(|conditions| conditions.load = false);
            (self.next_sheet, self.trouble) = (0, None);
        }
    }

    fn sheets(&self) -> &[Sheet] {
        self.setup.sheets.as_deref().unwrap_or_default()
    }

    fn feeder_is_empty(&self) -> bool {
        self.next_sheet >= self.sheets().len()
    }

    /// The answer to a request.
    pub(super) fn answer(&mut self, now: Instant, request: &Request) -> Answer {
        if self.plugged.is_none() {
            self.plugged = Some(now);
            if self.setup.has_open_job {
                self.jobs.add(now, None);
            }
        }
        self.look_at_the_tray();
        let path = request.path.trim_end_matches('/');
        let job = path.strip_prefix(JOBS).and_then(|rest| rest.strip_prefix('/'));
        match (request.method.as_str(), path, job) {
            ("GET", "/eSCL/ScannerCapabilities", _) => xml(&self.capabilities.xml),
            ("GET", "/eSCL/ScannerStatus", _) => xml(&self.status(now)),
            ("POST", JOBS, _) => self.create(now, &request.body),
            ("GET", _, Some(rest)) => match rest.strip_suffix("/NextDocument") {
                Some(name) => self.next_document(now, name),
                None => status(404),
            },
            ("DELETE", _, Some(name)) => self.delete(now, name),
            ("GET" | "POST" | "DELETE" | "PUT" | "HEAD", ..) => status(404),
            _ => status(501),
        }
    }

    fn is_busy(&self, now: Instant) -> bool {
        let up = self.plugged.map_or_else(Default::default, |plugged| now.saturating_duration_since(plugged));
        match self.panel.conditions().busy {
            Busy::No => false,
            Busy::Always => true,
            Busy::For(time) => up < time,
        }
    }

    fn is_warming_up(&self, now: Instant) -> bool {
        let up = self.plugged.map_or_else(Default::default, |plugged| now.saturating_duration_since(plugged));
        up < self.panel.conditions().warm_up
    }

    fn adf_state(&self) -> &'static str {
        let conditions = self.panel.conditions();
        match self.trouble {
            Some(Trouble::Jam) => "ScannerAdfJam",
            Some(Trouble::DoubleFeed) => "ScannerAdfMultipickDetected",
            Some(Trouble::CoverOpen) => "ScannerAdfHatchOpen",
            None if conditions.feeder_open => "ScannerAdfHatchOpen",
            None if conditions.jam => "ScannerAdfJam",
            None if conditions.tray_out => "ScannerAdfInputTrayFailed",
            None if self.feeder_is_empty() => "ScannerAdfEmpty",
            None => "ScannerAdfLoaded",
        }
    }

    fn status(&self, now: Instant) -> String {
        let conditions = self.panel.conditions();
        let state = match () {
            () if conditions.lamp_dead => "Down",
            () if conditions.cover_open => "Stopped",
            () if self.is_warming_up(now) => "Testing",
            () if self.jobs.open().is_some() || self.is_busy(now) => "Processing",
            () => "Idle",
        };
        let adf = if self.capabilities.has_feeder() {
            format!("<scan:AdfState>{}</scan:AdfState>", self.adf_state())
        } else {
            String::new()
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scan:ScannerStatus \
             xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\" \
             xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\"><pwg:Version>{}</pwg:Version><pwg:State>{state}</pwg:State>\
             {adf}{}</scan:ScannerStatus>\n",
            self.capabilities.version,
            self.jobs.xml(now, ROOT)
        )
    }

    /// POST ScanJobs.
    fn create(&mut self, now: Instant, body: &[u8]) -> Answer {
        let checked = settings::parse(body).and_then(|settings| self.capabilities.check(settings));
        let settings = match checked {
            Ok(settings) => settings,
            Err(Refusal::Malformed) => return status(400),
            Err(Refusal::Unsupported) => return status(409),
        };
        let conditions = self.panel.conditions();
        let cannot_now = conditions.lamp_dead || self.is_busy(now) || self.is_warming_up(now);
        if self.jobs.open().is_some() || cannot_now {
            return Answer::Now(Response::new(503, "Retry-After: 1\r\n", b""));
        }
        let from_feeder = settings.source != Source::Platen;
        let is_empty = self.feeder_is_empty() && self.setup.empty_refuses;
        let feeder_refuses = is_empty || self.trouble.is_some() || conditions.feeder_open || conditions.jam;
        if conditions.cover_open || from_feeder && feeder_refuses {
            return status(409);
        }
        let name = self.jobs.add(now, Some(settings));
        let location = match self.setup.location {
            LocationForm::Path => format!("Location: {JOBS}/{name}\r\n"),
            LocationForm::Absolute => format!("Location: http://localhost{JOBS}/{name}\r\n"),
            LocationForm::Foreign => format!("Location: http://VIRTUAL3.12090002.hpLedmUSB{JOBS}/{name}\r\n"),
            LocationForm::Slash => format!("Location: {JOBS}/{name}/\r\n"),
            LocationForm::Missing => String::new(),
        };
        Answer::Now(Response::new(201, &location, b""))
    }

    /// GET NextDocument.
    fn next_document(&mut self, now: Instant, name: &str) -> Answer {
        let (not_ready, false_ends) = (self.setup.not_ready, self.setup.false_ends);
        let Some(job) = self.jobs.find(name) else { return status(404) };
        if !job.state.is_open() || job.settings.is_none() {
            return status(404);
        }
        if job.not_ready < not_ready {
            job.not_ready += 1;
            return status(503);
        }
        if job.sent > 0 && job.false_ends < false_ends {
            job.false_ends += 1;
            return status(404);
        }
        let duplex = job.is_duplex();
        let (sent, back_of, wanted) = (job.sent, job.back_of, job.settings.clone());
        let Some(wanted) = wanted else { return status(404) };
        let glass = match wanted.source {
            Source::Platen if sent > 0 => return self.no_more(now, name),
            Source::Platen => self.setup.glass.clone(),
            Source::Feeder { .. } => match self.next_side(back_of) {
                Ok(Some(glass)) => glass,
                Ok(None) => return self.no_more(now, name),
                Err(()) => {
                    self.jobs.change(now, name, JobState::Aborted);
                    return status(409);
                }
            },
        };
        let mut wanted = wanted;
        let told = wanted.format;
        if self.setup.sends_pdf {
            wanted.format = Format::Pdf;
        }
        let making =
            Making { sampling: self.setup.sampling, restarts: self.setup.restarts, surplus: self.setup.surplus };
        let page = match document::page(&glass, &wanted, making) {
            Ok((page, _)) => page,
            Err(error) => {
                log::warn!("nothing to scan: {error}");
                self.jobs.change(now, name, JobState::Aborted);
                return status(500);
            }
        };
        let is_first = sent == 0;
        if let Some(job) = self.jobs.find(name) {
            job.sent += 1;
            (job.not_ready, job.false_ends) = (0, 0);
            job.back_of = match (duplex, back_of) {
                (true, None) => Some(self.next_sheet - 1),
                _ => None,
            };
        }
        self.jobs.change(now, name, JobState::Processing);
        self.page_under_way = Some(name.to_owned());
        let response = match self.setup.endless_head && is_first {
            true => Response::endless(),
            false => Response::document(told.content_type(), self.setup.framing, self.setup.chunk, page),
        };
        Answer::Page(response, name.to_owned())
    }

    /// The next side from the feeder: the back of the sheet that is in it, or the front of the next. `Err`: trouble.
    fn next_side(&mut self, back_of: Option<usize>) -> Result<Option<Glass>, ()> {
        if let Some(sheet) = back_of {
            return Ok(self.sheets().get(sheet).map(|sheet| sheet.back.clone()));
        }
        if self.trouble.is_some() || self.panel.conditions().feeder_open {
            return Err(());
        }
        let Some(front) = self.sheets().get(self.next_sheet).map(|sheet| sheet.front.clone()) else { return Ok(None) };
        let number = self.next_sheet + 1;
        self.trouble = self.panel.take_feeder_trouble(number);
        if self.panel.take_jam(Some(number)) {
            self.trouble = Some(Trouble::Jam);
        }
        self.next_sheet += 1;
        if self.trouble.is_some() { Err(()) } else { Ok(Some(front)) }
    }

    fn no_more(&mut self, now: Instant, name: &str) -> Answer {
        if !self.setup.keeps_jobs {
            self.jobs.change(now, name, JobState::Completed);
        }
        status(404)
    }

    /// DELETE of a job.
    fn delete(&mut self, now: Instant, name: &str) -> Answer {
        if self.hung {
            return Answer::Never;
        }
        let under_way = self.page_under_way.as_deref() == Some(name);
        let Some(job) = self.jobs.find(name).filter(|job| job.state.is_open()) else { return status(404) };
        let name = job.name.clone();
        match self.setup.delete {
            Delete::Hangs => {
                self.hung = true;
                return Answer::Never;
            }
            Delete::WaitsForPage if under_way => return Answer::Later,
            Delete::AtOnce | Delete::AfterPage | Delete::WaitsForPage => {}
        }
        self.jobs.change(now, &name, JobState::Canceled);
        Answer::Deleted(Response::new(200, "", b""), name)
    }

    /// A page went to its end, or as much of it as there is.
    pub(super) fn page_is_read(&mut self, now: Instant, name: &str) {
        self.page_under_way = None;
        let Some(job) = self.jobs.find(name).filter(|job| job.state.is_open()) else { return };
        let has_back = job.back_of.is_some();
        let is_last = match job.settings.as_ref().map(|settings| settings.source) {
            Some(Source::Platen) | None => true,
            Some(Source::Feeder { .. }) => !has_back && self.feeder_is_empty(),
        };
        if is_last && !self.setup.keeps_jobs {
            self.jobs.change(now, name, JobState::Completed);
        }
    }

    /// A page was broken off; its job goes on without it.
    pub(super) fn page_is_broken_off(&mut self, _name: &str) {
        self.page_under_way = None;
    }
}

fn status(code: u16) -> Answer {
    Answer::Now(Response::new(code, "", b""))
}

fn xml(document: &str) -> Answer {
    Answer::Now(Response::new(200, "Content-Type: text/xml\r\n", document.as_bytes()))
}

//! The requests of eSCL: what a scanner is asked, and what its answers mean. Runs on the thread that scans.

use std::time::{Duration, Instant};

use usbscan_client::wire::EsclQuirks;
use usbscan_escl::http::{Head, Limits, Request};
use usbscan_escl::{AdfState, InputSource, JobPath, ROOT, ScanSettings, ScannerCapabilities, ScannerStatus, State};

use super::connection::Connection;
use super::guard::{self, Guard, GuardState as At};
use super::note::{Note, is_open};
use super::plan::Plan;
use super::quirks::dress;
use crate::support::Timeouts;
use crate::{DeviceError, ProtocolError, ScanError, TransportError, Unsupported};

/// Between two questions of one that is busy, and how often one is asked.
const RETRY: Duration = Duration::from_secs(1);
/// A scanner that is busy for somebody else.
const BUSY_TRIES: u32 = 10;
/// The longest that a scanner may ask to be left alone.
const MOST_RETRY_AFTER: u32 = 10;

/// Of a model's name, by which it is looked up; four bytes each at the most, as the daemon takes them.
const NAME_CHARACTERS: usize = usbscan_client::wire::MODEL_LIMIT / 4;

pub(super) const STATUS: &str = "the question for its status";
const CAPABILITIES: &str = "the question for its capabilities";
pub(super) const JOB: &str = "the job";
pub(super) const PAGE: &str = "the question for the page";
const DELETION: &str = "the end of the job";

/// What NextDocument brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// A page; its body comes next.
    Page,
    /// There are no more.
    NoMore,
    /// Not yet.
    NotYet(Duration),
    /// The feeder has trouble, says the code alone.
    Trouble(u16),
}

/// A scanner's HTTP server, over the connections that there are to it.
pub(super) struct Client {
    /// For jobs and pages.
    pub pages: Connection,
    /// For what must be said while a page is under way, where there is a second interface.
    pub second: Option<Connection>,
    /// What the daemon is left should we die. Armed before each request, so that it sees all of the response.
    pub guard: Option<Guard>,
    /// What this model does differently.
    pub quirks: EsclQuirks,
    pub timeouts: Timeouts,
}

/// Which of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Pages,
    /// That which is free while a page is under way: the second, where there is one.
    Free,
}

fn path(rest: &str) -> Request {
    Request::get(&format!("{ROOT}/{rest}")).expect("a path of ours")
}

impl Client {
    /// The connection on which a question may be asked now. The daemon is told that one comes.
    fn about_to_ask(&mut self, on: On) -> Result<&mut Connection, ScanError> {
        if let Some(guard) = &self.guard {
            let is_second = on == On::Free && self.second.is_some();
            let pages = At::of(&self.pages, !is_second);
            let second = self.second.as_ref().map(|second| At::of(second, is_second));
            self.pages.channel.arm_abort(guard::steps(guard, pages, second, self.quirks))?;
        }
        Ok(match (on, &mut self.second) {
            (On::Free, Some(second)) => second,
            _ => &mut self.pages,
        })
    }

    /// With what this model wants in every request.
    fn dress(&self, request: Request) -> Request {
        dress(request, self.quirks)
    }

    /// Whether no response is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.pages.is_idle() && self.second.as_ref().is_none_or(Connection::is_idle)
    }

    fn pause(&self, length: Duration) -> Result<(), ScanError> {
        Ok(self.pages.channel.cancel.pause(length)?)
    }

    /// Asks the daemon what this model does differently; `name` is what it says that it is.
    pub(super) fn look_up_quirks(&mut self, name: Option<&str>) -> Result<(), ScanError> {
        let name: Option<String> = name.map(|name| name.chars().take(NAME_CHARACTERS).collect());
        self.quirks = match self.pages.channel.transport.escl_quirks(name.as_deref()) {
            // One that is older than this.
            Err(TransportError::Daemon(error)) => {
                log::info!("look up the model: {error}");
                EsclQuirks::default()
            }
            quirks => quirks?,
        };
        Ok(())
    }

    /// What it can do. Asked first of all, so `timeout` is short.
    pub(super) fn capabilities(&mut self, timeout: Duration) -> Result<ScannerCapabilities, ScanError> {
        let began = Instant::now();
        loop {
            let request = self.dress(path("ScannerCapabilities"));
            let pages = self.about_to_ask(On::Pages)?;
            let (head, body) = pages.exchange(&request, Limits::document(), CAPABILITIES, timeout)?;
            match head.status {
                200 => return Ok(ScannerCapabilities::parse(&body).map_err(ProtocolError::Document)?),
                404 => return Err(ScanError::NotSupported(Unsupported::NoScanService)),
                503 if began.elapsed() < self.timeouts.warm_up => self.pause(retry_after(&head))?,
                503 => return Err(DeviceError::StillWarmingUp(began.elapsed()).into()),
                got => return Err(ProtocolError::Status { to: CAPABILITIES, got }.into()),
            }
        }
    }

    pub(super) fn status(&mut self, timeout: Duration) -> Result<ScannerStatus, ScanError> {
        let request = path("ScannerStatus");
        let mut tries = 0;
        loop {
            let request = self.dress(request.clone());
            let free = self.about_to_ask(On::Free)?;
            let (head, body) = free.exchange(&request, Limits::document(), STATUS, timeout)?;
            match head.status {
                200 => return Ok(ScannerStatus::parse(&body).map_err(ProtocolError::Document)?),
                503 if tries < BUSY_TRIES => {
                    tries += 1;
                    self.pause(retry_after(&head))?;
                }
                503 => return Err(DeviceError::Busy.into()),
                got => return Err(ProtocolError::Status { to: STATUS, got }.into()),
            }
        }
    }

    /// Begins a job. `warming` hears for how long it has been warming up.
    pub(super) fn start_job(
        &mut self,
        plan: &Plan,
        before: &ScannerStatus,
        warming: &mut dyn FnMut(Duration),
    ) -> Result<JobPath, ScanError> {
        let (began, mut tries) = (Instant::now(), 0);
        loop {
            let document = plan.settings.to_xml().into_bytes();
            let request = Request::post(&format!("{ROOT}/ScanJobs"), document).expect("a path of ours");
            let request = self.dress(request);
            let timeout = self.timeouts.feed;
            let (head, _) = self.about_to_ask(On::Pages)?.exchange(&request, Limits::document(), JOB, timeout)?;
            match head.status {
                201 | 200 => return self.name_of(&head, before),
                503 => {
                    tries += 1;
                    let status = self.status(self.timeouts.reply)?;
                    trouble(&status, plan)?;
                    let is_warming_up = status.state == State::Testing;
                    match began.elapsed() {
                        waited if is_warming_up && waited >= self.timeouts.warm_up => {
                            return Err(DeviceError::StillWarmingUp(waited).into());
                        }
                        waited if is_warming_up => warming(waited),
                        _ if tries >= BUSY_TRIES => return Err(DeviceError::Busy.into()),
                        _ => {}
                    }
                    self.pause(retry_after(&head))?;
                }
                400 | 409 | 415 => {
                    let status = self.status(self.timeouts.reply)?;
                    trouble(&status, plan)?;
                    if head.status == 409 && plan.is_fed() && status.adf != Some(AdfState::Loaded) {
                        return Err(DeviceError::NoDocuments.into());
                    }
                    return Err(refused(&plan.settings, head.status));
                }
                got => return Err(ProtocolError::Status { to: JOB, got }.into()),
            }
        }
    }

    /// The name of a job that was just made: from its Location, else what is new among the jobs of the scanner.
    pub(super) fn name_of(&mut self, head: &Head, before: &ScannerStatus) -> Result<JobPath, ScanError> {
        let named = head.location.as_deref().and_then(|location| JobPath::find(ROOT, location));
        if let Some(job) = named {
            return Ok(job);
        }
        let status = self.status(self.timeouts.reply)?;
        new_job(before, &status).ok_or(ProtocolError::NoJob.into())
    }

    /// Asks for the next page of a job.
    pub(super) fn next_document(&mut self, job: &JobPath, plan: &Plan, timeout: Duration) -> Result<Next, ScanError> {
        let request = self.dress(Request::get(&job.next_document()).ok_or(ProtocolError::NoJob)?);
        self.about_to_ask(On::Pages)?.send(&request, Limits::page(plan.most_bytes()))?;
        let head = self.pages.head(PAGE, timeout)?;
        if head.status == 200 {
            return Ok(Next::Page);
        }
        self.pages.rest(PAGE, self.timeouts.reply)?;
        match head.status {
            404 | 410 => Ok(Next::NoMore),
            503 => Ok(Next::NotYet(retry_after(&head))),
            409 => Ok(Next::Trouble(409)),
            got @ 500..=599 => Ok(Next::Trouble(got)),
            got => Err(ProtocolError::Status { to: PAGE, got }.into()),
        }
    }

    /// Ends a job, on the connection that is free. Any answer is one.
    pub(super) fn delete(&mut self, job: &JobPath, timeout: Duration) -> Result<(), ScanError> {
        self.start_delete(job)?;
        self.finish_delete(job, timeout)
    }

    /// Sends the request that ends a job, on the connection that is free.
    pub(super) fn start_delete(&mut self, job: &JobPath) -> Result<(), ScanError> {
        let Some(request) = Request::delete(job.as_str()).map(|request| self.dress(request)) else { return Ok(()) };
        if self.guard.is_some() {
            self.guard = Some(Guard::Deleting(job.clone()));
        }
        self.about_to_ask(On::Free)?.send(&request, Limits::document())
    }

    /// Reads the answer to that. Some scanners give it only when the page that is under way has been read.
    pub(super) fn finish_delete(&mut self, job: &JobPath, timeout: Duration) -> Result<(), ScanError> {
        let free = self.second.as_mut().unwrap_or(&mut self.pages);
        if !free.is_idle() {
            let head = free.head(DELETION, timeout)?;
            free.rest(DELETION, timeout)?;
            log::debug!("DELETE {job}: {}", head.status);
        }
        Ok(())
    }

    /// Leaves a note for whoever opens the scanner next, or takes it back. That there is none only means that less is known then.
    pub(super) fn leave(&mut self, note: Option<&Note>) -> Result<(), ScanError> {
        let text = note.map_or(Some(String::new()), Note::to_text);
        match text.map_or(Ok(()), |text| self.pages.channel.transport.set_note(&text)) {
            Err(TransportError::Daemon(error)) => {
                log::info!("leave a note: {error}");
                Ok(())
            }
            left => Ok(left?),
        }
    }

    /// Brings in order what a note says: a job of a program that has died is deleted.
    pub(super) fn heed_note(&mut self) -> Result<(), ScanError> {
        let Some(note) = self.pages.channel.transport.note().map(Note::parse) else { return Ok(()) };
        if let Some(note) = note {
            let status = self.status(self.timeouts.reply)?;
            if let Some(job) = note.job(&status) {
                log::info!("a program that has died has left {job}");
                self.delete(&job, self.timeouts.reply)?;
                self.wait_until_idle(self.timeouts.homing)?;
            }
        }
        self.leave(None)
    }

    /// Waits until the scanner says that it is idle, or has forgotten the job.
    pub(super) fn wait_until_idle(&mut self, most: Duration) -> Result<(), ScanError> {
        let began = Instant::now();
        loop {
            if self.status(self.timeouts.reply)?.is_idle() {
                return Ok(());
            }
            if began.elapsed() >= most {
                return Err(DeviceError::Busy.into());
            }
            self.pause(self.timeouts.poll)?;
        }
    }
}

/// What is new among a scanner's jobs, and still open.
pub(super) fn new_job(before: &ScannerStatus, now: &ScannerStatus) -> Option<JobPath> {
    let is_new = |uri: &str| before.jobs.iter().all(|job| job.uri != uri);
    now.jobs.iter().filter(|job| is_open(job) && is_new(&job.uri)).find_map(|job| JobPath::find(ROOT, &job.uri))
}

fn retry_after(head: &Head) -> Duration {
    head.retry_after.map_or(RETRY, |seconds| Duration::from_secs(seconds.clamp(1, MOST_RETRY_AFTER).into()))
}

fn refused(settings: &ScanSettings, status: u16) -> ScanError {
    let source = match settings.source {
        InputSource::Platen => "glass",
        InputSource::Feeder | InputSource::FeederDuplex => "feeder",
    };
    let parameter = format!(
        "the settings of the page ({}, {} dpi, {source}; HTTP {status})",
        settings.mode.as_str(),
        settings.resolution
    );
    ScanError::Refused { parameter, command: "POST ScanJobs" }
}

/// What a status says is wrong, for a page from this source.
pub(super) fn trouble(status: &ScannerStatus, plan: &Plan) -> Result<(), DeviceError> {
    let adf = status.adf.filter(|_| plan.is_fed());
    match adf {
        Some(AdfState::Jam) => return Err(DeviceError::PaperJam),
        Some(AdfState::Open) => return Err(DeviceError::CoverOpen),
        Some(AdfState::MultipickDetected) => return Err(DeviceError::DoubleFeed),
        Some(AdfState::InputTray) => return Err(DeviceError::TrayOut),
        Some(AdfState::Mispick | AdfState::DuplexPage) => return Err(DeviceError::Feeder),
        _ => {}
    }
    match status.state {
        State::Stopped | State::Down => Err(DeviceError::Fatal),
        _ => Ok(()),
    }
}

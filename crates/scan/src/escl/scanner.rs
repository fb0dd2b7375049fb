//! One scanner, opened: identify it, scan a page, bring it back to idle whatever happened. Runs on the thread that calls.

use usbscan_client::wire::EsclQuirks;
use usbscan_escl::Format;

use super::capabilities::Capabilities;
use super::client::{Client, trouble};
use super::connection::Connection;
use super::job::{Body, Job, Tell};
use super::lines::Lines;
use super::pass::{may_pass, pass, pass_document};
use super::plan::Plan;
use super::resync::resync;
use crate::support::Timeouts;
use crate::support::channel::{is_gone, is_out_of_sync, or_cancelled};
use crate::support::fill;
use crate::support::resync_io::drain;
use crate::{
    Cancel, ClassTriple, DeviceError, Flow, Identity, Options, Outcome, PageFormat, PageSink, Progress, ProtocolError,
    ScanError, Scanner, Transport, TransportError, Unsupported,
};

/// IPP over USB, and what some of HP's call the same.
const INTERFACES: &[ClassTriple] = &[(7, 1, 4), (255, 9, 1)];

/// Bytes of the largest piece of white that is handed on at once.
const PIECE: usize = 128 * 1024;

/// An eSCL scanner.
pub(super) struct EsclScanner {
    client: Client,
    identity: Identity,
    capabilities: Capabilities,
    options: Options,
    /// The job that is open: of the feeder, between its pages too.
    job: Option<Job>,
}

impl EsclScanner {
    /// Gets in sync and identifies. The usual scanner is silent and costs a moment of listening.
    pub(super) fn open(
        transport: Box<dyn Transport>,
        timeouts: Timeouts,
        progress: Tell<'_>,
    ) -> Result<EsclScanner, ScanError> {
        let (pages, quirks) = (Connection::new(transport, timeouts), EsclQuirks::default());
        let mut client = Client { pages, second: None, guard: None, quirks, timeouts };
        client.look_up_quirks(None)?;
        let found = listen(&mut client).and_then(|()| client.capabilities(timeouts.reply));
        let all = match found {
            Err(error) if is_out_of_sync(&error) => {
                log::info!("the scanner is not in sync: {error}");
                progress(Progress::Recovering);
                resync(&mut client)?;
                client.capabilities(timeouts.reply)?
            }
            found => found?,
        };
        client.look_up_quirks(Some(&all.make_and_model))?;
        if !client.quirks.one_interface {
            client.second = second(&mut client, timeouts)?;
        }
        match client.heed_note() {
            Err(error) if is_out_of_sync(&error) => {
                log::info!("end the job that was left: {error}");
                resync(&mut client)?;
            }
            heeded => heeded?,
        }
        let most_dpi = client.quirks.max_resolution;
        let capabilities = Capabilities::new(all, most_dpi)
            .ok_or(ProtocolError::Capabilities("there is no place for a page in 8 bit"))?;
        let (identity, options) = (capabilities.identity(), capabilities.options());
        Ok(EsclScanner { client, identity, capabilities, options, job: None })
    }

    fn try_page(&mut self, plan: &Plan, sink: &mut dyn PageSink, progress: Tell<'_>) -> Result<Outcome, ScanError> {
        if self.job.as_ref().is_some_and(|job| job.plan != *plan) {
            self.finish()?;
        }
        if self.job.is_none() {
            Job::begin(&mut self.client, plan, &mut self.job, progress)?;
        }
        let Some(job) = &mut self.job else { return Err(ProtocolError::NoJob.into()) };
        let quirks = self.client.quirks;
        if !job.next_page(&mut self.client, quirks, progress)? {
            return Err(self.no_page(plan)?);
        }
        job.pages += 1;
        let mut body = Body::begin(&mut self.client, plan.settings.format)?;
        let outcome = copy(plan, &mut body, sink, progress)?;
        let timeouts = body.client().timeouts;
        if outcome == Outcome::Stopped {
            return self.stop();
        }
        // Behind the picture's last line there may be more of the body.
        self.client.pages.drain(timeouts.image, timeouts.warm_up)?;
        if !plan.is_fed() {
            self.end_of_glass(progress)?;
        }
        sink.end().map_err(ScanError::Sink)?;
        Ok(Outcome::Complete)
    }

    /// The page as it leaves us.
    fn filled_page(&self, plan: &Plan) -> PageFormat {
        fill::page_format(&self.options, plan.page, plan.most_lines)
    }

    /// The sink wants no more of the page.
    fn stop(&mut self) -> Result<Outcome, ScanError> {
        self.client.pages.channel.cancel.start_clean_up();
        if let Some(job) = &self.job {
            job.cancel(&mut self.client)?;
        }
        // Only now: where that failed, cleaning up deletes it.
        self.job = None;
        self.client.wait_until_idle(self.client.timeouts.homing)?;
        Ok(Outcome::Stopped)
    }

    /// A job of the glass has one page; asked for another one, the scanner says so, and is free.
    fn end_of_glass(&mut self, progress: Tell<'_>) -> Result<(), ScanError> {
        let timeouts = self.client.timeouts;
        if let Some(job) = &mut self.job {
            if job.next_page(&mut self.client, EsclQuirks::default(), progress)? {
                log::info!("the scanner sends a second page of its glass");
                self.client.pages.drain(timeouts.image, timeouts.warm_up)?;
            }
        }
        self.finish()
    }

    /// The job is over at the scanner, or is to be between two pages.
    fn finish(&mut self) -> Result<(), ScanError> {
        match self.job.take() {
            Some(job) => {
                let quirks = self.client.quirks;
                job.finish(&mut self.client, quirks)
            }
            None => Ok(()),
        }
    }

    /// Why there is no page, when the scanner says that there is none.
    fn no_page(&mut self, plan: &Plan) -> Result<ScanError, ScanError> {
        let pages = self.job.as_ref().map_or(0, |job| job.pages);
        let status = self.client.status(self.client.timeouts.reply)?;
        self.finish()?;
        trouble(&status, plan)?;
        Ok(match pages {
            _ if plan.is_fed() => DeviceError::NoDocuments.into(),
            0 => DeviceError::CancelledAtDevice.into(),
            _ => ProtocolError::NoJob.into(),
        })
    }

    /// After a page that failed: idle, if that can be had, and the error that says the most.
    fn clean_up(&mut self, error: ScanError, progress: Tell<'_>) -> ScanError {
        if is_gone(&error) {
            self.job = None;
            return or_cancelled(error);
        }
        let error = self.client.pages.channel.or_cancelled(error);
        let is_cancel = matches!(error, ScanError::Cancelled { .. });
        if is_cancel {
            self.client.pages.channel.cancel.acknowledge();
            progress(Progress::Cancelling);
        }
        if is_cancel || matches!(error, ScanError::Sink(_)) {
            self.client.pages.channel.cancel.start_clean_up();
        }
        let is_silent = matches!(
            error,
            ScanError::NoResponse { .. }
                | ScanError::Transport(TransportError::Stall { .. } | TransportError::Timeout { .. })
        );
        let idle = match self.settle(is_silent) {
            Ok(()) => true,
            Err(error) => {
                let connections = [Some(&mut self.client.pages), self.client.second.as_mut()];
                let forgotten = connections.into_iter().flatten().try_for_each(Connection::forget);
                forgotten.is_ok() && self.client.pages.channel.is_recovered(&error)
            }
        };
        if is_cancel { ScanError::Cancelled { idle } } else { error }
    }

    /// Ends what is under way, whatever that is. A scanner that was silent for too long already is not waited for again.
    fn settle(&mut self, is_silent: bool) -> Result<(), ScanError> {
        let Some(job) = self.job.take() else {
            return if is_silent { resync(&mut self.client) } else { self.drain_all() };
        };
        let is_over = !is_silent
            && match job.cancel(&mut self.client) {
                Err(error) if is_out_of_sync(&error) => {
                    log::info!("end the job: {error}");
                    false
                }
                ended => ended.map(|()| true)?,
            };
        if !is_over {
            resync(&mut self.client)?;
            let status = self.client.status(self.client.timeouts.reply)?;
            if let Some(path) = job.name_by(&status) {
                self.client.delete(&path, self.client.timeouts.reply)?;
            }
        }
        self.client.wait_until_idle(self.client.timeouts.homing)
    }

    fn drain_all(&mut self) -> Result<(), ScanError> {
        let timeouts = self.client.timeouts;
        let drained = self.client.pages.drain(timeouts.image, timeouts.warm_up).and_then(|_| {
            let second = self.client.second.as_mut();
            second.map_or(Ok(None), |second| second.drain(timeouts.reply, timeouts.reply))
        });
        match drained {
            Err(error) if is_out_of_sync(&error) => resync(&mut self.client),
            drained => drained.map(drop),
        }
    }

    /// Otherwise the steps are for the daemon, should this be the end of us.
    fn disarm_if_settled(&mut self) {
        if self.job.is_none() && self.client.is_quiet() {
            self.client.guard = None;
            if let Err(error) = self.client.leave(None) {
                log::debug!("take the note back: {error}");
            }
            self.client.pages.channel.disarm_abort();
            self.client.pages.channel.cancel.end_clean_up();
        }
    }
}

/// Before the first request: what is left of another one's answers would be taken for ours.
fn listen(client: &mut Client) -> Result<(), ScanError> {
    client.pages.channel.expect_silence(true)
}

/// The connection over the other interface, where there is one, with what is left on it read away.
fn second(client: &mut Client, timeouts: Timeouts) -> Result<Option<Connection>, ScanError> {
    let Some(second) = client.pages.channel.transport.second_interface(INTERFACES)? else { return Ok(None) };
    let mut second = Connection::new(second, timeouts);
    match second.channel.expect_silence(true) {
        Err(error) if is_out_of_sync(&error) => {
            log::info!("the second interface is not in sync: {error}");
            drain(&mut *second.channel.transport, timeouts.silence)?;
        }
        silence => silence?,
    }
    Ok(Some(second))
}

/// All lines of a page to the sink.
fn copy(plan: &Plan, body: &mut Body<'_>, sink: &mut dyn PageSink, progress: Tell<'_>) -> Result<Outcome, ScanError> {
    if plan.settings.format == Format::Pdf {
        return pass_document(plan, body, sink);
    }
    if may_pass(plan, sink) {
        if let Some(outcome) = pass(plan, body, sink, progress)? {
            return Ok(outcome);
        }
    }
    let mut lines = Lines::new(plan, body)?;
    sink.begin(&plan.page).map_err(ScanError::Sink)?;
    let line_bytes = plan.page.bytes_per_line();
    let mut done = 0;
    let mut hand_on = |bytes: &[u8]| -> Result<Flow, ScanError> {
        let flow = sink.lines(bytes).map_err(ScanError::Sink)?;
        done += (bytes.len() / line_bytes) as u32;
        progress(Progress::Lines { done, total: plan.page.height });
        Ok(flow)
    };
    while let Some(next) = lines.next(body)? {
        if hand_on(&next)? == Flow::Stop {
            return Ok(Outcome::Stopped);
        }
    }
    if let Some(missing) = lines.cut_short().filter(|_| !plan.is_fed()) {
        return Err(ProtocolError::EndedEarly { missing }.into());
    }
    let mut missing = lines.missing();
    if plan.page.height.is_none() {
        return if missing == plan.most_lines {
            Err(ProtocolError::EndedEarly { missing }.into())
        } else {
            Ok(Outcome::Complete)
        };
    }
    if missing > 0 {
        log::info!("the scanner's picture is {missing} lines shorter than the page");
    }
    let most = (PIECE / line_bytes.max(1)).max(1) as u32;
    while missing > 0 {
        let some = missing.min(most);
        if hand_on(&lines.white(some))? == Flow::Stop {
            return Ok(Outcome::Stopped);
        }
        missing -= some;
    }
    Ok(Outcome::Complete)
}

impl Scanner for EsclScanner {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    fn page_format(&self) -> Result<PageFormat, ScanError> {
        let plan = Plan::new(&self.capabilities, &self.options)?;
        Ok(self.filled_page(&plan))
    }

    fn sends_only_pdf(&self) -> bool {
        let plan = Plan::new(&self.capabilities, &self.options);
        plan.is_ok_and(|plan| self.capabilities.has_only_pdf(plan.settings.source))
    }

    fn scan(&mut self, sink: &mut dyn PageSink, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError> {
        let mut plan = Plan::new(&self.capabilities, &self.options)?;
        let takes_pdf = self.capabilities.has_only_pdf(plan.settings.source) && sink.takes_pdf(&plan.page);
        if takes_pdf {
            plan = plan.into_pdf(&self.capabilities)?;
        } else if !self.capabilities.has_jpeg(plan.settings.source) {
            let formats = self.capabilities.formats(plan.settings.source);
            let model = self.identity.model.clone();
            return Err(ScanError::NotSupported(Unsupported::Format {
                model,
                formats,
                known: Format::Jpeg.media_type(),
            }));
        }
        // A document of the scanner's own making is as long as it is.
        let page = if takes_pdf { plan.page } else { self.filled_page(&plan) };
        let result = fill::fill_up(sink, plan.page, page, |sink| self.try_page(&plan, sink, progress));
        let result = result.map_err(|error| self.clean_up(error, progress));
        self.disarm_if_settled();
        result
    }

    fn end_batch(&mut self) -> Result<(), ScanError> {
        let ended = self.finish();
        let ended = match ended {
            Err(error) if is_out_of_sync(&error) => resync(&mut self.client),
            ended => ended,
        };
        self.disarm_if_settled();
        ended
    }

    fn cancel_handle(&self) -> Cancel {
        self.client.pages.channel.cancel.clone()
    }
}

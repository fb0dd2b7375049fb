//! A scanner that a backend has opened: a page from `sane_start` to its last byte, whatever frames it comes in. Runs on the thread
//! that calls.

use std::sync::Arc;

use usbscan_sane_protocol::{DeviceInfo, FrameFormat, Parameters, Reply, Request};

use super::frames::{Lines, Passes, is_pass, page_format};
use super::link::Link;
use super::options;
use super::process::HostedBackend;
use crate::{
    BackendError, Cancel, DeviceError, Dpi, Flow, Identity, Options, Outcome, PageFormat, PageSink, Progress,
    ProtocolError, ScanError, Scanner, SourceKind, names, source_kind,
};

/// Where a backend has no option that tells.
const UNKNOWN_DPI: u32 = 75;
/// Bytes of the largest piece of white that is handed on at once.
const WHITE: usize = 128 * 1024;

/// See the head of this file.
pub(super) struct HostedScanner {
    link: Arc<Link>,
    identity: Identity,
    options: Options,
    /// A page has begun, and the backend was not told yet that there are no more.
    in_batch: bool,
}

type Tell<'a> = &'a mut dyn FnMut(Progress);

impl HostedScanner {
    /// Starts the process and opens the scanner.
    pub fn open(of: &HostedBackend, cancel: Cancel) -> Result<HostedScanner, ScanError> {
        let link = Arc::new(Link::start(of, cancel)?);
        match link.ask(&Request::Open {})? {
            Reply::Opened { device, options } => {
                let identity = identity(link.backend(), &device);
                let options = options::options(link.clone(), options);
                Ok(HostedScanner { link, identity, options, in_batch: false })
            }
            _ => Err(link.other_reply()),
        }
    }

    fn parameters(&self, request: &Request) -> Result<(Parameters, PageFormat), ScanError> {
        let Reply::Parameters(parameters) = self.link.ask(request)? else { return Err(self.link.other_reply()) };
        let page = page_format(&parameters, self.dpi());
        let backend = || self.link.backend().to_owned();
        page.map(|page| (parameters, page))
            .ok_or_else(|| BackendError::Format { backend: backend(), parameters }.into())
    }

    fn dpi(&self) -> (Dpi, Dpi) {
        let of = |name: &str| self.options.fixed(name).map(|dpi| dpi.round()).filter(|dpi| *dpi >= 1.0);
        let both = of(names::RESOLUTION);
        let across = both.or_else(|| of("x-resolution"));
        let down = of("y-resolution").or(across);
        let dpi = |value: Option<f64>| Dpi(value.map_or(UNKNOWN_DPI, |value| value as u32));
        (dpi(across), dpi(down))
    }

    fn uses_feeder(&self) -> bool {
        let source = self.options.text(names::SOURCE).and_then(source_kind);
        matches!(source, Some(SourceKind::Feeder | SourceKind::FeederDuplex))
    }

    fn try_page(&mut self, sink: &mut dyn PageSink, progress: Tell<'_>) -> Result<Outcome, ScanError> {
        progress(Progress::Starting);
        self.in_batch = true;
        let (parameters, page) = self.parameters(&Request::Start {})?;
        let outcome = match parameters.format {
            format if is_pass(format) => self.three_passes(parameters, page, sink, progress)?,
            _ => self.one_frame(parameters, page, sink, progress)?,
        };
        if outcome == Outcome::Complete {
            if !self.uses_feeder() {
                self.finish()?;
            }
            sink.end().map_err(ScanError::Sink)?;
        }
        Ok(outcome)
    }

    /// All bytes of a frame, as they come.
    fn frame(&self, mut take: impl FnMut(&[u8]) -> Result<Flow, ScanError>) -> Result<Flow, ScanError> {
        let mut reply = self.link.ask(&Request::Read {})?;
        loop {
            match reply {
                Reply::Data { bytes } => {
                    if take(&bytes)? == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Reply::End {} => return Ok(Flow::Continue),
                _ => return Err(self.link.other_reply()),
            }
            reply = self.link.next()?;
        }
    }

    fn one_frame(
        &self,
        parameters: Parameters,
        page: PageFormat,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        sink.begin(&page).map_err(ScanError::Sink)?;
        let mut lines = Lines::of_page(&parameters, &page);
        let mut page = Page { format: page, done: 0, sink, progress };
        if self.frame(|bytes| page.take(lines.push(bytes)))? == Flow::Stop {
            return Ok(Outcome::Stopped);
        }
        page.fill()
    }

    fn three_passes(
        &self,
        mut parameters: Parameters,
        format: PageFormat,
        sink: &mut dyn PageSink,
        progress: Tell<'_>,
    ) -> Result<Outcome, ScanError> {
        let mut passes = Passes::new(format);
        loop {
            if !passes.begin(&parameters) {
                return Err(BackendError::Format { backend: self.link.backend().to_owned(), parameters }.into());
            }
            let frame: FrameFormat = parameters.format;
            let keep = |bytes: &[u8]| passes.push(frame, bytes).map(|()| Flow::Continue).map_err(ScanError::Spool);
            let _ = self.frame(keep)?;
            if passes.is_complete() {
                break;
            }
            (parameters, _) = self.parameters(&Request::Start {})?;
        }
        let mut joined = passes.join().map_err(ScanError::Spool)?;
        let format = PageFormat { height: format.height.or(Some(joined.lines_left())), ..format };
        sink.begin(&format).map_err(ScanError::Sink)?;
        let mut page = Page { format, done: 0, sink, progress };
        while let Some(lines) = joined.next().map_err(ScanError::Spool)? {
            if self.link.cancel().is_requested() {
                return Err(ScanError::Cancelled { idle: false });
            }
            if page.take(lines)? == Flow::Stop {
                return Ok(Outcome::Stopped);
            }
        }
        page.fill()
    }

    /// No more pages: the backend ends what it has begun.
    fn finish(&mut self) -> Result<(), ScanError> {
        if std::mem::take(&mut self.in_batch) {
            match self.link.ask(&Request::Finish {})? {
                Reply::Finished {} => {}
                _ => return Err(self.link.other_reply()),
            }
        }
        Ok(())
    }

    /// After a page that is not whole: idle, if that can be had in time, and the error that says the most.
    fn clean_up(&mut self, error: ScanError, progress: Tell<'_>) -> ScanError {
        match error {
            // The backend has ended it, or nobody waits for it any more.
            ScanError::Cancelled { idle: true } => {
                self.in_batch = false;
                error
            }
            ScanError::Cancelled { idle: false } | ScanError::Sink(_) | ScanError::Spool(_) => {
                progress(Progress::Cancelling);
                let idle = self.stop();
                match error {
                    // A sink that gives up once the page is cancelled has no error of its own.
                    ScanError::Cancelled { .. } => ScanError::Cancelled { idle },
                    error => error,
                }
            }
            error => {
                if let Err(worse) = self.finish() {
                    log::info!("end the page: {worse}");
                }
                error
            }
        }
    }

    fn stop(&mut self) -> bool {
        self.in_batch = false;
        self.link.cancel().start_clean_up();
        let idle = self.link.stop();
        if idle {
            self.link.cancel().reset();
        }
        idle
    }
}

fn identity(backend: &str, device: &DeviceInfo) -> Identity {
    let model = format!("{} {}", device.vendor.trim(), device.model.trim());
    Identity { protocol: format!("SANE's backend {backend}"), model: model.trim().to_owned(), firmware: String::new() }
}

/// A page on its way to the sink.
struct Page<'a> {
    format: PageFormat,
    done: u32,
    sink: &'a mut dyn PageSink,
    progress: Tell<'a>,
}

impl Page<'_> {
    /// Whole lines. What is beyond the page's height is left out.
    fn take(&mut self, lines: &[u8]) -> Result<Flow, ScanError> {
        let line = self.format.bytes_per_line().max(1);
        let left = self.format.height.map_or(usize::MAX, |height| (height - self.done) as usize);
        let lines = &lines[..lines.len().min(left.saturating_mul(line))];
        if lines.is_empty() {
            return Ok(Flow::Continue);
        }
        let flow = self.sink.lines(lines).map_err(ScanError::Sink)?;
        self.done += (lines.len() / line) as u32;
        (self.progress)(Progress::Lines { done: self.done, total: self.format.height });
        Ok(flow)
    }

    /// The frame has ended: some backends send fewer lines than they have said.
    fn fill(&mut self) -> Result<Outcome, ScanError> {
        let missing = self.format.height.map_or(0, |height| height - self.done);
        if self.done == 0 {
            return Err(ProtocolError::EndedEarly { missing: missing.max(1) }.into());
        }
        if missing > 0 {
            log::warn!("the page has {} lines, {missing} fewer than the backend has said", self.done);
        }
        let line = self.format.bytes_per_line().max(1);
        let white = vec![0xff; (WHITE / line).max(1) * line];
        while self.format.height.is_some_and(|height| self.done < height) {
            if self.take(&white)? == Flow::Stop {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Complete)
    }
}

impl Scanner for HostedScanner {
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
        // Before a page begins this is what the backend expects of it.
        Ok(self.parameters(&Request::Parameters {})?.1)
    }

    fn scan(&mut self, sink: &mut dyn PageSink, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError> {
        match self.try_page(sink, progress) {
            Ok(Outcome::Stopped) => {
                progress(Progress::Cancelling);
                if self.stop() { Ok(Outcome::Stopped) } else { Err(ScanError::Cancelled { idle: false }) }
            }
            Ok(outcome) => Ok(outcome),
            Err(error @ ScanError::Device(DeviceError::NoDocuments)) => {
                self.finish()?;
                Err(error)
            }
            Err(error) => Err(self.clean_up(error, progress)),
        }
    }

    fn end_batch(&mut self) -> Result<(), ScanError> {
        self.finish()
    }

    fn cancel_handle(&self) -> Cancel {
        self.link.cancel().clone()
    }
}

//! An open scanner, as the application's thread sees it: what is chosen, and the page that is under way. The lock of
//! its state is held for looking and choosing, never while a page is waited for.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use parking_lot::{Mutex, MutexGuard};
use usbscan_scan::{Options, PageFormat, names};

use crate::abi::{self, Frame, OptionDescriptor, Parameters, Status, Word};
use crate::button;
use crate::convert;
use crate::engine::Engine;
use crate::handle::HandleSlot;
use crate::job::{Job, Then};
use crate::sink;
use crate::stream::Wait;
use crate::table::{Buttons, HandleTable, Row};
use crate::value::{Shape, Value};

/// An option that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The value it has now.
    pub value: Value,
    /// `SANE_INFO_…`.
    pub flags: Word,
}

#[derive(Debug)]
struct ScannerState {
    options: Options,
    preview: bool,
    table: HandleTable,
    /// `None` while a job has it.
    engine: Option<Engine>,
    job: Option<Job>,
    /// [`HandleSlot::cancels`] when the last page was started.
    cancels_before: u64,
}

#[derive(Debug)]
pub struct Scanner {
    slot: &'static HandleSlot,
    state: Mutex<ScannerState>,
}

impl Scanner {
    /// A scanner that was just opened, at its place in the table of handles.
    pub fn new(engine: Engine, slot: &'static HandleSlot) -> Scanner {
        let options = engine.options().clone();
        let buttons = if engine.has_buttons() { Buttons::AskedFor } else { Buttons::None };
        let table = HandleTable::new(&options, buttons);
        let engine = Some(engine);
        let state = ScannerState { options, preview: false, table, engine, job: None, cancels_before: slot.cancels() };
        Scanner { slot, state: Mutex::new(state) }
    }

    /// Ends what is under way, and the session.
    pub fn close(&self) {
        let (job, engine) = {
            let mut state = self.state.lock();
            (state.job.take(), state.engine.take())
        };
        let back = job.and_then(|job| job.finish(Then::Nothing));
        drop((back, engine));
    }

    /// The descriptor of an option; null past the last.
    pub fn descriptor(&self, option: Word) -> *const OptionDescriptor {
        self.state.lock().table.descriptor(option)
    }

    /// What an option's value looks like in C.
    pub fn shape(&self, option: Word) -> Result<Shape, Status> {
        self.state.lock().table.shape(option)
    }

    /// The value of an option.
    pub fn get(&self, option: Word) -> Result<Value, Status> {
        let state = self.state.lock();
        match state.table.row(option)? {
            Row::Count => Ok(Value::Words(vec![state.table.len()])),
            Row::Group => Err(Status::Invalid),
            Row::Preview => Ok(Value::Bool(state.preview)),
            Row::Button => {
                drop(state);
                self.pressed_button().map(|button| Value::Words(vec![button.into()]))
            }
            Row::Option(name) => {
                let option = state.options.get(&name).expect("an option stays");
                let held = option.active.then(|| convert::to_c(&option.value, convert::value_type(&option.constraint)));
                held.ok_or(Status::Invalid)
            }
        }
    }

    /// Asks the scanner which button was pressed; 0 for none. Nor is it asked while it scans.
    fn pressed_button(&self) -> Result<u8, Status> {
        let mut state = match self.idle() {
            Ok(state) => state,
            Err(Status::DeviceBusy) => return Ok(0),
            Err(status) => return Err(status),
        };
        state.watch_over_batch(self.slot);
        if state.job.is_some() {
            return Ok(0);
        }
        let (engine, pressed) = button::ask(state.engine.take().ok_or(Status::IoError)?);
        state.engine = engine;
        pressed
    }

    pub fn set(&self, option: Word, wanted: &Value) -> Result<Set, Status> {
        let row = self.state.lock().table.row(option)?;
        let mut state = self.idle()?;
        let set = match row {
            Row::Count | Row::Group | Row::Button => Err(Status::Invalid),
            Row::Preview => match wanted {
                Value::Bool(preview) => {
                    state.preview = *preview;
                    Ok(Set { value: wanted.clone(), flags: 0 })
                }
                _ => Err(Status::Invalid),
            },
            Row::Option(name) => state.set(&name, wanted),
        };
        state.watch_over_batch(self.slot);
        set
    }

    /// `SANE_ACTION_SET_AUTO`: no option has that.
    pub fn set_automatic(&self, option: Word) -> Result<Word, Status> {
        self.state.lock().table.row(option)?;
        Err(Status::Invalid)
    }

    /// What the page is, or would be.
    pub fn parameters(&self) -> Result<Parameters, Status> {
        if let Some(known) = self.state.lock().job.as_ref().and_then(|job| job.scan.parameters()) {
            return Ok(known);
        }
        let mut state = self.idle()?;
        let estimate = state.estimate();
        state.watch_over_batch(self.slot);
        Ok(estimate)
    }

    /// Begins a page, and waits until the scanner has begun it.
    pub fn start(&self) -> Result<(), Status> {
        // Before anything that takes time: a cancel from here on is this page's.
        let cancels_before = self.slot.cancels();
        let scan = {
            let mut state = self.idle()?;
            let options = state.ordered();
            let engine = state.engine.take().ok_or(Status::IoError)?;
            state.cancels_before = cancels_before;
            match Job::begin(engine, Some(options), self.slot, cancels_before) {
                Ok(job) => state.job.insert(job).scan.clone(),
                Err((engine, status)) => {
                    state.engine = engine;
                    return Err(status);
                }
            }
        };
        scan.wait_begun().map(drop)
    }

    /// The next bytes of the page.
    pub fn read(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<usize, Status> {
        let (scan, wait) = self.with_job(|job| (job.scan.clone(), job.wait))?;
        scan.read(buffer, wait)
    }

    pub fn set_io_mode(&self, wait: Wait) -> Result<(), Status> {
        self.with_job(|job| job.wait = wait)
    }

    /// Readable while `read` would not wait.
    pub fn select_fd(&self) -> Result<RawFd, Status> {
        self.with_job(|job| job.scan.select_fd())
    }

    fn with_job<T>(&self, look: impl FnOnce(&mut Job) -> T) -> Result<T, Status> {
        self.state.lock().job.as_mut().map(look).ok_or(Status::Invalid)
    }

    /// The state without a page under way: one that is over is cleared away first.
    fn idle(&self) -> Result<MutexGuard<'_, ScannerState>, Status> {
        let mut state = self.state.lock();
        if state.job.as_ref().is_some_and(|job| !job.scan.is_over()) {
            return Err(Status::DeviceBusy);
        }
        if let Some(job) = state.job.take() {
            drop(state);
            let engine = job.finish(Then::NextPage);
            state = self.state.lock();
            state.engine = engine;
        }
        Ok(state)
    }
}

impl ScannerState {
    /// Between two pages of a batch a cancel must be heard, so a thread waits for it.
    fn watch_over_batch(&mut self, slot: &'static HandleSlot) {
        let Some(engine) = self.engine.take_if(|engine| engine.is_in_batch()) else { return };
        match Job::begin(engine, None, slot, self.cancels_before) {
            Ok(job) => self.job = Some(job),
            // Without a thread: the next call ends the batch or goes on with it.
            Err((engine, _)) => self.engine = engine,
        }
    }

    fn set(&mut self, name: &str, wanted: &Value) -> Result<Set, Status> {
        let constraint = &self.options.get(name).expect("an option stays").constraint;
        let value_type = convert::value_type(constraint);
        let fitted = convert::fit(constraint, wanted)?;
        let before = self.page_format();
        self.options.set(name, fitted.value.clone()).map_err(|error| {
            log::info!("{error}");
            Status::Invalid
        })?;
        let mut flags = if fitted.exact { 0 } else { abi::INFO_INEXACT };
        if self.table.refresh(&self.options) {
            flags |= abi::INFO_RELOAD_OPTIONS;
        }
        // Where the page is not known, before or after, an application asks once more than it must.
        if !before.is_some_and(|before| self.page_format() == Some(before)) {
            flags |= abi::INFO_RELOAD_PARAMS;
        }
        Ok(Set { value: convert::to_c(&fitted.value, value_type), flags })
    }

    /// The options with the corners of the area in order: SANE lets an application set them one by one, so that they
    /// may be crossed on the way, and some leave them so.
    fn ordered(&self) -> Options {
        let mut options = self.options.clone();
        for (first, second) in [(names::TL_X, names::BR_X), (names::TL_Y, names::BR_Y)] {
            let (Some(low), Some(high)) = (options.fixed(first), options.fixed(second)) else { continue };
            if low > high {
                let swapped = options.set(first, high.into()).and_then(|()| options.set(second, low.into()));
                if swapped.is_err() {
                    log::info!("{first} and {second} are crossed, and can't be swapped");
                }
            }
        }
        options
    }

    /// What the page would be; one without pixels where the options make none, as while an area is being chosen.
    fn estimate(&mut self) -> Parameters {
        let known = self.page_format().and_then(|format| sink::parameters(&format));
        known.unwrap_or_else(|| {
            let (format, depth) = match self.options.text(names::MODE) {
                Some("Lineart") => (Frame::Gray, 1),
                Some("Color") => (Frame::Rgb, self.options.int(names::DEPTH).unwrap_or(8)),
                _ => (Frame::Gray, self.options.int(names::DEPTH).unwrap_or(8)),
            };
            Parameters { format, last_frame: abi::TRUE, bytes_per_line: 0, pixels_per_line: 0, lines: 0, depth }
        })
    }

    fn page_format(&mut self) -> Option<PageFormat> {
        let options = self.ordered();
        match self.engine.as_mut()?.page_format(&options) {
            Ok(format) => Some(format),
            Err(error) => {
                log::debug!("no page: {error}");
                None
            }
        }
    }
}

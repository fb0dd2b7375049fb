//! A scanner behind the daemon, as a SANE application holds it: identified when it is opened, then kept with its session but
//! without its lock, so that others can use it between two pages; and found again when the daemon was restarted
//! meanwhile. Between two pages of a document feeder the lock is kept, because the sheets are in the middle of something.
//!
//! Runs on a thread of ours ([`crate::threads`]); a scan, on that of its [`crate::job`].

use usbscan_client::{LOCK_TIMEOUT, LockHandle, Session};
use usbscan_scan::{
    Cancel, Options, Outcome, PageFormat, PageSink, ScanError, Scanner, SessionTransport, SourceKind, names,
    source_kind,
};

use crate::abi::Status;
use crate::devices;
use crate::status;

/// What ends the work of a driver from another thread.
#[derive(Debug, Clone)]
pub struct CancelHandle {
    /// Asks the driver to bring the scanner to idle and return; asked again, to return.
    pub cancel: Cancel,
    /// Ends the session, if nothing else helps.
    pub lock: LockHandle,
}

/// Receives the cancel handle of what comes next. An error: it is cancelled already.
pub type OnCancelHandle<'a> = &'a mut dyn FnMut(CancelHandle) -> Result<(), Status>;

pub struct Engine {
    /// Its stable id.
    device: String,
    scanner: Box<dyn Scanner>,
    lock: LockHandle,
    /// A page came from the feeder and the next may be asked for; the lock is ours until then.
    in_batch: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("device", &self.device).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens a scanner by its name or a beginning of it, or the first there is where the name is empty, and asks it what
    /// it is.
    pub fn open(name: &str, on_cancel_handle: OnCancelHandle<'_>) -> Result<Engine, Status> {
        let name = match name {
            "" => devices::scanners().first().ok_or(Status::Invalid)?.stable_id.clone(),
            named => named.to_owned(),
        };
        let to_daemon = |error: usbscan_client::Error| {
            log::error!("open {name}: {error}");
            status::of_client(&error)
        };
        let session = Session::connect(devices::socket()).map_err(to_daemon)?;
        let opened = session.open(&name).map_err(to_daemon)?;
        let lock = session.lock_handle();
        lock.lock_timeout(LOCK_TIMEOUT).map_err(to_daemon)?;
        let transport = SessionTransport::new(session).with_pipes(&opened);
        let device = opened.device;
        on_cancel_handle(CancelHandle { cancel: transport.cancel_handle(), lock: lock.clone() })?;
        let opened =
            usbscan_scan::open(&device.protocol, Box::new(transport), &mut |progress| log::debug!("{progress:?}"));
        let scanner = opened.map_err(|error| {
            log::error!("open {name}: {error}");
            status::of_scan(&error)
        })?;
        let engine = Engine { device: device.stable_id, scanner, lock, in_batch: false };
        engine.unlock();
        Ok(engine)
    }

    /// What can be chosen, and what is.
    pub fn options(&self) -> &Options {
        self.scanner.options()
    }

    /// What a page with these options would look like.
    pub fn page_format(&mut self, options: &Options) -> Result<PageFormat, ScanError> {
        self.scanner.options_mut().clone_from(options);
        self.scanner.page_format()
    }

    /// Scans a page, and says how it ended: [`Status::Eof`] if it is whole.
    pub fn scan(&mut self, options: &Options, sink: &mut dyn PageSink, on_cancel_handle: OnCancelHandle<'_>) -> Status {
        match self.scan_page(options, sink, on_cancel_handle) {
            Ok(()) => Status::Eof,
            Err(status) => status,
        }
    }

    fn scan_page(
        &mut self,
        options: &Options,
        sink: &mut dyn PageSink,
        on_cancel_handle: OnCancelHandle<'_>,
    ) -> Result<(), Status> {
        if self.lock.is_gone() {
            log::info!("open {} again", self.device);
            *self = Engine::open(&self.device, on_cancel_handle).map_err(after_opening)?;
        }
        on_cancel_handle(self.cancel_handle())?;
        choose(self.scanner.options_mut(), options)?;
        self.lock.lock_timeout(LOCK_TIMEOUT).map_err(|error| {
            log::error!("scan with {}: {error}", self.device);
            after_opening(status::of_client(&error))
        })?;
        let ended = self.scanner.scan(sink, &mut |progress| log::debug!("{progress:?}"));
        match &ended {
            Ok(outcome) => log::info!("{}: {outcome:?}", self.device),
            Err(error) => log::error!("scan with {}: {error}", self.device),
        }
        self.in_batch = uses_feeder(self.scanner.options());
        if ended.as_ref().is_err_and(leaves_out_of_sync) {
            self.leave_to_daemon();
        } else if !matches!(ended, Ok(Outcome::Complete)) || !self.in_batch {
            self.end_batch();
        }
        ended.map(drop).map_err(|error| status::of_scan(&error))
    }

    /// What ends its work from another thread.
    pub fn cancel_handle(&self) -> CancelHandle {
        CancelHandle { cancel: self.scanner.cancel_handle(), lock: self.lock.clone() }
    }

    /// Whether the scanner has buttons that can be asked for.
    pub fn has_buttons(&self) -> bool {
        self.scanner.has_buttons()
    }

    /// The number of the button that was pressed since this was last asked; 0 for none, and where the scanner can't be asked
    /// because another program scans.
    pub fn pressed_button(&mut self) -> Result<u8, Status> {
        self.cancel_handle().cancel.reset();
        match self.lock.lock_if_unused() {
            Ok(()) => {}
            Err(error) if error.status() == Some(usbscan_client::wire::Status::Busy) => return Ok(0),
            Err(error) => return Err(status::of_client(&error)),
        }
        let pressed = self.scanner.pressed_button();
        if pressed.as_ref().is_err_and(leaves_out_of_sync) {
            self.leave_to_daemon();
        } else {
            self.unlock();
        }
        pressed.map(Option::unwrap_or_default).map_err(|error| {
            log::error!("ask {} for its buttons: {error}", self.device);
            status::of_scan(&error)
        })
    }

    /// Whether the next page from the feeder may be asked for, and nobody else can use the scanner.
    pub fn is_in_batch(&self) -> bool {
        self.in_batch
    }

    /// No more pages are wanted: what the feeder holds is put out, and others may use the scanner.
    pub fn end_batch(&mut self) {
        if std::mem::take(&mut self.in_batch) {
            self.scanner.cancel_handle().reset();
            if let Err(error) = self.scanner.end_batch() {
                log::error!("end the batch of {}: {error}", self.device);
                return self.leave_to_daemon();
            }
        }
        self.unlock();
    }

    /// The end of the session makes the daemon bring the scanner back to idle.
    fn leave_to_daemon(&mut self) {
        self.in_batch = false;
        self.lock.hang_up();
    }

    fn unlock(&self) {
        if let Err(error) = self.lock.unlock() {
            log::error!("give back {}: {error}", self.device);
        }
    }
}

/// "Invalid argument" means that there is no such scanner. One that was open and is gone is an I/O error, each time.
fn after_opening(status: Status) -> Status {
    if status == Status::Invalid { Status::IoError } else { status }
}

/// Gives a scanner the values that were chosen. It may have been opened again since, and be changed.
fn choose(options: &mut Options, chosen: &Options) -> Result<(), Status> {
    for option in chosen.iter().filter(|option| option.active) {
        options.set(&option.name, option.value.clone()).map_err(|error| {
            log::error!("the scanner changed: {error}");
            Status::Invalid
        })?;
    }
    Ok(())
}

/// Whether pages come from a document feeder.
fn uses_feeder(options: &Options) -> bool {
    let source = options.text(names::SOURCE).and_then(source_kind);
    matches!(source, Some(SourceKind::Feeder | SourceKind::FeederDuplex))
}

/// Whether the scanner may not be idle after this.
fn leaves_out_of_sync(error: &ScanError) -> bool {
    match error {
        ScanError::Cancelled { idle } => !idle,
        ScanError::Device(_)
        | ScanError::Option(_)
        | ScanError::Area(_)
        | ScanError::Refused { .. }
        | ScanError::NotSupported(_)
        | ScanError::Sink(_) => false,
        _ => true,
    }
}

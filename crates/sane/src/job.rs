//! One scan under way: the thread that scans, and the one that waits for `sane_cancel`.
//!
//! ```text
//!   sane_read ◀── PageQueue ◀── scanning thread ◀── driver ◀── daemon
//!                   ▲ stop                          ▲ cancel
//!                   └───────── watching thread ─────┘
//!                                    ▲ event_fd
//!                               sane_cancel
//! ```
//!
//! The scanning thread ends when the scanner is idle; it notifies the eventfd too, so that the watching thread ends with it. Behind
//! a page from the document feeder it stays until the next page is asked for, or until the batch is cancelled: then it is
//! the one that puts the sheets out.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use usbscan_scan::{CLEAN_UP, Options};

use crate::abi::{Parameters, Status};
use crate::engine::{CancelHandle, Engine};
use crate::handle::HandleSlot;
use crate::sink::Sink;
use crate::stream::{PageQueue, Wait};
use crate::threads;

/// How much longer than [`CLEAN_UP`], in which the driver hangs up by itself, its thread may take to be back.
const GRACE: Duration = Duration::from_millis(20);

/// What ends a scan: asked for once, it reaches the driver whenever that can be reached.
#[derive(Debug, Default)]
struct Ending {
    asked: bool,
    /// The page is over, and the next of the batch is wanted.
    goes_on: bool,
    driver: Option<CancelHandle>,
}

/// A scan, as the application's threads and ours share it.
#[derive(Debug)]
pub struct Scan {
    slot: &'static HandleSlot,
    /// [`HandleSlot::cancels`] when `sane_start` was called.
    cancels_before: u64,
    stream: PageQueue,
    ending: Mutex<Ending>,
    /// [`Ending`] says something new.
    told: Condvar,
    /// The scanning thread is at its end.
    done: AtomicBool,
}

impl Scan {
    /// Waits until the scanner has begun the page.
    pub fn wait_begun(&self) -> Result<Parameters, Status> {
        self.stream.wait_begun()
    }

    /// What the page is, while it is scanned.
    pub fn parameters(&self) -> Option<Parameters> {
        if self.is_cancelled() { None } else { self.stream.parameters() }
    }

    /// See [`PageQueue::read`]. From `sane_cancel` on it is [`Status::Cancelled`].
    pub fn read(&self, buffer: &mut [MaybeUninit<u8>], wait: Wait) -> Result<usize, Status> {
        if self.is_cancelled() {
            return Err(Status::Cancelled);
        }
        self.stream.read(buffer, wait)
    }

    pub fn select_fd(&self) -> RawFd {
        self.stream.ready().descriptor()
    }

    /// Whether the application has nothing more to expect of it.
    pub fn is_over(&self) -> bool {
        self.is_cancelled() || self.stream.is_over()
    }

    /// Whether `sane_cancel` was called since `sane_start`.
    pub fn is_cancelled(&self) -> bool {
        self.slot.cancels() != self.cancels_before
    }

    /// Stops the reader, and then the driver; does nothing the second time.
    fn cancel(&self) {
        self.stream.stop();
        let driver = {
            let mut ending = self.ending.lock();
            if std::mem::replace(&mut ending.asked, true) {
                return;
            }
            ending.driver.clone()
        };
        self.told.notify_all();
        if let Some(driver) = driver {
            driver.cancel.cancel();
        }
    }

    /// The scanning thread need not wait for the next page any more: it is wanted.
    fn go_on(&self) {
        self.ending.lock().goes_on = true;
        self.told.notify_all();
    }

    /// Between two pages of a batch: waits until it is known whether there will be another.
    fn will_go_on(&self) -> bool {
        let mut ending = self.ending.lock();
        while !ending.asked && !ending.goes_on {
            self.told.wait(&mut ending);
        }
        !ending.asked
    }

    /// The driver stops cleaning up, and its session ends.
    fn abandon(&self) {
        let driver = self.ending.lock().driver.clone();
        if let Some(driver) = driver {
            driver.cancel.cancel();
            driver.lock.hang_up();
        }
    }

    /// This is how the driver is cancelled from here on.
    fn reach(&self, driver: CancelHandle) -> Result<(), Status> {
        let mut ending = self.ending.lock();
        if ending.asked {
            return Err(Status::Cancelled);
        }
        driver.cancel.reset();
        ending.driver = Some(driver);
        Ok(())
    }

    /// The watching thread: from one notification to the next.
    fn watch(&self) {
        while !self.done.load(Ordering::Acquire) {
            if self.is_cancelled() {
                return self.cancel();
            }
            self.slot.event_fd().wait();
        }
    }
}

/// The end of the scanning thread, however it comes: threads that wait for a page or for it are told.
#[derive(Debug)]
struct End {
    scan: Arc<Scan>,
    _finished: Sender<()>,
}

impl Drop for End {
    fn drop(&mut self) {
        // It stays as it ended, unless the thread panicked.
        self.scan.stream.end(Status::IoError);
        self.scan.done.store(true, Ordering::Release);
        self.scan.slot.event_fd().notify();
    }
}

/// The scanning thread. Without options there is no page, only a batch to be watched over.
fn work(mut engine: Engine, options: Option<&Options>, end: &End) -> Engine {
    let scan = &end.scan;
    if let Some(options) = options {
        let mut sink = Sink::new(&scan.stream);
        let status = engine.scan(options, &mut sink, &mut |driver| scan.reach(driver));
        scan.stream.end(if status == Status::Eof { sink.deliver() } else { status });
    }
    if engine.is_in_batch() && !scan.will_go_on() {
        engine.end_batch();
    }
    engine
}

/// What comes after a scan that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Perhaps the next page of the batch.
    NextPage,
    /// Nothing: a batch ends.
    Nothing,
}

/// A scan from `sane_start` to the next, or to `sane_close`.
#[derive(Debug)]
pub struct Job {
    /// The scan.
    pub scan: Arc<Scan>,
    /// Whether `sane_read` waits.
    pub wait: Wait,
    scanning: JoinHandle<Engine>,
    watching: JoinHandle<()>,
    /// Ends when the scanning thread does.
    finished: Receiver<()>,
}

impl Job {
    /// Begins a page; without options, only watches over the batch that the engine is in. Where the process has no
    /// descriptors or threads left, the engine comes back, if it can.
    pub fn begin(
        engine: Engine,
        options: Option<Options>,
        slot: &'static HandleSlot,
        cancels_before: u64,
    ) -> Result<Job, (Option<Engine>, Status)> {
        let Ok(stream) = PageQueue::new() else { return Err((Some(engine), Status::NoMem)) };
        if options.is_none() {
            stream.end(Status::Eof);
        }
        let done = AtomicBool::new(false);
        let scan = Scan { slot, cancels_before, stream, ending: Mutex::default(), told: Condvar::new(), done };
        let scan = Arc::new(scan);
        let watched = scan.clone();
        let Ok(watching) = threads::spawn("usbscan cancel", move || watched.watch()) else {
            return Err((Some(engine), Status::NoMem));
        };
        let (finish, finished) = channel();
        let end = End { scan: scan.clone(), _finished: finish };
        match threads::spawn("usbscan scan", move || work(engine, options.as_ref(), &end)) {
            Ok(scanning) => Ok(Job { scan, wait: Wait::ForBytes, scanning, watching, finished }),
            // The engine went with the thread that there is none of; and so did `end`, which ends the watching thread.
            Err(_) => Err((None, Status::NoMem)),
        }
    }

    /// Ends it, if it has not ended by itself, and waits for that. The engine comes back unless its thread panicked.
    pub fn finish(self, then: Then) -> Option<Engine> {
        if then == Then::Nothing || !self.scan.is_over() || self.scan.is_cancelled() {
            self.scan.cancel();
        }
        self.scan.go_on();
        if self.finished.recv_timeout(CLEAN_UP + GRACE) == Err(RecvTimeoutError::Timeout) {
            log::error!("the scanner does not stop; left to usbscand");
            self.scan.abandon();
        }
        let engine = self.scanning.join();
        let watched = self.watching.join();
        if engine.is_err() || watched.is_err() {
            log::error!("a thread of the scan panicked");
        }
        engine.ok()
    }
}

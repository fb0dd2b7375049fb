//! A driver's end of the cable: the transport that a driver under test is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use usbscan_client::wire::Pipe;
use usbscan_scan::{AbortStep, Cancel, ControlRequest, ReadEnd, Received, Transport, TransportError};

use super::rig::{BULK_IN, BULK_OUT, Reading, Rig, When};

/// Whoever holds it has the scanner; a test keeps one to look at it.
pub type Bench = Arc<Mutex<Rig>>;

/// A driver's end of the cable.
pub struct Cable {
    bench: Bench,
    cancel: Cancel,
    /// The transfer that was asked to end.
    interrupted: Arc<AtomicU64>,
}

impl Cable {
    pub fn new(bench: &Bench) -> Cable {
        let interrupted = Arc::new(AtomicU64::new(0));
        let cancel = Cancel::new({
            let interrupted = interrupted.clone();
            move |id| interrupted.store(id, Ordering::SeqCst)
        });
        Cable { bench: bench.clone(), cancel, interrupted }
    }

    /// One more transfer; the host may die before it, or be told to cancel.
    fn begin(&mut self) -> Result<u64, TransportError> {
        let mut rig = self.bench.lock();
        if rig.has_come(rig.die) {
            rig.dead = true;
        }
        if rig.dead {
            return Err(TransportError::NoDevice);
        }
        self.press(&mut rig);
        if rig.job_ended {
            return Err(TransportError::Cancelled);
        }
        rig.transfers += 1;
        let id = rig.transfers;
        drop(rig);
        self.cancel.starting(id)?;
        Ok(id)
    }

    /// The test's finger on the cancel button.
    fn press(&self, rig: &mut Rig) {
        if rig.has_come(rig.cancel) {
            rig.cancel = When::Never;
            self.cancel.cancel();
        }
    }
}

impl Transport for Cable {
    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), TransportError> {
        let id = self.begin()?;
        let result = self.bench.lock().write(bytes, timeout);
        self.cancel.ended(id);
        result
    }

    fn start_read(&mut self, length: usize, timeout: Duration) -> Result<(), TransportError> {
        let started = self.begin();
        let mut rig = self.bench.lock();
        assert!(rig.reading.is_none(), "one read at a time");
        let mut reading = Reading::new(0, length, timeout, rig.now);
        match started {
            Ok(id) => reading.id = id,
            Err(TransportError::Cancelled) => reading.refused = true,
            Err(error) => return Err(error),
        }
        rig.reading = Some(reading);
        Ok(())
    }

    fn finish_read(&mut self) -> Result<Received, TransportError> {
        let bench = self.bench.clone();
        let mut rig = bench.lock();
        let mut reading = rig.reading.take().expect("a read was started");
        if reading.refused {
            return Ok(Received { bytes: Bytes::new(), end: ReadEnd::Cancelled });
        }
        let id = reading.id;
        let cable = &*self;
        let result = rig.read(&mut reading, |rig| {
            cable.press(rig);
            let foreign = rig.has_come(rig.foreign_cancel);
            if foreign {
                rig.foreign_cancel = When::Never;
                rig.job_ended |= rig.foreign_cancel_ends_job;
            }
            rig.dead |= rig.has_come(rig.die);
            foreign || rig.dead || cable.interrupted.load(Ordering::SeqCst) == id
        });
        if rig.dead {
            return Err(TransportError::NoDevice);
        }
        drop(rig);
        self.cancel.ended(id);
        Ok(Received { bytes: reading.bytes.into(), end: result? })
    }

    fn cancel_read(&mut self) {
        if let Some(reading) = &self.bench.lock().reading {
            self.interrupted.store(reading.id, Ordering::SeqCst);
        }
    }

    fn control(&mut self, _request: &ControlRequest, _timeout: Duration) -> Result<Bytes, TransportError> {
        Err(TransportError::NotSupported { tried: "control request" })
    }

    fn wait_event(&mut self, _timeout: Duration) -> Result<Bytes, TransportError> {
        Err(TransportError::NotSupported { tried: "event" })
    }

    fn clear_halt(&mut self, pipe: Pipe) -> Result<(), TransportError> {
        let id = self.begin()?;
        let mut rig = self.bench.lock();
        match pipe {
            Pipe::Read => {
                rig.frozen = false;
                rig.carry.clear();
                rig.link.clear_halt(BULK_IN);
            }
            _ => rig.link.clear_halt(BULK_OUT),
        }
        drop(rig);
        self.cancel.ended(id);
        Ok(())
    }

    fn recover(&mut self) -> Result<(), TransportError> {
        let id = self.begin()?;
        self.bench.lock().recover();
        self.cancel.ended(id);
        Ok(())
    }

    fn await_recovery(&mut self) -> Result<(), TransportError> {
        self.cancel.acknowledge();
        let mut rig = self.bench.lock();
        rig.recover();
        (rig.armed, rig.touched, rig.job_ended) = (None, false, false);
        Ok(())
    }

    fn arm_abort(&mut self, steps: Vec<AbortStep>, settle: Option<Duration>) -> Result<(), TransportError> {
        let id = self.begin()?;
        let mut rig = self.bench.lock();
        (rig.armed, rig.settle, rig.touched) = (Some(steps), settle, false);
        drop(rig);
        self.cancel.ended(id);
        Ok(())
    }

    fn disarm_abort(&mut self) -> Result<(), TransportError> {
        match self.begin() {
            Ok(id) => self.cancel.ended(id),
            Err(TransportError::Cancelled) => {}
            Err(error) => return Err(error),
        }
        let mut rig = self.bench.lock();
        (rig.armed, rig.touched) = (None, false);
        Ok(())
    }

    fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }
}

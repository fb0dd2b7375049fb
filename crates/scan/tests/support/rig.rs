//! A scanner, its cable, and a host that may die: what the daemon does to transfers, on a clock that jumps.

use std::time::{Duration, Instant};

use usbscan_scan::{AbortStep, ReadEnd, TransportError};
use usbscan_usb::{EndpointAddress, TransferStatus};
use usbscan_virtual::{Completed, Event, Link, LinkProgress, Model, Urb, UrbId};

pub(super) const BULK_IN: EndpointAddress = EndpointAddress(0x81);
pub(super) const BULK_OUT: EndpointAddress = EndpointAddress(0x02);
const PACKET: usize = 512;

/// When a test wants something to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Never,
    /// Before the Nth transfer, counted from 0.
    Transfer(u64),
    /// When the clock says so.
    At(Duration),
}

/// A scanner, its cable, and a host that may die.
pub struct Rig {
    pub(super) link: Link,
    began: Instant,
    pub(super) now: Instant,
    next_id: u64,
    pub(super) carry: Vec<u8>,
    carry_ends_short: bool,
    pub(super) frozen: bool,
    pub(super) reading: Option<Reading>,
    /// All that was written, a transfer each.
    pub written: Vec<Vec<u8>>,
    pub received: u64,
    pub transfers: u64,
    pub armed: Option<Vec<AbortStep>>,
    /// For how long it may be silent in the phase that was armed last.
    pub settle: Option<Duration>,
    /// What that was at each write, in seconds, 1 where nothing was said.
    pub settled: Vec<u64>,
    /// It was written to since the daemon was last told where it stands: should its user end now, the daemon has to see to it.
    pub touched: bool,
    /// The host is dead: nothing reaches the scanner any more.
    pub dead: bool,
    pub die: When,
    pub cancel: When,
    /// Somebody else's, of the read under way.
    pub foreign_cancel: When,
    /// It is a `cancel-pending`: from then on all is cancelled, until the driver says that it knows.
    pub foreign_cancel_ends_job: bool,
    pub(super) job_ended: bool,
    pub resets: u32,
    /// What the last recovery wrote.
    pub recovered_with: Vec<Vec<u8>>,
    pub refuses_reset: bool,
    pub most_read: usize,
}

pub(super) struct Reading {
    pub(super) id: u64,
    length: usize,
    timeout: Duration,
    started: Instant,
    urb: Option<UrbId>,
    pub(super) bytes: Vec<u8>,
    pub(super) refused: bool,
}

/// What a client that died had read of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    All,
    AllButTheLast,
    Nothing,
}

impl Read {
    pub const EACH: [Read; 3] = [Read::All, Read::AllButTheLast, Read::Nothing];
}

impl Rig {
    pub fn new(model: Box<dyn Model>) -> Rig {
        let now = Instant::now();
        Rig {
            link: Link::new(model),
            began: now,
            now,
            next_id: 1,
            carry: Vec::new(),
            carry_ends_short: false,
            frozen: false,
            reading: None,
            written: Vec::new(),
            received: 0,
            transfers: 0,
            armed: None,
            settle: None,
            settled: Vec::new(),
            touched: false,
            dead: false,
            die: When::Never,
            cancel: When::Never,
            foreign_cancel: When::Never,
            foreign_cancel_ends_job: false,
            job_ended: false,
            resets: 0,
            recovered_with: Vec::new(),
            refuses_reset: false,
            most_read: 0,
        }
    }

    pub(super) fn has_come(&self, when: When) -> bool {
        match when {
            When::Never => false,
            When::Transfer(n) => self.transfers >= n,
            When::At(time) => self.now - self.began >= time,
        }
    }

    /// Whether a read was started and not finished.
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Since the rig was built.
    pub fn clock(&self) -> Duration {
        self.now - self.began
    }

    /// The client is dead, the daemon has done what it does for the dead: nothing if nothing is armed.
    pub fn bury(&mut self) {
        (self.die, self.cancel, self.dead) = (When::Never, When::Never, false);
        self.reading = None;
        self.carry.clear();
        if let Some(steps) = self.armed.take() {
            let as_expected = self.run_steps(&steps);
            assert!(as_expected, "the scanner shows that the steps have worked: {steps:?}");
        }
        self.carry.clear();
    }

    /// The next moment at which a test wants something.
    fn appointment(&self) -> Option<Instant> {
        let at = |when| if let When::At(at) = when { Some(self.began + at) } else { None };
        [self.cancel, self.foreign_cancel, self.die].into_iter().filter_map(at).min()
    }

    fn submit(&mut self, endpoint: EndpointAddress, buffer: Vec<u8>) -> UrbId {
        let id = UrbId(self.next_id);
        self.next_id += 1;
        self.link.submit(Urb { id, endpoint, buffer: buffer.into() });
        id
    }

    fn given(&mut self, wanted: UrbId) -> Option<Completed> {
        while let Some(event) = self.link.event() {
            match event {
                Event::Completed(given) if given.id == wanted => return Some(given),
                Event::Completed(_) | Event::Unplugged | Event::Moved(_) => {}
            }
        }
        None
    }

    /// Runs the scanner until a transfer comes back, or the deadline is there, or `stop` says so.
    fn run(
        &mut self,
        id: UrbId,
        deadline: Instant,
        mut stop: impl FnMut(&mut Rig) -> bool,
    ) -> Result<Completed, Completed> {
        loop {
            let turn = self.link.step(self.now);
            if let Some(given) = self.given(id) {
                return Ok(given);
            }
            let stopped = stop(self);
            if stopped || self.now >= deadline {
                return Err(self.ask_back(id));
            }
            if let LinkProgress::Wait(until) = turn {
                // Where the clock jumps, the finger on the button must not be jumped over.
                let appointment = self.appointment().map(|at| at.max(self.now));
                let deadline = appointment.map_or(deadline, |at| deadline.min(at));
                self.now = until.map_or(deadline, |until| until.clamp(self.now + Duration::from_micros(1), deadline));
            }
        }
    }

    /// Some hosts are slow to give a transfer back; from one that never does there is nothing more to be had.
    fn ask_back(&mut self, id: UrbId) -> Completed {
        self.link.cancel(self.now, id);
        for _ in 0..100_000 {
            if let Some(given) = self.given(id) {
                return given;
            }
            if let LinkProgress::Wait(None) = self.link.step(self.now) {
                break;
            }
            self.now += Duration::from_millis(1);
        }
        self.link.unplug();
        self.given(id).expect("an unplug gives everything back")
    }

    pub fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), TransportError> {
        self.now += Duration::from_micros(100);
        self.written.push(bytes.to_vec());
        self.settled.push(self.settle.map_or(1, |settle| settle.as_secs()));
        self.touched = true;
        let id = self.submit(BULK_OUT, bytes.to_vec());
        let deadline = self.now + timeout;
        match self.run(id, deadline, |_| false) {
            Ok(given) => status("write", given.status),
            Err(given) if given.status == TransferStatus::NoDevice => Err(TransportError::NoDevice),
            Err(_) => Err(TransportError::Timeout { tried: "write", after: timeout }),
        }
    }

    pub(super) fn read(
        &mut self,
        reading: &mut Reading,
        mut stop: impl FnMut(&mut Rig) -> bool,
    ) -> Result<ReadEnd, TransportError> {
        self.now += Duration::from_micros(100);
        let deadline = reading.started + reading.timeout;
        loop {
            if !self.carry.is_empty() {
                let take = self.carry.len().min(reading.length - reading.bytes.len());
                reading.bytes.extend(self.carry.drain(..take));
                if self.carry.is_empty() && self.carry_ends_short {
                    return Ok(ReadEnd::Done);
                }
            }
            if reading.bytes.len() == reading.length {
                return Ok(ReadEnd::Done);
            }
            if self.frozen {
                return Err(TransportError::Stall { tried: "read" });
            }
            if stop(self) {
                return Ok(ReadEnd::Cancelled);
            }
            let room = (reading.length - reading.bytes.len()).next_multiple_of(PACKET);
            self.most_read = self.most_read.max(room);
            let id = self.submit(BULK_IN, vec![0; room]);
            reading.urb = Some(id);
            let mut cancelled = false;
            let ended = self.run(id, deadline, |rig| {
                cancelled = stop(rig);
                cancelled
            });
            let (given, timed_out) = match ended {
                Ok(given) => (given, false),
                Err(given) => (given, !cancelled),
            };
            self.received += given.actual as u64;
            let wanted = reading.length - reading.bytes.len();
            let bytes = given.buffer.bytes_in(0..given.actual);
            reading.bytes.extend(&bytes[..wanted.min(bytes.len())]);
            self.carry.extend(&bytes[wanted.min(bytes.len())..]);
            self.carry_ends_short = given.actual < room;
            match given.status {
                TransferStatus::Completed => return Ok(ReadEnd::Done),
                _ if reading.bytes.len() == reading.length => return Ok(ReadEnd::Done),
                TransferStatus::Cancelled if timed_out => return Ok(ReadEnd::TimedOut),
                TransferStatus::Cancelled => return Ok(ReadEnd::Cancelled),
                other => {
                    self.frozen = true;
                    status("read", other)?;
                }
            }
        }
    }

    /// What the daemon does for somebody's cancel, or when a driver asks for it: what is armed, then a port reset where that does
    /// not help.
    pub fn recover(&mut self) {
        let before = self.written.len();
        self.run_ladder();
        self.recovered_with = self.written[before..].to_vec();
    }

    fn run_ladder(&mut self) {
        let steps = self.armed.clone().unwrap_or_default();
        self.carry.clear();
        if !steps.is_empty() && self.run_steps(&steps) || self.refuses_reset {
            return;
        }
        self.resets += 1;
        self.frozen = false;
        self.carry.clear();
        self.link.reset();
        self.run_steps(&steps);
        self.carry.clear();
    }

    /// What the daemon does when the session of a dead client is armed. Whether what was expected came.
    pub fn run_steps(&mut self, steps: &[AbortStep]) -> bool {
        let mut as_expected = true;
        for step in steps {
            match step {
                AbortStep::Write { endpoint: None, bytes, timeout } => {
                    let _ = self.write(&bytes.0, ms(*timeout));
                }
                AbortStep::Read { endpoint: None, length, timeout, expect } => {
                    as_expected &= self.take(*length as usize, ms(*timeout)).ends_with(&expect.0);
                }
                AbortStep::Drain { endpoint: None, quiet, timeout } => {
                    let deadline = self.now + ms(*timeout);
                    while self.now < deadline && !self.take(64 * 1024, ms(*quiet)).is_empty() {}
                }
                other => panic!("not needed here: {other:?}"),
            }
        }
        as_expected
    }

    /// Reads up to so many bytes.
    pub fn take(&mut self, length: usize, timeout: Duration) -> Vec<u8> {
        let mut reading = Reading::new(0, length, timeout, self.now);
        let _ = self.read(&mut reading, |_| false);
        reading.bytes
    }

    /// Everything that it wants to say.
    pub fn hear_out(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.take(64 * 1024, Duration::from_secs(1));
            if bytes.is_empty() {
                return all;
            }
            all.extend(bytes);
        }
    }

    /// What a client does that dies in the middle of this dialogue: says all of it, a transfer each, then `last`, which may be
    /// cut, having read so much of the answers.
    pub fn die_in_the_middle(&mut self, said: &[Vec<u8>], last: &[u8], read: Read) {
        for bytes in said {
            // A scanner that takes it for nonsense may stall.
            let _ = self.write(bytes, Duration::from_secs(1));
            if read != Read::Nothing {
                self.hear_out();
            }
        }
        let _ = self.write(last, Duration::from_secs(1));
        if read == Read::All {
            self.hear_out();
        }
    }

    /// ESC @ is answered by one ACK, and there was nothing before it.
    pub fn is_idle(&mut self) -> bool {
        let before = self.hear_out();
        let written = self.write(b"\x1b@", Duration::from_secs(1));
        let answer = self.hear_out();
        before.is_empty() && written.is_ok() && answer == [0x06]
    }
}

impl Reading {
    pub(super) fn new(id: u64, length: usize, timeout: Duration, started: Instant) -> Reading {
        Reading { id, length, timeout, started, urb: None, bytes: Vec::new(), refused: false }
    }
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

fn status(tried: &'static str, status: TransferStatus) -> Result<(), TransportError> {
    match status {
        TransferStatus::Completed => Ok(()),
        TransferStatus::Cancelled => Err(TransportError::Cancelled),
        TransferStatus::Stall => Err(TransportError::Stall { tried }),
        TransferStatus::Overflow => Err(TransportError::Overrun),
        TransferStatus::Error => Err(TransportError::Bus { tried }),
        TransferStatus::NoDevice => Err(TransportError::NoDevice),
    }
}

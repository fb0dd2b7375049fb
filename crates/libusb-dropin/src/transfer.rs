//! A synchronous transfer under way: what is asked of the daemon, one request after another where libusb's one call is longer
//! than a request may be, and what comes of it. Nothing in here waits.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libc::pollfd;
use usbscan_wire::{Answer, Command, MAX_TIMEOUT_SECONDS, PAYLOAD_LIMIT, Status};

use crate::abi;
use crate::connection::{Call, Connection};
use crate::host;
use crate::status;

/// Seconds that a cancelled thread waits for the end of its request before it leaves that to the daemon.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// The program's buffer. Only [`Transfer::advance`] touches it, on the thread that is inside the program's call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerBuffer {
    data: *mut u8,
    length: usize,
}

impl CallerBuffer {
    /// The buffer of a call.
    ///
    /// # Safety
    /// `data` has `length` bytes for as long as the call lasts, and nobody else touches them.
    pub unsafe fn new(data: *mut u8, length: usize) -> CallerBuffer {
        CallerBuffer { data, length: if data.is_null() { 0 } else { length } }
    }

    fn part(&self, from: usize, most: usize) -> Vec<u8> {
        let from = from.min(self.length);
        let count = (self.length - from).min(most);
        let mut part = vec![0; count];
        // SAFETY: `from` is inside the buffer or at its end.
        let source = unsafe { self.data.add(from) };
        if count > 0 {
            // SAFETY: `count` bytes are left behind `from`, and `part` is ours.
            unsafe { std::ptr::copy_nonoverlapping(source, part.as_mut_ptr(), count) };
        }
        part
    }

    /// Copies bytes into it, as many as fit; says whether all did.
    fn fill(&self, from: usize, bytes: &[u8]) -> bool {
        let from = from.min(self.length);
        let count = bytes.len().min(self.length - from);
        // SAFETY: `from` is inside the buffer or at its end.
        let target = unsafe { self.data.add(from) };
        if count > 0 {
            // SAFETY: `count` bytes have room behind `from`, and the program lends the buffer for the call.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, count) };
        }
        count == bytes.len()
    }
}

/// Which request moves the bytes of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bulk in.
    Read,
    /// Interrupt in, a packet a request.
    Event,
    /// Bulk or interrupt out.
    Write,
}

/// What is to be moved.
#[derive(Debug, Clone)]
pub(crate) enum TransferTarget {
    /// Bulk or interrupt.
    Pipe {
        /// Its address.
        endpoint: u8,
        /// What it is.
        kind: Kind,
        /// Its largest packet: a transfer that brings a whole number of these goes on.
        packet: usize,
    },
    /// Control; the command is complete but for its timeout.
    Control(Command),
}

/// How a transfer has ended: libusb's code, and the bytes that moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// 0 or an error.
    pub code: c_int,
    /// Bytes.
    pub moved: usize,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Transfer {
    connection: Arc<Connection>,
    job: TransferTarget,
    buffer: CallerBuffer,
    moved: usize,
    /// `None`: no timeout.
    deadline: Option<Instant>,
    /// The request that is out, and the bytes that it is for.
    call: Option<(Call, usize)>,
}

impl Transfer {
    /// Sends the first request.
    ///
    /// # Errors
    /// `NO_DEVICE` when the connection has ended.
    pub fn start(
        connection: Arc<Connection>,
        job: TransferTarget,
        buffer: CallerBuffer,
        timeout: abi::Milliseconds,
    ) -> Result<Transfer, c_int> {
        let deadline = (timeout > 0).then(|| Instant::now() + Duration::from_millis(timeout.into()));
        let mut transfer = Transfer { connection, job, buffer, moved: 0, deadline, call: None };
        transfer.ask()?;
        Ok(transfer)
    }

    fn ask(&mut self) -> Result<(), c_int> {
        if host::refuses() {
            self.connection.note_unfinished(true);
            return Err(abi::ERROR_IO);
        }
        let most = f64::from(MAX_TIMEOUT_SECONDS);
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64());
        // Infinity is no timeout.
        let timeout = Some(left.map_or(f64::INFINITY, |left| left.min(most)));
        let length = (self.buffer.length - self.moved).min(PAYLOAD_LIMIT);
        let (command, payload) = match &self.job {
            TransferTarget::Pipe { endpoint, kind, .. } => {
                let endpoint = Some(*endpoint);
                match kind {
                    Kind::Read => {
                        let length = length as u32;
                        (Command::Read { endpoint, length, offset: None, return_partial: false, timeout }, Vec::new())
                    }
                    Kind::Event => (Command::WaitEvent { endpoint, timeout }, Vec::new()),
                    Kind::Write => {
                        let write = Command::Write { endpoint, offset: None, length: 0, zero_packet: false, timeout };
                        (write, self.buffer.part(self.moved, length))
                    }
                }
            }
            TransferTarget::Control(command) => {
                let mut command = command.clone();
                let mut payload = Vec::new();
                if let Command::UsbRequest { timeout: seconds, direction, .. } = &mut command {
                    *seconds = timeout;
                    if *direction == usbscan_wire::ControlDirection::Out {
                        payload = self.buffer.part(0, self.buffer.length);
                    }
                }
                (command, payload)
            }
        };
        let call = self.connection.start(&command, &payload).map_err(crate::session::gone)?;
        if host::refuses() {
            // Since a moment ago: whoever set that may have looked for what is pending before this was.
            let cancel = Command::CancelRequest { request: call.id(), session: None };
            let _ = self.connection.start(&cancel, &[]);
        }
        self.call = Some((call, length));
        Ok(())
    }

    /// Takes what has come. `None`: there is more to wait for.
    pub fn advance(&mut self) -> Option<Ended> {
        loop {
            let Some((call, length)) = &mut self.call else { return Some(self.ended(abi::ERROR_OTHER)) };
            let length = *length;
            let answer = match call.poll() {
                Ok(None) => return None,
                Ok(Some(answer)) => answer,
                Err(gone) => return Some(Ended { code: crate::session::gone(gone), moved: 0 }),
            };
            self.call = None;
            if let Some(ended) = self.take(&answer, length) {
                return Some(ended);
            }
            if let Err(code) = self.ask() {
                return Some(self.ended(code));
            }
        }
    }

    fn ended(&self, code: c_int) -> Ended {
        Ended { code, moved: self.moved }
    }

    /// Understands an answer. `None`: libusb's call goes on with another request.
    fn take(&mut self, answer: &Answer, asked: usize) -> Option<Ended> {
        let code = status::code(answer.status);
        let mut fits = true;
        let moved = match &self.job {
            TransferTarget::Pipe { kind: Kind::Write, .. } => answer.information as usize,
            TransferTarget::Control(Command::UsbRequest { direction: usbscan_wire::ControlDirection::Out, .. }) => {
                answer.information as usize
            }
            _ => {
                fits = self.buffer.fill(self.moved, &answer.payload);
                answer.payload.len()
            }
        };
        // A scanner that takes bytes has not shown that it is in order; one that sends some has.
        let is_read = !matches!(
            self.job,
            TransferTarget::Pipe { kind: Kind::Write, .. }
                | TransferTarget::Control(Command::UsbRequest { direction: usbscan_wire::ControlDirection::Out, .. })
        );
        match answer.status {
            Status::Cancelled => {
                self.connection.note_unfinished(true);
                host::count_cancelled();
            }
            // More than was asked for: the program and its scanner are not at the same place.
            Status::Overrun => self.connection.note_unfinished(true),
            Status::Success if is_read && moved > 0 => self.connection.note_unfinished(false),
            _ => {}
        }
        if answer.status == Status::Success {
            host::count_completed();
        }
        self.moved = (self.moved + moved).min(self.buffer.length);
        if !fits {
            return Some(self.ended(abi::ERROR_OVERFLOW));
        }
        match answer.status {
            // An answer says 0 then, and what had moved before in this call has gone with it.
            Status::Cancelled | Status::NoDevice => Some(Ended { code, moved: 0 }),
            // The daemon's longest time was up, not the program's.
            Status::Timeout if self.goes_on_after_timeout() => None,
            Status::Success if self.goes_on(moved, asked) => None,
            _ => Some(self.ended(code)),
        }
    }

    fn goes_on_after_timeout(&self) -> bool {
        let is_over = self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        !is_over && matches!(self.job, TransferTarget::Pipe { .. }) && self.moved < self.buffer.length
    }

    /// Whether a request that succeeded was only a part: it was as long as requests may be, or a full packet of an interrupt
    /// endpoint with room for more behind it.
    fn goes_on(&self, moved: usize, asked: usize) -> bool {
        if self.moved >= self.buffer.length || moved == 0 {
            return false;
        }
        match &self.job {
            TransferTarget::Pipe { kind: Kind::Event, packet, .. } => moved == *packet,
            TransferTarget::Pipe { .. } => moved == asked,
            TransferTarget::Control(_) => false,
        }
    }

    /// What to poll until [`Transfer::advance`] may bring something.
    pub fn poll_fds(&self) -> Option<[pollfd; 2]> {
        self.call.as_ref().map(|(call, _)| call.ready())
    }
}

/// The thread was cancelled while it waited: the daemon ends the request, so that the scanner is not left with it.
impl Drop for Transfer {
    fn drop(&mut self) {
        let Some((call, _)) = &mut self.call else { return };
        let cancel = Command::CancelRequest { request: call.id(), session: None };
        // Its answer comes after the request's.
        if let Ok(mut cancel) = self.connection.start(&cancel, &[]) {
            // Without an answer in time the daemon goes on by itself.
            let _ = cancel.wait_until(Instant::now() + CANCEL_LIMIT);
        }
    }
}

//! An endpoint and what is in flight on it. The pipe's worker owns it.
//!
//! Cancelling a transfer may take as long as the host controller takes to stop it, and with a sick controller that is for
//! ever: Linux waits in the kernel, where nothing can be interrupted. So a thread of its own, `cancel usbscanN/EE`, cancels
//! and has the endpoint for that time; the worker goes on with completions and deadlines, and its watchdog notices if the
//! endpoint does not come back. Still nobody submits and cancels at the same time.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use usbscan_usb::{Buffer, Cancel, Completion, Endpoint, ErrorKind, Rejected, Token};

use crate::capture::Tap;
use crate::pipe::queue::Ticket;

/// How long the host may take to give back a cancelled transfer, before the device counts as host-stuck.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(5);

/// How long an "error" may turn out to have been the first sign of unplugging (docs/usb-engine.md, "Unplugging").
pub(super) const DISCONNECT_GRACE: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct InFlight {
    token: Token,
    /// Its number in captures.
    urb: u64,
    /// Bytes that the request wanted of it; the buffer may be longer.
    length: usize,
    cancelled_at: Option<Instant>,
}

/// Where the endpoint is.
enum EndpointState {
    Available(Box<dyn Endpoint>),
    /// With the cancel thread.
    Cancelling,
    Abandoned,
}

/// The endpoint, back from a cancel.
pub(super) struct ReturnedEndpoint {
    endpoint: Box<dyn Endpoint>,
    gone: bool,
}

struct CancelThread {
    work: Sender<(Box<dyn Endpoint>, Vec<Token>)>,
    thread: JoinHandle<()>,
}

/// See the head of this file.
pub(super) struct EndpointIo {
    name: String,
    state: EndpointState,
    cancel_thread: Option<CancelThread>,
    /// To be cancelled as soon as the endpoint is available.
    to_cancel: Vec<Token>,
    returned: (Sender<ReturnedEndpoint>, Receiver<ReturnedEndpoint>),
    completions: Receiver<Completion>,
    in_flight: Vec<InFlight>,
    packet: usize,
    return_timeout: Duration,
    tap: Option<Tap>,
}

/// A transfer that came back.
#[derive(Debug)]
pub(super) struct Completed {
    pub ticket: Ticket,
    /// Bytes that the request wanted of it.
    pub length: usize,
    pub completion: Completion,
}

impl EndpointIo {
    /// `patience` is what the watchdog has; [`WATCHDOG`] but in tests.
    pub fn new(
        name: String,
        endpoint: Box<dyn Endpoint>,
        completions: Receiver<Completion>,
        return_timeout: Duration,
    ) -> EndpointIo {
        let packet = endpoint.max_packet_size().max(1);
        let (state, returned) = (EndpointState::Available(endpoint), unbounded());
        let (to_cancel, in_flight) = (Vec::new(), Vec::new());
        EndpointIo {
            name,
            state,
            cancel_thread: None,
            to_cancel,
            returned,
            completions,
            in_flight,
            packet,
            return_timeout,
            tap: None,
        }
    }

    /// Records what is submitted and what comes back.
    pub fn with_tap(mut self, tap: Tap) -> EndpointIo {
        self.tap = Some(tap);
        self
    }

    /// Where transfers come back.
    pub fn completions(&self) -> &Receiver<Completion> {
        &self.completions
    }

    /// Where the endpoint comes back.
    pub fn returned_endpoints(&self) -> &Receiver<ReturnedEndpoint> {
        &self.returned.1
    }

    /// The endpoint's largest packet, at least 1.
    pub fn packet(&self) -> usize {
        self.packet
    }

    /// Whether nothing is in flight, and the endpoint is here.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.is_available()
    }

    /// Whether a transfer is in flight. The endpoint may be away without one: its asking goes on for a moment longer.
    pub fn has_transfers(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Whether a transfer can be started now.
    pub fn is_available(&self) -> bool {
        !matches!(self.state, EndpointState::Cancelling)
    }

    /// Starts a transfer. The endpoint is here.
    ///
    /// # Errors
    /// As the endpoint refused it; [`ErrorKind::NoDevice`] after [`EndpointIo::cut`].
    pub fn submit(&mut self, ticket: Ticket, length: usize, buffer: Buffer) -> Result<(), Rejected> {
        let token = Token(ticket.0);
        let EndpointState::Available(endpoint) = &mut self.state else {
            let error = usbscan_usb::Error::new(ErrorKind::NoDevice, "submit");
            return Err(Rejected { error, buffer });
        };
        let urb = self.tap.as_ref().map_or(0, |tap| tap.submit(&buffer));
        if let Err(rejected) = endpoint.submit(token, buffer) {
            self.tap.iter().for_each(|tap| tap.rejected(urb, &rejected.buffer));
            return Err(rejected);
        }
        self.in_flight.push(InFlight { token, urb, length, cancelled_at: None });
        Ok(())
    }

    /// Asks for transfers back, in this order; their completions are still owed.
    pub fn cancel(&mut self, tickets: &[Ticket]) {
        for ticket in tickets {
            let token = Token(ticket.0);
            if let Some(transfer) = self.in_flight.iter_mut().find(|transfer| transfer.token == token) {
                transfer.cancelled_at.get_or_insert_with(Instant::now);
                self.to_cancel.push(token);
            }
        }
        self.cancel_next();
    }

    /// Asks for everything back, newest first.
    pub fn cancel_all_in_flight(&mut self) {
        let tickets: Vec<Ticket> = self.in_flight.iter().rev().map(|transfer| Ticket(transfer.token.0)).collect();
        self.cancel(&tickets);
    }

    fn cancel_next(&mut self) {
        if self.to_cancel.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.state, EndpointState::Cancelling) {
            EndpointState::Available(endpoint) => {
                let tokens = std::mem::take(&mut self.to_cancel);
                self.send_to_cancel(endpoint, tokens);
            }
            elsewhere => self.state = elsewhere,
        }
    }

    fn send_to_cancel(&mut self, endpoint: Box<dyn Endpoint>, tokens: Vec<Token>) {
        if self.cancel_thread.is_none() {
            self.cancel_thread = CancelThread::start(&self.name, self.returned.0.clone());
        }
        match &self.cancel_thread {
            Some(cancel_thread) => {
                cancel_thread.work.send((endpoint, tokens)).expect("the cancel thread outlives its endpoint")
            }
            // No thread to be had: then here, and the watchdog has to wait with us.
            None => {
                let returned = cancel_all(endpoint, &tokens);
                self.returned.0.send(returned).expect("the endpoint keeps both ends");
            }
        }
    }

    /// The endpoint is back. Says whether the device turned out to be gone.
    pub fn endpoint_returned(&mut self, returned: ReturnedEndpoint) -> bool {
        let ReturnedEndpoint { endpoint, gone } = returned;
        self.state = EndpointState::Available(endpoint);
        self.to_cancel.retain(|token| self.in_flight.iter().any(|transfer| transfer.token == *token));
        self.cancel_next();
        gone
    }

    /// Takes note of a transfer that came back.
    pub fn completed(&mut self, completion: Completion) -> Option<Completed> {
        let at = self.in_flight.iter().position(|transfer| transfer.token == completion.token)?;
        let transfer = self.in_flight.remove(at);
        self.tap.iter().for_each(|tap| tap.completed(transfer.urb, &completion));
        Some(Completed { ticket: Ticket(transfer.token.0), length: transfer.length, completion })
    }

    /// When a cancelled transfer is overdue, if one is cancelled.
    pub fn overdue_at(&self) -> Option<Instant> {
        self.in_flight
            .iter()
            .filter_map(|transfer| transfer.cancelled_at)
            .min()
            .map(|cancelled| cancelled + self.return_timeout)
    }

    /// The watchdog has spoken: nothing is asked for any more.
    pub fn stop_the_watchdog(&mut self) {
        self.to_cancel.clear();
        self.in_flight.iter_mut().for_each(|transfer| transfer.cancelled_at = None);
    }

    /// Gives the endpoint up. Nothing is in flight.
    pub fn abandon(&mut self) {
        debug_assert!(self.is_quiet());
        self.state = EndpointState::Abandoned;
    }

    /// The device was opened anew: transfers go to this endpoint from now on. Nothing is in flight.
    pub fn replace(&mut self, endpoint: Box<dyn Endpoint>, completions: Receiver<Completion>, tap: Tap) {
        debug_assert!(self.is_quiet());
        self.packet = endpoint.max_packet_size().max(1);
        self.state = EndpointState::Available(endpoint);
        self.completions = completions;
        self.tap = Some(tap);
    }

    /// Clears the halt.
    ///
    /// # Errors
    /// As the endpoint says; [`ErrorKind::InvalidParameter`] while something is in flight, and [`ErrorKind::NoDevice`]
    /// after [`EndpointIo::cut`].
    pub fn clear_halt(&mut self) -> Result<(), usbscan_usb::Error> {
        let error = |kind| Err(usbscan_usb::Error::new(kind, "clear a halt"));
        match &mut self.state {
            EndpointState::Available(endpoint) if self.in_flight.is_empty() => endpoint.clear_halt(),
            EndpointState::Available(_) | EndpointState::Cancelling => error(ErrorKind::InvalidParameter),
            EndpointState::Abandoned => error(ErrorKind::NoDevice),
        }
    }
}

impl Drop for EndpointIo {
    fn drop(&mut self) {
        let Some(CancelThread { work, thread }) = self.cancel_thread.take() else { return };
        drop(work);
        // While it is asking it may take for ever, and only a bus that was torn down under us drops the line then.
        if self.is_available() && thread.join().is_err() {
            log::error!("the thread \"{}\" panicked", self.name);
        }
    }
}

impl CancelThread {
    fn start(name: &str, returned: Sender<ReturnedEndpoint>) -> Option<CancelThread> {
        let (work, todo) = unbounded::<(Box<dyn Endpoint>, Vec<Token>)>();
        let run = move || {
            for (endpoint, tokens) in todo {
                // The line may have been dropped meanwhile.
                let _ = returned.send(cancel_all(endpoint, &tokens));
            }
        };
        match std::thread::Builder::new().name(format!("cancel {name}")).spawn(run) {
            Ok(thread) => Some(CancelThread { work, thread }),
            Err(error) => {
                log::warn!("start a thread for cancels: {error}");
                None
            }
        }
    }
}

fn cancel_all(mut endpoint: Box<dyn Endpoint>, tokens: &[Token]) -> ReturnedEndpoint {
    let gone = tokens.iter().filter(|token| endpoint.cancel(**token) == Cancel::NoDevice).count();
    ReturnedEndpoint { endpoint, gone: gone > 0 }
}

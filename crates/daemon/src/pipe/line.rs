//! An endpoint and what is in flight on it. The pipe's worker owns it.
//!
//! Asking for a transfer back may take as long as the host controller takes to stop it, and with a sick controller that
//! is for ever: Linux waits in the kernel, where nothing can be cancelled. So the asking is done by a thread of its own,
//! `ask usbscanN/EE`, which has the endpoint for that time; the worker goes on with completions and deadlines, and
//! its watchdog notices if the endpoint does not come back. Still nobody submits and asks at the same time.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use usbscan_usb::{Buffer, Cancel, Completion, Endpoint, ErrorKind, Rejected, Token};

use crate::capture::Tap;
use crate::queue::Ticket;

/// How long the host may take to give back a transfer that was asked back, before the device counts as wedged.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(5);

/// How long an "error" may turn out to have been the first sign of unplugging (docs/usb-engine.md, "Unplugging").
pub(super) const DOUBT: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Flight {
    token: Token,
    /// Its number in captures.
    urb: u64,
    /// Bytes that the request wanted of it; the buffer may be longer.
    length: usize,
    asked_back: Option<Instant>,
}

/// Where the endpoint is.
enum Place {
    Here(Box<dyn Endpoint>),
    /// With the thread that asks.
    Away,
    /// Given up.
    Cut,
}

/// The endpoint, back from asking.
pub(super) struct Back {
    endpoint: Box<dyn Endpoint>,
    gone: bool,
}

struct Asker {
    work: Sender<(Box<dyn Endpoint>, Vec<Token>)>,
    thread: JoinHandle<()>,
}

/// See the head of this file.
pub(super) struct Line {
    name: String,
    place: Place,
    asker: Option<Asker>,
    /// What is to be asked for as soon as the endpoint is here.
    to_ask: Vec<Token>,
    back: (Sender<Back>, Receiver<Back>),
    completions: Receiver<Completion>,
    flights: Vec<Flight>,
    packet: usize,
    patience: Duration,
    tap: Option<Tap>,
}

/// A transfer that came back.
#[derive(Debug)]
pub(super) struct Landed {
    pub ticket: Ticket,
    /// Bytes that the request wanted of it.
    pub length: usize,
    pub completion: Completion,
}

impl Line {
    /// `patience` is what the watchdog has; [`WATCHDOG`] but in tests.
    pub fn new(
        name: String,
        endpoint: Box<dyn Endpoint>,
        completions: Receiver<Completion>,
        patience: Duration,
    ) -> Line {
        let packet = endpoint.max_packet_size().max(1);
        let (place, back) = (Place::Here(endpoint), unbounded());
        let (to_ask, flights) = (Vec::new(), Vec::new());
        Line { name, place, asker: None, to_ask, back, completions, flights, packet, patience, tap: None }
    }

    /// Records what is submitted and what comes back.
    pub fn with_tap(mut self, tap: Tap) -> Line {
        self.tap = Some(tap);
        self
    }

    /// Where transfers come back.
    pub fn completions(&self) -> &Receiver<Completion> {
        &self.completions
    }

    /// Where the endpoint comes back.
    pub fn backs(&self) -> &Receiver<Back> {
        &self.back.1
    }

    /// The endpoint's largest packet, at least 1.
    pub fn packet(&self) -> usize {
        self.packet
    }

    /// Whether nothing is in flight, and the endpoint is here.
    pub fn is_quiet(&self) -> bool {
        self.flights.is_empty() && self.is_here()
    }

    /// Whether a transfer is in flight. The endpoint may be away without one: its asking goes on for a moment longer.
    pub fn has_transfers(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Whether a transfer can be started now.
    pub fn is_here(&self) -> bool {
        !matches!(self.place, Place::Away)
    }

    /// Starts a transfer. The endpoint is here.
    ///
    /// # Errors
    /// As the endpoint refused it; [`ErrorKind::NoDevice`] after [`Line::cut`].
    pub fn submit(&mut self, ticket: Ticket, length: usize, buffer: Buffer) -> Result<(), Rejected> {
        let token = Token(ticket.0);
        let Place::Here(endpoint) = &mut self.place else {
            let error = usbscan_usb::Error::new(ErrorKind::NoDevice, "submit");
            return Err(Rejected { error, buffer });
        };
        let urb = self.tap.as_ref().map_or(0, |tap| tap.submit(&buffer));
        if let Err(rejected) = endpoint.submit(token, buffer) {
            self.tap.iter().for_each(|tap| tap.rejected(urb, &rejected.buffer));
            return Err(rejected);
        }
        self.flights.push(Flight { token, urb, length, asked_back: None });
        Ok(())
    }

    /// Asks for transfers back, in this order; their completions are still owed.
    pub fn ask_back(&mut self, tickets: &[Ticket]) {
        for ticket in tickets {
            let token = Token(ticket.0);
            if let Some(flight) = self.flights.iter_mut().find(|flight| flight.token == token) {
                flight.asked_back.get_or_insert_with(Instant::now);
                self.to_ask.push(token);
            }
        }
        self.ask();
    }

    /// Asks for everything back, newest first.
    pub fn ask_back_all(&mut self) {
        let tickets: Vec<Ticket> = self.flights.iter().rev().map(|flight| Ticket(flight.token.0)).collect();
        self.ask_back(&tickets);
    }

    fn ask(&mut self) {
        if self.to_ask.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.place, Place::Away) {
            Place::Here(endpoint) => {
                let tokens = std::mem::take(&mut self.to_ask);
                self.send_to_ask(endpoint, tokens);
            }
            elsewhere => self.place = elsewhere,
        }
    }

    fn send_to_ask(&mut self, endpoint: Box<dyn Endpoint>, tokens: Vec<Token>) {
        if self.asker.is_none() {
            self.asker = Asker::start(&self.name, self.back.0.clone());
        }
        match &self.asker {
            Some(asker) => asker.work.send((endpoint, tokens)).expect("the thread that asks outlives its line"),
            // No thread to be had: then here, and the watchdog has to wait with us.
            None => {
                let back = ask_all(endpoint, &tokens);
                self.back.0.send(back).expect("the line has both ends");
            }
        }
    }

    /// The endpoint is back. Says whether the device turned out to be gone.
    pub fn is_back(&mut self, back: Back) -> bool {
        let Back { endpoint, gone } = back;
        self.place = Place::Here(endpoint);
        self.to_ask.retain(|token| self.flights.iter().any(|flight| flight.token == *token));
        self.ask();
        gone
    }

    /// Takes note of a transfer that came back.
    pub fn landed(&mut self, completion: Completion) -> Option<Landed> {
        let at = self.flights.iter().position(|flight| flight.token == completion.token)?;
        let flight = self.flights.remove(at);
        self.tap.iter().for_each(|tap| tap.landed(flight.urb, &completion));
        Some(Landed { ticket: Ticket(flight.token.0), length: flight.length, completion })
    }

    /// When a transfer that was asked back is overdue, if one is asked back.
    pub fn overdue_at(&self) -> Option<Instant> {
        self.flights.iter().filter_map(|flight| flight.asked_back).min().map(|asked| asked + self.patience)
    }

    /// The watchdog has spoken: nothing is asked for any more.
    pub fn stop_the_watchdog(&mut self) {
        self.to_ask.clear();
        self.flights.iter_mut().for_each(|flight| flight.asked_back = None);
    }

    /// Gives the endpoint up. Nothing is in flight.
    pub fn cut(&mut self) {
        debug_assert!(self.is_quiet());
        self.place = Place::Cut;
    }

    /// Clears the halt.
    ///
    /// # Errors
    /// As the endpoint says; [`ErrorKind::InvalidParameter`] while something is in flight, and [`ErrorKind::NoDevice`]
    /// after [`Line::cut`].
    pub fn clear_halt(&mut self) -> Result<(), usbscan_usb::Error> {
        let error = |kind| Err(usbscan_usb::Error::new(kind, "clear a halt"));
        match &mut self.place {
            Place::Here(endpoint) if self.flights.is_empty() => endpoint.clear_halt(),
            Place::Here(_) | Place::Away => error(ErrorKind::InvalidParameter),
            Place::Cut => error(ErrorKind::NoDevice),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(Asker { work, thread }) = self.asker.take() else { return };
        drop(work);
        // While it is asking it may take for ever, and only a bus that was torn down under us drops the line then.
        if self.is_here() && thread.join().is_err() {
            log::error!("the thread \"{}\" panicked", self.name);
        }
    }
}

impl Asker {
    fn start(name: &str, back: Sender<Back>) -> Option<Asker> {
        let (work, todo) = unbounded::<(Box<dyn Endpoint>, Vec<Token>)>();
        let run = move || {
            for (endpoint, tokens) in todo {
                // The line may have been dropped meanwhile.
                let _ = back.send(ask_all(endpoint, &tokens));
            }
        };
        match std::thread::Builder::new().name(format!("ask {name}")).spawn(run) {
            Ok(thread) => Some(Asker { work, thread }),
            Err(error) => {
                log::warn!("start a thread to ask for transfers back: {error}");
                None
            }
        }
    }
}

fn ask_all(mut endpoint: Box<dyn Endpoint>, tokens: &[Token]) -> Back {
    let gone = tokens.iter().filter(|token| endpoint.cancel(**token) == Cancel::NoDevice).count();
    Back { endpoint, gone: gone > 0 }
}

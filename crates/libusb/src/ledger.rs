//! Who is using an open device's handle just now, and which transfers are in flight on it.
//!
//! The rules of ownership between us and libusb are kept here, in one place:
//!
//! - The handle may be given to libusb only while a [`Use`] of it lives, and it is closed only when none does.
//! - A flight (a submitted transfer) counts as a use until its callback is through.
//! - A transfer's C struct is reached through an `Arc`, so that a cancel never meets a freed one.
//! - A cancel finds a flight only when its submit has returned: libusb writes to the struct before it takes the struct's
//!   lock, and a cancel reads it before it does. Whoever submits looks afterwards whether a close has passed it over.
//!
//! The lock is taken by callbacks; nobody holds it while calling libusb.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use libusb1_sys::libusb_device_handle;
use parking_lot::{Condvar, Mutex};
use usbscan_usb::{EndpointAddress, Token};

use crate::transfer::Transfer;

/// One `usbscan_usb::Endpoint` of a device; two of them may be for the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EndpointId(u32);

/// A transfer in flight, by who submitted it and what they call it.
pub(crate) type FlightKey = (EndpointId, Token);

/// Why a step was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The device is closing, or closed.
    Closed,
    /// Transfers are in flight that it would hurt.
    InFlight,
}

/// The handle libusb gave us. Only [`Use::handle`] hands it out.
#[derive(Debug, Clone, Copy)]
struct Handle(*mut libusb_device_handle);

// SAFETY: libusb's handles may be used from any thread; when they may be used is what the ledger is about.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

#[derive(Debug)]
struct State {
    closed: bool,
    /// Somebody is about to do what no submit may run into.
    exclusive: bool,
    uses: usize,
    flights: HashMap<FlightKey, Flight>,
    next_endpoint: u32,
    next_flight: u64,
}

#[derive(Debug)]
struct Flight {
    transfer: Arc<Transfer>,
    /// Whether `libusb_submit_transfer` has returned.
    accepted: bool,
}

/// The books of one open device.
#[derive(Debug)]
pub(crate) struct Ledger {
    handle: Handle,
    state: Mutex<State>,
    changed: Condvar,
}

impl Ledger {
    /// Opens the books. The caller closes `handle` only after [`Ledger::wait_until_unused`] said so.
    pub(crate) fn new(handle: *mut libusb_device_handle) -> Arc<Ledger> {
        let state = State {
            closed: false,
            exclusive: false,
            uses: 0,
            flights: HashMap::new(),
            next_endpoint: 0,
            next_flight: 0,
        };
        Arc::new(Ledger { handle: Handle(handle), state: Mutex::new(state), changed: Condvar::new() })
    }

    /// A name for a new endpoint.
    pub(crate) fn new_endpoint(&self) -> EndpointId {
        let mut state = self.state.lock();
        state.next_endpoint += 1;
        EndpointId(state.next_endpoint)
    }

    /// Asks to use the handle. Waits while somebody has it alone.
    pub(crate) fn enter(self: &Arc<Ledger>) -> Result<Use, Refusal> {
        let mut state = self.state.lock();
        while state.exclusive && !state.closed {
            self.changed.wait(&mut state);
        }
        if state.closed {
            return Err(Refusal::Closed);
        }
        Ok(self.count_use(&mut state))
    }

    /// Asks to use the handle alone: submits wait until it is over. Refused while a transfer is in flight
    /// on an endpoint that `concerns` picks.
    pub(crate) fn enter_alone(
        self: &Arc<Ledger>,
        concerns: impl Fn(EndpointAddress) -> bool,
    ) -> Result<AloneUse, Refusal> {
        let mut state = self.state.lock();
        while state.exclusive && !state.closed {
            self.changed.wait(&mut state);
        }
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.flights.values().any(|flight| concerns(flight.transfer.endpoint())) {
            return Err(Refusal::InFlight);
        }
        state.exclusive = true;
        Ok(AloneUse { usage: self.count_use(&mut state) })
    }

    /// A number for a new flight: later ones have larger numbers.
    pub(crate) fn next_flight(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_flight += 1;
        state.next_flight
    }

    /// Enters a flight, before it is submitted. `false`: there is one of that name.
    pub(crate) fn take_off(&self, key: FlightKey, transfer: Arc<Transfer>) -> bool {
        let mut state = self.state.lock();
        if state.flights.contains_key(&key) {
            return false;
        }
        state.flights.insert(key, Flight { transfer, accepted: false });
        true
    }

    /// libusb has accepted a flight, which may have landed since: from now on cancels find it. Whether the device is
    /// closing: then all flights were asked for, and this one perhaps passed over.
    pub(crate) fn accepted(&self, key: FlightKey) -> bool {
        let mut state = self.state.lock();
        if let Some(flight) = state.flights.get_mut(&key) {
            flight.accepted = true;
        }
        state.closed
    }

    /// Strikes a flight out: no cancel finds it any more.
    pub(crate) fn land(&self, key: FlightKey) {
        let struck = self.state.lock().flights.remove(&key);
        // Its last user frees the C struct, which is a call of libusb: not under the lock.
        drop(struck);
    }

    /// A flight to cancel. As long as this lives the handle stays open, also while the device is closing.
    pub(crate) fn borrow(self: &Arc<Ledger>, key: FlightKey) -> Option<Borrowed> {
        let mut state = self.state.lock();
        let transfer = state.flights.get(&key).filter(|flight| flight.accepted)?.transfer.clone();
        Some(Borrowed { transfer, _usage: self.count_use(&mut state) })
    }

    /// All flights that `concerns` picks, newest first: so that what data there is stays in the oldest.
    pub(crate) fn borrow_newest_first(self: &Arc<Ledger>, concerns: impl Fn(EndpointId) -> bool) -> Vec<Borrowed> {
        let mut state = self.state.lock();
        let picked = state.flights.iter().filter(|((endpoint, _), flight)| flight.accepted && concerns(*endpoint));
        let mut transfers: Vec<Arc<Transfer>> = picked.map(|(_, flight)| flight.transfer.clone()).collect();
        transfers.sort_by_key(|transfer| std::cmp::Reverse(transfer.number()));
        transfers.into_iter().map(|transfer| Borrowed { transfer, _usage: self.count_use(&mut state) }).collect()
    }

    /// From now on nobody new may use the handle.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many transfers are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().flights.len()
    }

    /// After [`Ledger::close`]: waits until the last use is over. `false`: not by then.
    pub(crate) fn wait_until_unused(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while state.uses > 0 {
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        return state.uses == 0;
                    }
                }
            }
        }
        true
    }

    fn count_use(self: &Arc<Ledger>, state: &mut State) -> Use {
        state.uses += 1;
        Use { ledger: self.clone() }
    }
}

/// The right to use the handle. The device is not closed before this is dropped.
#[derive(Debug)]
pub(crate) struct Use {
    ledger: Arc<Ledger>,
}

impl Use {
    /// The handle: open for as long as this use lives.
    pub(crate) fn handle(&self) -> *mut libusb_device_handle {
        self.ledger.handle.0
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let mut state = self.ledger.state.lock();
        state.uses -= 1;
        if state.uses == 0 {
            self.ledger.changed.notify_all();
        }
    }
}

/// The right to use the handle while no submit does.
#[derive(Debug)]
pub(crate) struct AloneUse {
    usage: Use,
}

impl AloneUse {
    /// The handle: open for as long as this lives.
    pub(crate) fn handle(&self) -> *mut libusb_device_handle {
        self.usage.handle()
    }
}

impl Drop for AloneUse {
    fn drop(&mut self) {
        self.usage.ledger.state.lock().exclusive = false;
        self.usage.ledger.changed.notify_all();
    }
}

/// A flight that may be cancelled. Fields are dropped in this order: the C struct before the use.
#[derive(Debug)]
pub(crate) struct Borrowed {
    transfer: Arc<Transfer>,
    _usage: Use,
}

impl Borrowed {
    pub(crate) fn transfer(&self) -> &Transfer {
        &self.transfer
    }
}

#[cfg(test)]
mod explore;

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::transfer::Kind;

    fn ledger() -> Arc<Ledger> {
        Ledger::new(std::ptr::null_mut())
    }

    /// A flight whose transfer was never submitted, which libusb allows to be freed at any time.
    fn fly(ledger: &Ledger, endpoint: EndpointId, address: u8, token: u64) -> u64 {
        let number = ledger.next_flight();
        let transfer = Transfer::allocate(Kind::Bulk, EndpointAddress(address), number).expect("memory");
        assert!(ledger.take_off((endpoint, Token(token)), Arc::new(transfer)));
        assert!(!ledger.accepted((endpoint, Token(token))));
        number
    }

    #[test]
    fn a_flight_that_libusb_is_just_taking_is_found_by_no_cancel_and_its_submitter_hears_of_a_close() {
        let ledger = ledger();
        let endpoint = ledger.new_endpoint();
        let key = (endpoint, Token(3));
        let transfer = Transfer::allocate(Kind::Bulk, EndpointAddress(0x81), 1).expect("memory");
        assert!(ledger.take_off(key, Arc::new(transfer)));
        assert!(ledger.borrow(key).is_none());
        ledger.close();
        assert!(ledger.borrow_newest_first(|_| true).is_empty());
        assert_eq!(ledger.in_flight(), 1, "yet it is one");
        assert!(ledger.accepted(key), "it is closing");
        assert!(ledger.borrow(key).is_some());
    }

    #[test]
    fn a_closed_ledger_lets_nobody_in_and_waits_for_who_is() {
        let ledger = ledger();
        let usage = ledger.enter().expect("it is open");
        ledger.close();
        assert_eq!(ledger.enter().err(), Some(Refusal::Closed));
        assert!(!ledger.wait_until_unused(Some(Instant::now())), "one is in");
        let waits = ledger.clone();
        let waiter = thread::spawn(move || waits.wait_until_unused(None));
        drop(usage);
        assert!(waiter.join().expect("no panic"));
    }

    #[test]
    fn a_flight_can_be_borrowed_until_it_lands_also_while_closing() {
        let ledger = ledger();
        let endpoint = ledger.new_endpoint();
        fly(&ledger, endpoint, 0x81, 7);
        ledger.close();
        let borrowed = ledger.borrow((endpoint, Token(7))).expect("it is in flight");
        ledger.land((endpoint, Token(7)));
        assert!(ledger.borrow((endpoint, Token(7))).is_none());
        assert!(!ledger.wait_until_unused(Some(Instant::now())), "the borrowed one holds the handle open");
        drop(borrowed);
        assert!(ledger.wait_until_unused(Some(Instant::now())));
    }

    #[test]
    fn one_name_is_one_flight_per_endpoint() {
        let ledger = ledger();
        let (a, b) = (ledger.new_endpoint(), ledger.new_endpoint());
        fly(&ledger, a, 0x81, 1);
        fly(&ledger, b, 0x81, 1);
        let again = Transfer::allocate(Kind::Bulk, EndpointAddress(0x81), ledger.next_flight()).expect("memory");
        assert!(!ledger.take_off((a, Token(1)), Arc::new(again)));
        assert_eq!(ledger.in_flight(), 2);
    }

    #[test]
    fn what_one_endpoint_has_in_flight_is_cancelled_newest_first() {
        let ledger = ledger();
        let (a, b) = (ledger.new_endpoint(), ledger.new_endpoint());
        let mut expected: Vec<u64> = (0..5).map(|token| fly(&ledger, a, 0x81, token)).collect();
        fly(&ledger, b, 0x02, 1);
        expected.reverse();
        let borrowed = ledger.borrow_newest_first(|endpoint| endpoint == a);
        let numbers: Vec<u64> = borrowed.iter().map(|b| b.transfer().number()).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn being_alone_is_refused_while_what_it_concerns_is_in_flight() {
        let ledger = ledger();
        let endpoint = ledger.new_endpoint();
        fly(&ledger, endpoint, 0x81, 1);
        assert_eq!(ledger.enter_alone(|address| address.0 == 0x81).err(), Some(Refusal::InFlight));
        drop(ledger.enter_alone(|address| address.0 == 0x02).expect("the other endpoint is quiet"));
        ledger.land((endpoint, Token(1)));
        drop(ledger.enter_alone(|_| true).expect("all is quiet"));
    }

    #[test]
    fn whoever_enters_while_one_is_alone_waits_for_the_end_of_it() {
        let ledger = ledger();
        let alone = ledger.enter_alone(|_| true).expect("all is quiet");
        let enters = ledger.clone();
        let (tell, told) = crossbeam_channel::bounded(1);
        let waiter = thread::spawn(move || {
            let usage = enters.enter();
            tell.send(()).expect("the test listens");
            usage.is_ok()
        });
        assert!(told.recv_timeout(Duration::from_millis(20)).is_err(), "it must not get in");
        drop(alone);
        assert!(waiter.join().expect("no panic"));
    }
}

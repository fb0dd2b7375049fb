//! Who is using an open device's handle just now, and which transfers are in flight on it.
//!
//! The rules of ownership between us and libusb are kept here, in one place:
//!
//! - The handle may be given to libusb only while a [`HandleUse`] of it lives, and it is closed only when none does.
//! - A submitted transfer counts as a use until its callback is through.
//! - A transfer's C struct is reached through an `Arc`, so that a cancel never meets a freed one.
//! - A cancel finds a transfer only when its submit has returned: libusb writes to the struct before it takes the struct's
//!   lock, and a cancel reads it before it does. A submitter checks afterwards whether a close has missed it.
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
pub(crate) type TransferKey = (EndpointId, Token);

/// Why a step was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleError {
    /// The device is closing, or closed.
    Closed,
    /// Transfers are in flight that it would hurt.
    InFlight,
}

/// The handle libusb gave us. Only [`HandleUse::handle`] hands it out.
#[derive(Debug, Clone, Copy)]
struct Handle(*mut libusb_device_handle);

// SAFETY: libusb's handles may be used from any thread; when they may be used is what `OpenHandle` is about.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

#[derive(Debug)]
struct OpenState {
    closed: bool,
    /// A thread is about to do what no submit may overlap.
    exclusive: bool,
    uses: usize,
    transfers: HashMap<TransferKey, InFlight>,
    next_endpoint: u32,
    next_number: u64,
}

#[derive(Debug)]
struct InFlight {
    transfer: Arc<Transfer>,
    /// Whether `libusb_submit_transfer` has returned.
    accepted: bool,
}

/// One open device.
#[derive(Debug)]
pub(crate) struct OpenHandle {
    handle: Handle,
    state: Mutex<OpenState>,
    changed: Condvar,
}

impl OpenHandle {
    /// The caller closes `handle` only after [`OpenHandle::wait_until_unused`] said so.
    pub(crate) fn new(handle: *mut libusb_device_handle) -> Arc<OpenHandle> {
        let state = OpenState {
            closed: false,
            exclusive: false,
            uses: 0,
            transfers: HashMap::new(),
            next_endpoint: 0,
            next_number: 0,
        };
        Arc::new(OpenHandle { handle: Handle(handle), state: Mutex::new(state), changed: Condvar::new() })
    }

    /// A name for a new endpoint.
    pub(crate) fn new_endpoint(&self) -> EndpointId {
        let mut state = self.state.lock();
        state.next_endpoint += 1;
        EndpointId(state.next_endpoint)
    }

    /// Asks to use the handle. Waits while a thread has it exclusively.
    pub(crate) fn enter(self: &Arc<OpenHandle>) -> Result<HandleUse, HandleError> {
        let mut state = self.state.lock();
        while state.exclusive && !state.closed {
            self.changed.wait(&mut state);
        }
        if state.closed {
            return Err(HandleError::Closed);
        }
        Ok(self.count_use(&mut state))
    }

    /// Asks to use the handle alone: submits wait until it is over. Refused while a transfer is in flight
    /// on an endpoint that `concerns` picks.
    pub(crate) fn enter_exclusive(
        self: &Arc<OpenHandle>,
        concerns: impl Fn(EndpointAddress) -> bool,
    ) -> Result<ExclusiveUse, HandleError> {
        let mut state = self.state.lock();
        while state.exclusive && !state.closed {
            self.changed.wait(&mut state);
        }
        if state.closed {
            return Err(HandleError::Closed);
        }
        if state.transfers.values().any(|in_flight| concerns(in_flight.transfer.endpoint())) {
            return Err(HandleError::InFlight);
        }
        state.exclusive = true;
        Ok(ExclusiveUse { usage: self.count_use(&mut state) })
    }

    /// A number for a new transfer: later ones have larger numbers.
    pub(crate) fn next_number(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_number += 1;
        state.next_number
    }

    /// Adds a transfer, before it is submitted. `false`: there is one of that name.
    pub(crate) fn insert(&self, key: TransferKey, transfer: Arc<Transfer>) -> bool {
        let mut state = self.state.lock();
        if state.transfers.contains_key(&key) {
            return false;
        }
        state.transfers.insert(key, InFlight { transfer, accepted: false });
        true
    }

    /// libusb has accepted a transfer, which may have completed since: from now on cancels find it. Whether the device is
    /// closing: then all transfers were cancelled, and this one perhaps passed over.
    pub(crate) fn accepted(&self, key: TransferKey) -> bool {
        let mut state = self.state.lock();
        if let Some(in_flight) = state.transfers.get_mut(&key) {
            in_flight.accepted = true;
        }
        state.closed
    }

    /// Removes a transfer: no cancel finds it any more.
    pub(crate) fn remove(&self, key: TransferKey) {
        let removed = self.state.lock().transfers.remove(&key);
        // Its last user frees the C struct, which is a call of libusb: not under the lock.
        drop(removed);
    }

    /// A transfer to cancel. As long as this lives the handle stays open, also while the device is closing.
    pub(crate) fn get_for_cancel(self: &Arc<OpenHandle>, key: TransferKey) -> Option<CancelRef> {
        let mut state = self.state.lock();
        let transfer = state.transfers.get(&key).filter(|in_flight| in_flight.accepted)?.transfer.clone();
        Some(CancelRef { transfer, _usage: self.count_use(&mut state) })
    }

    /// All transfers that `concerns` picks, newest first: so that what data there is stays in the oldest.
    pub(crate) fn all_for_cancel(self: &Arc<OpenHandle>, concerns: impl Fn(EndpointId) -> bool) -> Vec<CancelRef> {
        let mut state = self.state.lock();
        let picked =
            state.transfers.iter().filter(|((endpoint, _), in_flight)| in_flight.accepted && concerns(*endpoint));
        let mut transfers: Vec<Arc<Transfer>> = picked.map(|(_, in_flight)| in_flight.transfer.clone()).collect();
        transfers.sort_by_key(|transfer| std::cmp::Reverse(transfer.number()));
        transfers.into_iter().map(|transfer| CancelRef { transfer, _usage: self.count_use(&mut state) }).collect()
    }

    /// From now on nobody new may use the handle.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many transfers are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().transfers.len()
    }

    /// After [`OpenHandle::close`]: waits until the last use is over. `false`: not by then.
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

    fn count_use(self: &Arc<OpenHandle>, state: &mut OpenState) -> HandleUse {
        state.uses += 1;
        HandleUse { open_handle: self.clone() }
    }
}

/// The right to use the handle. The device is not closed before this is dropped.
#[derive(Debug)]
pub(crate) struct HandleUse {
    open_handle: Arc<OpenHandle>,
}

impl HandleUse {
    /// The handle: open for as long as this use lives.
    pub(crate) fn handle(&self) -> *mut libusb_device_handle {
        self.open_handle.handle.0
    }

    pub(crate) fn open_handle(&self) -> &Arc<OpenHandle> {
        &self.open_handle
    }
}

impl Drop for HandleUse {
    fn drop(&mut self) {
        let mut state = self.open_handle.state.lock();
        state.uses -= 1;
        if state.uses == 0 {
            self.open_handle.changed.notify_all();
        }
    }
}

/// The right to use the handle while no submit does.
#[derive(Debug)]
pub(crate) struct ExclusiveUse {
    usage: HandleUse,
}

impl ExclusiveUse {
    /// The handle: open for as long as this lives.
    pub(crate) fn handle(&self) -> *mut libusb_device_handle {
        self.usage.handle()
    }
}

impl Drop for ExclusiveUse {
    fn drop(&mut self) {
        self.usage.open_handle.state.lock().exclusive = false;
        self.usage.open_handle.changed.notify_all();
    }
}

/// A transfer that may be cancelled. Fields are dropped in this order: the C struct before the use.
#[derive(Debug)]
pub(crate) struct CancelRef {
    transfer: Arc<Transfer>,
    _usage: HandleUse,
}

impl CancelRef {
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
    use crate::transfer::TransferKind;

    fn open_handle() -> Arc<OpenHandle> {
        OpenHandle::new(std::ptr::null_mut())
    }

    /// A transfer transfer was never submitted, which libusb allows to be freed at any time.
    fn add_transfer(open_handle: &OpenHandle, endpoint: EndpointId, address: u8, token: u64) -> u64 {
        let number = open_handle.next_number();
        let transfer = Transfer::allocate(TransferKind::Bulk, EndpointAddress(address), number).expect("memory");
        assert!(open_handle.insert((endpoint, Token(token)), Arc::new(transfer)));
        assert!(!open_handle.accepted((endpoint, Token(token))));
        number
    }

    #[test]
    fn a_transfer_that_libusb_is_just_taking_is_found_by_no_cancel_and_its_submitter_hears_of_a_close() {
        let open_handle = open_handle();
        let endpoint = open_handle.new_endpoint();
        let key = (endpoint, Token(3));
        let transfer = Transfer::allocate(TransferKind::Bulk, EndpointAddress(0x81), 1).expect("memory");
        assert!(open_handle.insert(key, Arc::new(transfer)));
        assert!(open_handle.get_for_cancel(key).is_none());
        open_handle.close();
        assert!(open_handle.all_for_cancel(|_| true).is_empty());
        assert_eq!(open_handle.in_flight(), 1, "yet it is one");
        assert!(open_handle.accepted(key), "it is closing");
        assert!(open_handle.get_for_cancel(key).is_some());
    }

    #[test]
    fn a_closed_ledger_lets_nobody_in_and_waits_for_who_is() {
        let open_handle = open_handle();
        let usage = open_handle.enter().expect("it is open");
        open_handle.close();
        assert_eq!(open_handle.enter().err(), Some(HandleError::Closed));
        assert!(!open_handle.wait_until_unused(Some(Instant::now())), "one is in");
        let waits = open_handle.clone();
        let waiter = thread::spawn(move || waits.wait_until_unused(None));
        drop(usage);
        assert!(waiter.join().expect("no panic"));
    }

    #[test]
    fn a_transfer_can_be_borrowed_until_it_is_removed_also_while_closing() {
        let open_handle = open_handle();
        let endpoint = open_handle.new_endpoint();
        add_transfer(&open_handle, endpoint, 0x81, 7);
        open_handle.close();
        let target = open_handle.get_for_cancel((endpoint, Token(7))).expect("it is in flight");
        open_handle.remove((endpoint, Token(7)));
        assert!(open_handle.get_for_cancel((endpoint, Token(7))).is_none());
        assert!(!open_handle.wait_until_unused(Some(Instant::now())), "the target one holds the handle open");
        drop(target);
        assert!(open_handle.wait_until_unused(Some(Instant::now())));
    }

    #[test]
    fn one_name_is_one_transfer_per_endpoint() {
        let open_handle = open_handle();
        let (a, b) = (open_handle.new_endpoint(), open_handle.new_endpoint());
        add_transfer(&open_handle, a, 0x81, 1);
        add_transfer(&open_handle, b, 0x81, 1);
        let again =
            Transfer::allocate(TransferKind::Bulk, EndpointAddress(0x81), open_handle.next_number()).expect("memory");
        assert!(!open_handle.insert((a, Token(1)), Arc::new(again)));
        assert_eq!(open_handle.in_flight(), 2);
    }

    #[test]
    fn what_one_endpoint_has_in_flight_is_cancelled_newest_first() {
        let open_handle = open_handle();
        let (a, b) = (open_handle.new_endpoint(), open_handle.new_endpoint());
        let mut expected: Vec<u64> = (0..5).map(|token| add_transfer(&open_handle, a, 0x81, token)).collect();
        add_transfer(&open_handle, b, 0x02, 1);
        expected.reverse();
        let target = open_handle.all_for_cancel(|endpoint| endpoint == a);
        let numbers: Vec<u64> = target.iter().map(|b| b.transfer().number()).collect();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn being_alone_is_refused_while_what_it_concerns_is_in_flight() {
        let open_handle = open_handle();
        let endpoint = open_handle.new_endpoint();
        add_transfer(&open_handle, endpoint, 0x81, 1);
        assert_eq!(open_handle.enter_exclusive(|address| address.0 == 0x81).err(), Some(HandleError::InFlight));
        drop(open_handle.enter_exclusive(|address| address.0 == 0x02).expect("the other endpoint is quiet"));
        open_handle.remove((endpoint, Token(1)));
        drop(open_handle.enter_exclusive(|_| true).expect("all is quiet"));
    }

    #[test]
    fn whoever_enters_while_one_is_alone_waits_for_the_end_of_it() {
        let open_handle = open_handle();
        let alone = open_handle.enter_exclusive(|_| true).expect("all is quiet");
        let enters = open_handle.clone();
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

//! Every order in which three threads can take the open_handle's steps: one submits a transfer, one closes the device, and libusb
//! calls back whenever the host is done. Each step is one call under the open_handle's lock, so this is all that can happen.
//!
//! What must hold: a cancel never meets a transfer whose submit has not returned, nor one that is freed; the close never waits
//! for a transfer that nobody asked back; and nothing uses the handle once it is closed.

use std::collections::VecDeque;

use super::*;
use crate::transfer::TransferKind;

/// Where the submitting thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Submitter {
    Outside,
    /// It has the right to use the handle.
    Entered,
    /// The transfer is added.
    TakenOff,
    /// In the middle of `libusb_submit_transfer`: the host has the transfer, and may be done with it.
    Submitting,
    /// That has returned.
    Submitted,
    /// It was told that the device is closing, and cancels its own transfer.
    AsksBack,
    Done,
}

/// Where the closing thread is.
#[derive(Debug)]
enum Closer {
    Open,
    /// Nobody new comes in.
    Closed,
    /// It asks for these, one after the other.
    AsksBack(VecDeque<CancelRef>),
    /// It waits until nobody uses the handle.
    Waits,
    HandleClosed,
}

/// A thread's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Submitter,
    Closer,
    /// The callback runs: the transfer came back, by itself or because it was asked back.
    Callback,
}

struct System {
    open_handle: Arc<OpenHandle>,
    key: TransferKey,
    submitter: Submitter,
    closer: Closer,
    /// The submitter's, until the host has the transfer.
    usage: Option<HandleUse>,
    transfer: Option<Arc<Transfer>>,
    /// With the host: what its callback will let go of.
    in_flight: Option<(Arc<Transfer>, HandleUse)>,
    asked_back: bool,
    /// A host that gives back nothing that was not asked for.
    silent: bool,
}

impl System {
    fn new(silent: bool) -> System {
        let open_handle = OpenHandle::new(std::ptr::null_mut());
        let key = (open_handle.new_endpoint(), Token(1));
        let (submitter, closer) = (Submitter::Outside, Closer::Open);
        System {
            open_handle,
            key,
            submitter,
            closer,
            usage: None,
            transfer: None,
            in_flight: None,
            asked_back: false,
            silent,
        }
    }

    fn can(&self, turn: Turn) -> bool {
        match turn {
            Turn::Submitter => self.submitter != Submitter::Done,
            Turn::Closer => match &self.closer {
                Closer::Waits => self.open_handle.wait_until_unused(Some(Instant::now())),
                closer => !matches!(closer, Closer::HandleClosed),
            },
            Turn::Callback => self.in_flight.is_some() && (self.asked_back || !self.silent),
        }
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Submitter => self.submitter = self.submit(),
            Turn::Closer => self.close(),
            Turn::Callback => {
                let (transfer, usage) = self.in_flight.take().expect("it is with the host");
                self.uses_the_handle();
                self.open_handle.remove(self.key);
                drop(transfer);
                drop(usage);
            }
        }
    }

    fn submit(&mut self) -> Submitter {
        match self.submitter {
            Submitter::Outside => match self.open_handle.enter() {
                Ok(usage) => {
                    self.usage = Some(usage);
                    Submitter::Entered
                }
                Err(_) => Submitter::Done,
            },
            Submitter::Entered => {
                let number = self.open_handle.next_number();
                let transfer = Transfer::allocate(TransferKind::Bulk, EndpointAddress(0x81), number).expect("memory");
                let transfer = Arc::new(transfer);
                assert!(self.open_handle.insert(self.key, transfer.clone()));
                self.transfer = Some(transfer);
                Submitter::TakenOff
            }
            Submitter::TakenOff => {
                self.uses_the_handle();
                // The transfer in flight takes both along, as in `submit::submit`.
                self.in_flight = self.transfer.take().zip(self.usage.take());
                Submitter::Submitting
            }
            Submitter::Submitting => Submitter::Submitted,
            Submitter::Submitted => {
                if self.open_handle.accepted(self.key) {
                    Submitter::AsksBack
                } else {
                    Submitter::Done
                }
            }
            Submitter::AsksBack => {
                if let Some(target) = self.open_handle.get_for_cancel(self.key) {
                    self.cancel(&target);
                }
                Submitter::Done
            }
            Submitter::Done => unreachable!("it is done"),
        }
    }

    fn close(&mut self) {
        self.closer = match std::mem::replace(&mut self.closer, Closer::Open) {
            Closer::Open => {
                self.open_handle.close();
                Closer::Closed
            }
            Closer::Closed => Closer::AsksBack(self.open_handle.all_for_cancel(|_| true).into()),
            Closer::AsksBack(mut transfers) => match transfers.pop_front() {
                Some(in_flight) => {
                    self.cancel(&in_flight);
                    Closer::AsksBack(transfers)
                }
                None => Closer::Waits,
            },
            Closer::Waits => Closer::HandleClosed,
            Closer::HandleClosed => unreachable!("it is done"),
        }
    }

    /// What `libusb_cancel_transfer` asks of its caller.
    fn cancel(&mut self, target: &CancelRef) {
        self.uses_the_handle();
        assert!(
            !matches!(self.submitter, Submitter::TakenOff | Submitter::Submitting),
            "a cancel meets a transfer that is being submitted"
        );
        assert_eq!(target.transfer.endpoint(), EndpointAddress(0x81), "it is not freed");
        self.asked_back = true;
    }

    fn uses_the_handle(&self) {
        assert!(!matches!(self.closer, Closer::HandleClosed), "the handle is closed already");
    }
}

/// Runs one schedule: at each step the choice of `path`, beyond its end the first. Gives back how many choices each had.
fn run(path: &[usize], silent: bool) -> Vec<usize> {
    let mut system = System::new(silent);
    let mut choices = Vec::new();
    let mut turns = Vec::new();
    loop {
        let can: Vec<Turn> =
            [Turn::Submitter, Turn::Closer, Turn::Callback].into_iter().filter(|turn| system.can(*turn)).collect();
        let Some(turn) = can.get(path.get(choices.len()).copied().unwrap_or(0)) else { break };
        choices.push(can.len());
        turns.push(*turn);
        system.take(*turn);
    }
    let closed = matches!(system.closer, Closer::HandleClosed);
    assert!(closed && system.submitter == Submitter::Done, "a thread waits for ever after {turns:?}");
    assert_eq!((system.open_handle.in_flight(), system.in_flight.is_none()), (0, true), "{turns:?}");
    choices
}

#[test]
fn in_every_order_of_submitting_closing_and_completing_nobody_waits_for_ever_and_no_cancel_comes_too_early() {
    for silent in [false, true] {
        let (mut path, mut schedules) = (Vec::new(), 0);
        loop {
            let choices = run(&path, silent);
            schedules += 1;
            // The next schedule: the last choice that has another one behind it.
            path.resize(choices.len(), 0);
            while path.last().zip(choices.get(path.len() - 1)).is_some_and(|(at, most)| at + 1 == *most) {
                path.pop();
                if path.is_empty() {
                    break;
                }
            }
            match path.last_mut() {
                Some(at) => *at += 1,
                None => break,
            }
        }
        println!("{schedules} schedules with a host that is {}", if silent { "silent" } else { "not" });
        assert!(schedules > 100);
    }
}

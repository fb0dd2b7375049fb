//! What comes back: transfers, and the word that none will any more.

use std::sync::atomic::Ordering;
use std::time::Instant;

use usbscan_usb::{Buffer, Completion, Direction, Setup, TransferStatus};

use super::{OWN, TransferWorker, WorkerState};
use crate::outcome::Fault;
use crate::payload::Piece;
use crate::pipe::endpoint_io::{Completed, DISCONNECT_GRACE};
use crate::pipe::orders::{PipeEvent, Role};
use crate::pipe::queue::TransferOutcome;
use crate::pipe::request::Work;

impl TransferWorker {
    pub(super) fn completed(&mut self, completion: Completion) {
        let Some(completed) = self.io.completed(completion) else { return };
        match completed.completion.status {
            TransferStatus::Error if self.state == WorkerState::Working => {
                self.disconnect_grace_ends.get_or_insert_with(|| Instant::now() + DISCONNECT_GRACE);
                self.in_disconnect_grace.push(completed);
            }
            TransferStatus::NoDevice => {
                self.settle(completed, TransferOutcome::Gone);
                self.find_lost();
            }
            TransferStatus::Error => self.settle(completed, TransferOutcome::Gone),
            TransferStatus::Completed => {
                let short = completed.completion.actual < self.room(&completed);
                self.settle(completed, TransferOutcome::Completed { short });
            }
            TransferStatus::Cancelled => self.settle(completed, TransferOutcome::Returned),
            TransferStatus::Stall => self.settle(completed, TransferOutcome::Fault(Fault::Stall)),
            TransferStatus::Overflow => self.settle(completed, TransferOutcome::Fault(Fault::Overrun)),
        }
    }

    /// Data bytes for which the buffer had room.
    pub(super) fn room(&self, completed: &Completed) -> usize {
        let head = if self.role == Role::Control { Setup::BYTES } else { 0 };
        completed.completion.buffer.len().saturating_sub(head)
    }

    /// Puts what arrived where it belongs and lets the queue decide.
    pub(super) fn settle(&mut self, completed: Completed, came: TransferOutcome) {
        let Completed { ticket, length, completion } = completed;
        let actual = completion.actual.min(self.room_of(&completion.buffer));
        let moved = actual.min(length);
        let pool = self.pool.clone();
        let surplus_short = matches!(came, TransferOutcome::Completed { short: true });
        let role = self.role;
        let queue = if ticket.0 >= OWN { &mut self.own } else { &mut self.clients };
        if let Some(request) = queue.item_mut(ticket) {
            request.pending.moved(moved);
            if actual > 0 {
                self.activity.moved();
            }
            if role == Role::Read && actual > moved {
                let surplus = completion.buffer.bytes_in(moved..actual);
                self.surplus.keep(&surplus, surplus_short, request.pending.session);
            }
            match (&request.work, completion.buffer) {
                (Work::Read { .. }, buffer) => request.arrived(buffer, moved, &pool),
                (Work::Control { setup, .. }, Buffer::Vec(buffer)) if setup.direction() == Direction::In => {
                    let range = Setup::BYTES..Setup::BYTES + moved;
                    request.received.push(Piece::new(buffer, range, &pool));
                }
                (_, Buffer::Vec(buffer)) => pool.give(buffer),
                (_, Buffer::Shared(_)) => {}
            }
        }
        let to_cancel = queue.complete(ticket, moved, came);
        let frozen = queue.is_frozen();
        self.io.cancel(&to_cancel);
        if frozen && !self.halted.swap(true, Ordering::Relaxed) {
            (self.notify)(PipeEvent::Halted);
        }
    }

    pub(super) fn room_of(&self, buffer: &Buffer) -> usize {
        let head = if self.role == Role::Control { Setup::BYTES } else { 0 };
        buffer.len().saturating_sub(head)
    }

    /// The pipe itself found that the device is gone.
    pub(super) fn find_lost(&mut self) {
        if self.state == WorkerState::Working {
            self.lose();
            (self.notify)(PipeEvent::Lost);
        }
    }

    pub(super) fn lose(&mut self) {
        if self.state != WorkerState::Working {
            return;
        }
        self.state = WorkerState::Lost;
        self.own.lose();
        self.clients.lose();
        self.surplus.clear();
        self.end_disconnect_grace(TransferOutcome::Gone);
        self.io.cancel_all_in_flight();
    }

    pub(super) fn end_disconnect_grace(&mut self, came: TransferOutcome) {
        self.disconnect_grace_ends = None;
        for completed in std::mem::take(&mut self.in_disconnect_grace) {
            self.settle(completed, came);
        }
    }

    /// The rule of last resort: what the host does not give back is left to it, and everybody is told.
    pub(super) fn host_stuck(&mut self) {
        if self.state == WorkerState::HostStuck {
            return;
        }
        self.state = WorkerState::HostStuck;
        self.own.host_stuck();
        self.clients.host_stuck();
        self.in_disconnect_grace.clear();
        self.io.stop_the_watchdog();
        self.quiet.clear();
    }
}

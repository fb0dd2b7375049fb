//! What comes back: transfers, and the news that none will any more.

use std::sync::atomic::Ordering;
use std::time::Instant;

use usbscan_usb::{Buffer, Completion, Direction, Setup, Status};

use super::{OWN, Phase, Stream};
use crate::payload::Piece;
use crate::pipe::line::{DOUBT, Landed};
use crate::pipe::orders::{News, Role};
use crate::queue::{Came, Fault};
use crate::request::Work;

impl Stream {
    pub(super) fn landed(&mut self, completion: Completion) {
        let Some(landed) = self.line.landed(completion) else { return };
        match landed.completion.status {
            Status::Error if self.phase == Phase::Working => {
                self.doubt_ends.get_or_insert_with(|| Instant::now() + DOUBT);
                self.doubts.push(landed);
            }
            Status::NoDevice => {
                self.settle(landed, Came::Gone);
                self.find_lost();
            }
            Status::Error => self.settle(landed, Came::Gone),
            Status::Completed => {
                let short = landed.completion.actual < self.room(&landed);
                self.settle(landed, Came::Completed { short });
            }
            Status::Cancelled => self.settle(landed, Came::GivenBack),
            Status::Stall => self.settle(landed, Came::Fault(Fault::Stall)),
            Status::Overflow => self.settle(landed, Came::Fault(Fault::Overrun)),
        }
    }

    /// Data bytes for which the buffer had room.
    pub(super) fn room(&self, landed: &Landed) -> usize {
        let head = if self.role == Role::Control { Setup::BYTES } else { 0 };
        landed.completion.buffer.len().saturating_sub(head)
    }

    /// Puts what arrived where it belongs and lets the queue decide.
    pub(super) fn settle(&mut self, landed: Landed, came: Came) {
        let Landed { ticket, length, completion } = landed;
        let actual = completion.actual.min(self.room_of(&completion.buffer));
        let moved = actual.min(length);
        let pool = self.pool.clone();
        let carry_short = matches!(came, Came::Completed { short: true });
        let role = self.role;
        let queue = if ticket.0 >= OWN { &mut self.own } else { &mut self.clients };
        if let Some(request) = queue.item_mut(ticket) {
            request.pending.moved(moved);
            if role == Role::Read && actual > moved {
                let surplus = completion.buffer.bytes_in(moved..actual);
                self.carry.keep(&surplus, carry_short, request.pending.session);
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
        let ask_back = queue.complete(ticket, moved, came);
        let frozen = queue.is_frozen();
        self.line.ask_back(&ask_back);
        if frozen && !self.halted.swap(true, Ordering::Relaxed) {
            (self.news)(News::Halted);
        }
    }

    pub(super) fn room_of(&self, buffer: &Buffer) -> usize {
        let head = if self.role == Role::Control { Setup::BYTES } else { 0 };
        buffer.len().saturating_sub(head)
    }

    /// The pipe itself found that the device is gone.
    pub(super) fn find_lost(&mut self) {
        if self.phase == Phase::Working {
            self.lose();
            (self.news)(News::Lost);
        }
    }

    pub(super) fn lose(&mut self) {
        if self.phase != Phase::Working {
            return;
        }
        self.phase = Phase::Lost;
        self.own.lose();
        self.clients.lose();
        self.carry.clear();
        self.settle_doubts(Came::Gone);
        self.line.ask_back_all();
    }

    pub(super) fn settle_doubts(&mut self, came: Came) {
        self.doubt_ends = None;
        for landed in std::mem::take(&mut self.doubts) {
            self.settle(landed, came);
        }
    }

    /// The rule of last resort: what the host does not give back is left to it, and everybody is told.
    pub(super) fn wedge(&mut self) {
        if self.phase == Phase::Wedged {
            return;
        }
        self.phase = Phase::Wedged;
        self.own.wedge();
        self.clients.wedge();
        self.doubts.clear();
        self.line.stop_the_watchdog();
        self.quiet.clear();
    }
}

//! What is due when: deadlines of requests, the next try after a want of memory, doubts, the watchdog.

use std::time::Instant;

use super::{TransferWorker, Whose, WorkerState};
use crate::outcome::Fault;
use crate::pipe::orders::PipeEvent;
use crate::pipe::queue::TransferOutcome;

impl TransferWorker {
    pub(super) fn note_heads(&mut self) {
        for (at, queue) in [&self.own, &self.clients].into_iter().enumerate() {
            let held = at == 1 && (self.gated || self.draining) && queue.in_flight() == 0;
            let head = queue.head().filter(|_| !held);
            self.heads[at].0 = match (self.heads[at].0, head) {
                (Some((ticket, due)), Some((head, _))) if ticket == head => Some((ticket, due)),
                (_, Some((ticket, request))) => Some((ticket, Instant::now() + request.timeout)),
                (_, None) => None,
            };
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let heads = self.heads.iter().filter_map(|head| Some(head.0?.1));
        heads.chain(self.shortage.again_at).chain(self.disconnect_grace_ends).chain(self.io.overdue_at()).min()
    }

    pub(super) fn on_timer(&mut self, now: Instant) {
        for (at, whose) in [Whose::Own, Whose::Clients].into_iter().enumerate() {
            if let Some((ticket, due)) = self.heads[at].0 {
                if due <= now {
                    self.heads[at].0 = None;
                    let cancelled = self.queue(whose).expire(ticket);
                    self.io.cancel(&cancelled.to_cancel);
                }
            }
        }
        if self.shortage.again_at.is_some_and(|again| again <= now) {
            self.shortage.again_at = None;
        }
        if self.disconnect_grace_ends.is_some_and(|ends| ends <= now) {
            self.end_disconnect_grace(TransferOutcome::Fault(Fault::Io));
        }
        if self.io.overdue_at().is_some_and(|overdue| overdue <= now) && self.state != WorkerState::HostStuck {
            self.host_stuck();
            (self.notify)(PipeEvent::HostStuck);
        }
    }
}

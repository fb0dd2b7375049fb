//! The duty to answer one request. Spending it is the only way to complete; dropped unspent it answers "cancelled".
//! Any thread; never waits.

use std::sync::Arc;

use serde::Serialize;
use usbscan_usb::{Buffer, EndpointAddress};
use usbscan_wire::Status;

use crate::failure::Failure;
use crate::payload::Payload;
use crate::reply::budget::Credit;
use crate::reply::outbox::Outbox;

/// Whom an answer is owed to: a session. A trait, because sessions know pipes and pipes know responders.
pub(crate) trait Requester: std::fmt::Debug + Send + Sync {
    /// The way to its client.
    fn outbox(&self) -> &Outbox;
    /// The request with this id has its answer, which goes to the outbox next.
    fn answered(&self, id: u64);
    /// That answer is in the outbox.
    fn put(&self);
    /// A read of its own has brought the first bytes of this buffer, whatever becomes of it.
    fn read(&self, _endpoint: EndpointAddress, _buffer: &Buffer, _moved: usize) {}
}

/// An answer that is owed.
#[derive(Debug)]
#[must_use]
pub(crate) struct Responder {
    requester: Arc<dyn Requester>,
    /// `None`: no id could be read.
    id: Option<u64>,
    /// Whether it stands among the session's outstanding requests.
    outstanding: bool,
    credit: Option<Credit>,
    spent: bool,
}

impl Responder {
    /// Of a request that the session has taken up as outstanding.
    pub fn of_request(requester: Arc<dyn Requester>, id: u64, credit: Credit) -> Responder {
        Responder { requester, id: Some(id), outstanding: true, credit: Some(credit), spent: false }
    }

    /// Of a request that was not taken up.
    pub fn of_refusal(requester: Arc<dyn Requester>, id: Option<u64>, credit: Credit) -> Responder {
        Responder { requester, id, outstanding: false, credit: Some(credit), spent: false }
    }

    /// Bytes have come for it.
    pub fn read(&self, endpoint: EndpointAddress, buffer: &Buffer, moved: usize) {
        self.requester.read(endpoint, buffer, moved);
    }

    pub fn id(&self) -> u64 {
        self.id.unwrap_or_default()
    }

    /// Done, with nothing to say.
    pub fn done(self) {
        self.done_with(0, Payload::default());
    }

    /// Done: `information` bytes moved, or things found.
    pub fn done_with(self, information: u64, payload: Payload) {
        self.send(Status::Success, |answer| answer.information = information, payload);
    }

    /// Done, with more in the header.
    pub fn done_with_body(self, information: u64, body: &impl Serialize) {
        let fill = |answer: &mut usbscan_wire::Answer| {
            answer.information = information;
            *answer = std::mem::replace(answer, usbscan_wire::Answer::new(0, Status::Success)).with_body(body);
        };
        self.send(Status::Success, fill, Payload::default());
    }

    /// The same, with data.
    pub fn done_with_body_and_payload(self, body: &impl Serialize, payload: Payload) {
        let information = payload.len() as u64;
        let fill = |answer: &mut usbscan_wire::Answer| {
            answer.information = information;
            *answer = std::mem::replace(answer, usbscan_wire::Answer::new(0, Status::Success)).with_body(body);
        };
        self.send(Status::Success, fill, payload);
    }

    /// Cancelled: `information` is 0, and the bytes that had moved are counted. `partial` are those that the client
    /// wants all the same.
    pub fn cancelled(self, discarded: u64, partial: Payload) {
        self.send(Status::Cancelled, |answer| answer.discarded = discarded, partial);
    }

    pub fn fail(self, failure: &Failure) {
        self.fail_with(failure, 0, 0, Payload::default());
    }

    /// It failed after `information` bytes had moved; `discarded` of them nobody gets.
    pub fn fail_with(self, failure: &Failure, information: u64, discarded: u64, payload: Payload) {
        let fill = |answer: &mut usbscan_wire::Answer| {
            answer.information = information;
            answer.discarded = discarded;
            answer.message = Some(failure.to_string());
        };
        self.send(failure.status(), fill, payload);
    }

    /// A failure that came with a report.
    pub fn fail_with_body(self, failure: &Failure, body: &impl Serialize) {
        let fill = |answer: &mut usbscan_wire::Answer| {
            *answer = usbscan_wire::Answer::failure(None, answer.status, failure.to_string()).with_body(body);
        };
        self.send(failure.status(), fill, Payload::default());
    }

    fn send(mut self, status: Status, fill: impl FnOnce(&mut usbscan_wire::Answer), payload: Payload) {
        self.spend(status, fill, payload);
    }

    fn spend(&mut self, status: Status, fill: impl FnOnce(&mut usbscan_wire::Answer), payload: Payload) {
        self.spent = true;
        let mut answer = usbscan_wire::Answer::new(0, status);
        fill(&mut answer);
        answer.id = self.id;
        if self.outstanding {
            self.requester.answered(self.id());
        }
        self.requester.outbox().answer(answer, payload, self.credit.take());
        if self.outstanding {
            self.requester.put();
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.spent {
            self.spend(Status::Cancelled, |_| (), Payload::default());
        }
    }
}

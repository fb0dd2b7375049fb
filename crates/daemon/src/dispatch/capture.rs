//! Commands that record what goes over a scanner's pipes. They open nothing and need no lock.

use std::sync::Arc;

use usbscan_wire::CaptureBody;

use super::Handler;
use crate::capture::{Capture, CapturePermit};
use crate::failure::Failure;
use crate::payload::Payload;
use crate::reply::responder::Responder;
use crate::session::handle::{OwnCapture, RequestLocation};
use crate::session::list::share_of_one_user;

impl Handler<'_> {
    pub(super) fn capture(&self, responder: Responder, device: &str) {
        if self.session.capturing().is_some() {
            return responder.fail(&Failure::OwnCapture);
        }
        let scanner = or_fail!(responder, self.core.registry.find(device));
        let limits = self.core.configured.now().limits;
        let most_of_user = share_of_one_user(limits.captures);
        let permit = CapturePermit::take(&self.core.captures, self.session.peer.uid, limits.captures, most_of_user);
        let permit = or_fail!(responder, permit);
        let capture = Capture::new(self.session.peer.uid, limits.capture_bytes, permit);
        self.session.log(format_args!("captures what goes over the pipes of {}", scanner.name));
        scanner.taps.begin(capture.clone(), &scanner.info());
        self.session.set_capturing(Some(OwnCapture { taps: scanner.taps.clone(), capture }));
        let payload = Payload::from(Capture::beginning(&scanner.name));
        responder.done_with_body_and_payload(&CaptureBody { device: scanner.name.to_string() }, payload);
    }

    pub(super) fn read_capture(&self, responder: Responder) {
        let capturing = or_fail!(responder, self.session.capturing().ok_or(Failure::NotCapturing));
        self.session.set_location(responder.id(), RequestLocation::Capture(Arc::clone(&capturing.capture)));
        if let Err(responder) = capturing.capture.read(responder) {
            responder.fail(&Failure::CaptureIsRead);
        }
    }

    pub(super) fn stop_capture(&self, responder: Responder) {
        let capturing = or_fail!(responder, self.session.capturing().ok_or(Failure::NotCapturing));
        capturing.taps.end(&capturing.capture);
        responder.done();
    }
}

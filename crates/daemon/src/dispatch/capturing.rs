//! Commands that record what goes over a scanner's pipes. They open nothing and need no lock.

use std::sync::Arc;

use usbscan_wire::CaptureBody;

use super::Asked;
use crate::answer::Answer;
use crate::capture::{Capture, Permit};
use crate::failure::Failure;
use crate::payload::Payload;
use crate::session::{Capturing, Place};

impl Asked<'_> {
    pub(super) fn capture(&self, answer: Answer, device: &str) {
        if self.session.capturing().is_some() {
            return answer.fail(&Failure::Capturing);
        }
        let scanner = or_fail!(answer, self.core.registry.find(device));
        let limits = self.core.configured.now().limits;
        let permit = or_fail!(answer, Permit::take(&self.core.captures, limits.captures));
        let capture = Capture::new(self.session.peer.uid, limits.capture_bytes, permit);
        log::info!("{} captures what goes over the pipes of {}", self.session.label(), scanner.name);
        scanner.taps.begin(capture.clone(), &scanner.info);
        self.session.set_capturing(Some(Capturing { taps: scanner.taps.clone(), capture }));
        let payload = Payload::from(Capture::beginning(&scanner.name));
        answer.done_with_body_and_payload(&CaptureBody { device: scanner.name.to_string() }, payload);
    }

    pub(super) fn read_capture(&self, answer: Answer) {
        let capturing = or_fail!(answer, self.session.capturing().ok_or(Failure::NotCapturing));
        self.session.place(answer.id(), Place::Capture(Arc::clone(&capturing.capture)));
        if let Err(answer) = capturing.capture.read(answer) {
            answer.fail(&Failure::CaptureIsRead);
        }
    }

    pub(super) fn stop_capture(&self, answer: Answer) {
        let capturing = or_fail!(answer, self.session.capturing().ok_or(Failure::NotCapturing));
        capturing.taps.end(&capturing.capture);
        answer.done();
    }
}

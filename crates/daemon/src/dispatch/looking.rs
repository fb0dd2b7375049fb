//! Commands that look, open and close: nothing here moves a byte.

use std::sync::Arc;

use usbscan_wire::{
    ChannelSizesBody, DeviceDescriptorBody, ListBody, OpenBody, PROTOCOL_VERSION, Pipe, PipeConfigurationBody,
    PipeDescription, StatusBody, VersionBody,
};

use super::{Asked, fitting};
use crate::answer::Answer;
use crate::core::SERVER;
use crate::failure::Failure;
use crate::function;
use crate::idle;
use crate::message::{Leave, Message, Wants};
use crate::session::{Binding, Session};
use crate::supervisor::ask;

impl Asked<'_> {
    pub(super) fn list(&self, answer: Answer) {
        let scanners = self.core.registry.scanners();
        let devices = fitting::list(scanners.iter().map(|scanner| scanner.entry()).collect());
        answer.done_with_body(scanners.len() as u64, &ListBody { devices });
    }

    pub(super) fn status(&self, answer: Answer, device: Option<&str>) {
        let scanners = match device {
            Some(device) => vec![or_fail!(answer, self.core.registry.find(device))],
            None => self.core.registry.scanners(),
        };
        let devices = fitting::status(|listed| scanners.iter().map(|scanner| scanner.status(listed)).collect());
        answer.done_with_body(scanners.len() as u64, &StatusBody { devices });
    }

    pub(super) fn open(&self, answer: Answer, device: &str, wants: Wants) {
        if let Some(binding) = self.session.binding() {
            return answer.fail(&Failure::AlreadyOpen { device: binding.scanner.name.clone() });
        }
        let scanner = or_fail!(answer, self.core.registry.find(device));
        Session::wait_for_the_dead(&scanner.sessions());
        let session = self.session.clone();
        let opened = ask(&scanner, |done| Message::Attach { session, wants, done });
        let binding = or_fail!(answer, opened.unwrap_or_else(|| Err(Failure::Gone { device: scanner.name.clone() })));
        log::debug!("{} opens {}", self.session.label(), scanner.name);
        let pipes = describe_pipes(&binding);
        self.session.bind(binding);
        answer.done_with_body(0, &OpenBody { device: scanner.entry(), pipes });
    }

    pub(super) fn close(&self, answer: Answer) {
        or_fail!(answer, self.binding());
        leave(self.session, Leave::Closed);
        answer.done();
    }

    pub(super) fn lock(&self, answer: Answer, wait: bool) {
        or_fail!(answer, self.binding()).scanner.lock(answer, wait);
    }

    pub(super) fn unlock(&self, answer: Answer) {
        let binding = or_fail!(answer, self.binding());
        or_fail!(answer, binding.scanner.unlock(self.session.id()));
        answer.done();
    }

    pub(super) fn pipe_configuration(&self, answer: Answer) {
        let binding = or_fail!(answer, self.binding());
        or_fail!(answer, binding.scanner.check());
        let pipes = describe_pipes(&binding);
        answer.done_with_body(pipes.len() as u64, &PipeConfigurationBody { pipes });
    }

    pub(super) fn channel_sizes(&self, answer: Answer) {
        let binding = or_fail!(answer, self.binding());
        or_fail!(answer, binding.scanner.check());
        let pipes = describe_pipes(&binding);
        let size = |pipe: Pipe| {
            let bound = pipes.iter().find(|described| described.bound.as_deref() == Some(pipe.as_str()));
            bound.map_or(0, |described| described.max_packet_size)
        };
        let body = ChannelSizesBody { event: size(Pipe::Event), read: size(Pipe::Read), write: size(Pipe::Write) };
        answer.done_with_body(0, &body);
    }

    pub(super) fn device_descriptor(&self, answer: Answer) {
        let binding = or_fail!(answer, self.binding());
        or_fail!(answer, binding.scanner.check());
        let descriptor = &binding.scanner.info.descriptor;
        let body = DeviceDescriptorBody {
            vendor_id: descriptor.vendor.0,
            product_id: descriptor.product.0,
            device_version: descriptor.device_version,
        };
        answer.done_with_body(0, &body);
    }
}

/// A session leaves its scanner.
pub(crate) fn leave(session: &Arc<Session>, how: Leave) {
    let Some(binding) = session.binding() else { return };
    let cut_short = idle::cancel_session(&binding, session.id());
    let session_leaves = session.clone();
    ask(&binding.scanner, |done| Message::Detach { session: session_leaves, how, cut_short, done });
    session.unbind();
}

pub(super) fn version(answer: Answer) {
    let part = |text: &str| text.parse().unwrap_or(0);
    let version = [
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
    ];
    let body = VersionBody { server: SERVER.to_owned(), version, protocol: PROTOCOL_VERSION };
    answer.done_with_body(0, &body);
}

fn describe_pipes(binding: &Binding) -> Vec<PipeDescription> {
    let scanner = &binding.scanner;
    let function = match function::other(&scanner.info, binding.interface.0, scanner.function) {
        Some(other) if binding.interface != scanner.function.interface => other,
        _ => scanner.function,
    };
    let bound = |address| binding.pipes().any(|pipe| pipe.address == address);
    let endpoints = function::endpoints(&scanner.info, function).iter().enumerate();
    endpoints.map(|(at, e)| function::describe(at, e, scanner.info.speed, bound(e.address))).collect()
}

//! Commands that look, open and close: nothing here moves a byte.

use std::sync::Arc;

use usbscan_wire::{
    ChannelSizesBody, DeviceDescriptorBody, ListBody, OpenBody, PROTOCOL_VERSION, Pipe, PipeConfigurationBody,
    PipeDescription, StatusBody, VersionBody,
};

use super::{Handler, Opened, truncate};
use crate::dispatch::core::Core;
use crate::failure::Failure;
use crate::reply::responder::Responder;
use crate::scanner::function;
use crate::scanner::handle::Scanner;
use crate::scanner::message::{CloseReason, Message, OpenOptions};
use crate::scanner::recovery;
use crate::scanner::supervisor::ask;
use crate::session::binding::Binding;
use crate::session::handle::Session;
use crate::version::SERVER;

impl Handler<'_> {
    pub(super) fn list(&self, responder: Responder, device: Option<&str>, descriptors: bool) {
        self.core.registry.rescan_for_client();
        let scanners = match device {
            Some(device) => vec![or_fail!(responder, self.core.registry.find(device))],
            None => self.core.registry.scanners(),
        };
        let entry = if descriptors { Scanner::entry_with_descriptors } else { Scanner::entry };
        let devices = truncate::list(scanners.iter().map(|scanner| entry(scanner)).collect());
        responder.done_with_body(scanners.len() as u64, &ListBody { devices });
    }

    pub(super) fn status(&self, responder: Responder, device: Option<&str>) {
        let scanners = match device {
            Some(device) => vec![or_fail!(responder, self.core.registry.find(device))],
            None => self.core.registry.scanners(),
        };
        let devices = truncate::status(|listed| scanners.iter().map(|scanner| scanner.status(listed)).collect());
        responder.done_with_body(scanners.len() as u64, &StatusBody { devices });
    }

    pub(super) fn open(&self, responder: Responder, device: &str, options: OpenOptions) {
        if let Some(binding) = self.session.binding() {
            return responder.fail(&Failure::AlreadyOpen { device: binding.device.clone() });
        }
        let scanner = or_fail!(responder, self.core.registry.find(device));
        Session::wait_for_disconnected(&scanner.sessions());
        let session = self.session.clone();
        let opened = ask(&scanner, |done| Message::Attach { session, options, done });
        let binding =
            or_fail!(responder, opened.unwrap_or_else(|| Err(Failure::Gone { device: scanner.name.clone() })));
        log::debug!("{} opens {}", self.session.label(), scanner.name);
        let pipes = describe_pipes(&scanner, &binding);
        self.session.bind(binding);
        responder.done_with_body(0, &OpenBody { device: scanner.entry(), pipes });
    }

    pub(super) fn close(&self, responder: Responder) {
        or_fail!(responder, self.opened());
        leave(self.core, self.session, CloseReason::Closed);
        responder.done();
    }

    pub(super) fn lock(&self, responder: Responder, wait: bool) {
        or_fail!(responder, self.opened()).scanner.lock(self.session, responder, wait);
    }

    pub(super) fn unlock(&self, responder: Responder) {
        let opened = or_fail!(responder, self.opened());
        or_fail!(responder, opened.scanner.unlock(self.session.id()));
        responder.done();
    }

    pub(super) fn pipe_configuration(&self, responder: Responder) {
        let Opened { scanner, binding } = or_fail!(responder, self.opened());
        or_fail!(responder, scanner.check());
        let pipes = describe_pipes(&scanner, &binding);
        responder.done_with_body(pipes.len() as u64, &PipeConfigurationBody { pipes });
    }

    pub(super) fn channel_sizes(&self, responder: Responder) {
        let Opened { scanner, binding } = or_fail!(responder, self.opened());
        or_fail!(responder, scanner.check());
        let pipes = describe_pipes(&scanner, &binding);
        let size = |pipe: Pipe| {
            let bound = pipes.iter().find(|described| described.bound.as_deref() == Some(pipe.as_str()));
            bound.map_or(0, |described| described.max_packet_size)
        };
        let body = ChannelSizesBody { event: size(Pipe::Event), read: size(Pipe::Read), write: size(Pipe::Write) };
        responder.done_with_body(0, &body);
    }

    pub(super) fn device_descriptor(&self, responder: Responder) {
        let Opened { scanner, .. } = or_fail!(responder, self.opened());
        or_fail!(responder, scanner.check());
        let descriptor = &scanner.info.descriptor;
        let body = DeviceDescriptorBody {
            vendor_id: descriptor.vendor.0,
            product_id: descriptor.product.0,
            device_version: descriptor.device_version,
        };
        responder.done_with_body(0, &body);
    }
}

/// A session leaves its scanner.
pub(crate) fn leave(core: &Core, session: &Arc<Session>, reason: CloseReason) {
    let Some(binding) = session.binding() else { return };
    let Ok(scanner) = core.registry.scanner_of(&binding) else { return session.unbind() };
    let cut_short = recovery::cancel_session(&scanner, &binding, session.id());
    let session_leaves = session.clone();
    ask(&scanner, |done| Message::Detach { session: session_leaves, reason, cut_short, done });
    session.unbind();
}

pub(super) fn version(responder: Responder) {
    let part = |text: &str| text.parse().unwrap_or(0);
    let version = [
        part(env!("CARGO_PKG_VERSION_MAJOR")),
        part(env!("CARGO_PKG_VERSION_MINOR")),
        part(env!("CARGO_PKG_VERSION_PATCH")),
    ];
    let body = VersionBody { server: SERVER.to_owned(), version, protocol: PROTOCOL_VERSION };
    responder.done_with_body(0, &body);
}

fn describe_pipes(scanner: &Scanner, binding: &Binding) -> Vec<PipeDescription> {
    let function = match function::other(&scanner.info, binding.interface.0, scanner.function) {
        Some(other) if binding.interface != scanner.function.interface => other,
        _ => scanner.function,
    };
    let bound = |address| binding.pipes().any(|pipe| pipe.address == address);
    let endpoints = function::endpoints(&scanner.info, function).iter().enumerate();
    endpoints.map(|(at, e)| function::describe(at, e, scanner.info.speed, bound(e.address))).collect()
}

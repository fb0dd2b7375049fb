//! Commands that look, open and close: nothing here moves a byte.

use std::sync::Arc;

use crossbeam_channel::{Receiver, select};
use usbscan_usb::{DeviceInfo, InterfaceNumber};
use usbscan_wire::{
    ChannelSizesBody, DeviceDescriptorBody, DeviceEntry, ListBody, MODEL_LIMIT, OpenBody, PROTOCOL_VERSION, Pipe,
    PipeConfigurationBody, PipeDescription, StatusBody, VersionBody,
};

use super::{Handler, Opened, truncate};
use crate::dispatch::core::Core;
use crate::failure::Failure;
use crate::reply::responder::Responder;
use crate::scanner::function::{self, Function};
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

    pub(super) fn lock(&self, responder: Responder, wait: bool, if_unused: bool) {
        let unused_for = if_unused.then(|| self.core.configured.now().unused);
        or_fail!(responder, self.opened()).scanner.lock(self.session, responder, wait, unused_for);
    }

    pub(super) fn unlock(&self, responder: Responder) {
        let Opened { scanner, binding } = or_fail!(responder, self.opened());
        scanner.unlock(self.session, &binding, responder);
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

    pub(super) fn escl_quirks(&self, responder: Responder, model: Option<&str>) {
        let Opened { scanner, .. } = or_fail!(responder, self.opened());
        if model.is_some_and(|model| model.len() > MODEL_LIMIT) {
            return responder.fail(&Failure::BadValue { field: "model", expected: "at most 512 bytes" });
        }
        let info = scanner.info();
        let (manufacturer, product) = (info.manufacturer.as_deref(), info.product.as_deref());
        let by_usb = full_name(manufacturer.unwrap_or_default(), product.unwrap_or_default());
        let names: Vec<&str> = [by_usb.as_str()].into_iter().chain(model).collect();
        let quirks = self.core.configured.now().models.escl_quirks(&names, &mut |path, name, notes| {
            log::info!("{}: {}: {name}: {notes}", scanner.name, path.display());
        });
        responder.done_with_body(0, &quirks);
    }

    pub(super) fn device_descriptor(&self, responder: Responder) {
        let Opened { scanner, .. } = or_fail!(responder, self.opened());
        or_fail!(responder, scanner.check());
        let descriptor = &scanner.info().descriptor;
        let body = DeviceDescriptorBody {
            vendor_id: descriptor.vendor.0,
            product_id: descriptor.product.0,
            device_version: descriptor.device_version,
        };
        responder.done_with_body(0, &body);
    }
}

/// A model's name, of its USB strings: many products have their manufacturer in front already.
fn full_name(manufacturer: &str, product: &str) -> String {
    if product.starts_with(manufacturer) { product.to_owned() } else { format!("{manufacturer} {product}") }
}

/// `open`, on a thread of its own, see ordered.rs. `cancelled` is closed when it is cancelled: what was begun is undone then.
pub(super) fn open(core: &Core, session: &Arc<Session>, device: &str, options: OpenOptions, cancelled: &Receiver<()>) {
    let opened = attach(core, session, device, options, cancelled);
    match (session.ordered.done(), opened) {
        (Some(responder), Ok(opened)) => responder.done_with_body(0, &opened),
        (Some(responder), Err(failure)) => responder.fail(&failure),
        // Cancelled when it was done already.
        (None, Ok(_)) => leave(core, session, CloseReason::Closed),
        (None, Err(_)) => {}
    }
}

fn attach(
    core: &Core,
    session: &Arc<Session>,
    device: &str,
    options: OpenOptions,
    cancelled: &Receiver<()>,
) -> Result<OpenBody, Failure> {
    if let Some(binding) = session.binding() {
        return Err(Failure::AlreadyOpen { device: binding.device.clone() });
    }
    let scanner = core.registry.find(device)?;
    let gone = || Failure::Gone { device: scanner.name.clone() };
    if !Session::wait_for_disconnected(&scanner.sessions(), cancelled) {
        return Err(gone());
    }
    // Without room: what nobody takes, since this was cancelled, the supervisor takes back.
    let (done, attached) = crossbeam_channel::bounded(0);
    scanner.tell(Message::Attach { session: session.clone(), options, cancelled: cancelled.clone(), done });
    let binding = select! {
        recv(attached) -> attached => attached.unwrap_or_else(|_| Err(gone()))?,
        // Its answer says "cancelled"; nobody hears of this.
        recv(cancelled) -> _ => return Err(gone()),
    };
    log::debug!("{} opens {}", session.label(), scanner.name);
    let pipes = describe_pipes(&scanner, &binding);
    let function = function_of(&scanner, &scanner.info(), &binding);
    let (interface, protocol) = (function.interface.0, function.speaks.to_string());
    session.bind(binding);
    let device = DeviceEntry { interface, protocol, ..scanner.entry() };
    Ok(OpenBody { device, pipes, note: scanner.note.text() })
}

/// `close`, likewise. Cancelled, it goes on, and nobody waits for that.
pub(super) fn close(core: &Core, session: &Arc<Session>) {
    let is_open = session.binding().is_some();
    if is_open {
        leave(core, session, CloseReason::Closed);
    }
    match (session.ordered.done(), is_open) {
        (Some(responder), true) => responder.done(),
        (Some(responder), false) => responder.fail(&Failure::NotOpen { command: "close" }),
        (None, _) => {}
    }
}

/// `claim`, likewise. Cancelled, it goes on, and nobody waits for that.
pub(super) fn claim(core: &Core, session: &Arc<Session>, interface: u8, alternate: Option<u8>) {
    let of_scanner = |scanner: &Scanner| {
        let (session, interface) = (session.clone(), InterfaceNumber(interface));
        ask(scanner, |done| Message::Claim { session, interface, alternate, done })
    };
    let done = with_scanner(core, session, "claim", of_scanner);
    answer_ordered(session, done);
}

/// `release`, likewise. What the session has pending there is cancelled first.
pub(super) fn release(core: &Core, session: &Arc<Session>, interface: u8) {
    let interface = InterfaceNumber(interface);
    let pipes = session.binding().and_then(|binding| binding.claims.get(&interface).cloned()).unwrap_or_default();
    recovery::cancel_session_on(&pipes, session.id());
    let of_scanner = |scanner: &Scanner| {
        let session = session.clone();
        ask(scanner, |done| Message::Release { session, interface, done })
    };
    let done = with_scanner(core, session, "release", of_scanner);
    answer_ordered(session, done);
}

/// Asks the supervisor of the scanner that a session has open.
fn with_scanner(
    core: &Core,
    session: &Arc<Session>,
    command: &'static str,
    ask: impl FnOnce(&Scanner) -> Option<Result<(), Failure>>,
) -> Result<(), Failure> {
    let binding = session.binding().ok_or(Failure::NotOpen { command })?;
    let scanner = core.registry.scanner_of(&binding)?;
    ask(&scanner).unwrap_or_else(|| Err(Failure::Gone { device: scanner.name.clone() }))
}

/// Answers the one that is carried out, unless it was cancelled.
fn answer_ordered(session: &Session, done: Result<(), Failure>) {
    match (session.ordered.done(), done) {
        (Some(responder), Ok(())) => responder.done(),
        (Some(responder), Err(failure)) => responder.fail(&failure),
        (None, _) => {}
    }
}

/// A session leaves its scanner.
pub(crate) fn leave(core: &Core, session: &Arc<Session>, reason: CloseReason) {
    let Some(binding) = session.binding() else { return };
    let Ok(scanner) = core.registry.scanner_of(&binding) else { return session.unbind() };
    let cut_short = recovery::cancel_session(&scanner, &binding, session);
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

/// The part of the scanner that a session has open.
fn function_of(scanner: &Scanner, info: &DeviceInfo, binding: &Binding) -> Function {
    let own = scanner.function();
    let other = || function::other(info, binding.interface.0, &scanner.functions);
    if binding.interface == own.interface { own } else { other().unwrap_or(own) }
}

fn describe_pipes(scanner: &Scanner, binding: &Binding) -> Vec<PipeDescription> {
    let info = scanner.info();
    let function = function_of(scanner, &info, binding);
    let bound = |address| binding.bound_pipes().any(|pipe| pipe.address == address);
    let endpoints = function::endpoints(&info, function).iter().enumerate();
    endpoints.map(|(at, e)| function::describe(at, e, info.speed, bound(e.address))).collect()
}

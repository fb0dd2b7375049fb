//! Moves packets between a model and the endpoints of a gadget.
//!
//! A thread an endpoint and one for endpoint zero share the model behind a lock; each waits for the
//! kernel in short steps, so that it sees when it is to end. Unlike a host controller a gadget is not told
//! when the host asks, so what the device offers is handed to the kernel ahead of that: as much as one
//! chunk, taken back when the model throws it away. dummy_hcd keeps up to 64 bytes of that in a FIFO of its own, which
//! nothing takes back.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use parking_lot::{Condvar, Mutex, MutexGuard};
use usb_gadget::function::custom::{CtrlReq, Custom, EndpointReceiver, EndpointSender, Event};
use usbscan_usb::{Direction, EndpointAddress, EndpointDescriptor, Setup, TransferType};
use usbscan_virtual::{AfterReset, Control, In, Model, Out};

/// How long a wait for the kernel lasts before the thread looks up.
const GLANCE: Duration = Duration::from_millis(20);
/// The same for what the host sends: a thread that makes the model forget waits for it.
const OUT_GLANCE: Duration = Duration::from_millis(5);
/// A chunk handed to the kernel.
const CHUNK: usize = 64 * 1024;
/// A control request that the model never answers is refused after so long: FunctionFS can't tell whether
/// the host gave it up, and the next one could not be read before.
const HANG: Duration = Duration::from_secs(3);
/// How long a chunk may take to be taken back.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What FunctionFS answers when an endpoint was halted on request.
const EBADMSG: i32 = 74;
/// A control request that the host gave up, or replaced.
const EIDRM: i32 = 43;

struct PumpState {
    model: Box<dyn Model>,
    /// The host has configured the device.
    enabled: bool,
    stopping: bool,
    /// For each chunk in the kernel: what the model's `forgotten` was when it was drawn.
    drawn: Vec<(EndpointAddress, u64)>,
    /// How often the model forgot what the host had sent, and of how many of these each OUT endpoint knows.
    flushes: u64,
    flushed: Vec<(EndpointAddress, u64)>,
    fell_off: Option<Box<dyn FnOnce() + Send>>,
}

impl PumpState {
    fn known_flush(&self, endpoint: EndpointAddress) -> u64 {
        self.flushed.iter().find(|(address, _)| *address == endpoint).map_or(0, |(_, flush)| *flush)
    }
}

/// A model on a gadget.
pub struct Pump {
    state: Mutex<PumpState>,
    changed: Condvar,
}

impl Pump {
    /// `fell_off` is called when the model leaves the bus by itself.
    pub fn new(model: Box<dyn Model>, fell_off: impl FnOnce() + Send + 'static) -> Arc<Pump> {
        let fell_off: Option<Box<dyn FnOnce() + Send>> = Some(Box::new(fell_off));
        let (drawn, flushed) = (Vec::new(), Vec::new());
        let state = PumpState { model, enabled: false, stopping: false, drawn, flushes: 0, flushed, fell_off };
        Arc::new(Pump { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Makes all threads end soon.
    pub fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    fn wait(&self, state: &mut MutexGuard<'_, PumpState>, until: Option<Instant>) {
        match until {
            Some(until) => drop(self.changed.wait_until(state, until)),
            None => self.changed.wait(state),
        }
    }

    fn fall_off(&self, mut state: MutexGuard<'_, PumpState>) {
        state.stopping = true;
        let fell_off = state.fell_off.take();
        drop(state);
        self.changed.notify_all();
        if let Some(fell_off) = fell_off {
            fell_off();
        }
    }

    /// The next thing to send; `None`: the end.
    fn draw(&self, endpoint: &EndpointDescriptor, buffer: &mut [u8]) -> Option<Draw> {
        let mut state = self.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            let now = Instant::now();
            let answer = match endpoint.transfer_type {
                _ if !state.enabled => In::Nak,
                TransferType::Interrupt => state.model.interrupt_in(now, endpoint.address, buffer),
                _ => state.model.bulk_in(now, endpoint.address, buffer),
            };
            match answer {
                In::Data(n) => {
                    let forgotten = state.model.forgotten();
                    state.drawn.push((endpoint.address, forgotten));
                    self.changed.notify_all();
                    return Some(Draw::Data(n, forgotten));
                }
                In::Nak => self.wait(&mut state, None),
                In::NakUntil(until) => self.wait(&mut state, Some(until)),
                In::Stall => {
                    // The controller keeps the halt from now on, and clears it when the host does.
                    state.model.clear_halt(endpoint.address);
                    return Some(Draw::Stall);
                }
                In::Babble | In::Garbled => log::warn!("a gadget can't send rubbish; that fault is left out"),
                In::Gone => {
                    self.fall_off(state);
                    return None;
                }
            }
        }
    }

    fn sent(&self, endpoint: EndpointAddress) {
        let mut state = self.state.lock();
        state.drawn.retain(|(address, _)| *address != endpoint);
        self.changed.notify_all();
    }

    fn has_forgotten(&self, since: u64) -> bool {
        let state = self.state.lock();
        state.model.forgotten() != since || state.stopping || !state.enabled
    }

    /// Sends on one IN endpoint until the end.
    pub fn pump_in(&self, endpoint: &EndpointDescriptor, mut sender: EndpointSender) {
        let packet = usize::from(endpoint.max_packet_size).max(1);
        let mut buffer = vec![0; (CHUNK / packet).max(1) * packet];
        while let Some(draw) = self.draw(endpoint, &mut buffer) {
            let ended = match draw {
                Draw::Stall => halted(sender.control().and_then(|control| control.halt())),
                Draw::Data(n, forgotten) => {
                    let ended = self.send(&mut sender, buffer[..n].to_vec(), forgotten);
                    self.sent(endpoint.address);
                    ended
                }
            };
            self.settle(endpoint.address, ended);
        }
    }

    /// Hands bytes to the kernel and waits until the host took them, or until they are not wanted any more.
    fn send(&self, sender: &mut EndpointSender, bytes: Vec<u8>, forgotten: u64) -> io::Result<()> {
        sender.try_send(bytes.into())?;
        loop {
            match sender.flush_timeout(GLANCE) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                ended => return ended,
            }
            if self.has_forgotten(forgotten) {
                return sender.cancel();
            }
        }
    }

    /// Takes what comes on one OUT endpoint until the end, a packet at a time, so that packets keep their borders.
    pub fn pump_out(&self, endpoint: &EndpointDescriptor, mut receiver: EndpointReceiver) {
        let packet = usize::from(endpoint.max_packet_size).max(1);
        while !self.is_stopping() {
            if self.flush(endpoint.address, &mut receiver) {
                continue;
            }
            if !self.state.lock().enabled {
                let mut state = self.state.lock();
                self.wait(&mut state, Some(Instant::now() + GLANCE));
                continue;
            }
            let fetched = match receiver.is_empty() {
                true => receiver.try_recv(BytesMut::with_capacity(packet)).map(|()| None),
                false => receiver.fetch_timeout(OUT_GLANCE),
            };
            match fetched {
                Ok(None) => {}
                Ok(Some(bytes)) => self.hand_over(endpoint.address, &bytes, &mut receiver),
                Err(error) => self.settle(endpoint.address, Err(error)),
            }
        }
    }

    /// Throws away what the controller has taken and the model was to forget, if there was an order for that.
    fn flush(&self, endpoint: EndpointAddress, receiver: &mut EndpointReceiver) -> bool {
        let state = self.state.lock();
        let flushes = state.flushes;
        if state.known_flush(endpoint) == flushes {
            return false;
        }
        drop(state);
        // It waits for what is on its way to us: that nothing has come yet would not tell.
        if let Err(error) = receiver.cancel() {
            log::debug!("endpoint {endpoint}: {error}");
        }
        let mut state = self.state.lock();
        state.flushed.retain(|(address, _)| *address != endpoint);
        state.flushed.push((endpoint, flushes));
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Offers a packet to the model until it takes it; the host is not acknowledged another one before. One that the
    /// host had sent before the model forgot everything is thrown away.
    fn hand_over(&self, endpoint: EndpointAddress, packet: &[u8], receiver: &mut EndpointReceiver) {
        let mut state = self.state.lock();
        while !state.stopping && state.known_flush(endpoint) == state.flushes {
            match state.model.bulk_out(Instant::now(), endpoint, packet) {
                Out::Ack => {
                    self.changed.notify_all();
                    return;
                }
                Out::Nak => self.wait(&mut state, None),
                Out::NakUntil(until) => self.wait(&mut state, Some(until)),
                // The host's packet was acknowledged before the model saw it; the next one is refused.
                Out::Stall => {
                    state.model.clear_halt(endpoint);
                    drop(state);
                    let ended = halted(receiver.control().and_then(|control| control.halt()));
                    self.settle(endpoint, ended);
                    state = self.state.lock();
                }
                Out::Gone => return self.fall_off(state),
            }
        }
    }

    /// After an error (the host reset or left the device) nothing is tried for a moment.
    fn settle(&self, endpoint: EndpointAddress, ended: io::Result<()>) {
        let Err(error) = ended else { return };
        log::debug!("endpoint {endpoint}: {error}");
        let mut state = self.state.lock();
        if !state.stopping {
            self.wait(&mut state, Some(Instant::now() + GLANCE));
        }
    }

    /// Answers what comes on endpoint zero until the end. `out_files`: the files of OUT endpoints.
    pub fn pump_control(&self, mut custom: Custom, out_files: &[(EndpointAddress, Box<Path>)]) {
        while !self.is_stopping() {
            match custom.event_timeout(GLANCE) {
                Ok(Some(event)) => self.answer(event, out_files),
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(EIDRM) => {}
                Err(error) => self.settle(EndpointAddress::CONTROL, Err(error)),
            }
        }
    }

    fn answer(&self, event: Event<'_>, out_files: &[(EndpointAddress, Box<Path>)]) {
        let done = match event {
            Event::Enable => {
                self.set_enabled(true);
                Ok(())
            }
            Event::Disable | Event::Unbind => {
                self.set_enabled(false);
                Ok(())
            }
            Event::SetupDeviceToHost(request) => match self.ask(setup_of(request.ctrl_req()), &[], out_files) {
                Some(answer) => {
                    let most = answer.len().min(request.len());
                    request.send(&answer[..most]).map(drop)
                }
                None => request.halt(),
            },
            Event::SetupHostToDevice(request) if request.is_empty() => {
                match self.ask(setup_of(request.ctrl_req()), &[], out_files) {
                    Some(_) => request.recv_all().map(drop),
                    None => request.halt(),
                }
            }
            Event::SetupHostToDevice(request) => {
                let setup = setup_of(request.ctrl_req());
                // Reading the data acknowledges the request: it can't be refused any more.
                request.recv_all().map(|data| {
                    if self.ask(setup, &data, out_files).is_none() {
                        log::warn!("request {:#04x} should have been refused", setup.request);
                    }
                })
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            log::debug!("endpoint zero: {error}");
        }
    }

    fn set_enabled(&self, enabled: bool) {
        let mut state = self.state.lock();
        if state.enabled && !enabled {
            state.model.reset();
            match state.model.after_reset() {
                AfterReset::Stays => {}
                AfterReset::Moves(_) => log::warn!("a gadget can't choose its address; it stays where it is"),
                AfterReset::Leaves => return self.fall_off(state),
            }
        }
        state.enabled = enabled;
        self.changed.notify_all();
    }

    /// Puts a request to the model; `None`: refused.
    fn ask(&self, setup: Setup, data: &[u8], out_files: &[(EndpointAddress, Box<Path>)]) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        let before = state.model.forgotten();
        let answer = loop {
            match state.model.control(Instant::now(), setup, data) {
                Control::Done(answer) => break Some(answer),
                Control::Stall => break None,
                Control::NakUntil(until) => self.wait(&mut state, Some(until)),
                Control::Hang => {
                    let until = Instant::now() + HANG;
                    while !state.stopping && Instant::now() < until {
                        self.wait(&mut state, Some(until));
                    }
                    return None;
                }
                Control::Gone => {
                    self.fall_off(state);
                    return None;
                }
            }
        };
        if state.model.forgotten() != before {
            state.flushes += 1;
        }
        self.changed.notify_all();
        self.take_back(&mut state, out_files);
        for (endpoint, file) in out_files {
            if state.model.is_halted(*endpoint) {
                state.model.clear_halt(*endpoint);
                self.settle_halt(*endpoint, file);
            }
        }
        answer
    }

    /// Waits until nothing is in the kernel that the model has forgotten: neither a chunk for the host, nor a packet of
    /// the host's, for a control request overtakes those.
    fn take_back(&self, state: &mut MutexGuard<'_, PumpState>, out_files: &[(EndpointAddress, Box<Path>)]) {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline && !state.stopping {
            let forgotten = state.model.forgotten();
            let flushed = out_files.iter().all(|(endpoint, _)| state.known_flush(*endpoint) == state.flushes);
            if flushed && state.drawn.iter().all(|(_, drawn)| *drawn == forgotten) {
                return;
            }
            self.wait(state, Some(deadline));
        }
        log::warn!("what the model has forgotten could not be taken back from the controller in time");
    }

    /// Halts an OUT endpoint under the thread that waits on it: writing to it is how FunctionFS is told.
    fn settle_halt(&self, endpoint: EndpointAddress, file: &Path) {
        let ended = OpenOptions::new().write(true).open(file).and_then(|mut file| file.write(&[0]).map(drop));
        if let Err(error) = halted(ended) {
            log::warn!("halt endpoint {endpoint}: {error}");
        }
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").finish_non_exhaustive()
    }
}

enum Draw {
    Data(usize, u64),
    Stall,
}

/// Halting answers "bad message" when it worked.
fn halted(ended: io::Result<()>) -> io::Result<()> {
    ended.or_else(|error| if error.raw_os_error() == Some(EBADMSG) { Ok(()) } else { Err(error) })
}

fn setup_of(request: &CtrlReq) -> Setup {
    Setup {
        request_type: request.request_type,
        request: request.request,
        value: request.value,
        index: request.index,
        length: request.length,
    }
}

/// Whether the device sends on it.
pub fn is_in(endpoint: &EndpointDescriptor) -> bool {
    endpoint.address.direction() == Direction::In
}

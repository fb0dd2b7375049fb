//! A claimed scanner: the open device, its interfaces, a worker for each endpoint that a session uses. The scanner's
//! supervisor owns it; opening and closing may take a while, and nobody else waits for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use usbscan_usb::{Device, EndpointAddress, EndpointDescriptor, Error, ErrorKind, InterfaceNumber, TransferType};

use crate::capture::Tap;
use crate::config::PipeDefaults;
use crate::config::models::Quirks;
use crate::pipe::endpoint_io::WATCHDOG;
use crate::pipe::orders::{Order, PipeEvent, PipeHandle, Role};
use crate::pipe::stream::PipeSettings;
use crate::pipe::worker::{self, Worker};
use crate::scanner::function::{self, Function};
use crate::scanner::handle::Scanner;
use crate::scanner::message::Message;

/// How a port reset ended.
#[derive(Debug)]
pub(crate) enum ResetEnd {
    /// The device is there as it was, every interface in its setting.
    Done,
    /// It has left the bus: it comes back to its port as another device, or not at all.
    Left(Error),
    /// The bus did not do it, and nothing has changed.
    Refused(Error),
    /// The call has not returned. The device is with it.
    Stuck,
}

/// See the head of this file.
pub(crate) struct Claimed {
    /// `None` while a port reset has it.
    device: Option<Box<dyn Device>>,
    /// Those that are ours, each with the setting that it is in.
    interfaces: BTreeMap<InterfaceNumber, u8>,
    workers: Vec<Worker>,
    scanner: Arc<Scanner>,
    defaults: PipeDefaults,
}

impl Claimed {
    /// Opens the device, claims its scanner interface, and starts the control pipe.
    ///
    /// # Errors
    /// As the bus says: gone, not allowed, in use by another.
    pub fn open(scanner: &Arc<Scanner>, defaults: PipeDefaults) -> Result<Claimed, Error> {
        let device = Some(scanner.bus.open(&scanner.info().location)?);
        let mut claimed =
            Claimed { device, interfaces: BTreeMap::new(), workers: Vec::new(), scanner: scanner.clone(), defaults };
        match claimed.begin() {
            Ok(()) => Ok(claimed),
            Err(error) => {
                claimed.close();
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.first_that_is_free()?;
        self.start(Role::Control, EndpointAddress::CONTROL)?;
        Ok(())
    }

    /// Claims the part of the scanner that is preferred among those that no other program has. Where it has all of them, the
    /// first says who.
    fn first_that_is_free(&mut self) -> Result<(), Error> {
        let scanner = self.scanner.clone();
        let mut busy = None;
        for function in &scanner.functions {
            match self.interface(*function) {
                Ok(()) => {
                    scanner.set_function(*function);
                    return Ok(());
                }
                Err(error) if matches!(error.kind, ErrorKind::Busy(_)) => {
                    log::debug!("{error}");
                    busy.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(busy.unwrap_or_else(|| Error::new(ErrorKind::NotFound, "claim an interface of a device that has none")))
    }

    fn quirks(&self) -> Quirks {
        self.scanner.model.as_ref().map_or_else(Quirks::default, |model| model.quirks)
    }

    /// Claims another interface in the setting in which it is a scanner, or the same again.
    pub fn interface(&mut self, function: Function) -> Result<(), Error> {
        if self.interfaces.contains_key(&function.interface) {
            return Ok(());
        }
        if self.take(function.interface)? != function.alternate {
            self.set_alternate(function.interface, function.alternate)?;
        }
        Ok(())
    }

    /// Claims an interface, or the same again; says which setting it is in.
    pub fn take(&mut self, interface: InterfaceNumber) -> Result<u8, Error> {
        if let Some(alternate) = self.interfaces.get(&interface) {
            return Ok(*alternate);
        }
        let device = self.device()?;
        device.claim(interface)?;
        let alternate = device.alternate(interface);
        self.interfaces.insert(interface, alternate);
        Ok(alternate)
    }

    /// The setting that an interface of ours is in.
    pub fn alternate(&self, interface: InterfaceNumber) -> Option<u8> {
        self.interfaces.get(&interface).copied()
    }

    /// Another setting of an interface of ours, or the same again, on whose pipes nothing is pending. They end.
    pub fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) -> Result<(), Error> {
        self.retire(interface)?;
        self.device()?.set_alternate(interface, alternate)?;
        self.interfaces.insert(interface, alternate);
        Ok(())
    }

    /// Gives an interface back, on whose pipes nothing is pending. They end.
    pub fn give_back(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        self.retire(interface)?;
        self.interfaces.remove(&interface);
        self.device()?.release(interface)
    }

    /// The pipes of the setting that an interface of ours is in, those left out that usbscan has no use for.
    pub fn pipes_of(&mut self, interface: InterfaceNumber) -> Result<Vec<PipeHandle>, Error> {
        let info = self.scanner.info();
        let alternate = self.alternate(interface);
        let setting = function::settings(&info, interface).find(|setting| Some(setting.alternate) == alternate);
        let endpoints = setting.iter().flat_map(|setting| &setting.endpoints);
        endpoints.filter(|one| function::role_when_claimed(one).is_some()).map(|one| self.pipe(one)).collect()
    }

    /// Ends the workers of the setting that an interface is in.
    fn retire(&mut self, interface: InterfaceNumber) -> Result<(), Error> {
        let info = self.scanner.info();
        let alternate = self.alternate(interface);
        let setting = function::settings(&info, interface).find(|setting| Some(setting.alternate) == alternate);
        let has = |address| setting.is_some_and(|setting| setting.endpoints.iter().any(|one| one.address == address));
        let (retiring, staying): (Vec<_>, Vec<_>) =
            self.workers.drain(..).partition(|worker| has(worker.handle.address));
        self.workers = staying;
        retiring.iter().for_each(|worker| worker.handle.tell(Order::Retire));
        let deadline = Instant::now() + WATCHDOG;
        // Each is joined, also behind one that did not end in time.
        let mut all_ended = true;
        for worker in retiring {
            all_ended &= worker.join(deadline);
        }
        let stuck = || Error::new(ErrorKind::HostStuck, format!("end the pipes of interface {interface}"));
        if all_ended { Ok(()) } else { Err(stuck()) }
    }

    fn device(&mut self) -> Result<&mut dyn Device, Error> {
        match &mut self.device {
            Some(device) => Ok(&mut **device),
            None => Err(Error::new(ErrorKind::HostStuck, "use a device that is being reset")),
        }
    }

    /// The pipe of an endpoint; its worker starts when it is first wanted.
    pub fn pipe(&mut self, endpoint: &EndpointDescriptor) -> Result<PipeHandle, Error> {
        if let Some(worker) = self.workers.iter().find(|worker| worker.handle.address == endpoint.address) {
            return Ok(worker.handle.clone());
        }
        let unfit = || Error::new(ErrorKind::NotSupported, format!("use endpoint {}", endpoint.address));
        self.start(function::role_when_claimed(endpoint).ok_or_else(unfit)?, endpoint.address)
    }

    pub fn control(&self) -> &PipeHandle {
        &self.workers[0].handle
    }

    /// All pipes that run.
    pub fn handles(&self) -> Vec<PipeHandle> {
        self.workers.iter().map(|worker| worker.handle.clone()).collect()
    }

    fn start(&mut self, role: Role, address: EndpointAddress) -> Result<PipeHandle, Error> {
        let quirks = self.quirks();
        let clears = quirks.clear_halt_on_open && matches!(role, Role::Read | Role::Write);
        if clears {
            self.prepare_to_clear();
        }
        let (completions, done) = unbounded();
        let mut endpoint = self.device()?.endpoint(address, completions)?;
        if clears {
            endpoint.clear_halt()?;
        }
        let settings = PipeSettings {
            depth: match role {
                Role::Read => quirks.queue_depth.map_or(self.defaults.queue_depth, usize::from),
                _ => 1,
            },
            max_transfer: quirks
                .max_transfer_bytes
                .map_or(self.defaults.max_transfer_bytes, |bytes| self.defaults.max_transfer_bytes.min(bytes as usize)),
        };
        let scanner = self.scanner.clone();
        let notify = move |event| handle_pipe_event(&scanner, address, event);
        let worker = worker::start(&self.scanner.name, role, endpoint, done, settings, self.tap(role, address), notify)
            .map_err(|error| {
                let code = error.raw_os_error().unwrap_or_default();
                Error::new(ErrorKind::NoResources, format!("start a thread for endpoint {address}")).with_code(code)
            })?;
        let handle = worker.handle.clone();
        self.workers.push(worker);
        Ok(handle)
    }

    fn tap(&self, role: Role, endpoint: EndpointAddress) -> Tap {
        let transfer = match role {
            Role::Control => TransferType::Control,
            Role::Event => TransferType::Interrupt,
            Role::Read | Role::Write => TransferType::Bulk,
        };
        let usbscan_usb::Location { bus, address, .. } = self.scanner.info().location;
        Tap { taps: self.scanner.taps.clone(), endpoint, transfer, bus, address }
    }

    /// What some models need before a halt is cleared (see quirks/). Choosing an alternate setting ends every transfer of
    /// the interface, so it is left out while another pipe is in use; the bus refuses it then.
    pub fn prepare_to_clear(&mut self) {
        if !self.quirks().set_alt_before_clear {
            return;
        }
        let interface = self.scanner.function().interface;
        let alternate = self.alternate(interface).unwrap_or(self.scanner.function().alternate);
        let chosen = self.device().and_then(|device| device.set_alternate(interface, alternate));
        if let Err(error) = chosen {
            log::debug!("{error}");
        }
    }

    /// Resets the port, on a thread of its own: the call may never return. Nothing is in flight.
    pub fn reset(&mut self, limit: Duration) -> ResetEnd {
        let Some(mut device) = self.device.take() else { return ResetEnd::Stuck };
        // Without room: what was sent was received, or comes back to the sender.
        let (sender, end) = bounded(0);
        let scanner = self.scanner.clone();
        let reset = move || {
            let result = device.reset();
            if let Err(late) = sender.send((device, result)) {
                let (device, _) = late.into_inner();
                scanner.tell(Message::ResetReturned(device));
            }
        };
        let thread = std::thread::Builder::new().name(format!("reset {}", self.scanner.name)).spawn(reset);
        let thread = match thread {
            Ok(thread) => thread,
            // The device went with it: it is opened anew.
            Err(error) => {
                return ResetEnd::Left(Error::new(ErrorKind::NoResources, format!("start a thread: {error}")));
            }
        };
        let Ok((device, result)) = end.recv_timeout(limit) else { return ResetEnd::Stuck };
        if thread.join().is_err() {
            log::error!("{}: the thread of the port reset panicked", self.scanner.name);
        }
        self.after_reset(device, result)
    }

    fn after_reset(&mut self, mut device: Box<dyn Device>, result: Result<(), Error>) -> ResetEnd {
        // A reset puts every interface back into its first setting.
        let restored = result.and_then(|()| {
            let mut others = self.interfaces.iter().filter(|(_, alternate)| **alternate != 0);
            others.try_for_each(|(interface, alternate)| device.set_alternate(*interface, *alternate))
        });
        match restored {
            Err(error) if error.kind == ErrorKind::NoDevice => {
                if let Err(error) = device.close(WATCHDOG) {
                    log::warn!("{error}");
                }
                ResetEnd::Left(error)
            }
            restored => {
                self.device = Some(device);
                restored.map_or_else(ResetEnd::Refused, |()| ResetEnd::Done)
            }
        }
    }

    /// The device is back at its port as another one of the bus: it is opened and claimed as it was, and the pipes go on with
    /// its endpoints. They are quiet.
    ///
    /// # Errors
    /// As the bus says. The pipes have no device then.
    pub fn reopen(&mut self) -> Result<(), Error> {
        let mut device = self.scanner.bus.open(&self.scanner.info().location)?;
        let reopened = self.reopen_with(&mut *device);
        match reopened {
            Ok(()) => self.device = Some(device),
            Err(_) => {
                // What goes wrong there says no more than why it is closed.
                let _ = device.close(WATCHDOG);
            }
        }
        reopened
    }

    fn reopen_with(&self, device: &mut dyn Device) -> Result<(), Error> {
        self.interfaces.iter().try_for_each(|(interface, alternate)| claim(device, *interface, *alternate))?;
        for worker in &self.workers {
            let (completions, done) = unbounded();
            let address = worker.handle.address;
            let endpoint = device.endpoint(address, completions)?;
            let tap = self.tap(worker.handle.role, address);
            worker.handle.tell(Order::Replace { endpoint, completions: done, tap });
        }
        Ok(())
    }

    /// Whether no port reset has the device.
    pub fn has_device(&self) -> bool {
        self.device.is_some()
    }

    /// Takes the device back whose port reset has returned after all.
    pub fn take_back(&mut self, device: Box<dyn Device>) {
        self.device = Some(device);
    }

    /// Ends the workers, lets the interfaces go and closes. Says so in the log when the host does not play along;
    /// what it holds is then left to it.
    pub fn close(self) {
        let Claimed { device, workers, scanner, .. } = self;
        let label = scanner.info().label();
        // Control first; a hung control request blocks the others' cancels.
        workers.iter().for_each(|worker| worker.handle.tell(Order::Retire));
        let deadline = Instant::now() + WATCHDOG;
        let stuck = workers.into_iter().filter_map(|worker| (!worker.join(deadline)).then_some(())).count();
        if stuck > 0 {
            log::error!("{label}: {stuck} of its pipes do not end; abandoned");
            // Closing it would wait for them in the kernel, where nothing can be cancelled.
            std::mem::forget(device);
            return;
        }
        if let Some(Err(error)) = device.map(|device| device.close(WATCHDOG)) {
            log::error!("close {label}: {error}");
        }
    }
}

fn claim(device: &mut dyn Device, interface: InterfaceNumber, alternate: u8) -> Result<(), Error> {
    device.claim(interface)?;
    // The first setting is chosen already, and choosing it again makes some devices print garbage.
    if alternate == 0 { Ok(()) } else { device.set_alternate(interface, alternate) }
}

/// A pipe tells something: it concerns all pipes at once, and then the supervisor.
fn handle_pipe_event(scanner: &Scanner, address: EndpointAddress, event: PipeEvent) {
    match event {
        PipeEvent::Lost => {
            log::info!("{}: device disconnected (endpoint 0x{address})", scanner.name);
            scanner.tell_pipes(|| Order::Lost);
        }
        PipeEvent::HostStuck => {
            let seconds = WATCHDOG.as_secs();
            log::error!(
                "{}: endpoint {address}: the host controller did not return a transfer {seconds} s after its cancel",
                scanner.name
            );
            scanner.set_host_stuck();
            scanner.tell_pipes(|| Order::HostStuck);
        }
        PipeEvent::AllReturned | PipeEvent::Halted => {}
    }
    scanner.tell(Message::PipeEvent(event));
}

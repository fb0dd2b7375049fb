//! A claimed scanner: the open device, its interfaces, a worker for each endpoint that somebody uses. The scanner's
//! supervisor owns it; opening and closing may take a while, and nobody else waits for them.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::unbounded;
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

/// See the head of this file.
pub(crate) struct Claimed {
    device: Box<dyn Device>,
    interfaces: Vec<InterfaceNumber>,
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
        let device = scanner.bus.open(&scanner.info.location)?;
        let mut claimed =
            Claimed { device, interfaces: Vec::new(), workers: Vec::new(), scanner: scanner.clone(), defaults };
        match claimed.begin() {
            Ok(()) => Ok(claimed),
            Err(error) => {
                claimed.close();
                Err(error)
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.interface(self.scanner.function)?;
        self.start(Role::Control, EndpointAddress::CONTROL)?;
        Ok(())
    }

    fn quirks(&self) -> Quirks {
        self.scanner.model.as_ref().map_or_else(Quirks::default, |model| model.quirks)
    }

    /// Claims another interface, or the same again.
    pub fn interface(&mut self, function: Function) -> Result<(), Error> {
        if self.interfaces.contains(&function.interface) {
            return Ok(());
        }
        self.device.claim(function.interface)?;
        if function.alternate != 0 {
            self.device.set_alternate(function.interface, function.alternate)?;
        }
        self.interfaces.push(function.interface);
        Ok(())
    }

    /// The pipe of an endpoint; its worker starts when it is first wanted.
    pub fn pipe(&mut self, endpoint: &EndpointDescriptor) -> Result<PipeHandle, Error> {
        if let Some(worker) = self.workers.iter().find(|worker| worker.handle.address == endpoint.address) {
            return Ok(worker.handle.clone());
        }
        let unfit = || Error::new(ErrorKind::NotSupported, format!("use endpoint {}", endpoint.address));
        self.start(function::role(endpoint).ok_or_else(unfit)?, endpoint.address)
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
        let mut endpoint = self.device.endpoint(address, completions)?;
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
        let usbscan_usb::Location { bus, address, .. } = self.scanner.info.location;
        Tap { taps: self.scanner.taps.clone(), endpoint, transfer, bus, address }
    }

    /// What some models need before a halt is cleared (see quirks/). Choosing an alternate setting ends every transfer of
    /// the interface, so it is left out while another pipe is in use; the bus refuses it then.
    pub fn prepare_to_clear(&mut self) {
        if !self.quirks().set_alt_before_clear {
            return;
        }
        let function = self.scanner.function;
        if let Err(error) = self.device.set_alternate(function.interface, function.alternate) {
            log::debug!("{error}");
        }
    }

    /// Resets the port. Nothing is in flight.
    pub fn reset(&mut self) -> Result<(), Error> {
        self.device.reset()
    }

    /// Ends the workers, lets the interfaces go and closes. Says so in the log when the host does not play along;
    /// what it holds is then left to it.
    pub fn close(self) {
        let Claimed { device, workers, scanner, .. } = self;
        let label = scanner.info.label();
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
        if let Err(error) = device.close(WATCHDOG) {
            log::error!("close {label}: {error}");
        }
    }
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

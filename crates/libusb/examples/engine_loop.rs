//! The work of `bare_loop`, through the engine: what the seam costs.
//!
//!     cargo run --release -p usbscan-libusb --example engine_loop -- --queued 4 --size 262144
//!
//! With `--memory shared` into memory that could be shared with another process, as usbscand reads for its clients.

mod load;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use load::{Load, Took};
use usbscan_libusb::LibusbBus;
use usbscan_shm::SharedMemory;
use usbscan_usb::{
    Buffer, Bus, Completion, Device, Direction, Endpoint, EndpointAddress, Error, ErrorKind, InterfaceNumber, Setup,
    Token, TransferStatus, TransferType,
};

struct Pipe {
    endpoint: Box<dyn Endpoint>,
    done: Receiver<Completion>,
}

fn main() -> ExitCode {
    // The engine has no synchronous calls, and this program no writes.
    let Some(load) = Load::from_arguments().filter(|load| load.queued > 0 && !load.out) else {
        eprintln!("usage: engine_loop {} [--memory own|shared]; it queues, and reads", load::USAGE);
        return ExitCode::from(2);
    };
    match run(&load) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(load: &Load) -> Result<(), Error> {
    let bus = LibusbBus::new()?;
    let list = bus.list()?;
    let found = list.iter().find(|i| (i.descriptor.vendor.0, i.descriptor.product.0) == load.device);
    let info = found.ok_or_else(|| Error::new(ErrorKind::NoDevice, "find the loopback"))?;
    let mut device = bus.open(&info.location)?;
    device.claim(InterfaceNumber(0))?;
    let interfaces = info.configuration.iter().flat_map(|configuration| &configuration.interfaces);
    let endpoint = interfaces.into_iter().find_map(|i| i.endpoint(TransferType::Bulk, Direction::In));
    let address = endpoint.ok_or_else(|| Error::new(ErrorKind::NotFound, "find a bulk-in endpoint"))?.address;
    let mut control = pipe(&mut *device, EndpointAddress::CONTROL)?;
    let mut bulk_in = pipe(&mut *device, address)?;
    tell(&mut control, 0x14, 0)?;
    let name = if load.shared { "engine-shared" } else { "engine" };
    load.report_cancels(name, cancels(load, &mut bulk_in)?);
    for kib in load.runs() {
        tell(&mut control, 0x15, kib)?;
    }
    load.report_throughput(name, Took::by(|| reads(load, &mut bulk_in))?);
    device.close(Duration::from_secs(5))
}

fn pipe(device: &mut dyn Device, address: EndpointAddress) -> Result<Pipe, Error> {
    let (completions, done) = unbounded();
    Ok(Pipe { endpoint: device.endpoint(address, completions)?, done })
}

impl Pipe {
    fn submit(&mut self, token: u64, buffer: impl Into<Buffer>) -> Result<(), Error> {
        self.endpoint.submit(Token(token), buffer.into()).map_err(|rejected| rejected.error)
    }

    fn wait(&self, expected: TransferStatus) -> Result<Completion, Error> {
        let completion = self.done.recv().expect("an accepted transfer completes");
        if completion.status == expected {
            return Ok(completion);
        }
        Err(Error::new(ErrorKind::Io, format!("a transfer that should be {expected:?} was {:?}", completion.status)))
    }
}

fn tell(control: &mut Pipe, request: u8, value: u16) -> Result<(), Error> {
    control.submit(0, Setup::vendor(Direction::Out, request, value, 0, 0).buffer(&[]))?;
    control.wait(TransferStatus::Completed).map(drop)
}

fn buffer(load: &Load) -> Result<Buffer, Error> {
    if !load.shared {
        return Ok(vec![0; load.size].into());
    }
    let memory = SharedMemory::new(load.size).ok();
    let region = memory.and_then(|memory| memory.region(0..load.size));
    region.map(Buffer::from).ok_or_else(|| Error::new(ErrorKind::NoResources, "make memory to share"))
}

fn reads(load: &Load, bulk_in: &mut Pipe) -> Result<(), Error> {
    let mut buffers = (0..load.queued).map(|_| buffer(load)).collect::<Result<Vec<Buffer>, Error>>()?;
    let (mut token, mut asked, mut in_flight) = (0, 0, 0);
    while asked < load.bytes || in_flight > 0 {
        match buffers.pop() {
            Some(buffer) if asked < load.bytes => {
                token += 1;
                bulk_in.submit(token, buffer)?;
                asked += load.size;
                in_flight += 1;
            }
            _ => {
                buffers.push(bulk_in.wait(TransferStatus::Completed)?.buffer);
                in_flight -= 1;
            }
        }
    }
    Ok(())
}

fn cancels(load: &Load, bulk_in: &mut Pipe) -> Result<Vec<Duration>, Error> {
    let mut took = Vec::with_capacity(load.rounds);
    let mut buffer = buffer(load)?;
    for round in 0..load.rounds as u64 {
        bulk_in.submit(round, buffer)?;
        let began = Instant::now();
        bulk_in.endpoint.cancel(Token(round));
        buffer = bulk_in.wait(TransferStatus::Cancelled)?.buffer;
        took.push(began.elapsed());
    }
    Ok(took)
}

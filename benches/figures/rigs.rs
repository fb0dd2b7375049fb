//! What is measured, and its peers: usbscand from a device to a client, and bare loops on a device of the same kind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use usbscan_client::{Pending, Session};
use usbscan_daemon::{Config, Running};
use usbscan_usb::{Bus, Completion, Device, Endpoint, EndpointAddress, InterfaceNumber, Token, TransferStatus};
use usbscan_virtual::{Model, VirtualBus};
use usbscan_wire::Command;

use crate::Outcome;

const BULK_IN: EndpointAddress = EndpointAddress(0x81);
const BULK_OUT: EndpointAddress = EndpointAddress(0x02);

/// How usbscand is used: so many requests outstanding, of so many bytes.
pub const REQUESTS: usize = 4;
pub const REQUEST: usize = usbscan_wire::PAYLOAD_LIMIT;

/// Memory that a session shares with the daemon: room for these.
pub const SHARED: usize = REQUESTS * REQUEST;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    /// Processor time of this whole process: device, daemon and client are all in it.
    pub cpu: Duration,
}

impl Took {
    pub fn by(work: impl FnOnce() -> Outcome<()>) -> Outcome<Took> {
        let (began, cpu) = (Instant::now(), processor_time());
        work()?;
        Ok(Took { wall: began.elapsed(), cpu: processor_time() - cpu })
    }

    pub fn megabytes_per_second(self, bytes: usize) -> f64 {
        bytes as f64 / 1e6 / self.wall.as_secs_f64()
    }

    /// Processor seconds a gigabyte.
    pub fn cpu_per_gigabyte(self, bytes: usize) -> f64 {
        self.cpu.as_secs_f64() / (bytes as f64 / 1e9)
    }
}

/// What all threads of this process have used so far, those that ended included.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Device, daemon, socket, client.
#[derive(Debug)]
pub struct ThroughDaemon {
    pub session: Session,
    running: Running,
}

impl ThroughDaemon {
    pub fn new(config: Config, model: Box<dyn Model>) -> Outcome<ThroughDaemon> {
        let bus = VirtualBus::new();
        bus.plug(model);
        let running = Running::start(config, vec![Arc::new(bus)])?;
        let session = Session::on_socket(running.connect()?)?;
        session.open("usbscan0")?;
        session.share_memory(SHARED)?;
        Ok(ThroughDaemon { session, running })
    }

    /// Another connection to the same daemon.
    pub fn another(&self) -> Outcome<Session> {
        Ok(Session::on_socket(self.running.connect()?)?)
    }

    /// Moves so many bytes with so many requests outstanding.
    pub fn move_bytes(&self, direction: Direction, bytes: usize, queued: usize, size: usize) -> Outcome<()> {
        move_bytes(&self.session, direction, bytes, queued, size)
    }
}

/// Moves so many bytes through a session with so many requests outstanding.
pub fn move_bytes(session: &Session, direction: Direction, bytes: usize, queued: usize, size: usize) -> Outcome<()> {
    let mut outstanding: VecDeque<Pending> = VecDeque::new();
    for _ in 0..bytes / size {
        if outstanding.len() == queued {
            outstanding.pop_front().expect("there are some").wait()?;
        }
        outstanding.push_back(match direction {
            Direction::In => {
                let read = Command::Read {
                    endpoint: None,
                    offset: None,
                    length: size as u32,
                    return_partial: false,
                    timeout: None,
                };
                session.start(read, Vec::new())?
            }
            // Whatever the bytes are: those of the bare loop are not filled in either.
            Direction::Out => session.outgoing(size).ok_or("no room in shared memory")?.start(false, None)?,
        });
    }
    for pending in outstanding {
        pending.wait()?;
    }
    Ok(())
}

/// The bus with nothing around it: a loop on one thread that queues transfers and takes them back.
pub struct Bare {
    device: Option<Box<dyn Device>>,
    lines: [Pipe; 2],
    _bus: VirtualBus,
}

struct Pipe {
    endpoint: Box<dyn Endpoint>,
    done: Receiver<Completion>,
}

impl Bare {
    pub fn new(model: Box<dyn Model>) -> Outcome<Bare> {
        let bus = VirtualBus::new();
        let location = bus.plug(model);
        let mut device = bus.open(&location)?;
        device.claim(InterfaceNumber(0))?;
        let mut line = |address| -> Outcome<Pipe> {
            let (completions, done) = crossbeam_channel::unbounded();
            Ok(Pipe { endpoint: device.endpoint(address, completions)?, done })
        };
        let lines = [line(BULK_IN)?, line(BULK_OUT)?];
        Ok(Bare { device: Some(device), lines, _bus: bus })
    }

    pub fn move_bytes(&mut self, direction: Direction, bytes: usize, queued: usize, size: usize) -> Outcome<()> {
        let line = &mut self.lines[usize::from(direction == Direction::Out)];
        let mut buffers: Vec<Vec<u8>> = (0..queued).map(|_| vec![7; size]).collect();
        let (mut left, mut in_flight) = (bytes / size, 0);
        while left > 0 || in_flight > 0 {
            match buffers.pop() {
                Some(buffer) if left > 0 => {
                    line.endpoint.submit(Token(left as u64), buffer.into()).map_err(|rejected| rejected.error)?;
                    left -= 1;
                    in_flight += 1;
                }
                _ => {
                    let done = line.done.recv()?;
                    if done.status != TransferStatus::Completed {
                        return Err(format!("a transfer ended as {:?}", done.status).into());
                    }
                    in_flight -= 1;
                    buffers.push(done.buffer.into_vec());
                }
            }
        }
        Ok(())
    }

    /// One transfer submitted and cancelled: from asking to having it back.
    pub fn cancel_one(&mut self, token: u64, size: usize) -> Outcome<Duration> {
        let line = &mut self.lines[0];
        line.endpoint.submit(Token(token), vec![0; size].into()).map_err(|rejected| rejected.error)?;
        let asked = Instant::now();
        line.endpoint.cancel(Token(token));
        line.done.recv()?;
        Ok(asked.elapsed())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.device.take().map(|device| device.close(Duration::from_secs(5))) {
            eprintln!("figures: {error}");
        }
    }
}

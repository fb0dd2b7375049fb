//! How long a cancel takes: from asking to having every answer, p50, p99 and worst, beside a peer in the same run.
//!
//!     cargo bench --bench cancel_latency                      # in-process bus
//!     cargo bench --bench cancel_latency -- --socket PATH [--rounds N] [--beside P50]
//!                                                         # a daemon that serves a loopback device, on any bus
//!     tools/cancel-latency                                # all of that in one run, also in the guest
//!
//! On the in-process bus the peer is the bus alone: submit a read, cancel it, wait for its completion. With `--socket`
//! the peer is `cargo run --release -p usbscan-libusb --example bare_loop` on the same device, which can't have it open at
//! the same time; `--beside` tells its p50 in microseconds. A read is known to be in flight when `status` shows it there;
//! that is not timed.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Session;
use usb::{Bus, EndpointAddress, InterfaceNumber, Token};
use usbscan::daemon::{Config, Running};
use virtual_scanner::VirtualBus;
use wire::{Command, Pipe, Status};

const WARM_UP: usize = 200;
const LENGTH: u32 = 65536;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(asked) = Asked::read(&arguments) else {
        eprintln!("usage: cancel_latency [--socket PATH [--rounds N] [--beside P50]]");
        return ExitCode::from(2);
    };
    let done = match &asked.socket {
        None => in_process(5000),
        Some(path) => through_a_socket(path, asked.rounds, asked.beside),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cancel_latency: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the command line asks for.
struct Asked {
    socket: Option<String>,
    rounds: usize,
    /// The bare loop's p50 on the same device, in microseconds.
    beside: Option<f64>,
}

impl Asked {
    fn read(arguments: &[String]) -> Option<Asked> {
        let mut asked = Asked { socket: None, rounds: 1000, beside: None };
        for pair in arguments.chunks(2) {
            match pair {
                [name, path] if name == "--socket" => asked.socket = Some(path.clone()),
                [name, rounds] if name == "--rounds" => asked.rounds = rounds.parse().ok().filter(|n| *n > 0)?,
                [name, p50] if name == "--beside" => asked.beside = Some(p50.parse().ok()?),
                _ => return None,
            }
        }
        Some(asked).filter(|asked| asked.socket.is_some() || arguments.is_empty())
    }
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn in_process(rounds: usize) -> Outcome<()> {
    let bus = Arc::new(VirtualBus::new());
    let location = bus.plug_spec("loopback")?;
    let alone = report("bus alone", bus_alone(&*bus, &location, rounds)?);
    let running = Running::start(Config::default(), vec![bus])?;
    let reader = Session::over(running.connect()?)?;
    let other = Session::over(running.connect()?)?;
    let own = report("daemon, cancel-request on the same connection", own_requests(&reader, rounds)?);
    let pipe = report("daemon, cancel-pipe from another connection", others_pipe(&reader, &other, rounds)?);
    compare(alone, own, pipe);
    drop((reader, other));
    running.stop(Duration::from_secs(10));
    Ok(())
}

fn through_a_socket(path: &str, rounds: usize, beside: Option<f64>) -> Outcome<()> {
    let (reader, other) = (Session::connect(path)?, Session::connect(path)?);
    let own = report("daemon, cancel-request on the same connection", own_requests(&reader, rounds)?);
    let pipe = report("daemon, cancel-pipe from another connection", others_pipe(&reader, &other, rounds)?);
    if let Some(bare) = beside {
        compare(bare, own, pipe);
    }
    Ok(())
}

/// What daemon and socket add to the p50 of the peer.
fn compare(alone: f64, own: f64, pipe: f64) {
    println!(
        "added at p50: {:.1} us (cancel-request, {:.2} times), {:.1} us (cancel-pipe, {:.2} times)",
        own - alone,
        own / alone,
        pipe - alone,
        pipe / alone
    );
}

/// The bus with nothing of the daemon around it.
fn bus_alone(bus: &dyn Bus, location: &usb::Location, rounds: usize) -> Outcome<Vec<Duration>> {
    let mut device = bus.open(location)?;
    device.claim(InterfaceNumber(0))?;
    let (completions, done) = crossbeam_channel::unbounded();
    let mut bulk_in = device.endpoint(EndpointAddress(0x81), completions)?;
    let mut took = Vec::with_capacity(rounds);
    for round in 0..rounds + WARM_UP {
        let token = Token(round as u64);
        bulk_in.submit(token, vec![0; LENGTH as usize]).map_err(|rejected| rejected.error)?;
        let asked = Instant::now();
        bulk_in.cancel(token);
        done.recv()?;
        took.push(asked.elapsed());
    }
    drop(bulk_in);
    device.close(Duration::from_secs(5))?;
    Ok(took)
}

fn read() -> Command {
    Command::Read { length: LENGTH, salvage: false, timeout: None }
}

fn own_requests(session: &Session, rounds: usize) -> Outcome<Vec<Duration>> {
    open(session)?;
    let mut took = Vec::with_capacity(rounds);
    for _ in 0..rounds + WARM_UP {
        let pending = session.start(read(), Vec::new())?;
        wait_until_in_flight(session)?;
        let asked = Instant::now();
        session.cancel_request(pending.id(), None)?;
        expect_cancelled(pending)?;
        took.push(asked.elapsed());
    }
    session.close()?;
    Ok(took)
}

fn others_pipe(reader: &Session, other: &Session, rounds: usize) -> Outcome<Vec<Duration>> {
    let name = open(reader)?;
    let mut took = Vec::with_capacity(rounds);
    for _ in 0..rounds + WARM_UP {
        let pending = reader.start(read(), Vec::new())?;
        wait_until_in_flight(other)?;
        let asked = Instant::now();
        other.cancel_pipe(Pipe::Read, Some(&name))?;
        expect_cancelled(pending)?;
        took.push(asked.elapsed());
    }
    reader.close()?;
    Ok(took)
}

fn open(session: &Session) -> Outcome<String> {
    let name = session.list()?.first().ok_or("the daemon has no device")?.name.clone();
    session.open(&name)?;
    Ok(name)
}

fn wait_until_in_flight(session: &Session) -> Outcome<()> {
    let in_flight = |request: &wire::PendingRequest| request.state == "in-flight";
    while !session.status(None)?.iter().flat_map(|device| &device.pipes).flat_map(|pipe| &pipe.pending).any(in_flight) {
    }
    Ok(())
}

fn expect_cancelled(pending: client::Pending) -> Outcome<()> {
    match pending.wait() {
        Err(error) if error.status() == Some(Status::Cancelled) => Ok(()),
        other => Err(format!("a cancelled read ended {other:?}").into()),
    }
}

/// Prints a line; gives p50 in microseconds.
fn report(what: &str, mut took: Vec<Duration>) -> f64 {
    took.drain(..WARM_UP);
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("{what}: p50 {:.1} us, p99 {:.1} us, worst {:.1} us, {} rounds", at(0.5), at(0.99), at(1.0), took.len());
    at(0.5)
}

//! How long a cancel takes, from asking to having every answer: on the bus alone, through the daemon, with eight
//! requests queued, and while another scanner streams.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use usbscan_client::{Pending, Session};
use usbscan_daemon::Config;
use usbscan_virtual::Loopback;
use usbscan_wire::{Command, Pipe, Status};

use crate::report::{Report, Series, percentile};
use crate::rigs::{Bare, Direction, ThroughDaemon};
use crate::source::Source;
use crate::{Outcome, Wishes};

const LENGTH: u32 = 65536;
const WARM_UP: usize = 50;

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let rounds = wishes.rounds(2000);
    let alone = alone(rounds)?;
    let via_daemon = ThroughDaemon::new(Config::default(), Box::new(Loopback::new()))?;
    let ways = ways("", &via_daemon.session, &via_daemon.another()?, "usbscan0", rounds)?;
    let streaming = beside_a_stream(rounds)?;
    tell(report, "bus alone", &alone);
    ways.iter().for_each(|(what, took)| tell(report, what, took));
    tell(report, BESIDE_A_STREAM, &streaming);
    compare(report, ("bus alone", percentile(&alone, 0.5)), &ways);
    Ok(())
}

pub const BESIDE_A_STREAM: &str = "daemon, eight reads queued, cancel-pipe, another scanner streams at full speed";

/// How long each round took, in microseconds, by the way in which it was cancelled.
pub type Ways = Vec<(String, Vec<f64>)>;

/// Every way through a daemon; `session` has the device open. Each is called by where it is, and how it was cancelled.
pub fn ways(place: &str, session: &Session, other: &Session, device: &str, rounds: usize) -> Outcome<Ways> {
    let own = |pending: &[Pending]| pending.iter().try_for_each(|one| session.cancel_request(one.id(), None).map(drop));
    let pipe = |_: &[Pending]| session.cancel_pipe(Pipe::Read, None);
    let cancels = |queued, cancel: &dyn Fn(&[Pending]) -> Result<(), usbscan_client::Error>| {
        cancels(session, device, queued, rounds, cancel)
    };
    let elsewhere = |_: &[Pending]| other.cancel_pipe(Pipe::Read, Some(device));
    let ways = [
        ("daemon, one read in flight, cancel-request", cancels(1, &own)?),
        ("daemon, one read in flight, cancel-pipe", cancels(1, &pipe)?),
        ("daemon, one read in flight, cancel-pipe from another connection", cancels(1, &elsewhere)?),
        ("daemon, eight reads queued, cancel-pipe", cancels(8, &pipe)?),
    ];
    Ok(ways.into_iter().map(|(what, took)| (format!("{place}{what}"), took)).collect())
}

pub fn tell(report: &mut Report, what: &str, took: &[f64]) {
    report.value(&format!("{what}: p50"), percentile(took, 0.5), "us");
    report.value(&format!("{what}: p99"), percentile(took, 0.99), "us");
    report.value(&format!("{what}: most"), percentile(took, 1.0), "us");
}

/// Each p50 beside the peer's, which is named.
pub fn compare(report: &mut Report, (name, p50): (&str, f64), ways: &Ways) {
    let peer = Series { what: format!("{name}: p50"), values: vec![p50] };
    for (what, took) in ways {
        let ours = Series { what: format!("{what}: p50"), values: vec![percentile(took, 0.5)] };
        report.ratio(&ours, &peer, None);
    }
}

fn alone(rounds: usize) -> Outcome<Vec<f64>> {
    let mut bare = Bare::new(Box::new(Loopback::new()))?;
    let mut took = Vec::new();
    for round in 0..rounds + WARM_UP {
        took.push(micros(bare.cancel_one(round as u64, LENGTH as usize)?));
    }
    Ok(took.split_off(WARM_UP))
}

/// From asking to having every answer. That a read is in flight before is not timed.
pub fn cancels(
    session: &Session,
    device: &str,
    queued: usize,
    rounds: usize,
    cancel: impl Fn(&[Pending]) -> Result<(), usbscan_client::Error>,
) -> Outcome<Vec<f64>> {
    let mut took = Vec::new();
    for _ in 0..rounds + WARM_UP {
        let started: Result<Vec<Pending>, usbscan_client::Error> = (0..queued)
            .map(|_| {
                session.start(
                    Command::Read {
                        endpoint: None,
                        offset: None,
                        length: LENGTH,
                        return_partial: false,
                        timeout: None,
                    },
                    Vec::new(),
                )
            })
            .collect();
        let started = started?;
        until_in_flight(session, device)?;
        let asked = Instant::now();
        cancel(&started)?;
        for pending in started {
            expect_cancelled(pending)?;
        }
        took.push(micros(asked.elapsed()));
    }
    Ok(took.split_off(WARM_UP))
}

/// Two scanners, each with a daemon; the other's bytes flow as long as it takes.
fn beside_a_stream(rounds: usize) -> Outcome<Vec<f64>> {
    let quiet = ThroughDaemon::new(Config::default(), Box::new(Loopback::new()))?;
    let busy = ThroughDaemon::new(Config::default(), Box::new(Source::at("BUSY", 400e6)))?;
    while_streaming(
        || busy.move_bytes(Direction::In, 4 << 20, 4, 256 * 1024),
        || cancels(&quiet.session, "usbscan0", 8, rounds, |_| quiet.session.cancel_pipe(Pipe::Read, None)),
    )
}

/// Does `work` while another thread streams, again and again.
pub fn while_streaming<T>(stream: impl Fn() -> Outcome<()> + Sync, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                if let Err(error) = stream() {
                    return Err(error.to_string());
                }
            }
            Ok(())
        });
        let done = work();
        ends.store(true, Ordering::Relaxed);
        stream
            .join()
            .map_err(|_| "the other scanner's thread panicked")?
            .map_err(|error| format!("stream: {error}"))?;
        done
    })
}

fn until_in_flight(session: &Session, device: &str) -> Outcome<()> {
    let in_flight = |request: &usbscan_wire::PendingRequest| request.state == "in-flight";
    while !session.status(Some(device))?.iter().flat_map(|one| &one.pipes).flat_map(|pipe| &pipe.pending).any(in_flight)
    {
    }
    Ok(())
}

fn expect_cancelled(pending: Pending) -> Outcome<()> {
    match pending.wait() {
        Err(error) if error.status() == Some(Status::Cancelled) => Ok(()),
        other => Err(format!("a cancelled read ended {other:?}").into()),
    }
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

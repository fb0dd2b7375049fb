//! How long a cancel takes, from asking to having every answer: on the bus alone, through the daemon, with eight
//! requests queued, and while another scanner streams.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{Pending, Session};
use usbscan::daemon::Config;
use virtual_scanner::Loopback;
use wire::{Command, Pipe, Status};

use crate::report::{Report, Series, percentile};
use crate::rigs::{Bare, Road, Way};
use crate::source::Source;
use crate::{Outcome, Wishes};

const LENGTH: u32 = 65536;
const WARM_UP: usize = 50;

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let rounds = wishes.rounds(2000);
    let alone = alone(rounds)?;
    let road = Road::new(Config::default(), Box::new(Loopback::new()))?;
    let one = through(&road, 1, rounds)?;
    let eight = through(&road, 8, rounds)?;
    let streaming = beside_a_stream(rounds)?;
    for (what, took) in [
        ("bus alone", &alone),
        ("daemon, one read in flight, cancel-pipe", &one),
        ("daemon, eight reads queued, cancel-pipe", &eight),
        ("daemon, eight reads queued, another scanner streams at 400 MB/s", &streaming),
    ] {
        report.value(&format!("{what}: p50"), percentile(took, 0.5), "us");
        report.value(&format!("{what}: p99"), percentile(took, 0.99), "us");
        report.value(&format!("{what}: most"), percentile(took, 1.0), "us");
    }
    let series = |what: &str, took: &[f64]| Series { what: what.to_owned(), values: vec![percentile(took, 0.5)] };
    report.ratio(&series("daemon, p50", &one), &series("bus alone, p50", &alone), None);
    Ok(())
}

fn alone(rounds: usize) -> Outcome<Vec<f64>> {
    let mut bare = Bare::new(Box::new(Loopback::new()))?;
    let mut took = Vec::new();
    for round in 0..rounds + WARM_UP {
        took.push(micros(bare.cancel_one(round as u64, LENGTH as usize)?));
    }
    Ok(took.split_off(WARM_UP))
}

fn through(road: &Road, queued: usize, rounds: usize) -> Outcome<Vec<f64>> {
    let mut took = Vec::new();
    for _ in 0..rounds + WARM_UP {
        let started: Result<Vec<Pending>, client::Error> = (0..queued)
            .map(|_| road.session.start(Command::Read { length: LENGTH, salvage: false, timeout: None }, Vec::new()))
            .collect();
        let started = started?;
        until_in_flight(&road.session)?;
        let asked = Instant::now();
        road.session.cancel_pipe(Pipe::Read, None)?;
        for pending in started {
            expect_cancelled(pending)?;
        }
        took.push(micros(asked.elapsed()));
    }
    Ok(took.split_off(WARM_UP))
}

/// Two scanners, each with a daemon's whole road; the other's bytes flow as long as it takes.
fn beside_a_stream(rounds: usize) -> Outcome<Vec<f64>> {
    let quiet = Road::new(Config::default(), Box::new(Loopback::new()))?;
    let busy = Road::new(Config::default(), Box::new(Source::at("BUSY", 400e6)))?;
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stream = scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                if busy.move_bytes(Way::In, 4 << 20, 4, 256 * 1024).is_err() {
                    return false;
                }
            }
            true
        });
        let took = through(&quiet, 8, rounds);
        ends.store(true, Ordering::Relaxed);
        if !stream.join().is_ok_and(|streamed| streamed) {
            return Err("the other scanner's stream broke".into());
        }
        took
    })
}

fn until_in_flight(session: &Session) -> Outcome<()> {
    let in_flight = |request: &wire::PendingRequest| request.state == "in-flight";
    while !session.status(None)?.iter().flat_map(|device| &device.pipes).flat_map(|pipe| &pipe.pending).any(in_flight) {
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

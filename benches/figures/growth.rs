//! The cost of one, as there are more of them: sessions, queued requests, scanners, pages. It should stay flat.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use usbscan_client::{Pending, Session};
use usbscan_daemon::quirks::Table;
use usbscan_daemon::{Config, Limits, Running};
use usbscan_scan::{Flow, PageFormat, PageSink, Progress, SessionTransport, SinkError};
use usbscan_virtual::{Loopback, VirtualBus};
use usbscan_wire::{Command, EventName, Pipe};

use crate::report::{Curve, Report, percentile};
use crate::rigs::ThroughDaemon;
use crate::{Outcome, Wishes};

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let repeats = wishes.rounds(5);
    let curve = |title: &str, of, unit, points| Curve { title: title.to_owned(), of, unit, points };
    let points = each(&[1, 4, 16, 64, 256], repeats, sessions)?;
    report.curve(&curve("A session: connect, open, read, leave", "sessions at once", "us each", points));
    let points = each(&[1, 4, 16, 64, 256], repeats, threads)?;
    let title = "Its peer, without a daemon: a socket pair and three threads, begun, used once and joined";
    report.curve(&curve(title, "of them at once", "us each", points));
    let points = each(&[1, 10, 100, 1000, 10_000], repeats, requests)?;
    report.curve(&curve("A queued request: sent, cancelled, answered", "requests queued", "us each", points));
    let points = each(&[1, 2, 4, 8, 15], repeats, scanners)?;
    report.curve(&curve("A scanner: open, 1 MiB read, close", "scanners at once", "us each", points));
    let most = if wishes.quick { vec![1, 10, 50] } else { vec![1, 10, 50, 100, 500] };
    let points = each(&most, 1, pages)?;
    report.curve(&curve("A page of 242 KB: command to picture", "pages in one session", "us each", points));
    let sizes = [1, 350, 1300, 10_000, 60_000];
    let points = each(&sizes, repeats, reading)?;
    report.curve(&curve("The table of models: a model read, at the start", "models in the table", "us each", points));
    let points = each(&sizes, repeats, |models| Ok(arrivals(models)? * models as f64))?;
    report.curve(&curve("A scanner that arrives: plugged in, looked up, told", "models in the table", "us", points));
    let points = each(&sizes, repeats, |models| Ok(lists(models)? * models as f64))?;
    report.curve(&curve("A list of one scanner", "models in the table", "us", points));
    Ok(())
}

/// The median cost of one in microseconds, for each number of them.
fn each(counts: &[usize], repeats: usize, run: fn(usize) -> Outcome<f64>) -> Outcome<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    for count in counts {
        let took: Outcome<Vec<f64>> = (0..repeats).map(|_| run(*count)).collect();
        points.push((*count as f64, percentile(&took?, 0.5) / *count as f64));
    }
    Ok(points)
}

fn micros_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

/// No limit is in the direction of what is measured.
fn wide() -> Config {
    let most = 1 << 20;
    let limits = Limits {
        connections: 2 * most,
        connections_per_user: most,
        requests: 20_000,
        bytes: 1 << 32,
        all_requests: most as u32,
        all_bytes: 1 << 40,
        ..Limits::default()
    };
    Config { limits, ..Config::default() }
}

fn sessions(count: usize) -> Outcome<f64> {
    let via_daemon = ThroughDaemon::new(wide(), Box::new(Loopback::new()))?;
    let began = Instant::now();
    let mut open = Vec::new();
    for _ in 0..count {
        let session = via_daemon.another()?;
        session.open("usbscan0")?;
        session.write(&[7; 512], None)?;
        session.read(512, None)?;
        open.push(session);
    }
    for session in open {
        session.close()?;
    }
    Ok(micros_since(began))
}

/// What a session has of the system, and nothing of ours: what grows here grows there too.
fn threads(count: usize) -> Outcome<f64> {
    let began = Instant::now();
    let mut open = Vec::new();
    for _ in 0..count {
        let (mut near, mut far) = UnixStream::pair()?;
        let (ends, end) = crossbeam_channel::bounded::<()>(0);
        let mut joins = vec![std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while far.read_exact(&mut bytes).and_then(|()| far.write_all(&bytes)).is_ok() {}
        })];
        for _ in 0..2 {
            let end = end.clone();
            // The other side says nothing, and goes.
            joins.push(std::thread::spawn(move || {
                let _ = end.recv();
            }));
        }
        near.write_all(&[7; 512])?;
        near.read_exact(&mut [0; 512])?;
        open.push((near, ends, joins));
    }
    for (near, ends, joins) in open {
        drop((near, ends));
        if joins.into_iter().any(|join| join.join().is_err()) {
            return Err("a thread panicked".into());
        }
    }
    Ok(micros_since(began))
}

fn requests(count: usize) -> Outcome<f64> {
    let via_daemon = ThroughDaemon::new(wide(), Box::new(Loopback::new()))?;
    let began = Instant::now();
    let started: Result<Vec<Pending>, usbscan_client::Error> = (0..count)
        .map(|_| {
            via_daemon.session.start(
                Command::Read { endpoint: None, offset: None, length: 512, return_partial: false, timeout: None },
                Vec::new(),
            )
        })
        .collect();
    let started = started?;
    via_daemon.session.cancel_pipe(Pipe::Read, None)?;
    let cancelled = started.into_iter().map(Pending::wait).filter(Result::is_err).count();
    if cancelled != count {
        return Err(format!("{cancelled} of {count} reads were cancelled").into());
    }
    Ok(micros_since(began))
}

fn scanners(count: usize) -> Outcome<f64> {
    let bus = VirtualBus::new();
    for number in 0..count {
        bus.plug(Box::new(crate::source::Source::unbound(&format!("GROW{number}"))));
    }
    let running = Running::start(wide(), vec![Arc::new(bus)])?;
    let began = Instant::now();
    let mut sessions = Vec::new();
    for number in 0..count {
        let session = Session::on_socket(running.connect()?)?;
        session.open(&format!("usbscan{number}"))?;
        sessions.push(session);
    }
    let mut reads = Vec::new();
    for session in &sessions {
        reads.push(session.start(
            Command::Read { endpoint: None, offset: None, length: 1 << 20, return_partial: false, timeout: None },
            Vec::new(),
        )?);
    }
    for read in reads {
        read.wait()?;
    }
    for session in sessions {
        session.close()?;
    }
    Ok(micros_since(began))
}

/// So many models that nobody has, all of SANE's.
fn text_of(models: usize) -> String {
    let lines = (0..models).map(|number| format!("\"{:04x}:{:04x} Maker: Model\",\n", number >> 16, number & 0xffff));
    format!("[[list]]\nprotocol = \"sane:genesys\"\nevidence = \"good\"\nmodels = [\n{}]\n", lines.collect::<String>())
}

fn table_of(models: usize) -> Outcome<Table> {
    let mut table = Table::default();
    table.add(Path::new("many"), &text_of(models))?;
    Ok(table)
}

fn reading(models: usize) -> Outcome<f64> {
    let text = text_of(models);
    let mut table = Table::default();
    let began = Instant::now();
    table.add(Path::new("many"), &text)?;
    Ok(micros_since(began))
}

/// Of one of ten.
fn arrivals(models: usize) -> Outcome<f64> {
    let bus = VirtualBus::new();
    let config = Config { models: table_of(models)?, ..wide() };
    let running = Running::start(config, vec![Arc::new(bus.clone())])?;
    let session = Session::on_socket(running.connect()?)?;
    session.subscribe(&[EventName::Arrival])?;
    let began = Instant::now();
    for number in 0..10 {
        bus.plug(Box::new(Loopback::with_serial(&format!("TABLE{number}"))));
        session.events().recv()?;
    }
    Ok(micros_since(began) / 10.0)
}

/// One of a hundred.
fn lists(models: usize) -> Outcome<f64> {
    let via_daemon = ThroughDaemon::new(Config { models: table_of(models)?, ..wide() }, Box::new(Loopback::new()))?;
    let began = Instant::now();
    for _ in 0..100 {
        via_daemon.session.list()?;
    }
    Ok(micros_since(began) / 100.0)
}

/// Takes a page and keeps nothing of it.
struct Nowhere;

impl PageSink for Nowhere {
    fn begin(&mut self, _format: &PageFormat) -> Result<(), SinkError> {
        Ok(())
    }

    fn lines(&mut self, _lines: &[u8]) -> Result<Flow, SinkError> {
        Ok(Flow::Continue)
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// One session scans one small page after another.
fn pages(count: usize) -> Outcome<f64> {
    let bus = VirtualBus::new();
    bus.plug_spec("esci")?;
    let running = Running::start(Config::default(), vec![Arc::new(bus)])?;
    let (transport, device) = SessionTransport::open(Session::on_socket(running.connect()?)?, "usbscan0")?;
    let mut scanner = usbscan_scan::open(&device.protocol, Box::new(transport), &mut |_: Progress| {})?;
    for (name, value) in [("resolution", "50"), ("mode", "Gray")] {
        scanner.options_mut().set_text(name, value)?;
    }
    let began = Instant::now();
    for _ in 0..count {
        scanner.scan(&mut Nowhere, &mut |_| {})?;
    }
    Ok(micros_since(began))
}

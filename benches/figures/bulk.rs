//! Throughput and processor time of bulk transfers: usbscand against a bare loop with four transfers of 256 KiB
//! queued, and against one synchronous transfer of 64 KiB after another, which is how most scanner programs read.

use usbscan_daemon::Config;
use usbscan_virtual::Model;

use crate::report::{Aim, Report, Series};
use crate::rigs::{Bare, Direction, REQUEST, REQUESTS, ThroughDaemon, Took};
use crate::source::Source;
use crate::{Outcome, Wishes};

const QUEUED: usize = 4;
const SIZE: usize = 256 * 1024;
const SYNCHRONOUS: usize = 64 * 1024;

/// A wire.
struct Wire {
    name: &'static str,
    bytes_per_second: Option<f64>,
    /// Bytes moved in a round.
    bytes: usize,
}

/// Of the real wires, what a host controller moves at best. Memory is none: its bare loop moves no byte further than the
/// device's copy of it, so what usbscand adds there is its own cost, and no aim.
const WIRES: &[Wire] = &[
    Wire { name: "USB 2 (43 MB/s)", bytes_per_second: Some(43e6), bytes: 16 << 20 },
    Wire { name: "USB 3 (400 MB/s)", bytes_per_second: Some(400e6), bytes: 128 << 20 },
    Wire { name: "memory (as quick as it goes)", bytes_per_second: None, bytes: 512 << 20 },
];

impl Wire {
    fn device(&self, serial: &str) -> Box<dyn Model> {
        Box::new(match self.bytes_per_second {
            Some(pace) => Source::at(serial, pace),
            None => Source::unbound(serial),
        })
    }
}

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    for wire in WIRES {
        for (direction, name) in [(Direction::In, "in"), (Direction::Out, "out")] {
            one(wishes, report, wire, direction, name)?;
        }
    }
    Ok(())
}

fn one(wishes: &Wishes, report: &mut Report, wire: &Wire, direction: Direction, name: &str) -> Outcome<()> {
    let title = |what: &str| Series::new(format!("bulk-{name}, {}: {what}", wire.name));
    let mut via_daemon = Candidate::new(title("usbscand, 4 x 1 MiB queued"));
    let mut bare = Candidate::new(title("bare loop, 4 x 256 KiB queued"));
    let mut slow = Candidate::new(title("synchronous, 64 KiB at a time"));
    let whole = ThroughDaemon::new(Config::default(), wire.device("ROAD"))?;
    let mut alone = Bare::new(wire.device("BARE"))?;
    for round in 0..=wishes.rounds(10) {
        let of_daemon = Took::by(|| whole.move_bytes(direction, wire.bytes, REQUESTS, REQUEST))?;
        let of_bare = Took::by(|| alone.move_bytes(direction, wire.bytes, QUEUED, SIZE))?;
        let of_slow = Took::by(|| alone.move_bytes(direction, wire.bytes, 1, SYNCHRONOUS))?;
        // The first warms up.
        if round > 0 {
            via_daemon.add(of_daemon, wire.bytes);
            bare.add(of_bare, wire.bytes);
            slow.add(of_slow, wire.bytes);
        }
    }
    for candidate in [&bare, &slow, &via_daemon] {
        report.series(&candidate.rate, "MB/s");
    }
    let real = wire.bytes_per_second.is_some();
    report.ratio(&via_daemon.rate, &bare.rate, Some(Aim::AtLeast(0.95)).filter(|_| real));
    report.ratio(&via_daemon.rate, &slow.rate, None);
    for candidate in [&bare, &slow, &via_daemon] {
        report.series(&candidate.cpu, "CPU s/GB");
    }
    report.ratio(&via_daemon.cpu, &bare.cpu, Some(Aim::AtMost(1.3)).filter(|_| real));
    Ok(())
}

struct Candidate {
    rate: Series,
    cpu: Series,
    sleeps: Series,
}

impl Candidate {
    fn new(rate: Series) -> Candidate {
        Candidate { cpu: Series::new(rate.what.clone()), sleeps: Series::new(rate.what.clone()), rate }
    }

    fn add(&mut self, took: Took, bytes: usize) {
        self.rate.values.push(took.megabytes_per_second(bytes));
        self.cpu.values.push(took.cpu_per_gigabyte(bytes));
    }

    /// Runs it and adds what it took, and how often a thread of this process went to sleep for each 256 KiB.
    fn run(&mut self, bytes: usize, counts: bool, work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
        let before = sleeps()?;
        let took = Took::by(work)?;
        if counts {
            self.add(took, bytes);
            self.sleeps.values.push((sleeps()? - before) as f64 / (bytes / SIZE) as f64);
        }
        Ok(())
    }

    fn report(&self, report: &mut Report) {
        report.series(&self.rate, "MB/s");
        report.series(&self.cpu, "CPU s/GB");
        report.series(&self.sleeps, "sleeps in 256 KiB");
    }
}

/// How often the threads of this process have gone to sleep so far.
fn sleeps() -> Outcome<u64> {
    let mut all = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        all += line.ok_or("the kernel counts them")?.trim().parse::<u64>()?;
    }
    Ok(all)
}

/// What the defaults of `queue_depth` and `max_transfer_bytes` are chosen from: depths with four requests of 1 MiB outstanding, chunks with four
/// requests of as many bytes. All take turns.
pub fn settings(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let wire = &WIRES[1];
    let bytes = wire.bytes / 2;
    for (direction, name) in [(Direction::In, "in"), (Direction::Out, "out")] {
        let title = |what: String| Series::new(format!("bulk-{name}, {}: {what}", wire.name));
        let mut alone = Bare::new(wire.device("BARE"))?;
        let mut bare = Candidate::new(title("bare loop, 4 x 256 KiB queued".to_owned()));
        let candidate = |depth: usize, chunk: usize, queued: usize, size: usize| -> Outcome<_> {
            let what = format!("depth {depth}, chunk {chunk} KiB, {queued} x {} KiB outstanding", size / 1024);
            let via_daemon = ThroughDaemon::new(
                Config { queue_depth: depth, max_transfer_bytes: chunk * 1024, ..Config::default() },
                wire.device("SET"),
            )?;
            Ok((via_daemon, queued, size, Candidate::new(title(what))))
        };
        let depths = [1, 2, 4].into_iter().map(|depth| candidate(depth, 1024, REQUESTS, REQUEST));
        let chunks = [64, 128, 256, 512].into_iter().map(|chunk| candidate(4, chunk, REQUESTS, chunk * 1024));
        let mut candidates = depths.chain(chunks).collect::<Outcome<Vec<_>>>()?;
        for round in 0..=wishes.rounds(5) {
            bare.run(bytes, round > 0, || alone.move_bytes(direction, bytes, QUEUED, SIZE))?;
            for (via_daemon, queued, size, found) in &mut candidates {
                found.run(bytes, round > 0, || via_daemon.move_bytes(direction, bytes, *queued, *size))?;
            }
        }
        bare.report(report);
        for (_, _, _, found) in &candidates {
            found.report(report);
            report.ratio(&found.rate, &bare.rate, None);
            report.ratio(&found.cpu, &bare.cpu, None);
        }
    }
    Ok(())
}

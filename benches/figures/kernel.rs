//! Throughput on a host controller of this machine's own kernel: usbscand (daemon, socket, client) against a bare
//! libusb loop with four transfers of 256 KiB queued, and against libusb's synchronous calls of 64 KiB, which is how SANE
//! reads. All take turns with one and the same device.
//!
//! For a guest, as root: `tools/bench --guest vhci`. The peers are the program `bare_loop` of crates/libusb.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use usbscan_client::{RequestData, Session, UsbRequest};
use usbscan_wire::{RequestKind, RequestRecipient};

use crate::report::{Aim, Report, Series};
use crate::rigs::{Direction, REQUEST, REQUESTS, SHARED, Took, move_bytes};
use crate::usbscand::Usbscand;
use crate::{Outcome, Wishes};

const MIB: usize = 64;
const SETTINGS_MIB: usize = 32;
const QUEUED: usize = 4;
const SIZE: usize = 256 * 1024;
const SYNCHRONOUS: usize = 64 * 1024;

/// Two configurations of usbscand.
const DEFAULTS: &str = "";
const SHALLOW: &str = "queue_depth = 1\n";

pub fn measure(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let _device = Plugged::new(wishes.controller()?, "loopback")?;
    for (direction, name) in [(Direction::In, "in"), (Direction::Out, "out")] {
        let title = |what: &str| format!("bulk-{name}, {}: {what}", wishes.controller().unwrap_or_default());
        let mut via_daemon = Candidate::new(title("usbscand, 4 x 1 MiB queued"));
        let mut shallow = Candidate::new(title("usbscand, the same, usbscand's queue_depth 1"));
        let mut bare = Candidate::new(title("bare libusb loop, 4 x 256 KiB queued"));
        let mut long = Candidate::new(title("bare libusb loop, 4 x 1 MiB queued"));
        let mut slow = Candidate::new(title("libusb's synchronous calls, 64 KiB"));
        let mib = mebibytes(wishes, direction);
        for round in 0..=wishes.rounds(7) {
            let of_daemon = through_daemon(direction, DEFAULTS, mib, (REQUESTS, REQUEST))?;
            let of_shallow = through_daemon(direction, SHALLOW, mib, (REQUESTS, REQUEST))?;
            let of_bare = bare_loop(name, QUEUED, SIZE, mib)?;
            let of_long = bare_loop(name, REQUESTS, REQUEST, mib)?;
            let of_slow = bare_loop(name, 0, SYNCHRONOUS, mib)?;
            // The first warms up: the programs come over a network file system.
            if round > 0 {
                via_daemon.add_of(of_daemon, mib);
                shallow.add_of(of_shallow, mib);
                bare.add_of(of_bare, mib);
                long.add_of(of_long, mib);
                slow.add_of(of_slow, mib);
            }
        }
        for candidate in [&bare, &long, &slow, &via_daemon, &shallow] {
            report.series(&candidate.rate, "MB/s");
        }
        report.ratio(&via_daemon.rate, &bare.rate, Some(Aim::AtLeast(0.95)));
        report.ratio(&via_daemon.rate, &long.rate, None);
        report.ratio(&via_daemon.rate, &slow.rate, Some(Aim::AtLeast(1.5)).filter(|_| direction == Direction::In));
        report.ratio(&shallow.rate, &bare.rate, None);
        report.ratio(&bare.rate, &slow.rate, None);
        for candidate in [&bare, &long, &slow, &via_daemon, &shallow] {
            report.series(&candidate.cpu, "CPU s/GB");
        }
        report.ratio(&via_daemon.cpu, &bare.cpu, None);
        report.ratio(&via_daemon.cpu, &long.cpu, None);
        report.ratio(&via_daemon.cpu, &slow.cpu, None);
    }
    Ok(())
}

/// Bytes of a round. Linux's FunctionFS takes 512 bytes of a bulk-out transfer at a time from dummy_hcd, a thousand times a
/// second, in every program.
fn mebibytes(wishes: &Wishes, direction: Direction) -> usize {
    let is_gadget = wishes.controller().is_ok_and(|controller| controller == "functionfs");
    if is_gadget && direction == Direction::Out { REQUESTS } else { MIB }
}

/// What the defaults of `queue_depth` and `max_transfer_bytes` are chosen from: depths with four requests of 1 MiB outstanding, chunks with four
/// requests of as many bytes.
pub fn settings(wishes: &Wishes, report: &mut Report) -> Outcome<()> {
    let _device = Plugged::new(wishes.controller()?, "loopback")?;
    for (direction, name) in [(Direction::In, "in"), (Direction::Out, "out")] {
        let title = |what: String| format!("bulk-{name}, {}: {what}", wishes.controller().unwrap_or_default());
        let mut bare = Candidate::new(title("bare libusb loop, 4 x 256 KiB queued".to_owned()));
        let candidate = |depth: usize, chunk: usize, outstanding: (usize, usize)| {
            let (requests, size) = outstanding;
            let what = format!("depth {depth}, chunk {chunk} KiB, {requests} x {} KiB outstanding", size / 1024);
            let configuration = format!("queue_depth = {depth}\nmax_transfer_bytes = {}\n", chunk * 1024);
            (configuration, outstanding, Candidate::new(title(what)))
        };
        let depths = [1, 2, 4].map(|depth| candidate(depth, 1024, (REQUESTS, REQUEST)));
        let chunks = [64, 128, 256, 512].map(|chunk| candidate(4, chunk, (REQUESTS, chunk * 1024)));
        let mut candidates: Vec<_> = depths.into_iter().chain(chunks).collect();
        let mib = mebibytes(wishes, direction).min(SETTINGS_MIB);
        for round in 0..=wishes.rounds(5) {
            let of_bare = bare_loop(name, QUEUED, SIZE, mib)?;
            if round > 0 {
                bare.add_of(of_bare, mib);
            }
            for (configuration, outstanding, candidate) in &mut candidates {
                let took = through_daemon(direction, configuration, mib, *outstanding)?;
                if round > 0 {
                    candidate.add_of(took, mib);
                }
            }
        }
        report.series(&bare.rate, "MB/s");
        report.series(&bare.cpu, "CPU s/GB");
        for (_, _, candidate) in &candidates {
            report.series(&candidate.rate, "MB/s");
            report.series(&candidate.cpu, "CPU s/GB");
            report.ratio(&candidate.rate, &bare.rate, None);
        }
    }
    Ok(())
}

struct Candidate {
    rate: Series,
    cpu: Series,
}

impl Candidate {
    fn new(what: String) -> Candidate {
        Candidate { cpu: Series::new(what.clone()), rate: Series::new(what) }
    }

    fn add_of(&mut self, took: Took, mib: usize) {
        self.rate.values.push(took.megabytes_per_second(mib << 20));
        self.cpu.values.push(took.cpu_per_gigabyte(mib << 20));
    }
}

/// A daemon for this round alone, so that the device is the peers' afterwards. Processor time is its and ours.
fn through_daemon(direction: Direction, configuration: &str, mib: usize, outstanding: (usize, usize)) -> Outcome<Took> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("usbscand.toml");
    std::fs::write(&file, configuration)?;
    let daemon = Usbscand::start(&[format!("--config={}", file.display())])?;
    let session = daemon.session()?;
    session.open(&only_device(&session)?)?;
    session.share_memory(SHARED)?;
    tell(&session, 0x14, 0)?;
    match direction {
        Direction::In => (0..mib / 32).try_for_each(|_| tell(&session, 0x15, 32768))?,
        Direction::Out => tell(&session, 0x16, 0)?,
    }
    let before = daemon.processor_time()?;
    let client = Took::by(|| move_bytes(&session, direction, mib << 20, outstanding.0, outstanding.1))?;
    Ok(Took { cpu: client.cpu + (daemon.processor_time()? - before), ..client })
}

pub fn only_device(session: &Session) -> Outcome<String> {
    Ok(session.list()?.first().ok_or("usbscand finds no device")?.name.clone())
}

/// A vendor request of the loopback device.
fn tell(session: &Session, request: u8, value: u16) -> Outcome<()> {
    let (kind, recipient) = (RequestKind::Vendor, RequestRecipient::Device);
    let data = RequestData::Out(Vec::new());
    session.usb_request(UsbRequest { kind, recipient, request, value, index: 0, data }, None)?;
    Ok(())
}

/// Bytes through another session than the one that is measured, a few megabytes at a time.
pub fn stream(session: &Session) -> Outcome<()> {
    const KIB: u16 = 4096;
    tell(session, 0x15, KIB)?;
    move_bytes(session, Direction::In, usize::from(KIB) * 1024, QUEUED, SIZE)
}

/// The peer; see crates/libusb/examples/bare_loop.rs.
fn bare_loop(direction: &str, queued: usize, size: usize, mib: usize) -> Outcome<Took> {
    let (queued, size, mib) = (queued.to_string(), size.to_string(), mib.to_string());
    let said = Said::by(&["--rounds", "0", "--way", direction, "--mib", &mib, "--queued", &queued, "--size", &size])?;
    let seconds = |name| said.number(name).map(Duration::from_secs_f64);
    Ok(Took { wall: seconds("seconds=")?, cpu: seconds("cpu_seconds=")? })
}

/// The peer's cancels of reads of 64 KiB: p50, p99 and the longest, in microseconds.
pub fn bare_cancels(rounds: usize) -> Outcome<[f64; 3]> {
    let said = Said::by(&["--rounds", &rounds.to_string(), "--size", "65536", "--mib", "1"])?;
    Ok([said.number("p50_us=")?, said.number("p99_us=")?, said.number("most_us=")?])
}

/// What the peer prints: words, some of them `name=number`.
struct Said(String);

impl Said {
    fn by(arguments: &[&str]) -> Outcome<Said> {
        let ended = Command::new(beside("examples/bare_loop")).args(arguments).stderr(Stdio::inherit()).output()?;
        if !ended.status.success() {
            return Err(format!("bare_loop ended with {}", ended.status).into());
        }
        Ok(Said(String::from_utf8(ended.stdout)?))
    }

    fn number(&self, name: &str) -> Outcome<f64> {
        let value = self.0.split_whitespace().find_map(|word| word.strip_prefix(name));
        Ok(value.ok_or_else(|| format!("bare_loop says no {name}"))?.parse()?)
    }
}

/// A program or library that cargo put beside ours.
pub fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_usbscand")).with_file_name(name)
}

/// `vscan` while its device is plugged in; dropping it pulls it out.
#[derive(Debug)]
pub struct Plugged {
    child: Child,
}

impl Plugged {
    /// Returns when the kernel has configured it.
    pub fn new(controller: &str, spec: &str) -> Outcome<Plugged> {
        let mut command = Command::new(beside("vscan"));
        let child = command.args([controller, spec]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut plugged = Plugged { child };
        let mut line = String::new();
        BufReader::new(plugged.child.stdout.as_mut().expect("it is piped")).read_line(&mut line)?;
        if !line.starts_with("ready") {
            return Err(format!("vscan says {line:?}").into());
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_configured()? {
            if Instant::now() > deadline {
                return Err("the kernel does not configure the device".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(plugged)
    }
}

/// Whether there is an interface with a bulk-in endpoint. Hubs have none.
fn is_configured() -> Outcome<bool> {
    for interface in std::fs::read_dir("/sys/bus/usb/devices")? {
        for endpoint in std::fs::read_dir(interface?.path())?.flatten() {
            let kind = std::fs::read_to_string(endpoint.path().join("type")).unwrap_or_default();
            if kind.trim() == "Bulk" {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl Drop for Plugged {
    fn drop(&mut self) {
        // Its output ends with it; it may have ended by itself.
        let _ = self.child.stdin.take().map(|mut orders| orders.write_all(b"quit\n"));
        let _ = self.child.stdout.take().map(|mut rest| rest.read_to_end(&mut Vec::new()));
        let _ = self.child.wait();
    }
}

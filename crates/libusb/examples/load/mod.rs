//! What both measuring programs do: the same arguments, the same work, the same lines of figures.
//!
//! The work wants the loopback device (vendor requests 0x14 to 0x16), on any bus that libusb sees.

use std::time::{Duration, Instant};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// `idVendor` and `idProduct`.
    pub device: (u16, u16),
    /// Whether bytes go to the device.
    pub out: bool,
    /// Transfers in flight at once; 0: synchronous calls, one after another.
    pub queued: usize,
    /// Bytes of each; a multiple of 1024.
    pub size: usize,
    /// Bytes to move in all: the next multiple of `size`.
    pub bytes: usize,
    /// Whether the bytes lie in memory that could be shared with another process. Only the engine can.
    pub shared: bool,
    /// Reads to cancel, one after another, on a silent device; 0: none are.
    pub rounds: usize,
}

/// What a transfer of bytes took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    /// Processor time of this process, the kernel's part included.
    pub cpu: Duration,
}

impl Took {
    /// Times some work.
    pub fn by<E>(work: impl FnOnce() -> Result<(), E>) -> Result<Took, E> {
        let (began, cpu) = (Instant::now(), processor_time());
        work()?;
        Ok(Took { wall: began.elapsed(), cpu: processor_time() - cpu })
    }
}

fn processor_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec that may be written, which is all the call asks for.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    assert_eq!(code, 0, "every Linux has this clock");
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

pub const USAGE: &str =
    "[--device VID:PID] [--way in|out] [--queued N, 0: synchronous] [--size BYTES] [--mib N] [--rounds N]";

impl Load {
    /// Reads the command line; `None` where it makes no sense.
    pub fn from_arguments() -> Option<Load> {
        let mut load = Load {
            device: (0x1209, 1),
            out: false,
            queued: 4,
            size: 256 * 1024,
            bytes: 64 << 20,
            shared: false,
            rounds: 1000,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--device" => {
                    let (vendor, product) = value.split_once(':')?;
                    load.device = (u16::from_str_radix(vendor, 16).ok()?, u16::from_str_radix(product, 16).ok()?);
                }
                "--way" => load.out = ["in", "out"].iter().position(|way| *way == value)? == 1,
                "--queued" => load.queued = value.parse().ok().filter(|n| *n <= 1024)?,
                "--size" => load.size = value.parse().ok().filter(|n| *n > 0 && n % 1024 == 0 && *n <= 16 << 20)?,
                "--mib" => load.bytes = value.parse::<usize>().ok().filter(|n| (1..=4096).contains(n))? << 20,
                "--memory" => load.shared = ["own", "shared"].iter().position(|memory| *memory == value)? == 1,
                "--rounds" => load.rounds = value.parse().ok().filter(|n| *n <= 1_000_000)?,
                _ => return None,
            }
        }
        load.bytes = load.bytes.div_ceil(load.size) * load.size;
        Some(load)
    }

    /// The `wValue`s of the requests 0x15 that make the device say `bytes` bytes.
    pub fn runs(&self) -> Vec<u16> {
        let kib = self.bytes / 1024;
        let mut runs = vec![32768; kib / 32768];
        runs.extend((kib % 32768 > 0).then_some((kib % 32768) as u16));
        runs
    }

    /// Prints the figures of the bytes that were moved.
    pub fn report_throughput(&self, through: &str, took: Took) {
        let rate = self.bytes as f64 / 1e6 / took.wall.as_secs_f64();
        let way = if self.out { "out" } else { "in" };
        println!(
            "{through} bulk-{way} queued={} size={} bytes={} seconds={:.6} cpu_seconds={:.6} mb_per_s={rate:.1}",
            self.queued,
            self.size,
            self.bytes,
            took.wall.as_secs_f64(),
            took.cpu.as_secs_f64()
        );
    }

    /// Prints the figures of the cancels, if there were any.
    pub fn report_cancels(&self, through: &str, mut took: Vec<Duration>) {
        if took.is_empty() {
            return;
        }
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)].as_secs_f64() * 1e6;
        println!(
            "{through} cancel size={} rounds={} p50_us={:.1} p99_us={:.1} most_us={:.1}",
            self.size,
            took.len(),
            at(50),
            at(99),
            at(100)
        );
    }
}

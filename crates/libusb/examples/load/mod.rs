//! What both measuring programs do: the same arguments, the same work, the same lines of figures.
//!
//! The work wants the loopback device (vendor requests 0x14 and 0x15), on any bus that libusb sees.

use std::time::Duration;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// `idVendor` and `idProduct`.
    pub device: (u16, u16),
    /// Reads in flight at once.
    pub queued: usize,
    /// Bytes of each; a multiple of 1024.
    pub size: usize,
    /// Bytes to read in all: the next multiple of `size`.
    pub bytes: usize,
    /// Reads to cancel, one after another, on a silent device.
    pub rounds: usize,
}

pub const USAGE: &str = "[--device VID:PID] [--queued N] [--size BYTES] [--mib N] [--rounds N]";

impl Load {
    /// Reads the command line; `None` where it makes no sense.
    pub fn from_arguments() -> Option<Load> {
        let mut load = Load { device: (0x1209, 1), queued: 4, size: 256 * 1024, bytes: 64 << 20, rounds: 1000 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--device" => {
                    let (vendor, product) = value.split_once(':')?;
                    load.device = (u16::from_str_radix(vendor, 16).ok()?, u16::from_str_radix(product, 16).ok()?);
                }
                "--queued" => load.queued = value.parse().ok().filter(|n| (1..=1024).contains(n))?,
                "--size" => load.size = value.parse().ok().filter(|n| *n > 0 && n % 1024 == 0 && *n <= 16 << 20)?,
                "--mib" => load.bytes = value.parse::<usize>().ok().filter(|n| (1..=4096).contains(n))? << 20,
                "--rounds" => load.rounds = value.parse().ok().filter(|n| (1..=1_000_000).contains(n))?,
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

    /// Prints the figures of the reads.
    pub fn report_throughput(&self, through: &str, took: Duration) {
        let rate = self.bytes as f64 / 1e6 / took.as_secs_f64();
        println!(
            "{through} bulk-in queued={} size={} bytes={} seconds={:.3} mb_per_s={rate:.1}",
            self.queued,
            self.size,
            self.bytes,
            took.as_secs_f64()
        );
    }

    /// Prints the figures of the cancels.
    pub fn report_cancels(&self, through: &str, mut took: Vec<Duration>) {
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

//! A transport straight onto a virtual scanner, for tests of drivers without a daemon: one thread, and a clock of its own that
//! jumps to whatever is waited for, so that a scanner that says nothing for a minute costs no time.
//!
//! It does to transfers what the daemon does: reads are rounded up to whole packets and the surplus is kept, a failed pipe
//! is frozen until it is reset, a cancelled read hands over what it had.
#![allow(dead_code, unused_imports)] // Each test program uses another part.

mod cable;
mod expected;
mod rig;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use usbscan_scan::esci::Esci;
use usbscan_scan::{Driver, Flow, PageFormat, PageSink, Progress, ScanError, Scanner, SinkError, Timeouts};
use usbscan_virtual::spec;

pub use cable::{Bench, Cable};
pub use expected::{expected, shows, shows_within, without_padding};
pub use rig::{Read, Rig, When};

/// A scanner as `--virtual` describes it, on the bench.
pub fn bench(description: &str) -> Bench {
    Arc::new(Mutex::new(Rig::new(spec::parse(description).expect("a good description"))))
}

/// Short waits where the clock is real.
pub fn timeouts() -> Timeouts {
    Timeouts { poll: Duration::from_millis(1), ..Timeouts::default() }
}

/// Plugs a driver in.
pub fn open(bench: &Bench) -> Result<Box<dyn Scanner>, ScanError> {
    Esci.open_with(timeouts(), Box::new(Cable::new(bench)), &mut |_| {})
}

/// A page in memory.
#[derive(Debug, Default)]
pub struct Page {
    pub format: Option<PageFormat>,
    pub bytes: Vec<u8>,
    pub is_whole: bool,
    /// Say stop at so many calls.
    pub stop_after: Option<usize>,
    /// Fail at so many calls.
    pub fail_after: Option<usize>,
    pub calls: usize,
    pub most: usize,
}

impl PageSink for Page {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        assert!(self.format.replace(*format).is_none(), "a page begins once");
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        let format = self.format.expect("a page begins before its lines");
        assert!(!lines.is_empty() && lines.len() % format.bytes_per_line() == 0, "whole lines");
        self.calls += 1;
        self.most = self.most.max(lines.len());
        self.bytes.extend(lines);
        if self.fail_after == Some(self.calls) {
            return Err(SinkError::new("the disk is full"));
        }
        Ok(if self.stop_after == Some(self.calls) { Flow::Stop } else { Flow::Continue })
    }

    fn end(&mut self) -> Result<(), SinkError> {
        self.is_whole = true;
        Ok(())
    }
}

/// Scans a page with these options.
pub fn scan(scanner: &mut dyn Scanner, options: &[(&str, &str)]) -> Result<Page, ScanError> {
    scanner.options_mut().set_all(options.iter().copied())?;
    let mut page = Page::default();
    scanner.scan(&mut page, &mut |_: Progress| {})?;
    Ok(page)
}

//! A driver against a scanner that answers whatever the input says: identities, statuses, headers of blocks, pixels.

use std::time::Duration;

use usbscan_client::Bytes;
use usbscan_client::wire::Pipe;
use usbscan_scan::esci::Esci;
use usbscan_scan::esci2::Esci2;
use usbscan_scan::{
    AbortStep, Cancel, ControlRequest, Driver, Flow, PageFormat, PageSink, Progress, ReadEnd, Received, ScanError,
    Scanner, SinkError, Timeouts, Transport, TransportError,
};

/// A page that is larger than this was made up.
const PAGE: usize = 64 << 20;

pub fn esci2(bytes: &[u8]) {
    in_words(scan_esci2(bytes));
}

/// ESC/I. Another protocol's driver is another pair like this.
pub fn esci(bytes: &[u8]) {
    in_words(scan_esci(bytes));
}

/// A page of a scanner that answers so.
pub fn scan_esci2(bytes: &[u8]) -> Result<(), ScanError> {
    with(bytes, |transport| Esci2.open_with(hasty(), transport, &mut |_: Progress| {}))
}

pub fn scan_esci(bytes: &[u8]) -> Result<(), ScanError> {
    with(bytes, |transport| Esci.open_with(hasty(), transport, &mut |_: Progress| {}))
}

fn in_words(scanned: Result<(), ScanError>) {
    if let Err(error) = scanned {
        assert!(!error.to_string().is_empty(), "in words");
    }
}

/// The first byte says which page: its bits are for colour and for the document feeder.
fn with(
    bytes: &[u8],
    open: impl FnOnce(Box<dyn Transport>) -> Result<Box<dyn Scanner>, ScanError>,
) -> Result<(), ScanError> {
    let Some((page, bytes)) = bytes.split_first() else { return Ok(()) };
    let mode = if page & 1 == 0 { "gray" } else { "color" };
    let source = if page & 2 == 0 { "Flatbed" } else { "Automatic Document Feeder" };
    let transport = Box::new(Rubbish { left: bytes.to_vec(), asked: 0, cancel: Cancel::new(|_| {}) });
    open(transport).and_then(|mut scanner| {
        // Small, if it has that; what it says of itself may be anything.
        let wanted = [("source", source), ("mode", mode), ("resolution", "75"), ("resolution", "50")];
        for (name, value) in wanted.into_iter().chain([("br-x", "6"), ("br-y", "6")]) {
            let _ = scanner.options_mut().set_text(name, value);
        }
        scanner.scan(&mut Page { bytes: 0 }, &mut |_| {}).map(drop)
    })
}

/// Every wait is over at once.
fn hasty() -> Timeouts {
    let none = Duration::ZERO;
    Timeouts {
        listen: none,
        write: none,
        probe: none,
        reply: none,
        // Asked for again and again, without a pause; the input has an end.
        image: Duration::from_secs(1),
        feed: none,
        warm_up: none,
        homing: none,
        poll: none,
        rest_of_block: none,
        resync: none,
        silence: none,
    }
}

/// Each read gets so many bytes as the next byte of the input says, or all it asked for; at the end it is unplugged. The inputs
/// named after a dialect are what drivers read of virtual scanners while they scanned a page so small.
struct Rubbish {
    left: Vec<u8>,
    asked: usize,
    cancel: Cancel,
}

impl Rubbish {
    fn next(&mut self) -> Result<u8, TransportError> {
        if self.left.is_empty() { Err(TransportError::NoDevice) } else { Ok(self.left.remove(0)) }
    }
}

impl Transport for Rubbish {
    fn write(&mut self, _bytes: &[u8], _timeout: Duration) -> Result<(), TransportError> {
        if self.left.is_empty() { Err(TransportError::NoDevice) } else { Ok(()) }
    }

    fn start_read(&mut self, length: usize, _timeout: Duration) -> Result<(), TransportError> {
        self.asked = length;
        Ok(())
    }

    fn finish_read(&mut self) -> Result<Received, TransportError> {
        let (length, end) = match self.next()? {
            255 => return Err(TransportError::Stall { tried: "read" }),
            254 => return Err(TransportError::Overrun),
            253 => (0, ReadEnd::TimedOut),
            252 => (self.asked.min(3), ReadEnd::TimedOut),
            251 => (1, ReadEnd::Done),
            250 => (usize::from(u16::from_le_bytes([self.next()?, self.next()?])).min(self.asked), ReadEnd::Done),
            _ => (self.asked, ReadEnd::Done),
        };
        let mut bytes: Vec<u8> = self.left.drain(..length.min(self.left.len())).collect();
        // An image need not be in the input byte for byte.
        if end == ReadEnd::Done && length <= 1 << 20 {
            bytes.resize(length, 0);
        }
        Ok(Received { bytes: bytes.into(), end })
    }

    fn cancel_read(&mut self) {}

    fn control(&mut self, _request: &ControlRequest, _timeout: Duration) -> Result<Bytes, TransportError> {
        Ok(vec![self.next()?].into())
    }

    fn wait_event(&mut self, _timeout: Duration) -> Result<Bytes, TransportError> {
        Ok(vec![self.next()?].into())
    }

    fn clear_halt(&mut self, _pipe: Pipe) -> Result<(), TransportError> {
        self.next().map(drop)
    }

    fn recover(&mut self) -> Result<(), TransportError> {
        self.next().map(drop)
    }

    fn await_recovery(&mut self) -> Result<(), TransportError> {
        self.next().map(drop)
    }

    fn arm_abort(&mut self, _steps: Vec<AbortStep>, _settle: Option<Duration>) -> Result<(), TransportError> {
        Ok(())
    }

    fn disarm_abort(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }
}

/// Counts a page, and stops one that has no end.
struct Page {
    bytes: usize,
}

impl PageSink for Page {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        assert!(format.width > 0);
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        self.bytes += lines.len();
        Ok(if self.bytes > PAGE { Flow::Stop } else { Flow::Continue })
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

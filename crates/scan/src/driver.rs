//! Drivers and scanners: what every scan protocol looks like from outside.

use std::time::Duration;

use serde::Serialize;

use crate::{Cancel, Options, PageFormat, PageSink, ScanError, Timeouts, Transport};

/// What a packet of a scanner's interrupt pipe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventPacket {
    /// A button was pressed, counted from 1 as the scanner does.
    Button(u8),
    /// Nothing that a person did: the state of the scanner has changed, for example.
    Notice,
    /// Nobody knows.
    Unknown,
}

/// A scan protocol.
pub trait Driver: Send + Sync {
    /// Its name, as `protocol` in the daemon's list of devices: `esci`.
    fn protocol(&self) -> &'static str;

    /// What a packet of the interrupt pipe says, where the protocol defines that.
    fn event_packet(&self, packet: &[u8]) -> EventPacket {
        let _ = packet;
        EventPacket::Unknown
    }

    /// Gets in sync with a scanner, whatever state it was left in, and asks what it is.
    ///
    /// # Errors
    /// When it can't be brought in sync, is none of this protocol, or is one that isn't supported.
    fn open(
        &self,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError> {
        self.open_with(Timeouts::default(), transport, progress)
    }

    /// The same with other timeouts.
    ///
    /// # Errors
    /// As [`Driver::open`].
    fn open_with(
        &self,
        timeouts: Timeouts,
        transport: Box<dyn Transport>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Scanner>, ScanError>;
}

/// A scanner that is ready to be used.
pub trait Scanner: Send {
    /// What the scanner says that it is.
    fn identity(&self) -> &Identity;

    /// What can be chosen, and what is.
    fn options(&self) -> &Options;

    /// The options, to be set.
    fn options_mut(&mut self) -> &mut Options;

    /// What a page scanned with these options looks like.
    ///
    /// # Errors
    /// When the options don't make a page: [`ScanError::Area`].
    fn page_format(&self) -> Result<PageFormat, ScanError>;

    /// Whether pages with these options come as PDF documents of the scanner's own, one a page, and in no other way: only a sink
    /// that takes those gets them, see [`PageSink::takes_pdf`].
    fn sends_only_pdf(&self) -> bool {
        false
    }

    /// Scans one page. The scanner is idle afterwards, also when it is cancelled or fails, unless the error says
    /// otherwise; `progress` hears how it goes on, on this thread.
    ///
    /// From a document feeder this is the next page: of the next sheet, or in duplex the back of the sheet whose front was
    /// the page before. Pages of one batch are scanned with the same options; [`Scanner::end_batch`] ends it.
    ///
    /// # Errors
    /// See [`ScanError`]; [`crate::DeviceError::NoDocuments`] when the feeder has no more.
    fn scan(&mut self, sink: &mut dyn PageSink, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError>;

    /// No more pages are wanted: a sheet that the feeder still holds is put out. Without a feeder, and without a batch,
    /// there is nothing to do.
    ///
    /// # Errors
    /// When the scanner does not take it; see [`ScanError`].
    fn end_batch(&mut self) -> Result<(), ScanError> {
        Ok(())
    }

    /// Whether the scanner has buttons that must be asked for: [`Scanner::pressed_button`].
    fn has_buttons(&self) -> bool {
        false
    }

    /// The button that was pressed since this was last asked, as the scanner numbers it, from 1; `None` when none was.
    /// Asked between pages only.
    ///
    /// # Errors
    /// When the scanner does not answer; see [`ScanError`].
    fn pressed_button(&mut self) -> Result<Option<u8>, ScanError> {
        Ok(None)
    }

    /// Cancels from any thread what this scanner does.
    fn cancel_handle(&self) -> Cancel;
}

/// What a scanner says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// The protocol and what of it the scanner speaks: `ESC/I B8, extended commands`.
    pub protocol: String,
    /// Its name, empty when it has none.
    pub model: String,
    /// The version of its firmware, empty when it does not say.
    pub firmware: String,
}

/// How a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The scanner was left in the middle of a job; it is being returned to idle.
    Recovering,
    /// The lamp is warming up.
    WarmingUp {
        /// For how long already.
        waited: Duration,
    },
    /// The scanner prepares itself; lines come next.
    Starting,
    /// Lines that the sink has.
    Lines {
        /// How many.
        done: u32,
        /// Of how many, where that is known.
        total: Option<u32>,
    },
    /// It was cancelled; the scanner is being brought back to idle.
    Cancelling,
}

/// How a scan ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The page is whole.
    Complete,
    /// The sink said stop.
    Stopped,
}

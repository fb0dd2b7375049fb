//! The blocks of one page, as they come: where in the train of headers, blocks and ACKs the scanner is, so that it can be
//! brought to idle from there. Runs on the thread that scans.
//!
//! ```text
//!              all bytes of a block came            ACK
//!   Sending ─────────────────────────────▶ Waiting ─────▶ Sending
//!      │ the last one came                    │ CAN
//!      ▼                                      ▼
//!     Over ◀──────────────────────────────────┘        fatal: Stopped     a transfer failed: Unknown
//!       ▲              EOT, behind the sheet's end │
//!       └──────────────────────────────────────────┘
//! ```

use std::time::Duration;

use bytes::Bytes;

use super::blocks::{ErrorByte, EscHeader, FS_HEADER_BYTES, FsBlocks, FsHeader, ImageLayout};
use super::capabilities::Dialect;
use super::codes::{ACK, EOT, FS_START, START};
use super::dialogue::{Dialogue, Item};
use super::status::StatusByte;
use crate::support::reassembly::Reassembly;
use crate::{DeviceError, ProtocolError, ScanError};

/// What the scanner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamState {
    /// It sends a header or a block, and is deaf.
    Sending,
    /// It waits for ACK or CAN.
    Waiting,
    /// It has sent the last block, and is idle.
    Over,
    /// It has given up; ESC @ is what it listens to.
    Stopped,
    /// Nobody knows.
    Unknown,
}

/// A block of image data as the scanner sent it.
#[derive(Debug)]
pub(super) struct Block {
    /// Whole lines.
    pub bytes: Bytes,
    /// Its samples are green, red, blue.
    pub is_green_first: bool,
    /// No more follow.
    pub is_last: bool,
    /// The sheet ended in it or above, and the page can be ended: [`ImageStream::end_page`].
    pub is_page_end: bool,
}

#[derive(Debug)]
enum Framing {
    /// One header for the page, an error byte behind each block. The sizes of the blocks, once the header has come, and that
    /// which is being sent.
    Fs { blocks: Option<FsBlocks>, block: Option<(usize, bool)> },
    /// A header before each block. That of the block that is being sent, once it has come, and its bytes.
    Esc { block: Option<(StatusByte, usize)> },
}

/// The blocks of one page.
#[derive(Debug)]
pub(super) struct ImageStream {
    framing: Framing,
    asked: ImageLayout,
    lines_left: u32,
    state: StreamState,
    /// What has come of the item that is being sent.
    buffer: Reassembly,
}

impl ImageStream {
    /// Tells the scanner to begin. Its header is read with [`ImageStream::header`].
    pub(super) fn begin(
        dialect: Dialect,
        dialogue: &mut Dialogue,
        asked: ImageLayout,
    ) -> Result<ImageStream, ScanError> {
        let (start, framing) = match dialect {
            Dialect::Fs => (FS_START, Framing::Fs { blocks: None, block: None }),
            Dialect::Esc => (START, Framing::Esc { block: None }),
        };
        dialogue.send(&start.bytes)?;
        Ok(ImageStream {
            framing,
            asked,
            lines_left: asked.lines,
            state: StreamState::Sending,
            buffer: Reassembly::default(),
        })
    }

    /// The first header: whether the scanner begins at all. Nothing follows one that is fatal or busy.
    pub(super) fn header(&mut self, dialogue: &mut Dialogue, timeout: Duration) -> Result<StatusByte, ScanError> {
        let status = match self.framing {
            Framing::Fs { .. } => self.page_header(dialogue, timeout),
            Framing::Esc { .. } => self.block_header(dialogue, timeout).map(|(status, _)| status),
        };
        self.watch(status)
    }

    pub(super) fn state(&self) -> StreamState {
        self.state
    }

    /// Says that a block came well. Then the next one, or its header, is already being read while the last is looked at.
    pub(super) fn go_on(&mut self, dialogue: &mut Dialogue) -> Result<(), ScanError> {
        // Until the write is known to have worked.
        self.state = StreamState::Unknown;
        dialogue.send(&[ACK])?;
        self.state = StreamState::Sending;
        let bytes = match &mut self.framing {
            Framing::Fs { block, blocks } => {
                *block = blocks.as_mut().and_then(Iterator::next);
                block.map_or(0, |(size, _)| size + 1)
            }
            Framing::Esc { block } => {
                *block = None;
                self.asked.header_bytes
            }
        };
        dialogue.channel.start_read(bytes, dialogue.channel.timeouts.image)
    }

    /// Ends the page behind a block in which its sheet ended, in the place of [`ImageStream::go_on`]. False: refused, the page goes on
    /// to the end of its area.
    pub(super) fn end_page(&mut self, dialogue: &mut Dialogue) -> Result<bool, ScanError> {
        // Until the scanner has answered.
        self.state = StreamState::Unknown;
        let is_over = dialogue.one_byte(EOT, dialogue.channel.timeouts.reply)?;
        self.state = if is_over { StreamState::Over } else { StreamState::Waiting };
        dialogue.in_sync = is_over;
        Ok(is_over)
    }

    /// Ends the read that is under way; what it had is kept for [`ImageStream::next`].
    pub(super) fn stop_reading(&mut self, dialogue: &mut Dialogue) -> Result<(), ScanError> {
        self.buffer.push(dialogue.channel.stop_reading()?);
        Ok(())
    }

    /// The next block. After a cancel the same call goes on where it was.
    pub(super) fn next(&mut self, dialogue: &mut Dialogue, timeout: Duration) -> Result<Block, ScanError> {
        let came = match self.framing {
            Framing::Fs { .. } => self.next_extended(dialogue, timeout),
            Framing::Esc { .. } => self.next_plain(dialogue, timeout),
        };
        self.watch(came)
    }

    /// What an error makes of the scanner's state.
    fn watch<T>(&mut self, result: Result<T, ScanError>) -> Result<T, ScanError> {
        match result {
            // The same call can go on; or the state is set already.
            Ok(_) | Err(ScanError::Cancelled { .. } | ScanError::Device(_)) => {}
            // A single NAK instead of the first header: it did not begin.
            Err(ScanError::Refused { .. }) => self.state = StreamState::Over,
            Err(_) => self.state = StreamState::Unknown,
        }
        result
    }

    /// The status of a header, from which nothing goes on if it is bad.
    fn check_status(&mut self, status: StatusByte) -> Result<(), ScanError> {
        if status.is_fatal() {
            self.state = StreamState::Stopped;
            return Err(DeviceError::Fatal.into());
        }
        if status.is_busy() {
            self.state = StreamState::Unknown;
            return Err(DeviceError::Busy.into());
        }
        Ok(())
    }

    /// The one header of a page.
    fn page_header(&mut self, dialogue: &mut Dialogue, timeout: Duration) -> Result<StatusByte, ScanError> {
        let item = Item { name: "the start of the scan", bytes: FS_HEADER_BYTES, answers: Some(FS_START) };
        dialogue.fill(&mut self.buffer, item, timeout)?;
        let header = FsHeader::parse(&self.buffer.take())?;
        if !header.status.is_fatal() && !header.status.is_busy() {
            self.framing = Framing::Fs { blocks: Some(header.blocks(&self.asked)?), block: None };
        }
        Ok(header.status)
    }

    fn next_extended(&mut self, dialogue: &mut Dialogue, timeout: Duration) -> Result<Block, ScanError> {
        if let Framing::Fs { blocks: None, .. } = self.framing {
            let status = self.page_header(dialogue, timeout)?;
            self.check_status(status)?;
        }
        let Framing::Fs { blocks: Some(blocks), block } = &mut self.framing else {
            return Err(ProtocolError::Endless.into());
        };
        *block = block.or_else(|| blocks.next());
        let Some((size, is_last)) = *block else { return Err(ProtocolError::Endless.into()) };
        let item = Item { name: "the image", bytes: size + 1, answers: None };
        dialogue.fill(&mut self.buffer, item, timeout)?;
        *block = None;
        let mut bytes = self.buffer.take();
        let error = ErrorByte(bytes.split_off(size).first().copied().unwrap_or(0));
        self.state = if is_last { StreamState::Over } else { StreamState::Waiting };
        if error.is_fatal() {
            self.state = StreamState::Stopped;
            return Err(DeviceError::Fatal.into());
        }
        if error.is_busy() {
            self.state = StreamState::Unknown;
            return Err(DeviceError::Busy.into());
        }
        if error.is_cancel() && !is_last {
            return Err(DeviceError::CancelledAtDevice.into());
        }
        Ok(Block { bytes, is_green_first: false, is_last, is_page_end: error.is_page_end() && !is_last })
    }

    fn next_plain(&mut self, dialogue: &mut Dialogue, timeout: Duration) -> Result<Block, ScanError> {
        let (status, size) = self.block_header(dialogue, timeout)?;
        self.check_status(status)?;
        dialogue.fill(&mut self.buffer, Item { name: "the image", bytes: size, answers: None }, timeout)?;
        self.framing = Framing::Esc { block: None };
        let bytes = self.buffer.take();
        // The size was held against what was left.
        self.lines_left -= (size / self.asked.line_bytes.max(1)) as u32;
        let is_last = status.is_area_end();
        self.state = if is_last { StreamState::Over } else { StreamState::Waiting };
        match (is_last, self.lines_left) {
            (true, 1..) => Err(ProtocolError::EndedEarly { missing: self.lines_left }.into()),
            (false, 0) => Err(ProtocolError::Endless.into()),
            _ => Ok(Block { bytes, is_green_first: status.is_green_first(), is_last, is_page_end: false }),
        }
    }

    /// The header of the block that is being sent, and its size: read now, or known already.
    fn block_header(&mut self, dialogue: &mut Dialogue, timeout: Duration) -> Result<(StatusByte, usize), ScanError> {
        if let Framing::Esc { block: Some(known) } = self.framing {
            return Ok(known);
        }
        let is_first = self.lines_left == self.asked.lines;
        let (name, answers) = if is_first { ("the start of the scan", Some(START)) } else { ("the image", None) };
        dialogue.fill(&mut self.buffer, Item { name, bytes: self.asked.header_bytes, answers }, timeout)?;
        let header = EscHeader::parse(&self.buffer.take())?;
        // Without data a header has no sizes to check.
        let size = match header.status.is_fatal() || header.status.is_busy() {
            true => 0,
            false => header.block_bytes(&self.asked, self.lines_left)?,
        };
        self.framing = Framing::Esc { block: Some((header.status, size)) };
        Ok((header.status, size))
    }
}

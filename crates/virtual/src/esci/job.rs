//! One scan under way: which items go to the host, in which order, and what it may answer in between
//! (docs/esc-i.md, "A page" and "Stopping"). No bytes are parsed here.
//!
//! ```text
//!            start                     last byte of a block read
//!   idle ───────────▶ Pushing ───────────────────────────────────▶ Waiting
//!     ▲                 │   ▲                                        │ │
//!     │ last block read │   └────────────── ACK: next block ─────────┘ │
//!     └─────────────────┴──── CAN, fatal; EOT behind the sheet's end ◀─┘
//! ```

use super::lines::Lines;

/// How image data is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// ESC G without ESC d: each line behind four bytes.
    Line,
    /// ESC G after ESC d: so many lines behind six bytes.
    Block(u8),
    /// FS G: 14 bytes once, an error byte behind each block of so many lines.
    Extended(u32),
}

/// What goes to the host, as one item that no other is joined to.
#[derive(Debug)]
pub(super) enum Item {
    Bytes {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// Image lines, and the error byte of the extended form.
    Image {
        lines: u32,
        error_byte: Option<u8>,
    },
}

impl Item {
    pub(super) fn bytes(bytes: Vec<u8>) -> Item {
        Item::Bytes { bytes, sent: 0 }
    }
}

/// What follows a block that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The host must say ACK or CAN.
    Answer,
    /// Nothing: the scan is over.
    Idle,
    /// Nothing: the scanner has stopped for good.
    Fatal,
}

/// What happens in mid-scan, at a byte of image data.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Incidents {
    pub fatal_at: Option<u64>,
    pub cancel_at: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Job {
    form: Form,
    lines: Lines,
    /// Status bits of every header: FS commands.
    status: u8,
    incidents: Incidents,
    /// The wire line at which the sheet ends, where the scanner notices that.
    page_end: Option<u32>,
    /// The last block had the end of the page in it, or came behind it: the host may say EOT.
    has_ended: bool,
    /// What follows the block that is being pushed.
    after: After,
    /// The current line and how much of it went.
    line: Vec<u8>,
    line_sent: usize,
}

impl Job {
    pub(super) fn new(form: Form, lines: Lines, status: u8, incidents: Incidents) -> Job {
        let (after, line) = (After::Answer, Vec::new());
        Job { form, lines, status, incidents, page_end: None, has_ended: false, after, line, line_sent: 0 }
    }

    /// The sheet ends at this line of the area.
    pub(super) fn ends_at(self, row: Option<u32>) -> Job {
        let per_row = self.lines.per_row();
        Job { page_end: row.map(|row| row.saturating_mul(per_row)), ..self }
    }

    /// Whether the host may end the page here, as its sheet has ended; then how many rows went.
    pub(super) fn rows_when_ended(&self) -> Option<u32> {
        self.has_ended.then(|| self.lines.taken() / self.lines.per_row())
    }

    /// The items with which it begins.
    pub(super) fn start(&mut self) -> Vec<Item> {
        let mut items = Vec::new();
        if let Form::Extended(block) = self.form {
            items.push(Item::bytes(self.extended_header(block)));
        }
        items.extend(self.next_block());
        items
    }

    /// The next block: after the start, and after every ACK.
    pub(super) fn next_block(&mut self) -> Vec<Item> {
        let left_in_pass = self.lines.pass() - self.lines.taken() % self.lines.pass();
        let most = match self.form {
            Form::Line => 1,
            Form::Block(lines) => u32::from(lines),
            Form::Extended(lines) => lines,
        };
        let lines = most.min(left_in_pass);
        let from = u64::from(self.lines.taken()) * self.lines.bytes() as u64;
        let bytes = from..from + u64::from(lines) * self.lines.bytes() as u64;
        let hit = |at: Option<u64>| at.is_some_and(|at| bytes.contains(&at));
        let last = self.lines.taken() + lines == self.lines.count();
        self.after = if last { After::Idle } else { After::Answer };
        let fatal = hit(self.incidents.fatal_at);
        if fatal {
            self.after = After::Fatal;
        }
        if let Form::Extended(_) = self.form {
            let cancel = !fatal && !last && hit(self.incidents.cancel_at);
            self.has_ended = self.page_end.is_some_and(|end| self.lines.taken() + lines >= end);
            let error_byte = u8::from(fatal) << 7 | u8::from(self.has_ended) << 5 | u8::from(cancel) << 4;
            return vec![Item::Image { lines, error_byte: Some(error_byte) }];
        }
        if fatal {
            // No lines follow: the header says so.
            return vec![Item::bytes(self.header(0x80, 0, 0)), Item::Image { lines: 0, error_byte: None }];
        }
        let area_end = u8::from(lines == left_in_pass) << 5;
        let header = self.header(area_end, self.lines.bytes(), lines);
        vec![Item::bytes(header), Item::Image { lines, error_byte: None }]
    }

    /// Whether an incident was in what has gone so far, so that it does not happen again.
    pub(super) fn has_passed(&self, at: u64) -> bool {
        u64::from(self.lines.taken()) * self.lines.bytes() as u64 > at
    }

    pub(super) fn after(&self) -> After {
        self.after
    }

    /// Fills `buffer` from the block; returns how many bytes it took. `lines` counts down.
    pub(super) fn fill(&mut self, lines: &mut u32, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.line_sent == self.line.len() {
                if *lines == 0 {
                    break;
                }
                *lines -= 1;
                self.lines.take(&mut self.line);
                self.line_sent = 0;
            }
            let rest = &self.line[self.line_sent..];
            let n = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + n].copy_from_slice(&rest[..n]);
            self.line_sent += n;
            filled += n;
        }
        filled
    }

    /// Whether all bytes of the lines taken went.
    pub(super) fn is_at_line_end(&self) -> bool {
        self.line_sent == self.line.len()
    }

    /// STX, status, bytes a line; in block form also the number of lines.
    fn header(&self, more_status: u8, bytes: usize, lines: u32) -> Vec<u8> {
        let block = self.form != Form::Line;
        let mut header = vec![0x02, self.status | more_status | self.lines.colour_bits(block)];
        header.extend((bytes as u16).to_le_bytes());
        if block {
            header.extend((lines as u16).to_le_bytes());
        }
        header
    }

    /// The last block always counts as an extra one, as some hosts wait for one.
    fn extended_header(&self, block: u32) -> Vec<u8> {
        let (count, bytes) = (self.lines.count(), self.lines.bytes() as u32);
        let full = (count - 1) / block;
        let last = count - full * block;
        let mut header = vec![0x02, self.status];
        for number in [block * bytes, full, last * bytes] {
            header.extend(number.to_le_bytes());
        }
        header
    }
}

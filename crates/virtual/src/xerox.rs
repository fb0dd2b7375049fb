//! A scanner of the family that SANE's xerox_mfp drives (Samsung, Xerox, Dell): glass and feeder, gray, lineart and colour, as
//! raw pixels, and colour as JPEG too. For tests with another driver than ours. The facts are those by which that driver speaks (backend/xerox_mfp.c
//! and .h of sane-backends; no code is taken over):
//!
//! ```text
//! > 1b a8 CC 00                 a command; SET_WINDOW (24) is 25 bytes long
//! < a8 SS NN MM ...             32 bytes, of INQUIRY (12) 70: status, length - 3, message
//! > 1b a8 28 00  < a8 00 1d 80  READ: 80 a block follows, 81 the last; its bytes, lines and pixels of a line
//! > 1b a8 29 00  < ...          READ_IMAGE: the block, with nothing in front
//! ```
//!
//! Numbers are big-endian. Sizes are in 1200ths of an inch, offsets in inches and hundredths.
//!
//! Bit 6 of byte 32h of INQUIRY says that SET_WINDOW may ask for JPEG, with 6 in its byte 14h: then each block of a colour
//! page is a JPEG file of its lines, below 64 KiB.
//!
//! Where that driver's code leaves open what a device does, this one does the following: READ says the same until READ_IMAGE; a
//! block whose length is a multiple of 512 has 16 bytes of padding, since nothing else would end its transfer; ABORT ends
//! the page and puts the sheet out; anything that is no command is answered by a check condition with "command error".

use std::time::Instant;

use usbscan_usb::EndpointAddress;

use crate::glass::{Glass, Rows, Sample, View};
use crate::jpeg::{FrameHeight, Jpeg, JpegForm, LineSource, Sampling};
use crate::model::bulk;
use crate::outbox::Outbox;
use crate::panel::Trouble;
use crate::{Busy, Conditions, Descriptors, In, Model, Out, Panel, Sheet};

const ABORT: u8 = 0x06;
const INQUIRY: u8 = 0x12;
const RESERVE_UNIT: u8 = 0x16;
const RELEASE_UNIT: u8 = 0x17;
const SET_WINDOW: u8 = 0x24;
const READ: u8 = 0x28;
const READ_IMAGE: u8 = 0x29;
const OBJECT_POSITION: u8 = 0x31;

const GOOD: u8 = 0x00;
const CHECK: u8 = 0x02;
const BUSY: u8 = 0x08;

/// The message of a check condition, and some of its bits.
const SCANNER_STATE: u8 = 0x20;
const COMMAND_ERROR: u16 = 0x002;
const NO_DOCUMENT: u16 = 0x010;
const DOCUMENT_JAM: u16 = 0x020;
const COVER_OPEN: u16 = 0x040;
const INVALID_AREA: u16 = 0x200;

/// Bytes of a request, and of SET_WINDOW, whose own length byte says 19.
const REQUEST: usize = 4;
const WINDOW: usize = 25;
const REPLY: usize = 32;
const INQUIRY_REPLY: usize = 70;

/// Letter width by A4 height on the glass, Legal in the feeder, in 1200ths of an inch.
const GLASS: (u32, u32) = (10_200, 14_040);
const FEEDER: (u32, u32) = (10_200, 16_800);
const PER_INCH: u32 = 1200;

/// Resolutions: the bit by which INQUIRY tells of each, and its code in SET_WINDOW.
const RESOLUTIONS: [(u32, u32, u8); 6] =
    [(75, 0, 0), (100, 12, 10), (150, 1, 2), (200, 4, 9), (300, 5, 5), (600, 8, 7)];

/// Bytes of a block, about.
const BLOCK: usize = 32 * 1024;
/// Bytes of the pixels of a block that is sent as JPEG, about: less than 64 KiB whatever is on them.
const JPEG_BLOCK: usize = 96 * 1024;
/// Lines of such a block are a multiple of this.
const JPEG_LINES: u32 = 8;
const JPEG_QUALITY: u8 = 90;
/// Of INQUIRY and of SET_WINDOW.
const HAS_JPEG: u8 = 1 << 6;
const JPEG: u8 = 6;
/// Bytes that are taken before the last answer was read.
const INBOX: usize = 1024;

/// How a virtual scanner of this family is set up.
#[derive(Debug, Clone)]
pub struct XeroxSetup {
    /// What lies on it.
    pub glass: Glass,
    /// The sheets of its feeder, if it has one.
    pub sheets: Option<Vec<Sheet>>,
    /// Whether it can send colour as JPEG.
    pub has_jpeg: bool,
    /// What is the matter with it.
    pub conditions: Conditions,
    /// Its serial number.
    pub serial: String,
}

impl Default for XeroxSetup {
    /// A healthy one without a feeder, with the test chart on it.
    fn default() -> XeroxSetup {
        let conditions = Conditions::default();
        let serial = "VIRTUAL4".to_owned();
        XeroxSetup { glass: Glass::chart(), sheets: None, has_jpeg: false, conditions, serial }
    }
}

/// What was set with SET_WINDOW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    view: View,
    mode: Mode,
    /// Colour, as JPEG.
    is_jpeg: bool,
    threshold: u8,
    from_feeder: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Lineart,
    Gray,
    Color,
}

impl Mode {
    fn line_bytes(self, width: u32) -> usize {
        match self {
            Mode::Lineart => (width as usize).div_ceil(8),
            Mode::Gray => width as usize,
            Mode::Color => 3 * width as usize,
        }
    }
}

/// A page under way.
#[derive(Debug)]
struct Page {
    window: Window,
    rows: Rows<u8>,
    /// The first line of the next block.
    next: u32,
    /// The next block, once it was asked for.
    block: Option<Vec<u8>>,
}

/// The lines of a block.
struct Band<'a> {
    rows: &'a mut Rows<u8>,
    next: u32,
}

impl LineSource for Band<'_> {
    fn line(&mut self, into: &mut Vec<u8>) {
        into.extend(self.rows.row(self.next).as_flattened());
        self.next += 1;
    }
}

impl Page {
    fn new(window: Window, rows: Rows<u8>) -> Page {
        Page { window, rows, next: 0, block: None }
    }

    fn line_bytes(&self) -> usize {
        self.window.mode.line_bytes(self.window.view.width)
    }

    /// Lines of the next block.
    fn lines(&self) -> u32 {
        let in_block = |bytes: usize| (bytes / self.line_bytes().max(1)).clamp(1, 1000) as u32;
        let most = match self.window.is_jpeg {
            true => (in_block(JPEG_BLOCK) / JPEG_LINES).max(1) * JPEG_LINES,
            false => in_block(BLOCK),
        };
        most.min(self.window.view.height - self.next)
    }

    fn is_last(&self) -> bool {
        self.next + self.lines() == self.window.view.height
    }

    fn padding(bytes: usize) -> usize {
        if bytes % 512 == 0 { 16 } else { 0 }
    }

    /// The length of the next block.
    fn block_bytes(&mut self) -> usize {
        let block = match self.block.take() {
            Some(block) => block,
            None => self.make(),
        };
        self.block.insert(block).len()
    }

    /// The next block, which is over with that.
    fn take(&mut self) -> Vec<u8> {
        let block = match self.block.take() {
            Some(block) => block,
            None => self.make(),
        };
        self.next += self.lines();
        block
    }

    fn jpeg(&mut self) -> Vec<u8> {
        let View { dpi, width, .. } = self.window.view;
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let form = JpegForm {
            width: small(width),
            height: small(self.lines()),
            is_color: true,
            quality: JPEG_QUALITY,
            sampling: Sampling::Full,
            restarts: false,
            frame: FrameHeight::Right,
            dpi: (small(dpi.0), small(dpi.1)),
        };
        Jpeg::new(form, Band { rows: &mut self.rows, next: self.next }).take(usize::MAX)
    }

    fn make(&mut self) -> Vec<u8> {
        let mut block = if self.window.is_jpeg { self.jpeg() } else { self.pixels() };
        block.resize(block.len() + Page::padding(block.len()), 0);
        block
    }

    fn pixels(&mut self) -> Vec<u8> {
        let mut block = Vec::new();
        for line in 0..self.lines() {
            let row = self.rows.row(self.next + line);
            match self.window.mode {
                // A line of red, one of green and one of blue.
                Mode::Color => (0..3).for_each(|channel| block.extend(row.iter().map(|pixel| pixel[channel]))),
                Mode::Gray => block.extend(row.iter().map(|pixel| u8::luma(*pixel))),
                // 1 is black, as that driver hands it on.
                Mode::Lineart => block.extend(row.chunks(8).map(|pixels| {
                    let is_black = |pixel: &[u8; 3]| u8::from(u8::luma(*pixel) < self.window.threshold);
                    pixels.iter().enumerate().fold(0, |byte, (at, pixel)| byte | is_black(pixel) << (7 - at))
                })),
            }
        }
        block
    }
}

/// The scanner, a Samsung SCX-4200 by its ids.
#[derive(Debug)]
pub struct Xerox {
    descriptors: Descriptors,
    setup: XeroxSetup,
    panel: Panel,
    plugged: Option<Instant>,
    is_reserved: bool,
    window: Option<Window>,
    page: Option<Page>,
    next_sheet: usize,
    trouble: Option<Trouble>,
    inbox: Vec<u8>,
    /// Replies and blocks, none joined to another.
    outbox: Outbox,
}

impl Default for Xerox {
    fn default() -> Self {
        Xerox::new(XeroxSetup::default())
    }
}

impl Xerox {
    /// A scanner that was just switched on.
    pub fn new(setup: XeroxSetup) -> Xerox {
        let names = ["Samsung", "SCX-4200 Series (virtual)", &setup.serial];
        Xerox {
            descriptors: Descriptors::of_one_interface(
                (0x04e8, 0x341b),
                (0xff, 0xff, 0xff),
                vec![bulk(0x81), bulk(0x02)],
                names,
            ),
            panel: Panel::new(setup.conditions.clone()),
            setup,
            plugged: None,
            is_reserved: false,
            window: None,
            page: None,
            next_sheet: 0,
            trouble: None,
            inbox: Vec::new(),
            outbox: Outbox::default(),
        }
    }

    /// The control panel, to keep when the scanner is plugged in.
    pub fn panel(&self) -> Panel {
        self.panel.clone()
    }

    fn reply(&mut self, status: u8, message: u8, fill: impl FnOnce(&mut [u8; REPLY])) {
        let mut reply = [0; REPLY];
        (reply[0], reply[1], reply[2], reply[3]) = (0xa8, status, (REPLY - 3) as u8, message);
        fill(&mut reply);
        self.outbox.push(reply.to_vec());
    }

    fn good(&mut self) {
        self.reply(GOOD, 0, |_| ());
    }

    /// A check condition; READ has its state elsewhere.
    fn check(&mut self, command: u8, state: u16) {
        let at = if command == READ { 12 } else { 4 };
        self.reply(CHECK, SCANNER_STATE, |reply| reply[at..at + 2].copy_from_slice(&state.to_be_bytes()));
    }

    /// Carries out requests, as far as answers were read.
    fn digest(&mut self, now: Instant) {
        while self.outbox.is_empty() && self.inbox.len() >= REQUEST {
            let length = if self.inbox[2] == SET_WINDOW { WINDOW } else { REQUEST };
            if self.inbox[..2] != [0x1b, 0xa8] {
                // Something else: all of it is thrown away.
                self.inbox.clear();
                return self.check(0, COMMAND_ERROR);
            }
            if self.inbox.len() < length {
                return;
            }
            let request: Vec<u8> = self.inbox.drain(..length).collect();
            self.carry_out(now, &request);
        }
    }

    fn carry_out(&mut self, now: Instant, request: &[u8]) {
        self.look_at_the_tray();
        match request[2] {
            INQUIRY => self.inquiry(),
            ABORT => {
                self.page = None;
                self.good();
            }
            RESERVE_UNIT if self.is_busy(now) => self.reply(BUSY, 0, |_| ()),
            RESERVE_UNIT => {
                self.is_reserved = true;
                self.good();
            }
            RELEASE_UNIT => {
                (self.is_reserved, self.page, self.trouble) = (false, None, None);
                self.good();
            }
            SET_WINDOW => match self.window_of(request) {
                Some(window) => {
                    self.window = Some(window);
                    self.good();
                }
                None => self.check(SET_WINDOW, INVALID_AREA),
            },
            OBJECT_POSITION => self.position(now),
            READ => self.read(),
            READ_IMAGE => {
                if let Some(page) = &mut self.page {
                    let block = page.take();
                    if page.next == page.window.view.height {
                        self.page = None;
                    }
                    self.outbox.push(block);
                }
            }
            other => self.check(other, COMMAND_ERROR),
        }
    }

    fn look_at_the_tray(&mut self) {
        if self.panel.conditions().load {
            self.panel.change(|conditions| conditions.load = false);
            (self.next_sheet, self.trouble) = (0, None);
        }
    }

    fn sheets(&self) -> &[Sheet] {
        self.setup.sheets.as_deref().unwrap_or_default()
    }

    fn is_busy(&self, now: Instant) -> bool {
        let up = self.plugged.map_or_else(Default::default, |plugged| now.saturating_duration_since(plugged));
        let conditions = self.panel.conditions();
        let in_use = match conditions.busy {
            Busy::No => false,
            Busy::Always => true,
            Busy::For(time) => up < time,
        };
        in_use || up < conditions.warm_up
    }

    fn inquiry(&mut self) {
        let mut reply = [0; INQUIRY_REPLY];
        reply[..4].copy_from_slice(&[0xa8, GOOD, (INQUIRY_REPLY - 3) as u8, 0x10]);
        let name = b"Samsung SCX-4200 Series";
        reply[4..4 + name.len()].copy_from_slice(name);
        let bits = RESOLUTIONS.iter().fold(0u32, |bits, (_, bit, _)| bits | 1 << bit);
        [reply[0x37], reply[0x24], reply[0x25]] = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        let has_paper = self.next_sheet < self.sheets().len();
        (reply[0x26], reply[0x35]) = if has_paper { (0x01, 0x02) } else { (0, 0) };
        // Lineart, gray, colour.
        reply[0x27] = 0b10_1001;
        let feeder = if self.setup.sheets.is_some() { FEEDER.1 } else { 0 };
        let longest = GLASS.1.max(feeder);
        for (at, number) in [(0x28, GLASS.0), (0x2c, longest), (0x38, feeder), (0x3c, GLASS.1)] {
            reply[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        // Colour comes as a line of each.
        reply[0x31] = 1;
        reply[0x32] = if self.setup.has_jpeg { HAS_JPEG } else { 0 };
        self.outbox.push(reply.to_vec());
    }

    /// What SET_WINDOW asks for; `None`: that can't be scanned.
    fn window_of(&self, request: &[u8]) -> Option<Window> {
        let number = |at: usize| u32::from_be_bytes([request[at], request[at + 1], request[at + 2], request[at + 3]]);
        let dpi = |code: u8| RESOLUTIONS.iter().find(|row| row.2 == code).map(|row| row.0);
        let dpi = (dpi(request[0x0d])?, dpi(request[0x0e])?);
        let mode = match request[0x13] {
            0x00 | 0x01 => Mode::Lineart,
            0x03 => Mode::Gray,
            0x05 => Mode::Color,
            _ => return None,
        };
        let from_feeder = match request[0x17] {
            0x20 if self.setup.sheets.is_some() => true,
            0x40 => false,
            0x80 => self.next_sheet < self.sheets().len(),
            _ => return None,
        };
        let most = if from_feeder { FEEDER } else { GLASS };
        let offset = |inches: u8, hundredths: u8| (100 * u32::from(inches) + u32::from(hundredths)) * PER_INCH / 100;
        let (left, top) = (offset(request[0x0f], request[0x10]), offset(request[0x11], request[0x12]));
        let (width, height) = (number(5), number(9));
        let fits = |start: u32, size: u32, most: u32| start < most && size > 0 && size <= most;
        if !fits(left, width, most.0) || !fits(top, height, most.1) {
            return None;
        }
        let pixels =
            |points: u32, dpi: u32| u32::try_from(u64::from(points) * u64::from(dpi) / 1200).unwrap_or(u32::MAX);
        let width = pixels(width.min(most.0 - left), dpi.0);
        // A line of bits is whole bytes.
        let width = if mode == Mode::Lineart { width / 8 * 8 } else { width };
        let view = View {
            dpi,
            left: pixels(left, dpi.0),
            top: pixels(top, dpi.1),
            width: width.max(8),
            height: pixels(height.min(most.1 - top), dpi.1).max(1),
        };
        // Five steps, 30 to 70 per cent.
        let threshold = (255 * (30 + 10 * u32::from(request[0x16].min(4))) / 100) as u8;
        let is_jpeg = match request[0x14] {
            JPEG if self.setup.has_jpeg => mode == Mode::Color,
            JPEG => return None,
            _ => false,
        };
        Some(Window { view, mode, is_jpeg, threshold, from_feeder })
    }

    /// OBJECT_POSITION: the page is brought to where it is scanned.
    fn position(&mut self, now: Instant) {
        let Some(window) = self.window.filter(|_| self.is_reserved) else {
            return self.check(OBJECT_POSITION, COMMAND_ERROR);
        };
        if self.is_busy(now) {
            return self.reply(BUSY, 0, |_| ());
        }
        let conditions = self.panel.conditions();
        if conditions.cover_open || window.from_feeder && conditions.feeder_open {
            return self.check(OBJECT_POSITION, COVER_OPEN);
        }
        let glass = if window.from_feeder {
            let number = self.next_sheet + 1;
            let Some(sheet) = self.sheets().get(self.next_sheet).map(|sheet| sheet.front.clone()) else {
                return self.check(OBJECT_POSITION, NO_DOCUMENT);
            };
            self.next_sheet += 1;
            if conditions.jam || self.panel.take_jam(Some(number)) {
                self.trouble = Some(Trouble::Jam);
            }
            sheet
        } else {
            self.setup.glass.clone()
        };
        if self.trouble.is_some() {
            return self.check(OBJECT_POSITION, DOCUMENT_JAM);
        }
        match glass.rows(window.view) {
            Ok(rows) => {
                self.page = Some(Page::new(window, rows));
                self.good();
            }
            Err(error) => {
                log::warn!("nothing to scan: {error}");
                self.check(OBJECT_POSITION, COMMAND_ERROR);
            }
        }
    }

    /// READ: what the next block is.
    fn read(&mut self) {
        let Some(page) = &mut self.page else { return self.check(READ, COMMAND_ERROR) };
        let (lines, width) = (page.lines(), page.window.view.width);
        let length = page.block_bytes() as u32;
        // Lineart tells bytes of a line, the others pixels.
        let across = if page.window.mode == Mode::Lineart { width / 8 } else { width };
        let message = if page.is_last() { 0x81 } else { 0x80 };
        self.reply(GOOD, message, |reply| {
            reply[4..8].copy_from_slice(&length.to_be_bytes());
            reply[8..10].copy_from_slice(&(lines as u16).to_be_bytes());
            reply[10..12].copy_from_slice(&(across as u16).to_be_bytes());
        });
    }
}

impl Model for Xerox {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn bulk_out(&mut self, now: Instant, _endpoint: EndpointAddress, packet: &[u8]) -> Out {
        self.plugged.get_or_insert(now);
        self.digest(now);
        if self.inbox.len() + packet.len() > INBOX {
            return Out::Nak;
        }
        self.inbox.extend(packet);
        self.digest(now);
        Out::Ack
    }

    fn bulk_in(&mut self, now: Instant, _endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        self.plugged.get_or_insert(now);
        self.digest(now);
        self.outbox.read(buffer)
    }

    fn reset(&mut self) {
        (self.is_reserved, self.window, self.page, self.trouble) = (false, None, None, None);
        self.inbox.clear();
        self.outbox.clear();
    }
}

#[cfg(test)]
mod tests;

//! A scanner of the family that SANE's xerox_mfp drives (Samsung, Xerox, Dell): glass and feeder, gray, lineart and colour, as
//! raw pixels. For tests with another driver than ours. The facts are those by which that driver speaks (backend/xerox_mfp.c
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
//! Where that driver's code leaves open what a device does, this one does the following: READ says the same until READ_IMAGE; a
//! block whose length is a multiple of 512 has 16 bytes of padding, since nothing else would end its transfer; ABORT ends
//! the page and puts the sheet out; anything that is no command is answered by a check condition with "command error".

use std::time::Instant;

use usbscan_usb::EndpointAddress;

use crate::glass::{Glass, Rows, Sample, View};
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
/// Bytes that are taken before the last answer was read.
const INBOX: usize = 1024;

/// How a virtual scanner of this family is set up.
#[derive(Debug, Clone)]
pub struct XeroxSetup {
    /// What lies on it.
    pub glass: Glass,
    /// The sheets of its feeder, if it has one.
    pub sheets: Option<Vec<Sheet>>,
    /// What is the matter with it.
    pub conditions: Conditions,
    /// Its serial number.
    pub serial: String,
}

impl Default for XeroxSetup {
    /// A healthy one without a feeder, with the test chart on it.
    fn default() -> XeroxSetup {
        let conditions = Conditions::default();
        XeroxSetup { glass: Glass::chart(), sheets: None, conditions, serial: "VIRTUAL4".to_owned() }
    }
}

/// What was set with SET_WINDOW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    view: View,
    mode: Mode,
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
    next: u32,
}

impl Page {
    fn line_bytes(&self) -> usize {
        self.window.mode.line_bytes(self.window.view.width)
    }

    /// Lines of the next block.
    fn lines(&self) -> u32 {
        let most = (BLOCK / self.line_bytes().max(1)).clamp(1, 1000) as u32;
        most.min(self.window.view.height - self.next)
    }

    fn is_last(&self) -> bool {
        self.next + self.lines() == self.window.view.height
    }

    fn padding(bytes: usize) -> usize {
        if bytes % 512 == 0 { 16 } else { 0 }
    }

    /// The next block.
    fn take(&mut self) -> Vec<u8> {
        let mut block = Vec::new();
        for _ in 0..self.lines() {
            let row = self.rows.row(self.next);
            self.next += 1;
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
        block.resize(block.len() + Page::padding(block.len()), 0);
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
        Some(Window { view, mode, threshold, from_feeder })
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
                self.page = Some(Page { window, rows, next: 0 });
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
        let Some(page) = &self.page else { return self.check(READ, COMMAND_ERROR) };
        let (lines, width) = (page.lines(), page.window.view.width);
        let bytes = lines as usize * page.line_bytes();
        let length = (bytes + Page::padding(bytes)) as u32;
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
mod tests {
    use super::*;
    use crate::glass::{Bits, Mode as Kept};

    const IN: EndpointAddress = EndpointAddress(0x81);
    const OUT: EndpointAddress = EndpointAddress(0x02);

    struct Host {
        scanner: Xerox,
        now: Instant,
    }

    impl Host {
        fn new(setup: XeroxSetup) -> Host {
            Host { scanner: Xerox::new(setup), now: Instant::now() }
        }

        fn receive(&mut self) -> Vec<u8> {
            let mut item = Vec::new();
            loop {
                let mut buffer = [0; 512];
                match self.scanner.bulk_in(self.now, IN, &mut buffer) {
                    In::Data(n) => item.extend(&buffer[..n]),
                    In::Nak => return item,
                    other => panic!("{other:?}"),
                }
                if item.len() % 512 != 0 {
                    return item;
                }
            }
        }

        fn ask(&mut self, request: &[u8]) -> Vec<u8> {
            assert_eq!(self.scanner.bulk_out(self.now, OUT, request), Out::Ack);
            self.receive()
        }

        fn command(&mut self, command: u8) -> Vec<u8> {
            self.ask(&[0x1b, 0xa8, command, 0])
        }

        /// SET_WINDOW at 150 dpi, an inch right and a half down, two inches by one.
        fn set_window(&mut self, mode: u8, source: u8) -> Vec<u8> {
            let mut request = [0; WINDOW];
            request[..5].copy_from_slice(&[0x1b, 0xa8, SET_WINDOW, 0x13, 0x30]);
            request[5..9].copy_from_slice(&2400u32.to_be_bytes());
            request[9..13].copy_from_slice(&1200u32.to_be_bytes());
            (request[0x0d], request[0x0e], request[0x0f], request[0x12]) = (2, 2, 1, 50);
            (request[0x13], request[0x16], request[0x17]) = (mode, 2, source);
            self.ask(&request)
        }

        /// A page, as the driver asks for it: READ twice before the first block.
        fn page(&mut self, line: usize) -> Vec<u8> {
            let mut page = Vec::new();
            self.command(READ);
            loop {
                let said = self.command(READ);
                assert_eq!((said[0], said[1]), (0xa8, GOOD), "{said:02x?}");
                let length = u32::from_be_bytes([said[4], said[5], said[6], said[7]]) as usize;
                let lines = usize::from(u16::from_be_bytes([said[8], said[9]]));
                let block = self.command(READ_IMAGE);
                assert_eq!(block.len(), length);
                assert!(length - line * lines <= 16 && length % 512 != 0);
                page.extend(&block[..line * lines]);
                if said[3] == 0x81 {
                    return page;
                }
            }
        }
    }

    const VIEW: View = View { dpi: (150, 150), left: 150, top: 75, width: 300, height: 150 };

    #[test]
    fn it_says_what_it_is() {
        let reply = Host::new(XeroxSetup::default()).command(INQUIRY);
        assert_eq!((reply.len(), &reply[..4]), (70, &[0xa8, 0, 67, 0x10][..]));
        assert!(reply[4..].starts_with(b"Samsung SCX-4200"));
    }

    #[test]
    fn color_comes_as_a_line_of_each_and_is_the_glass() {
        let mut host = Host::new(XeroxSetup::default());
        assert_eq!(host.command(RESERVE_UNIT)[1], GOOD);
        assert_eq!(host.set_window(0x05, 0x40)[1], GOOD);
        assert_eq!(host.command(OBJECT_POSITION)[1], GOOD);
        let page = host.page(900);
        let samples = Glass::chart().render(&VIEW, Kept::Color, Bits::Eight).expect("the chart");
        let mixed = page.chunks(900).flat_map(|line| (0..300).flat_map(|x| [0, 1, 2].map(|c| line[c * 300 + x])));
        assert!(mixed.map(u16::from).eq(samples));
        assert_eq!(host.command(RELEASE_UNIT)[1], GOOD);
    }

    #[test]
    fn sheets_come_one_by_one_until_there_is_no_document() {
        let mut host = Host::new(XeroxSetup { sheets: Some(Sheet::numbered(2)), ..XeroxSetup::default() });
        host.command(RESERVE_UNIT);
        for _ in 0..2 {
            host.set_window(0x03, 0x20);
            assert_eq!(host.command(OBJECT_POSITION)[1], GOOD);
            assert_eq!(host.page(300).len(), 300 * 150);
        }
        let said = host.command(OBJECT_POSITION);
        assert_eq!((said[1], said[4], said[5]), (CHECK, 0, NO_DOCUMENT as u8));
    }

    #[test]
    fn a_cancel_between_blocks_ends_the_page_and_rubbish_is_refused() {
        let mut host = Host::new(XeroxSetup::default());
        host.command(RESERVE_UNIT);
        host.set_window(0x03, 0x40);
        host.command(OBJECT_POSITION);
        host.command(READ);
        assert_eq!(host.command(ABORT)[1], GOOD);
        assert_eq!(host.command(READ)[1], CHECK);
        assert_eq!(host.ask(b"rubbish")[1], CHECK);
        assert_eq!(host.command(0x77)[1], CHECK);
        assert_eq!(host.set_window(0x09, 0x40)[1], CHECK);
        assert_eq!(host.set_window(0x03, 0x40)[1], GOOD);
    }
}

//! A flatbed scanner that speaks ESC/I, as a model: the Perfection V850 as far as it is known (docs/esc-i.md,
//! "The virtual scanner"), with the FS commands or without.
//!
//! What the host sends is a byte stream, what it gets are items: one for each reply, header and block,
//! never joined. Where docs/esc-i.md leaves open what a device does, this one does the following, and a
//! driver should survive any other answer:
//!
//! - In mid-scan everything but ACK and CAN is answered by one NAK a command (a byte, or two after ESC or
//!   FS), and the scan goes on. What is sent while a block is being read waits until it was.
//! - CAN and ACK when idle are answered by NAK.
//! - A bus reset ends the scan, forgets what was half said and sets the defaults; clearing a halt does not.
//! - After CAN the scanner is idle at once.
//! - In the fatal state FS F is answered besides ESC F, ESC f and ESC @.
//! - Built-in gamma and colour correction, halftones, sharpness and segmentation are accepted and change no pixel;
//!   downloaded gamma tables (with gamma 03 and 04), brightness and threshold do, and a downloaded matrix if wanted.
//! - ESC @ leaves a sheet where it is in the feeder's path, but it is not turned any more. Errors of the feeder, an empty
//!   tray included, are told while the feeder is in use, and hold until ESC @ at the latest: by then a person has taken
//!   out what was stuck. A stack that the host knows to be empty is put in again there too, so that a fresh job starts
//!   with all sheets; plugging in does so anyway, and so does [`Panel::load`].
//! - At level D7 it is an all-in-one, as captures show them. FS G is refused while a page that was scanned has not been
//!   put out with FF; the manufacturer's driver always sends that. ESC @ and a feeder that is chosen anew put it out too.
//! - A sheet of a given size ends the page: from the block in which it ends on, the error byte says so, and EOT is understood.
//!   The lines below it are the bed's.
//! - At level B8 the feeder is of page type: PF brings every page. Below, the start of a scan does.
//! - With negative film (ESC N 01) the transparency unit gives the light of the positive.
//! - ESC G and FS G are refused (NAK) when colour and depth don't go together, when a line is longer than
//!   65535 bytes (ESC G), and when FS W did not come first (FS G).

mod adf;
mod capabilities;
mod command;
mod descriptors;
mod feeder;
mod job;
mod lines;
mod sensor;
mod settings;
mod status;
mod tone;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use usbscan_usb::EndpointAddress;

use crate::glass::{Alignment, Glass, Laid, Paper};
use crate::{Conditions, Descriptors, In, Model, Out, Panel};
use capabilities::{Capabilities, FeederCapabilities};
use command::{Prefix, Takes};
use descriptors::{PRINTER_IN, PRINTER_OUT};
use feeder::Feeder;
use job::{After, Form, Incidents, Item, Job};
use lines::Lines;
use settings::Settings;
use status::{StatusFlags, Units};
use tone::Downloads;

pub use capabilities::{Dialect, Level};
pub use feeder::{Sheet, Side};

const STX: u8 = 0x02;
/// Ends a page whose sheet has ended.
const EOT: u8 = 0x04;
const ACK: u8 = 0x06;
/// Puts a sheet out of the feeder.
const FF: u8 = 0x0c;
const NAK: u8 = 0x15;
const CAN: u8 = 0x18;
const PF: u8 = 0x19;
const ESC: u8 = 0x1b;
const FS: u8 = 0x1c;

/// StatusFlags bit: FS commands are there.
const HAS_FS: u8 = 0x02;

/// Bytes that are taken while a block keeps the scanner from answering.
const INBOX: usize = 2048;
/// Replies that may wait to be read; after that bulk-out is not acknowledged.
const OUTBOX: usize = 64;

/// How a virtual ESC/I scanner is set up.
#[derive(Debug, Clone)]
pub struct EsciSetup {
    /// With FS commands or without.
    pub dialect: Dialect,
    pub level: Level,
    /// What lies on it.
    pub glass: Glass,
    /// What is the matter with it.
    pub conditions: Conditions,
    /// Its document feeder, if it has one, and the sheets in it.
    pub feeder: Option<FeederSetup>,
    /// It has a transparency unit. Not together with a feeder, which is chosen by the same word.
    pub transparency: bool,
    /// A colour matrix that the host downloads is applied.
    pub applies_matrix: bool,
    /// It is an all-in-one: beside the scanner it has a printer, which takes what it is sent and never says anything.
    pub printer: bool,
    pub serial: String,
}

#[derive(Debug, Clone, Default)]
pub struct FeederSetup {
    /// The stack, from the top.
    pub sheets: Vec<Sheet>,
    /// It can scan both sides.
    pub duplex: bool,
    /// The size of the sheets, at whose end the scanner says so; without one they are as large as the feeder.
    pub paper: Option<Paper>,
    /// Where they lie.
    pub alignment: Alignment,
}

impl FeederSetup {
    /// The sheets as this feeder lays them.
    fn laid(self, capabilities: &Capabilities) -> Vec<Sheet> {
        let Some(paper) = self.paper else { return self.sheets };
        let laid = Laid { paper, alignment: self.alignment, bed: capabilities.feeder_bed() };
        self.sheets.into_iter().map(|sheet| sheet.laid(laid)).collect()
    }
}

impl Default for EsciSetup {
    /// A healthy Perfection V850 with the test chart on it.
    fn default() -> EsciSetup {
        EsciSetup {
            dialect: Dialect::Fs,
            level: Level::B8,
            glass: Glass::chart(),
            conditions: Conditions::default(),
            feeder: None,
            transparency: false,
            applies_matrix: false,
            printer: false,
            serial: "VIRTUAL1".to_owned(),
        }
    }
}

/// Where in a command the parser is.
#[derive(Debug)]
enum Parser {
    /// Before a command.
    Start,
    /// After ESC or FS.
    Prefixed(Prefix),
    /// After the command's ACK, with some of its parameter bytes.
    Parameters { prefix: Prefix, code: u8, want: usize, have: Vec<u8> },
}

#[derive(Debug)]
pub struct Esci {
    descriptors: Descriptors,
    capabilities: Capabilities,
    glass: Glass,
    feeder: Option<Feeder>,
    panel: Panel,
    settings: Settings,
    /// FS W came since the last ESC @.
    extended_is_set: bool,
    downloads: Downloads,
    focus: u8,
    fatal: bool,
    plugged: Option<Instant>,
    parser: Parser,
    inbox: VecDeque<u8>,
    outbox: VecDeque<Item>,
    job: Option<Job>,
    /// The sheet that is scanned gets stuck.
    jams: bool,
    /// A page went since the last of the answers that are late behind one.
    is_behind_page: bool,
    /// Nothing is answered before this moment.
    late_until: Option<Instant>,
}

impl Default for Esci {
    fn default() -> Self {
        Esci::new(EsciSetup::default())
    }
}

impl Esci {
    /// A scanner that was just switched on.
    pub fn new(setup: EsciSetup) -> Esci {
        let capabilities = Capabilities {
            feeder: setup.feeder.as_ref().map(|feeder| FeederCapabilities {
                duplex: feeder.duplex,
                alignment: feeder.alignment,
                notices_end: feeder.paper.is_some(),
            }),
            transparency: setup.transparency,
            ..Capabilities::of(setup.dialect, setup.level)
        };
        Esci {
            descriptors: descriptors::descriptors(&capabilities, &setup.serial, setup.printer),
            settings: Settings::new(&capabilities),
            glass: setup.glass,
            feeder: setup.feeder.map(|feeder| Feeder::new(feeder.laid(&capabilities), capabilities.ejects_each_page())),
            capabilities,
            panel: Panel::new(setup.conditions),
            extended_is_set: false,
            downloads: Downloads { applies_matrix: setup.applies_matrix, ..Downloads::default() },
            focus: 0x40,
            fatal: false,
            plugged: None,
            parser: Parser::Start,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            job: None,
            jams: false,
            is_behind_page: false,
            late_until: None,
        }
    }

    /// The next answer comes late, as those do for which something has to move first.
    fn be_late(&mut self, now: Instant) {
        let late = self.panel.conditions().late;
        if !late.is_zero() {
            self.late_until = Some(now + late);
        }
    }

    /// The control panel, to keep when the scanner is plugged in.
    pub fn panel(&self) -> Panel {
        self.panel.clone()
    }

    fn reply(&mut self, bytes: &[u8]) {
        self.outbox.push_back(Item::bytes(bytes.to_vec()));
    }

    /// An information block: four bytes, then (as an item of its own) what they announce.
    fn information(&mut self, status: StatusFlags, payload: Vec<u8>) {
        let [low, high] = (payload.len() as u16).to_le_bytes();
        self.reply(&[STX, status.byte() | self.fs_bit(), low, high]);
        if !payload.is_empty() {
            self.outbox.push_back(Item::bytes(payload));
        }
    }

    fn fs_bit(&self) -> u8 {
        if self.capabilities.has_fs() { HAS_FS } else { 0 }
    }

    fn status(&mut self, now: Instant) -> StatusFlags {
        let plugged = *self.plugged.get_or_insert(now);
        self.look_at_the_tray();
        let units = Units {
            family: self.capabilities.family,
            option: self.settings.option,
            feeder: self.feeder.as_ref(),
            transparency: self.capabilities.transparency,
        };
        StatusFlags::new(&self.panel.conditions(), units, self.fatal, plugged, now)
    }

    /// Whether the scanner is pushing a block and listens to nothing.
    fn is_pushing(&self) -> bool {
        self.job.is_some() && self.outbox.iter().any(|item| matches!(item, Item::Image { .. }))
    }

    /// Takes in what has been sent, as far as it can be answered now.
    fn digest(&mut self, now: Instant) {
        while !self.is_pushing() && self.outbox.len() < OUTBOX {
            let Some(byte) = self.inbox.pop_front() else { return };
            self.take(now, byte);
        }
    }

    fn take(&mut self, now: Instant, byte: u8) {
        match std::mem::replace(&mut self.parser, Parser::Start) {
            Parser::Start if byte == ESC => self.parser = Parser::Prefixed(Prefix::Esc),
            Parser::Start if byte == FS => self.parser = Parser::Prefixed(Prefix::Fs),
            Parser::Start if self.job.is_some() => self.answer_in_mid_scan(byte),
            Parser::Start if byte == FF => {
                self.be_late(now);
                self.eject_page();
            }
            Parser::Start if byte == PF => self.load_page(),
            // ACK and CAN are for a scan: there is none.
            Parser::Start => self.reply(&[NAK]),
            Parser::Prefixed(_) if self.job.is_some() => self.reply(&[NAK]),
            Parser::Prefixed(prefix) => self.begin(now, prefix, byte),
            Parser::Parameters { prefix, code, want, mut have } => {
                have.push(byte);
                self.go_on(prefix, code, want, have);
            }
        }
    }

    /// ACK: the next block. CAN: the end. EOT: the end, once the sheet has ended. Anything else: NAK, and it goes on.
    fn answer_in_mid_scan(&mut self, byte: u8) {
        match (byte, &mut self.job) {
            (ACK, Some(job)) => {
                let items = job.next_block();
                self.outbox.extend(items);
            }
            (CAN, _) => {
                self.end_job();
                self.reply(&[ACK]);
            }
            (EOT, Some(job)) if job.rows_when_ended().is_some() => {
                self.settings.area.height = job.rows_when_ended().unwrap_or(self.settings.area.height);
                self.end_job();
                self.reply(&[ACK]);
            }
            _ => self.reply(&[NAK]),
        }
    }

    /// A command's second byte.
    fn begin(&mut self, now: Instant, prefix: Prefix, code: u8) {
        // In the fatal state only the status can be asked, and ESC @ ends it.
        let honoured = matches!((prefix, code), (Prefix::Esc, b'F' | b'f' | b'@') | (Prefix::Fs, b'F'));
        let takes = command::takes(&self.capabilities, prefix, code).filter(|_| honoured || !self.fatal);
        match takes {
            None => self.reply(&[NAK]),
            Some(Takes::Nothing) => self.carry_out(now, prefix, code),
            Some(Takes::Bytes(want)) => self.ask_for(prefix, code, want),
            Some(Takes::Dither) => self.ask_for(prefix, code, 2),
        }
    }

    fn ask_for(&mut self, prefix: Prefix, code: u8, want: usize) {
        self.reply(&[ACK]);
        self.parser = Parser::Parameters { prefix, code, want, have: Vec::new() };
    }

    /// One more parameter byte has come.
    fn go_on(&mut self, prefix: Prefix, code: u8, mut want: usize, have: Vec<u8>) {
        if let (b'b', &[pattern, side]) = (code, &have[..]) {
            if pattern > 1 || !matches!(side, 4 | 8 | 16) {
                return self.reply(&[NAK]);
            }
            want += usize::from(side) * usize::from(side);
        }
        if have.len() < want {
            self.parser = Parser::Parameters { prefix, code, want, have };
            return;
        }
        let option = self.settings.option;
        let good = self.set(prefix, code, &have);
        self.option_was(option);
        self.reply(&[if good { ACK } else { NAK }]);
    }

    /// A command with all its parameters. False: refused, nothing changed.
    fn set(&mut self, prefix: Prefix, code: u8, bytes: &[u8]) -> bool {
        match (prefix, code) {
            (Prefix::Fs, _) => {
                let Ok(bytes) = bytes.try_into() else { return false };
                let good = self.settings.set_extended(&self.capabilities, bytes).is_ok();
                self.extended_is_set |= good;
                good
            }
            (_, b'z') => match bytes.split_first_chunk::<1>() {
                Some(([letter], table)) => {
                    table.try_into().is_ok_and(|table| self.downloads.tables.download(*letter, table))
                }
                None => false,
            },
            (_, b'm') => bytes.try_into().map(|matrix| self.downloads.set_matrix(matrix)).is_ok(),
            // A dither table: taken, and not applied (see settings.rs).
            (_, b'b') => true,
            (_, b'p') => {
                self.focus = if bytes == [0xff] { 0x40 } else { bytes[0] };
                true
            }
            _ => self.settings.set(&self.capabilities, code, bytes).is_ok(),
        }
    }

    /// A command without parameters.
    fn carry_out(&mut self, now: Instant, prefix: Prefix, code: u8) {
        let status = self.status(now);
        if matches!(code, b'F' | b'f' | b'G') {
            self.tell_tray();
        }
        match (prefix, code) {
            (Prefix::Fs, b'G') => self.be_late(now),
            (Prefix::Fs, b'F') | (Prefix::Esc, b')') if std::mem::take(&mut self.is_behind_page) => self.be_late(now),
            _ => {}
        }
        match (prefix, code) {
            (Prefix::Esc, b'@') => {
                self.fatal = false;
                self.extended_is_set = false;
                self.attend_feeder();
                self.settings = Settings::new(&self.capabilities);
                self.reply(&[ACK]);
            }
            (Prefix::Esc, b'i') => self.information(status, self.capabilities.hardware()),
            (Prefix::Esc, b'I') => self.information(status, self.capabilities.identity()),
            (Prefix::Esc, b'F') => self.information(status, Vec::new()),
            (Prefix::Esc, b'f') => self.information(status, status.extended(&self.capabilities)),
            (Prefix::Esc, b'S') => self.information(status, self.settings.tagged()),
            (Prefix::Esc, b'q') => self.information(status, vec![0, self.focus]),
            (Prefix::Esc, b'!') => {
                let up = self.plugged.map_or(Duration::ZERO, |plugged| now.saturating_duration_since(plugged));
                let button = self.panel.take_button(up) & 3;
                self.information(status, vec![button]);
            }
            (Prefix::Esc, b'(') => self.reply(&[if status.busy { 0x40 } else { 0x80 }]),
            (Prefix::Esc, b')') => self.reply(&[0x80]),
            (Prefix::Fs, b'I') => self.outbox.push_back(Item::bytes(self.capabilities.extended_identity())),
            (Prefix::Fs, b'F') => {
                let mut bytes = [0; 16];
                (bytes[0], bytes[3]) = (status.fs_main(), status.body());
                (bytes[1], bytes[10]) = (status.feeder, status.feeder_more);
                (bytes[2], bytes[9]) = status.transparency;
                self.reply(&bytes);
            }
            (Prefix::Fs, b'S') => self.outbox.push_back(Item::bytes(self.settings.extended())),
            (Prefix::Esc, b'G') => self.start_standard(now, status),
            (Prefix::Fs, b'G') => self.start_extended(now, status),
            _ => self.reply(&[NAK]),
        }
    }

    fn start_standard(&mut self, now: Instant, status: StatusFlags) {
        // Whatever comes of it, the next one is in line mode again unless told otherwise.
        let block = std::mem::take(&mut self.settings.block);
        let form = if block == 0 { Form::Line } else { Form::Block(block) };
        if !self.settings.goes_together() {
            return self.reply(&[NAK]);
        }
        if let Some(refusal) = self.refusal(now, status) {
            let mut header = vec![STX, refusal | self.fs_bit(), 0, 0];
            header.resize(if form == Form::Line { 4 } else { 6 }, 0);
            return self.reply(&header);
        }
        self.start(form, |lines| lines.bytes() <= usize::from(u16::MAX));
    }

    fn start_extended(&mut self, now: Instant, status: StatusFlags) {
        if !self.extended_is_set {
            return self.reply(&[NAK]);
        }
        if let Some(refusal) = self.refusal(now, status) {
            let mut header = [0; 14];
            (header[0], header[1]) = (STX, refusal | self.fs_bit());
            return self.reply(&header);
        }
        self.start(Form::Extended(u32::from(self.settings.block.max(1))), |_| true);
    }

    /// The status with which a scan is refused, if it is.
    fn refusal(&mut self, now: Instant, status: StatusFlags) -> Option<u8> {
        if self.panel.conditions().lamp_dead {
            self.fatal = true;
            return Some(0x80);
        }
        if !self.uses_feeder() {
            return status.refuses_a_scan().then(|| status.refusal());
        }
        // First the page: with the last one loaded an empty tray is no error.
        let has_page = self.has_page();
        let status = self.status(now);
        (!has_page || status.refuses_a_scan()).then(|| status.refusal() | u8::from(!has_page) << 7)
    }

    fn start(&mut self, form: Form, is_possible: impl Fn(&Lines) -> bool) {
        let distance = self.capabilities.line_distance(self.settings.effective_dpi().1);
        let lines = match Lines::new(&self.what_is_scanned(), &self.settings, &self.downloads, distance) {
            Ok(lines) if is_possible(&lines) => lines,
            Ok(_) => return self.reply(&[NAK]),
            Err(error) => {
                log::warn!("nothing to scan: {error}");
                return self.reply(&[NAK]);
            }
        };
        let conditions = self.panel.conditions();
        let half = u64::from(lines.count()) * lines.bytes() as u64 / 2;
        self.jams = self.page_jams();
        let fatal_at = if self.jams { Some(half) } else { conditions.fatal_at };
        let incidents = Incidents { fatal_at, cancel_at: conditions.cancel_at };
        let scanned = self.what_is_scanned();
        let end = scanned.sheet_height(self.settings.effective_dpi().1);
        let end = end.map(|end| end.saturating_sub(self.settings.area.y));
        let mut job = Job::new(form, lines, self.fs_bit(), incidents).ends_at(end);
        self.outbox.extend(job.start());
        self.job = Some(job);
    }

    fn end_job(&mut self) {
        let Some(job) = self.job.take() else { return };
        self.is_behind_page = true;
        let jammed = std::mem::take(&mut self.jams) && job.after() == After::Fatal;
        self.page_is_done(jammed);
        self.panel.change(|conditions| {
            conditions.cancel_at = conditions.cancel_at.filter(|at| !job.has_passed(*at));
            if job.after() == After::Fatal && !jammed {
                conditions.fatal_at = None;
            }
        });
    }

    /// The block was read to its end.
    fn block_is_read(&mut self) {
        match self.job.as_ref().map(Job::after) {
            Some(After::Idle) => self.end_job(),
            Some(After::Fatal) => {
                self.fatal = true;
                self.end_job();
            }
            Some(After::Answer) | None => {}
        }
    }

    /// Fills `buffer` from the item at the front; true when that ended.
    fn send(&mut self, buffer: &mut [u8]) -> (usize, bool) {
        match (self.outbox.front_mut(), &mut self.job) {
            (Some(Item::Bytes { bytes, sent }), _) => {
                let n = (bytes.len() - *sent).min(buffer.len());
                buffer[..n].copy_from_slice(&bytes[*sent..*sent + n]);
                *sent += n;
                (n, *sent == bytes.len())
            }
            (Some(Item::Image { lines, error_byte }), Some(job)) => {
                let mut n = job.fill(lines, buffer);
                let at_end = |job: &Job, lines: u32| lines == 0 && job.is_at_line_end();
                if at_end(job, *lines) && n < buffer.len() {
                    if let Some(error_byte) = error_byte.take() {
                        buffer[n] = error_byte;
                        n += 1;
                    }
                }
                (n, at_end(job, *lines) && error_byte.is_none())
            }
            _ => (0, true),
        }
    }
}

impl Model for Esci {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        if endpoint == PRINTER_OUT {
            return Out::Ack;
        }
        self.status(now);
        self.digest(now);
        if self.inbox.len() + packet.len() > INBOX {
            return Out::Nak;
        }
        self.inbox.extend(packet);
        self.digest(now);
        Out::Ack
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        if endpoint == PRINTER_IN {
            return In::Nak;
        }
        self.status(now);
        self.digest(now);
        self.late_until = self.late_until.filter(|until| *until > now);
        if let Some(until) = self.late_until {
            return In::NakUntil(until);
        }
        while !self.outbox.is_empty() {
            let (filled, ended) = self.send(buffer);
            if ended {
                let was_image = matches!(self.outbox.pop_front(), Some(Item::Image { .. }));
                if was_image {
                    self.block_is_read();
                }
                self.digest(now);
            }
            if filled > 0 {
                return In::Data(filled);
            }
        }
        In::Nak
    }

    fn reset(&mut self) {
        self.end_job();
        self.attend_feeder();
        self.fatal = false;
        self.extended_is_set = false;
        self.settings = Settings::new(&self.capabilities);
        self.parser = Parser::Start;
        self.inbox.clear();
        self.outbox.clear();
        self.late_until = None;
    }
}

#[cfg(test)]
mod tests;

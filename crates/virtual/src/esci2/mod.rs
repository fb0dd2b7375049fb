//! A flatbed with a document feeder that speaks ESC/I-2, as a model: what is known of it is in docs/esc-i2.md, with the
//! lists and sizes of a PX-M7050. A sheet passes once, both of its sides are scanned at the same time.
//!
//! Where nobody knows what a real one does, this one does the following, and a driver should survive any other answer:
//!
//! - Outside of a session FS X and FS Y are answered by ACK, anything else by a NAK for each byte, or two after ESC or FS.
//! - What is no request is answered `UNKN`; what is one, but not now, `INVD`. In the middle of image data that is everything
//!   but IMG and CAN, and the job goes on.
//! - The next request is looked at when the answer to the last was read to its end.
//! - After CAN it is in the session, and busy once; the sheet is put out.
//! - A bus reset ends the session; clearing a halt does not.
//! - Its own gamma curves and downloaded matrices are accepted and change no pixel; the threshold does, and downloaded
//!   tables if wanted: SANE's epsonds always sends some.

mod image;
mod job;
mod settings;
#[cfg(test)]
mod tests;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use usbscan_usb::{EndpointAddress, EndpointDescriptor, TransferType};

use crate::glass::{Alignment, Glass, Laid, Paper};
use crate::model::bulk;
use crate::outbox::Outbox;
use crate::{Busy, Conditions, Descriptors, In, Model, Out, Panel};
use job::{Answer, Job};
use settings::{From, MOST_PARAMETERS, Settings};
use words::REQUEST;

pub use settings::{Chunks, Formats, JpegSetup};

const ACK: u8 = 0x06;
const NAK: u8 = 0x15;
const ESC: u8 = 0x1b;
const FS: u8 = 0x1c;

/// Bytes of an interrupt packet, and the first of one that tells of a button.
const EVENT_BYTES: usize = 8;
const BUTTON_EVENT: u8 = 0x01;

/// Bytes that are taken before the last answer was read.
const INBOX: usize = 4096;

/// How a virtual ESC/I-2 scanner is set up.
#[derive(Debug, Clone)]
pub struct Esci2Setup {
    /// What lies on its glass, and what its sheets look like: each side [a centimetre further down](Esci2::shift).
    pub glass: Glass,
    pub sheets: u32,
    /// The forms in which it sends images.
    pub formats: Formats,
    /// The size of its sheets; without one they are as large as what is asked for.
    pub paper: Option<Paper>,
    /// Where the feeder lays them.
    pub alignment: Alignment,
    /// How it makes JPEG pages.
    pub jpeg: JpegSetup,
    /// How much image data it puts into a reply.
    pub chunks: Chunks,
    /// What is the matter with it.
    pub conditions: Conditions,
    /// Gamma tables that a host downloads are applied.
    pub applies_tables: bool,
    /// It lists `C048` and `M016`, 16 bits a sample, which no real scanner is known to do: raw, the low byte first.
    pub sixteen_bits: bool,
    /// It has an interrupt pipe, over which it tells of its buttons.
    pub events: bool,
    /// The feeder takes two sheets at once.
    pub double_feed: bool,
    /// Paper jams in the feeder at this byte of image data of a job; happens once.
    pub jam_at: Option<u64>,
    pub serial: String,
}

impl Default for Esci2Setup {
    /// A healthy one, with three sheets.
    fn default() -> Esci2Setup {
        Esci2Setup {
            glass: Glass::chart(),
            sheets: 3,
            formats: Formats::Both,
            paper: None,
            alignment: Alignment::Center,
            jpeg: JpegSetup::default(),
            chunks: Chunks::default(),
            conditions: Conditions::default(),
            applies_tables: false,
            sixteen_bits: false,
            events: false,
            double_feed: false,
            jam_at: None,
            serial: "VIRTUAL2".to_owned(),
        }
    }
}

/// The feeder of a scanner that is plugged in, for putting sheets in. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Feeder {
    sheets: Arc<AtomicU32>,
}

impl Feeder {
    /// Puts so many more sheets in.
    pub fn load(&self, sheets: u32) {
        self.sheets.fetch_add(sheets, Ordering::SeqCst);
    }

    /// How many are in it.
    pub fn sheets(&self) -> u32 {
        self.sheets.load(Ordering::SeqCst)
    }

    fn take(&self) {
        // Its scanner alone takes sheets, and only where there are some.
        self.sheets.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
enum Session {
    Out,
    Control,
    Data(Box<Job>),
}

#[derive(Debug)]
enum Parser {
    /// Before a request or a command.
    Start,
    /// After a request, with some of its parameters.
    Parameters { code: [u8; 4], want: usize },
}

#[derive(Debug)]
pub struct Esci2 {
    descriptors: Descriptors,
    setup: Esci2Setup,
    panel: Panel,
    feeder: Feeder,
    settings: Settings,
    session: Session,
    parser: Parser,
    plugged: Option<Instant>,
    /// Sides that went through the feeder.
    sides: u32,
    /// It was cancelled, and is busy with that.
    homing: bool,
    inbox: VecDeque<u8>,
    /// Answers, and data, that wait to be read; none is joined to another.
    outbox: Outbox,
}

impl Default for Esci2 {
    fn default() -> Self {
        Esci2::new(Esci2Setup::default())
    }
}

impl Esci2 {
    /// A scanner that was just switched on.
    pub fn new(setup: Esci2Setup) -> Esci2 {
        let feeder = Feeder::default();
        feeder.load(setup.sheets);
        Esci2 {
            descriptors: descriptors(&setup),
            panel: Panel::new(setup.conditions.clone()),
            feeder,
            settings: Settings::new(setup.formats, setup.applies_tables, setup.sixteen_bits),
            session: Session::Out,
            parser: Parser::Start,
            plugged: None,
            sides: 0,
            homing: false,
            inbox: VecDeque::new(),
            outbox: Outbox::default(),
            setup,
        }
    }

    /// The control panel, to keep when the scanner is plugged in.
    pub fn panel(&self) -> Panel {
        self.panel.clone()
    }

    pub fn feeder(&self) -> Feeder {
        self.feeder.clone()
    }

    /// How many lines further down on the chart the how-manieth side lies that goes through the feeder, from 0.
    pub fn shift(side: u32, dpi: u32) -> u32 {
        job::shift(side, dpi)
    }

    fn reply(&mut self, code: &[u8; 4], tokens: &str, data: Vec<u8>) {
        self.outbox.push(words::reply(code, data.len(), tokens));
        if !data.is_empty() {
            self.outbox.push(data);
        }
    }

    /// Understands what has come, as far as answers were read.
    fn digest(&mut self, now: Instant) {
        while self.outbox.is_empty() && self.step(now) {}
    }

    /// One request or command; false when it is not all there.
    fn step(&mut self, now: Instant) -> bool {
        match self.parser {
            Parser::Parameters { code, want } => {
                if self.inbox.len() < want {
                    return false;
                }
                let parameters: Vec<u8> = self.inbox.drain(..want).collect();
                self.parser = Parser::Start;
                self.carry_out(now, &code, &parameters);
                true
            }
            Parser::Start if matches!(self.session, Session::Out) => self.command(),
            Parser::Start => self.request(now),
        }
    }

    /// Outside of a session.
    fn command(&mut self) -> bool {
        let reply = match (self.inbox.front(), self.inbox.get(1)) {
            (None, _) | (Some(&ESC | &FS), None) => return false,
            (Some(&FS), Some(b'X' | b'Y')) => {
                self.session = Session::Control;
                ACK
            }
            _ => NAK,
        };
        let length = if matches!(self.inbox.front(), Some(&ESC | &FS)) { 2 } else { 1 };
        self.inbox.drain(..length);
        self.outbox.push(vec![reply]);
        true
    }

    fn request(&mut self, now: Instant) -> bool {
        if self.inbox.len() < REQUEST {
            return false;
        }
        let mut bytes = [0; REQUEST];
        for (byte, came) in bytes.iter_mut().zip(self.inbox.drain(..REQUEST)) {
            *byte = came;
        }
        match words::request(&bytes) {
            Some((code, 0)) => self.carry_out(now, &code, &[]),
            Some((code, want)) if want <= MOST_PARAMETERS => self.parser = Parser::Parameters { code, want },
            _ => self.reply(b"UNKN", "", Vec::new()),
        }
        true
    }

    fn carry_out(&mut self, now: Instant, code: &[u8; 4], parameters: &[u8]) {
        match (&self.session, code) {
            (Session::Data(_), b"IMG ") => self.image(),
            (Session::Data(_), b"CAN ") => {
                self.session = Session::Control;
                self.homing = true;
                self.panel.change(|conditions| conditions.cancel_at = None);
                self.reply(code, "", Vec::new());
            }
            (_, b"IMG " | b"CAN ") | (Session::Data(_), b"FIN " | b"INFO" | b"CAPA" | b"CAPB" | b"STAT") => {
                self.reply(b"INVD", "", Vec::new());
            }
            (Session::Data(_), b"PARA" | b"PARB" | b"RESA" | b"RESB" | b"MECH" | b"TRDT") => {
                self.reply(b"INVD", "", Vec::new());
            }
            _ => self.control(now, code, parameters),
        }
    }

    fn control(&mut self, now: Instant, code: &[u8; 4], parameters: &[u8]) {
        if code == b"FIN " {
            self.session = Session::Out;
            return self.reply(code, "", Vec::new());
        }
        if let Some(not_ready) = self.not_ready(now, code) {
            return self.reply(code, not_ready, Vec::new());
        }
        match code {
            b"INFO" => self.reply(code, "", Settings::information("PX-M7050", self.setup.alignment).into_bytes()),
            b"CAPA" => {
                self.reply(code, "", Settings::capabilities(self.setup.formats, self.setup.sixteen_bits).into_bytes())
            }
            // Nothing is different on the back.
            b"CAPB" | b"RESB" => self.reply(code, "", Vec::new()),
            b"RESA" => self.reply(code, "#parOK  ", self.settings.now().into_bytes()),
            b"STAT" => self.reply(code, "", self.status().into_bytes()),
            b"PARA" => match self.settings.with(parameters) {
                Some(settings) => {
                    self.settings = settings;
                    self.reply(code, "#parOK  ", Vec::new());
                }
                None => self.reply(code, "#parFAIL", Vec::new()),
            },
            b"MECH" => self.reply(code, "", Vec::new()),
            b"TRDT" => self.start(),
            _ => self.reply(b"UNKN", "", Vec::new()),
        }
    }

    fn not_ready(&mut self, now: Instant, code: &[u8; 4]) -> Option<&'static str> {
        let up = now.saturating_duration_since(self.plugged.unwrap_or(now));
        let conditions = self.panel.conditions();
        let busy = match conditions.busy {
            Busy::No => false,
            Busy::Always => true,
            Busy::For(time) => up < time,
        };
        match code {
            _ if busy => Some("#nrdRSVD"),
            b"TRDT" if std::mem::take(&mut self.homing) => Some("#nrdBUSY"),
            b"TRDT" if up < conditions.warm_up => Some("#nrdWUP "),
            _ => None,
        }
    }

    /// What is wrong: part and cause.
    fn trouble(&self, from: From) -> Option<&'static str> {
        let conditions = self.panel.conditions();
        match from {
            From::Flatbed if conditions.cover_open => Some("FB  OPN "),
            From::Flatbed if conditions.lamp_dead => Some("FB  LTF "),
            From::Flatbed => None,
            From::Feeder { .. } if conditions.cover_open => Some("ADF OPN "),
            From::Feeder { .. } if conditions.jam => Some("ADF PJ  "),
            From::Feeder { .. } if conditions.lamp_dead => Some("ADF LTF "),
            From::Feeder { .. } if self.feeder.sheets() == 0 => Some("ADF PE  "),
            From::Feeder { .. } => None,
        }
    }

    fn status(&self) -> String {
        let all = [From::Feeder { duplex: false }, From::Flatbed];
        all.into_iter().filter_map(|from| self.trouble(from)).map(|what| format!("#ERR{what}")).collect()
    }

    fn start(&mut self) {
        if let Some(what) = self.trouble(self.settings.from) {
            return self.reply(b"TRDT", &format!("#err{what}"), Vec::new());
        }
        self.session = Session::Data(Box::new(Job::new(self.settings.clone(), self.setup.jpeg, self.setup.chunks)));
        self.reply(b"TRDT", "", Vec::new());
    }

    fn image(&mut self) {
        let Session::Data(job) = &mut self.session else { return };
        let conditions = self.panel.conditions();
        let hit = |at: Option<u64>| at.is_some_and(|at| job.sent > at);
        if hit(conditions.cancel_at) {
            return self.reply(b"IMG ", "#atnCAN ", Vec::new());
        }
        let is_flatbed = job.settings().from == From::Flatbed;
        if hit(conditions.fatal_at) {
            self.panel.change(|conditions| conditions.fatal_at = None);
            return self.fail(if is_flatbed { "FB  ERR " } else { "ADF ERR " });
        }
        if !is_flatbed && hit(self.setup.jam_at) {
            self.setup.jam_at = None;
            return self.fail("ADF PJ  ");
        }
        match job.next() {
            Answer::Data { tokens, data } => self.reply(b"IMG ", &tokens, data),
            Answer::Last { tokens } => {
                self.session = Session::Control;
                self.reply(b"IMG ", &tokens, Vec::new());
            }
            // The paper needs its time.
            Answer::NextSheet if !std::mem::replace(&mut job.asked, true) => self.reply(b"IMG ", "", Vec::new()),
            Answer::NextSheet => self.load(),
        }
    }

    /// The next sheet is taken in, or what lies on the glass.
    fn load(&mut self) {
        let Session::Data(job) = &mut self.session else { return };
        let from = job.settings().from;
        let loaded = match from {
            From::Flatbed => job.load(&self.setup.glass, None),
            From::Feeder { .. } if self.setup.double_feed && self.feeder.sheets() > 1 => {
                return self.fail("ADF DFED");
            }
            From::Feeder { .. } if self.feeder.sheets() == 0 => return self.fail("ADF PE  "),
            From::Feeder { duplex } => {
                self.feeder.take();
                let first = self.sides;
                self.sides += if duplex { 2 } else { 1 };
                let bed = (settings::AREA.0, 100);
                let lay = |paper| Laid { paper, alignment: self.setup.alignment, bed };
                let sheet = self.setup.glass.clone();
                let sheet = match self.setup.paper.map(lay) {
                    Some(laid) => sheet.laid(laid),
                    None => sheet,
                };
                job.load(&sheet, Some(first))
            }
        };
        if let Err(error) = loaded {
            log::warn!("nothing to scan: {error}");
            return self.fail("FB  ERR ");
        }
        self.image();
    }

    fn fail(&mut self, what: &str) {
        self.session = Session::Control;
        self.reply(b"IMG ", &format!("#err{what}"), Vec::new());
    }
}

impl Model for Esci2 {
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

    fn interrupt_in(&mut self, now: Instant, _endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        let plugged = *self.plugged.get_or_insert(now);
        match self.panel.take_button(now.saturating_duration_since(plugged)) {
            0 => self.panel.button_due(plugged).map_or(In::Nak, In::NakUntil),
            button => {
                buffer[..EVENT_BYTES].fill(0);
                buffer[..2].copy_from_slice(&[BUTTON_EVENT, button]);
                In::Data(EVENT_BYTES)
            }
        }
    }

    fn reset(&mut self) {
        self.session = Session::Out;
        self.parser = Parser::Start;
        self.settings = Settings::new(self.setup.formats, self.setup.applies_tables, self.setup.sixteen_bits);
        self.homing = false;
        self.inbox.clear();
        self.outbox.clear();
    }
}

/// The ids of a PX-M7050; its scanner's interface alone, as the others of its manufacturer have it.
fn descriptors(setup: &Esci2Setup) -> Descriptors {
    let names = ["EPSON", "PX-M7050 (virtual)", &setup.serial];
    let mut endpoints = vec![bulk(0x81), bulk(0x02)];
    if setup.events {
        let (transfer_type, max_packet_size) = (TransferType::Interrupt, EVENT_BYTES as u16);
        endpoints.push(EndpointDescriptor { transfer_type, max_packet_size, interval: 8, ..bulk(0x83) });
    }
    Descriptors::of_one_interface((0x04b8, 0x08bc), (0xff, 0xff, 0xff), endpoints, names)
}

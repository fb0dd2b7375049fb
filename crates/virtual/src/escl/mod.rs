//! A scanner that speaks eSCL over IPP over USB, as a model: glass, feeder, both sides; on one to three interfaces, each a
//! connection of HTTP/1.1 of its own. Written from what is published of real devices and of ipp-usb and sane-airscan
//! (docs/escl.md), not from the driver.
//!
//! Where nobody knows what a real one does, this one does the following, and a driver should survive any other answer:
//!
//! - One request at a time on an interface: what comes behind it waits until its response was read.
//! - A page is made as its response is read. Its job is over when the last page was read to its end.
//! - SOFT_RESET of an interface, and choosing a setting of it, break off its response and forget what was sent; they end no job.
//! - A bus reset ends jobs too.
//! - In setting 0 of the layout with alternate settings what is sent is taken as print data, and nothing comes back.
//! - Sharpness and intent are accepted and change no pixel; brightness, contrast and threshold do.

mod capabilities;
mod document;
mod http;
mod job;
mod service;
mod settings;
mod setup;
#[cfg(test)]
mod tests;

use std::time::Instant;

use usbscan_usb::{
    Direction, EndpointAddress, EndpointDescriptor, InterfaceDescriptor, InterfaceNumber, Setup, SetupKind,
};

use crate::model::bulk;
use crate::{Control, Descriptors, In, Model, Out, Panel};
use http::{Parsed, Response};
use service::{Answer, Service};

pub use http::Framing;
pub use job::JobNames;
pub use setup::{Delete, DocumentFormat, EsclSetup, Layout, LocationForm};

/// USB Printing Devices: class, subclass, and the protocol of IPP over USB.
const IPP_USB: (u8, u8, u8) = (7, 1, 4);
const PRINTER: (u8, u8, u8) = (7, 1, 2);
const VENDOR: (u8, u8, u8) = (0xff, 0xff, 0xff);

/// Requests of the printer class.
const GET_DEVICE_ID: u8 = 0;
const GET_PORT_STATUS: u8 = 1;
const SOFT_RESET: u8 = 2;
const GET_DESCRIPTOR: u8 = 6;
/// "Not in error, selected, not out of paper."
const PORT_IS_FINE: u8 = 0x18;
/// What the interface can do: version 1, one block, of type "basic", 4 bytes: scan, and HTTP over USB.
const DEVICE_INFO: [u8; 10] = [10, 0x21, 1, 1, 0, 4, 0x12, 0, 0, 0];

/// Bytes that are taken while a request is answered.
const INBOX: usize = 512 * 1024;

/// One interface's connection.
#[derive(Debug, Default)]
struct Connection {
    inbox: Vec<u8>,
    response: Option<Response>,
    /// The job whose page the response is.
    page_of: Option<String>,
    /// Bytes of the response that went in full packets since the last that was none.
    open_burst: bool,
    empty_packets: u32,
}

impl Connection {
    fn clear(&mut self) -> Option<String> {
        let page_of = self.page_of.take();
        *self = Connection::default();
        page_of
    }

    /// Begins a response.
    fn answer(&mut self, response: Response, page_of: Option<String>, empty_packets: u32) {
        (self.response, self.page_of, self.empty_packets) = (Some(response), page_of, empty_packets);
    }
}

/// The scanner.
#[derive(Debug)]
pub struct Escl {
    descriptors: Descriptors,
    layout: Layout,
    empty_packets: u32,
    forgets_last_packet: bool,
    service: Service,
    connections: Vec<Connection>,
    alternates: Vec<u8>,
    panel: Panel,
    forgotten: u64,
}

impl Default for Escl {
    fn default() -> Self {
        Escl::new(EsclSetup::default()).expect("its own capabilities can be read")
    }
}

impl Escl {
    /// A scanner that was just switched on. `None`: its capabilities can't be read.
    pub fn new(setup: EsclSetup) -> Option<Escl> {
        let count = setup.interfaces.clamp(1, 3);
        let panel = Panel::new(setup.conditions.clone());
        let stale = setup.stale;
        let (layout, serial) = (setup.layout, setup.serial.clone());
        let (empty_packets, forgets_last_packet) = (setup.empty_packets, setup.forgets_last_packet);
        let service = Service::new(setup, panel.clone())?;
        let name = service.name().to_owned();
        let mut connections: Vec<Connection> = (0..count).map(|_| Connection::default()).collect();
        if stale > 0 {
            for connection in &mut connections {
                connection.answer(Response::stale(stale_bytes(stale)), None, 0);
            }
        }
        Some(Escl {
            descriptors: descriptors(&name, &serial, count, layout),
            layout,
            empty_packets,
            forgets_last_packet,
            service,
            connections,
            alternates: vec![0; usize::from(count)],
            panel,
            forgotten: 0,
        })
    }

    /// The control panel, to keep when the scanner is plugged in.
    pub fn panel(&self) -> Panel {
        self.panel.clone()
    }

    /// The interface of an endpoint: OUT 1, IN 82; OUT 3, IN 84; OUT 5, IN 86.
    fn index(&self, endpoint: EndpointAddress) -> Option<usize> {
        let number = usize::from(endpoint.0 & 0x0f).checked_sub(1)?;
        Some(number / 2).filter(|index| *index < self.connections.len())
    }

    fn speaks_http(&self, index: usize) -> bool {
        self.layout == Layout::Plain || self.alternates[index] == 1
    }

    /// Carries out requests as far as responses were read.
    fn digest(&mut self, now: Instant, index: usize) {
        while self.connections[index].response.is_none() {
            let parsed = http::parse(&self.connections[index].inbox);
            let (answer, length) = match parsed {
                Parsed::Partial => return,
                Parsed::Bad(status, length) => (Answer::Now(Response::new(status, "", b"")), length),
                Parsed::Request(request, length) => (self.service.answer(now, &request), length),
            };
            match answer {
                // It stays in front, and is looked at again when something else has happened.
                Answer::Later | Answer::Never => return,
                Answer::Now(response) => {
                    self.connections[index].inbox.drain(..length);
                    self.connections[index].answer(response, None, self.empty_packets);
                }
                Answer::Page(response, job) => {
                    self.connections[index].inbox.drain(..length);
                    self.connections[index].answer(response, Some(job), self.empty_packets);
                }
                Answer::Deleted(response, job) => {
                    self.connections[index].inbox.drain(..length);
                    self.connections[index].answer(response, None, self.empty_packets);
                    self.end_page_of(&job);
                }
            }
        }
    }

    /// A job was deleted: the response that is its page ends as early as it can.
    fn end_page_of(&mut self, job: &str) {
        if !self.service.ends_pages_at_once() {
            return;
        }
        let of_job = |connection: &&mut Connection| connection.page_of.as_deref() == Some(job);
        for connection in self.connections.iter_mut().filter(of_job) {
            if let Some(response) = &mut connection.response {
                response.end_early();
            }
        }
    }

    /// The interface forgets what was said on it, and its page is broken off.
    fn break_off(&mut self, index: usize) {
        self.forgotten += 1;
        if let Some(job) = self.connections[index].clear() {
            self.service.page_is_broken_off(&job);
        }
    }

    fn class_request(&mut self, setup: Setup) -> Control {
        match (setup.request, setup.direction()) {
            (GET_DEVICE_ID, Direction::In) => {
                let text = format!("MFG:usbscan;MDL:{};CLS:PRINTER;", self.service.name());
                let mut id = (text.len() as u16 + 2).to_be_bytes().to_vec();
                id.extend(text.into_bytes());
                Control::Done(id)
            }
            (GET_PORT_STATUS, Direction::In) => Control::Done(vec![PORT_IS_FINE]),
            (SOFT_RESET, Direction::Out) => {
                let index = usize::from(setup.index as u8);
                if index >= self.connections.len() {
                    return Control::Stall;
                }
                self.service.unhang();
                self.break_off(index);
                Control::Done(Vec::new())
            }
            _ => Control::Stall,
        }
    }
}

impl Model for Escl {
    fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    fn control(&mut self, _now: Instant, setup: Setup, _data: &[u8]) -> Control {
        match setup.kind() {
            SetupKind::Class => self.class_request(setup),
            SetupKind::Standard if setup.request == GET_DESCRIPTOR && setup.value >> 8 == 0x21 => {
                Control::Done(DEVICE_INFO.to_vec())
            }
            _ => Control::Stall,
        }
    }

    fn bulk_out(&mut self, now: Instant, endpoint: EndpointAddress, packet: &[u8]) -> Out {
        let Some(index) = self.index(endpoint) else { return Out::Stall };
        if !self.speaks_http(index) {
            return Out::Ack;
        }
        self.digest(now, index);
        let inbox = &mut self.connections[index].inbox;
        if inbox.len() + packet.len() > INBOX {
            return Out::Nak;
        }
        inbox.extend(packet);
        self.digest(now, index);
        Out::Ack
    }

    fn bulk_in(&mut self, now: Instant, endpoint: EndpointAddress, buffer: &mut [u8]) -> In {
        let Some(index) = self.index(endpoint).filter(|index| self.speaks_http(*index)) else { return In::Nak };
        self.digest(now, index);
        let connection = &mut self.connections[index];
        if connection.empty_packets > 0 && connection.response.is_some() {
            connection.empty_packets -= 1;
            return In::Data(0);
        }
        let Some(response) = &mut connection.response else {
            // What ended with a full packet is ended by an empty one.
            return if std::mem::take(&mut connection.open_burst) && !self.forgets_last_packet {
                In::Data(0)
            } else {
                In::Nak
            };
        };
        let packet = self.descriptors.configuration.interfaces.iter().flat_map(|interface| &interface.endpoints);
        let packet = packet.map(|endpoint| usize::from(endpoint.max_packet_size)).next().unwrap_or(512);
        let filled = response.fill(buffer);
        connection.open_burst = filled > 0 && filled % packet == 0;
        if response.is_over() {
            connection.response = None;
            if let Some(job) = connection.page_of.take() {
                self.service.page_is_read(now, &job);
            }
            // Something waits behind it, perhaps on another interface.
            (0..self.connections.len()).for_each(|index| self.digest(now, index));
        }
        if filled > 0 { In::Data(filled) } else { self.bulk_in(now, endpoint, buffer) }
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn set_alternate(&mut self, interface: InterfaceNumber, alternate: u8) {
        let index = usize::from(interface.0);
        let Some(chosen) = self.alternates.get_mut(index) else { return };
        *chosen = alternate;
        self.break_off(index);
    }

    fn reset(&mut self) {
        self.forgotten += 1;
        self.alternates.fill(0);
        self.connections.iter_mut().for_each(|connection| drop(connection.clear()));
        self.service.reset();
    }
}

/// The end of an answer that another client began to read: of a picture, and of its last chunk.
fn stale_bytes(count: usize) -> Vec<u8> {
    const END: &[u8] = b"\xff\xd9\r\n0\r\n\r\n";
    let mut bytes: Vec<u8> = (0..count).map(|at| (at * 37 % 251) as u8).collect();
    let tail = count.min(END.len());
    bytes[count - tail..].copy_from_slice(&END[END.len() - tail..]);
    bytes
}

/// A pair of pipes.
fn pipes(index: u8) -> Vec<EndpointDescriptor> {
    vec![bulk(2 * index + 1), bulk(0x80 | (2 * index + 2))]
}

fn descriptors(name: &str, serial: &str, count: u8, layout: Layout) -> Descriptors {
    let mut descriptors =
        Descriptors::of_one_interface((0x1209, 0x0002), IPP_USB, Vec::new(), ["usbscan", name, serial]);
    let interface = |index: u8, alternate: u8, class: (u8, u8, u8), endpoints| InterfaceDescriptor {
        number: InterfaceNumber(index),
        alternate,
        class: class.0,
        subclass: class.1,
        protocol: class.2,
        string_index: 0,
        endpoints,
    };
    let interfaces = &mut descriptors.configuration.interfaces;
    interfaces.clear();
    for index in 0..count {
        match layout {
            Layout::Plain => interfaces.push(interface(index, 0, IPP_USB, pipes(index))),
            Layout::Alternate => {
                // As a Kyocera M2040dn has it: a printer, then the vendor's own, the last of them without endpoints.
                let class = if index == 0 { PRINTER } else { VENDOR };
                let endpoints = if index == 2 { Vec::new() } else { pipes(index) };
                interfaces.push(interface(index, 0, class, endpoints));
                interfaces.push(interface(index, 1, IPP_USB, pipes(index)));
            }
        }
    }
    descriptors
}

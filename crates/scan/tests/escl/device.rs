//! An eSCL scanner at the other end of a transport, in this process and without time: what it does not have to say at once it
//! does not say, and whoever waits for it has waited. Written from docs/escl.md, with the oddities of single devices as fields.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use usbscan_client::Bytes;
use usbscan_client::wire::{EsclQuirks, Pipe};
use usbscan_scan::{AbortStep, Cancel, ControlRequest, ReadEnd, Received, Timeouts, Transport, TransportError};

/// Full speed: many reads of a page.
const PACKET: usize = 64;

/// How bodies end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Chunked(usize),
    Length,
    /// One byte more is announced than comes, and an empty packet follows.
    OneShort,
    Unframed,
    /// Of pages more is announced than comes, and nothing follows.
    Stops,
}

/// What stands in the Location of a job of this number.
pub type Location = fn(u32) -> String;

/// A job at the scanner.
#[derive(Debug, Clone)]
pub struct Job {
    pub uri: String,
    pub is_open: bool,
    pages_left: usize,
}

/// The scanner, and what it is to do differently.
pub struct Device {
    pub capabilities: String,
    /// What NextDocument gives, page by page.
    pub pages: Vec<Vec<u8>>,
    pub content_type: &'static str,
    pub framing: Framing,
    /// `None`: the 201 names no job.
    pub location: Option<Location>,
    pub state: &'static str,
    pub adf: Option<&'static str>,
    /// The state of the feeder behind its last page.
    pub adf_behind: Option<&'static str>,
    /// So many times before it does as it is asked.
    pub busy: u32,
    pub not_yet: u32,
    /// In front of the pages.
    pub false_ends: u32,
    /// What NextDocument answers to the page after the last.
    pub no_more: u16,
    pub job_status: u16,
    /// The job is open until it is deleted.
    pub is_tidy_only_by_delete: bool,
    pub jobs: Vec<Job>,
    pub requests: Vec<String>,
    /// The whole heads of these.
    pub heads: Vec<String>,
    pub settings: Vec<String>,
    /// Reads that were longer than what was sure to come.
    pub waits: u32,
    /// Reads of which nothing came, though they had the time that a carriage takes.
    pub long_waits: u32,
    pub armed: Option<Vec<AbortStep>>,
    /// What its model does differently, and by which names that was asked for.
    pub quirks: EsclQuirks,
    pub names: Vec<Option<String>>,
    /// What the driver has left.
    pub note: String,
    /// Cancel when so many reads have been started.
    pub cancel_at_read: Option<u32>,
    pub reads: u32,
    /// Empty packets before each answer.
    pub empty: u32,
    out: VecDeque<Vec<u8>>,
    input: Vec<u8>,
    served: usize,
}

impl Device {
    pub fn new(capabilities: String, pages: Vec<Vec<u8>>) -> Device {
        Device {
            capabilities,
            pages,
            content_type: "image/jpeg",
            framing: Framing::Chunked(700),
            location: Some(|number| format!("/eSCL/ScanJobs/{number}")),
            state: "Idle",
            adf: None,
            adf_behind: None,
            busy: 0,
            not_yet: 0,
            false_ends: 0,
            no_more: 404,
            job_status: 201,
            is_tidy_only_by_delete: false,
            jobs: Vec::new(),
            requests: Vec::new(),
            heads: Vec::new(),
            settings: Vec::new(),
            waits: 0,
            long_waits: 0,
            armed: None,
            quirks: EsclQuirks::default(),
            names: Vec::new(),
            note: String::new(),
            cancel_at_read: None,
            reads: 0,
            empty: 0,
            out: VecDeque::new(),
            input: Vec::new(),
            served: 0,
        }
    }

    /// What nobody has read.
    pub fn left_over(&self) -> usize {
        self.out.iter().map(Vec::len).sum()
    }

    /// Bytes that are there before anybody asks.
    pub fn say(&mut self, bytes: &[u8]) {
        self.out.push_back(bytes.to_vec());
    }

    /// A job that is open, of somebody.
    pub fn open_a_job(&mut self, uri: &str) {
        self.jobs.insert(0, Job { uri: uri.to_owned(), is_open: true, pages_left: 1 });
    }

    pub fn open_jobs(&self) -> usize {
        self.jobs.iter().filter(|job| job.is_open).count()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some(end) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(self.input[..end].to_vec()).expect("a head is text");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
            if self.input.len() < end + 4 + length {
                return;
            }
            assert!(head.contains("\r\nHost: localhost"), "{head}");
            let body: Vec<u8> = self.input.drain(..end + 4 + length).skip(end + 4).collect();
            let line = head.lines().next().expect("a line").trim_end_matches(" HTTP/1.1").to_owned();
            self.requests.push(line.clone());
            self.heads.push(head.clone());
            let (status, fields, kind, body) = self.answer(&line, body);
            self.respond(status, &fields, kind, &body);
        }
    }

    fn answer(&mut self, line: &str, body: Vec<u8>) -> (u16, String, &'static str, Vec<u8>) {
        let xml = |text: String| (200, String::new(), "text/xml", text.into_bytes());
        let bare = |status: u16| (status, String::new(), "text/html", Vec::new());
        match line {
            "GET /eSCL/ScannerCapabilities" => xml(self.capabilities.clone()),
            "GET /eSCL/ScannerStatus" => xml(self.status()),
            "POST /eSCL/ScanJobs" => {
                if self.busy > 0 {
                    self.busy -= 1;
                    return bare(503);
                }
                if self.job_status != 201 {
                    return bare(self.job_status);
                }
                self.settings.push(String::from_utf8(body).expect("settings are text"));
                let number = 1001 + self.jobs.len() as u32;
                let uri = format!("/eSCL/ScanJobs/{number}");
                self.jobs.insert(0, Job { uri, is_open: true, pages_left: self.pages.len() });
                self.state = "Processing";
                self.served = 0;
                let location = self.location.map(|location| format!("Location: {}\r\n", location(number)));
                (201, location.unwrap_or_default(), "text/html", Vec::new())
            }
            _ => self.of_a_job(line),
        }
    }

    fn of_a_job(&mut self, line: &str) -> (u16, String, &'static str, Vec<u8>) {
        let bare = |status: u16| (status, String::new(), "text/html", b"<html></html>".to_vec());
        let (method, path) = line.split_once(' ').expect("a request");
        let uri = path.trim_end_matches("/NextDocument");
        let Some(job) = self.jobs.iter_mut().find(|job| job.uri == uri) else { return bare(404) };
        if method == "DELETE" {
            let was_open = std::mem::replace(&mut job.is_open, false);
            self.state = "Idle";
            return bare(if was_open { 200 } else { 404 });
        }
        assert!(path.ends_with("/NextDocument"), "{line}");
        if self.false_ends > 0 {
            self.false_ends -= 1;
            return bare(404);
        }
        if self.not_yet > 0 {
            self.not_yet -= 1;
            return bare(503);
        }
        if job.pages_left == 0 {
            if !self.is_tidy_only_by_delete {
                job.is_open = false;
                self.state = "Idle";
            }
            self.adf = self.adf_behind.or(self.adf);
            return bare(self.no_more);
        }
        let page = self.pages[self.pages.len() - job.pages_left].clone();
        job.pages_left -= 1;
        (200, String::new(), self.content_type, page)
    }

    fn status(&self) -> String {
        let adf = self.adf.map(|adf| format!("<scan:AdfState>ScannerAdf{adf}</scan:AdfState>")).unwrap_or_default();
        let one = |job: &Job| {
            let state = if job.is_open { "Processing" } else { "Completed" };
            format!(
                "<scan:JobInfo><pwg:JobUri>{}</pwg:JobUri><pwg:JobState>{state}</pwg:JobState></scan:JobInfo>",
                job.uri
            )
        };
        let jobs: String = self.jobs.iter().map(one).collect();
        format!(
            "<scan:ScannerStatus xmlns:scan=\"s\" xmlns:pwg=\"p\"><pwg:State>{}</pwg:State>{adf}<scan:Jobs>{jobs}</scan:Jobs>\
             </scan:ScannerStatus>",
            self.state
        )
    }

    fn respond(&mut self, status: u16, fields: &str, kind: &str, body: &[u8]) {
        for _ in 0..self.empty {
            self.out.push_back(Vec::new());
        }
        let mut all = format!("HTTP/1.1 {status} Whatever\r\nContent-Type: {kind}\r\n{fields}").into_bytes();
        let mut ends_empty = false;
        match self.framing {
            Framing::Chunked(size) => {
                all.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(size) {
                    all.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                    all.extend_from_slice(chunk);
                    all.extend_from_slice(b"\r\n");
                }
                all.extend_from_slice(b"0\r\n\r\n");
            }
            Framing::Length => {
                all.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                all.extend_from_slice(body);
            }
            Framing::Stops => {
                let missing = if kind == "image/jpeg" { 100 } else { 0 };
                all.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len() + missing).as_bytes());
                all.extend_from_slice(body);
            }
            Framing::OneShort => {
                all.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len() + 1).as_bytes());
                all.extend_from_slice(body);
                ends_empty = true;
            }
            Framing::Unframed => {
                all.extend_from_slice(b"\r\n");
                all.extend_from_slice(body);
            }
        }
        self.out.push_back(all);
        if ends_empty {
            self.out.push_back(Vec::new());
        }
    }

    /// What a read of so many bytes, in whole packets, gets. A burst of whole packets has no mark at its end.
    fn read(&mut self, length: usize) -> (Vec<u8>, ReadEnd) {
        assert_eq!(length % PACKET, 0, "a read is of whole packets");
        let Some(burst) = self.out.front_mut() else { return (Vec::new(), ReadEnd::TimedOut) };
        let taken: Vec<u8> = burst.drain(..length.min(burst.len())).collect();
        let is_over = burst.is_empty();
        if is_over {
            self.out.pop_front();
        }
        // A short packet ends a read, an empty one too; without one it waits.
        let waits = is_over && taken.len() < length && taken.len() % PACKET == 0 && !taken.is_empty();
        self.waits += u32::from(waits);
        (taken, if waits { ReadEnd::TimedOut } else { ReadEnd::Done })
    }
}

/// The transport of one client.
pub struct Wire {
    device: Arc<Mutex<Device>>,
    cancel: Cancel,
    asked: Option<(usize, Duration)>,
    /// What another one has left before.
    note: String,
}

impl Wire {
    pub fn new(device: &Arc<Mutex<Device>>) -> Wire {
        let note = device.lock().note.clone();
        Wire { device: device.clone(), cancel: Cancel::new(|_| {}), asked: None, note }
    }
}

impl Transport for Wire {
    fn packet_bytes(&self) -> usize {
        PACKET
    }

    fn write(&mut self, bytes: &[u8], _timeout: Duration) -> Result<(), TransportError> {
        self.cancel.starting(1)?;
        self.cancel.ended(1);
        self.device.lock().take(bytes);
        Ok(())
    }

    fn start_read(&mut self, length: usize, timeout: Duration) -> Result<(), TransportError> {
        assert!(self.asked.replace((length, timeout)).is_none(), "one read at a time");
        Ok(())
    }

    fn finish_read(&mut self) -> Result<Received, TransportError> {
        let (length, timeout) = self.asked.take().expect("a read was started");
        let mut device = self.device.lock();
        device.reads += 1;
        if device.cancel_at_read == Some(device.reads) {
            self.cancel.cancel();
        }
        if self.cancel.is_requested() {
            return Ok(Received { bytes: Bytes::new(), end: ReadEnd::Cancelled });
        }
        let (bytes, end) = device.read(length);
        let is_long = bytes.is_empty() && end == ReadEnd::TimedOut && timeout >= Timeouts::default().image;
        device.long_waits += u32::from(is_long);
        Ok(Received { bytes: bytes.into(), end })
    }

    fn cancel_read(&mut self) {}

    fn control(&mut self, _request: &ControlRequest, _timeout: Duration) -> Result<Bytes, TransportError> {
        Err(TransportError::Stall { tried: "control request" })
    }

    fn wait_event(&mut self, _timeout: Duration) -> Result<Bytes, TransportError> {
        Err(TransportError::NotSupported { tried: "event" })
    }

    fn clear_halt(&mut self, _pipe: Pipe) -> Result<(), TransportError> {
        Ok(())
    }

    fn await_recovery(&mut self) -> Result<(), TransportError> {
        self.cancel_handle().acknowledge();
        Ok(())
    }

    fn recover(&mut self) -> Result<(), TransportError> {
        panic!("drivers reset no port")
    }

    fn arm_abort(&mut self, steps: Vec<AbortStep>, _settle: Option<Duration>) -> Result<(), TransportError> {
        self.device.lock().armed = Some(steps);
        Ok(())
    }

    fn note(&self) -> Option<&str> {
        Some(self.note.as_str()).filter(|note| !note.is_empty())
    }

    fn set_note(&mut self, note: &str) -> Result<(), TransportError> {
        self.device.lock().note = note.to_owned();
        Ok(())
    }

    fn escl_quirks(&mut self, model: Option<&str>) -> Result<EsclQuirks, TransportError> {
        let mut device = self.device.lock();
        device.names.push(model.map(str::to_owned));
        Ok(device.quirks)
    }

    fn disarm_abort(&mut self) -> Result<(), TransportError> {
        self.device.lock().armed = None;
        Ok(())
    }

    fn cancel_handle(&self) -> Cancel {
        self.cancel.clone()
    }
}

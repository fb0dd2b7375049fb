//! Dialogues with the scanner: requests that go, and responses with their framing that come.

use super::*;
use crate::Sheet;
use crate::glass::{Bits, Glass, Mode, View};

struct Host {
    scanner: Escl,
    now: Instant,
}

const SETTINGS: &str = "<s:ScanSettings xmlns:s=\"x\" xmlns:p=\"y\"><p:Version>2.0</p:Version><p:ScanRegions><p:ScanRegion>\
    <p:XOffset>30</p:XOffset><p:YOffset>60</p:YOffset><p:Width>400</p:Width><p:Height>320</p:Height></p:ScanRegion>\
    </p:ScanRegions><p:InputSource>Platen</p:InputSource><s:ColorMode>RGB24</s:ColorMode><p:DocumentFormat>image/jpeg\
    </p:DocumentFormat><s:XResolution>150</s:XResolution><s:YResolution>150</s:YResolution></s:ScanSettings>";

/// A response: its status, its head, its body.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Host {
    fn new(change: impl FnOnce(&mut EsclSetup)) -> Host {
        let mut setup = EsclSetup::default();
        change(&mut setup);
        Host { scanner: Escl::new(setup).expect("a scanner"), now: Instant::now() }
    }

    fn out(index: u8) -> EndpointAddress {
        EndpointAddress(2 * index + 1)
    }

    fn inward(index: u8) -> EndpointAddress {
        EndpointAddress(0x80 | (2 * index + 2))
    }

    fn say(&mut self, index: u8, method: &str, path: &str, body: &str) {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        for packet in request.as_bytes().chunks(512) {
            assert_eq!(self.scanner.bulk_out(self.now, Host::out(index), packet), Out::Ack);
        }
    }

    /// All bytes that come until there are none.
    fn drain(&mut self, index: u8, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 1024];
        while bytes.len() < most {
            match self.scanner.bulk_in(self.now, Host::inward(index), &mut buffer) {
                In::Data(n) => bytes.extend(&buffer[..n]),
                In::Nak => break,
                other => panic!("{other:?}"),
            }
        }
        bytes
    }

    fn receive(&mut self, index: u8) -> Got {
        understand(&self.drain(index, usize::MAX))
    }

    fn ask(&mut self, index: u8, method: &str, path: &str, body: &str) -> Got {
        self.say(index, method, path, body);
        self.receive(index)
    }

    fn start(&mut self, settings: &str) -> String {
        let got = self.ask(0, "POST", "/eSCL/ScanJobs", settings);
        assert_eq!(got.status, 201, "{got:?}");
        let line = got.head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a location");
        line.to_owned()
    }

    fn state(&mut self) -> String {
        let got = self.ask(1, "GET", "/eSCL/ScannerStatus", "");
        let text = String::from_utf8(got.body).expect("text");
        text.split("<pwg:State>").nth(1).and_then(|rest| rest.split('<').next()).expect("a state").to_owned()
    }
}

fn understand(bytes: &[u8]) -> Got {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(bytes[..at].to_vec()).expect("text");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    let mut rest = &bytes[at..];
    let mut body = Vec::new();
    if head.contains("chunked") {
        while let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(rest) {
            body.extend(&rest[line..line + size as usize]);
            rest = &rest[line + size as usize + 2..];
        }
    } else {
        body = rest.to_vec();
    }
    Got { status, head, body }
}

fn decoded(jpeg: &[u8]) -> Vec<u8> {
    zune_jpeg::JpegDecoder::new(std::io::Cursor::new(jpeg)).decode().expect("a picture")
}

/// The largest difference of two samples.
fn difference(picture: &[u8], samples: &[u16]) -> u16 {
    assert_eq!(picture.len(), samples.len());
    picture.iter().zip(samples).map(|(a, b)| u16::from(*a).abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn a_page_from_the_glass_is_the_glass() {
    for framing in [Framing::Chunked, Framing::Length] {
        let mut host = Host::new(|setup| setup.framing = framing);
        let job = host.start(
            &SETTINGS.replace("</s:XResolution>", "</s:XResolution><s:CompressionFactor>0</s:CompressionFactor>"),
        );
        assert_eq!(host.state(), "Processing");
        let page = host.ask(0, "GET", &format!("{job}/NextDocument"), "");
        assert_eq!(page.status, 200);
        let view = View { dpi: (150, 150), left: 15, top: 30, width: 200, height: 160 };
        let samples = Glass::chart().render(&view, Mode::Color, Bits::Eight).expect("the chart");
        assert!(difference(&decoded(&page.body), &samples) < 40, "{framing:?}");
        assert_eq!(host.state(), "Idle");
        assert_eq!(host.ask(0, "GET", &format!("{job}/NextDocument"), "").status, 404);
        assert_eq!(host.ask(0, "DELETE", &job, "").status, 404);
    }
}

#[test]
fn raw_gray_pixels_are_the_glass_to_the_bit_and_pdf_has_what_jpeg_has() {
    let gray = SETTINGS.replace("RGB24", "Grayscale8");
    let mut host = Host::new(|_| ());
    let job = host.start(&gray.replace("image/jpeg", "application/octet-stream"));
    let page = host.ask(0, "GET", &format!("{job}/NextDocument"), "");
    let view = View { dpi: (150, 150), left: 15, top: 30, width: 200, height: 160 };
    let samples = Glass::chart().render(&view, Mode::Gray, Bits::Eight).expect("the chart");
    assert!(page.body.iter().map(|byte| u16::from(*byte)).eq(samples.iter().copied()));
    let job = host.start(&gray);
    let jpeg = host.ask(0, "GET", &format!("{job}/NextDocument"), "").body;
    let job = host.start(&gray.replace("image/jpeg", "application/pdf"));
    let pdf = host.ask(0, "GET", &format!("{job}/NextDocument"), "").body;
    assert!(pdf.starts_with(b"%PDF-1.4") && pdf.ends_with(b"%%EOF\n"));
    assert!(pdf.windows(jpeg.len()).any(|part| part == jpeg));
}

#[test]
fn both_sides_of_all_sheets_come_one_after_the_other() {
    let mut host = Host::new(|setup| (setup.sheets, setup.duplex) = (Some(Sheet::numbered(2)), true));
    let duplex = SETTINGS
        .replace("400</p:Width><p:Height>320", "2400</p:Width><p:Height>3000")
        .replace("Platen", "Feeder")
        .replace("</s:YResolution>", "</s:YResolution><s:Duplex>true</s:Duplex>");
    let job = host.start(&duplex);
    let pages: Vec<Got> = (0..5).map(|_| host.ask(0, "GET", &format!("{job}/NextDocument"), "")).collect();
    assert_eq!(pages.iter().map(|page| page.status).collect::<Vec<_>>(), [200, 200, 200, 200, 404]);
    let distinct: std::collections::BTreeSet<&[u8]> = pages[..4].iter().map(|page| page.body.as_slice()).collect();
    assert_eq!(distinct.len(), 4);
    let status = host.ask(1, "GET", "/eSCL/ScannerStatus", "");
    assert!(String::from_utf8_lossy(&status.body).contains("ScannerAdfEmpty"));
    assert_eq!(host.ask(0, "POST", "/eSCL/ScanJobs", &duplex).status, 409, "the feeder is empty");
    host.scanner.panel().load();
    host.start(&duplex);
}

#[test]
fn a_deleted_job_ends_its_page_as_it_is_told() {
    for (delete, ends_early) in [(Delete::AtOnce, true), (Delete::AfterPage, false)] {
        let mut host = Host::new(|setup| (setup.delete, setup.chunk) = (delete, 512));
        let job = host.start(SETTINGS);
        host.say(0, "GET", &format!("{job}/NextDocument"), "");
        let mut bytes = host.drain(0, 1024);
        assert_eq!(host.ask(1, "DELETE", &job, "").status, 200);
        bytes.extend(host.drain(0, usize::MAX));
        assert!(bytes.ends_with(b"0\r\n\r\n"), "{delete:?}");
        let body = understand(&bytes).body;
        assert_eq!(!body.ends_with(&[0xff, 0xd9]), ends_early, "{delete:?}");
        assert_eq!(host.state(), "Idle");
        host.start(SETTINGS);
    }
}

#[test]
fn delete_may_wait_for_the_page_or_for_ever() {
    let mut host = Host::new(|setup| setup.delete = Delete::WaitsForPage);
    let job = host.start(SETTINGS);
    host.say(0, "GET", &format!("{job}/NextDocument"), "");
    host.drain(0, 1024);
    host.say(1, "DELETE", &job, "");
    assert!(host.drain(1, usize::MAX).is_empty());
    host.drain(0, usize::MAX);
    assert!(matches!(host.receive(1).status, 200 | 404));

    let mut host = Host::new(|setup| setup.delete = Delete::Hangs);
    let job = host.start(SETTINGS);
    host.say(1, "DELETE", &job, "");
    assert!(host.drain(1, usize::MAX).is_empty());
    let reset = Setup { request_type: 0x21, request: SOFT_RESET, value: 0, index: 1, length: 0 };
    assert_eq!(host.scanner.control(host.now, reset, &[]), Control::Done(Vec::new()));
    assert_eq!(host.state(), "Processing", "the job is still there, the interface is clean");
}

#[test]
fn one_job_at_a_time_and_a_soft_reset_ends_none() {
    let mut host = Host::new(|_| ());
    let job = host.start(SETTINGS);
    host.say(0, "GET", &format!("{job}/NextDocument"), "");
    host.drain(0, 1024);
    assert_eq!(host.ask(1, "POST", "/eSCL/ScanJobs", SETTINGS).status, 503);
    let reset = Setup { request_type: 0x23, request: SOFT_RESET, value: 0, index: 0, length: 0 };
    host.scanner.control(host.now, reset, &[]);
    assert!(host.drain(0, usize::MAX).is_empty(), "the page was broken off");
    assert_eq!(host.ask(0, "POST", "/eSCL/ScanJobs", SETTINGS).status, 503);
    assert_eq!(host.ask(1, "DELETE", &job, "").status, 200);
    host.start(SETTINGS);
}

#[test]
fn stale_bytes_and_a_strangers_job_are_there_from_the_beginning() {
    let mut host = Host::new(|setup| (setup.stale, setup.has_open_job) = (304, true));
    assert_eq!([host.drain(0, usize::MAX).len(), host.drain(1, usize::MAX).len()], [304, 304]);
    assert_eq!(host.ask(0, "POST", "/eSCL/ScanJobs", SETTINGS).status, 503);
    assert_eq!(host.ask(1, "DELETE", "/eSCL/ScanJobs/1001", "").status, 200);
    host.start(SETTINGS);
}

#[test]
fn an_answer_that_fills_its_last_packet_is_followed_by_an_empty_one() {
    for forgets in [false, true] {
        let mut host = Host::new(|setup| (setup.forgets_last_packet, setup.stale) = (forgets, 1024));
        let mut buffer = [0; 1024];
        let endpoint = Host::inward(0);
        assert_eq!(host.scanner.bulk_in(host.now, endpoint, &mut buffer), In::Data(1024));
        let next = host.scanner.bulk_in(host.now, endpoint, &mut buffer);
        assert_eq!(next, if forgets { In::Nak } else { In::Data(0) });
        assert_eq!(host.scanner.bulk_in(host.now, endpoint, &mut buffer), In::Nak);
    }
}

#[test]
fn interfaces_are_laid_out_as_asked() {
    let classes = |layout, count| {
        let host = Host::new(|setup| (setup.layout, setup.interfaces) = (layout, count));
        let settings = host.scanner.descriptors().configuration.interfaces.clone();
        settings.iter().map(|i| (i.number.0, i.alternate, i.protocol, i.endpoints.len())).collect::<Vec<_>>()
    };
    assert_eq!(classes(Layout::Plain, 2), [(0, 0, 4, 2), (1, 0, 4, 2)]);
    let alternate = [(0, 0, 2, 2), (0, 1, 4, 2), (1, 0, 255, 2), (1, 1, 4, 2), (2, 0, 255, 0), (2, 1, 4, 2)];
    assert_eq!(classes(Layout::Alternate, 3), alternate);
    let mut host = Host::new(|setup| setup.layout = Layout::Alternate);
    host.say(0, "GET", "/eSCL/ScannerStatus", "");
    assert!(host.drain(0, usize::MAX).is_empty(), "it is a printer");
    host.scanner.set_alternate(InterfaceNumber(0), 1);
    assert_eq!(host.ask(0, "GET", "/eSCL/ScannerStatus", "").status, 200);
}

#[test]
fn what_it_says_of_jobs_is_what_it_is_told_to_say() {
    let locations = [
        (LocationForm::Absolute, "http://localhost/eSCL/ScanJobs/1001"),
        (LocationForm::Foreign, "http://VIRTUAL3.12090002.hpLedmUSB/eSCL/ScanJobs/1001"),
        (LocationForm::Slash, "/eSCL/ScanJobs/1001/"),
    ];
    for (form, location) in locations {
        assert_eq!(Host::new(|setup| setup.location = form).start(SETTINGS), location);
    }
    let mut host = Host::new(|setup| (setup.not_ready, setup.keeps_jobs) = (2, true));
    let job = host.start(SETTINGS);
    let mut next = || host.ask(0, "GET", &format!("{job}/NextDocument"), "").status;
    assert_eq!([next(), next(), next(), next()], [503, 503, 200, 503]);
    assert_eq!(host.state(), "Processing");
}

#[test]
fn rubbish_is_answered_and_bounded() {
    let mut host = Host::new(|_| ());
    assert_eq!(host.scanner.bulk_out(host.now, Host::out(0), b"\x1b@\r\n\r\n"), Out::Ack);
    assert_eq!(host.receive(0).status, 400);
    assert_eq!(host.ask(0, "POST", "/eSCL/ScanJobs", "<x").status, 400);
    assert_eq!(host.ask(0, "POST", "/ipp/print", "\u{1}\u{1}").status, 404);
    assert_eq!(host.ask(0, "BREW", "/pot", "").status, 501);
    for _ in 0..10_000 {
        if host.scanner.bulk_out(host.now, Host::out(0), &[b'G'; 512]) == Out::Nak {
            break;
        }
    }
    assert!(host.scanner.connections[0].inbox.len() <= INBOX);
}

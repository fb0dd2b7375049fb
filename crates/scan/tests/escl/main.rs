//! The eSCL driver against a scanner in this process: pages from the glass and the feeder, every oddity of a device that
//! is known, and cancels at every read.

mod device;
mod ends;
mod models;

use std::sync::Arc;
use std::time::Duration;

use device::{Device, Framing, Wire};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use parking_lot::Mutex;
use usbscan_scan::escl::Escl;
use usbscan_scan::{
    DeviceError, Driver, Flow, Outcome, PageFormat, PageSink, Progress, ProtocolError, ScanError, Scanner, SinkError,
    Timeouts,
};

/// At 75 dpi; small, so that a test of many pages takes no time.
const WIDTH: usize = 160;
const HEIGHT: usize = 220;

fn caps(name: &str, least: u32, formats: &[&str]) -> String {
    let formats: String = formats.iter().map(|one| format!("<pwg:DocumentFormat>{one}</pwg:DocumentFormat>")).collect();
    let one = |dpi: u32| {
        format!(
            "<scan:DiscreteResolution><scan:XResolution>{dpi}</scan:XResolution><scan:YResolution>{dpi}</scan:YResolution></scan:DiscreteResolution>"
        )
    };
    format!(
        "<scan:{name}><scan:MinWidth>{least}</scan:MinWidth><scan:MaxWidth>640</scan:MaxWidth><scan:MinHeight>{least}</scan:MinHeight>\
         <scan:MaxHeight>880</scan:MaxHeight><scan:SettingProfiles><scan:SettingProfile><scan:ColorModes>\
         <scan:ColorMode>Grayscale8</scan:ColorMode><scan:ColorMode>RGB24</scan:ColorMode></scan:ColorModes>\
         <scan:DocumentFormats>{formats}</scan:DocumentFormats><scan:SupportedResolutions><scan:DiscreteResolutions>{}{}\
         </scan:DiscreteResolutions></scan:SupportedResolutions></scan:SettingProfile></scan:SettingProfiles></scan:{name}>",
        one(75),
        one(300),
    )
}

fn capabilities(model: &str, formats: &[&str]) -> String {
    format!(
        "<?xml version=\"1.0\"?><scan:ScannerCapabilities xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\" \
         xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\"><pwg:Version>2.63</pwg:Version><pwg:MakeAndModel>{model}\
         </pwg:MakeAndModel><scan:Platen>{}</scan:Platen><scan:Adf>{}{}</scan:Adf></scan:ScannerCapabilities>",
        caps("PlatenInputCaps", 16, formats),
        caps("AdfSimplexInputCaps", 576, formats),
        caps("AdfDuplexInputCaps", 576, formats),
    )
}

/// A ramp from black to white, another one for each page: smooth, so that JPEG is nearly exact.
fn shade(page: usize, x: usize, y: usize) -> u8 {
    ((x / 4 + y / 8 + page * 40) % 200) as u8
}

/// A picture of so many pixels, beginning at a place of the glass.
fn picture(page: usize, left: usize, top: usize, width: usize, height: usize, channels: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(width * height * channels);
    for y in top..top + height {
        for x in left..left + width {
            pixels.extend(std::iter::repeat_n(shade(page, x, y), channels));
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 97);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    let color = if channels == 1 { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(&pixels, width as u16, height as u16, color).expect("a picture");
    bytes
}

/// With so many pages of gray at 75 dpi.
fn device(pages: usize) -> Arc<Mutex<Device>> {
    let pages = (0..pages).map(|page| picture(page, 0, 0, WIDTH, HEIGHT, 1)).collect();
    Arc::new(Mutex::new(Device::new(capabilities("Acme V1", &["image/jpeg", "application/pdf"]), pages)))
}

/// Where nothing that is waited for comes.
fn timeouts() -> Timeouts {
    let none = Duration::ZERO;
    Timeouts { poll: none, ..Timeouts::default() }
}

fn open(device: &Arc<Mutex<Device>>) -> Result<Box<dyn Scanner>, ScanError> {
    Escl.open_with(timeouts(), Box::new(Wire::new(device)), &mut |_| {})
}

#[derive(Default)]
struct Page {
    format: Option<PageFormat>,
    bytes: Vec<u8>,
    is_whole: bool,
    stop_after: Option<usize>,
    calls: usize,
}

impl PageSink for Page {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        assert!(self.format.replace(*format).is_none(), "a page begins once");
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        let line = self.format.expect("begun").bytes_per_line();
        assert!(!lines.is_empty() && lines.len() % line == 0, "whole lines");
        self.bytes.extend_from_slice(lines);
        self.calls += 1;
        Ok(if self.stop_after == Some(self.calls) { Flow::Stop } else { Flow::Continue })
    }

    fn end(&mut self) -> Result<(), SinkError> {
        self.is_whole = true;
        Ok(())
    }
}

const GRAY: [(&str, &str); 2] = [("mode", "gray"), ("resolution", "75")];
const GLASS: [(&str, &str); 3] = [("source", "flatbed"), GRAY[0], GRAY[1]];

fn scan_with(scanner: &mut dyn Scanner, options: &[(&str, &str)]) -> Result<Page, ScanError> {
    scanner.options_mut().set_all(options.iter().copied())?;
    let mut page = Page::default();
    assert_eq!(scanner.scan(&mut page, &mut |_: Progress| {})?, Outcome::Complete);
    assert!(page.is_whole);
    Ok(page)
}

/// The picture of a page is that of the glass, as far as JPEG keeps it.
fn assert_like(page: &Page, number: usize, left: usize, top: usize, channels: usize) {
    let format = page.format.expect("a format");
    let width = format.width as usize;
    for (at, byte) in page.bytes.iter().enumerate() {
        let (x, y) = (at / channels % width, at / channels / width);
        let expected = shade(number, x + left, y + top);
        assert!(byte.abs_diff(expected) <= 16, "page {number}, pixel {x}, {y}: {byte} instead of {expected}");
    }
    let differences: u64 = page
        .bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            let (x, y) = (at / channels % width, at / channels / width);
            u64::from(byte.abs_diff(shade(number, x + left, y + top)))
        })
        .sum();
    assert!(differences < page.bytes.len() as u64, "on the average less than a shade");
}

fn assert_settled(device: &Arc<Mutex<Device>>) {
    let device = device.lock();
    assert_eq!((device.open_jobs(), device.left_over(), device.waits), (0, 0, 0), "{:?}", device.requests);
    assert!(device.armed.is_none() && device.note.is_empty(), "nothing is left to the daemon");
}

#[test]
fn a_page_of_the_glass_is_the_glass_however_its_body_ends() {
    for framing in [Framing::Chunked(700), Framing::Chunked(505), Framing::Chunked(40_000), Framing::Length] {
        let device = device(1);
        device.lock().framing = framing;
        let mut scanner = open(&device).expect("it opens");
        assert_eq!((scanner.identity().model.as_str(), scanner.identity().protocol.as_str()), ("Acme V1", "eSCL 2.63"));
        let page = scan_with(&mut *scanner, &GRAY).expect("a page");
        let format = page.format.expect("a format");
        assert_eq!((format.width as usize, format.height), (WIDTH, Some(HEIGHT as u32)));
        assert_like(&page, 0, 0, 0, 1);
        assert_settled(&device);
        // And once more.
        assert_like(&scan_with(&mut *scanner, &GRAY).expect("another page"), 0, 0, 0, 1);
        assert_settled(&device);
    }
}

#[test]
fn the_dialogue_of_a_page_is_that_of_clients_that_work_everywhere() {
    let device = device(1);
    scan_with(&mut *open(&device).expect("it opens"), &GRAY).expect("a page");
    let expected = [
        "GET /eSCL/ScannerCapabilities",
        "GET /eSCL/ScannerStatus",
        "POST /eSCL/ScanJobs",
        "GET /eSCL/ScanJobs/1001/NextDocument",
        "GET /eSCL/ScanJobs/1001/NextDocument",
        "DELETE /eSCL/ScanJobs/1001",
    ];
    assert_eq!(device.lock().requests, expected);
}

#[test]
fn responses_without_an_end_or_one_byte_too_short_are_ended_by_silence() {
    for framing in [Framing::Unframed, Framing::OneShort] {
        let device = device(1);
        device.lock().framing = framing;
        let mut scanner = open(&device).expect("it opens");
        assert_like(&scan_with(&mut *scanner, &GRAY).expect("a page"), 0, 0, 0, 1);
        assert_settled(&device);
    }
}

#[test]
fn a_page_that_stops_in_the_middle_is_waited_for_once_and_its_job_is_deleted() {
    let device = device(1);
    let mut scanner = open(&device).expect("it opens");
    (device.lock().framing, device.lock().is_tidy_only_by_delete) = (Framing::Stops, true);
    let error = scan_with(&mut *scanner, &GRAY).err().expect("it is not whole");
    assert!(matches!(error, ScanError::NoResponse { .. }), "{error}");
    assert_eq!(device.lock().long_waits, 1);
    device.lock().framing = Framing::Length;
    assert_settled(&device);
    assert_like(&scan_with(&mut *scanner, &GRAY).expect("the next page"), 0, 0, 0, 1);
    assert_settled(&device);
}

#[test]
fn empty_packets_mean_that_there_is_nothing_yet() {
    let device = device(1);
    device.lock().empty = 3;
    assert_like(&scan_with(&mut *open(&device).expect("it opens"), &GRAY).expect("a page"), 0, 0, 0, 1);
    assert_settled(&device);
}

#[test]
fn every_form_of_location_leads_to_the_page_and_none_to_what_is_new_among_the_jobs() {
    let forms: [Option<device::Location>; 5] = [
        Some(|number| format!("/eSCL/ScanJobs/{number}/")),
        Some(|number| format!("http://192.0.2.1:9095/eSCL/ScanJobs/{number}")),
        Some(|number| format!("http://SERIAL.03f011c2.hpLedmUSB/eSCL/ScanJobs/{number}")),
        Some(|number| format!("http://[fe80/eSCL/ScanJobs/{number}")),
        None,
    ];
    for location in forms {
        let device = device(1);
        device.lock().location = location;
        assert_like(&scan_with(&mut *open(&device).expect("it opens"), &GRAY).expect("a page"), 0, 0, 0, 1);
        assert_settled(&device);
    }
}

#[test]
fn a_feeder_gives_page_after_page_until_it_is_empty() {
    let device = device(3);
    (device.lock().adf, device.lock().adf_behind) = (Some("Loaded"), Some("Empty"));
    let mut scanner = open(&device).expect("it opens");
    let options = [("source", "adf duplex"), GRAY[0], GRAY[1]];
    for number in 0..3 {
        let page = scan_with(&mut *scanner, &options).expect("a page");
        assert_eq!(page.format.expect("a format").height, None, "a sheet is as long as it is");
        assert_like(&page, number, 0, 0, 1);
    }
    let end = scan_with(&mut *scanner, &options).err().expect("it is empty");
    assert!(matches!(end, ScanError::Device(DeviceError::NoDocuments)), "{end}");
    scanner.end_batch().expect("nothing to end");
    assert_settled(&device);
    assert_eq!(device.lock().settings.len(), 1, "one job");
    assert!(device.lock().settings[0].contains("<scan:Duplex>true</scan:Duplex>"));
}

#[test]
fn a_batch_that_ends_before_the_feeder_is_empty_deletes_its_job() {
    let device = device(3);
    device.lock().adf = Some("Loaded");
    let mut scanner = open(&device).expect("it opens");
    let options = [("source", "automatic document feeder"), GRAY[0], GRAY[1]];
    scan_with(&mut *scanner, &options).expect("a page");
    assert_eq!(device.lock().open_jobs(), 1);
    assert!(device.lock().armed.is_some(), "the daemon would delete it");
    scanner.end_batch().expect("deleted");
    assert_settled(&device);
    // Other options are another job.
    scan_with(&mut *scanner, &options).expect("a page");
    scan_with(&mut *scanner, &GLASS).expect("a page of the glass");
    assert_settled(&device);
}

#[test]
fn an_empty_or_jammed_feeder_is_told_in_words_before_a_job_is_made() {
    for (state, error) in [
        ("Empty", DeviceError::NoDocuments),
        ("Jam", DeviceError::PaperJam),
        ("DoorOpen", DeviceError::CoverOpen),
        ("MultipickDetected", DeviceError::DoubleFeed),
    ] {
        let device = device(1);
        device.lock().adf = Some(state);
        let mut scanner = open(&device).expect("it opens");
        let options = [("source", "automatic document feeder"), GRAY[0], GRAY[1]];
        match scan_with(&mut *scanner, &options).err().expect("no page") {
            ScanError::Device(got) => assert_eq!(got, error),
            other => panic!("{other}"),
        }
        assert!(device.lock().jobs.is_empty());
        // The glass does not care.
        assert_like(&scan_with(&mut *scanner, &GLASS).expect("a page of the glass"), 0, 0, 0, 1);
        assert_settled(&device);
    }
}

#[test]
fn a_jam_in_the_middle_of_a_batch_is_told_and_the_job_is_gone() {
    let device = device(1);
    (device.lock().adf, device.lock().adf_behind) = (Some("Loaded"), Some("Jam"));
    let mut scanner = open(&device).expect("it opens");
    let options = [("source", "automatic document feeder"), GRAY[0], GRAY[1]];
    scan_with(&mut *scanner, &options).expect("a page");
    let error = scan_with(&mut *scanner, &options).err().expect("jammed");
    assert!(matches!(error, ScanError::Device(DeviceError::PaperJam)), "{error}");
    assert_settled(&device);
}

#[test]
fn a_scanner_that_is_busy_for_a_while_or_has_no_page_yet_is_asked_again() {
    let device = device(1);
    (device.lock().busy, device.lock().not_yet) = (1, 1);
    assert_like(&scan_with(&mut *open(&device).expect("it opens"), &GRAY).expect("a page"), 0, 0, 0, 1);
    assert_settled(&device);
}

#[test]
fn settings_that_are_refused_are_told_in_words() {
    let device = device(1);
    device.lock().job_status = 409;
    let error = scan_with(&mut *open(&device).expect("it opens"), &GRAY).err().expect("refused").to_string();
    assert_eq!(
        error,
        "the scanner refused the settings of the page (Grayscale8, 75 dpi, glass; HTTP 409) (POST ScanJobs)"
    );
    assert_settled(&device);
}

#[test]
fn what_an_old_answer_left_is_read_away_before_anything_is_asked() {
    for stale in
        [&b"the rest of a page\r\n0\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>", &[7; 128]]
    {
        let device = device(1);
        device.lock().say(stale);
        let mut scanner = open(&device).expect("it opens");
        assert_like(&scan_with(&mut *scanner, &GRAY).expect("a page"), 0, 0, 0, 1);
        device.lock().waits = 0; // Of what is not known, nobody can know how much comes.
        assert_settled(&device);
    }
}

#[test]
fn a_job_that_a_dead_program_has_left_is_deleted_and_one_of_somebody_else_is_left_alone() {
    for (note, deleted) in [
        ("escl job /eSCL/ScanJobs/7", true),
        ("escl job /eSCL/ScanJobs/8", false),
        ("escl posting\n/eSCL/ScanJobs/6", true),
        ("escl posting\n/eSCL/ScanJobs/7", false),
        ("something else", false),
        ("", false),
    ] {
        let device = device(1);
        device.lock().open_a_job("/eSCL/ScanJobs/7");
        device.lock().note = note.to_owned();
        let _scanner = open(&device).expect("it opens");
        let device = device.lock();
        assert_eq!(device.open_jobs(), usize::from(!deleted), "{note:?}: {:?}", device.requests);
        assert_eq!(device.note, "", "it is used up");
    }
}

#[test]
fn while_a_job_is_open_its_name_is_noted() {
    let device = device(1);
    device.lock().open_a_job("/eSCL/ScanJobs/7");
    let mut scanner = open(&device).expect("it opens");
    let seen = std::cell::RefCell::new(Vec::new());
    scanner.options_mut().set_all(GRAY.iter().copied()).expect("options");
    let mut note = |_: Progress| seen.borrow_mut().push(device.lock().note.clone());
    scanner.scan(&mut Page::default(), &mut note).expect("a page");
    assert!(seen.borrow().iter().any(|note| note == "escl job /eSCL/ScanJobs/1002"), "{seen:?}");
    assert_eq!(device.lock().note, "");
}

#[test]
fn a_picture_that_is_smaller_is_filled_up_with_white_and_a_larger_one_is_cut() {
    for (width, height) in
        [(WIDTH - 1, HEIGHT - 1), (WIDTH - 20, HEIGHT), (WIDTH + 9, HEIGHT + 30), (WIDTH, HEIGHT - 50)]
    {
        let device = device(0);
        device.lock().pages = vec![picture(0, 0, 0, width, height, 1)];
        let page = scan_with(&mut *open(&device).expect("it opens"), &GRAY).expect("a page");
        assert_eq!(page.bytes.len(), WIDTH * HEIGHT, "as large as it was asked for");
        for (at, byte) in page.bytes.iter().enumerate() {
            let (x, y) = (at % WIDTH, at / WIDTH);
            let expected = if x < width && y < height { shade(0, x, y) } else { 255 };
            assert!(byte.abs_diff(expected) <= 16, "{width} x {height}, pixel {x}, {y}: {byte} instead of {expected}");
        }
        assert_settled(&device);
    }
}

#[test]
fn a_sheet_that_is_shorter_than_its_area_is_filled_up_with_white_where_that_is_wanted() {
    // Area of the feeder: 640 x 880 units of 1/300 inch.
    for height in [HEIGHT - 50, HEIGHT, HEIGHT + 3] {
        let device = device(1);
        (device.lock().pages, device.lock().adf) = (vec![picture(0, 0, 0, WIDTH, height, 1)], Some("Loaded"));
        let mut scanner = open(&device).expect("it opens");
        let options = [("source", "automatic document feeder"), ("fill-page", "yes"), GRAY[0], GRAY[1]];
        scanner.options_mut().set_all(options).expect("options");
        let told = scanner.page_format().expect("a format");
        let page = scan_with(&mut *scanner, &options).expect("a page");
        assert_eq!((page.format, told.height), (Some(told), Some(HEIGHT as u32)), "the height is known before");
        assert_eq!(page.bytes.len(), WIDTH * HEIGHT);
        let (sheet, rest) = page.bytes.split_at(WIDTH * height.min(HEIGHT));
        assert_like(&Page { format: page.format, bytes: sheet.to_vec(), ..Page::default() }, 0, 0, 0, 1);
        assert!(rest.iter().all(|shade| *shade == 255), "{height}");
        scanner.end_batch().expect("deleted");
        assert_settled(&device);
    }
    // A sink that takes JPEG gets lines, for there is no such JPEG.
    let device = device(1);
    (device.lock().pages, device.lock().adf) = (vec![picture(0, 0, 0, WIDTH, HEIGHT - 50, 1)], Some("Loaded"));
    let mut scanner = open(&device).expect("it opens");
    let options = [("source", "adf duplex"), ("fill-page", "yes"), GRAY[0], GRAY[1]];
    scanner.options_mut().set_all(options).expect("options");
    let mut page = AsSent::default();
    assert_eq!(scanner.scan(&mut page, &mut |_| {}).expect("a page"), Outcome::Complete);
    assert_eq!((page.bytes.len(), page.lines), (0, WIDTH * HEIGHT));
}

/// Takes pages as the scanner sends them.
#[derive(Default)]
struct AsSent {
    format: Option<PageFormat>,
    bytes: Vec<u8>,
    lines: usize,
}

impl PageSink for AsSent {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        self.format = Some(*format);
        Ok(())
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        self.lines += lines.len();
        Ok(Flow::Continue)
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn takes_jpeg(&self, _format: &PageFormat) -> bool {
        true
    }

    fn jpeg(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        self.bytes.extend_from_slice(bytes);
        Ok(Flow::Continue)
    }
}

/// From behind the scan's head to its end.
fn data_of(picture: &[u8]) -> &[u8] {
    let begin = picture.windows(2).position(|two| two == [0xff, 0xda]).expect("a scan");
    &picture[begin..]
}

#[test]
fn a_picture_that_is_the_page_is_passed_on_as_it_came_with_the_pages_size_and_resolution() {
    for (source, smaller) in [("flatbed", 0), ("flatbed", 3), ("automatic document feeder", 3)] {
        let device = device(1);
        let sent = picture(0, 0, 0, WIDTH - smaller, HEIGHT - smaller, 1);
        (device.lock().pages, device.lock().adf) = (vec![sent.clone()], Some("Loaded"));
        let mut scanner = open(&device).expect("it opens");
        scanner.options_mut().set_all([("source", source), GRAY[0], GRAY[1]]).expect("options");
        let mut page = AsSent::default();
        assert_eq!(scanner.scan(&mut page, &mut |_| {}).expect("a page"), Outcome::Complete);
        let height = if source == "flatbed" { HEIGHT } else { HEIGHT - smaller };
        let format = page.format.expect("a format");
        assert_eq!((format.width, format.height), (WIDTH as u32, Some(height as u32)), "{source}, {smaller}");
        assert_eq!(data_of(&page.bytes), data_of(&sent), "not one byte of the data is another");
        let frame = page.bytes.windows(2).position(|two| two == [0xff, 0xc0]).expect("a frame");
        let told = |at: usize| usize::from(page.bytes[at]) << 8 | usize::from(page.bytes[at + 1]);
        assert_eq!((told(frame + 5), told(frame + 7)), (height, WIDTH));
        assert_eq!((told(14), told(16), page.lines), (75, 75, 0));
    }
}

#[test]
fn a_picture_that_is_not_the_page_is_decoded_whatever_the_sink_takes() {
    for (width, height, channels) in [(WIDTH - 8, HEIGHT, 1), (WIDTH, HEIGHT - 16, 1), (WIDTH, HEIGHT, 3)] {
        let device = device(1);
        device.lock().pages = vec![picture(0, 0, 0, width, height, channels)];
        let mut scanner = open(&device).expect("it opens");
        scanner.options_mut().set_all(GLASS).expect("options");
        let mut page = AsSent::default();
        assert_eq!(scanner.scan(&mut page, &mut |_| {}).expect("a page"), Outcome::Complete);
        assert_eq!((page.bytes.len(), page.lines), (0, WIDTH * HEIGHT));
        assert_settled(&device);
    }
}

#[test]
fn an_area_that_is_too_small_for_the_feeder_is_cut_out_of_what_it_can_do() {
    let device = device(0);
    device.lock().adf = Some("Loaded");
    // 576 units are 144 pixels; the last of them that the feeder has begin at the 16th.
    device.lock().pages = vec![picture(0, 16, 0, 144, 144, 3)];
    let mut scanner = open(&device).expect("it opens");
    let source = ("source", "automatic document feeder");
    let options = [source, ("mode", "color"), GRAY[1], ("tl-x", "40"), ("br-x", "50"), ("br-y", "10")];
    let page = scan_with(&mut *scanner, &options).expect("a corner");
    let settings = device.lock().settings[0].clone();
    assert!(settings.contains("<pwg:XOffset>64</pwg:XOffset>"), "{settings}");
    assert!(settings.contains("<pwg:Width>576</pwg:Width><pwg:Height>576</pwg:Height>"), "{settings}");
    let format = page.format.expect("a format");
    assert_eq!((format.width, page.bytes.len() / format.bytes_per_line()), (30, 30));
    assert_like(&page, 0, 118, 0, 3);
}

#[test]
fn gray_is_made_of_colour_and_lineart_of_gray_where_the_scanner_sends_those() {
    let device = device(0);
    device.lock().pages = vec![picture(0, 0, 0, WIDTH, HEIGHT, 3)];
    let mut scanner = open(&device).expect("it opens");
    assert_like(&scan_with(&mut *scanner, &GRAY).expect("gray of colour"), 0, 0, 0, 1);
    assert_like(&scan_with(&mut *scanner, &[("mode", "color"), GRAY[1]]).expect("colour"), 0, 0, 0, 3);
    device.lock().pages = vec![picture(0, 0, 0, WIDTH, HEIGHT, 1)];
    assert_like(&scan_with(&mut *scanner, &[("mode", "color"), GRAY[1]]).expect("colour of gray"), 0, 0, 0, 3);
    let bits = scan_with(&mut *scanner, &[("mode", "lineart"), ("threshold", "100"), GRAY[1]]).expect("lineart");
    let line = WIDTH.div_ceil(8);
    let sure = |x: usize, y: usize| shade(0, x, y).abs_diff(100) > 16 && shade(0, x, y) > 16;
    for y in 0..HEIGHT {
        for x in (0..WIDTH).filter(|x| sure(*x, y)) {
            let bit = bits.bytes[y * line + x / 8] >> (7 - x % 8) & 1;
            assert_eq!(bit == 1, shade(0, x, y) >= 100, "pixel {x}, {y}");
        }
    }
    let settings = device.lock().settings.last().expect("settings").clone();
    assert!(settings.contains("<scan:ColorMode>Grayscale8</scan:ColorMode>"), "{settings}");
    assert_settled(&device);
}

#[test]
fn another_form_than_jpeg_is_found_by_its_bytes_and_told_in_words() {
    let device = device(1);
    device.lock().pages = vec![b"%PDF-1.4 and so on".repeat(100)];
    let mut scanner = open(&device).expect("it opens");
    let error = scan_with(&mut *scanner, &GRAY).err().expect("no picture");
    assert!(matches!(error, ScanError::Protocol(ProtocolError::Format { got: "application/pdf", .. })), "{error}");
    assert_settled(&device);
}

#[test]
fn a_scanner_that_sends_only_pdf_opens_and_refuses_pictures_in_words() {
    let device = device(1);
    device.lock().capabilities = capabilities("Acme V2", &["application/pdf"]);
    let mut scanner = open(&device).expect("it opens");
    let error = scan_with(&mut *scanner, &GRAY).err().expect("refused").to_string();
    assert_eq!(error, "Acme V2 sends pages only as application/pdf; only image/jpeg can be decoded here");
}

#[test]
fn a_sink_that_wants_no_more_ends_the_job() {
    let device = device(1);
    device.lock().is_tidy_only_by_delete = true;
    let mut scanner = open(&device).expect("it opens");
    scanner.options_mut().set_all(GRAY).expect("options");
    let mut page = Page { stop_after: Some(2), ..Page::default() };
    assert_eq!(scanner.scan(&mut page, &mut |_| {}).expect("stopped"), Outcome::Stopped);
    assert_settled(&device);
    assert_like(&scan_with(&mut *scanner, &GRAY).expect("the next page"), 0, 0, 0, 1);
}

#[test]
fn at_whatever_read_it_is_cancelled_the_job_is_gone_and_the_next_page_is_right() {
    let reads = {
        let device = device(1);
        device.lock().framing = Framing::Chunked(40);
        let mut scanner = open(&device).expect("it opens");
        let opened = device.lock().reads;
        scan_with(&mut *scanner, &GRAY).expect("a page");
        opened + 1..=device.lock().reads
    };
    assert!(reads.clone().count() > 20, "a page of some reads");
    for at in reads {
        let device = device(1);
        (device.lock().is_tidy_only_by_delete, device.lock().framing) = (true, Framing::Chunked(40));
        device.lock().cancel_at_read = Some(at);
        let mut scanner = open(&device).expect("it opens");
        let error = scan_with(&mut *scanner, &GRAY).err();
        match error {
            Some(ScanError::Cancelled { idle }) => assert!(idle, "cancelled at {at}"),
            Some(other) => panic!("cancelled at {at}: {other}"),
            None => panic!("cancelled at {at}: it was not"),
        }
        assert_settled(&device);
        assert_like(&scan_with(&mut *scanner, &GRAY).expect("the next page"), 0, 0, 0, 1);
        assert_settled(&device);
    }
}

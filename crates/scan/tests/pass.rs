//! JPEG pages that are not decoded: what a sink gets that takes them as they come.

mod support;

use bytes::Bytes;
use support::{Bench, Cable, Page, bench, timeouts};
use usbscan_scan::esci2::Esci2;
use usbscan_scan::jpeg::{ByteSource, Decoder, JpegError};
use usbscan_scan::{Driver, Flow, PageFormat, PageSink, Scanner, SinkError};

/// A sink that takes JPEG.
#[derive(Debug, Default)]
struct File {
    format: Option<PageFormat>,
    bytes: Vec<u8>,
    is_whole: bool,
}

impl PageSink for File {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        assert!(self.format.replace(*format).is_none(), "a page begins once");
        Ok(())
    }

    fn lines(&mut self, _: &[u8]) -> Result<Flow, SinkError> {
        panic!("it takes JPEG");
    }

    fn end(&mut self) -> Result<(), SinkError> {
        self.is_whole = true;
        Ok(())
    }

    fn takes_jpeg(&self, _: &PageFormat) -> bool {
        true
    }

    fn jpeg(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        assert!(self.format.is_some(), "it has begun");
        self.bytes.extend_from_slice(bytes);
        Ok(Flow::Continue)
    }
}

fn open(bench: &Bench) -> Box<dyn Scanner> {
    Esci2.open_with(timeouts(), Box::new(Cable::new(bench)), &mut |_| {}).expect("it opens")
}

struct Once<'a>(Option<&'a [u8]>);

#[derive(Debug)]
struct Bad;

impl From<JpegError> for Bad {
    fn from(error: JpegError) -> Bad {
        panic!("{error}")
    }
}

impl ByteSource for Once<'_> {
    type Error = Bad;

    fn more(&mut self) -> Result<Option<Bytes>, Bad> {
        Ok(self.0.take().map(Bytes::copy_from_slice))
    }
}

/// The lines of a JPEG file, and how large it says that it is.
fn decoded(bytes: &[u8]) -> (u32, Option<u32>, Vec<u8>) {
    let mut source = Once(Some(bytes));
    let mut decoder = Decoder::new(&mut source).expect("a picture");
    let mut lines = Vec::new();
    while decoder.lines(&mut source, &mut lines).expect("it is whole") {}
    (decoder.frame().width, decoder.frame().height, lines)
}

const SOURCES: [&str; 3] = ["Flatbed", "Automatic Document Feeder", "ADF Duplex"];

#[test]
fn a_jpeg_page_passes_as_it_came_and_shows_what_a_decoded_one_shows() {
    for source in SOURCES {
        for mode in ["color", "gray"] {
            // 591 pixels, of which the scanner sends 592.
            let options = [("source", source), ("mode", mode), ("compression", "jpeg"), ("resolution", "150")];
            let options: Vec<_> = options.into_iter().chain([("br-x", "100"), ("br-y", "120")]).collect();
            let (sent, shown) = (bench("esci2"), bench("esci2"));
            let (mut one, mut other) = (open(&sent), open(&shown));
            for scanner in [&mut one, &mut other] {
                scanner.options_mut().set_all(options.iter().copied()).expect("good options");
            }
            for _ in 0..if source == "ADF Duplex" { 2 } else { 1 } {
                let (mut file, mut page) = (File::default(), Page::default());
                one.scan(&mut file, &mut |_| {}).expect("a page");
                other.scan(&mut page, &mut |_| {}).expect("a page");
                assert!(file.is_whole && page.is_whole);
                let format = file.format.expect("a page began");
                let (width, height, lines) = decoded(&file.bytes);
                assert_eq!((width, height), (format.width, format.height), "{source} {mode}");
                assert_eq!((format.width, format.dpi), (591, page.format.expect("a page").dpi));
                assert!(lines == page.bytes, "{source} {mode}");
                assert_eq!(&file.bytes[6..18], b"JFIF\0\x01\x01\x01\x00\x96\x00\x96", "150 dots per inch");
            }
            assert!(sent.lock().armed.is_none());
        }
    }
}

#[test]
fn a_sheet_that_ends_before_its_area_has_the_lines_that_are_there_however_its_jpeg_is_made() {
    // 148 mm are 437 lines at 75 dpi, of 590 that are asked for.
    let options = [("source", "Automatic Document Feeder"), ("compression", "jpeg"), ("resolution", "75")];
    let options: Vec<_> = options.into_iter().chain([("br-x", "100"), ("br-y", "200")]).collect();
    for frame in ["asked", "right", "dnl"] {
        for sampling in ["444", "422", "420"] {
            for restart in ["yes", "no"] {
                for chunks in ["first-chunk=100", "chunk=256k"] {
                    let model = format!(
                        "sheet=105x148,align=left,frame={frame},sampling={sampling},restart={restart},{chunks}"
                    );
                    let scanners = [0; 2].map(|_| open(&bench(&format!("esci2,{model}"))));
                    let (mut file, mut page) = (File::default(), Page::default());
                    for (at, mut scanner) in scanners.into_iter().enumerate() {
                        scanner.options_mut().set_all(options.iter().copied()).expect("good options");
                        let sink: &mut dyn PageSink = if at == 0 { &mut file } else { &mut page };
                        scanner.scan(sink, &mut |_| {}).unwrap_or_else(|error| panic!("{model}: {error}"));
                    }
                    let (width, height, lines) = decoded(&file.bytes);
                    assert_eq!((width, height), (295, Some(437)), "{model}");
                    assert!(lines == page.bytes, "{model}");
                }
            }
        }
    }
}

#[test]
fn raw_pages_and_lineart_come_as_lines_whatever_the_sink_would_take() {
    struct Either(Page);
    impl PageSink for Either {
        fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
            self.0.begin(format)
        }
        fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
            self.0.lines(lines)
        }
        fn end(&mut self) -> Result<(), SinkError> {
            self.0.end()
        }
        fn takes_jpeg(&self, _: &PageFormat) -> bool {
            true
        }
    }
    for options in [[("mode", "gray"), ("compression", "none")], [("mode", "lineart"), ("resolution", "75")]] {
        let bench = bench("esci2");
        let mut scanner = open(&bench);
        scanner.options_mut().set_all(options).expect("good options");
        let mut sink = Either(Page::default());
        scanner.scan(&mut sink, &mut |_| {}).expect("a page");
        assert!(sink.0.is_whole && !sink.0.bytes.is_empty());
    }
}

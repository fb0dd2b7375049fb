//! Pages that end in other ways: wanted no more while they are cancelled, short of the lines that were told, as documents.

use usbscan_scan::{Cancel, Flow, Outcome, PageFormat, PageSink, ProtocolError, ScanError, SinkError};

use super::{GRAY, HEIGHT, WIDTH, assert_like, assert_settled, capabilities, device, open, picture, scan_with};

/// Wants no more, and is cancelled at the same moment: a queue that nobody empties any more.
struct Abandoned(Cancel);

impl PageSink for Abandoned {
    fn begin(&mut self, _format: &PageFormat) -> Result<(), SinkError> {
        Ok(())
    }

    fn lines(&mut self, _lines: &[u8]) -> Result<Flow, SinkError> {
        self.0.cancel();
        Ok(Flow::Stop)
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn a_sink_that_wants_no_more_of_a_cancelled_page_ends_the_job_too() {
    let device = device(1);
    device.lock().is_tidy_only_by_delete = true;
    let mut scanner = open(&device).expect("it opens");
    scanner.options_mut().set_all(GRAY).expect("options");
    let mut sink = Abandoned(scanner.cancel_handle());
    let ended = scanner.scan(&mut sink, &mut |_| {});
    assert!(matches!(ended, Err(ScanError::Cancelled { idle: true })), "{ended:?}");
    assert_settled(&device);
    assert_like(&scan_with(&mut *scanner, &GRAY).expect("the next page"), 0, 0, 0, 1);
}

/// The same picture with another height in its frame header.
fn with_height(mut picture: Vec<u8>, height: usize) -> Vec<u8> {
    let frame = picture.windows(2).position(|two| two == [0xff, 0xc0]).expect("a frame");
    picture[frame + 5..frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
    picture
}

#[test]
fn a_picture_of_the_glass_that_ends_before_the_height_it_told_is_an_error_but_for_a_line_or_two() {
    for (came, is_whole) in [(HEIGHT - 4, true), (HEIGHT / 2, false)] {
        let device = device(1);
        device.lock().pages = vec![with_height(picture(0, 0, 0, WIDTH, came, 1), HEIGHT)];
        let mut scanner = open(&device).expect("it opens");
        let page = scan_with(&mut *scanner, &GRAY);
        match page {
            Ok(page) => assert_eq!((page.bytes.len(), is_whole), (WIDTH * HEIGHT, true)),
            Err(ScanError::Protocol(ProtocolError::EndedEarly { missing })) => {
                // 110 lines are 14 rows of MCUs.
                assert_eq!((missing as usize, is_whole), (HEIGHT - 112, false));
            }
            Err(other) => panic!("{came}: {other}"),
        }
        assert_settled(&device);
    }
}

/// Takes a document as it comes.
#[derive(Default)]
struct Document(Vec<u8>);

impl PageSink for Document {
    fn begin(&mut self, _format: &PageFormat) -> Result<(), SinkError> {
        Ok(())
    }

    fn lines(&mut self, _lines: &[u8]) -> Result<Flow, SinkError> {
        panic!("it is a document")
    }

    fn end(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn takes_pdf(&self, _format: &PageFormat) -> bool {
        true
    }

    fn pdf(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        self.0.extend_from_slice(bytes);
        Ok(Flow::Continue)
    }
}

#[test]
fn a_document_is_asked_for_by_the_names_that_the_scanner_has_for_its_form() {
    let ext = "<scan:DocumentFormatExt>application/pdf</scan:DocumentFormatExt>";
    for is_listed in [false, true] {
        let device = device(1);
        let sent = b"%PDF-1.4 and so on".repeat(100);
        let mut all = capabilities("Acme V2", &["application/pdf"]);
        if is_listed {
            all = all.replace("</scan:DocumentFormats>", &format!("{ext}</scan:DocumentFormats>"));
        }
        (device.lock().capabilities, device.lock().pages) = (all, vec![sent.clone()]);
        let mut scanner = open(&device).expect("it opens");
        scanner.options_mut().set_all(GRAY).expect("options");
        let mut document = Document::default();
        assert_eq!(scanner.scan(&mut document, &mut |_| {}).expect("a document"), Outcome::Complete);
        assert_eq!(document.0, sent);
        let settings = device.lock().settings[0].clone();
        assert_eq!(settings.contains(ext), is_listed, "{settings}");
        assert_settled(&device);
    }
}

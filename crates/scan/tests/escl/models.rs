//! What single models do differently, as the model table says of them.

use usbscan_client::wire::{EsclQuirks, HttpConnection, MODEL_LIMIT};

use super::{GRAY, assert_like, capabilities, device, open, scan_with};

#[test]
fn a_model_whose_no_page_means_not_yet_is_asked_again_and_not_deleted_behind_its_page() {
    let device = device(1);
    device.lock().quirks = EsclQuirks { no_page_is_not_yet: true, no_delete_after_page: true, ..EsclQuirks::default() };
    device.lock().false_ends = 1;
    assert_like(&scan_with(&mut *open(&device).expect("it opens"), &GRAY).expect("a page"), 0, 0, 0, 1);
    assert_eq!(device.lock().open_jobs(), 0);
    assert!(!device.lock().requests.iter().any(|line| line.starts_with("DELETE")), "it is not deleted behind its page");
}

#[test]
fn a_model_is_looked_up_by_its_usb_strings_and_by_the_name_that_it_says() {
    let device = device(1);
    let name = "M\u{fc}".repeat(400);
    device.lock().capabilities = capabilities(&name, &["image/jpeg"]);
    device.lock().quirks = EsclQuirks {
        http_connection: Some(HttpConnection::Close),
        port_in_host: true,
        max_resolution: Some(75),
        ..EsclQuirks::default()
    };
    let mut scanner = open(&device).expect("it opens");
    let names = device.lock().names.clone();
    let said = names.last().and_then(Option::as_deref).expect("a name");
    assert!(names[0].is_none() && name.starts_with(said) && (128..=MODEL_LIMIT).contains(&said.len()), "{names:?}");
    assert_eq!(scanner.options().get("resolution").expect("an option").possible(), "only 75 dpi");
    scan_with(&mut *scanner, &GRAY).expect("a page");
    let device = device.lock();
    assert_eq!(device.heads.len(), device.requests.len());
    for words in ["\r\nConnection: close", "\r\nHost: localhost:80"] {
        assert!(device.heads.iter().all(|head| head.contains(words)), "{:?}", device.heads);
    }
}

#[test]
fn a_scanner_of_escl_1_0_is_refused_in_words() {
    let device = device(1);
    device.lock().capabilities = "<ScannerCapabilities><Version>1.0</Version></ScannerCapabilities>".to_owned();
    let error = open(&device).err().expect("refused").to_string();
    assert_eq!(error, "the scanner speaks eSCL 1.0; only versions from 2.0 on are supported");
}

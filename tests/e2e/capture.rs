//! Captures: what is in them, who may read them, and that a captured scanner can be played again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::page::Page;
use crate::program::{Ended, Program};
use crate::rig::{Rig, eventually};

fn capture(rig: &Rig, file: &str) -> Program {
    let capture = Program::start(&mut rig.usbscan(&["capture", "-o", file]));
    // It has begun when what the device says of itself is there.
    eventually("the capture begins", || fs::metadata(rig.path(file)).is_ok_and(|about| about.len() > 500));
    capture
}

fn end(capture: Program) -> Ended {
    capture.signal(Signal::INT);
    let ended = capture.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

/// What tshark makes of a file: a line a record, of these fields. Left out where tshark is not installed, unless
/// `USBSCAN_REQUIRE_TSHARK` is set, as tools/test does.
fn tshark(file: &Path, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "separator=|", "-r"]).arg(file);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("USBSCAN_REQUIRE_TSHARK").is_none(), "tshark: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    Some(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

#[test]
fn a_capture_goes_on_though_nobody_can_read_what_it_says() {
    let rig = Rig::new("loopback");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has one");
    let mut capture = rig.usbscan(&["capture", "-o", "a.pcapng"]).stderr(full).spawn().expect("usbscan starts");
    eventually("the capture begins", || fs::metadata(rig.path("a.pcapng")).is_ok_and(|about| about.len() > 500));
    kill_process(Pid::from_child(&capture), Signal::INT).expect("it lives");
    assert_eq!(capture.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_captured_scan_played_again_gives_the_same_page() {
    let rig = Rig::new("esci");
    let scan = ["scan", "-r", "100", "--mode", "color", "--area", "20,20,50,50", "-o"];
    let capture = capture(&rig, "scan.pcapng");
    rig.done(&[&scan[..], &["page.png"]].concat());
    let said = end(capture).stdout;
    assert!(said.starts_with("scan.pcapng: ") && !said.contains("dropped"), "{said}");
    let mode = fs::metadata(rig.path("scan.pcapng")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let captured = tempfile::NamedTempFile::new().expect("a file");
    fs::copy(rig.path("scan.pcapng"), captured.path()).expect("a copy");
    let page = Page::read_png(&rig.path("page.png"));
    // One after the other: a kernel shows both scanners to both daemons.
    drop(rig);
    let again = Rig::new(&format!("replay,file={}", captured.path().display()));
    again.done(&[&scan[..], &["page.png"]].concat());
    assert_eq!(Page::read_png(&again.path("page.png")), page);
    // It says what it said then, and nothing else.
    let ended = again.run(&["scan", "-r", "75", "-o", "other.png"]);
    assert_ne!(ended.code, Some(0));
}

#[test]
fn tshark_opens_a_capture_and_sees_data_buttons_and_cancels() {
    let rig = Rig::new("loopback");
    let capture = capture(&rig, "loop.pcapng");
    rig.done(&["raw", "write", "--hex", "68656c6c6f", "--then-read", "512"]);
    rig.done(&["raw", "control", "--direction", "in", "--request", "0x12", "--value", "5", "-n", "3"]);
    let hangs = Program::start(&mut rig.usbscan(&["raw", "read"]));
    eventually("it hangs", || rig.json(&["status"])["devices"][0]["pipes"].to_string().contains("in-flight"));
    rig.done(&["cancel"]);
    assert_eq!(hangs.end().code, Some(6));
    end(capture);
    let fields = ["usb.urb_type", "usb.transfer_type", "usb.endpoint_address", "usb.urb_status", "usb.capdata"];
    let Some(records) = tshark(&rig.path("loop.pcapng"), &fields) else { return };
    let has = |wanted: [&str; 5]| {
        let found = records.iter().any(|record| record.iter().zip(wanted).all(|(field, wanted)| field == wanted));
        assert!(found, "{wanted:?} is not among {records:#?}");
    };
    has(["'S'", "0x03", "0x02", "-115", "68656c6c6f"]);
    has(["'C'", "0x03", "0x02", "0", ""]);
    has(["'C'", "0x03", "0x81", "0", "68656c6c6f"]);
    has(["'C'", "0x03", "0x81", "-2", ""]);
    let pairs = |end: &str| records.iter().filter(|record| record[0] == end).count();
    assert_eq!(pairs("'S'"), pairs("'C'"), "each transfer has both ends");
    let names = tshark(&rig.path("loop.pcapng"), &["usb.idVendor", "usb.bString"]).expect("it was there just now");
    assert!(names.iter().any(|fields| fields[0] == "0x1209"), "{names:?}");
    assert!(names.iter().any(|fields| fields[1] == "Loopback"), "{names:?}");
}

#[test]
fn a_file_that_was_there_for_all_to_read_is_so_no_more() {
    let rig = Rig::new("loopback");
    fs::write(rig.path("old.pcapng"), vec![0; 10_000]).unwrap();
    fs::set_permissions(rig.path("old.pcapng"), fs::Permissions::from_mode(0o644)).unwrap();
    let capture = Program::start(&mut rig.usbscan(&["capture", "-o", "old.pcapng"]));
    eventually("it is overwritten", || {
        let about = fs::metadata(rig.path("old.pcapng")).unwrap();
        about.permissions().mode() & 0o777 == 0o600 && (500..10_000).contains(&about.len())
    });
    end(capture);
}

#[test]
fn a_report_has_no_picture_and_no_serial_number_and_can_be_played() {
    let rig = Rig::new("esci,serial=SECRET77");
    let scan = ["scan", "-r", "100", "--mode", "color", "--area", "20,20,50,50", "-o"];
    let capture = Program::start(&mut rig.usbscan(&["capture", "--for-report", "-o", "report.pcapng"]));
    eventually("the capture begins", || fs::metadata(rig.path("report.pcapng")).is_ok_and(|about| about.len() > 500));
    rig.done(&[&scan[..], &["page.png"]].concat());
    end(capture);
    let report = fs::read(rig.path("report.pcapng")).expect("a report");
    let holds = |text: &[u8]| report.windows(text.len()).any(|window| window == text);
    assert!(!holds(b"SECRET77") && holds(b"XXXXXXXX"), "the serial number is replaced");
    assert!(holds(b"\"findings\""), "doctor --json is inside");
    let played = |name: &str| rig.run(&[&["--virtual=replay,file=report.pcapng"][..], &scan, &[name]].concat());
    let ended = played("blank.png");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (page, blank) = (Page::read_png(&rig.path("page.png")), Page::read_png(&rig.path("blank.png")));
    assert_eq!((page.width, page.height), (blank.width, blank.height));
    let kept = blank.samples.iter().filter(|sample| **sample != 0).count();
    assert!(kept < blank.samples.len() / 100, "{kept} samples of {} are left", blank.samples.len());
}

#[test]
fn a_report_of_jpeg_pages_can_be_played_and_shows_gray_in_each_protocol() {
    if Rig::left_out_at_a_kernel("reports of JPEG pages, which are made from the same captures") {
        return;
    }
    for (spec, source) in [
        ("esci2,sheets=1,sheet=a5,align=left,sampling=422,chunk=3000,first-chunk=100", "adf"),
        ("esci2,restart=no,frame=right,sampling=420", "flatbed"),
        ("escl,chunk=700", "flatbed"),
        ("escl,framing=length,restart=no", "flatbed"),
    ] {
        let rig = Rig::new(spec);
        let mut scan = vec!["scan", "-r", "75", "--area", "0,0,100,250", "--source", source];
        if spec.starts_with("esci2") {
            scan.extend(["--set", "compression=JPEG"]);
        }
        let capture = Program::start(&mut rig.usbscan(&["capture", "--for-report", "-o", "report.pcapng"]));
        eventually("the capture begins", || {
            fs::metadata(rig.path("report.pcapng")).is_ok_and(|about| about.len() > 500)
        });
        rig.done(&[&scan[..], &["-o", "page-%d.png"]].concat());
        end(capture);
        let replay = ["--virtual=replay,file=report.pcapng"];
        let played = [&replay[..], &scan, &["-o", "gray-%d.png", "--pages", "1"]].concat();
        let ended = rig.run(&played);
        assert_eq!(ended.code, Some(0), "{spec}: {}", ended.stderr);
        let (page, gray) = (Page::read_png(&rig.path("page-1.png")), Page::read_png(&rig.path("gray-1.png")));
        assert_eq!((page.width, page.height), (gray.width, gray.height), "{spec}");
        assert!(page.samples.iter().any(|sample| *sample != 128), "{spec}");
        assert!(gray.samples.iter().all(|sample| *sample == 128), "{spec}: all of it is gray");
    }
}

#[test]
fn what_is_no_capture_is_refused_in_words() {
    let rig = Rig::new("loopback");
    fs::write(rig.path("text"), "this is no capture").unwrap();
    for (spec, words) in [
        ("replay", "file="),
        ("replay,file=nowhere.pcapng", "nowhere.pcapng"),
        ("replay,file=text", "does not begin as a pcapng or pcap file"),
        ("replay,file=/dev/zero", "longer than"),
    ] {
        let ended = rig.run(&[&format!("--virtual={spec}"), "list"]);
        assert_eq!(ended.code, Some(2), "{spec}: {}", ended.stderr);
        assert!(ended.stderr.contains(words) && ended.stderr.lines().count() == 1, "{spec}: {}", ended.stderr);
    }
}

#[test]
#[ignore = "needs a kernel to plug into: tools/test --only guest-user-vhci"]
fn a_capture_ends_with_its_scanner_and_its_file_is_whole() {
    let mut rig = Rig::new("loopback");
    let capture = capture(&rig, "loop.pcapng");
    rig.done(&["raw", "write", "--hex", "68656c6c6f"]);
    rig.unplug();
    let ended = capture.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // The last block is that of the counts: 52 bytes.
    let file = fs::read(rig.path("loop.pcapng")).unwrap();
    assert_eq!(file[file.len() - 52..][..8], [5, 0, 0, 0, 52, 0, 0, 0]);
}

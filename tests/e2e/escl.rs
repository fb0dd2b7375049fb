//! eSCL through the daemon: pages from glass and feeder of the virtual all-in-one, each oddity that it can play, and a program
//! that is interrupted or killed.

use rustix::process::Signal;
use usbscan_virtual::glass::{Glass, View};

use crate::cancel::stuck_in_mid_page;
use crate::page::{Page, PixelFormat};
use crate::program::Program;
use crate::proxy::{Kill, Proxy, Sent};
use crate::rig::Rig;

const AREA: [&str; 4] = ["-r", "150", "--area", "25.4,25.4,101.6,50.8"];
/// Interfaces with alternate settings, of which FunctionFS knows nothing.
const ALTERNATE: &str = "layout=alternate";
pub const VIEW: View = View { dpi: (150, 150), left: 150, top: 150, width: 600, height: 300 };

fn scan(rig: &Rig, arguments: &[&str]) {
    let mut all = vec!["scan"];
    all.extend(AREA);
    all.extend(arguments);
    rig.done(&all);
}

/// Pages come as JPEG, whose shades differ by a few; in the mean by less than two.
fn assert_is_like(rig: &Rig, file: &str, view: View, format: PixelFormat) {
    let page = Page::read_png(&rig.path(file));
    let expected = Page::on_glass(&Glass::chart(), view, format);
    assert_eq!((page.kind, page.width, page.height), (expected.kind, expected.width, expected.height));
    let differences = page.samples.iter().zip(&expected.samples).map(|(got, want)| u64::from(got.abs_diff(*want)));
    let mean = differences.sum::<u64>() as f64 / page.samples.len() as f64;
    assert!(mean < 2.0, "{file} is another picture: {mean}");
}

pub fn page_is_right(rig: &Rig) {
    scan(rig, &["--mode", "color", "-o", "page.png"]);
    assert_is_like(rig, "page.png", VIEW, PixelFormat::Color8);
}

#[test]
fn a_page_from_the_glass_is_the_glass() {
    let rig = Rig::new("escl");
    for (mode, kind) in [("color", PixelFormat::Color8), ("gray", PixelFormat::Gray8)] {
        scan(&rig, &["--mode", mode, "-o", "page.png"]);
        assert_is_like(&rig, "page.png", VIEW, kind);
    }
}

#[test]
fn whatever_a_device_does_differently_the_page_is_the_glass() {
    // What lies in packets, and a kernel's USB stack has a part in.
    let of_packets = [
        "framing=none",
        "chunk=507",
        "stale=5000",
        "empty-packets=3",
        "last-packet=no",
        "interfaces=1",
        "interfaces=3",
    ];
    let of_messages = [
        "framing=length",
        "chunk=1",
        "stale=304",
        "location=absolute",
        "location=foreign",
        "location=slash",
        "location=missing",
        "jobs=urn",
        "keep-jobs=yes",
        "not-ready=1",
        "picture=8",
        "restart=no",
        "formats=jpeg",
    ];
    let of_messages = of_messages.into_iter().filter(|_| !Rig::is_at_a_kernel());
    for oddity in of_packets.into_iter().chain(of_messages) {
        let rig = Rig::new(&format!("escl,{oddity}"));
        println!("{oddity}");
        page_is_right(&rig);
        page_is_right(&rig);
    }
}

#[test]
fn the_feeder_gives_all_its_sheets_one_side_or_both() {
    let rig = Rig::new("escl,adf=2,duplex=yes");
    scan(&rig, &["--source", "adf-duplex", "--mode", "gray", "-o", "side-%d.png"]);
    for side in 1..=4 {
        assert!(rig.path(&format!("side-{side}.png")).exists(), "side {side}");
    }
    assert!(!rig.path("side-5.png").exists());
}

#[test]
fn a_page_that_the_scanner_sends_as_jpeg_is_in_the_file_as_it_came() {
    let rig = Rig::new("escl");
    scan(&rig, &["--mode", "color", "-o", "page.jpg"]);
    scan(&rig, &["--mode", "color", "-o", "page.pdf"]);
    let (jpeg, pdf) = (std::fs::read(rig.path("page.jpg")), std::fs::read(rig.path("page.pdf")));
    let (jpeg, pdf) = (jpeg.expect("a file"), pdf.expect("a file"));
    let data = &jpeg[jpeg.windows(2).position(|two| two == [0xff, 0xda]).expect("a scan")..];
    assert!(pdf.windows(data.len()).any(|part| part == data), "the same data in both");
    // The virtual scanner's encoder has restart intervals, ours has none.
    assert!(jpeg.windows(4).any(|four| four == [0xff, 0xdd, 0, 4]), "it is the scanner's");
}

#[test]
fn a_scanner_that_sends_only_pdf_scans_to_pdf_and_refuses_the_rest_in_words() {
    let rig = Rig::new("escl,formats=pdf,adf=2");
    for source in ["flatbed", "adf"] {
        scan(&rig, &["--source", source, "--mode", "color", "--pages", "1", "-o", "page.pdf"]);
        let pdf = std::fs::read(rig.path("page.pdf")).expect("a file");
        assert!(pdf.starts_with(b"%PDF-") && pdf.trim_ascii_end().ends_with(b"%%EOF"), "{source}");
    }
    for (arguments, words) in [
        (&["scan", "-o", "page.png"][..], "only as PDF"),
        (&["scan", "--quality", "80", "-o", "page.pdf"], "only as PDF"),
        (&["scan", "--source", "adf", "-o", "pages.pdf"], "one file per page"),
    ] {
        let ended = rig.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
    scan(&rig, &["--source", "adf", "--mode", "gray", "-o", "sheet-%d.pdf"]);
    assert!(rig.path("sheet-1.pdf").exists());
}

#[test]
fn raw_uses_the_pipes_of_an_interface_that_it_claims() {
    let rig = Rig::new("escl,layout=alternate");
    let request: String =
        b"GET /eSCL/ScannerStatus HTTP/1.1\r\nHost: localhost\r\n\r\n".iter().map(|b| format!("{b:02x}")).collect();
    let pipes = rig.json(&["raw", "pipes"]);
    assert_eq!(pipes["pipes"].as_array().map(Vec::len), Some(2), "{pipes}");
    // In setting 1 of interface 1 is the second pair of pipes.
    let (out, back) = ("0x03", "0x84");
    let arguments =
        ["raw", "write", "--claim", "1:1", "--endpoint", out, "--read-endpoint", back, "--then-read", "2048"];
    let answer = rig.done(&[&arguments[..], &["--hex", &request]].concat());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("ScannerStatus"), "{answer}");
}

#[test]
fn a_program_that_is_interrupted_or_killed_in_mid_page_leaves_the_scanner_usable() {
    for layout in ["interfaces=2", ALTERNATE, "interfaces=1"] {
        if layout == ALTERNATE && Rig::left_out_with_a_gadget("alternate settings") {
            continue;
        }
        for signal in [Signal::INT, Signal::KILL] {
            let rig = Rig::new(&format!("escl,keep-jobs=yes,{layout}"));
            let (scan, page) = stuck_in_mid_page(&rig);
            scan.signal(signal);
            drop(page);
            scan.end();
            page_is_right(&rig);
        }
    }
}

/// The resolutions that are offered for a scanner that says this name.
fn resolutions_of(name: &str, quirks: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let (capabilities, models) = (folder.path().join("capabilities.xml"), folder.path().join("quirks.d"));
    let dpi: String = ["100", "300", "600"]
        .map(|dpi| {
            format!(
                "<scan:DiscreteResolution><scan:XResolution>{dpi}</scan:XResolution><scan:YResolution>{dpi}\
                 </scan:YResolution></scan:DiscreteResolution>"
            )
        })
        .concat();
    let document = format!(
        "<scan:ScannerCapabilities xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\" \
         xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\"><pwg:Version>2.63</pwg:Version><pwg:MakeAndModel>{name}\
         </pwg:MakeAndModel><scan:Platen><scan:PlatenInputCaps><scan:MinWidth>16</scan:MinWidth><scan:MaxWidth>2550\
         </scan:MaxWidth><scan:MinHeight>16</scan:MinHeight><scan:MaxHeight>3508</scan:MaxHeight><scan:SettingProfiles>\
         <scan:SettingProfile><scan:ColorModes><scan:ColorMode>RGB24</scan:ColorMode></scan:ColorModes>\
         <scan:DocumentFormats><pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat></scan:DocumentFormats>\
         <scan:SupportedResolutions><scan:DiscreteResolutions>{dpi}</scan:DiscreteResolutions></scan:SupportedResolutions>\
         </scan:SettingProfile></scan:SettingProfiles></scan:PlatenInputCaps></scan:Platen></scan:ScannerCapabilities>"
    );
    std::fs::write(&capabilities, document).expect("a file");
    std::fs::create_dir(&models).expect("a folder");
    std::fs::write(models.join("mine.toml"), quirks).expect("a file");
    let settings = format!("models = {models:?}\n");
    let rig = Rig::with_settings(&[&format!("escl,capabilities={}", capabilities.display())], settings);
    let options = rig.json(&["options"]);
    let all = options["options"].as_array().unwrap_or_else(|| panic!("options: {options}"));
    let resolution = all.iter().find(|option| option["name"] == "resolution");
    resolution.unwrap_or_else(|| panic!("a resolution: {options}"))["constraint"]["list"].to_string()
}

#[test]
fn a_model_is_treated_as_the_table_says_of_its_name_and_the_administrators_word_is_the_last() {
    assert_eq!(resolutions_of("Canon MF642C", ""), "[100,300,600]");
    assert_eq!(resolutions_of("Canon iR2625/2630", ""), "[100,300]");
    let mine = "[[escl]]\nname = \"Canon*\"\nnotes = \"seen\"\nmax_resolution = 200\n";
    assert_eq!(resolutions_of("Canon iR2625/2630", mine), "[100]");
}

/// Where the scanner is another program's (`tools/test --only guest-user-vhci`) it outlives both of them, in the middle of its
/// page, and keeps the job.
#[test]
fn the_job_of_a_program_that_dies_with_its_daemon_is_deleted_by_the_next() {
    let mut rig = Rig::new("escl,keep-jobs=yes");
    let (scan, page) = stuck_in_mid_page(&rig);
    assert_eq!(std::fs::read_dir(rig.path("notes")).expect("a folder").count(), 1, "the job is noted");
    scan.signal(Signal::KILL);
    rig.end_daemon(Signal::KILL);
    drop(page);
    scan.end();
    rig.start_daemon();
    page_is_right(&rig);
    assert_eq!(std::fs::read_dir(rig.path("notes")).expect("a folder").count(), 0, "and no more");
}

/// Scans through a proxy that kills the program at one message; returns what it sent. A page of some reads.
fn scan_killed(rig: &Rig, kill: Option<Kill>) -> Sent {
    let proxy = Proxy::start(&rig.path("proxy"), &rig.socket(), kill);
    let arguments = [&["scan", "--mode", "color", "-o", "dead.png"], &AREA[..]].concat();
    let scan = Program::start(&mut rig.usbscan_at(&rig.path("proxy"), &arguments));
    let sent = proxy.serve(|| scan.try_signal(Signal::KILL));
    let ended = scan.end();
    assert!(ended.code == Some(0) || kill.is_some() && ended.code.is_none(), "{kill:?}: {ended:?}");
    sent
}

/// Kills at every message, also those between two reads of a body, and asks for the next page: a scanner that keeps a job until
/// it is deleted makes none while another one is open. `USBSCAN_SWEEP=few`, `some` or `all` says at how many messages.
fn sweep(scanner: &str) {
    let rig = Rig::new(scanner);
    let messages = scan_killed(&rig, None).requests;
    assert!(messages > 20, "a dialogue has many messages: {messages}");
    let step = match std::env::var("USBSCAN_SWEEP").as_deref() {
        // There are four sweeps, and a guest takes a second for each program.
        Ok("few") => messages.div_ceil(3),
        Ok("all") => 1,
        Err(_) if std::env::var_os("USBSCAN_E2E_RIG").is_none() => 1,
        _ => messages.div_ceil(24),
    };
    for at in (1..=messages).step_by(step) {
        for kill in [Kill::AfterRequest(at), Kill::AfterAnswer(at)] {
            scan_killed(&rig, Some(kill));
            println!("{scanner}: {kill:?} of {messages}");
            page_is_right(&rig);
        }
    }
}

#[test]
fn a_program_killed_at_any_message_leaves_no_job_on_two_interfaces() {
    sweep("escl,keep-jobs=yes,chunk=700");
}

#[test]
fn a_program_killed_at_any_message_leaves_no_job_in_alternate_settings() {
    sweep("escl,keep-jobs=yes,layout=alternate,framing=length,delete=after-page");
}

#[test]
fn a_program_killed_at_any_message_leaves_no_job_on_one_interface() {
    sweep("escl,keep-jobs=yes,interfaces=1");
}

#[test]
fn a_program_killed_at_any_message_leaves_no_job_where_none_is_named() {
    sweep("escl,keep-jobs=yes,location=missing");
}

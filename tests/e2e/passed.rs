//! Pages that keep what the scanner gave them: JPEG as it came, paper as large as it was. Looked at with programs of others: djpeg,
//! qpdf and poppler (Debian's libjpeg-turbo-progs, qpdf, poppler-utils).

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::program::Program;
use crate::rig::{Rig, eventually};

/// Whether the programs are there; where `USBSCAN_REQUIRE_READERS` is set they must be.
fn are_there(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| !Path::new("/usr/bin").join(name).exists()).collect();
    let required = std::env::var_os("USBSCAN_REQUIRE_READERS").is_some();
    assert!(missing.is_empty() || !required, "needs {missing:?}, which USBSCAN_REQUIRE_READERS demands");
    missing.is_empty()
}

fn said(rig: &Rig, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(rig.path("")).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    format!("{}{stderr}", String::from_utf8_lossy(&output.stdout))
}

#[test]
fn a_jpeg_of_the_scanner_goes_into_jpeg_and_pdf_as_it_came_and_others_read_it() {
    if !are_there(&["djpeg", "qpdf", "pdfimages", "pdfinfo"]) {
        return;
    }
    for source in ["flatbed", "adf"] {
        let rig = Rig::new("esci2,sheets=4");
        let scan = |name: &str, more: &[&str]| {
            let common = ["scan", "--source", source, "-r", "300", "--area", "letter", "--set", "compression=JPEG"];
            let told = rig.done(&[&common[..], &["--pages", "1", "-o", name], more].concat());
            assert!(source == "adf" || told.starts_with(&format!("{name}: 2550 x 3300 pixels, 300 dpi")), "{told}");
            fs::read(rig.path(name)).expect("a file")
        };
        let passed = scan("passed.jpg", &[]);
        let decoded = scan("decoded.jpg", &["--quality", "85"]);
        assert_ne!(passed, decoded, "with --quality it is decoded");
        assert_eq!(passed[6..18], *b"JFIF\0\x01\x01\x01\x01\x2c\x01\x2c", "300 dots per inch");
        let head = said(&rig, "djpeg", &["-verbose", "-outfile", "passed.ppm", "passed.jpg"]);
        assert!(!head.to_lowercase().contains("corrupt") && !head.contains("premature"), "{head}");
        assert!(head.contains("density 300x300"), "{head}");
        let ppm = fs::read(rig.path("passed.ppm")).expect("pixels");
        // 2550 pixels of 2552 that the scanner sends.
        assert!(ppm.starts_with(b"P6\n2550 3300\n255\n"), "{source}: {:?}", String::from_utf8_lossy(&ppm[..20]));
        scan("passed.pdf", &[]);
        said(&rig, "qpdf", &["--check", "passed.pdf"]);
        let size = said(&rig, "pdfinfo", &["passed.pdf"]);
        assert!(size.contains("612 x 792 pts"), "{size}");
        let list = said(&rig, "pdfimages", &["-list", "passed.pdf"]);
        let fields: Vec<&str> = list.lines().nth(2).expect("a picture").split_whitespace().collect();
        assert_eq!((&fields[3..5], fields[8], &fields[12..14]), (&["2550", "3300"][..], "jpeg", &["300", "300"][..]));
        said(&rig, "pdfimages", &["-all", "passed.pdf", "image"]);
        let image = fs::read(rig.path("image-000.jpg")).expect("the picture in the PDF");
        // Each scan takes another sheet from the feeder, which looks alike.
        assert!(source == "adf" || image == passed, "the same bytes");
    }
}

#[test]
fn a_jpeg_page_that_was_damaged_on_its_way_is_an_error_and_no_file() {
    let rig = Rig::new("esci2");
    let scan = ["scan", "-r", "75", "--area", "0,0,150,150", "--set", "compression=JPEG", "-o"];
    let capture = Program::start(&mut rig.usbscan(&["capture", "-o", "whole.pcapng"]));
    eventually("the capture begins", || fs::metadata(rig.path("whole.pcapng")).is_ok_and(|about| about.len() > 500));
    rig.done(&[&scan[..], &["page.jpg"]].concat());
    capture.signal(Signal::INT);
    assert_eq!(capture.end().code, Some(0));
    let mut captured = fs::read(rig.path("whole.pcapng")).expect("a capture");
    // Some bytes of the page itself, as a bad cable or memory changes them.
    let picture = captured.windows(3).position(|bytes| bytes == [0xff, 0xd8, 0xff]).expect("a JPEG");
    captured[picture + 3000..][..40].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(rig.path("damaged.pcapng"), captured).expect("a capture");
    for name in ["played.jpg", "played.pdf", "played.png"] {
        let play = |file: &str| rig.run(&[&[file], &scan[..], &[name]].concat());
        let ended = play("--virtual=replay,file=damaged.pcapng");
        assert_eq!(ended.code, Some(8), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains("the JPEG image is damaged"), "{name}: {}", ended.stderr);
        assert!(!rig.path(name).exists(), "{name}");
        assert_eq!(play("--virtual=replay,file=whole.pcapng").code, Some(0), "{name}");
    }
    assert_eq!(fs::read(rig.path("played.jpg")).expect("a file"), fs::read(rig.path("page.jpg")).expect("a file"));
}

#[test]
fn letter_in_lineart_is_letter_in_the_pdf_at_every_resolution() {
    if !are_there(&["qpdf", "pdfinfo"]) {
        return;
    }
    let rig = Rig::new("esci");
    for dpi in ["75", "300"] {
        rig.done(&["scan", "-r", dpi, "--mode", "lineart", "--area", "letter", "-o", "letter.pdf"]);
        said(&rig, "qpdf", &["--check", "letter.pdf"]);
        let size = said(&rig, "pdfinfo", &["letter.pdf"]);
        let numbers = size.lines().find_map(|line| line.strip_prefix("Page size:")).expect("a size");
        let mut numbers = numbers.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        let (width, height) = (numbers.next().expect("a width"), numbers.next().expect("a height"));
        let pixel = 72.0 / dpi.parse::<f64>().expect("a number");
        assert!((width - 612.0).abs() <= pixel && (height - 792.0).abs() <= pixel, "{dpi}: {width} x {height}");
    }
}

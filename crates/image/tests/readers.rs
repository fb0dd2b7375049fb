//! What we write, as others read it: libtiff's tools, qpdf, poppler and libjpeg's djpeg (Debian's libtiff-tools, qpdf,
//! poppler-utils, libjpeg-turbo-progs).

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use usbscan_image::{FileFormat, PageWriter, Quality};
use usbscan_scan::{Dpi, PageFormat, PageSink, Pixels};

const ALL: [Pixels; 5] = [Pixels::Bit, Pixels::Gray8, Pixels::Gray16, Pixels::Rgb8, Pixels::Rgb16];

/// A4 at 25 and 50 dpi, with bits behind the last pixel.
const WIDTH: u32 = 207;
const HEIGHT: u32 = 585;

/// Whether the programs are there. What `claim` is then not shown is said, or is a failure where they are required.
fn are_there(claim: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| !Path::new("/usr/bin").join(name).exists()).collect();
    let required = std::env::var_os("USBSCAN_REQUIRE_READERS").is_some();
    assert!(missing.is_empty() || !required, "{claim}: needs {missing:?}, which USBSCAN_REQUIRE_READERS demands");
    if !missing.is_empty() {
        // Where no test runner hides it; nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {claim}: {missing:?} are not installed");
    }
    missing.is_empty()
}

/// What a program prints; it must succeed and complain of nothing.
fn said(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{command:?}: {} {stderr}", output.status);
    output.stdout
}

fn words(command: &mut Command) -> String {
    String::from_utf8(said(command)).expect("it prints text")
}

fn page(pixels: Pixels) -> PageFormat {
    PageFormat { width: WIDTH, height: Some(HEIGHT), pixels, dpi: (Dpi(25), Dpi(50)) }
}

/// Smooth in places and rough in others, another for each `seed`; bits behind the last pixel of a line are 0.
fn pixels(page: &PageFormat, seed: usize) -> Vec<u8> {
    let line = page.bytes_per_line();
    let at = |at: usize| {
        let (x, y) = (at % line, at / line);
        let rough = if (x / 40 + y / 60) % 2 == 0 { (x * 131 + y * 71 + x * y) % 251 } else { 0 };
        (x + y + rough + seed * 13) as u8
    };
    let mut bytes: Vec<u8> = (0..line * HEIGHT as usize).map(at).collect();
    if page.pixels == Pixels::Bit {
        bytes.chunks_mut(line).for_each(|line| line[(WIDTH / 8) as usize] &= 0xff << (8 - WIDTH % 8));
    }
    bytes
}

fn write_page(writer: &mut PageWriter, page: &PageFormat, bytes: &[u8]) {
    writer.begin(page).expect("it begins");
    for block in bytes.chunks(page.bytes_per_line() * 37) {
        let _ = writer.lines(block).expect("lines are taken");
    }
    writer.end().expect("it ends");
}

/// Writes a file of these pages.
fn write(path: &Path, quality: Quality, pages: &[PageFormat]) {
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        Some("tiff") => FileFormat::Tiff,
        Some("jpg") => FileFormat::Jpeg,
        _ => FileFormat::Pdf,
    };
    let file = File::create(path).expect("a file");
    let mut writer = PageWriter::to_file(format, quality, file).expect("a writer");
    for (seed, page) in pages.iter().enumerate() {
        write_page(&mut writer, page, &pixels(page, seed));
    }
    assert_eq!(writer.pages() as usize, pages.len());
    writer.finish().expect("it is finished");
}

fn folder() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, move |name: &str| path.join(name))
}

/// The pixels of a page of a TIFF, big-endian, as libtiff reads them: copied into a single strip without compression.
fn tiff_pixels(file: &Path, page: usize) -> Vec<u8> {
    let plain = file.with_extension("plain");
    let source = format!("{},{page}", file.display());
    said(Command::new("tiffcp").args(["-B", "-c", "none", "-r", "100000"]).arg(source).arg(&plain));
    let told = words(Command::new("tiffinfo").arg("-s").arg(&plain));
    let strip = told.split_once("0: [").and_then(|(_, rest)| rest.split_once(']')).expect("a strip").0;
    let mut numbers = strip.split(',').map(|number| number.trim().parse::<usize>().expect("a number"));
    let (at, length) = (numbers.next().expect("an offset"), numbers.next().expect("a length"));
    fs::read(&plain).expect("the copy")[at..at + length].to_vec()
}

#[test]
fn libtiff_reads_every_pixel_of_every_page_of_a_tiff() {
    if !are_there("TIFF", &["tiffcp", "tiffinfo"]) {
        return;
    }
    let (_folder, path) = folder();
    let file = path("pages.tiff");
    // Every second page says its height only by its end.
    let mut pages = ALL.map(page);
    pages.iter_mut().step_by(2).for_each(|page| page.height = None);
    write(&file, Quality::default(), &pages);
    for (number, page) in pages.iter().enumerate() {
        assert!(tiff_pixels(&file, number) == pixels(page, number), "page {number}: {page:?}");
    }
    let told = words(Command::new("tiffinfo").arg("-D").arg(&file));
    assert_eq!(told.matches("TIFF Directory at offset").count(), pages.len(), "{told}");
    assert_eq!(told.matches("Resolution: 25, 50 pixels/inch").count(), pages.len(), "{told}");
    assert_eq!(told.matches("Compression Scheme: AdobeDeflate").count(), pages.len(), "{told}");
}

#[test]
fn a_tiff_through_a_pipe_is_the_tiff_of_a_file() {
    let (_folder, path) = folder();
    let (direct, piped) = (path("direct.tiff"), path("piped.tiff"));
    let pages = [page(Pixels::Rgb8), page(Pixels::Bit)];
    write(&direct, Quality::default(), &pages);
    let out = File::create(&piped).expect("a file");
    let mut writer = PageWriter::new(FileFormat::Tiff, Quality::default(), out).expect("a writer");
    for (seed, page) in pages.iter().enumerate() {
        write_page(&mut writer, page, &pixels(page, seed));
    }
    assert_eq!(fs::metadata(&piped).expect("it is there").len(), 0, "kept until it is whole");
    writer.finish().expect("it is finished");
    assert!(fs::read(&direct).expect("a file") == fs::read(&piped).expect("a file"));
}

#[test]
fn qpdf_and_poppler_find_every_page_of_a_pdf_whole_and_of_the_right_size() {
    if !are_there("PDF", &["qpdf", "pdfinfo"]) {
        return;
    }
    let (_folder, path) = folder();
    for quality in [Quality::default(), Quality::Lossless] {
        let file = path("pages.pdf");
        let mut pages = ALL.map(page);
        pages.iter_mut().step_by(2).for_each(|page| page.height = None);
        write(&file, quality, &pages);
        let told = words(Command::new("qpdf").arg("--check").arg(&file));
        assert!(told.contains("No syntax or stream encoding errors found"), "{told}");
        let told = words(Command::new("pdfinfo").args(["-l", "-1"]).arg(&file));
        assert!(told.contains("Producer:        usbscan"), "{told}");
        // 207 pixels at 25 dpi, 585 at 50.
        assert_eq!(told.matches(" size:  596.16 x 842.4 pts (A4)").count(), pages.len(), "{told}");
    }
}

#[test]
fn qpdf_reads_every_pixel_of_a_pdf_without_loss() {
    if !are_there("lossless PDF", &["qpdf"]) {
        return;
    }
    let (_folder, path) = folder();
    let file = path("pages.pdf");
    let pages = ALL.map(page);
    write(&file, Quality::Lossless, &pages);
    for (number, page) in pages.iter().enumerate() {
        let object = format!("--show-object={}", 4 + 4 * number);
        let read = said(Command::new("qpdf").arg(object).arg("--filtered-stream-data").arg(&file));
        assert!(read == pixels(page, number), "page {number}: {page:?}");
    }
}

/// The pixels as a screen shows them: red, green and blue of 8 bits.
fn on_a_screen(page: &PageFormat, bytes: &[u8]) -> Vec<u8> {
    let high = |sample: &[u8]| sample[0];
    let samples: Vec<u8> = bytes.chunks(page.pixels.bits_per_sample() as usize / 8).map(high).collect();
    if page.pixels.channels() == 3 { samples } else { samples.iter().flat_map(|gray| [*gray; 3]).collect() }
}

/// Viewers on Linux desktops use poppler, and poppler can't undo what qpdf can: TIFF's predictor on 16 bits.
#[test]
fn poppler_sees_every_pixel_of_a_pdf_without_loss() {
    if !are_there("lossless PDF on a screen", &["pdfimages"]) {
        return;
    }
    let (_folder, path) = folder();
    let pages = [Pixels::Gray8, Pixels::Gray16, Pixels::Rgb8, Pixels::Rgb16].map(page);
    write(&path("pages.pdf"), Quality::Lossless, &pages);
    said(Command::new("pdfimages").arg(path("pages.pdf")).arg(path("seen")));
    for (number, page) in pages.iter().enumerate() {
        let seen = fs::read(path(&format!("seen-{number:03}.ppm"))).expect("a picture");
        let seen = seen.strip_prefix(format!("P6\n{WIDTH} {HEIGHT}\n255\n").as_bytes()).expect("one of its size");
        assert!(seen == on_a_screen(page, &pixels(page, number)), "{page:?}");
    }
}

#[test]
fn the_jpeg_in_a_pdf_is_the_jpeg_of_a_file_and_bits_stay_without_loss() {
    if !are_there("JPEG in PDF", &["qpdf"]) {
        return;
    }
    let (_folder, path) = folder();
    let pages = [page(Pixels::Gray8), page(Pixels::Rgb8), page(Pixels::Bit)];
    write(&path("pages.pdf"), Quality::Jpeg(60), &pages);
    let show = |number: usize, how: &str| {
        let object = format!("--show-object={}", 4 + 4 * number);
        said(Command::new("qpdf").arg(object).arg(how).arg(path("pages.pdf")))
    };
    for (number, page) in pages[..2].iter().enumerate() {
        let file = path("page.jpg");
        let mut writer = PageWriter::to_file(FileFormat::Jpeg, Quality::Jpeg(60), File::create(&file).expect("a file"))
            .expect("a writer");
        write_page(&mut writer, page, &pixels(page, number));
        writer.finish().expect("it is finished");
        assert!(show(number, "--raw-stream-data") == fs::read(&file).expect("a file"), "{page:?}");
    }
    assert!(show(2, "--filtered-stream-data") == pixels(&pages[2], 2));
}

/// Every sample a little off, on the average, from what it was; more would be another picture.
fn alike(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let differences: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    differences as f64 / one.len() as f64
}

/// Each sample near its neighbours, as in a photograph.
fn smooth(page: &PageFormat) -> Vec<u8> {
    let (line, channels) = (page.bytes_per_line(), page.pixels.channels() as usize);
    let at = |at: usize| {
        let (x, y) = ((at % line) / channels, at / line);
        [x, 255 - y / 3, (x + y) / 4][at % channels] as u8
    };
    (0..line * HEIGHT as usize).map(at).collect()
}

#[test]
fn djpeg_reads_a_jpeg_as_it_was_but_for_what_its_quality_costs() {
    if !are_there("JPEG", &["djpeg"]) {
        return;
    }
    let (_folder, path) = folder();
    for (kind, header) in [(Pixels::Gray8, "P5\n207 585\n255\n"), (Pixels::Rgb8, "P6\n207 585\n255\n")] {
        let mut lengths = Vec::new();
        for (quality, most) in [(95, 1.0), (85, 1.5), (30, 5.0)] {
            let file = path("page.jpg");
            let page = page(kind);
            let out = File::create(&file).expect("a file");
            let mut writer = PageWriter::to_file(FileFormat::Jpeg, Quality::Jpeg(quality), out).expect("a writer");
            write_page(&mut writer, &page, &smooth(&page));
            writer.finish().expect("it is finished");
            let bytes = fs::read(&file).expect("a file");
            assert_eq!(bytes[..18], *b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x02\x01\0\x19\0\x32", "25 by 50 dots an inch");
            let read = said(Command::new("djpeg").arg("-pnm").arg(&file));
            assert!(read.starts_with(header.as_bytes()), "{kind:?}");
            let off = alike(&read[header.len()..], &smooth(&page));
            assert!(off < most, "{kind:?} of quality {quality} is off by {off}");
            lengths.push(bytes.len());
        }
        assert!(lengths.is_sorted_by(|better, worse| better > worse), "{lengths:?}");
    }
}

#[test]
fn a_page_that_was_cut_short_is_filled_in_a_file_of_several() {
    if !are_there("pages that were cut short", &["qpdf", "tiffcp", "tiffinfo"]) {
        return;
    }
    let (_folder, path) = folder();
    for (format, name) in [(FileFormat::Tiff, "pages.tiff"), (FileFormat::Pdf, "pages.pdf")] {
        let file = path(name);
        let out = File::create(&file).expect("a file");
        let mut writer = PageWriter::to_file(format, Quality::Lossless, out).expect("a writer");
        let page = page(Pixels::Rgb8);
        write_page(&mut writer, &page, &pixels(&page, 0));
        writer.begin(&page).expect("it begins");
        let (came, line) = (100, page.bytes_per_line());
        let mut expected = pixels(&page, 1);
        let _ = writer.lines(&expected[..came * line]).expect("lines are taken");
        assert_eq!(writer.lines_taken(), 100);
        assert!(writer.fill().expect("it is filled"));
        // And one of which nothing came.
        writer.begin(&page).expect("it begins");
        assert!(!writer.fill().expect("nothing to fill"));
        assert_eq!(writer.pages(), 2);
        writer.finish().expect("it is finished");
        expected[came * line..].fill(0xff);
        let read = match format {
            FileFormat::Tiff => tiff_pixels(&file, 1),
            _ => said(Command::new("qpdf").args(["--show-object=8", "--filtered-stream-data"]).arg(&file)),
        };
        assert!(read == expected, "{format}");
    }
}

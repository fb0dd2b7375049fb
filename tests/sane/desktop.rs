//! A program of the desktop: Debian's unmodified simple-scan on a screen that nobody sees. Keys are pressed and the page is
//! saved as a person would; the picture in the file is compared, and what the screen showed is kept as a picture in
//! `target/test-pictures`, for people.

use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::bench::Bench;
use crate::picture::Pnm;
use crate::program::Program;
use crate::requirements::{self, SANE_UTILS, SIMPLE_SCAN, XDOTOOL, XVFB};
use crate::rig::eventually;
use crate::screen::Screen;

/// Colours that the test chart has in squares and the program's window nowhere.
const OF_THE_CHART: [[u8; 3]; 6] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255], [0, 255, 255]];
/// Pixels of each at least: its square is some 25 by 15 in a window of the program's usual size.
const SOME: usize = 100;

/// simple-scan at this screen, with settings and files of its own, and neither a desktop nor its bus around it.
fn simple_scan(bench: &Bench, screen: &Screen) -> Program {
    let home = bench.path("home");
    let settings = home.join("config/glib-2.0/settings");
    std::fs::create_dir_all(&settings).expect("a folder");
    let chosen = "[org/gnome/simple-scan]\ndocument-type='photo'\nphoto-dpi=75\n";
    std::fs::write(settings.join("keyfile"), chosen).expect("a file");
    // What it does it says on standard error.
    let mut command = bench.command("sh");
    command.args(["-c", "exec simple-scan --debug 2>&1"]).env("DISPLAY", screen.display());
    command.env("HOME", &home).env("XDG_CONFIG_HOME", home.join("config")).env("XDG_CACHE_HOME", home.join("cache"));
    command.env("GSETTINGS_BACKEND", "keyfile").env("GDK_BACKEND", "x11").env("NO_AT_BRIDGE", "1");
    command.env("LC_ALL", "C.UTF-8").env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    Program::start(&mut command)
}

/// The file's pixels, which have to be eight bits of red, green and blue.
fn read_png(path: &Path) -> Pnm {
    let file = std::io::BufReader::new(std::fs::File::open(path).expect("the saved file"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG file");
    let mut samples = vec![0; reader.output_buffer_size().expect("a page that fits")];
    let info = reader.next_frame(&mut samples).expect("the whole of it");
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    Pnm { kind: "P6".to_owned(), size: (info.width as usize, info.height as usize), most: 255, samples }
}

/// Where a picture for people is kept: in cargo's target folder.
fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-pictures");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}

#[test]
fn simple_scan_scans_shows_and_saves_a_page() {
    if !requirements::are_there("a scan with simple-scan", &[&SANE_UTILS, &SIMPLE_SCAN, &XVFB, &XDOTOOL]) {
        return;
    }
    let bench = Bench::new(&["esci"]);
    bench.done(&["--format=pnm", "--mode=Color", "--resolution=75", "-o", "expected.pnm"]);
    let screen = Screen::new();
    let program = simple_scan(&bench, &screen);
    program.wait_for_words("Device: name=\"usbscan:04b8:0151:VIRTUAL1\"", 1);
    screen.focus("Document Scanner");
    assert!(OF_THE_CHART.iter().all(|color| screen.count(*color) == 0), "nothing was scanned yet");

    screen.press("ctrl+1");
    program.wait_for_words("sane_read (", 1);
    program.wait_for_words("-> (SANE_STATUS_EOF, 0)", 1);
    eventually("the page is on the screen", || OF_THE_CHART.iter().all(|color| screen.count(*color) > SOME));
    screen.save(&kept("simple-scan.png"));

    screen.press("ctrl+s");
    screen.focus("Save As");
    screen.press("ctrl+a");
    let saved = bench.path("saved.png");
    screen.type_text(saved.to_str().expect("a path in ASCII"));
    screen.press("Return");
    program.wait_for_words("Save time:", 1);
    read_png(&saved).assert_equals(&Pnm::read(&bench.path("expected.pnm")), "what simple-scan saved");

    program.signal(Signal::TERM);
    program.end();
}

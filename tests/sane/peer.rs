//! The peer: SANE's own epson2 backend scans the same scanner, over libusb and this kernel's USB stack, without usbscan. Its
//! pictures are ours, pixel for pixel; and what a Ctrl-C costs with either when the scanner is silent.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::Bench;
use crate::picture::Pnm;
use crate::program::{DEADLINE, Program};
use crate::requirements::{self, SANE_UTILS};

/// Left, top, width, height in mm. At all resolutions below all are whole pixels, and widths multiples of 8, as epson2 makes them.
const LARGE: [f64; 4] = [25.4, 25.4, 81.28, 50.8];
const SMALL: [f64; 4] = [10.16, 5.08, 40.64, 30.48];
const TINY: [f64; 4] = [30.48, 60.96, 10.16, 5.08];
/// All there is: 637 pixels at 75 dpi, of which epson2 scans 632.
const GLASS: [f64; 4] = [0.0, 0.0, 215.9, 297.18];

/// What is scanned of what, in each mode and depth.
const AREAS: [(&str, [f64; 4]); 6] =
    [("75", LARGE), ("300", LARGE), ("100", SMALL), ("150", SMALL), ("600", TINY), ("1200", TINY)];

/// Where the lower edge lies a hair before a pixel's border, as it may in SANE's fixed point, epson2 cuts it to whole millimetres:
/// of the 240 lines of `TINY` at 1200 dpi it scans 238. So it gets a hair more: some hundred steps of SANE's fixed point, and no
/// half of a pixel (0.0106 mm at 1200 dpi).
const HAIR: f64 = 0.005;

struct Page {
    mode: &'static str,
    depth: Option<&'static str>,
    dpi: &'static str,
    area: [f64; 4],
    /// Options that both backends have, by the same name.
    more: &'static [&'static str],
}

impl Page {
    /// scanimage's arguments, with sides that are longer by `longer`, as far as there is glass.
    fn arguments(&self, longer: f64) -> Vec<String> {
        let [left, top, width, height] = self.area;
        let longer = if self.area == GLASS { 0.0 } else { longer };
        let mut all = vec!["--format=pnm".to_owned(), format!("--mode={}", self.mode)];
        all.extend(self.depth.map(|depth| format!("--depth={depth}")));
        all.push(format!("--resolution={}", self.dpi));
        for (side, length) in [("-l", left), ("-t", top), ("-x", width + longer), ("-y", height + longer)] {
            all.extend([side.to_owned(), length.to_string()]);
        }
        all.extend(self.more.iter().map(|option| (*option).to_owned()));
        all
    }
}

fn table(depths: &[Option<&'static str>]) -> Vec<Page> {
    let mut pages = Vec::new();
    for (dpi, area) in AREAS {
        pages.push(Page { mode: "Lineart", depth: None, dpi, area, more: &[] });
        for mode in ["Color", "Gray"] {
            pages.extend(depths.iter().map(|depth| Page { mode, depth: *depth, dpi, area, more: &[] }));
        }
    }
    let page = |mode, area, more| Page { mode, depth: None, dpi: "75", area, more };
    pages.push(page("Color", GLASS, &[]));
    pages.push(page("Gray", LARGE, &["--brightness=2"]));
    pages.push(page("Color", LARGE, &["--brightness=-3"]));
    pages
}

/// scanimage with epson2 and no other backend.
fn epson2(bench: &Bench) -> Command {
    let configuration = bench.path("epson2");
    std::fs::create_dir_all(&configuration).expect("a folder");
    std::fs::write(configuration.join("dll.conf"), "epson2\n").expect("a file");
    std::fs::write(configuration.join("epson2.conf"), "usb\n").expect("a file");
    let mut command = Command::new("scanimage");
    command.env("SANE_CONFIG_DIR", configuration).current_dir(bench.path("."));
    command
}

fn picture(mut command: Command, arguments: &[String]) -> Pnm {
    let page = tempfile::NamedTempFile::new().expect("a file");
    let ended = Program::start(command.args(arguments).arg("-o").arg(page.path())).end();
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    Pnm::read(page.path())
}

/// Everything with epson2 first, because the daemon keeps a scanner for some seconds when it was used.
fn assert_pictures_are_equal(scanner: &str, depths: &[Option<&'static str>]) {
    let bench = Bench::new(&[scanner]);
    let pages = table(depths);
    let theirs: Vec<Pnm> = pages.iter().map(|page| picture(epson2(&bench), &page.arguments(HAIR))).collect();
    for (page, theirs) in pages.iter().zip(theirs) {
        let mut ours = picture(bench.scanimage(&[]), &page.arguments(0.0));
        if page.area == GLASS {
            ours.cut_right(theirs.size.0 / 8 * 8);
        }
        ours.assert_equals(&theirs, &format!("{scanner}, {:?}", page.arguments(0.0)));
    }
    requirements::say(&format!("{scanner}: {} pictures of epson2 and of ours are equal", pages.len()));
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn epson2_makes_the_same_pictures_in_the_fs_dialect() {
    if requirements::are_there("epson2's pictures", &[&SANE_UTILS]) {
        assert_pictures_are_equal("esci", &[Some("8"), Some("16")]);
    }
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn epson2_makes_the_same_pictures_in_the_esc_dialect() {
    if requirements::are_there("epson2's pictures, without FS commands", &[&SANE_UTILS]) {
        // epson2 gives scanners without FS commands no choice of depth; it is 8.
        assert_pictures_are_equal("esci,dialect=esc", &[None]);
    }
}

/// How long epson2 is waited for. It waits a minute for each answer that does not come, one after the other, and is back after
/// some 175 s: `USBSCAN_PEER_PATIENCE=600 tools/test --only guest-peer -v` sees the end of it.
fn timeout() -> Duration {
    let seconds = std::env::var("USBSCAN_PEER_PATIENCE").ok();
    Duration::from_secs(seconds.map_or(25, |seconds| seconds.parse().expect("seconds")))
}

/// Reads all that comes, until nothing does for longer than anything takes.
fn read_until_silence(page: &mut ChildStdout) {
    let mut room = vec![0; 1 << 16];
    let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
    while poll(&mut [PollFd::new(&page.as_fd(), PollFlags::IN)], Some(&patience)) == Ok(1) {
        assert_ne!(page.read(&mut room).expect("a pipe reads"), 0, "the page ended, and was to fall silent");
    }
}

/// Scans until the scanner is silent, presses Ctrl-C, and says how long it took until the program was gone, if it went.
fn cancel_when_silent(mut command: Command, patience: Duration) -> Option<Duration> {
    let mut scan: Child = command
        .args(["--format=pnm", "--mode=Color", "--resolution=300"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("scanimage starts");
    let pid = Pid::from_child(&scan);
    let mut page = scan.stdout.take().expect("it was asked for");
    read_until_silence(&mut page);
    let began = Instant::now();
    kill_process(pid, Signal::INT).expect("it runs");
    let (tell, ended) = bounded(1);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut page, &mut std::io::sink());
        let _ = tell.send(scan.wait());
    });
    let ended = ended.recv_timeout(patience).is_ok().then(|| began.elapsed());
    if ended.is_none() {
        // It was not reaped, so the number is still its own.
        kill_process(pid, Signal::KILL).expect("it runs");
    }
    ended
}

/// The times are a measurement: it prints both, and judges neither.
#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn control_comes_back_from_a_silent_scanner_and_the_next_page_is_right() {
    if !requirements::are_there("Ctrl-C beside epson2", &[&SANE_UTILS]) {
        return;
    }
    let silent = "esci,fault=silence@1000000";
    let theirs = cancel_when_silent(epson2(&Bench::new(&[silent])), timeout());
    let bench = Bench::new(&[silent]);
    let page = Page { mode: "Color", depth: None, dpi: "75", area: LARGE, more: &[] };
    let before = picture(bench.scanimage(&[]), &page.arguments(0.0));
    let ours = cancel_when_silent(bench.scanimage(&[]), DEADLINE).expect("scanimage ends");
    let after = picture(bench.scanimage(&[]), &page.arguments(0.0));
    after.assert_equals(&before, "the page after the cancel");
    let theirs = theirs.map_or_else(|| format!("not within {:?}", timeout()), |time| format!("{time:.1?}"));
    requirements::say(&format!(
        "the scanner is silent: Ctrl-C to the end of scanimage: usbscan {ours:.1?}, epson2 {theirs}"
    ));
}

//! ESC/I-2 through the daemon, which picks its driver by the scanner's ids: pages from every source, and a program that is
//! killed at any message.

use rustix::process::Signal;
use usbscan_virtual::Esci2;
use usbscan_virtual::glass::{Glass, View};

use crate::page::{Page, PixelFormat};
use crate::program::Program;
use crate::proxy::{Kill, Proxy};
use crate::rig::Rig;

const AREA: [&str; 4] = ["-r", "150", "--area", "25.4,25.4,101.6,50.8"];
/// Sheets as wide as the feeder, which holds them in the middle.
const SHEET: [&str; 2] = ["--set", "page-width=297.18"];
const VIEW: View = View { dpi: (150, 150), left: 150, top: 150, width: 600, height: 300 };

fn on_side(side: u32) -> View {
    View { top: VIEW.top + Esci2::shift(side, 150), ..VIEW }
}

fn scan(rig: &Rig, arguments: &[&str]) {
    let mut all = vec!["scan"];
    all.extend(AREA);
    all.extend(arguments);
    rig.done(&all);
}

fn assert_shows(rig: &Rig, file: &str, view: View, kind: PixelFormat) {
    Page::read_png(&rig.path(file)).assert_shows(&Page::on_glass(&Glass::chart(), view, kind));
}

#[test]
fn a_page_from_the_glass_is_the_glass() {
    let rig = Rig::new("esci2");
    for (mode, kind) in
        [("color", PixelFormat::Color8), ("gray", PixelFormat::Gray8), ("lineart", PixelFormat::Lineart)]
    {
        scan(&rig, &["--mode", mode, "-o", "page.png"]);
        assert_shows(&rig, "page.png", VIEW, kind);
    }
}

#[test]
fn the_feeder_gives_all_its_sheets_one_side_or_both() {
    let rig = Rig::new("esci2,sheets=2");
    scan(&rig, &[&SHEET[..], &["--source", "adf", "--mode", "gray", "-o", "front-%d.png"]].concat());
    for page in 0..2 {
        assert_shows(&rig, &format!("front-{}.png", page + 1), on_side(page), PixelFormat::Gray8);
    }
    // One after the other: a kernel shows both scanners to both daemons.
    drop(rig);
    let rig = Rig::new("esci2,sheets=2");
    scan(&rig, &[&SHEET[..], &["--source", "adf-duplex", "--mode", "color", "-o", "side-%d.png"]].concat());
    for page in 0..4 {
        assert_shows(&rig, &format!("side-{}.png", page + 1), on_side(page), PixelFormat::Color8);
    }
}

/// Scans through a proxy that kills the program at one message, and returns how many messages it sent.
fn scan_killed(rig: &Rig, kill: Option<Kill>) -> usize {
    let proxy = Proxy::start(&rig.path("proxy"), &rig.socket(), kill);
    let mut arguments = vec!["scan", "--source", "adf-duplex", "--pages", "1", "-o", "dead.png"];
    arguments.extend(AREA);
    let scan = Program::start(&mut rig.usbscan_at(&rig.path("proxy"), &arguments));
    let sent = proxy.serve(|| scan.try_signal(Signal::KILL));
    let ended = scan.end();
    assert!(ended.code == Some(0) || kill.is_some() && ended.code.is_none(), "{kill:?}: {ended:?}");
    let _ = std::fs::remove_file(rig.path("dead.png"));
    sent.requests
}

#[test]
fn a_program_killed_at_any_message_leaves_the_scanner_usable() {
    let rig = Rig::new("esci2,sheets=1000");
    let messages = scan_killed(&rig, None);
    assert!(messages > 20, "a dialogue has many messages: {messages}");
    let step = match std::env::var("USBSCAN_SWEEP").as_deref() {
        Ok("all") => 1,
        Ok("few") => messages.div_ceil(4),
        _ => messages.div_ceil(8),
    };
    for at in (1..=messages).step_by(step) {
        for kill in [Kill::AfterRequest(at), Kill::AfterAnswer(at)] {
            scan_killed(&rig, Some(kill));
            scan(&rig, &["--mode", "color", "-o", "page.png"]);
            assert_shows(&rig, "page.png", VIEW, PixelFormat::Color8);
        }
    }
}

#[test]
fn sixteen_bits_are_in_the_file_where_the_scanner_has_them_and_eight_are_what_every_scanner_has() {
    if Rig::left_out_at_a_kernel("16 bits a sample, which are bytes like others") {
        return;
    }
    let small = ["scan", "-r", "75", "--area", "0,0,40,40", "-o", "page.png"];
    let depth_of_file = |rig: &Rig| std::fs::read(rig.path("page.png")).expect("a page")[24];
    let rig = Rig::new("esci2,depth=16");
    for mode in ["color", "gray"] {
        rig.done(&[&small[..], &["--mode", mode, "--depth", "16"]].concat());
        assert_eq!(depth_of_file(&rig), 16, "{mode}");
    }
    let rig = Rig::new("esci2");
    rig.done(&[&small[..], &["--depth", "8"]].concat());
    assert_eq!(depth_of_file(&rig), 8);
    let ended = rig.run(&[&small[..], &["--depth", "16"]].concat());
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("this scanner has 8 bits per sample, and no other depth"), "{}", ended.stderr);
}

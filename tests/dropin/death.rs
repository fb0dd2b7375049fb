//! scanimage with one of SANE's backends dies by SIGKILL at every message of its dialogue with the daemon: the next page is
//! right.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use usbscan_virtual::glass::{Glass, View};

use crate::desk::Desk;
use crate::hosted;
use crate::page::{Page, PixelFormat};
use crate::picture::Pnm;
use crate::program::Program;
use crate::requirements::{self, SANE_UTILS};

/// What is scanned, and what of the glass that is.
#[derive(Debug, Clone, Copy)]
struct Scan {
    arguments: [&'static str; 11],
    view: View,
}

const SCAN: Scan = Scan {
    arguments: [
        "--format=pnm",
        "--mode=Color",
        "--resolution=300",
        "-l",
        "25.4",
        "-t",
        "25.4",
        "-x",
        "101.6",
        "-y",
        "25.405",
    ],
    view: View { dpi: (300, 300), left: 300, top: 300, width: 1200, height: 300 },
};

/// xerox_mfp moves a window in hundredths of an inch, and ends a page at 1200/1213.9 of its height.
const SCAN_OF_XEROX: Scan = Scan {
    arguments: [
        "--format=pnm",
        "--mode=Color",
        "--resolution=300",
        "-l",
        "25.5",
        "-t",
        "25.5",
        "-x",
        "101.605",
        "-y",
        "25.405",
    ],
    view: View { dpi: (300, 300), left: 300, top: 300, width: 1200, height: 296 },
};

/// When the program is killed. Messages count from 1, from the one that opens the scanner for use on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kill {
    /// When the daemon has this one.
    AfterRequest(usize),
    /// When the daemon has answered this one, before the program hears of that.
    BeforeAnswer(usize),
}

#[derive(Debug, Default)]
struct Counts {
    requests: usize,
    answers: usize,
    victim: Option<Pid>,
}

/// Stands between programs and the daemon, on as many connections as they make, and kills a program at one message.
struct Proxy {
    listener: UnixListener,
    daemon: std::path::PathBuf,
    kill: Option<Kill>,
    /// Whose messages count.
    of: Clients,
    counts: Mutex<Counts>,
    ended: AtomicBool,
}

/// Whose messages count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clients {
    All,
    /// The host process of a backend, which then is the victim unless another is named.
    Host,
}

/// The program at the other end of a connection.
fn peer(of: &UnixStream) -> (Pid, String) {
    let pid = rustix::net::sockopt::socket_peercred(of).expect("the kernel knows").pid;
    let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    (pid, name.unwrap_or_default())
}

impl Proxy {
    fn start(path: &Path, daemon: &Path, kill: Option<Kill>, of: Clients) -> (Arc<Proxy>, JoinHandle<()>) {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).expect("a socket for the proxy");
        let (counts, ended) = (Mutex::default(), AtomicBool::new(false));
        let proxy = Arc::new(Proxy { listener, daemon: daemon.to_owned(), kill, of, counts, ended });
        let accepting = proxy.clone();
        (proxy, thread::spawn(move || accepting.accept()))
    }

    fn accept(self: Arc<Proxy>) {
        let mut threads = Vec::new();
        for client in self.listener.incoming() {
            if self.ended.load(Ordering::SeqCst) {
                break;
            }
            let client = client.expect("a connection");
            let daemon = UnixStream::connect(&self.daemon).expect("the daemon listens");
            let counts = match (self.of, peer(&client)) {
                (Clients::All, _) => true,
                (Clients::Host, (pid, name)) => {
                    let is_host = name.starts_with("usbscan-sane-ho");
                    if is_host {
                        self.counts.lock().victim.get_or_insert(pid);
                    }
                    is_host
                }
            };
            let is_scanning = Arc::new(AtomicBool::new(false));
            let ends = |from: &UnixStream, to: &UnixStream| (from.try_clone().unwrap(), to.try_clone().unwrap());
            for ((from, to), is_request) in [(ends(&client, &daemon), true), (ends(&daemon, &client), false)] {
                let (proxy, is_scanning) = (self.clone(), is_scanning.clone());
                threads.push(thread::spawn(move || proxy.pass(from, to, is_request, counts.then_some(&*is_scanning))));
            }
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a proxy does not panic"));
    }

    /// Passes one direction of a connection, unchanged. `is_scanning` is of a connection whose messages count.
    fn pass(&self, from: UnixStream, mut to: UnixStream, is_request: bool, is_scanning: Option<&AtomicBool>) {
        let mut from = BufReader::new(from);
        while let Some((bytes, header)) = message(&mut from) {
            if let Some(is_scanning) = is_scanning.filter(|_| header["command"] == "open") {
                is_scanning.store(true, Ordering::SeqCst);
            }
            let counts = is_scanning.is_some_and(|it| it.load(Ordering::SeqCst)) && header["event"].is_null();
            if counts && !is_request && self.counts_to_the_kill(false) {
                break;
            }
            if to.write_all(&bytes).is_err() || counts && is_request && self.counts_to_the_kill(true) {
                break;
            }
        }
        let _ = (to.shutdown(Shutdown::Both), from.get_ref().shutdown(Shutdown::Both));
    }

    /// Counts a message; says whether the program was killed at it.
    fn counts_to_the_kill(&self, is_request: bool) -> bool {
        let mut counts = self.counts.lock();
        let count = if is_request { &mut counts.requests } else { &mut counts.answers };
        *count += 1;
        let now = if is_request { Kill::AfterRequest(*count) } else { Kill::BeforeAnswer(*count) };
        let is_now = self.kill == Some(now);
        if is_now {
            let killed = kill_process(counts.victim.expect("it was told"), Signal::KILL);
            // A program may have left its host to itself by then.
            assert!(killed.is_ok() || self.of == Clients::Host, "it was not waited for yet");
        }
        is_now
    }

    /// Ends it, and returns how many requests were counted.
    fn end(&self, path: &Path, accepting: JoinHandle<()>) -> usize {
        self.ended.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(path));
        accepting.join().expect("the proxy does not panic");
        self.counts.lock().requests
    }
}

/// The next message, and its header.
fn message(from: &mut BufReader<UnixStream>) -> Option<(Vec<u8>, serde_json::Value)> {
    let mut bytes = Vec::new();
    from.read_until(b'\n', &mut bytes).ok().filter(|length| *length > 0)?;
    let header: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let payload = header["payload"].as_u64().unwrap_or(0);
    from.take(payload).read_to_end(&mut bytes).ok()?;
    Some((bytes, header))
}

/// Scans through a proxy that kills the program at one message, and returns how many requests there were.
fn scan_killed(desk: &Desk, scan: &Scan, kill: Option<Kill>) -> usize {
    let path = desk.path("proxy");
    let (proxy, accepting) = Proxy::start(&path, &desk.rig.socket(), kill, Clients::All);
    // So that nothing is killed before it is known what.
    let mut counts = proxy.counts.lock();
    let page = desk.path("dead.pnm");
    let output = ["-o", page.to_str().expect("text")];
    let program = Program::start(&mut desk.alone("scanimage", &[&scan.arguments[..], &output].concat(), &path));
    counts.victim = Pid::from_raw(program.pid());
    drop(counts);
    let ended = program.end();
    assert_eq!(ended.code.is_none(), kill.is_some(), "{kill:?}: {ended:?}");
    proxy.end(&path, accepting)
}

fn assert_next_page_is_right(desk: &Desk, scan: &Scan, after: &dyn std::fmt::Display) {
    let page = desk.path("page.pnm");
    let output = ["-o", page.to_str().expect("text")];
    let command = &mut desk.alone("scanimage", &[&scan.arguments[..], &output].concat(), &desk.rig.socket());
    let ended = Program::start(command).end();
    assert_eq!(ended.code, Some(0), "the scan after {after}: {}", ended.stderr);
    Pnm::read(&page).to_page().assert_shows(&Page::on_glass(&Glass::chart(), scan.view, PixelFormat::Color8));
}

/// At some 16 messages of a page, at both sides of each; at all with `USBSCAN_SWEEP=all`.
fn sweep(scanner: &str, backend: &str, scan: &Scan) {
    let desk = Desk::new(&[scanner], &[backend]);
    let messages = scan_killed(&desk, scan, None);
    assert!(messages > 20, "a dialogue has many messages: {messages}");
    let step = if std::env::var("USBSCAN_SWEEP").as_deref() == Ok("all") { 1 } else { messages.div_ceil(16) };
    let mut deaths = 0;
    for at in (1..=messages).step_by(step) {
        for kill in [Kill::AfterRequest(at), Kill::BeforeAnswer(at)] {
            scan_killed(&desk, scan, Some(kill));
            assert_next_page_is_right(&desk, scan, &format_args!("a program killed {kill:?} of {messages}, {backend}"));
            deaths += 1;
        }
    }
    requirements::say(&format!(
        "{scanner}: {backend} was killed {deaths} times in {messages} messages; each next page was right"
    ));
}

#[test]
fn epson2_killed_in_mid_page_leaves_a_scanner_whose_next_page_is_right() {
    if requirements::are_there("deaths of epson2", &[&SANE_UTILS]) {
        sweep("esci", "epson2", &SCAN);
    }
}

#[test]
fn epson2_killed_in_mid_page_leaves_a_scanner_whose_next_page_is_right_in_the_esc_dialect() {
    if requirements::are_there("deaths of epson2, without FS commands", &[&SANE_UTILS]) {
        sweep("esci,dialect=esc", "epson2", &SCAN);
    }
}

#[test]
fn epsonds_killed_in_mid_page_leaves_a_scanner_whose_next_page_is_right() {
    if requirements::are_there("deaths of epsonds", &[&SANE_UTILS]) {
        sweep("esci2,formats=raw", "epsonds", &SCAN);
    }
}

#[test]
fn xerox_mfp_killed_in_mid_page_leaves_a_scanner_whose_next_page_is_right() {
    if requirements::are_there("deaths of xerox_mfp", &[&SANE_UTILS]) {
        sweep("xerox", "xerox_mfp", &SCAN_OF_XEROX);
    }
}

/// The same page by `usbscan scan`.
const HOSTED: [&str; 6] = ["--mode", "color", "-r", "300", "--area", "25.4,25.4,101.6,25.405"];

/// Who dies of a hosted scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Host,
    /// `usbscan scan`, which leaves its host behind.
    Client,
}

fn hosted_scan_killed(desk: &Desk, kill: Option<(Victim, Kill)>) -> usize {
    let path = desk.path("proxy");
    let (proxy, accepting) = Proxy::start(&path, &desk.rig.socket(), kill.map(|kill| kill.1), Clients::Host);
    let mut counts = proxy.counts.lock();
    let page = desk.path("dead.pnm");
    let output = ["-o", page.to_str().expect("text")];
    let command = &mut hosted::scan_at(desk, &path, "sane:epson2", &[&HOSTED[..], &output].concat());
    let scan = Program::start(command);
    if kill.is_some_and(|kill| kill.0 == Victim::Client) {
        counts.victim = Pid::from_raw(scan.pid());
    }
    drop(counts);
    let ended = scan.end();
    match (kill, ended.code) {
        // It may have had its page before the host was at that message.
        (_, Some(0)) => assert_hosted_page_is_right(&page),
        (Some((Victim::Host, _)), Some(_)) => {
            assert!(ended.stderr.contains("SANE's backend epson2 crashed (SIGKILL)"), "{kill:?}: {}", ended.stderr);
        }
        (Some((Victim::Client, _)), None) => {}
        _ => panic!("{kill:?}: {ended:?}"),
    }
    let _ = std::fs::remove_file(page);
    proxy.end(&path, accepting)
}

fn assert_hosted_page_is_right(page: &Path) {
    Pnm::read(page).to_page().assert_shows(&Page::on_glass(&Glass::chart(), SCAN.view, PixelFormat::Color8));
}

#[test]
fn a_host_or_its_client_killed_in_mid_page_leaves_a_scanner_whose_next_page_is_right() {
    if !requirements::are_there("deaths of a host", &[&SANE_UTILS]) {
        return;
    }
    let desk = Desk::new(&["esci"], &["epson2"]);
    let messages = hosted_scan_killed(&desk, None);
    assert!(messages > 20, "a dialogue has many messages: {messages}");
    let step = if std::env::var("USBSCAN_SWEEP").as_deref() == Ok("all") { 1 } else { messages.div_ceil(4) };
    let mut deaths = 0;
    for at in (2..=messages).step_by(step) {
        for kill in [
            (Victim::Host, Kill::AfterRequest(at)),
            (Victim::Host, Kill::BeforeAnswer(at)),
            (Victim::Client, Kill::AfterRequest(at)),
        ] {
            hosted_scan_killed(&desk, Some(kill));
            let page = desk.path("page.pnm");
            let output = ["-o", page.to_str().expect("text")];
            let next = &mut hosted::scan(&desk, "sane:epson2", &[&HOSTED[..], &output].concat());
            let ended = Program::start(next).end();
            assert_eq!(ended.code, Some(0), "the scan after {kill:?} of {messages}: {}", ended.stderr);
            assert_hosted_page_is_right(&page);
            deaths += 1;
        }
    }
    requirements::say(&format!("a host: {deaths} deaths in {messages} messages; each next page was right"));
}

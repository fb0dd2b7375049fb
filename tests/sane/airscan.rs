//! The peers of eSCL over USB: Debian's ipp-usb and sane-airscan scan the same all-in-one, over this kernel's USB stack and
//! without usbscan. Their pictures are ours; and what a program that is killed or interrupted in mid-page costs with either.
//!
//! `USBSCAN_PEERS` is a folder into which both packages, and what they need, are unpacked; without it they are looked for where
//! they are installed. Where they are not, these tests say so and are left out: no other test needs them, and they bring a daemon
//! that takes scanners.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::picture::Pnm;
use crate::program::{Ended, Program};
use crate::requirements::{self, SANE_UTILS};
use crate::rig::{Rig, eventually};

const AREA: [&str; 4] = ["-l25.4", "-t25.4", "-x101.6", "-y50.8"];
/// Where ipp-usb says which port a device has.
const STATE: &str = "/var/ipp-usb/dev";
/// How long their scanner is waited for.
const PATIENCE: Duration = Duration::from_secs(45);

struct Peers {
    root: PathBuf,
}

/// Both packages, if they are there.
fn peers(claim: &str) -> Option<Peers> {
    let root = std::env::var_os("USBSCAN_PEERS").map_or("/".into(), PathBuf::from);
    let peers = Peers { root };
    let are_there = peers.ipp_usb().exists() && peers.backends().join("libsane-airscan.so.1").exists();
    if !are_there {
        requirements::say(&format!("LEFT OUT: {claim}: Debian's ipp-usb and sane-airscan are not installed"));
    }
    (are_there && requirements::are_there(claim, &[&SANE_UTILS])).then_some(peers)
}

impl Peers {
    fn ipp_usb(&self) -> PathBuf {
        self.root.join("sbin/ipp-usb")
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/x86_64-linux-gnu")
    }

    fn backends(&self) -> PathBuf {
        self.libraries().join("sane")
    }

    fn library_path(&self) -> OsString {
        std::env::join_paths([self.libraries(), self.backends()]).expect("no colon in it")
    }

    /// ipp-usb, with the scanner of this rig.
    fn start(&self, rig: &Rig) -> Proxied<'_> {
        let _ = std::fs::remove_dir_all(STATE);
        let up = Command::new("busybox").args(["ip", "link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|up| up.success()), "the loopback interface is up");
        let mut command = Command::new(self.ipp_usb());
        command.arg("standalone").env("LD_LIBRARY_PATH", self.library_path());
        let program = Program::start(&mut command);
        let mut port = None;
        // It has a port before it has asked the scanner what it can do.
        eventually("the scanner answers behind ipp-usb", || {
            port = port_of(Path::new(STATE)).filter(|port| answers(*port));
            port.is_some()
        });
        let configuration = rig.path("airscan");
        std::fs::create_dir_all(&configuration).expect("a folder");
        let device = format!("[devices]\n\"Peer\" = http://localhost:{}/eSCL\n", port.expect("it has"));
        let files =
            [("dll.conf", "airscan\n".to_owned()), ("airscan.conf", device + "[options]\ndiscovery = disable\n")];
        for (name, text) in files {
            std::fs::write(configuration.join(name), text).expect("a file");
        }
        Proxied { peers: self, configuration, program: Some(program) }
    }
}

/// Whether a scanner answers at a port.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("localhost", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let host = format!("Host: localhost:{port}");
        stream
            .write_all(format!("GET /eSCL/ScannerStatus HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The port of the only device.
fn port_of(folder: &Path) -> Option<u16> {
    let entry =
        std::fs::read_dir(folder).ok()?.flatten().find(|entry| entry.path().extension().is_some_and(|e| e == "state"));
    let text = std::fs::read_to_string(entry?.path()).ok()?;
    text.lines().find_map(|line| line.trim().strip_prefix("http-port")?.trim().strip_prefix('=')?.trim().parse().ok())
}

/// A scanner behind ipp-usb.
struct Proxied<'a> {
    peers: &'a Peers,
    configuration: PathBuf,
    program: Option<Program>,
}

impl Proxied<'_> {
    fn scanimage(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("scanimage");
        command.env("SANE_CONFIG_DIR", &self.configuration).env("LD_LIBRARY_PATH", self.peers.library_path());
        command
            .current_dir(&self.configuration)
            .args(["--device-name=airscan:e0:Peer", "--format=pnm"])
            .args(arguments);
        command
    }

    fn page(&self, arguments: &[&str]) -> Pnm {
        let ended = Program::start(self.scanimage(arguments).args(AREA).args(["-o", "theirs.pnm"])).end();
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        Pnm::read(&self.configuration.join("theirs.pnm"))
    }
}

impl Drop for Proxied<'_> {
    /// It lets the scanner go.
    fn drop(&mut self) {
        if let Some(program) = self.program.take() {
            program.try_signal(Signal::TERM);
            program.end();
        }
    }
}

fn our_page(rig: &Rig, arguments: &[&str]) -> Pnm {
    let all = [&["scan", "--area", "25.4,25.4,101.6,50.8", "-o", "ours.pnm"], arguments].concat();
    rig.done(&all);
    Pnm::read(&rig.path("ours.pnm"))
}

/// Two decoders may round differently.
fn assert_alike(ours: &Pnm, theirs: &Pnm, what: &str) {
    assert_eq!((ours.size, ours.most, &ours.kind), (theirs.size, theirs.most, &theirs.kind), "{what}");
    let most = ours.samples.iter().zip(&theirs.samples).map(|(one, two)| one.abs_diff(*two)).max();
    assert!(most <= Some(3), "{what}: by up to {most:?} of 255");
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn ipp_usb_with_airscan_makes_the_same_pictures_from_glass_and_feeder() {
    let Some(peers) = peers("airscan's pictures") else { return };
    let pages: [(&[&str], &[&str]); 3] = [
        (&["--mode=Color", "--resolution=300"], &["--mode", "color", "-r", "300"]),
        (&["--mode=Gray", "--resolution=150"], &["--mode", "gray", "-r", "150"]),
        (&["--source=ADF", "--mode=Color", "--resolution=150"], &["--source", "adf", "--pages", "1", "-r", "150"]),
    ];
    for (theirs, ours) in pages {
        // Each with the feeder full.
        let spec = "escl,adf=1";
        let rig = Rig::with_scanners(&[spec]);
        let theirs = peers.start(&rig).page(theirs);
        drop(rig);
        let rig = Rig::with_scanners(&[spec]);
        assert_alike(&our_page(&rig, ours), &theirs, &format!("{ours:?}"));
    }
    requirements::say("escl: 3 pictures of ipp-usb with airscan and of ours are alike");
}

/// Where ipp-usb says what it does, of itself and of each device.
const LOGS: &str = "/var/log/ipp-usb";

/// Whether it has found that it is to leave a device alone.
fn leaves_one_alone() -> bool {
    let logs = std::fs::read_dir(LOGS).into_iter().flatten().flatten();
    let texts = logs.filter_map(|log| std::fs::read_to_string(log.path()).ok());
    texts.into_iter().any(|text| text.contains("blacklisted"))
}

#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn a_scanner_that_ipp_usb_has_is_left_to_it_until_doctors_command_is_run() {
    let Some(peers) = peers("doctor's command beside ipp-usb") else { return };
    let rig = Rig::with_scanners(&["escl"]);
    let scan = ["scan", "-r", "75", "--area", "0,0,50,50", "-o", "page.png"];
    let proxied = peers.start(&rig);
    let refused = rig.run(&scan);
    assert!(refused.code.is_some_and(|code| code != 0), "ipp-usb has it");
    for words in ["in use by ipp-usb", "`sudo usbscan doctor`"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    // It finds problems, and says so by its exit code.
    let printed = rig.run(&["--json", "doctor"]).stdout;
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let fixes = report["findings"].as_array().expect("findings").iter().filter_map(|finding| finding["fix"].as_str());
    let fix = fixes.into_iter().find(|fix| fix.contains("/etc/ipp-usb/quirks")).expect("a command").to_owned();
    drop(proxied);
    // Here there is neither sudo nor a service.
    let (command, restart) = fix.rsplit_once(" && ").expect("two parts");
    assert_eq!(restart, "sudo systemctl restart ipp-usb");
    let written = Command::new("sh").arg("-c").arg(command.replace("sudo ", "")).status().expect("a shell");
    assert!(written.success(), "{command}");
    let _ = std::fs::remove_dir_all(LOGS);
    let mut ipp_usb = Command::new(peers.ipp_usb());
    let ipp_usb = Program::start(ipp_usb.arg("standalone").env("LD_LIBRARY_PATH", peers.library_path()));
    eventually("ipp-usb has looked at the scanner", leaves_one_alone);
    rig.done(&scan);
    ipp_usb.signal(Signal::TERM);
    ipp_usb.end();
    // Other tests find ipp-usb as it is installed.
    let file = command.rsplit(' ').next().expect("a file");
    std::fs::remove_file(file).expect("it was written");
}

/// Starts a page that is far larger than all buffers, to standard output, which nobody reads; ends it by a signal. How long that
/// took.
fn end_in_mid_page(mut command: Command, signal: Signal) -> Duration {
    let (scan, mut page) = Program::start_unread(&mut command);
    page.read_exact(&mut [0; 4096]).expect("the page begins");
    let began = Instant::now();
    scan.signal(signal);
    std::thread::spawn(move || std::io::copy(&mut page, &mut std::io::sink()));
    scan.end();
    began.elapsed()
}

/// The time until a page comes, if one does.
fn until_a_page(mut scan: impl FnMut() -> Ended) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if scan().code == Some(0) {
            return Some(began.elapsed());
        }
    }
    None
}

/// The times are a measurement: it prints them, and judges only that our next page is right.
#[test]
#[ignore = "needs a kernel that takes the scanner for real: tools/test --only guest-peer"]
fn control_comes_back_beside_airscan_and_the_page_after_a_kill_is_right() {
    let Some(peers) = peers("Ctrl-C and kill -9 beside airscan") else { return };
    // A page of 600 dpi takes some seconds, and the job stays until it is deleted, as that of many scanners does.
    let spec = "escl,keep-jobs=yes,slow=700k";
    let whole = ["--mode=Color", "--resolution=600"];
    let small = ["--mode=Color", "--resolution=75", "-x50", "-y50", "-o", "next.pnm"];
    for (signal, name) in [(Signal::INT, "Ctrl-C"), (Signal::KILL, "kill -9")] {
        let rig = Rig::with_scanners(&[spec]);
        let proxied = peers.start(&rig);
        let theirs = end_in_mid_page(proxied.scanimage(&whole), signal);
        let next = until_a_page(|| Program::start(&mut proxied.scanimage(&small)).end());
        let next = next.map_or_else(|| format!("none within {PATIENCE:?}"), |time| format!("{time:.1?}"));
        requirements::say(&format!("{name} in mid-page, ipp-usb with airscan: control {theirs:.2?}, next page {next}"));
        drop((proxied, rig));

        let rig = Rig::with_scanners(&[spec]);
        let scan = rig.usbscan(&["scan", "-r", "600", "--mode", "color", "--format", "pnm", "-o", "-"]);
        let ours = end_in_mid_page(scan, signal);
        let next = until_a_page(|| rig.run(&["scan", "-r", "75", "--area", "0,0,50,50", "-o", "next.png"]));
        let next = next.expect("the next page comes");
        requirements::say(&format!("{name} in mid-page, usbscan: control {ours:.2?}, next page {next:.1?}"));
    }
}

//! A daemon with a scanner, both programs of their own, and `usbscan` for it.
//!
//! Two rigs, one suite: usbscand with a virtual scanner inside (the default), or, with `USBSCAN_E2E_RIG=vhci:VSCAN`,
//! usbscand on real libusb with a scanner that VSCAN plugs into this machine's kernel. `functionfs:VSCAN` likewise.
//! `USBSCAN_E2E_DEPTH` is the daemon's `queue_depth`.
//! Programs come from `USBSCAN_PROGRAMS` if that is set, else from where cargo put this test's own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use usbscan_client::Session;
use usbscan_client::wire::EventName;

use crate::program::{DEADLINE, Ended, Program};

/// How the scanner reaches the daemon.
#[derive(Debug, Clone)]
enum Attachment {
    InProcess,
    Kernel { controller: String, vscan: PathBuf },
}

impl Attachment {
    fn chosen() -> Attachment {
        let Ok(rig) = std::env::var("USBSCAN_E2E_RIG") else { return Attachment::InProcess };
        let (controller, vscan) = rig.split_once(':').expect("USBSCAN_E2E_RIG=vhci:/path/to/vscan");
        Attachment::Kernel { controller: controller.to_owned(), vscan: vscan.into() }
    }
}

/// A folder, a daemon that listens in it, and its scanners.
pub struct Rig {
    attachment: Attachment,
    specs: Vec<String>,
    folder: TempDir,
    /// Of the daemon's configuration.
    settings: String,
    daemon: Option<Program>,
    scanners: Vec<Program>,
}

impl Rig {
    /// With a scanner of this description, ready to be used.
    pub fn new(spec: &str) -> Rig {
        Rig::with_scanners(&[spec])
    }

    pub fn with_scanners(specs: &[&str]) -> Rig {
        Rig::with_settings(specs, String::new())
    }

    /// With a daemon whose configuration says this.
    pub fn with_settings(specs: &[&str], settings: String) -> Rig {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let specs = specs.iter().map(|spec| (*spec).to_owned()).collect();
        let attachment = Attachment::chosen();
        let mut rig = Rig { attachment, specs, folder, settings, daemon: None, scanners: Vec::new() };
        rig.start_daemon();
        if let Attachment::Kernel { .. } = rig.attachment {
            rig.plug_all();
        }
        rig
    }

    /// Whether the scanner is a gadget, which can't show this; then says so.
    pub fn left_out_with_a_gadget(what: &str) -> bool {
        let gadget =
            matches!(Attachment::chosen(), Attachment::Kernel { controller, .. } if controller == "functionfs");
        if gadget {
            // Past the test harness, which keeps back what a test that passes prints.
            let _ = writeln!(std::io::stderr(), "left out, because a gadget can't show it: {what}");
        }
        gadget
    }

    /// Whether the scanner is at a kernel's virtual port.
    pub fn is_at_a_kernel() -> bool {
        matches!(Attachment::chosen(), Attachment::Kernel { .. })
    }

    /// Whether the scanner is at a kernel's virtual port, which can't show this; then says so.
    pub fn left_out_at_a_kernel(what: &str) -> bool {
        let at_a_kernel = Rig::is_at_a_kernel();
        if at_a_kernel {
            let _ = writeln!(std::io::stderr(), "left out, because the kernel's virtual port can't show it: {what}");
        }
        at_a_kernel
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    /// `usbscan` with these arguments, for this daemon.
    pub fn usbscan(&self, arguments: &[&str]) -> Command {
        self.usbscan_at(&self.socket(), arguments)
    }

    /// `usbscan` for another socket.
    pub fn usbscan_at(&self, socket: &Path, arguments: &[&str]) -> Command {
        let mut command = program("usbscan");
        command.arg("--socket").arg(socket).args(arguments).current_dir(self.folder.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        Program::start(&mut self.usbscan(arguments)).end()
    }

    /// Runs `usbscan`, which has to succeed, and gives back what it printed.
    pub fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "usbscan {}: {}", arguments.join(" "), ended.stderr);
        ended.stdout
    }

    /// The same with `--json`.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let printed = self.done(&all);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error} in {printed}"))
    }

    pub fn session(&self) -> Session {
        Session::connect(self.socket()).expect("the daemon answers")
    }

    pub fn daemon_pid(&self) -> i32 {
        self.daemon.as_ref().expect("a daemon runs").pid()
    }

    /// Sends the daemon a signal and waits for its end.
    pub fn end_daemon(&mut self, signal: Signal) -> Ended {
        let daemon = self.daemon.take().expect("a daemon runs");
        daemon.signal(signal);
        daemon.end()
    }

    /// Starts a daemon, in the place of one that ended; it finds the scanners that are there.
    pub fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "one daemon at a time");
        let ready = self.path("ready");
        let _ = std::fs::remove_file(&ready);
        let bell = UnixDatagram::bind(&ready).expect("a socket to hear of readiness");
        bell.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let mut command = program("usbscand");
        command.arg("--socket").arg(self.socket()).env("NOTIFY_SOCKET", &ready).env("RUST_LOG", "debug");
        let depth = std::env::var("USBSCAN_E2E_DEPTH").map(|depth| format!("queue_depth = {depth}\n"));
        let settings = depth.unwrap_or_default() + &self.settings;
        if !settings.is_empty() {
            let configuration = self.path("usbscand.toml");
            std::fs::write(&configuration, settings).expect("a configuration");
            command.arg("--config").arg(configuration);
        }
        // As the unit's, it outlives the daemon.
        let notes = self.path("notes");
        std::fs::create_dir_all(&notes).expect("a folder");
        command.env("RUNTIME_DIRECTORY", notes);
        if let Attachment::InProcess = self.attachment {
            // Real scanners of this machine are not to be touched.
            command.arg("--no-usb").args(self.specs.iter().map(|spec| format!("--virtual={spec}")));
        }
        self.daemon = Some(Program::start(&mut command));
        let mut message = [0; 1024];
        loop {
            let length = bell.recv(&mut message).expect("the daemon says that it is ready");
            if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") {
                return;
            }
        }
    }

    /// Takes all scanners away and plugs these in, freshly switched on.
    pub fn exchange(&mut self, spec: &str) {
        self.specs = vec![spec.to_owned()];
        match self.attachment {
            // The scanner lives in the daemon.
            Attachment::InProcess => {
                if self.daemon.is_some() {
                    self.end_daemon(Signal::TERM);
                }
                self.start_daemon();
            }
            Attachment::Kernel { .. } => {
                let removed = self.session();
                removed.subscribe(&[EventName::Removal]).expect("events");
                let there = removed.list().expect("a list").len();
                for mut scanner in self.scanners.drain(..) {
                    scanner.say("quit");
                    scanner.end();
                }
                for _ in 0..there {
                    removed.events().recv_timeout(DEADLINE).expect("the daemon sees the scanner go");
                }
                self.plug_all();
            }
        }
    }

    /// Pulls the cable of the only scanner, and returns when the daemon has seen it.
    pub fn unplug(&mut self) {
        let removals = self.session();
        removals.subscribe(&[EventName::Removal]).expect("events");
        self.cable().say("unplug");
        removals.events().recv_timeout(DEADLINE).expect("the daemon sees the scanner go");
    }

    /// Plugs it in again, once.
    pub fn replug(&mut self) {
        let arrivals = self.session();
        arrivals.subscribe(&[EventName::Arrival]).expect("events");
        self.cable().say("plug");
        arrivals.events().recv_timeout(DEADLINE).expect("the daemon sees the scanner come");
    }

    fn cable(&mut self) -> &mut Program {
        match &mut self.scanners[..] {
            [scanner] => scanner,
            others => panic!("{} scanners hang at a cable", others.len()),
        }
    }

    fn plug_all(&mut self) {
        let Attachment::Kernel { controller, vscan } = self.attachment.clone() else { return };
        let arrivals = self.session();
        arrivals.subscribe(&[EventName::Arrival]).expect("events");
        for spec in &self.specs {
            let scanner = Program::start(Command::new(&vscan).arg(&controller).arg(spec));
            scanner.wait_for_words("ready", 1);
            self.scanners.push(scanner);
        }
        while arrivals.list().expect("a list").len() < self.specs.len() {
            arrivals.events().recv_timeout(DEADLINE).expect("the daemon sees the scanner come");
        }
    }
}

/// What a failed test's reader wants to know besides; the programs say their part themselves.
impl Drop for Rig {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut text = String::new();
            for spec in &self.specs {
                let _ = writeln!(text, "---- scanner: {spec} ----");
            }
            eprintln!("{text}---- rig: {:?}, {} ----", self.attachment, self.folder.path().display());
            if let Attachment::Kernel { .. } = self.attachment {
                testkit::kernel::show();
            }
        }
    }
}

/// Looks again and again, for what no event tells; the deadline is for a hang.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "it never came true that {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// One of our programs.
pub fn program(name: &str) -> Command {
    let built = Path::new(env!("CARGO_BIN_EXE_usbscan")).parent().expect("a folder");
    let folder = std::env::var_os("USBSCAN_PROGRAMS").map_or_else(|| built.to_owned(), PathBuf::from);
    let mut command = Command::new(folder.join(name));
    command.env_remove("USBSCAN_SOCKET").env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG");
    command
}

//! What an attacker in group scanner can do to the real program: each kind of attack at once, under a memory limit, while
//! another client scans. The pages of that scan are right, the daemon's memory stays small, and so does its log.

#[path = "../e2e/page.rs"]
#[allow(dead_code)]
mod page;
#[path = "../e2e/program.rs"]
#[allow(dead_code)]
mod program;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use page::{Page, PixelFormat};
use program::Program;
use tempfile::TempDir;
use testkit::rig::Client;
use usbscan_virtual::glass::{Glass, View};
use usbscan_wire::{Command as Request, Pipe, Status, StatusBody};

/// What the daemon may hold, whatever is done to it.
const MOST_MEMORY: u64 = 64 << 20;
const MOST_LOG: u64 = 1 << 20;
/// Nobody who has an account; may scan all the same.
const GOOD_USER: u32 = 12_345;
const VIEW: View = View { dpi: (100, 100), left: 100, top: 100, width: 200, height: 100 };

/// usbscand with a scanner to scan with and one to attack, its log in a file.
struct Daemon {
    child: Child,
    folder: TempDir,
    _group: Option<ControlGroup>,
}

impl Daemon {
    fn start() -> Daemon {
        Daemon::start_as(Command::new(env!("CARGO_BIN_EXE_usbscand")), "")
    }

    /// With something more in its configuration.
    fn start_as(mut command: Command, configuration: &str) -> Daemon {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        // Another user has to get at the socket and the program.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
        fs::write(file("usbscand.toml"), format!("mode = \"0666\"\nmodels = {:?}\n{configuration}", file("quirks.d")))
            .expect("a file");
        fs::copy(env!("CARGO_BIN_EXE_usbscan"), file("usbscan")).expect("a copy");
        command.args(["--no-usb", "--virtual", "esci", "--virtual", "loopback", "--config"]).arg(file("usbscand.toml"));
        command.arg("--socket").arg(file("socket")).env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        let log = File::create(file("log")).expect("a file");
        let child = command.stdin(Stdio::null()).stderr(log).spawn().expect("usbscand starts");
        let _group = ControlGroup::of(child.id());
        let daemon = Daemon { child, folder, _group };
        eventually("it listens", || UnixStream::connect(daemon.socket()).is_ok());
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn client(&self) -> Client {
        Client::new(UnixStream::connect(self.socket()).expect("it listens"))
    }

    /// The most resident memory that it has ever had. It lives: the kernel has not ended it for more than its control group has.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("resident memory");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
    }

    fn log(&self) -> String {
        String::from_utf8(fs::read(self.folder.path().join("log")).expect("a log")).expect("it is text")
    }

    /// The command line, as this user types it, or as our own.
    fn usbscan(&self, user: Option<u32>) -> Command {
        let mut command = Command::new(self.folder.path().join("usbscan"));
        command.arg("--socket").arg(self.socket()).env_remove("USBSCAN_SOCKET").current_dir(self.folder.path());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command
    }

    /// A page, as another user of this machine scans it.
    fn page_is_right(&self, number: usize) {
        let page = self.folder.path().join(format!("page-{number}"));
        let user = if rustix::process::geteuid().is_root() { Some(GOOD_USER) } else { None };
        let mut command = self.usbscan(user);
        command.args(["scan", "usbscan0", "-r", "100", "--mode", "color", "--area", "25.4,25.4,50.8,25.4", "-o", "-"]);
        command.args(["--format", "png"]);
        let (scan, mut bytes) = Program::start_unread(&mut command);
        std::io::copy(&mut bytes, &mut File::create(&page).expect("a file")).expect("it is read");
        let ended = scan.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        Page::read_png(&page).assert_shows(&Page::on_glass(&Glass::chart(), VIEW, PixelFormat::Color8));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself: that is what the tests are about.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            eprintln!("---- the daemon's log, its end ----\n{}", &log[log.len().saturating_sub(8192)..]);
        }
    }
}

/// A control group with a limit, where this machine lets us make one (as root, with the memory controller, of either version):
/// a daemon that needs more is ended by the kernel. All counts that is kept for it: its pages, those that it shares, what waits
/// in its sockets, its log.
struct ControlGroup(PathBuf);

impl ControlGroup {
    fn of(pid: u32) -> Option<ControlGroup> {
        let places = [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];
        let made = places.into_iter().find_map(|(root, limit)| {
            let folder = PathBuf::from(format!("{root}/usbscan-hostile-{pid}"));
            // The root has no limit itself; where there is no controller, there are no files in a new group.
            fs::metadata(format!("{root}/cgroup.procs")).ok()?;
            fs::create_dir(&folder).ok()?;
            let group = ControlGroup(folder);
            let limits = |file: &str, text: String| {
                let opened = File::options().write(true).open(group.0.join(file));
                opened.and_then(|mut file| file.write_all(text.as_bytes())).is_ok()
            };
            (limits(limit, MOST_MEMORY.to_string()) && limits("cgroup.procs", pid.to_string())).then_some(group)
        });
        if made.is_none() {
            eprintln!("no control group can be made here: the daemon's resident memory is read instead");
        }
        made
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The process in it may not be quite gone; an empty group harms nobody.
        let _ = fs::remove_dir(&self.0);
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < program::DEADLINE, "it never came true that {what}");
        thread::yield_now();
    }
}

// ---- attacks

/// Shared memory whose descriptor is kept while the connection goes.
fn keep_descriptors(daemon: &Daemon) -> Vec<File> {
    let mut kept = Vec::new();
    while kept.len() < 150 {
        let mut client = daemon.client();
        // Refused while those before are not quite gone.
        if client.call(Request::ShareMemory { length: 8 << 20 }).status == Status::Success {
            kept.push(File::from(client.descriptor().expect("its descriptor comes along")));
        }
    }
    kept
}

/// Long answers that nobody reads.
fn read_nothing(daemon: &Daemon) -> Vec<Client> {
    let clients = (0..9).map(|_| {
        let mut client = daemon.client();
        for _ in 0..256 {
            client.send(Request::Status { device: None });
        }
        client
    });
    clients.collect()
}

/// Cancels that hit nothing.
fn cancel_nothing(daemon: &Daemon) {
    let mut client = daemon.client();
    client.open("usbscan1");
    for _ in 0..5_000 {
        client.call(Request::CancelRequest { request: 999, session: None });
        client.done(Request::CancelSession { session: None });
        client.done(Request::CancelPipe { pipe: Some(Pipe::All), endpoint: None, device: Some("usbscan1".to_owned()) });
    }
    for _ in 0..200 {
        client.done(Request::CancelPending { device: Some("usbscan1".to_owned()) });
    }
}

/// What is no message, from one connection after another.
fn speak_nonsense(daemon: &Daemon) {
    for round in 0..2_000 {
        let mut stream = UnixStream::connect(daemon.socket()).expect("it listens");
        let nonsense: &[u8] = match round % 3 {
            0 => b"GET / HTTP/1.1\r\n\r\n",
            1 => b"{\"id\":1,\"command\":\"open\",\"device\":\"\x1b]0;mine\x07\"}\nnonsense\n",
            _ => &[0xff; 5000],
        };
        // It may have been disconnected in the middle of that.
        let _ = stream.write_all(nonsense);
    }
}

/// All the connections that one may have, all idle.
fn take_places(daemon: &Daemon) -> Vec<UnixStream> {
    (0..100).map(|_| UnixStream::connect(daemon.socket()).expect("it listens")).collect()
}

/// All the captures that one may have, none of them read.
fn capture_without_reading(daemon: &Daemon) -> Vec<Client> {
    let clients = (0..4).map(|_| {
        let mut client = daemon.client();
        client.call(Request::Capture { device: "usbscan0".to_owned() });
        client
    });
    clients.collect()
}

#[test]
fn attacks_of_every_kind_cost_little_memory_and_log_and_spoil_nobodys_page() {
    let daemon = Daemon::start();
    daemon.page_is_right(0);
    let are_over = AtomicBool::new(false);
    let kept = thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut pages = 1;
            while !are_over.load(Ordering::Relaxed) {
                daemon.page_is_right(pages);
                pages += 1;
            }
            pages
        });
        let kept = scope.spawn(|| {
            let kept = keep_descriptors(&daemon);
            drop(capture_without_reading(&daemon));
            kept
        });
        let loud = scope.spawn(|| cancel_nothing(&daemon));
        let nonsense = scope.spawn(|| speak_nonsense(&daemon));
        let deaf = scope.spawn(|| read_nothing(&daemon));
        let deaf = deaf.join();
        let kept = kept.join();
        let others = [loud.join(), nonsense.join()];
        are_over.store(true, Ordering::Relaxed);
        let pages = good.join().expect("the pages are right");
        assert!(others.iter().all(Result::is_ok) && pages > 1);
        drop(deaf.expect("the daemon takes their requests"));
        kept.expect("the daemon shares memory with each")
    });
    eventually("the memory that nobody shares is the system's again", || {
        kept.iter().all(|file| file.metadata().expect("it is open").blocks() == 0)
    });
    let places = take_places(&daemon);
    daemon.page_is_right(1000);
    drop(places);
    let memory = daemon.memory();
    assert!(memory < MOST_MEMORY, "{} MiB", memory >> 20);
    let log = daemon.log();
    assert!((log.len() as u64) < MOST_LOG, "{} bytes of log", log.len());
    assert!(!log.contains('\u{1b}') && !log.contains('\u{7}'), "nothing in it is for terminals");
}

#[test]
fn a_programs_name_cannot_forge_lines_of_the_log_or_of_status() {
    let daemon = Daemon::start();
    let comm = format!("/proc/{}/comm", std::process::id());
    let before = fs::read(&comm).expect("a name");
    fs::write(&comm, "a\nERR\x1b[2Jroot").expect("it is ours");
    let mut client = daemon.client();
    client.open("usbscan1");
    client.done(Request::Lock { wait: false, if_unused: false });
    let mut other = daemon.client();
    other.open("usbscan1");
    let refused = other.call(Request::Lock { wait: false, if_unused: false }).message.expect("a reason");
    other.done(Request::CancelPending { device: Some("usbscan1".to_owned()) });
    let status: StatusBody = other.done(Request::Status { device: None }).body().expect("a status");
    fs::write(&comm, before.trim_ascii_end()).expect("it is ours");
    let names = status.devices.iter().flat_map(|device| &device.sessions).map(|session| session.peer.program.clone());
    for text in names.chain([refused]) {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    assert!(daemon.log().lines().all(|line| !line.starts_with("ERR") && !line.contains('\u{1b}')));
}

/// A daemon in namespaces of its own, as in a container whose socket is mounted elsewhere; `None` where that may not be.
fn in_namespaces(which: &[&str]) -> Option<Daemon> {
    let may = Command::new("unshare").args(which).args(["--fork", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("left out: unshare {} is not allowed here", which.join(" "));
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(which).args(["--fork", "--kill-child", env!("CARGO_BIN_EXE_usbscand")]);
    Some(Daemon::start_as(command, ""))
}

fn own_session(daemon: &Daemon) -> usbscan_wire::Peer {
    let mut client = daemon.client();
    client.open("usbscan1");
    let status: StatusBody = client.done(Request::Status { device: None }).body().expect("a status");
    let own = status.devices.into_iter().flat_map(|device| device.sessions).next();
    own.expect("it has it open").peer
}

#[test]
fn a_client_of_another_pid_namespace_has_no_pid_and_the_user_that_it_has() {
    let Some(daemon) = in_namespaces(&["--pid"]) else { return };
    let peer = own_session(&daemon);
    assert_eq!((peer.pid, peer.uid, &*peer.program), (None, Some(rustix::process::geteuid().as_raw()), ""));
}

#[test]
fn a_client_that_a_user_namespace_has_no_number_for_is_unknown_and_not_root() {
    let Some(daemon) = in_namespaces(&["--user", "--pid"]) else { return };
    let peer = own_session(&daemon);
    assert_eq!((peer.pid, peer.uid), (None, None));
}

#[test]
fn with_same_user_another_user_cancels_nothing_and_root_does() {
    if !rustix::process::geteuid().is_root() {
        println!("left out: only root becomes other users");
        return;
    }
    let daemon = Daemon::start_as(Command::new(env!("CARGO_BIN_EXE_usbscand")), "cancel = \"same-user\"\n");
    let mut scan = daemon.usbscan(Some(GOOD_USER));
    scan.args(["scan", "usbscan0", "-r", "600", "--mode", "color", "-o", "-", "--format", "pnm"]);
    // Nobody reads the page, so it stays in the middle of it.
    let (scan, mut page) = Program::start_unread(&mut scan);
    let mut looking = daemon.client();
    eventually("it scans", || {
        let status: StatusBody = looking.done(Request::Status { device: None }).body().expect("a status");
        status.devices.iter().flat_map(|device| &device.sessions).any(|session| session.locked)
    });
    let cancel = |user| Program::start(daemon.usbscan(user).args(["cancel", "usbscan0"])).end();
    let refused = cancel(Some(GOOD_USER + 1));
    assert!(refused.code != Some(0), "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("only that user and root may cancel it here"), "{}", refused.stderr);
    let reset = Program::start(daemon.usbscan(Some(GOOD_USER + 1)).args(["reset", "usbscan0", "--device"])).end();
    assert!(reset.stderr.contains("only that user and root may cancel it here"), "{}", reset.stderr);
    let allowed = cancel(None);
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    std::io::copy(&mut page, &mut std::io::sink()).expect("it is read");
    assert_eq!(scan.end().code, Some(6), "the scan is cancelled");
    daemon.page_is_right(0);
}

//! The program usbscand: its socket, its signals, its command line.

use std::io::{BufRead, BufReader, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use usbscan_wire::Status;

use testkit::rig::{Client, DEADLINE};

fn usbscand() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usbscand"));
    command.env_remove("RUST_LOG").stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A daemon with a loopback device, that listens.
struct Daemon {
    child: Child,
    log: BufReader<ChildStderr>,
    socket: PathBuf,
    folder: TempDir,
}

impl Daemon {
    fn start() -> Daemon {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("usbscand.toml");
        std::fs::write(&config, format!("models = {:?}\n", folder.path().join("quirks.d"))).expect("a file");
        Daemon::start_in(folder)
    }

    fn start_in(folder: TempDir) -> Daemon {
        let socket = folder.path().join("socket");
        let mut command = usbscand();
        command.args(["--no-usb", "--virtual", "loopback", "-v", "--socket"]).arg(&socket);
        command.arg("--config").arg(folder.path().join("usbscand.toml"));
        let mut child = command.spawn().expect("usbscand starts");
        let log = BufReader::new(child.stderr.take().expect("its log"));
        let mut daemon = Daemon { child, log, socket, folder };
        daemon.until("listening on");
        daemon
    }

    /// Reads the log up to a line with this in it.
    fn until(&mut self, part: &str) -> String {
        let mut log = String::new();
        loop {
            let from = log.len();
            assert_ne!(self.log.read_line(&mut log).expect("a log"), 0, "it ended without {part:?}:\n{log}");
            if log[from..].contains(part) {
                return log;
            }
        }
    }

    /// Reads all that it logs from now on, so that it need not wait for that.
    fn let_it_log(&self) {
        let log = self.log.get_ref().as_fd().try_clone_to_owned().expect("a descriptor");
        // Until the daemon ends.
        std::thread::spawn(move || drop(std::io::copy(&mut std::fs::File::from(log), &mut std::io::sink())));
    }

    fn client(&self) -> Client {
        Client::new(UnixStream::connect(&self.socket).expect("it listens"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    fn ended(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already, or a test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_configuration_is_checked_though_nobody_can_be_told_that_it_is_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("usbscand.toml");
    std::fs::write(&config, format!("models = {:?}\n", folder.path().join("quirks.d"))).expect("a file");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has one");
    let output = usbscand().arg("--check-config").arg("--config").arg(&config).stdout(full).output();
    let output = output.expect("usbscand starts");
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
}

#[test]
fn sigterm_and_sigint_answer_what_is_pending_let_go_and_end_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = Daemon::start();
        let mut client = daemon.client();
        client.open("usbscan0");
        let read = client.read(512);
        client.until_pending(&[(read, "in-flight")]);
        daemon.signal(signal);
        assert_eq!(client.answer(read).status, Status::Cancelled);
        assert!(client.hear_the_end().is_empty());
        let log = daemon.until("] exited");
        assert!(log.contains("usbscan0 is released"), "{log}");
        assert!(daemon.ended().success());
        assert!(!daemon.socket.exists(), "its socket is gone");
    }
}

#[test]
fn a_daemon_that_was_killed_leaves_a_socket_that_the_next_one_replaces() {
    let mut daemon = Daemon::start();
    let mut client = daemon.client();
    client.open("usbscan0");
    let read = client.read(512);
    client.until_pending(&[(read, "in-flight")]);
    daemon.signal(Signal::KILL);
    daemon.ended();
    assert!(client.hear_the_end().is_empty(), "the client finds the end at once");
    assert!(daemon.socket.exists());
    let folder = std::mem::replace(&mut daemon.folder, tempfile::tempdir().expect("a folder"));
    let next = Daemon::start_in(folder);
    next.client().open("usbscan0");
}

#[test]
fn a_second_daemon_on_the_same_socket_says_so_and_disturbs_nobody() {
    let daemon = Daemon::start();
    let second = usbscand().args(["--no-usb", "--socket"]).arg(&daemon.socket).output().expect("usbscand runs");
    assert!(!second.status.success());
    let log = String::from_utf8_lossy(&second.stderr);
    assert!(log.contains("another usbscand listens there"), "{log}");
    daemon.client().open("usbscan0");
}

#[test]
fn sighup_reads_the_configuration_again_and_a_bad_one_changes_nothing() {
    let mut daemon = Daemon::start();
    let config = daemon.folder.path().join("usbscand.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{good}[limits]\nconnections = 1\n")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.until("configuration reloaded");
    // The last two are of the reserve.
    let clients = [daemon.client(), daemon.client(), daemon.client()];
    let mut refused = BufReader::new(UnixStream::connect(&daemon.socket).unwrap());
    let mut line = String::new();
    refused.read_line(&mut line).unwrap();
    assert!(line.contains("insufficient-resources"), "{line}");
    std::fs::write(&config, "nonsense = 1\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.until("configuration not reloaded");
    daemon.until("nonsense");
    drop(clients);
}

/// What the daemon holds: descriptors, threads, resident bytes.
fn held(daemon: &Daemon) -> (usize, usize, u64) {
    let of = format!("/proc/{}", daemon.child.id());
    let count = |what| std::fs::read_dir(format!("{of}/{what}")).expect("it lives").count();
    let status = std::fs::read_to_string(format!("{of}/status")).expect("it lives");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    (count("fd"), count("task"), memory.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10)
}

/// Waits until it holds no more descriptors and threads than before; what it frees it frees in its own time. Its memory then.
fn holds_again(daemon: &Daemon, before: (usize, usize, u64)) -> u64 {
    let hung = Instant::now() + DEADLINE;
    while held(daemon).0 > before.0 || held(daemon).1 > before.1 {
        assert!(Instant::now() < hung, "{:?} where there were {before:?}", held(daemon));
        std::thread::yield_now();
    }
    held(daemon).2
}

#[test]
fn descriptors_that_a_client_sends_along_are_not_kept() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.done(usbscan_wire::Command::List { device: None, descriptors: false });
    let before = held(&daemon);
    let files: Vec<_> = (0..64).map(|_| std::fs::File::open("/dev/null").expect("it is always there")).collect();
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let message = b"{\"id\":7,\"command\":\"list\"}\n";
    for _ in 0..50 {
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut along = SendAncillaryBuffer::new(&mut room);
        assert!(along.push(SendAncillaryMessage::ScmRights(&files)));
        // With the first byte of a header, and with one in the middle of it.
        for part in message.chunks(20) {
            let sent = sendmsg(client.stream(), &[IoSlice::new(part)], &mut along, SendFlags::empty());
            assert_eq!(sent.expect("it is taken"), part.len());
        }
        assert_eq!(client.answer(7).status, Status::Success);
    }
    holds_again(&daemon, before);
}

#[test]
fn tens_of_thousands_of_connections_one_after_the_other_leave_nothing_behind() {
    let daemon = Daemon::start();
    daemon.let_it_log();
    let mut good = daemon.client();
    good.open("usbscan0");
    let come_and_go = |times| {
        for _ in 0..times {
            drop(UnixStream::connect(&daemon.socket).expect("it listens"));
        }
    };
    let before = held(&daemon);
    // Pools and caches have what they need then.
    come_and_go(1000);
    let settled = holds_again(&daemon, before);
    come_and_go(20_000);
    good.write_all(b"still there");
    assert_eq!(good.read_all(512), b"still there");
    let grown = holds_again(&daemon, before).saturating_sub(settled);
    assert!(grown < 16 << 20, "{grown} bytes for clients that are gone");
}

/// How often each of its threads has gone to sleep.
fn times_asleep(pid: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").flatten();
    let mut threads: Vec<_> = tasks
        .map(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let times = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap_or_default();
            (task.file_name().to_string_lossy().into_owned(), times.to_owned())
        })
        .collect();
    threads.sort();
    threads
}

#[test]
fn a_daemon_with_a_read_and_a_listener_pending_sleeps_while_nothing_happens() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    client.open("usbscan0");
    let read = client.read(512);
    let event = client.send(usbscan_wire::Command::WaitEvent { endpoint: None, timeout: None });
    client.until_pending(&[(read, "in-flight"), (event, "in-flight")]);
    // A thread that polls never comes to rest, however often one looks.
    let at_rest = || {
        let before = times_asleep(daemon.child.id());
        std::thread::sleep(std::time::Duration::from_millis(500));
        times_asleep(daemon.child.id()) == before
    };
    assert!((0..20).any(|_| at_rest()), "{:?}", times_asleep(daemon.child.id()));
}

#[test]
fn a_machine_without_usb_has_an_empty_list_and_one_line_in_the_log() {
    if Path::new("/dev/bus/usb").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut child = usbscand().arg("--socket").arg(&socket).spawn().unwrap();
    let mut log = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while !log.contains("listening on") {
        assert_ne!(lines.read_line(&mut log).unwrap(), 0, "{log}");
    }
    let mut client = Client::new(UnixStream::connect(&socket).unwrap());
    assert_eq!(client.done(usbscan_wire::Command::List { device: None, descriptors: false }).information, 0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(log.lines().filter(|line| line.contains("no USB")).count(), 1, "{log}");
}

#[test]
fn help_shows_the_virtual_scanners_and_an_unknown_one_is_answered_with_those_there_are() {
    let help = usbscand().arg("--help").output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout);
    assert!(help.contains("loopback") && help.contains("--virtual"), "{help}");
    let folder = tempfile::tempdir().unwrap();
    let unknown = usbscand().args(["--virtual", "copier", "--socket"]).arg(folder.path().join("s")).output().unwrap();
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: "));
}

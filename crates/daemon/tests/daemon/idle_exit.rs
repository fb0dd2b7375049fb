//! A daemon that ends while somebody connects: because nobody used it, behind a socket that outlives it, where the test does
//! what systemd does; and because it was told to.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use usbscan_daemon::{Config, IdleExit, Running};
use usbscan_wire::Command;

use testkit::rig::{Client, DEADLINE};

struct Daemon {
    running: Running,
    watch: IdleExit,
    unused: Receiver<()>,
}

impl Daemon {
    /// Nobody's use of it is over after so long.
    fn start(listener: &UnixListener, after: Duration) -> Daemon {
        let running = Running::start(Config::default(), Vec::new()).expect("the daemon starts");
        running.listen(listener.try_clone().expect("a descriptor")).expect("it listens");
        let (call, unused) = bounded(1);
        let watch = running.when_unused(after, move || call.send(()).expect("it is waited for")).expect("a thread");
        Daemon { running, watch, unused }
    }

    /// Waits until it finds that nobody uses it; ends it then.
    fn live(self) {
        self.unused.recv_timeout(DEADLINE).expect("nobody stays");
        drop(self.watch);
        assert!(self.running.stop(DEADLINE), "it ends in time");
    }
}

/// Connects, asks one thing, leaves.
fn is_served(socket: &Path) {
    let mut client = Client::new(UnixStream::connect(socket).expect("the socket is always there"));
    client.done(Command::List { device: None, descriptors: false });
}

#[test]
fn whoever_connects_while_an_unused_daemon_ends_is_served_by_it_or_by_the_next() {
    const ROUNDS: u64 = 400;
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).expect("a socket");
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for round in 0..ROUNDS {
            // It takes about so long until a client is there: some come before the end, some after it, some with it.
            let daemon = Daemon::start(&listener, Duration::from_micros(round % 40 * 10));
            clients.push(scope.spawn(|| is_served(&socket)));
            daemon.live();
        }
        while clients.iter().any(|client| !client.is_finished()) {
            Daemon::start(&listener, Duration::from_millis(10)).live();
        }
    });
}

#[test]
fn a_daemon_that_is_told_to_end_waits_for_nobody_who_connected_just_then() {
    for _ in 0..100 {
        let daemon = Running::start(Config::default(), Vec::new()).expect("the daemon starts");
        // They say nothing and stay; whether their sessions have begun when the end comes is anybody's guess.
        let clients: Vec<_> = (0..8).map(|_| daemon.connect().expect("a connection")).collect();
        let (tell, ended) = bounded(1);
        // Half of the time that it is given would be for clients that do not go.
        let stop = std::thread::spawn(move || tell.send(daemon.stop(10 * DEADLINE)));
        assert_eq!(ended.recv_timeout(DEADLINE), Ok(true), "it waits for a client that was never told");
        stop.join().expect("no panic").expect("it is heard");
        drop(clients);
    }
}

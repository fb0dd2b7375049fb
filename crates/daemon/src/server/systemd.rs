//! What usbscand and systemd say to each other: the socket that systemd made, readiness, signs of life, and log lines
//! that carry their priority. Without systemd each of these is a no-op. The only thread here is the watchdog's.

use std::io;
use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use listenfd::ListenFd;
use log::{Level, warn};
use sd_notify::NotifyState;

/// The folder that `RuntimeDirectory=` of the unit has made, the first of them; it is preserved when the daemon ends.
pub fn runtime_directory() -> Option<std::path::PathBuf> {
    let folders = std::env::var_os("RUNTIME_DIRECTORY")?;
    std::env::split_paths(&folders).next().filter(|folder| folder.is_absolute())
}

/// The socket that systemd made, with its final rights, and passed on. Call once, before any thread starts.
///
/// # Errors
/// When what was passed is no Unix stream socket that listens.
pub fn inherited_socket() -> io::Result<Option<UnixListener>> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Ok(None);
    }
    passed.take_unix_listener(0)
}

/// Clients may connect, and the scanners that were there at the start are known.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A new sentence for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] ends that.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!("read the clock for systemd: {error}"),
    }
}

/// The end has begun.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// A full socket or a systemd that went away must not end the daemon.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("tell systemd: {error}");
    }
}

/// Whether standard error is the journal, which takes a priority from the beginning of each line.
pub fn stderr_is_the_journal() -> bool {
    let Some(expected) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let Ok(found) = rustix::fs::fstat(rustix::stdio::stderr()) else { return false };
    expected.to_str() == Some(&format!("{}:{}", found.st_dev, found.st_ino))
}

/// A message for the journal: each line of it with its priority, as sd-daemon(3) wants it.
pub fn with_priority(level: Level, message: &str) -> String {
    let priority = match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    };
    let lines = message.lines().map(|line| format!("{priority}{line}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Tells systemd that the daemon is alive, as long as `alive` says so. Dropping it ends that.
///
/// Its thread `watchdog` wakes twice in each of systemd's intervals (15 s as shipped); it is the one thread of an idle
/// daemon that wakes at all, and only under a systemd that asks for it.
#[derive(Debug)]
pub struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts it if systemd wants signs of life. `alive` may take a moment, but not for ever: it runs on the thread.
    pub fn start(alive: impl Fn() -> bool + Send + 'static) -> Option<Watchdog> {
        let interval = sd_notify::watchdog_enabled()?;
        let (stop, stopped) = bounded(0);
        let feed = move || {
            while stopped.recv_timeout(interval / 2) == Err(RecvTimeoutError::Timeout) {
                match alive() {
                    true => tell(&[NotifyState::Watchdog]),
                    false => warn!("no sign of life from the registry: systemd will end this daemon in {interval:?}"),
                }
            }
        };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(feed);
        match thread {
            Ok(thread) => Some(Watchdog { stop: Some(stop), thread: Some(thread) }),
            Err(error) => {
                warn!("start the watchdog thread: {error}");
                None
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How long the registry may take to give a sign of life.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_systemd_nothing_is_passed_and_nobody_listens() {
        assert!(inherited_socket().unwrap().is_none());
        ready("scanners: 0");
        stopping("stopped");
        assert!(Watchdog::start(|| true).is_none());
    }

    #[test]
    fn every_line_of_a_message_has_its_priority() {
        assert_eq!(with_priority(Level::Error, "bad\n  |\n1 | x"), "<3>bad\n<3>  |\n<3>1 | x");
        assert_eq!(with_priority(Level::Info, "fine"), "<6>fine");
    }
}

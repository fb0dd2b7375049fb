//! Cancels what a program and its children have pending at the daemon, when they were to end and a blocked call keeps them.
//!
//! A Ctrl-C in scanimage sets a flag that the blocked call does not see. So that call is made to fail, and then those that
//! the backend makes to bring the scanner home, unless bytes move. Some backends try again and again, or sleep between two
//! attempts: with a silent scanner they get the signal once more, as a person would press the key again. Programs of SANE's
//! end at once then, and the daemon brings the scanner back to idle.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rustix::process::{Pid, Signal, kill_process};
use usbscan_client::Session;
use usbscan_client::wire::{DeviceStatus, PendingRequest};

/// A program that ends by itself gets so long to do it; so does each request to a scanner that is not known to be silent.
const GRACE: Duration = Duration::from_millis(300);
/// Between two looks afterwards.
const ROUND: Duration = Duration::from_millis(50);
/// A request of which nothing comes for so long, behind one that was as silent before, is to a silent scanner.
const SILENCE: Duration = Duration::from_millis(50);
/// What was pending for so long with nothing moved was silent.
const SILENT: Duration = Duration::from_secs(1);
/// Who is not back from a silent scanner by then gets the signal once more.
const INSISTENCE: Duration = Duration::from_secs(1);
/// From parent to parent, at most so far.
const GENERATIONS: usize = 100;

/// After each of these signals, which were to end the program, cancels until the sessions that were there then have ended.
pub fn cancel_after(interrupts: &Receiver<Signal>, socket: &Path) {
    while let Ok(signal) = interrupts.recv() {
        let began = Instant::now();
        while interrupts.recv_deadline(began + GRACE).is_ok() {}
        if let Err(error) = cancel_until_ended(signal, interrupts, socket) {
            // The daemon is gone, so nothing is pending there.
            log::info!("nothing is cancelled: {error}");
        }
    }
}

fn cancel_until_ended(
    signal: Signal,
    interrupts: &Receiver<Signal>,
    socket: &Path,
) -> Result<(), usbscan_client::Error> {
    let began = Instant::now();
    let daemon = Session::connect(socket)?;
    let devices = daemon.status(None)?;
    let mut targets = sessions(&devices, is_below_this_process);
    let mut pending = with_pending(&devices, &targets, |_| true);
    let is_silent =
        !with_pending(&devices, &targets, |request| request.actual == 0 && is_older(request, SILENT)).is_empty();
    let patience = if is_silent { SILENCE } else { GRACE };
    let mut insistence = Insistence { was_silent: is_silent, is_over: false };
    loop {
        for session in pending {
            log::info!("cancels what session {session} has pending");
            match daemon.cancel_session(Some(session)) {
                // It has ended meanwhile.
                Err(error) if error.status().is_some() => {}
                cancelled => cancelled?,
            }
        }
        if targets.is_empty() {
            return Ok(());
        }
        let again = interrupts.recv_timeout(ROUND);
        let devices = daemon.status(None)?;
        let now = sessions(&devices, is_below_this_process);
        match again {
            // Whoever gets it by hand needs none of ours.
            Ok(_) => {
                targets.extend(&now);
                insistence.is_over = true;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        targets.retain(|session| now.contains(session));
        pending = with_pending(&devices, &targets, |request| request.actual == 0 && is_older(request, patience));
        let moves = !with_pending(&devices, &targets, |request| request.actual > 0).is_empty();
        if insistence.is_due(began.elapsed(), moves, !pending.is_empty()) {
            for pid in processes(&devices, &targets).into_iter().filter(|pid| is_below_this_process(*pid)) {
                log::info!("the scanner is silent, and process {pid} is not back: sends it signal {}", signal.as_raw());
                // It may have ended just now.
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, signal));
            }
        }
    }
}

/// Whether those that have not ended get the signal once more.
#[derive(Debug)]
struct Insistence {
    /// The scanner was silent before, or to a request since.
    was_silent: bool,
    /// It was due, or never will be.
    is_over: bool,
}

impl Insistence {
    /// So long after the signal, with bytes moving now or not, and requests to which nothing came or none. Once at most.
    fn is_due(&mut self, since: Duration, moves: bool, is_silent: bool) -> bool {
        self.was_silent |= is_silent;
        // A scanner that sends is brought home by its backend, however long that takes.
        self.is_over |= moves;
        let due = !self.is_over && self.was_silent && since >= INSISTENCE;
        self.is_over |= due;
        due
    }
}

fn is_older(request: &PendingRequest, than: Duration) -> bool {
    u128::from(request.age_ms) >= than.as_millis()
}

/// The sessions of processes for which `is_ours` says so.
fn sessions(devices: &[DeviceStatus], is_ours: impl Fn(i32) -> bool) -> BTreeSet<u64> {
    let all = devices.iter().flat_map(|device| &device.sessions);
    all.filter(|session| session.peer.pid.is_some_and(&is_ours)).map(|session| session.peer.session).collect()
}

/// The processes of these sessions.
fn processes(devices: &[DeviceStatus], of: &BTreeSet<u64>) -> BTreeSet<i32> {
    let all = devices.iter().flat_map(|device| &device.sessions);
    all.filter(|session| of.contains(&session.peer.session)).filter_map(|session| session.peer.pid).collect()
}

/// Those of `sessions` with a request for which `counts` says so.
fn with_pending(
    devices: &[DeviceStatus],
    sessions: &BTreeSet<u64>,
    counts: impl Fn(&PendingRequest) -> bool,
) -> BTreeSet<u64> {
    let pipes = devices.iter().flat_map(|device| &device.pipes);
    let requests = pipes.flat_map(|pipe| &pipe.pending).filter(|request| counts(request));
    requests.map(|request| request.session).filter(|session| sessions.contains(session)).collect()
}

/// Whether a process is a child of this one, or a child's, and so on.
fn is_below_this_process(pid: i32) -> bool {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let parents = std::iter::successors(Some(pid), |pid| parent(*pid)).take(GENERATIONS);
    parents.skip(1).any(|parent| parent == own)
}

fn parent(pid: i32) -> Option<i32> {
    parent_in(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fourth field; the second is a name in parentheses, in which anything may be.
fn parent_in(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok().filter(|parent| *parent > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_child_is_known_and_a_stranger_is_not() {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "read word"]).stdin(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        assert!(is_below_this_process(i32::try_from(child.id()).unwrap()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_below_this_process(1));
        assert!(!is_below_this_process(rustix::process::getpid().as_raw_nonzero().get()));
    }

    #[test]
    fn a_driver_that_is_not_back_from_a_silent_scanner_gets_the_signal_once_more_and_no_other_does() {
        let begun = |was_silent| Insistence { was_silent, is_over: false };
        let (soon, late) = (Duration::from_millis(500), Duration::from_secs(5));
        let mut silent = begun(true);
        assert!(!silent.is_due(soon, false, false));
        assert!(silent.is_due(late, false, false));
        assert!(!silent.is_due(late, false, true), "once");
        let mut silent_later = begun(false);
        assert!(!silent_later.is_due(late, false, false), "it answers");
        assert!(silent_later.is_due(late, false, true));
        let mut moves = begun(true);
        assert!(!moves.is_due(soon, true, false));
        assert!(!moves.is_due(late, false, true), "it has answered since");
    }

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(parent_in("42 (a) 7 (b) S 17 42 42 0"), Some(17));
        assert_eq!(parent_in("42 (init) S 0 1 1"), None);
        assert_eq!(parent_in("nonsense"), None);
    }
}

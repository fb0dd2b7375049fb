//! One action as a process: started as the user it names, in a process group of its own, ended when its time is up. A
//! thread `action PID` waits for it.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::schedule::Job;
use crate::table::printable;
use usbscan_daemon::action::Action;

/// Between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);
/// systemd keeps the time of what it runs for us; it may take so much longer to start and to end it.
const SYSTEMDS: Duration = Duration::from_secs(60);

/// How an action becomes its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// This process is that user.
    Directly,
    /// This process is root, and has systemd run it: as a unit of its own, with all that user's groups, in a cgroup
    /// that is emptied at the end.
    Systemd,
}

/// An action that runs.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    thread: JoinHandle<()>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// What ran.
    pub job: Job,
    /// In words.
    pub how: String,
}

impl Running {
    /// Starts it; `ended` hears of its end.
    ///
    /// # Errors
    /// When the program can't be started, or the system has no thread left.
    pub fn start(action: &Action, job: Job, way: Way, number: u64, ended: Sender<Ended>) -> io::Result<Running> {
        let mut command = command(action, &job, way, number);
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        let limit = match way {
            Way::Directly => action.limit,
            Way::Systemd => action.limit + SYSTEMDS,
        };
        let wait = move || {
            let how = match wait(child, limit) {
                Ok(how) => how,
                Err(error) => format!("could not be waited for: {error}"),
            };
            // Whoever started it may have ended.
            let _ = ended.send(Ended { job, how });
        };
        let thread = std::thread::Builder::new().name(format!("action {pid}")).spawn(wait)?;
        Ok(Running { pid, thread })
    }

    /// Whether its thread has nothing left to do.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Sends it a signal, and whatever it started in its group.
    pub fn signal(&self, signal: Signal) {
        if !self.is_over() {
            end_group(self.pid, signal);
        }
    }

    /// Waits for its end.
    pub fn join(self) {
        if self.thread.join().is_err() {
            log::error!("the thread of an action panicked");
        }
    }
}

fn end_group(pid: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(pid, signal) {
        log::debug!("end process group {pid}: {error}");
    }
}

fn command(action: &Action, job: &Job, way: Way, number: u64) -> Command {
    let words = environment(job);
    let (program, arguments) = action.command.split_first().expect("a command has a program");
    match way {
        Way::Directly => {
            let mut command = Command::new(program);
            command.args(arguments).envs(words);
            command
        }
        Way::Systemd => {
            let mut command = Command::new("systemd-run");
            command.args(["--quiet", "--wait", "--collect", "--service-type=exec"]);
            command.arg(format!("--unit=usbscan-action-{}-{number}", std::process::id()));
            command.arg(format!("--description=usbscan action for a {}", job.occasion.event.as_str()));
            command.arg(format!("--uid={}", action.user));
            command.arg(format!("--property=RuntimeMaxSec={}", action.limit.as_secs()));
            command.args(words.iter().map(|(name, value)| format!("--setenv={name}={value}")));
            // systemd would put variables in; a doubled sign stands for itself.
            command.arg("--").arg(program).args(arguments.iter().map(|word| word.replace('$', "$$")));
            command
        }
    }
}

/// What the scanner names itself may be anything, so only what can be printed is passed on.
fn environment(job: &Job) -> [(&'static str, String); 4] {
    let occasion = &job.occasion;
    [
        ("USBSCAN_SCANNER", printable(&occasion.stable_id)),
        ("USBSCAN_NAME", printable(&occasion.name)),
        ("USBSCAN_EVENT", occasion.event.as_str().to_owned()),
        ("USBSCAN_BUTTON", printable(&occasion.button)),
    ]
}

fn wait(mut child: Child, limit: Duration) -> io::Result<String> {
    let pid = Pid::from_child(&child);
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let ends_within = |patience: Duration| -> io::Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut asked = [PollFd::new(&process, PollFlags::IN)];
            match poll(&mut asked, Some(&Timespec::try_from(left).unwrap_or_default())) {
                Ok(count) => return Ok(count > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    };
    let in_time = ends_within(limit)?;
    if !in_time {
        end_group(pid, Signal::TERM);
        ends_within(GRACE)?;
    }
    // What it left running in its group does not outlive it.
    end_group(pid, Signal::KILL);
    let status = child.wait()?;
    Ok(if in_time { in_words(status) } else { format!("was ended after {} s, its time limit", limit.as_secs()) })
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "is done".to_owned(),
        (Some(code), _) => format!("ended with {code}"),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    }
}

//! Runs one action's command as its user, in a process group of its own and with a time limit. The thread `action PID`
//! waits for it.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::schedule::ActionRun;
use crate::table::printable;
use usbscan_daemon::action::Action;

/// Between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);
/// systemd enforces the limit of a command that it runs; this is added for starting and ending it.
const SYSTEMD_MARGIN: Duration = Duration::from_secs(60);

/// How a command gets its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAs {
    /// This process runs as that user.
    SameUser,
    /// This process is root and uses systemd-run: a transient unit, with the user's groups, in a cgroup that systemd
    /// kills at the end.
    Systemd,
}

/// A command that was started.
#[derive(Debug)]
pub struct RunningAction {
    pid: Pid,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
pub struct ActionResult {
    pub run: ActionRun,
    /// Completes a sentence whose subject is the program.
    pub outcome: String,
}

impl RunningAction {
    /// Starts the command and sends its result to `results`.
    ///
    /// # Errors
    /// When the program can't be started, or the system is out of threads.
    pub fn start(
        action: &Action,
        run: ActionRun,
        run_as: RunAs,
        number: u64,
        results: Sender<ActionResult>,
    ) -> io::Result<RunningAction> {
        let mut command = command(action, &run, run_as, number);
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        let limit = match run_as {
            RunAs::SameUser => action.limit,
            RunAs::Systemd => action.limit + SYSTEMD_MARGIN,
        };
        let wait = move || {
            let outcome = match wait(child, limit) {
                Ok(outcome) => outcome,
                Err(error) => format!("can't be waited for: {error}"),
            };
            // The receiver may be gone at the end of the program.
            let _ = results.send(ActionResult { run, outcome });
        };
        let thread = std::thread::Builder::new().name(format!("action {pid}")).spawn(wait)?;
        Ok(RunningAction { pid, thread })
    }

    /// Whether the command has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: Signal) {
        if !self.is_finished() {
            end_group(self.pid, signal);
        }
    }

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

fn command(action: &Action, run: &ActionRun, run_as: RunAs, number: u64) -> Command {
    let words = environment(run);
    let (program, arguments) = action.command.split_first().expect("a command has a program");
    match run_as {
        RunAs::SameUser => {
            let mut command = Command::new(program);
            command.args(arguments).envs(words);
            command
        }
        RunAs::Systemd => {
            let mut command = Command::new("systemd-run");
            command.args(["--quiet", "--wait", "--collect", "--service-type=exec"]);
            command.arg(format!("--unit=usbscan-action-{}-{number}", std::process::id()));
            command.arg(format!("--description=usbscan action for a {}", run.event.kind.as_str()));
            command.arg(format!("--uid={}", action.user));
            command.arg(format!("--property=RuntimeMaxSec={}", action.limit.as_secs()));
            command.args(words.iter().map(|(name, value)| format!("--setenv={name}={value}")));
            // systemd-run expands `$VARIABLE`; `$$` is a literal `$`.
            command.arg("--").arg(program).args(arguments.iter().map(|word| word.replace('$', "$$")));
            command
        }
    }
}

/// Names and ids come from the device, so control characters are replaced.
fn environment(run: &ActionRun) -> [(&'static str, String); 4] {
    let event = &run.event;
    [
        ("USBSCAN_SCANNER", printable(&event.stable_id)),
        ("USBSCAN_NAME", printable(&event.name)),
        ("USBSCAN_EVENT", event.kind.as_str().to_owned()),
        ("USBSCAN_BUTTON", printable(&event.button)),
    ]
}

fn wait(mut child: Child, limit: Duration) -> io::Result<String> {
    let pid = Pid::from_child(&child);
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let ends_within = |timeout: Duration| -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
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
    // Also ends what the command left running in its process group.
    end_group(pid, Signal::KILL);
    let status = child.wait()?;
    Ok(if in_time {
        describe(status)
    } else {
        format!("exceeded its time limit of {} s and was ended", limit.as_secs())
    })
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "succeeded".to_owned(),
        (Some(code), _) => format!("exited with code {code}"),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    }
}

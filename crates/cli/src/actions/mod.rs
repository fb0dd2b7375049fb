//! `usbscan actions`: runs the commands of the `[[action]]` tables on button presses and other events. As root, from the
//! unit usbscan-actions.service, it starts each command as its user through systemd. Another user may run it for actions
//! of their own. A client of the daemon like any other.

mod process;
mod schedule;

use std::io::{self, Write};
use std::process::Command;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use rustix::process::Signal;

use self::process::{ActionResult, GRACE, RunAs, RunningAction};
use self::schedule::{ActionRun, Schedule, TriggerEvent};
use super::args::Actions;
use super::context::Context;
use super::failure::{DeviceState, Failure};
use super::watch::{Filter, WatchEvent, Watcher};
use usbscan_daemon::action::{Action, Trigger};

/// Runs until a signal comes or the daemon ends.
pub fn run(context: &Context<'_>, args: &Actions) -> Result<(), Failure> {
    let (actions, run_as) = runnable(context.actions(args.config.as_deref())?)?;
    let buttons = actions.iter().any(|action| action.event == Trigger::Button);
    print_line(&count(actions.len()));
    let watcher = Watcher::start(context.connector(), Filter { device: None, buttons })?;
    let (stop, stopped) = bounded::<()>(0);
    let signal_guard = context.interrupts.on_first(move |_| drop(stop));
    let mut runner = Runner::new(Schedule::new(actions), run_as);
    let outcome = runner.run(&watch(watcher)?, &stopped);
    runner.end();
    drop(signal_guard);
    match context.interrupts.caught() {
        Some(signal) => Err(Failure::Interrupted { signal, state: DeviceState::Idle }),
        None => outcome,
    }
}

/// The actions that this process may run: with root and systemd all, otherwise those of the current user.
fn runnable(actions: Vec<Action>) -> Result<(Vec<Action>, RunAs), Failure> {
    if rustix::process::geteuid().is_root() && std::path::Path::new("/run/systemd/system").exists() {
        return Ok((actions, RunAs::Systemd));
    }
    let output = Command::new("id").args(["-u", "-n"]).output().map_err(Failure::System)?;
    let me = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (ours, others): (Vec<_>, Vec<_>) = actions.into_iter().partition(|action| action.user == me);
    if !others.is_empty() {
        print_line(&format!("ignoring {} of other users", count(others.len())));
    }
    Ok((ours, RunAs::SameUser))
}

fn count(actions: usize) -> String {
    if actions == 1 { "1 action".to_owned() } else { format!("{actions} actions") }
}

/// Runs the watcher on the thread `watch`, which ends with the daemon or with the program.
fn watch(mut watcher: Watcher) -> Result<Receiver<Result<WatchEvent, Failure>>, Failure> {
    let (sender, events) = unbounded();
    let run = move || {
        loop {
            let event = watcher.wait();
            let last = event.is_err();
            if sender.send(event).is_err() || last {
                return;
            }
        }
    };
    thread::Builder::new().name("watch".to_owned()).spawn(run).map_err(Failure::System)?;
    Ok(events)
}

struct Runner {
    schedule: Schedule,
    run_as: RunAs,
    running: Vec<RunningAction>,
    started: u64,
    results: (Sender<ActionResult>, Receiver<ActionResult>),
}

impl Runner {
    fn new(schedule: Schedule, run_as: RunAs) -> Runner {
        Runner { schedule, run_as, running: Vec::new(), started: 0, results: unbounded() }
    }

    fn run(&mut self, events: &Receiver<Result<WatchEvent, Failure>>, stopped: &Receiver<()>) -> Result<(), Failure> {
        loop {
            select! {
                recv(events) -> event => match event {
                    Ok(event) => self.on_event(&event?),
                    Err(_) => return Ok(()),
                },
                recv(self.results.1) -> result => {
                    let ActionResult { run, outcome } = result.expect("the runner has both ends");
                    print_line(&format!("{}: {} {outcome}", run.event.name, self.program(&run)));
                    self.schedule.finished(&run);
                }
                recv(stopped) -> _ => return Ok(()),
            }
            self.start();
        }
    }

    fn on_event(&mut self, event: &WatchEvent) {
        print_line(&event.to_string());
        let Some(event) = TriggerEvent::of(event) else { return };
        for (action, reason) in self.schedule.on_event(&event, Instant::now()) {
            let run = ActionRun { action, event: event.clone() };
            print_line(&format!("{}: {} skipped: {reason}", event.name, self.program(&run)));
        }
    }

    fn start(&mut self) {
        self.running.retain(|running| !running.is_finished());
        while let Some(run) = self.schedule.next() {
            self.started += 1;
            let action = self.schedule.action(&run);
            print_line(&format!("{}: running {} as {}", run.event.name, self.program(&run), action.user));
            match RunningAction::start(action, run.clone(), self.run_as, self.started, self.results.0.clone()) {
                Ok(running) => self.running.push(running),
                Err(error) => {
                    print_line(&format!("{}: {}: {error}", run.event.name, self.program(&run)));
                    self.schedule.finished(&run);
                }
            }
        }
    }

    fn program(&self, run: &ActionRun) -> &str {
        &self.schedule.action(run).command[0]
    }

    /// Ends the commands that this process started itself; systemd enforces the limits of those that it started.
    fn end(&mut self) {
        self.running.iter().for_each(|running| running.signal(Signal::TERM));
        let deadline = Instant::now() + GRACE;
        for _ in 0..self.running.iter().filter(|running| !running.is_finished()).count() {
            if self.results.1.recv_deadline(deadline).is_err() {
                self.running.iter().for_each(|running| running.signal(Signal::KILL));
                break;
            }
        }
        self.running.drain(..).for_each(RunningAction::join);
    }
}

/// Prints a line for the journal and flushes it. Errors are ignored: there is nowhere to report them.
fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

//! `usbscan actions`: runs the commands of the configuration's `[[action]]` tables as buttons are pressed. What the unit
//! usbscan-actions.service runs, as root, which then has systemd run each command as its user; anybody else may run it
//! for the actions of his own. The daemon knows nothing of it.

mod child;
mod schedule;

use std::io::{self, Write};
use std::process::Command;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use rustix::process::Signal;

use self::child::{Ended, GRACE, Running, Way};
use self::schedule::{Job, Occasion, Schedule};
use super::args::Actions;
use super::context::Context;
use super::failure::{Failure, Left};
use super::watch::{Sighting, Watcher, Wish};
use usbscan_daemon::action::{Action, Trigger};

/// Runs until a signal, or the daemon's end.
pub fn run(context: &Context<'_>, wish: &Actions) -> Result<(), Failure> {
    let (actions, way) = ours(context.actions(wish.config.as_deref())?)?;
    let buttons = actions.iter().any(|action| action.event == Trigger::Button);
    say(&format!("{} actions", actions.len()));
    let watcher = Watcher::start(context.connector(), Wish { device: None, buttons })?;
    let (stop, stopped) = bounded::<()>(0);
    let listening = context.interrupts.on_first(move |_| drop(stop));
    let mut runner = Runner::new(Schedule::new(actions), way);
    let ended = runner.run(&watch(watcher)?, &stopped);
    runner.end();
    drop(listening);
    match context.interrupts.caught() {
        Some(signal) => Err(Failure::Interrupted { signal, left: Left::Idle }),
        None => ended,
    }
}

/// Those that this process may run. Root may run all, if systemd runs this machine.
fn ours(actions: Vec<Action>) -> Result<(Vec<Action>, Way), Failure> {
    if rustix::process::geteuid().is_root() && std::path::Path::new("/run/systemd/system").exists() {
        return Ok((actions, Way::Systemd));
    }
    let asked = Command::new("id").args(["-u", "-n"]).output().map_err(Failure::System)?;
    let me = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let (ours, others): (Vec<_>, Vec<_>) = actions.into_iter().partition(|action| action.user == me);
    if !others.is_empty() {
        say(&format!("{} actions of other users than {me} are left to usbscan-actions.service", others.len()));
    }
    Ok((ours, Way::Directly))
}

/// The watcher on a thread of its own, `watch`. It ends with the daemon, or with the program.
fn watch(mut watcher: Watcher) -> Result<Receiver<Result<Sighting, Failure>>, Failure> {
    let (seen, sightings) = unbounded();
    let run = move || {
        loop {
            let sighting = watcher.wait();
            let last = sighting.is_err();
            if seen.send(sighting).is_err() || last {
                return;
            }
        }
    };
    thread::Builder::new().name("watch".to_owned()).spawn(run).map_err(Failure::System)?;
    Ok(sightings)
}

struct Runner {
    schedule: Schedule,
    way: Way,
    running: Vec<Running>,
    begun: u64,
    ends: (Sender<Ended>, Receiver<Ended>),
}

impl Runner {
    fn new(schedule: Schedule, way: Way) -> Runner {
        Runner { schedule, way, running: Vec::new(), begun: 0, ends: unbounded() }
    }

    fn run(&mut self, sightings: &Receiver<Result<Sighting, Failure>>, stopped: &Receiver<()>) -> Result<(), Failure> {
        loop {
            select! {
                recv(sightings) -> sighting => match sighting {
                    Ok(sighting) => self.see(&sighting?),
                    Err(_) => return Ok(()),
                },
                recv(self.ends.1) -> ended => {
                    let Ended { job, how } = ended.expect("the runner has both ends");
                    say(&format!("{}: {} {how}", job.occasion.name, self.program(&job)));
                    self.schedule.ended(&job);
                }
                recv(stopped) -> _ => return Ok(()),
            }
            self.start();
        }
    }

    fn see(&mut self, sighting: &Sighting) {
        say(&sighting.to_string());
        let Some(occasion) = Occasion::of(sighting) else { return };
        for (action, passed) in self.schedule.happens(&occasion, Instant::now()) {
            let job = Job { action, occasion: occasion.clone() };
            say(&format!("{}: {} is not run: {passed}", occasion.name, self.program(&job)));
        }
    }

    fn start(&mut self) {
        self.running.retain(|running| !running.is_over());
        while let Some(job) = self.schedule.next() {
            self.begun += 1;
            let action = self.schedule.action(&job);
            say(&format!("{}: runs {} as {}", job.occasion.name, self.program(&job), action.user));
            match Running::start(action, job.clone(), self.way, self.begun, self.ends.0.clone()) {
                Ok(running) => self.running.push(running),
                Err(error) => {
                    say(&format!("{}: {}: {error}", job.occasion.name, self.program(&job)));
                    self.schedule.ended(&job);
                }
            }
        }
    }

    fn program(&self, job: &Job) -> &str {
        &self.schedule.action(job).command[0]
    }

    /// Nothing runs on without us but what systemd runs, whose time it keeps.
    fn end(&mut self) {
        self.running.iter().for_each(|running| running.signal(Signal::TERM));
        let deadline = Instant::now() + GRACE;
        for _ in 0..self.running.iter().filter(|running| !running.is_over()).count() {
            if self.ends.1.recv_deadline(deadline).is_err() {
                self.running.iter().for_each(|running| running.signal(Signal::KILL));
                break;
            }
        }
        self.running.drain(..).for_each(Running::join);
    }
}

/// A line for the journal, at once. Nobody is left to tell when that fails.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

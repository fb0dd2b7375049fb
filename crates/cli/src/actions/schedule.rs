//! Which action runs when: one at a time for each scanner, none again before its pause is over, and never more waiting
//! than there is room for. No thread, no clock, no process.

use std::collections::VecDeque;
use std::time::Instant;

use crate::watch::Sighting;
use usbscan_daemon::action::{Action, Trigger};

/// Actions that wait for another to end, of all scanners together: somebody who plays with buttons fills no memory.
const ROOM: usize = 64;

/// What happened, as an action may want to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// `usbscan0`.
    pub name: String,
    /// Its stable id.
    pub stable_id: String,
    /// What it was.
    pub event: Trigger,
    /// Which button; empty for what is none.
    pub button: String,
}

impl Occasion {
    /// What an action can be for.
    pub fn of(sighting: &Sighting) -> Option<Occasion> {
        let occasion = |name: &str, stable_id: &str, event, button: &str| Occasion {
            name: name.to_owned(),
            stable_id: stable_id.to_owned(),
            event,
            button: button.to_owned(),
        };
        match sighting {
            Sighting::Arrival { device } => Some(occasion(&device.name, &device.stable_id, Trigger::Arrival, "")),
            Sighting::Removal { name, stable_id } => Some(occasion(name, stable_id, Trigger::Removal, "")),
            Sighting::Button { name, stable_id, button } => Some(occasion(name, stable_id, Trigger::Button, button)),
            Sighting::Present { .. } | Sighting::CancelIo { .. } | Sighting::Idle { .. } | Sighting::Problem { .. } => {
                None
            }
        }
    }
}

/// An action that is to run, or does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its place in the configuration.
    pub action: usize,
    /// What for.
    pub occasion: Occasion,
}

impl Job {
    fn is_as(&self, action: usize, stable_id: &str) -> bool {
        self.action == action && self.occasion.stable_id == stable_id
    }
}

/// Why an action does not run though it was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Passed {
    /// It runs, or is about to.
    #[error("it runs already")]
    Runs,
    /// Its pause.
    #[error("it began a moment ago")]
    TooSoon,
    /// Too many wait.
    #[error("{ROOM} others wait already")]
    Full,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Schedule {
    actions: Vec<Action>,
    running: Vec<Job>,
    waiting: VecDeque<Job>,
    /// When an action was last let through for a scanner; forgotten when its pause is over.
    began: Vec<(usize, String, Instant)>,
}

impl Schedule {
    /// With nothing to do.
    pub fn new(actions: Vec<Action>) -> Schedule {
        Schedule { actions, running: Vec::new(), waiting: VecDeque::new(), began: Vec::new() }
    }

    /// The action of a job.
    pub fn action(&self, job: &Job) -> &Action {
        &self.actions[job.action]
    }

    /// Something happened: what is meant by it waits from now on, or is passed over.
    pub fn happens(&mut self, occasion: &Occasion, now: Instant) -> Vec<(usize, Passed)> {
        let actions = &self.actions;
        self.began.retain(|(action, _, began)| now < *began + actions[*action].pause);
        let meant: Vec<usize> = (0..actions.len()).filter(|at| is_meant(&actions[*at], occasion)).collect();
        meant.into_iter().filter_map(|at| self.admit(at, occasion, now).err().map(|passed| (at, passed))).collect()
    }

    fn admit(&mut self, action: usize, occasion: &Occasion, now: Instant) -> Result<(), Passed> {
        let id = &occasion.stable_id;
        if self.running.iter().chain(&self.waiting).any(|job| job.is_as(action, id)) {
            return Err(Passed::Runs);
        }
        if self.began.iter().any(|(began, scanner, _)| *began == action && scanner == id) {
            return Err(Passed::TooSoon);
        }
        if self.waiting.len() >= ROOM {
            return Err(Passed::Full);
        }
        self.began.push((action, id.clone(), now));
        self.waiting.push_back(Job { action, occasion: occasion.clone() });
        Ok(())
    }

    /// The next that may begin: the oldest of a scanner for which nothing runs.
    pub fn next(&mut self) -> Option<Job> {
        let busy = |job: &Job| self.running.iter().any(|other| other.occasion.stable_id == job.occasion.stable_id);
        let at = self.waiting.iter().position(|job| !busy(job))?;
        let job = self.waiting.remove(at)?;
        self.running.push(job.clone());
        Some(job)
    }

    /// A job ended.
    pub fn ended(&mut self, job: &Job) {
        self.running.retain(|running| running != job);
    }
}

fn is_meant(action: &Action, occasion: &Occasion) -> bool {
    let scanner = |named: &String| *named == occasion.name || occasion.stable_id.starts_with(named);
    action.event == occasion.event
        && action.scanner.as_ref().is_none_or(scanner)
        && action.button.as_ref().is_none_or(|button| *button == occasion.button)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn action(button: Option<&str>) -> Action {
        Action {
            scanner: None,
            event: Trigger::Button,
            button: button.map(str::to_owned),
            command: vec!["/bin/true".to_owned()],
            user: "alice".to_owned(),
            limit: Duration::from_secs(9),
            pause: Duration::from_secs(2),
        }
    }

    fn pressed(scanner: &str, button: &str) -> Occasion {
        Occasion {
            name: "usbscan0".to_owned(),
            stable_id: scanner.to_owned(),
            event: Trigger::Button,
            button: button.to_owned(),
        }
    }

    #[test]
    fn actions_of_one_scanner_run_one_after_another_and_those_of_two_side_by_side() {
        let mut schedule = Schedule::new(vec![action(Some("1")), action(Some("2"))]);
        let now = Instant::now();
        for occasion in [pressed("a", "1"), pressed("a", "2"), pressed("b", "2")] {
            assert_eq!(schedule.happens(&occasion, now), []);
        }
        let first = schedule.next().unwrap();
        assert_eq!((first.action, first.occasion.stable_id.as_str()), (0, "a"));
        let other = schedule.next().unwrap();
        assert_eq!((other.action, other.occasion.stable_id.as_str()), (1, "b"));
        assert_eq!(schedule.next(), None);
        schedule.ended(&first);
        assert_eq!(schedule.next().unwrap().occasion, pressed("a", "2"));
    }

    #[test]
    fn a_button_pressed_again_and_again_runs_its_action_once_a_pause() {
        let mut schedule = Schedule::new(vec![action(None)]);
        let now = Instant::now();
        assert_eq!(schedule.happens(&pressed("a", "1"), now), []);
        assert_eq!(schedule.happens(&pressed("a", "1"), now), [(0, Passed::Runs)]);
        let job = schedule.next().unwrap();
        assert_eq!(schedule.happens(&pressed("a", "1"), now), [(0, Passed::Runs)]);
        schedule.ended(&job);
        assert_eq!(schedule.happens(&pressed("a", "1"), now + Duration::from_secs(1)), [(0, Passed::TooSoon)]);
        assert_eq!(schedule.happens(&pressed("a", "1"), now + Duration::from_secs(2)), []);
    }

    #[test]
    fn what_waits_has_an_end() {
        let mut schedule = Schedule::new(vec![action(None)]);
        let now = Instant::now();
        for scanner in 0..ROOM {
            assert_eq!(schedule.happens(&pressed(&scanner.to_string(), "1"), now), []);
        }
        assert_eq!(schedule.happens(&pressed("one more", "1"), now), [(0, Passed::Full)]);
    }

    #[test]
    fn an_action_for_one_scanner_and_one_button_is_for_no_other() {
        let mut wanted = action(Some("1"));
        wanted.scanner = Some("04b8:".to_owned());
        assert!(is_meant(&wanted, &pressed("04b8:0151:X", "1")));
        assert!(!is_meant(&wanted, &pressed("04b8:0151:X", "2")));
        assert!(!is_meant(&wanted, &pressed("04a9:0151:X", "1")));
        wanted.event = Trigger::Removal;
        assert!(!is_meant(&wanted, &pressed("04b8:0151:X", "1")));
    }
}

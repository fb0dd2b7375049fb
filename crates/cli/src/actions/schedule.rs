//! Decides when actions run: one at a time per scanner, none again before its pause is over, and with a bounded queue. No
//! threads, no clock, no processes.

use std::collections::VecDeque;
use std::time::Instant;

use crate::watch::WatchEvent;
use usbscan_wire::{NameMatch, match_name};

use usbscan_daemon::action::{Action, Trigger};

/// Bounds the queue of all scanners together, however often buttons are pressed.
const MAX_WAITING: usize = 64;

/// The event that triggers actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerEvent {
    /// `usbscan0`.
    pub name: String,
    pub stable_id: String,
    pub kind: Trigger,
    /// The button; empty for other events.
    pub button: String,
}

impl TriggerEvent {
    /// `None` for events that trigger no actions.
    pub fn of(event: &WatchEvent) -> Option<TriggerEvent> {
        let trigger = |name: &str, stable_id: &str, kind, button: &str| TriggerEvent {
            name: name.to_owned(),
            stable_id: stable_id.to_owned(),
            kind,
            button: button.to_owned(),
        };
        match event {
            WatchEvent::Arrival { device } => Some(trigger(&device.name, &device.stable_id, Trigger::Arrival, "")),
            WatchEvent::Removal { name, stable_id } => Some(trigger(name, stable_id, Trigger::Removal, "")),
            WatchEvent::Button { name, stable_id, button } => Some(trigger(name, stable_id, Trigger::Button, button)),
            WatchEvent::Present { .. }
            | WatchEvent::CancelIo { .. }
            | WatchEvent::Idle { .. }
            | WatchEvent::Unresponsive { .. }
            | WatchEvent::Problem { .. } => None,
        }
    }
}

/// An action that is waiting or running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRun {
    /// Index in the configuration.
    pub action: usize,
    pub event: TriggerEvent,
}

impl ActionRun {
    fn is_same(&self, action: usize, stable_id: &str) -> bool {
        self.action == action && self.event.stable_id == stable_id
    }
}

/// Why a matching action does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    #[error("already running")]
    Running,
    #[error("pause_seconds have not passed")]
    TooSoon,
    #[error("{MAX_WAITING} actions are waiting already")]
    QueueFull,
}

#[derive(Debug)]
pub struct Schedule {
    actions: Vec<Action>,
    running: Vec<ActionRun>,
    waiting: VecDeque<ActionRun>,
    /// When an action last ran for a scanner; removed when its pause is over.
    last_runs: Vec<(usize, String, Instant)>,
}

impl Schedule {
    pub fn new(actions: Vec<Action>) -> Schedule {
        Schedule { actions, running: Vec::new(), waiting: VecDeque::new(), last_runs: Vec::new() }
    }

    pub fn action(&self, job: &ActionRun) -> &Action {
        &self.actions[job.action]
    }

    /// Queues all matching actions. Returns those that were skipped.
    pub fn on_event(&mut self, event: &TriggerEvent, now: Instant) -> Vec<(usize, Skipped)> {
        let actions = &self.actions;
        self.last_runs.retain(|(action, _, began)| now < *began + actions[*action].pause);
        let matching: Vec<usize> = (0..actions.len()).filter(|at| matches_event(&actions[*at], event)).collect();
        matching.into_iter().filter_map(|at| self.admit(at, event, now).err().map(|skipped| (at, skipped))).collect()
    }

    fn admit(&mut self, action: usize, event: &TriggerEvent, now: Instant) -> Result<(), Skipped> {
        let id = &event.stable_id;
        if self.running.iter().chain(&self.waiting).any(|job| job.is_same(action, id)) {
            return Err(Skipped::Running);
        }
        if self.last_runs.iter().any(|(began, scanner, _)| *began == action && scanner == id) {
            return Err(Skipped::TooSoon);
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(Skipped::QueueFull);
        }
        self.last_runs.push((action, id.clone(), now));
        self.waiting.push_back(ActionRun { action, event: event.clone() });
        Ok(())
    }

    /// The next action to start: the oldest of a scanner without a running action.
    pub fn next(&mut self) -> Option<ActionRun> {
        let busy = |job: &ActionRun| self.running.iter().any(|other| other.event.stable_id == job.event.stable_id);
        let at = self.waiting.iter().position(|job| !busy(job))?;
        let job = self.waiting.remove(at)?;
        self.running.push(job.clone());
        Some(job)
    }

    /// Call when an action has ended.
    pub fn finished(&mut self, job: &ActionRun) {
        self.running.retain(|running| running != job);
    }
}

fn matches_event(action: &Action, event: &TriggerEvent) -> bool {
    let scanner = |named: &String| match_name(named, &event.name, &event.stable_id) != NameMatch::No;
    action.event == event.kind
        && action.scanner.as_ref().is_none_or(scanner)
        && action.button.as_ref().is_none_or(|button| *button == event.button)
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

    fn pressed(scanner: &str, button: &str) -> TriggerEvent {
        TriggerEvent {
            name: "usbscan0".to_owned(),
            stable_id: scanner.to_owned(),
            kind: Trigger::Button,
            button: button.to_owned(),
        }
    }

    #[test]
    fn actions_of_one_scanner_run_one_after_another_and_those_of_two_side_by_side() {
        let mut schedule = Schedule::new(vec![action(Some("1")), action(Some("2"))]);
        let now = Instant::now();
        for event in [pressed("a", "1"), pressed("a", "2"), pressed("b", "2")] {
            assert_eq!(schedule.on_event(&event, now), []);
        }
        let first = schedule.next().unwrap();
        assert_eq!((first.action, first.event.stable_id.as_str()), (0, "a"));
        let other = schedule.next().unwrap();
        assert_eq!((other.action, other.event.stable_id.as_str()), (1, "b"));
        assert_eq!(schedule.next(), None);
        schedule.finished(&first);
        assert_eq!(schedule.next().unwrap().event, pressed("a", "2"));
    }

    #[test]
    fn a_button_pressed_again_and_again_runs_its_action_once_a_pause() {
        let mut schedule = Schedule::new(vec![action(None)]);
        let now = Instant::now();
        assert_eq!(schedule.on_event(&pressed("a", "1"), now), []);
        assert_eq!(schedule.on_event(&pressed("a", "1"), now), [(0, Skipped::Running)]);
        let job = schedule.next().unwrap();
        assert_eq!(schedule.on_event(&pressed("a", "1"), now), [(0, Skipped::Running)]);
        schedule.finished(&job);
        assert_eq!(schedule.on_event(&pressed("a", "1"), now + Duration::from_secs(1)), [(0, Skipped::TooSoon)]);
        assert_eq!(schedule.on_event(&pressed("a", "1"), now + Duration::from_secs(2)), []);
    }

    #[test]
    fn what_waits_has_an_end() {
        let mut schedule = Schedule::new(vec![action(None)]);
        let now = Instant::now();
        for scanner in 0..MAX_WAITING {
            assert_eq!(schedule.on_event(&pressed(&scanner.to_string(), "1"), now), []);
        }
        assert_eq!(schedule.on_event(&pressed("one more", "1"), now), [(0, Skipped::QueueFull)]);
    }

    #[test]
    fn an_action_for_one_scanner_and_one_button_is_for_no_other() {
        let mut wanted = action(Some("1"));
        wanted.scanner = Some("04b8:".to_owned());
        assert!(matches_event(&wanted, &pressed("04b8:0151:X", "1")));
        assert!(!matches_event(&wanted, &pressed("04b8:0151:X", "2")));
        assert!(!matches_event(&wanted, &pressed("04a9:0151:X", "1")));
        wanted.event = Trigger::Removal;
        assert!(!matches_event(&wanted, &pressed("04b8:0151:X", "1")));
    }
}

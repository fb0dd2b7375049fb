//! The scanner's jobs: what was asked for, how far each is, and how ScannerStatus tells of them.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Instant;

use super::settings::{ScanSettings, Source};

/// Jobs that are remembered.
const KEPT: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobState {
    Pending,
    Processing,
    Completed,
    Canceled,
    Aborted,
}

impl JobState {
    pub(super) fn is_open(self) -> bool {
        matches!(self, JobState::Pending | JobState::Processing)
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            JobState::Pending => ("Pending", "None"),
            JobState::Processing => ("Processing", "JobScanning"),
            JobState::Completed => ("Completed", "JobCompletedSuccessfully"),
            JobState::Canceled => ("Canceled", "JobCanceledByUser"),
            JobState::Aborted => ("Aborted", "AbortedBySystem"),
        }
    }
}

/// A job.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The last part of its URI.
    pub name: String,
    pub state: JobState,
    /// `None`: another client's, of which nothing is known.
    pub settings: Option<ScanSettings>,
    /// Documents that went to the host.
    pub sent: u32,
    /// The sheet whose back comes next.
    pub back_of: Option<usize>,
    /// Answers "not ready yet", and false ends, that are still to be given before the next document.
    pub not_ready: u32,
    pub false_ends: u32,
    changed: Instant,
}

/// How a job's name looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobNames {
    /// A number.
    #[default]
    Number,
    /// `urn:uuid:` and a UUID.
    Urn,
}

/// All jobs, newest first.
#[derive(Debug)]
pub(super) struct Jobs {
    names: JobNames,
    all: VecDeque<Job>,
    made: u32,
}

impl Jobs {
    pub(super) fn new(names: JobNames) -> Jobs {
        Jobs { names, all: VecDeque::new(), made: 1000 }
    }

    pub(super) fn add(&mut self, now: Instant, settings: Option<ScanSettings>) -> String {
        self.made += 1;
        let name = match self.names {
            JobNames::Number => self.made.to_string(),
            JobNames::Urn => format!("urn:uuid:00000000-0000-1000-8000-00000000{:04x}", self.made),
        };
        let state = if settings.is_some() { JobState::Pending } else { JobState::Processing };
        let (sent, back_of, not_ready, false_ends) = (0, None, 0, 0);
        let job = Job { name: name.clone(), state, settings, sent, back_of, not_ready, false_ends, changed: now };
        self.all.push_front(job);
        self.all.truncate(KEPT);
        name
    }

    pub(super) fn find(&mut self, name: &str) -> Option<&mut Job> {
        self.all.iter_mut().find(|job| job.name == name)
    }

    /// The job that is not over yet, of which there is one at most.
    pub(super) fn open(&self) -> Option<&Job> {
        self.all.iter().find(|job| job.state.is_open())
    }

    /// Puts a job into another state.
    pub(super) fn change(&mut self, now: Instant, name: &str, state: JobState) {
        if let Some(job) = self.find(name) {
            (job.state, job.changed) = (state, now);
        }
    }

    /// Forgets what was under way, as in a bus reset.
    pub(super) fn abort_all(&mut self) {
        for job in self.all.iter_mut().filter(|job| job.state.is_open()) {
            job.state = JobState::Aborted;
        }
    }

    /// `scan:Jobs`.
    pub(super) fn xml(&self, now: Instant, root: &str) -> String {
        let mut xml = String::from("<scan:Jobs>");
        for job in &self.all {
            let (state, reason) = job.state.words();
            let age = now.saturating_duration_since(job.changed).as_secs();
            let to_transfer = u32::from(job.state == JobState::Processing);
            let uuid = job.name.trim_start_matches("urn:uuid:");
            let _ = write!(
                xml,
                "<scan:JobInfo><pwg:JobUri>{root}/ScanJobs/{}</pwg:JobUri><pwg:JobUuid>{uuid}</pwg:JobUuid>\
                 <scan:Age>{age}</scan:Age><pwg:ImagesCompleted>{}</pwg:ImagesCompleted>\
                 <pwg:ImagesToTransfer>{to_transfer}</pwg:ImagesToTransfer><pwg:JobState>{state}</pwg:JobState>\
                 <pwg:JobStateReasons><pwg:JobStateReason>{reason}</pwg:JobStateReason></pwg:JobStateReasons></scan:JobInfo>",
                job.name, job.sent
            );
        }
        xml + "</scan:Jobs>"
    }
}

impl Job {
    pub(super) fn is_duplex(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.source == Source::Feeder { duplex: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_job_stands_first_and_old_ones_are_forgotten() {
        let now = Instant::now();
        let mut jobs = Jobs::new(JobNames::Number);
        for _ in 0..KEPT + 3 {
            let name = jobs.add(now, None);
            jobs.change(now, &name, JobState::Completed);
        }
        let xml = jobs.xml(now, "/eSCL");
        assert_eq!(xml.matches("<scan:JobInfo>").count(), KEPT);
        assert!(xml.find("ScanJobs/1013<") < xml.find("ScanJobs/1012<") && !xml.contains("ScanJobs/1003<"));
        assert!(jobs.open().is_none());
    }
}

//! What is left at the daemon for whoever opens the scanner next, while a job of ours is open: its name, or how it will be known.
//! The abort sequence does more, but dies with the daemon. Values only.

use usbscan_client::wire::NOTE_LIMIT;
use usbscan_escl::{JobInfo, JobPath, JobState, ROOT, ScannerStatus};

const POSTING: &str = "escl posting";
const JOB: &str = "escl job ";

/// A note of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Note {
    /// A job was being made. These were open before; one that is open now and not among them is ours.
    Posting(Vec<String>),
    /// This job was open.
    Job(JobPath),
}

pub(super) fn is_open(job: &JobInfo) -> bool {
    matches!(job.state, JobState::Pending | JobState::Processing)
}

impl Note {
    pub(super) fn posting(before: &ScannerStatus) -> Note {
        Note::Posting(before.jobs.iter().filter(|job| is_open(job)).map(|job| job.uri.clone()).collect())
    }

    /// `None` where it is too long: with half of the jobs somebody else's would count as ours.
    pub(super) fn to_text(&self) -> Option<String> {
        let text = match self {
            Note::Posting(before) => format!("{POSTING}\n{}", before.join("\n")),
            Note::Job(path) => format!("{JOB}{path}"),
        };
        Some(text).filter(|text| text.len() <= NOTE_LIMIT)
    }

    /// `None` where it is another driver's.
    pub(super) fn parse(text: &str) -> Option<Note> {
        if let Some(path) = text.strip_prefix(JOB) {
            return JobPath::find(ROOT, path).map(Note::Job);
        }
        let mut lines = text.lines();
        (lines.next() == Some(POSTING)).then(|| Note::Posting(lines.map(str::to_owned).collect()))
    }

    /// The job that is to be deleted, of a scanner that says this. A job of somebody else is none.
    pub(super) fn job(self, now: &ScannerStatus) -> Option<JobPath> {
        let named = |path: &JobPath| now.jobs.iter().find(|job| JobPath::find(ROOT, &job.uri).as_ref() == Some(path));
        match self {
            // A scanner that does not list it may have it all the same; that it is unknown is a good answer too.
            Note::Job(path) => Some(path).filter(|path| named(path).is_none_or(is_open)),
            Note::Posting(before) => {
                let new = now.jobs.iter().filter(|job| is_open(job) && !before.contains(&job.uri));
                new.into_iter().find_map(|job| JobPath::find(ROOT, &job.uri))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(jobs: &[(&str, &str)]) -> ScannerStatus {
        let one = |(uri, state): &(&str, &str)| {
            format!("<JobInfo><JobUri>{uri}</JobUri><JobState>{state}</JobState></JobInfo>")
        };
        let jobs: String = jobs.iter().map(one).collect();
        let xml = format!("<ScannerStatus><State>Idle</State><Jobs>{jobs}</Jobs></ScannerStatus>");
        ScannerStatus::parse(xml.as_bytes()).expect("a status")
    }

    #[test]
    fn a_note_says_which_job_is_ours_and_no_other() {
        let before = status(&[("/eSCL/ScanJobs/1", "Processing"), ("/eSCL/ScanJobs/2", "Completed")]);
        let posting = Note::posting(&before).to_text().expect("short");
        let job = |text: &str, now: &ScannerStatus| {
            Note::parse(text).and_then(|note| note.job(now)).map(|path| path.as_str().to_owned())
        };
        assert_eq!(job(&posting, &before), None);
        let now = status(&[("/eSCL/ScanJobs/3", "Pending"), ("/eSCL/ScanJobs/1", "Processing")]);
        assert_eq!(job(&posting, &now).as_deref(), Some("/eSCL/ScanJobs/3"));
        let named = Note::Job(JobPath::find(ROOT, "/eSCL/ScanJobs/3").expect("a path")).to_text().expect("short");
        assert_eq!(job(&named, &now).as_deref(), Some("/eSCL/ScanJobs/3"));
        assert_eq!(job(&named, &status(&[])).as_deref(), Some("/eSCL/ScanJobs/3"));
        assert_eq!(job(&named, &status(&[("/eSCL/ScanJobs/3", "Completed")])), None);
    }

    #[test]
    fn what_is_no_note_of_ours_names_no_job() {
        let now = status(&[("/eSCL/ScanJobs/3", "Pending")]);
        for text in
            ["", "escl job /etc/passwd", "escl job", "esci 7", "escl job /eSCL/ScanJobs/../x\nPOST", "escl postings"]
        {
            let job = Note::parse(text).and_then(|note| note.job(&now));
            assert_eq!(job, None, "{text:?}");
        }
        let many = Note::Posting(vec!["/eSCL/ScanJobs/urn:uuid:0".to_owned(); 100]);
        assert_eq!(many.to_text(), None);
    }
}

//! ScannerStatus: what a scanner is doing, the state of its feeder, and the jobs that it knows.

use roxmltree::Node;

use crate::xml::{DocumentError, child, children, number, text_of, with_root, word};

/// What a scanner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing. This alone says that it is free: jobs may be listed as running long after they ended.
    Idle,
    /// Scanning, for anybody.
    Processing,
    /// Calibrating or warming up.
    Testing,
    /// It wants to be looked after.
    Stopped,
    /// It does not scan.
    Down,
    /// A word that is not known.
    Unknown,
}

/// The state of the feeder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdfState {
    /// There is paper.
    Loaded,
    /// There is none. Also while the last sheet is under way.
    Empty,
    /// A sheet is under way.
    Processing,
    /// Paper is jammed.
    Jam,
    /// A cover is open.
    Open,
    /// It could not take a sheet.
    Mispick,
    /// It took two sheets at once.
    MultipickDetected,
    /// A sheet does not fit for both sides.
    DuplexPage,
    /// Its tray.
    InputTray,
    /// A word that is not known.
    Unknown,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It has not begun.
    Pending,
    /// It waits for a person.
    PendingHeld,
    /// It is running.
    Processing,
    /// It is over.
    Completed,
    /// It was cancelled.
    Canceled,
    /// It failed.
    Aborted,
    /// A word that is not known.
    Unknown,
}

impl JobState {
    /// Whether the scanner may still be busy with it.
    pub fn is_open(self) -> bool {
        matches!(self, JobState::Pending | JobState::PendingHeld | JobState::Processing)
    }
}

/// A job that the scanner knows; ended ones stay in the list for minutes, or weeks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobInfo {
    /// As it came; [`crate::JobPath::find`] understands it.
    pub uri: String,
    /// Often none that is unique.
    pub uuid: String,
    /// What it is doing.
    pub state: JobState,
    /// Seconds since that changed.
    pub age: Option<u32>,
    /// Pages that were scanned.
    pub images_completed: Option<u32>,
    /// Pages that wait to be fetched.
    pub images_to_transfer: Option<u32>,
    /// JobScanning, JobCanceledByUser, …
    pub reasons: Vec<String>,
}

/// What a scanner is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannerStatus {
    /// The scanner.
    pub state: State,
    /// The feeder; `None` where there is none.
    pub adf: Option<AdfState>,
    /// Newest first, by most devices.
    pub jobs: Vec<JobInfo>,
}

impl ScannerStatus {
    /// Understands the document.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn parse(bytes: &[u8]) -> Result<ScannerStatus, DocumentError> {
        with_root(bytes, "ScannerStatus", |root| {
            let jobs = children(root, "Jobs").flat_map(|jobs| children(jobs, "JobInfo"));
            Ok(ScannerStatus {
                state: child(root, "State").map_or(State::Unknown, state),
                adf: child(root, "AdfState").map(adf_state),
                jobs: jobs.map(job).collect(),
            })
        })
    }

    /// Whether it is free for a job.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }
}

fn state(node: Node<'_, '_>) -> State {
    match word(node).as_str() {
        "Idle" => State::Idle,
        "Processing" => State::Processing,
        "Testing" => State::Testing,
        "Stopped" => State::Stopped,
        "Down" => State::Down,
        _ => State::Unknown,
    }
}

fn adf_state(node: Node<'_, '_>) -> AdfState {
    let word = word(node);
    match word.strip_prefix("ScannerAdf").unwrap_or(&word) {
        "Loaded" => AdfState::Loaded,
        "Empty" => AdfState::Empty,
        "Processing" => AdfState::Processing,
        "Jam" => AdfState::Jam,
        "DoorOpen" | "HatchOpen" => AdfState::Open,
        "Mispick" => AdfState::Mispick,
        "MultipickDetected" => AdfState::MultipickDetected,
        "DuplexPageTooShort" | "DuplexPageTooLong" => AdfState::DuplexPage,
        "InputTrayFailed" | "InputTrayOverloaded" => AdfState::InputTray,
        _ => AdfState::Unknown,
    }
}

fn job(node: Node<'_, '_>) -> JobInfo {
    let state = child(node, "JobState").map(word).unwrap_or_default();
    let reasons = children(node, "JobStateReasons").flat_map(|list| children(list, "JobStateReason"));
    JobInfo {
        uri: text_of(node, "JobUri").unwrap_or_default(),
        uuid: text_of(node, "JobUuid").unwrap_or_default(),
        state: match state.as_str() {
            "Pending" => JobState::Pending,
            "PendingHeld" => JobState::PendingHeld,
            "Processing" => JobState::Processing,
            "Completed" => JobState::Completed,
            "Canceled" | "Cancelled" => JobState::Canceled,
            "Aborted" => JobState::Aborted,
            _ => JobState::Unknown,
        },
        age: number(node, "Age"),
        images_completed: number(node, "ImagesCompleted"),
        images_to_transfer: number(node, "ImagesToTransfer"),
        reasons: reasons.map(word).take(16).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(content: &str) -> ScannerStatus {
        let text = format!(
            "<scan:ScannerStatus xmlns:scan=\"s\" xmlns:pwg=\"p\"><pwg:Version>2.5</pwg:Version>{content}</scan:ScannerStatus>"
        );
        ScannerStatus::parse(text.as_bytes()).expect("a status")
    }

    #[test]
    fn jobs_may_be_missing_empty_or_incomplete() {
        let idle = "<pwg:State>Idle</pwg:State>";
        assert_eq!(status(idle), ScannerStatus { state: State::Idle, adf: None, jobs: Vec::new() });
        assert!(status(&format!("{idle}<scan:Jobs></scan:Jobs>")).jobs.is_empty());
        // An ET-4800 leaves most of it out, and has the uuid first, by a test fixture of SwiftESCL.
        let short = "<scan:Jobs><scan:JobInfo><pwg:JobUuid>u</pwg:JobUuid><pwg:JobUri>/eSCL/ScanJobs/u</pwg:JobUri>\
            <scan:Age>1275</scan:Age><pwg:JobState>Processing</pwg:JobState></scan:JobInfo></scan:Jobs>";
        let short = status(&format!("{idle}{short}"));
        assert!(short.is_idle() && short.jobs[0].state.is_open(), "the state alone says that it is free");
        assert_eq!((short.jobs[0].uri.as_str(), short.jobs[0].age), ("/eSCL/ScanJobs/u", Some(1275)));
    }

    #[test]
    fn a_whole_job_is_read() {
        let job = "<pwg:State>Processing</pwg:State><scan:AdfState>ScannerAdfEmpty</scan:AdfState><scan:Jobs><scan:JobInfo>\
            <pwg:JobUri>/eSCL/ScanJobs/2</pwg:JobUri><pwg:JobUuid>1876-0002</pwg:JobUuid><scan:Age>4725710</scan:Age>\
            <pwg:ImagesCompleted>1</pwg:ImagesCompleted><pwg:ImagesToTransfer>0</pwg:ImagesToTransfer>\
            <pwg:JobState>Completed</pwg:JobState><pwg:JobStateReasons><pwg:JobStateReason>JobCompletedSuccessfully\
            </pwg:JobStateReason></pwg:JobStateReasons></scan:JobInfo></scan:Jobs>";
        let status = status(job);
        assert_eq!((status.state, status.adf), (State::Processing, Some(AdfState::Empty)));
        let job = &status.jobs[0];
        assert_eq!((job.uuid.as_str(), job.age, job.state), ("1876-0002", Some(4_725_710), JobState::Completed));
        assert_eq!((job.images_completed, job.images_to_transfer), (Some(1), Some(0)));
        assert_eq!(job.reasons, ["JobCompletedSuccessfully"]);
    }

    #[test]
    fn every_state_of_the_feeder_has_its_own() {
        for (word, state) in [
            ("ScannerAdfLoaded", AdfState::Loaded),
            ("ScannerAdfProcessing", AdfState::Processing),
            ("ScannerAdfJam", AdfState::Jam),
            ("ScannerAdfDoorOpen", AdfState::Open),
            ("ScannerAdfHatchOpen", AdfState::Open),
            ("ScannerAdfMispick", AdfState::Mispick),
            ("ScannerAdfMultipickDetected", AdfState::MultipickDetected),
            ("ScannerAdfDuplexPageTooLong", AdfState::DuplexPage),
            ("ScannerAdfInputTrayOverloaded", AdfState::InputTray),
            ("scan:ScannerAdfEmpty", AdfState::Empty),
            ("Whatever", AdfState::Unknown),
        ] {
            assert_eq!(status(&format!("<scan:AdfState>{word}</scan:AdfState>")).adf, Some(state), "{word}");
        }
        assert_eq!(status("<pwg:State>Dreaming</pwg:State>").state, State::Unknown);
    }
}

//! The name of a job: the path under which its pages are fetched and it is deleted.

use std::fmt;

/// Bytes that a job's path may have.
const LIMIT: usize = 512;

/// The path of a job, below the root's `ScanJobs/`: `/eSCL/ScanJobs/1001`.
///
/// Jobs are often small numbers, and a wrong one belongs to another client. So only a path below ScanJobs is taken for a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobPath(String);

impl JobPath {
    /// Of a `Location` or a `JobUri`, in all the forms that scanners send: a path, with or without a slash at its end; the same
    /// behind a scheme and a host, which may be one that does not exist, or be cut off in the middle (Xerox B205 sends
    /// `http://[fe80/eSCL/ScanJobs/…`); or relative to the root. `root` is `/eSCL`, most of the time.
    pub fn find(root: &str, location: &str) -> Option<JobPath> {
        let location = location.trim();
        let folder = format!("{root}/ScanJobs/");
        let id = match location.find(&folder) {
            Some(at) => &location[at + folder.len()..],
            None => location.strip_prefix("ScanJobs/")?,
        };
        let id = id.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let path = format!("{folder}{id}");
        let is_sound = !id.is_empty()
            && path.len() <= LIMIT
            && id.bytes().all(|byte| byte.is_ascii_graphic())
            && id.split('/').all(|part| !matches!(part, "" | "." | ".."));
        is_sound.then_some(JobPath(path))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the next page is fetched.
    pub fn next_document(&self) -> String {
        format!("{}/NextDocument", self.0)
    }

    /// Where the size of the last page is told.
    pub fn scan_image_info(&self) -> String {
        format!("{}/ScanImageInfo", self.0)
    }
}

impl fmt::Display for JobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(location: &str) -> Option<String> {
        JobPath::find("/eSCL", location).map(|job| job.as_str().to_owned())
    }

    #[test]
    fn every_known_form_of_a_location_is_a_path() {
        // Traces and reports in the issue trackers of sane-airscan, ipp-usb and node-hp-scan-to.
        for (location, path) in [
            ("/eSCL/ScanJobs/1001", "/eSCL/ScanJobs/1001"),
            ("/eSCL/ScanJobs/2/", "/eSCL/ScanJobs/2"),
            (
                "http://192.0.2.1/eSCL/ScanJobs/00000000-0000-1000-8000-000000000002",
                "/eSCL/ScanJobs/00000000-0000-1000-8000-000000000002",
            ),
            ("http://192.0.2.1:9095/eSCL/ScanJobs/urn:uuid:4509a320", "/eSCL/ScanJobs/urn:uuid:4509a320"),
            ("http://SERIAL.03f011c2.hpLedmUSB/eSCL/ScanJobs/4", "/eSCL/ScanJobs/4"),
            ("http://[fe80/eSCL/ScanJobs/7", "/eSCL/ScanJobs/7"),
            (
                "http://localhost/eSCL/ScanJobs/k4o8psqg-quid-gmvf-1001-a3bv4bts",
                "/eSCL/ScanJobs/k4o8psqg-quid-gmvf-1001-a3bv4bts",
            ),
            ("ScanJobs/5", "/eSCL/ScanJobs/5"),
            (" /eSCL/ScanJobs/6 ", "/eSCL/ScanJobs/6"),
            ("/eSCL/ScanJobs/8?a=b#c", "/eSCL/ScanJobs/8"),
        ] {
            assert_eq!(found(location).as_deref(), Some(path), "{location}");
        }
        let elsewhere = JobPath::find("/airscan", "http://x/airscan/ScanJobs/1").expect("another root");
        assert_eq!(elsewhere.next_document(), "/airscan/ScanJobs/1/NextDocument");
    }

    #[test]
    fn what_is_no_job_is_none() {
        for location in [
            "",
            "/",
            "/eSCL/ScanJobs",
            "/eSCL/ScanJobs/",
            "/eSCL/ScanJobs//",
            "/eSCL/ScannerStatus",
            "/eSCL/ScanJobs/..",
            "/eSCL/ScanJobs/1/../2",
            "/eSCL/ScanJobs/a b",
            "/eSCL/ScanJobs/1\r\nDELETE /",
            "/eSCL/ScanJobs/\u{e9}",
        ] {
            assert_eq!(found(location), None, "{location:?}");
        }
        assert_eq!(found(&format!("/eSCL/ScanJobs/{}", "1".repeat(LIMIT))), None);
    }
}

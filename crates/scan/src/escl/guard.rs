//! What the daemon does should this program die while a job is being made or is open: it reads every response under way to its
//! end, and deletes the job. Values only.

use usbscan_client::wire::{AbortStep, EsclQuirks, HexBytes, HttpFraming};
use usbscan_escl::http::Request;
use usbscan_escl::{JobPath, ROOT};

use super::connection::{Connection, Endpoints};
use super::quirks::dress;

/// Silence after which the daemon gives a response up: the first byte of a page takes that long, and scanners pause for
/// seconds in the middle of one.
const PAGE_QUIET_MS: u32 = 10_000;
/// The longest that it reads a page.
const PAGE_MS: u32 = 180_000;
/// To take a request, and to answer it.
const STEP_MS: u32 = 5_000;
/// Bytes that a step may write.
const STEP_BYTES: usize = 512;

/// Where a job stands at the scanner, for the daemon to go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guard {
    /// It is being made: only the response says its name.
    Posting,
    /// It is open.
    Open(JobPath),
    /// It is being deleted. While a page is under way that may be answered only behind the page.
    Deleting(JobPath),
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GuardState {
    names: Endpoints,
    /// Where its response is; `None` where there is none.
    response: Option<HttpFraming>,
}

impl GuardState {
    /// `is_next`: a request is about to be sent on it.
    pub(super) fn of(connection: &Connection, is_next: bool) -> GuardState {
        let response = match is_next {
            true => Some(HttpFraming::Head),
            false => (!connection.is_idle()).then_some(HttpFraming::Resume),
        };
        GuardState { names: connection.endpoints(), response }
    }

    /// Reads its response to the end, if there is one. `delete_job_of`: should that be a 201 whose Location lies below this eSCL
    /// root, the daemon deletes the job.
    fn drain(self, quiet: u32, timeout: u32, delete_job_of: Option<String>) -> Option<AbortStep> {
        let endpoint = self.names.read;
        self.response.map(|framing| AbortStep::DrainHttp { endpoint, framing, quiet, timeout, delete_job_of })
    }
}

/// The steps. A connection is an interface of IPP over USB: pages come over the first; over the second, where the scanner has one,
/// something may be asked while a page is under way.
pub(super) fn steps(
    guard: &Guard,
    pages: GuardState,
    second: Option<GuardState>,
    quirks: EsclQuirks,
) -> Vec<AbortStep> {
    let answer = |state: GuardState| state.drain(STEP_MS, 2 * STEP_MS, None);
    let page = |root| pages.drain(PAGE_QUIET_MS, PAGE_MS, root);
    let (job, is_deleted) = match guard {
        Guard::Posting => {
            return second.and_then(answer).into_iter().chain(page(Some(ROOT.to_owned()))).collect();
        }
        Guard::Open(job) => (job, false),
        Guard::Deleting(job) => (job, true),
    };
    let names = second.unwrap_or(pages).names;
    let delete = Request::delete(job.as_str()).map(|request| dress(request, quirks).to_bytes());
    let Some(bytes) = delete.filter(|bytes| bytes.len() <= STEP_BYTES) else {
        return second.and_then(answer).into_iter().chain(page(None)).collect();
    };
    let write = AbortStep::Write { endpoint: names.write, bytes: HexBytes(bytes), timeout: STEP_MS };
    let deleted = AbortStep::DrainHttp {
        endpoint: names.read,
        framing: HttpFraming::Answer,
        quiet: STEP_MS,
        timeout: 2 * STEP_MS,
        delete_job_of: None,
    };
    let mut steps = Vec::new();
    match second {
        // At DELETE some scanners end the page early; others answer only behind the page.
        Some(second) if !is_deleted => {
            steps.extend(answer(second));
            steps.push(write);
            steps.extend(page(None));
        }
        second => {
            steps.extend(page(None));
            steps.extend(second.and_then(answer));
            steps.push(write);
        }
    }
    steps.push(deleted);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Endpoints = Endpoints { read: None, write: None };
    const SECOND: Endpoints = Endpoints { read: Some(0x84), write: Some(0x03) };

    fn job() -> JobPath {
        JobPath::find(ROOT, "/eSCL/ScanJobs/7").expect("a job")
    }

    /// The steps in short: what is read where, and where DELETE goes.
    fn told(guard: &Guard, pages: Option<HttpFraming>, second: Option<Option<HttpFraming>>) -> Vec<String> {
        let second = second.map(|response| GuardState { names: SECOND, response });
        let steps = steps(guard, GuardState { names: FIRST, response: pages }, second, EsclQuirks::default());
        let name = |endpoint: &Option<u8>| if endpoint.is_some() { "second" } else { "pages" };
        let one = |step: &AbortStep| match step {
            AbortStep::Write { endpoint, .. } => format!("delete on {}", name(endpoint)),
            AbortStep::DrainHttp { endpoint, framing, delete_job_of, .. } => {
                let job = if delete_job_of.is_some() { ", and its job" } else { "" };
                format!("{} {}{job}", name(endpoint), String::from(*framing))
            }
            other => panic!("{other:?}"),
        };
        steps.iter().map(one).collect()
    }

    #[test]
    fn a_job_is_deleted_on_the_other_interface_before_the_page_is_read_to_its_end() {
        use HttpFraming::{Head, Resume};
        let open = Guard::Open(job());
        assert_eq!(
            told(&open, Some(Resume), Some(Some(Head))),
            ["second head", "delete on second", "pages resume", "second answer"]
        );
        assert_eq!(told(&open, Some(Head), Some(None)), ["delete on second", "pages head", "second answer"]);
        assert_eq!(told(&open, Some(Head), None), ["pages head", "delete on pages", "pages answer"]);
        assert_eq!(told(&open, None, Some(None)), ["delete on second", "second answer"]);
    }

    #[test]
    fn a_deletion_that_waits_for_the_page_is_answered_behind_it() {
        use HttpFraming::{Head, Resume};
        let deleting = Guard::Deleting(job());
        assert_eq!(
            told(&deleting, Some(Resume), Some(Some(Head))),
            ["pages resume", "second head", "delete on second", "second answer"]
        );
        assert_eq!(told(&deleting, Some(Head), None), ["pages head", "delete on pages", "pages answer"]);
    }

    #[test]
    fn a_job_that_is_being_made_is_named_by_the_response() {
        use HttpFraming::Head;
        assert_eq!(told(&Guard::Posting, Some(Head), Some(None)), ["pages head, and its job"]);
        assert_eq!(told(&Guard::Posting, None, Some(Some(Head))), ["second head"]);
    }
}

//! A job from POST to DELETE, and the body of a page as a source for the decoder.

use std::time::{Duration, Instant};

use bytes::Bytes;
use usbscan_client::wire::EsclQuirks;
use usbscan_escl::{Format, JobPath, ScannerStatus};

use super::client::{Client, JOB, Next, PAGE, new_job, trouble};
use super::guard::Guard;
use super::note::Note;
use super::plan::Plan;
use crate::jpeg::ByteSource;
use crate::{DeviceError, Progress, ProtocolError, ScanError};

/// How often a page that is not there yet is asked for: HP's LaserJet M28w needs many at high resolutions.
const NOT_YET_TRIES: u32 = 60;
/// How often a scanner whose "no page" means "not yet" is asked.
const ODD_TRIES: u32 = 10;
/// The most that is waited behind a page.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Bytes by which the form of a page is known.
const MAGIC_BYTES: usize = 8;

pub(super) type Tell<'a> = &'a mut dyn FnMut(Progress);

/// A job that was begun, and is not known to be over.
#[derive(Debug)]
pub(super) struct Job {
    pub plan: Plan,
    /// `None` until the scanner has answered the POST.
    path: Option<JobPath>,
    /// The jobs that there were before it.
    before: ScannerStatus,
    pub pages: u32,
    /// How long the last page took until it began to come.
    load: Duration,
}

impl Job {
    /// Begins one. What it is must be kept by the caller whatever comes of it: `keep` gets it before the scanner does.
    pub(super) fn begin(
        client: &mut Client,
        plan: &Plan,
        keep: &mut Option<Job>,
        progress: Tell<'_>,
    ) -> Result<(), ScanError> {
        let before = client.status(client.timeouts.reply)?;
        trouble(&before, plan)?;
        if plan.is_fed() && before.adf == Some(usbscan_escl::AdfState::Empty) {
            return Err(DeviceError::NoDocuments.into());
        }
        client.leave(Some(&Note::posting(&before)))?;
        client.guard = Some(Guard::Posting);
        let job = keep.insert(Job { plan: plan.clone(), path: None, before, pages: 0, load: Duration::ZERO });
        let path = client.start_job(plan, &job.before, &mut |waited| progress(Progress::WarmingUp { waited }));
        let path = match path {
            Err(error @ (ScanError::Device(_) | ScanError::Refused { .. })) => {
                // The scanner has answered, and there is no job.
                *keep = None;
                return Err(error);
            }
            path => path?,
        };
        // The answer that was armed for names it too; this holds from the next request on.
        client.guard = Some(Guard::Open(path.clone()));
        client.leave(Some(&Note::Job(path.clone())))?;
        log::debug!("the job is {path}");
        job.path = Some(path);
        progress(Progress::Starting);
        Ok(())
    }

    /// Its name: as the scanner has said it, else as a status has it that shows one job more than before.
    pub(super) fn name_by(&self, status: &ScannerStatus) -> Option<JobPath> {
        self.path.clone().or_else(|| new_job(&self.before, status))
    }

    /// Waits for the next page, whose body comes next then. False: there are no more.
    pub(super) fn next_page(
        &mut self,
        client: &mut Client,
        quirks: EsclQuirks,
        progress: Tell<'_>,
    ) -> Result<bool, ScanError> {
        let path = self.path.clone().ok_or(ProtocolError::NoJob)?;
        if self.pages > 0 {
            client.pages.channel.cancel.pause(pause(quirks, self.load))?;
        }
        let began = Instant::now();
        let timeout = client.timeouts.warm_up.max(client.timeouts.image);
        let mut tries = 0;
        loop {
            let next = client.next_document(&path, &self.plan, timeout)?;
            tries += 1;
            let wait = match next {
                Next::Page => {
                    self.load = began.elapsed();
                    return Ok(true);
                }
                Next::NoMore if quirks.no_page_is_not_yet && self.pages == 0 && tries < ODD_TRIES => {
                    Duration::from_secs(1)
                }
                Next::NoMore => return Ok(false),
                Next::NotYet(_) if tries >= NOT_YET_TRIES => {
                    return Err(ScanError::NoResponse { during: PAGE, after: began.elapsed() });
                }
                Next::NotYet(wait) => wait,
                Next::Trouble(code) => {
                    let status = client.status(client.timeouts.reply)?;
                    trouble(&status, &self.plan)?;
                    let error = if self.plan.is_fed() { DeviceError::Feeder } else { DeviceError::Fatal };
                    log::info!(
                        "the scanner answers {code} to the question for a page, and its status says nothing of it"
                    );
                    return Err(error.into());
                }
            };
            progress(Progress::Starting);
            client.pages.channel.cancel.pause(wait)?;
        }
    }

    /// The scanner has no more pages of it: tells it that this is the end. An error is worth a line in the log.
    pub(super) fn finish(self, client: &mut Client, quirks: EsclQuirks) -> Result<(), ScanError> {
        match self.path {
            Some(path) if !(quirks.no_delete_after_page && self.pages > 0) => {
                client.delete(&path, client.timeouts.reply)
            }
            _ => Ok(()),
        }
    }

    /// Ends it wherever it is: reads what is under way, deletes it, in the order in which that goes fastest.
    pub(super) fn cancel(&self, client: &mut Client) -> Result<(), ScanError> {
        let timeouts = client.timeouts;
        if let Some(second) = &mut client.second {
            second.drain(timeouts.reply, timeouts.reply)?;
        }
        if let (Some(path), true) = (&self.path, client.second.is_some()) {
            // A page that is under way may end early then; other scanners answer only behind it.
            client.start_delete(path)?;
            client.pages.drain(timeouts.image, timeouts.warm_up)?;
            return client.finish_delete(path, timeouts.reply);
        }
        let head = client.pages.drain(timeouts.image, timeouts.warm_up)?;
        let path = match (&self.path, head) {
            (Some(path), _) => Some(path.clone()),
            // The answer to the POST came only now.
            (None, Some(head)) if matches!(head.status, 200 | 201) => Some(client.name_of(&head, &self.before)?),
            (None, Some(_)) => None,
            (None, None) => new_job(&self.before, &client.status(timeouts.reply)?),
        };
        match path {
            Some(path) => client.delete(&path, timeouts.reply),
            None => {
                log::debug!("there was no answer to {JOB} that names one");
                Ok(())
            }
        }
    }
}

/// How long to wait behind a page that took so long to come.
fn pause(quirks: EsclQuirks, load: Duration) -> Duration {
    if quirks.pause_between_pages { (load / 2).min(LONGEST_PAUSE) } else { Duration::ZERO }
}

/// The body of a page.
pub(super) struct Body<'a> {
    client: &'a mut Client,
    first: Option<Bytes>,
}

impl<'a> Body<'a> {
    /// Looks at its first bytes: some scanners send another form than they were asked for.
    pub(super) fn begin(client: &'a mut Client, expected: Format) -> Result<Body<'a>, ScanError> {
        let timeout = client.timeouts.image;
        let mut first = Bytes::new();
        while first.len() < MAGIC_BYTES {
            let Some(more) = client.pages.body(PAGE, timeout)? else { break };
            first = if first.is_empty() { more } else { [&first[..], &more[..]].concat().into() };
        }
        match Format::by_first_bytes(&first) {
            Some(format) if format == expected => Ok(Body { client, first: Some(first) }),
            got => {
                let got = got.map_or("something else", Format::media_type);
                Err(ProtocolError::Format { expected: expected.media_type(), got }.into())
            }
        }
    }

    /// What was read of it comes again.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.first = Some(bytes);
    }

    pub(super) fn client(&mut self) -> &mut Client {
        self.client
    }
}

impl ByteSource for Body<'_> {
    type Error = ScanError;

    fn more(&mut self) -> Result<Option<Bytes>, ScanError> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.client.pages.body(PAGE, self.client.timeouts.image),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feeder_that_is_asked_too_soon_is_left_alone_for_half_a_page_and_a_second_at_most() {
        let slow = EsclQuirks { pause_between_pages: true, ..EsclQuirks::default() };
        assert_eq!(pause(slow, Duration::from_secs(1)), Duration::from_millis(500));
        assert_eq!(pause(slow, Duration::from_secs(9)), Duration::from_secs(1));
        assert_eq!(pause(EsclQuirks::default(), Duration::from_secs(9)), Duration::ZERO);
    }
}

//! Scans page after page, until the feeder is empty or there are enough. Independent of the command line.

use usbscan_scan::{DeviceError, ScanError, Scanner};

use super::super::failure::{DeviceState, Failure};
use super::super::progress::Bar;
use super::super::signal::Signal;
use super::files::{Files, Written};

pub enum NextPage<'a> {
    None,
    /// From the feeder, until it is empty.
    Feeder,
    /// From the glass, after a prompt, whose answer `false` ends the batch.
    Prompt(&'a mut dyn FnMut(u32) -> Result<bool, Failure>),
}

/// The pages of one `usbscan scan`.
pub struct Batch<'a> {
    pub next_page: NextPage<'a>,
    pub max_pages: Option<u32>,
    /// Whether the lines of a page that fails are kept, with the file that they are in.
    pub keep_partial: bool,
    /// The signal that came, if one did.
    pub caught: &'a dyn Fn() -> Option<Signal>,
    pub bar: &'a Bar,
    /// Called after each page.
    pub report: &'a mut dyn FnMut(&Written) -> Result<(), Failure>,
}

impl Batch<'_> {
    /// Scans all pages. Returns the file that they went to, if it was one file.
    ///
    /// # Errors
    /// The error that ended the batch; [`Failure::InPage`] says which pages are kept.
    pub fn scan(mut self, scanner: &mut dyn Scanner, mut files: Files) -> Result<Option<Written>, Failure> {
        loop {
            match self.next(scanner, &mut files) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => return Err(self.abandon(scanner, files, failure)),
            }
        }
        let file = files.finish().map_err(|failure| self.or_interrupted(failure))?;
        scanner.end_batch()?;
        Ok(file)
    }

    /// Scans one page. Returns whether another may follow.
    fn next(&mut self, scanner: &mut dyn Scanner, files: &mut Files) -> Result<bool, Failure> {
        let page = files.next();
        match self.page(scanner, files) {
            Ok(()) => {}
            Err(Failure::Scan(ScanError::Device(DeviceError::NoDocuments))) if page > 1 && self.uses_feeder() => {
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        }
        if let Some(written) = files.page_is_done().map_err(|failure| self.or_interrupted(failure))? {
            (self.report)(&written)?;
        }
        if self.max_pages == Some(page) {
            return Ok(false);
        }
        match &mut self.next_page {
            NextPage::None => Ok(false),
            NextPage::Feeder => Ok(true),
            NextPage::Prompt(ask) => ask(files.next()),
        }
    }

    fn page(&self, scanner: &mut dyn Scanner, files: &mut Files) -> Result<(), Failure> {
        self.check_signal()?;
        let number = (!matches!(self.next_page, NextPage::None)).then(|| files.next());
        self.bar.begin(number);
        let scanned = scanner.scan(files, &mut |progress| self.bar.show(progress));
        self.bar.clear();
        scanned.map_err(|error| signal_or_error((self.caught)(), error))?;
        // A signal after the last line counts too: the user does not expect the page any more.
        self.check_signal()
    }

    fn check_signal(&self) -> Result<(), Failure> {
        (self.caught)().map_or(Ok(()), |signal| Err(Failure::Interrupted { signal, state: DeviceState::Idle }))
    }

    /// The end of a file can't be written either where nobody reads it.
    fn or_interrupted(&self, failure: Failure) -> Failure {
        self.check_signal().err().unwrap_or(failure)
    }

    fn uses_feeder(&self) -> bool {
        matches!(self.next_page, NextPage::Feeder)
    }

    fn abandon(&self, scanner: &mut dyn Scanner, files: Files, failure: Failure) -> Failure {
        if self.uses_feeder() && may_answer(&failure) {
            // The first error is the one to report.
            scanner.end_batch().unwrap_or_else(|error| log::warn!("eject the sheet: {error}"));
        }
        let page = Some(files.next()).filter(|page| *page > 1);
        // After a write error there is nothing to keep.
        let can_be_kept = !matches!(failure, Failure::Scan(ScanError::Sink(_)));
        let kept = match files.abandon(self.keep_partial && can_be_kept) {
            Ok(kept) => kept,
            Err(worse) => Some(format!("the incomplete page can't be kept: {worse}")),
        };
        match (page, kept) {
            (None, None) => failure,
            (page, kept) => Failure::InPage { page, source: Box::new(failure), kept },
        }
    }
}

/// Whether the scanner is connected and in sync.
fn may_answer(failure: &Failure) -> bool {
    match failure {
        Failure::Scan(ScanError::Device(problem)) => *problem != DeviceError::NoDocuments,
        Failure::Scan(error) => matches!(error, ScanError::Cancelled { idle: true } | ScanError::Sink(_)),
        Failure::Interrupted { state, .. } => *state == DeviceState::Idle,
        _ => true,
    }
}

/// The scan's error, or the signal that caused it.
pub fn signal_or_error(caught: Option<Signal>, error: ScanError) -> Failure {
    match caught {
        Some(signal) => {
            let silent = matches!(error, ScanError::Cancelled { idle: false } | ScanError::Transport(_));
            Failure::Interrupted { signal, state: if silent { DeviceState::Recovering } else { DeviceState::Idle } }
        }
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use usbscan_image::{FileFormat, Quality};
    use usbscan_scan::{Cancel, Dpi, Identity, Options, Outcome, PageFormat, PageSink, Pixels, Progress};

    use super::super::super::output::TempFileGuard;
    use super::super::destination::Destination;
    use super::*;

    const PAGE: PageFormat = PageFormat { width: 8, height: Some(4), pixels: Pixels::Gray8, dpi: (Dpi(75), Dpi(75)) };

    /// Scans so many pages and then fails; counts the ends of its batch.
    struct Fake {
        identity: Identity,
        options: Options,
        pages: u32,
        /// Lines of the page that fails.
        lines: usize,
        then: fn() -> ScanError,
        ends: u32,
    }

    fn fake(pages: u32, then: fn() -> ScanError) -> Fake {
        let identity = Identity { protocol: String::new(), model: String::new(), firmware: String::new() };
        Fake { identity, options: Options::new(Vec::new()), pages, lines: 0, then, ends: 0 }
    }

    impl Scanner for Fake {
        fn identity(&self) -> &Identity {
            &self.identity
        }
        fn options(&self) -> &Options {
            &self.options
        }
        fn options_mut(&mut self) -> &mut Options {
            &mut self.options
        }
        fn page_format(&self) -> Result<PageFormat, ScanError> {
            Ok(PAGE)
        }
        fn scan(&mut self, sink: &mut dyn PageSink, _: &mut dyn FnMut(Progress)) -> Result<Outcome, ScanError> {
            let complete = self.pages > 0;
            if !complete && self.lines == 0 {
                return Err((self.then)());
            }
            let lines = if complete { 4 } else { self.lines };
            sink.begin(&PAGE).map_err(ScanError::Sink)?;
            let _ = sink.lines(&vec![0; lines * 8]).map_err(ScanError::Sink)?;
            if !complete {
                return Err((self.then)());
            }
            sink.end().map_err(ScanError::Sink)?;
            self.pages -= 1;
            Ok(Outcome::Complete)
        }
        fn end_batch(&mut self) -> Result<(), ScanError> {
            self.ends += 1;
            Ok(())
        }
        fn cancel_handle(&self) -> Cancel {
            Cancel::new(|_| {})
        }
    }

    fn empty() -> ScanError {
        DeviceError::NoDocuments.into()
    }

    fn jam() -> ScanError {
        DeviceError::PaperJam.into()
    }

    fn files(path: &Path, format: FileFormat) -> Files {
        let name = Destination::parse(path).expect("a name");
        Files::open(name, format, Quality::default(), &TempFileGuard::default(), None).expect("a file")
    }

    /// Scans to `name` in a folder. Returns the outcome, the reported pages, and the names in the folder.
    fn run(
        scanner: &mut Fake,
        next_page: NextPage<'_>,
        name: &str,
        format: FileFormat,
        change: impl FnOnce(&mut Batch<'_>),
    ) -> (Result<u32, String>, Vec<u32>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut reported = Vec::new();
        let mut report = |page: &Written| {
            reported.push(page.pages);
            Ok(())
        };
        let mut asking;
        let next_page = match next_page {
            NextPage::None => NextPage::None,
            NextPage::Feeder => NextPage::Feeder,
            NextPage::Prompt(ask) => {
                asking = |page| ask(page);
                NextPage::Prompt(&mut asking)
            }
        };
        let mut batch = Batch {
            next_page,
            max_pages: None,
            keep_partial: false,
            caught: &|| None,
            bar: &Bar::hidden(),
            report: &mut report,
        };
        change(&mut batch);
        let outcome = batch.scan(scanner, files(&folder.path().join(name), format));
        let outcome = outcome.map(|file| file.map_or(0, |file| file.pages));
        let place = format!("{}/", folder.path().display());
        let outcome = outcome.map_err(|failure| failure.to_string().replace(&place, ""));
        let entries = std::fs::read_dir(folder.path()).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        (outcome, reported, names)
    }

    #[test]
    fn an_empty_feeder_ends_a_batch_with_pages_and_fails_one_without() {
        let (outcome, reported, names) = run(&mut fake(3, empty), NextPage::Feeder, "a.pdf", FileFormat::Pdf, |_| {});
        assert_eq!((outcome, reported, names), (Ok(3), vec![1, 2, 3], vec!["a.pdf".to_owned()]));
        let (outcome, _, names) = run(&mut fake(0, empty), NextPage::Feeder, "a.pdf", FileFormat::Pdf, |_| {});
        assert_eq!(outcome, Err("there is no paper in the document feeder".to_owned()));
        assert!(names.is_empty());
    }

    #[test]
    fn from_the_glass_comes_one_page_or_as_many_as_are_confirmed() {
        let one = run(&mut fake(9, jam), NextPage::None, "a.png", FileFormat::Png, |_| {});
        assert_eq!(one, (Ok(1), vec![1], vec!["a.png".to_owned()]));
        let mut asked = Vec::new();
        let mut ask = |page| {
            asked.push(page);
            Ok(page < 4)
        };
        let three = run(&mut fake(9, jam), NextPage::Prompt(&mut ask), "%d.png", FileFormat::Png, |_| {});
        assert_eq!(three, (Ok(0), vec![1, 2, 3], ["1.png", "2.png", "3.png"].map(str::to_owned).to_vec()));
        assert_eq!(asked, [2, 3, 4]);
    }

    #[test]
    fn the_sheet_is_ejected_however_the_batch_ends_while_the_scanner_may_answer() {
        let ends = |mut scanner: Fake, max_pages| {
            let _ = run(&mut scanner, NextPage::Feeder, "a.pdf", FileFormat::Pdf, |batch| batch.max_pages = max_pages);
            scanner.ends
        };
        assert_eq!(ends(fake(3, jam), Some(2)), 1, "enough pages");
        assert_eq!(ends(fake(3, jam), None), 1, "a jam");
        assert_eq!(ends(fake(3, || ScanError::Cancelled { idle: true }), None), 1, "a cancel");
        assert_eq!(ends(fake(3, || ScanError::Cancelled { idle: false }), None), 0, "a scanner that is silent");
        assert_eq!(ends(fake(3, || ScanError::OutOfSync), None), 0, "a scanner that does not know where it is");
    }

    #[test]
    fn a_signal_between_pages_ends_the_batch_before_the_next_one() {
        let asked = std::cell::Cell::new(0);
        let caught = || {
            asked.set(asked.get() + 1);
            // Not before or after the first page.
            (asked.get() > 2).then_some(Signal(2))
        };
        let mut scanner = fake(3, empty);
        let folder = tempfile::tempdir().expect("a folder");
        let mut report = |_: &Written| Ok(());
        let batch = Batch {
            next_page: NextPage::Feeder,
            max_pages: None,
            keep_partial: false,
            caught: &caught,
            bar: &Bar::hidden(),
            report: &mut report,
        };
        let path = folder.path().join("%d.png");
        let failure = batch.scan(&mut scanner, files(&path, FileFormat::Png)).expect_err("a signal");
        assert!(failure.to_string().starts_with("page 2: interrupted; kept: "), "{failure}");
        assert_eq!((scanner.pages, scanner.ends), (2, 1), "one page, and the next sheet is ejected");
        assert!(folder.path().join("1.png").exists() && !folder.path().join("2.png").exists());
    }

    #[test]
    fn a_file_of_several_pages_is_kept_only_with_keep_partial() {
        let mut scanner = Fake { lines: 3, ..fake(2, jam) };
        let (outcome, _, names) = run(&mut scanner, NextPage::Feeder, "a.tiff", FileFormat::Tiff, |_| {});
        assert!(
            outcome.expect_err("a jam").ends_with("a.tiff was not written; --keep-partial would have kept 2 pages")
        );
        assert!(names.is_empty());
        let mut scanner = Fake { lines: 3, ..fake(2, jam) };
        let keep = |batch: &mut Batch<'_>| batch.keep_partial = true;
        let (outcome, _, names) = run(&mut scanner, NextPage::Feeder, "a.tiff", FileFormat::Tiff, keep);
        assert!(outcome.expect_err("a jam").ends_with("kept: a.tiff with 2 pages and 3 lines of page 3"));
        assert_eq!(names, ["a.tiff"]);
    }
}

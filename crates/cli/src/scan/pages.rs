//! Page after page, until there is no more or no more are wanted. Knows scanners and files, but no command line.

use usbscan_scan::{DeviceError, ScanError, Scanner};

use super::super::failure::{Failure, Left};
use super::super::interrupt::Signal;
use super::super::progress::Bar;
use super::files::{Files, Written};

/// What follows a page.
pub enum More<'a> {
    /// Nothing.
    No,
    /// What the feeder has.
    Fed,
    /// What a person puts on the glass; `false`: nothing.
    Ask(&'a mut dyn FnMut(u32) -> Result<bool, Failure>),
}

/// What is scanned, and who hears of it.
pub struct Pages<'a> {
    /// What follows a page.
    pub more: More<'a>,
    /// So many at most.
    pub most: Option<u32>,
    /// Whether what came of a page that fails is kept, and the file that it is in.
    pub keep_partial: bool,
    /// The signal that asked us to end, if one did.
    pub caught: &'a dyn Fn() -> Option<Signal>,
    /// Shows how it goes on.
    pub bar: &'a Bar,
    /// Hears of each page that is done.
    pub report: &'a mut dyn FnMut(&Written) -> Result<(), Failure>,
}

impl Pages<'_> {
    /// Scans them. What is told at the end is the one file that they went to, if they did.
    ///
    /// # Errors
    /// Whatever ended it; [`Failure::InPage`] says what became of the pages before.
    pub fn scan(mut self, scanner: &mut dyn Scanner, mut files: Files) -> Result<Option<Written>, Failure> {
        loop {
            match self.next(scanner, &mut files) {
                Ok(true) => {}
                Ok(false) => break,
                Err(failure) => return Err(self.give_up(scanner, files, failure)),
            }
        }
        let file = files.finish()?;
        scanner.end_batch()?;
        Ok(file)
    }

    /// Scans one. Whether another may follow.
    fn next(&mut self, scanner: &mut dyn Scanner, files: &mut Files) -> Result<bool, Failure> {
        let page = files.next();
        match self.page(scanner, files) {
            Ok(()) => {}
            Err(Failure::Scan(ScanError::Device(DeviceError::NoDocuments))) if page > 1 && self.is_fed() => {
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        }
        if let Some(written) = files.page_is_done()? {
            (self.report)(&written)?;
        }
        if self.most == Some(page) {
            return Ok(false);
        }
        match &mut self.more {
            More::No => Ok(false),
            More::Fed => Ok(true),
            More::Ask(ask) => ask(files.next()),
        }
    }

    fn page(&self, scanner: &mut dyn Scanner, files: &mut Files) -> Result<(), Failure> {
        self.check_signal()?;
        let number = (!matches!(self.more, More::No)).then(|| files.next());
        self.bar.begin(number);
        let scanned = scanner.scan(files, &mut |progress| self.bar.show(progress));
        self.bar.clear();
        scanned.map_err(|error| ended((self.caught)(), error))?;
        // One that came after the last line is obeyed all the same: nobody expects the page then.
        self.check_signal()
    }

    fn check_signal(&self) -> Result<(), Failure> {
        (self.caught)().map_or(Ok(()), |signal| Err(Failure::Interrupted { signal, left: Left::Idle }))
    }

    fn is_fed(&self) -> bool {
        matches!(self.more, More::Fed)
    }

    fn give_up(&self, scanner: &mut dyn Scanner, files: Files, failure: Failure) -> Failure {
        if self.is_fed() && may_answer(&failure) {
            // The failure that is told is the one that came first.
            scanner.end_batch().unwrap_or_else(|error| log::warn!("put out what the feeder holds: {error}"));
        }
        let page = Some(files.next()).filter(|page| *page > 1);
        // A file that could not be written can't be kept either.
        let can_be_kept = !matches!(failure, Failure::Scan(ScanError::Sink(_)));
        let kept = match files.give_up(self.keep_partial && can_be_kept) {
            Ok(kept) => kept,
            Err(worse) => Some(format!("what came of it can't be kept: {worse}")),
        };
        match (page, kept) {
            (None, None) => failure,
            (page, kept) => Failure::InPage { page, source: Box::new(failure), kept },
        }
    }
}

/// Whether the scanner is there, and in sync.
fn may_answer(failure: &Failure) -> bool {
    match failure {
        Failure::Scan(ScanError::Device(problem)) => *problem != DeviceError::NoDocuments,
        Failure::Scan(error) => matches!(error, ScanError::Cancelled { idle: true } | ScanError::Sink(_)),
        Failure::Interrupted { left, .. } => *left == Left::Idle,
        _ => true,
    }
}

/// A scan's error, or the signal that was its cause.
pub fn ended(caught: Option<Signal>, error: ScanError) -> Failure {
    match caught {
        Some(signal) => {
            let silent = matches!(error, ScanError::Cancelled { idle: false } | ScanError::Transport(_));
            Failure::Interrupted { signal, left: if silent { Left::Silent } else { Left::Idle } }
        }
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use usbscan_image::{FileFormat, Quality};
    use usbscan_scan::{Cancel, Dpi, Identity, Options, Outcome, PageFormat, PageSink, Pixels, Progress};

    use super::super::super::output::Leftover;
    use super::super::name::Name;
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
            let whole = self.pages > 0;
            if !whole && self.lines == 0 {
                return Err((self.then)());
            }
            let lines = if whole { 4 } else { self.lines };
            sink.begin(&PAGE).map_err(ScanError::Sink)?;
            let _ = sink.lines(&vec![0; lines * 8]).map_err(ScanError::Sink)?;
            if !whole {
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
        let name = Name::parse(path).expect("a name");
        Files::open(name, format, Quality::default(), &Leftover::default()).expect("a file")
    }

    /// Scans to `name` in a folder, and says how it ended, which pages were reported, and the names in the folder.
    fn run(
        scanner: &mut Fake,
        more: More<'_>,
        name: &str,
        format: FileFormat,
        change: impl FnOnce(&mut Pages<'_>),
    ) -> (Result<u32, String>, Vec<u32>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut reported = Vec::new();
        let mut report = |page: &Written| {
            reported.push(page.pages);
            Ok(())
        };
        let mut asking;
        let more = match more {
            More::No => More::No,
            More::Fed => More::Fed,
            More::Ask(ask) => {
                asking = |page| ask(page);
                More::Ask(&mut asking)
            }
        };
        let mut pages = Pages {
            more,
            most: None,
            keep_partial: false,
            caught: &|| None,
            bar: &Bar::new(false),
            report: &mut report,
        };
        change(&mut pages);
        let outcome = pages.scan(scanner, files(&folder.path().join(name), format));
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
    fn an_empty_feeder_ends_a_batch_that_has_a_page_and_fails_one_that_has_none() {
        let (outcome, reported, names) = run(&mut fake(3, empty), More::Fed, "a.pdf", FileFormat::Pdf, |_| {});
        assert_eq!((outcome, reported, names), (Ok(3), vec![1, 2, 3], vec!["a.pdf".to_owned()]));
        let (outcome, _, names) = run(&mut fake(0, empty), More::Fed, "a.pdf", FileFormat::Pdf, |_| {});
        assert_eq!(outcome, Err("there is no paper in the document feeder".to_owned()));
        assert!(names.is_empty());
    }

    #[test]
    fn from_the_glass_there_is_one_page_or_as_many_as_are_wished() {
        let one = run(&mut fake(9, jam), More::No, "a.png", FileFormat::Png, |_| {});
        assert_eq!(one, (Ok(1), vec![1], vec!["a.png".to_owned()]));
        let mut asked = Vec::new();
        let mut ask = |page| {
            asked.push(page);
            Ok(page < 4)
        };
        let three = run(&mut fake(9, jam), More::Ask(&mut ask), "%d.png", FileFormat::Png, |_| {});
        assert_eq!(three, (Ok(0), vec![1, 2, 3], ["1.png", "2.png", "3.png"].map(str::to_owned).to_vec()));
        assert_eq!(asked, [2, 3, 4]);
    }

    #[test]
    fn what_the_feeder_holds_is_put_out_however_the_batch_ends_while_the_scanner_may_answer() {
        let ends = |mut scanner: Fake, most| {
            let _ = run(&mut scanner, More::Fed, "a.pdf", FileFormat::Pdf, |pages| pages.most = most);
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
            // Before and behind the first page nothing.
            (asked.get() > 2).then_some(Signal(2))
        };
        let mut scanner = fake(3, empty);
        let folder = tempfile::tempdir().expect("a folder");
        let mut report = |_: &Written| Ok(());
        let pages = Pages {
            more: More::Fed,
            most: None,
            keep_partial: false,
            caught: &caught,
            bar: &Bar::new(false),
            report: &mut report,
        };
        let path = folder.path().join("%d.png");
        let failure = pages.scan(&mut scanner, files(&path, FileFormat::Png)).expect_err("a signal");
        assert!(failure.to_string().starts_with("page 2: interrupted; kept: "), "{failure}");
        assert_eq!((scanner.pages, scanner.ends), (2, 1), "one page, and the next sheet is put out");
        assert!(folder.path().join("1.png").exists() && !folder.path().join("2.png").exists());
    }

    #[test]
    fn a_file_of_several_is_kept_with_the_part_that_is_wanted_and_not_written_else() {
        let mut scanner = Fake { lines: 3, ..fake(2, jam) };
        let (outcome, _, names) = run(&mut scanner, More::Fed, "a.tiff", FileFormat::Tiff, |_| {});
        assert!(
            outcome.expect_err("a jam").ends_with("a.tiff is not written; with --keep-partial it would have 2 pages")
        );
        assert!(names.is_empty());
        let mut scanner = Fake { lines: 3, ..fake(2, jam) };
        let keep = |pages: &mut Pages<'_>| pages.keep_partial = true;
        let (outcome, _, names) = run(&mut scanner, More::Fed, "a.tiff", FileFormat::Tiff, keep);
        assert!(outcome.expect_err("a jam").ends_with("kept: a.tiff with 2 pages and the 3 lines that came"));
        assert_eq!(names, ["a.tiff"]);
    }
}

//! Page after page, until there is no more or no more are wanted. Knows scanners and files, but no command line.

use scan::{Problem, ScanError, Scanner};

use super::super::failure::Failure;
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
    /// Whether to show how it goes on.
    pub shown: bool,
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
            Err(Failure::Scan(ScanError::Scanner(Problem::NoDocuments))) if page > 1 && self.is_fed() => {
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
        self.heed_signal()?;
        let number = (!matches!(self.more, More::No)).then(|| files.next());
        let bar = Bar::new(self.shown, number);
        let scanned = scanner.scan(files, &mut |progress| bar.show(progress));
        bar.clear();
        scanned.map_err(|error| ended((self.caught)(), error))?;
        // One that came after the last line is obeyed all the same: nobody expects the page then.
        self.heed_signal()
    }

    fn heed_signal(&self) -> Result<(), Failure> {
        (self.caught)().map_or(Ok(()), |signal| Err(Failure::Interrupted { signal, idle: true }))
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

/// Whether the scanner is there, and in step.
fn may_answer(failure: &Failure) -> bool {
    match failure {
        Failure::Scan(ScanError::Scanner(problem)) => *problem != Problem::NoDocuments,
        Failure::Scan(error) => matches!(error, ScanError::Cancelled { idle: true } | ScanError::Sink(_)),
        Failure::Interrupted { idle, .. } => *idle,
        _ => true,
    }
}

/// A scan's error, or the signal that was its cause.
pub fn ended(caught: Option<Signal>, error: ScanError) -> Failure {
    match caught {
        Some(signal) => Failure::Interrupted { signal, idle: !matches!(error, ScanError::Cancelled { idle: false }) },
        None => error.into(),
    }
}

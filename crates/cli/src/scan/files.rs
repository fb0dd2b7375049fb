//! The page sink that writes to files: one for all pages, or one per page. A file appears when it is complete, so with
//! one file per page the completed pages stay when a later one fails.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use usbscan_image::{FileFormat, ImageError, PageWriter, Quality};
use usbscan_scan::{Flow, PageFormat, PageSink, SinkError};

use super::super::failure::Failure;
use super::super::interrupt::Interrupts;
use super::super::output::{Output, OutputError, TempFileGuard};
use super::destination::Destination;

#[derive(Debug)]
pub struct Files {
    destination: Destination,
    format: FileFormat,
    quality: Quality,
    temp_file: TempFileGuard,
    interrupts: Option<Interrupts>,
    open: Option<Open>,
    /// Completed pages.
    done: u32,
}

#[derive(Debug)]
struct Open {
    output: Output,
    writer: PageWriter,
}

/// A completed page or file.
#[derive(Debug)]
pub struct Written {
    /// `None`: standard output.
    pub file: Option<PathBuf>,
    /// The format of the last page.
    pub page: PageFormat,
    /// The last page's height in lines.
    pub height: u32,
    /// Pages of the batch so far.
    pub pages: u32,
    pub pages_in_file: u32,
    /// Whether the file is complete.
    pub complete: bool,
    /// Size of a completed regular file.
    pub bytes: Option<u64>,
}

impl Written {
    pub fn json(&self, device: &str) -> Value {
        json!({
            "device": device,
            "file": self.file.as_deref().map_or("-".into(), Path::to_string_lossy),
            "width": self.page.width,
            "height": self.height,
            "pixels": self.page.pixels,
            "dpi": [self.page.dpi.0, self.page.dpi.1],
            "bytes": self.bytes,
        })
    }
}

impl Files {
    /// Opens the file of the first page, so that errors of its path are found before anything is scanned. `interrupts` end the
    /// writing to a pipe that nobody reads.
    ///
    /// # Errors
    /// [`Failure::Output`], [`Failure::Picture`].
    pub fn open(
        destination: Destination,
        format: FileFormat,
        quality: Quality,
        temp_file: &TempFileGuard,
        interrupts: Option<Interrupts>,
    ) -> Result<Files, Failure> {
        let temp_file = temp_file.clone();
        let mut files = Files { destination, format, quality, temp_file, interrupts, open: None, done: 0 };
        files.open = Some(files.open_next()?);
        Ok(files)
    }

    /// The number of the current or next page, from 1.
    pub fn next(&self) -> u32 {
        self.done + 1
    }

    /// Call after a complete page. Completes its file, if it has one of its own.
    ///
    /// # Errors
    /// [`Failure::Output`], [`Failure::Picture`].
    pub fn page_is_done(&mut self) -> Result<Option<Written>, Failure> {
        self.done += 1;
        match self.destination {
            Destination::PerPage(_) => self.close(self.done),
            Destination::Stdout | Destination::Single(_) => Ok(self.written(self.done)),
        }
    }

    /// Call after the last page. Completes the file with all pages.
    ///
    /// # Errors
    /// As [`Files::page_is_done`].
    pub fn finish(&mut self) -> Result<Option<Written>, Failure> {
        match self.destination {
            Destination::PerPage(_) => Ok(None),
            Destination::Stdout | Destination::Single(_) => self.close(self.done),
        }
    }

    /// Call after an error. With `keep_partial`, completes the file with the failed page's lines and the pages before it.
    /// Returns a sentence on what is kept, or could have been.
    ///
    /// # Errors
    /// As [`Files::page_is_done`].
    pub fn abandon(mut self, keep_partial: bool) -> Result<Option<String>, Failure> {
        let mut lines = 0;
        let mut pages = self.done;
        if let Some(open) = self.open.as_mut().filter(|_| keep_partial) {
            let taken = open.writer.lines_taken();
            if open.writer.fill()? {
                (lines, pages) = (taken, pages + 1);
            }
            if open.writer.pages() > 0 {
                self.close(pages)?;
            }
        }
        Ok(Kept { destination: &self.destination, complete: self.done, lines, keep_partial }.describe())
    }

    fn open_next(&self) -> Result<Open, Failure> {
        let output = match self.destination.of_page(self.next()) {
            None => Output::stdout()?,
            Some(path) => Output::create(&path, &self.temp_file)?,
        };
        let mut writer = if output.is_regular() {
            PageWriter::to_file(self.format, self.quality, output.writer()?)?
        } else {
            PageWriter::new(self.format, self.quality, output.interruptible(self.interrupts.clone())?)?
        };
        writer.keep_in(&spool_folder(&output))?;
        Ok(Open { output, writer })
    }

    fn written(&self, pages: u32) -> Option<Written> {
        let writer = &self.open.as_ref()?.writer;
        Some(Written {
            file: self.destination.of_page(pages),
            page: *writer.page()?,
            height: writer.lines_taken(),
            pages,
            pages_in_file: writer.pages(),
            complete: false,
            bytes: None,
        })
    }

    /// Completes the open file, whose last page is `page`.
    fn close(&mut self, page: u32) -> Result<Option<Written>, Failure> {
        let written = self.written(page);
        let Some(Open { output, writer }) = self.open.take() else { return Ok(None) };
        writer.finish().map_err(|error| self.named(page, error))?;
        let bytes = output.length();
        output.finish()?;
        Ok(written.map(|written| Written { complete: true, bytes, ..written }))
    }
}

impl PageSink for Files {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        // The next file is opened late: the feeder may be empty instead.
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_next().map_err(of_file)?,
        };
        let begun = self.open.insert(open).writer.begin(format);
        begun.map_err(|error| self.named_in_sink(error))
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        let taken = self.writer()?.lines(lines);
        taken.map_err(|error| self.named_in_sink(error))
    }

    fn end(&mut self) -> Result<(), SinkError> {
        let taken = self.writer()?.end();
        taken.map_err(|error| self.named_in_sink(error))
    }

    fn takes_jpeg(&self, format: &PageFormat) -> bool {
        PageWriter::passes_jpeg(self.format, self.quality, format)
    }

    fn jpeg(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        let taken = self.writer()?.jpeg(bytes);
        taken.map_err(|error| self.named_in_sink(error))
    }

    fn takes_pdf(&self, _format: &PageFormat) -> bool {
        PageWriter::passes_pdf(self.format, self.quality)
    }

    fn pdf(&mut self, bytes: &[u8]) -> Result<Flow, SinkError> {
        let taken = self.writer()?.pdf(bytes);
        taken.map_err(|error| self.named_in_sink(error))
    }
}

impl Files {
    fn writer(&mut self) -> Result<&mut PageWriter, SinkError> {
        let open = self.open.as_mut().ok_or(ImageError::NotBegun)?;
        Ok(&mut open.writer)
    }

    /// An error with the name of the file that could not be written.
    fn named(&self, page: u32, error: ImageError) -> Failure {
        match error {
            ImageError::Write(source) => {
                let path = self.destination.of_page(page).unwrap_or_else(|| "standard output".into());
                OutputError::Write { path, source }.into()
            }
            other => other.into(),
        }
    }

    fn named_in_sink(&self, error: SinkError) -> SinkError {
        match error.downcast::<ImageError>() {
            Ok(error) => of_file(self.named(self.next(), error)),
            Err(error) => error,
        }
    }
}

/// Where a page is kept whose height is not known yet: beside the file that it becomes, where there is room for it. Beside a pipe
/// or a device there may be nothing that can hold a file.
fn spool_folder(output: &Output) -> PathBuf {
    let temporary = || std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    output.folder().or_else(temporary).unwrap_or_else(|| "/var/tmp".into())
}

/// What is kept when a page fails.
struct Kept<'a> {
    destination: &'a Destination,
    /// Completed pages.
    complete: u32,
    /// Kept lines of the failed page.
    lines: u32,
    keep_partial: bool,
}

impl Kept<'_> {
    fn describe(&self) -> Option<String> {
        let pages = match self.complete {
            0 => None,
            1 => Some("1 page".to_owned()),
            pages => Some(format!("{pages} pages")),
        };
        match self.destination {
            Destination::PerPage(_) => {
                let complete = match self.complete {
                    0 => None,
                    1 => Some(self.file(1)),
                    last => Some(format!("{} to {}", self.file(1), self.file(last))),
                };
                let next = self.complete + 1;
                let part = (self.lines > 0).then(|| format!("{} ({} lines)", self.file(next), self.lines));
                Some(format!("kept: {}", joined(complete, part)?))
            }
            Destination::Stdout | Destination::Single(_) if self.keep_partial => {
                let next = self.complete + 1;
                let part = (self.lines > 0).then(|| format!("{} lines of page {next}", self.lines));
                Some(format!("kept: {} with {}", self.file(1), joined(pages, part)?))
            }
            Destination::Single(_) => {
                Some(format!("{} was not written; --keep-partial would have kept {}", self.file(1), pages?))
            }
            Destination::Stdout => None,
        }
    }

    fn file(&self, page: u32) -> String {
        self.destination.of_page(page).map_or("standard output".to_owned(), |path| path.display().to_string())
    }
}

fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one} and {other}")),
        (one, other) => one.or(other),
    }
}

/// Keeps the type of the file's error, from which exit.rs takes the exit code.
fn of_file(failure: Failure) -> SinkError {
    match failure {
        Failure::Output(error) => SinkError::new(error),
        Failure::Picture(error) => SinkError::new(error),
        other => SinkError::new(other),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_written_whatever_is_beside_it() {
        let (_reader, writer) = rustix::pipe::pipe().expect("a pipe");
        // As a shell's >(COMMAND) is named: nobody can make a file in that folder.
        let path = PathBuf::from(format!("/proc/self/fd/{}", writer.as_raw_fd()));
        for format in [FileFormat::Png, FileFormat::Pnm, FileFormat::Tiff] {
            let destination = Destination::parse(&path).expect("a name");
            let files = Files::open(destination, format, Quality::default(), &TempFileGuard::default(), None);
            let files = files.unwrap_or_else(|error| panic!("{format:?}: {error}"));
            assert!(files.open.is_some_and(|open| !open.output.is_regular()));
        }
    }

    #[test]
    fn a_page_is_kept_beside_the_file_that_a_link_names() {
        let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let link = folder.path().join("page.png");
        std::os::unix::fs::symlink(other.path().join("page.png"), &link).expect("a link");
        for _ in 0..2 {
            let output = Output::create(&link, &TempFileGuard::default()).expect("it opens");
            assert_eq!(spool_folder(&output), other.path().canonicalize().expect("a folder"));
            // The second time there is what the link names.
            output.finish().expect("a file");
        }
    }

    #[test]
    fn the_sentence_names_the_files_that_are_kept() {
        let destination = |text: &str| Destination::parse(text.as_ref()).expect("a name");
        let kept = |text: &str, complete, lines, keep_partial| {
            Kept { destination: &destination(text), complete, lines, keep_partial }.describe()
        };
        assert_eq!(kept("p%d.png", 0, 0, true), None);
        assert_eq!(kept("p%d.png", 1, 0, false).as_deref(), Some("kept: p1.png"));
        assert_eq!(kept("p%d.png", 2, 9, true).as_deref(), Some("kept: p1.png to p2.png and p3.png (9 lines)"));
        assert_eq!(kept("p.pdf", 0, 0, true), None);
        assert_eq!(kept("p.pdf", 0, 9, true).as_deref(), Some("kept: p.pdf with 9 lines of page 1"));
        let part = "kept: p.pdf with 2 pages and 9 lines of page 3";
        assert_eq!(kept("p.pdf", 2, 9, true).as_deref(), Some(part));
        assert_eq!(kept("p.pdf", 0, 0, false), None);
        let lost = "p.pdf was not written; --keep-partial would have kept 1 page";
        assert_eq!(kept("p.pdf", 1, 0, false).as_deref(), Some(lost));
    }
}

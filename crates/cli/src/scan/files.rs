//! The files that pages go to: one for all of them, or one each. A file appears under its name when it is whole, so each
//! page that has a file of its own stays, whatever becomes of the next one.

use std::path::PathBuf;

use serde_json::{Value, json};
use usbscan_image::{FileFormat, PageWriter, Quality};
use usbscan_scan::{Flow, PageFormat, PageSink, SinkError};

use super::super::failure::Failure;
use super::super::output::{Leftover, Output};
use super::name::Name;

/// Where pages go, the sink of each of them.
#[derive(Debug)]
pub struct Files {
    name: Name,
    format: FileFormat,
    quality: Quality,
    leftover: Leftover,
    open: Option<Open>,
    /// Pages that are done.
    done: u32,
}

#[derive(Debug)]
struct Open {
    output: Output,
    writer: PageWriter,
}

/// A page that is done, or a file.
#[derive(Debug)]
pub struct Written {
    /// `None`: standard output.
    pub file: Option<PathBuf>,
    /// The last page of it.
    pub page: PageFormat,
    /// Lines of that.
    pub height: u32,
    /// Pages so far.
    pub pages: u32,
    /// How many of them are in this file.
    pub pages_in_file: u32,
    /// Whether the file is finished.
    pub whole: bool,
    /// Bytes of a plain file that is finished.
    pub bytes: Option<u64>,
}

impl Written {
    /// For `--json`.
    pub fn json(&self, device: &str) -> Value {
        json!({
            "device": device,
            "file": self.file.clone().unwrap_or_else(|| "-".into()),
            "width": self.page.width,
            "height": self.height,
            "pixels": self.page.pixels,
            "dpi": [self.page.dpi.0, self.page.dpi.1],
            "bytes": self.bytes,
        })
    }
}

impl Files {
    /// With the file of the first page open: all that can be wrong with it is found before anything is scanned.
    ///
    /// # Errors
    /// [`Failure::Output`], [`Failure::Picture`].
    pub fn open(name: Name, format: FileFormat, quality: Quality, leftover: &Leftover) -> Result<Files, Failure> {
        let mut files = Files { name, format, quality, leftover: leftover.clone(), open: None, done: 0 };
        files.open = Some(files.open_next()?);
        Ok(files)
    }

    /// The number of the page that is under way, or comes next, from 1.
    pub fn next(&self) -> u32 {
        self.done + 1
    }

    /// A page is scanned whole. Its own file, if it has one, is put in place.
    ///
    /// # Errors
    /// [`Failure::Output`], [`Failure::Picture`].
    pub fn page_is_done(&mut self) -> Result<Option<Written>, Failure> {
        self.done += 1;
        match self.name {
            Name::Each(_) => self.close(self.done),
            Name::Stdout | Name::One(_) => Ok(self.written(self.done)),
        }
    }

    /// No more pages come. The one file that they went to, if they did, is put in place.
    ///
    /// # Errors
    /// As [`Files::page_is_done`].
    pub fn finish(&mut self) -> Result<Option<Written>, Failure> {
        match self.name {
            Name::Each(_) => Ok(None),
            Name::Stdout | Name::One(_) => self.close(self.done),
        }
    }

    /// A page failed. What came of it is kept if that is `wanted`, and so are the pages before it in the same file. Says
    /// what is kept, or could have been; nothing where there was nothing.
    ///
    /// # Errors
    /// As [`Files::page_is_done`].
    pub fn give_up(mut self, wanted: bool) -> Result<Option<String>, Failure> {
        let mut lines = 0;
        let mut pages = self.done;
        if let Some(open) = self.open.as_mut().filter(|_| wanted) {
            let came = open.writer.lines_taken();
            if open.writer.fill()? {
                (lines, pages) = (came, pages + 1);
            }
            if open.writer.pages() > 0 {
                self.close(pages)?;
            }
        }
        Ok(Kept { name: &self.name, whole: self.done, lines, wanted }.in_words())
    }

    fn open_next(&self) -> Result<Open, Failure> {
        let output = match self.name.of_page(self.next()) {
            None => Output::stdout()?,
            Some(path) => Output::create(&path, &self.leftover)?,
        };
        let file = output.writer()?;
        let writer = if output.is_plain() {
            PageWriter::to_file(self.format, self.quality, file)?
        } else {
            PageWriter::new(self.format, self.quality, file)?
        };
        Ok(Open { output, writer })
    }

    fn written(&self, pages: u32) -> Option<Written> {
        let writer = &self.open.as_ref()?.writer;
        Some(Written {
            file: self.name.of_page(pages),
            page: *writer.page()?,
            height: writer.lines_taken(),
            pages,
            pages_in_file: writer.pages(),
            whole: false,
            bytes: None,
        })
    }

    /// Ends the file that is open, whose last page is this.
    fn close(&mut self, page: u32) -> Result<Option<Written>, Failure> {
        let written = self.written(page);
        let Some(Open { output, writer }) = self.open.take() else { return Ok(None) };
        writer.finish()?;
        let bytes = output.length();
        output.finish()?;
        Ok(written.map(|written| Written { whole: true, bytes, ..written }))
    }
}

impl PageSink for Files {
    fn begin(&mut self, format: &PageFormat) -> Result<(), SinkError> {
        // Only now: a feeder may have been empty instead.
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_next().map_err(of_file)?,
        };
        self.open.insert(open).writer.begin(format)
    }

    fn lines(&mut self, lines: &[u8]) -> Result<Flow, SinkError> {
        self.writer()?.lines(lines)
    }

    fn end(&mut self) -> Result<(), SinkError> {
        self.writer()?.end()
    }
}

impl Files {
    fn writer(&mut self) -> Result<&mut PageWriter, SinkError> {
        let open = self.open.as_mut().ok_or(usbscan_image::ImageError::NotBegun)?;
        Ok(&mut open.writer)
    }
}

/// What is left when a page fails.
struct Kept<'a> {
    name: &'a Name,
    /// Pages before it.
    whole: u32,
    /// Lines of it that came and are kept.
    lines: u32,
    /// Whether parts are kept.
    wanted: bool,
}

impl Kept<'_> {
    fn in_words(&self) -> Option<String> {
        let lines = (self.lines > 0).then(|| format!("the {} lines that came", self.lines));
        let pages = match self.whole {
            0 => None,
            1 => Some("1 page".to_owned()),
            pages => Some(format!("{pages} pages")),
        };
        match self.name {
            Name::Each(_) => {
                let whole = match self.whole {
                    0 => None,
                    1 => Some(self.file(1)),
                    last => Some(format!("{} to {}", self.file(1), self.file(last))),
                };
                let part = lines.map(|lines| format!("{} with {lines}", self.file(self.whole + 1)));
                Some(format!("kept: {}", joined(whole, part)?))
            }
            Name::Stdout | Name::One(_) if self.wanted => {
                Some(format!("kept: {} with {}", self.file(1), joined(pages, lines)?))
            }
            Name::One(_) => {
                Some(format!("{} is not written; with --keep-partial it would have {}", self.file(1), pages?))
            }
            Name::Stdout => None,
        }
    }

    fn file(&self, page: u32) -> String {
        self.name.of_page(page).map_or("standard output".to_owned(), |path| path.display().to_string())
    }
}

fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    match (one, other) {
        (Some(one), Some(other)) => Some(format!("{one} and {other}")),
        (one, other) => one.or(other),
    }
}

/// The file's own error, which keeps its exit code.
fn of_file(failure: Failure) -> SinkError {
    match failure {
        Failure::Output(error) => SinkError::new(error),
        Failure::Picture(error) => SinkError::new(error),
        other => SinkError::new(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_said_with_its_files() {
        let name = |text: &str| Name::parse(text.as_ref()).expect("a name");
        let say = |text: &str, whole, lines, wanted| Kept { name: &name(text), whole, lines, wanted }.in_words();
        assert_eq!(say("p%d.png", 0, 0, true), None);
        assert_eq!(say("p%d.png", 1, 0, false).as_deref(), Some("kept: p1.png"));
        assert_eq!(
            say("p%d.png", 2, 9, true).as_deref(),
            Some("kept: p1.png to p2.png and p3.png with the 9 lines that came")
        );
        assert_eq!(say("p.pdf", 0, 0, true), None);
        assert_eq!(say("p.pdf", 0, 9, true).as_deref(), Some("kept: p.pdf with the 9 lines that came"));
        assert_eq!(say("p.pdf", 2, 9, true).as_deref(), Some("kept: p.pdf with 2 pages and the 9 lines that came"));
        assert_eq!(say("p.pdf", 0, 0, false), None);
        let lost = "p.pdf is not written; with --keep-partial it would have 1 page";
        assert_eq!(say("p.pdf", 1, 0, false).as_deref(), Some(lost));
    }
}

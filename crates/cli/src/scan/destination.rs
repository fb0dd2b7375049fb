//! The argument of `-o`: standard output, one file for all pages, or one file per page (`page-%03d.png`).

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use usbscan_image::FileFormat;

use super::super::args::{Format, Scan};
use super::super::failure::Failure;
use super::super::output::OutputError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Stdout,
    /// One file for all pages.
    Single(PathBuf),
    /// One file per page.
    PerPage(NamePattern),
}

/// A file name with a page number in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    pattern: PathBuf,
    /// The file name before the number.
    prefix: Vec<u8>,
    /// The file name after the number.
    suffix: Vec<u8>,
    /// Minimum width of the number.
    width: usize,
    fill: u8,
    numbers: Numbers,
}

/// The numbers of pages in file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    start: u32,
    increment: i32,
}

impl Numbers {
    /// The number of a page, counted from 1; `None` below 0.
    fn of_page(self, page: u32) -> Option<u64> {
        let steps = i64::from(page) - 1;
        u64::try_from(i64::from(self.start) + steps * i64::from(self.increment)).ok()
    }

    /// The page that has this number.
    fn page_of(self, number: u64) -> Option<u64> {
        let distance = i64::try_from(number).ok()? - i64::from(self.start);
        let increment = i64::from(self.increment);
        (distance % increment == 0 && distance / increment >= 0).then(|| (distance / increment).unsigned_abs() + 1)
    }
}

impl Destination {
    /// From `-o`.
    ///
    /// # Errors
    /// [`OutputError::Terminal`], [`OutputError::Numbers`].
    pub fn from_args(args: &Scan) -> Result<Destination, OutputError> {
        let path = match args.output.as_deref() {
            None if std::io::stdout().is_terminal() => return Err(OutputError::Terminal),
            None => return Ok(Destination::Stdout),
            Some(path) if path == Path::new("-") => return Ok(Destination::Stdout),
            Some(path) => path,
        };
        let numbers = Numbers { start: args.start.unwrap_or(1), increment: args.increment.unwrap_or(1) };
        Ok(match Destination::parse(path)? {
            Destination::PerPage(pattern) => Destination::PerPage(NamePattern { numbers, ..pattern }),
            other => other,
        })
    }

    /// How many pages have a number that is not below 0; `None` where numbers grow, or there are none.
    pub fn max_pages(&self) -> Option<u32> {
        let Destination::PerPage(NamePattern { numbers: Numbers { start, increment }, .. }) = self else { return None };
        (*increment < 0).then(|| start / increment.unsigned_abs() + 1)
    }

    /// The files of earlier pages that a batch of up to `pages` pages may replace.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn existing_files(&self, pages: Option<u32>) -> std::io::Result<Vec<PathBuf>> {
        let Destination::PerPage(pattern) = self else { return Ok(Vec::new()) };
        let folder = match pattern.pattern.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            // A device such as /dev/null is no earlier page.
            let is_page = |page| page <= u64::from(pages.unwrap_or(u32::MAX)) && entry.path().is_file();
            if pattern.page_of(entry.file_name().as_bytes()).is_some_and(is_page) {
                found.push(pattern.pattern.with_file_name(entry.file_name()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// From the path of a file.
    ///
    /// # Errors
    /// [`OutputError::Numbers`].
    pub fn parse(path: &Path) -> Result<Destination, OutputError> {
        Ok(match NamePattern::parse(path)? {
            Some(numbered) => Destination::PerPage(numbered),
            None => Destination::Single(path.to_owned()),
        })
    }

    /// The file of a page, counted from 1; `None` for standard output.
    pub fn of_page(&self, page: u32) -> Option<PathBuf> {
        match self {
            Destination::Stdout => None,
            Destination::Single(path) => Some(path.clone()),
            Destination::PerPage(numbered) => Some(numbered.of_page(page)),
        }
    }

    /// The requested format, or the one of the file extension; PNG for standard output.
    ///
    /// # Errors
    /// [`Failure::NoFormat`].
    pub fn format(&self, requested: Option<Format>) -> Result<FileFormat, Failure> {
        if let Some(format) = requested {
            return Ok(format.into());
        }
        let path = match self {
            Destination::Stdout => return Ok(FileFormat::Png),
            Destination::Single(path) | Destination::PerPage(NamePattern { pattern: path, .. }) => path,
        };
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("png") => Ok(FileFormat::Png),
            Some("pnm" | "pbm" | "pgm" | "ppm") => Ok(FileFormat::Pnm),
            Some("tif" | "tiff") => Ok(FileFormat::Tiff),
            Some("jpg" | "jpeg") => Ok(FileFormat::Jpeg),
            Some("pdf") => Ok(FileFormat::Pdf),
            _ => Err(Failure::NoFormat { name: path.display().to_string() }),
        }
    }
}

impl From<Format> for FileFormat {
    fn from(format: Format) -> FileFormat {
        match format {
            Format::Png => FileFormat::Png,
            Format::Pnm => FileFormat::Pnm,
            Format::Tiff => FileFormat::Tiff,
            Format::Jpeg => FileFormat::Jpeg,
            Format::Pdf => FileFormat::Pdf,
        }
    }
}

impl NamePattern {
    /// `None` if the file name has no `%d` in it. One in a folder's name is not replaced.
    fn parse(path: &Path) -> Result<Option<NamePattern>, OutputError> {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let mut found = (0..name.len()).filter_map(|at| placeholder_at(name, at));
        let Some(Placeholder { at, end, width, fill }) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(OutputError::Numbers(path.to_owned()));
        }
        let (prefix, suffix) = (name[..at].to_vec(), name[end..].to_vec());
        Ok(Some(NamePattern {
            pattern: path.to_owned(),
            prefix,
            suffix,
            width,
            fill,
            numbers: Numbers { start: 1, increment: 1 },
        }))
    }

    /// The page whose file has this name.
    fn page_of(&self, name: &[u8]) -> Option<u64> {
        let digits = name.strip_prefix(self.prefix.as_slice())?.strip_suffix(self.suffix.as_slice())?;
        let number = std::str::from_utf8(digits).ok()?.trim_start_matches(char::from(self.fill));
        let number: u64 = if number.is_empty() && self.fill == b'0' { 0 } else { number.parse().ok()? };
        let page = self.numbers.page_of(number)?;
        // Only as this pattern writes it.
        let written = self.of_page(u32::try_from(page).ok()?);
        (written.file_name().is_some_and(|written| written.as_bytes() == name)).then_some(page)
    }

    fn of_page(&self, page: u32) -> PathBuf {
        // A batch ends before its numbers do, see `max_pages`.
        let digits = self.numbers.of_page(page).unwrap_or_default().to_string();
        let mut name = self.prefix.clone();
        name.resize(name.len() + self.width.saturating_sub(digits.len()), self.fill);
        name.extend(digits.as_bytes());
        name.extend(&self.suffix);
        self.pattern.with_file_name(OsString::from_vec(name))
    }
}

/// Where the page number goes.
struct Placeholder {
    at: usize,
    end: usize,
    width: usize,
    fill: u8,
}

/// Parses `%d`, `%3d` or `%03d` with a one-digit width. Any other `%` is part of the name.
fn placeholder_at(name: &[u8], at: usize) -> Option<Placeholder> {
    let rest = name[at..].strip_prefix(b"%")?;
    let (fill, rest) = rest.strip_prefix(b"0").map_or((b' ', rest), |rest| (b'0', rest));
    let (width, rest) = match rest {
        [digit @ b'1'..=b'9', rest @ ..] => (usize::from(digit - b'0'), rest),
        _ => (0, rest),
    };
    let rest = rest.strip_prefix(b"d")?;
    Some(Placeholder { at, end: name.len() - rest.len(), width, fill })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::super::args::{Arguments, Command};
    use super::*;

    fn parse(words: &[&str]) -> Scan {
        let arguments = Arguments::parse_from(["usbscan", "scan"].iter().chain(words));
        let Command::Scan(args) = arguments.command else { panic!("another command") };
        args
    }

    fn name(text: &str) -> Destination {
        Destination::from_args(&parse(&["-o", text])).expect("a name")
    }

    fn page_3_of(text: &str) -> String {
        name(text).of_page(3).expect("a file").display().to_string()
    }

    #[test]
    fn the_file_extension_selects_the_format_unless_another_is_requested() {
        let format = |text: &str| name(text).format(None).ok();
        assert_eq!(format("page.png"), Some(FileFormat::Png));
        assert_eq!(format("page.PPM"), Some(FileFormat::Pnm));
        assert_eq!(format("page.tif"), Some(FileFormat::Tiff));
        assert_eq!(format("page.JPG"), Some(FileFormat::Jpeg));
        assert_eq!(format("page-%d.pdf"), Some(FileFormat::Pdf));
        assert_eq!(format("-"), Some(FileFormat::Png));
        assert_eq!(name("page.ppm").format(Some(Format::Tiff)).ok(), Some(FileFormat::Tiff));
        assert!(matches!(name("page").format(None), Err(Failure::NoFormat { .. })));
        assert!(matches!(name("page.gif").format(None), Err(Failure::NoFormat { .. })));
    }

    #[test]
    fn a_placeholder_becomes_the_page_number() {
        assert_eq!(page_3_of("page-%03d.png"), "page-003.png");
        assert_eq!(page_3_of("a/%d.png"), "a/3.png");
        assert_eq!(page_3_of("%2d.png"), " 3.png");
        let twelve = name("p%1d.png").of_page(12).expect("a file");
        assert_eq!(twelve, Path::new("p12.png"));
    }

    #[test]
    fn other_percent_signs_are_part_of_the_name() {
        for text in ["50%.png", "%s.png", "%%.png", "%12d.png", "100%d/page.png", "%"] {
            assert_eq!(name(text), Destination::Single(text.into()), "{text}");
        }
    }

    #[test]
    fn start_and_increment_number_the_pages() {
        let destination = |words: &[&str]| Destination::from_args(&parse(words)).expect("a name");
        let names = |destination: &Destination| -> Vec<String> {
            let paths = (1..=3).map(|page| destination.of_page(page).expect("a file"));
            paths.map(|path| path.display().to_string()).collect()
        };
        let fronts = destination(&["-o", "p%d.png", "--start", "1", "--increment", "2"]);
        assert_eq!(
            (names(&fronts), fronts.max_pages()),
            (["p1.png", "p3.png", "p5.png"].map(str::to_owned).to_vec(), None)
        );
        let backs = destination(&["-o", "p%02d.png", "--start", "6", "--increment", "-2"]);
        assert_eq!(names(&backs), ["p06.png", "p04.png", "p02.png"]);
        assert_eq!(backs.max_pages(), Some(4), "6, 4, 2, 0");
    }

    #[test]
    fn files_of_earlier_pages_are_found_by_their_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["p-002.png", "p-003.png", "p-010.png", "p-4.png", "p-x.png", "q-001.png"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        let found = |words: &[&str], pages| -> Vec<String> {
            let pattern = folder.path().join("p-%03d.png").display().to_string();
            let destination = Destination::from_args(&parse(&[&["-o", &pattern], words].concat())).expect("a name");
            let files = destination.existing_files(pages).expect("a folder");
            files.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(found(&[], None), ["p-002.png", "p-003.png", "p-010.png"]);
        assert_eq!(found(&[], Some(2)), ["p-002.png"]);
        assert_eq!(found(&["--start", "4"], None), ["p-010.png"]);
        assert_eq!(found(&["--increment", "2"], None), ["p-003.png"]);
        assert_eq!(found(&["--start", "9", "--increment", "-1"], None), ["p-002.png", "p-003.png"]);
    }

    #[test]
    fn two_placeholders_are_refused() {
        let error = Destination::from_args(&parse(&["-o", "%d-%02d.png"])).expect_err("two");
        assert!(matches!(error, OutputError::Numbers(_)), "{error}");
    }
}

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
        Destination::parse(path)
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
        Ok(Some(NamePattern { pattern: path.to_owned(), prefix, suffix, width, fill }))
    }

    fn of_page(&self, page: u32) -> PathBuf {
        let digits = page.to_string();
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
    fn two_placeholders_are_refused() {
        let error = Destination::from_args(&parse(&["-o", "%d-%02d.png"])).expect_err("two");
        assert!(matches!(error, OutputError::Numbers(_)), "{error}");
    }
}

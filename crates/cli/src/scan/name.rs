//! Where pages go: standard output, one file, or a file a page, whose name has a number in it, as `page-%03d.png`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use usbscan_image::FileFormat;

use super::super::args::{Format, Scan};
use super::super::failure::Failure;
use super::super::output::OutputError;

/// Where pages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// Standard output.
    Stdout,
    /// This file, all of them.
    One(PathBuf),
    /// A file each.
    Each(Numbered),
}

/// A name with a number in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// As it was given.
    pattern: PathBuf,
    /// The file's name before and behind the number.
    before: Vec<u8>,
    behind: Vec<u8>,
    /// At least so many digits.
    width: usize,
    filled_with: u8,
}

impl Name {
    /// Reads what `-o` says.
    ///
    /// # Errors
    /// [`OutputError::Terminal`], [`OutputError::Numbers`].
    pub fn of(wish: &Scan) -> Result<Name, OutputError> {
        let path = match wish.output.as_deref() {
            None if std::io::stdout().is_terminal() => return Err(OutputError::Terminal),
            None => return Ok(Name::Stdout),
            Some(path) if path == Path::new("-") => return Ok(Name::Stdout),
            Some(path) => path,
        };
        Name::parse(path)
    }

    /// Reads the name of a file.
    ///
    /// # Errors
    /// [`OutputError::Numbers`].
    pub fn parse(path: &Path) -> Result<Name, OutputError> {
        Ok(match Numbered::parse(path)? {
            Some(numbered) => Name::Each(numbered),
            None => Name::One(path.to_owned()),
        })
    }

    /// The file of a page, counted from 1; `None` for standard output.
    pub fn of_page(&self, page: u32) -> Option<PathBuf> {
        match self {
            Name::Stdout => None,
            Name::One(path) => Some(path.clone()),
            Name::Each(numbered) => Some(numbered.of_page(page)),
        }
    }

    /// The format that was asked for, or that the name's ending names; standard output gets PNG.
    ///
    /// # Errors
    /// [`Failure::NoFormat`].
    pub fn format(&self, asked: Option<Format>) -> Result<FileFormat, Failure> {
        if let Some(format) = asked {
            return Ok(format.into());
        }
        let path = match self {
            Name::Stdout => return Ok(FileFormat::Png),
            Name::One(path) | Name::Each(Numbered { pattern: path, .. }) => path,
        };
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_deref().and_then(|ending| ending.to_str()) {
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

impl Numbered {
    /// `None` if the name of the file has no number in it; folders have none.
    fn parse(path: &Path) -> Result<Option<Numbered>, OutputError> {
        let name = path.file_name().unwrap_or_default().as_bytes();
        let mut found = (0..name.len()).filter_map(|at| number_at(name, at));
        let Some(Found { at, end, width, filled_with }) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(OutputError::Numbers(path.to_owned()));
        }
        let (before, behind) = (name[..at].to_vec(), name[end..].to_vec());
        Ok(Some(Numbered { pattern: path.to_owned(), before, behind, width, filled_with }))
    }

    fn of_page(&self, page: u32) -> PathBuf {
        let digits = page.to_string();
        let mut name = self.before.clone();
        name.resize(name.len() + self.width.saturating_sub(digits.len()), self.filled_with);
        name.extend(digits.as_bytes());
        name.extend(&self.behind);
        self.pattern.with_file_name(OsString::from_vec(name))
    }
}

/// A place for a number.
struct Found {
    at: usize,
    end: usize,
    width: usize,
    filled_with: u8,
}

/// `%d`, `%3d` or `%03d`, with one digit of width; any other % is a character of the name.
fn number_at(name: &[u8], at: usize) -> Option<Found> {
    let rest = name[at..].strip_prefix(b"%")?;
    let (filled_with, rest) = rest.strip_prefix(b"0").map_or((b' ', rest), |rest| (b'0', rest));
    let (width, rest) = match rest {
        [digit @ b'1'..=b'9', rest @ ..] => (usize::from(digit - b'0'), rest),
        _ => (0, rest),
    };
    let rest = rest.strip_prefix(b"d")?;
    Some(Found { at, end: name.len() - rest.len(), width, filled_with })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::super::args::{Arguments, Command};
    use super::*;

    fn wish(words: &[&str]) -> Scan {
        let arguments = Arguments::parse_from(["usbscan", "scan"].iter().chain(words));
        let Command::Scan(wish) = arguments.command else { panic!("another command") };
        wish
    }

    fn name(text: &str) -> Name {
        Name::of(&wish(&["-o", text])).expect("a name")
    }

    fn page_3_of(text: &str) -> String {
        name(text).of_page(3).expect("a file").display().to_string()
    }

    #[test]
    fn the_ending_of_the_name_says_the_format_unless_another_is_asked_for() {
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
    fn a_number_in_a_name_is_the_pages() {
        assert_eq!(page_3_of("page-%03d.png"), "page-003.png");
        assert_eq!(page_3_of("a/%d.png"), "a/3.png");
        assert_eq!(page_3_of("%2d.png"), " 3.png");
        let twelve = name("p%1d.png").of_page(12).expect("a file");
        assert_eq!(twelve, Path::new("p12.png"));
    }

    #[test]
    fn what_is_no_number_stays_as_it_is() {
        for text in ["50%.png", "%s.png", "%%.png", "%12d.png", "100%d/page.png", "%"] {
            assert_eq!(name(text), Name::One(text.into()), "{text}");
        }
    }

    #[test]
    fn two_numbers_in_a_name_are_one_too_many() {
        let error = Name::of(&wish(&["-o", "%d-%02d.png"])).expect_err("two");
        assert!(matches!(error, OutputError::Numbers(_)), "{error}");
    }
}

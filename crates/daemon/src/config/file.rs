//! Reads the files of the configuration and of the model table: TOML of a bounded length, with unknown keys refused by the
//! types that are read. An error names the file, and the line where there is one.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;

/// A longer file is no configuration; it is not read into memory.
const MAX_BYTES: u64 = 1 << 20;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("read {}: {error}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is too long to be one.
    #[error("{}: longer than {MAX_BYTES} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// It is not TOML, or has a key that nobody knows; the text names the line.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What, and where.
        error: Box<toml::de::Error>,
    },
}

impl FileError {
    /// The system could not read `path`.
    pub(super) fn read(path: &Path, error: io::Error) -> FileError {
        FileError::Read { path: path.to_owned(), error }
    }

    /// Whether there is no such file.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, FileError::Read { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    let length = fs::metadata(path).map_err(|error| FileError::read(path, error))?.len();
    if length > MAX_BYTES {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(|error| FileError::read(path, error))
}

/// Understands a file's text. `path` is for what is said of it.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| FileError::Syntax { path: path.to_owned(), error: Box::new(error) })
}

//! A page whose height is known only at its end, kept in a nameless file until then: every format but TIFF names the height first.
//! Compressed as quickly as that goes, which is quicker than a disk takes what it saves.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::ImageError;

/// Bytes handed on at a time.
const PIECE: usize = 64 << 10;

/// A nameless file in a folder, and an error that names the folder.
pub fn nameless_file(folder: &Path) -> Result<File, ImageError> {
    tempfile::tempfile_in(folder).map_err(|source| ImageError::Spool { folder: folder.to_owned(), source })
}

/// The lines of a page.
pub struct Spool {
    folder: PathBuf,
    zlib: ZlibEncoder<File>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Spool {
    /// In an empty file, which is in that folder.
    pub fn new(file: File, folder: &Path) -> Spool {
        Spool { folder: folder.to_owned(), zlib: ZlibEncoder::new(file, Compression::fast()) }
    }

    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        self.zlib.write_all(lines).map_err(failed_in(&self.folder))
    }

    /// Hands all lines on, whole lines at a time.
    pub fn replay(
        self,
        bytes_per_line: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let failed = failed_in(&self.folder);
        let mut file = self.zlib.finish().map_err(&failed)?;
        file.seek(SeekFrom::Start(0)).map_err(&failed)?;
        let mut all = ZlibDecoder::new(file);
        let lines = (PIECE / bytes_per_line).max(1);
        let mut piece = Vec::with_capacity(lines * bytes_per_line);
        loop {
            piece.clear();
            let length = (lines * bytes_per_line) as u64;
            (&mut all).take(length).read_to_end(&mut piece).map_err(&failed)?;
            if piece.is_empty() {
                return Ok(());
            }
            take(&piece)?;
        }
    }
}

fn failed_in(folder: &Path) -> impl Fn(io::Error) -> ImageError {
    let folder = folder.to_owned();
    move |source| ImageError::Spool { folder: folder.clone(), source }
}

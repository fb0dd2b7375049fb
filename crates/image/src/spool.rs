//! A page whose height is known only at its end, kept in a nameless file until then: every format names the height first.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::ImageError;

/// Bytes handed on at a time.
const PIECE: usize = 64 << 10;

/// The lines of a page.
#[derive(Debug)]
pub struct Spool(File);

impl Spool {
    pub fn new() -> Result<Spool, ImageError> {
        tempfile::tempfile().map(Spool).map_err(ImageError::Spool)
    }

    pub fn lines(&mut self, lines: &[u8]) -> Result<(), ImageError> {
        self.0.write_all(lines).map_err(ImageError::Spool)
    }

    /// Hands all lines on, whole lines at a time.
    pub fn replay(
        mut self,
        bytes_per_line: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        self.0.seek(SeekFrom::Start(0)).map_err(ImageError::Spool)?;
        let lines = (PIECE / bytes_per_line).max(1);
        let mut piece = Vec::with_capacity(lines * bytes_per_line);
        loop {
            piece.clear();
            let room = (lines * bytes_per_line) as u64;
            (&self.0).take(room).read_to_end(&mut piece).map_err(ImageError::Spool)?;
            if piece.is_empty() {
                return Ok(());
            }
            take(&piece)?;
        }
    }
}

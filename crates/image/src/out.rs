//! Where a file's bytes go: counted, and in a plain file to be mended afterwards.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Where a file's bytes go.
pub struct Out {
    sink: Box<dyn Write + Send>,
    /// The same file, where bytes that are written can be replaced.
    file: Option<File>,
    written: u64,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Out").field("written", &self.written).finish_non_exhaustive()
    }
}

impl Out {
    /// Bytes are gone once they are written.
    pub fn through(sink: impl Write + Send + 'static) -> Out {
        Out { sink: Box::new(sink), file: None, written: 0 }
    }

    /// A file that is empty yet.
    pub fn file(file: File) -> io::Result<Out> {
        Ok(Out { file: Some(file.try_clone()?), sink: Box::new(file), written: 0 })
    }

    /// A nameless file that has so many bytes already, none of which take up room.
    #[cfg(test)]
    pub fn hole(written: u64) -> Out {
        use std::io::Seek;

        let mut file = tempfile::tempfile().expect("a nameless file");
        file.seek(io::SeekFrom::Start(written)).expect("files can be so long");
        Out { written, ..Out::file(file).expect("a file") }
    }

    /// How many bytes it has.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether [`Out::patch`] works.
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Replaces bytes that were written.
    pub fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        match &self.file {
            Some(file) => file.write_all_at(bytes, at),
            None => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

//! A page that is kept until its height is known: compressed, in memory while it is small and then in a nameless file. The thread
//! that scans writes it, and reads it once it is whole.

use std::fmt;
use std::io::{self, Read, Seek, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use tempfile::SpooledTempFile;

use crate::environment;

/// Compressed bytes that are kept in memory: most office pages at 300 dpi.
const IN_MEMORY: usize = 4 << 20;

/// A page that is being written.
pub struct Spool {
    zlib: ZlibEncoder<SpooledTempFile>,
    bytes: u64,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Spool {
    pub fn new() -> Spool {
        // The quickest: a scanner is not kept waiting for what some per cent less would cost.
        Spool {
            zlib: ZlibEncoder::new(
                SpooledTempFile::new_in(IN_MEMORY, environment::temporary_folder()),
                Compression::fast(),
            ),
            bytes: 0,
        }
    }

    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.bytes += lines.len() as u64;
        self.zlib.write_all(lines)
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// From the first byte on.
    pub fn read(self) -> io::Result<impl Read> {
        let mut file = self.zlib.finish()?;
        file.rewind()?;
        Ok(ZlibDecoder::new(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_though_it_is_more_than_fits_in_memory() {
        // Bytes that nothing makes smaller.
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(IN_MEMORY + 4321)
        .collect();
        let mut spool = Spool::new();
        noise.chunks(77_777).for_each(|lines| spool.write(lines).expect("there is room"));
        assert_eq!(spool.bytes(), noise.len() as u64);
        let mut read = Vec::new();
        spool.read().expect("it rewinds").read_to_end(&mut read).expect("it is whole");
        assert!(read == noise);
    }
}

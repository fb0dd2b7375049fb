//! JPEG as scanners send it.

use usbscan_client::Bytes;
use usbscan_scan::jpeg::{ByteSource, Decoder, JpegError};

/// Bytes of pixels after which a picture was looked at for long enough.
const ENOUGH: usize = 16 << 20;

struct Chunks<'a>(std::slice::Chunks<'a, u8>);

impl ByteSource for Chunks<'_> {
    type Error = JpegError;

    fn more(&mut self) -> Result<Option<Bytes>, JpegError> {
        Ok(self.0.next().map(Bytes::copy_from_slice))
    }
}

/// The first byte says in what pieces the rest comes; in pieces of another length it is the same picture, or as broken.
pub fn jpeg(bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let pieces = decode(bytes, usize::from(*length).max(1));
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(pieces, whole);
}

/// A sum over the pixels, and how many bytes of them there are; or why not.
fn decode(bytes: &[u8], length: usize) -> Result<(u64, usize), JpegError> {
    let mut source = Chunks(bytes.chunks(length));
    let mut decoder = Decoder::new(&mut source)?;
    let frame = decoder.frame();
    let line = frame.width as usize * frame.channels as usize;
    let (mut sum, mut count, mut lines) = (0_u64, 0, Vec::new());
    while count < ENOUGH && decoder.lines(&mut source, &mut lines)? {
        assert!(lines.len() % line == 0 && lines.len() <= 32 * line, "whole lines, at most 32");
        count += lines.len();
        sum = lines.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        lines.clear();
    }
    Ok((sum, count))
}

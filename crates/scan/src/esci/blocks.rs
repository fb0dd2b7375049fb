//! The headers of image data, in both dialects. Bytes in, values out; every size is held against the page that was
//! asked for before anything is allocated for it.

use super::codes::STX;
use super::status::StatusByte;
use crate::ProtocolError;

/// The page that was asked for, as the scanner is to send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLayout {
    /// Bytes of a line.
    pub line_bytes: usize,
    /// Lines of the page.
    pub lines: u32,
    /// Lines of a block at most.
    pub block_lines: u32,
    /// Bytes of the header before each block of ESC G: 6, or 4 before each line.
    pub header_bytes: usize,
}

impl ImageLayout {
    fn page_bytes(&self) -> u64 {
        self.line_bytes as u64 * u64::from(self.lines)
    }

    fn block_bytes(&self) -> u64 {
        self.line_bytes as u64 * u64::from(self.block_lines)
    }
}

/// Bytes of the header that answers FS G.
pub const FS_HEADER_BYTES: usize = 14;

/// The header that answers FS G.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsHeader {
    /// Whether it scans at all.
    pub status: StatusByte,
    /// Bytes of a full block, without the error byte.
    pub block_bytes: u32,
    /// How many of those come.
    pub full_blocks: u32,
    /// Bytes of the block behind them; 0: there is none.
    pub last_bytes: u32,
}

impl FsHeader {
    /// Reads the 14 bytes.
    ///
    /// # Errors
    /// [`ProtocolError`] for another length or beginning.
    pub fn parse(bytes: &[u8]) -> Result<FsHeader, ProtocolError> {
        let item = "the header of FS G";
        match bytes {
            [STX, status, numbers @ ..] if numbers.len() == FS_HEADER_BYTES - 2 => {
                let word =
                    |at: usize| u32::from_le_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
                let status = StatusByte(*status);
                Ok(FsHeader { status, block_bytes: word(0), full_blocks: word(4), last_bytes: word(8) })
            }
            [first, ..] if *first != STX => Err(ProtocolError::Beginning { item, got: *first }),
            _ => Err(ProtocolError::Length { item, expected: FS_HEADER_BYTES, got: bytes.len() }),
        }
    }

    /// The blocks that will come, if they make exactly the page that was asked for.
    ///
    /// # Errors
    /// [`ProtocolError::Block`], [`ProtocolError::ImageSize`].
    pub fn blocks(&self, asked: &ImageLayout) -> Result<FsBlocks, ProtocolError> {
        let line_bytes = asked.line_bytes.max(1) as u64;
        let check = |bytes: u32| {
            let bytes = u64::from(bytes);
            if bytes == 0 || bytes % line_bytes != 0 || bytes > asked.block_bytes() {
                let lines = bytes / line_bytes;
                return Err(ProtocolError::Block {
                    lines,
                    line_bytes: bytes - lines * line_bytes,
                    expected: line_bytes,
                });
            }
            Ok(())
        };
        if self.full_blocks > 0 {
            check(self.block_bytes)?;
        }
        if self.last_bytes > 0 {
            check(self.last_bytes)?;
        }
        let got = u64::from(self.block_bytes) * u64::from(self.full_blocks) + u64::from(self.last_bytes);
        if got != asked.page_bytes() {
            return Err(ProtocolError::ImageSize { expected: asked.page_bytes(), got });
        }
        Ok(FsBlocks { full: self.block_bytes as usize, left: self.full_blocks, last: self.last_bytes as usize })
    }
}

/// The sizes of the blocks of a page, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsBlocks {
    full: usize,
    left: u32,
    last: usize,
}

impl Iterator for FsBlocks {
    /// Bytes of a block without its error byte, and whether it is the last one.
    type Item = (usize, bool);

    fn next(&mut self) -> Option<(usize, bool)> {
        if self.left > 0 {
            self.left -= 1;
            return Some((self.full, self.left == 0 && self.last == 0));
        }
        let last = std::mem::take(&mut self.last);
        (last > 0).then_some((last, true))
    }
}

/// The byte behind every block of FS G. The bits below 10 are rubbish on some scanners (Perfection 1650).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorByte(pub u8);

impl ErrorByte {
    /// The scanner has stopped.
    pub fn is_fatal(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// The scanner is in use elsewhere.
    pub fn is_busy(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// The sheet ended in this block or above it. Only scanners that say so in FS I mean it.
    pub fn is_page_end(self) -> bool {
        self.0 & 0x20 != 0
    }

    /// Someone at the scanner wants it to stop.
    pub fn is_cancel(self) -> bool {
        self.0 & 0x10 != 0
    }
}

/// Bytes of the header before each block of ESC G.
pub const ESC_HEADER_BYTES: usize = 6;

/// Bytes of the header before each line of ESC G, where there are no blocks.
pub const LINE_HEADER_BYTES: usize = 4;

/// The header before a block of ESC G.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscHeader {
    /// Whether it goes on, whether this is the last, in which order its samples are.
    pub status: StatusByte,
    /// Bytes of a line.
    pub line_bytes: u16,
    /// Lines of this block.
    pub lines: u16,
}

impl EscHeader {
    /// Reads the six bytes, or the four of a single line.
    ///
    /// # Errors
    /// [`ProtocolError`] for another length or beginning.
    pub fn parse(bytes: &[u8]) -> Result<EscHeader, ProtocolError> {
        let item = "the header of a block";
        match bytes {
            [STX, status, low, high] => {
                Ok(EscHeader { status: StatusByte(*status), line_bytes: u16::from_le_bytes([*low, *high]), lines: 1 })
            }
            [STX, status, a, b, c, d] => Ok(EscHeader {
                status: StatusByte(*status),
                line_bytes: u16::from_le_bytes([*a, *b]),
                lines: u16::from_le_bytes([*c, *d]),
            }),
            [first, ..] if *first != STX => Err(ProtocolError::Beginning { item, got: *first }),
            _ => Err(ProtocolError::Length { item, expected: ESC_HEADER_BYTES, got: bytes.len() }),
        }
    }

    /// Bytes of the block, if it is one of the page that was asked for, of which so many lines have not come yet.
    ///
    /// # Errors
    /// [`ProtocolError::Block`].
    pub fn block_bytes(&self, asked: &ImageLayout, lines_left: u32) -> Result<usize, ProtocolError> {
        let (lines, line_bytes) = (u32::from(self.lines), usize::from(self.line_bytes));
        if line_bytes != asked.line_bytes || lines == 0 || lines > lines_left.min(asked.block_lines) {
            return Err(ProtocolError::Block {
                lines: u64::from(lines),
                line_bytes: line_bytes as u64,
                expected: asked.line_bytes as u64,
            });
        }
        Ok(line_bytes * usize::from(self.lines))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ASKED: ImageLayout =
        ImageLayout { line_bytes: 3528, lines: 1181, block_lines: 37, header_bytes: ESC_HEADER_BYTES };

    #[test]
    fn the_header_of_the_fact_sheet_makes_its_page() {
        let bytes = [0x02, 0x02, 0xe8, 0xfd, 0x01, 0x00, 0x1f, 0, 0, 0, 0x90, 0xd4, 0x01, 0x00];
        let header = FsHeader::parse(&bytes).expect("a header");
        let blocks: Vec<_> = header.blocks(&ASKED).expect("the page").collect();
        assert_eq!(blocks.len(), 32);
        assert_eq!((blocks[0], blocks[30], blocks[31]), ((130_536, false), (130_536, false), (119_952, true)));
    }

    #[test]
    fn without_an_extra_block_the_last_full_one_is_the_last() {
        let header = FsHeader { status: StatusByte(2), block_bytes: 70_560, full_blocks: 2, last_bytes: 0 };
        let asked = ImageLayout { lines: 40, ..ASKED };
        let blocks: Vec<_> = header.blocks(&asked).expect("the page").collect();
        assert_eq!(blocks, [(70_560, false), (70_560, true)]);
    }

    #[test]
    fn a_header_that_makes_another_page_is_refused() {
        let good = FsHeader { status: StatusByte(2), block_bytes: 130_536, full_blocks: 31, last_bytes: 119_952 };
        let bad = [
            FsHeader { full_blocks: 30, ..good },
            FsHeader { full_blocks: u32::MAX, ..good },
            FsHeader { block_bytes: 0, ..good },
            FsHeader { block_bytes: 130_535, ..good },
            FsHeader { block_bytes: u32::MAX, ..good },
            FsHeader { last_bytes: u32::MAX, ..good },
            FsHeader { block_bytes: 0, full_blocks: 0, last_bytes: 0, ..good },
            FsHeader { block_bytes: 3528 * 1181, full_blocks: 1, last_bytes: 0, ..good },
        ];
        for header in bad {
            assert!(header.blocks(&ASKED).is_err(), "{header:?}");
        }
    }

    #[test]
    fn a_block_must_have_the_lines_of_the_page() {
        let header = EscHeader::parse(&[0x02, 0x08, 0xc8, 0x0d, 37, 0]).expect("a header");
        assert_eq!(header.block_bytes(&ASKED, 1181), Ok(130_536));
        assert!(header.block_bytes(&ASKED, 36).is_err());
        assert!(EscHeader { line_bytes: 3529, ..header }.block_bytes(&ASKED, 1181).is_err());
        assert!(EscHeader { lines: 0, ..header }.block_bytes(&ASKED, 1181).is_err());
        assert!(EscHeader { lines: u16::MAX, ..header }.block_bytes(&ASKED, 100_000).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it_and_no_block_is_larger_than_was_asked_for(
            bytes in proptest::collection::vec(any::<u8>(), 14),
            length in 0usize..=14,
            line_bytes in 0usize..70_000,
            lines in any::<u32>(),
            block_lines in 0u32..256,
        ) {
            let asked = ImageLayout { line_bytes, lines, block_lines, header_bytes: ESC_HEADER_BYTES };
            let mut bytes = bytes;
            if bytes[0] & 1 == 0 {
                bytes[0] = STX;
            }
            if let Ok(header) = EscHeader::parse(&bytes[..length]) {
                if let Ok(size) = header.block_bytes(&asked, lines) {
                    prop_assert!(size <= line_bytes * block_lines as usize);
                }
            }
            if let Ok(header) = FsHeader::parse(&bytes[..length]) {
                if let Ok(blocks) = header.blocks(&asked) {
                    let total: u64 = blocks.take(10_000).map(|(size, _)| size as u64).sum();
                    prop_assert!(total <= line_bytes as u64 * u64::from(lines));
                }
            }
        }

        #[test]
        fn the_blocks_of_any_page_are_what_was_asked_for(
            line_bytes in 1usize..5000,
            lines in 1u32..2000,
            block_lines in 1u32..256,
        ) {
            let asked = ImageLayout { line_bytes, lines, block_lines, header_bytes: ESC_HEADER_BYTES };
            let block = line_bytes as u32 * block_lines;
            let full_blocks = (lines - 1) / block_lines;
            let last_bytes = (lines - full_blocks * block_lines) * line_bytes as u32;
            let header = FsHeader { status: StatusByte(2), block_bytes: block, full_blocks, last_bytes };
            let blocks: Vec<_> = header.blocks(&asked).expect("the page").collect();
            prop_assert_eq!(blocks.iter().map(|(size, _)| *size as u64).sum::<u64>(), asked.page_bytes());
            prop_assert!(blocks.iter().rev().skip(1).all(|(_, last)| !last) && blocks[blocks.len() - 1].1);
        }
    }
}

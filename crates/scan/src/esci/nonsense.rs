//! What a scanner sends that can't be.

/// What a scanner sent that can't be. Nothing was allocated for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// An item has another length than its kind has.
    #[error("the scanner sent {got} bytes as {item}, which has {expected}")]
    Length {
        /// What was expected.
        item: &'static str,
        /// How many bytes it has.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// A reply that is neither yes nor no.
    #[error("the scanner answered {to} with {got:#04x}, which means nothing there")]
    Reply {
        /// What was said.
        to: &'static str,
        /// What came back.
        got: u8,
    },
    /// An item does not begin as its kind does.
    #[error("what the scanner sent as {item} begins with {got:#04x}")]
    Beginning {
        /// What was expected.
        item: &'static str,
        /// Its first byte.
        got: u8,
    },
    /// A part of an identity that is none, or says that nothing can be scanned.
    #[error("the scanner's identity ({item}) makes no sense at byte {at}")]
    Identity {
        /// `ESC I` or `FS I`.
        item: &'static str,
        /// Where.
        at: usize,
    },
    /// The image that the scanner announces is not the one that was asked for.
    #[error("the scanner announces {got} bytes of image data, the page has {expected}")]
    ImageSize {
        /// What was asked for.
        expected: u64,
        /// What it announces.
        got: u64,
    },
    /// A block that is none of the image that was asked for.
    #[error(
        "the scanner announces a block of {lines} lines of {line_bytes} bytes in the middle of a page with {expected} bytes a line"
    )]
    Block {
        /// Its lines.
        lines: u64,
        /// Its bytes a line.
        line_bytes: u64,
        /// Bytes of a line of the page.
        expected: u64,
    },
    /// The page ended too soon.
    #[error("the scanner ended the page {missing} lines early")]
    EndedEarly {
        /// The lines that did not come.
        missing: u32,
    },
    /// All lines came, and the scanner wants to go on.
    #[error("the scanner does not end the page after its last line")]
    Endless,
    /// It talks before it was asked anything.
    #[error("the scanner is still answering somebody else")]
    Unasked,
    /// Empty packets instead of data.
    #[error("the scanner sends nothing but empty packets")]
    Empty,
}

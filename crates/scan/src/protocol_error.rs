//! What a scanner sends that its protocol does not allow.

/// What a scanner sent that its protocol does not allow. Nothing was allocated for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
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
    /// A reply byte that is neither ACK nor NAK.
    #[error("the scanner answered {to} with {got:#04x}, which means nothing there")]
    ReplyByte {
        /// What was sent.
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
        /// The offset of the byte.
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
    /// What should be the head of a reply is none.
    #[error("what the scanner answered to {to} is no reply")]
    NoReply {
        /// The request.
        to: &'static str,
    },
    /// A reply to another request.
    #[error("the scanner answered {to} with {got:?}")]
    WrongReply {
        /// The request.
        to: &'static str,
        /// The code of the reply.
        got: String,
    },
    /// It does not enter a session.
    #[error("the scanner answered FS X with {got:#04x}: it does not speak ESC/I-2, or not now")]
    NoSession {
        /// What it answered.
        got: u8,
    },
    /// A reply with more data than there can be.
    #[error("the scanner announces {got} bytes of data in a reply to {to}; the most is {most}")]
    ReplyLength {
        /// The request.
        to: &'static str,
        /// Announced.
        got: usize,
        /// Possible.
        most: usize,
    },
    /// What it says that it can do makes no page.
    #[error("what the scanner says of itself makes no page: {0}")]
    Capabilities(&'static str),
    /// The image has another width than was asked for.
    #[error("the scanner sends an image of {got} pixels a line; the page has {expected}")]
    Width {
        /// What was asked for.
        expected: u32,
        /// What comes.
        got: u32,
    },
    /// Image data in the wrong place.
    #[error("the scanner sends image data {0}")]
    Order(&'static str),
    /// The page ended too soon.
    #[error("the scanner ended the page {missing} lines early")]
    EndedEarly {
        /// The lines that did not come.
        missing: u32,
    },
    /// More lines than were asked for.
    #[error("the scanner does not end the page after its last line")]
    Endless,
    /// It sends before it was asked anything.
    #[error("the scanner is still answering another client")]
    Unsolicited,
    /// What should be an HTTP response is none.
    #[error(transparent)]
    Http(usbscan_escl::http::HttpError),
    /// A document that is not understood, or says what can't be.
    #[error(transparent)]
    Document(usbscan_escl::DocumentError),
    /// An HTTP status that means nothing there.
    #[error("the scanner answered {to} with HTTP {got}")]
    Status {
        /// What was asked.
        to: &'static str,
        /// The status.
        got: u16,
    },
    /// It took a job and does not say how it is called.
    #[error("the scanner does not say how the job is called that it was given")]
    NoJob,
    /// A page in another form than was asked for.
    #[error("the scanner sends {got} where {expected} was asked for")]
    Format {
        /// Asked for.
        expected: &'static str,
        /// What came, by its bytes.
        got: &'static str,
    },
    /// Empty packets instead of data.
    #[error("the scanner sends nothing but empty packets")]
    EmptyPackets,
}

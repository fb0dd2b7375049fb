//! Why bytes are no response.

/// Why bytes are no response. Where the next one begins is not known afterwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// More came that is no head than may be passed over.
    #[error("the scanner sent {skipped} bytes that are no HTTP response")]
    NotHttp {
        /// Bytes passed over.
        skipped: u64,
    },
    /// A head without an end.
    #[error("the scanner sent a head of an HTTP response that has no end within {} bytes", super::head::HEAD_LIMIT)]
    HeadTooLong,
    /// Fields that say different things of the body's length, or no number.
    #[error("the scanner sent an HTTP response whose length makes no sense")]
    Length,
    /// A coding of the body that was not asked for.
    #[error("the scanner sent an HTTP response in a coding that it was not asked for")]
    Coding,
    /// A chunk that does not begin or end as one.
    #[error("the scanner sent an HTTP response whose chunks are damaged")]
    Chunk,
    /// A body that is longer than anything that could have been asked for.
    #[error("the scanner sent an HTTP response of more than {most} bytes")]
    TooLong {
        /// Bytes that were possible.
        most: u64,
    },
    /// Interim responses (1xx) one after the other.
    #[error("the scanner sent nothing but interim HTTP responses")]
    Interim,
}

//! How much of a response of HTTP is still to come, as the step `drain-http` says it.

use serde::{Deserialize, Serialize};

/// Where in a response of HTTP the session is: `head`, `chunked`, `length:700`, `resume`, `answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HttpFraming {
    /// Before its head, which tells the rest.
    Head,
    /// At the beginning of a chunk.
    Chunked,
    /// In a body of which so many bytes are still to come.
    Length(u64),
    /// In the middle, where the daemon knows it to be: it reads along since the sequence was armed.
    Resume,
    /// Before the head of the response to what the sequence itself has written, which has to come. Of the others it is enough that
    /// nothing comes.
    Answer,
}

impl From<HttpFraming> for String {
    fn from(framing: HttpFraming) -> String {
        match framing {
            HttpFraming::Head => "head".to_owned(),
            HttpFraming::Chunked => "chunked".to_owned(),
            HttpFraming::Length(bytes) => format!("length:{bytes}"),
            HttpFraming::Resume => "resume".to_owned(),
            HttpFraming::Answer => "answer".to_owned(),
        }
    }
}

impl TryFrom<String> for HttpFraming {
    type Error = &'static str;

    fn try_from(text: String) -> Result<HttpFraming, &'static str> {
        let length = || text.strip_prefix("length:")?.parse().ok().map(HttpFraming::Length);
        match text.as_str() {
            "head" => Ok(HttpFraming::Head),
            "chunked" => Ok(HttpFraming::Chunked),
            "resume" => Ok(HttpFraming::Resume),
            "answer" => Ok(HttpFraming::Answer),
            _ => length().ok_or("\"framing\" is head, chunked, length:N, resume or answer"),
        }
    }
}

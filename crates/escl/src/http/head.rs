//! The head of a response: its status, and the few fields that matter here. Parsed by `httparse`.

use httparse::{Header, ParserConfig, Status};

use super::{Framing, HttpError};

/// Bytes that a head may have.
pub const HEAD_LIMIT: usize = 16 * 1024;
/// Fields that a head may have.
const FIELDS: usize = 96;
/// Characters of a field that are kept.
const VALUE_LIMIT: usize = 1024;

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// 200, 201, 404, …
    pub status: u16,
    /// How the body ends.
    pub framing: Framing,
    /// The body's media type in small letters, without parameters; empty when it is not said.
    pub content_type: String,
    /// Where a job was made.
    pub location: Option<String>,
    /// Seconds after which to ask again.
    pub retry_after: Option<u32>,
    /// The name of the scanner's HTTP server.
    pub server: Option<String>,
}

/// What was found at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A head of so many bytes.
    Head(usize, Box<Head>),
    /// The beginning of one.
    Part,
    /// Nothing of the kind.
    Nothing,
}

/// Understands the bytes from "HTTP/" on.
pub(super) fn parse(bytes: &[u8]) -> Result<Found, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let mut config = ParserConfig::default();
    config
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    match config.parse_response(&mut response, bytes) {
        Ok(Status::Complete(length)) => {
            let status = response.code.unwrap_or(0);
            let head = Head {
                status,
                framing: framing(status, response.headers)?,
                content_type: content_type(response.headers),
                location: field(response.headers, "location"),
                retry_after: field(response.headers, "retry-after").and_then(|value| value.parse().ok()),
                server: field(response.headers, "server"),
            };
            Ok(Found::Head(length, Box::new(head)))
        }
        Ok(Status::Partial) => Ok(Found::Part),
        Err(_) => Ok(Found::Nothing),
    }
}

fn values<'a>(fields: &'a [Header<'_>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.trim_ascii())
}

/// The first field of this name, as text that can be shown.
fn field(fields: &[Header<'_>], name: &str) -> Option<String> {
    let value = String::from_utf8_lossy(values(fields, name).next()?).into_owned();
    Some(value.chars().filter(|c| !c.is_control()).take(VALUE_LIMIT).collect())
}

fn content_type(fields: &[Header<'_>]) -> String {
    let value = field(fields, "content-type").unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn framing(status: u16, fields: &[Header<'_>]) -> Result<Framing, HttpError> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Framing::length(0);
    }
    let mut is_chunked = false;
    for value in values(fields, "transfer-encoding") {
        for coding in value.split(|byte| *byte == b',') {
            match coding.trim_ascii().to_ascii_lowercase().as_slice() {
                b"chunked" if !is_chunked => is_chunked = true,
                b"" | b"identity" => {}
                _ => return Err(HttpError::Coding),
            }
        }
    }
    if is_chunked {
        return Ok(Framing::chunked());
    }
    let mut length = None;
    for value in values(fields, "content-length") {
        let text = std::str::from_utf8(value).map_err(|_| HttpError::Length)?;
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        let number = number.ok_or(HttpError::Length)?;
        if length.replace(number).is_some_and(|earlier| earlier != number) {
            return Err(HttpError::Length);
        }
    }
    length.map_or_else(|| Ok(Framing::unframed()), Framing::length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, HttpError> {
        match parse(text.as_bytes())? {
            Found::Head(length, head) => {
                assert_eq!(length, text.len());
                Ok(*head)
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        // As Kyocera's ECOSYS M2040dn sends them, by a trace in sane-airscan's issue tracker.
        let head = head(
            "HTTP/1.1 201 Created\r\nUpgrade: TLS/1.0\r\nAccept-Encoding: identity\r\nCONTENT-length: 0\r\n\
             location: http://192.0.2.1:9095/eSCL/ScanJobs/urn:uuid:1\r\nServer: KM-MFP-http/V0.0.1\r\n\r\n",
        );
        let head = head.expect("a head");
        assert_eq!((head.status, head.framing.is_over()), (201, true));
        assert_eq!(head.location.as_deref(), Some("http://192.0.2.1:9095/eSCL/ScanJobs/urn:uuid:1"));
        assert_eq!(head.server.as_deref(), Some("KM-MFP-http/V0.0.1"));
    }

    #[test]
    fn the_media_type_is_bare() {
        let head = head("HTTP/1.0 200\r\nContent-Type: Image/JPEG; q=1\r\nTransfer-Encoding: Chunked\r\n\r\n");
        let head = head.expect("a head");
        assert_eq!((head.content_type.as_str(), head.framing), ("image/jpeg", Framing::chunked()));
    }

    #[test]
    fn chunks_count_more_than_a_length_and_neither_is_no_framing() {
        let both = head("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n").expect("a head");
        assert_eq!(both.framing, Framing::chunked());
        assert!(head("HTTP/1.1 200 OK\r\n\r\n").expect("a head").framing.is_unframed());
        assert!(head("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n").expect("a head").framing.is_over());
    }

    #[test]
    fn lengths_that_make_no_sense_are_refused() {
        for value in ["-1", "+5", "x", "", "18446744073709551616"] {
            assert_eq!(head(&format!("HTTP/1.1 200 OK\r\nContent-Length: {value}\r\n\r\n")), Err(HttpError::Length));
        }
        let twice = |other: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: {other}\r\n\r\n");
        assert_eq!(head(&twice("6")), Err(HttpError::Length));
        assert_eq!(head(&twice("5")).expect("the same").framing, Framing::length(5).unwrap());
        assert_eq!(head("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), Err(HttpError::Coding));
    }

    #[test]
    fn what_cannot_be_shown_is_not_kept() {
        let head = head("HTTP/1.1 200 OK\r\nServer: a\tb\u{9b}c\r\nContent-Length: 0\r\n\r\n").expect("a head");
        assert_eq!(head.server.as_deref(), Some("abc"));
    }
}

//! A request: a command with the client's id for it and its payload, and how it is read from a frame and written to one.

use std::io::{self, Write};

use serde::Deserialize;

use crate::command::Command;
use crate::frame::Frame;
use crate::refusal;

/// A command under the client's name for it, with its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The client's; unique among its outstanding requests.
    pub id: u64,
    /// What is asked for.
    pub command: Command,
    /// Data to write.
    pub payload: Vec<u8>,
}

/// Why a frame is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no usable `id`, so nobody could be answered: the connection ends.
    #[error("the header has no \"id\" that is a whole number from 0 to 18446744073709551615")]
    NoId,
    /// The id is known, so this one request is refused and the connection goes on.
    #[error("{problem}")]
    BadCommand {
        /// The request to answer.
        id: u64,
        /// What is wrong, naming the field.
        problem: String,
    },
}

impl Request {
    /// Understands a frame. Unknown commands and unknown fields are refused: a misspelt option must not be
    /// taken for one that is off.
    ///
    /// # Errors
    /// [`RequestError`]; only one without an id is a reason to end the connection.
    pub fn from_frame(frame: Frame) -> Result<Request, RequestError> {
        let Frame { mut header, payload } = frame;
        let id = header.remove("id").and_then(|id| id.as_u64()).ok_or(RequestError::NoId)?;
        let command = Command::deserialize(&header)
            .map_err(|_| RequestError::BadCommand { id, problem: refusal::words(&header) })?;
        let takes_payload =
            matches!(command, Command::Write { .. } | Command::UsbRequest { .. } | Command::WriteRegisters { .. });
        if !payload.is_empty() && !takes_payload {
            return Err(RequestError::BadCommand { id, problem: format!("{} takes no payload", command.name()) });
        }
        Ok(Request { id, command, payload })
    }

    /// Writes the header line and the payload.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.header_line())?;
        out.write_all(&self.payload)
    }

    /// The header line, for a sender that writes it and the payload in one call.
    pub fn header_line(&self) -> Vec<u8> {
        self.command.header_line(self.id, self.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{RequestKind, RequestRecipient};

    fn parse(line: &str) -> Result<Request, RequestError> {
        let Value::Object(header) = serde_json::from_str(line).unwrap() else { panic!("not an object") };
        Request::from_frame(Frame { header, payload: vec![] })
    }

    #[test]
    fn a_misspelt_field_is_refused_under_the_requests_id() {
        let error = parse(r#"{"id":3,"command":"read","length":10,"salvge":true}"#).unwrap_err();
        let RequestError::BadCommand { id: 3, problem } = error else { panic!("{error:?}") };
        assert!(problem.contains("salvge"), "{problem}");
    }

    #[test]
    fn an_unknown_command_is_refused_under_the_requests_id() {
        assert!(matches!(parse(r#"{"id":3,"command":"scan"}"#), Err(RequestError::BadCommand { id: 3, .. })));
    }

    #[test]
    fn without_an_id_there_is_nobody_to_answer() {
        assert_eq!(parse(r#"{"command":"list"}"#), Err(RequestError::NoId));
        assert_eq!(parse(r#"{"id":-1,"command":"list"}"#), Err(RequestError::NoId));
    }

    #[test]
    fn defaults_may_be_left_out() {
        let request = parse(r#"{"id":1,"command":"usb-request","request":16,"direction":"out"}"#).unwrap();
        let Command::UsbRequest { kind: RequestKind::Vendor, recipient: RequestRecipient::Device, value: 0, .. } =
            request.command
        else {
            panic!("{request:?}")
        };
    }
}

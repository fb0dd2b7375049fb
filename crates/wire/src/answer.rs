//! The one answer that a request gets.

use std::io::{self, Write};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Status;
use crate::frame::{header_line, write_frame};

/// An answer. What a command gives back beyond the common fields stands beside them in the header
/// (see [`crate::OpenBody`] and its siblings) or is the payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's id; `null` only for a header in which none could be read.
    pub id: Option<u64>,
    /// How it ended.
    pub status: Status,
    /// Bytes moved, or things found. 0 when cancelled.
    #[serde(default)]
    pub information: u64,
    /// Bytes that had arrived, or had been sent, when it was cancelled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub discarded: u64,
    /// Bytes that are in the shared memory, where the request said, instead of a payload.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shared: u64,
    /// What was tried, on what, and why it failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What else the command gives back.
    #[serde(flatten)]
    pub body: Map<String, Value>,
    /// The bytes behind the header.
    #[serde(skip)]
    pub payload: Bytes,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Answer {
    /// An answer with a status and nothing else.
    pub fn new(id: u64, status: Status) -> Answer {
        Answer {
            id: Some(id),
            status,
            information: 0,
            discarded: 0,
            shared: 0,
            message: None,
            body: Map::new(),
            payload: Bytes::new(),
        }
    }

    /// A failure with a sentence. For a header without a readable id, `id` is `None`.
    pub fn failure(id: Option<u64>, status: Status, message: impl Into<String>) -> Answer {
        Answer { id, message: Some(message.into()), ..Answer::new(0, status) }
    }

    /// Adds the fields of `body`, a struct, to the header.
    ///
    /// # Panics
    /// When `body` is no struct of plain data.
    pub fn with_body(mut self, body: &impl Serialize) -> Answer {
        match serde_json::to_value(body).expect("a body is plain data") {
            Value::Object(fields) => self.body.extend(fields),
            other => unreachable!("a body is a struct, not {other}"),
        }
        self
    }

    /// Reads the fields of a body out of the header. Unknown fields are passed over: the daemon may be newer.
    ///
    /// # Errors
    /// When a field that the body must have is missing, or of another type.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(Value::Object(self.body.clone()))
    }

    pub(crate) fn from_header(header: Map<String, Value>, payload: Bytes) -> Result<Answer, serde_json::Error> {
        let mut answer = Answer::deserialize(Value::Object(header))?;
        answer.payload = payload;
        Ok(answer)
    }

    /// The header line, for a sender that writes it and the payload in one call.
    pub fn header_line(&self) -> Vec<u8> {
        header_line(self.header(), self.payload.len())
    }

    /// Writes header line and payload.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        write_frame(out, self.header(), &self.payload)
    }

    fn header(&self) -> Map<String, Value> {
        match serde_json::to_value(self).expect("an answer is plain data") {
            Value::Object(header) => header,
            other => unreachable!("a struct is an object, not {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FromDaemon, read_frame};

    #[test]
    fn an_answer_survives_bytes_and_back_with_body_and_payload() {
        let mut answer = Answer::new(4, Status::Cancelled).with_body(&crate::ListBody { devices: vec![] });
        answer.discarded = 512;
        answer.payload = Bytes::from_static(b"partial");
        let mut bytes = Vec::new();
        answer.write_to(&mut bytes).unwrap();
        let frame = read_frame(&mut &bytes[..], crate::DAEMON_HEADER_LIMIT).unwrap().unwrap();
        assert_eq!(FromDaemon::from_frame(frame).unwrap(), FromDaemon::Answer(answer));
    }

    #[test]
    fn a_number_too_large_to_be_whole_is_passed_on_as_it_came() {
        let line = b"{\"id\":2,\"status\":\"success\",\"information\":0,\"n\":400000143287711563216}\n";
        let understood = |mut bytes: &[u8]| {
            let frame = read_frame(&mut bytes, crate::DAEMON_HEADER_LIMIT).unwrap().unwrap();
            FromDaemon::from_frame(frame).unwrap()
        };
        let FromDaemon::Answer(answer) = understood(line) else { panic!("another message") };
        let mut again = Vec::new();
        answer.write_to(&mut again).unwrap();
        assert_eq!(understood(&again), FromDaemon::Answer(answer));
    }

    #[test]
    fn fields_stand_in_the_order_of_the_manual() {
        let answer = Answer::new(2, Status::Success);
        assert_eq!(answer.header_line(), b"{\"id\":2,\"status\":\"success\",\"information\":0}\n");
    }
}

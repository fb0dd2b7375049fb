//! What a client hears: answers and events, told apart.

use serde::Deserialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::event::Event;
use crate::frame::{Frame, FrameError};

/// What a client hears.
#[derive(Debug, Clone, PartialEq)]
pub enum FromDaemon {
    /// The end of a request.
    Answer(Answer),
    /// Something that happened.
    Event(Event),
}

impl FromDaemon {
    /// Understands a frame from the daemon. Answers have an `id`, if only `null`; events have none. (The answer to
    /// `channel-sizes` has a member `event` too.)
    ///
    /// # Errors
    /// [`FrameError::NotFromDaemon`].
    pub fn from_frame(frame: Frame) -> Result<FromDaemon, FrameError> {
        let Frame { header, payload } = frame;
        if !header.contains_key("id") {
            return Event::deserialize(Value::Object(header)).map(FromDaemon::Event).map_err(FrameError::NotFromDaemon);
        }
        Answer::from_header(header, payload.into()).map(FromDaemon::Answer).map_err(FrameError::NotFromDaemon)
    }
}

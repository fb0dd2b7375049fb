//! Requests and replies, to bytes and back.

use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use usbscan_wire::{Frame, FrameError, Map, read_frame, write_frame};

use crate::option::{OptionInfo, Value};
use crate::{HEADER_LIMIT, OPTIONS_LIMIT, PAYLOAD_LIMIT};

/// Why bytes are no message. Nothing can follow them.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// They are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that says something else.
    #[error("a message that nobody sends: {0}")]
    Unknown(#[from] serde_json::Error),
    /// More options than there may be.
    #[error("more than {OPTIONS_LIMIT} options")]
    TooMany,
}

/// What a program asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Load the backend and open its scanner. Answered with `opened`.
    Open {},
    /// Give an option a value. Answered with `options`.
    Set {
        /// Its number.
        option: u32,
        /// The value.
        #[serde(skip)]
        value: Value,
    },
    /// What a frame would look like now. Answered with `parameters`.
    Parameters {},
    /// Begin the next frame. Answered with `parameters`.
    Start {},
    /// The frame's bytes: `data`, and then `end`.
    Read {},
    /// No more frames: `sane_cancel` in order. Answered with `finished`.
    Finish {},
    /// End what is under way.
    Cancel {},
}

/// The scanner that a backend has opened, in its words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// As the backend names it: `epson2:libusb:001:004` without the backend's own name.
    pub name: String,
    /// Who made it.
    pub vendor: String,
    /// What they call it.
    pub model: String,
    /// `flatbed scanner`, …
    pub kind: String,
}

/// `SANE_Frame`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameFormat {
    /// One sample a pixel.
    Gray,
    /// Three samples a pixel.
    Rgb,
    /// The red samples of a page in three passes.
    Red,
    /// The green ones.
    Green,
    /// The blue ones.
    Blue,
    /// One that the standard does not have: JPEG of some backends, infrared.
    Other,
}

/// `SANE_Parameters`: what a frame looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Parameters {
    /// What the samples are.
    pub format: FrameFormat,
    /// Whether this frame completes the page.
    pub last_frame: bool,
    /// Bytes.
    pub bytes_per_line: i32,
    /// Pixels.
    pub pixels_per_line: i32,
    /// Lines; -1 where only the end of the frame will tell.
    pub lines: i32,
    /// Bits of a sample.
    pub depth: i32,
}

/// A function of SANE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// `sane_init`.
    SaneInit,
    /// `sane_get_devices`.
    SaneGetDevices,
    /// `sane_open`.
    SaneOpen,
    /// `sane_control_option`.
    SaneControlOption,
    /// `sane_get_parameters`.
    SaneGetParameters,
    /// `sane_start`.
    SaneStart,
    /// `sane_read`.
    SaneRead,
}

impl Call {
    /// Its name in C.
    pub fn name(self) -> &'static str {
        match self {
            Call::SaneInit => "sane_init",
            Call::SaneGetDevices => "sane_get_devices",
            Call::SaneOpen => "sane_open",
            Call::SaneControlOption => "sane_control_option",
            Call::SaneGetParameters => "sane_get_parameters",
            Call::SaneStart => "sane_start",
            Call::SaneRead => "sane_read",
        }
    }
}

/// Why a backend can't be used at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unusable {
    /// It is in none of these folders.
    NotInstalled {
        /// Where it was looked for.
        folders: Vec<String>,
    },
    /// The loader refuses it.
    NotLoadable {
        /// The loader's words.
        reason: String,
    },
    /// It lists no scanner, so it does not know this one.
    NoDevice,
}

/// What a host answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// The scanner is open.
    Opened {
        /// What it is.
        device: DeviceInfo,
        /// All of its options.
        #[serde(skip)]
        options: Vec<OptionInfo>,
    },
    /// An option was set.
    Options {
        /// Whether the backend rounded the value.
        inexact: bool,
        /// Those that may have changed: the one that was set, or all.
        #[serde(skip)]
        options: Vec<OptionInfo>,
    },
    /// What a frame looks like.
    Parameters(Parameters),
    /// Bytes of a frame.
    Data {
        /// They.
        #[serde(skip)]
        bytes: Vec<u8>,
    },
    /// The frame is whole.
    End {},
    /// No page is under way any more.
    Finished {},
    /// What was asked for was cancelled; the scanner is idle, as far as the backend can bring that about.
    Cancelled {},
    /// A function of the backend has failed.
    Failed {
        /// Which.
        call: Call,
        /// A `SANE_Status`.
        status: u32,
        /// Whether a transfer of the scanner was cancelled meanwhile, by another client of the daemon.
        cancelled: bool,
    },
    /// The backend can't be used.
    Unusable {
        /// Why.
        reason: Unusable,
    },
}

fn parts(header: &impl Serialize, payload: Vec<u8>) -> (Map<String, usbscan_wire::Value>, Vec<u8>) {
    match serde_json::to_value(header) {
        Ok(usbscan_wire::Value::Object(map)) => (map, payload),
        _ => unreachable!("a message is an object"),
    }
}

fn header<T: DeserializeOwned>(header: Map<String, usbscan_wire::Value>) -> Result<T, serde_json::Error> {
    serde_json::from_value(usbscan_wire::Value::Object(header))
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("values are JSON")
}

impl Request {
    /// Writes it.
    ///
    /// # Errors
    /// The stream's; `InvalidInput` for a value that is too long.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let payload = if let Request::Set { value, .. } = self { json(value) } else { Vec::new() };
        write(out, self, payload)
    }

    /// Reads one; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn read_from(reader: &mut impl BufRead) -> Result<Option<Request>, MessageError> {
        let Some(Frame { header: fields, payload }) = read_frame(reader, HEADER_LIMIT)? else { return Ok(None) };
        let mut request = header(fields)?;
        if let Request::Set { value, .. } = &mut request {
            *value = serde_json::from_slice(&payload)?;
        }
        Ok(Some(request))
    }
}

impl Reply {
    /// Writes it.
    ///
    /// # Errors
    /// The stream's; `InvalidInput` for a body that is too long.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let payload = match self {
            Reply::Opened { options, .. } | Reply::Options { options, .. } => json(options),
            Reply::Data { bytes } => return write_data(out, bytes),
            _ => Vec::new(),
        };
        write(out, self, payload)
    }

    /// Reads one; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn read_from(reader: &mut impl BufRead) -> Result<Option<Reply>, MessageError> {
        let Some(Frame { header: fields, payload }) = read_frame(reader, HEADER_LIMIT)? else { return Ok(None) };
        let mut reply = header(fields)?;
        match &mut reply {
            Reply::Opened { options, .. } | Reply::Options { options, .. } => {
                *options = serde_json::from_slice(&payload)?;
                if options.len() > OPTIONS_LIMIT {
                    return Err(MessageError::TooMany);
                }
            }
            Reply::Data { bytes } => *bytes = payload,
            _ => {}
        }
        Ok(Some(reply))
    }
}

/// Writes [`Reply::Data`] of bytes that stay where they are.
///
/// # Errors
/// The stream's.
fn write_data(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let (header, _) = parts(&Reply::Data { bytes: Vec::new() }, Vec::new());
    write_frame(out, header, bytes)
}

fn write(out: &mut impl Write, message: &impl Serialize, payload: Vec<u8>) -> io::Result<()> {
    if payload.len() > PAYLOAD_LIMIT {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (header, payload) = parts(message, payload);
    write_frame(out, header, &payload)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Constraint, Kind, Unit};

    fn options() -> Vec<OptionInfo> {
        let option = |index, kind, constraint, value| OptionInfo {
            index,
            name: "mode".to_owned(),
            title: "Scan mode".to_owned(),
            description: "Größe".to_owned(),
            kind,
            unit: Unit::None,
            length: 10,
            capabilities: 5,
            constraint,
            value,
        };
        let texts = Constraint::Texts(vec!["Color".to_owned(), "Gray".to_owned()]);
        vec![
            option(1, Kind::String, texts, Value::Text("Gray".to_owned())),
            option(2, Kind::Int, Constraint::Words(vec![75, -1]), Value::Words(vec![1, 2, i32::MIN])),
            option(3, Kind::Fixed, Constraint::Range { min: 0, max: 65536, quant: 1 }, Value::None),
            option(4, Kind::Group, Constraint::None, Value::None),
        ]
    }

    fn replies() -> Vec<Reply> {
        let parameters = Parameters {
            format: FrameFormat::Red,
            last_frame: false,
            bytes_per_line: 10,
            pixels_per_line: 10,
            lines: -1,
            depth: 8,
        };
        vec![
            Reply::Opened { device: DeviceInfo { name: "0".to_owned(), ..DeviceInfo::default() }, options: options() },
            Reply::Options { inexact: true, options: Vec::new() },
            Reply::Parameters(parameters),
            Reply::Data { bytes: b"\n{\0\xff".to_vec() },
            Reply::End {},
            Reply::Finished {},
            Reply::Cancelled {},
            Reply::Failed { call: Call::SaneStart, status: 7, cancelled: false },
            Reply::Unusable { reason: Unusable::NotInstalled { folders: vec!["/usr/lib64/sane".to_owned()] } },
            Reply::Unusable { reason: Unusable::NoDevice },
        ]
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let requests = [
            Request::Open {},
            Request::Set { option: 3, value: Value::Words(vec![0; 65536]) },
            Request::Set { option: 3, value: Value::Text("24bit Color".to_owned()) },
            Request::Parameters {},
            Request::Start {},
            Request::Read {},
            Request::Finish {},
            Request::Cancel {},
        ];
        let mut bytes = Vec::new();
        requests.iter().for_each(|request| request.write_to(&mut bytes).expect("memory takes it"));
        let mut rest = &bytes[..];
        for request in requests {
            assert_eq!(Request::read_from(&mut rest).expect("a request"), Some(request));
        }
        assert_eq!(Request::read_from(&mut rest).expect("the end"), None);

        let mut bytes = Vec::new();
        replies().iter().for_each(|reply| reply.write_to(&mut bytes).expect("memory takes it"));
        let mut rest = &bytes[..];
        for reply in replies() {
            assert_eq!(Reply::read_from(&mut rest).expect("a reply"), Some(reply));
        }
        assert_eq!(Reply::read_from(&mut rest).expect("the end"), None);
    }

    #[test]
    fn a_value_that_is_too_long_is_not_sent() {
        let request = Request::Set { option: 1, value: Value::Words(vec![i32::MIN; 100_000]) };
        let mut bytes = Vec::new();
        assert_eq!(request.write_to(&mut bytes).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
        assert!(bytes.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_to_its_end_or_refused(
            which in 0_usize..10, at in any::<prop::sample::Index>(), by in any::<u8>(), cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = Vec::new();
            replies()[which].write_to(&mut bytes).expect("memory takes it");
            *at.get_mut(&mut bytes) = by;
            bytes.truncate(cut.index(bytes.len()) + 1);
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = Reply::read_from(&mut rest) {}
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = Request::read_from(&mut rest) {}
        }
    }
}

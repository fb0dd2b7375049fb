//! The images of one job as they come: that of the side which is wanted now goes on, the other one waits. Runs on the thread
//! that scans.

use std::io::{Read, Seek, Write};
use std::time::Instant;

use bytes::Bytes;
use tempfile::SpooledTempFile;

use super::dialogue::{Dialogue, SessionState};
use super::lines::ImageSource;
use super::plan::Plan;
use super::reply_info::{ImageStart, Side};
use crate::jpeg::ByteSource;
use crate::{DeviceError, ProtocolError, ScanError};

/// Bytes of a waiting image that are kept in memory; what is more goes into a file.
const IN_MEMORY: usize = 1 << 20;
/// Bytes read back at once.
const READ_BACK: usize = 64 * 1024;

/// An image that waits.
#[derive(Debug)]
pub(super) struct WaitingImage {
    pub start: ImageStart,
    height: u32,
    file: SpooledTempFile,
}

impl WaitingImage {
    pub(super) fn rewound(mut self) -> Result<WaitingImage, ScanError> {
        self.file.rewind().map_err(ScanError::Spool)?;
        Ok(self)
    }
}

impl ByteSource for WaitingImage {
    type Error = ScanError;

    fn more(&mut self) -> Result<Option<Bytes>, ScanError> {
        let mut bytes = vec![0; READ_BACK];
        let read = self.file.read(&mut bytes).map_err(ScanError::Spool)?;
        bytes.truncate(read);
        Ok(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl ImageSource for WaitingImage {
    fn height(&self) -> Option<u32> {
        Some(self.height)
    }
}

/// Where one side's image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Image {
    NotYet,
    Begun(ImageStart),
    /// With so many lines.
    Ended(ImageStart, u32),
}

/// One sheet.
#[derive(Debug)]
pub(super) struct Job {
    /// 1; with both sides 2.
    images: u32,
    /// Bytes that the image of a side may have at most.
    most: u64,
    front: Image,
    back: Image,
    came: [u64; 2],
    spool: Option<SpooledTempFile>,
    /// All images ended, and the scanner knows that.
    pub over: bool,
}

/// What a reply brought.
enum ReplyContent {
    Data(Side, Bytes),
    /// Something else, or nothing.
    NoData,
}

impl Job {
    /// The job has been started; the first image is asked for.
    pub(super) fn begin(plan: &Plan, dialogue: &mut Dialogue) -> Result<Job, ScanError> {
        dialogue.request_image()?;
        // Raw data with dummy bytes, or JPEG of the worst kind.
        let lines = u64::from(plan.area.height);
        let most = (plan.line_bytes() as u64 + 64) * lines * 2 + (1 << 20);
        let (front, back) = (Image::NotYet, Image::NotYet);
        Ok(Job { images: plan.images(), most, front, back, came: [0; 2], spool: None, over: false })
    }

    fn image(&mut self, side: Side) -> &mut Image {
        match side {
            Side::Front => &mut self.front,
            Side::Back => &mut self.back,
        }
    }

    fn is_whole(&self) -> bool {
        let ended = |image| matches!(image, Image::Ended(..));
        ended(self.front) && (self.images < 2 || ended(self.back))
    }

    /// Waits for a reply, and asks for the next image if there is to be one.
    fn pull(&mut self, dialogue: &mut Dialogue) -> Result<ReplyContent, ScanError> {
        let began = Instant::now();
        loop {
            let (info, data) = dialogue.image(dialogue.channel.timeouts.image)?;
            if !matches!(self.front, Image::NotYet) {
                // A scanner whose blocks come slowly is given longer to be silent.
                dialogue.channel.keep_pace()?;
            }
            if let Some(problem) = info.problem {
                return Err(problem.into());
            }
            if info.is_cancel {
                return Err(DeviceError::CancelledAtDevice.into());
            }
            let side = if self.images < 2 { Side::Front } else { info.side };
            if let Some(start) = info.start {
                match self.image(side) {
                    image @ Image::NotYet => *image = Image::Begun(start),
                    _ => return Err(ProtocolError::Order("of an image that it has sent already").into()),
                }
            }
            if !data.is_empty() && !matches!(self.image(side), Image::Begun(_)) {
                return Err(ProtocolError::Order("before it says how large the image is").into());
            }
            if let Some(height) = info.end {
                let Image::Begun(start) = *self.image(side) else {
                    return Err(ProtocolError::Order("that ends before it begins").into());
                };
                *self.image(side) = Image::Ended(start, height);
            }
            if self.is_whole() {
                self.over = true;
                // No images are left: it waits for a request, and IMG and CAN are none of those.
                if info.left == Some(0) {
                    dialogue.state = SessionState::Session;
                }
            } else {
                let has_progress = info.start.is_some() || info.end.is_some() || !data.is_empty();
                if !has_progress && began.elapsed() >= dialogue.channel.timeouts.image {
                    return Err(ScanError::NoResponse { during: "the image", after: dialogue.channel.timeouts.image });
                }
                if !has_progress {
                    // The paper is on its way.
                    dialogue.channel.cancel.pause(dialogue.channel.timeouts.poll)?;
                }
                dialogue.request_image()?;
                if !has_progress {
                    continue;
                }
            }
            self.came[side as usize] += data.len() as u64;
            if self.came[side as usize] > self.most {
                return Err(ProtocolError::Endless.into());
            }
            return Ok(if data.is_empty() { ReplyContent::NoData } else { ReplyContent::Data(side, data) });
        }
    }

    /// The same, with what has to wait put aside: the front's data, if that is what came.
    fn pull_front(&mut self, dialogue: &mut Dialogue) -> Result<Option<Bytes>, ScanError> {
        match self.pull(dialogue)? {
            ReplyContent::Data(Side::Front, data) => Ok(Some(data)),
            ReplyContent::Data(Side::Back, data) => {
                let spool = self.spool.get_or_insert_with(|| SpooledTempFile::new(IN_MEMORY));
                spool.write_all(&data).map_err(ScanError::Spool)?;
                Ok(None)
            }
            ReplyContent::NoData => Ok(None),
        }
    }

    /// Waits until the front begins. Its first data may have come with that.
    pub(super) fn front(&mut self, dialogue: &mut Dialogue) -> Result<(ImageStart, Option<Bytes>), ScanError> {
        loop {
            let data = self.pull_front(dialogue)?;
            if let Image::Begun(start) | Image::Ended(start, _) = self.front {
                return Ok((start, data));
            }
        }
    }

    /// Reads the rest of the job. The back, if there is one.
    pub(super) fn finish(&mut self, dialogue: &mut Dialogue) -> Result<Option<WaitingImage>, ScanError> {
        while !self.over {
            self.pull_front(dialogue)?;
        }
        let Image::Ended(start, height) = self.back else { return Ok(None) };
        let file = self.spool.take().unwrap_or_else(|| SpooledTempFile::new(IN_MEMORY));
        Ok(Some(WaitingImage { start, height, file }))
    }
}

/// The front of a sheet, from the scanner.
pub(super) struct Front<'a> {
    pub job: &'a mut Job,
    pub dialogue: &'a mut Dialogue,
    pub first: Option<Bytes>,
}

impl ByteSource for Front<'_> {
    type Error = ScanError;

    fn more(&mut self) -> Result<Option<Bytes>, ScanError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        while !matches!(self.job.front, Image::Ended(..)) {
            if let Some(data) = self.job.pull_front(self.dialogue)? {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl ImageSource for Front<'_> {
    fn height(&self) -> Option<u32> {
        match self.job.front {
            Image::Ended(_, height) => Some(height),
            _ => None,
        }
    }
}

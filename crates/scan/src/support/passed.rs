//! A page as the scanner sent it, on its way to a sink that takes JPEG. One whose height is not known yet is kept, compressed as it
//! is, until that is. Runs on the thread that scans.

use std::io::{Read, Seek, Write};

use tempfile::SpooledTempFile;

use crate::jpeg::Rewriter;
use crate::{Flow, PageFormat, PageSink, ScanError};

/// Bytes of a page of unknown height that are kept in memory; what is more goes into a file.
const IN_MEMORY: usize = 4 << 20;
/// Bytes read back at once.
const READ_BACK: usize = 64 * 1024;

/// A page on its way to the sink.
pub(crate) struct PassedPage {
    format: PageFormat,
    /// What came before it could begin.
    kept: Option<SpooledTempFile>,
    has_begun: bool,
}

impl PassedPage {
    pub(crate) fn new(format: PageFormat) -> PassedPage {
        PassedPage { format, kept: None, has_begun: false }
    }

    /// Its height is known.
    pub(crate) fn begin(
        &mut self,
        picture: &Rewriter,
        height: u32,
        sink: &mut dyn PageSink,
    ) -> Result<Flow, ScanError> {
        let format = PageFormat { height: Some(height), ..self.format };
        sink.begin(&format).map_err(ScanError::Sink)?;
        self.has_begun = true;
        let head = picture.head(format.width, height, (format.dpi.0.0, format.dpi.1.0));
        let mut flow = self.take(&head, sink)?;
        let Some(mut kept) = self.kept.take() else { return Ok(flow) };
        kept.rewind().map_err(ScanError::Spool)?;
        let mut bytes = vec![0; READ_BACK];
        while flow == Flow::Continue {
            match kept.read(&mut bytes).map_err(ScanError::Spool)? {
                0 => break,
                read => flow = self.take(&bytes[..read], sink)?,
            }
        }
        Ok(flow)
    }

    /// The next bytes of the file.
    pub(crate) fn take(&mut self, bytes: &[u8], sink: &mut dyn PageSink) -> Result<Flow, ScanError> {
        if self.has_begun {
            return sink.jpeg(bytes).map_err(ScanError::Sink);
        }
        let kept = self.kept.get_or_insert_with(|| SpooledTempFile::new(IN_MEMORY));
        kept.write_all(bytes).map_err(ScanError::Spool)?;
        Ok(Flow::Continue)
    }
}

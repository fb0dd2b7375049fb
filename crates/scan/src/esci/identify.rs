//! Asking a scanner what it is, and telling from the answers whether it was in step.

use std::time::Duration;

use super::abilities::Abilities;
use super::codes::{DEPTH, EXTENDED_STATUS, FS_IDENTITY, FS_STATUS, IDENTITY};
use super::dialogue::Dialogue;
use super::identity::{self, EscIdentity, FsIdentity, Units};
use super::status::{FS_STATUS_BYTES, Installed};
use crate::{Identity, ScanError, TransportError};

/// ESC @, what it is, what it can.
pub(super) fn identify(dialogue: &mut Dialogue, first_patience: Duration) -> Result<(Identity, Abilities), ScanError> {
    dialogue.reset(first_patience)?;
    let (status, bytes) = dialogue.information(IDENTITY)?;
    let plain = EscIdentity::parse(&bytes)?;
    if status.has_extended() {
        let bytes = dialogue.structure(FS_IDENTITY, identity::FS_IDENTITY_BYTES)?;
        let extended = FsIdentity::parse(&bytes)?;
        let installed = match extended.has_units() {
            true => Installed::parse(&dialogue.structure(FS_STATUS, FS_STATUS_BYTES)?),
            false => Installed::default(),
        };
        let abilities = Abilities::extended(&extended, installed);
        let protocol = format!("ESC/I {}, extended commands", String::from_utf8_lossy(&extended.level));
        return Ok((Identity { protocol, model: extended.model, firmware: extended.firmware }, abilities));
    }
    let status = match dialogue.information(EXTENDED_STATUS) {
        Ok((_, bytes)) => bytes,
        // Levels older than B3 don't have it.
        Err(ScanError::Refused { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let model = identity::name_in_status(&status);
    // The plain dialect does not say how deep its samples are, but it refuses what it can't do.
    let sixteen_bits = dialogue.parameter(DEPTH, &[16])?;
    dialogue.reset(dialogue.patience.reply)?;
    let abilities =
        Abilities::plain(&plain, Units::parse(&status), sixteen_bits, &model).map_err(ScanError::NotSupported)?;
    let protocol = format!("ESC/I {}", String::from_utf8_lossy(&plain.level));
    Ok((Identity { protocol, model, firmware: String::new() }, abilities))
}

/// Whether an error may come of a scanner that is in the middle of something.
pub(super) fn is_confusion(error: &ScanError) -> bool {
    match error {
        ScanError::Nonsense(_) | ScanError::Mute { .. } | ScanError::Refused { .. } => true,
        ScanError::Transport(error) => matches!(
            error,
            TransportError::Timeout { .. }
                | TransportError::Stall { .. }
                | TransportError::Overrun
                | TransportError::Bus { .. }
        ),
        _ => false,
    }
}
